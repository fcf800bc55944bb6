//! What is held up: a daemon with its source, and what it tells of it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::daemon::{Daemon, PATIENCE, Stream, is};
use crate::kernel::{Thread, members};
use crate::program::Program;
use crate::stand_in::StandIn;
use crate::ways::Truth;

/// After so long every gap is judged.
const JUDGED_WITHIN: Duration = Duration::from_millis(2_500);

/// Where samples come from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Source {
    /// This machine's kernel, read by the daemon itself.
    Linux,
    /// A process of its own: the stand-in for powermetrics.
    Sampler,
}

/// A daemon that knows what to expect of its source. One at a time: they would disturb each other.
pub(crate) struct Subject {
    pub(crate) daemon: Daemon,
    stream: Stream,
    pub(crate) heartbeat: Thread,
    stand_in: Option<StandIn>,
    _alone: MutexGuard<'static, ()>,
}

impl Subject {
    pub(crate) fn start(source: Source) -> Self {
        Self::start_with(source, |program| program)
    }

    /// The same with more in the program's environment.
    pub(crate) fn start_with(source: Source, with: impl Fn(Program) -> Program) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let (daemon, stand_in) = match source {
            Source::Linux => (Daemon::start(with(Program::new()), "", &["--source", "linux"]), None),
            Source::Sampler => {
                let stand_in = StandIn::new("none");
                let none: [&str; 0] = [];
                let program = with(stand_in.program());
                (Daemon::start(program, &stand_in.config(36_000), &none), Some(stand_in))
            }
        };
        let mut stream = daemon.stream();
        stream.find("enough samples", |line| is(line, "sample") && line["seq"].as_u64() >= Some(30));
        let heartbeat = Thread::find(daemon.pid(), "heartbeat").unwrap();
        Self { daemon, stream, heartbeat, stand_in, _alone: alone }
    }

    /// The processes that sample for it; none where it does so itself.
    pub(crate) fn sampler(&self) -> Vec<i32> {
        self.stand_in.iter().flat_map(|stand_in| members(stand_in.starts()[0])).collect()
    }

    /// All of its processes.
    pub(crate) fn both(&self) -> Vec<i32> {
        [vec![self.daemon.pid()], self.sampler()].concat()
    }

    /// The gap that it tells of a hold-up that began then; its event is on record the same.
    pub(crate) fn gap(&mut self, truth: &Truth, since: jiff::Timestamp) -> Value {
        // Others are the machine's own: it has more to do.
        let least_ms = truth.least_ms * 0.6;
        let deadline = Instant::now() + PATIENCE;
        let mut others = Vec::new();
        let gap = loop {
            let line = self.stream.next().unwrap();
            if is(&line, "gap")
                && line["duration_ms"].as_f64() > Some(least_ms)
                && time(&line["time"]) > since
            {
                break line;
            }
            others.extend(is(&line, "gap").then_some(line));
            assert!(Instant::now() < deadline, "nothing was told of {truth:?}, but {others:#?}");
        };
        let event = self.daemon.wait_for_event("the gap's event", |event| event["id"] == gap["event"]);
        assert_eq!((&event["verdict"], &event["certain"]), (&gap["verdict"], &gap["certain"]));
        let stored_ms = event["duration_s"].as_f64().unwrap() * 1e3;
        assert!((stored_ms - gap["duration_ms"].as_f64().unwrap()).abs() < 1.0, "{event}");
        gap
    }

    /// The gaps that it tells of a hold-up that began then and is over: the kernel lets nobody have a processor for
    /// longer than a second without a moment for others, which may end a gap.
    pub(crate) fn gaps(&mut self, since: jiff::Timestamp) -> Vec<Value> {
        let until = jiff::Timestamp::now() + JUDGED_WITHIN;
        let mut gaps = Vec::new();
        loop {
            let line = self.stream.next().unwrap();
            if is(&line, "gap") && time(&line["time"]) > since {
                gaps.push(line);
            } else if is(&line, "sample") && time(&line["time"]) > until {
                return gaps;
            }
        }
    }

    /// When it gives its sampler up.
    pub(crate) fn given_up(&mut self) -> jiff::Timestamp {
        let is_restart = |line: &Value| is(line, "source") && line["state"] == "restarting";
        time(&self.stream.find("another sampler", is_restart)["time"])
    }

    /// Ends it, and its sampler with it.
    pub(crate) fn end(mut self) {
        self.daemon.kill();
        self.stand_in.iter().for_each(StandIn::wait_until_gone);
    }

    /// Reads on for so many samples: those, and the gaps among them.
    pub(crate) fn live(&mut self, count: usize) -> (Vec<Value>, Vec<Value>) {
        let (mut samples, mut gaps) = (Vec::new(), Vec::new());
        while samples.len() < count {
            let line = self.stream.next().unwrap();
            if is(&line, "gap") {
                gaps.push(line);
            } else if is(&line, "sample") {
                samples.push(line);
            }
        }
        (samples, gaps)
    }
}

/// A time as the stream has it.
pub(crate) fn time(text: &Value) -> jiff::Timestamp {
    text.as_str().unwrap().parse().unwrap()
}
