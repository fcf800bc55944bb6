//! Names that are traps, and a program with all of them on record: what its commands print breaks no line and no table, and a
//! page holds them as text.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use crate::peer::peer;
use crate::program::Program;
use crate::sampler::{document, task};

/// What processes call themselves: each a trap for somebody.
pub(crate) fn traps() -> Vec<String> {
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
pub(crate) fn escaped(name: &str) -> String {
    name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
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

/// A trap as the very name that the decoder makes of it: cut at 128 bytes, and "?" where there is none.
pub(crate) fn named(trap: &str) -> String {
    let fits = trap.char_indices().take_while(|(at, c)| at + c.len_utf8() <= 128).map(|(_, c)| c);
    match fits.collect::<String>() {
        none if none.is_empty() => "?".to_owned(),
        whole if whole == trap => whole,
        cut => cut + "…",
    }
}

/// Text, and nothing that a terminal would take for anything else, that turns text, or that nobody sees.
pub(crate) fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// A name as people are to read it.
pub(crate) fn shown(name: &str) -> String {
    name.chars().map(|c| if is_plain(c) { c } else { '\u{fffd}' }).collect()
}

/// Lines of nothing but text.
pub(crate) fn assert_plain(what: &str, text: &str) {
    let bad: BTreeSet<char> = text.chars().filter(|&c| c != '\n' && !is_plain(c)).collect();
    assert!(bad.is_empty(), "{what} has {bad:?}:\n{text:?}");
}

/// A program with all of that on record.
pub(crate) fn recorded() -> Program {
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

pub(crate) fn events(program: &Program) -> Vec<Value> {
    let json = program.run(&["events", "--json"]).stdout;
    assert_no_controls("events --json", &json);
    serde_json::from_str(&json).unwrap()
}

/// JSON may have any letter in a name, and nothing that a terminal obeys.
fn assert_no_controls(what: &str, json: &str) {
    let bad: BTreeSet<char> = json.chars().filter(|&c| c.is_control() && c != '\n').collect();
    assert!(bad.is_empty(), "{what} has {bad:?}");
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
        assert_eq!(*blamed, named(trap));
    }
    let listed = program.run(&["events", "--limit", "1000"]);
    assert_plain("the list", &listed.stdout);
    // A heading and a line each: the columns before the names are one width, and there is nothing behind the names.
    let mut lines = listed.stdout.lines();
    let at = lines.next().unwrap().find("CULPRITS").unwrap();
    for (line, event) in lines.by_ref().zip(&events) {
        let culprit = &event["culprits"][0];
        let share = culprit["share"].as_f64().unwrap() * 100.0;
        let wanted = format!("{} {share:.0} %", shown(culprit["name"].as_str().unwrap()));
        let before = line.strip_suffix(&wanted).unwrap_or_else(|| panic!("no {wanted:?} ends {line:?}"));
        assert_eq!(before.width(), at, "{line}\n{}", listed.stdout);
    }
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
    assert_no_controls("analyze --json", &lines.stdout);
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
    let exported = fs::read_to_string(&exported).unwrap();
    assert_no_controls("an export", &exported);
    for line in exported.lines() {
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
