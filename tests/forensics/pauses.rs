//! Pauses of a daemon that reads this machine, and a thread that can't be interrupted.

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

use crate::daemon::{Daemon, Stream, is};
use crate::freezer::Freezer;
use crate::pressure::Pressure;

/// Freezes the daemon until it tells of a pause: its line.
pub(crate) fn pause(freezer: &Freezer, stream: &mut Stream) -> Value {
    for _ in 0..10 {
        let pressure = Pressure::start();
        let frozen = freezer.freeze();
        // Not a wait for a result: this is the time that is to be lost.
        thread::sleep(Duration::from_millis(1_200));
        drop(frozen);
        drop(pressure);
        let long = |line: &Value| is(line, "gap") && line["duration_ms"].as_f64().unwrap() > 900.0;
        let gap = stream.find("the gap", long);
        if gap["verdict"] == "pause" {
            return gap;
        }
    }
    panic!("ten times the kernel said that the rest went on");
}

/// A daemon that reads this machine, and a group to freeze it in. `None` where that is not permitted.
pub(crate) fn daemon(program: crate::program::Program, config: &str) -> Option<(Daemon, Stream, Freezer)> {
    let freezer = Freezer::new()?;
    let daemon = Daemon::start(program, config, &["--source", "linux"]);
    let mut stream = daemon.stream();
    stream.find("enough samples", |line| is(line, "sample") && line["seq"].as_u64() >= Some(30));
    freezer.admit(daemon.pid()).then_some((daemon, stream, freezer))
}

/// A thread in state D, for as long as this lives: the parent of a vfork waits so until its child is gone.
pub(crate) struct Stuck {
    release: Option<std::io::PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

/// The thread's name, as the kernel has it.
pub(crate) const STUCK: &str = "stuck-in-vfork";

impl Stuck {
    pub(crate) fn start() -> Self {
        let (mut wait, release) = std::io::pipe().unwrap();
        let (mut begun, begin) = std::io::pipe().unwrap();
        let kept = [begin.as_raw_fd(), wait.as_raw_fd()];
        let thread = thread::Builder::new().name(STUCK.to_owned()).spawn(move || {
            let flags = libc::CLONE_VFORK | libc::SIGCHLD;
            // SAFETY: without CLONE_VM the child has its own copy of the memory, as after fork; it makes system calls
            // only, and ends without returning.
            unsafe {
                let child = libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0);
                if child == 0 {
                    // The test's end of the pipe is closed so, and nobody waits for what others would have closed.
                    for descriptor in (3..4_096).filter(|descriptor| !kept.contains(descriptor)) {
                        libc::close(descriptor);
                    }
                    let _ = (&begin).write(&[1]);
                    // Until the test's end closes its own end, or the test is gone.
                    let _ = wait.read(&mut [0]);
                    libc::_exit(0);
                }
                libc::waitpid(child as libc::pid_t, std::ptr::null_mut(), 0);
            }
        });
        begun.read_exact(&mut [0]).unwrap();
        Self { release: Some(release), thread: Some(thread.unwrap()) }
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        self.release.take();
        let _ = self.thread.take().unwrap().join();
    }
}
