//! A data directory with something in it: two simulated freezes, and the episodes around them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::program::{Program, Run};
use crate::recording::{play, simulated};

/// A program whose data directory holds what the daemon made of a recording.
pub(crate) struct Recorded {
    pub(crate) program: Program,
    pub(crate) recording: PathBuf,
}

/// One document in 500 ms, so that 80 s of a story are quickly read.
const INTERVAL_MS: &str = "500";
/// Two cycles of 36 s and what their silences add.
const DOCUMENTS: &str = "125";

impl Recorded {
    /// Two freezes that began at `start`.
    pub(crate) fn at(start: &str) -> Self {
        Self::of(start, DOCUMENTS)
    }

    /// Freezes in so many documents from `start` on.
    pub(crate) fn of(start: &str, documents: &str) -> Self {
        let program = Program::new().env("TZ", "UTC");
        let arguments = ["--interval-ms", INTERVAL_MS, "--count", documents, "--start", start];
        let recording = simulated(&program, "freeze", &arguments);
        let recorded = Self { program, recording };
        play(&recorded.program, &recorded.recording, &recorded.data_dir());
        recorded
    }

    /// Two freezes of some time ago.
    pub(crate) fn new() -> Self {
        Self::at("2026-02-03T04:05:06Z")
    }

    /// Where the program keeps its data.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.program.home().join(".local/share/pause-monitor")
    }

    /// Runs a command that must succeed, and gives what it printed.
    pub(crate) fn print(&self, arguments: &[&str]) -> String {
        let Run { stdout, stderr, code } = self.program.run(arguments);
        assert_eq!((code, stderr.as_str()), (0, ""), "{arguments:?}");
        stdout
    }

    /// Runs a command that must print JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let text = self.print(arguments);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
    }

    /// The ids that `events --json` lists with these filters.
    pub(crate) fn ids(&self, filters: &[&str]) -> Vec<u64> {
        let words: Vec<&str> = ["events", "--json"].iter().chain(filters).copied().collect();
        let events = self.json(&words);
        events.as_array().unwrap().iter().map(|event| event["id"].as_u64().unwrap()).collect()
    }
}

/// The lengths of the intervals in a recording, ms.
pub(crate) fn intervals_ms(recording: &Path) -> Vec<f64> {
    let text = String::from_utf8(fs::read(recording).unwrap()).unwrap();
    let element = |document: &str| {
        let value = document.split_once("<key>elapsed_ns</key>")?.1;
        value.split_once('>')?.1.split_once('<')?.0.parse::<f64>().ok()
    };
    text.split('\0').map(|document| element(document).unwrap() / 1e6).collect()
}
