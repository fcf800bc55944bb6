//! One factor: its points and its raw value over time, the curve in words, and who it is dealt out to.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};

use crate::sample::{Factor, Tier};
use crate::tui::state::history::Kept;
use crate::tui::state::{Measure, State};

use super::frame::{panel, whole};
use super::{factors, graph, processes, raw};

/// Rows of the processes' panel.
const LISTS: u16 = 6;

pub(super) fn draw(state: &State, buf: &mut Buffer, area: Rect) {
    let look = state.look;
    let factor = state.factor;
    // All factors, to choose from.
    let mut names = Vec::new();
    for other in Factor::ALL {
        let points = state.sample().map_or(0, |sample| sample.stress.get(other));
        let text = if area.width >= 110 {
            format!(" {} {points} ", other.as_str())
        } else {
            format!(" {} ", &other.as_str()[..other.as_str().len().min(4)])
        };
        names.push(Span::styled(
            text,
            if other == factor { look.selected() } else { factors::style(look, other, points) },
        ));
    }
    buf.set_line(area.x, area.y, &Line::from(names), area.width);
    let (Some(cursor), Some(end), Some(sample)) = (state.cursor(), state.edge(), state.sample()) else {
        buf.set_stringn(area.x, area.y + 1, " No sample yet.", usize::from(area.width), look.dim());
        return;
    };
    let lists = if area.height >= 24 { LISTS } else { 0 };
    let rest = area.height - 1 - lists - 2;
    let first = rest / 2;
    let at = |y: u16, height: u16| Rect { y, height, ..area };
    let points = sample.stress.get(factor);
    let style = factors::style(look, factor, points);
    let heading = Line::from(vec![
        Span::styled(format!("{} ", factor.as_str()), look.title()),
        Span::styled(format!("{points}"), style.add_modifier(Modifier::BOLD)),
        Span::styled(format!(" of {} points", factor.max()), look.dim()),
    ]);
    let span = graph::Span { history: &state.history, end, span_ns: state.span_ns() };
    let right = whole(state.span_ns());
    let below = panel(look, buf, at(area.y + 1, first), &heading, &right);
    let max = f64::from(factor.max());
    plot(state, buf, below, &span, max, &factor.max().to_string(), |kept| {
        Some(f64::from(kept.sample().stress.get(factor)))
    });
    let value = raw::text(factor, raw::value(factor, &state.history, cursor), sample);
    let heading = Line::from(vec![
        Span::styled("raw value ", look.title()),
        Span::styled(look.text(&value), ratatui::style::Style::new().add_modifier(Modifier::BOLD)),
    ]);
    let below = panel(look, buf, at(area.y + 1 + first, rest - first), &heading, "each sample");
    let most = span.samples().filter_map(|kept| raw::instant(factor, kept.sample())).fold(0.0, f64::max);
    let top = if most > 0.0 { most } else { 1.0 };
    plot(state, buf, below, &span, top, &raw::short(factor, top), |kept| raw::instant(factor, kept.sample()));
    let (what, curve) = raw::curve(factor);
    let y = area.y + 1 + rest;
    let width = usize::from(area.width);
    buf.set_stringn(area.x, y, format!(" {}", look.cut(what, width - 1)), width, look.dim());
    buf.set_stringn(area.x, y + 1, format!(" points: {}", look.cut(curve, width - 9)), width, look.dim());
    if lists > 0 {
        let measure = match factor {
            // Without page-ins, memory's points are dealt out by CPU.
            Factor::Memory if sample.top.pageins.as_slice().is_empty() => Measure::Cpu,
            factor => Measure::of(factor),
        };
        processes::panel_of(state, buf, at(area.bottom() - lists, lists), measure);
    }
}

fn plot(
    state: &State,
    buf: &mut Buffer,
    area: Rect,
    span: &graph::Span<'_>,
    top: f64,
    label: &str,
    value: impl Fn(&Kept) -> Option<f64>,
) {
    let look = state.look;
    if area.height < 2 {
        return;
    }
    let plot = Rect {
        x: area.x + graph::SCALE,
        width: area.width.saturating_sub(graph::SCALE + 1),
        height: area.height - 1,
        ..area
    };
    let columns = graph::columns(span, usize::from(plot.width) * graph::per_cell(look), value);
    graph::draw(look, buf, plot, &columns, top);
    let mark = graph::Mark { at: top, label: look.text(label), style: look.rule() };
    graph::scale(look, buf, Rect { x: area.x, width: plot.right() - area.x, ..plot }, top, &[mark]);
    graph::time(look, buf, plot, span);
    let unknown = columns.iter().all(|column| column.value.is_none());
    if unknown {
        buf.set_stringn(plot.x, plot.y, "not reported", usize::from(plot.width), look.tier(Tier::Elevated));
    }
}
