//! A recording of powermetrics itself: property lists, through the same framing and decoding as a live one.

use super::{Item, Parser};
use crate::sample::SourceInfo;
use crate::source::powermetrics::decode::{Document, OwnPids, decode};
use crate::source::powermetrics::frame::Framer;

const SECOND_NS: i64 = 1_000_000_000;

/// Takes bytes, gives items.
pub(super) struct Documents {
    framer: Framer,
    info: SourceInfo,
    /// The last document's time of day, Unix ns, once one had a timestamp.
    time_ns: Option<i64>,
    /// What comes after the item handed out last.
    next: Option<Item>,
}

impl Documents {
    pub(super) fn new() -> Self {
        Self { framer: Framer::new(), info: SourceInfo::default(), time_ns: None, next: None }
    }

    fn take(&mut self, document: Document) -> Item {
        let Document { reading, info, timestamp_s } = document;
        // The timestamp has a resolution of 1 s: it says when the recording began, the intervals all else.
        self.time_ns = match self.time_ns {
            Some(time_ns) => Some(time_ns.saturating_add_unsigned(reading.elapsed_ns)),
            None => timestamp_s.map(|seconds| seconds.saturating_mul(SECOND_NS)),
        };
        let arrival_ns = reading.elapsed_ns;
        let reading = Item::Reading { reading, arrival_ns, heartbeat_ns: None, time_ns: self.time_ns };
        if info == self.info {
            return reading;
        }
        self.info = info;
        self.next = Some(reading);
        Item::Info(info)
    }
}

impl Parser for Documents {
    fn space(&mut self) -> &mut [u8] {
        self.framer.space()
    }

    fn filled(&mut self, count: usize) {
        self.framer.filled(count);
    }

    fn next_item(&mut self) -> Option<Item> {
        if self.next.is_some() {
            return self.next.take();
        }
        // Nobody in a recording is us: every process may be to blame.
        let decoded = self.framer.next_document()?.and_then(|document| decode(document, &OwnPids::default()));
        Some(match decoded {
            Ok(document) => self.take(document),
            Err(reason) => Item::Rejected(reason),
        })
    }

    fn finish(&mut self) {
        if let Some(reason) = self.framer.finish() {
            self.next = Some(Item::Rejected(reason));
        }
    }
}
