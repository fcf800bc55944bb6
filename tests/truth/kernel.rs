//! What the kernel says and takes: threads, how long they waited for a processor, priorities, processors.

use std::fs;
use std::mem;
use std::time::{Duration, Instant};

/// A thread, by its process and its own number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thread {
    pid: i32,
    tid: i32,
}

/// What the kernel counted of a thread (proc(5), `schedstat`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scheduled {
    /// Time that it could have run and did not, ms.
    pub(crate) waited_ms: f64,
    /// How often it was given a processor.
    times: u64,
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

    pub(crate) fn scheduled(self) -> Scheduled {
        let text = fs::read_to_string(format!("/proc/{}/task/{}/schedstat", self.pid, self.tid)).unwrap();
        let numbers: Vec<u64> = text.split_ascii_whitespace().map(|number| number.parse().unwrap()).collect();
        Scheduled { waited_ms: numbers[1] as f64 / 1e6, times: numbers[2] }
    }

    /// How often it has been given a processor since then.
    pub(crate) fn times_since(self, since: Scheduled) -> u64 {
        self.scheduled().times - since.times
    }

    /// Waits until it has been given a processor since then.
    pub(crate) fn wait_until_it_runs(self, since: Scheduled) {
        watch("the thread runs again", || self.scheduled().times > since.times);
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
