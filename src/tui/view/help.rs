//! The keys, by where they are of use.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::tui::keys::{BINDINGS, Scope};
use crate::tui::state::State;

use super::frame::{panel, title, wrap};

/// What the marks on the screen mean.
const MARKS: [(&str, &str, &str); 5] = [
    ("▲", "P T", "a pause (red) or a stall (yellow) that was judged"),
    ("△", "S", "starved: only the daemon was not run"),
    ("z", "z", "sleep"),
    ("░", ":", "nothing came; above it how long"),
    ("·", ".", "not among the five largest: not known"),
];

pub(super) fn draw(state: &State, buf: &mut Buffer, area: Rect) {
    let look = state.look;
    let below =
        panel(look, buf, area, &title(look, "Help"), concat!("pause-monitor ", env!("CARGO_PKG_VERSION")));
    // Two columns where there is room for both.
    let columns: u16 = if below.width >= 140 { 2 } else { 1 };
    let room = usize::from(below.width / columns);
    let mut lines: Vec<Line<'_>> = Vec::new();
    for scope in Scope::ALL {
        lines.push(Line::styled(format!(" {}", scope.title()), look.title()));
        for binding in BINDINGS.iter().filter(|binding| binding.scope == scope) {
            let mut shown = format!("   {:<11} ", binding.shown);
            for part in wrap(binding.help, room.saturating_sub(15)) {
                lines.push(Line::from(vec![Span::styled(shown, look.key()), Span::raw(part)]));
                shown = " ".repeat(15);
            }
        }
    }
    lines.push(Line::styled(" Mouse", look.title()));
    for text in [
        "click a screen's name, a factor, an event, a column; twice opens",
        "click or drag in the graph: that time",
        "the wheel moves the selection",
    ] {
        lines.push(Line::raw(format!("   {text}")));
    }
    lines.push(Line::styled(" Signs", look.title()));
    for (sign, ascii, what) in MARKS {
        let sign = look.pick(sign, ascii);
        lines.push(Line::from(vec![Span::styled(format!("   {sign:<11} "), look.key()), Span::raw(what)]));
    }
    let height = usize::from(below.height);
    let most = lines.len().saturating_sub(height * usize::from(columns));
    let skip = usize::from(state.help_offset).min(most);
    for column in 0..columns {
        let x = below.x + below.width / columns * column;
        let lines = lines.iter().skip(skip + height * usize::from(column));
        for (line, y) in lines.zip(below.y..below.bottom()) {
            buf.set_line(x, y, line, below.width / columns);
        }
    }
    if skip < most {
        let more = " more: Down ";
        let x = below.right().saturating_sub(more.len() as u16 + 1);
        buf.set_stringn(x, below.bottom() - 1, more, more.len(), look.key());
    }
}
