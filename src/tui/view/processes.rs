//! The processes that are among the five largest by some measure: as a panel, and all of them as a screen.

use std::collections::BTreeMap;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::human;
use crate::sample::{Process, Sample, Tier, Top, TopList};
use crate::tui::look::Look;
use crate::tui::state::{Measure, State};

use super::frame::{self, title};
use super::{Target, graph};

/// Columns of a trend.
const TREND: usize = 30;
/// How far back a trend reaches, ns.
const TREND_NS: u64 = 30_000_000_000;
/// Columns of a value.
const VALUE: usize = 11;
/// Columns of a process id.
const PID: usize = 8;
/// Rows that are listed at most.
const MOST: usize = 200;

fn list(top: &Top, measure: Measure) -> &TopList {
    match measure {
        Measure::Cpu => &top.cpu,
        Measure::Pageins => &top.pageins,
        Measure::Wakeups => &top.wakeups,
        Measure::Disk => &top.diskio,
    }
}

fn heading(measure: Measure) -> &'static str {
    match measure {
        Measure::Cpu => "CPU",
        Measure::Pageins => "PAGE-INS",
        Measure::Wakeups => "WAKEUPS",
        Measure::Disk => "DISK",
    }
}

fn value_text(measure: Measure, value: f64) -> String {
    match measure {
        Measure::Cpu => format!("{} %", human::number(value / 10.0)),
        Measure::Pageins | Measure::Wakeups => format!("{}/s", human::number(value)),
        Measure::Disk => human::bytes_per_s(value),
    }
}

/// A process of the list.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Process id.
    pub pid: i32,
    /// Its name.
    pub name: String,
    /// Its present value of each measure; `None` where it is not among the five largest: then it is not known.
    pub now: [Option<f64>; 4],
    /// The sum of its known values of the measure sorted by.
    weight: f64,
    /// Its values of the measure sorted by over the last 30 s.
    trend: [Option<f64>; TREND],
    /// Its share of the blame.
    pub share: Option<f64>,
}

/// The processes listed in the last 30 s, in the order of the screen: those whose present value is known first.
#[must_use]
pub fn rows(state: &State) -> Vec<Row> {
    let Some(cursor) = state.cursor() else { return Vec::new() };
    let measure = state.processes.measure;
    let mut rows: BTreeMap<(i32, &str), Row> = BTreeMap::new();
    let window = state.history.window(cursor, TREND_NS);
    let newest_ns = state.history.get(cursor).map_or(0, |kept| kept.entry.at_ns);
    for kept in window {
        let age_ns = newest_ns.saturating_sub(kept.entry.at_ns);
        let bucket = TREND - 1 - ((age_ns as usize * TREND) / (TREND_NS as usize + 1)).min(TREND - 1);
        let current = kept.entry.at_ns == newest_ns;
        for listed in Measure::ALL {
            // Of the past only what the list is sorted by is told.
            if !current && listed != measure {
                continue;
            }
            for process in list(&kept.sample().top, listed).as_slice() {
                let row =
                    rows.entry((process.pid, process.name.as_str())).or_insert_with(|| new_row(process));
                if current {
                    row.now[listed as usize] = Some(process.value);
                }
                if listed == measure {
                    row.weight += process.value;
                    row.trend[bucket] = Some(row.trend[bucket].unwrap_or(0.0).max(process.value));
                }
            }
        }
    }
    let mut rows: Vec<Row> = rows.into_values().collect();
    for row in &mut rows {
        let blamed = |line: &&crate::wire::CulpritLine<'_>| line.pid == row.pid && line.name == row.name;
        row.share = state.blame.culprits.iter().find(blamed).map(|line| line.share);
    }
    // What is not known is no smallest value: it comes last either way.
    rows.sort_by(|a, b| {
        let now = |row: &Row| row.now[measure as usize];
        let largest = match (now(a), now(b)) {
            (Some(a), Some(b)) if state.processes.reversed => a.total_cmp(&b),
            (Some(a), Some(b)) => b.total_cmp(&a),
            (a, b) => b.is_some().cmp(&a.is_some()),
        };
        largest.then(b.weight.total_cmp(&a.weight)).then(a.pid.cmp(&b.pid))
    });
    rows.truncate(MOST);
    rows
}

fn new_row(process: &Process) -> Row {
    Row {
        pid: process.pid,
        name: process.name.as_str().to_owned(),
        now: [None; 4],
        weight: 0.0,
        trend: [None; TREND],
        share: None,
    }
}

/// The row of the process selected; the first where it is not listed.
#[must_use]
pub fn selected_row(state: &State, rows: &[Row]) -> usize {
    let Some((pid, name)) = &state.processes.selected else { return 0 };
    rows.iter().position(|row| row.pid == *pid && row.name == *name).unwrap_or(0)
}

/// A trend scaled to the greatest value of all.
fn trend(look: Look, values: &[Option<f64>], most: f64) -> String {
    let scaled: Vec<Option<u8>> = values
        .iter()
        .map(|value| value.map(|value| (value / most.max(f64::MIN_POSITIVE) * 100.0).min(100.0) as u8))
        .collect();
    human::sparkline(&scaled, !look.ascii())
}

/// Columns that the name has, beside so many measures.
fn name_width(area: Rect, measures: usize) -> usize {
    usize::from(area.width).saturating_sub(1 + PID + measures * VALUE + 8 + trend_width(area) + 2).max(8)
}

fn trend_width(area: Rect) -> usize {
    if area.width >= 110 { TREND + 1 } else { 0 }
}

/// Measures whose columns there is room for: the one sorted by always.
fn shown(state: &State, area: Rect) -> Vec<Measure> {
    let all = usize::from(area.width) >= 1 + PID + 4 * VALUE + 8 + 8;
    Measure::ALL.into_iter().filter(|measure| all || *measure == state.processes.measure).collect()
}

pub(super) fn draw(state: &State, buf: &mut Buffer, area: Rect) {
    let look = state.look;
    let measure = state.processes.measure;
    let rows = rows(state);
    let order = if state.processes.reversed { "smallest first" } else { "largest first" };
    let right = format!("the five largest of each measure in 30 s, by {}, {order}", heading(measure));
    let below = frame::panel(look, buf, area, &title(look, "Processes"), &right);
    if rows.is_empty() {
        let why = match state.sample() {
            Some(sample) if sample.degraded => " Not known: only load, memory and lateness are measured now.",
            Some(_) => " No process is listed.",
            None => " No sample yet.",
        };
        buf.set_stringn(below.x, below.y, why, usize::from(below.width), look.dim());
        return;
    }
    let shown = shown(state, area);
    let mut line = vec![Span::styled(
        format!(" {:>PID$} {} ", "PID", look.fit("NAME", name_width(area, shown.len()))),
        look.dim(),
    )];
    for column in &shown {
        let style = if *column == measure { look.title() } else { look.dim() };
        line.push(Span::styled(look.right(heading(*column), VALUE), style));
    }
    line.push(Span::styled(format!("{:>8}", "BLAME"), look.dim()));
    if trend_width(area) > 0 {
        line.push(Span::styled("  30 s", look.dim()));
    }
    buf.set_line(below.x, below.y, &Line::from(line), below.width);
    let most = rows.iter().flat_map(|row| row.trend).flatten().fold(0.0, f64::max);
    let selected = selected_row(state, &rows);
    let height = usize::from(below.height.saturating_sub(1));
    for ((index, row), y) in
        rows.iter().enumerate().skip(offset(selected, height)).zip(below.y + 1..below.bottom())
    {
        let pid = if row.pid < 0 { "-".to_owned() } else { row.pid.to_string() };
        let mut line = vec![
            Span::styled(format!(" {pid:>PID$} "), look.dim()),
            Span::raw(look.fit(&row.name, name_width(area, shown.len()))),
        ];
        line.push(Span::raw(" "));
        for column in &shown {
            line.push(match row.now[*column as usize] {
                Some(value) => Span::raw(look.right(&value_text(*column, value), VALUE)),
                None => Span::styled(look.right(look.pick("·", "."), VALUE), look.rule()),
            });
        }
        let share = row.share.map_or_else(String::new, |share| format!("{:.0} %", share * 100.0));
        line.push(Span::styled(format!("{share:>8}"), look.tier(Tier::Elevated)));
        if trend_width(area) > 0 {
            line.push(Span::styled(format!(" {}", trend(look, &row.trend, most)), look.key()));
        }
        buf.set_line(below.x, y, &Line::from(line), below.width);
        if index == selected {
            buf.set_style(Rect { y, height: 1, ..below }, look.selected());
        }
    }
}

/// Rows scrolled past, so that the selected one is seen.
pub(super) fn offset(selected: usize, height: usize) -> usize {
    (selected + 1).saturating_sub(height)
}

/// What is at that place of the screen.
pub(super) fn at(state: &State, area: Rect, column: u16, row: u16) -> Option<Target> {
    let row = row.checked_sub(area.y + 1)?;
    if row == 0 {
        let shown = shown(state, area);
        let first = usize::from(area.x) + 1 + PID + 1 + name_width(area, shown.len()) + 1;
        let index = usize::from(column).checked_sub(first)? / VALUE;
        return shown.get(index).copied().map(Target::Measure);
    }
    let height = usize::from(area.height.saturating_sub(2));
    let rows = rows(state);
    let index = offset(selected_row(state, &rows), height) + usize::from(row) - 1;
    (index < rows.len()).then_some(Target::Process(index))
}

/// The five largest, as a panel.
pub(super) fn panel_rows(sample: &Sample, measure: Measure) -> &[Process] {
    list(&sample.top, measure).as_slice()
}

pub(super) fn panel(state: &State, buf: &mut Buffer, area: Rect) {
    panel_of(state, buf, area, state.processes.measure);
}

/// The five largest by a measure.
pub(super) fn panel_of(state: &State, buf: &mut Buffer, area: Rect, measure: Measure) {
    let look = state.look;
    let (Some(sample), Some(cursor)) = (state.sample(), state.cursor()) else { return };
    let heading = title(look, &format!("Top by {}", heading(measure)));
    let below = frame::panel(look, buf, area, &heading, "m: next measure");
    let rows = panel_rows(sample, measure);
    if rows.is_empty() {
        let why = if sample.degraded { " not known while degraded" } else { " none" };
        buf.set_stringn(below.x, below.y, why, usize::from(below.width), look.dim());
    }
    let width = usize::from(below.width);
    let trend_width = width.saturating_sub(50).min(40);
    let most = rows.first().map_or(0.0, |process| process.value);
    let span = graph::Span { history: &state.history, end: cursor, span_ns: TREND_NS };
    for (process, y) in rows.iter().zip(below.y..below.bottom()) {
        let name_width = width.saturating_sub(2 + VALUE + PID + 1 + trend_width).max(8);
        let pid = if process.pid < 0 { "-".to_owned() } else { process.pid.to_string() };
        let mut line = vec![
            Span::styled(format!("{pid:>PID$} "), look.dim()),
            Span::raw(look.fit(&process.name.printable(), name_width)),
            Span::raw(look.right(&value_text(measure, process.value), VALUE)),
            Span::raw(" "),
        ];
        if trend_width > 0 {
            let is_it = |other: &&Process| other.pid == process.pid && other.name == process.name;
            let columns = graph::columns(&span, trend_width, |kept| {
                panel_rows(kept.sample(), measure).iter().find(is_it).map(|process| process.value)
            });
            let values: Vec<Option<f64>> = columns.iter().map(|column| column.value).collect();
            let most = values.iter().flatten().fold(most, |most, value| most.max(*value));
            line.push(Span::styled(trend(look, &values, most), look.key()));
        }
        buf.set_line(below.x, y, &Line::from(line), below.width);
    }
}
