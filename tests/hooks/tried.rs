//! `hooks test` on a configuration of its own.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::program::{Program, Run};

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
