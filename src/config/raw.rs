//! What is written: the file's text as entries of known keys, each with its line; everything else is a
//! [`Problem`]. Values are not looked at here.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Problem;
use super::hooks::{self, Written};
use super::syntax;
use super::table::KEYS;
use super::values::clipped;

/// The largest configuration file, bytes. A real one has a hundredth of that.
const MOST: u64 = 1 << 20;

/// The parts that the parser follows a dotted key for.
const PARTS: usize = 80;

/// A known key with what is written for it.
pub(super) struct Entry<'a> {
    /// Its place in [`KEYS`].
    pub(super) key: usize,
    /// The line its value begins on, from 1.
    pub(super) line: usize,
    /// The value.
    pub(super) value: DeValue<'a>,
}

/// Reads the file; `None` where it does not exist.
pub(super) fn read(file: &Path) -> Result<Option<String>, Problem> {
    let fail = |line, message: &str| Err(Problem { line, message: message.to_owned() });
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return fail(None, &format!("can't open it: {error}")),
    };
    let mut bytes = Vec::new();
    match opened.take(MOST + 1).read_to_end(&mut bytes) {
        Ok(_) if bytes.len() as u64 > MOST => {
            return fail(None, "larger than 1 MiB: this is no configuration file");
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
            return fail(None, "this is a directory: name the file in it");
        }
        Err(error) => return fail(None, &format!("can't read it: {error}")),
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let line = 1 + memchr::memchr_iter(b'\n', &error.as_bytes()[..valid]).count();
            fail(Some(line), "not UTF-8 text: save the file as UTF-8")
        }
    }
}

/// Splits the text into entries and hooks. What stands where no key is goes to `problems`.
///
/// # Errors
/// Syntax errors: what follows one is guesswork, so nothing else is reported then.
pub(super) fn entries<'a>(
    text: &'a str,
    problems: &mut Vec<Problem>,
) -> Result<(Vec<Entry<'a>>, Vec<Written>), Vec<Problem>> {
    // Found once: a file of nothing but faults asks for a line a thousand times over.
    let newlines: Vec<_> = memchr::memchr_iter(b'\n', text.as_bytes()).collect();
    let line_of = |at: usize| 1 + newlines.partition_point(|&newline| newline < at);
    if let Some((at, what)) = syntax::first_fault(text) {
        return Err(vec![Problem { line: Some(line_of(at)), message: format!("not TOML: {what}") }]);
    }
    let (table, errors) = parsed(text);
    if !errors.is_empty() {
        return Err(syntax_problems(text, &errors, line_of));
    }
    let (mut entries, mut written) = (Vec::new(), Vec::new());
    for (section, content) in table {
        if section.get_ref().as_ref() == hooks::SECTION {
            written = hooks::read(content, &line_of, problems);
            continue;
        }
        let mut report = |at: &Spanned<_>, message| {
            problems.push(Problem { line: Some(line_of(at.span().start)), message });
        };
        let name = section.get_ref();
        if !KEYS.iter().any(|key| key.section == name.as_ref()) {
            report(&section, unknown_section(name, matches!(content.get_ref(), DeValue::Table(_))));
            continue;
        }
        let DeValue::Table(content) = content.into_inner() else {
            report(
                &section,
                format!("`{name}` is a section: write [{name}] on a line of its own, and its keys below"),
            );
            continue;
        };
        for (key, value) in content {
            match KEYS
                .iter()
                .position(|known| known.section == name.as_ref() && known.name == key.get_ref().as_ref())
            {
                Some(index) => {
                    let line = line_of(value.span().start);
                    entries.push(Entry { key: index, line, value: value.into_inner() });
                }
                None => report(&key, unknown_key(name, key.get_ref())),
            }
        }
    }
    Ok((entries, written))
}

/// The parsed text, with all syntax errors; with the first one alone where the text is so long that it can
/// only be something else, as each error costs the parser some 600 bytes.
fn parsed(text: &str) -> (DeTable<'_>, Vec<toml::de::Error>) {
    const LONG: usize = 1 << 16;
    if text.len() <= LONG {
        let (table, errors) = DeTable::parse_recoverable(text);
        return (table.into_inner(), errors);
    }
    match DeTable::parse(text) {
        Ok(table) => (table.into_inner(), Vec::new()),
        Err(error) => (DeTable::new(), vec![error]),
    }
}

/// One problem a line: the parser's second opinion on a line repeats the first.
fn syntax_problems(text: &str, errors: &[toml::de::Error], line_of: impl Fn(usize) -> usize) -> Vec<Problem> {
    let mut seen = BTreeSet::new();
    let mut problems = Vec::new();
    for error in errors {
        let Some(span) = error.span() else {
            // The one thing that the parser tells without saying where.
            let long = |line: &str| line.matches('.').count() >= PARTS;
            let line = text.split('\n').position(long).map(|line| line + 1);
            let message = format!("not TOML: a key has more than {PARTS} parts");
            problems.push(Problem { line, message });
            continue;
        };
        let line = Some(line_of(span.start));
        if !seen.insert(line) {
            continue;
        }
        let message = clipped(&error.message().replace('\n', "; "));
        // The parser leaves it to a picture of the line to say which key.
        let key = text.get(span).filter(|_| message == "duplicate key");
        let message = match key {
            Some(key) => format!("`{}` stands here a second time: keep one of the two", clipped(key)),
            None => format!("not TOML: {message}"),
        };
        problems.push(Problem { line, message });
    }
    problems.sort_by_key(|problem| problem.line);
    problems
}

fn unknown_section(name: &str, is_table: bool) -> String {
    let what = if is_table { "section" } else { "key" };
    let mut hint = nearest(name, sections().into_iter());
    if hint.is_none() && !is_table {
        hint = key_anywhere(name);
    }
    match hint {
        Some(hint) => format!("unknown {what} `{}`; did you mean `{hint}`?", clipped(name)),
        None => {
            let mut known: Vec<_> = KEYS
                .chunk_by(|a, b| a.section == b.section)
                .map(|keys| format!("[{}]", keys[0].section))
                .collect();
            known.push(format!("[[{}]]", hooks::SECTION));
            format!("unknown {what} `{}`; there are {}", clipped(name), known.join(", "))
        }
    }
}

fn unknown_key(section: &str, name: &str) -> String {
    let names = || KEYS.iter().filter(|key| key.section == section).map(|key| key.name);
    unknown(section, name, names, &format!("[{section}]"))
}

/// What to say of a key that `place`, which has those `names`, does not have.
pub(super) fn unknown<I: Iterator<Item = &'static str>>(
    section: &str,
    name: &str,
    names: impl Fn() -> I,
    place: &str,
) -> String {
    let hint = nearest(name, names()).or_else(|| key_anywhere(name));
    match hint {
        Some(hint) => format!("unknown key `{section}.{}`; did you mean `{hint}`?", clipped(name)),
        None => {
            let known: Vec<_> = names().collect();
            format!("unknown key `{section}.{}`; {place} has {}", clipped(name), known.join(", "))
        }
    }
}

/// The path of a key of about that name, in any section.
fn key_anywhere(name: &str) -> Option<&'static str> {
    let nearest = nearest(name, KEYS.iter().map(|key| key.name))?;
    KEYS.iter().find(|key| key.name == nearest).map(|key| key.path)
}

fn sections() -> Vec<&'static str> {
    let mut sections: Vec<_> = KEYS.iter().map(|key| key.section).collect();
    sections.dedup();
    sections.push(hooks::SECTION);
    sections
}

/// The known word that `word` was probably meant to be: a third of its letters may be wrong.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // The distance's cost is the product of the lengths; no key is this long.
    if word.len() > 40 {
        return None;
    }
    known
        .map(|known| (known, (known.len() / 3).max(1)))
        // So many letters too few or too many are wrong at least.
        .filter(|&(known, most)| known.len().abs_diff(word.len()) <= most)
        .map(|(known, most)| (strsim::damerau_levenshtein(word, known), known, most))
        .filter(|&(distance, _, most)| distance <= most)
        .min_by_key(|&(distance, ..)| distance)
        .map(|(_, known, _)| known)
}
