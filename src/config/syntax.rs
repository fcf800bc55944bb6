//! Where a text stops being TOML, found without following it any further.
//!
//! After a first fault the `toml` crate's parser goes on, to find more. It then loses count of how deep it is in lists
//! and tables and no longer keeps its own limit, so that a text that is broken over and over can take more stack than
//! there is (toml_parser 1.1: what it skips is counted as closed though it was never opened).

use std::cell::RefCell;

use toml_parser::parser::{EventReceiver, parse_document};
use toml_parser::{ErrorSink, ParseError, Source, Span};

/// The deepest nesting of lists and tables, the parser's own limit.
const DEEPEST: usize = 80;
/// So many lists and tables the parser may enter for faults: a MiB of stack at most.
const FEW: usize = 100;

/// The first fault of a text that can't be left to the parser's own search for more: its place in the text, and what
/// it is. `None` where the text is right, or has so few lists and tables that it can't get lost.
pub(super) fn first_fault(text: &str) -> Option<(usize, String)> {
    if memchr::memchr2_iter(b'[', b'{', text.as_bytes()).count() <= FEW {
        return None;
    }
    let fault: RefCell<Option<ParseError>> = RefCell::default();
    let tokens = Source::new(text).lex().into_vec();
    let mut sink = |found: ParseError| {
        fault.borrow_mut().get_or_insert(found);
    };
    parse_document(&tokens, &mut Guard { fault: &fault, depth: 0 }, &mut sink);
    let fault = fault.into_inner()?;
    let at = fault.unexpected().or_else(|| fault.context()).map_or(0, |span| span.start());
    Some((at, fault.description().to_owned()))
}

/// Keeps the parser out of everything once there is a fault.
struct Guard<'a> {
    fault: &'a RefCell<Option<ParseError>>,
    /// Right as long as there is none.
    depth: usize,
}

impl Guard<'_> {
    fn may_enter(&mut self, span: Span, error: &mut dyn ErrorSink) -> bool {
        self.depth += 1;
        if self.depth > DEEPEST {
            let fault = ParseError::new(format!("lists and tables are nested more than {DEEPEST} deep"));
            error.report_error(fault.with_unexpected(span));
        }
        self.fault.borrow().is_none()
    }
}

impl EventReceiver for Guard<'_> {
    fn inline_table_open(&mut self, span: Span, error: &mut dyn ErrorSink) -> bool {
        self.may_enter(span, error)
    }

    fn inline_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.depth = self.depth.saturating_sub(1);
    }

    fn array_open(&mut self, span: Span, error: &mut dyn ErrorSink) -> bool {
        self.may_enter(span, error)
    }

    fn array_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.depth = self.depth.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_broken_over_and_over_is_refused_at_its_first_fault_and_takes_no_stack() {
        // Each of them goes one level deeper and counts as none.
        let text = "a = 1\nb = { a = [log]\n[a.b]\n".repeat(20_000);
        let problems = crate::config::parse(&text, false).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].line, Some(3), "{problems:?}");
        assert!(problems[0].message.starts_with("not TOML: "), "{problems:?}");
    }

    #[test]
    fn a_text_with_many_lists_that_is_right_is_left_to_the_parser() {
        let hooks: String = (0..30)
            .map(|n| {
                format!("[[hooks]]\nname = \"n{n}\"\non = [\"pause\"]\ncommand = [\"true\", \"[{{[\"]\n")
            })
            .collect();
        assert_eq!(first_fault(&hooks), None);
        assert_eq!(crate::config::parse(&hooks, false).unwrap().config.hooks.len(), 30);
        let deep = format!("a = {}1{}\n", "[".repeat(120), "]".repeat(120));
        let (at, what) = first_fault(&deep).unwrap();
        assert!(what.contains("more than 80 deep"), "{what}");
        assert_eq!(at, "a = ".len() + 80);
    }
}
