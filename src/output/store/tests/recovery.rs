use super::super::queue::{LastSeen, Write};
use super::super::row::{EventRow, Interruption, Kind, TierSteps, TierTimes};
use super::super::testing::{SECOND, T0, episode_row};
use super::*;
use crate::sample::Name;

/// A run that was killed in an episode last seen after 20 s, in a directory of its own.
fn killed() -> tempfile::TempDir {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut bench = Bench::new(first.path());
    let tiers = TierTimes { elevated_ns: 12_000_000_000, critical_ns: 6_000_000_000 };
    bench.push(Write::Event(Box::new(episode_row(4, 60))));
    bench.push(Write::LastSeen(LastSeen {
        event: 4,
        time_ns: T0 + 20 * SECOND,
        tiers,
        steps: TierSteps::default(),
    }));
    bench.settle();
    bench.pass(30);
    bench.settle();
    copy_as_killed(first.path(), second.path());
    second
}

#[test]
fn after_a_kill_an_open_episode_is_closed_where_it_was_last_seen() {
    let directory = killed();
    let mut bench = Bench::with(directory.path(), options(T0 + 100 * SECOND, "boot-1"));
    bench.step();
    let recovered = bench.recovered();
    assert_eq!((recovered.interrupted.len(), recovered.outages.len(), recovered.next_event_id), (1, 0, 5));
    let row = bench.events().remove(0).row;
    assert_eq!(row.interrupted, Some(Interruption::Restart));
    assert_eq!(row.ended_ns, Some(T0 + 20 * SECOND));
    assert_eq!(row.duration_ns, Some(18_000_000_000), "the time awake, which its tiers add up to");
    let reasons: Vec<Option<String>> = bench
        .other()
        .prepare("SELECT reason FROM runs ORDER BY id")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<rusqlite::Result<_>>()
        .unwrap();
    assert_eq!(reasons, [Some("killed".to_owned()), None]);
}

#[test]
fn a_run_that_ended_with_the_machine_becomes_an_outage_once() {
    let directory = killed();
    let mut restarted = options(T0 + 1_000 * SECOND, "boot-2");
    restarted.boot_time_ns = Some(T0 + 900 * SECOND);
    let mut bench = Bench::with(directory.path(), restarted);
    bench.step();
    let outages = bench.recovered().outages;
    assert_eq!(outages.len(), 1);
    let outage = &outages[0];
    assert_eq!((outage.id, outage.kind), (5, Kind::Outage));
    assert_eq!((outage.started_ns, outage.ended_ns), (T0 + 30 * SECOND, Some(T0 + 900 * SECOND)));
    assert_eq!(outage.duration_ns, None, "how much of that it hung nobody knows");
    assert_eq!(bench.events()[0].row.interrupted, Some(Interruption::Reboot));
    let json = serde_json::to_string(&bench.events()[1].json()).unwrap();
    assert!(json.contains(r#""peak_stress":null,"peak_tier":null,"factors":{},"culprits":[]"#), "{json}");
    bench.writer.end("stopped", bench.now);

    let mut again = Bench::with(directory.path(), options(T0 + 2_000 * SECOND, "boot-3"));
    again.step();
    assert_eq!(
        again.recovered().outages,
        [],
        "a run that was stopped is no outage, and an old one is told once"
    );
    assert_eq!(again.ids(), [4, 5]);
}

#[test]
fn an_outage_ends_with_this_run_where_the_boots_time_makes_no_sense() {
    let directory = killed();
    let mut restarted = options(T0 + 1_000 * SECOND, "boot-2");
    restarted.boot_time_ns = Some(T0 - SECOND);
    let mut bench = Bench::with(directory.path(), restarted);
    bench.step();
    assert_eq!(bench.recovered().outages[0].ended_ns, Some(T0 + 1_000 * SECOND));
}

#[test]
fn an_outage_that_ends_by_a_clock_that_was_set_back_is_not_over_before_it_began() {
    let directory = killed();
    let mut bench = Bench::with(directory.path(), options(T0 - 1_000 * SECOND, "boot-2"));
    bench.step();
    let outage = bench.recovered().outages.remove(0);
    assert_eq!((outage.started_ns, outage.ended_ns), (T0 + 30 * SECOND, Some(T0 + 30 * SECOND)));
}

#[test]
fn an_episode_last_seen_by_a_clock_that_was_set_back_is_not_over_before_it_began() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut bench = Bench::new(first.path());
    let row = EventRow { last_seen_ns: T0 - 1_000 * SECOND, tiers: None, ..episode_row(4, 60) };
    bench.push(Write::Event(Box::new(row)));
    bench.settle();
    copy_as_killed(first.path(), second.path());
    let mut next = Bench::with(second.path(), options(T0 - 900 * SECOND, "boot-1"));
    next.step();
    let row = next.events().remove(0).row;
    assert_eq!((row.ended_ns, row.duration_ns), (Some(T0), Some(0)));
}

#[test]
fn without_a_boot_id_a_reboot_is_not_claimed() {
    let directory = killed();
    let mut unknown = options(T0 + 100 * SECOND, "");
    unknown.boot_id = None;
    let mut bench = Bench::with(directory.path(), unknown);
    bench.step();
    assert_eq!(bench.recovered().outages, []);
    assert_eq!(bench.events()[0].row.interrupted, Some(Interruption::Restart));
}

#[test]
fn ids_go_on_after_the_highest_in_the_database_and_under_events() {
    let directory = killed();
    std::fs::create_dir_all(directory.path().join("events/12")).unwrap();
    std::fs::create_dir_all(directory.path().join("events/99x")).unwrap();
    let mut bench = Bench::with(directory.path(), options(T0 + 100 * SECOND, "boot-1"));
    bench.step();
    assert_eq!(bench.recovered().next_event_id, 13);
}

#[test]
fn an_outage_gets_no_number_that_has_another_events_evidence() {
    let directory = killed();
    std::fs::create_dir_all(directory.path().join("events/12")).unwrap();
    let mut bench = Bench::with(directory.path(), options(T0 + 100 * SECOND, "boot-2"));
    bench.step();
    let recovered = bench.recovered();
    assert_eq!(recovered.outages.iter().map(|outage| outage.id).collect::<Vec<_>>(), [13]);
    assert_eq!(recovered.next_event_id, 14);
}

#[test]
fn an_event_whose_number_is_taken_gets_another_and_keeps_it() {
    let directory = killed();
    let mut bench = Bench::with(directory.path(), options(T0 + 100 * SECOND, "boot-1"));
    // As if the database had been locked at the start: the engine began at 4, which is taken.
    let mut row = episode_row(4, 30);
    row.incident = [9; 16];
    let mut first = bench.announce(Write::Event(Box::new(row.clone())));
    bench.push(Write::Samples { event: 4, samples: Box::new([super::super::testing::sample(1, 30)]) });
    bench.settle();
    assert_eq!(first.try_recv(), Ok(5));
    row.ended_ns = Some(T0 + 200 * SECOND);
    row.duration_ns = Some(1_000_000_000);
    let mut second = bench.announce(Write::Event(Box::new(row)));
    bench.settle();
    assert_eq!(second.try_recv(), Ok(5));
    let events = bench.events();
    assert_eq!(
        events.iter().map(|event| (event.row.id, event.samples)).collect::<Vec<_>>(),
        [(4, 0), (5, 1)]
    );
    assert!(!events[1].row.is_open());
}

#[test]
fn the_last_pause_is_known_after_a_restart() {
    let directory = killed();
    let mut bench = Bench::with(directory.path(), options(T0 + 100 * SECOND, "boot-1"));
    let mut row = episode_row(5, 0);
    row.kind = Kind::Pause;
    row.ended_ns = Some(T0 + 3 * SECOND);
    row.culprits = vec![crate::wire::CulpritLine {
        pid: 501,
        name: "mds_stores".into(),
        share: 0.61,
        factors: [("pageins".into(), 28)].into(),
        evidence: "pageins 3/s → 840/s".into(),
    }];
    bench.push(Write::Event(Box::new(row)));
    bench.settle();
    assert_eq!(bench.recovered().last_pause, None);
    bench.writer.end("stopped", bench.now);
    let mut next = Bench::with(directory.path(), options(T0 + 200 * SECOND, "boot-1"));
    next.step();
    assert_eq!(next.recovered().last_pause, Some((T0 + 3 * SECOND, Some(Name::new("mds_stores")))));
}
