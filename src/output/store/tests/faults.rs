use super::super::queue::{MAX_SAMPLES, Write};
use super::super::row::Kind;
use super::super::testing::{episode_row, sample};
use super::super::{QueryError, Store};
use super::*;

#[test]
fn what_a_locked_database_refuses_is_written_once_the_lock_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(directory.path());
    bench.settle();
    let other = bench.other();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut answer = bench.announce(Write::Event(Box::new(episode_row(1, 20))));
    bench.step();
    assert!(!bench.healthy());
    assert!(answer.try_recv().is_err());
    let errors = bench.stats.errors.load(Relaxed);
    bench.step();
    assert_eq!(bench.stats.errors.load(Relaxed), errors, "it is not tried again at once");
    other.execute_batch("COMMIT").unwrap();
    bench.pass(1);
    bench.settle();
    assert_eq!(answer.try_recv(), Ok(1));
    assert!(bench.healthy());
}

#[test]
fn what_was_gathered_is_recorded_once_the_lock_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(directory.path());
    let row = episode_row(1, 20);
    bench.push(Write::Event(Box::new(row.clone())));
    bench.settle();
    let other = bench.other();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let capture = Capture { name: "ring".into(), outcome: "saved".into(), path: None, detail: None };
    let mut answer = bench.gathered(1, row.incident, vec![capture]);
    bench.step();
    assert!(!bench.healthy() && !bench.queue.is_empty());
    assert!(answer.try_recv().is_err());
    other.execute_batch("COMMIT").unwrap();
    bench.pass(1);
    bench.settle();
    assert_eq!(answer.try_recv(), Ok(()));
    assert_eq!(bench.events()[0].forensics.len(), 1);
}

#[test]
fn the_size_is_that_of_what_is_only_in_the_log_too() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(directory.path());
    bench.settle();
    for id in 1..=50 {
        bench.push(Write::Event(Box::new(episode_row(id, 20))));
    }
    bench.settle();
    bench.pass(31);
    bench.settle();
    let size = |name: &str| std::fs::metadata(directory.path().join(name)).unwrap().len();
    assert!(size("data.db-wal") > 0);
    assert_eq!(bench.stats.size_bytes.load(Relaxed), size("data.db") + size("data.db-wal"));
}

#[test]
fn attempts_come_further_and_further_apart_up_to_five_seconds() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("data.db")).unwrap();
    let mut bench = Bench::new(directory.path());
    let mut waits = Vec::new();
    for _ in 0..8 {
        bench.step();
        let wait = bench.writer.wake_at_ns(true) - bench.now.awake_ns;
        waits.push(wait / 1_000_000);
        bench.now.awake_ns += wait;
    }
    assert_eq!(waits, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
}

#[test]
fn a_database_that_can_not_be_opened_is_opened_when_it_can() {
    let directory = tempfile::tempdir().unwrap();
    let obstacle = directory.path().join("data.db");
    std::fs::create_dir(&obstacle).unwrap();
    let mut bench = Bench::new(directory.path());
    bench.push(Write::Event(Box::new(episode_row(1, 20))));
    bench.step();
    assert!(!bench.open());
    assert_eq!(bench.writer.take_recovered(), []);
    std::fs::remove_dir(&obstacle).unwrap();
    bench.pass(1);
    bench.settle();
    assert!(bench.open());
    assert_eq!(bench.ids(), [1]);
    assert_eq!(bench.recovered().next_event_id, 1);
}

#[test]
fn a_full_disk_loses_no_event_and_memory_stays_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(directory.path());
    bench.settle();
    bench.writer.limit_pages(Some(0));
    bench.push(Write::Event(Box::new(episode_row(1, 60))));
    for batch in 0..20 {
        bench.push(Write::Samples {
            event: 1,
            samples: (1..=300).map(|n| sample(batch * 300 + n, 60)).collect(),
        });
        bench.pass(6);
        bench.step();
    }
    assert!(!bench.healthy());
    assert_eq!(bench.queue.dropped_samples, 6_000 - MAX_SAMPLES as u64);
    bench.writer.limit_pages(None);
    bench.pass(6);
    bench.settle();
    assert!(bench.healthy());
    assert_eq!(bench.events()[0].samples, MAX_SAMPLES as u64);
}

#[test]
fn a_file_deleted_under_way_is_made_anew_with_what_is_open() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(directory.path());
    bench.push(Write::Event(Box::new(episode_row(1, 60))));
    bench.settle();
    for name in names(directory.path()) {
        std::fs::remove_file(directory.path().join(name)).unwrap();
    }
    bench.push(Write::Event(Box::new(episode_row(2, 20))));
    bench.settle();
    assert_eq!(bench.ids(), [1, 2]);
    let runs: i64 = bench.other().query_row("SELECT count(*) FROM runs", [], |row| row.get(0)).unwrap();
    assert_eq!(runs, 1);
}

#[test]
fn a_deleted_file_whose_journal_stays_does_not_spoil_the_new_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(directory.path());
    let mut old = episode_row(1, 60);
    old.kind = Kind::Pause;
    old.ended_ns = Some(old.started_ns);
    bench.push(Write::Event(Box::new(old)));
    bench.settle();
    std::fs::remove_file(directory.path().join("data.db")).unwrap();
    bench.pass(31);
    bench.settle();
    assert_eq!(bench.ids(), [] as [EventId; 0]);
    bench.push(Write::Event(Box::new(episode_row(2, 60))));
    bench.settle();
    assert_eq!(bench.ids(), [2]);
}

#[test]
fn a_journal_that_is_deleted_under_way_takes_nothing_with_it() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut bench = Bench::new(first.path());
    bench.push(Write::Event(Box::new(episode_row(1, 60))));
    bench.settle();
    for name in ["data.db-wal", "data.db-shm"] {
        std::fs::remove_file(first.path().join(name)).unwrap();
    }
    bench.push(Write::Event(Box::new(episode_row(2, 20))));
    bench.settle();
    assert!(bench.healthy());
    copy_as_killed(first.path(), second.path());
    let mut next = Bench::with(second.path(), options(1, "boot-1"));
    next.step();
    assert_eq!(next.ids(), [1, 2], "a kill does not take it either");
}

#[test]
fn a_file_that_somebody_put_in_place_of_ours_is_used() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut backup = Bench::new(second.path());
    backup.push(Write::Event(Box::new(episode_row(70, 60))));
    backup.settle();
    backup.writer.end("stopped", backup.now);
    let mut bench = Bench::new(first.path());
    bench.settle();
    std::fs::rename(second.path().join("data.db"), first.path().join("data.db")).unwrap();
    bench.push(Write::Event(Box::new(episode_row(1, 20))));
    bench.settle();
    assert_eq!(bench.ids(), [1, 70]);
}

#[test]
fn a_reader_says_that_another_program_holds_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(directory.path());
    bench.push(Write::Event(Box::new(episode_row(1, 20))));
    bench.settle();
    bench.writer.end("stopped", bench.now);
    let other = bench.other();
    other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
    assert!(matches!(Reader::open(directory.path()).unwrap_err(), QueryError::Locked { .. }));
}

#[test]
fn the_thread_writes_answers_and_ends() {
    let directory = tempfile::tempdir().unwrap();
    let (store, opened) = Store::open(directory.path(), options(1, "boot-1")).unwrap();
    assert_eq!(opened.next_event_id, 1);
    assert!(opened.recovered.is_some());
    let answer = store.announce(episode_row(1, 20)).unwrap();
    assert_eq!(answer.blocking_recv(), Ok(1));
    let mut row = episode_row(1, 20);
    row.ended_ns = Some(row.started_ns);
    store.write(Write::Event(Box::new(row))).unwrap();
    assert!(store.shutdown("stopped", std::time::Duration::from_secs(60)));
    assert_eq!(names(directory.path()), ["data.db"], "the journal is written into the file");
    let reader = Reader::open(directory.path()).unwrap().unwrap();
    assert!(!reader.event(1).unwrap().row.is_open());
}

#[test]
fn shutdown_keeps_its_deadline_while_another_program_holds_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(directory.path(), options(1, "boot-1")).unwrap();
    let other = Connection::open(directory.path().join(FILE_NAME)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let answer = store.announce(episode_row(1, 20)).unwrap();
    assert!(
        !store.shutdown("stopped", std::time::Duration::from_millis(300)),
        "something was left unwritten"
    );
    assert!(answer.blocking_recv().is_err(), "and whoever waits for it is told");
}

#[test]
fn at_the_end_a_disk_that_did_not_take_it_is_tried_again_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(directory.path(), options(1, "boot-1")).unwrap();
    let other = Connection::open(directory.path().join(FILE_NAME)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let answer = store.announce(episode_row(1, 20)).unwrap();
    // By now it waits for seconds until it tries again.
    while store.stats().errors.load(Relaxed) < 6 {
        std::thread::yield_now();
    }
    other.execute_batch("COMMIT").unwrap();
    assert!(store.shutdown("stopped", std::time::Duration::from_millis(2_500)), "3.2 s would be too late");
    assert_eq!(answer.blocking_recv(), Ok(1));
}
