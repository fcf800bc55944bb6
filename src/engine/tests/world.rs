//! A virtual machine: two clocks, a sampler of its own or in our process, a heartbeat, and the engine. Time
//! passes a millisecond at a step, and only for who runs.

use std::collections::VecDeque;

use crate::clock::Stamp;
use crate::engine::{Beat, Engine, Origin, Settings, Thresholds};
use crate::event::{Episode, Gap, Notice};
use crate::sample::{Activity, Name, Reading, Sample};

pub(super) const MS: u64 = 1_000_000;

/// Duration in ms, to the millisecond.
pub(super) fn ms(ns: u64) -> u64 {
    (ns + MS / 2) / MS
}

pub(super) fn settings(origin: Origin) -> Settings {
    Settings {
        origin,
        nominal_ns: 100 * MS,
        min_duration_ns: 250 * MS,
        threshold_ratio: 2.0,
        tiers: Thresholds { elevated: 15, critical: 50, deescalation_ns: 5_000 * MS },
        peak_tracking_ns: 30_000 * MS,
        max_episode_ns: 3_600_000 * MS,
        ring_ns: 30_000 * MS,
    }
}

/// Who runs while time passes.
#[derive(Clone, Copy)]
pub(super) struct Running {
    pub(super) we: bool,
    pub(super) sampler: bool,
    pub(super) rest: bool,
}

pub(super) const ALL: Running = Running { we: true, sampler: true, rest: true };
pub(super) const NOTHING: Running = Running { we: false, sampler: false, rest: false };

pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) notices: Vec<Notice>,
    pub(super) samples: Vec<Sample>,
    /// The sampler's interval, ms.
    pub(super) interval_ms: u64,
    /// The sampler writes.
    pub(super) sampling: bool,
    /// After a freeze the samples are read before the heartbeat has said that it was late.
    pub(super) samples_first: bool,
    /// Every beat is late by so much: a busy machine.
    pub(super) jitter_ms: u64,
    /// What the next readings hold.
    pub(super) reading: Reading,
    /// The sampler's output holds so many documents; then it waits until they are read.
    pub(super) room: usize,
    /// The kernel's counters are read with every sample.
    pub(super) witness: bool,
    own: bool,
    awake_ms: u64,
    asleep_ms: u64,
    wall_ms: i64,
    beat_due_ms: u64,
    sample_due_ms: u64,
    last_sample_ms: u64,
    queue: VecDeque<u64>,
    switches: u64,
}

impl World {
    pub(super) fn new(origin: Origin) -> Self {
        let mut world = Self {
            engine: Engine::new(settings(origin), 1),
            notices: Vec::new(),
            samples: Vec::new(),
            interval_ms: 100,
            sampling: true,
            samples_first: false,
            jitter_ms: 0,
            reading: Reading::default(),
            room: usize::MAX,
            witness: origin == Origin::Own,
            own: origin == Origin::Own,
            awake_ms: 1_000_000,
            asleep_ms: 500_000,
            wall_ms: 1_700_000_000_000,
            beat_due_ms: 1_000_020,
            sample_due_ms: 1_000_100,
            last_sample_ms: 1_000_000,
            queue: VecDeque::new(),
            switches: 0,
        };
        let now = world.now();
        world.engine.started(&now);
        world
    }

    pub(super) fn now(&self) -> Stamp {
        Stamp {
            awake_ns: self.awake_ms * MS,
            total_ns: (self.awake_ms + self.asleep_ms) * MS,
            unix_ns: self.wall_ms * MS as i64,
        }
    }

    /// Lets time pass, in ms.
    pub(super) fn run(&mut self, ms: u64, running: Running) {
        for _ in 0..ms {
            self.awake_ms += 1;
            self.wall_ms += 1;
            if running.rest && self.awake_ms.is_multiple_of(5) {
                self.switches += 1;
            }
            if running.sampler
                && self.sampling
                && self.awake_ms >= self.sample_due_ms
                && self.queue.len() < self.room
            {
                self.queue.push_back(self.awake_ms - self.last_sample_ms);
                self.last_sample_ms = self.awake_ms;
                self.sample_due_ms = self.awake_ms + self.interval_ms;
            }
            if running.we {
                if self.samples_first {
                    self.deliver();
                    self.beat();
                } else {
                    self.beat();
                    self.deliver();
                }
            }
        }
    }

    /// A second of ordinary life per 1000: enough to learn the interval from 2000 on.
    pub(super) fn live(&mut self, ms: u64) {
        self.run(ms, ALL);
    }

    pub(super) fn freeze(&mut self, ms: u64) {
        self.run(ms, NOTHING);
    }

    /// This process is stopped; the sampler is too where it is ours.
    pub(super) fn stop_us(&mut self, ms: u64) {
        self.run(ms, Running { we: false, sampler: !self.own, rest: true });
    }

    pub(super) fn sleep(&mut self, ms: u64) {
        self.asleep_ms += ms;
        self.wall_ms += ms as i64;
    }

    pub(super) fn step_wall_back(&mut self, ms: i64) {
        self.wall_ms -= ms;
    }

    pub(super) fn step_clock_back(&mut self, ms: u64) {
        // Only this one: the clock that goes on in sleep does go on.
        self.awake_ms -= ms;
        self.asleep_ms += ms;
        self.beat_due_ms = self.beat_due_ms.min(self.awake_ms + 20);
        self.last_sample_ms = self.last_sample_ms.min(self.awake_ms);
        self.sample_due_ms = self.sample_due_ms.min(self.awake_ms + self.interval_ms);
    }

    pub(super) fn sigcont(&mut self) {
        let now = self.now();
        self.engine.continued(now.awake_ns);
    }

    /// The sampler ends and another begins; its first document comes so many ms later.
    pub(super) fn renew(&mut self, ms: u64) {
        let now = self.now();
        self.engine.ended(&now, self.overdue() * MS, &mut self.notices);
        self.engine.started(&now);
        self.queue.clear();
        self.last_sample_ms = self.awake_ms;
        self.sample_due_ms = self.awake_ms + ms;
    }

    /// The supervisor's rule: a source silent for 5 s is ended.
    pub(super) fn end_if_silent(&mut self) -> bool {
        let now = self.now();
        if self.engine.silence_ns(&now, self.overdue() * MS) < 5_000 * MS {
            return false;
        }
        self.engine.ended(&now, self.overdue() * MS, &mut self.notices);
        true
    }

    /// Only the heartbeat's thread runs: nobody reads, nobody samples.
    pub(super) fn beats_only(&mut self, ms: u64) {
        for _ in 0..ms {
            self.awake_ms += 1;
            self.wall_ms += 1;
            self.beat();
        }
    }

    /// The sampler loses the document that it was at: the next one's interval begins now.
    pub(super) fn forget_interval(&mut self) {
        self.last_sample_ms = self.awake_ms;
        self.sample_due_ms = self.awake_ms + self.interval_ms;
    }

    fn overdue(&self) -> u64 {
        self.awake_ms.saturating_sub(self.beat_due_ms)
    }

    fn beat(&mut self) {
        if self.awake_ms < self.beat_due_ms + self.jitter_ms {
            return;
        }
        let delay_ns = self.overdue() * MS;
        let at = self.now();
        self.engine.beat(&Beat { at, delay_ns }, &mut self.notices);
        self.beat_due_ms = (self.awake_ms / 20 + 1) * 20;
    }

    fn deliver(&mut self) {
        let at = self.now();
        if self.witness && !self.queue.is_empty() {
            self.engine
                .activity(&at, Activity { context_switches: self.switches, pressure_us: [Some(0); 3] });
        }
        if self.queue.len() == self.room {
            self.engine.held_up(&at);
        }
        while let Some(elapsed) = self.queue.pop_front() {
            let reading = Reading { elapsed_ns: elapsed * MS, ..self.reading };
            let sample = self.engine.sample(&reading, &at, Some(self.overdue() * MS), &mut self.notices);
            self.samples.push(sample);
        }
        self.engine.poll(&at, self.overdue() * MS, &mut self.notices);
    }

    pub(super) fn gaps(&self) -> Vec<&Gap> {
        self.notices
            .iter()
            .filter_map(|notice| if let Notice::Gap(gap) = notice { Some(gap) } else { None })
            .collect()
    }

    /// The only gap.
    #[track_caller]
    pub(super) fn gap(&self) -> &Gap {
        let gaps = self.gaps();
        assert_eq!(gaps.len(), 1, "{gaps:#?}");
        gaps[0]
    }

    pub(super) fn episodes(&self) -> Vec<(&'static str, &Episode)> {
        self.notices
            .iter()
            .filter_map(|notice| match notice {
                Notice::EpisodeOpened(episode) => Some(("opened", episode)),
                Notice::EpisodeChanged(episode) => Some(("changed", episode)),
                Notice::EpisodeClosed(episode) => Some(("closed", episode)),
                _ => None,
            })
            .collect()
    }

    /// One process pages in so hard from now on; 0 ends it.
    pub(super) fn page_in(&mut self, per_s: f64) {
        self.reading.metrics.pageins_per_s = Some(per_s);
        self.reading.top_pageins.clear();
        self.reading.top_pageins.offer(501, &Name::new("mds_stores"), per_s);
    }
}
