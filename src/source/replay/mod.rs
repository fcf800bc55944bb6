//! A recording as a source: a powermetrics plist stream, or the JSON lines of `pause-monitor stream`.
//!
//! Pure reading: no clock, no pacing. Files of any size, and standard input while it is still being written,
//! in bounded memory. A simulation is read here too, so that it takes the same path
//! ([`Simulator::into_stream`](crate::source::simulate::Simulator::into_stream)).

use std::fs::File;
use std::io::{self, Cursor, ErrorKind, Read};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use memchr::memmem;

use crate::event::Told;
use crate::sample::{Reading, Reject, SourceInfo};

mod documents;
mod lines;
mod speed;

pub use speed::{NotASpeed, Speed};

/// What a recording holds, in its order.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly all are readings, and none is kept")]
pub enum Item {
    /// One reading of the machine.
    Reading {
        /// What the engine is fed with.
        reading: Reading,
        /// Time from the last reading's arrival to this one's, ns: where the recording says so, else its
        /// interval. Documents that a starved daemon got all at once arrive so again.
        arrival_ns: u64,
        /// The greatest heartbeat delay since the last reading, ns; `None` where none was recorded.
        heartbeat_ns: Option<u64>,
        /// Its time of day, Unix ns: in JSON lines its own; in plists the first timestamp and all intervals
        /// since. `None` where the recording has none.
        time_ns: Option<i64>,
    },
    /// What is known of the recorded machine: told first, and whenever it changes.
    Info(SourceInfo),
    /// What was made of a gap when it happened.
    Told(Told),
    /// A document or line could not be read.
    Rejected(Reject),
    /// The next reading is the first after a restart of its source, or after a hole in the recording.
    Restarted,
}

/// What makes items of bytes, however these were split into reads.
trait Parser: Send {
    /// Room to read into, once [`Parser::next_item`] has nothing more; never empty.
    fn space(&mut self) -> &mut [u8];
    /// Says that the first `count` bytes of [`Parser::space`] are filled.
    fn filled(&mut self, count: usize);
    /// The next item; `None` until more bytes are there.
    fn next_item(&mut self) -> Option<Item>;
    /// The end of the recording. What it makes of the rest comes from [`Parser::next_item`].
    fn finish(&mut self);
}

/// A recording being read.
pub struct Replay {
    input: Box<dyn Read + Send>,
    /// `None` until enough was read to tell what it is.
    parser: Option<Box<dyn Parser>>,
    ended: bool,
}

/// An input that may keep its reader waiting (a pipe, a terminal) until it is told to stop: then it ends.
struct Stoppable<R> {
    input: R,
    stop: Arc<AtomicBool>,
}

impl<R: Read + AsRawFd> Read for Stoppable<R> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        /// How long it waits before it looks whether it is to stop, ms.
        const LOOK_MS: libc::c_int = 200;
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(0);
            }
            let mut poll = libc::pollfd { fd: self.input.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: `poll` is one valid pollfd.
            if unsafe { libc::poll(&raw mut poll, 1, LOOK_MS) } > 0 {
                return self.input.read(space);
            }
        }
    }
}

/// Within so many bytes the first document or line must begin.
const BEGIN_WITHIN: usize = 1 << 20;

/// Bytes in one read before the format is known.
const FIRST_READ: usize = 64 << 10;

impl Replay {
    /// Opens a recording; `-` is standard input. Where the input makes us wait, setting `stop` ends it.
    ///
    /// # Errors
    /// The file can't be opened; the message names it.
    pub fn open(path: &Path, stop: Arc<AtomicBool>) -> io::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::new(Box::new(Stoppable { input: io::stdin(), stop })));
        }
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("can't read the recording {}: {error}", path.display()))
        };
        let file = File::open(path).map_err(named)?;
        if file.metadata().map_err(named)?.is_dir() {
            return Err(named(ErrorKind::IsADirectory.into()));
        }
        Ok(Self::new(Box::new(Stoppable { input: file, stop })))
    }

    /// Reads a recording from anywhere. What it is shows in its content.
    #[must_use]
    pub fn new(input: Box<dyn Read + Send>) -> Self {
        Self { input, parser: None, ended: false }
    }

    /// The next item; `None` at the end. Waits where the input does.
    ///
    /// # Errors
    /// Reading failed, or the input is no recording ([`ErrorKind::InvalidData`]).
    #[expect(clippy::should_implement_trait, reason = "an iterator of results is no easier to use here")]
    pub fn next(&mut self) -> io::Result<Option<Item>> {
        let parser = match &mut self.parser {
            Some(parser) => parser,
            empty => match recognised(&mut self.input)? {
                Some(parser) => empty.insert(parser),
                None => return Ok(None),
            },
        };
        loop {
            if let Some(item) = parser.next_item() {
                return Ok(Some(item));
            }
            if self.ended {
                return Ok(None);
            }
            match read(&mut self.input, parser.space())? {
                0 => {
                    self.ended = true;
                    parser.finish();
                }
                count => parser.filled(count),
            }
        }
    }
}

/// Reads until it is clear what the input is, and puts what was read back in front of it. `None` where there
/// is nothing.
fn recognised(input: &mut Box<dyn Read + Send>) -> io::Result<Option<Box<dyn Parser>>> {
    let mut seen = Vec::new();
    loop {
        if let Some(parser) = recognise(&seen) {
            let rest = std::mem::replace(input, Box::new(io::empty()));
            *input = Box::new(Cursor::new(seen).chain(rest));
            return Ok(Some(parser));
        }
        let before = seen.len();
        if before < BEGIN_WITHIN {
            seen.resize(before + FIRST_READ, 0);
            let count = read(input, &mut seen[before..])?;
            seen.truncate(before + count);
        }
        if seen.len() > before {
            continue;
        }
        if seen.iter().all(|&byte| blank(byte)) && before < BEGIN_WITHIN {
            return Ok(None);
        }
        return Err(io::Error::new(
            ErrorKind::InvalidData,
            "this is no recording: make one with `pause-monitor stream > FILE` or `powermetrics -f plist > FILE`",
        ));
    }
}

/// What the recording is: whichever begins first, a property list or a line with a JSON object.
fn recognise(seen: &[u8]) -> Option<Box<dyn Parser>> {
    let plist = [&b"<?xml"[..], b"<plist"].into_iter().filter_map(|head| memmem::find(seen, head)).min();
    let before_plist = &seen[..plist.unwrap_or(seen.len())];
    let object = before_plist.split(|&byte| byte == b'\n').any(|line| lines::trimmed(line).starts_with(b"{"));
    if object {
        Some(Box::new(lines::Lines::new()))
    } else {
        plist.map(|_| Box::new(documents::Documents::new()) as Box<dyn Parser>)
    }
}

/// White space, or the separator of property lists.
fn blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0
}

fn read(input: &mut impl Read, space: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(space) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests;
