//! `hooks test` on a configuration of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;

use crate::daemon::{signal, until};
use crate::program::{Program, Run};
use crate::server::{Reply, Server};

/// A directory with a configuration, in which hooks are tried.
pub(crate) struct Bench {
    program: Program,
}

impl Bench {
    /// `keys`: those of the one hook, `h`; what it listens to is there already.
    pub(crate) fn new(keys: &str) -> Self {
        Self::of(Program::new(), keys)
    }

    pub(crate) fn of(program: Program, keys: &str) -> Self {
        let bench = Self { program };
        bench.configure(keys);
        bench
    }

    pub(crate) fn configure(&self, keys: &str) {
        let text = format!("[[hooks]]\nname = \"h\"\non = [\"pause\", \"critical\"]\n{keys}\n");
        fs::write(self.path("config.toml"), text).unwrap();
    }

    /// A file in the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.program.home().join(name)
    }

    /// Runs `hooks test h` with further arguments.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        let config = self.path("config.toml");
        let data = self.path("data");
        let directories = ["--config", config.to_str().unwrap(), "--data-dir", data.to_str().unwrap()];
        self.program.run(&[&["hooks", "test", "h"], &directories[..], arguments].concat())
    }

    /// The same as JSON. The exit code says whether it was well.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let run = self.run(&[&["--json"], arguments].concat());
        let value: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"));
        assert_eq!(run.code, i32::from(value["outcome"] != "ok"), "{run:?}");
        value
    }
}

/// The outcome of a try, and how.
pub(crate) fn outcome(value: &Value) -> (&str, &str) {
    (value["outcome"].as_str().unwrap(), value["detail"].as_str().unwrap())
}

/// The lines that it said.
pub(crate) fn output(value: &Value) -> Vec<&str> {
    value["output"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect()
}

#[test]
fn one_that_is_ended_by_hand_leaves_nothing_running() {
    let program = Program::new();
    let pid = program.home().join("pid");
    let config = program.home().join("config.toml");
    let script = format!("echo $$ > {}; sleep 300 & sleep 300", pid.display());
    fs::write(
        &config,
        format!("[[hooks]]\nname = \"long\"\non = [\"pause\"]\ntimeout = \"5m\"\ncommand = [\"sh\", \"-c\", \"{script}\"]\n"),
    )
    .unwrap();
    let arguments = ["hooks", "test", "long", "--config", config.to_str().unwrap()];
    let mut child = program.command(&arguments).stderr(Stdio::piped()).spawn().unwrap();
    let group: i32 = until("the hook", || fs::read_to_string(&pid).ok()?.trim().parse().ok());
    let mut told = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stderr.read_line(&mut told).unwrap();
    assert_eq!(told, "pause-monitor: hook long: under way, one try is given 5m; Ctrl-C ends it\n");
    assert!(signal(child.id().cast_signed(), libc::SIGINT));
    assert_eq!(child.wait().unwrap().code(), Some(1));
    stderr.read_line(&mut told).unwrap();
    assert!(told.ends_with("pause-monitor: hook long: ended by hand, and killed\n"), "{told}");
    until("the hook's end", || (!signal(-group, 0)).then_some(()));
}

#[test]
fn a_key_that_others_can_read_is_told_of_and_used() {
    let program = Program::new();
    let (config, key) = (program.home().join("config.toml"), program.home().join("key"));
    fs::write(&key, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let server = Server::new(&[Reply::Status(200, "", "")]);
    let text = format!(
        "[[hooks]]\nname = \"s\"\non = [\"pause\"]\nwebhook = \"{}\"\nsecret_file = \"key\"\n",
        server.url("/")
    );
    fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    for (mode, told) in [
        (
            0o644,
            "pause-monitor: hook s: others can read its secret_file (mode 644): chmod 600 it, and change the secret\n",
        ),
        (0o600, ""),
    ] {
        fs::set_permissions(&key, PermissionsExt::from_mode(mode)).unwrap();
        for arguments in [&["config", "check", config][..], &["hooks", "test", "s", "--config", config]] {
            let run = program.run(arguments);
            assert_eq!((run.code, run.stderr.as_str()), (0, told), "{arguments:?}: {}", run.stdout);
        }
    }
}
