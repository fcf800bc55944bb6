//! The sampler's process: started, drained, waited for and ended, none of it on the sampling path.
//!
//! A process that runs through sudo belongs to root: it can't be signalled. Closing our end of its output ends
//! it with SIGPIPE at its next write, and that covers our own sudden end too.

use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::command;
use super::decode::OwnPids;
use crate::privileges;
use crate::source::host;

/// What is asked for as room between the sampler and us, bytes: about fifteen documents, so that our own
/// starvation does not hold the sampler up.
const ROOM: libc::c_int = 4 << 20;
/// What a pipe holds that nobody made larger, bytes.
const PIPE: libc::c_int = 64 << 10;
/// Lines of standard error that are kept, and bytes of each.
const STDERR_LINES: usize = 20;
const STDERR_LINE: u64 = 512;
/// When a child's own children and memory are looked at, each after so long: soon, as sudo starts the sampler at once; again
/// and again, as on a machine at its worst it does not; and then ever so often.
const LOOKS: [(u32, Duration); 3] =
    [(1, Duration::from_millis(300)), (10, Duration::from_secs(1)), (u32::MAX, Duration::from_secs(5))];

/// What a child's threads tell.
#[derive(Debug)]
pub enum Told {
    /// It runs; this is our end of its output, non-blocking, and how many bytes that holds.
    Started(OwnedFd, usize),
    /// It could not be started.
    NotStarted(io::Error),
    /// It ended. Its last lines of standard error.
    Ended(ExitStatus, Vec<String>),
}

/// What is shared with a child's threads.
#[derive(Debug, Default)]
struct Shared {
    /// Its process id while it may be signalled: gone before the system can give it to another.
    /// The waiting thread writes and clears it, [`Child::signal`] reads it.
    pid: Mutex<Option<libc::pid_t>>,
    /// Its pid and its children's, 0 where unused. The thread that looks at them writes, the sampling thread reads.
    pids: [AtomicI32; 4],
    /// What it and its children hold in memory, bytes. The same.
    resident: AtomicU64,
}

impl Shared {
    /// Looks which children it has, and how much memory all of them hold; false where it has ended.
    fn look(&self) -> bool {
        // The lock is not held while the system is asked: the sampling thread may want to signal.
        let pid = *self.pid.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(pid) = pid else { return false };
        let children = children(pid);
        for (at, slot) in self.pids[1..].iter().enumerate() {
            slot.store(children.get(at).copied().unwrap_or(0), Ordering::Relaxed);
        }
        let held = [pid].into_iter().chain(children).filter_map(host::resident_bytes);
        self.resident.store(held.fold(0, u64::saturating_add), Ordering::Relaxed);
        true
    }
}

/// A child from its start to its end.
#[derive(Debug)]
pub struct Child {
    shared: Arc<Shared>,
    told: Receiver<Told>,
    /// This process: asked for once, it is a system call.
    monitor: libc::pid_t,
}

impl Child {
    /// Starts the command on threads of its own; returns at once.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(command: &[String]) -> io::Result<Self> {
        let (tell, told) = sync_channel(4);
        let shared = Arc::new(Shared::default());
        let command = command.to_vec();
        thread::Builder::new().name("sampler".into()).spawn({
            let shared = Arc::clone(&shared);
            move || supervise(&command, &shared, &tell)
        })?;
        Ok(Self { shared, told, monitor: std::process::id().cast_signed() })
    }

    /// What has been told since the last call.
    pub fn next(&self) -> Option<Told> {
        self.told.try_recv().ok()
    }

    /// The processes to leave out of blame: ours, the child and its children.
    #[must_use]
    pub fn own_pids(&self) -> OwnPids {
        let mut own = OwnPids { monitor: self.monitor, sampler: [0; 4] };
        for (slot, pid) in own.sampler.iter_mut().zip(&self.shared.pids) {
            *slot = pid.load(Ordering::Relaxed);
        }
        own
    }

    /// Memory that it and its children held when they were looked at last, bytes; 0 where that is not known.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        self.shared.resident.load(Ordering::Relaxed)
    }

    /// Signals it and its group, where that is permitted. True where it has ended or been signalled.
    pub fn signal(&self, signal: libc::c_int) -> bool {
        let pid = self.shared.pid.lock().unwrap_or_else(PoisonError::into_inner);
        match *pid {
            None => true,
            // SAFETY: kill takes two numbers. The child is a session leader of its own and not yet reaped, so
            // its group is its pid and nobody else's.
            Some(pid) => unsafe { libc::kill(-pid, signal) == 0 },
        }
    }
}

/// A child's thread: starts it, drains its standard error, waits for its end.
fn supervise(command: &[String], shared: &Arc<Shared>, tell: &SyncSender<Told>) {
    let (mut child, output, room) = match spawn(command) {
        Ok(started) => started,
        Err(error) => {
            let _ = tell.send(Told::NotStarted(error));
            return;
        }
    };
    let pid = child.id().cast_signed();
    *shared.pid.lock().unwrap_or_else(PoisonError::into_inner) = Some(pid);
    shared.pids[0].store(pid, Ordering::Relaxed);
    let lines = child.stderr.take().map(drain);
    if tell.send(Told::Started(output, room)).is_err() {
        // Nobody is interested any more; its output is closed with the message.
    }
    // Not on this thread, which waits, and not on the sampling thread, which asks the system for nothing but samples.
    let shared_too = Arc::clone(shared);
    let look = move || {
        let pauses = LOOKS.into_iter().flat_map(|(times, pause)| (0..times).map(move |_| pause));
        for pause in pauses {
            thread::sleep(pause);
            if !shared_too.look() {
                return;
            }
        }
    };
    if thread::Builder::new().name("sampler-family".into()).spawn(look).is_err() {
        tracing::warn!("no thread to look at the sampler's processes and memory with");
    }
    wait_for_end(pid);
    // From here on the number may be given to another process.
    *shared.pid.lock().unwrap_or_else(PoisonError::into_inner) = None;
    let status = child.wait().unwrap_or_default();
    // A grandchild may hold standard error open: don't wait for it for long.
    let lines =
        lines.and_then(|lines| lines.recv_timeout(Duration::from_millis(500)).ok()).unwrap_or_default();
    let _ = tell.send(Told::Ended(status, lines));
}

/// Starts the command in a session of its own: no terminal can stop it, or be asked for a password.
fn spawn(command: &[String]) -> io::Result<(std::process::Child, OwnedFd, usize)> {
    let (program, arguments) =
        command.split_first().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no command"))?;
    let (ours, theirs, room) = channel()?;
    let roots = command::may_be_roots(command).is_ok();
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::from(theirs)).stderr(Stdio::piped());
    // SAFETY: what is called is async-signal-safe and touches no memory.
    unsafe {
        command.pre_exec(move || {
            if libc::setsid() == -1 {
                return Err(io::Error::last_os_error());
            }
            // Under sudo: whoever writes the configuration must not choose what root runs.
            if roots { privileges::back() } else { privileges::for_good() }
        });
    }
    let child = command.spawn()?;
    set_nonblocking(&ours)?;
    Ok((child, ours, room))
}

/// A socket pair with 4 MiB of room; where that is not granted, a pipe as large as the system allows.
/// (our end, the child's end, how many bytes it holds).
fn channel() -> io::Result<(OwnedFd, OwnedFd, usize)> {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for the two descriptors.
    if unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, ends.as_mut_ptr()) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both were just made and belong to nobody else.
    let (ours, theirs) = unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
    set_cloexec(&ours)?;
    set_cloexec(&theirs)?;
    if widen(&theirs, libc::SO_SNDBUF) && widen(&ours, libc::SO_RCVBUF) {
        return Ok((ours, theirs, ROOM as usize));
    }
    let (ours, theirs) = io::pipe()?;
    let (ours, theirs) = (OwnedFd::from(ours), OwnedFd::from(theirs));
    #[cfg(target_os = "linux")]
    let room = {
        let mut room = ROOM;
        // SAFETY: fcntl takes a descriptor and numbers.
        while room > PIPE && unsafe { libc::fcntl(theirs.as_raw_fd(), libc::F_SETPIPE_SZ, room) } == -1 {
            room /= 2;
        }
        room
    };
    #[cfg(not(target_os = "linux"))]
    let room = PIPE;
    Ok((ours, theirs, room as usize))
}

/// Asks for [`ROOM`] as a socket buffer; whether it was granted.
fn widen(socket: &OwnedFd, option: libc::c_int) -> bool {
    let (room, length) = (ROOM, size_of::<libc::c_int>() as libc::socklen_t);
    let set = |option| {
        // SAFETY: the value is a c_int and its length is said.
        unsafe {
            libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, (&raw const room).cast(), length)
        }
    };
    set(option);
    // Root may go beyond the system's limit.
    #[cfg(target_os = "linux")]
    set(if option == libc::SO_SNDBUF { libc::SO_SNDBUFFORCE } else { libc::SO_RCVBUFFORCE });
    let (mut granted, mut length): (libc::c_int, _) = (0, length);
    // SAFETY: `granted` has room for the c_int that is asked for.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw mut granted).cast(),
            &raw mut length,
        )
    };
    result == 0 && granted >= ROOM
}

fn set_cloexec(fd: &OwnedFd) -> io::Result<()> {
    // SAFETY: fcntl takes a descriptor and numbers.
    let result = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn set_nonblocking(fd: &OwnedFd) -> io::Result<()> {
    // SAFETY: fcntl takes a descriptor and numbers.
    let result = unsafe {
        let flags = libc::fcntl(fd.as_raw_fd(), libc::F_GETFL);
        libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK)
    };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Reads standard error to its end on a thread of its own, so that a child that complains never blocks; the
/// last lines come when it ends.
fn drain(stderr: impl Read + Send + 'static) -> Receiver<Vec<String>> {
    let (send, receive) = sync_channel(1);
    let drain = move || {
        let mut reader = BufReader::new(stderr);
        let mut lines: Vec<String> = Vec::new();
        let mut line = Vec::new();
        loop {
            line.clear();
            // A line that is longer than is kept is told in parts.
            match (&mut reader).take(STDERR_LINE).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => break,
                Ok(_) => {
                    let text = crate::sample::printable(String::from_utf8_lossy(&line).trim());
                    if !text.is_empty() {
                        tracing::debug!(target: "sampler", "{text}");
                        if lines.len() == STDERR_LINES {
                            lines.remove(0);
                        }
                        lines.push(text);
                    }
                }
            }
        }
        let _ = send.send(lines);
    };
    if thread::Builder::new().name("sampler-stderr".into()).spawn(drain).is_err() {
        tracing::warn!("no thread to read the sampler's messages with");
    }
    receive
}

/// Waits until the process has ended, and leaves it unreaped.
fn wait_for_end(pid: libc::pid_t) {
    loop {
        // SAFETY: siginfo_t is plain data for which zeros are valid.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: `info` is a valid siginfo_t for the call to fill.
        let result = unsafe {
            libc::waitid(libc::P_PID, pid.cast_unsigned(), &raw mut info, libc::WEXITED | libc::WNOWAIT)
        };
        if result == 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return;
        }
    }
}

/// The process's children and theirs: under sudo the sampler is one of them.
#[cfg(target_os = "linux")]
fn children(pid: libc::pid_t) -> Vec<libc::pid_t> {
    let of = |pid: libc::pid_t| -> Vec<libc::pid_t> {
        std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
            .unwrap_or_default()
            .split_ascii_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect()
    };
    let mut found = of(pid);
    found.extend(found.clone().into_iter().flat_map(of));
    found
}

/// The process's children and theirs: under sudo the sampler is one of them.
#[cfg(target_os = "macos")]
fn children(pid: libc::pid_t) -> Vec<libc::pid_t> {
    let of = |pid: libc::pid_t| -> Vec<libc::pid_t> {
        let mut pids: [libc::pid_t; 16] = [0; 16];
        let room = size_of_val(&pids) as libc::c_int;
        // SAFETY: `pids` has the room that is said. It returns how many it wrote.
        let count = unsafe { libc::proc_listchildpids(pid, pids.as_mut_ptr().cast(), room) };
        pids.into_iter().take(usize::try_from(count).unwrap_or(0)).filter(|&pid| pid > 0).collect()
    };
    let mut found = of(pid);
    found.extend(found.clone().into_iter().flat_map(of));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Vec<String> {
        ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
    }

    /// What it tells next; the message is waited for.
    fn wait(child: &Child) -> Told {
        child.told.recv_timeout(Duration::from_secs(60)).unwrap()
    }

    #[test]
    fn a_child_that_ends_tells_its_status_and_its_last_words() {
        let child =
            Child::start(&shell("i=0; while [ $i -lt 50 ]; do echo line $i >&2; i=$((i+1)); done; exit 3"))
                .unwrap();
        assert!(matches!(wait(&child), Told::Started(..)));
        let Told::Ended(status, lines) = wait(&child) else { panic!() };
        assert_eq!(status.code(), Some(3));
        assert_eq!((lines.len(), lines[0].as_str(), lines[19].as_str()), (20, "line 30", "line 49"));
        assert!(child.signal(libc::SIGKILL), "it has ended: nobody is signalled");
    }

    #[test]
    fn closing_its_output_ends_a_child_that_writes() {
        let child = Child::start(&shell("while :; do echo x; done")).unwrap();
        let Told::Started(output, _) = wait(&child) else { panic!() };
        drop(output);
        let Told::Ended(status, _) = wait(&child) else { panic!() };
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGPIPE));
    }

    #[test]
    fn a_child_that_never_writes_is_ended_by_a_signal_to_its_group() {
        let child = Child::start(&shell("sleep 1000 & sleep 1000")).unwrap();
        let Told::Started(_output, _) = wait(&child) else { panic!() };
        assert!(child.signal(libc::SIGKILL));
        assert!(matches!(wait(&child), Told::Ended(..)));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_sampler_that_sudo_takes_long_to_start_is_ours_all_the_same() {
        let child = Child::start(&shell("sleep 1; sleep 1000 & wait")).unwrap();
        let Told::Started(..) = wait(&child) else { panic!() };
        let name_of = |pid| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let begun = std::time::Instant::now();
        // The first sleep is a child as well, and ends.
        while !child.own_pids().sampler[1..].iter().any(|&pid| pid != 0 && name_of(pid).contains("1000")) {
            assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", child.own_pids());
            thread::sleep(Duration::from_millis(10));
        }
        assert!(child.signal(libc::SIGKILL));
    }

    #[test]
    fn a_program_that_is_not_there_is_told() {
        let child = Child::start(&["/no/such/powermetrics".to_owned()]).unwrap();
        let Told::NotStarted(error) = wait(&child) else { panic!() };
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn the_channel_holds_back_at_least_four_documents() {
        let (ours, theirs, room) = channel().unwrap();
        set_nonblocking(&theirs).unwrap();
        let mut writer = std::fs::File::from(theirs);
        let (mut held, block) = (0, [b'x'; 4096]);
        while let Ok(written) = io::Write::write(&mut writer, &block) {
            held += written;
        }
        drop(ours);
        assert!(held >= 1 << 20, "{held} bytes");
        assert!(room <= held, "no more than that is promised");
    }
}
