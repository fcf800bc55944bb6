//! Files of /proc and /sys: kept open, read from the start each time, parsed by hand. Nothing here allocates
//! once the buffers have grown to what the machine needs.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// A file longer than this is cut: `/proc/stat` of a machine with a thousand CPUs is a tenth of it.
const BUFFER_MAX: usize = 1 << 20;

/// A read that returns less than this has come to the end: of more than a page (4 KiB) the kernel hands out as many whole
/// lines as fit in one, and no line here is half as long.
const WHOLE: usize = 2048;

/// Where a file's text goes; kept from read to read.
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    len: usize,
}

impl Buffer {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; 8192], len: 0 }
    }

    /// Reads the file from its start to its end; most, which are short, by one system call.
    pub(crate) fn fill(&mut self, file: &File) -> io::Result<()> {
        self.len = 0;
        loop {
            if self.len == self.bytes.len() {
                if self.len >= BUFFER_MAX {
                    return Ok(());
                }
                self.bytes.resize(self.len * 2, 0);
            }
            match file.read_at(&mut self.bytes[self.len..], self.len as u64) {
                Ok(0) => return Ok(()),
                Ok(read) => {
                    let room = self.bytes.len() - self.len;
                    self.len += read;
                    if read < WHOLE.min(room) {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.len = 0;
                    return Err(error);
                }
            }
        }
    }

    /// What was read last.
    pub(crate) fn text(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// A file that is opened when it is first read, and again after a read that failed.
pub(crate) struct Kept {
    path: PathBuf,
    file: Option<File>,
}

impl Kept {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    pub(crate) fn path(&self) -> &PathBuf {
        &self.path
    }

    /// The file's text; `None` where it can't be read.
    pub(crate) fn text<'b>(&mut self, buffer: &'b mut Buffer) -> Option<&'b [u8]> {
        self.with(|file| buffer.fill(file).ok())?;
        Some(buffer.text())
    }

    /// The number a file of a single number holds, by one system call: some of them are dear to read.
    pub(crate) fn number(&mut self) -> Option<u64> {
        self.with(read_number)
    }

    fn with<T>(&mut self, read: impl FnOnce(&File) -> Option<T>) -> Option<T> {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
        }
        let value = self.file.as_ref().and_then(read);
        if value.is_none() {
            self.file = None;
        }
        value
    }
}

/// Reads a file of a single number.
pub(crate) fn read_number(file: &File) -> Option<u64> {
    let mut bytes = [0; 64];
    let len = file.read_at(&mut bytes, 0).ok()?;
    number(&bytes[..len])
}

/// The decimal number that `text` begins with, after white space; `None` where there is none or it does not
/// fit.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii_start();
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    text[..digits]
        .iter()
        .try_fold(0_u64, |value, byte| value.checked_mul(10)?.checked_add(u64::from(byte - b'0')))
}

/// The number after `key` at the start of a line, on the same line.
pub(crate) fn value_of(text: &[u8], key: &[u8]) -> Option<u64> {
    let at = memchr::memmem::find_iter(text, key).find(|&at| at == 0 || text[at - 1] == b'\n')?;
    let rest = &text[at + key.len()..];
    number(&rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len())])
}

/// The fields of a line, separated by white space.
pub(crate) fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty())
}

/// The lines of a text.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty())
}

/// The last value of a counter that only rises, to know by how much it rose.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counter(Option<u64>);

impl Counter {
    /// Of what has just begun: its first value is a rise already.
    pub(crate) const ZERO: Self = Self(Some(0));

    /// By how much it rose; `None` the first time, and where it stepped back (it wrapped, or is another's).
    pub(crate) fn advance(&mut self, now: u64) -> Option<u64> {
        now.checked_sub(self.0.replace(now)?)
    }

    /// The next value is a first one: after a read that failed, a difference would span two intervals.
    pub(crate) fn forget(&mut self) {
        self.0 = None;
    }

    /// The next value will be higher by `amount`, and that is no rise.
    pub(crate) fn pass_over(&mut self, amount: u64) {
        self.0 = self.0.map(|last| last.saturating_add(amount));
    }

    /// The last value.
    pub(crate) fn last(self) -> Option<u64> {
        self.0
    }
}

/// `count` in `elapsed_ns` as a rate per second; `None` where no time has passed.
pub(crate) fn per_second(count: u64, elapsed_ns: u64) -> Option<f64> {
    (elapsed_ns > 0).then(|| count as f64 * 1e9 / elapsed_ns as f64)
}

/// The entries of a directory whose names satisfy `wanted`, in the order of their names; none where it can't
/// be read.
pub(crate) fn entries(directory: &std::path::Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let Ok(listing) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = listing
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(&wanted))
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
}

/// Whether `name` is `prefix` and a number: `cpu3`, `state0`, `card1`.
pub(crate) fn is_numbered(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix)
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_after_white_space_and_up_to_the_first_other_byte() {
        assert_eq!(number(b"  42 kB\n"), Some(42));
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(number(b"18446744073709551616"), None);
        assert_eq!(number(b"-1"), None);
        assert_eq!(number(b""), None);
    }

    #[test]
    fn a_key_counts_only_at_the_start_of_a_line() {
        let text = b"thp_pgmajfault 7\npgmajfault 9\n";
        assert_eq!(value_of(text, b"pgmajfault "), Some(9));
        assert_eq!(value_of(b"SwapTotal: 3 kB", b"SwapTotal:"), Some(3));
        assert_eq!(value_of(text, b"pswpin "), None);
    }

    #[test]
    fn a_key_without_a_number_takes_none_from_the_next_line() {
        assert_eq!(value_of(b"SwapTotal:\n9 kB\n", b"SwapTotal:"), None);
    }

    #[test]
    fn a_counter_that_steps_back_begins_anew() {
        let mut counter = Counter::default();
        assert_eq!(counter.advance(10), None);
        assert_eq!(counter.advance(15), Some(5));
        assert_eq!(counter.advance(3), None);
        assert_eq!(counter.advance(4), Some(1));
    }

    #[test]
    fn a_file_longer_than_the_buffer_is_read_whole() {
        let path = tempfile::NamedTempFile::new().unwrap();
        let text: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
        std::fs::write(path.path(), &text).unwrap();
        let mut buffer = Buffer::new();
        buffer.fill(path.as_file()).unwrap();
        assert_eq!(buffer.text(), text);
    }

    #[test]
    fn a_file_that_appears_later_is_read_then() {
        let directory = tempfile::tempdir().unwrap();
        let mut kept = Kept::new(directory.path().join("count"));
        assert_eq!(kept.number(), None);
        std::fs::write(kept.path(), "12\n").unwrap();
        assert_eq!(kept.number(), Some(12));
        std::fs::write(kept.path(), "13\n").unwrap();
        assert_eq!(kept.number(), Some(13));
    }
}
