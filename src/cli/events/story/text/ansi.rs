//! Styled text as a terminal takes it: colours as SGR sequences, where there are any.

use std::io::{self, Write};

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;

/// Writes the lines, no blanks at their ends; without `colour` there is no sequence in them.
///
/// # Errors
/// The writer's.
pub(in crate::cli::events) fn write(lines: &[Line<'_>], colour: bool, out: &mut dyn Write) -> io::Result<()> {
    for line in lines {
        let ends = line.spans.iter().rposition(|span| !span.content.trim_end().is_empty());
        let shown = ends.map_or(0, |last| last + 1);
        for (at, span) in line.spans.iter().take(shown).enumerate() {
            let text = if at + 1 == shown { span.content.trim_end() } else { &span.content };
            let codes = if colour { codes(line.style.patch(span.style)) } else { String::new() };
            if codes.is_empty() {
                out.write_all(text.as_bytes())?;
            } else {
                write!(out, "\x1b[{codes}m{text}\x1b[0m")?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

/// The style's SGR parameters (ECMA-48; the 256 colours are xterm's).
fn codes(style: Style) -> String {
    let mut codes = Vec::new();
    if style.add_modifier.contains(Modifier::BOLD) {
        codes.push("1".to_owned());
    }
    if let Some(colour) = style.fg {
        codes.push(match colour {
            Color::Indexed(index) => format!("38;5;{index}"),
            Color::Red => "31".to_owned(),
            Color::Green => "32".to_owned(),
            Color::Yellow => "33".to_owned(),
            Color::Cyan => "36".to_owned(),
            Color::DarkGray => "90".to_owned(),
            Color::LightRed => "91".to_owned(),
            _ => "39".to_owned(),
        });
    }
    codes.join(";")
}
