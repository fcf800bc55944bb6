//! One event: the seconds before it, its factors, who is to blame, what else happened, what was captured.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::human;
use crate::output::store::Kind;
use crate::sample::{Factor, Tier};
use crate::tui::state::State;
use crate::tui::state::events::Detail;

use super::frame::{bar, panel, title};
use super::{culprits, factors, stress};

/// Rows of the graph.
const GRAPH: u16 = 7;

pub(super) fn draw(state: &State, detail: &Detail, buf: &mut Buffer, area: Rect) {
    let look = state.look;
    let event = &detail.event;
    let heading = format!("Event {}: {}, {}", event.row.id, event.kind_text(), event.length_text());
    let below = panel(look, buf, area, &title(look, &heading), event.status.as_str());
    let graph = if below.height >= GRAPH + 8 { GRAPH } else { 0 };
    if graph > 0 {
        let place = Rect { height: graph, ..below };
        match shown_end(detail) {
            Some(end) => stress::small(state, buf, place, &detail.samples, end),
            None => {
                buf.set_stringn(
                    place.x,
                    place.y,
                    " no samples of it are kept",
                    usize::from(place.width),
                    look.dim(),
                );
            }
        }
    }
    let room = Rect { y: below.y + graph, height: below.height - graph, ..below };
    let lines = lines(state, detail, usize::from(room.width));
    // The last lines stay in sight.
    let most = lines.len().saturating_sub(usize::from(room.height));
    let skip = usize::from(detail.offset).min(most);
    for (line, y) in lines.iter().skip(skip).zip(room.y..room.bottom()) {
        buf.set_line(room.x, y, line, room.width);
    }
    if most > skip {
        let more = format!(" {} more below ", most - skip);
        let x = room.right().saturating_sub(more.len() as u16 + 1);
        buf.set_stringn(x, room.bottom() - 1, more, usize::from(room.right() - x), look.dim());
    }
}

/// The graph ends with the sample that ended the gap, or with the peak.
fn shown_end(detail: &Detail) -> Option<u64> {
    let row = &detail.event.row;
    let end_ns = match (row.kind, &row.peak) {
        (Kind::Episode, Some(peak)) => peak.time_ns,
        _ => row.ended_ns.unwrap_or(row.last_seen_ns),
    };
    // Labels have ms only.
    detail.samples.at_time(end_ns - end_ns.rem_euclid(1_000_000))
}

fn lines(state: &State, detail: &Detail, width: usize) -> Vec<Line<'static>> {
    let look = state.look;
    let event = &detail.event;
    let row = &event.row;
    let time = |ns: i64| human::local(ns, "%Y-%m-%d %H:%M:%S%.3f", &state.zone);
    let label = |name: &str| Span::styled(format!(" {name:<9} "), look.dim());
    let plain = |name: &str, text: String| {
        Line::from(vec![label(name), Span::raw(look.cut(&text, width.saturating_sub(11)))])
    };
    let mut lines = vec![plain("began", time(row.started_ns))];
    lines.push(match row.ended_ns {
        Some(end) => plain("ended", format!("{}{}", time(end), event.ending())),
        None => plain("ended", format!("not yet; last seen {}", time(row.last_seen_ns))),
    });
    let certainty = match row.certain {
        Some(true) => " (certain)",
        Some(false) => " (not certain: no second witness confirms it)",
        None => "",
    };
    lines.push(plain("verdict", format!("{}{certainty}", event.reason())));
    if let Some(note) = &event.note {
        lines.push(plain("note", note.clone()));
    }
    if let Some(peak) = &row.peak {
        lines.push(Line::from(vec![
            label("stress"),
            Span::styled(peak.stress.total().to_string(), look.tier(peak.tier)),
            Span::styled(format!(" {}", peak.tier.as_str().to_uppercase()), look.tier(peak.tier)),
            Span::styled(format!(" at {}", time(peak.time_ns)), look.dim()),
        ]));
        for factor in Factor::ALL {
            let points = peak.stress.get(factor);
            if points == 0 {
                continue;
            }
            let style = factors::style(look, factor, points);
            let mut line = vec![Span::raw(format!("   {:<9}", factor.as_str()))];
            line.extend(bar(look, f64::from(points) / f64::from(factor.max()), 15, style));
            line.push(Span::styled(format!(" {points:>2}"), style));
            line.push(Span::styled(format!("/{}", factor.max()), look.dim()));
            lines.push(Line::from(line));
        }
        if row.culprits.is_empty() {
            lines.push(plain("culprits", "no process stands out".to_owned()));
        } else {
            lines.push(Line::from(label("culprits")));
        }
        for culprit in &row.culprits {
            lines.push(culprits::line(look, culprit, width));
        }
    }
    if let Some(tiers) = row.tiers {
        let seconds = |ns: u64| human::duration(ns as f64 / 1e9);
        let text =
            format!("elevated {}, critical {}", seconds(tiers.elevated_ns), seconds(tiers.critical_ns));
        lines.push(plain("tiers", text));
    }
    for capture in &event.forensics {
        let more = [capture.path.as_deref(), capture.detail.as_deref()].into_iter().flatten();
        let more: String = more.map(|text| format!(", {text}")).collect();
        lines.push(plain("capture", format!("{}: {}{more}", capture.name, capture.outcome)));
    }
    if !detail.related.is_empty() {
        lines.push(Line::styled(" within a minute of it", look.dim()));
    }
    for other in &detail.related {
        let start = human::local(other.row.started_ns, "%H:%M:%S", &state.zone);
        let text =
            format!("   {start}  event {}: {}, {}", other.row.id, other.kind_text(), other.length_text());
        lines.push(Line::styled(look.cut(&text, width), Style::new()));
    }
    if detail.samples.is_empty() && row.peak.is_some() {
        lines.push(Line::styled(" no samples of it are kept", look.tier(Tier::Elevated)));
    }
    lines
}
