//! Under sudo: what root is not needed for is given up before anything is opened.
//!
//! | source | what is left |
//! |---|---|
//! | replay, simulate | nothing: the daemon is the invoking user's |
//! | linux | the invoking user with two capabilities: to read what only root may (energy counters), and the disk accounts of all processes |
//! | powermetrics | root: it is started anew every hour, and that is what sudo was called for |

use crate::config::{Owner, Paths, SourceKind};

/// Why root can't be given up.
#[derive(Debug, thiserror::Error)]
#[error("can't give up root for user {0}: {1}: run this as that user, without sudo")]
pub struct CantGiveUp(u32, #[source] std::io::Error);

/// Gives up what the source does not need; whose the files are then.
///
/// To be called before a thread is started that should not keep what is given up.
///
/// # Errors
/// Where the system refuses; going on as root would be what nobody asked for.
pub fn give_up(source: &SourceKind, paths: &Paths) -> Result<Paths, CantGiveUp> {
    let Some(owner) = paths.owner else { return Ok(paths.clone()) };
    let keep = match source {
        SourceKind::Powermetrics => return Ok(paths.clone()),
        SourceKind::Linux => true,
        SourceKind::Replay(_) | SourceKind::Simulate(_) => false,
    };
    become_user(owner, keep).map_err(|error| CantGiveUp(owner.uid, error))?;
    // The owner stays: helpers are given what is that user's.
    Ok(Paths { root: false, ..paths.clone() })
}

fn become_user(owner: Owner, keep: bool) -> std::io::Result<()> {
    let done = |result: libc::c_int| {
        if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    #[cfg(target_os = "linux")]
    if keep {
        capabilities::survive()?;
    }
    // SAFETY: setgroups reads as many ids as are said, of which there is one; the others take numbers.
    unsafe {
        done(libc::setgroups(1, &raw const owner.gid))?;
        done(libc::setgid(owner.gid))?;
        done(libc::setuid(owner.uid))?;
    }
    #[cfg(target_os = "linux")]
    if keep {
        capabilities::reduce()?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = keep;
    // SAFETY: it takes a number. Somebody who can get root back has not given it up.
    if unsafe { libc::setuid(0) } == 0 {
        return Err(std::io::Error::other("it could be had back"));
    }
    Ok(())
}

/// Linux' parts of root, capabilities(7). They are a thread's, and pass to the threads that it starts; a program that is
/// run gets none of them.
#[cfg(target_os = "linux")]
mod capabilities {
    use std::io;

    /// <linux/capability.h>
    const DAC_READ_SEARCH: u32 = 2;
    const SYS_PTRACE: u32 = 19;
    const VERSION_3: u32 = 0x2008_0522;

    #[repr(C)]
    struct Header {
        version: u32,
        pid: libc::c_int,
    }

    #[repr(C)]
    #[derive(Clone, Copy, Default)]
    struct Data {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }

    /// Has them survive the change of user.
    pub(super) fn survive() -> io::Result<()> {
        // SAFETY: prctl takes numbers here.
        let result = unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Gives all up but two; of those what we have.
    pub(super) fn reduce() -> io::Result<()> {
        let header = Header { version: VERSION_3, pid: 0 };
        let mut had = [Data::default(); 2];
        // SAFETY: the header and two sets are what version 3 takes, and they are valid for the call.
        let result = unsafe { libc::syscall(libc::SYS_capget, &raw const header, had.as_mut_ptr()) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        let mut left = [Data::default(); 2];
        for capability in [DAC_READ_SEARCH, SYS_PTRACE] {
            let (word, bit) = (capability as usize / 32, 1 << (capability % 32));
            left[word].permitted |= had[word].permitted & bit;
            left[word].effective |= had[word].permitted & bit;
        }
        // SAFETY: as above; it reads them.
        let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, left.as_ptr()) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}
