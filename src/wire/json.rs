//! JSON as it is written here: also what a terminal would take for a command is escaped.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};

/// Writes a value on one line.
///
/// # Errors
/// Where `out` can't be written, or a map has keys that are no strings.
pub fn write_json(out: impl Write, value: &impl Serialize) -> serde_json::Result<()> {
    value.serialize(&mut Serializer::with_formatter(out, Escaping(CompactFormatter)))
}

/// Writes a value indented.
///
/// # Errors
/// As [`write_json`].
pub fn write_json_pretty(out: impl Write, value: &impl Serialize) -> serde_json::Result<()> {
    value.serialize(&mut Serializer::with_formatter(out, Escaping(PrettyFormatter::new())))
}

/// Escapes DEL and the C1 controls besides. RFC 8259 (7) lets them stand as they are; terminals obey them, and names are
/// what processes call themselves.
struct Escaping<F>(F);

impl<F: Formatter> Formatter for Escaping<F> {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(|c| matches!(c, '\u{7f}'..='\u{9f}')) {
            let (plain, from) = rest.split_at(at);
            self.0.write_string_fragment(out, plain)?;
            let mut after = from.chars();
            if let Some(control) = after.next() {
                write!(out, "\\u{:04x}", u32::from(control))?;
            }
            rest = after.as_str();
        }
        self.0.write_string_fragment(out, rest)
    }

    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_array(out)
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array(out)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(out, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array_value(out)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object(out)
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object(out)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(out, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object_value(out)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object_value(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped_and_read_back_and_nothing_else_differs() {
        let value = serde_json::json!({
            "\u{9b}31mkey": ["a\u{7f}b\u{80}\u{9f}", "\u{7e}\u{a0}漢\u{1b}\n\"", "", 1.5, null, [], {}],
        });
        let (mut line, mut indented) = (Vec::new(), Vec::new());
        write_json(&mut line, &value).unwrap();
        write_json_pretty(&mut indented, &value).unwrap();
        for text in [&line, &indented] {
            let text = std::str::from_utf8(text).unwrap();
            assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(text).unwrap(), value);
        }
        assert!(String::from_utf8(line).unwrap().contains(r#""a\u007fb\u0080\u009f""#));
        let plain = serde_json::json!({"a": [1, {"b": "c\n"}], "d": {}});
        let (mut line, mut indented) = (Vec::new(), Vec::new());
        write_json(&mut line, &plain).unwrap();
        write_json_pretty(&mut indented, &plain).unwrap();
        assert_eq!(line, serde_json::to_vec(&plain).unwrap());
        assert_eq!(indented, serde_json::to_vec_pretty(&plain).unwrap());
    }
}
