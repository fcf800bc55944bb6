//! The largest processes, from /proc/PID.
//!
//! - **CPU**, each tick, of every process: its CPU clock ([`cpu_clock_ns`]), exact to the nanosecond. Where /proc
//!   shows another pid namespace than ours, or is a tree of fixtures, `stat` each tick, in steps of 10 ms.
//! - **Page-ins, wakeups, disk bytes**: `stat`, `status` and `io` of a tenth of the processes at each tick, so
//!   that each is at most ten ticks old; the rate of the last ten ticks stands until the next.
//! - /proc is listed at each tick in which the kernel counted a fork, and every ten ticks. So a process is found in
//!   the tick in which it begins, and all it used is that tick's.
//!
//! Wakeups are voluntary switches: a thread that waits and is woken makes one. The kernel gives those of a process'
//! first thread only. Kernel threads are processes. Our own process is in no list.
//!
//! The kernel adds the disk bytes of a child to its parent's when the parent has waited for it. What we had seen of
//! them is taken off again; what is left, the child's last second at most, is listed with the parent.

use std::io;
use std::path::Path;

use super::TURNS;
use super::cpu::tick_ns;
use super::descriptors::{Descriptors, Files, Outcome};
use super::files::{Counter, per_second};
use super::listing::Listing;
use super::pid::{Comm, Stat, cpu_clock_ns};
use crate::sample::Reading;

/// Processes that are watched; of more, those with the smallest pids.
const TASKS_MAX: usize = 16_384;
/// Generations that are gone back over where a family ended together. A pid that went to another process may make a ring.
const FOREFATHERS: usize = 64;

pub(super) struct Processes {
    listing: Listing,
    own_pid: i32,
    /// Whether the pids are ours to ask for CPU clocks.
    clocks: bool,
    tick_ns: u64,
    turn: usize,
    listed_ns: Option<u64>,
    /// By pid.
    tasks: Vec<Task>,
    /// Where the next table is made.
    spare: Vec<Task>,
    /// Those that ended in this tick.
    ended: Vec<Ended>,
    files: Files,
}

/// A process as it was last seen.
struct Task {
    pid: i32,
    /// `None` until its `stat` was read.
    identity: Option<Identity>,
    alive: bool,
    cpu_ns: Counter,
    major_faults: Counter,
    switches: Counter,
    bytes: Counter,
    /// Time since its details were read, ns.
    since_ns: u64,
    /// CPU in the last tick, ms per second.
    cpu_ms_per_s: f64,
    /// The rates of the last ten ticks, per second.
    pageins: f64,
    wakeups: f64,
    diskio: f64,
    own: Descriptors,
}

/// A process that ended.
#[derive(Clone, Copy)]
struct Ended {
    pid: i32,
    parent: i32,
    /// The disk bytes that had been seen of it; `None` where those may not be read.
    bytes: Option<u64>,
}

#[derive(Clone, Copy)]
struct Identity {
    started: u64,
    parent: i32,
    comm: Comm,
}

impl Processes {
    pub(super) fn new(root: &Path) -> io::Result<Self> {
        let ours = i32::try_from(std::process::id()).unwrap_or(i32::MAX);
        let proc = root.join("proc");
        let named = std::fs::read_link(proc.join("self")).ok();
        let own_pid = named.and_then(|pid| pid.to_str()?.parse().ok()).unwrap_or(ours);
        Ok(Self {
            listing: Listing::open(&proc)?,
            own_pid,
            clocks: root == Path::new("/") && own_pid == ours && cpu_clock_ns(ours).is_some(),
            tick_ns: tick_ns(),
            turn: 0,
            listed_ns: None,
            tasks: Vec::new(),
            spare: Vec::new(),
            ended: Vec::new(),
            files: Files::new(proc.to_string_lossy().into_owned()),
        })
    }

    /// Reads all processes and fills the lists of `reading`. `forked`: whether a process may have begun since the
    /// last read.
    pub(super) fn read(&mut self, elapsed_ns: u64, forked: bool, reading: &mut Reading) {
        self.turn = (self.turn + 1) % TURNS;
        self.listed_ns = self.listed_ns.map(|age| age.saturating_add(elapsed_ns));
        if forked || self.turn == 0 || self.listed_ns.is_none_or(|age| age >= 1_000_000_000) {
            self.list(forked && self.listed_ns.is_some());
        }
        for task in self.tasks.iter_mut().filter(|task| task.alive) {
            task.since_ns = task.since_ns.saturating_add(elapsed_ns);
            let now = if self.clocks {
                task.cpu_by_clock()
            } else {
                task.cpu_by_stat(self.tick_ns, &mut self.files)
            };
            let used_ns = match now {
                Outcome::Read(now) => task.cpu_ns.advance(now),
                Outcome::Unreadable => {
                    task.cpu_ns.forget();
                    None
                }
                Outcome::Dead => {
                    self.ended.extend(task.seen());
                    task.bury(&mut self.files);
                    None
                }
            };
            task.cpu_ms_per_s = used_ns.and_then(|ns| per_second(ns, elapsed_ns)).unwrap_or(0.0) / 1e6;
        }
        // Before any parent is looked at.
        self.settle();
        for task in self.tasks.iter_mut().filter(|task| task.alive) {
            if task.pid.unsigned_abs() as usize % TURNS == self.turn
                && let Outcome::Read(stat) = self.files.stat(task.pid, &mut task.own)
            {
                task.recognize(&stat);
                task.details(&stat, &mut self.files);
            }
            if task.pid != self.own_pid {
                task.offer(reading, &mut self.files);
            }
        }
        self.files.shed(self.tasks.iter_mut().rev().map(|task| &mut task.own));
    }

    /// Brings the table up to date with /proc. Where that can't be listed it stays as it is. `born`: those not known
    /// yet began in this tick.
    fn list(&mut self, born: bool) {
        let Ok(pids) = self.listing.pids() else {
            self.listed_ns = None;
            return;
        };
        self.listed_ns = Some(0);
        // Of more than we watch, some are not known though they are old.
        let born = born && pids.len() <= TASKS_MAX;
        let (ended, files) = (&mut self.ended, &mut self.files);
        let mut leave = |mut task: Task| {
            ended.extend(task.seen().filter(|_| task.alive));
            files.close(&mut task.own);
        };
        self.spare.clear();
        let mut known = self.tasks.drain(..).peekable();
        for &pid in pids.iter().take(TASKS_MAX) {
            while let Some(gone) = known.next_if(|task| task.pid < pid) {
                leave(gone);
            }
            let task = known.next_if(|task| task.pid == pid && task.alive);
            self.spare.push(task.unwrap_or_else(|| Task::new(pid, born)));
        }
        known.for_each(leave);
        std::mem::swap(&mut self.tasks, &mut self.spare);
    }

    /// Takes what had been seen of the ended off what their parents show next: of whole families that ended together,
    /// off what the one shows that is left of them.
    fn settle(&mut self) {
        self.ended.sort_unstable_by_key(|ended| ended.pid);
        for ended in &self.ended {
            let mut heir = ended.parent;
            for _ in 0..FOREFATHERS {
                let Ok(at) = self.ended.binary_search_by_key(&heir, |ended| ended.pid) else { break };
                heir = self.ended[at].parent;
            }
            let Ok(at) = self.tasks.binary_search_by_key(&heir, |task| task.pid) else { continue };
            match ended.bytes {
                Some(bytes) => self.tasks[at].bytes.pass_over(bytes),
                None => self.tasks[at].bytes.forget(),
            }
        }
        self.ended.clear();
    }
}

impl Task {
    fn new(pid: i32, born: bool) -> Self {
        let counter = if born { Counter::ZERO } else { Counter::default() };
        Self {
            pid,
            identity: None,
            alive: true,
            cpu_ns: counter,
            major_faults: counter,
            switches: counter,
            bytes: counter,
            since_ns: 0,
            cpu_ms_per_s: 0.0,
            pageins: 0.0,
            wakeups: 0.0,
            diskio: 0.0,
            own: Descriptors::default(),
        }
    }

    /// The CPU time by the process' clock, ns.
    fn cpu_by_clock(&mut self) -> Outcome<u64> {
        let Some(now) = cpu_clock_ns(self.pid) else { return Outcome::Dead };
        if self.cpu_ns.last().is_some_and(|last| now < last) {
            // It never steps back: the pid is another's now.
            self.renew();
        }
        Outcome::Read(now)
    }

    /// The CPU time by `stat`, ns.
    fn cpu_by_stat(&mut self, tick_ns: u64, files: &mut Files) -> Outcome<u64> {
        match files.stat(self.pid, &mut self.own) {
            Outcome::Read(stat) => {
                self.recognize(&stat);
                Outcome::Read(stat.cpu_ticks.saturating_mul(tick_ns))
            }
            Outcome::Unreadable => Outcome::Unreadable,
            Outcome::Dead => Outcome::Dead,
        }
    }

    /// What is to be said of it when it ends; `None` where it was never looked at.
    fn seen(&self) -> Option<Ended> {
        let identity = self.identity?;
        Some(Ended { pid: self.pid, parent: identity.parent, bytes: self.bytes.last() })
    }

    /// Takes the name, which changes when a process runs another program; where the pid went to another process,
    /// begins anew.
    fn recognize(&mut self, stat: &Stat) {
        if self.identity.is_some_and(|identity| identity.started != stat.started) {
            self.renew();
        }
        self.identity = Some(Identity { started: stat.started, parent: stat.parent, comm: stat.comm });
    }

    fn renew(&mut self) {
        self.identity = None;
        self.cpu_ns.forget();
        self.major_faults.forget();
        self.switches.forget();
        self.bytes.forget();
        (self.pageins, self.wakeups, self.diskio) = (0.0, 0.0, 0.0);
    }

    fn details(&mut self, stat: &Stat, files: &mut Files) {
        let since_ns = std::mem::take(&mut self.since_ns);
        let switches = files.switches(self.pid, &mut self.own);
        let bytes = files.disk_bytes(self.pid, &mut self.own);
        let rate = |counter: &mut Counter, now: Option<u64>| match now {
            Some(now) => counter.advance(now).and_then(|more| per_second(more, since_ns)).unwrap_or(0.0),
            None => {
                counter.forget();
                0.0
            }
        };
        self.pageins = rate(&mut self.major_faults, Some(stat.major_faults));
        self.wakeups = rate(&mut self.switches, switches);
        self.diskio = rate(&mut self.bytes, bytes);
    }

    fn offer(&mut self, reading: &mut Reading, files: &mut Files) {
        let wanted = reading.top_cpu.wants(self.pid, self.cpu_ms_per_s)
            || reading.top_pageins.wants(self.pid, self.pageins)
            || reading.top_idle_wakeups.wants(self.pid, self.wakeups)
            || reading.top_diskio.wants(self.pid, self.diskio);
        if !wanted {
            return;
        }
        if self.identity.is_none()
            && let Outcome::Read(stat) = files.stat(self.pid, &mut self.own)
        {
            self.recognize(&stat);
        }
        let Some(identity) = &self.identity else { return };
        let name = identity.comm.name();
        reading.top_cpu.offer(self.pid, &name, self.cpu_ms_per_s);
        reading.top_pageins.offer(self.pid, &name, self.pageins);
        reading.top_idle_wakeups.offer(self.pid, &name, self.wakeups);
        reading.top_diskio.offer(self.pid, &name, self.diskio);
    }

    /// Lets a dead process go; its row leaves the table with the next listing.
    fn bury(&mut self, files: &mut Files) {
        files.close(&mut self.own);
        self.alive = false;
    }
}
