//! What a terminal is made to show, and to do, by names that are traps.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use crate::crowds::{FIRST, five_thousand};
use crate::daemon::{Daemon, until};
use crate::names::{assert_plain, events, is_plain, named, recorded, shown, traps};
use crate::terminal::{Terminal, has_tmux};

/// A terminal that would take a clipboard or a title, and keeps what it is sent.
struct Witness {
    terminal: Terminal,
    title: String,
}

impl Witness {
    fn open() -> Self {
        let terminal = Terminal::open(120, 40);
        terminal.tmux(&["set-option", "-g", "set-clipboard", "on"]);
        let mut witness = Self { terminal, title: String::new() };
        witness.title = witness.title();
        let file = witness.terminal.directory.path().join("sent");
        witness.terminal.tmux(&["pipe-pane", "-o", &format!("cat >{}", file.display())]);
        witness
    }

    fn title(&self) -> String {
        let title = self.terminal.tmux(&["display-message", "-p", "#{pane_title}"]);
        String::from_utf8_lossy(&title.stdout).into_owned()
    }

    /// Waits for a screen that is so, with what was found on it. Of one that is half drawn not much is known; the last one
    /// is told of where none was.
    fn sees<T>(&self, what: &str, look: impl Fn(&str) -> Result<T, String>) -> T {
        let mut last = String::new();
        let found = catch_unwind(AssertUnwindSafe(|| {
            until(what, || {
                let screen = self.terminal.screen();
                // Whenever it is looked at: lines of text, and no more of them.
                assert_plain("the screen", &screen);
                assert_eq!(screen.lines().count(), 40, "{screen}");
                assert!(screen.lines().all(|line| line.width() <= 120), "{screen}");
                let found = look(&screen);
                last = found.as_ref().err().map_or_else(String::new, |why| format!("{why}\n{screen}"));
                found.ok()
            })
        }));
        found.unwrap_or_else(|_| panic!("{what}: {last}"))
    }

    /// Presses a key, and waits for these words.
    fn press(&self, key: &str, words: &str) {
        self.terminal.press(&[key]);
        self.sees(words, |screen| screen.contains(words).then_some(()).ok_or_else(String::new));
    }

    /// Leaves the dashboard; whatever was sent, no name did anything.
    fn leave(self) {
        self.terminal.press(&["q"]);
        self.terminal.wait_for("left with 0");
        self.terminal.takes_what_is_typed();
        assert_eq!(self.title(), self.title, "no name sets the title");
        let buffers = self.terminal.tmux(&["list-buffers"]);
        assert!(buffers.stdout.is_empty(), "no name sets the clipboard: {buffers:?}");
        // Closed, the pipe has all of it.
        self.terminal.tmux(&["pipe-pane"]);
        let sent = until("what was sent", || {
            let sent = fs::read(self.terminal.directory.path().join("sent")).ok()?;
            // It may end in the middle of a character.
            String::from_utf8(sent).ok().filter(|sent| sent.contains("icanon"))
        });
        assert_harmless(&sent);
    }
}

/// What the dashboard writes: text, ends of lines, and escape sequences that begin with `ESC [`, as those of colours and of the
/// cursor do. Titles, clipboards and links would begin with `ESC ]`, DCS with `ESC P`. None is a trap's.
fn assert_harmless(sent: &str) {
    assert!(sent.contains("\u{1b}[?1049h"), "the dashboard took the terminal");
    let bad: BTreeSet<char> =
        sent.chars().filter(|&c| !is_plain(c) && !matches!(c, '\u{1b}' | '\r' | '\n')).collect();
    assert!(bad.is_empty(), "{bad:?} were sent");
    let begun: BTreeSet<char> =
        sent.split('\u{1b}').skip(1).filter_map(|after| after.chars().next()).collect();
    assert!(begun.iter().all(|&c| c == '['), "escape sequences that begin so: {begun:?}");
    for trap in traps() {
        // As much of it as has room in a column.
        let start: String = trap.chars().take(12).collect();
        assert!(start.chars().all(is_plain) || !sent.contains(&start), "{start:?} was sent");
    }
}

#[test]
fn of_each_trap_that_is_sent_as_it_is_something_is_seen() {
    let of = |name: &str| format!("\u{1b}[?1049h\u{1b}[31m501 \u{1b}[0m{name} 100 %\r\n");
    for trap in traps() {
        assert_harmless(&of(&shown(&trap)));
        let is_seen = catch_unwind(|| assert_harmless(&of(&trap))).is_err();
        assert_eq!(is_seen, trap != shown(&trap), "{trap:?}");
    }
}

/// The rows of the table of processes, each its process id and its name. They keep their columns, whatever the names: each
/// figure of CPU ends where its heading does.
fn rows(screen: &str) -> Result<Vec<(i32, String)>, String> {
    let lines: Vec<&str> = screen.lines().collect();
    let at = lines.iter().position(|line| line.trim_start().starts_with("PID NAME")).ok_or("no heading")?;
    let (name, end) = (lines[at].find("NAME").unwrap(), lines[at].find("CPU").unwrap() + 2);
    // Up to the line of keys.
    let rows = lines[at + 1..lines.len() - 1].iter().take_while(|line| !line.trim().is_empty());
    let rows = rows.map(|row| {
        let is_in_place = matches!(cells(row).get(end), Some(&"%" | &"·"));
        let pid = between(row, 0, name).trim().parse().ok().filter(|_| is_in_place);
        // A figure has eleven columns.
        let text = between(row, name, end - 10).trim_end().to_owned();
        pid.map(|pid| (pid, text)).ok_or_else(|| format!("not in its columns: {row:?}"))
    });
    rows.collect()
}

/// What stands in each cell of a line; in the second of what is two wide the same again. What is joined to one picture takes
/// the cells of one, in tmux as on the screen that is drawn.
fn cells(line: &str) -> Vec<&str> {
    line.graphemes(true).flat_map(|drawn| std::iter::repeat_n(drawn, drawn.width())).collect()
}

/// What stands in these cells of a line.
fn between(line: &str, from: usize, to: usize) -> String {
    let mut at = 0;
    let begins_there = |drawn: &&str| {
        let begins = at;
        at += drawn.width();
        (from..to).contains(&begins)
    };
    line.graphemes(true).filter(begins_there).collect()
}

/// This is what is shown of a name: all of it, or its beginning.
fn is_of(text: &str, name: &str) -> Result<(), String> {
    let name = shown(name);
    let is_cut = |cut: &str| cut.width() >= 20 && name.starts_with(cut);
    let is_it = text == name.trim_end() || text.strip_suffix('…').is_some_and(is_cut);
    is_it.then_some(()).ok_or_else(|| format!("{text:?} stands for {name:?}"))
}

#[test]
fn a_picture_that_is_joined_of_two_takes_two_cells() {
    assert_eq!(cells("a👩‍💻|漢"), ["a", "👩‍💻", "👩‍💻", "|", "漢", "漢"]);
}

#[test]
fn every_trap_keeps_to_its_row_of_the_table_of_processes() {
    if !has_tmux() {
        return;
    }
    let script = five_thousand();
    let daemon = Daemon::start(script.program(), &script.config(), &[] as &[&str]);
    let witness = Witness::open();
    let terminal = &witness.terminal;
    let program = env!("CARGO_BIN_EXE_pause-monitor");
    terminal
        .run(&format!("clear; {program} --data-dir {} tui; echo left with $?", daemon.data_dir().display()));
    terminal.wait_for_all(&["(live)", "Top by CPU"]);
    witness.press("2", "PID NAME");
    let names: Vec<String> = traps().iter().map(|trap| named(trap)).collect();
    let mut missing: BTreeSet<usize> = (0..names.len()).collect();
    daemon.until("each trap in the table", || {
        // What is held is drawn once: whatever is wrong with it stays so.
        witness.press("Space", "(held)");
        let seen = witness.sees("rows of traps", |screen| {
            let rows = rows(screen)?.into_iter().map(|(pid, text)| {
                let number = usize::try_from(pid - FIRST).ok().filter(|number| *number < names.len());
                let number = number.ok_or_else(|| format!("{pid} is no trap's"))?;
                is_of(&text, &names[number]).map(|()| number)
            });
            let rows = rows.collect::<Result<Vec<usize>, String>>()?;
            if rows.len() < 5 { Err(format!("{} rows", rows.len())) } else { Ok(rows) }
        });
        missing.retain(|number| !seen.contains(number));
        witness.press("Space", "(live)");
        missing.is_empty().then_some(())
    });
    witness.leave();
}

#[test]
fn every_event_that_blames_a_trap_is_listed_opened_and_gone_to() {
    if !has_tmux() {
        return;
    }
    let program = recorded();
    let names = events(&program).into_iter().map(|event| {
        (event["id"].as_u64().unwrap(), event["culprits"][0]["name"].as_str().unwrap().to_owned())
    });
    // Newest first, as they are listed.
    let names: Vec<(u64, String)> = names.collect();
    let home = program.home().display();
    let dashboard = format!("clear; TZ=UTC HOME={home} {} tui", env!("CARGO_BIN_EXE_pause-monitor"));

    // From the database.
    let witness = Witness::open();
    witness.terminal.run(&format!("{dashboard}; echo left with $?"));
    witness.terminal.wait_for(&format!("{} events on record", names.len()));
    witness.press("3", HEADINGS);
    for (id, name) in &names {
        witness.sees("the list", |screen| {
            let rows = listed(screen)?;
            for (listed, text) in &rows {
                let (_, name) = names.iter().find(|(id, _)| id == listed).ok_or("no such event")?;
                is_of(text, &format!("{name} 100 %"))?;
            }
            if rows.len() < 30 { Err(format!("{} rows", rows.len())) } else { Ok(()) }
        });
        witness.press("Enter", &format!("Event {id}: episode"));
        witness.sees("its culprit", |screen| {
            let line = screen
                .lines()
                .find(|line| line.contains("pageins ") && line.contains(" → "))
                .ok_or("no culprit")?;
            // Behind the share and its bar.
            is_of(between(line, 18, 46).trim_end(), name)
        });
        witness.press("Escape", HEADINGS);
        witness.terminal.press(&["Down"]);
    }
    witness.leave();

    // On the overview of what was recorded, at its time.
    let witness = Witness::open();
    witness.terminal.run(&format!("{dashboard} --replay {home}/recording; echo left with $?"));
    witness.terminal.wait_for("(replay)");
    witness.press("3", &format!("{} events", names.len()));
    for (_, name) in &names {
        witness.sees("the list", listed);
        witness.press("g", "Top by CPU");
        witness.sees("it on the overview", |screen| {
            let line =
                screen.lines().find(|line| line.starts_with("     501 ")).ok_or("not on the overview")?;
            is_of(between(line, 9, 37).trim_end(), name)
        });
        witness.press("3", HEADINGS);
        witness.terminal.press(&["Down"]);
    }
    witness.leave();
}

/// Of the list of events.
const HEADINGS: &str = "STATUS      CULPRITS";

/// The rows of the list of events, each its number and its culprits.
fn listed(screen: &str) -> Result<Vec<(u64, String)>, String> {
    let mut lines = screen.lines().skip_while(|line| !line.contains(HEADINGS));
    let at = lines.next().and_then(|line| line.find("CULPRITS")).ok_or("no headings")?;
    // Up to the line of keys.
    let rows = lines.map_while(|line| {
        let id = between(line, 0, 5).trim().parse().ok()?;
        Some((id, between(line, at, 120)))
    });
    Ok(rows.collect())
}
