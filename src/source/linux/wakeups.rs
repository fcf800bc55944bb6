//! Wakeups out of idle: the `usage` counts of `/sys/devices/system/cpu/cpu*/cpuidle/state*`, which count how
//! often a CPU went to sleep in that state, and so how often it was woken from it.
//!
//! The state POLL is left out: a CPU in it spins and needs no waking. Where there is no cpuidle (most virtual
//! machines) nothing is reported.
//!
//! Up to [`KEPT_MAX`] files are kept open and read at every tick. A machine with more of them (it has many
//! CPUs) has a tenth read at each tick, opened each time: its figure is the mean of the last second.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::TURNS;
use super::files::{Counter, Kept, entries, is_numbered, per_second, read_number};
use crate::sample::Metrics;

const KEPT_MAX: usize = 128;

pub(super) struct Wakeups {
    cpus: PathBuf,
    states: Vec<State>,
    turn: usize,
}

struct State {
    file: Kept,
    entered: Counter,
    since_ns: u64,
    /// `None` until it was read twice.
    rate: Option<f64>,
    gone: bool,
}

impl Wakeups {
    pub(super) fn new(root: &Path) -> Self {
        let mut wakeups = Self { cpus: root.join("sys/devices/system/cpu"), states: Vec::new(), turn: 0 };
        wakeups.rescan();
        wakeups
    }

    /// Finds the idle states of CPUs that came online.
    pub(super) fn rescan(&mut self) {
        for cpu in entries(&self.cpus, |name| is_numbered(name, "cpu")) {
            for state in entries(&cpu.join("cpuidle"), |name| is_numbered(name, "state")) {
                let usage = state.join("usage");
                let known = self.states.iter().any(|state| *state.file.path() == usage);
                let polls = std::fs::read(state.join("name")).is_ok_and(|name| name.trim_ascii() == b"POLL");
                if !known && !polls {
                    self.states.push(State {
                        file: Kept::new(usage),
                        entered: Counter::default(),
                        since_ns: 0,
                        rate: None,
                        gone: false,
                    });
                }
            }
        }
    }

    pub(super) fn read(&mut self, elapsed_ns: u64, metrics: &mut Metrics) {
        let keep = self.states.len() <= KEPT_MAX;
        self.turn = (self.turn + 1) % TURNS;
        for (index, state) in self.states.iter_mut().enumerate() {
            state.since_ns = state.since_ns.saturating_add(elapsed_ns);
            if keep || index % TURNS == self.turn {
                state.read(keep);
            }
        }
        self.states.retain(|state| !state.gone);
        metrics.idle_wakeups_per_s =
            self.states.iter().filter_map(|state| state.rate).reduce(|sum, rate| sum + rate);
    }
}

impl State {
    fn read(&mut self, keep: bool) {
        let usage = if keep {
            self.file.number()
        } else {
            File::open(self.file.path()).ok().as_ref().and_then(read_number)
        };
        match usage {
            Some(usage) => {
                self.rate = self.entered.advance(usage).and_then(|more| per_second(more, self.since_ns));
                self.since_ns = 0;
            }
            // Its CPU went offline.
            None => self.gone = true,
        }
    }
}
