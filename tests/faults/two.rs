//! Two daemons: on one directory exactly one runs, and the other disturbs nothing.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rusqlite::Connection;

use crate::daemon::{Daemon, PATIENCE, is, signal, until};
use crate::http::{address, get};
use crate::program::Program;

const NONE: [&str; 0] = [];
const CALM: [&str; 2] = ["--source", "simulate:calm"];
/// An episode that goes on for as long as anybody looks.
const OPEN: [&str; 4] = ["--source", "simulate:thrash", "--speed", "20"];
const STAYS_OPEN: &str = "[tiers]\ndeescalation = \"1m\"\n";

/// How often two are started together. `PAUSE_MONITOR_STARTS` says otherwise.
fn starts() -> u32 {
    std::env::var("PAUSE_MONITOR_STARTS").map_or(50, |text| text.parse().unwrap())
}

/// A daemon started on a directory by hand, killed with the fixture.
struct Rival(Child);

impl Rival {
    fn start(mut command: Command) -> Self {
        Self(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn pid(&self) -> i32 {
        self.0.id().cast_signed()
    }

    fn ended(&mut self) -> Option<i32> {
        self.0.try_wait().unwrap().map(|status| status.code().unwrap_or(-1))
    }

    /// What it said, to its end.
    fn said(&mut self) -> String {
        let mut text = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Rival {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(program: &Program, data: &Path) -> Command {
    let mut arguments = vec!["daemon", "--log-level", "error", "--data-dir", data.to_str().unwrap()];
    arguments.extend(CALM);
    program.command(&arguments)
}

#[test]
fn of_two_that_are_started_together_exactly_one_wins_whatever_the_last_left_behind() {
    let program = Program::new();
    let data = program.home().join("data");
    let status = || program.run(&["status", "--data-dir", data.to_str().unwrap()]).code;
    for round in 0..starts() {
        let mut rivals = [command(&program, &data), command(&program, &data)].map(Rival::start);
        let loser = until("the end of one", || rivals.iter_mut().position(|rival| rival.ended().is_some()));
        rivals.rotate_left(loser);
        let [mut loser, mut winner] = rivals;
        let said = loser.said();
        assert_eq!((loser.ended(), said.lines().count()), (Some(5), 1), "round {round}: {said}");
        // Who is asked just when the other begins may not know its number yet, and then says none.
        let [plain, named] = [String::new(), format!(" (pid {})", winner.pid())].map(|who| {
            format!("pause-monitor: a daemon{who} is already running on {}: stop it first, or use another --data-dir\n", data.display())
        });
        assert!(said == plain || said == named, "round {round}: {said}");
        until("the winner's samples", || (status() == 0).then_some(()));
        assert_eq!(winner.ended(), None, "round {round}");
        // Every other one leaves its lock and its socket behind.
        let (how, code) = if round % 2 == 0 { (libc::SIGKILL, -1) } else { (libc::SIGTERM, 0) };
        assert!(signal(winner.pid(), how));
        assert_eq!(until("its end", || winner.ended()), code, "round {round}");
        assert_eq!(data.join("daemon.lock").exists(), how == libc::SIGKILL);
    }
    let database = Connection::open(data.join("data.db")).unwrap();
    let runs: u32 = database.query_row("SELECT count(*) FROM runs", [], |row| row.get(0)).unwrap();
    assert_eq!(runs, starts(), "the losers wrote nothing");
}

/// Device and inode of what a daemon has in its directory.
fn identities(data: &Path) -> Vec<(u64, u64)> {
    let files = ["daemon.lock", "daemon.sock", "data.db", "data.db-wal"].map(|name| data.join(name));
    files
        .iter()
        .map(|file| fs::symlink_metadata(file).unwrap())
        .map(|data| (data.dev(), data.ino()))
        .collect()
}

#[test]
fn a_second_one_disturbs_neither_the_socket_nor_the_database_of_the_first() {
    let mut daemon = Daemon::start(Program::new(), STAYS_OPEN, &OPEN);
    let open = daemon.wait_for_event("an open episode", |event| event["open"] == true);
    let mut stream = daemon.stream();
    let mut last = stream.find("a sample", |line| is(line, "sample"))["seq"].as_u64().unwrap();
    let before = identities(&daemon.data_dir());
    for _ in 0..3 {
        assert_eq!(daemon.run("daemon", &CALM).code, 5);
    }
    assert_eq!(identities(&daemon.data_dir()), before);
    for _ in 0..100 {
        let line = stream.next().unwrap();
        assert!(!is(&line, "lagged"), "{line}");
        if is(&line, "sample") {
            assert_eq!(line["seq"], last + 1);
            last += 1;
        }
    }
    let same = daemon.events().into_iter().find(|event| event["id"] == open["id"]).unwrap();
    assert_eq!((&same["open"], &same["interrupted"]), (&true.into(), &serde_json::Value::Null));
    daemon.stop(libc::SIGTERM);
}

#[test]
fn on_another_directory_with_the_same_port_the_second_ends_in_one_line_and_leaves_nothing() {
    let daemon = Daemon::start(Program::new(), "", &CALM);
    let taken = address(&daemon);
    let other = Program::new();
    let mut arguments = vec!["daemon", "--data-dir", "elsewhere", "--log-level", "error"];
    arguments.extend(CALM.iter().chain(&["--web.listen-address", taken.as_str()]));
    let mut second = Rival::start(other.command(&arguments));
    let code = until("the second one's end", || second.ended());
    let said = second.said();
    assert_eq!((code, said.lines().count()), (1, 1), "{said}");
    assert!(said.contains(&format!("{taken} is in use: end what listens there")), "{said}");
    let left = fs::read_dir(other.home().join("elsewhere")).unwrap();
    assert_eq!(left.map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>(), [""; 0]);
    assert_eq!(get(&daemon, "/healthz").status, 200);
}

#[test]
fn what_a_killed_one_had_started_keeps_no_lock() {
    let program = Program::new();
    let pids = program.home().join("pids");
    let script = format!("echo $$ >> {}; exec sleep 300", pids.display());
    let hook = format!(
        "[[hooks]]\nname = \"h\"\non = [\"elevated\"]\ntimeout = \"5m\"\ncommand = [\"sh\", \"-c\", \"{script}\"]\n"
    );
    let mut daemon = Daemon::start(program, &hook, &OPEN);
    let hangs: i32 =
        daemon.until("a hook that hangs", || fs::read_to_string(&pids).ok()?.trim().parse().ok());
    daemon.kill();
    assert!(signal(hangs, 0), "it goes on");
    daemon.restart(&CALM);
    daemon.until("the next one's samples", || (daemon.run("status", &NONE).code == 0).then_some(()));
    assert!(signal(hangs, libc::SIGKILL));
}

#[test]
fn whoever_deletes_the_directory_under_a_daemon_gets_a_new_one_in_which_it_can_be_asked() {
    let mut daemon = Daemon::start(Program::new(), STAYS_OPEN, &OPEN);
    let open = daemon.wait_for_event("an open episode", |event| event["open"] == true);
    let mut stream = daemon.stream();
    stream.find("a connection", |line| is(line, "hello"));
    let data = daemon.data_dir();
    // It may put something there meanwhile.
    until("the directory's end", || fs::remove_dir_all(&data).ok());
    daemon.wait_for_log("lock and socket were made anew");
    assert_eq!(fs::metadata(&data).unwrap().mode() & 0o777, 0o700);
    daemon.until("its samples", || (daemon.run("status", &NONE).code == 0).then_some(()));
    assert_eq!(daemon.run("daemon", &CALM).code, 5, "it is locked again");
    let again =
        daemon.wait_for_event("the episode in the new file", |event| event["incident"] == open["incident"]);
    assert_eq!(again["open"], true, "{again}");
    stream.find("a sample, on the old connection", |line| is(line, "sample"));
    daemon.stop(libc::SIGTERM);
    assert!(!data.join("daemon.sock").exists() && !data.join("daemon.lock").exists());
}

#[test]
fn a_socket_that_was_deleted_is_made_anew() {
    let daemon = Daemon::start(Program::new(), "", &CALM);
    daemon.until("its samples", || (daemon.run("status", &NONE).code == 0).then_some(()));
    fs::remove_file(daemon.socket()).unwrap();
    daemon.until("its samples again", || (daemon.run("status", &NONE).code == 0).then_some(()));
}

#[test]
fn a_daemon_that_comes_while_the_directory_is_gone_keeps_it_and_the_first_one_ends() {
    let mut first = Daemon::start(Program::new(), STAYS_OPEN, &OPEN);
    first.wait_for_event("an open episode", |event| event["open"] == true);
    let data = first.data_dir();
    // It can't look while it is stopped, and so can't be faster.
    first.signal(libc::SIGSTOP);
    fs::rename(&data, data.with_extension("old")).unwrap();
    let mut arguments = vec!["--log-level", "error"];
    arguments.extend(OPEN);
    let mut second = Rival::start(first.command("daemon", &arguments));
    let theirs = first.wait_for_event("the second one's episode", |event| event["open"] == true);
    first.signal(libc::SIGCONT);
    assert_eq!(first.wait(), 5, "{}", first.log());
    let last = first.log().lines().last().unwrap().to_owned();
    let expected = format!(
        "pause-monitor: another daemon (pid {}) runs on {}, which was deleted or replaced under this one: this one has ended",
        second.pid(),
        data.display()
    );
    assert_eq!(last, expected);
    assert_eq!(second.ended(), None);
    assert_eq!(first.run("status", &NONE).code, 0, "its socket is there");
    assert_eq!(first.run("daemon", &CALM).code, 5, "its lock is there");
    let same = first.events().into_iter().find(|event| event["incident"] == theirs["incident"]).unwrap();
    assert_eq!((&same["interrupted"], &same["id"]), (&serde_json::Value::Null, &theirs["id"]), "{same}");
    let database = Connection::open(data.join("data.db")).unwrap();
    database.busy_timeout(PATIENCE).unwrap();
    let dead = "SELECT count(*) FROM runs WHERE ended_at IS NOT NULL";
    assert_eq!(database.query_row(dead, [], |row| row.get::<_, i64>(0)).unwrap(), 0, "its run goes on");
    assert!(signal(second.pid(), libc::SIGTERM));
    assert_eq!(until("its end", || second.ended()), 0);
}
