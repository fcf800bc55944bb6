//! The engine: samples, heartbeats and times in; scored samples, tiers, gaps and episodes out.
//!
//! Pure: it reads no clock and does no I/O, and the same input always gives the same output.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use crate::clock::Stamp;
use crate::event::{EventId, Gap, Notice, TierChange, Told, Verdict};
use crate::sample::{Activity, Reading, Sample, Tier, Top, WakeupsKind};

mod beats;
mod case;
pub mod culprit;
mod episode;
pub mod gap;
pub mod interval;
mod retelling;
pub mod ring;
pub mod stress;
pub mod tier;
mod timeline;
mod witness;

pub use tier::Thresholds;

use case::Observed;
use gap::{Judge, Judgement};
use interval::{Expected, Timing};
use ring::Ring;
use stress::{Inputs, Mean};
use timeline::Timeline;

/// The fast path's interval, ns.
pub const FAST_PATH_NS: u64 = 100_000_000;
/// Without idle wakeups for so long, while interrupt wakeups were seen, those are scored, ns.
const NO_IDLE_WAKEUPS_NS: u64 = 30_000_000_000;

/// Where samples come from, as far as verdicts depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Another process samples, with a clock of its own: powermetrics.
    Child,
    /// This process samples: the Linux source.
    Own,
    /// A recording or a simulation: no clock, no heartbeat but what was recorded.
    Recording,
}

/// What the engine goes by.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Where samples come from.
    pub origin: Origin,
    /// The configured interval, ns; of no meaning in a recording.
    pub nominal_ns: u64,
    /// `pause.min_duration`, ns.
    pub min_duration_ns: u64,
    /// `pause.threshold_ratio`, above 1.2.
    pub threshold_ratio: f64,
    /// The tiers' thresholds.
    pub tiers: Thresholds,
    /// `tiers.peak_tracking`, ns.
    pub peak_tracking_ns: u64,
    /// `tiers.max_episode`, ns.
    pub max_episode_ns: u64,
    /// `ring.seconds`, ns.
    pub ring_ns: u64,
}

/// One beat of the heartbeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beat {
    /// When it woke.
    pub at: Stamp,
    /// How late, ns.
    pub delay_ns: u64,
}

/// The engine.
#[derive(Clone, Debug)]
pub struct Engine {
    settings: Settings,
    next_id: EventId,
    seq: u64,
    timeline: Timeline,
    last_arrival_ns: Option<u64>,
    last_unix_ns: i64,
    expected: Expected,
    /// The next complete sample is the first after a start, a restart or a wake.
    first: bool,
    /// The last sample was of the fast path.
    degraded: bool,
    beats: SinceSample,
    io: Mean,
    idle_wakeups: Mean,
    intr_wakeups: Mean,
    pageins: Mean,
    wakeups: WakeupsScored,
    ladder: tier::Ladder,
    judge: Judge,
    ring: Ring,
    episode: Option<episode::Open>,
    /// The last episode that was closed: its event, its start and its end on the time line, ns. A gap may be judged
    /// after the episode it fell into.
    closed: Option<(EventId, u64, u64)>,
}

/// The heartbeat since the last sample.
#[derive(Clone, Copy, Debug, Default)]
struct SinceSample {
    /// The greatest delay, ns; `None` before the first beat ever.
    greatest_ns: Option<u64>,
    /// A beat that was overdue when the last sample came: when it was due, and what was reported of it, ns.
    reported: Option<(u64, u64)>,
}

impl SinceSample {
    /// What has not been told yet of the delay of the beat that was due at `due_ns`: a sample that comes
    /// before the beat tells how long it is overdue, and no later one tells that again.
    fn untold(&self, due_ns: u64, delay_ns: u64) -> u64 {
        match self.reported {
            Some((due, told)) if due.abs_diff(due_ns) < gap::BEAT_NS / 2 => delay_ns.saturating_sub(told),
            _ => delay_ns,
        }
    }
}

/// Which wakeups are scored.
#[derive(Clone, Copy, Debug, Default)]
struct WakeupsScored {
    kind: WakeupsKind,
    without_idle_ns: u64,
    interrupts_seen: bool,
}

impl WakeupsScored {
    fn step(&mut self, reading: &Reading) -> WakeupsKind {
        let seen = |rate: Option<f64>| rate.is_some_and(|rate| rate > 0.0);
        if let Some(kind) = reading.wakeups_kind {
            self.kind = kind;
        } else if seen(reading.metrics.idle_wakeups_per_s) {
            *self = Self::default();
        } else if !reading.degraded {
            self.without_idle_ns = self.without_idle_ns.saturating_add(reading.elapsed_ns);
            self.interrupts_seen |= seen(reading.metrics.intr_wakeups_per_s);
            if self.without_idle_ns >= NO_IDLE_WAKEUPS_NS && self.interrupts_seen {
                self.kind = WakeupsKind::Interrupt;
            }
        }
        self.kind
    }
}

impl Engine {
    /// An engine whose events are numbered from `first_id` on.
    #[must_use]
    pub fn new(settings: Settings, first_id: EventId) -> Self {
        let nominal = (settings.origin != Origin::Recording).then_some(settings.nominal_ns);
        Self {
            settings,
            next_id: first_id,
            seq: 0,
            timeline: Timeline::default(),
            last_arrival_ns: None,
            last_unix_ns: 0,
            expected: Expected::new(nominal),
            first: true,
            degraded: false,
            beats: SinceSample::default(),
            io: Mean::default(),
            idle_wakeups: Mean::default(),
            intr_wakeups: Mean::default(),
            pageins: Mean::default(),
            wakeups: WakeupsScored::default(),
            ladder: tier::Ladder::default(),
            judge: Judge::default(),
            ring: Ring::new(settings.ring_ns),
            episode: None,
            closed: None,
        }
    }

    /// Takes new thresholds: the configuration was read again. Where samples come from, their interval and
    /// the ring's length stay as they are.
    pub fn configure(&mut self, settings: &Settings) {
        let Settings { origin, nominal_ns, ring_ns, .. } = self.settings;
        self.settings = Settings { origin, nominal_ns, ring_ns, ..*settings };
    }

    /// Numbers events from `id` on where the next number is below that.
    pub fn reserve_ids(&mut self, id: EventId) {
        self.next_id = self.next_id.max(id);
    }

    /// The present tier.
    #[must_use]
    pub fn tier(&self) -> Tier {
        self.ladder.tier()
    }

    /// The interval expected now, ns; `None` in a recording of which nothing is known yet.
    #[must_use]
    pub fn expected_ns(&self) -> Option<u64> {
        self.expected.expected_ns()
    }

    /// The heartbeat woke.
    pub fn beat(&mut self, beat: &Beat, notices: &mut Vec<Notice>) {
        let at_ns = self.advance(&beat.at);
        let due_ns = at_ns.saturating_sub(beat.delay_ns);
        let untold = self.beats.untold(due_ns, beat.delay_ns);
        self.beats.reported = None;
        self.beats.greatest_ns = Some(self.beats.greatest_ns.unwrap_or(0).max(untold));
        let (expected_ns, rules) = (self.expected_or_nominal(), self.rules());
        let sleep = self.judge.beat(at_ns, beat.at.unix_ns, beat.delay_ns, expected_ns, &rules);
        self.report(sleep, notices);
        self.decide(at_ns, false, notices);
    }

    /// The kernel's counters as they stood at `at`.
    pub fn activity(&mut self, at: &Stamp, activity: Activity) {
        let at_ns = self.advance(at);
        self.judge.activity(at_ns, activity);
    }

    /// SIGCONT came when the clock that stops in sleep stood at `awake_ns`.
    pub fn continued(&mut self, awake_ns: u64) {
        let expected_ns = self.expected_or_nominal();
        self.judge.continued(self.timeline.locate(awake_ns), expected_ns);
    }

    /// The sampler's output was found full: up to now it may have waited for us to read it.
    pub fn held_up(&mut self, at: &Stamp) {
        let at_ns = self.advance(at);
        self.judge.held_up(at_ns);
    }

    /// A recording says what was made of a gap when it happened: that counts.
    pub fn told(&mut self, told: Told) {
        self.judge.told(told);
    }

    /// The source was started: the next sample is the first.
    pub fn started(&mut self, at: &Stamp) {
        let at_ns = self.advance(at);
        self.judge.started(at_ns);
        self.restart();
    }

    /// The source ended, or was ended: silence up to now is a stall where it was long enough.
    pub fn ended(&mut self, at: &Stamp, overdue_ns: u64, notices: &mut Vec<Notice>) {
        let at_ns = self.advance(at);
        let (expected_ns, rules) = (self.expected_or_nominal(), self.rules());
        let stall = self.judge.ended(at_ns, at.unix_ns, overdue_ns, expected_ns, &rules);
        self.report(stall, notices);
        self.restart();
    }

    /// How long the source has been silent while the heartbeat ran, ns.
    pub fn silence_ns(&mut self, now: &Stamp, overdue_ns: u64) -> u64 {
        let now_ns = self.advance(now);
        self.judge.silence_ns(now_ns, overdue_ns)
    }

    /// Time passed and nothing came: decides what waited for that. `overdue_ns` is how late the next heartbeat is
    /// already.
    pub fn poll(&mut self, now: &Stamp, overdue_ns: u64, notices: &mut Vec<Notice>) {
        let now_ns = self.advance(now);
        self.decide(now_ns.saturating_sub(overdue_ns), false, notices);
    }

    /// Nothing more will come: open cases are decided, an open episode is closed.
    pub fn finish(&mut self, now: &Stamp, notices: &mut Vec<Notice>) {
        let now_ns = self.advance(now);
        self.decide(now_ns, true, notices);
        self.tell_alone(now_ns, now.unix_ns, true, notices);
        if let Some(open) = self.episode.take() {
            open.end(now_ns, now.unix_ns, false, notices);
        }
    }

    /// Takes a reading that arrived at `at`. `overdue_ns` is how late the next heartbeat is already, `None`
    /// without a heartbeat. What it leads to besides the sample is appended to `notices`.
    pub fn sample(
        &mut self,
        reading: &Reading,
        at: &Stamp,
        overdue_ns: Option<u64>,
        notices: &mut Vec<Notice>,
    ) -> Sample {
        let at_ns = self.advance(at);
        if reading.degraded != self.degraded {
            self.degraded = reading.degraded;
            self.restart();
        }
        let first = std::mem::take(&mut self.first);
        let timing = self.timing(reading, first);
        let began_ns = at_ns.saturating_sub(reading.elapsed_ns).min(self.last_arrival_ns.unwrap_or(at_ns));
        let overdue = overdue_ns.unwrap_or(0);
        let greatest_delay_ns = self.judge.greatest_delay(began_ns, overdue);
        let heartbeat_ns = self.heartbeat(at_ns, overdue_ns);
        let lateness = match heartbeat_ns {
            None => timing.ratio,
            Some(_) => timing.ratio.min(1.0 + greatest_delay_ns as f64 / timing.expected_ns as f64),
        };
        let wakeups_kind = self.wakeups.step(reading);
        let stress = self.score(reading, lateness, wakeups_kind);
        self.seq += 1;
        let mut sample = Sample {
            seq: self.seq,
            time_ns: at.unix_ns,
            interval_ns: match self.settings.origin {
                Origin::Recording => None,
                _ => self.last_arrival_ns.map(|last| at_ns.saturating_sub(last)),
            },
            elapsed_ns: reading.elapsed_ns,
            expected_ns: timing.expected_ns,
            latency_ratio: timing.ratio,
            heartbeat_ns,
            tier: self.ladder.tier(),
            degraded: reading.degraded,
            stress,
            metrics: reading.metrics,
            wakeups_kind,
            top: Top {
                cpu: reading.top_cpu,
                pageins: reading.top_pageins,
                wakeups: match wakeups_kind {
                    WakeupsKind::Idle => reading.top_idle_wakeups,
                    WakeupsKind::Interrupt => reading.top_intr_wakeups,
                },
                diskio: reading.top_diskio,
            },
            sampler_cpu_ms_per_s: reading.sampler_cpu_ms_per_s,
        };
        let from = self.ladder.tier();
        sample.tier =
            self.ladder.step(stress.total(), reading.elapsed_ns, reading.degraded, &self.settings.tiers);
        self.last_arrival_ns = Some(at_ns);
        self.last_unix_ns = at.unix_ns;
        self.ring.push(at_ns, &sample);
        self.follow(at_ns, &sample, from, notices);
        let observed = Observed {
            seq: sample.seq,
            at_ns,
            unix_ns: at.unix_ns,
            interval_ns: reading.elapsed_ns,
            expected_ns: timing.expected_ns,
            late: timing.late,
            first,
            degraded: reading.degraded,
            held_up: timing.late && self.judge.was_held_up(at_ns.saturating_sub(reading.elapsed_ns)),
        };
        let rules = self.rules();
        let judgement = self.judge.sample(&observed, overdue, heartbeat_ns.is_some(), &rules);
        self.report(judgement, notices);
        // The reading may be older than what was told since.
        self.decide(at_ns.saturating_sub(overdue), false, notices);
        self.tell_alone(at_ns, at.unix_ns, false, notices);
        sample
    }

    /// Moves time on; where the clocks say that the machine slept, the next sample is a first one.
    fn advance(&mut self, stamp: &Stamp) -> u64 {
        let moment = self.timeline.advance(stamp);
        if moment.asleep_ns > 0 {
            self.judge.woke(moment);
            self.first = true;
        }
        moment.at_ns
    }

    /// The next sample follows nothing.
    fn restart(&mut self) {
        self.first = true;
        for mean in [&mut self.io, &mut self.idle_wakeups, &mut self.intr_wakeups, &mut self.pageins] {
            mean.clear();
        }
    }

    fn timing(&mut self, reading: &Reading, first: bool) -> Timing {
        let threshold = self.settings.threshold_ratio;
        if reading.degraded {
            // The fast path keeps its own interval and teaches nothing of the sampler's.
            let ratio = if first { 1.0 } else { reading.elapsed_ns as f64 / FAST_PATH_NS as f64 };
            return Timing { expected_ns: FAST_PATH_NS, ratio, late: ratio > threshold };
        }
        self.expected.judge(reading.elapsed_ns, first, threshold)
    }

    /// The greatest heartbeat delay since the last sample; what is overdue now is told now, and not again.
    fn heartbeat(&mut self, at_ns: u64, overdue_ns: Option<u64>) -> Option<u64> {
        let overdue = overdue_ns.unwrap_or(0);
        let greatest = self.beats.greatest_ns.take().or(overdue_ns);
        let untold = self.beats.untold(at_ns.saturating_sub(overdue), overdue);
        if overdue > 0 {
            self.beats.reported = Some((at_ns.saturating_sub(overdue), overdue));
        }
        if self.settings.origin != Origin::Recording {
            self.beats.greatest_ns = overdue_ns.map(|_| 0);
        }
        greatest.map(|greatest| greatest.max(untold))
    }

    fn score(&mut self, reading: &Reading, lateness: f64, kind: WakeupsKind) -> crate::sample::Stress {
        let metrics = &reading.metrics;
        let interval = reading.elapsed_ns;
        let io = self.io.push(interval, metrics.io_per_s());
        let idle = self.idle_wakeups.push(interval, metrics.idle_wakeups_per_s);
        let interrupt = self.intr_wakeups.push(interval, metrics.intr_wakeups_per_s);
        let inputs = Inputs {
            lateness: Some(lateness),
            io_mib_per_s: io.map(|bytes| bytes / 1_048_576.0),
            wakeups_per_s: match kind {
                WakeupsKind::Idle => idle,
                WakeupsKind::Interrupt => interrupt,
            },
            wakeups_kind: kind,
            pageins_per_s: self.pageins.push(interval, metrics.pageins_per_s),
            ..Inputs::from_metrics(metrics)
        };
        stress::score(&inputs, self.settings.threshold_ratio)
    }

    /// What the sample's tier means for the episode.
    fn follow(&mut self, at_ns: u64, sample: &Sample, from: Tier, notices: &mut Vec<Notice>) {
        let rules = self.episode_rules();
        if let Some(open) = &mut self.episode {
            open.step(at_ns, sample, &self.ring, &rules, notices);
        } else if sample.tier > Tier::Sentinel {
            let id = take_id(&mut self.next_id);
            self.episode = Some(episode::Open::begin(id, at_ns, sample, &self.ring, notices));
        }
        let Some(open) = &self.episode else { return };
        if sample.tier != from {
            notices.push(Notice::Tier(TierChange {
                time_ns: sample.time_ns,
                from,
                to: sample.tier,
                stress: sample.stress.total(),
                episode: open.id(),
            }));
        }
        let over = sample.tier == Tier::Sentinel;
        if over || open.too_long(at_ns, &rules) {
            if let Some(open) = self.episode.take() {
                self.closed = Some((open.id(), open.start_ns(), at_ns));
                open.end(at_ns, sample.time_ns, !over, notices);
            }
            if !over {
                let id = take_id(&mut self.next_id);
                self.episode = Some(episode::Open::begin(id, at_ns, sample, &self.ring, notices));
            }
        }
    }

    /// Decides every open case that can be decided, by a heartbeat that is known to have run up to then.
    fn decide(&mut self, ran_to_ns: u64, closing: bool, notices: &mut Vec<Notice>) {
        let (now_ns, expected_ns, rules) = (self.timeline.now_ns(), self.expected_or_nominal(), self.rules());
        while let Some(judgement) = self.judge.decide(now_ns, ran_to_ns, expected_ns, closing, &rules) {
            self.report(Some(judgement), notices);
        }
    }

    /// Tells the gaps of a recording that its samples do not show.
    fn tell_alone(&mut self, at_ns: u64, unix_ns: i64, closing: bool, notices: &mut Vec<Notice>) {
        let rules = self.rules();
        while let Some(judgement) = self.judge.told_alone(at_ns, unix_ns, closing, &rules) {
            // The first sample after it, where there is one.
            let after = self.ring.iter().find(|entry| entry.at_ns >= judgement.end_ns);
            let seq = after.map(|entry| entry.sample.seq);
            self.report(Some(Judgement { seq, ..judgement }), notices);
        }
    }

    /// Makes a gap of a judgement.
    fn report(&mut self, judgement: Option<Judgement>, notices: &mut Vec<Notice>) {
        let Some(judgement) = judgement else { return };
        let Judgement { verdict, duration_ns, asleep_ns, .. } = judgement;
        // Time asleep is part of a sleep's duration, and comes on top of any other's.
        let lost_ns =
            if verdict == Verdict::Sleep { asleep_ns } else { duration_ns.saturating_add(asleep_ns) };
        let started_ns = judgement.ended_unix_ns.saturating_sub(i64::try_from(lost_ns).unwrap_or(i64::MAX));
        let end_seq = judgement.seq.unwrap_or(self.seq);
        // The most stressed sample in it, else the last before.
        let worst = self
            .ring
            .up_to(end_seq)
            .rev()
            .take_while(|entry| entry.at_ns >= judgement.start_ns)
            .max_by_key(|entry| (entry.sample.stress.total(), entry.sample.seq))
            .or_else(|| self.ring.last())
            .map(|entry| (entry.sample.stress, entry.sample.tier))
            .unwrap_or_default();
        if verdict == Verdict::Pause
            && let Some(open) = &mut self.episode
            && judgement.seq == Some(open.opening_seq())
        {
            open.begun_by_pause(judgement.start_ns, started_ns, notices);
        }
        let is_event = verdict != Verdict::Sleep;
        notices.push(Notice::Gap(Gap {
            id: is_event.then(|| take_id(&mut self.next_id)),
            verdict,
            certain: judgement.certain,
            started_ns,
            ended_ns: judgement.ended_unix_ns,
            duration_ns,
            asleep_ns,
            seq: judgement.seq,
            episode: self.episode_of(judgement.start_ns, judgement.end_ns),
            stress: worst.0,
            tier: worst.1,
            culprits: if is_event { culprit::culprits(self.ring.up_to(end_seq)) } else { Vec::new() },
        }));
    }

    /// The episode that a gap fell into.
    fn episode_of(&self, start_ns: u64, end_ns: u64) -> Option<EventId> {
        let open = self.episode.as_ref().filter(|open| open.start_ns() <= end_ns).map(episode::Open::id);
        let closed = self.closed.filter(|(_, start, end)| *start <= end_ns && *end >= start_ns);
        open.or_else(|| closed.map(|(id, ..)| id))
    }

    fn expected_or_nominal(&self) -> u64 {
        self.expected.expected_ns().unwrap_or(self.settings.nominal_ns)
    }

    fn rules(&self) -> gap::Rules {
        gap::Rules {
            min_duration_ns: self.settings.min_duration_ns,
            threshold_ratio: self.settings.threshold_ratio,
            external: self.settings.origin != Origin::Own,
            recorded: self.settings.origin == Origin::Recording,
        }
    }

    fn episode_rules(&self) -> episode::Rules {
        episode::Rules {
            peak_tracking_ns: self.settings.peak_tracking_ns,
            max_episode_ns: self.settings.max_episode_ns,
        }
    }
}

fn take_id(next: &mut EventId) -> EventId {
    let id = *next;
    *next += 1;
    id
}

#[cfg(test)]
mod tests;
