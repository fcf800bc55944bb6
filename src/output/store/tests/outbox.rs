use std::sync::atomic::Ordering::Relaxed;

use super::super::outbox::Mark;
use super::super::queue::{LastSeen, Write};
use super::super::row::{EventRow, Kind, TierStep, TierSteps, TierTimes};
use super::super::testing::{episode, incident};
use super::super::{Export, Outgoing, Recorder};
use super::*;
use crate::event::{Gap, Notice, TierChange, Verdict};
use crate::sample::{Stress, Tier};

/// A bench whose events are to be exported.
fn exporting(directory: &Path, boot_id: &str) -> Bench {
    let outbox = Outbox { wanted: true, ..Outbox::default() };
    Bench::with(directory, Options { outbox, ..options(T0, boot_id) })
}

fn ended_episode(id: EventId) -> Write {
    let mut ended = episode(id, 60, T0);
    (ended.ended_ns, ended.duration_ns) = (Some(T0 + 20 * SECOND), Some(20_000_000_000));
    let row = EventRow::from_episode(&ended, incident(1), T0, TierTimes::default(), TierSteps::default());
    Write::Event(Box::new(row))
}

fn gap(id: EventId, verdict: Verdict, episode: Option<EventId>) -> Gap {
    Gap {
        id: Some(id),
        verdict,
        certain: true,
        started_ns: T0 + 5 * SECOND,
        ended_ns: T0 + 6 * SECOND + i64::try_from(id).unwrap(),
        duration_ns: 1_000_000_000,
        asleep_ns: 0,
        seq: None,
        episode,
        stress: Stress::default(),
        tier: Tier::Critical,
        culprits: Vec::new(),
    }
}

fn gap_row(id: EventId, verdict: Verdict, episode: Option<EventId>) -> Write {
    Write::Event(Box::new(EventRow::from_gap(&gap(id, verdict, episode), incident(1)).unwrap()))
}

fn outgoing(bench: &Bench) -> Vec<Outgoing> {
    bench.reader().outgoing(1_000).unwrap()
}

fn ids(outgoing: &[Outgoing]) -> Vec<EventId> {
    outgoing.iter().map(|outgoing| outgoing.row.id).collect()
}

fn mark(bench: &mut Bench, id: EventId, incident: [u8; 16], export: Export) -> oneshot::Receiver<()> {
    let (ack, answer) = oneshot::channel();
    bench.queue.marks.push(Mark { events: vec![(id, incident)], export, ack });
    answer
}

#[test]
fn what_ends_while_an_endpoint_is_set_waits_for_its_export_and_nothing_else_does() {
    let directory = tempfile::tempdir().unwrap();
    let mut before = Bench::new(directory.path());
    before.push(gap_row(1, Verdict::Pause, None));
    before.step();
    drop(before);

    let mut bench = exporting(directory.path(), "boot-1");
    bench.push(Write::Event(Box::new(super::super::testing::episode_row(2, 60))));
    bench.push(gap_row(3, Verdict::Pause, Some(2)));
    bench.push(gap_row(4, Verdict::Starved, Some(2)));
    bench.step();
    let waiting = outgoing(&bench);
    assert_eq!(ids(&waiting), [3], "1 is from before, 2 goes on, 4 is part of 2's span");
    assert_eq!(waiting[0].row.episode, Some(2));
    bench.push(ended_episode(5));
    bench.step();
    assert_eq!(ids(&outgoing(&bench)), [3, 5], "the first to end first");
    assert_eq!(bench.writer.outbox().stats.outbox_spans.load(Relaxed), 2);
}

#[test]
fn an_episode_goes_out_with_the_gaps_in_it_pauses_first() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = exporting(directory.path(), "boot-1");
    for id in 10..210 {
        bench.push(gap_row(id, if id < 110 { Verdict::Stall } else { Verdict::Pause }, Some(1)));
    }
    bench.push(ended_episode(1));
    bench.step();
    let waiting = outgoing(&bench);
    let episode = waiting.iter().find(|outgoing| outgoing.row.id == 1).unwrap();
    let pauses = episode.gaps.iter().take_while(|gap| gap.kind == Kind::Pause).count();
    assert_eq!((pauses, episode.gaps.len(), episode.gaps_left), (100, 128, 72));
}

#[test]
fn what_the_collector_took_or_refused_waits_no_more_and_the_answer_follows_the_commit() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = exporting(directory.path(), "boot-1");
    for id in 1..=3 {
        bench.push(gap_row(id, Verdict::Pause, None));
    }
    bench.step();
    let mut answers = [
        mark(&mut bench, 1, incident(1), Export::Exported),
        mark(&mut bench, 2, incident(1), Export::Refused),
        // Of that number, but another event.
        mark(&mut bench, 3, incident(9), Export::Exported),
    ];
    assert!(!bench.queue.is_empty());
    assert!(answers[0].try_recv().is_err());
    bench.step();
    assert!(answers.iter_mut().all(|answer| answer.try_recv().is_ok()));
    assert_eq!(ids(&outgoing(&bench)), [3]);
    let exports = bench.reader().summary(T0).unwrap().exports;
    assert_eq!((exports.outbox_spans, exports.refused_spans), (1, 1));
    assert_eq!(bench.writer.outbox().stats.outbox_spans.load(Relaxed), 1);
}

#[test]
fn a_mark_that_the_disk_does_not_take_waits() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = exporting(directory.path(), "boot-1");
    bench.push(gap_row(1, Verdict::Pause, None));
    bench.step();
    let other = bench.other();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let mut answer = mark(&mut bench, 1, incident(1), Export::Exported);
    bench.step();
    assert!(answer.try_recv().is_err() && !bench.queue.is_empty());
    other.execute_batch("ROLLBACK").unwrap();
    bench.pass(1);
    bench.step();
    assert!(answer.try_recv().is_ok() && bench.queue.is_empty());
    assert_eq!(outgoing(&bench), []);
}

#[test]
fn what_waits_is_known_after_a_kill_and_an_interrupted_episode_is_exported() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = exporting(directory.path(), "boot-1");
    bench.push(gap_row(2, Verdict::Pause, Some(1)));
    bench.push(Write::Event(Box::new(super::super::testing::episode_row(1, 60))));
    bench.step();
    let step = TierStep { time_ns: T0 + SECOND, from: Tier::Elevated, to: Tier::Critical, stress: 60 };
    let steps = TierSteps { kept: vec![step], dropped: 2 };
    let tiers = TierTimes { elevated_ns: 3_000_000_000, critical_ns: 0 };
    bench.push(Write::LastSeen(LastSeen { event: 1, time_ns: T0 + 3 * SECOND, tiers, steps: steps.clone() }));
    bench.step();
    let killed = tempfile::tempdir().unwrap();
    copy_as_killed(directory.path(), killed.path());

    let mut next = exporting(killed.path(), "boot-2");
    next.step();
    let waiting = outgoing(&next);
    let kinds: Vec<Kind> = waiting.iter().map(|outgoing| outgoing.row.kind).collect();
    assert_eq!(kinds, [Kind::Outage, Kind::Episode, Kind::Pause]);
    assert_eq!((&waiting[1].row.steps, waiting[1].row.ended_ns), (&steps, Some(T0 + 3 * SECOND)));
    assert!(waiting[1].row.interrupted.is_some());
    assert_eq!(next.writer.outbox().stats.outbox_spans.load(Relaxed), 3);
}

#[test]
fn a_gap_that_is_judged_after_its_episode_was_exported_sends_the_episode_once_more() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = exporting(directory.path(), "boot-1");
    bench.push(ended_episode(1));
    bench.step();
    let _answer = mark(&mut bench, 1, incident(1), Export::Exported);
    bench.step();
    assert_eq!(outgoing(&bench), []);
    bench.push(gap_row(2, Verdict::Stall, Some(1)));
    bench.step();
    let waiting = outgoing(&bench);
    assert_eq!((waiting[0].row.id, waiting[0].gaps.len()), (1, 1));
}

#[test]
fn a_gap_follows_its_episode_to_the_number_that_it_got() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = exporting(directory.path(), "boot-1");
    let mut other = episode(1, 20, T0);
    (other.ended_ns, other.duration_ns) = (Some(T0), Some(0));
    let row = EventRow::from_episode(&other, incident(7), T0, TierTimes::default(), TierSteps::default());
    bench.push(Write::Event(Box::new(row)));
    bench.step();
    bench.push(ended_episode(1));
    bench.push(gap_row(2, Verdict::Pause, Some(1)));
    bench.step();
    let waiting = outgoing(&bench);
    let episode = waiting.iter().find(|outgoing| outgoing.row.incident == incident(1)).unwrap();
    assert_eq!(episode.row.kind, Kind::Pause);
    let renamed = waiting.iter().find(|outgoing| outgoing.row.id == 3).unwrap();
    assert_eq!((renamed.gaps.len(), episode.row.episode), (1, Some(3)));
}

#[test]
fn what_retention_takes_waits_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = exporting(directory.path(), "boot-1");
    bench.push(ended_episode(1));
    bench.settle();
    super::super::mark(directory.path(), &[1], Some(super::super::Status::Dismissed), None).unwrap();
    bench.pass(100 * 86_400);
    bench.settle();
    assert_eq!(bench.ids(), [] as [EventId; 0]);
    bench.pass(60);
    bench.settle();
    assert_eq!(bench.writer.outbox().stats.outbox_spans.load(Relaxed), 0);
}

#[test]
fn every_change_of_tier_is_with_its_episode_before_the_next_sample() {
    let mut recorder = Recorder::new(std::time::Duration::from_secs(30), || incident(1));
    let mut writes = Vec::new();
    recorder.notice(&Notice::EpisodeOpened(episode(1, 20, T0)), &mut writes);
    let change = |time_ns, from, to| Notice::Tier(TierChange { time_ns, from, to, stress: 20, episode: 1 });
    for second in 0..130 {
        writes.clear();
        recorder.notice(&change(T0 + second * SECOND, Tier::Sentinel, Tier::Elevated), &mut writes);
        let [Write::LastSeen(seen)] = &writes[..] else { panic!("{writes:?}") };
        let known = usize::try_from(second).unwrap() + 1;
        assert_eq!(seen.steps.kept.len(), known.min(128));
        assert_eq!(seen.time_ns, T0 + second * SECOND);
    }
    writes.clear();
    let mut closed = episode(1, 20, T0);
    (closed.ended_ns, closed.duration_ns) = (Some(T0 + 200 * SECOND), Some(200_000_000_000));
    recorder.notice(&Notice::EpisodeClosed(closed), &mut writes);
    let [Write::Event(row)] = &writes[..] else { panic!("{writes:?}") };
    assert_eq!((row.steps.kept.len(), row.steps.dropped), (128, 2));
}
