//! Five thousand processes, with names that are traps: from a sampler, and from the kernel itself. Nothing breaks a line, a
//! table, a label, the screen or a page.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use crate::daemon::{Daemon, is, until};
use crate::http::{scrape, series};
use crate::peer::peer;
use crate::process::cpu_s;
use crate::program::Program;
use crate::sampler::{Script, document, is_complete, task};
use crate::terminal::{Terminal, has_tmux};

/// What processes call themselves: each a trap for somebody.
fn traps() -> Vec<String> {
    let mut traps: Vec<String> = [
        // Lines and columns.
        "two\nlines",
        "a\r\nb",
        "tab\tbed",
        "vertical\u{b}form\u{c}feed",
        "line\u{2028}and\u{2029}paragraph\u{85}next",
        // Terminals: colour, clear, title, clipboard, link, C1, DEL, backspaces.
        "\u{1b}[31mred\u{1b}[0m",
        "\u{1b}[2J\u{1b}[H",
        "\u{1b}]0;title\u{7}",
        "\u{1b}]52;c;ZXZpbA==\u{7}",
        "\u{1b}]8;;http://example.invalid\u{1b}\\link\u{1b}]8;;\u{1b}\\",
        "\u{9b}31mred\u{9d}0;t\u{9c}",
        "del\u{7f}\u{8}\u{8}\u{8}x",
        "\u{1b}Pq#0\u{1b}\\",
        "nul\u{0}nul",
        // Direction, and what nobody sees.
        "\u{202e}gnp.exe",
        "\u{2066}isolate\u{2069}\u{200f}",
        "zero\u{200b}width\u{feff}\u{2060}",
        "tag\u{e0041}\u{e007f}",
        // JSON, HTML, scripts.
        "\",\"pid\":0,\"x\":\"",
        "\\u0000\\",
        "</script><script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "\"><svg/onload=alert(1)>",
        "' onmouseover='alert(1)",
        "javascript:alert(1)",
        "&lt;b&gt;&amp;&#60;",
        "]]><!--",
        // Formats, shells, formulas.
        "%s%n%x",
        "{}{0}{name}",
        "$(touch /tmp/pwned)`id`",
        "; rm -rf ~",
        "=1+1",
        "@SUM(A1)",
        "-rf",
        "--help",
        "a,b;c\"d\"",
        "'; DROP TABLE events; --",
        "\u{5c}n",
        "}\n# HELP x\nx 1\n",
        "{{ .Labels.name }}",
        // Widths.
        "漢字漢字漢字漢字",
        "e\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}",
        "👩‍💻👩‍💻👩‍💻",
        " ",
        "",
    ]
    .map(str::to_owned)
    .to_vec();
    traps.push("x".repeat(1_000));
    traps.push("漢".repeat(1_000));
    traps.push("\u{1b}[31m".repeat(200));
    traps
}

/// As a property list has it: what is special to XML is escaped, and nothing else.
fn escaped(name: &str) -> String {
    name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// 5,000 tasks; the traps are the largest of them, in turn: `turn` is the largest of all.
fn five_thousand(turn: usize) -> String {
    let traps = traps();
    let mut rows = String::new();
    for number in 0..5_000 {
        let name = &traps[number % traps.len()];
        let cpu = if number < traps.len() {
            20.0 + ((number + traps.len() - turn) % traps.len()) as f64
        } else {
            0.01
        };
        let pid = 1_000 + i32::try_from(number).unwrap();
        rows.push_str(&task(pid, &escaped(name), cpu));
    }
    document(&rows)
}

/// A recording with an episode for each trap, which is its first culprit, and one with names in invalid UTF-8.
fn recording() -> Vec<u8> {
    let mut stream = Vec::new();
    let calm = document(&task(7, "calm", 0.1));
    let traps = traps();
    let bytes: [&[u8]; 3] = [b"\xff\xfe\xc0\x80", b"half \xe6\xbc", b"\xed\xa0\x80 surrogate"];
    let thrash = |name: &[u8]| {
        let text = document(&task(501, "NAME", 1_000.0)).replace("Nominal", "Heavy");
        let (head, tail) = text.split_once("NAME").unwrap();
        [head.as_bytes(), name, tail.as_bytes()].concat()
    };
    for name in traps.iter().map(|name| escaped(name).into_bytes()).chain(bytes.map(<[u8]>::to_vec)) {
        for _ in 0..30 {
            stream.extend_from_slice(&thrash(&name));
        }
        // The tier goes after its 5 s.
        for _ in 0..130 {
            stream.extend_from_slice(calm.as_bytes());
        }
    }
    stream
}

/// Nothing in it that a terminal would take for anything but text, or that turns or hides text.
fn assert_plain(what: &str, text: &str) {
    let bad: BTreeSet<char> = text
        .chars()
        .filter(|&c| {
            (c.is_control() && c != '\n')
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{200b}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
        })
        .collect();
    assert!(bad.is_empty(), "{what} has {bad:?}:\n{text:?}");
}

/// The table of processes keeps its columns, whatever the names: each figure of CPU ends where its heading does.
fn assert_columns(screen: &str) {
    let lines: Vec<&str> = screen.lines().collect();
    let at = lines.iter().position(|line| line.trim_start().starts_with("PID NAME"));
    let at = at.unwrap_or_else(|| panic!("a heading:\n{screen}"));
    let end = lines[at].find("CPU").unwrap() + 2;
    // Up to the line of keys.
    let rows = lines[at + 1..lines.len() - 1].iter().take_while(|line| !line.trim().is_empty());
    let mut count = 0;
    for row in rows {
        assert!(matches!(cells(row).get(end), Some(&"%" | &"·")), "{row}\n{screen}");
        count += 1;
    }
    assert!(count >= 5, "rows:\n{screen}");
}

/// What stands in each cell of a line; in the second of what is two wide the same again. What is joined to one picture takes
/// the cells of one, in tmux as on the screen that is drawn.
fn cells(line: &str) -> Vec<&str> {
    line.graphemes(true).flat_map(|drawn| std::iter::repeat_n(drawn, drawn.width())).collect()
}

#[test]
fn a_picture_that_is_joined_of_two_takes_two_cells() {
    assert_eq!(cells("a👩‍💻|漢"), ["a", "👩‍💻", "👩‍💻", "|", "漢", "漢"]);
}

/// A program with all of that on record.
fn recorded() -> Program {
    let program = Program::new().env("NO_COLOR", "1").env("TZ", "UTC").env("LC_ALL", "C.UTF-8");
    let file = program.home().join("recording");
    fs::write(&file, recording()).unwrap();
    let source = format!("replay:{}", file.display());
    // Blame goes back ten seconds: not to the process before.
    let config = program.home().join("config.toml");
    fs::write(&config, "[ring]\nseconds = 10\n[http]\nlisten = []\n").unwrap();
    let config = config.to_str().unwrap();
    let run = program.run(&["daemon", "--config", config, "--source", &source, "--speed", "max"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    // What the daemon itself said.
    assert_plain("the log", &run.stderr);
    program
}

fn events(program: &Program) -> Vec<Value> {
    serde_json::from_str(&program.run(&["events", "--json"]).stdout).unwrap()
}

#[test]
fn commands_print_no_name_that_breaks_a_line_a_table_or_a_terminal() {
    let program = recorded();
    let events = events(&program);
    let traps = traps();
    assert_eq!(events.len(), traps.len() + 3, "an episode for each");
    // JSON has the very name, cut at 128 bytes.
    let blamed: Vec<&str> =
        events.iter().rev().map(|event| event["culprits"][0]["name"].as_str().unwrap()).collect();
    for (blamed, trap) in blamed.iter().zip(&traps) {
        match trap.as_str() {
            "" => assert_eq!(*blamed, "?"),
            trap if trap.len() <= 128 => assert_eq!(blamed, &trap),
            trap => assert!(blamed.ends_with('…') && trap.starts_with(blamed.trim_end_matches('…'))),
        }
    }
    let listed = program.run(&["events", "--limit", "1000"]);
    assert_plain("the list", &listed.stdout);
    // A heading and a line each: the columns before the names are one width.
    assert_eq!(listed.stdout.lines().count(), events.len() + 1, "{}", listed.stdout);
    for event in &events {
        let id = event["id"].to_string();
        let shown = program.run(&["events", "show", &id]);
        assert_eq!(shown.code, 0, "{}", shown.stderr);
        assert_plain("a story", &shown.stdout);
        assert!(shown.stdout.lines().all(|line| !line.starts_with('=')), "{}", shown.stdout);
    }
    let file = program.home().join("recording");
    let analyzed = program.run(&["analyze", file.to_str().unwrap()]);
    assert_plain("an analysis", &analyzed.stdout);
    let lines = program.run(&["analyze", file.to_str().unwrap(), "--json"]);
    for line in lines.stdout.lines() {
        let _: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
    }
    // What is written is read back, to the same story.
    let replayed = program.home().join("lines.jsonl");
    fs::write(&replayed, lines.stdout.as_bytes()).unwrap();
    let again = program.run(&["analyze", replayed.to_str().unwrap()]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert_plain("its analysis", &again.stdout);
    for format in ["--csv", "--json", "--hours=24"] {
        let history = program.run(&["history", format]);
        assert_eq!(history.code, 0, "{}", history.stderr);
        assert_plain("the history", &history.stdout);
    }
    let exported = program.home().join("exported");
    let id = events[0]["id"].to_string();
    let run = program.run(&["events", "export", &id, "-o", exported.to_str().unwrap()]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    for line in fs::read_to_string(&exported).unwrap().lines() {
        let _: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
    }
}

#[test]
fn a_browser_shows_every_name_as_text_and_runs_and_asks_for_nothing() {
    let Some(chromium) = peer(&["chromium", "chromium-browser", "google-chrome"], "chromium") else { return };
    let program = recorded();
    // All reports in one page: each in a frame of its own, with its own policy.
    let mut frames = String::new();
    let events = events(&program);
    for event in &events {
        let id = event["id"].to_string();
        let file = program.home().join(format!("{id}.html"));
        let run = program.run(&["events", "report", &id, "-o", file.to_str().unwrap()]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        frames.push_str(&format!("<iframe src=\"file://{}\"></iframe>\n", file.display()));
    }
    let around = program.home().join("around.html");
    let page = format!(
        r#"<!DOCTYPE html><meta charset="utf-8"><body>{frames}<pre id="out"></pre><script>
window.addEventListener("load", () => {{
  const seen = [...document.querySelectorAll("iframe")].map((frame) => {{
    const page = frame.contentDocument;
    return {{
      active: page.querySelectorAll("script, img, link, iframe, object, embed, form, a[href^='javascript']").length,
      handlers: [...page.querySelectorAll("*")].filter((e) => [...e.attributes].some((a) => a.name.startsWith("on"))).length,
      asked: frame.contentWindow.performance.getEntriesByType("resource").length,
      headings: page.querySelectorAll("h1").length, styles: page.querySelectorAll("style").length,
      text: page.body.innerText,
    }};
  }});
  document.getElementById("out").textContent = btoa(unescape(encodeURIComponent(JSON.stringify(seen))));
}});
</script></body>"#
    );
    fs::write(&around, page).unwrap();
    let output = Command::new(&chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr"])
        .args(["--allow-file-access-from-files", "--disable-web-security"])
        .arg(format!("--user-data-dir={}", program.home().join("profile").display()))
        .args(["--virtual-time-budget=20000", "--dump-dom"])
        .arg(format!("file://{}", around.display()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("CONSOLE"), "{said}");
    let dom = String::from_utf8(output.stdout).unwrap();
    let out = dom.split_once(r#"<pre id="out">"#).unwrap().1.split_once("</pre>").unwrap().0;
    let seen: Vec<Value> = serde_json::from_slice(&decoded(out)).unwrap();
    assert_eq!(seen.len(), events.len());
    for (seen, event) in seen.iter().zip(&events) {
        assert_eq!(
            (&seen["active"], &seen["handlers"], &seen["asked"]),
            (&0.into(), &0.into(), &0.into()),
            "{seen}"
        );
        assert_eq!((&seen["headings"], &seen["styles"]), (&1.into(), &1.into()), "{seen}");
        assert_plain("a page", &seen["text"].as_str().unwrap().replace(['\t', '\u{a0}'], " "));
        // Its markup is there to read.
        let name = event["culprits"][0]["name"].as_str().unwrap();
        if name.starts_with('<') || name.contains("<script") {
            assert!(seen["text"].as_str().unwrap().contains(name), "{name}: {seen}");
        }
    }
}

/// Base 64, decoded.
fn decoded(text: &str) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text.trim()).unwrap()
}

#[test]
fn five_thousand_traps_come_through_to_the_stream_the_screen_the_metrics_and_the_hooks() {
    let script = Script::new("n=0; while :; do cat \"many-$((n % 48))\"; n=$((n + 1)); sleep 0.1; done");
    let traps = traps();
    assert_eq!(traps.len(), 48, "the script counts them");
    for turn in 0..traps.len() {
        script.file(&format!("many-{turn}"), five_thousand(turn).as_bytes());
    }
    let size_mb = fs::metadata(script.0.path("many-0")).unwrap().len() >> 20;
    let hook = format!(
        "[[hooks]]\nname = \"told\"\non = [\"elevated\", \"critical\"]\ncommand = [\"/bin/sh\", \"-c\", \"cat >>{0}; echo >>{0}; env >{1}\"]\n[http]\nculprit_info = true\n",
        script.0.path("payloads").display(),
        script.0.path("environment").display()
    );
    let daemon =
        Daemon::start(script.program(), &(script.config() + &hook), &["--web.listen-address", "127.0.0.1:0"]);
    let mut stream = daemon.stream();
    let mut seen = BTreeSet::new();
    let mut intervals = Vec::new();
    let before_s = cpu_s(daemon.pid());
    stream.find("every trap at the top", |line| {
        if is_complete(line) {
            intervals.extend(line["interval_ms"].as_f64());
            let top = line["top"]["cpu"].as_array().unwrap();
            assert_eq!(top.len(), 5);
            seen.insert(top[0]["name"].as_str().unwrap().to_owned());
        }
        seen.len() == traps.len()
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
    // Hooks: one line of JSON each, an environment of one line a variable.
    daemon.until("a payload", || {
        let payloads = fs::read_to_string(script.0.path("payloads")).ok()?;
        let whole = payloads.lines().filter(|line| !line.is_empty());
        let payloads: Vec<Value> =
            whole.map(|line| serde_json::from_str(line).ok()).collect::<Option<_>>()?;
        assert_plain("a summary", payloads.first()?["summary"].as_str().unwrap());
        Some(())
    });
    let environment = daemon.until("its environment", || {
        let environment = fs::read_to_string(script.0.path("environment")).ok()?;
        environment.contains("PAUSE_MONITOR_SUMMARY=").then_some(environment)
    });
    assert_plain("the environment", &environment);
    assert!(environment.lines().all(|line| line.contains('=')), "{environment}");
    if !has_tmux() {
        return;
    }
    let terminal = Terminal::open(120, 40);
    let program = env!("CARGO_BIN_EXE_pause-monitor");
    terminal
        .run(&format!("clear; {program} --data-dir {} tui; echo left with $?", daemon.data_dir().display()));
    terminal.wait_for_all(&["(live)", "Top by CPU"]);
    terminal.press(&["2"]);
    for _ in 0..20 {
        let before = terminal.screen();
        let after = until("another screen", || Some(terminal.screen()).filter(|now| *now != before));
        assert_plain("the screen", &after);
        assert_eq!(after.lines().count(), 40, "{after}");
        assert_columns(&after);
    }
    let title = terminal.tmux(&["display-message", "-p", "#{pane_title}|#{buffer_size}"]);
    let title = String::from_utf8_lossy(&title.stdout).into_owned();
    assert!(!title.contains("title|") && !title.starts_with("t|"), "no name set the title: {title}");
    terminal.press(&["q"]);
    terminal.wait_for("left with 0");
    terminal.takes_what_is_typed();
}

#[test]
fn prometheus_takes_a_culprit_of_any_name_for_what_it_is() {
    let Some(promtool) = peer(&["promtool"], "prometheus") else { return };
    for trap in traps() {
        let program = Program::new();
        // Two freezes: in a recording a late document is a pause.
        let late = document(&task(501, &escaped(&trap), 1_000.0)).replace("100000000", "900000000");
        let calm = document(&task(501, &escaped(&trap), 1_000.0));
        let stream: String = std::iter::repeat_n(calm.as_str(), 30).chain([late.as_str()]).collect();
        let file = program.home().join("recording");
        // It goes on, so that it can be asked.
        fs::write(&file, stream + &calm.repeat(2_000)).unwrap();
        let source = format!("replay:{}", file.display());
        let config = "[http]\nculprit_info = true\n[forensics]\nenabled = false\n";
        let daemon = Daemon::start(
            program,
            config,
            &["--source", &source, "--speed", "20", "--web.listen-address", "127.0.0.1:0"],
        );
        let exposition = daemon.until("a culprit", || {
            let text = scrape(&daemon);
            text.contains("pause_monitor_last_pause_culprit_info{").then_some(text)
        });
        assert_plain("the exposition", &exposition);
        let mut check = Command::new(&promtool)
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        check.stdin.take().unwrap().write_all(exposition.as_bytes()).unwrap();
        let output = check.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{trap:?}: {said}");
        let info =
            exposition.lines().filter(|line| line.starts_with("pause_monitor_last_pause_culprit_info"));
        assert_eq!(info.count(), 1);
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
    println!(
        "5,000 processes more: {} samples in {wall_s:.1} s, {:.1} ms of CPU each, median interval {:.1} ms",
        intervals.len(),
        cpu_s / intervals.len() as f64 * 1e3,
        intervals[intervals.len() / 2]
    );
    assert!(intervals[intervals.len() / 2] < 150.0, "half of the samples at least come in time");
    let metrics = series(&scrape(&daemon));
    assert_eq!(metrics["pause_monitor_output_messages_dropped_total{output=\"handover\"}"], 0.0);
    assert_plain("the log", &daemon.log());
    drop(crowd);
}
