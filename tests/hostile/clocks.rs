//! The clock on the wall is set, by a day and by a year, both ways: the daemon is told so, and of
//! the clocks that nobody can set the truth. (Sleep, and monotonic clocks that step, are the engine's tests, in virtual time.)

use std::fs;
use std::os::unix::fs::FileExt;
use std::process::Command;

use serde_json::Value;

use crate::daemon::{Daemon, is};
use crate::http::{scrape, series};
use crate::peer::peer;
use crate::process::Spinning;
use crate::program::Program;
use crate::sampler::{Script, complete_samples, document, is_complete, task};

const NONE: &[&str] = &[];
const DAY_S: f64 = 86_400.0;

/// Tells whoever asks libc for the time of day another one, by as many seconds as a file says; of all other clocks, and of
/// sleeping, it knows nothing. (libfaketime has a hand in sleeping too: under it, absolute sleeps return at once now and
/// then after its offset has changed.)
const WALL: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static volatile const long *ahead;
__attribute__((constructor)) static void begin(void) {
    int file = open(getenv("WALL"), O_RDONLY | O_CLOEXEC);
    void *map = mmap(0, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
    if (file < 0 || map == MAP_FAILED) abort();
    ahead = map;
    close(file);
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && ahead && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += *ahead;
    return result;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *now) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (now) *now = exact.tv_sec;
    return exact.tv_sec;
}
"#;

/// A clock on the wall that can be set.
struct Wall {
    directory: tempfile::TempDir,
    ahead: fs::File,
}

impl Wall {
    /// One that is right; where there is no compiler it is said that the test was passed over.
    fn new() -> Option<Self> {
        let cc = peer(&["cc"], "build-essential")?;
        let directory = tempfile::tempdir().unwrap();
        let (source, library) = (directory.path().join("wall.c"), directory.path().join("wall.so"));
        fs::write(&source, WALL).unwrap();
        let built = Command::new(cc).args(["-shared", "-fPIC", "-o"]).arg(library).arg(source).status();
        assert!(built.unwrap().success());
        let wall = Self { ahead: fs::File::create(directory.path().join("ahead")).unwrap(), directory };
        wall.set(0.0);
        Some(wall)
    }

    /// Sets it, so many seconds ahead of the truth.
    fn set(&self, ahead_s: f64) {
        self.ahead.write_all_at(&(ahead_s as i64).to_ne_bytes(), 0).unwrap();
    }

    /// The program, and all that it starts, by this clock.
    fn tell(&self, program: Program) -> Program {
        let path = |name: &str| self.directory.path().join(name).to_string_lossy().into_owned();
        program.env("LD_PRELOAD", &path("wall.so")).env("WALL", &path("ahead"))
    }
}

fn time_s(value: &Value) -> f64 {
    value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond() as f64 / 1e3
}

/// A sampler that tells of the worst of everything while there is a file `busy` beside it.
fn sampler() -> Script {
    let script =
        Script::new("while :; do sleep 0.1; if [ -e busy ]; then cat thrash; else cat good; fi; done");
    script.file("good", document(&task(7, "worker", 0.5)).as_bytes());
    let worst = "<key>gpu</key><dict><key>idle_ratio</key><real>0</real></dict>\n\
                 <key>disk</key><dict><key>rbytes_per_s</key><real>2e9</real></dict>\n<key>tasks";
    let row = task(7, "worker", 500.0);
    let row = row.replace("</dict>", "<key>idle_wakeups_per_s</key><real>5000</real>\n</dict>");
    script.file("thrash", document(&row).replace("Nominal", "Heavy").replace("<key>tasks", worst).as_bytes());
    script
}

/// What the script tells is 80 points; how busy this machine is alone is less than 70.
const CONFIG: &str = r#"
[tiers]
elevated = 70
critical = 100
deescalation = "1s"
[[hooks]]
name = "seldom"
on = ["elevated", "critical"]
cooldown = "1h"
command = ["/bin/true"]
[[hooks]]
name = "often"
on = ["elevated", "critical"]
cooldown = "100ms"
command = ["/bin/true"]
"#;

#[test]
fn a_clock_that_is_set_by_a_day_either_way_is_no_gap_and_moves_no_duration_and_no_cooldown() {
    let Some(wall) = Wall::new() else { return };
    let script = sampler();
    let program = wall.tell(script.program());
    let mut daemon = Daemon::start(program, &(script.config() + CONFIG), NONE);
    let mut stream = daemon.stream();
    let begun_s = time_s(&complete_samples(&mut stream, 20)["time"]);
    let spinning = Spinning::watch(&daemon);
    let mut lines = Vec::new();
    // A day ahead, back, a day behind, back; each in the middle of an episode.
    for (number, ahead_s) in (1_u8..).zip([DAY_S, 0.0, -DAY_S, 0.0]) {
        script.file("busy", b"");
        let tier = stream.find("an episode", |line| is(line, "tier") && line["from"] == "sentinel");
        wall.set(ahead_s);
        // What is written from now on carries the other date.
        let after = stream.find("a sample of the other day", |line| {
            lines.push(line.clone());
            is_complete(line) && (time_s(&line["time"]) - begun_s - ahead_s).abs() < 3_600.0
        });
        assert!(after["interval_ms"].as_f64().unwrap() < 60_000.0, "{after}");
        for _ in 0..10 {
            lines.push(stream.find("a sample", |line| is(line, "sample")));
        }
        fs::remove_file(script.0.path("busy")).unwrap();
        stream.find("its end", |line| {
            lines.push(line.clone());
            is(line, "tier") && line["to"] == "sentinel"
        });
        let event = daemon
            .wait_for_event("the episode", |event| event["id"] == tier["event"] && event["open"] == false);
        let duration_s = event["duration_s"].as_f64().unwrap();
        assert!(duration_s > 0.5 && duration_s < 600.0, "{event}");
        // It began by the clock of then, and ended by the clock of now, but never before it began.
        let (started_s, ended_s) = (time_s(&event["started_at"]), time_s(&event["ended_at"]));
        let now_s = begun_s + ahead_s;
        assert!(ended_s >= started_s, "{event}");
        assert!(
            (ended_s - now_s).abs() < 3_600.0 || (now_s < started_s && ended_s - started_s < 1.0),
            "{event}"
        );
        // A cooldown of an hour is not over, one of a moment is.
        daemon.until("the hooks' counts", || {
            let runs = |hook: &str, outcome: &str| {
                series(&scrape(&daemon))
                    .get(&format!("pause_monitor_hook_runs_total{{hook=\"{hook}\",outcome=\"{outcome}\"}}"))
                    .copied()
                    .unwrap_or_default()
            };
            (runs("often", "ok") >= f64::from(number)
                && runs("seldom", "held_back") >= f64::from(number - 1)
                && runs("seldom", "ok") <= 2.0)
                .then_some(())
        });
        for (command, arguments) in [
            ("status", NONE),
            ("events", &[]),
            ("events", &["show", "1"]),
            ("history", &["--days", "3", "--json"]),
            ("history", &["--hours", "48"]),
        ] {
            let run = daemon.run(command, arguments);
            assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{command} {arguments:?}");
        }
    }
    spinning.is_not(&daemon);
    for line in &lines {
        // This machine may have had a pause of its own; none of a day.
        if is(line, "gap") {
            assert!(line["verdict"] != "sleep" && line["duration_ms"].as_f64().unwrap() < 60_000.0, "{line}");
        }
        if is(line, "sample") {
            assert!(line["heartbeat_ms"].as_f64().unwrap() < 60_000.0, "{line}");
            assert!(line["latency_ratio"].as_f64().unwrap() < 600.0, "{line}");
        }
    }
    let metrics = series(&scrape(&daemon));
    assert_eq!(metrics["pause_monitor_sleep_seconds_total"], 0.0);
    assert_eq!(metrics["pause_monitor_source_restarts_total{reason=\"silent\"}"], 0.0);
    let sum = |name: &str| -> f64 {
        metrics.iter().filter(|(series, _)| series.starts_with(name)).map(|(_, value)| value).sum()
    };
    for name in ["pause_monitor_tier_seconds_total", "pause_monitor_sample_interval_seconds_sum"] {
        assert!(sum(name) < 3_600.0, "{name}: {}", sum(name));
    }
    assert_eq!(script.starts(), 1, "{}", daemon.log());
    // A start by a clock that is behind all that is on record.
    wall.set(-DAY_S);
    daemon.restart(NONE);
    // The socket of the one before is still there until then.
    daemon.until("the second start", || daemon.last_log().contains("watching").then_some(()));
    let mut stream = daemon.stream();
    complete_samples(&mut stream, 5);
    let outages = daemon.events().into_iter().filter(|event| event["kind"] == "outage").count();
    assert_eq!(outages, 0, "nothing is made up");
    assert_eq!(daemon.run("status", NONE).code, 0);
    daemon.stop(libc::SIGTERM);
}

#[test]
fn a_clock_that_is_set_years_ahead_and_back_deletes_nothing() {
    let Some(wall) = Wall::new() else { return };
    let script = sampler();
    let daemon = Daemon::start(wall.tell(script.program()), &(script.config() + CONFIG), NONE);
    let mut stream = daemon.stream();
    script.file("busy", b"");
    stream.find("an episode", |line| is(line, "tier") && line["from"] == "sentinel");
    fs::remove_file(script.0.path("busy")).unwrap();
    let tier = stream.find("its end", |line| is(line, "tier") && line["to"] == "sentinel");
    let id = tier["event"].to_string();
    let is_it = |event: &Value| event["id"] == tier["event"] && event["open"] == false;
    daemon.wait_for_event("the episode", is_it);
    assert_eq!(daemon.run("events", &["mark", &id, "--status", "reviewed"]).code, 0, "{}", daemon.log());
    wall.set(1_000.0 * DAY_S);
    daemon.wait_for_log("for a day nothing is deleted for its age");
    wall.set(0.0);
    daemon.until("that it was set back", || {
        (daemon.log().matches("the clock was set by").count() == 2).then_some(())
    });
    assert!(daemon.events().iter().any(is_it), "{}", daemon.log());
    assert!(!daemon.log().contains("old events were deleted"), "{}", daemon.log());
}
