//! Daemons that export, and what they have to.

use std::fs::File;
use std::net::SocketAddr;
use std::process::Stdio;

use rusqlite::Connection;

use crate::daemon::Daemon;
use crate::program::Program;

/// A machine on which nothing happens.
pub(crate) const CALM: [&str; 2] = ["--source", "simulate:calm"];

/// The configuration that exports to an address.
pub(crate) fn config(protocol: &str, to: SocketAddr) -> String {
    format!("[otlp]\nendpoint = \"http://{to}\"\nprotocol = \"{protocol}\"\n")
}

/// A daemon that has come to the end of a recording with three freezes, with this configuration.
pub(crate) fn played(config: &str) -> Daemon {
    played_by(Program::new(), config)
}

/// The same of a program with an environment of its own.
pub(crate) fn played_by(program: Program, config: &str) -> Daemon {
    let recording = program.home().join("freeze.plist");
    let words = ["simulate", "--scenario", "freeze", "--no-wait", "--tasks", "12", "--interval-ms", "500"];
    let words: Vec<&str> = words.iter().chain(&["--count", "200"]).copied().collect();
    let mut command = program.command(&words);
    assert!(
        command.stdout(File::create(&recording).unwrap()).stderr(Stdio::null()).status().unwrap().success()
    );
    let source = format!("replay:{}", recording.display());
    let mut daemon = Daemon::start(program, config, &["--source", &source, "--speed", "max"]);
    assert_eq!(daemon.wait(), 0, "{}", daemon.log());
    daemon
}

fn database(daemon: &Daemon) -> Connection {
    Connection::open(daemon.data_dir().join("data.db")).unwrap()
}

/// The events of the recording that become spans, as they ended, with what `export` says of them.
pub(crate) fn exports(daemon: &Daemon) -> Vec<(i64, Option<String>)> {
    let database = database(daemon);
    let sql = "SELECT id, export FROM events WHERE kind <> 'stall' ORDER BY ended_at, id";
    let mut statement = database.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// The ids alone.
pub(crate) fn ids(daemon: &Daemon) -> Vec<i64> {
    let ids: Vec<i64> = exports(daemon).into_iter().map(|(id, _)| id).collect();
    assert!(ids.len() >= 6, "three freezes are three pauses and three episodes: {ids:?}");
    ids
}

/// Whether all that is on record is marked so.
pub(crate) fn all_are(daemon: &Daemon, state: &str) -> bool {
    exports(daemon).iter().all(|(_, export)| export.as_deref() == Some(state))
}

/// Waits until all of it is exported.
pub(crate) fn wait_until_exported(daemon: &Daemon) {
    daemon.until("everything marked as exported", || all_are(daemon, "exported").then_some(()));
}

/// An event's columns of times, Unix ns: start and end.
pub(crate) fn times(daemon: &Daemon, id: i64) -> (u64, u64) {
    let sql = "SELECT started_at, ended_at FROM events WHERE id = ?1";
    let times =
        database(daemon).query_row(sql, [id], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)));
    let (start, end) = times.unwrap();
    (start.cast_unsigned(), end.cast_unsigned())
}

/// What waits, as `status --json` has it.
pub(crate) fn outbox_spans(daemon: &Daemon) -> u64 {
    let run = daemon.run("status", &["--json"]);
    assert_eq!(run.code, 0, "{}\nthe log:\n{}", run.stderr, daemon.log());
    let status: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    status["otlp"]["outbox_spans"].as_u64().unwrap()
}

/// How often words stand in the log.
pub(crate) fn told(daemon: &Daemon, words: &str) -> usize {
    daemon.log().matches(words).count()
}
