//! A child process that leads a group of its own.

use std::process::Child;

/// Whether it has ended. It is not reaped by this, so its number stays its own.
pub(crate) fn has_ended(child: &Child) -> bool {
    // SAFETY: siginfo_t is plain data for which zeros are valid.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is valid for the call to fill.
    let result = unsafe { libc::waitid(libc::P_PID, child.id(), &raw mut info, flags) };
    // SAFETY: waitid has filled it, or left the zeros.
    result == 0 && unsafe { info.si_pid() } != 0
}

/// Kills it and all of its group. Only for one that leads its group and is not reaped: until then the group's number
/// is its own and nobody else's.
pub(crate) fn kill_group(child: &Child) {
    // SAFETY: kill takes two numbers.
    unsafe { libc::kill(-child.id().cast_signed(), libc::SIGKILL) };
}
