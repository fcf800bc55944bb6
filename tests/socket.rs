//! The daemon's socket from outside: what it says, to whom, and that no client holds another up.

// clippy.toml allows it in tests only, and takes this for none.
#![allow(clippy::unwrap_used)]

#[path = "support/again.rs"]
mod again;
#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/http.rs"]
mod http;
#[path = "support/keys.rs"]
mod keys;
#[path = "support/program.rs"]
mod program;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use again::Again;
use daemon::{Daemon, PATIENCE, is};
use http::{scrape, series};
use keys::Keys;
use program::Program;

const NONE: [&str; 0] = [];

/// SPEC, section 9.
const SAMPLE_KEYS: [&str; 13] = [
    "type",
    "seq",
    "time",
    "interval_ms",
    "elapsed_ms",
    "expected_ms",
    "latency_ratio",
    "heartbeat_ms",
    "tier",
    "degraded",
    "stress",
    "metrics",
    "top",
];
const STRESS_KEYS: [&str; 9] =
    ["total", "load", "memory", "thermal", "latency", "io", "gpu", "wakeups", "pageins"];
const METRICS_KEYS: [&str; 17] = [
    "load_avg",
    "cores",
    "memory_available_pct",
    "swap_used_bytes",
    "thermal_pressure",
    "cpu_power_mw",
    "gpu_power_mw",
    "ane_power_mw",
    "combined_power_mw",
    "gpu_busy_pct",
    "io_read_per_s",
    "io_write_per_s",
    "cpu_ms_per_s",
    "idle_wakeups_per_s",
    "intr_wakeups_per_s",
    "wakeups_kind",
    "pageins_per_s",
];

/// A client with a socket of its own.
struct Client(BufReader<UnixStream>);

impl Client {
    fn connect(daemon: &Daemon) -> Self {
        let stream = daemon.until("a connection", || UnixStream::connect(daemon.socket()).ok());
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(stream))
    }

    /// The next line as it was sent.
    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.0.read_line(&mut line).unwrap() > 0, "the daemon closed the connection");
        line
    }

    fn next(&mut self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    /// Reads on to a line that is so.
    fn find(&mut self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.next();
            if is_so(&line) {
                return line;
            }
            assert!(Instant::now() < deadline, "in {PATIENCE:?} there was not: {what}");
        }
    }
}

fn keys(line: &str) -> Vec<String> {
    serde_json::from_str::<Keys>(line).unwrap().0
}

/// A recording of so many samples at fifty times its speed: cheaper to read than a simulation.
fn fast(samples: u64) -> Daemon {
    let program = Program::new();
    let path = program.home().join("fast.jsonl");
    let process = |number| format!(r#"{{"pid":{number},"name":"{}","value":{number}}}"#, "x".repeat(100));
    let top: Vec<String> = (100..105).map(process).collect();
    let top = format!(r#""top":{{"cpu":[{0}],"diskio":[{0}]}}"#, top.join(","));
    let lines =
        (1..=samples).map(|seq| format!("{{\"type\":\"sample\",\"seq\":{seq},\"elapsed_ms\":100,{top}}}\n"));
    std::fs::write(&path, lines.collect::<String>()).unwrap();
    Daemon::start(program, "", &["--source", &format!("replay:{}", path.display()), "--speed", "50"])
}

/// A simulation of that name and pace.
fn simulate(scenario: &str, speed: &str) -> Daemon {
    Daemon::start(Program::new(), "", &["--source", &format!("simulate:{scenario}"), "--speed", speed])
}

#[test]
fn a_hello_with_ring_and_thresholds_comes_first() {
    let config = "[tiers]\nelevated = 20\ncritical = 60\n[ring]\nseconds = 10\n";
    let daemon = Daemon::start(Program::new(), config, &["--source", "simulate:calm", "--speed", "20"]);
    daemon.stream().find("a hundred samples", |line| line["seq"].as_u64() >= Some(130));
    let line = Client::connect(&daemon).line();
    assert_eq!(
        keys(&line),
        [
            "type",
            "protocol",
            "version",
            "source",
            "host",
            "interval_ms",
            "cores",
            "thresholds",
            "gaps",
            "ring"
        ]
    );
    let hello: Value = serde_json::from_str(&line).unwrap();
    assert!(is(&hello, "hello"));
    assert_eq!(hello["gaps"], serde_json::json!([]));
    assert_eq!((&hello["protocol"], &hello["source"]), (&1.into(), &"simulate".into()));
    assert_eq!(hello["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(hello["thresholds"], serde_json::json!({"elevated": 20, "critical": 60}));
    assert_eq!(hello["interval_ms"], 100.0);
    assert!(hello["cores"].as_u64().unwrap() >= 1);
    let ring = hello["ring"].as_array().unwrap();
    let seconds: f64 = ring.iter().map(|sample| sample["elapsed_ms"].as_f64().unwrap() / 1e3).sum();
    assert!((9.5..=10.0).contains(&seconds), "ring.seconds, and not {seconds}");
    let seqs: Vec<u64> = ring.iter().map(|sample| sample["seq"].as_u64().unwrap()).collect();
    assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1), "{seqs:?}");
}

#[test]
fn a_ring_goes_up_to_now_though_nobody_waited_for_its_samples() {
    let daemon = simulate("calm", "1");
    let seen = |at_least: f64| {
        let count = series(&scrape(&daemon))["pause_monitor_samples_total{state=\"complete\"}"];
        (count >= at_least).then_some(count as u64)
    };
    let ring = |hello: &Value| -> Vec<u64> {
        hello["ring"].as_array().unwrap().iter().map(|sample| sample["seq"].as_u64().unwrap()).collect()
    };
    let mut clients = Vec::new();
    // Nobody, then one, then two are connected while samples come; then nobody again.
    for round in 1..=3 {
        let seen = daemon.until("some more samples", || seen(f64::from(round) * 7.0));
        let mut client = Client::connect(&daemon);
        let hello = ring(&client.next());
        assert!(hello.last() >= Some(&seen), "{seen} had come before, and {hello:?} are told");
        assert_eq!(hello[0], 1, "half a minute is not over");
        assert!(hello.windows(2).all(|pair| pair[1] == pair[0] + 1), "{hello:?}");
        assert_eq!(client.next()["seq"].as_u64(), Some(hello.len() as u64 + 1), "it goes on there");
        clients.push(client);
    }
    drop(clients);
    let seen = daemon.until("samples that nobody waits for", || seen(35.0));
    let hello = ring(&Client::connect(&daemon).next());
    assert!(hello.last() >= Some(&seen) && hello.len() as u64 == *hello.last().unwrap(), "{hello:?}");
}

#[test]
fn samples_go_on_where_the_ring_ends() {
    let daemon = simulate("calm", "20");
    let mut client = Client::connect(&daemon);
    let hello = client.next();
    let last = hello["ring"].as_array().unwrap().last().map(|sample| sample["seq"].as_u64().unwrap());
    let mut before = last;
    for _ in 0..20 {
        let sample = client.find("a sample", |line| is(line, "sample"));
        let seq = sample["seq"].as_u64().unwrap();
        assert!(before.is_none_or(|before| seq == before + 1), "{before:?} then {seq}");
        before = Some(seq);
    }
}

#[test]
fn a_sample_has_every_key_of_the_contract_in_its_order() {
    for (source, host) in [("simulate:thrash", false), ("linux", true)] {
        if host && !cfg!(target_os = "linux") {
            continue;
        }
        let daemon = Daemon::start(Program::new(), "", &["--source", source]);
        let mut client = Client::connect(&daemon);
        client.find("a sample", |line| is(line, "sample"));
        let line = loop {
            let line = client.line();
            if line.starts_with(r#"{"type":"sample""#) {
                break line;
            }
        };
        assert_eq!(keys(&line), SAMPLE_KEYS, "{source}");
        let sample: Value = serde_json::from_str(&line).unwrap();
        for (part, expected) in [("stress", &STRESS_KEYS[..]), ("metrics", &METRICS_KEYS)] {
            // The order is the text's own: a Value does not keep it.
            let text = line.split_once(&format!("\"{part}\":")).unwrap().1;
            let object = &text[..=text.find('}').unwrap()];
            assert_eq!(keys(object), expected, "{source}: {part}");
        }
        assert!(line.contains(r#""top":{"cpu":["#), "{line}");
        for list in ["cpu", "pageins", "wakeups", "diskio"] {
            let values: Vec<f64> = sample["top"][list]
                .as_array()
                .unwrap()
                .iter()
                .map(|process| {
                    assert!(process["pid"].is_i64() && process["name"].is_string(), "{process}");
                    process["value"].as_f64().unwrap()
                })
                .collect();
            assert!(values.len() <= 5 && values.iter().all(|value| *value > 0.0), "{list}: {values:?}");
            assert!(values.is_sorted_by(|before, after| before >= after), "{list}: {values:?}");
        }
        let metrics = &sample["metrics"];
        // A simulation takes nothing from the machine it runs on.
        for name in ["load_avg", "memory_available_pct", "swap_used_bytes"] {
            assert_eq!(metrics[name].is_number(), host, "{source}: {name} is {}", metrics[name]);
        }
        assert_eq!(sample["heartbeat_ms"].is_number(), host, "a recording has no heartbeat");
        assert_eq!(sample["interval_ms"].is_number(), host, "it has arrival intervals in life only");
    }
}

#[test]
fn ten_samples_come_in_a_second_of_the_daemons_own_clock() {
    let daemon = simulate("calm", "1");
    let mut client = Client::connect(&daemon);
    client.find("a sample", |line| is(line, "sample"));
    let begin = Instant::now();
    let mut story_ms = 0.0;
    for _ in 0..20 {
        story_ms += client.find("a sample", |line| is(line, "sample"))["elapsed_ms"].as_f64().unwrap();
    }
    // Never faster than its story; how much slower is the machine's business. One sample may have waited.
    let real_ms = begin.elapsed().as_secs_f64() * 1e3;
    assert!((2_000.0..2_600.0).contains(&story_ms), "{story_ms}");
    assert!(real_ms > story_ms - 400.0, "{real_ms} ms for {story_ms} ms of the story");
}

#[test]
fn tier_changes_and_gaps_are_told_with_their_events() {
    let daemon = simulate("freeze", "10");
    let mut client = Client::connect(&daemon);
    let tier = loop {
        let line = client.line();
        if line.starts_with(r#"{"type":"tier""#) {
            break line;
        }
    };
    assert_eq!(keys(&tier), ["type", "time", "from", "to", "stress", "event"]);
    let tier: Value = serde_json::from_str(&tier).unwrap();
    assert_eq!((&tier["from"], &tier["to"]), (&"sentinel".into(), &"elevated".into()));
    assert!(tier["stress"].as_u64().unwrap() >= 15);
    let gap = loop {
        let line = client.line();
        if line.starts_with(r#"{"type":"gap""#) {
            break line;
        }
    };
    assert_eq!(keys(&gap), ["type", "time", "verdict", "certain", "duration_ms", "event", "culprits"]);
    let gap: Value = serde_json::from_str(&gap).unwrap();
    assert_eq!((&gap["verdict"], &gap["certain"]), (&"pause".into(), &true.into()));
    assert_eq!(gap["culprits"][0]["name"], "fileproviderd");
    let mut later: Value = serde_json::from_str(&Client::connect(&daemon).line()).unwrap();
    let mut again = later["gaps"].as_array_mut().unwrap().remove(0);
    again["type"] = "gap".into();
    assert_eq!(again, gap, "who connects after it has it, too");
    let stored = daemon.wait_for_event("the pause", |event| event["kind"] == "pause");
    assert_eq!(stored["id"], gap["event"]);
    let [stored_ms, told_ms] =
        [stored["duration_s"].as_f64().unwrap() * 1e3, gap["duration_ms"].as_f64().unwrap()];
    assert!((stored_ms - told_ms).abs() < 0.002, "{stored_ms} and {told_ms}");
    let episode = daemon.wait_for_event("the episode", |event| event["id"] == tier["event"]);
    assert_eq!(episode["kind"], "episode");
}

#[test]
fn a_second_daemon_on_the_directory_is_told_who_runs() {
    let mut daemon = simulate("calm", "1");
    daemon.until("the socket", || daemon.socket().exists().then_some(()));
    let run = daemon.run("daemon", &["--source", "simulate:calm", "--log-level", "error"]);
    assert_eq!((run.code, run.stdout.as_str()), (5, ""));
    assert_eq!(
        run.stderr,
        format!(
            "pause-monitor: a daemon (pid {}) is already running on {}: stop it first, or use another --data-dir\n",
            daemon.pid(),
            daemon.data_dir().display()
        )
    );
    // The first one does not notice.
    assert_eq!(daemon.run("status", &NONE).code, 0);
    daemon.stop(libc::SIGTERM);
    assert!(!daemon.socket().exists() && !daemon.data_dir().join("daemon.lock").exists());
}

#[test]
fn what_a_killed_daemon_left_behind_is_no_obstacle() {
    let mut daemon = simulate("calm", "1");
    daemon.stream().find("a sample", |line| is(line, "sample"));
    daemon.kill();
    assert!(daemon.socket().exists() && daemon.data_dir().join("daemon.lock").exists());
    assert_eq!(daemon.run("status", &NONE).code, 4, "nobody listens there");
    // The next one starts, serves and ends in the same directory.
    let next = Again::start(&daemon, &["--source", "simulate:calm"]);
    daemon.until("a status", || (daemon.run("status", &NONE).code == 0).then_some(()));
    assert_eq!(next.stop(), Some(0));
    assert!(!daemon.socket().exists() && !daemon.data_dir().join("daemon.lock").exists());
}

#[test]
fn the_socket_and_its_directory_are_the_owners_alone() {
    let daemon = simulate("calm", "1");
    daemon.stream().find("a sample", |line| is(line, "sample"));
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&daemon.data_dir()), 0o700);
    for name in ["daemon.sock", "daemon.lock", "data.db"] {
        assert_eq!(mode(&daemon.data_dir().join(name)), 0o600, "{name}");
    }
}

#[test]
fn a_directory_whose_name_is_too_long_for_a_socket_is_told_in_one_line() {
    let program = Program::new();
    let long = program.home().join("x".repeat(120));
    let arguments = ["daemon", "--source", "simulate:calm", "--log-level", "error", "--data-dir"];
    let arguments: Vec<&str> = arguments.into_iter().chain([long.to_str().unwrap()]).collect();
    let run = program.run(&arguments);
    assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{}", run.stderr);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    assert!(
        run.stderr.contains("bytes long") && run.stderr.contains("use a shorter --data-dir"),
        "{}",
        run.stderr
    );
    assert!(!long.join("daemon.lock").exists(), "the lock goes with the daemon");
}

#[test]
fn clients_that_come_half_read_talk_and_vanish_disturb_nobody() {
    let mut daemon = simulate("calm", "5");
    let mut steady = Client::connect(&daemon);
    let first = steady.find("a sample", |line| is(line, "sample"))["seq"].as_u64().unwrap();
    for number in 0..50 {
        let mut client = UnixStream::connect(daemon.socket()).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        match number % 3 {
            0 => {}
            1 => client.read_exact(&mut [0; 100]).unwrap(),
            // The daemon may have let it go already: what it says is not for us.
            _ => drop(client.write_all(&[b'x'; 1000])),
        }
    }
    for seq in first + 1..first + 60 {
        assert_eq!(steady.find("a sample", |line| is(line, "sample"))["seq"], seq);
    }
    assert_eq!(daemon.run("status", &NONE).code, 0);
    daemon.stop(libc::SIGTERM);
}

#[test]
fn a_client_that_never_reads_costs_little_and_is_told_what_it_missed() {
    let mut daemon = fast(30_000);
    let mut sleeper = Client::connect(&daemon);
    assert!(is(&sleeper.next(), "hello"));
    let mut steady = Client::connect(&daemon);
    let sample = |line: &Value| is(line, "sample");
    let first = steady.find("a sample", sample)["seq"].as_u64().unwrap();
    let reach = |client: &mut Client, seq: u64| {
        client.find("a later sample", |line| is(line, "sample") && line["seq"].as_u64().unwrap() >= seq);
    };
    // Its socket's buffer and its queue are full by then.
    reach(&mut steady, first + 1_000);
    let before = resident_kib(&daemon);
    reach(&mut steady, first + 4_000);
    let after = resident_kib(&daemon);
    if let (Some(before), Some(after)) = (before, after) {
        assert!(after < before + 8 * 1024, "{before} KiB, then {after} KiB");
        assert!(after < 64 * 1024, "{after} KiB");
    }
    // It wakes up: what was left out is told, and what follows is recent.
    let lagged = sleeper.find("lagged", |line| is(line, "lagged"));
    let dropped = lagged["dropped"].as_u64().unwrap();
    assert!(dropped > 1_000, "{dropped}");
    let newest = sleeper.find("a sample", sample)["seq"].as_u64().unwrap();
    assert!(newest > first + 2_000, "{newest} after {first}");
    daemon.stop(libc::SIGTERM);
}

/// The daemon's resident memory, where the system tells it in a file.
fn resident_kib(daemon: &Daemon) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok())
}

#[test]
fn the_daemon_ends_soon_though_a_client_does_not_read() {
    let mut daemon = fast(30_000);
    let sleeper = UnixStream::connect_addr(&daemon.until("the socket", || {
        let address = std::os::unix::net::SocketAddr::from_pathname(daemon.socket()).ok()?;
        daemon.socket().exists().then_some(address)
    }));
    let mut steady = Client::connect(&daemon);
    steady.find("many samples", |line| line["seq"].as_u64() >= Some(600));
    let begin = Instant::now();
    daemon.stop(libc::SIGTERM);
    assert!(begin.elapsed() < Duration::from_secs(30), "5 s are promised, and this machine may be busy");
    drop(sleeper);
}
