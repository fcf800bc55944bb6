//! A recording in which much happens: cheaper to read than a simulation, and quicker at its point.

use std::fmt::Write;
use std::fs;

use crate::program::Program;

/// Brings each episode to its end at once.
pub(crate) const CONFIG: &str = "[tiers]\ndeescalation = \"200ms\"\n";

/// Writes it into the program's home directory: an episode with a pause begins and ends every three seconds of it. As a
/// source; at `--speed 20` there are some five pauses a second, for two minutes.
pub(crate) fn eventful(program: &Program) -> String {
    write(program.home())
}

/// The same into any directory.
pub(crate) fn write(directory: &std::path::Path) -> String {
    let file = directory.join("eventful.jsonl");
    let mut text = String::new();
    for seq in 1..=30_000 {
        let (elapsed_ms, pageins) = match seq % 30 {
            0..20 => (100, 0),
            25 => (1_300, 4_000),
            _ => (100, 4_000),
        };
        let metrics =
            format!("\"metrics\":{{\"pageins_per_s\":{pageins},\"gpu_busy_pct\":{}}}", pageins / 40);
        let top = format!("\"top\":{{\"pageins\":[{{\"pid\":501,\"name\":\"hog\",\"value\":{pageins}}}]}}");
        writeln!(text, "{{\"type\":\"sample\",\"seq\":{seq},\"elapsed_ms\":{elapsed_ms},{metrics},{top}}}")
            .unwrap();
    }
    fs::write(&file, text).unwrap();
    format!("replay:{}", file.display())
}
