//! A recording as JSON lines: what `pause-monitor stream` prints, and `ring.jsonl`.
//!
//! Read are `sample` and `source` lines, and the samples in a `hello`: they are the half minute before the
//! recording began, so that what led up to it is in it. A `gap` line, or a gap in a `hello`, says what was made of it when
//! it happened: the samples lack what decided it. Other types, known or not, are passed over.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use memchr::memchr;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

use super::{Item, Parser, blank};
use crate::event::{Told, Verdict};
use crate::sample::{Name, Reading, Reject, SourceInfo};
use crate::wire::{self, MetricsLine, SampleLine, StressLine, TopLine};

/// The longest line that is read, bytes.
pub(super) const LINE_MAX: usize = 1 << 20;

/// The longest `hello`, bytes: it holds many samples.
pub(super) const HELLO_MAX: usize = 32 << 20;

/// How a `hello` begins: by that alone it may be longer than other lines.
const HELLO: &[u8] = br#"{"type":"hello""#;

/// Samples of a `hello` that are kept, the newest: ten minutes at 10 Hz.
const RING_MAX: usize = 6_000;

/// Room for one read, bytes.
const READ_SIZE: usize = 64 << 10;

/// A line, as far as a replay needs it.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line<'a> {
    Hello {
        #[serde(default, borrow)]
        gaps: Newest<Gap<'a>, { Told::MOST }>,
        #[serde(default, borrow)]
        ring: Newest<Recorded<'a>, RING_MAX>,
    },
    #[serde(borrow)]
    Sample(Box<Recorded<'a>>),
    #[serde(borrow)]
    Source(Source<'a>),
    #[serde(borrow)]
    Gap(Gap<'a>),
    #[serde(other)]
    Other,
}

/// A sample as a source of readings. Every field is optional: what the recording lacks is not reported.
#[derive(Deserialize)]
struct Recorded<'a> {
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    time: Cow<'a, str>,
    interval_ms: Option<f64>,
    elapsed_ms: Option<f64>,
    heartbeat_ms: Option<f64>,
    #[serde(default)]
    degraded: bool,
    #[serde(default, borrow)]
    metrics: MetricsLine<'a>,
    #[serde(default, borrow)]
    top: TopLine<'a>,
}

#[derive(Deserialize)]
struct Source<'a> {
    #[serde(default)]
    state: Cow<'a, str>,
    hw_model: Option<Cow<'a, str>>,
    os_build: Option<Cow<'a, str>>,
}

/// What was made of a gap. One that lacks something says nothing.
#[derive(Deserialize)]
struct Gap<'a> {
    #[serde(default)]
    time: Cow<'a, str>,
    #[serde(default)]
    verdict: Cow<'a, str>,
    certain: Option<bool>,
    duration_ms: Option<f64>,
}

impl Gap<'_> {
    fn told(&self) -> Option<Told> {
        Some(Told {
            verdict: Verdict::parse(&self.verdict)?,
            certain: self.certain?,
            ended_ns: wire::parse_rfc3339(&self.time)?,
            duration_ns: self.duration_ms.and_then(wire::ns_from_ms)?,
        })
    }
}

/// The newest of an array in a `hello`.
struct Newest<T, const MOST: usize>(VecDeque<T>);

impl<T, const MOST: usize> Default for Newest<T, MOST> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for Newest<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements<T, const MOST: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Elements<T, MOST> {
            type Value = Newest<T, MOST>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
                let mut newest = Newest::default();
                while let Some(element) = elements.next_element()? {
                    if newest.0.len() == MOST {
                        newest.0.pop_front();
                    }
                    newest.0.push_back(element);
                }
                Ok(newest)
            }
        }

        deserializer.deserialize_seq(Elements(PhantomData))
    }
}

impl Recorded<'_> {
    /// The reading in it; `None` where it has no positive `elapsed_ms`.
    fn into_reading(self) -> Option<Reading> {
        let line = SampleLine {
            seq: self.seq,
            time: self.time,
            interval_ms: self.interval_ms,
            elapsed_ms: self.elapsed_ms?,
            // What an engine had made of it: it is made anew.
            expected_ms: 0.0,
            latency_ratio: 0.0,
            heartbeat_ms: self.heartbeat_ms,
            tier: Cow::Borrowed(""),
            degraded: self.degraded,
            stress: StressLine::default(),
            metrics: self.metrics,
            top: self.top,
        };
        line.to_reading()
    }
}

/// The last sample handed out: what a later `hello` repeats is known by it.
#[derive(Clone, Copy)]
struct Last {
    seq: u64,
    /// Its time of day, where it is known: the next one's is derived from it.
    time_ns: Option<i64>,
}

/// Takes bytes, gives items.
pub(super) struct Lines {
    /// Bytes read and not yet done with are `buffer[start..end]`; its length is the room there is.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// No line ends before this.
    searched: usize,
    /// The line was too long and has been told so: its rest is passed over.
    skipping: bool,
    /// Items of the last line that are still to be handed out: at most a ring.
    items: VecDeque<Item>,
    last: Option<Last>,
    /// The gaps that were told last: a later `hello` repeats them.
    told: VecDeque<Told>,
    info: SourceInfo,
}

impl Lines {
    pub(super) fn new() -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            end: 0,
            searched: 0,
            skipping: false,
            items: VecDeque::new(),
            last: None,
            told: VecDeque::new(),
            info: SourceInfo::default(),
        }
    }

    /// Makes items of a line. Blank ones make none.
    fn read(&mut self, line: Range<usize>) -> Result<(), serde_json::Error> {
        // Taken out, so that what is borrowed from it does not hold up the rest.
        let buffer = std::mem::take(&mut self.buffer);
        let line = trimmed(&buffer[line]);
        let result =
            if line.is_empty() { Ok(()) } else { serde_json::from_slice(line).map(|line| self.take(line)) };
        self.buffer = buffer;
        result
    }

    fn take(&mut self, line: Line<'_>) {
        match line {
            Line::Hello { gaps, ring } => self.hello(gaps.0, ring.0),
            Line::Sample(sample) => self.sample(*sample),
            Line::Source(source) => self.source(&source),
            Line::Gap(gap) => self.gap(&gap),
            Line::Other => {}
        }
    }

    /// A connection begins. Where it is not the first, its ring overlaps with what was read before, or there
    /// is a hole between them.
    fn hello(&mut self, gaps: VecDeque<Gap<'_>>, ring: VecDeque<Recorded<'_>>) {
        let before = self.last;
        let known = |sample: &Recorded<'_>| {
            before.is_some_and(|last| {
                sample.seq <= last.seq
                    && wire::parse_rfc3339(&sample.time).is_some_and(|time_ns| Some(time_ns) <= last.time_ns)
            })
        };
        let goes_on = ring.front().is_some_and(known);
        if before.is_some() && !goes_on {
            self.items.push_back(Item::Restarted);
        }
        // In front of the samples that they are among.
        for gap in gaps {
            self.gap(&gap);
        }
        for sample in ring {
            if !known(&sample) {
                self.sample(sample);
            }
        }
    }

    fn gap(&mut self, gap: &Gap<'_>) {
        if let Some(told) = gap.told()
            && !self.told.contains(&told)
        {
            if self.told.len() == Told::MOST {
                self.told.pop_front();
            }
            self.told.push_back(told);
            self.items.push_back(Item::Told(told));
        }
    }

    fn sample(&mut self, sample: Recorded<'_>) {
        let seq = sample.seq;
        let interval_ns = sample.interval_ms.and_then(wire::ns_from_ms);
        let heartbeat_ns = sample.heartbeat_ms.and_then(wire::ns_from_ms);
        let recorded_ns = wire::parse_rfc3339(&sample.time);
        let Some(reading) = sample.into_reading() else {
            self.items.push_back(Item::Rejected(Reject::Incomplete));
            return;
        };
        let arrival_ns = interval_ns.unwrap_or(reading.elapsed_ns);
        let time_ns = recorded_ns.or_else(|| {
            self.last.and_then(|last| last.time_ns).map(|time_ns| time_ns.saturating_add_unsigned(arrival_ns))
        });
        self.last = Some(Last { seq, time_ns });
        self.items.push_back(Item::Reading { reading, arrival_ns, heartbeat_ns, time_ns });
    }

    fn source(&mut self, source: &Source<'_>) {
        // A source that came up first thing was started, not restarted.
        if self.last.is_some() && matches!(&*source.state, "up" | "restarting") {
            self.items.push_back(Item::Restarted);
        }
        let info = SourceInfo {
            hw_model: source.hw_model.as_deref().map(Name::new).or(self.info.hw_model),
            os_build: source.os_build.as_deref().map(Name::new).or(self.info.os_build),
            boot_time_s: None,
        };
        if info != self.info {
            self.info = info;
            self.items.push_back(Item::Info(info));
        }
    }
}

impl Parser for Lines {
    fn space(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.searched -= self.start;
            self.start = 0;
        }
        if self.buffer.len() - self.end < READ_SIZE {
            let size = (2 * self.buffer.len()).clamp(4 * READ_SIZE, HELLO_MAX + 2 * READ_SIZE);
            self.buffer.resize(size, 0);
        }
        &mut self.buffer[self.end..]
    }

    fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.buffer.len());
    }

    fn next_item(&mut self) -> Option<Item> {
        loop {
            if let Some(item) = self.items.pop_front() {
                return Some(item);
            }
            let newline = memchr(b'\n', &self.buffer[self.searched..self.end]).map(|at| self.searched + at);
            let line = self.start..newline.unwrap_or(self.end);
            self.searched = newline.map_or(self.end, |at| at + 1);
            if !self.skipping && too_long(&self.buffer[line.clone()]) {
                self.skipping = true;
                self.items.push_back(Item::Rejected(Reject::Oversized));
            }
            if newline.is_some() {
                self.start = self.searched;
                if !std::mem::take(&mut self.skipping) && self.read(line).is_err() {
                    self.items.push_back(Item::Rejected(Reject::Malformed));
                }
            } else if self.skipping {
                self.start = self.searched;
            }
            if newline.is_none() && self.items.is_empty() {
                return None;
            }
        }
    }

    /// The end of the recording: a last line without a newline is read where it is whole.
    fn finish(&mut self) {
        let line = self.start..self.end;
        self.start = self.end;
        self.searched = self.end;
        if !std::mem::take(&mut self.skipping) && self.read(line).is_err() {
            self.items.push_back(Item::Rejected(Reject::Truncated));
        }
    }
}

fn too_long(line: &[u8]) -> bool {
    line.len() > LINE_MAX && (line.len() > HELLO_MAX || !trimmed(line).starts_with(HELLO))
}

/// The line without white space, NUL and byte order mark around it.
pub(super) fn trimmed(mut line: &[u8]) -> &[u8] {
    line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let start = line.iter().position(|&byte| !blank(byte)).unwrap_or(line.len());
    let end = line.iter().rposition(|&byte| !blank(byte)).map_or(start, |last| last + 1);
    &line[start..end]
}
