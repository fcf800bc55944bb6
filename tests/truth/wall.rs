//! The wall clock jumps, forwards and back, by itself and in the middle of a pause: it labels, and measures nothing.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::subject::{Source, Subject, time};
use crate::ways::{Truth, stop};

/// Jumps, s: a day and an hour, both ways.
pub(crate) const JUMPS_S: [i64; 4] = [86_400, -86_400, 3_600, -3_600];

/// A wall clock that only the daemon sees.
pub(crate) struct WallClock {
    directory: tempfile::TempDir,
    file: File,
    ahead_s: i64,
}

impl WallClock {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/truth/wall_clock.c");
        let library = directory.path().join("wall_clock.so");
        let built =
            Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).status();
        assert!(built.unwrap().success(), "cc builds a library");
        let path = directory.path().join("ahead");
        let file = File::options().create_new(true).write(true).open(path).unwrap();
        let clock = Self { directory, file, ahead_s: 0 };
        clock.set();
        clock
    }

    fn set(&self) {
        self.file.write_all_at(&self.ahead_s.to_ne_bytes(), 0).unwrap();
    }

    /// Moves it.
    pub(crate) fn jump(&mut self, by_s: i64) {
        self.ahead_s += by_s;
        self.set();
    }

    /// What it shows, by the clock of this machine.
    pub(crate) fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now() + Duration::from_secs(self.ahead_s.max(0).unsigned_abs())
            - Duration::from_secs((-self.ahead_s).max(0).unsigned_abs())
    }

    /// A daemon that reads it.
    pub(crate) fn subject(&self) -> Subject {
        Subject::start_with(Source::Linux, |program| {
            program
                .env("LD_PRELOAD", &self.directory.path().join("wall_clock.so").to_string_lossy())
                .env("WALL_CLOCK", &self.directory.path().join("ahead").to_string_lossy())
        })
    }

    /// Jumps while nothing else happens: nothing is told of it but by the times of samples.
    pub(crate) fn jump_alone(&mut self, subject: &mut Subject, by_s: i64) {
        self.jump(by_s);
        let (samples, gaps) = subject.live(30);
        let last = time(&samples.last().unwrap()["time"]);
        let behind_s = (self.now() - last).total(jiff::Unit::Second).unwrap();
        assert!((-1.0..30.0).contains(&behind_s), "samples are labelled by it: {behind_s} s");
        for sample in &samples {
            // A machine that is busy may be late by itself, but not by an hour.
            assert!(sample["interval_ms"].as_f64() < Some(60_000.0), "{sample}");
        }
        assert!(gaps.iter().all(|gap| gap["duration_ms"].as_f64() < Some(60_000.0)), "{gaps:?}");
        assert!(gaps.iter().all(|gap| gap["verdict"] != "sleep"), "{gaps:?}");
    }

    /// Jumps in the middle of a pause.
    pub(crate) fn jump_within(
        &mut self,
        subject: &mut Subject,
        by_s: i64,
        length: Duration,
    ) -> (Truth, Value) {
        let pids = [subject.daemon.pid()];
        let truth = stop(subject.heartbeat, &pids, length, || self.jump(by_s));
        let gap = subject.gap(&truth, self.now() - length);
        let event = subject.daemon.wait_for_event("the event", |event| event["id"] == gap["event"]);
        let spanned = time(&event["ended_at"]) - time(&event["started_at"]);
        let spanned_ms = spanned.total(jiff::Unit::Millisecond).unwrap();
        assert!((spanned_ms - gap["duration_ms"].as_f64().unwrap()).abs() < 2.0, "{event}");
        (truth, gap)
    }
}

#[test]
fn a_wall_clock_that_jumps_is_no_gap_and_changes_none() {
    crate::kernel::be_prompt(50);
    let mut clock = WallClock::new();
    let mut subject = clock.subject();
    for by_s in JUMPS_S {
        clock.jump_alone(&mut subject, by_s);
    }
    for by_s in [3_600, -86_400] {
        crate::held::within("SIGSTOP, the wall clock jumps in it", &[("starved", true)], || {
            Some(clock.jump_within(&mut subject, by_s, Duration::from_millis(700)))
        });
    }
}
