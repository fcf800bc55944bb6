use super::super::queue::Write;
use super::super::row::{EventRow, Kind, TierSteps, TierTimes};
use std::path::Path;

use super::super::testing::{SECOND, T0, episode, incident, sample, tier};
use super::super::{Capture, Pruned, Pruning, Status, mark, open_for_pruning, plan_pruning};
use super::*;

const DAY: i64 = 86_400 * SECOND;

/// An event that ended so many days before `T0`.
fn old(id: EventId, kind: Kind, total: u8, days: i64) -> EventRow {
    let start = T0 - days * DAY;
    let mut closed = episode(id, total, start);
    closed.ended_ns = Some(start);
    closed.duration_ns = Some(0);
    let mut row =
        EventRow::from_episode(&closed, incident(id), start, TierTimes::default(), TierSteps::default());
    row.kind = kind;
    row.peak.as_mut().unwrap().tier = tier(total);
    row
}

/// A store with these events, each with its status; the daily pruning is done by then.
fn store(events: &[(EventRow, Status)]) -> (tempfile::TempDir, Bench) {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(directory.path());
    bench.settle();
    for (row, status) in events {
        bench.push(Write::Event(Box::new(row.clone())));
        bench.settle();
        mark(directory.path(), &[row.id], Some(*status), None).unwrap();
    }
    (directory, bench)
}

fn prune(bench: &Bench, retention: Retention) -> Pruned {
    let mut connection = open_for_pruning(&bench.directory).unwrap().unwrap();
    let mut pruning = Pruning::new(retention, &bench.directory, T0);
    while pruning.step(&mut connection).unwrap() {}
    pruning.pruned()
}

#[test]
fn reviewed_and_dismissed_events_go_after_90_days_and_pinned_ones_stay() {
    let (_directory, bench) = store(&[
        (old(1, Kind::Pause, 60, 91), Status::Reviewed),
        (old(2, Kind::Pause, 60, 91), Status::Dismissed),
        (old(3, Kind::Pause, 60, 91), Status::Pinned),
        (old(4, Kind::Pause, 60, 91), Status::Unreviewed),
        (old(5, Kind::Pause, 60, 89), Status::Reviewed),
    ]);
    assert_eq!(prune(&bench, Retention::default()).events, 2);
    assert_eq!(bench.ids(), [3, 4, 5]);
}

#[test]
fn episodes_and_stalls_that_only_reached_elevated_and_nobody_looked_at_go_after_14_days() {
    let (_directory, bench) = store(&[
        (old(1, Kind::Episode, 20, 15), Status::Unreviewed),
        (old(2, Kind::Episode, 60, 15), Status::Unreviewed),
        (old(3, Kind::Episode, 20, 15), Status::Reviewed),
        (old(4, Kind::Pause, 20, 15), Status::Unreviewed),
        (old(5, Kind::Episode, 20, 13), Status::Unreviewed),
        (old(6, Kind::Stall, 20, 15), Status::Unreviewed),
        (old(7, Kind::Stall, 60, 15), Status::Unreviewed),
        (old(8, Kind::Stall, 2, 15), Status::Unreviewed),
    ]);
    prune(&bench, Retention::default());
    assert_eq!(bench.ids(), [2, 3, 4, 7, 5]);
}

/// Samples every 10 s from a minute before to a minute after the event's peak.
fn around(row: &EventRow) -> Box<[crate::sample::Sample]> {
    (0..=12)
        .map(|step: u8| {
            let mut sample = sample(u64::from(step) + 1, 60);
            sample.time_ns = row.peak.as_ref().unwrap().time_ns + (i64::from(step) - 6) * 10 * SECOND;
            sample
        })
        .collect()
}

#[test]
fn after_30_days_an_event_keeps_the_samples_around_its_peak_and_loses_its_files() {
    let rows = [old(1, Kind::Episode, 60, 31), old(2, Kind::Episode, 60, 31), old(3, Kind::Episode, 60, 29)];
    let (directory, mut bench) = store(&[
        (rows[0].clone(), Status::Unreviewed),
        (rows[1].clone(), Status::Pinned),
        (rows[2].clone(), Status::Unreviewed),
    ]);
    for row in &rows {
        bench.push(Write::Samples { event: row.id, samples: around(row) });
        let files = directory.path().join("events").join(row.id.to_string());
        std::fs::create_dir_all(&files).unwrap();
        std::fs::write(files.join("ring.jsonl"), [b'x'; 1_000]).unwrap();
    }
    bench.settle();
    let planned = plan_pruning(&bench.other(), Retention::default(), directory.path(), T0).unwrap();
    let pruned = prune(&bench, Retention::default());
    assert_eq!((planned.samples, planned.directories), (6, 1));
    assert_eq!((pruned.samples, pruned.directories), (6, 1));
    assert!(pruned.bytes >= 1_000);
    assert_eq!(bench.events().iter().map(|event| event.samples).collect::<Vec<_>>(), [7, 13, 13]);
    assert_eq!(names(&directory.path().join("events")), ["2", "3"]);
}

fn captures(files: &Path) -> Vec<Capture> {
    let capture = |name: &str, outcome: &str, path: Option<String>, detail: Option<&str>| Capture {
        name: name.to_owned(),
        outcome: outcome.to_owned(),
        path,
        detail: detail.map(str::to_owned),
    };
    vec![
        capture("ring", "saved", Some(files.join("ring.jsonl").to_string_lossy().into_owned()), None),
        capture("log", "failed", None, Some("no room")),
    ]
}

/// Gives an event evidence of so many bytes, and has it recorded.
fn gather(bench: &mut Bench, row: &EventRow, bytes: usize) {
    let files = bench.directory.join("events").join(row.id.to_string());
    std::fs::create_dir_all(&files).unwrap();
    std::fs::write(files.join("ring.jsonl"), vec![b'x'; bytes]).unwrap();
    let _committed = bench.gathered(row.id, row.incident, captures(&files));
    bench.settle();
}

#[test]
fn evidence_that_went_for_its_age_is_told_with_its_event() {
    let rows = [old(1, Kind::Pause, 60, 31), old(2, Kind::Pause, 60, 31)];
    let (directory, mut bench) =
        store(&[(rows[0].clone(), Status::Unreviewed), (rows[1].clone(), Status::Pinned)]);
    for row in &rows {
        gather(&mut bench, row, 10);
    }
    prune(&bench, Retention::default());
    let events = bench.events();
    let told = |at: usize, capture: usize| {
        let capture = &events[at].forensics[capture];
        (capture.outcome.clone(), capture.path.is_some(), capture.detail.clone().unwrap_or_default())
    };
    assert_eq!(told(0, 0), ("saved".to_owned(), false, "removed after 30 days".to_owned()));
    assert_eq!(told(0, 1), ("failed".to_owned(), false, "no room".to_owned()), "it never had a file");
    assert_eq!(told(1, 0), ("saved".to_owned(), true, String::new()), "it is pinned");
    assert_eq!(names(&directory.path().join("events")), ["2"]);
}

#[test]
fn evidence_that_is_too_much_goes_oldest_first_and_pinned_stays() {
    const MB: usize = 1 << 20;
    let rows: Vec<EventRow> =
        [(1, 5), (2, 4), (3, 3), (4, 2)].map(|(id, days)| old(id, Kind::Pause, 60, days)).into();
    let events: Vec<(EventRow, Status)> = rows
        .iter()
        .map(|row| (row.clone(), if row.id == 1 { Status::Pinned } else { Status::Unreviewed }))
        .collect();
    let (directory, mut bench) = store(&events);
    for row in &rows {
        gather(&mut bench, row, MB);
    }
    // Of no event, and just made: it may be being moved there.
    std::fs::create_dir(directory.path().join("events/99")).unwrap();
    // 4 MB are there; 3 may be, and a tenth of room is made.
    let retention = Retention { forensics_max_mb: 3, ..Retention::default() };
    let planned = plan_pruning(&bench.other(), retention, directory.path(), T0).unwrap();
    let pruned = prune(&bench, retention);
    assert_eq!((planned.directories, pruned.directories, pruned.events), (2, 2, 0));
    assert_eq!((planned.bytes, pruned.bytes), (2 * MB as u64, 2 * MB as u64));
    assert_eq!(names(&directory.path().join("events")), ["1", "4", "99"]);
    let events = bench.events();
    let kept: Vec<bool> = events.iter().map(|event| event.forensics[0].path.is_some()).collect();
    assert_eq!(kept, [true, false, false, true]);
    let told = events[1].forensics[0].detail.as_deref();
    assert_eq!(told, Some("removed to keep all evidence below 3 MB"));
    assert!(plan_pruning(&bench.other(), retention, directory.path(), T0).unwrap().is_empty());
}

#[test]
fn what_is_still_being_gathered_is_left_alone() {
    let row = old(1, Kind::Pause, 60, 1);
    let (directory, bench) = store(&[(row, Status::Unreviewed)]);
    let files = directory.path().join("events/1");
    std::fs::create_dir_all(&files).unwrap();
    std::fs::write(files.join("ring.jsonl"), vec![b'x'; 2 << 20]).unwrap();
    let retention = Retention { forensics_max_mb: 1, ..Retention::default() };
    assert_eq!(prune(&bench, retention).directories, 0);
}

#[test]
fn a_directory_of_no_event_goes_when_it_is_as_old_as_evidence_gets() {
    let (directory, bench) = store(&[]);
    let files = directory.path().join("events/5");
    std::fs::create_dir_all(&files).unwrap();
    assert_eq!(prune(&bench, Retention::default()).directories, 0);
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(31 * 86_400);
    std::fs::File::open(&files).unwrap().set_modified(long_ago).unwrap();
    assert_eq!(prune(&bench, Retention::default()).directories, 1);
    assert!(!files.exists());
}

#[test]
fn what_a_link_leads_to_that_is_somebody_else_s_is_left_alone() {
    // SAFETY: geteuid has no preconditions and can't fail.
    if unsafe { libc::geteuid() } != 0 {
        println!("passed over: only root can give files away");
        return;
    }
    let (directory, bench) = store(&[]);
    std::os::unix::fs::chown(directory.path(), Some(4_321), None).unwrap();
    // As a user could have root prune /run/user.
    let victims = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(victims.path(), directory.path().join("events")).unwrap();
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(31 * 86_400);
    for (name, owner) in [("1234", 0), ("4321", 4_321)] {
        let files = victims.path().join(name);
        std::fs::create_dir(&files).unwrap();
        std::os::unix::fs::chown(&files, Some(owner), None).unwrap();
        std::fs::File::open(&files).unwrap().set_modified(long_ago).unwrap();
    }
    assert_eq!(prune(&bench, Retention::default()).directories, 1);
    assert_eq!(names(victims.path()), ["1234"]);
}

#[test]
fn the_size_is_seen_to_after_each_gathering() {
    let rows = [old(1, Kind::Pause, 60, 2), old(2, Kind::Pause, 60, 1)];
    let (directory, mut bench) =
        store(&[(rows[0].clone(), Status::Unreviewed), (rows[1].clone(), Status::Unreviewed)]);
    bench.retention(Retention { forensics_max_mb: 1, ..Retention::default() });
    gather(&mut bench, &rows[0], 700 << 10);
    gather(&mut bench, &rows[1], 700 << 10);
    assert_eq!(names(&directory.path().join("events")), ["2"]);
}

/// A sample that takes about 3 KB.
fn large_sample(seq: u64) -> crate::sample::Sample {
    let mut sample = sample(seq, 60);
    let name = crate::sample::Name::new(&"x".repeat(128));
    for pid in 1..=5 {
        sample.top.cpu.offer(pid, &name, 9.0);
        sample.top.pageins.offer(pid, &name, 9.0);
        sample.top.wakeups.offer(pid, &name, 9.0);
        sample.top.diskio.offer(pid, &name, 9.0);
    }
    sample
}

/// A store of more than 1 MiB: three events with samples, the first one pinned.
fn large() -> (tempfile::TempDir, Bench) {
    let rows = [old(1, Kind::Pause, 60, 3), old(2, Kind::Pause, 60, 2), old(3, Kind::Pause, 60, 1)];
    let (directory, mut bench) = store(&[
        (rows[0].clone(), Status::Pinned),
        (rows[1].clone(), Status::Unreviewed),
        (rows[2].clone(), Status::Unreviewed),
    ]);
    for row in &rows {
        bench.push(Write::Samples { event: row.id, samples: (1..=800).map(large_sample).collect() });
        bench.settle();
    }
    bench.other().pragma_update_and_check(None, "wal_checkpoint", "TRUNCATE", |_| Ok(())).unwrap();
    (directory, bench)
}

fn file_size(bench: &Bench) -> u64 {
    std::fs::metadata(bench.directory.join(FILE_NAME)).unwrap().len()
}

#[test]
fn a_file_over_its_size_loses_its_oldest_samples_first_and_shrinks() {
    let (directory, bench) = large();
    let before = file_size(&bench);
    let limit = u32::try_from(before >> 20).unwrap();
    assert!(limit >= 1 && before > u64::from(limit) << 20, "{before}");
    let retention = Retention { max_db_mb: limit, ..Retention::default() };
    let planned = plan_pruning(&bench.other(), retention, directory.path(), T0).unwrap();
    let pruned = prune(&bench, retention);
    let samples: Vec<u64> = bench.events().iter().map(|event| event.samples).collect();
    assert_eq!((samples[0], samples[2]), (800, 800), "pinned and newest are whole");
    assert!(samples[1] < 800 && pruned.samples == 800 - samples[1]);
    assert!(planned.samples > 0 && planned.events == 0);
    bench.other().pragma_update_and_check(None, "wal_checkpoint", "TRUNCATE", |_| Ok(())).unwrap();
    assert!(file_size(&bench) <= u64::from(limit) << 20);
}

#[test]
fn a_file_that_is_still_too_large_loses_its_oldest_events_but_never_pinned_ones() {
    let (_directory, bench) = large();
    let retention = Retention { max_db_mb: 0, ..Retention::default() };
    let pruned = prune(&bench, retention);
    assert_eq!((pruned.events, pruned.samples), (2, 1_600));
    assert_eq!(bench.ids(), [1]);
    assert_eq!(bench.events()[0].samples, 800);
}

#[test]
fn planning_deletes_nothing() {
    let (directory, bench) = large();
    let retention = Retention { max_db_mb: 0, ..Retention::default() };
    let planned = plan_pruning(&bench.other(), retention, directory.path(), T0).unwrap();
    assert_eq!((planned.events, planned.samples), (2, 1_600));
    assert_eq!(bench.ids(), [1, 2, 3]);
}

#[test]
fn the_writer_prunes_once_a_day_and_in_steps_that_let_events_through() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(directory.path());
    bench.settle();
    for id in 1..=5 {
        bench.push(Write::Event(Box::new(old(id, Kind::Episode, 20, 15))));
    }
    bench.settle();
    bench.pass(3_600);
    bench.settle();
    assert_eq!(bench.ids().len(), 5, "a day has not passed");
    bench.pass(24 * 3_600);
    bench.step();
    assert!(!bench.ids().is_empty(), "one step does not do it all");
    bench.push(Write::Event(Box::new(old(9, Kind::Pause, 60, 0))));
    bench.step();
    assert!(bench.ids().contains(&9), "an event does not wait for the rest");
    bench.settle();
    assert_eq!(bench.ids(), [9]);
}

#[test]
fn a_clock_that_is_set_a_year_ahead_deletes_nothing_for_a_day_and_nothing_at_all_once_it_is_set_right() {
    let events =
        [(old(1, Kind::Pause, 60, 80), Status::Reviewed), (old(2, Kind::Episode, 20, 3), Status::Unreviewed)];
    let (_directory, mut bench) = store(&events);
    let hours = |bench: &mut Bench, count: i64| {
        for _ in 0..count * 60 {
            bench.pass(60);
            bench.settle();
        }
    };
    hours(&mut bench, 1);
    bench.now.unix_ns += 365 * DAY;
    hours(&mut bench, 23);
    assert_eq!(bench.ids(), [1, 2], "nothing goes for the clock's sake");
    bench.now.unix_ns -= 365 * DAY;
    hours(&mut bench, 30);
    assert_eq!(bench.ids(), [1, 2], "and they are not old");
    // One that is meant to be so is gone by in the end.
    bench.now.unix_ns += 365 * DAY;
    hours(&mut bench, 25);
    assert!(bench.ids().is_empty(), "{:?}", bench.ids());
}
