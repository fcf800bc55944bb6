//! Who is to blame: now, else for the last gap.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::human;
use crate::sample::Tier;
use crate::tui::look::Look;
use crate::tui::state::State;
use crate::wire::CulpritLine;

use super::frame::{bar, panel, title};

/// One culprit in a line: share, name, evidence.
pub(super) fn line(look: Look, culprit: &CulpritLine<'_>, width: usize) -> Line<'static> {
    let mut line = vec![Span::styled(
        format!(" {:>3.0} % ", culprit.share * 100.0),
        look.tier(if culprit.share >= 0.5 { Tier::Critical } else { Tier::Elevated }),
    )];
    let room = width.saturating_sub(7);
    let bar_width = if room >= 50 { 10 } else { 0 };
    if bar_width > 0 {
        line.extend(bar(look, culprit.share, bar_width, look.tier(Tier::Elevated)));
        line.push(Span::raw(" "));
    }
    let room = room.saturating_sub(if bar_width > 0 { bar_width + 1 } else { 0 });
    let name_width = (room / 2).clamp(8, 28).min(room);
    line.push(Span::raw(look.fit(&culprit.name, name_width)));
    line.push(Span::styled(
        format!(" {}", look.cut(&culprit.evidence, room.saturating_sub(name_width + 1))),
        look.dim(),
    ));
    Line::from(line)
}

pub(super) fn draw(state: &State, buf: &mut Buffer, area: Rect) {
    let look = state.look;
    let (heading, culprits) = match state.last_blamed() {
        _ if !state.blame.culprits.is_empty() => ("Culprits now".to_owned(), state.blame.culprits.as_slice()),
        Some(gap) => {
            let time = human::local(gap.ended_ns, "%H:%M:%S", &state.zone);
            let length = human::duration(gap.duration_ms / 1e3);
            let heading = format!("Culprits of the {} of {length} at {time}", gap.verdict.as_str());
            (heading, gap.culprits.as_slice())
        }
        None => ("Culprits".to_owned(), &[][..]),
    };
    let below = panel(look, buf, area, &title(look, &heading), "");
    if culprits.is_empty() {
        buf.set_stringn(below.x, below.y, " no process stands out", usize::from(below.width), look.dim());
    }
    for (culprit, y) in culprits.iter().zip(below.y..below.bottom()) {
        buf.set_line(below.x, y, &line(look, culprit, usize::from(below.width)), below.width);
    }
}
