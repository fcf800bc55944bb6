//! Five thousand processes, with names that are traps: from a sampler, and from the kernel itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::daemon::{Daemon, is};
use crate::http::{scrape, series};
use crate::names::{assert_plain, escaped, named, traps};
use crate::peer::peer;
use crate::process::cpu_s;
use crate::program::Program;
use crate::sampler::{Script, document, is_complete, task};

/// The process id of the first trap; the others follow.
pub(crate) const FIRST: i32 = 1_000;

/// How many of the largest are listed.
const LISTED: usize = 5;

/// 5,000 tasks; the traps are the largest of them, in turn: those before `turn` are the largest of all.
fn tasks(turn: usize) -> String {
    let traps = traps();
    let mut rows = String::new();
    for number in 0..5_000 {
        let name = &traps[number % traps.len()];
        let cpu = if number < traps.len() {
            20.0 + ((number + traps.len() - turn) % traps.len()) as f64
        } else {
            0.01
        };
        let pid = FIRST + i32::try_from(number).unwrap();
        rows.push_str(&task(pid, &escaped(name), cpu));
    }
    document(&rows)
}

/// A sampler of them, ten times a second: each trap is once among the largest.
pub(crate) fn five_thousand() -> Script {
    let script = Script::new("n=0; while :; do cat \"many-$((n % 10))\"; n=$((n + 1)); sleep 0.1; done");
    let turns = (0..traps().len()).step_by(LISTED);
    assert_eq!(turns.len(), 10, "the script counts them");
    for (number, turn) in turns.enumerate() {
        script.file(&format!("many-{number}"), tasks(turn).as_bytes());
    }
    script
}

#[test]
fn five_thousand_traps_come_through_to_the_stream_and_none_is_lost_or_refused() {
    let script = five_thousand();
    let size_mb = fs::metadata(script.0.path("many-0")).unwrap().len() >> 20;
    let daemon = Daemon::start(script.program(), &script.config(), &["--web.listen-address", "127.0.0.1:0"]);
    let mut stream = daemon.stream();
    let mut missing: BTreeSet<String> = traps().iter().map(|trap| named(trap)).collect();
    let mut intervals = Vec::new();
    let before_s = cpu_s(daemon.pid());
    stream.find("every trap among the largest", |line| {
        if is_complete(line) {
            intervals.extend(line["interval_ms"].as_f64());
            let top = line["top"]["cpu"].as_array().unwrap();
            assert_eq!(top.len(), LISTED);
            for task in top {
                missing.remove(task["name"].as_str().unwrap());
            }
        }
        missing.is_empty()
    });
    let cpu_s = cpu_s(daemon.pid()) - before_s;
    intervals.sort_by(f64::total_cmp);
    println!(
        "5,000 tasks, {size_mb} MB a document: {} samples, {:.1} ms of CPU each, median interval {:.1} ms",
        intervals.len(),
        cpu_s / intervals.len() as f64 * 1e3,
        intervals[intervals.len() / 2]
    );
    let metrics = series(&scrape(&daemon));
    for reason in ["truncated", "oversized", "malformed", "incomplete"] {
        assert_eq!(metrics[&format!("pause_monitor_samples_rejected_total{{reason=\"{reason}\"}}")], 0.0);
    }
}

/// Processes of our own, named as they like, that burn or wait.
struct Crowd(Child);

/// Forks so many, names them in turn as the lines of a file say in hexadecimal, has the first few burn, and waits for the
/// end of its input. In C, since five thousand of anything else would take gigabytes.
const CROWD: &str = r#"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>
static char names[64][16];
int main(int count, char **words) {
    FILE *file = fopen(words[1], "r");
    int known = 0, byte, at = 0, c;
    while ((c = fgetc(file)) != EOF) {
        if (c == '\n') { known++; at = 0; continue; }
        ungetc(c, file);
        if (fscanf(file, "%2x", &byte) == 1 && at < 15) names[known][at++] = byte;
    }
    int wanted = atoi(words[2]), burners = atoi(words[3]);
    for (int n = 0; n < wanted; n++) {
        pid_t pid = fork();
        if (pid < 0) { perror("fork"); kill(0, SIGKILL); }
        if (pid > 0) continue;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_NAME, names[n % known]);
        for (volatile long turn = 0; n < burners; turn++)
            if (turn % 200000 == 0) usleep(20000);
        for (;;) pause();
    }
    puts("ready");
    fflush(stdout);
    getchar();
    kill(0, SIGKILL);
}
"#;

impl Crowd {
    /// Starts so many, the first few of which burn; under these names.
    fn start(directory: &Path, names: &[Vec<u8>], count: usize, burners: usize) -> Option<Self> {
        use std::io::BufRead;
        use std::os::unix::process::CommandExt;
        let cc = peer(&["cc"], "build-essential")?;
        let (source, program) = (directory.join("crowd.c"), directory.join("crowd"));
        fs::write(&source, CROWD).unwrap();
        let built = Command::new(cc).arg("-w").arg("-o").arg(&program).arg(&source).status().unwrap();
        assert!(built.success());
        let file = directory.join("names");
        let hex =
            names.iter().map(|name| name.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n");
        fs::write(&file, hex.collect::<String>()).unwrap();
        let mut child = Command::new(program)
            .arg(&file)
            .args([count.to_string(), burners.to_string()])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "the machine permits no {count} processes");
        Some(Self(child))
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let group = self.0.id().cast_signed();
        // SAFETY: kill takes two numbers; the group is our own child's, which is not reaped.
        unsafe { libc::kill(-group, libc::SIGKILL) };
        let _ = self.0.wait();
    }
}

#[test]
fn real_processes_with_such_names_are_listed_by_the_thousand_and_samples_keep_coming() {
    let directory = tempfile::tempdir().unwrap();
    // The kernel keeps 15 bytes, up to a NUL.
    let mut names: Vec<Vec<u8>> = [
        &b"a\nb"[..],
        b"\x1b[2J\x1b[H",
        b"\x1b]0;t\x07",
        b") R 1 (x",
        b"\xff\xfe\xc0",
        b"\"},{\"",
        b"<img src=x>",
        b"a\tb\rc\x7f",
        b"\xe2\x80\xaegnp",
    ]
    .map(<[u8]>::to_vec)
    .to_vec();
    names.push("漢字漢字漢".as_bytes().to_vec());
    let Some(crowd) = Crowd::start(directory.path(), &names, 5_000, names.len()) else { return };
    let daemon = Daemon::start(Program::new(), "", &["--source", "linux"]);
    let mut stream = daemon.stream();
    let mut wanted: BTreeSet<String> =
        names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    let before = (std::time::Instant::now(), cpu_s(daemon.pid()));
    let mut intervals = Vec::new();
    stream.find("all of them", |line| {
        if is(line, "sample") {
            intervals.extend(line["interval_ms"].as_f64());
            assert_eq!(line["degraded"], false);
            for list in line["top"].as_object().unwrap().values() {
                for process in list.as_array().unwrap() {
                    wanted.remove(process["name"].as_str().unwrap());
                }
            }
        }
        wanted.is_empty() && intervals.len() > 50
    });
    let (wall_s, cpu_s) = (before.0.elapsed().as_secs_f64(), cpu_s(daemon.pid()) - before.1);
    intervals.sort_by(f64::total_cmp);
    let (each_ms, median_ms) = (cpu_s / intervals.len() as f64 * 1e3, intervals[intervals.len() / 2]);
    println!(
        "5,000 processes more: {} samples in {wall_s:.1} s, {each_ms:.1} ms of CPU each, median interval {median_ms:.1} ms",
        intervals.len(),
    );
    // Half of the samples at least come in time, or would if the processors were not taken.
    assert!(median_ms < 150.0 || each_ms < 75.0, "{median_ms} ms apart, {each_ms} ms of CPU each");
    let metrics = series(&scrape(&daemon));
    assert_eq!(metrics["pause_monitor_output_messages_dropped_total{output=\"handover\"}"], 0.0);
    assert_plain("the log", &daemon.log());
    drop(crowd);
}
