//! What a recording tells that is begun after something happened.

use std::fs;

use serde_json::Value;

use crate::daemon::{Daemon, is};

/// A recording that was begun after the gap tells it as it was told then.
pub fn retells(daemon: &Daemon, gap: &Value) {
    let recording = daemon.data_dir().with_extension("recording");
    let stream = daemon.run("stream", &["--count", "1"]).stdout;
    // By its number: a gap that is not told would be an uncertain pause as well.
    let hello: Value = serde_json::from_str(stream.lines().next().unwrap()).unwrap();
    let told = hello["gaps"].as_array().unwrap();
    assert!(told.iter().any(|told| told["event"] == gap["event"]), "{gap} is not told in {told:?}");
    fs::write(&recording, stream).unwrap();
    let told = daemon.run("analyze", &["--json", recording.to_str().unwrap()]).stdout;
    let lines = told.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let again = lines.into_iter().find(|line| is(line, "gap") && line["time"] == gap["time"]);
    let again =
        again.unwrap_or_else(|| panic!("no gap of that time in what was recorded after {gap}: {told}"));
    assert_eq!(again["duration_ms"], gap["duration_ms"]);
    assert_eq!((&again["verdict"], &again["certain"]), (&gap["verdict"], &gap["certain"]));
}
