//! How busy the GPU is: `/sys/class/drm/card*/device/gpu_busy_percent`, which amdgpu has. The busiest counts.
//!
//! Reading it counts as use of the GPU, and would keep one that powers itself down awake for ever. So a GPU
//! that is suspended is not read (it is 0 % busy), and one that may suspend itself and was idle for
//! [`IDLE_NS`] is read only every [`REST_NS`], until it is busy again.

use std::path::{Path, PathBuf};

use super::files::{Buffer, Kept, entries, is_numbered};
use crate::sample::Metrics;

/// Idle for this long, a GPU that may suspend itself is left alone, ns of elapsed time.
const IDLE_NS: u64 = 5_000_000_000;
/// Time between two looks at it then, ns: above the 5 s after which amdgpu suspends.
const REST_NS: u64 = 10_000_000_000;

pub(super) struct Gpus {
    drm: PathBuf,
    cards: Vec<Card>,
    buffer: Buffer,
}

struct Card {
    busy: Kept,
    control: Kept,
    status: Kept,
    idle_ns: u64,
    rest_ns: u64,
    gone: bool,
}

impl Gpus {
    pub(super) fn new(root: &Path) -> Self {
        let mut gpus = Self { drm: root.join("sys/class/drm"), cards: Vec::new(), buffer: Buffer::new() };
        gpus.rescan();
        gpus
    }

    /// Finds GPUs whose driver came later than we.
    pub(super) fn rescan(&mut self) {
        for card in entries(&self.drm, |name| is_numbered(name, "card")) {
            let device = card.join("device");
            let busy = device.join("gpu_busy_percent");
            if busy.exists() && !self.cards.iter().any(|card| *card.busy.path() == busy) {
                self.cards.push(Card {
                    busy: Kept::new(busy),
                    control: Kept::new(device.join("power/control")),
                    status: Kept::new(device.join("power/runtime_status")),
                    idle_ns: 0,
                    rest_ns: 0,
                    gone: false,
                });
            }
        }
    }

    pub(super) fn read(&mut self, elapsed_ns: u64, metrics: &mut Metrics) {
        let mut busiest = None;
        for card in &mut self.cards {
            let busy = card.read(elapsed_ns, &mut self.buffer);
            busiest = busiest.max(busy);
        }
        self.cards.retain(|card| !card.gone);
        metrics.gpu_busy_pct = busiest.map(|busy| busy.min(100) as f64);
    }
}

impl Card {
    fn read(&mut self, elapsed_ns: u64, buffer: &mut Buffer) -> Option<u64> {
        self.rest_ns = self.rest_ns.saturating_sub(elapsed_ns);
        let mut says =
            |file: &mut Kept, word: &[u8]| file.text(buffer).is_some_and(|text| text.trim_ascii() == word);
        if self.rest_ns > 0 || says(&mut self.status, b"suspended") {
            return Some(0);
        }
        let Some(busy) = self.busy.number() else {
            self.gone = true;
            return None;
        };
        if busy > 0 || !says(&mut self.control, b"auto") {
            self.idle_ns = 0;
        } else {
            self.idle_ns = self.idle_ns.saturating_add(elapsed_ns);
            if self.idle_ns >= IDLE_NS {
                self.rest_ns = REST_NS;
            }
        }
        Some(busy)
    }
}
