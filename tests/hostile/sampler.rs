//! A sampler of a test's own: a script that writes what the test wants.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::daemon::{Daemon, Stream, is};
use crate::executable::install;
use crate::program::Program;
use crate::stand_in::{StandIn, config};

const NONE: [&str; 0] = [];

/// What every script begins with. `$start` is the number of its start; `good` writes a document each tenth of a second.
const HEAD: &str = r#"#!/bin/sh
echo $$ >>"$STAND_IN_STARTS"
cd "${0%/*}" || exit 9
start=$(wc -l <starts)
good() { for _ in $(seq "$1"); do sleep 0.1; cat good; done; }
"#;

/// A document with little in it; `tasks` stands in its list of tasks.
pub(crate) fn document(tasks: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<plist version=\"1.0\">\n<dict>\n<key>elapsed_ns</key><integer>100000000</integer>\n<key>thermal_pressure</key><string>Nominal</string>\n<key>tasks</key>\n<array>\n{tasks}</array>\n</dict>\n</plist>\n"
    )
}

/// A task's row.
pub(crate) fn task(pid: i32, name: &str, cpu: f64) -> String {
    format!(
        "<dict>\n<key>pid</key><integer>{pid}</integer>\n<key>name</key><string>{name}</string>\n<key>cputime_ms_per_s</key><real>{cpu}</real>\n<key>pageins_per_s</key><real>{}</real>\n</dict>\n",
        cpu * 2.0
    )
}

/// The script, and what it leaves. To be made before the daemon that runs it, so as to outlive it.
pub(crate) struct Script(pub(crate) StandIn);

impl Script {
    /// One that does this at its start. `good` in it is a document of one task.
    pub(crate) fn new(body: &str) -> Self {
        let script = Self(StandIn::new("none"));
        script.file("good", document(&task(7, "worker", 50.0)).as_bytes());
        let text = script.file("text", format!("{HEAD}{body}\n").as_bytes());
        install(&text, &script.0.path("sampler"));
        script
    }

    /// Puts a file beside the script, which runs there.
    pub(crate) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// The configuration that runs it.
    pub(crate) fn config(&self) -> String {
        config(&[&self.0.path("sampler").to_string_lossy()])
    }

    /// A daemon that runs it.
    pub(crate) fn daemon(&self) -> Daemon {
        Daemon::start(self.program(), &self.config(), &NONE)
    }

    /// The program, in an environment in which the script runs.
    pub(crate) fn program(&self) -> Program {
        self.0.program()
    }

    /// How often it was started.
    pub(crate) fn starts(&self) -> usize {
        self.0.starts().len()
    }
}

pub(crate) fn is_complete(line: &Value) -> bool {
    is(line, "sample") && line["degraded"] == false
}

pub(crate) fn is_source(line: &Value, state: &str) -> bool {
    is(line, "source") && line["state"] == state
}

/// Reads on for so many complete samples; the last.
pub(crate) fn complete_samples(stream: &mut Stream, count: u32) -> Value {
    let mut last = Value::Null;
    for _ in 0..count {
        last = stream.find("a complete sample", is_complete);
    }
    last
}
