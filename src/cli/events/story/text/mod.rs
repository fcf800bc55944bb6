//! The story for a terminal: lines of styled text, as wide as they are asked to be. Pure.

pub(in crate::cli::events) mod ansi;
mod graph;

use jiff::tz::TimeZone;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use super::{Story, words};
use crate::human;
use crate::output::store::{Kind, Status};
use crate::tui::look::Look;

/// Columns of the labels on the left, the blanks around them included.
const LABEL: usize = 12;

/// How it is told.
#[derive(Clone, Debug)]
pub(in crate::cli::events) struct Telling {
    /// Colours and characters.
    pub(in crate::cli::events) look: Look,
    /// Columns.
    pub(in crate::cli::events) width: usize,
    /// Whose times.
    pub(in crate::cli::events) zone: TimeZone,
}

/// The whole story.
pub(in crate::cli::events) fn lines(story: &Story, telling: &Telling) -> Vec<Line<'static>> {
    let mut page = Page { lines: Vec::new(), telling };
    page.heading(story);
    page.facts(story);
    page.graph(story);
    page.culprits(story);
    page.related(story);
    page.captures(story);
    page.next(story);
    page.lines
}

/// What a line does not begin with.
const UNITS: [&str; 6] = ["%", "ms", "s", "min", "h", "points"];

struct Page<'a> {
    lines: Vec<Line<'static>>,
    telling: &'a Telling,
}

impl Page<'_> {
    fn look(&self) -> Look {
        self.telling.look
    }

    fn blank(&mut self) {
        self.lines.push(Line::default());
    }

    fn title(&mut self, title: &str, more: &str) {
        self.blank();
        let look = self.look();
        let more = if more.is_empty() { String::new() } else { format!("  {}", look.text(more)) };
        let room = self.telling.width.saturating_sub(title.len());
        self.lines.push(Line::from(vec![
            Span::styled(title.to_owned(), look.title()),
            Span::styled(look.cut(&more, room), look.dim()),
        ]));
    }

    /// Text after a label, wrapped; the lines after the first are set in.
    fn labelled(&mut self, label: &str, text: &str, style: Style) {
        let look = self.look();
        let room = self.telling.width.saturating_sub(LABEL);
        let mut label = Span::styled(format!("  {label:<9} "), look.dim());
        for line in wrap(&look.text(text), room) {
            self.lines.push(Line::from(vec![label, Span::styled(line, style)]));
            label = Span::raw(" ".repeat(LABEL));
        }
    }

    fn plain(&mut self, label: &str, text: &str) {
        self.labelled(label, text, Style::new());
    }

    fn heading(&mut self, story: &Story) {
        let (event, look) = (&story.event, self.look());
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let name = format!("Event {}: {}, {}", event.row.id, event.kind_text(), event.length_text());
        let mut line = vec![Span::styled(look.text(&name), bold)];
        if let Some(peak) = &event.row.peak {
            let score = format!("{} {}", peak.tier.as_str().to_uppercase(), peak.stress.total());
            let room = self.telling.width.saturating_sub(name.width() + score.len());
            line.push(Span::raw(" ".repeat(room.max(1))));
            line.push(Span::styled(score, look.tier(peak.tier)));
        }
        self.lines.push(Line::from(line));
        for line in wrap(&look.text(&words::headline(story)), self.telling.width) {
            self.lines.push(Line::raw(line));
        }
        self.blank();
    }

    fn facts(&mut self, story: &Story) {
        let (event, row) = (&story.event, &story.event.row);
        let zone = self.telling.zone.clone();
        self.plain("began", &words::time(row.started_ns, &zone));
        match row.ended_ns {
            Some(end) => self.plain("ended", &format!("{}{}", words::time(end, &zone), event.ending())),
            None => {
                self.plain("ended", &format!("not yet; last seen {}", words::time(row.last_seen_ns, &zone)));
            }
        }
        if row.verdict.is_some() {
            self.labelled("verdict", &words::verdict(story), Style::new().add_modifier(Modifier::BOLD));
        }
        let mut label = "why";
        for reason in words::why(story) {
            self.plain(label, &reason);
            label = "";
        }
        if let Some(peak) = &row.peak {
            let text = format!("{} of 100, {}", peak.stress.total(), peak.tier.as_str());
            let when = match row.kind {
                Kind::Episode => format!(", highest at {}", words::time(peak.time_ns, &zone)),
                _ => String::new(),
            };
            self.labelled("stress", &format!("{text}{when}"), self.look().tier(peak.tier));
        }
        if let Some(tiers) = words::tiers(story) {
            self.plain("tiers", &tiers);
        }
        let steps = words::steps(story, &zone, 6);
        if !steps.is_empty() {
            self.plain("changes", &steps.join(" · "));
        }
        if event.status != Status::Unreviewed {
            self.plain("status", event.status.as_str());
        }
        if let Some(note) = &event.note {
            self.plain("note", note);
        }
        if let Some(episode) = row.episode {
            self.plain("episode", &format!("{episode}: this happened in it"));
        }
        self.plain("incident", &format!("{} (the trace id)", event.json().incident));
    }

    fn graph(&mut self, story: &Story) {
        if story.event.row.kind == Kind::Outage {
            return;
        }
        self.title("What built up", &words::shown(story));
        self.lines.extend(graph::lines(story, self.telling));
    }

    fn culprits(&mut self, story: &Story) {
        let row = &story.event.row;
        if row.peak.is_none() {
            return;
        }
        self.title("Who", "share of the points");
        let look = self.look();
        if row.culprits.is_empty() {
            self.lines.push(Line::raw("  no process stands out"));
        }
        for culprit in &row.culprits {
            let name = words::process(&culprit.name, culprit.pid);
            let share = format!("{:>3.0} %", culprit.share * 100.0);
            let room = self.telling.width.saturating_sub(2 + share.len() + 1);
            let bar_room = (room / 2).min(24);
            let bar = human::bar(culprit.share, 1.0 - culprit.share, 1.0, bar_room, !look.ascii());
            let style = row.peak.as_ref().map_or(Style::new(), |peak| look.tier(peak.tier));
            self.lines.push(Line::from(vec![
                Span::raw(format!("  {} ", look.fit(&name, room - bar_room - 1))),
                Span::styled(bar, style),
                Span::raw(format!(" {share}")),
            ]));
            let mut factors: Vec<(&str, u8)> =
                culprit.factors.iter().map(|(factor, &points)| (factor.as_ref(), points)).collect();
            factors.sort_by_key(|&(_, points)| std::cmp::Reverse(points));
            let factors: Vec<String> =
                factors.iter().map(|(factor, points)| format!("{factor} {points}")).collect();
            let points = if factors.is_empty() {
                String::new()
            } else {
                format!("; points on average: {}", factors.join(", "))
            };
            let detail = look.text(&format!("{}{points}", culprit.evidence));
            for line in wrap(&detail, self.telling.width.saturating_sub(4)) {
                self.lines.push(Line::styled(format!("    {line}"), look.dim()));
            }
        }
    }

    fn related(&mut self, story: &Story) {
        if story.related.is_empty() {
            return;
        }
        self.title("Within a minute of it", "");
        let (look, zone) = (self.look(), &self.telling.zone);
        let room = self.telling.width;
        let told = story.related.iter().map(|other| {
            let start = human::local(other.row.started_ns, "%H:%M:%S", zone);
            let who = other.culprits_text();
            let who = if who.is_empty() { who } else { format!(", {who}") };
            let text = format!(
                "  {start}  event {}: {}, {}{who}",
                other.row.id,
                other.kind_text(),
                other.length_text()
            );
            Line::raw(look.cut(&text, room))
        });
        self.lines.extend(told);
    }

    fn captures(&mut self, story: &Story) {
        if story.event.forensics.is_empty() {
            return;
        }
        self.title("Captured", "");
        let look = self.look();
        for capture in &story.event.forensics {
            let more = [capture.path.as_deref(), capture.detail.as_deref()].into_iter().flatten();
            let more: String = more.map(|text| format!(", {text}")).collect();
            let text = look.text(&format!("{}: {}{more}", capture.name, capture.outcome));
            for (at, line) in wrap(&text, self.telling.width.saturating_sub(4)).into_iter().enumerate() {
                self.lines.push(Line::raw(format!("{}{line}", if at == 0 { "  " } else { "    " })));
            }
        }
    }

    fn next(&mut self, story: &Story) {
        self.title("Next", "pause-monitor …");
        let id = story.event.row.id.to_string();
        for (what, command) in words::NEXT {
            let (look, command) = (self.look(), command.replace("ID", &id));
            self.lines.push(Line::from(vec![
                Span::raw(format!("  {command:<32} ")),
                Span::styled(what.to_owned(), look.dim()),
            ]));
        }
    }
}

/// Breaks text into lines of at most `width` columns, at blanks where there are any. At least one line.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = vec![String::new()];
    let mut used = 0;
    let mut words = text.split(' ').filter(|word| !word.is_empty()).peekable();
    while let Some(word) = words.next() {
        // A unit stays with its figure.
        let is_figure = word.ends_with(|c: char| c.is_ascii_digit());
        let unit = |next: &&str| {
            is_figure && UNITS.iter().any(|unit| next.trim_end_matches(['.', ',', ')', ';']) == *unit)
        };
        let glued = words.next_if(unit).map(|unit| format!("{word} {unit}"));
        let word = glued.as_deref().unwrap_or(word);
        let wide = word.width();
        if used > 0 && used + 1 + wide > width {
            lines.push(String::new());
            used = 0;
        }
        if used > 0 {
            push(&mut lines, " ");
            used += 1;
        }
        if wide <= width {
            push(&mut lines, word);
            used += wide;
            continue;
        }
        // A word that is wider than a line: a path, an incident.
        for part in unicode_segmentation::UnicodeSegmentation::graphemes(word, true) {
            if used > 0 && used + part.width() > width {
                lines.push(String::new());
                used = 0;
            }
            push(&mut lines, part);
            used += part.width();
        }
    }
    lines
}

fn push(lines: &mut [String], text: &str) {
    if let Some(line) = lines.last_mut() {
        line.push_str(text);
    }
}
