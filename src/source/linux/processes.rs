//! The largest processes, from /proc/PID.
//!
//! - **CPU**, each tick, of every process: its CPU clock ([`cpu_clock_ns`]), exact to the nanosecond. Where /proc
//!   shows another pid namespace than ours, or is a tree of fixtures, `stat` each tick, in steps of 10 ms.
//! - **Page-ins, wakeups, disk bytes**: `stat`, `status` and `io` of a tenth of the processes at each tick, so
//!   that each is at most ten ticks old; the rate of the last ten ticks stands until the next.
//! - /proc is listed every ten ticks; a process is known for a second at most before it has a figure.
//!
//! Wakeups are voluntary switches: a thread that waits and is woken makes one. The kernel gives those of a process'
//! first thread only. Kernel threads are processes. Our own process is in no list.
//!
//! Descriptors are kept for the first [`KEEPERS_MAX`] processes, less where the limit of open files is low:
//! opening a file of /proc takes memory, and waits for it when there is none. The others' files are opened in
//! their turn.

use std::fmt::Write;
use std::fs::File;
use std::io;
use std::path::Path;

use super::TURNS;
use super::cpu::tick_ns;
use super::files::{Buffer, Counter, per_second};
use super::listing::Listing;
use super::pid::{Comm, Stat, cpu_clock_ns, disk_bytes, voluntary_switches};
use crate::sample::Reading;

/// Processes whose descriptors are kept, three each.
const KEEPERS_MAX: usize = 256;

/// Processes that are watched; of more, those with the smallest pids.
const TASKS_MAX: usize = 16_384;

pub(super) struct Processes {
    root: String,
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
    files: Files,
}

/// A process as it was last seen.
struct Task {
    pid: i32,
    /// Its start and its name; `None` until its `stat` was read.
    identity: Option<(u64, Comm)>,
    alive: bool,
    cpu_ns: Counter,
    major_faults: Counter,
    switches: Counter,
    bytes: Counter,
    /// Time since its details were read, ns.
    since_ns: u64,
    /// The rates of the last ten ticks, per second.
    pageins: f64,
    wakeups: f64,
    diskio: f64,
    keeps: bool,
    stat: Option<File>,
    status: Option<File>,
    io: Option<File>,
}

impl Processes {
    pub(super) fn new(root: &Path) -> io::Result<Self> {
        let ours = i32::try_from(std::process::id()).unwrap_or(i32::MAX);
        let proc = root.join("proc");
        let named = std::fs::read_link(proc.join("self")).ok();
        let own_pid = named.and_then(|pid| pid.to_str()?.parse().ok()).unwrap_or(ours);
        Ok(Self {
            listing: Listing::open(&proc)?,
            root: proc.to_string_lossy().into_owned(),
            own_pid,
            clocks: root == Path::new("/") && own_pid == ours && cpu_clock_ns(ours).is_some(),
            tick_ns: tick_ns(),
            turn: 0,
            listed_ns: None,
            tasks: Vec::new(),
            spare: Vec::new(),
            files: Files::new(),
        })
    }

    /// Reads all processes and fills the lists of `reading`.
    pub(super) fn read(&mut self, elapsed_ns: u64, reading: &mut Reading) {
        self.turn = (self.turn + 1) % TURNS;
        self.listed_ns = self.listed_ns.map(|age| age.saturating_add(elapsed_ns));
        if self.turn == 0 || self.listed_ns.is_none_or(|age| age >= 1_000_000_000) {
            self.list();
        }
        for task in &mut self.tasks {
            task.since_ns = task.since_ns.saturating_add(elapsed_ns);
            let due = task.pid.unsigned_abs() as usize % TURNS == self.turn;
            let mut cpu_ns = None;
            if due || !self.clocks {
                match self.files.stat(&self.root, task) {
                    Outcome::Read(stat) => {
                        task.recognize(&stat);
                        cpu_ns = Some(stat.cpu_ticks.saturating_mul(self.tick_ns));
                        if due {
                            task.details(&stat, &self.root, &mut self.files);
                        }
                    }
                    Outcome::Unreadable => {}
                    Outcome::Dead => task.bury(&mut self.files),
                }
            }
            if self.clocks {
                cpu_ns = cpu_clock_ns(task.pid);
                match (cpu_ns, task.cpu_ns.last()) {
                    (None, _) => task.bury(&mut self.files),
                    // A process' clock never steps back: the pid is another's now.
                    (Some(now), Some(last)) if now < last => task.renew(),
                    _ => {}
                }
            }
            let cpu = match cpu_ns {
                Some(now) => task.cpu_ns.advance(now).and_then(|ns| per_second(ns, elapsed_ns)),
                None => {
                    task.cpu_ns.forget();
                    None
                }
            };
            if task.alive && task.pid != self.own_pid {
                task.offer(cpu.unwrap_or(0.0) / 1e6, reading, &self.root, &mut self.files);
            }
        }
        self.files.shed(&mut self.tasks);
    }

    /// Brings the table up to date with /proc. Where that can't be listed it stays as it is.
    fn list(&mut self) {
        let Ok(pids) = self.listing.pids() else { return };
        self.listed_ns = Some(0);
        self.spare.clear();
        let mut known = self.tasks.drain(..).peekable();
        for &pid in pids.iter().take(TASKS_MAX) {
            while let Some(gone) = known.next_if(|task| task.pid < pid) {
                self.files.release(&gone);
            }
            let task = known.next_if(|task| task.pid == pid && task.alive);
            self.spare.push(task.unwrap_or_else(|| Task::new(pid)));
        }
        for gone in known {
            self.files.release(&gone);
        }
        std::mem::swap(&mut self.tasks, &mut self.spare);
    }
}

impl Task {
    fn new(pid: i32) -> Self {
        Self {
            pid,
            identity: None,
            alive: true,
            cpu_ns: Counter::default(),
            major_faults: Counter::default(),
            switches: Counter::default(),
            bytes: Counter::default(),
            since_ns: 0,
            pageins: 0.0,
            wakeups: 0.0,
            diskio: 0.0,
            keeps: false,
            stat: None,
            status: None,
            io: None,
        }
    }

    /// Takes the name, which changes when a process runs another program; where the pid went to another process,
    /// begins anew.
    fn recognize(&mut self, stat: &Stat) {
        if self.identity.is_some_and(|(started, _)| started != stat.started) {
            self.renew();
        }
        self.identity = Some((stat.started, stat.comm));
    }

    fn renew(&mut self) {
        self.identity = None;
        self.cpu_ns.forget();
        self.major_faults.forget();
        self.switches.forget();
        self.bytes.forget();
        (self.pageins, self.wakeups, self.diskio) = (0.0, 0.0, 0.0);
    }

    fn details(&mut self, stat: &Stat, root: &str, files: &mut Files) {
        let since_ns = std::mem::take(&mut self.since_ns);
        let switches = match files.text(root, "status", self.pid, self.keeps, &mut self.status) {
            Ok(text) => voluntary_switches(text),
            Err(_) => None,
        };
        let bytes = match files.text(root, "io", self.pid, self.keeps, &mut self.io) {
            Ok(text) => disk_bytes(text),
            Err(_) => None,
        };
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

    fn offer(&mut self, cpu_ms_per_s: f64, reading: &mut Reading, root: &str, files: &mut Files) {
        let wanted = reading.top_cpu.wants(self.pid, cpu_ms_per_s)
            || reading.top_pageins.wants(self.pid, self.pageins)
            || reading.top_idle_wakeups.wants(self.pid, self.wakeups)
            || reading.top_diskio.wants(self.pid, self.diskio);
        if !wanted {
            return;
        }
        if self.identity.is_none()
            && let Outcome::Read(stat) = files.stat(root, self)
        {
            self.recognize(&stat);
        }
        let Some((_, comm)) = &self.identity else { return };
        let name = comm.name();
        reading.top_cpu.offer(self.pid, &name, cpu_ms_per_s);
        reading.top_pageins.offer(self.pid, &name, self.pageins);
        reading.top_idle_wakeups.offer(self.pid, &name, self.wakeups);
        reading.top_diskio.offer(self.pid, &name, self.diskio);
    }

    /// Lets a dead process go; its row leaves the table with the next listing.
    fn bury(&mut self, files: &mut Files) {
        files.release(self);
        self.alive = false;
        self.close();
    }

    fn close(&mut self) {
        self.keeps = false;
        (self.stat, self.status, self.io) = (None, None, None);
    }
}

enum Outcome {
    Read(Stat),
    /// Not now; it may live.
    Unreadable,
    Dead,
}

/// Opens and reads the files of processes, and counts who keeps theirs open.
struct Files {
    buffer: Buffer,
    path: String,
    keepers: usize,
    keepers_max: usize,
    exhausted: bool,
}

impl Files {
    fn new() -> Self {
        Self {
            buffer: Buffer::new(),
            path: String::new(),
            keepers: 0,
            keepers_max: keepers_max(open_files_limit()),
            exhausted: false,
        }
    }

    fn stat(&mut self, root: &str, task: &mut Task) -> Outcome {
        if !task.keeps && self.keepers < self.keepers_max {
            task.keeps = true;
            self.keepers += 1;
        }
        match self.text(root, "stat", task.pid, task.keeps, &mut task.stat) {
            Ok(text) => Stat::parse(text).map_or(Outcome::Unreadable, Outcome::Read),
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOENT | libc::ESRCH) => Outcome::Dead,
                _ => Outcome::Unreadable,
            },
        }
    }

    /// Reads one of a process' files, from the descriptor in `kept` where that still works.
    fn text(
        &mut self,
        root: &str,
        name: &str,
        pid: i32,
        keep: bool,
        kept: &mut Option<File>,
    ) -> io::Result<&[u8]> {
        if let Some(file) = kept {
            if self.buffer.fill(file).is_ok() {
                return Ok(self.buffer.text());
            }
            // The process it belonged to is dead; another may have its pid.
            *kept = None;
        }
        self.path.clear();
        // Writing to a String cannot fail.
        let _ = write!(self.path, "{root}/{pid}/{name}");
        let file = File::open(&self.path).inspect_err(|error| {
            self.exhausted |= matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE));
        })?;
        self.buffer.fill(&file)?;
        if keep {
            *kept = Some(file);
        }
        Ok(self.buffer.text())
    }

    fn release(&mut self, task: &Task) {
        self.keepers -= usize::from(task.keeps);
    }

    /// Where descriptors ran out, keeps half as many from now on.
    fn shed(&mut self, tasks: &mut [Task]) {
        if !std::mem::take(&mut self.exhausted) {
            return;
        }
        self.keepers_max = self.keepers / 2;
        for task in tasks.iter_mut().rev().filter(|task| task.keeps) {
            if self.keepers <= self.keepers_max {
                break;
            }
            self.keepers -= 1;
            task.close();
        }
    }
}

/// How many processes' files are kept where so many may be open: at most half of those, so that sockets and the
/// store always find one.
fn keepers_max(open_files: usize) -> usize {
    KEEPERS_MAX.min(open_files / 2 / 3)
}

/// How many files this process may have open.
fn open_files_limit() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit for the call to fill.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return 0;
    }
    usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Process, Tree};
    use super::*;

    const TICK: u64 = 100_000_000;

    fn machine(processes: i32) -> (Tree, Processes) {
        let tree = Tree::machine();
        for pid in 1..=processes {
            tree.process(pid, &Process::named("worker"));
        }
        let processes = Processes::new(tree.path()).unwrap();
        (tree, processes)
    }

    fn ten_ticks(processes: &mut Processes) {
        for _ in 0..10 {
            processes.read(TICK, &mut Reading::default());
        }
    }

    fn open(processes: &Processes) -> usize {
        let kept = |task: &Task| [&task.stat, &task.status, &task.io].into_iter().flatten().count();
        processes.tasks.iter().map(kept).sum()
    }

    #[test]
    fn descriptors_are_kept_for_so_many_processes_and_no_more() {
        assert_eq!([30, 1_024, 1_000_000].map(keepers_max), [5, 170, 256]);
        let (_tree, mut processes) = machine(40);
        processes.files.keepers_max = 20;
        ten_ticks(&mut processes);
        assert_eq!((processes.files.keepers, open(&processes)), (20, 60));
    }

    #[test]
    fn the_descriptors_of_the_dead_go_to_the_living() {
        let (tree, mut processes) = machine(20);
        processes.files.keepers_max = 5;
        ten_ticks(&mut processes);
        assert_eq!(open(&processes), 15);
        for pid in 1..=5 {
            tree.remove(&format!("proc/{pid}"));
        }
        ten_ticks(&mut processes);
        ten_ticks(&mut processes);
        assert_eq!((processes.files.keepers, open(&processes)), (5, 15));
        for pid in 6..=20 {
            tree.remove(&format!("proc/{pid}"));
        }
        ten_ticks(&mut processes);
        assert_eq!((processes.files.keepers, processes.tasks.len()), (0, 0));
    }

    #[test]
    fn where_descriptors_run_out_half_are_kept_from_then_on() {
        let (_tree, mut processes) = machine(40);
        processes.files.keepers_max = 16;
        ten_ticks(&mut processes);
        processes.files.exhausted = true;
        ten_ticks(&mut processes);
        assert_eq!((processes.files.keepers, open(&processes)), (8, 24));
    }
}
