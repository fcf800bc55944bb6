//! What the system lets this process have. What is too little to run with is refused before anything is begun, in one
//! line; a start that fails half-way would be tried again, for ever, by whoever supervises it.

use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Descriptors wanted: three for each of 256 processes, one for each of 256 clients, and some.
const DESCRIPTORS: libc::rlim_t = 4_096;
/// Descriptors needed: our own files, sockets and runtimes, a sampler and one hook take about forty.
const LEAST_DESCRIPTORS: libc::rlim_t = 64;
/// Address space needed, bytes: the stacks of all threads, the two rings, and a sampler's document of the greatest
/// length while its buffer grows.
const LEAST_MEMORY: libc::rlim_t = 192 << 20;
/// Threads needed: those in ARCHITECTURE.md, and some of each runtime's.
const THREADS: usize = 14;

/// What there is too little of.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// Open files.
    #[error(
        "{0} files may be open at once, and {LEAST_DESCRIPTORS} at least are needed: raise the limit (`ulimit -n {DESCRIPTORS}`, LimitNOFILE in a systemd unit)"
    )]
    Descriptors(u64),
    /// Address space.
    #[error(
        "{} MB of memory may be addressed, and {} at least are needed: raise the limit (`ulimit -v unlimited`, LimitAS in a systemd unit)",
        .0 >> 20, LEAST_MEMORY >> 20
    )]
    Memory(u64),
    /// Threads. It may pass: others of this user's processes may end.
    #[error(
        "{THREADS} threads are needed, and the system does not give them: {0}; end other processes of this user, or raise the limit (`ulimit -u`, TasksMax in a systemd unit)"
    )]
    Threads(io::Error),
}

/// Takes what may be had, and refuses to begin with less than is needed.
///
/// A file that must not grow any more (RLIMIT_FSIZE) is an error of that write from here on, not the end of the process.
///
/// # Errors
/// Where there is too little of something.
pub fn prepare() -> Result<(), LimitError> {
    // A handler, since programs that are started would inherit that a signal is ignored. Refused, it kills as before.
    let _ = signal_hook::flag::register(libc::SIGXFSZ, Arc::new(AtomicBool::new(false)));
    // SAFETY: here and below `limit` is a valid rlimit to fill and to read.
    let descriptors = raised(|limit| unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, limit) != 0 {
            return false;
        }
        if limit.rlim_cur < DESCRIPTORS {
            limit.rlim_cur = DESCRIPTORS.min(limit.rlim_max);
            // Refused, it goes on with fewer.
            libc::setrlimit(libc::RLIMIT_NOFILE, limit);
            libc::getrlimit(libc::RLIMIT_NOFILE, limit);
        }
        true
    });
    if let Some(descriptors) = descriptors.filter(|&limit| limit < LEAST_DESCRIPTORS) {
        return Err(LimitError::Descriptors(descriptors));
    }
    // SAFETY: as above.
    let memory = raised(|limit| unsafe { libc::getrlimit(libc::RLIMIT_AS, limit) == 0 });
    if let Some(memory) = memory.filter(|&limit| limit < LEAST_MEMORY) {
        return Err(LimitError::Memory(memory));
    }
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let few = memory.is_some_and(|limit| limit != libc::RLIM_INFINITY);
        // glibc's malloc would set an arena aside for each of several threads: 64 MB of addresses, and pages that are
        // not given back. Two are enough for threads that ask for little; where addresses are few, one.
        // SAFETY: it takes two numbers, and no thread of ours runs yet.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, if few { 1 } else { 2 }) };
    }
    threads(THREADS).map_err(LimitError::Threads)
}

/// A limit as it is in force after `ask`, which says whether it is known.
fn raised(ask: impl FnOnce(&mut libc::rlimit) -> bool) -> Option<libc::rlim_t> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    ask(&mut limit).then_some(limit.rlim_cur)
}

/// Whether so many threads can be had at once: they are started, and let go.
fn threads(count: usize) -> io::Result<()> {
    let gate = Mutex::new(());
    thread::scope(|scope| {
        let _shut = gate.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..count {
            let wait = || drop(gate.lock());
            thread::Builder::new().stack_size(64 << 10).spawn_scoped(scope, wait)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_is_one_line_that_says_what_to_raise() {
        let refusals = [
            LimitError::Descriptors(20),
            LimitError::Memory(40 << 20),
            LimitError::Threads(io::ErrorKind::WouldBlock.into()),
        ];
        for (refusal, words) in refusals.iter().zip(["ulimit -n 4096", "40 MB", "ulimit -u"]) {
            let text = refusal.to_string();
            assert!(text.contains(words) && !text.contains('\n'), "{text}");
        }
    }

    #[test]
    fn what_this_machine_gives_is_enough() {
        prepare().unwrap();
    }
}
