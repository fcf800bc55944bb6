//! The database locked, damaged, full, read-only, deleted and replaced: what can be kept is kept, what is lost is counted
//! and told, and sampling and announcements go on.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::Value;

use crate::daemon::{Daemon, PATIENCE, is};
use crate::eventful::{CONFIG, eventful};
use crate::http::{get, scrape, series};
use crate::program::Program;
use crate::server::{Reply, Server};

const NONE: [&str; 0] = [];
/// A pause, and an episode around it, some five times a second.
fn start(program: Program, config: &str) -> Daemon {
    let source = eventful(&program);
    Daemon::start(program, &format!("{CONFIG}{config}"), &arguments(&source))
}

fn arguments(source: &str) -> [&str; 4] {
    ["--source", source, "--speed", "20"]
}

/// Starts it once more, killed where it still runs.
fn restart(daemon: &mut Daemon) {
    let file = daemon.data_dir().with_file_name("eventful.jsonl");
    daemon.restart(&arguments(&format!("replay:{}", file.display())));
}

fn value(daemon: &Daemon, name: &str) -> f64 {
    series(&scrape(daemon))[name]
}

fn database(daemon: &Daemon) -> Connection {
    let connection = Connection::open(daemon.data_dir().join("data.db")).unwrap();
    connection.busy_timeout(PATIENCE).unwrap();
    connection
}

fn integrity(daemon: &Daemon) -> String {
    database(daemon).query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap()
}

/// Whoever is told of each pause, and the configuration that has it told.
fn told() -> (Server, String) {
    let server = Server::new(&[Reply::Status(200, "", "")]);
    let config = format!("[[hooks]]\nname = \"w\"\non = [\"pause\"]\nwebhook = \"{}\"\n", server.url("/"));
    (server, config)
}

/// The pauses that were announced, as `stored` or not.
fn announced(server: &Server, stored: bool) -> Vec<Value> {
    let received = server.received();
    let payloads = received.iter().map(|one| serde_json::from_slice::<Value>(&one.body).unwrap());
    payloads.filter(|payload| payload["stored"] == stored).collect()
}

/// Each of these is on record, under its number.
fn are_on_record(daemon: &Daemon, payloads: &[Value]) {
    for payload in payloads {
        let is_it = |event: &Value| event["incident"] == payload["incident"] && event["kind"] == "pause";
        let event = daemon.wait_for_event("what was announced", is_it);
        assert_eq!(event["id"], payload["id"], "{payload}");
    }
}

/// Two that are announced from here on are on record.
fn later_ones_are_on_record(daemon: &Daemon, server: &Server) {
    // What went into the old file may be announced late.
    let later = announced(server, true).len() + 10;
    daemon.until("later pauses", || (announced(server, true).len() >= later + 2).then_some(()));
    are_on_record(daemon, &announced(server, true)[later..]);
}

/// A sample comes, and another.
fn samples_go_on(daemon: &Daemon) {
    let mut stream = daemon.stream();
    for _ in 0..20 {
        stream.find("a sample", |line| is(line, "sample"));
    }
}

/// The files that were moved aside.
fn aside(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().contains("data.db.damaged-")).collect()
}

#[test]
fn a_database_that_is_locked_for_long_loses_the_oldest_samples_counted_and_no_event() {
    let (server, config) = told();
    let daemon = start(Program::new(), &config);
    daemon.until("a pause that is stored", || (!announced(&server, true).is_empty()).then_some(()));
    let holder = database(&daemon);
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    const DROPPED: &str = "pause_monitor_output_messages_dropped_total{output=\"store\"}";
    daemon.until("losses", || {
        (value(&daemon, DROPPED) > 0.0 && announced(&server, false).len() >= 2).then_some(())
    });
    daemon.wait_for_log("more waits for the disk than is kept in memory: the oldest samples are lost now");
    assert!(value(&daemon, "pause_monitor_store_errors_total") >= 3.0);
    // Readers are not held up.
    assert_eq!(daemon.run("status", &NONE).code, 0);
    samples_go_on(&daemon);
    let resident = value(&daemon, "process_resident_memory_bytes");
    let missing = announced(&server, false);
    holder.execute_batch("ROLLBACK").unwrap();
    drop(holder);
    daemon.wait_for_log("events are stored again; the oldest samples that waited");
    let log = daemon.log();
    let lost = log.split("lost=").nth(1).unwrap().split_whitespace().next().unwrap();
    assert_eq!(lost.parse::<f64>().unwrap(), value(&daemon, DROPPED), "{log}");
    are_on_record(&daemon, &missing);
    assert!(resident < 120_000_000.0, "{resident}");
    assert_eq!(value(&daemon, "pause_monitor_output_messages_dropped_total{output=\"handover\"}"), 0.0);
}

#[cfg(target_os = "linux")]
#[test]
fn on_a_full_disk_pauses_are_announced_as_not_stored_and_are_on_record_once_there_is_room() {
    let Some(mount) = crate::mount::Mount::of(16_384) else { return };
    let (server, config) = told();
    let program = Program::new();
    std::os::unix::fs::symlink(mount.path(), program.home().join("data")).unwrap();
    let config = config + "[forensics]\nenabled = false\n";
    let daemon = start(program, &config);
    daemon.until("a pause that is stored", || (!announced(&server, true).is_empty()).then_some(()));
    let ballast = mount.fill();
    daemon.until("a pause that is not", || (!announced(&server, false).is_empty()).then_some(()));
    daemon.wait_for_log(
        "events can't be stored now, they are kept in memory and tried again: free space on its disk",
    );
    assert!(value(&daemon, "pause_monitor_store_errors_total") > 0.0);
    samples_go_on(&daemon);
    let missing = announced(&server, false);
    fs::remove_file(ballast).unwrap();
    are_on_record(&daemon, &missing);
    daemon.wait_for_log("events are stored again");
    assert_eq!(integrity(&daemon), "ok");
}

/// A store as a kill leaves it in the middle of an episode, with pauses before it; its events.
fn killed() -> (Daemon, Vec<Value>) {
    let mut daemon = start(Program::new(), "");
    daemon.wait_for_event("a pause, and an episode that goes on", |event| {
        event["open"] == true && event["id"].as_i64() > Some(2)
    });
    let events = daemon.events();
    daemon.kill();
    (daemon, events)
}

/// What somebody does to the files of a store.
type Spoil = fn(&Path);

fn overwrite(file: &Path, at: u64, length: usize) {
    let file = fs::File::options().write(true).open(file).unwrap();
    file.write_all_at(&vec![0xa5; length], at).unwrap();
}

/// Writes the journal into the file, so that the file is what is read.
fn checkpoint(data: &Path) {
    let connection = Connection::open(data).unwrap();
    connection.pragma_update_and_check(None, "wal_checkpoint", "TRUNCATE", |_| Ok(())).unwrap();
}

#[test]
fn whatever_is_damaged_the_next_start_moves_it_aside_says_so_and_goes_on() {
    let kinds: [(&str, bool, Spoil); 7] = [
        ("a header of garbage", true, |data| {
            checkpoint(data);
            overwrite(data, 0, 100);
        }),
        ("a page in the middle", true, |data| {
            checkpoint(data);
            let pages = fs::metadata(data).unwrap().len() / 4_096;
            overwrite(data, pages / 2 * 4_096, 4_096);
        }),
        ("cut off", true, |data| {
            checkpoint(data);
            let length = fs::metadata(data).unwrap().len();
            fs::File::options().write(true).open(data).unwrap().set_len(length / 2 + 100).unwrap();
        }),
        ("another program's file", true, |data| {
            checkpoint(data);
            fs::write(data, "no database\n".repeat(1_000)).unwrap();
        }),
        ("empty", false, |data| {
            checkpoint(data);
            fs::write(data, "").unwrap();
        }),
        // SQLite takes what it can't read of the journal for the torn end that a kill leaves.
        ("a journal damaged in the middle", false, |data| {
            let journal = data.with_extension("db-wal");
            let length = fs::metadata(&journal).unwrap().len();
            overwrite(&journal, length / 2, 4_096);
        }),
        ("an index of garbage", false, |data| overwrite(&data.with_extension("db-shm"), 0, 4_096)),
    ];
    for (what, is_moved, spoil) in kinds {
        let (mut daemon, before) = killed();
        let data = daemon.data_dir();
        spoil(&data.join("data.db"));
        restart(&mut daemon);
        daemon.until("an open store", || (get(&daemon, "/readyz").status == 200).then_some(()));
        let known: Vec<&Value> = before.iter().map(|event| &event["incident"]).collect();
        let new = daemon
            .wait_for_event(what, |event| event["kind"] == "pause" && !known.contains(&&event["incident"]));
        let kept = aside(&data);
        assert_eq!(kept.len(), usize::from(is_moved), "{what}: {kept:?}\n{}", daemon.last_log());
        assert_eq!(daemon.last_log().contains("it was moved aside and a new one made"), is_moved, "{what}");
        let events = daemon.events();
        let lost =
            before.iter().filter(|old| !events.iter().any(|event| event["incident"] == old["incident"]));
        match what {
            "an index of garbage" => assert_eq!(lost.count(), 0, "{what}"),
            "a journal damaged in the middle" => {}
            _ => assert_eq!(lost.count(), before.len(), "{what}"),
        }
        assert_eq!(integrity(&daemon), "ok", "{what}");
        assert_eq!(daemon.run("events", &["show", &new["id"].to_string()]).code, 0, "{what}");
        daemon.signal(libc::SIGTERM);
        assert_eq!(daemon.wait(), 0, "{what}: {}", daemon.last_log());
    }
}

#[test]
fn a_file_that_is_damaged_under_way_is_moved_aside_and_what_is_announced_from_then_on_is_on_record() {
    let (server, config) = told();
    let mut daemon = start(Program::new(), &config);
    daemon.until("a pause that is stored", || (!announced(&server, true).is_empty()).then_some(()));
    // One that was made in this very minute would be left for the rest of it: the disk is at fault then.
    restart(&mut daemon);
    let told = announced(&server, true).len();
    daemon.until("a pause of this run", || (announced(&server, true).len() > told).then_some(()));
    let data = daemon.data_dir().join("data.db");
    checkpoint(&data);
    let length = fs::metadata(&data).unwrap().len();
    overwrite(&data, 4_096, usize::try_from(length).unwrap() - 4_096);
    // A change by somebody else has the daemon read its pages again.
    let _ = Connection::open(&data).and_then(|other| other.pragma_update(None, "user_version", 2));
    daemon.until("the file that was moved aside", || aside(&daemon.data_dir()).pop());
    daemon.wait_for_log("data.db is damaged: it was moved aside");
    later_ones_are_on_record(&daemon, &server);
    assert_eq!(integrity(&daemon), "ok");
}

#[test]
fn where_the_events_can_not_be_read_status_tells_the_rest_and_why() {
    // Nothing is written, so nobody notices yet.
    let daemon = Daemon::start(Program::new(), "", &["--source", "simulate:calm"]);
    daemon.until("a status", || (daemon.run("status", &NONE).code == 0).then_some(()));
    let data = daemon.data_dir().join("data.db");
    let status = |arguments: &[&str]| {
        daemon.until("a complaint", || {
            for file in ["db-wal", "db-shm"] {
                let _ = fs::remove_file(data.with_extension(file));
            }
            // The daemon makes a good one out of it within half a minute.
            fs::write(data.with_extension("new"), "no database\n".repeat(1_000)).unwrap();
            fs::rename(data.with_extension("new"), &data).unwrap();
            let status = daemon.run("status", arguments);
            (status.code != 0).then_some(status)
        })
    };
    let said = status(&NONE);
    assert_eq!((said.code, said.stderr.lines().count()), (1, 1), "{said:?}");
    assert!(said.stdout.contains(" | stress ") && said.stdout.ends_with("last pause unknown\n"), "{said:?}");
    assert!(said.stderr.contains("data.db is damaged: start the daemon once"), "{said:?}");
    let said = status(&["--json"]);
    let json: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((said.code, &json["running"]), (1, &true.into()));
    for key in ["day", "last_pause", "otlp"] {
        assert_eq!(json.get(key), Some(&Value::Null), "{key} is not known: {json}");
    }
}

#[test]
fn a_file_that_is_deleted_or_replaced_under_way_is_noticed_and_the_next_events_are_on_record() {
    for what in ["deleted", "deleted with its journal", "its journal deleted", "replaced"] {
        let (server, config) = told();
        let backup = (what == "replaced").then(|| {
            let mut daemon = start(Program::new(), "");
            let event = daemon.wait_for_event("a pause", |event| event["kind"] == "pause");
            daemon.stop(libc::SIGTERM);
            (daemon, event)
        });
        let daemon = start(Program::new(), &config);
        daemon.until("a pause that is stored", || (!announced(&server, true).is_empty()).then_some(()));
        let data = daemon.data_dir().join("data.db");
        if let Some((backup, _)) = &backup {
            fs::copy(backup.data_dir().join("data.db"), data.with_extension("new")).unwrap();
            fs::rename(data.with_extension("new"), &data).unwrap();
        } else {
            if what != "its journal deleted" {
                fs::remove_file(&data).unwrap();
            }
            if what != "deleted" {
                // Where the daemon is faster it is the new one's.
                let _ = fs::remove_file(data.with_extension("db-wal"));
                let _ = fs::remove_file(data.with_extension("db-shm"));
            }
        }
        daemon.wait_for_log("was deleted or replaced under way");
        later_ones_are_on_record(&daemon, &server);
        if let Some((_, event)) = backup {
            let kept =
                daemon.wait_for_event("what was in the backup", |one| one["incident"] == event["incident"]);
            assert_eq!(kept["kind"], "pause");
        }
        assert_eq!(integrity(&daemon), "ok", "{what}");
        let runs: i64 = database(&daemon)
            .query_row("SELECT count(*) FROM runs WHERE ended_at IS NULL", [], |row| row.get(0))
            .unwrap();
        assert_eq!(runs, 1, "{what}: this run goes on in it");
        assert!(daemon.data_dir().join("daemon.sock").exists());
    }
}

/// Runs the daemon as nobody, in a home directory of nobody's; root may write everywhere.
#[cfg(target_os = "linux")]
mod unprivileged {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command, Stdio};

    use super::*;
    use crate::daemon::{signal, until};
    use crate::executable::install;

    const NOBODY: u32 = 65_534;

    /// A home directory of nobody's, with the program in it; `None` for whoever is not root.
    fn home() -> Option<tempfile::TempDir> {
        // SAFETY: it takes nothing and always succeeds.
        if unsafe { libc::geteuid() } != 0 {
            println!("passed over: only root can become somebody else");
            return None;
        }
        let home = tempfile::tempdir().unwrap();
        install(Path::new(env!("CARGO_BIN_EXE_pause-monitor")), &home.path().join("pause-monitor"));
        fs::create_dir(home.path().join("data")).unwrap();
        for path in [home.path().to_owned(), home.path().join("data")] {
            std::os::unix::fs::chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        Some(home)
    }

    fn command(home: &Path, name: &str) -> Command {
        let mut command = Command::new(home.join("pause-monitor"));
        command.arg(name).arg("--data-dir").arg(home.join("data")).env_clear().env("HOME", home);
        command.uid(NOBODY).gid(NOBODY).current_dir(home).stdin(Stdio::null());
        command
    }

    fn start(home: &Path) -> Running {
        let log = fs::File::create(home.join("log")).unwrap();
        let mut command = command(home, "daemon");
        fs::write(home.join("config.toml"), CONFIG).unwrap();
        let source = crate::eventful::write(home);
        command.args(arguments(&source)).args(["--web.listen-address", "127.0.0.1:0"]);
        command.arg("--config").arg(home.join("config.toml"));
        Running(command.stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }

    struct Running(Child);

    impl Drop for Running {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn wait_for_log(home: &Path, words: &str) {
        let log = || fs::read_to_string(home.join("log")).unwrap();
        until(&format!("{words:?} in the log"), || log().contains(words).then_some(()));
    }

    fn events(home: &Path) -> Vec<Value> {
        let output = command(home, "events").arg("--json").output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    #[test]
    fn a_read_only_file_is_told_with_what_to_do_and_written_once_it_may_be() {
        let Some(home) = home() else { return };
        let home = home.path();
        let data = home.join("data/data.db");
        let mut daemon = start(home);
        until("a pause", || events(home).iter().any(|event| event["kind"] == "pause").then_some(()));
        assert!(signal(daemon.0.id().cast_signed(), libc::SIGTERM));
        assert_eq!(daemon.0.wait().unwrap().code(), Some(0));
        let before = events(home).len();
        for name in ["data.db", "data.db-wal", "data.db-shm"] {
            if home.join("data").join(name).exists() {
                mode(&home.join("data").join(name), 0o400);
            }
        }
        let mut daemon = start(home);
        wait_for_log(home, "events can't be stored now, they are kept in memory and tried again: make");
        wait_for_log(home, "critical");
        assert_eq!(daemon.0.try_wait().unwrap(), None, "it goes on");
        for name in ["data.db", "data.db-wal", "data.db-shm"] {
            if home.join("data").join(name).exists() {
                mode(&home.join("data").join(name), 0o600);
            }
        }
        wait_for_log(home, "events are stored again");
        until("new events", || (events(home).len() > before).then_some(()));
        drop(daemon);
        assert!(data.exists() && aside(&home.join("data")).is_empty(), "it was never damaged");
    }

    #[test]
    fn in_a_read_only_directory_it_does_not_start_and_says_what_to_do_in_one_line() {
        let Some(home) = home() else { return };
        mode(&home.path().join("data"), 0o500);
        let output = command(home.path(), "daemon")
            .args(["--source", "simulate:calm", "--log-level", "error"])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
        assert!(
            said.contains("Permission denied") && said.contains("make the data directory writable"),
            "{said}"
        );
    }

    #[test]
    fn a_directory_that_becomes_read_only_under_way_loses_nothing() {
        let Some(home) = home() else { return };
        let home = home.path();
        let daemon = start(home);
        let pauses = || events(home).iter().filter(|event| event["kind"] == "pause").count();
        until("a pause", || (pauses() >= 1).then_some(()));
        mode(&home.join("data"), 0o500);
        let before = pauses();
        until("two pauses more", || (pauses() >= before + 2).then_some(()));
        let mut ids: Vec<u64> = events(home).iter().map(|event| event["id"].as_u64().unwrap()).collect();
        ids.sort_unstable();
        assert_eq!(ids, (1..=ids.len() as u64).collect::<Vec<_>>(), "no number is missing");
        mode(&home.join("data"), 0o700);
        drop(daemon);
    }

    #[test]
    fn on_a_read_only_file_system_it_does_not_start_and_says_what_to_do_in_one_line() {
        let Some(mount) = crate::mount::Mount::new() else { return };
        let remount = Command::new("mount").args(["-o", "remount,ro"]).arg(mount.path()).status();
        assert!(remount.is_ok_and(|status| status.success()));
        let arguments = [
            "daemon",
            "--source",
            "simulate:calm",
            "--log-level",
            "error",
            "--data-dir",
            mount.path().to_str().unwrap(),
        ];
        let run = Program::new().run(&arguments);
        assert_eq!((run.code, run.stderr.lines().count()), (1, 1), "{}", run.stderr);
        assert!(run.stderr.contains("Read-only file system"), "{}", run.stderr);
        assert!(run.stderr.contains("use another --data-dir"), "{}", run.stderr);
    }
}
