//! The ways in which a daemon is held up, and for how long each really did.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::daemon::signal;
use crate::freezer::Freezer;
use crate::kernel::{Thread, Wait, Waits, are_stopped, be_prompt, pin, pin_all, processors, watch};
use crate::peer::peer;
use crate::subject::time;

/// How long it was, ms. What is between is not known: a busy machine takes time to stop a process, and to give it a
/// processor again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Truth {
    pub(crate) least_ms: f64,
    pub(crate) most_ms: f64,
}

impl Truth {
    /// How far a duration is from the nearest that could be true.
    pub(crate) fn outside_ms(&self, duration_ms: f64) -> f64 {
        duration_ms - duration_ms.clamp(self.least_ms, self.most_ms)
    }

    pub(crate) fn middle_ms(&self) -> f64 {
        self.least_ms.midpoint(self.most_ms)
    }
}

/// What the kernel says of each gap: the waits that ended in it. A heartbeat that slept until its next beat could not
/// have run for some of that either; one that was on its way there had less to go. One that had waited and was put off
/// again before it had looked at the clock was late by both waits at once.
///
/// # Panics
/// Where a wait that has to be a gap is in none.
pub(crate) fn truths(gaps: &[Value], waits: &[Wait]) -> Vec<Truth> {
    let mut truths = vec![Truth { least_ms: 0.0, most_ms: 0.0 }; gaps.len()];
    let ended: Vec<_> = gaps.iter().map(|gap| time(&gap["time"]) + WATCHED_TO).collect();
    for together in waits.chunk_by(|one, next| next.began() <= one.ended + GLUED) {
        if together.iter().map(|wait| wait.ms).sum::<f64>() < LEAST_GAP_MS - BEAT_MS {
            continue;
        }
        let sure = together.iter().filter(|wait| wait.ms >= LEAST_GAP_MS + BEAT_MS);
        let sure_ms: f64 = sure.map(|wait| wait.ms).sum();
        let last = together[together.len() - 1];
        match ended.iter().position(|ended| *ended >= last.ended) {
            Some(at) => {
                truths[at].most_ms += together.iter().map(|wait| wait.ms).sum::<f64>() + BEAT_MS;
                truths[at].least_ms += sure_ms;
            }
            None => assert!(sure_ms == 0.0, "{together:?} are in no gap of {gaps:#?}"),
        }
    }
    truths
}

/// Waits with less than this between them may be one to the heartbeat: it did not sleep in between.
const GLUED: Duration = Duration::from_millis(3);
/// The heartbeat's period, ms.
const BEAT_MS: f64 = 20.0;
/// `pause.min_duration`, ms: what is shorter is no gap.
const LEAST_GAP_MS: f64 = 250.0;
/// The kernel's and the heartbeat's word of an end are so far apart at most.
const WATCHED_TO: Duration = Duration::from_millis(60);

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Holds a thread up for a time, in the middle of which something else may happen.
fn hold_up<T>(
    thread: Thread,
    time: Duration,
    hold: impl FnOnce() -> T,
    meanwhile: impl FnOnce(),
    release: impl FnOnce(T),
) -> Truth {
    let ordered = Instant::now();
    let what = hold();
    let held = Instant::now();
    // Not waits for a result: this is the time that is to be lost.
    thread::sleep(time / 2);
    meanwhile();
    thread::sleep(time.saturating_sub(held.elapsed()));
    let before = thread.scheduled();
    let released = Instant::now();
    release(what);
    thread.wait_until_it_runs(before);
    Truth { least_ms: ms(released - held), most_ms: ms(ordered.elapsed()) }
}

/// SIGSTOP and SIGCONT. `thread` is the one whose return to life counts.
pub(crate) fn stop(thread: Thread, pids: &[i32], time: Duration, meanwhile: impl FnOnce()) -> Truth {
    let all = |number| pids.iter().for_each(|&pid| assert!(signal(pid, number)));
    let hold = || {
        all(libc::SIGSTOP);
        watch("stopped processes", || are_stopped(pids));
    };
    hold_up(thread, time, hold, meanwhile, |()| all(libc::SIGCONT))
}

/// A control group that is frozen with these processes in it. `None` where they may not be put there.
pub(crate) fn freeze(freezer: &Freezer, thread: Thread, pids: &[i32], time: Duration) -> Option<Truth> {
    if !pids.iter().all(|&pid| freezer.admit(pid)) {
        return None;
    }
    Some(hold_up(thread, time, || freezer.freeze(), || (), drop))
}

/// A control group that may have a millisecond of processor time a second.
pub(crate) struct Starved {
    group: PathBuf,
    /// The hierarchy's first group, where processes go back to.
    root: PathBuf,
    /// The first version's interface, with two files; the second has one.
    first: bool,
}

impl Starved {
    /// Makes one, where this user may.
    pub(crate) fn new() -> Option<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("pause-monitor-truth-{}-{number}", std::process::id());
        let made = [("/sys/fs/cgroup/cpu", true), ("/sys/fs/cgroup", false)].into_iter().find_map(
            |(root, first)| {
                let root = PathBuf::from(root);
                let limit = if first { "cpu.cfs_quota_us" } else { "cpu.max" };
                if !first {
                    // Where it is on already this changes nothing.
                    let _ = fs::write(root.join("cgroup.subtree_control"), "+cpu");
                }
                let group = root.join(&name);
                fs::create_dir(&group).ok()?;
                let starved = Self { group, root, first };
                starved.group.join(limit).exists().then_some(starved)
            },
        );
        if made.is_none() {
            println!(
                "passed over: no control group with a limit of processor time can be made under /sys/fs/cgroup"
            );
        }
        made
    }

    fn limit(&self, on: bool) {
        let files: &[(&str, &str)] = match (self.first, on) {
            (true, true) => &[("cpu.cfs_period_us", "1000000"), ("cpu.cfs_quota_us", "1000")],
            (true, false) => &[("cpu.cfs_quota_us", "-1")],
            (false, true) => &[("cpu.max", "1000 1000000")],
            (false, false) => &[("cpu.max", "max 1000000")],
        };
        for (file, text) in files {
            fs::write(self.group.join(file), text).unwrap();
        }
    }

    /// Starves these processes on one processor; somebody among them uses up what they get at once.
    pub(crate) fn starve(&self, thread: Thread, pids: &[i32], time: Duration) -> Vec<Wait> {
        let processor = processors()[0];
        pin_all(pids, &[processor]);
        let to = |group: &PathBuf, pid: i32| fs::write(group.join("cgroup.procs"), pid.to_string()).unwrap();
        pids.iter().for_each(|&pid| to(&self.group, pid));
        let mut burner = Command::new("/bin/sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let burner_pid = burner.id().cast_signed();
        pin_all(&[burner_pid], &[processor]);
        to(&self.group, burner_pid);
        let waits = Waits::of(thread);
        self.limit(true);
        thread::sleep(time);
        let last = thread.scheduled();
        let _ = burner.kill();
        self.limit(false);
        thread.wait_until_it_runs(last);
        let waits = waits.end();
        let _ = burner.wait();
        pids.iter().for_each(|&pid| to(&self.root, pid));
        pin_all(pids, &processors());
        waits
    }
}

impl Drop for Starved {
    fn drop(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while fs::remove_dir(&self.group).is_err() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Somebody with a real-time priority takes a processor (or all) on which these processes have to run.
pub(crate) fn hog(thread: Thread, pids: &[i32], on: &[usize], time: Duration) -> Option<Vec<Wait>> {
    let waits = Waits::of(thread);
    pin_all(pids, on);
    let hogs: Vec<_> = on
        .iter()
        .map(|&processor| {
            thread::spawn(move || {
                pin(0, &[processor]);
                be_prompt(10).then(|| spin(time))
            })
        })
        .collect();
    let permitted = hogs.into_iter().all(|hog| hog.join().unwrap().is_some());
    thread.wait_until_it_runs(thread.scheduled());
    pin_all(pids, &processors());
    let waits = waits.end();
    if !permitted {
        println!("passed over: a real-time priority is not permitted");
        return None;
    }
    Some(waits)
}

/// Takes a processor for a time.
fn spin(time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// The same by stress-ng.
pub(crate) fn overload(thread: Thread, pids: &[i32], on: &[usize], time: Duration) -> Option<Vec<Wait>> {
    let program = peer(&["stress-ng"], "stress-ng")?;
    let list = on.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    pin_all(pids, on);
    let waits = Waits::of(thread);
    let mut child = Command::new(program)
        .args(["--quiet", "--cpu", &on.len().to_string(), "--taskset", &list])
        .args(["--sched", "fifo", "--sched-prio", "10", "--timeout", "100s"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stressors = || children(child.id().cast_signed());
    watch("real-time priorities", || stressors().len() == on.len() && stressors().into_iter().all(is_fifo));
    thread::sleep(time);
    let last = thread.scheduled();
    stressors().into_iter().for_each(|pid| assert!(signal(pid, libc::SIGKILL)));
    thread.wait_until_it_runs(last);
    let waits = waits.end();
    let _ = child.wait();
    pin_all(pids, &processors());
    Some(waits)
}

fn children(pid: i32) -> Vec<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_ascii_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

fn is_fifo(pid: i32) -> bool {
    // SAFETY: it takes a number; -1 where there is none.
    let policy = unsafe { libc::sched_getscheduler(pid) };
    policy >= 0 && policy & libc::SCHED_FIFO != 0
}
