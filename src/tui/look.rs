//! What the terminal can show: colours and characters.

use std::ffi::OsStr;

use ratatui::style::{Color, Modifier, Style};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use crate::sample::{Tier, printable};

/// How many colours there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// None: bold and reversed only.
    None,
    /// The sixteen that every terminal with colours has.
    Sixteen,
    /// The 256 of xterm.
    Many,
}

/// Which characters graphs are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Symbols {
    /// Braille: two columns and four rows a cell.
    Braille,
    /// Blocks: one column and eight rows a cell.
    Block,
    /// ASCII alone, names of processes included.
    Ascii,
}

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// How many colours there are.
    pub colours: Colours,
    /// Which characters graphs are made of.
    pub symbols: Symbols,
}

impl Look {
    /// What this terminal can show, by its environment. NO_COLOR counts with any value but an empty one.
    #[must_use]
    pub fn of_terminal(utf8: bool, variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Self {
        let is = |name: &str, value: &str| variable(name).as_deref() == Some(OsStr::new(value));
        let term = variable("TERM").map(|term| term.to_string_lossy().into_owned()).unwrap_or_default();
        let colours = if variable("NO_COLOR").is_some_and(|value| !value.is_empty()) || term.contains("mono")
        {
            Colours::None
        } else if term.contains("256color")
            || term.contains("direct")
            || is("COLORTERM", "truecolor")
            || is("COLORTERM", "24bit")
        {
            Colours::Many
        } else {
            Colours::Sixteen
        };
        // Linux's own console has blocks in its font, and no braille.
        let symbols = match (utf8, term.as_str()) {
            (false, _) => Symbols::Ascii,
            (true, "linux") => Symbols::Block,
            (true, _) => Symbols::Braille,
        };
        Self { colours, symbols }
    }

    fn colour(self, many: u8, sixteen: Color) -> Style {
        match self.colours {
            Colours::None => Style::new(),
            Colours::Sixteen => Style::new().fg(sixteen),
            Colours::Many => Style::new().fg(Color::Indexed(many)),
        }
    }

    /// A tier's colour.
    #[must_use]
    pub fn tier(self, tier: Tier) -> Style {
        match tier {
            Tier::Sentinel => self.colour(114, Color::Green),
            Tier::Elevated => self.colour(221, Color::Yellow),
            Tier::Critical => self.colour(203, Color::LightRed),
        }
    }

    /// What matters less.
    #[must_use]
    pub fn dim(self) -> Style {
        match self.colours {
            Colours::None => Style::new(),
            Colours::Sixteen => Style::new().fg(Color::DarkGray),
            Colours::Many => Style::new().fg(Color::Indexed(245)),
        }
    }

    /// Rules, axes and empty parts of bars.
    #[must_use]
    pub fn rule(self) -> Style {
        self.colour(239, Color::DarkGray)
    }

    /// Titles.
    #[must_use]
    pub fn title(self) -> Style {
        self.colour(111, Color::Cyan).add_modifier(Modifier::BOLD)
    }

    /// Keys that can be pressed.
    #[must_use]
    pub fn key(self) -> Style {
        self.colour(111, Color::Cyan)
    }

    /// A row that is selected.
    #[must_use]
    pub fn selected(self) -> Style {
        match self.colours {
            Colours::Many => Style::new().bg(Color::Indexed(237)).add_modifier(Modifier::BOLD),
            _ => Style::new().add_modifier(Modifier::REVERSED),
        }
    }

    /// A banner about something of that gravity.
    #[must_use]
    pub fn banner(self, tier: Tier) -> Style {
        self.tier(tier).add_modifier(Modifier::REVERSED | Modifier::BOLD)
    }

    /// Whether only ASCII can be shown.
    #[must_use]
    pub fn ascii(self) -> bool {
        self.symbols == Symbols::Ascii
    }

    /// One of two: for terminals that can show it, and for those with ASCII alone.
    #[must_use]
    pub fn pick(self, wide: &'static str, ascii: &'static str) -> &'static str {
        if self.ascii() { ascii } else { wide }
    }

    /// Text from outside as it can be shown: without control characters; in ASCII where there is nothing else.
    #[must_use]
    pub fn text(self, text: &str) -> String {
        let text = printable(text);
        if !self.ascii() || text.is_ascii() {
            return text;
        }
        text.graphemes(true).map(plain).collect()
    }

    /// Text from outside in exactly `width` columns: cut with "…" or filled up. Wide characters are never cut in half.
    #[must_use]
    pub fn fit(self, text: &str, width: usize) -> String {
        let mut text = self.cut(text, width);
        let used = text.width();
        text.extend(std::iter::repeat_n(' ', width.saturating_sub(used)));
        text
    }

    /// Text from outside in at most `width` columns.
    #[must_use]
    pub fn cut(self, text: &str, width: usize) -> String {
        let text = self.text(text);
        if text.width() <= width {
            return text;
        }
        let more = self.pick("…", "~");
        let mut cut = String::new();
        let mut used = 0;
        for part in text.graphemes(true) {
            let wide = part.width();
            if used + wide + 1 > width {
                break;
            }
            cut.push_str(part);
            used += wide;
        }
        if width > 0 {
            cut.push_str(more);
        }
        cut
    }

    /// Text set to the right in `width` columns.
    #[must_use]
    pub fn right(self, text: &str, width: usize) -> String {
        let text = self.cut(text, width);
        format!("{}{text}", " ".repeat(width.saturating_sub(text.width())))
    }
}

/// A character in ASCII, or "?"; never longer than it was wide.
#[must_use]
pub fn plain(character: &str) -> &str {
    match character {
        "→" | "›" => ">",
        "…" => "~",
        "–" | "−" | "─" | "·" | "┈" => "-",
        "×" => "x",
        "÷" => "/",
        "≥" => ">",
        character if character.is_ascii() => character,
        _ => "?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(variables: &[(&str, &str)], utf8: bool) -> Look {
        Look::of_terminal(utf8, |name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into())
        })
    }

    #[test]
    fn colours_and_symbols_are_those_of_the_terminal() {
        let of = |variables: &[(&str, &str)]| look(variables, true);
        assert_eq!(of(&[("TERM", "xterm-256color")]).colours, Colours::Many);
        assert_eq!(of(&[("TERM", "xterm"), ("COLORTERM", "truecolor")]).colours, Colours::Many);
        assert_eq!(of(&[("TERM", "xterm")]).colours, Colours::Sixteen);
        assert_eq!(of(&[("TERM", "xterm-256color"), ("NO_COLOR", "1")]).colours, Colours::None);
        assert_eq!(of(&[("TERM", "xterm-256color"), ("NO_COLOR", "")]).colours, Colours::Many);
        assert_eq!(of(&[("TERM", "linux")]).symbols, Symbols::Block);
        assert_eq!(of(&[("TERM", "xterm")]).symbols, Symbols::Braille);
        assert_eq!(look(&[], false).symbols, Symbols::Ascii);
    }

    #[test]
    fn without_colours_there_is_no_colour_in_any_style() {
        let look = Look { colours: Colours::None, symbols: Symbols::Braille };
        for style in [
            look.tier(Tier::Critical),
            look.dim(),
            look.rule(),
            look.title(),
            look.key(),
            look.selected(),
            look.banner(Tier::Elevated),
        ] {
            assert_eq!((style.fg, style.bg), (None, None));
        }
    }

    #[test]
    fn names_are_cut_by_the_columns_they_take_and_wide_ones_never_in_half() {
        let look = Look { colours: Colours::None, symbols: Symbols::Braille };
        assert_eq!(look.fit("漢字かな", 8), "漢字かな");
        assert_eq!(look.fit("漢字かな", 7), "漢字か…");
        assert_eq!(look.fit("漢字かな", 6), "漢字… ");
        assert_eq!(look.fit("e\u{301}te\u{301}", 5), "e\u{301}te\u{301}  ");
        assert_eq!(look.fit("a\u{1b}[31mb\n", 9), "a\u{fffd}[31mb\u{fffd} ");
        assert_eq!(look.fit("abc", 0), "");
        assert_eq!(look.right("12", 4), "  12");
    }

    #[test]
    fn on_an_ascii_terminal_everything_is_ascii() {
        let look = Look { colours: Colours::None, symbols: Symbols::Ascii };
        assert_eq!(look.text("漢字 → a…"), "?? > a~");
        assert!(look.fit("漢字かな long", 6).is_ascii());
    }
}
