//! The stress score over time.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};

use crate::event::Verdict;
use crate::sample::Tier;
use crate::tui::state::State;
use crate::tui::state::history::{History, Kept};

use super::frame::{panel, whole};
use super::graph;

/// The graph of an event's samples reaches so far, ns: half a minute before a gap, and the gap.
const BEFORE_NS: u64 = 36_000_000_000;
/// The highest score there is.
const TOP: f64 = 100.0;

/// Where the graph itself is, below its heading, right of its scale, above its time axis.
fn plot(area: Rect) -> Rect {
    Rect {
        x: area.x + graph::SCALE,
        y: area.y + 1,
        width: area.width.saturating_sub(graph::SCALE + 1),
        height: area.height.saturating_sub(2),
    }
}

fn span(state: &State) -> Option<graph::Span<'_>> {
    let end = state.edge()?;
    Some(graph::Span { history: &state.history, end, span_ns: state.span_ns() })
}

pub(super) fn draw(state: &State, buf: &mut Buffer, area: Rect) {
    let look = state.look;
    let (Some(sample), Some(span)) = (state.sample(), span(state)) else { return };
    let style = look.tier(sample.tier).add_modifier(Modifier::BOLD);
    let mut title = vec![
        Span::styled("Stress ", look.title()),
        Span::styled(sample.stress.total().to_string(), style),
        Span::styled(format!("  {}", sample.tier.as_str().to_uppercase()), style),
    ];
    if let Some((_, ns, more)) = state.tier_for() {
        let least = if more { look.pick("≥ ", ">= ") } else { "" };
        title.push(Span::styled(format!(" for {least}{}", whole(ns)), look.dim()));
    }
    // Where the culprits have no panel of their own.
    if area.width < 100 {
        let last = || state.last_blamed().and_then(|gap| gap.culprits.first()).map(|first| ("last: ", first));
        if let Some((when, first)) = state.blame.culprits.first().map(|first| ("", first)).or_else(last) {
            let name = look.cut(&first.name, 18);
            let style = if when.is_empty() { look.tier(Tier::Elevated) } else { look.dim() };
            title.push(Span::styled(format!("  {when}{name} {:.0} %", first.share * 100.0), style));
        }
    }
    let peak = span.samples().map(|kept| kept.sample().stress.total()).max().unwrap_or(0);
    let right = format!("peak {peak} in {}", whole(state.span_ns()));
    panel(look, buf, area, &Line::from(title), &right);
    let plot = plot(area);
    let columns = graph::columns(&span, usize::from(plot.width) * graph::per_cell(look), score);
    graph::draw(look, buf, plot, &columns, TOP);
    thresholds(state, buf, Rect { x: area.x, width: plot.right() - area.x, ..plot });
    gaps(state, buf, plot, &span);
    graph::time(look, buf, plot, &span);
    cursor(state, buf, plot, &span);
}

/// Each gap that was judged, on the time axis.
fn gaps(state: &State, buf: &mut Buffer, plot: Rect, span: &graph::Span<'_>) {
    let look = state.look;
    for mark in &state.marks {
        let Some(number) = state.history.at_time(mark.gap.ended_ns.saturating_sub(1_000_000)) else {
            continue;
        };
        let Some(kept) = state.history.get(number).filter(|_| number <= span.end) else { continue };
        // Told long before what is kept begins, or not yet on it.
        if number == state.history.first()
            || kept.sample().time_ns < mark.gap.ended_ns.saturating_sub(1_000_000)
        {
            continue;
        }
        let Some(x) = graph::cell(span, plot, kept.entry.at_ns) else { continue };
        let (symbol, style) = match mark.gap.verdict {
            Verdict::Pause => (look.pick("▲", "P"), look.tier(Tier::Critical)),
            Verdict::Stall => (look.pick("▲", "T"), look.tier(Tier::Elevated)),
            Verdict::Starved => (look.pick("△", "S"), look.tier(Tier::Elevated)),
            Verdict::Sleep => (look.pick("z", "z"), look.dim()),
        };
        buf[(x, plot.bottom())].set_symbol(symbol).set_style(style);
    }
}

/// The sample that is held, where it is not the one at the right edge.
fn cursor(state: &State, buf: &mut Buffer, plot: Rect, span: &graph::Span<'_>) {
    let Some(cursor) = state.cursor().filter(|cursor| *cursor != span.end) else { return };
    let Some(x) = state.history.get(cursor).and_then(|kept| graph::cell(span, plot, kept.entry.at_ns)) else {
        return;
    };
    for y in plot.y..plot.bottom() {
        buf[(x, y)].modifier.insert(Modifier::REVERSED);
    }
}

/// The time that is shown at that column of the screen, on the axis.
pub(super) fn time_at(state: &State, area: Rect, column: u16) -> Option<u64> {
    let plot = plot(area);
    let column = column.checked_sub(plot.x).filter(|column| *column < plot.width)?;
    Some(span(state)?.time(usize::from(column), usize::from(plot.width)))
}

/// The graph of an event's samples, up to a time of day.
pub(super) fn small(state: &State, buf: &mut Buffer, area: Rect, history: &History, end: u64) {
    let look = state.look;
    let span = graph::Span { history, end, span_ns: BEFORE_NS };
    let plot = Rect {
        x: area.x + graph::SCALE,
        width: area.width.saturating_sub(graph::SCALE + 1),
        height: area.height.saturating_sub(1),
        ..area
    };
    let columns = graph::columns(&span, usize::from(plot.width) * graph::per_cell(look), score);
    graph::draw(look, buf, plot, &columns, TOP);
    thresholds(state, buf, Rect { x: area.x, width: plot.right() - area.x, ..plot });
    graph::time(look, buf, plot, &span);
}

fn score(kept: &Kept) -> Option<f64> {
    Some(f64::from(kept.sample().stress.total()))
}

/// Where the tiers begin, across the graph.
fn thresholds(state: &State, buf: &mut Buffer, area: Rect) {
    let look = state.look;
    let thresholds = state.thresholds();
    let mark =
        |at: u8, tier| graph::Mark { at: f64::from(at), label: at.to_string(), style: look.tier(tier) };
    let marks = [mark(thresholds.critical, Tier::Critical), mark(thresholds.elevated, Tier::Elevated)];
    graph::scale(look, buf, area, TOP, &marks);
}
