//! A real collector, rotel (`pip install --pre rotel`): what it prints of what it received.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::daemon::{Daemon, until};
use crate::exporting::{CALM, config, ids, outbox_spans, times, wait_until_exported};
use crate::port::nowhere;
use crate::program::Program;

/// Names the program; else it is looked for on the PATH.
const VARIABLE: &str = "PAUSE_MONITOR_ROTEL";

/// Where it is; `None`, and a line that says so, where there is none and none is demanded.
fn program() -> Option<PathBuf> {
    let named = std::env::var_os(VARIABLE).map(PathBuf::from);
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = named.or_else(|| {
        std::env::split_paths(&paths).map(|path| path.join("rotel-agent")).find(|path| path.is_file())
    });
    if found.is_none() {
        assert!(
            std::env::var_os("PAUSE_MONITOR_REQUIRE_PEERS").is_none(),
            "rotel-agent is neither named by {VARIABLE} nor on the PATH: pip install --pre rotel"
        );
        eprintln!("passed over: there is no rotel-agent ({VARIABLE}, or the PATH)");
    }
    found
}

/// A running rotel that takes everything and prints it.
struct Rotel {
    child: Child,
    log: PathBuf,
}

impl Rotel {
    fn start(program: &Path, directory: &Path, grpc: SocketAddr, http: SocketAddr) -> Self {
        let log = directory.join(format!("rotel-{}.log", grpc.port()));
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let child = Command::new(program)
            .args(["start", "--exporter", "blackhole"])
            .args(["--debug-log", "traces", "--debug-log-verbosity", "detailed"])
            .args(["--otlp-grpc-endpoint", &grpc.to_string(), "--otlp-http-endpoint", &http.to_string()])
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// The spans printed so far: of each name, id, parent, start and end.
    fn spans(&self) -> Vec<Printed> {
        let text = String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned();
        // The last may not be printed to its end yet.
        text.split("\nSpan #").skip(1).filter_map(Printed::read).collect()
    }
}

impl Drop for Rotel {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A span as rotel prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Printed {
    trace: String,
    parent: String,
    id: String,
    name: String,
    times: (u64, u64),
    event: i64,
    /// Names of the span events, counted.
    events: BTreeMap<String, usize>,
}

impl Printed {
    fn read(text: &str) -> Option<Self> {
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(name))?;
            Some(line.trim().trim_start_matches(':').trim().to_owned())
        };
        let event = field("-> pause_monitor.event.id: Int(")?;
        let mut events = BTreeMap::new();
        for name in text.lines().filter_map(|line| line.trim().strip_prefix("-> Name: ")) {
            *events.entry(name.to_owned()).or_default() += 1;
        }
        Some(Self {
            trace: field("Trace ID")?,
            parent: field("Parent ID")?,
            id: field("ID  ")?,
            name: field("Name  ")?,
            times: (field("Start time:")?.parse().ok()?, field("End time:")?.parse().ok()?),
            event: event.trim_end_matches(')').parse().ok()?,
            events,
        })
    }
}

/// An episode, and the pause in it, as they are on record.
fn check(daemon: &Daemon, spans: &[Printed]) {
    let pause = spans.iter().find(|span| span.name == "pause").unwrap();
    let episode = spans.iter().find(|span| span.id == pause.parent).unwrap();
    assert_eq!((episode.name.as_str(), episode.parent.as_str()), ("episode", ""));
    assert_eq!(episode.trace, pause.trace);
    for span in [pause, episode] {
        assert_eq!(span.times, times(daemon, span.event), "{span:?}");
    }
    assert_eq!(pause.events, BTreeMap::from([("pause".to_owned(), 1)]));
    assert_eq!(episode.events, BTreeMap::from([("pause".to_owned(), 1), ("tier".to_owned(), 4)]));
}

#[test]
fn a_real_collector_gets_every_span_though_it_was_away_and_the_daemon_was_killed() {
    let Some(program) = program() else { return };
    for protocol in ["http/protobuf", "grpc"] {
        let directory = tempfile::tempdir().unwrap();
        let (grpc, http) = (nowhere(), nowhere());
        let to = if protocol == "grpc" { grpc } else { http };
        let rotel = Rotel::start(&program, directory.path(), grpc, http);
        let freeze = ["--source", "simulate:freeze", "--speed", "20"];
        let mut daemon = Daemon::start(Program::new(), &config(protocol, to), &freeze);
        until("a pause and its episode at rotel", || {
            let spans = rotel.spans();
            let parents: Vec<_> = spans.iter().map(|span| &span.parent).collect();
            spans.iter().any(|span| parents.contains(&&span.id)).then_some(())
        });
        // It goes away; more happens, and the daemon is killed.
        let log = rotel.log.clone();
        drop(rotel);
        daemon.until("spans that wait", || (outbox_spans(&daemon) >= 4).then_some(()));
        daemon.restart(&CALM);
        let rotel = Rotel::start(&program, directory.path(), grpc, http);
        assert_eq!(rotel.log, log, "it goes on in the same log");
        wait_until_exported(&daemon);
        let all = ids(&daemon);
        let arrived = until("every event at rotel", || {
            let spans = rotel.spans();
            all.iter().all(|id| spans.iter().any(|span| span.event == *id)).then_some(spans)
        });
        check(&daemon, &arrived);
        // What came twice, if anything did, was the same span.
        for span in &arrived {
            assert!(arrived.iter().filter(|other| other.event == span.event).all(|other| other == span));
        }
    }
}
