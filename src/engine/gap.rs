//! Gaps and their verdicts: who stood still, and for how long.
//!
//! A late heartbeat opens a case. Samples and witnesses that follow decide it; ARCHITECTURE.md draws the state
//! machine. All times are ns on the engine's own time line unless they say otherwise.

use std::collections::VecDeque;

use crate::event::{Told, Verdict};
use crate::sample::Activity;

use super::beats::Beats;
use super::case::{Case, LEAST_SAMPLES, Late, Observed};
use super::retelling::{Retelling, is_of};
use super::timeline::Moment;
use super::witness::Witness;

/// The heartbeat's period, ns.
pub const BEAT_NS: u64 = 20_000_000;
/// A gap that no sample follows is reported so long after the heartbeat woke, ns.
const PATIENCE_NS: u64 = 2_000_000_000;
/// What begins so soon after a wake is still the waking, and a delay so long is more than that, ns.
const WAKING_NS: u64 = 5_000_000_000;
/// A sampler that was started and has written nothing yet may take so long, ns: below that it is no stall.
const STARTING_NS: u64 = 5_000_000_000;
/// Cases open at once; more than that are put together.
const MOST_CASES: usize = 16;
/// Samples remembered: as many as the sampler's pipe can have held back, and some.
const ARRIVALS: usize = 64;

/// What the judge goes by.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// `pause.min_duration`, ns.
    pub min_duration_ns: u64,
    /// `pause.threshold_ratio`.
    pub threshold_ratio: f64,
    /// The sampler is another process, so its samples can witness that the rest went on.
    pub external: bool,
    /// It is a recording: what was made of a gap when it happened may follow, and counts.
    pub recorded: bool,
}

/// A decided case.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    /// Whose fault.
    pub verdict: Verdict,
    /// Confirmed by a second witness.
    pub certain: bool,
    /// When it began.
    pub start_ns: u64,
    /// When it ended.
    pub end_ns: u64,
    /// When it ended, Unix ns.
    pub ended_unix_ns: i64,
    /// Time lost; for sleep, time asleep.
    pub duration_ns: u64,
    /// Time asleep in it.
    pub asleep_ns: u64,
    /// The sample that ended it; `None` where none came.
    pub seq: Option<u64>,
}

impl Judgement {
    /// The same, as a recording would tell it.
    fn as_told(&self) -> Told {
        Told {
            verdict: self.verdict,
            certain: self.certain,
            ended_ns: self.ended_unix_ns,
            duration_ns: self.duration_ns,
        }
    }

    /// As it was told when it happened: the samples lack what decided it, and most of its beats.
    fn told(self, told: &Told) -> Self {
        let earlier_ns = u64::try_from(self.ended_unix_ns.saturating_sub(told.ended_ns)).unwrap_or(0);
        let end_ns = self.end_ns.saturating_sub(earlier_ns);
        let asleep = told.verdict == Verdict::Sleep;
        Self {
            verdict: told.verdict,
            certain: told.certain,
            start_ns: end_ns.saturating_sub(if asleep { 0 } else { told.duration_ns }),
            end_ns,
            ended_unix_ns: told.ended_ns,
            duration_ns: told.duration_ns,
            asleep_ns: if asleep { told.duration_ns } else { self.asleep_ns },
            seq: self.seq,
        }
    }
}

/// The judge.
#[derive(Clone, Debug)]
pub struct Judge {
    cases: Vec<Case>,
    /// The last samples, newest last: some may have come before the late heartbeat that opens a case.
    arrivals: VecDeque<Observed>,
    beats: Beats,
    witness: Witness,
    /// What a recording says of its gaps.
    retelling: Retelling,
    /// When the last sample came, complete or not.
    last_arrival_ns: u64,
    /// Time asleep that no beat has accounted for yet.
    slept_ns: u64,
    woke_at_ns: Option<u64>,
    continued_at_ns: Option<u64>,
    /// When the sampler's output was last found full.
    held_up_at_ns: Option<u64>,
    /// When the last complete sample came, or the source was started.
    last_sample_ns: u64,
    /// A complete sample has come since the last silence that was a stall; before the first one ever nothing is missed.
    heard: bool,
    /// A complete sample has come since the source was started.
    heard_since_start: bool,
}

impl Default for Judge {
    fn default() -> Self {
        Self {
            cases: Vec::with_capacity(MOST_CASES),
            arrivals: VecDeque::with_capacity(ARRIVALS),
            beats: Beats::default(),
            witness: Witness::default(),
            retelling: Retelling::default(),
            last_arrival_ns: 0,
            slept_ns: 0,
            woke_at_ns: None,
            continued_at_ns: None,
            held_up_at_ns: None,
            last_sample_ns: 0,
            heard: false,
            heard_since_start: false,
        }
    }
}

impl Judge {
    /// The clocks say that the machine slept until this moment.
    pub fn woke(&mut self, moment: Moment) {
        self.slept_ns = self.slept_ns.saturating_add(moment.asleep_ns);
        self.woke_at_ns = Some(moment.at_ns);
    }

    /// SIGCONT came: somebody had stopped this process.
    pub fn continued(&mut self, at_ns: u64, expected_ns: u64) {
        // It may belong to a case that is open, or to one whose late beat is still to be told of.
        self.continued_at_ns = Some(at_ns);
        for case in &mut self.cases {
            case.continued |= case.is_continued_at(at_ns, expected_ns);
        }
    }

    /// The sampler's output was found full: up to now it may have waited for us.
    pub fn held_up(&mut self, at_ns: u64) {
        self.held_up_at_ns = Some(at_ns);
    }

    /// Whether a late sample whose interval began then may be late because it had to wait for us.
    #[must_use]
    pub fn was_held_up(&self, began_ns: u64) -> bool {
        self.held_up_at_ns.is_some_and(|at_ns| began_ns < at_ns)
    }

    /// The kernel's counters at a moment.
    pub fn activity(&mut self, at_ns: u64, activity: Activity) {
        self.witness.push(at_ns, activity);
    }

    /// A recording says what was made of a gap.
    pub fn told(&mut self, told: Told) {
        self.retelling.told(told);
    }

    /// A gap of a recording as it was told, where it was; else as it is judged, and it may still be told. `slack_ns`: it
    /// may have been so much earlier.
    fn as_told(&mut self, judgement: Judgement, slack_ns: u64, rules: &Rules) -> Judgement {
        if !rules.recorded {
            return judgement;
        }
        let told = self.retelling.take(judgement.as_told(), slack_ns);
        told.map_or(judgement, |told| judgement.told(&told))
    }

    /// What was told of a gap that the samples do not show, as none came after it or the sampler was started anew, once
    /// they are past it; call it until there is none. `at_ns` is now, `unix_ns` too; `closing`: nothing more will come.
    pub fn told_alone(
        &mut self,
        at_ns: u64,
        unix_ns: i64,
        closing: bool,
        rules: &Rules,
    ) -> Option<Judgement> {
        let cases = &self.cases;
        let of_a_case = |told: &Told| cases.iter().any(|case| is_of(told, &case.found(), case.slack_ns));
        let passed_ns = if closing { None } else { Some(PATIENCE_NS) };
        let told = self.retelling.take_alone(unix_ns, passed_ns, rules.min_duration_ns, of_a_case)?;
        let now = Judgement {
            verdict: told.verdict,
            certain: told.certain,
            start_ns: at_ns,
            end_ns: at_ns,
            ended_unix_ns: unix_ns,
            duration_ns: told.duration_ns,
            asleep_ns: 0,
            seq: None,
        };
        Some(now.told(&told))
    }

    /// The heartbeat woke at `at_ns`, so late. Sleep without lateness is decided here.
    pub fn beat(
        &mut self,
        at_ns: u64,
        unix_ns: i64,
        delay_ns: u64,
        expected_ns: u64,
        rules: &Rules,
    ) -> Option<Judgement> {
        self.beats.push(at_ns, delay_ns);
        // A beat from before the wake says nothing of the sleep.
        let asleep_ns = match self.woke_at_ns {
            Some(woke) if at_ns >= woke => std::mem::take(&mut self.slept_ns),
            _ => 0,
        };
        if delay_ns < rules.min_duration_ns {
            let sleep = (asleep_ns > 0).then_some(Judgement {
                verdict: Verdict::Sleep,
                certain: true,
                start_ns: at_ns,
                end_ns: at_ns,
                ended_unix_ns: unix_ns,
                duration_ns: asleep_ns,
                asleep_ns,
                seq: None,
            });
            return sleep.map(|sleep| self.as_told(sleep, 0, rules));
        }
        // It began between two wakes: half a period before the one that it made late.
        let start_ns = at_ns.saturating_sub(delay_ns + BEAT_NS / 2);
        let due_ns = at_ns.saturating_sub(delay_ns);
        // A recording has one beat a sample, the latest one, at the sample's time.
        let slack_ns = if rules.recorded { at_ns.saturating_sub(self.last_arrival_ns) } else { 0 };
        let full = self.cases.len() == MOST_CASES;
        match self.cases.last_mut() {
            Some(case) if full || due_ns.saturating_sub(case.end_ns) < expected_ns => {
                case.delays_ns = case.delays_ns.saturating_add(delay_ns);
                case.between_ns += due_ns.saturating_sub(case.end_ns).min(BEAT_NS) / 2;
                case.asleep_ns = case.asleep_ns.saturating_add(asleep_ns);
                case.end_ns = at_ns;
                case.ended_unix_ns = unix_ns;
                case.take_after();
                case.continued |=
                    self.continued_at_ns.is_some_and(|at| case.is_continued_at(at, expected_ns));
            }
            _ => {
                let mut case = Case {
                    start_ns,
                    end_ns: at_ns,
                    ended_unix_ns: unix_ns,
                    delays_ns: delay_ns,
                    between_ns: BEAT_NS / 2,
                    asleep_ns,
                    slack_ns,
                    after: Late::default(),
                    late: Late::default(),
                    first_seq: None,
                    on_time: 0,
                    on_time_ns: 0,
                    restarted: false,
                    continued: false,
                    filled: false,
                };
                case.continued = self.continued_at_ns.is_some_and(|at| case.is_continued_at(at, expected_ns));
                for observed in &self.arrivals {
                    case.hear(observed);
                }
                self.cases.push(case);
            }
        }
        None
    }

    /// The greatest heartbeat delay in a span of time, counting what is overdue now.
    #[must_use]
    pub fn greatest_delay(&self, from_ns: u64, overdue_ns: u64) -> u64 {
        self.beats.since(from_ns).map(|(_, delay)| delay).max().unwrap_or(0).max(overdue_ns)
    }

    /// A sample came. A late one while the heartbeat ran is decided here; all others bear witness in the
    /// open cases. `overdue_ns` is how late the next heartbeat is already; `live` is false in a recording
    /// that has no heartbeat.
    pub fn sample(
        &mut self,
        observed: &Observed,
        overdue_ns: u64,
        live: bool,
        rules: &Rules,
    ) -> Option<Judgement> {
        let begin_ns = observed.began_ns();
        for case in &mut self.cases {
            case.hear(observed);
        }
        if self.arrivals.len() == ARRIVALS {
            self.arrivals.pop_front();
        }
        self.arrivals.push_back(*observed);
        self.last_arrival_ns = observed.at_ns;
        self.retelling.sample(observed.unix_ns, observed.interval_ns);
        if !observed.degraded {
            self.last_sample_ns = observed.at_ns;
            self.heard = true;
            self.heard_since_start = true;
        }
        // What waited for us stood still because we did.
        if !observed.late || observed.first || observed.degraded || observed.held_up {
            return None;
        }
        let lateness_ns = observed.interval_ns.saturating_sub(observed.expected_ns);
        let judgement = |verdict, duration_ns, asleep_ns| Judgement {
            verdict,
            certain: true,
            start_ns: observed.at_ns.saturating_sub(lateness_ns),
            end_ns: observed.at_ns,
            ended_unix_ns: observed.unix_ns,
            duration_ns,
            asleep_ns,
            seq: Some(observed.seq),
        };
        if !live {
            // Without a heartbeat there is no second clock: the recording itself is late.
            let pause =
                (lateness_ns >= rules.min_duration_ns).then(|| judgement(Verdict::Pause, lateness_ns, 0));
            return pause.map(|pause| self.as_told(pause, 0, rules));
        }
        let duration_ns = lateness_ns
            .saturating_sub(self.beats.inside(begin_ns, observed.at_ns))
            .saturating_sub(overdue_ns);
        // A recording has one beat a sample: what others of a gap were late by can't be taken off.
        let of_a_gap =
            rules.recorded && self.beats.is_held_up(begin_ns, observed.at_ns, rules.min_duration_ns);
        if duration_ns < rules.min_duration_ns || of_a_gap {
            return None;
        }
        let judgement = match self.woke_at_ns {
            // Its interval reaches back into the sleep, and may or may not include it.
            Some(woke) if begin_ns < woke => return None,
            Some(woke) if begin_ns - woke < WAKING_NS && duration_ns < WAKING_NS => {
                judgement(Verdict::Sleep, 0, 0)
            }
            _ => judgement(Verdict::Stall, duration_ns, 0),
        };
        Some(self.as_told(judgement, 0, rules))
    }

    /// How long no sample has come while the heartbeat ran, ns.
    #[must_use]
    pub fn silence_ns(&self, now_ns: u64, overdue_ns: u64) -> u64 {
        now_ns
            .saturating_sub(self.last_sample_ns)
            .saturating_sub(self.beats.inside(self.last_sample_ns, now_ns))
            .saturating_sub(overdue_ns)
    }

    /// Samples are due from here on: the source has just been started.
    pub fn started(&mut self, now_ns: u64) {
        self.last_sample_ns = now_ns;
        self.heard_since_start = false;
    }

    /// The sampler was ended, or ended: the silence before that is a stall where it is long enough.
    pub fn ended(
        &mut self,
        now_ns: u64,
        unix_ns: i64,
        overdue_ns: u64,
        expected_ns: u64,
        rules: &Rules,
    ) -> Option<Judgement> {
        let silence_ns = self.silence_ns(now_ns, overdue_ns);
        let duration_ns = silence_ns.saturating_sub(expected_ns);
        let late = silence_ns as f64 > expected_ns as f64 * rules.threshold_ratio;
        let least_ns = if self.heard_since_start {
            rules.min_duration_ns
        } else {
            rules.min_duration_ns.max(STARTING_NS)
        };
        let begin_ns = std::mem::replace(&mut self.last_sample_ns, now_ns);
        // The going down and the waking: the sleep itself is counted by the heartbeat.
        let waking = self.woke_at_ns.is_some_and(|woke| begin_ns < woke.saturating_add(WAKING_NS));
        if waking && duration_ns < WAKING_NS {
            return None;
        }
        // One that hangs again and again is silent once: what follows is the same silence.
        let stalled = late && duration_ns >= least_ns && std::mem::take(&mut self.heard);
        stalled.then_some(Judgement {
            verdict: Verdict::Stall,
            certain: true,
            start_ns: now_ns.saturating_sub(duration_ns),
            end_ns: now_ns,
            ended_unix_ns: unix_ns,
            duration_ns,
            asleep_ns: 0,
            seq: None,
        })
    }

    /// Decides the oldest case where that can be done now; call it until it has none. `ran_to_ns`: up
    /// to when the heartbeat is known to have run. `closing`: nothing more will come.
    pub fn decide(
        &mut self,
        now_ns: u64,
        ran_to_ns: u64,
        expected_ns: u64,
        closing: bool,
        rules: &Rules,
    ) -> Option<Judgement> {
        let case = *self.cases.first()?;
        // Another late heartbeat may still belong to it, the one that is overdue now among them, and SIGCONT may
        // still be on its way.
        let ran_ns = ran_to_ns.saturating_sub(case.end_ns);
        let settled = ran_ns >= expected_ns;
        if !settled && !closing {
            return None;
        }
        let heard_out = ran_ns >= PATIENCE_NS;
        let is_told = self.retelling.knows(&case.found(), case.slack_ns);
        // It may still be told: as late as it was decided.
        if rules.recorded && !is_told && !heard_out && !closing {
            return None;
        }
        let (verdict, certain) = match self.verdict(&case, now_ns, expected_ns, heard_out, rules) {
            Some(verdict) => verdict,
            // More could have been heard.
            None if closing || is_told => (Verdict::Pause, false),
            None => return None,
        };
        self.cases.remove(0);
        let judgement = Judgement {
            verdict,
            certain,
            start_ns: case.start_ns,
            end_ns: case.end_ns,
            ended_unix_ns: case.ended_unix_ns,
            duration_ns: match verdict {
                Verdict::Sleep => case.asleep_ns,
                _ => case.delays_ns.saturating_add(case.between_ns),
            },
            asleep_ns: case.asleep_ns,
            seq: case.late.seq.or(case.first_seq),
        };
        Some(self.as_told(judgement, case.slack_ns, rules))
    }

    /// The verdict and whether it is certain; `None` while more has to be heard.
    fn verdict(
        &self,
        case: &Case,
        now_ns: u64,
        expected_ns: u64,
        heard_out: bool,
        rules: &Rules,
    ) -> Option<(Verdict, bool)> {
        let waking = self.woke_at_ns.is_some_and(|woke| {
            // The going down, the waking, or what began within seconds of it.
            case.asleep_ns > 0 || (case.end_ns > woke && case.start_ns.saturating_sub(woke) < WAKING_NS)
        });
        if waking && case.delays_ns < WAKING_NS {
            return Some((Verdict::Sleep, true));
        }
        let other_gap = |from_ns, to_ns| self.beats.is_held_up(from_ns, to_ns, rules.min_duration_ns);
        let (start_ns, end_ns) = (case.start_ns, case.end_ns);
        if case.continued || case.filled || self.witness.rest_went_on(start_ns, end_ns, other_gap) {
            return Some((Verdict::Starved, true));
        }
        // A late sample of our own making is no second witness: the kernel has to be one. Of a recording that says
        // nothing of it nobody knows whether this process was stopped.
        let confirmed = || {
            (rules.external && !rules.recorded) || self.witness.rest_stood_still(start_ns, end_ns, other_gap)
        };
        // Who stood still as we did has an interval as long: one that is a little late says nothing.
        if case.late.ns > 0 && case.late.ns.saturating_mul(2) >= case.delays_ns {
            return Some((Verdict::Pause, confirmed()));
        }
        if case.restarted || case.late.by_us || (!rules.external && case.on_time > 0) {
            // A sample came that can't tell: the first of a restarted source, or one of our own making.
            return Some((Verdict::Pause, false));
        }
        // A machine that stood still for more than the threshold would have made a sample late.
        let telling = case.delays_ns as f64 > rules.threshold_ratio * expected_ns as f64;
        let since_ns = now_ns.saturating_sub(case.start_ns);
        let sampled_ns = case.on_time_ns.saturating_add(case.late.ns);
        let adds_up = sampled_ns >= since_ns.saturating_sub(2 * expected_ns);
        if telling && case.on_time >= LEAST_SAMPLES && adds_up {
            return Some((Verdict::Starved, true));
        }
        // Nothing followed: the sampler stood still too. Something did, and told nothing: nobody knows.
        let nothing = case.on_time == 0 && case.late.seq.is_none();
        heard_out.then(|| (Verdict::Pause, nothing && confirmed()))
    }
}
