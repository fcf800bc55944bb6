//! The little of YAML that a web configuration is made of: mappings of texts, each with the line it stands on.
//! Anchors, tags and lists have no place in it and are told.

use std::collections::HashSet;

use saphyr_parser::{Event, Marker, Parser};

use crate::config::{Problem, clipped};

/// The deepest nesting; the format has two levels.
const DEEPEST: usize = 8;

/// A key with what stands behind it.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The line of the key, from 1.
    pub line: usize,
    /// What stands behind it.
    pub value: Node,
}

/// What stands behind a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Node {
    /// A text, number or boolean, as it is written.
    Text(String),
    /// Nothing.
    Null,
    /// Keys.
    Mapping(Vec<Entry>),
    /// A list: nothing that is supported has one.
    List,
}

/// Reads the text. An empty one has no entries.
///
/// # Errors
/// The first thing in it that is no YAML, or of no use here.
pub fn read(text: &str) -> Result<Vec<Entry>, Problem> {
    let lines = 1 + text.matches(['\n', '\r']).count();
    let mut events = Events { parser: Parser::new_from_str(text), lines };
    loop {
        let (event, line) = events.next()?;
        match event {
            Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
            Event::StreamEnd | Event::DocumentEnd => return Ok(Vec::new()),
            event => {
                return match events.node(event, line, 0)? {
                    Node::Mapping(entries) => {
                        events.end()?;
                        Ok(entries)
                    }
                    Node::Null => Ok(Vec::new()),
                    Node::Text(_) | Node::List => {
                        Err(problem(line, "write sections and their keys, as `basic_auth_users:`".to_owned()))
                    }
                };
            }
        }
    }
}

fn problem(line: usize, message: String) -> Problem {
    Problem { line: Some(line), message }
}

struct Events<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    /// Lines of the text.
    lines: usize,
}

impl<'a> Events<'a> {
    /// The next event, and the line on which it begins.
    fn next(&mut self) -> Result<(Event<'a>, usize), Problem> {
        // To the parser the very end may stand on a line of its own, which is not there.
        let line_of = |marker: Marker| marker.line().clamp(1, self.lines);
        match self.parser.next() {
            Some(Ok((event, span))) => Ok((event, line_of(span.start))),
            Some(Err(error)) => {
                let what = crate::sample::printable(error.info());
                Err(problem(line_of(*error.marker()), format!("not YAML: {what}")))
            }
            None => Ok((Event::StreamEnd, self.lines)),
        }
    }

    /// What begins with `event`.
    fn node(&mut self, event: Event<'a>, line: usize, depth: usize) -> Result<Node, Problem> {
        if depth > DEEPEST {
            return Err(problem(line, "nested deeper than any web configuration".to_owned()));
        }
        match event {
            Event::Scalar(text, style, ..) => {
                let plain = style == saphyr_parser::ScalarStyle::Plain;
                let null = plain && matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL");
                Ok(if null { Node::Null } else { Node::Text(text.into_owned()) })
            }
            Event::MappingStart(..) => self.mapping(depth),
            Event::SequenceStart(..) => loop {
                let (event, line) = self.next()?;
                if event == Event::SequenceEnd {
                    return Ok(Node::List);
                }
                self.node(event, line, depth + 1)?;
            },
            Event::Alias(_) => Err(problem(line, "aliases are not taken here: write it out".to_owned())),
            _ => Err(problem(line, "not YAML: the text ends too early".to_owned())),
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Node, Problem> {
        let mut entries = Vec::new();
        let mut seen = HashSet::new();
        loop {
            let (event, line) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok(Node::Mapping(entries)),
                Event::Scalar(key, ..) => key.into_owned(),
                _ => return Err(problem(line, "a key must be a text".to_owned())),
            };
            // A list would be searched a thousand times over in a text that is nothing but keys.
            if !seen.insert(key.clone()) {
                let key = clipped(&key);
                return Err(problem(line, format!("`{key}` stands here a second time: keep one of the two")));
            }
            let (event, at) = self.next()?;
            let value = self.node(event, at, depth + 1)?;
            entries.push(Entry { key, line, value });
        }
    }

    /// Nothing may follow.
    fn end(&mut self) -> Result<(), Problem> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(()),
                (Event::DocumentEnd, _) => {}
                (_, line) => {
                    return Err(problem(line, "a second document: keep one of the two".to_owned()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_read_with_their_lines_and_nothing_is_no_mistake() {
        let entries = read("# a comment\na:\n  b: 'x: y'\n  c:\nd: 1\n").unwrap();
        let Node::Mapping(inner) = &entries[0].value else { panic!("{entries:?}") };
        assert_eq!((entries[0].line, entries[1].line), (2, 5));
        assert_eq!((inner[0].line, &inner[0].value), (3, &Node::Text("x: y".to_owned())));
        assert_eq!(inner[1].value, Node::Null);
        for text in ["", "# nothing\n", "---\n", "{}\n"] {
            assert_eq!(read(text).unwrap(), [], "{text:?}");
        }
    }

    #[test]
    fn what_is_no_mapping_of_texts_is_told_with_its_line() {
        for (text, line, words) in [
            ("a: [", 1, "not YAML"),
            ("a: 1\na: 2\n", 2, "second time"),
            ("just text\n", 1, "sections"),
            ("- a\n", 1, "sections"),
            ("a: &x 1\nb: *x\n", 2, "aliases"),
            ("a: 1\n---\nb: 1\n", 2, "second document"),
            ("? [a]\n: 1\n", 1, "key"),
        ] {
            let problem = read(text).unwrap_err();
            assert!(problem.message.contains(words), "{text:?}: {problem:?}");
            assert!(problem.line.is_some_and(|found| found.abs_diff(line) <= 1), "{text:?}: {problem:?}");
        }
    }

    #[test]
    fn what_is_wrong_at_the_end_stands_on_the_last_line() {
        for text in ["[{a: [", "a: 1\n'", "a: 1\nb: {"] {
            let line = read(text).unwrap_err().line.unwrap();
            assert!(line <= 1 + text.matches('\n').count(), "{text:?}: {line}");
        }
        assert_eq!(read("? ").unwrap()[0].line, 1);
    }

    #[test]
    fn a_text_of_nothing_but_keys_is_read_in_time_that_grows_with_its_length() {
        // With a search among all keys before each, a debug build is at it for many minutes.
        let text: String = (0..150_000).map(|number| format!("{number}:\n")).collect();
        assert_eq!(read(&text).unwrap().len(), 150_000);
    }

    #[test]
    fn a_text_nested_without_end_is_refused_and_does_not_bring_the_program_down() {
        assert!(read(&"[".repeat(50_000)).is_err());
        assert!(read(&"{a: ".repeat(50_000)).is_err());
    }
}
