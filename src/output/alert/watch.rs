//! Which alerts arise from what happens: samples, notices and the source's comings and goings in, alerts out. Pure:
//! times are arguments.

use std::time::Duration;

use crate::clock;
use crate::event::{Culprit, Episode, EventId, Gap, Notice, TierChange, Verdict};
use crate::human;
use crate::output::store::{EventRow, Incident};
use crate::sample::{Sample, Stress, Tier, printable};

use super::payload::lines;
use super::{Event, Payload, Status};

/// No complete sample for so long: the source is down, ns of the clock that stops in sleep.
const DOWN_NS: u64 = 5_000_000_000;

/// An alert before it is known whether its event is stored.
#[derive(Clone, Debug)]
pub struct Alert {
    /// The event whose row has it on record: of a state that goes on over several episodes the present one's, though
    /// the state is known by the first one's number.
    pub row: Option<EventId>,
    /// What is told.
    pub payload: Payload,
}

/// What is known of the open episode, and of those that it continues.
#[derive(Debug)]
struct Open {
    /// The first of them: the states' alerts are about it.
    id: EventId,
    incident: Incident,
    /// Time awake in the ones that were continued, ns.
    before_ns: u64,
    /// As it was last told of; its number may be that of a continuation.
    episode: Episode,
    /// The highest score so far: between two notices of the episode it may rise.
    stress: Stress,
    critical: Critical,
    /// The tier went back to SENTINEL; the row that closes the episode follows.
    returned: bool,
}

/// Where the episode stands with CRITICAL.
#[derive(Clone, Copy, Debug, Default)]
struct Critical {
    /// Since when, ns of sample time; `None` outside.
    since_ns: Option<u64>,
    /// It was told of.
    fired: bool,
}

/// What is known of a source that is down.
#[derive(Debug)]
struct Down {
    incident: Incident,
    since_ns: u64,
}

/// Watches for what is to be told.
#[derive(Debug)]
pub struct Watch {
    source: &'static str,
    critical_min_ns: u64,
    random: fn() -> Incident,
    open: Option<Open>,
    /// When the last complete sample came, on the clock that stops in sleep.
    complete_ns: Option<u64>,
    down: Option<Down>,
    /// What was last said of the source.
    detail: Option<String>,
}

impl Watch {
    /// `critical_min`: how long in CRITICAL before that is told of; `random` yields an incident.
    #[must_use]
    pub fn new(source: &'static str, critical_min: Duration, random: fn() -> Incident) -> Self {
        let mut watch = Self {
            source,
            critical_min_ns: 0,
            random,
            open: None,
            complete_ns: None,
            down: None,
            detail: None,
        };
        watch.set_critical_min(critical_min);
        watch
    }

    /// How long in CRITICAL before that is told of.
    pub fn set_critical_min(&mut self, min: Duration) {
        self.critical_min_ns = clock::ns(min);
    }

    /// Takes a sample, which comes before the notices that it causes; `now_ns` on the clock that stops in sleep.
    pub fn sample(&mut self, sample: &Sample, now_ns: u64, out: &mut Vec<Alert>) {
        if sample.degraded {
            self.silence(now_ns, sample.time_ns, out);
        } else {
            self.complete_ns = Some(now_ns);
            if let Some(down) = self.down.take() {
                self.up(&down, now_ns, sample.time_ns, out);
            }
        }
        let Some(open) = &mut self.open else { return };
        if sample.stress.total() > open.stress.total() {
            open.stress = sample.stress;
        }
        if let Some(since_ns) = &mut open.critical.since_ns
            && sample.tier == Tier::Critical
        {
            *since_ns = since_ns.saturating_add(sample.interval_ns.unwrap_or(sample.elapsed_ns));
            if *since_ns >= self.critical_min_ns {
                open.fire_critical(sample.time_ns, out);
            }
        }
    }

    /// Takes a notice. `incident`: that of its event, where it has one.
    pub fn notice(&mut self, notice: &Notice, incident: Option<Incident>, out: &mut Vec<Alert>) {
        match notice {
            Notice::Tier(change) => self.tier(change, out),
            Notice::Gap(gap) => self.gap(gap, incident, out),
            Notice::EpisodeOpened(episode) => self.opened(episode, incident, out),
            Notice::EpisodeChanged(episode) => {
                if let Some(open) = &mut self.open {
                    open.episode.clone_from(episode);
                }
            }
            Notice::EpisodeClosed(episode) => self.closed(episode, out),
        }
    }

    /// The last run of the daemon ended with the machine.
    pub fn outage(&self, row: &EventRow, out: &mut Vec<Alert>) {
        let zone = jiff::tz::TimeZone::system();
        let time = |ns| human::local(ns, "%Y-%m-%d %H:%M:%S", &zone);
        let until = row.ended_ns.map_or_else(|| "now".to_owned(), time);
        let summary = format!(
            "the machine went down while it was watched: last seen {}, on again {until}",
            time(row.started_ns)
        );
        out.push(Alert::on_record(Payload::of_row(Event::Outage, Status::Event, row, summary)));
    }

    /// The last run of the daemon was killed in this episode: what it may have told the beginning of is over.
    pub fn interrupted(&self, row: &EventRow, out: &mut Vec<Alert>) {
        let Some(peak) = &row.peak else { return };
        let seconds = row.duration_ns.map(|ns| ns as f64 / 1e9);
        let after = seconds.map(|seconds| format!(" after {}", human::duration(seconds))).unwrap_or_default();
        let summary = format!(
            "no longer watched{after}, when the daemon was killed or the machine went down; at its peak {} of 100{}",
            peak.stress.total(),
            super::largest_factors(&peak.stress)
        );
        let states = [Some(Event::Critical).filter(|_| peak.tier == Tier::Critical), Some(Event::Elevated)];
        for event in states.into_iter().flatten() {
            let payload = Payload::of_row(event, Status::Resolved, row, summary.clone());
            // Of CRITICAL only its share of the time is known.
            let duration_s = payload.duration_s.filter(|_| event == Event::Elevated);
            out.push(Alert::on_record(Payload { duration_s, ..payload }));
        }
    }

    /// The daemon stops. Of its source nobody knows any more; that is the end of what was told of it.
    pub fn finish(&mut self, now_ns: u64, time_ns: i64, out: &mut Vec<Alert>) {
        if let Some(down) = self.down.take() {
            let seconds = now_ns.saturating_sub(down.since_ns) as f64 / 1e9;
            let summary = format!(
                "the source {} is no longer watched: it was down for {}",
                self.source,
                human::duration(seconds)
            );
            let payload = Payload::new(Event::SourceDown, Status::Resolved, time_ns, down.incident, summary);
            out.push(Alert { row: None, payload: Payload { duration_s: Some(seconds), ..payload } });
        }
    }

    /// The source delivers: the next complete sample tells.
    pub fn source_up(&mut self) {
        self.detail = None;
    }

    /// The source was started again; that it has been silent before is told.
    pub fn source_restarting(
        &mut self,
        now_ns: u64,
        time_ns: i64,
        detail: Option<&str>,
        out: &mut Vec<Alert>,
    ) {
        self.detail = detail.map(str::to_owned);
        self.silence(now_ns, time_ns, out);
    }

    /// The source can't deliver.
    pub fn source_down(&mut self, now_ns: u64, time_ns: i64, detail: Option<&str>, out: &mut Vec<Alert>) {
        self.detail = detail.map(str::to_owned);
        self.fire_down(now_ns, time_ns, out);
    }

    fn silence(&mut self, now_ns: u64, time_ns: i64, out: &mut Vec<Alert>) {
        if self.complete_ns.is_some_and(|last_ns| now_ns.saturating_sub(last_ns) >= DOWN_NS) {
            self.fire_down(now_ns, time_ns, out);
        }
    }

    fn fire_down(&mut self, now_ns: u64, time_ns: i64, out: &mut Vec<Alert>) {
        if self.down.is_some() {
            return;
        }
        let down = Down { incident: (self.random)(), since_ns: self.complete_ns.unwrap_or(now_ns) };
        let why = self.detail.as_deref().map(|why| format!(": {}", printable(why))).unwrap_or_default();
        let summary = format!("the source {} is down{why}", self.source);
        let payload = Payload::new(Event::SourceDown, Status::Firing, time_ns, down.incident, summary);
        out.push(Alert { row: None, payload });
        self.down = Some(down);
    }

    fn up(&self, down: &Down, now_ns: u64, time_ns: i64, out: &mut Vec<Alert>) {
        let seconds = now_ns.saturating_sub(down.since_ns) as f64 / 1e9;
        let summary = format!("the source {} delivers again after {}", self.source, human::duration(seconds));
        for (event, status) in [(Event::SourceDown, Status::Resolved), (Event::SourceUp, Status::Event)] {
            let payload = Payload::new(event, status, time_ns, down.incident, summary.clone());
            out.push(Alert { row: None, payload: Payload { duration_s: Some(seconds), ..payload } });
        }
    }

    fn tier(&mut self, change: &TierChange, out: &mut Vec<Alert>) {
        let Some(open) = &mut self.open else { return };
        match (change.from, change.to) {
            (_, Tier::Critical) => {
                open.critical.since_ns = Some(0);
                if self.critical_min_ns == 0 {
                    open.fire_critical(change.time_ns, out);
                }
            }
            (Tier::Critical, _) => open.resolve_critical(change.time_ns, out),
            _ => {}
        }
        open.returned = change.to == Tier::Sentinel;
    }

    fn opened(&mut self, episode: &Episode, incident: Option<Incident>, out: &mut Vec<Alert>) {
        if let Some(open) = &mut self.open {
            // A continuation: the states go on.
            open.episode.clone_from(episode);
            return;
        }
        let incident = incident.unwrap_or_else(self.random);
        let open = Open {
            id: episode.id,
            incident,
            before_ns: 0,
            episode: episode.clone(),
            stress: episode.peak.stress,
            critical: Critical::default(),
            returned: false,
        };
        let summary = format!("stress is elevated: {}", open.describe());
        out.push(open.alert(Event::Elevated, Status::Firing, episode.peak.time_ns, None, summary));
        // Where it begins in CRITICAL, the change of tier follows.
        self.open = Some(open);
    }

    fn closed(&mut self, episode: &Episode, out: &mut Vec<Alert>) {
        let Some(mut open) = self.open.take() else { return };
        open.episode.clone_from(episode);
        let duration_ns = episode.duration_ns.unwrap_or_default();
        if episode.continued {
            open.before_ns = open.before_ns.saturating_add(duration_ns);
            self.open = Some(open);
            return;
        }
        let time_ns = episode.ended_ns.unwrap_or(episode.peak.time_ns);
        open.resolve_critical(time_ns, out);
        let seconds = open.before_ns.saturating_add(duration_ns) as f64 / 1e9;
        let after = human::duration(seconds);
        let (what, recovered) =
            if open.returned { ("stress is over", true) } else { ("no longer watched", false) };
        let summary = format!("{what} after {after}; at its peak {}", open.describe());
        out.push(open.alert(Event::Elevated, Status::Resolved, time_ns, Some(seconds), summary.clone()));
        if recovered {
            out.push(open.alert(Event::Recovered, Status::Event, time_ns, Some(seconds), summary));
        }
    }

    fn gap(&mut self, gap: &Gap, incident: Option<Incident>, out: &mut Vec<Alert>) {
        let event = match gap.verdict {
            Verdict::Pause => Event::Pause,
            Verdict::Stall | Verdict::Starved => Event::Stall,
            Verdict::Sleep => return,
        };
        let incident = incident.unwrap_or_else(self.random);
        out.push(Alert::on_record(Payload::of_gap(event, gap, incident, gap.ended_ns, describe_gap(gap))));
        if gap.verdict == Verdict::Pause
            && let Some(open) = &mut self.open
            && open.critical.since_ns.is_some()
        {
            open.fire_critical(gap.ended_ns, out);
        }
    }
}

impl Open {
    fn fire_critical(&mut self, time_ns: i64, out: &mut Vec<Alert>) {
        if std::mem::replace(&mut self.critical.fired, true) {
            return;
        }
        let summary = format!("stress is critical: {}", self.describe());
        out.push(self.alert(Event::Critical, Status::Firing, time_ns, None, summary));
    }

    /// CRITICAL was left: told where it was told of.
    fn resolve_critical(&mut self, time_ns: i64, out: &mut Vec<Alert>) {
        let Critical { since_ns, fired } = std::mem::take(&mut self.critical);
        if !fired {
            return;
        }
        let seconds = since_ns.unwrap_or_default() as f64 / 1e9;
        let summary = format!(
            "stress is no longer critical after {}; at its peak {}",
            human::duration(seconds),
            self.describe()
        );
        out.push(self.alert(Event::Critical, Status::Resolved, time_ns, Some(seconds), summary));
    }

    /// `74 of 100, pageins 30, io 10, built up by mds_stores (61 %)`.
    fn describe(&self) -> String {
        let factors = super::largest_factors(&self.stress);
        format!("{} of 100{factors}{}", self.stress.total(), built_up_by(&self.episode.peak.culprits))
    }

    fn alert(
        &self,
        event: Event,
        status: Status,
        time_ns: i64,
        duration_s: Option<f64>,
        summary: String,
    ) -> Alert {
        let peak = &self.episode.peak;
        let payload = Payload {
            id: Some(self.id),
            duration_s,
            stress: Some(self.stress.into()),
            tier: Some(peak.tier),
            culprits: lines(&peak.culprits),
            ..Payload::new(event, status, time_ns, self.incident, summary)
        };
        Alert { row: Some(self.episode.id), payload }
    }
}

impl Alert {
    /// One that is about the very event that has it on record.
    pub(super) fn on_record(payload: Payload) -> Self {
        Self { row: payload.id, payload }
    }
}

fn built_up_by(culprits: &[Culprit]) -> String {
    culprits.first().map_or_else(String::new, |first| {
        format!(", built up by {} ({:.0} %)", first.name.printable(), first.share * 100.0)
    })
}

/// A gap in a line for a person.
fn describe_gap(gap: &Gap) -> String {
    let seconds = gap.duration_ns as f64 / 1e9;
    let doubt = if gap.certain { "" } else { " (not certain)" };
    let culprit = built_up_by(&gap.culprits);
    match gap.verdict {
        Verdict::Pause => format!("pause of {seconds:.2} s{doubt}{culprit}"),
        Verdict::Stall => format!("stall of {seconds:.2} s: the sampler stood still{culprit}"),
        Verdict::Starved => format!("starved for {seconds:.2} s: only this program stood still"),
        Verdict::Sleep => format!("slept for {seconds:.0} s"),
    }
}
