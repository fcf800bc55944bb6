//! The part of XML that property lists are written in, read leniently and without copying.
//!
//! A [`Cursor`] walks over tags; [`Cursor::skip`] leaps over what nobody asked for.

use std::sync::LazyLock;

use memchr::memmem::{self, Finder};
use memchr::{memchr, memchr2, memchr2_iter};

use super::text::Text;
use crate::sample::Reject;

static FIND_DICT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("dict"));
static FIND_ARRAY: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("array"));

/// A tag, by its name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tag<'a> {
    Open(&'a [u8]),
    /// `<name/>`.
    Empty(&'a [u8]),
    Close(&'a [u8]),
}

/// A value, as far as it has been read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    /// Only its start tag: the caller reads its entries or skips them.
    Dict,
    /// Only its start tag: the caller reads its elements or skips them.
    Array,
    /// An `<integer>` or a `<real>`, all of it.
    Number(Text<'a>),
    /// A `<string>` or a `<date>`, all of it.
    Text(Text<'a>),
    /// Anything else, all of it.
    Other,
}

const INTEGER_END: &[u8] = b"</integer>";
const REAL_END: &[u8] = b"</real>";

/// The part of a dict's entry with a number in it that does not vary: all before the number, and all after.
#[derive(Clone, Copy, Debug)]
pub(super) struct NumberEntry<'a> {
    /// `<key>pid</key><integer>`.
    before: &'a [u8],
    /// Whether it is an `<integer>`; else it is a `<real>`.
    integer: bool,
}

/// A place in a document.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    document: &'a [u8],
    at: usize,
    find_dict: &'static Finder<'static>,
    find_array: &'static Finder<'static>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(document: &'a [u8]) -> Self {
        Self { document, at: 0, find_dict: &FIND_DICT, find_array: &FIND_ARRAY }
    }

    /// Reads the next tag; text, comments and instructions before it are nobody's.
    pub(super) fn tag(&mut self) -> Result<Tag<'a>, Reject> {
        loop {
            self.at += memchr(b'<', &self.document[self.at..]).ok_or(Reject::Malformed)?;
            match self.document.get(self.at + 1) {
                Some(b'/') => {
                    let (name, _) = self.named_tag(2)?;
                    return Ok(Tag::Close(name));
                }
                Some(b'!' | b'?') => {
                    self.at = past_markup(self.document, self.at).ok_or(Reject::Malformed)?;
                }
                _ => {
                    let (name, empty) = self.named_tag(1)?;
                    return Ok(if empty { Tag::Empty(name) } else { Tag::Open(name) });
                }
            }
        }
    }

    /// Reads the next key of a dict; `None` at the dict's end.
    #[inline]
    pub(super) fn key(&mut self) -> Result<Option<Text<'a>>, Reject> {
        self.pass_white_space();
        match self.plain(b"<key>", b"</key>") {
            Some(text) => Ok(Some(text)),
            None => self.any_key(),
        }
    }

    fn any_key(&mut self) -> Result<Option<Text<'a>>, Reject> {
        match self.tag()? {
            Tag::Open(name @ b"key") => self.text(name).map(Some),
            Tag::Empty(b"key") => Ok(Some(Text::EMPTY)),
            Tag::Close(b"dict") => Ok(None),
            _ => Err(Reject::Malformed),
        }
    }

    /// Reads the value that follows a key.
    #[inline]
    pub(super) fn value(&mut self) -> Result<Value<'a>, Reject> {
        self.pass_white_space();
        if let Some(value) = self.plain_value() {
            return Ok(value);
        }
        let tag = self.tag()?;
        self.value_from(tag)
    }

    /// Reads a value here that is written as almost all are. Moves only where there is one.
    #[inline]
    fn plain_value(&mut self) -> Option<Value<'a>> {
        match self.document.get(self.at + 1)? {
            b'i' => self.plain(b"<integer>", INTEGER_END).map(Value::Number),
            b'r' => self.plain(b"<real>", REAL_END).map(Value::Number),
            b's' => self.plain(b"<string>", b"</string>").map(Value::Text),
            b'd' => self.plain_tag(b"<dict>").then_some(Value::Dict),
            b'a' => self.plain_tag(b"<array>").then_some(Value::Array),
            _ => None,
        }
    }

    /// Passes a tag here that is written so.
    #[inline(always)]
    fn plain_tag(&mut self, tag: &[u8]) -> bool {
        let found = self.document[self.at..].starts_with(tag);
        self.at += if found { tag.len() } else { 0 };
        found
    }

    /// The place of the next tag, white space passed.
    #[inline]
    pub(super) fn position(&mut self) -> usize {
        self.pass_white_space();
        self.at
    }

    /// What can be remembered of the entry that started at `start` and has just been read, and had this number.
    pub(super) fn number_entry(&self, start: usize, number: Text<'a>) -> Option<NumberEntry<'a>> {
        let entry = self.document.get(start..self.at)?;
        let integer = entry.ends_with(INTEGER_END);
        let after = if integer { INTEGER_END } else { REAL_END };
        let before = entry.strip_suffix(after)?;
        Some(NumberEntry { before: &before[..before.len().checked_sub(number.len())?], integer })
    }

    /// Reads the next entry where it is written as `entry` was, but for the number; moves only past white
    /// space where it is not.
    #[inline]
    pub(super) fn number_like(&mut self, entry: &NumberEntry<'_>) -> Option<Text<'a>> {
        self.pass_white_space();
        // Each with an end of its own, that it is compared inline.
        if entry.integer { self.plain(entry.before, INTEGER_END) } else { self.plain(entry.before, REAL_END) }
    }

    /// Reads an element here that is written as almost all are: plain tags around plain text. Moves only
    /// where there is one.
    #[inline(always)]
    fn plain(&mut self, open: &[u8], close: &[u8]) -> Option<Text<'a>> {
        let rest = self.document.get(self.at..)?.strip_prefix(open)?;
        let length = plain_length(rest)?;
        let (text, tail) = rest.split_at(length);
        if !tail.starts_with(close) {
            return None;
        }
        self.at += open.len() + length + close.len();
        Some(Text::new(text, false))
    }

    /// Reads the next element of an array; `None` at the array's end.
    pub(super) fn element(&mut self) -> Result<Option<Value<'a>>, Reject> {
        self.pass_white_space();
        if let Some(value) = self.plain_value() {
            return Ok(Some(value));
        }
        match self.tag()? {
            Tag::Close(b"array") => Ok(None),
            tag => self.value_from(tag).map(Some),
        }
    }

    fn value_from(&mut self, tag: Tag<'a>) -> Result<Value<'a>, Reject> {
        match tag {
            Tag::Open(b"dict") => Ok(Value::Dict),
            Tag::Open(b"array") => Ok(Value::Array),
            Tag::Open(name @ (b"integer" | b"real")) => self.text(name).map(Value::Number),
            Tag::Open(name @ (b"string" | b"date")) => self.text(name).map(Value::Text),
            // A key where a value belongs: the value is missing.
            Tag::Open(b"key") | Tag::Empty(b"key") | Tag::Close(_) => Err(Reject::Malformed),
            Tag::Open(name) => self.walk_past(name).map(|()| Value::Other),
            Tag::Empty(b"string") => Ok(Value::Text(Text::EMPTY)),
            Tag::Empty(_) => Ok(Value::Other),
        }
    }

    /// Skips what is left of a value: the entries of a dict, the elements of an array.
    pub(super) fn skip(&mut self, value: Value<'_>) -> Result<(), Reject> {
        match value {
            Value::Dict => self.leap_past(self.find_dict),
            Value::Array => self.leap_past(self.find_array),
            Value::Number(_) | Value::Text(_) | Value::Other => Ok(()),
        }
    }

    /// Goes past the end of the container that `finder` has the name of, looking at tags of that name only.
    ///
    /// Where there is a comment, CDATA or an instruction on the way, which may hold what looks like tags, it
    /// starts over and walks.
    fn leap_past(&mut self, finder: &Finder<'_>) -> Result<(), Reject> {
        let name = finder.needle();
        let rest = &self.document[self.at..];
        let mut depth = 1_usize;
        let mut from = 0;
        while let Some(found) = finder.find(&rest[from..]) {
            let start = from + found;
            from = start + name.len();
            let step = match rest[..start] {
                [.., b'<'] => Step::Open,
                [.., b'<', b'/'] => Step::Close,
                _ => continue,
            };
            match (rest.get(from), step) {
                (Some(b'>'), Step::Open) => depth += 1,
                (Some(b'>'), Step::Close) => depth -= 1,
                // White space, attributes, or an empty element: rare enough to walk.
                (Some(b'/' | b' ' | b'\t' | b'\r' | b'\n'), _) => break,
                _ => continue,
            }
            if depth == 0 {
                let passed = &rest[..start];
                if memchr2_iter(b'!', b'?', passed).any(|at| at > 0 && passed[at - 1] == b'<') {
                    break;
                }
                self.at += from + 1;
                return Ok(());
            }
        }
        self.walk_past(name)
    }

    /// Goes past the end of the element `name`, tag by tag.
    fn walk_past(&mut self, name: &[u8]) -> Result<(), Reject> {
        let mut depth = 0_usize;
        loop {
            match self.tag()? {
                Tag::Open(text @ (b"key" | b"string" | b"integer" | b"real" | b"date")) => {
                    self.text(text)?;
                }
                Tag::Open(_) => depth += 1,
                Tag::Empty(_) => {}
                Tag::Close(_) if depth > 0 => depth -= 1,
                Tag::Close(closed) if closed == name => return Ok(()),
                Tag::Close(_) => return Err(Reject::Malformed),
            }
        }
    }

    /// Reads an element's text and its end tag. A `<` that starts no markup is text.
    fn text(&mut self, name: &[u8]) -> Result<Text<'a>, Reject> {
        let start = self.at;
        let mut marked_up = false;
        loop {
            let rest = &self.document[self.at..];
            // `&` is looked for only to know that there is one.
            let found = if marked_up { memchr(b'<', rest) } else { memchr2(b'<', b'&', rest) };
            self.at += found.ok_or(Reject::Malformed)?;
            let rest = &self.document[self.at..];
            if let Some(tail) = rest.strip_prefix(b"</") {
                let end = self.at;
                if tail.starts_with(name) && tail.get(name.len()) == Some(&b'>') {
                    self.at += 3 + name.len();
                } else {
                    let (closed, _) = self.named_tag(2)?;
                    if closed != name {
                        return Err(Reject::Malformed);
                    }
                }
                return Ok(Text::new(&self.document[start..end], marked_up));
            }
            marked_up = true;
            self.at = past_markup(self.document, self.at).unwrap_or(self.at + 1);
        }
    }

    #[inline]
    fn pass_white_space(&mut self) {
        while self.document.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    /// Reads a tag whose name starts `lead` bytes from here: its name, and whether it is empty.
    fn named_tag(&mut self, lead: usize) -> Result<(&'a [u8], bool), Reject> {
        let rest = self.document.get(self.at + lead..).ok_or(Reject::Malformed)?;
        let ends = |byte: &u8| matches!(byte, b'>' | b'/' | b' ' | b'\t' | b'\r' | b'\n');
        let length = rest.iter().position(ends).ok_or(Reject::Malformed)?;
        let (name, attributes) = rest.split_at(length);
        let close = past_angle(attributes, Hidden::Quoted).ok_or(Reject::Malformed)?;
        self.at += lead + length + close;
        Ok((name, attributes[..close].ends_with(b"/>")))
    }
}

/// Where the first `<` or `&` is. Names and numbers are short: eight bytes at a time inline beat a call that
/// looks at 32.
#[inline]
fn plain_length(rest: &[u8]) -> Option<usize> {
    /// The highest bit of the first zero byte, and of none before it.
    const fn zero_bytes(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word & (ONES << 7)
    }
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const ANGLES: u64 = u64::from_ne_bytes([b'<'; 8]);
    const AMPERSANDS: u64 = u64::from_ne_bytes([b'&'; 8]);

    let (words, tail) = rest.as_chunks();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = zero_bytes(word ^ ANGLES) | zero_bytes(word ^ AMPERSANDS);
        if found != 0 {
            return Some(8 * index + found.trailing_zeros() as usize / 8);
        }
    }
    Some(rest.len() - tail.len() + memchr2(b'<', b'&', tail)?)
}

#[derive(Clone, Copy)]
enum Step {
    Open,
    Close,
}

/// The end of the comment, CDATA, instruction or declaration that starts at `at`; `None` where none starts
/// there, or it has no end.
pub(super) fn past_markup(document: &[u8], at: usize) -> Option<usize> {
    let rest = document.get(at..)?;
    let (lead, end) = markup_kind(rest)?;
    match end {
        Some(end) => Some(at + lead + memmem::find(&rest[lead..], end)? + end.len()),
        None => past_angle(rest, Hidden::QuotedOrBracketed).map(|length| at + length),
    }
}

/// The length of what opens the markup at the start of `rest`, and what closes it; for a declaration, such as
/// `<!DOCTYPE`, nothing fixed does.
fn markup_kind(rest: &[u8]) -> Option<(usize, Option<&'static [u8]>)> {
    if rest.starts_with(b"<!--") {
        Some((4, Some(b"-->")))
    } else if rest.starts_with(CDATA_OPEN) {
        Some((CDATA_OPEN.len(), Some(CDATA_CLOSE)))
    } else if rest.starts_with(b"<?") {
        Some((2, Some(b"?>")))
    } else if rest.starts_with(b"<!") {
        Some((2, None))
    } else {
        None
    }
}

/// What opens a CDATA section.
pub(super) const CDATA_OPEN: &[u8] = b"<![CDATA[";
/// What closes a CDATA section.
pub(super) const CDATA_CLOSE: &[u8] = b"]]>";

/// What a `>` may stand in without ending what is around it.
#[derive(Clone, Copy, PartialEq)]
enum Hidden {
    /// In a tag: quotes.
    Quoted,
    /// In a declaration: quotes, and the brackets around its own declarations.
    QuotedOrBracketed,
}

/// The length of what is left of a tag or a declaration: up to the `>` that ends it.
fn past_angle(rest: &[u8], hidden: Hidden) -> Option<usize> {
    let mut quote = None;
    let mut brackets = 0_usize;
    for (at, &byte) in rest.iter().enumerate() {
        match (quote, byte) {
            (Some(open), _) if open == byte => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'[') if hidden == Hidden::QuotedOrBracketed => brackets += 1,
            (None, b']') => brackets = brackets.saturating_sub(1),
            (None, b'>') if brackets == 0 => return Some(at + 1),
            (None, _) => {}
        }
    }
    None
}
