//! Cuts the sampler's byte stream into documents.
//!
//! A document starts at `<?xml`, else at `<plist`, and ends at the first `</plist>`; it is handed out as soon
//! as its end is there, because the NUL that separates documents comes with the next one only. This is a cut
//! by text: whether the document makes sense is decided by the decoder.
//!
//! The result never depends on how the bytes were split into reads: whatever is decided about a document
//! depends on offsets from its start alone, and every search goes on where the last one ended.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use memchr::{memchr, memchr_iter};

use crate::sample::Reject;

/// The longest document that is kept, bytes.
pub const MAX_DOCUMENT: usize = 16 << 20;

/// [`Framer::space`] gives at least this much room, bytes: what a socket or a pipe hands over in one read.
pub const MIN_SPACE: usize = 64 << 10;

/// The buffer begins, and shrinks back, to this size, bytes: more than two documents of a busy machine.
const SMALL_BUFFER: usize = 1 << 20;

/// The buffer's size is reconsidered after so many reads: some minutes at 10 Hz.
const READS_PER_REVIEW: u32 = 4096;

const HEAD: &[u8] = b"<?xml";
const BARE_HEAD: &[u8] = b"<plist";
const CLOSE: &[u8] = b"</plist>";

static FIND_CLOSE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(CLOSE));

/// Where in the stream the framer is.
#[derive(Clone, Copy, Debug)]
enum State {
    /// Between documents: looking for a start.
    Between,
    /// In a document that starts at `Framer::start`.
    Inside {
        /// No `</plist>` starts before this offset from the document's start.
        no_close_before: usize,
        /// No `<?xml`, but the document's own, starts before this offset from the document's start.
        no_head_before: usize,
    },
}

impl State {
    const ENTERED: Self = Self::Inside { no_close_before: 1, no_head_before: 1 };
}

/// Collects bytes and cuts documents out of them.
///
/// Use: read into [`Framer::space`], say how much came with [`Framer::filled`], take documents from
/// [`Framer::next_document`] until there is none, repeat; [`Framer::finish`] at the end of the stream.
#[derive(Debug)]
pub struct Framer {
    /// Bytes read and not yet done with are `buffer[start..end]`; its length is the room there is.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    state: State,
    /// The system gave no room for what was held, and it was let go: to be told.
    lost: bool,
    limit: usize,
    /// Reads since the buffer's size was last reconsidered.
    reads: u32,
    /// The most bytes held at once since then.
    held: usize,
}

impl Framer {
    /// A framer for documents up to [`MAX_DOCUMENT`].
    #[must_use]
    pub fn new() -> Self {
        Self::with_limit(MAX_DOCUMENT)
    }

    /// A framer that rejects documents over `limit` bytes. A limit below the length of `</plist>` is taken
    /// as that.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self {
            buffer: vec![0; SMALL_BUFFER],
            start: 0,
            end: 0,
            state: State::Between,
            lost: false,
            limit: limit.max(CLOSE.len()),
            reads: 0,
            held: 0,
        }
    }

    /// Room to read into: at least [`MIN_SPACE`] bytes, provided that [`Framer::next_document`] has been asked
    /// until it had nothing left; then the buffer never holds more than one document of the greatest length
    /// and one read.
    pub fn space(&mut self) -> &mut [u8] {
        // A document's beginning is moved at most once: after that it starts at 0 until it is done with.
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;

        self.held = self.held.max(self.end);
        self.reads += 1;
        if self.reads == READS_PER_REVIEW {
            let enough = (self.held + MIN_SPACE).next_power_of_two().max(SMALL_BUFFER);
            if self.buffer.len() > enough {
                self.buffer.truncate(enough);
                self.buffer.shrink_to_fit();
            }
            self.reads = 0;
            self.held = 0;
        }
        if self.buffer.len() - self.end < MIN_SPACE {
            let most = (self.limit + MIN_SPACE).max(SMALL_BUFFER);
            let wanted = (2 * self.buffer.len()).min(most).max(self.buffer.len());
            if self.buffer.try_reserve_exact(wanted - self.buffer.len()).is_ok() {
                self.buffer.resize(wanted, 0);
            } else {
                // A machine at its worst: a document less, and sampling goes on.
                self.let_go();
            }
        }
        &mut self.buffer[self.end..]
    }

    /// Lets go of the document that is held: there is no room for more of it.
    fn let_go(&mut self) {
        self.lost = matches!(self.state, State::Inside { .. });
        self.start = 0;
        self.end = 0;
        self.state = State::Between;
    }

    /// Says that the first `count` bytes of [`Framer::space`] are filled.
    pub fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.buffer.len());
    }

    /// The memory that the buffer takes, bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// The next whole document, or why one was lost; `None` until more bytes are there.
    ///
    /// # Errors
    /// [`Reject::Truncated`] where another document begins inside it, [`Reject::Oversized`] where it is longer
    /// than the limit, or than the system has memory for: told once, and the rest is skipped up to the next start.
    pub fn next_document(&mut self) -> Option<Result<&[u8], Reject>> {
        if std::mem::take(&mut self.lost) {
            return Some(Err(Reject::Oversized));
        }
        if let State::Between = self.state
            && !self.enter()
        {
            return None;
        }
        let State::Inside { no_close_before, no_head_before } = self.state else { return None };
        let held = &self.buffer[self.start..self.end];
        let window = &held[..held.len().min(self.limit)];

        let close = find_close(window, no_close_before);
        let before_close = close.unwrap_or(window.len());
        if let Some(head) = find_head(&window[..before_close], no_head_before) {
            self.start += head;
            self.state = State::Inside {
                // What was searched for the lost document need not be searched again.
                no_close_before: resume(close, window, CLOSE).saturating_sub(head).max(1),
                no_head_before: 1,
            };
            return Some(Err(Reject::Truncated));
        }
        if let Some(close) = close {
            let document = self.start..self.start + close + CLOSE.len();
            self.start = document.end;
            self.state = State::Between;
            return Some(Ok(&self.buffer[document]));
        }
        if held.len() > self.limit {
            // A head that only begins within the limit has not been seen yet.
            self.start += self.limit - (HEAD.len() - 1);
            self.state = State::Between;
            return Some(Err(Reject::Oversized));
        }
        self.state = State::Inside {
            no_close_before: resume(None, window, CLOSE),
            no_head_before: resume(None, window, HEAD),
        };
        None
    }

    /// The end of the stream: whether a document was cut off by it. The framer is empty afterwards.
    pub fn finish(&mut self) -> Option<Reject> {
        let unfinished = matches!(self.state, State::Inside { .. });
        self.start = 0;
        self.end = 0;
        self.state = State::Between;
        unfinished.then_some(Reject::Truncated)
    }

    /// Whether it holds nothing of a document: what was read was done with.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self.state, State::Between) && self.start == self.end
    }

    /// Skips what stands between documents. Returns whether a document starts at `self.start`.
    fn enter(&mut self) -> bool {
        while let Some(skipped) = memchr(b'<', &self.buffer[self.start..self.end]) {
            self.start += skipped;
            let held = &self.buffer[self.start..self.end];
            if held.starts_with(HEAD) || held.starts_with(BARE_HEAD) {
                self.state = State::ENTERED;
                return true;
            }
            if HEAD.starts_with(held) || BARE_HEAD.starts_with(held) {
                return false;
            }
            self.start += 1;
        }
        self.start = self.end;
        false
    }
}

impl Default for Framer {
    fn default() -> Self {
        Self::new()
    }
}

/// The first `</plist>` in `window` that starts at `from` or later.
fn find_close(window: &[u8], from: usize) -> Option<usize> {
    Some(from + FIND_CLOSE.find(window.get(from..)?)?)
}

/// The first `<?xml` in `window` that starts at `from` or later: by its `?`, which is rare in documents.
fn find_head(window: &[u8], from: usize) -> Option<usize> {
    let window = window.get(from..)?;
    memchr_iter(b'?', window)
        .filter_map(|at| at.checked_sub(1))
        .find(|&at| window[at..].starts_with(HEAD))
        .map(|at| from + at)
}

/// Where a search for `needle` goes on when it has found `found` in `window`.
fn resume(found: Option<usize>, window: &[u8], needle: &[u8]) -> usize {
    found.unwrap_or_else(|| (window.len() + 1).saturating_sub(needle.len()).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a stream yields when its bytes come in pieces of the lengths given, over and over.
    fn frames(stream: &[u8], pieces: &[usize], limit: usize) -> Vec<Result<Vec<u8>, Reject>> {
        let mut framer = Framer::with_limit(limit);
        let mut found = Vec::new();
        let mut rest = stream;
        let mut pieces = pieces.iter().cycle();
        while !rest.is_empty() {
            let space = framer.space();
            let count = (*pieces.next().unwrap()).min(rest.len()).min(space.len());
            space[..count].copy_from_slice(&rest[..count]);
            rest = &rest[count..];
            framer.filled(count);
            while let Some(result) = framer.next_document() {
                found.push(result.map(<[u8]>::to_vec));
            }
        }
        found.extend(framer.finish().map(Err));
        found
    }

    fn shown(stream: &str, limit: usize) -> Vec<String> {
        let whole = frames(stream.as_bytes(), &[usize::MAX], limit);
        for piece in 1..stream.len() {
            assert_eq!(frames(stream.as_bytes(), &[piece], limit), whole, "in pieces of {piece}");
        }
        whole
            .into_iter()
            .map(|result| match result {
                Ok(document) => String::from_utf8(document).unwrap(),
                Err(reject) => reject.as_str().to_owned(),
            })
            .collect()
    }

    #[test]
    fn a_document_is_there_as_soon_as_its_end_is() {
        let mut framer = Framer::new();
        let document = b"<?xml?><plist></plist>";
        framer.space()[..document.len()].copy_from_slice(document);
        framer.filled(document.len() - 1);
        assert_eq!(framer.next_document(), None);
        framer.filled(1);
        assert_eq!(framer.next_document(), Some(Ok(&document[..])));
        assert_eq!(framer.next_document(), None);
        assert_eq!(framer.finish(), None);
    }

    #[test]
    fn what_stands_between_documents_is_skipped() {
        let stream =
            "boot\n<nonsense> </plist>\0<?xml?><plist>1</plist>\n\0  \0<plist>2</plist> <?xm <plis done";
        assert_eq!(shown(stream, MAX_DOCUMENT), ["<?xml?><plist>1</plist>", "<plist>2</plist>"]);
    }

    #[test]
    fn a_cut_off_document_is_rejected_and_the_next_one_is_kept() {
        let stream = "<?xml 1><plist><dict><?xml 2><plist></plist><plist>3<?xml<?xml 4><plist></plist>";
        assert_eq!(
            shown(stream, MAX_DOCUMENT),
            ["truncated", "<?xml 2><plist></plist>", "truncated", "truncated", "<?xml 4><plist></plist>"]
        );
    }

    #[test]
    fn a_document_that_the_end_of_the_stream_cuts_off_is_rejected() {
        assert_eq!(
            shown("<plist></plist>\0<?xml 1><plist></plis", MAX_DOCUMENT),
            ["<plist></plist>", "truncated"]
        );
        assert_eq!(shown("<plist></plist>\0<?xm", MAX_DOCUMENT), ["<plist></plist>"]);
    }

    #[test]
    fn a_document_over_the_limit_is_rejected_once_and_the_next_one_is_kept() {
        let exact = "<?xml?><plist>45</plist>";
        assert_eq!(exact.len(), 24);
        assert_eq!(shown(exact, 24), [exact]);
        assert_eq!(shown(exact, 23), ["oversized"]);
        let long = format!("<?xml?><plist>{}</plist>\0{exact}", "x".repeat(100));
        assert_eq!(shown(&long, 24), ["oversized", exact]);
        for padding in 0..40 {
            let cut = format!("<?xml?>{}{exact}{exact}", "x".repeat(padding));
            let expected = if padding + 7 + 5 <= 24 { "truncated" } else { "oversized" };
            assert_eq!(shown(&cut, 24), [expected, exact, exact], "padding {padding}");
        }
    }

    #[test]
    fn memory_stays_bounded_and_shrinks_again() {
        let mut framer = Framer::new();
        let mut rejects = Vec::new();
        let mut feed = |framer: &mut Framer, bytes: &[u8]| {
            let space = framer.space();
            space[..bytes.len()].copy_from_slice(bytes);
            framer.filled(bytes.len());
            while let Some(result) = framer.next_document() {
                rejects.extend(result.err());
            }
        };
        feed(&mut framer, b"<?xml");
        let filler = vec![b'x'; MIN_SPACE];
        for _ in 0..2 * MAX_DOCUMENT / MIN_SPACE {
            feed(&mut framer, &filler);
            assert!(framer.capacity() <= MAX_DOCUMENT + MIN_SPACE);
        }
        assert!(framer.capacity() > MAX_DOCUMENT);
        for _ in 0..2 * READS_PER_REVIEW {
            feed(&mut framer, b"<?xml?><plist></plist>\0");
        }
        assert_eq!(framer.capacity(), SMALL_BUFFER);
        assert_eq!(rejects, [Reject::Oversized]);
    }

    #[test]
    fn a_document_that_the_system_has_no_memory_for_is_rejected_and_the_next_one_is_kept() {
        let mut framer = Framer::new();
        let mut feed = |bytes: &[u8], room: bool| {
            framer.space()[..bytes.len()].copy_from_slice(bytes);
            if !room {
                framer.let_go();
                return vec![framer.next_document().map(|document| document.map(<[u8]>::to_vec))];
            }
            framer.filled(bytes.len());
            let mut found = Vec::new();
            while let Some(document) = framer.next_document() {
                found.push(Some(document.map(<[u8]>::to_vec)));
            }
            found
        };
        assert_eq!(feed(b"<?xml?><plist><dict>", true), []);
        assert_eq!(feed(b"", false), [Some(Err(Reject::Oversized))]);
        assert_eq!(
            feed(b"</dict></plist>\0<plist>2</plist>", true),
            [Some(Ok(b"<plist>2</plist>".to_vec()))]
        );
        assert_eq!(feed(b"", false), [None], "between documents nothing is lost");
    }

    #[test]
    fn many_starts_without_an_end_cost_no_second_search() {
        // Quadratic, this would take hours: 800,000 starts before an end 4 MB away.
        let mut stream = HEAD.repeat(800_000);
        stream.extend_from_slice(CLOSE);
        let found = frames(&stream, &[usize::MAX], MAX_DOCUMENT);
        assert_eq!(found.len(), 800_000);
        assert_eq!(found.last(), Some(&Ok(b"<?xml</plist>".to_vec())));
    }
}
