//! Who built it up: each process's share of the stress points in the window, recent samples weighing more.
//!
//! A factor's points in a sample are dealt out to the listed processes by the factor's measure, m ÷ M, where M
//! is the larger of the machine's total and the list's sum: what nobody listed did is nobody's blame.
//!
//! Processes of one name are blamed together: a compiler, a browser or an indexer is many processes, none of which
//! stands out by itself, however much all of them do.

use std::collections::BTreeMap;

use crate::event::{Culprit, Evidence, Measure};
use crate::sample::{Factor, Name, Process, Sample, TopList, WakeupsKind};

use super::ring::Entry;

/// Weights halve in so many ns.
const HALF_LIFE_NS: f64 = 10e9;
/// A culprit has at least this share.
const LEAST_SHARE: f64 = 0.10;
/// The first culprit has at least this share, or no process stands out.
const FIRST_SHARE: f64 = 0.25;
/// Whose a single sample is has at least this share.
const OWNED: f64 = 0.5;
/// Below this weighted mean of all points nothing was built up.
const LEAST_POINTS: f64 = 5.0;
/// The newest samples, two seconds of them at 10 Hz: what has only just begun is much for them, and little for the window.
/// Of a single late sample they make no more than the window does.
const NEWEST: usize = 20;
/// Where the newest samples have so many times the window's points, what goes on has only just begun.
const ONSET_RATIO: f64 = 2.0;
/// Culprits named at most.
const MOST: usize = 5;

/// The culprits of a window of samples, oldest first: by share, then pid. Empty where no process stands out.
/// The same window always gives the same list.
///
/// Where nothing was built up over the window, but over its newest samples, those are what is looked at. The evidence goes
/// back over all of it.
pub fn culprits<'a, W>(window: W) -> Vec<Culprit>
where
    W: DoubleEndedIterator<Item = &'a Entry> + Clone,
{
    let window = window.rev();
    let newest = window.clone().take(NEWEST);
    if mean_points(window.clone()) >= LEAST_POINTS {
        blamed(window.clone(), window)
    } else if mean_points(newest.clone()) >= LEAST_POINTS {
        blamed(newest, window)
    } else {
        Vec::new()
    }
}

/// The same, of a peak that may have come out of the blue: where the newest samples have far more points than the window, and
/// somebody stands out in them, they alone are looked at, or whoever was at work before would be to blame.
pub fn culprits_of_onset<'a, W>(window: W) -> Vec<Culprit>
where
    W: DoubleEndedIterator<Item = &'a Entry> + Clone,
{
    let newest = window.clone().rev().take(NEWEST);
    let newest_points = mean_points(newest.clone());
    if newest_points >= LEAST_POINTS && newest_points >= ONSET_RATIO * mean_points(window.clone().rev()) {
        let found = blamed(newest, window.clone().rev());
        if !found.is_empty() {
            return found;
        }
    }
    culprits(window)
}

/// Who has at least half of the points of a single sample.
pub fn owner(entry: &Entry) -> Option<Name> {
    let found = blamed(std::iter::once(entry), std::iter::once(entry));
    found.first().filter(|culprit| culprit.share >= OWNED).map(|culprit| culprit.name)
}

/// The samples of a window with their weights, newest first as the window is.
fn weighted<'a>(window: impl Iterator<Item = &'a Entry>) -> impl Iterator<Item = (f64, &'a Sample)> {
    let mut newest_ns = None;
    window.map(move |Entry { ring_ns, sample, .. }| {
        let age_ns = newest_ns.get_or_insert(*ring_ns).saturating_sub(*ring_ns);
        ((-(age_ns as f64) / HALF_LIFE_NS).exp2(), sample)
    })
}

/// The weighted mean of all points in a window, newest first; 0 where it is empty.
fn mean_points<'a>(window: impl Iterator<Item = &'a Entry>) -> f64 {
    let (mut points, mut weights) = (0.0, 0.0);
    for (weight, sample) in weighted(window) {
        points += f64::from(sample.stress.total()) * weight;
        weights += weight;
    }
    if weights > 0.0 { points / weights } else { 0.0 }
}

/// Who is to blame for the points in a window, with the evidence of all that is known; both newest first.
fn blamed<'a>(
    window: impl Iterator<Item = &'a Entry>,
    known: impl Iterator<Item = &'a Entry> + Clone,
) -> Vec<Culprit> {
    let (mut weights, mut all_points) = (0.0, 0.0);
    let mut parts: BTreeMap<&str, Part> = BTreeMap::new();
    for (weight, sample) in weighted(window) {
        weights += weight;
        for factor in Factor::ALL {
            let points = f64::from(sample.stress.get(factor)) * weight;
            if points == 0.0 {
                continue;
            }
            all_points += points;
            let measure = measure(factor, sample);
            let whole = total(measure, sample).max(list(measure, sample).sum());
            for process in list(measure, sample).as_slice() {
                // Pids below 0 are totals of many processes (DEAD_TASKS), not somebody to blame.
                if process.pid >= 0 {
                    let part = parts.entry(process.name.as_str()).or_default();
                    let points = points * process.value / whole;
                    part.factors[factor as usize] += points;
                    *part.pids.entry(process.pid).or_default() += points;
                }
            }
        }
    }
    let mut blamed: Vec<(f64, i32, &str, [f64; Factor::ALL.len()])> = parts
        .into_iter()
        .map(|(name, part)| {
            (part.factors.iter().sum::<f64>() / all_points, part.foremost(), name, part.factors)
        })
        .filter(|(share, ..)| *share >= LEAST_SHARE)
        .collect();
    blamed.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    blamed.truncate(MOST);
    if blamed.first().is_none_or(|(share, ..)| *share < FIRST_SHARE) {
        return Vec::new();
    }
    blamed
        .into_iter()
        .map(|(share, pid, name, part)| {
            // The first of equals.
            let strongest =
                Factor::ALL.into_iter().rev().max_by(|&a, &b| part[a as usize].total_cmp(&part[b as usize]));
            Culprit {
                pid,
                name: Name::new(name),
                share: share.min(1.0),
                factors: part.map(|points| (points / weights).round() as u8),
                evidence: evidence(name, strongest.unwrap_or(Factor::Load), known.clone()),
            }
        })
        .collect()
}

/// What processes of one name are to blame for.
#[derive(Default)]
struct Part {
    /// Weighted points by factor.
    factors: [f64; Factor::ALL.len()],
    /// Weighted points by process.
    pids: BTreeMap<i32, f64>,
}

impl Part {
    /// The process that has most of it; of equals the smallest pid.
    fn foremost(&self) -> i32 {
        let most = self.pids.iter().rev().max_by(|a, b| a.1.total_cmp(b.1));
        most.map_or(0, |(&pid, _)| pid)
    }
}

/// What a factor's points are dealt out by.
fn measure(factor: Factor, sample: &Sample) -> Measure {
    match factor {
        Factor::Pageins => Measure::Pageins,
        Factor::Io => Measure::Diskio,
        Factor::Wakeups => Measure::Wakeups,
        Factor::Load | Factor::Latency | Factor::Thermal | Factor::Gpu => Measure::Cpu,
        Factor::Memory if sample.top.pageins.as_slice().is_empty() => Measure::Cpu,
        Factor::Memory => Measure::Pageins,
    }
}

fn list(measure: Measure, sample: &Sample) -> &TopList {
    match measure {
        Measure::Cpu => &sample.top.cpu,
        Measure::Pageins => &sample.top.pageins,
        Measure::Wakeups => &sample.top.wakeups,
        Measure::Diskio => &sample.top.diskio,
    }
}

fn total(measure: Measure, sample: &Sample) -> f64 {
    let metrics = &sample.metrics;
    match measure {
        Measure::Cpu => metrics.cpu_ms_per_s,
        Measure::Pageins => metrics.pageins_per_s,
        Measure::Wakeups => match sample.wakeups_kind {
            WakeupsKind::Idle => metrics.idle_wakeups_per_s,
            WakeupsKind::Interrupt => metrics.intr_wakeups_per_s,
        },
        Measure::Diskio => metrics.io_per_s(),
    }
    .unwrap_or(0.0)
}

/// How the measure of the culprit's strongest factor moved: mean of the window's first third → last sample. The window
/// is newest first.
fn evidence<'a>(name: &str, strongest: Factor, window: impl Iterator<Item = &'a Entry> + Clone) -> Evidence {
    let is_it = |process: &&Process| process.pid >= 0 && process.name.as_str() == name;
    let value = |measure: Measure, sample: &Sample| {
        // The sum of nothing is -0.0, which would show.
        list(measure, sample).as_slice().iter().filter(is_it).fold(0.0, |sum, process| sum + process.value)
    };
    // Memory's measure may change within the window: page-ins where it ever had any.
    let measure = match strongest {
        Factor::Memory if window.clone().any(|entry| value(Measure::Pageins, &entry.sample) > 0.0) => {
            Measure::Pageins
        }
        Factor::Memory => Measure::Cpu,
        factor => window.clone().next().map_or(Measure::Cpu, |entry| measure(factor, &entry.sample)),
    };
    let count = window.clone().count();
    let third = (count / 3).max(1);
    let first = window.clone().skip(count.saturating_sub(third));
    let from = first.map(|entry| value(measure, &entry.sample)).sum::<f64>() / third as f64;
    let to = window.clone().next().map_or(0.0, |entry| value(measure, &entry.sample));
    Evidence { measure, from, to }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sample::Stress;

    /// A window at 10 Hz; `fill` makes each sample from its index.
    fn window(len: u64, fill: impl Fn(u64, &mut Sample)) -> Vec<Entry> {
        (0..len)
            .map(|index| {
                let mut sample = Sample { seq: index + 1, ..Sample::default() };
                fill(index, &mut sample);
                Entry { at_ns: index * 100_000_000, ring_ns: index * 100_000_000, sample }
            })
            .collect()
    }

    fn culprits(window: &[Entry]) -> Vec<Culprit> {
        super::culprits(window.iter())
    }

    fn named(pid: i32) -> Name {
        Name::new(&format!("process {pid}"))
    }

    fn points(factor: Factor, points: u8) -> Stress {
        let mut all = [0; 8];
        all[factor as usize] = points;
        Stress::new(all)
    }

    #[test]
    fn the_process_that_pages_in_is_blamed_with_the_evidence_of_it() {
        let window = window(300, |index, sample| {
            // The evidence is that of the first third.
            let rate = if index < 100 { 3.0 } else { 840.0 };
            sample.stress = points(Factor::Pageins, if index < 100 { 0 } else { 30 });
            sample.metrics.pageins_per_s = Some(rate + 60.0);
            sample.top.pageins.offer(501, &Name::new("mds_stores"), rate);
            sample.top.pageins.offer(9, &Name::new("bystander"), 60.0);
        });
        let culprits = culprits(&window);
        assert_eq!(culprits.len(), 1, "the bystander has less than a tenth: {culprits:?}");
        assert_eq!((culprits[0].pid, culprits[0].name.as_str()), (501, "mds_stores"));
        assert!((culprits[0].share - 840.0 / 900.0).abs() < 1e-9, "{}", culprits[0].share);
        assert_eq!(culprits[0].evidence.to_string(), "pageins 3/s → 840/s");
        let scored: Vec<_> = culprits[0].scored().collect();
        assert_eq!(scored.len(), 1);
        assert_eq!(scored[0].0, Factor::Pageins);
    }

    #[test]
    fn what_has_only_just_begun_is_looked_at_alone_where_it_is_far_more_than_what_was_before() {
        // Half a minute of ten points, and two seconds of so many more.
        let first = |more: u8| {
            let window = window(300, |index, sample| {
                let mut each = [0; 8];
                each[Factor::Load as usize] = 10;
                each[Factor::Pageins as usize] = if index < 280 { 0 } else { more };
                sample.stress = Stress::new(each);
                sample.top.cpu.offer(1, &Name::new("before"), 1_000.0);
                sample.top.pageins.offer(2, &Name::new("begun"), 500.0);
            });
            assert_eq!(culprits(&window)[0].name, Name::new("before"), "who built it up over half a minute");
            let found = culprits_of_onset(window.iter());
            (found[0].name, found[0].share)
        };
        let (name, share) = first(30);
        assert!(name == Name::new("begun") && (share - 0.75).abs() < 1e-9, "40 points for 15: {share}");
        let (name, share) = first(12);
        assert!(
            name == Name::new("before") && share > 0.8,
            "22 points for 12 go with all the others: {share}"
        );
    }

    #[test]
    fn an_onset_that_nobody_stands_out_in_leaves_it_with_who_built_it_up() {
        let window = window(300, |index, sample| {
            let mut each = [0; 8];
            each[Factor::Load as usize] = if index < 280 { 10 } else { 40 };
            sample.stress = Stress::new(each);
            if index < 280 {
                sample.top.cpu.offer(1, &Name::new("before"), 1_000.0);
            }
        });
        assert_eq!(culprits_of_onset(window.iter())[0].name, Name::new("before"));
        assert_eq!((owner(&window[0]), owner(&window[299])), (Some(Name::new("before")), None));
    }

    #[test]
    fn five_are_named_at_most() {
        let window = window(10, |_, sample| {
            let mut each = [0; 8];
            (each[Factor::Load as usize], each[Factor::Pageins as usize]) = (15, 15);
            sample.stress = Stress::new(each);
            sample.top.cpu.offer(1, &named(1), 100.0);
            (2..=5).for_each(|pid| sample.top.cpu.offer(pid, &named(pid), 225.0));
            sample.top.pageins.offer(1, &named(1), 400.0);
            sample.top.pageins.offer(6, &named(6), 600.0);
        });
        let found: Vec<i32> = culprits(&window).iter().map(|culprit| culprit.pid).collect();
        assert_eq!(found, [6, 1, 2, 3, 4], "the sixth has a tenth as well");
    }

    #[test]
    fn what_nobody_listed_did_is_nobodys_blame() {
        let window = window(10, |_, sample| {
            sample.stress = points(Factor::Pageins, 30);
            sample.metrics.pageins_per_s = Some(1000.0);
            sample.top.pageins.offer(1, &Name::new("a"), 240.0);
        });
        assert!(culprits(&window).is_empty(), "24 % of the blame does not stand out");
    }

    #[test]
    fn a_calm_window_has_no_culprits() {
        let window = window(300, |_, sample| {
            sample.stress = points(Factor::Load, 4);
            sample.top.cpu.offer(1, &Name::new("busy"), 900.0);
        });
        assert!(culprits(&window).is_empty(), "a mean of 4 points is nothing built up");
    }

    #[test]
    fn what_has_only_just_begun_after_calm_is_somebodys_within_two_seconds_and_one_late_sample_nobodys() {
        let begun = |samples: u64, points_each: u8| {
            window(300, |index, sample| {
                if index >= 300 - samples {
                    sample.stress = points(Factor::Io, points_each);
                    sample.top.diskio.offer(7, &Name::new("copier"), 500.0);
                }
            })
        };
        assert!(culprits(&begun(1, 99)[..299]).is_empty());
        assert!(culprits(&begun(1, 30)).is_empty(), "a lone late sample");
        assert!(culprits(&begun(9, 10)).is_empty());
        let soon = culprits(&begun(10, 10))[0];
        assert_eq!(soon.pid, 7, "a second of ten points");
        let scored: Vec<_> = soon.scored().collect();
        assert_eq!(scored, [(Factor::Io, 5)], "and what for is said of those two seconds");
        assert_eq!(soon.evidence.to_string(), "disk 0 B/s → 500 B/s");
        assert_eq!(culprits(&begun(6, 18))[0].pid, 7);
    }

    #[test]
    fn dead_tasks_are_never_blamed() {
        let window = window(10, |_, sample| {
            sample.stress = points(Factor::Load, 20);
            sample.metrics.cpu_ms_per_s = Some(1000.0);
            sample.top.cpu.offer(-1, &Name::new("DEAD_TASKS"), 700.0);
            sample.top.cpu.offer(7, &Name::new("alive"), 300.0);
        });
        let culprits = culprits(&window);
        assert_eq!(culprits.len(), 1);
        assert_eq!(culprits[0].pid, 7);
        assert!((culprits[0].share - 0.3).abs() < 1e-9, "the dead keep their part: {}", culprits[0].share);
    }

    #[test]
    fn memory_is_dealt_out_by_page_ins_where_there_are_any_else_by_cpu() {
        let paging = window(10, |_, sample| {
            sample.stress = points(Factor::Memory, 20);
            sample.top.cpu.offer(1, &Name::new("cpu"), 900.0);
            sample.top.pageins.offer(2, &Name::new("pager"), 5.0);
        });
        assert_eq!(culprits(&paging)[0].pid, 2);
        assert_eq!(culprits(&paging)[0].evidence.measure, Measure::Pageins);
        let computing = window(10, |_, sample| {
            sample.stress = points(Factor::Memory, 20);
            sample.top.cpu.offer(1, &Name::new("cpu"), 900.0);
        });
        assert_eq!(culprits(&computing)[0].pid, 1);
    }

    #[test]
    fn what_is_recent_weighs_more_and_halves_in_ten_seconds() {
        let window = window(101, |index, sample| {
            let pid = if index == 0 { 1 } else { 2 };
            if index == 0 || index == 100 {
                sample.stress = points(Factor::Load, 30);
                sample.top.cpu.offer(pid, &named(pid), 100.0);
            }
        });
        let mut entries = vec![window[0], window[100]];
        let found = culprits(&entries);
        assert_eq!(found.iter().map(|culprit| culprit.pid).collect::<Vec<_>>(), [2, 1]);
        assert!((found[0].share - 2.0 / 3.0).abs() < 1e-9);
        entries.pop();
        assert_eq!(culprits(&entries)[0].pid, 1);
    }

    #[test]
    fn one_pid_with_two_names_is_two_processes() {
        let window = window(2, |index, sample| {
            sample.stress = points(Factor::Load, 30);
            sample.top.cpu.offer(7, &Name::new(if index == 0 { "old" } else { "new" }), 100.0);
        });
        assert_eq!(culprits(&window).len(), 2);
    }

    #[test]
    fn many_processes_of_one_name_stand_out_together() {
        let window = window(30, |index, sample| {
            sample.stress = points(Factor::Load, 20);
            sample.metrics.cpu_ms_per_s = Some(2_000.0);
            // Ten of which each is listed now and then; one of them more often than the others.
            for slot in 0..4 {
                sample.top.cpu.offer(100 + ((index + slot) % 10) as i32, &Name::new("cc1plus"), 200.0);
            }
            sample.top.cpu.offer(104, &Name::new("cc1plus"), 201.0);
            sample.top.cpu.offer(7, &Name::new("bystander"), 230.0);
        });
        let culprits = culprits(&window);
        let names: Vec<_> = culprits.iter().map(|culprit| culprit.name.as_str()).collect();
        assert_eq!(names, ["cc1plus", "bystander"]);
        assert_eq!(culprits[0].pid, 104, "the foremost of them");
        assert!((0.39..0.51).contains(&culprits[0].share), "{}", culprits[0].share);
        assert!(
            culprits[0].evidence.to > 750.0,
            "the evidence is theirs together: {:?}",
            culprits[0].evidence
        );
    }

    #[test]
    fn at_most_five_are_named_by_share_then_pid() {
        let window = window(1, |_, sample| {
            sample.stress = Stress::new([30, 0, 0, 0, 10, 0, 0, 30]);
            for pid in [11, 12] {
                sample.top.cpu.offer(pid, &named(pid), 1.0);
                sample.top.pageins.offer(pid + 10, &named(pid + 10), 1.0);
                sample.top.diskio.offer(10, &named(10), 1.0);
            }
            sample.top.pageins.offer(10, &named(10), 2.0);
        });
        let found = culprits(&window);
        let pids: Vec<_> = found.iter().map(|culprit| culprit.pid).collect();
        assert_eq!(pids, [10, 11, 12, 21, 22]);
    }

    prop_compose! {
        fn any_sample()(
            points in prop::array::uniform8(0u8..=30),
            processes in prop::collection::vec((0i32..8, 0.0..1e6f64, 0usize..4), 0..12),
        ) -> Sample {
            let mut sample = Sample { stress: Stress::new(points), ..Sample::default() };
            for (pid, value, which) in processes {
                let list = match which {
                    0 => &mut sample.top.cpu,
                    1 => &mut sample.top.pageins,
                    2 => &mut sample.top.wakeups,
                    _ => &mut sample.top.diskio,
                };
                list.offer(pid, &named(pid % 5), value);
            }
            sample
        }
    }

    proptest! {
        #[test]
        fn shares_are_legal_and_the_same_input_gives_the_same_list(
            samples in prop::collection::vec(any_sample(), 0..50),
        ) {
            let window: Vec<Entry> = samples
                .into_iter()
                .enumerate()
                .map(|(index, sample)| (index as u64 * 100_000_000, sample))
                .map(|(at_ns, sample)| Entry { at_ns, ring_ns: at_ns, sample })
                .collect();
            let found = culprits(&window);
            prop_assert!(found.len() <= MOST);
            prop_assert!(found.iter().map(|culprit| culprit.share).sum::<f64>() <= 1.0 + 1e-9);
            prop_assert!(found.iter().all(|culprit| culprit.share >= LEAST_SHARE));
            prop_assert!(found.is_sorted_by(|a, b| (b.share, a.pid) <= (a.share, b.pid)));
            prop_assert_eq!(found, culprits(&window));
        }
    }
}
