//! The end of what a program printed.

/// What is kept, bytes; and of that the last lines, each not longer than a log has room for.
const KEPT: usize = 8 << 10;
const LINES: usize = 20;
const LINE: usize = 300;

/// Keeps the last bytes of any number.
#[derive(Debug, Default)]
pub(super) struct Tail {
    kept: Vec<u8>,
    total: u64,
}

impl Tail {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let bytes = &bytes[bytes.len().saturating_sub(KEPT)..];
        let too_many = (self.kept.len() + bytes.len()).saturating_sub(KEPT);
        self.kept.drain(..too_many);
        self.kept.extend_from_slice(bytes);
    }

    /// How much was printed in all, bytes.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The last lines, printable; the first says how much is left out.
    pub(super) fn lines(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.kept);
        let cut = self.total > self.kept.len() as u64;
        // The first line of what is kept has lost its beginning.
        let lines: Vec<&str> = text.lines().skip(usize::from(cut)).collect();
        let shown = &lines[lines.len().saturating_sub(LINES)..];
        let mut out = Vec::with_capacity(shown.len() + 1);
        if cut || shown.len() < lines.len() {
            out.push(format!("(the last lines of {})", crate::human::bytes(self.total)));
        }
        out.extend(shown.iter().map(|line| {
            let mut text: String = line.chars().take(LINE).collect();
            if text.len() < line.len() {
                text.push('…');
            }
            crate::sample::printable(&text)
        }));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_of_whatever_was_printed() {
        let mut tail = Tail::default();
        assert_eq!(tail.lines(), [""; 0]);
        tail.push(b"one\r\nt\x1b[2Jwo\n\xff");
        assert_eq!(tail.lines(), ["one", "t\u{fffd}[2Jwo", "\u{fffd}"]);
        for number in 0..100_000 {
            tail.push(format!("line {number}\n").as_bytes());
        }
        let lines = tail.lines();
        assert_eq!((lines.len(), lines[1].as_str(), lines[20].as_str()), (21, "line 99980", "line 99999"));
        assert!(lines[0].starts_with("(the last lines of 1.0 MiB"), "{}", lines[0]);
        tail.push(&[b'x'; 100_000]);
        assert!(tail.kept.len() <= KEPT && tail.lines().len() <= 2);
    }
}
