use std::os::unix::fs::PermissionsExt;

use super::super::queue::{LastSeen, Write};
use super::super::row::{EventRow, Kind, TierSteps, TierTimes};
use super::super::testing::{SECOND, T0, episode, episode_row, incident, sample};
use super::super::{Filter, Status, mark};
use super::*;
use crate::event::{Culprit, Evidence, Gap, Measure, Verdict};
use crate::sample::{Name, Stress, Tier};

fn pause(id: EventId) -> Gap {
    let mut factors = [0; 8];
    factors[7] = 28;
    Gap {
        id: Some(id),
        verdict: Verdict::Pause,
        certain: true,
        started_ns: T0,
        ended_ns: T0 + 1_520_400_000,
        duration_ns: 1_520_400_000,
        asleep_ns: 0,
        seq: Some(9),
        episode: None,
        stress: Stress::new([3, 23, 0, 20, 0, 0, 0, 28]),
        tier: Tier::Critical,
        culprits: vec![Culprit {
            pid: 501,
            name: Name::new("mds_stores"),
            share: 0.61,
            factors,
            evidence: Evidence { measure: Measure::Pageins, from: 3.0, to: 840.0 },
        }],
    }
}

#[test]
fn an_event_reads_as_the_documented_json() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(directory.path());
    bench.push(Write::Event(Box::new(EventRow::from_gap(&pause(7), incident(0xab)).unwrap())));
    bench.push(Write::Samples { event: 7, samples: (1..=3).map(|seq| sample(seq, 60)).collect() });
    bench.settle();
    let json = serde_json::to_string(&bench.events()[0].json()).unwrap();
    assert_eq!(
        json,
        concat!(
            r#"{"id":7,"kind":"pause","verdict":"pause","certain":true,"started_at":"2026-11-22T09:10:11.123Z","#,
            r#""ended_at":"2026-11-22T09:10:12.643Z","duration_s":1.5204,"open":false,"interrupted":null,"#,
            r#""continued":false,"stored":true,"peak_stress":74,"peak_tier":"critical","factors":{"load":3,"#,
            r#""memory":23,"thermal":0,"latency":20,"io":0,"gpu":0,"wakeups":0,"pageins":28},"culprits":[{"#,
            r#""pid":501,"name":"mds_stores","share":0.61,"factors":{"pageins":28},"#,
            r#""evidence":"pageins 3/s → 840/s"}],"samples":3,"status":"unreviewed","note":null,"#,
            r#""incident":"ab000000000000000707070707070707","forensics":[]}"#,
        )
    );
}

#[test]
fn samples_are_read_back_as_the_lines_that_the_socket_sent() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(directory.path());
    let samples = [sample(1, 20), sample(2, 80)];
    bench.push(Write::Event(Box::new(episode_row(1, 80))));
    bench.push(Write::Samples { event: 1, samples: Box::new(samples) });
    bench.push(Write::Samples { event: 1, samples: Box::new(samples) });
    bench.settle();
    let lines = bench.reader().samples(1).unwrap();
    let read: Vec<_> = lines.iter().map(|line| line.to_sample().unwrap()).collect();
    assert_eq!(read, samples, "each once, though they were handed over twice");
}

#[test]
fn the_answer_comes_after_the_commit_with_the_events_number() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(directory.path());
    let mut answer = bench.announce(Write::Event(Box::new(episode_row(1, 60))));
    assert!(answer.try_recv().is_err());
    bench.step();
    assert_eq!(answer.try_recv(), Ok(1));
    assert_eq!(bench.ids(), [1], "another connection sees it");
}

#[test]
fn what_is_announced_survives_a_power_cut_and_samples_cost_no_sync() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(directory.path());
    bench.settle();
    let synchronous = |bench: &Bench| bench.writer.pragma("synchronous");
    bench.push(Write::Event(Box::new(episode_row(1, 60))));
    bench.step();
    assert_eq!(synchronous(&bench), 2, "FULL");
    bench.push(Write::Samples { event: 1, samples: Box::new([sample(1, 60)]) });
    bench.step();
    assert_eq!(synchronous(&bench), 1, "NORMAL");
    // Beyond the drive's cache, on macOS.
    assert_eq!((bench.writer.pragma("fullfsync"), bench.writer.pragma("checkpoint_fullfsync")), (1, 1));
}

#[test]
fn an_episode_that_goes_on_in_the_next_one_is_continued_in_row_json_and_words() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(directory.path());
    let mut closed = episode(1, 60, T0);
    (closed.ended_ns, closed.duration_ns) = (Some(T0 + 9 * SECOND), Some(9_000_000_000));
    for (id, continued) in [(1, true), (2, false)] {
        (closed.id, closed.continued) = (id, continued);
        let tiers = TierTimes { elevated_ns: 0, critical_ns: 0 };
        let row = EventRow::from_episode(&closed, incident(id), T0, tiers, TierSteps::default());
        bench.push(Write::Event(Box::new(row)));
    }
    bench.settle();
    let stored: Vec<bool> = bench
        .other()
        .prepare("SELECT continued FROM events ORDER BY id")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<rusqlite::Result<_>>()
        .unwrap();
    assert_eq!(stored, [true, false]);
    let events = bench.events();
    let json = events.iter().map(|event| serde_json::to_value(event.json()).unwrap()["continued"].clone());
    assert_eq!(json.collect::<Vec<_>>(), [true, false]);
    assert_eq!(
        events.iter().map(StoredEvent::ending).collect::<Vec<_>>(),
        [" (continued in the next episode)", ""]
    );
}

#[test]
fn a_newer_version_of_an_event_leaves_a_persons_marks_alone() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(directory.path());
    bench.push(Write::Event(Box::new(episode_row(1, 20))));
    bench.settle();
    mark(directory.path(), &[1], Some(Status::Pinned), Some("the build")).unwrap();
    let mut closed = episode(1, 70, T0 - SECOND);
    closed.ended_ns = Some(T0 + 9 * SECOND);
    closed.duration_ns = Some(10_000_000_000);
    let tiers = TierTimes { elevated_ns: 0, critical_ns: 4_000_000_000 };
    bench.push(Write::Event(Box::new(EventRow::from_episode(
        &closed,
        incident(1),
        T0,
        tiers,
        TierSteps::default(),
    ))));
    bench.settle();
    let event = bench.events().remove(0);
    assert_eq!((event.status, event.note.as_deref()), (Status::Pinned, Some("the build")));
    assert_eq!(event.row.started_ns, T0 - SECOND, "a pause that opened it moves its beginning");
    assert_eq!(event.row.peak.as_ref().unwrap().stress.total(), 70);
    let tiers = TierTimes { elevated_ns: 6_000_000_000, critical_ns: 4_000_000_000 };
    assert_eq!(event.row.tiers, Some(tiers), "the rest of its duration was spent in ELEVATED");
    assert_eq!(bench.stats.events_stored.load(Relaxed), 1, "a newer version is no new event");
}

#[test]
fn a_sign_of_life_reaches_an_open_episode_and_no_closed_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(directory.path());
    let tiers = TierTimes { elevated_ns: 5_000_000_000, critical_ns: 0 };
    bench.push(Write::Event(Box::new(episode_row(1, 20))));
    bench.push(Write::LastSeen(LastSeen {
        event: 1,
        time_ns: T0 + 5 * SECOND,
        tiers,
        steps: TierSteps::default(),
    }));
    bench.settle();
    assert_eq!(bench.events()[0].row.last_seen_ns, T0 + 5 * SECOND);
    assert_eq!(bench.events()[0].row.tiers, Some(tiers));
    let mut closed = episode(1, 20, T0);
    closed.ended_ns = Some(T0 + 7 * SECOND);
    closed.duration_ns = Some(7_000_000_000);
    bench.push(Write::Event(Box::new(EventRow::from_episode(
        &closed,
        incident(1),
        T0,
        tiers,
        TierSteps::default(),
    ))));
    bench.push(Write::LastSeen(LastSeen {
        event: 1,
        time_ns: T0 + 60 * SECOND,
        tiers,
        steps: TierSteps::default(),
    }));
    bench.settle();
    assert_eq!(bench.events()[0].row.last_seen_ns, T0 + 7 * SECOND);
}

#[test]
fn the_files_are_for_their_owner_only() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("share/pause-monitor");
    let mut bench = Bench::new(&data);
    bench.push(Write::Event(Box::new(episode_row(1, 20))));
    bench.step();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    for name in names(&data) {
        assert_eq!(mode(&data.join(&name)), 0o600, "{name}");
    }
    assert_eq!(names(&data), ["data.db", "data.db-shm", "data.db-wal"]);
}

#[test]
fn a_run_gives_a_sign_of_life_every_30_seconds_and_says_how_it_ended() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(directory.path());
    bench.settle();
    bench.pass(29);
    assert!(bench.writer.wake_at_ns(false) > bench.now.awake_ns);
    bench.pass(1);
    assert!(bench.writer.wake_at_ns(false) <= bench.now.awake_ns);
    bench.settle();
    let row = |bench: &Bench| -> (i64, i64, Option<i64>, Option<String>, Option<String>) {
        bench
            .other()
            .query_row("SELECT started_at, last_alive, ended_at, reason, boot_id FROM runs", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
            })
            .unwrap()
    };
    let boot = Some("boot-1".to_owned());
    assert_eq!(row(&bench), (T0, T0 + 30 * SECOND, None, None, boot.clone()));
    bench.pass(4);
    bench.writer.end("stopped", bench.now);
    let end = T0 + 34 * SECOND;
    assert_eq!(row(&bench), (T0, end, Some(end), Some("stopped".to_owned()), boot));
}

#[test]
fn a_sleep_just_ended_is_watched_time_as_soon_as_it_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(directory.path());
    bench.settle();
    bench.pass(20);
    bench.settle();
    // Eight hours, of which only the clocks that go on in sleep know.
    let night = 8 * 3_600 * SECOND;
    bench.now.total_ns += u64::try_from(night).unwrap();
    bench.now.unix_ns += night;
    bench.pass(1);
    let unwatched = |bench: &Bench| bench.reader().summary(bench.now.unix_ns).unwrap().day.unwatched_s;
    assert!(unwatched(&bench) > 28_000.0, "nobody knows yet that it slept");
    bench.push(Write::Alive);
    assert!(bench.writer.wake_at_ns(!bench.queue.is_empty()) <= bench.now.awake_ns, "it does not wait");
    bench.step();
    assert!(bench.queue.is_empty());
    assert_eq!(unwatched(&bench), 0.0);
    bench.pass(29);
    assert!(bench.writer.wake_at_ns(false) > bench.now.awake_ns, "the next is due 30 s later");
}

#[test]
fn the_filter_asks_for_kind_tier_status_time_and_length() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(directory.path());
    bench.push(Write::Event(Box::new(EventRow::from_gap(&pause(1), incident(1)).unwrap())));
    let mut stall = pause(2);
    stall.verdict = Verdict::Starved;
    stall.tier = Tier::Sentinel;
    (stall.started_ns, stall.ended_ns) = (T0 + 100 * SECOND, T0 + 104 * SECOND);
    stall.duration_ns = 4_000_000_000;
    bench.push(Write::Event(Box::new(EventRow::from_gap(&stall, incident(2)).unwrap())));
    let mut open = episode_row(3, 20);
    open.started_ns = T0 + 200 * SECOND;
    open.last_seen_ns = T0 + 210 * SECOND;
    bench.push(Write::Event(Box::new(open)));
    bench.settle();
    mark(directory.path(), &[2], Some(Status::Dismissed), None).unwrap();
    let reader = bench.reader();
    let ids = |filter: Filter| -> Vec<EventId> {
        reader.events(&filter).unwrap().iter().map(|event| event.row.id).collect()
    };
    let all = Filter::default();
    assert_eq!(ids(all.clone()), [3, 2, 1], "newest first");
    assert_eq!(ids(Filter { kinds: vec![Kind::Pause, Kind::Stall], ..all.clone() }), [2, 1]);
    assert_eq!(ids(Filter { starved: true, ..all.clone() }), [2]);
    assert_eq!(ids(Filter { starved: true, kinds: vec![Kind::Episode], ..all.clone() }), [3, 2]);
    assert_eq!(ids(Filter { starved: true, limit: Some(5), until_ns: Some(T0), ..all.clone() }), [0; 0]);
    assert_eq!(ids(Filter { tiers: vec![Tier::Critical], ..all.clone() }), [1]);
    assert_eq!(ids(Filter { statuses: vec![Status::Dismissed], ..all.clone() }), [2]);
    assert_eq!(ids(Filter { limit: Some(1), ..all.clone() }), [3]);
    assert_eq!(ids(Filter { min_duration_ns: Some(4_000_000_000), ..all.clone() }), [3, 2]);
    assert_eq!(ids(Filter { until_ns: Some(T0 + 100 * SECOND), ..all.clone() }), [1]);
    let since = Some(T0 + SECOND);
    assert_eq!(
        ids(Filter { since_ns: since, ..all.clone() }),
        [3, 2, 1],
        "a pause that still went on counts"
    );
    assert_eq!(ids(Filter { since_ns: Some(T0 + 2 * SECOND), ..all }), [3, 2]);
}

#[test]
fn events_within_a_minute_before_and_after_are_related() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(directory.path());
    for (id, start) in [(1, -70), (2, -61), (3, 0), (4, 61), (5, 62)] {
        let mut gap = pause(id);
        (gap.started_ns, gap.ended_ns) = (T0 + start * SECOND, T0 + (start + 1) * SECOND);
        bench.push(Write::Event(Box::new(EventRow::from_gap(&gap, incident(id)).unwrap())));
    }
    bench.settle();
    let reader = bench.reader();
    let related = reader.related(&reader.event(3).unwrap()).unwrap();
    assert_eq!(related.iter().map(|event| event.row.id).collect::<Vec<_>>(), [2, 4]);
}

#[test]
fn marking_an_event_that_does_not_exist_changes_none() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(directory.path());
    bench.push(Write::Event(Box::new(episode_row(1, 20))));
    bench.settle();
    let error = mark(directory.path(), &[1, 99], Some(Status::Reviewed), None).unwrap_err();
    assert_eq!(error.to_string(), "no event has the number 99: `pause-monitor events` lists them");
    assert_eq!(bench.events()[0].status, Status::Unreviewed);
    mark(directory.path(), &[1], None, Some("seen it")).unwrap();
    assert_eq!(bench.events()[0].note.as_deref(), Some("seen it"));
    mark(directory.path(), &[1], Some(Status::Reviewed), Some("")).unwrap();
    assert_eq!((bench.events()[0].status, bench.events()[0].note.clone()), (Status::Reviewed, None));
}

#[test]
fn a_directory_without_a_database_has_no_events() {
    let directory = tempfile::tempdir().unwrap();
    assert!(Reader::open(directory.path()).unwrap().is_none());
    assert!(Reader::open(&directory.path().join("nowhere")).unwrap().is_none());
    assert!(mark(directory.path(), &[1], Some(Status::Reviewed), None).is_err());
}

#[test]
fn history_spreads_tiers_over_the_hours_and_tells_what_nobody_watched() {
    let directory = tempfile::tempdir().unwrap();
    let hour = 3_600 * SECOND;
    let mut bench = Bench::new(directory.path());
    bench.settle();
    // Half of the episode lies in each hour.
    let mut closed = episode(1, 60, T0 + hour - 100 * SECOND);
    closed.ended_ns = Some(T0 + hour + 100 * SECOND);
    closed.duration_ns = Some(200_000_000_000);
    let tiers = TierTimes { elevated_ns: 0, critical_ns: 50_000_000_000 };
    bench.push(Write::Event(Box::new(EventRow::from_episode(
        &closed,
        incident(1),
        T0,
        tiers,
        TierSteps::default(),
    ))));
    bench.push(Write::Event(Box::new(EventRow::from_gap(&pause(2), incident(2)).unwrap())));
    bench.settle();
    bench.pass(5_400);
    bench.writer.end("stopped", bench.now);
    let edges = [T0 - hour, T0, T0 + hour, T0 + 2 * hour];
    let buckets = bench.reader().history(&edges, T0 + 2 * hour).unwrap();
    let counts: Vec<_> = buckets.iter().map(|bucket| (bucket.episodes, bucket.pauses)).collect();
    assert_eq!(counts, [(0, 0), (1, 1), (0, 0)]);
    let times: Vec<_> = buckets
        .iter()
        .map(|b| (b.watched_s, b.unwatched_s, b.sentinel_s, b.elevated_s, b.critical_s))
        .collect();
    assert_eq!(
        times,
        [(0.0, 0.0, 0.0, 0.0, 0.0), (3600.0, 0.0, 3500.0, 75.0, 25.0), (1800.0, 1800.0, 1700.0, 75.0, 25.0)],
        "before the first run nothing counts"
    );
    let summary = bench.reader().summary(T0 + 2 * hour).unwrap();
    assert_eq!(summary.last_pause, Some((2, T0 + 1_520_400_000, 1.5204)));
    assert_eq!((summary.day.pauses, summary.day.episodes, summary.day.unwatched_s), (1, 1, 1800.0));
}
