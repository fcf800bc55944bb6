//! All processes' CPU time: user, nice and system in the first line of `/proc/stat`.
//!
//! Not the sum over `/proc/PID`: that misses processes that begin and end between two listings, and on a
//! machine that compiles they are most of the work. Time in interrupts and time stolen by a hypervisor is no
//! process' time. The unit is the clock tick (10 ms), so that one reading in 100 ms is within 100 ms/s or so;
//! no tick is lost or counted twice.

use std::path::Path;

use super::files::{Buffer, Counter, Kept, fields, number, per_second, value_of};
use crate::sample::Metrics;

pub(super) struct Cpu {
    stat: Kept,
    buffer: Buffer,
    ticks: Counter,
    tick_ns: u64,
    forks: Counter,
    forked: bool,
}

impl Cpu {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            stat: Kept::new(root.join("proc/stat")),
            buffer: Buffer::new(),
            ticks: Counter::default(),
            tick_ns: tick_ns(),
            forks: Counter::default(),
            forked: false,
        }
    }

    /// Whether a process (or a thread: they are counted together) began between the last two reads.
    pub(super) fn forked(&self) -> bool {
        self.forked
    }

    pub(super) fn read(&mut self, elapsed_ns: u64, metrics: &mut Metrics) {
        let text = self.stat.text(&mut self.buffer);
        let forks = text.and_then(|text| value_of(text, b"processes "));
        self.forked = forks.and_then(|forks| self.forks.advance(forks)).is_some_and(|more| more > 0);
        let Some(ticks) = text.and_then(busy_ticks) else {
            self.ticks.forget();
            return;
        };
        metrics.cpu_ms_per_s = self
            .ticks
            .advance(ticks)
            .and_then(|more| per_second(more.saturating_mul(self.tick_ns), elapsed_ns))
            .map(|ns_per_s| ns_per_s / 1e6);
    }
}

/// One tick of the kernel's CPU times, ns.
pub(super) fn tick_ns() -> u64 {
    // SAFETY: sysconf takes no pointer.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    1_000_000_000 / u64::try_from(per_second).ok().filter(|&rate| rate > 0).unwrap_or(100)
}

fn busy_ticks(text: &[u8]) -> Option<u64> {
    let mut times = fields(text.strip_prefix(b"cpu ")?).map(number);
    let (user, nice, system) = (times.next()??, times.next()??, times.next()??);
    user.checked_add(nice)?.checked_add(system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_interrupt_and_stolen_time_is_no_process_time() {
        assert_eq!(busy_ticks(b"cpu  46909 1 7065 211528 1307 5 128 613 0 0\ncpu0 1 1 1"), Some(53_975));
        assert_eq!(busy_ticks(b"cpu0 1 1 1"), None);
        assert_eq!(busy_ticks(b"cpu  1 1"), None);
    }
}
