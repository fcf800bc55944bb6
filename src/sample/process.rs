//! Processes as they are listed: their names, and the largest of them.

use std::fmt;

use super::MEASURED_MAX;

/// Bytes of a process name that are kept; a longer one ends after them with "…".
pub const NAME_MAX: usize = 128;

/// Entries of each list in [`Top`](super::Top).
pub const TOP_LEN: usize = 5;

const NAME_CAPACITY: usize = NAME_MAX + '…'.len_utf8();

/// A process name: at most [`NAME_MAX`] bytes of UTF-8, and "…" where there were more.
///
/// It holds what the system said, control characters included: JSON escapes them, and [`Name::printable`]
/// is for tables, screens and pages.
#[derive(Clone, Copy)]
pub struct Name {
    len: u8,
    bytes: [u8; NAME_CAPACITY],
}

impl Name {
    /// The empty name.
    pub const EMPTY: Self = Self { len: 0, bytes: [0; NAME_CAPACITY] };

    /// Takes a name, cut at a character boundary at or before [`NAME_MAX`] bytes.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut name = Self::EMPTY;
        for c in text.chars() {
            if !name.push(c) {
                break;
            }
        }
        name
    }

    /// Appends a character. Returns false, and ends the name with "…", where it no longer fits; after that
    /// the name must not be pushed to again.
    pub fn push(&mut self, c: char) -> bool {
        let mut buffer = [0; 4];
        let (encoded, fits) = if usize::from(self.len) + c.len_utf8() <= NAME_MAX {
            (c.encode_utf8(&mut buffer), true)
        } else {
            ('…'.encode_utf8(&mut buffer), false)
        };
        let start = usize::from(self.len);
        self.bytes[start..start + encoded.len()].copy_from_slice(encoded.as_bytes());
        // Cannot overflow: the capacity is below 256.
        self.len += encoded.len() as u8;
        fits
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }

    /// The name for people: control characters, and those that turn the direction of writing, replaced by
    /// U+FFFD, so that no name can break a line, a table or a screen.
    #[must_use]
    pub fn printable(&self) -> String {
        printable(self.as_str())
    }
}

/// `text` with characters replaced by U+FFFD that are no text: control characters, those that turn the direction of
/// writing, and those that nobody sees, so that two names that look alike are alike. What joins the parts of an emoji or
/// of a script's letters stays.
#[must_use]
pub fn printable(text: &str) -> String {
    let is_text = |c: char| {
        !c.is_control()
            && !matches!(
                c,
                // Direction, and separators of lines.
                '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
                // Without a width: soft hyphen, zero-width space, word joiner and invisible operators, byte order mark,
                // annotations, tags.
                | '\u{ad}' | '\u{180e}' | '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}'
                | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
            )
    };
    text.chars().map(|c| if is_text(c) { c } else { '\u{fffd}' }).collect()
}

impl Default for Name {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Name {}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// One entry of a top list: a process and its value of the list's measure.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// Process id; −1 is powermetrics' `DEAD_TASKS`, the processes that ended in the interval.
    pub pid: i32,
    /// Its name.
    pub name: Name,
    /// The measure's value, in the list's unit; finite and above zero.
    pub value: f64,
}

/// The largest processes by one measure: at most [`TOP_LEN`], descending, then by pid; zeros left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct TopList {
    len: u8,
    items: [Process; TOP_LEN],
}

impl TopList {
    /// Whether [`TopList::offer`] would take this value: lets a caller skip making the name.
    #[must_use]
    pub fn wants(&self, pid: i32, value: f64) -> bool {
        value > 0.0
            && value <= MEASURED_MAX
            && (usize::from(self.len) < TOP_LEN || before(pid, value, &self.items[TOP_LEN - 1]))
    }

    /// Enters a process where it is among the largest so far. Values that are not finite or not above zero
    /// are ignored.
    pub fn offer(&mut self, pid: i32, name: &Name, value: f64) {
        if !self.wants(pid, value) {
            return;
        }
        let end = usize::from(self.len).min(TOP_LEN - 1);
        let at = self.items[..end].iter().position(|item| before(pid, value, item)).unwrap_or(end);
        self.items.copy_within(at..end, at + 1);
        // One without a name would be a hole in every sentence.
        let name = if *name == Name::EMPTY { Name::new("?") } else { *name };
        self.items[at] = Process { pid, name, value };
        self.len = (end + 1) as u8;
    }

    /// The entries, largest first.
    #[must_use]
    pub fn as_slice(&self) -> &[Process] {
        &self.items[..usize::from(self.len)]
    }

    pub(super) fn rename(&mut self, name: &impl Fn(&Name) -> Name) {
        for process in &mut self.items[..usize::from(self.len)] {
            process.name = name(&process.name);
        }
    }

    /// Removes all entries.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// The sum of the entries' values; 0 of none.
    #[must_use]
    pub fn sum(&self) -> f64 {
        // `Iterator::sum` begins at −0, which would be told as the sum of none.
        self.as_slice().iter().fold(0.0, |sum, process| sum + process.value)
    }
}

impl PartialEq for TopList {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

/// The order of a top list: larger values first, then smaller pids.
fn before(pid: i32, value: f64, other: &Process) -> bool {
    value > other.value || (value == other.value && pid < other.pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_ends_after_128_bytes_with_an_ellipsis() {
        assert_eq!(Name::new(&"x".repeat(128)).as_str(), "x".repeat(128));
        assert_eq!(Name::new(&"x".repeat(129)).as_str(), format!("{}…", "x".repeat(128)));
        let wide = Name::new(&"漢".repeat(50));
        assert_eq!(wide.as_str(), format!("{}…", "漢".repeat(42)));
    }

    #[test]
    fn a_printable_name_breaks_no_line_and_turns_no_text() {
        assert_eq!(Name::new("a\nb\u{1b}[31m\u{202e}c").printable(), "a\u{fffd}b\u{fffd}[31m\u{fffd}c");
    }

    #[test]
    fn what_nobody_sees_is_replaced_and_what_joins_letters_is_kept() {
        assert_eq!(
            printable("a\u{200b}b\u{feff}\u{ad}\u{e0041}\u{2060}"),
            "a\u{fffd}b\u{fffd}\u{fffd}\u{fffd}\u{fffd}"
        );
        let joined = "\u{1f469}\u{200d}\u{1f4bb} \u{646}\u{645}\u{6cc}\u{200c}\u{62f}";
        assert_eq!(printable(joined), joined);
    }

    #[test]
    fn a_process_without_a_name_is_listed_with_a_question_mark() {
        let mut list = TopList::default();
        list.offer(1, &Name::EMPTY, 1.0);
        assert_eq!(list.as_slice()[0].name.as_str(), "?");
    }

    #[test]
    fn a_top_list_keeps_the_five_largest_in_order_and_leaves_zeros_out() {
        let mut list = TopList::default();
        for (pid, value) in
            [(9, 1.0), (2, 5.0), (3, 0.0), (4, 5.0), (1, 7.0), (5, f64::NAN), (6, 2.0), (7, 3.0)]
        {
            list.offer(pid, &Name::EMPTY, value);
        }
        let pids: Vec<i32> = list.as_slice().iter().map(|process| process.pid).collect();
        assert_eq!(pids, [1, 2, 4, 7, 6]);
        list.offer(0, &Name::EMPTY, 2.0);
        assert_eq!(list.as_slice()[4].pid, 0, "of equal values the smaller pid stays");
    }

    #[test]
    fn the_sum_of_no_process_is_zero_without_a_sign() {
        assert!(TopList::default().sum().is_sign_positive());
    }
}
