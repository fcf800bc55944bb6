//! What built up, as a graph of characters: the score, then a row for each factor that scored.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::{LABEL, Telling};
use crate::cli::events::story::points::{Column, columns, spread};
use crate::cli::events::story::{Story, words};
use crate::human;
use crate::sample::Factor;

/// Columns on the right: the most points, and what they were measured by.
const FIGURES: usize = 27;

pub(super) fn lines(story: &Story, telling: &Telling) -> Vec<Line<'static>> {
    if story.points.is_empty() {
        return Vec::new();
    }
    let look = telling.look;
    let count = telling.width.saturating_sub(LABEL + FIGURES).clamp(10, 120);
    let places = spread(&story.points, &story.axis, &story.holes, count);
    let columns = columns(&story.points, &places, count);
    let still = still(story, count);
    let mut lines = Vec::new();
    let total = |at: usize| story.points[at].stress.total();
    let most = (0..story.points.len()).map(total).max().unwrap_or(0);
    let values = |points: &dyn Fn(usize) -> f64| -> Vec<Option<u8>> {
        columns.iter().map(|column| column.best.map(|at| (points(at) * 100.0).round() as u8)).collect()
    };
    let row = |name: &str, values: &[Option<u8>], style: Style, figures: String| {
        let mut line = vec![Span::styled(format!("  {name:<9} "), look.dim())];
        line.extend(cells(values, &columns, &still, telling, style));
        line.push(Span::raw(figures));
        Line::from(line)
    };
    let tier = story.points.iter().map(|point| point.tier).max().unwrap_or_default();
    let score = values(&|at| f64::from(total(at)) / 100.0);
    lines.push(row("stress", &score, look.tier(tier), format!("  {most:>3}/100")));
    // Each column shows its most stressed sample, so that the rows add up; the figures are each factor's own.
    for (factor, at) in story.scored() {
        let points = story.points[at].stress.get(factor);
        let part = |at: usize| f64::from(story.points[at].stress.get(factor)) / f64::from(factor.max());
        let figures = format!("  {points:>3}/{:<3} {}", factor.max(), words::measured(story, factor, at));
        lines.push(row(
            factor.as_str(),
            &values(&part),
            style(factor, points, telling),
            look.cut(&figures, FIGURES),
        ));
    }
    lines.push(Line::from(vec![
        Span::raw(" ".repeat(LABEL)),
        Span::styled(scale(story, count, telling), look.dim()),
    ]));
    if story.scored().is_empty() {
        lines.push(Line::styled(format!("{}no factor scored", " ".repeat(LABEL)), look.dim()));
    }
    if story.cut {
        lines.push(Line::styled("  more samples are kept than are shown here", look.dim()));
    }
    lines
}

/// As strong as its part of what it can give.
fn style(factor: Factor, points: u8, telling: &Telling) -> Style {
    use crate::sample::Tier;
    telling.look.tier(match f64::from(points) / f64::from(factor.max()) {
        part if part >= 0.7 => Tier::Critical,
        part if part >= 0.3 => Tier::Elevated,
        _ => Tier::Sentinel,
    })
}

/// The columns in which something stood still.
fn still(story: &Story, count: usize) -> Vec<bool> {
    let mut still = vec![false; count];
    for hole in &story.holes {
        if let Some((from, to)) = story.axis.part(hole.from_ns, hole.to_ns) {
            let from = ((from * count as f64).round() as usize).min(count - 1);
            let to = ((to * count as f64).round() as usize).clamp(from + 1, count);
            still[from..to].fill(true);
        }
    }
    still
}

/// A row's columns. Where nothing was sampled, and something stood still, that is shown; a sample always is.
fn cells(
    values: &[Option<u8>],
    columns: &[Column],
    still: &[bool],
    telling: &Telling,
    style: Style,
) -> Vec<Span<'static>> {
    let look = telling.look;
    let line = human::sparkline(values, !look.ascii());
    let gap = if look.ascii() { '!' } else { '░' };
    let mut spans: Vec<(bool, String)> = Vec::new();
    for ((character, column), &still) in line.chars().zip(columns).zip(still) {
        let gone = still && column.best.is_none();
        let cell = if gone { gap } else { character };
        match spans.last_mut().filter(|(last, _)| *last == gone) {
            Some((_, text)) => text.push(cell),
            None => spans.push((gone, cell.to_string())),
        }
    }
    let red = look.tier(crate::sample::Tier::Critical);
    spans.into_iter().map(|(gone, text)| Span::styled(text, if gone { red } else { style })).collect()
}

/// What stands where: the beginning, the gap with its length, the end.
fn scale(story: &Story, count: usize, telling: &Telling) -> String {
    let look = telling.look;
    let (axis, row) = (&story.axis, &story.event.row);
    let clock = |ns: i64| human::local(ns, "%H:%M:%S", &telling.zone);
    let mut line = vec![' '; count];
    let mut write = |at: usize, text: &str| {
        let at = at.min(count.saturating_sub(text.chars().count()));
        if line[at.saturating_sub(1)..(at + text.chars().count() + 1).min(count)].iter().all(|c| *c == ' ') {
            for (cell, c) in line[at..].iter_mut().zip(text.chars()) {
                *cell = c;
            }
        }
    };
    if story.is_gap() {
        let name = row.verdict.map_or("gap", |verdict| verdict.as_str());
        // Where this one is: an earlier gap may be on the graph, too.
        let own = axis.part(row.started_ns, story.end_ns());
        let at = own.map_or(0, |(from, _)| ((from * count as f64).round() as usize).min(count - 1));
        let cut = if axis.shortened { " (drawn shorter)" } else { "" };
        write(at, &format!("{} {name}{cut}", look.pick("↑", "^")));
        let before = human::duration(row.started_ns.saturating_sub(axis.start_ns()) as f64 / 1e9);
        write(0, &format!("{}{before}", look.pick("−", "-")));
    } else {
        write(0, &clock(axis.start_ns()));
        write(count, &clock(axis.end_ns()));
    }
    line.into_iter().collect::<String>().trim_end().to_owned()
}
