//! What the kernel says and takes: threads, how long they waited for a processor, priorities, processors.

use std::fs::{self, File};
use std::mem;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A thread, by its process and its own number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thread {
    pid: i32,
    tid: i32,
}

/// How often the kernel gave a thread a processor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scheduled(u64);

/// A time for which a thread could have run and did not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    /// When it was given a processor, to a millisecond.
    pub(crate) ended: jiff::Timestamp,
    pub(crate) ms: f64,
}

impl Wait {
    /// When it could have run, to a millisecond.
    pub(crate) fn began(&self) -> jiff::Timestamp {
        self.ended - Duration::from_secs_f64(self.ms / 1e3)
    }
}

/// Watches a thread's waits, one by one: the kernel counts each at its end (proc(5), `schedstat`).
pub(crate) struct Waits {
    stop: Arc<AtomicBool>,
    watcher: JoinHandle<Vec<Wait>>,
}

impl Waits {
    /// Begins to, with a priority that nobody under test has.
    pub(crate) fn of(thread: Thread) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let watcher = std::thread::spawn(move || {
            be_prompt(60);
            let file = File::open(thread.schedstat()).unwrap();
            let (mut waits, mut before) = (Vec::new(), numbers(&file)[1]);
            loop {
                // The last look comes after the order to stop.
                let last = stopped.load(Ordering::Relaxed);
                let now = numbers(&file)[1];
                let ms = (now - before) as f64 / 1e6;
                if ms >= SHORTEST_MS {
                    waits.push(Wait { ended: jiff::Timestamp::now(), ms });
                }
                if last {
                    return waits;
                }
                before = now;
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Self { stop, watcher }
    }

    /// Those of some length, oldest first.
    pub(crate) fn end(self) -> Vec<Wait> {
        self.stop.store(true, Ordering::Relaxed);
        self.watcher.join().unwrap()
    }
}

/// Shorter waits are not kept, ms.
const SHORTEST_MS: f64 = 5.0;

/// The three numbers of a thread's schedstat: time that it ran and waited, ns, and how often it was given a processor.
fn numbers(schedstat: &File) -> Vec<u64> {
    let mut bytes = [0; 128];
    let length = schedstat.read_at(&mut bytes, 0).unwrap();
    let text = std::str::from_utf8(&bytes[..length]).unwrap();
    text.split_ascii_whitespace().map(|number| number.parse().unwrap()).collect()
}

impl Thread {
    /// The thread of a process that has that name.
    pub(crate) fn find(pid: i32, name: &str) -> Option<Self> {
        let is_it = |tid: &i32| {
            fs::read_to_string(format!("/proc/{pid}/task/{tid}/comm")).is_ok_and(|comm| comm.trim() == name)
        };
        let tid = threads(pid).into_iter().find(is_it)?;
        Some(Self { pid, tid })
    }

    fn schedstat(self) -> String {
        format!("/proc/{}/task/{}/schedstat", self.pid, self.tid)
    }

    pub(crate) fn scheduled(self) -> Scheduled {
        Scheduled(numbers(&File::open(self.schedstat()).unwrap())[2])
    }

    /// Waits until it has been given a processor since then.
    pub(crate) fn wait_until_it_runs(self, since: Scheduled) {
        watch("the thread runs again", || self.scheduled().0 > since.0);
    }
}

/// The threads of a process; none where it has gone.
pub(crate) fn threads(pid: i32) -> Vec<i32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// The processes of a process group.
pub(crate) fn members(group: i32) -> Vec<i32> {
    let processes = fs::read_dir("/proc").unwrap();
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    // SAFETY: getpgid takes a number.
    pids.filter(|&pid| unsafe { libc::getpgid(pid) } == group).collect()
}

/// Whether every thread of these processes is stopped.
pub(crate) fn are_stopped(pids: &[i32]) -> bool {
    pids.iter().all(|pid| {
        threads(*pid).iter().all(|tid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/task/{tid}/stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['T', 'Z']))
        })
    })
}

/// Waits for something that is to be known to the millisecond.
pub(crate) fn watch(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + crate::daemon::PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "in {:?} there was not: {what}", crate::daemon::PATIENCE);
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Gives the calling thread a real-time priority, none of which is inherited. False where that is not permitted.
pub(crate) fn be_prompt(priority: i32) -> bool {
    let parameters = libc::sched_param { sched_priority: priority };
    // SAFETY: `parameters` is a valid sched_param; 0 is the calling thread.
    unsafe {
        libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &raw const parameters) == 0
    }
}

/// Lets a thread (0 for the calling one) run on these processors only.
pub(crate) fn pin(tid: i32, processors: &[usize]) {
    // SAFETY: a cpu_set_t is plain bits, for which zero bytes are valid; it is read for its size.
    unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        for &processor in processors {
            libc::CPU_SET(processor, &mut set);
        }
        libc::sched_setaffinity(tid, size_of::<libc::cpu_set_t>(), &raw const set);
    }
}

/// Lets all threads of these processes run on these processors only.
pub(crate) fn pin_all(pids: &[i32], processors: &[usize]) {
    for tid in pids.iter().flat_map(|&pid| threads(pid)) {
        pin(tid, processors);
    }
}

/// All processors.
pub(crate) fn processors() -> Vec<usize> {
    (0..std::thread::available_parallelism().unwrap().get()).collect()
}
