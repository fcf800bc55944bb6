//! Root, and how it is given up under sudo.
//!
//! What lies in a user's directories is the user's to put there, links among it: so nothing is done in them as root. Under
//! sudo every command becomes the invoking user before it opens anything, and for good, but for:
//!
//! | | what is left of root |
//! |---|---|
//! | `daemon`, source powermetrics | it can be had back by one child, which becomes `/usr/bin/powermetrics` and nothing else; it is started anew every hour |
//! | `daemon`, source linux | two capabilities, in force in the sampling thread alone: to read what only root may (energy counters), and the disk accounts of all processes |
//! | what concerns the system's own service | all of it: its places are root's |
//!
//! What a process starts has none of it, but for that one child.

use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt;

use crate::config::Owner;
use crate::config::paths::user;

fn done(result: libc::c_int) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Acts as the user from now on, with the user's groups; root can be had back.
///
/// # Errors
/// Where the system refuses.
pub fn act_as(owner: Owner) -> io::Result<()> {
    let groups = groups(user(owner.uid).map(|user| user.name), owner.gid);
    // SAFETY: setgroups reads as many ids as are said; the others take numbers.
    unsafe {
        done(libc::setgroups(groups.len() as _, groups.as_ptr()))?;
        done(libc::setegid(owner.gid))?;
        done(libc::seteuid(owner.uid))
    }
}

/// Becomes the user that [`act_as`] acts as, for good. `keep_counters` (Linux): with the two capabilities, not in force.
///
/// # Errors
/// Where the system refuses, or root could be had back all the same.
pub fn stay(keep_counters: bool) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if keep_counters {
        capabilities::survive()?;
    }
    for_good()?;
    #[cfg(target_os = "linux")]
    {
        capabilities::reduce()?;
        // A change of user hides a process's own entries in /proc from itself. Who may look into it is decided by ids and
        // capabilities as before.
        // SAFETY: prctl takes numbers here.
        done(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) })?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = keep_counters;
    // SAFETY: it takes a number. Somebody who can get root back has not given it up.
    if unsafe { libc::seteuid(0) } == 0 {
        return Err(io::Error::other("it could be had back"));
    }
    Ok(())
}

/// For a child between fork and exec, and for a process: where root could be had back, it can't any more. Async-signal-safe.
///
/// # Errors
/// Where the system refuses.
pub fn for_good() -> io::Result<()> {
    // SAFETY: all of them take numbers or nothing, and may be called after a fork.
    unsafe {
        let (uid, gid) = (libc::geteuid(), libc::getegid());
        if libc::getuid() != 0 || uid == 0 {
            return Ok(());
        }
        done(libc::seteuid(0))?;
        done(libc::setgid(gid))?;
        done(libc::setuid(uid))
    }
}

/// For a child between fork and exec: root again, where it can be had back; else as it is. Async-signal-safe.
///
/// # Errors
/// Where the system refuses.
pub fn back() -> io::Result<()> {
    // SAFETY: they take numbers, or a list of one group with its length, and may be called after a fork.
    unsafe {
        if libc::getuid() != 0 || libc::geteuid() == 0 {
            return Ok(());
        }
        done(libc::seteuid(0))?;
        done(libc::setgroups(1, &0))?;
        done(libc::setgid(0))?;
        done(libc::setuid(0))
    }
}

/// At the start, where it is no matter of root: the two capabilities, if they were given, are not in force, and none pass to
/// what is started (Linux; systemd's AmbientCapabilities= would pass to hooks).
///
/// # Errors
/// Where the system refuses.
pub fn lower() -> io::Result<()> {
    // SAFETY: it takes nothing.
    #[cfg(target_os = "linux")]
    if unsafe { libc::geteuid() } != 0 {
        return capabilities::lower();
    }
    Ok(())
}

/// Puts what was kept in force, in this thread.
pub fn raise() {
    // SAFETY: it takes nothing.
    #[cfg(target_os = "linux")]
    if unsafe { libc::geteuid() } != 0
        && let Err(error) = capabilities::raise()
    {
        tracing::warn!("what only root may read is not read: {error}");
    }
}

/// All groups of a user; its first one alone where the database does not say.
fn groups(name: Option<OsString>, first: u32) -> Vec<libc::gid_t> {
    #[cfg(target_os = "macos")]
    type Group = libc::c_int;
    #[cfg(not(target_os = "macos"))]
    type Group = libc::gid_t;
    /// As many as macOS takes; more would be refused there.
    const MOST: usize = if cfg!(target_os = "macos") { 16 } else { 1_024 };
    let Some(name) = name.and_then(|name| CString::new(name.into_vec()).ok()) else { return vec![first] };
    let mut found: Vec<Group> = vec![0; MOST];
    let mut count = MOST as libc::c_int;
    // SAFETY: `name` is a C string, `found` has room for the `count` that is said.
    unsafe { libc::getgrouplist(name.as_ptr(), first as Group, found.as_mut_ptr(), &raw mut count) };
    found.truncate(usize::try_from(count).unwrap_or(0).min(MOST));
    if found.is_empty() { vec![first] } else { found.into_iter().map(|group| group as libc::gid_t).collect() }
}

/// Linux' parts of root, capabilities(7). They are a thread's, and pass to the threads that it starts.
#[cfg(target_os = "linux")]
mod capabilities {
    use super::{done, io};

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
        done(unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0) })
    }

    /// Gives all up but those two; of them what we have, and not in force. Nothing passes to what is run.
    pub(super) fn reduce() -> io::Result<()> {
        change(|had, ours| Data { permitted: had.permitted & ours, ..Data::default() })
    }

    /// Has those two not in force, and none pass to what is run.
    pub(super) fn lower() -> io::Result<()> {
        change(|had, ours| Data { effective: had.effective & !ours, inheritable: 0, ..had })
    }

    /// Puts those two in force, in this thread.
    pub(super) fn raise() -> io::Result<()> {
        change(|had, ours| Data { effective: had.effective | (had.permitted & ours), ..had })
    }

    /// Changes this thread's sets, of which there are two words; the mask is that of the two in the word.
    fn change(new: impl Fn(Data, u32) -> Data) -> io::Result<()> {
        let header = Header { version: VERSION_3, pid: 0 };
        let mut sets = [Data::default(); 2];
        // SAFETY: the header and two sets are what version 3 takes, and they are valid for the call.
        let result = unsafe { libc::syscall(libc::SYS_capget, &raw const header, sets.as_mut_ptr()) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        for (word, set) in sets.iter_mut().enumerate() {
            let bit =
                |capability: u32| if capability as usize / 32 == word { 1 << (capability % 32) } else { 0 };
            *set = new(*set, bit(DAC_READ_SEARCH) | bit(SYS_PTRACE));
        }
        // SAFETY: prctl takes numbers here.
        done(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) })?;
        // SAFETY: as above; it reads them.
        let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_s_groups_are_found_with_the_first_among_them() {
        assert!(groups(Some("root".into()), 0).contains(&0));
        assert_eq!(groups(Some("nobody-of-that-name".into()), 7), [7]);
        assert_eq!(groups(None, 7), [7]);
    }
}
