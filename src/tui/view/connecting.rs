//! Nothing to show yet: why, and what to do.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use crate::human;
use crate::tui::state::events::Read;
use crate::tui::state::playback::Loading;
use crate::tui::state::{Feed, Link, State};

use super::frame::wrap;

pub(super) fn draw(state: &State, buf: &mut Buffer, area: Rect) {
    let look = state.look;
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut lines: Vec<Line<'static>> = Vec::new();
    match &state.feed {
        Feed::Live(Link::Connecting(None)) => lines.push(Line::styled("Connecting to the daemon …", bold)),
        Feed::Live(Link::Connecting(Some(why)) | Link::Lost(Some(why))) => {
            lines.push(Line::styled("No daemon is heard", bold));
            lines.push(Line::raw(look.text(why)));
            lines.push(Line::default());
            lines.push(Line::raw("Start one in another terminal; this screen connects by itself:"));
            lines.push(Line::from(vec![Span::styled(
                format!("    {}", look.text(&state.start_with)),
                look.key(),
            )]));
            lines.push(Line::default());
            lines.push(Line::raw("Without one, what a freeze looks like can be seen in a made-up machine:"));
            lines.push(Line::from(vec![Span::styled(
                format!("    {} --source simulate:freeze", look.text(&state.start_with)),
                look.key(),
            )]));
        }
        Feed::Live(Link::Lost(None)) => {
            lines.push(Line::styled("The daemon ended; connecting again …", bold))
        }
        Feed::Live(Link::Up) => {
            lines.push(Line::styled("Connected: waiting for the first sample", bold));
            lines.extend(state.source.detail.as_deref().map(|detail| Line::raw(look.text(detail))));
        }
        Feed::Recording(playback) => match &playback.loading {
            Loading::Reading => {
                lines.push(Line::styled(look.text(&format!("Reading {} …", playback.name)), bold))
            }
            Loading::Failed(why) => {
                lines.push(Line::styled("The recording can't be read", bold));
                lines.push(Line::raw(look.text(why)));
            }
            Loading::Done | Loading::Full => {
                lines.push(Line::styled("The recording holds no sample", bold));
                if playback.rejected > 0 {
                    let told = format!("{} of its documents or lines could not be read", playback.rejected);
                    lines.push(Line::raw(told));
                }
            }
        },
    }
    if state.playback().is_none() {
        lines.push(Line::default());
        match &state.events.read {
            Read::Done if !state.events.list.is_empty() => lines.push(Line::from(vec![
                Span::raw(format!("{} on record: ", human::count(state.events.list.len() as u64, "event"))),
                Span::styled("3", look.key()),
                Span::raw(" shows them."),
            ])),
            Read::Failed(why) => lines.push(Line::raw(look.text(why))),
            Read::Done | Read::NotYet => {}
        }
    }
    let top = area.y + area.height.saturating_sub(lines.len() as u16) / 3;
    let width = usize::from(area.width).saturating_sub(6);
    let mut y = top;
    for line in lines {
        // Reasons may be long: they are broken at blanks.
        for part in broken(line, width) {
            if y < area.bottom() {
                buf.set_line(area.x + 3, y, &part, area.width.saturating_sub(3));
                y += 1;
            }
        }
    }
}

/// A line of one style broken at blanks, so that each part fits.
fn broken(line: Line<'static>, width: usize) -> Vec<Line<'static>> {
    if line.width() <= width || line.spans.len() != 1 {
        return vec![line];
    }
    wrap(&line.spans[0].content, width).into_iter().map(|part| Line::styled(part, line.style)).collect()
}
