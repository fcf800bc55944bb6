use super::super::queue::Write;
use super::super::testing::{SECOND, T0, episode_row, sample};
use super::super::{QueryError, VERSION};
use super::*;

/// A stopped store with one event and many samples.
fn stopped() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(directory.path());
    bench.push(Write::Event(Box::new(episode_row(1, 60))));
    bench.push(Write::Samples { event: 1, samples: (1..=600).map(|seq| sample(seq, 60)).collect() });
    bench.settle();
    bench.writer.end("stopped", bench.now);
    directory
}

fn start(directory: &Path) -> Bench {
    let mut bench = Bench::with(directory, options(T0 + 100 * SECOND, "boot-1"));
    bench.push(Write::Event(Box::new(episode_row(40, 20))));
    bench.settle();
    bench
}

const KEPT: &str = "data.db.damaged-20261122T091151Z";

#[test]
fn garbage_is_moved_aside_and_a_fresh_file_made() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("data.db"), "not a database at all, ".repeat(200)).unwrap();
    let bench = start(directory.path());
    assert_eq!(bench.ids(), [40]);
    assert!(names(directory.path()).contains(&KEPT.to_owned()), "{:?}", names(directory.path()));
    assert_eq!(bench.stats.errors.load(Relaxed), 0);
}

#[test]
fn a_cut_off_file_is_moved_aside() {
    let directory = stopped();
    let path = directory.path().join("data.db");
    let length = std::fs::metadata(&path).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length / 2 + 100).unwrap();
    let bench = start(directory.path());
    assert_eq!(bench.ids(), [40]);
    assert!(names(directory.path()).contains(&KEPT.to_owned()));
}

#[test]
fn flipped_pages_are_found_after_a_run_that_did_not_end_well() {
    let directory = stopped();
    let path = directory.path().join("data.db");
    Connection::open(&path).unwrap().execute("UPDATE runs SET ended_at = NULL", []).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    for byte in &mut bytes[middle..middle + 64] {
        *byte ^= 0xff;
    }
    std::fs::write(&path, bytes).unwrap();
    let bench = start(directory.path());
    assert_eq!(bench.ids(), [40]);
    assert!(names(directory.path()).contains(&KEPT.to_owned()));
}

#[test]
fn a_file_that_turns_out_damaged_under_way_is_moved_aside_and_nothing_that_waits_is_lost() {
    let directory = stopped();
    let path = directory.path().join("data.db");
    let mut bench = Bench::with(directory.path(), options(T0 + 100 * SECOND, "boot-1"));
    bench.push(Write::Event(Box::new(episode_row(2, 20))));
    bench.settle();
    bench.other().pragma_update_and_check(None, "wal_checkpoint", "TRUNCATE", |_| Ok(())).unwrap();
    // Every page but the first, under the open connection.
    let mut bytes = std::fs::read(&path).unwrap();
    for byte in &mut bytes[4096..] {
        *byte = 0xa5;
    }
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).unwrap();
    // A change by somebody else makes the connection read the pages again.
    bench.other().pragma_update(None, "user_version", VERSION).unwrap();
    bench.push(Write::Event(Box::new(episode_row(3, 30))));
    bench.pass(31);
    bench.step();
    bench.pass(1);
    bench.settle();
    assert_eq!(bench.ids(), [2, 3], "the open episode is written again");
    assert!(bench.healthy());
    assert!(names(directory.path()).iter().any(|name| name.starts_with("data.db.damaged-")));
}

#[test]
fn another_versions_file_is_moved_aside_whole_and_only_the_newest_is_kept() {
    let directory = stopped();
    let path = directory.path().join("data.db");
    std::fs::write(directory.path().join("data.db.schema-7.old"), "older").unwrap();
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 9).unwrap();
    let bench = start(directory.path());
    assert_eq!(bench.ids(), [40]);
    let kept = directory.path().join("data.db.schema-9.old");
    assert_eq!(
        names(directory.path()),
        ["data.db", "data.db-shm", "data.db-wal", "data.db.schema-9.old"],
        "the older one is gone"
    );
    let count: i64 = Connection::open(kept)
        .unwrap()
        .query_row("SELECT count(*) FROM event_samples", [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 600);
}

#[test]
fn what_is_moved_aside_after_a_kill_keeps_what_its_journal_held() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut bench = Bench::new(first.path());
    bench.push(Write::Event(Box::new(episode_row(1, 60))));
    bench.step();
    bench.other().pragma_update(None, "user_version", 3).unwrap();
    copy_as_killed(first.path(), second.path());
    assert!(std::fs::metadata(second.path().join("data.db-wal")).unwrap().len() > 0);
    start(second.path());
    let kept = Connection::open(second.path().join("data.db.schema-3.old")).unwrap();
    let ids: i64 = kept.query_row("SELECT id FROM events", [], |row| row.get(0)).unwrap();
    assert_eq!(ids, 1);
}

#[test]
fn readers_say_in_one_line_what_is_wrong_with_the_file() {
    let directory = stopped();
    let path = directory.path().join("data.db");
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 9).unwrap();
    let error = Reader::open(directory.path()).unwrap_err();
    assert!(matches!(error, QueryError::Schema { found: 9, .. }));
    assert!(error.to_string().ends_with(
        "data.db has schema 9, this program reads schema 2: start the daemon once, it moves the file aside"
    ));
    std::fs::write(&path, "garbage ".repeat(600)).unwrap();
    assert!(matches!(Reader::open(directory.path()).unwrap_err(), QueryError::Damaged { .. }));
}

#[test]
fn a_file_that_has_yet_to_get_its_tables_holds_no_events() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.db");
    let connection = Connection::open(&path).unwrap();
    // As far as the daemon's making of it gets before its one transaction.
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() > 0);
    assert!(Reader::open(directory.path()).unwrap().is_none());
}
