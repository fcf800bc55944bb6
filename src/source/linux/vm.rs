//! Page-ins: `pgmajfault` in `/proc/vmstat`, the faults that had to wait for a disk. From files or from swap.

use std::path::Path;

use super::files::{Buffer, Counter, Kept, per_second, value_of};
use crate::sample::Metrics;

pub(super) struct Pageins {
    vmstat: Kept,
    buffer: Buffer,
    faults: Counter,
}

impl Pageins {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            vmstat: Kept::new(root.join("proc/vmstat")),
            buffer: Buffer::new(),
            faults: Counter::default(),
        }
    }

    pub(super) fn read(&mut self, elapsed_ns: u64, metrics: &mut Metrics) {
        let text = self.vmstat.text(&mut self.buffer);
        let Some(faults) = text.and_then(|text| value_of(text, b"pgmajfault ")) else {
            self.faults.forget();
            return;
        };
        metrics.pageins_per_s = self.faults.advance(faults).and_then(|more| per_second(more, elapsed_ns));
    }
}
