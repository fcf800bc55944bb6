//! The eight factors: points, raw value and a small graph each.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};

use crate::human;
use crate::sample::{Factor, Tier};
use crate::tui::look::Look;
use crate::tui::state::State;

use super::frame::{bar, panel, title};
use super::{graph, raw};

/// Columns of a factor's bar.
const BAR: usize = 10;
/// Columns of a raw value.
const RAW: usize = 15;

/// A factor's points in the colour of what they weigh: half of its maximum is much.
pub(super) fn style(look: Look, factor: Factor, points: u8) -> ratatui::style::Style {
    look.tier(match points {
        points if points * 2 >= factor.max() => Tier::Critical,
        0 => Tier::Sentinel,
        _ => Tier::Elevated,
    })
}

pub(super) fn draw(state: &State, buf: &mut Buffer, area: Rect, machine: bool) {
    let look = state.look;
    let (Some(cursor), Some(sample)) = (state.cursor(), state.sample()) else { return };
    // Where the machine has no panel of its own, the most telling of its figures stand here.
    let right = if machine { "points, now, 30 s".to_owned() } else { super::machine::short(sample) };
    let below = panel(look, buf, area, &title(look, "Factors"), &right);
    let room = usize::from(area.width).saturating_sub(2 + 8 + 1 + BAR + 1 + 5 + 2 + RAW + 1);
    let span = graph::Span { history: &state.history, end: cursor, span_ns: 30_000_000_000 };
    for (factor, y) in Factor::ALL.into_iter().zip(below.y..below.bottom()) {
        let points = sample.stress.get(factor);
        let max = factor.max();
        let style = style(look, factor, points);
        let chosen = factor == state.factor;
        let pointer = if chosen { look.pick("›", ">") } else { " " };
        let mut line = vec![Span::styled(format!("{pointer} {:<8} ", factor.as_str()), look.key())];
        line.extend(bar(look, f64::from(points) / f64::from(max), BAR, style));
        line.push(Span::styled(format!(" {points:>2}"), style.add_modifier(Modifier::BOLD)));
        line.push(Span::styled(format!("/{max:<2}"), look.dim()));
        let value = raw::text(factor, raw::value(factor, &state.history, cursor), sample);
        line.push(Span::raw(format!("  {} ", look.fit(&value, RAW))));
        // As wide as the room is, but not wider than there are samples.
        let columns =
            graph::columns(&span, room.min(150), |kept| Some(f64::from(kept.sample().stress.get(factor))));
        let values: Vec<Option<u8>> = columns
            .iter()
            .map(|column| column.value.map(|points| (points * 100.0 / f64::from(max)) as u8))
            .collect();
        line.push(Span::styled(human::sparkline(&values, !look.ascii()), style));
        buf.set_line(below.x, y, &Line::from(line), below.width);
    }
}

/// The factor in that row of the screen.
pub(super) fn at(area: Rect, row: u16) -> Option<Factor> {
    let index = row.checked_sub(area.y + 1)?;
    Factor::ALL.get(usize::from(index)).copied()
}
