//! The story in words: what happened, why the verdict is what it is, what was measured. Shared by text and page; plain
//! sentences without a width.

use jiff::tz::TimeZone;

use super::Story;
use super::points::{Point, scored_value};
use crate::event::Verdict;
use crate::human;
use crate::output::store::{Interruption, Kind, StoredEvent};
use crate::sample::{Factor, Tier, WakeupsKind, printable};
use crate::wire::CulpritLine;

/// The wish of the last line: what a person does next.
pub(super) const NEXT: [(&str, &str); 3] = [
    ("keep or judge it", "events mark ID --status pinned"),
    ("take it along", "events export ID -o FILE"),
    ("attach it to a bug report", "events report ID -o FILE"),
];

/// A time with its date and ms.
pub(super) fn time(ns: i64, zone: &TimeZone) -> String {
    human::local(ns, "%Y-%m-%d %H:%M:%S%.3f", zone)
}

fn seconds(ns: i64) -> String {
    human::duration(ns.max(0) as f64 / 1e9)
}

fn length(event: &StoredEvent) -> String {
    event.row.duration_ns.map_or_else(|| "some time".to_owned(), |ns| human::duration(ns as f64 / 1e9))
}

/// What happened, in a sentence or two.
pub(super) fn headline(story: &Story) -> String {
    let event = &story.event;
    let row = &event.row;
    let happened = match (row.verdict, row.kind) {
        (Some(Verdict::Pause), _) if row.certain == Some(true) => {
            format!("The machine stood still for {}.", length(event))
        }
        (Some(Verdict::Pause), _) => {
            format!(
                "The machine probably stood still for {}; it may have been this program alone.",
                length(event)
            )
        }
        (Some(Verdict::Starved), _) => format!(
            "pause-monitor itself was not run for {}, while the rest of the machine went on: no pause of the machine.",
            length(event)
        ),
        (Some(Verdict::Stall), _) => format!(
            "The sampler delivered nothing for {}, while programs ran on time: no pause of the machine.",
            length(event)
        ),
        (Some(Verdict::Sleep), _) => format!("The machine slept for {}.", length(event)),
        (None, Kind::Outage) => {
            return format!(
                "The machine went down while it was watched, and came back within {}.",
                seconds(story.length_ns())
            );
        }
        (None, _) => {
            let tier = row.peak.as_ref().map_or("", |peak| peak.tier.as_str()).to_uppercase();
            let stress = row.peak.as_ref().map_or(0, |peak| peak.stress.total());
            let long = match (row.is_open(), row.duration_ns) {
                (true, _) => format!("has been under stress for {} so far", seconds(story.length_ns())),
                (_, Some(ns)) => format!("was under stress for {}", human::duration(ns as f64 / 1e9)),
                (_, None) => format!("was under stress for up to {}", seconds(story.length_ns())),
            };
            format!("The machine {long}, up to {tier} with {stress} of 100 points.")
        }
    };
    format!("{happened} {}", blame(story))
}

fn blame(story: &Story) -> String {
    let row = &story.event.row;
    match row.culprits.as_slice() {
        [] if row.peak.is_none() => String::new(),
        [] => "No process stands out.".to_owned(),
        [first, rest @ ..] => {
            let who = |culprit: &CulpritLine<'_>| {
                format!("{} ({:.0} %)", printable(&culprit.name), culprit.share * 100.0)
            };
            let part = if first.share >= 0.5 { "Most" } else { "The largest part" };
            let then = rest.first().map_or_else(String::new, |second| format!(", then {}", who(second)));
            format!("{part} of what built up comes from {}{then}.", who(first))
        }
    }
}

/// The verdict in a few words, `pause, certain`.
pub(super) fn verdict(story: &Story) -> String {
    let row = &story.event.row;
    match (row.verdict, row.certain) {
        (Some(verdict), Some(true)) => format!("{}, certain", verdict.as_str()),
        (Some(verdict), _) => format!("{}, not certain", verdict.as_str()),
        (None, _) => "none: it is no gap".to_owned(),
    }
}

/// Why the verdict is what it is: which witness said what, as far as the row and its samples tell.
pub(super) fn why(story: &Story) -> Vec<String> {
    let row = &story.event.row;
    let lost = length(&story.event);
    let mut told = Vec::new();
    let late = story.late();
    let sample = late.map(late_sample);
    match (row.verdict, row.certain) {
        (Some(Verdict::Pause), _) if story.live() == Some(false) => {
            told.push(match sample {
                Some(sample) => format!("This is a recording without heartbeats; the samples alone bear witness. {sample}"),
                None => "This is a recording without heartbeats: the samples alone bear witness, and one was late.".to_owned(),
            });
        }
        (Some(Verdict::Pause), certain) => {
            told.push(format!(
                "The heartbeat, a thread that does nothing but wake every 20 ms, woke {lost} late, and nothing shows that \
                 anything else went on meanwhile."
            ));
            told.extend(sample);
            told.push(if certain == Some(true) {
                "Certain: a second witness stood still as well, the sampler's own process or, on Linux, the kernel's count \
                 of context switches."
                    .to_owned()
            } else {
                "Not certain: no second witness confirms it. What came after it could not tell (the sampler is part of this \
                 program, or had just been restarted, or its samples were on time), so it may have been this program alone \
                 that was not run."
                    .to_owned()
            });
        }
        (Some(Verdict::Starved), _) => {
            told.push(format!(
                "The heartbeat, a thread that does nothing but wake every 20 ms, woke {lost} late, but a witness says that \
                 the rest of the machine went on: this process had been stopped and was continued (SIGCONT), or the \
                 sampler's samples of that time are all there, or the kernel counted context switches as before while \
                 nothing waited. Which of them it was is not kept."
            ));
            told.extend(sample);
        }
        (Some(Verdict::Stall), _) => {
            told.push(
                "The heartbeat ran on time, so programs were run; the samples were not on time: the sampler stood still, \
                 or was ended after it fell silent."
                    .to_owned(),
            );
            told.extend(sample);
        }
        (Some(Verdict::Sleep), _) => told.push("The clocks say that the machine slept.".to_owned()),
        (None, Some(_)) | (None, None) => told.extend(why_not_a_gap(story)),
    }
    told
}

fn late_sample(point: &Point) -> String {
    let took = point.latency_ratio * point.expected_ms;
    let ms = |ms: f64| human::duration(ms / 1e3);
    format!(
        "The sample that followed took {}, where {} were expected ({:.1} times as long).",
        ms(took),
        ms(point.expected_ms),
        point.latency_ratio
    )
}

fn why_not_a_gap(story: &Story) -> Vec<String> {
    let row = &story.event.row;
    match row.kind {
        Kind::Outage => {
            let mut told = vec![
                "The daemon's last run has no end, and the machine started anew after it: it froze, lost power or was \
                 switched off. It begins with the last sign of life, up to 30 s before the truth; how much of this time \
                 it was frozen is not known."
                    .to_owned(),
            ];
            let cut = story.related.iter().find(|other| other.row.interrupted == Some(Interruption::Reboot));
            told.extend(cut.map(|other| {
                format!("What led up to it: event {}, an episode that the restart cut off.", other.row.id)
            }));
            told
        }
        _ => {
            let mut told = vec![
                "An episode lasts from the moment the stress score leaves SENTINEL until it is back there."
                    .to_owned(),
            ];
            told.extend(
                match (row.interrupted, row.continued) {
                    (Some(Interruption::Restart), _) => {
                        Some("The daemon was killed in it, so its end is when it was last seen.")
                    }
                    (Some(Interruption::Reboot), _) => {
                        Some("The machine restarted in it, so its end is when it was last seen.")
                    }
                    (None, true) => Some("It was closed for its length; the next episode goes on."),
                    (None, false) => None,
                }
                .map(str::to_owned),
            );
            told
        }
    }
}

/// An episode's changes of tier, `10:00:08 ELEVATED at 21`.
pub(super) fn steps(story: &Story, zone: &TimeZone, most: usize) -> Vec<String> {
    let steps = &story.event.row.steps;
    let told = steps.kept.iter().take(most).map(|step| {
        let time = human::local(step.time_ns, "%H:%M:%S", zone);
        format!("{time} {} at {}", step.to.as_str().to_uppercase(), step.stress)
    });
    let mut told: Vec<String> = told.collect();
    let more = steps.kept.len().saturating_sub(most) + steps.dropped as usize;
    if more > 0 {
        told.push(format!("{more} more"));
    }
    told
}

/// Time in each tier.
pub(super) fn tiers(story: &Story) -> Option<String> {
    let tiers = story.event.row.tiers?;
    let long = |ns: u64| human::duration(ns as f64 / 1e9);
    Some(format!("elevated {}, critical {}", long(tiers.elevated_ns), long(tiers.critical_ns)))
}

/// What a factor was measured by in that sample, with its unit: `1128 page-ins/s`.
pub(super) fn measured(story: &Story, factor: Factor, at: usize) -> String {
    let point = &story.points[at];
    let Some(value) = scored_value(&story.points, at, factor) else { return "mean not kept".to_owned() };
    let number = human::number;
    match factor {
        Factor::Load => match (point.metrics.load_avg, point.metrics.cores) {
            (Some(load), Some(cores)) => format!("{}/{cores} cores", number(load)),
            _ => String::new(),
        },
        Factor::Memory => format!("{:.0} % free", 100.0 - value),
        Factor::Thermal => point.metrics.thermal_pressure.map_or("", |level| level.as_str()).to_owned(),
        Factor::Latency => format!("{value:.1} x expected"),
        Factor::Io => format!("{} MiB/s", number(value)),
        Factor::Gpu => format!("{value:.0} % busy"),
        Factor::Wakeups => {
            let kind = match point.wakeups_kind {
                WakeupsKind::Idle => "idle",
                WakeupsKind::Interrupt => "intr",
            };
            format!("{} {kind}/s", number(value))
        }
        Factor::Pageins => format!("{} /s", number(value)),
    }
}

/// What a factor is, for who does not know.
pub(super) fn meaning(factor: Factor) -> &'static str {
    match factor {
        Factor::Load => "load average per core",
        Factor::Memory => "memory in use",
        Factor::Thermal => "held back by heat",
        Factor::Latency => "lateness of samples and heartbeat",
        Factor::Io => "disk traffic",
        Factor::Gpu => "GPU busy",
        Factor::Wakeups => "wakeups of the CPUs",
        Factor::Pageins => "page-ins, mostly from files",
    }
}

/// What is to be said of what is shown, and what is not.
pub(super) fn shown(story: &Story) -> String {
    let row = &story.event.row;
    if story.points.is_empty() {
        return match row.kind {
            Kind::Outage => "No samples belong to an outage.",
            Kind::Stall => {
                "No samples of it are kept: of a stall only those of the episode it falls into are."
            }
            Kind::Pause | Kind::Episode => "No samples of it are kept.",
        }
        .to_owned();
    }
    let axis = &story.axis;
    if row.kind == Kind::Episode {
        let whole = seconds(axis.end_ns().saturating_sub(axis.start_ns()));
        let sparse = if story.points.iter().any(|point| point.tier == Tier::Elevated) {
            "; in ELEVATED only new peaks are kept"
        } else {
            ""
        };
        return format!("over {whole}{sparse}");
    }
    let before = seconds(row.started_ns.saturating_sub(axis.start_ns()));
    let after = axis.end_ns().saturating_sub(story.end_ns());
    if after >= 1_000_000 {
        format!("in the {before} before and {} after", seconds(after))
    } else {
        format!("in the {before} before")
    }
}

/// `mds_stores (501)`.
pub(super) fn process(name: &str, pid: i32) -> String {
    format!("{} ({pid})", printable(name))
}
