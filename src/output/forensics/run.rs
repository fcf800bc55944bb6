//! One process that captures: in a group of its own, with time and size limits, out of the way of the rest.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::child;
use crate::privileges;

/// How often the rest of the worker has its turn while a process runs.
const TICK_MS: libc::c_int = 100;
/// How long an ended process's pipes are read on where somebody it started holds them open.
const DRAIN: Duration = Duration::from_millis(500);
/// How long a killed process is waited for.
const DIES: Duration = Duration::from_secs(1);
/// The end of what it complained of that is kept, bytes.
const SAID: usize = 4 << 10;
/// What the environment of every process is, besides HOME and USER.
const ENVIRONMENT: [(&str, &str); 2] = [("PATH", "/usr/bin:/bin:/usr/sbin:/sbin"), ("LC_ALL", "C")];

/// A process that runs.
pub(super) struct Process {
    child: Child,
    began: Instant,
}

/// How it ended.
#[derive(Debug)]
pub(super) enum End {
    /// By itself.
    Exited(ExitStatus),
    /// Its time was over.
    TimedOut,
    /// It wrote as much as it may; it was ended then.
    Full,
    /// What it wrote could not be kept.
    NotWritten(io::Error),
    /// The daemon stops.
    Stopped,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) end: End,
    /// The last of what it wrote to standard error.
    pub(super) said: String,
    /// It was killed, and still runs: a process that waits for the disk, or another user's.
    pub(super) left: Option<Child>,
}

impl Process {
    /// Starts a command. `out_of_the_way`: it gives way to everything else.
    pub(super) fn start(argv: &[OsString], out_of_the_way: bool) -> io::Result<Self> {
        let (program, arguments) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(ENVIRONMENT)
            .envs(["HOME", "USER"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        // SAFETY: what is called is async-signal-safe and touches no memory.
        unsafe {
            command.pre_exec(move || {
                if out_of_the_way {
                    give_way();
                }
                privileges::for_good()?;
                // After that: a change of user forgets it.
                end_with_us();
                Ok(())
            });
        }
        Ok(Self { child: command.spawn()?, began: Instant::now() })
    }

    /// Reads what it writes into `out` until it ends, `time` is over, `bytes` have come, or `tick`, which is called ten
    /// times a second, says that it is to stop.
    pub(super) fn drive(
        mut self,
        out: &mut dyn Write,
        time: Duration,
        bytes: u64,
        tick: &mut dyn FnMut() -> bool,
    ) -> Ended {
        let deadline = self.began + time;
        let (mut stdout, mut stderr) = (self.child.stdout.take(), self.child.stderr.take());
        for fd in [stdout.as_ref().map(AsRawFd::as_raw_fd), stderr.as_ref().map(AsRawFd::as_raw_fd)] {
            set_nonblocking(fd.unwrap_or(-1));
        }
        let mut room = bytes;
        let mut said = Vec::new();
        let mut gone: Option<Instant> = None;
        let mut block = vec![0; 64 << 10];
        let cut = loop {
            if let Some(pipe) = &mut stdout {
                match copy(pipe, &mut block, |read| {
                    let fits = usize::try_from(room).unwrap_or(usize::MAX).min(read.len());
                    room -= fits as u64;
                    out.write_all(&read[..fits])?;
                    Ok(fits == read.len())
                }) {
                    Ok(Copied::More) => {}
                    Ok(Copied::End) => stdout = None,
                    Ok(Copied::Enough) => break Some(End::Full),
                    Err(error) => break Some(End::NotWritten(error)),
                }
            }
            if let Some(pipe) = &mut stderr
                && !matches!(copy(pipe, &mut block, |read| Ok(keep_end(&mut said, read))), Ok(Copied::More))
            {
                stderr = None;
            }
            if child::has_ended(&self.child) {
                let since = *gone.get_or_insert_with(Instant::now);
                if (stdout.is_none() && stderr.is_none()) || since.elapsed() >= DRAIN {
                    break None;
                }
            }
            if tick() {
                break Some(End::Stopped);
            }
            if Instant::now() >= deadline {
                break Some(End::TimedOut);
            }
            // Without pipes there is only its end to wait for, which comes at once.
            wait(stdout.as_ref().map(AsRawFd::as_raw_fd), stderr.as_ref().map(AsRawFd::as_raw_fd));
        };
        // What it closes here ends a process that can't be signalled, at its next write.
        drop((stdout, stderr));
        let (status, left) = self.end();
        let end = match (cut, status) {
            (Some(cut), _) => cut,
            (None, Some(status)) => End::Exited(status),
            (None, None) => End::TimedOut,
        };
        Ended { end, said: String::from_utf8_lossy(&said).into_owned(), left }
    }

    /// Kills what is left of its group, and reaps it where it ends.
    fn end(mut self) -> (Option<ExitStatus>, Option<Child>) {
        child::kill_group(&self.child);
        let begin = Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return (Some(status), None),
                Ok(None) if begin.elapsed() < DIES => std::thread::sleep(Duration::from_millis(5)),
                Ok(None) => return (None, Some(self.child)),
                Err(_) => return (None, None),
            }
        }
    }
}

enum Copied {
    More,
    Enough,
    End,
}

/// Hands over what is there now, 16 blocks at most.
fn copy(
    pipe: &mut impl Read,
    block: &mut [u8],
    mut take: impl FnMut(&[u8]) -> io::Result<bool>,
) -> io::Result<Copied> {
    for _ in 0..16 {
        match pipe.read(block) {
            Ok(0) => return Ok(Copied::End),
            Ok(count) => {
                if !take(&block[..count])? {
                    return Ok(Copied::Enough);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Copied::More),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Ok(Copied::End),
        }
    }
    Ok(Copied::More)
}

/// Keeps the end of what is said.
fn keep_end(said: &mut Vec<u8>, more: &[u8]) -> bool {
    said.extend_from_slice(more);
    said.drain(..said.len().saturating_sub(SAID));
    true
}

/// Waits until there is something to read, a tick at most.
fn wait(stdout: Option<i32>, stderr: Option<i32>) {
    let entry = |fd: Option<i32>| libc::pollfd { fd: fd.unwrap_or(-1), events: libc::POLLIN, revents: 0 };
    let mut pipes = [entry(stdout), entry(stderr)];
    let time = if stdout.is_none() && stderr.is_none() { 5 } else { TICK_MS };
    // SAFETY: `pipes` is two valid entries; those with -1 are passed over.
    unsafe { libc::poll(pipes.as_mut_ptr(), 2, time) };
}

fn set_nonblocking(fd: i32) {
    // SAFETY: fcntl takes a descriptor and numbers; one that is none is an error without effect.
    unsafe {
        let flags = libc::fcntl(fd, libc::F_GETFL);
        libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK);
    }
}

/// Gives way to everything else: processor and disk, in this process (on Linux this thread) and all that it starts.
/// Refused, it goes on as it is.
#[cfg(target_os = "linux")]
pub(super) fn give_way() {
    /// `IOPRIO_CLASS_IDLE`, in the upper three bits of 16.
    const IDLE: libc::c_int = 3 << 13;
    /// `IOPRIO_WHO_PROCESS`.
    const PROCESS: libc::c_int = 1;
    // SAFETY: both take numbers; 0 is the caller.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, 10);
        libc::syscall(libc::SYS_ioprio_set, PROCESS, 0, IDLE);
    }
}

/// The same.
#[cfg(target_os = "macos")]
pub(super) fn give_way() {
    /// `PRIO_DARWIN_PROCESS` and `PRIO_DARWIN_BG` of sys/resource.h: processor, disk and network.
    const DARWIN_PROCESS: libc::c_int = 4;
    const DARWIN_BG: libc::c_int = 0x1000;
    // SAFETY: it takes numbers; 0 is the caller.
    unsafe {
        libc::setpriority(DARWIN_PROCESS, 0, DARWIN_BG);
    }
}

/// A daemon that is killed takes its captures with it; elsewhere they end at their next write.
fn end_with_us() {
    #[cfg(target_os = "linux")]
    // SAFETY: it takes numbers.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    }
}
