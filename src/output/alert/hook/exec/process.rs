//! A hook's process: a session of its own, so that all that belongs to it can be ended together.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::thread;

use super::super::context::{HookContext, PATH};
use super::find;
use super::trust::Trust;
use crate::child;
use crate::privileges;

/// Why there is no process.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotStarted {
    /// It is not safe to run it.
    Refused(String),
    /// It can't be run.
    Failed(String),
}

/// A running program. Dropped, whatever of it still runs is killed.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    /// Our end of its standard input.
    pub(super) input: Option<OwnedFd>,
    /// Our end of its standard output and error, which are one.
    pub(super) output: Option<OwnedFd>,
    reaped: bool,
}

/// Looks for the program, makes sure that it may be run, and runs it. The disk may have it wait, so this is for a
/// thread that may wait.
pub(super) fn start(
    command: &[String],
    variables: &[(&'static str, String)],
    context: &HookContext,
) -> Result<Process, NotStarted> {
    let (name, arguments) =
        command.split_first().ok_or_else(|| NotStarted::Failed("there is no command".to_owned()))?;
    let trust = Trust { owner: 0 };
    // What a script calls is looked for by the shell: as root only where nobody else can put something.
    let path = if context.as_root { trust.path(PATH) } else { PATH.to_owned() };
    let program = find::program(name, &path).map_err(NotStarted::Failed)?;
    if context.as_root {
        let refuse = |why| {
            NotStarted::Refused(format!(
                "it would run as root, but {why}: make it root's, writable by nobody else, or run the daemon as yourself"
            ))
        };
        trust.command(&program, arguments, &path).map_err(refuse)?;
        // Who can write the configuration can have anything run.
        trust.file(&context.config_file).map_err(refuse)?;
    }
    spawn(&program, arguments, variables, &path, context)
        .map_err(|error| NotStarted::Failed(format!("{} can't be run: {error}", program.display())))
}

fn spawn(
    program: &Path,
    arguments: &[String],
    variables: &[(&'static str, String)],
    path: &str,
    context: &HookContext,
) -> io::Result<Process> {
    let (their_input, input) = io::pipe()?;
    let (output, their_output) = io::pipe()?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(context.variables.iter().map(|(name, value)| (name, value)))
        .env("PATH", path)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(their_input)
        .stdout(their_output.try_clone()?)
        .stderr(their_output);
    // SAFETY: `prepare` calls the system alone.
    unsafe { command.pre_exec(prepare) };
    let child = command.spawn()?;
    Ok(Process { child, input: Some(input.into()), output: Some(output.into()), reaped: false })
}

/// Between fork and exec: a session, no descriptor of ours, nothing left of root under sudo. It must not allocate.
fn prepare() -> io::Result<()> {
    // SAFETY: setsid takes nothing; both may be called after a fork.
    unsafe {
        if libc::setsid() == -1 {
            return Err(io::Error::last_os_error());
        }
        close_on_exec();
    }
    privileges::for_good()
}

/// Marks all descriptors but the first three: some may have been made without the mark in another thread just now.
///
/// # Safety
/// For the child after a fork alone.
unsafe fn close_on_exec() {
    #[cfg(target_os = "linux")]
    // SAFETY: it takes numbers. Where the kernel does not know it, the marks set one by one have to do.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
    #[cfg(not(target_os = "linux"))]
    // As many as the daemon asks for at its start.
    for descriptor in 3..4_096 {
        // SAFETY: fcntl takes numbers; one that is not open is refused.
        unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

impl Process {
    /// Whether it has ended. It is not reaped by this, so its number stays its own.
    pub(super) fn has_ended(&self) -> bool {
        child::has_ended(&self.child)
    }

    /// Kills it and all that it started, but for what went into a session of its own.
    pub(super) fn kill_group(&self) {
        if !self.reaped {
            child::kill_group(&self.child);
        }
    }

    /// How it ended, if it has.
    pub(super) fn status(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().ok().flatten();
        self.reaped |= status.is_some();
        status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.reaped {
            return;
        }
        self.kill_group();
        if self.status().is_none() {
            // It is about to end; who can't even be killed (it waits for a disk) has a thread wait for it.
            let pid = self.child.id().cast_signed();
            let wait = move || {
                // SAFETY: it takes a number, and no place for the status.
                unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
            };
            let _ = thread::Builder::new().name("hook-reaper".into()).spawn(wait);
        }
    }
}
