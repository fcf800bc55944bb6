use std::time::Duration;

use super::super::queue::Write;
use super::super::recorder::Recorder;
use super::super::row::{EventRow, Incident, Kind};
use super::super::testing::{SECOND, T0, episode, sample, stress, tier};
use crate::event::{Episode, EventId, Gap, Notice, Verdict};
use crate::sample::{Sample, Tier};

fn counted() -> Incident {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    super::super::testing::incident(NEXT.fetch_add(1, Relaxed))
}

fn recorder() -> Recorder {
    Recorder::new(Duration::from_secs(30), counted)
}

fn feed(recorder: &mut Recorder, samples: impl IntoIterator<Item = Sample>) -> Vec<Write> {
    let mut out = Vec::new();
    for sample in samples {
        recorder.sample(&sample, &mut out);
    }
    out
}

fn tell(recorder: &mut Recorder, notice: Notice) -> Vec<Write> {
    let mut out = Vec::new();
    recorder.notice(&notice, &mut out);
    out
}

fn rows(writes: &[Write]) -> Vec<&EventRow> {
    writes
        .iter()
        .filter_map(|write| if let Write::Event(row) = write { Some(&**row) } else { None })
        .collect()
}

/// Event and sequence numbers of each chunk.
fn chunks(writes: &[Write]) -> Vec<(EventId, Vec<u64>)> {
    writes
        .iter()
        .filter_map(|write| match write {
            Write::Samples { event, samples } => Some((*event, samples.iter().map(|s| s.seq).collect())),
            _ => None,
        })
        .collect()
}

fn open(id: EventId, sample: &Sample) -> Episode {
    let mut episode = episode(id, sample.stress.total(), sample.time_ns);
    episode.peak.seq = sample.seq;
    episode
}

fn gap(id: Option<EventId>, verdict: Verdict, episode: Option<EventId>) -> Gap {
    Gap {
        id,
        verdict,
        certain: true,
        started_ns: T0,
        ended_ns: T0 + 2 * SECOND,
        duration_ns: 2_000_000_000,
        asleep_ns: 0,
        seq: None,
        episode,
        stress: stress(20),
        tier: tier(20),
        culprits: Vec::new(),
    }
}

#[test]
fn the_ring_holds_the_last_30_seconds() {
    let mut recorder = recorder();
    assert_eq!(feed(&mut recorder, (1..=400).map(|seq| sample(seq, 0))), []);
    let seqs: Vec<u64> = recorder.ring().map(|sample| sample.seq).collect();
    assert_eq!(seqs, (101..=400).collect::<Vec<_>>());
}

#[test]
fn a_long_pause_does_not_push_out_what_led_up_to_it() {
    let mut recorder = recorder();
    feed(&mut recorder, (1..=300).map(|seq| sample(seq, 0)));
    let mut late = sample(301, 0);
    late.interval_ns = Some(90_000_000_000);
    feed(&mut recorder, [late]);
    assert_eq!(recorder.ring().len(), 291, "it counts as one second");
}

#[test]
fn tiny_intervals_do_not_grow_the_ring_without_bound() {
    let mut recorder = recorder();
    let tiny = (1..=5_000).map(|seq| Sample { interval_ns: Some(1), ..sample(seq, 0) });
    feed(&mut recorder, tiny);
    assert_eq!(recorder.ring().len(), 600);
}

#[test]
fn in_critical_every_sample_is_written_a_second_at_a_time() {
    let mut recorder = recorder();
    feed(&mut recorder, [sample(1, 60)]);
    let mut writes = tell(&mut recorder, Notice::EpisodeOpened(open(1, &sample(1, 60))));
    assert_eq!(rows(&writes).len(), 1, "the row comes at once");
    writes.extend(feed(&mut recorder, (2..=25).map(|seq| sample(seq, 60))));
    let mut all = chunks(&writes);
    assert_eq!(all, [(1, (1..=10).collect()), (1, (11..=20).collect())]);
    let mut rest = Vec::new();
    recorder.flush(&mut rest);
    all.extend(chunks(&rest));
    assert_eq!(all.len(), 3);
    assert_eq!(all[2], (1, (21..=25).collect()));
}

#[test]
fn a_chunk_is_written_when_critical_is_left_and_when_the_episode_ends() {
    let mut recorder = recorder();
    feed(&mut recorder, [sample(1, 60)]);
    tell(&mut recorder, Notice::EpisodeOpened(open(1, &sample(1, 60))));
    let writes = feed(&mut recorder, [sample(2, 60), sample(3, 20)]);
    assert_eq!(chunks(&writes), [(1, vec![1, 2])]);
    feed(&mut recorder, [sample(4, 60)]);
    let mut closed = open(1, &sample(1, 60));
    closed.ended_ns = Some(sample(4, 0).time_ns);
    closed.duration_ns = Some(300_000_000);
    let writes = tell(&mut recorder, Notice::EpisodeClosed(closed));
    assert_eq!(chunks(&writes), [(1, vec![4])]);
    assert_eq!(feed(&mut recorder, [sample(5, 60)]), [], "nothing is open any more");
}

#[test]
fn in_elevated_the_opening_sample_and_each_new_peak_are_written() {
    let mut recorder = recorder();
    feed(&mut recorder, [sample(1, 20)]);
    let writes = tell(&mut recorder, Notice::EpisodeOpened(open(1, &sample(1, 20))));
    assert_eq!(chunks(&writes), [(1, vec![1])]);
    let writes =
        feed(&mut recorder, [(2, 18), (3, 25), (4, 25), (5, 24), (6, 30)].map(|(n, t)| sample(n, t)));
    assert_eq!(chunks(&writes), [(1, vec![3]), (1, vec![6])]);
}

#[test]
fn an_open_episode_gives_a_sign_of_life_every_five_seconds_with_its_time_in_each_tier() {
    let mut recorder = recorder();
    feed(&mut recorder, [sample(1, 20)]);
    tell(&mut recorder, Notice::EpisodeOpened(open(1, &sample(1, 20))));
    let samples = (2..=101).map(|seq| sample(seq, if seq <= 21 { 20 } else { 60 }));
    let seen: Vec<_> = feed(&mut recorder, samples)
        .into_iter()
        .filter_map(|write| if let Write::LastSeen(seen) = write { Some(seen) } else { None })
        .collect();
    assert_eq!(seen.len(), 2);
    assert_eq!((seen[0].event, seen[0].time_ns), (1, sample(51, 0).time_ns));
    // From sample 1 to 21 in ELEVATED, and the interval that 22 ended.
    assert_eq!((seen[1].tiers.elevated_ns, seen[1].tiers.critical_ns), (2_100_000_000, 7_900_000_000));
}

#[test]
fn an_episode_that_a_pause_opened_began_with_it_and_its_tiers_make_up_its_duration() {
    let mut recorder = recorder();
    feed(&mut recorder, [sample(30, 20)]);
    tell(&mut recorder, Notice::EpisodeOpened(open(1, &sample(30, 20))));
    let mut corrected = open(1, &sample(30, 20));
    corrected.started_ns = sample(10, 0).time_ns;
    let writes = tell(&mut recorder, Notice::EpisodeChanged(corrected.clone()));
    assert_eq!(rows(&writes)[0].started_ns, corrected.started_ns);
    assert_eq!(rows(&writes)[0].tiers.unwrap().elevated_ns, 2_000_000_000);
    corrected.ended_ns = Some(sample(31, 0).time_ns);
    corrected.duration_ns = Some(2_050_000_000);
    let writes = tell(&mut recorder, Notice::EpisodeClosed(corrected));
    let tiers = rows(&writes)[0].tiers.unwrap();
    assert_eq!(tiers.elevated_ns + tiers.critical_ns, 2_050_000_000);
}

#[test]
fn after_a_sleep_the_run_gives_a_sign_of_life_and_after_other_gaps_it_does_not() {
    let mut recorder = recorder();
    let mut slept = gap(None, Verdict::Sleep, None);
    slept.asleep_ns = 3_600_000_000_000;
    assert_eq!(tell(&mut recorder, Notice::Gap(slept)), [Write::Alive]);
    let mut paused = gap(Some(1), Verdict::Pause, None);
    paused.asleep_ns = 1_000_000_000;
    assert_eq!(tell(&mut recorder, Notice::Gap(paused.clone()))[0], Write::Alive, "a pause that slept, too");
    paused.asleep_ns = 0;
    assert!(!tell(&mut recorder, Notice::Gap(paused)).contains(&Write::Alive));
}

#[test]
fn a_pause_takes_the_ring_with_it_and_a_stall_does_not() {
    let mut recorder = recorder();
    feed(&mut recorder, (1..=300).map(|seq| sample(seq, 0)));
    let writes = tell(&mut recorder, Notice::Gap(gap(Some(8), Verdict::Pause, None)));
    assert_eq!(chunks(&writes), [(8, (1..=300).collect())]);
    assert_eq!(rows(&writes)[0].kind, Kind::Pause);
    let writes = tell(&mut recorder, Notice::Gap(gap(Some(9), Verdict::Starved, None)));
    assert_eq!((rows(&writes)[0].kind, rows(&writes)[0].verdict), (Kind::Stall, Some(Verdict::Starved)));
    assert_eq!(chunks(&writes), []);
}

#[test]
fn sleep_is_never_an_event() {
    let mut recorder = recorder();
    feed(&mut recorder, [sample(1, 0)]);
    assert_eq!(tell(&mut recorder, Notice::Gap(gap(None, Verdict::Sleep, None))), []);
}

#[test]
fn a_gap_inside_an_episode_shares_its_incident_however_many_there_are() {
    let mut recorder = recorder();
    feed(&mut recorder, [sample(1, 20)]);
    let writes = tell(&mut recorder, Notice::EpisodeOpened(open(1, &sample(1, 20))));
    let incident = rows(&writes)[0].incident;
    for id in 2..40 {
        let writes = tell(&mut recorder, Notice::Gap(gap(Some(id), Verdict::Pause, Some(1))));
        assert_eq!(rows(&writes)[0].incident, incident);
    }
    let writes = tell(&mut recorder, Notice::Gap(gap(Some(40), Verdict::Pause, None)));
    assert_ne!(rows(&writes)[0].incident, incident, "one outside has its own");
}

#[test]
fn a_gap_told_before_the_episode_it_opens_shares_the_incident_too() {
    let mut recorder = recorder();
    feed(&mut recorder, [sample(1, 20)]);
    let gap = tell(&mut recorder, Notice::Gap(gap(Some(2), Verdict::Pause, Some(1))));
    let opened = tell(&mut recorder, Notice::EpisodeOpened(open(1, &sample(1, 20))));
    assert_eq!(rows(&gap)[0].incident, rows(&opened)[0].incident);
}

#[test]
fn an_episode_whose_opening_was_not_seen_is_not_lost() {
    let mut recorder = recorder();
    feed(&mut recorder, [sample(1, 60)]);
    let writes = tell(&mut recorder, Notice::EpisodeChanged(open(6, &sample(1, 60))));
    assert_eq!(rows(&writes).last().unwrap().id, 6);
    assert_eq!(rows(&writes).last().unwrap().peak.as_ref().unwrap().tier, Tier::Critical);
}
