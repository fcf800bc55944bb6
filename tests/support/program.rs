//! The built program, run in an environment of its own.

// clippy.toml allows it in tests only, and takes this for none.
#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

/// How to run the program: with an empty home directory, which it runs in, and nothing in the environment but what is given.
pub(crate) struct Program {
    home: tempfile::TempDir,
    environment: Vec<(&'static str, String)>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: i32,
}

impl Program {
    pub(crate) fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap(), environment: Vec::new() }
    }

    /// Sets a variable.
    pub(crate) fn env(mut self, name: &'static str, value: &str) -> Self {
        self.environment.push((name, value.to_owned()));
        self
    }

    /// Its home directory.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// The program with these arguments, and nothing on standard input.
    pub(crate) fn command(&self, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pause-monitor"));
        command
            .args(arguments)
            .args(any_port(arguments))
            .env_clear()
            .env("HOME", self.home())
            // No desktop of whoever runs the tests: nothing pops up on it.
            .env("XDG_RUNTIME_DIR", self.home())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.home())
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[impl AsRef<OsStr>]) -> Run {
        Run::of(&mut self.command(arguments))
    }
}

impl Run {
    /// Runs a command to its end.
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        Self {
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code().unwrap(),
        }
    }
}

/// Tests run side by side: a daemon that is not told where to serve HTTP serves at a port that is free.
fn any_port(arguments: &[impl AsRef<OsStr>]) -> &'static [&'static str] {
    let has = |word: &str| arguments.iter().any(|argument| argument.as_ref() == word);
    let is_daemon = arguments.first().is_some_and(|name| name.as_ref() == "daemon");
    let config = arguments.iter().skip_while(|argument| argument.as_ref() != "--config").nth(1);
    let configured = config
        .and_then(|file| std::fs::read_to_string(file.as_ref()).ok())
        .is_some_and(|config| config.contains("[http]"));
    if is_daemon && !has("--web.listen-address") && !configured {
        &["--web.listen-address", "127.0.0.1:0"]
    } else {
        &[]
    }
}
