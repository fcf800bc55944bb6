//! The sampling thread: read, decode, engine, hand over. It waits for nothing but its source.

mod child;
#[cfg(target_os = "linux")]
mod own;
mod recorded;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::handover::{Handed, Outlet, SourceState};
use super::signals::Continued;
use crate::clock::{self, Stamp};
use crate::config::Scenario;
use crate::engine::{Engine, Settings};
use crate::event::{EventId, Notice};
use crate::heartbeat::Heartbeat;
use crate::output::metrics::Feed;
use crate::sample::{Reading, Reject, Sample, SourceInfo};
use crate::source::host::Host;
#[cfg(target_os = "linux")]
use crate::source::linux::ActivityReader;
use crate::source::replay::Speed;

/// Where samples come from, as the daemon was told.
#[derive(Clone, Debug)]
pub enum Plan {
    /// A supervised child.
    Powermetrics {
        /// The program and its arguments.
        command: Vec<String>,
        /// Go on without it where it can't start.
        allow_degraded: bool,
    },
    /// This machine's kernel.
    Linux,
    /// A recording; `-` is standard input.
    Replay(PathBuf, Speed),
    /// A simulation.
    Simulate(Scenario, Speed),
}

/// What the sampling thread is told.
#[derive(Debug)]
pub enum Command {
    /// New thresholds.
    Configure(Settings),
    /// Events up to here are taken.
    ReserveIds(EventId),
}

/// Why the source can't start: one line that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CantStart(pub String);

/// The thread, from outside.
#[derive(Debug)]
pub struct Sampling {
    /// Set to end it.
    stop: Arc<AtomicBool>,
    /// Told when it has started, or can't.
    pub started: Option<oneshot::Receiver<Result<(), CantStart>>>,
    /// Closed when it ends, whichever way.
    ended: watch::Receiver<()>,
    thread: JoinHandle<Option<String>>,
}

impl Sampling {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where the system gives no thread or signal handler.
    pub fn start(
        plan: Plan,
        engine: Engine,
        outlet: Outlet,
        feed: Feed,
        commands: Receiver<Command>,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (tell, started) = oneshot::channel();
        let (end, ended) = watch::channel(());
        let continued = Continued::listen()?;
        let thread = thread::Builder::new().name("sampling".into()).spawn({
            let stop = Arc::clone(&stop);
            move || {
                // Dropped at the end of the thread, by a panic too.
                let _end = end;
                clock::be_a_users_program();
                let sampler = Sampler {
                    engine,
                    outlet,
                    feed,
                    commands,
                    stop,
                    notices: Vec::with_capacity(16),
                    started: Some(tell),
                    continued,
                    fault: None,
                };
                sampler.run(plan)
            }
        })?;
        Ok(Self { stop, started: Some(started), ended, thread })
    }

    /// Asks it to end: open cases are decided and an open episode is closed.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Waits until it ends: it was asked to, the recording is over, or it failed.
    pub async fn ended(&mut self) {
        while self.ended.changed().await.is_ok() {}
    }

    /// What went wrong, where something did; to be asked once it has ended.
    #[must_use]
    pub fn fault(self) -> Option<String> {
        // Its last value is dropped an instant before the thread is gone: this waits for that instant.
        self.thread.join().unwrap_or_else(|_| {
            Some(
                "the sampling thread failed, which is a fault of this program: please report what it said"
                    .to_owned(),
            )
        })
    }
}

/// What all sources share.
struct Sampler {
    engine: Engine,
    outlet: Outlet,
    /// What is counted for the metrics; handed over once a tick.
    feed: Feed,
    commands: Receiver<Command>,
    stop: Arc<AtomicBool>,
    notices: Vec<Notice>,
    started: Option<oneshot::Sender<Result<(), CantStart>>>,
    continued: Continued,
    /// Why the source failed under way.
    fault: Option<String>,
}

impl Sampler {
    /// Runs to the end; why the source failed, where it did.
    fn run(mut self, plan: Plan) -> Option<String> {
        match plan {
            Plan::Powermetrics { command, allow_degraded } => match Live::new() {
                Ok(live) => child::run(&mut self, live, command, allow_degraded),
                Err(error) => self.cant_start(error.to_string()),
            },
            #[cfg(target_os = "linux")]
            Plan::Linux => own::run(&mut self),
            #[cfg(not(target_os = "linux"))]
            Plan::Linux => self.cant_start(
                "the source linux reads the Linux kernel's counters: use --source powermetrics here"
                    .to_owned(),
            ),
            Plan::Replay(path, speed) => recorded::replay(&mut self, &path, speed),
            Plan::Simulate(scenario, speed) => recorded::simulate(&mut self, scenario, speed),
        }
        self.outlet.wake();
        self.fault
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The source delivers, or is being done without.
    fn is_started(&mut self) {
        if let Some(started) = self.started.take() {
            // Nobody waits any more where the daemon is being stopped.
            let _ = started.send(Ok(()));
        }
    }

    /// The source can't start; the thread ends.
    fn cant_start(&mut self, why: String) {
        if let Some(started) = self.started.take() {
            let _ = started.send(Err(CantStart(why)));
        }
    }

    /// Does what it was told since the last tick.
    fn obey(&mut self) {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Configure(settings)) => {
                    self.engine.configure(&settings);
                    self.feed.totals.configure(&settings.tiers);
                }
                Ok(Command::ReserveIds(id)) => self.engine.reserve_ids(id),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
            }
        }
    }

    /// Hands over what the engine reported.
    fn tell(&mut self) {
        for notice in self.notices.drain(..) {
            self.feed.totals.notice(&notice);
            self.outlet.push(Handed::Notice(notice));
        }
    }

    /// Hands a sample over that came at `at`.
    fn deliver(&mut self, sample: Sample, at: &Stamp) {
        let at_ns = clock::awake_ns();
        self.feed.totals.sample(&sample, at.awake_ns, at_ns);
        self.outlet.push(Handed::Sample { sample, at_ns });
    }

    /// The end of a tick: the outputs and the metrics have what it brought.
    fn hand_over(&mut self) {
        self.tell();
        self.feed.publish();
        self.outlet.wake();
    }

    /// Hands over what became of the source.
    fn source(&mut self, state: SourceState, info: SourceInfo, detail: Option<String>) {
        self.feed.totals.info = info;
        let (at_ns, time_ns) = (clock::awake_ns(), clock::unix_ns());
        self.outlet.push(Handed::Source { at_ns, time_ns, state, info, detail });
        self.outlet.wake();
    }

    fn rejected(&mut self, reject: Reject) {
        self.feed.totals.rejected(reject);
        self.outlet.push(Handed::Rejected(reject));
    }

    /// Decides and closes what is open.
    fn finish(&mut self, at: &Stamp) {
        self.engine.finish(at, &mut self.notices);
        self.hand_over();
        // The last words are worth a moment where the outputs have fallen behind.
        for _ in 0..LAST_WORDS_MS {
            if self.outlet.has_room(0) {
                return;
            }
            thread::sleep(Duration::from_millis(1));
            self.outlet.wake();
        }
    }

    /// The source failed under way.
    fn failed(&mut self, why: String) {
        self.fault = Some(why);
    }
}

/// What live sources have besides: a heartbeat, the fast path and the kernel's witness.
struct Live {
    heartbeat: Heartbeat,
    /// Beats that were lost, as far as they were told.
    dropped: u64,
    host: Host,
    #[cfg(target_os = "linux")]
    activity: ActivityReader,
}

impl Live {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            heartbeat: Heartbeat::start()?,
            dropped: 0,
            host: Host::new(),
            #[cfg(target_os = "linux")]
            activity: ActivityReader::new(),
        })
    }

    /// Takes in what came up to now: commands, SIGCONT, the heartbeat. Returns how late the next beat was already
    /// at `at`, ns.
    ///
    /// To be called right before the engine is told of a sample, a silence or an end: a late beat that is not
    /// known then would look like a sampler that stood still.
    fn listen(&mut self, sampler: &mut Sampler, at: &Stamp) -> u64 {
        sampler.obey();
        sampler.feed.alive(at.awake_ns);
        if let Some(at_ns) = sampler.continued.take() {
            sampler.engine.continued(at_ns);
        }
        let due_ns = self.heartbeat.due_ns();
        let mut came = false;
        while let Some(beat) = self.heartbeat.take() {
            came |= beat.at.awake_ns.saturating_sub(beat.delay_ns) >= due_ns;
            sampler.feed.totals.beat(beat.delay_ns);
            sampler.engine.beat(&beat, &mut sampler.notices);
            if beat.delay_ns >= LATE_NS {
                // The witness is asked at once, before a later beat decides, and before what follows the gap blurs
                // what was in it.
                self.witness_of_a_gap(sampler);
            }
        }
        let dropped = self.heartbeat.dropped();
        if dropped > self.dropped {
            tracing::warn!(
                "{} heartbeats were lost: nobody took them for over a minute",
                dropped - self.dropped
            );
            self.dropped = dropped;
            sampler.feed.totals.beats_dropped = dropped;
        }
        if came { 0 } else { at.awake_ns.saturating_sub(due_ns) }
    }

    /// Asks the kernel what goes on in the machine, where it can be asked: once a tick.
    #[cfg(target_os = "linux")]
    fn witness(&mut self, sampler: &mut Sampler) {
        if let Some(activity) = self.activity.read() {
            sampler.engine.activity(&clock::now(), activity);
        }
    }

    /// Asks it all that it knows.
    #[cfg(target_os = "linux")]
    fn witness_of_a_gap(&mut self, sampler: &mut Sampler) {
        if let Some(activity) = self.activity.read_all() {
            sampler.engine.activity(&clock::now(), activity);
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn witness(&self, _: &Sampler) {}

    #[cfg(not(target_os = "linux"))]
    fn witness_of_a_gap(&self, _: &Sampler) {}

    /// Feeds the engine with a reading that came at `at`, and hands the sample over.
    fn sample(&mut self, sampler: &mut Sampler, mut reading: Reading, at: &Stamp) {
        self.host.read(at, &mut reading.metrics);
        let overdue_ns = self.listen(sampler, at);
        let sample = sampler.engine.sample(&reading, at, Some(overdue_ns), &mut sampler.notices);
        sampler.deliver(sample, at);
        sampler.hand_over();
    }
}

/// How long the last words wait for the outputs, ms.
const LAST_WORDS_MS: u32 = 500;

/// A beat later than this may be a gap; the witness is cheap enough to be asked for less than one.
const LATE_NS: u64 = 50_000_000;

/// Absolute deadlines, one interval apart: a late tick does not shift the next ones.
#[derive(Clone, Copy, Debug)]
struct Ticks {
    interval_ns: u64,
    due_ns: u64,
}

impl Ticks {
    /// Ticks from one interval after `now_ns` on.
    fn new(interval_ns: u64, now_ns: u64) -> Self {
        Self { interval_ns, due_ns: now_ns + interval_ns }
    }

    /// Whether the tick is due; then the next one is set.
    fn due(&mut self, now_ns: u64) -> bool {
        let Some(late) = now_ns.checked_sub(self.due_ns) else {
            // A clock that stepped back takes the grid with it.
            self.due_ns = self.due_ns.min(now_ns + self.interval_ns);
            return false;
        };
        self.due_ns += self.interval_ns * (late / self.interval_ns + 1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_tick_does_not_shift_the_next_ones() {
        let mut ticks = Ticks::new(100, 1_000);
        assert!(!ticks.due(1_099));
        assert!(ticks.due(1_100));
        assert!(ticks.due(1_290), "late by 90");
        assert_eq!(ticks.due_ns, 1_300);
        assert!(ticks.due(1_777), "those that were missed are not made up for");
        assert_eq!(ticks.due_ns, 1_800);
    }

    #[test]
    fn a_clock_that_steps_back_does_not_stop_the_ticks() {
        let mut ticks = Ticks::new(100, 1_000_000);
        assert!(!ticks.due(500));
        assert!(ticks.due(600));
    }
}
