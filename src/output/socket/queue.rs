//! What waits for one client: bounded, and never waited for.

use std::collections::VecDeque;

use bytes::Bytes;

/// Samples that wait at most; then the oldest goes.
pub const MAX_SAMPLES: usize = 100;
/// Other messages that wait at most; then the client is cut off.
pub const MAX_EVENTS: usize = 1_000;

/// What kind of line it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// May be left out, and is told by `lagged`.
    Sample,
    /// Is never left out.
    Event,
}

/// A client's queue.
#[derive(Debug, Default)]
pub struct Queue {
    lines: VecDeque<(Kind, Bytes)>,
    samples: usize,
    /// Samples left out that the client was not told of yet.
    lagged: u64,
    /// Full of events: the client is to be cut off.
    full: bool,
}

impl Queue {
    /// Enters a line. Returns how many samples had to go for it.
    pub fn push(&mut self, kind: Kind, line: Bytes) -> u64 {
        let mut left_out = 0;
        match kind {
            Kind::Sample if self.samples == MAX_SAMPLES => {
                if let Some(oldest) = self.lines.iter().position(|(kind, _)| *kind == Kind::Sample) {
                    self.lines.remove(oldest);
                    left_out = 1;
                    self.lagged += 1;
                }
            }
            Kind::Sample => self.samples += 1,
            Kind::Event if self.lines.len() - self.samples >= MAX_EVENTS => {
                self.full = true;
                return 0;
            }
            Kind::Event => {}
        }
        self.lines.push_back((kind, line));
        left_out
    }

    /// Takes the next line to send. Where samples were left out that is said first.
    pub fn pop(&mut self) -> Option<Bytes> {
        if self.lagged > 0 {
            let dropped = std::mem::take(&mut self.lagged);
            let mut line = Vec::new();
            crate::wire::encode(&crate::wire::Message::Lagged { dropped }, &mut line);
            return Some(line.into());
        }
        let (kind, line) = self.lines.pop_front()?;
        self.samples -= usize::from(kind == Kind::Sample);
        Some(line)
    }

    /// Whether it overflowed with what may not be left out.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: usize) -> Bytes {
        Bytes::from(format!("{number}\n"))
    }

    fn drain(queue: &mut Queue) -> Vec<String> {
        std::iter::from_fn(|| queue.pop()).map(|line| String::from_utf8(line.to_vec()).unwrap()).collect()
    }

    #[test]
    fn the_oldest_samples_go_and_the_client_is_told_how_many() {
        let mut queue = Queue::default();
        let left_out: u64 = (0..250).map(|number| queue.push(Kind::Sample, line(number))).sum();
        assert_eq!(left_out, 150);
        let got = drain(&mut queue);
        assert_eq!(got[0], "{\"type\":\"lagged\",\"dropped\":150}\n");
        assert_eq!((got[1].as_str(), got.len()), ("150\n", 101));
        assert_eq!(queue.push(Kind::Sample, line(7)), 0, "it goes on as if nothing had been");
        assert_eq!(drain(&mut queue), ["7\n"]);
    }

    #[test]
    fn events_are_never_left_out_and_keep_their_place_among_the_samples() {
        let mut queue = Queue::default();
        queue.push(Kind::Event, line(1000));
        for number in 0..MAX_SAMPLES + 5 {
            queue.push(Kind::Sample, line(number));
        }
        queue.push(Kind::Event, line(2000));
        let got = drain(&mut queue);
        assert_eq!(got[1], "1000\n");
        assert_eq!(got[2], "5\n");
        assert_eq!(got.last().unwrap(), "2000\n");
        assert!(!queue.is_full());
    }

    #[test]
    fn a_queue_full_of_events_is_the_end() {
        let mut queue = Queue::default();
        for number in 0..1_000 {
            queue.push(Kind::Event, line(number));
        }
        assert!(!queue.is_full());
        queue.push(Kind::Event, line(0));
        assert!(queue.is_full());
    }
}
