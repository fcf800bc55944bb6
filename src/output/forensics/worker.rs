//! The worker's thread: a pause at a time, a capture at a time, each outcome recorded.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot::{self, error::TryRecvError};

use super::plan::{self, Moment};
use super::run::{End, Process};
use super::set::{self, Done, Set};
use super::{Completed, ForensicsStats, Name, Options, Outcome, Pause, Told};
use crate::clock;
use crate::output::store::Reader;
use crate::wire::{self, Message, SampleLine};

/// Captures are taken once in this time; of a pause sooner after another only the ring is kept.
const APART: Duration = Duration::from_secs(60);
/// How often it is looked whether an event is on record, and what became of killed processes.
const LOOK: Duration = Duration::from_millis(100);
/// How long an event that is not on record is waited for; then its directory gets the number that it was given.
const ROW: Duration = Duration::from_secs(60);
/// How long the commit of the outcomes is waited for before it is told that they are there.
const COMMIT: Duration = Duration::from_secs(1);
/// How long cleaning up after a capture may take.
const CLEANING: Duration = Duration::from_secs(5);
/// Sets that wait for their event's row, or for a commit, at most.
const WAITING: usize = 32;

const STOPPED: &str = "the daemon stopped";

pub(super) struct Worker {
    options: Options,
    /// What this configuration gathers, in its order.
    names: Vec<Name>,
    inbox: Receiver<Told>,
    stopping: Arc<AtomicBool>,
    stats: Arc<ForensicsStats>,
    /// When captures last began.
    last: Option<Instant>,
    /// They are still being taken.
    busy: bool,
    /// Gathered, but not told of yet; oldest first.
    waiting: VecDeque<(Set, Stage)>,
    /// Killed, but still there.
    left: Vec<Child>,
    /// What was there at the start, as far as it is not looked through yet.
    leftovers: Vec<String>,
    began: Instant,
}

/// What a set that was gathered waits for.
enum Stage {
    /// That its event is on record; since when.
    Row(Instant),
    /// The commit of its outcomes; until when.
    Commit(oneshot::Receiver<()>, Instant),
}

impl Worker {
    /// One that gathers `all`, as far as it is configured and the machine that is watched is this one.
    pub(super) fn new(
        options: Options,
        all: &[Name],
        inbox: Receiver<Told>,
        stopping: Arc<AtomicBool>,
        stats: Arc<ForensicsStats>,
    ) -> Self {
        let gathered = |name: &Name| {
            *name == Name::Ring || (options.live && (options.spindump || *name != Name::Spindump))
        };
        let names = all.iter().copied().filter(gathered).collect();
        Self {
            options,
            names,
            inbox,
            stopping,
            stats,
            last: None,
            busy: false,
            waiting: VecDeque::new(),
            left: Vec::new(),
            leftovers: Vec::new(),
            began: Instant::now(),
        }
    }

    /// Works until it is told to stop, or the handle is gone.
    pub(super) fn run(mut self) {
        self.leftovers = set::there(&self.options.paths);
        self.recover();
        loop {
            let idle = self.waiting.is_empty() && self.left.is_empty() && self.leftovers.is_empty();
            let told = if self.stopping.load(Relaxed) {
                self.inbox.try_recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else if idle {
                self.inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                self.inbox.recv_timeout(LOOK)
            };
            match told {
                Ok(Told::Pause(pause)) => self.pause(&pause),
                Ok(Told::Stop) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.look();
        }
        // The store's queue has the rows by now, or the disk hangs.
        while let Some((set, stage)) = self.waiting.pop_front() {
            self.settle(set, stage);
        }
    }

    /// Sees a set to its end, without much patience: the daemon stops.
    fn settle(&self, mut set: Set, stage: Stage) {
        let mut commit = match stage {
            Stage::Commit(commit, _) => commit,
            Stage::Row(_) => {
                let deadline = Instant::now() + COMMIT / 4;
                let reader = self.reader();
                while !set.place(reader.as_ref(), &self.options.paths) {
                    if Instant::now() >= deadline {
                        set.place_as(set.event, &self.options.paths);
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(10));
                }
                self.record(&set)
            }
        };
        let deadline = Instant::now() + COMMIT / 10;
        while matches!(commit.try_recv(), Err(TryRecvError::Empty)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.tell(&set, commit.try_recv().is_ok());
    }

    fn reader(&self) -> Option<Reader> {
        Reader::open(&self.options.paths.data_dir).ok().flatten()
    }

    /// What is due besides pauses.
    fn look(&mut self) {
        self.left.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        self.recover();
        let waits_for_a_row = self.waiting.iter().any(|(_, stage)| matches!(stage, Stage::Row(_)));
        let reader = if waits_for_a_row { self.reader() } else { None };
        for (mut set, mut stage) in std::mem::take(&mut self.waiting) {
            if let Stage::Row(since) = stage {
                let mut placed = set.place(reader.as_ref(), &self.options.paths);
                if !placed && since.elapsed() >= ROW {
                    tracing::warn!(event = set.event, "evidence of a pause that is not on record yet");
                    set.place_as(set.event, &self.options.paths);
                    placed = true;
                }
                if placed {
                    stage = Stage::Commit(self.record(&set), Instant::now() + COMMIT);
                }
            }
            let Stage::Commit(commit, deadline) = &mut stage else {
                self.waiting.push_back((set, stage));
                continue;
            };
            match commit.try_recv() {
                Ok(()) => self.tell(&set, true),
                Err(TryRecvError::Empty) if Instant::now() < *deadline => {
                    self.waiting.push_back((set, stage));
                }
                Err(_) => self.tell(&set, false),
            }
        }
    }

    /// Records what a killed run left. The database may not be open yet: then later, for a minute.
    fn recover(&mut self) {
        if self.leftovers.is_empty() {
            return;
        }
        match set::leftovers(&self.options.paths, &self.leftovers, &self.names) {
            Ok(sets) => {
                self.leftovers.clear();
                for set in sets {
                    tracing::info!(event = set.event, "evidence that a killed run left was recorded");
                    for done in &set.done {
                        self.stats.count(done.name, done.outcome);
                    }
                    drop(self.options.evidence.record(set.event, set.incident, set.captures()));
                }
            }
            Err(error) if self.began.elapsed() >= ROW => {
                self.leftovers.clear();
                tracing::warn!("what a killed run left can't be looked for: {error}");
            }
            Err(_) => {}
        }
    }

    /// Gathers the evidence of a pause.
    fn pause(&mut self, pause: &Pause) {
        let mut set = Set::new(pause);
        let held_back = held_back(self.last.map(|last| last.elapsed()), self.busy);
        if let Err(error) = set.make(&self.options.paths) {
            let names = self.names.clone();
            for name in names {
                self.note(&mut set, Done::nothing(name, Outcome::Failed, error.to_string()));
            }
            self.finish(set);
            return;
        }
        if let Some(why) = held_back {
            self.ring(&mut set, pause);
            for name in self.names.clone().into_iter().filter(|name| *name != Name::Ring) {
                self.note(&mut set, Done::nothing(name, Outcome::NotAvailable, why.clone()));
            }
            self.finish(set);
            return;
        }
        let mut names: VecDeque<Name> =
            self.names.iter().copied().filter(|name| *name != Name::Ring).collect();
        if !names.is_empty() {
            self.last = Some(Instant::now());
            self.busy = true;
        }
        // What is gone in a moment is read while the ring is written.
        let first = names.pop_front().map(|name| (name, self.begin(name, &set)));
        self.ring(&mut set, pause);
        if let Some((name, begun)) = first {
            self.capture(name, begun, &mut set);
        }
        while let Some(name) = names.pop_front() {
            set.place(self.reader().as_ref(), &self.options.paths);
            let begun = self.begin(name, &set);
            self.capture(name, begun, &mut set);
        }
        self.busy = false;
        self.finish(set);
    }

    fn note(&mut self, set: &mut Set, done: Done) {
        self.stats.count(done.name, done.outcome);
        set.done.push(done);
    }

    fn finish(&mut self, set: Set) {
        if self.waiting.len() == WAITING
            && let Some((mut oldest, stage)) = self.waiting.pop_front()
        {
            if matches!(stage, Stage::Row(_)) {
                oldest.place_as(oldest.event, &self.options.paths);
                drop(self.record(&oldest));
            }
            self.tell(&oldest, false);
        }
        self.waiting.push_back((set, Stage::Row(Instant::now())));
        self.look();
    }

    /// Writes the frozen ring, as the socket would have told it.
    fn ring(&mut self, set: &mut Set, pause: &Pause) {
        let write = || -> io::Result<()> {
            let mut file = set.file(Name::Ring)?;
            let mut line = Vec::new();
            for sample in &pause.ring {
                line.clear();
                wire::encode(&Message::Sample(Box::new(SampleLine::from(sample))), &mut line);
                file.write_all(&line)?;
            }
            // What was made of it: the samples alone do not tell.
            line.clear();
            wire::encode(&Message::Gap((&pause.gap).into()), &mut line);
            file.write_all(&line)?;
            file.finish()
        };
        let done = match write() {
            Ok(()) => Done { name: Name::Ring, outcome: Outcome::Saved, kept: true, detail: None },
            Err(error) => Done::nothing(Name::Ring, Outcome::Failed, error.to_string()),
        };
        self.note(set, done);
    }

    /// How that is to be captured, and the process that was started for it.
    fn begin(
        &self,
        name: Name,
        set: &Set,
    ) -> Result<(plan::Capture, io::Result<Process>), (Outcome, String)> {
        if self.stopping.load(Relaxed) {
            return Err((Outcome::Failed, STOPPED.to_owned()));
        }
        if let Some(child) = self.left.first() {
            let why = format!("process {} of an earlier capture was killed and still hangs", child.id());
            return Err((Outcome::NotAvailable, why));
        }
        let now = clock::now();
        let ago = Duration::from_nanos(u64::try_from(now.unix_ns - set.started_ns).unwrap_or(0));
        let moment = Moment {
            directory: set.directory.as_deref().unwrap_or(std::path::Path::new("/")),
            ago,
            kernel_us: u64::try_from(u128::from(now.awake_ns / 1_000).saturating_sub(ago.as_micros()))
                .unwrap_or(0),
        };
        let capture = plan::capture(name, &self.options.programs, moment)?;
        let first = capture.ways.first().and_then(|way| way.first()).map_or(&[][..], Vec::as_slice);
        let process = Process::start(first, !capture.fleeting);
        Ok((capture, process))
    }

    /// Captures that to its end.
    fn capture(
        &mut self,
        name: Name,
        begun: Result<(plan::Capture, io::Result<Process>), (Outcome, String)>,
        set: &mut Set,
    ) {
        let done = match begun {
            Err((outcome, why)) => Done::nothing(name, outcome, why),
            Ok((capture, process)) => self.try_ways(name, &capture, process, set),
        };
        self.note(set, done);
    }

    fn try_ways(
        &mut self,
        name: Name,
        capture: &plan::Capture,
        process: io::Result<Process>,
        set: &Set,
    ) -> Done {
        let deadline = Instant::now() + capture.time;
        let mut process = Some(process);
        let mut done = Done::nothing(name, Outcome::NotAvailable, "there is no way to capture it");
        for (index, way) in capture.ways.iter().enumerate() {
            let before = done.detail.take().filter(|_| index > 0);
            done = self.go(name, capture, way, process.take(), deadline, set);
            if let (Some(before), Some(detail)) = (before, &mut done.detail)
                && done.outcome != Outcome::Saved
            {
                *detail = format!("{before}; {detail}");
            }
            if !matches!(done.outcome, Outcome::NotPermitted | Outcome::NotAvailable) {
                break;
            }
        }
        if let Some(command) = capture.afterwards.as_ref().filter(|_| done.outcome != Outcome::NotPermitted)
            && let Ok(process) = Process::start(command, true)
        {
            self.drive(process, &mut io::sink(), CLEANING, u64::MAX);
        }
        done
    }

    /// Runs the commands of one way; the first may run already.
    fn go(
        &mut self,
        name: Name,
        capture: &plan::Capture,
        way: &plan::Way,
        mut begun: Option<io::Result<Process>>,
        deadline: Instant,
        set: &Set,
    ) -> Done {
        for (index, command) in way.iter().enumerate() {
            let last = index + 1 == way.len();
            let process = match begun.take().unwrap_or_else(|| Process::start(command, !capture.fleeting)) {
                Ok(process) => process,
                Err(error) => {
                    let program = command.first().map(|word| word.to_string_lossy()).unwrap_or_default();
                    let missing = error.kind() == io::ErrorKind::NotFound;
                    let outcome = if missing { Outcome::NotAvailable } else { Outcome::Failed };
                    return Done::nothing(name, outcome, format!("{program} can't be run: {error}"));
                }
            };
            let mut file = match set.file(name) {
                Ok(file) => file,
                Err(error) => {
                    // It is told to stop at once.
                    self.drive(process, &mut io::sink(), Duration::ZERO, 0);
                    return Done::nothing(name, Outcome::Failed, error.to_string());
                }
            };
            let time = deadline.saturating_duration_since(Instant::now());
            let (end, said) = if last {
                self.drive(process, &mut file, time, capture.bytes)
            } else {
                self.drive(process, &mut io::sink(), time, u64::MAX)
            };
            let (outcome, detail) = match end {
                End::Exited(status) => match plan::judge(command, status, &said) {
                    None if !last => continue,
                    None => {
                        let said = plan::last_line(&said);
                        (Outcome::Saved, Some(said).filter(|said| !said.is_empty()))
                    }
                    Some((outcome, why)) => (outcome, Some(why)),
                },
                End::Full if capture.in_parts => {
                    (Outcome::Saved, Some(format!("the first {} MB; there was more", capture.bytes >> 20)))
                }
                End::Full => (Outcome::Failed, Some(format!("it is larger than {} MB", capture.bytes >> 20))),
                End::TimedOut => {
                    (Outcome::Timeout, Some(format!("it took longer than {} s", capture.time.as_secs())))
                }
                End::NotWritten(error) => (Outcome::Failed, Some(error.to_string())),
                End::Stopped => (Outcome::Failed, Some(STOPPED.to_owned())),
            };
            let part = outcome == Outcome::Timeout && last && capture.in_parts;
            if outcome != Outcome::Saved && !part {
                return Done { name, outcome, kept: false, detail };
            }
            return match file.finish() {
                Ok(()) => Done { name, outcome, kept: true, detail },
                Err(error) => Done::nothing(name, Outcome::Failed, error.to_string()),
            };
        }
        Done::nothing(name, Outcome::NotAvailable, "there is no way to capture it")
    }

    /// Drives a process; pauses that come meanwhile get their ring.
    fn drive(&mut self, process: Process, out: &mut dyn Write, time: Duration, bytes: u64) -> (End, String) {
        let ended = process.drive(out, time, bytes, &mut || {
            while let Ok(told) = self.inbox.try_recv() {
                match told {
                    Told::Pause(pause) => self.pause(&pause),
                    Told::Stop => {}
                }
            }
            self.look();
            self.stopping.load(Relaxed)
        });
        self.left.extend(ended.left);
        (ended.end, ended.said)
    }

    /// Has the outcomes recorded. The answer comes with the commit.
    fn record(&self, set: &Set) -> oneshot::Receiver<()> {
        set.sync(&self.options.paths);
        self.options.evidence.record(set.event, set.incident, set.captures())
    }

    /// Tells that the evidence is there.
    fn tell(&self, set: &Set, stored: bool) {
        let saved = set.done.iter().filter(|done| done.outcome == Outcome::Saved).count();
        tracing::info!(
            event = set.event,
            "evidence of the pause: {saved} of {} captures saved",
            set.done.len()
        );
        if let Some(gap) = set.gap.clone() {
            (self.options.on_complete)(Completed {
                event: set.event,
                incident: set.incident,
                gap,
                directory: set.directory.clone().filter(|_| set.done.iter().any(|done| done.kept)),
                captures: set.captures(),
                stored,
            });
        }
    }
}

/// Why nothing but the ring is to be gathered now: `since` the captures of another pause began, or while they are `busy`.
fn held_back(since: Option<Duration>, busy: bool) -> Option<String> {
    let since = since?;
    (busy || since < APART).then(|| format!("another was taken {} s before", since.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captures_are_taken_once_in_a_minute() {
        let at = |ms| held_back(Some(Duration::from_millis(ms)), false);
        assert_eq!(held_back(None, false), None);
        assert_eq!(at(12_300).as_deref(), Some("another was taken 12 s before"));
        assert_eq!(at(59_999).as_deref(), Some("another was taken 59 s before"));
        assert_eq!(at(60_000), None);
        assert!(held_back(Some(Duration::from_secs(180)), true).is_some(), "they are still being taken");
    }
}
