//! What is kept though the daemon is killed, its database is spoilt, or somebody else holds it.

// clippy.toml allows it in tests only, and takes this for none.
#![allow(clippy::unwrap_used)]

#[path = "support/again.rs"]
mod again;
#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/program.rs"]
mod program;

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use again::Again;
use daemon::{Daemon, is};
use program::Program;

const NONE: [&str; 0] = [];

/// The database, for reading beside the daemon.
fn database(directory: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(directory.join("data.db"), flags).unwrap();
    connection.busy_timeout(daemon::PATIENCE).unwrap();
    connection
}

#[test]
fn an_episode_in_which_the_daemon_was_killed_is_closed_when_it_was_last_seen() {
    let mut daemon = Daemon::start(Program::new(), "", &["--source", "simulate:thrash", "--speed", "4"]);
    let open = daemon.wait_for_event("an episode that goes on", |event| event["open"] == true);
    daemon.kill();
    let id = open["id"].as_i64().unwrap();
    let last_seen = {
        let connection = database(&daemon.data_dir());
        let row = "SELECT last_seen FROM events WHERE id = ?1 AND ended_at IS NULL";
        connection.query_row(row, [id], |row| row.get::<_, i64>(0)).unwrap()
    };
    let next = Again::start(&daemon, &["--source", "simulate:calm"]);
    let closed = daemon
        .wait_for_event("the closed episode", |event| event["id"] == open["id"] && event["open"] == false);
    assert_eq!((&closed["interrupted"], &closed["kind"]), (&"restart".into(), &"episode".into()));
    assert_eq!((&closed["started_at"], &closed["incident"]), (&open["started_at"], &open["incident"]));
    let ended: jiff::Timestamp = closed["ended_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(ended.as_millisecond(), last_seen.div_euclid(1_000_000));
    assert!(closed["duration_s"].as_f64().unwrap() >= 0.0);
    assert!(closed["culprits"].is_array() && closed["peak_stress"].as_u64().unwrap() >= 15);
    let story = daemon.run("events", &["show", &id.to_string()]);
    assert!(story.stdout.contains("interrupted: the daemon was killed"), "{}", story.stdout);
    let connection = database(&daemon.data_dir());
    let mut statement =
        connection.prepare("SELECT reason, ended_at IS last_alive FROM runs ORDER BY id").unwrap();
    let runs = |statement: &mut rusqlite::Statement<'_>| -> Vec<(Option<String>, bool)> {
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).collect()
    };
    assert_eq!(runs(&mut statement), [(Some("killed".into()), true), (None, false)]);
    assert_eq!(next.stop(), Some(0));
    assert_eq!(runs(&mut statement)[1].0.as_deref(), Some("SIGTERM"));
}

/// The files that a start moved aside, in a data directory.
fn moved_aside(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let is_aside =
        |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("data.db.damaged-");
    entries.filter(is_aside).filter(|path| !path.to_string_lossy().ends_with("-wal")).collect()
}

/// A whole database with events in it.
fn whole() -> Vec<u8> {
    let mut daemon = Daemon::start(Program::new(), "", &["--source", "simulate:freeze", "--speed", "10"]);
    daemon.wait_for_event("a pause", |event| event["kind"] == "pause");
    daemon.stop(libc::SIGTERM);
    fs::read(daemon.data_dir().join("data.db")).unwrap()
}

#[test]
fn a_spoilt_database_is_moved_aside_and_a_fresh_one_takes_its_place() {
    let whole = whole();
    let cut_off = whole[..whole.len() / 2 + 100].to_vec();
    let mut scribbled = whole.clone();
    scribbled[100..8_192].fill(0xa5);
    let garbage = b"this is no database\n".repeat(1_000);
    for (name, spoilt) in [("garbage", garbage), ("cut off", cut_off), ("scribbled over", scribbled)] {
        let program = Program::new();
        let data_dir = program.home().join("data");
        fs::create_dir(&data_dir).unwrap();
        fs::write(data_dir.join("data.db"), &spoilt).unwrap();
        let mut daemon = Daemon::start(program, "", &["--source", "simulate:thrash", "--speed", "10"]);
        let aside = daemon.until("the file that was moved aside", || moved_aside(&data_dir).pop());
        let event = daemon.wait_for_event("an episode in the fresh file", |event| event["kind"] == "episode");
        assert_eq!(event["id"], 1, "{name}");
        assert_eq!(fs::read(&aside).unwrap().len(), spoilt.len(), "{name}: the evidence is kept");
        assert_eq!(daemon.run("status", &NONE).code, 0, "{name}");
        daemon.signal(libc::SIGTERM);
        assert_eq!(daemon.wait(), 0, "{name}: {}", daemon.log());
        assert!(daemon.log().contains("data.db.damaged-"), "{name}: it is told:\n{}", daemon.log());
        assert_eq!(moved_aside(&data_dir).len(), 1, "{name}");
    }
}

#[test]
fn a_pause_while_somebody_holds_the_database_is_written_when_they_let_go() {
    let mut daemon = Daemon::start(Program::new(), "", &["--source", "simulate:freeze", "--speed", "3"]);
    let mut stream = daemon.stream();
    daemon.until("the database", || daemon.data_dir().join("data.db").exists().then_some(()));
    let holder = Connection::open(daemon.data_dir().join("data.db")).unwrap();
    holder.busy_timeout(daemon::PATIENCE).unwrap();
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let gap = stream.find("the pause", |line| is(line, "gap"));
    // It is announced all the same, after a second, and says that the disk has not taken it.
    daemon.wait_for_log("the disk has not taken it yet");
    let count = |sql: &str| holder.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM events WHERE kind = 'pause'"), 0);
    stream.find("a later sample", |line| is(line, "sample"));
    holder.execute_batch("ROLLBACK").unwrap();
    let event: Value = daemon.wait_for_event("the pause on record", |event| event["id"] == gap["event"]);
    assert_eq!((&event["kind"], &event["verdict"]), (&"pause".into(), &"pause".into()));
    assert_eq!(event["culprits"][0]["name"], "fileproviderd");
    daemon.wait_for_log("events are stored again");
    daemon.wait_for_event("its samples", |event| {
        event["id"] == gap["event"] && event["samples"].as_u64().unwrap() > 50
    });
    daemon.stop(libc::SIGTERM);
}
