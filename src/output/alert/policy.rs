//! What of all alerts is shown on the desktop, and in which words. Pure: the time is an argument.

use crate::clock;
use crate::config;
use crate::human;
use crate::output::store::EventRow;
use crate::sample::{Stress, printable};

use super::{Event, Payload, Status};

/// The kinds of notifications, as `[alerts]` and `/metrics` name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// CRITICAL was entered, and stayed.
    CriticalEntered,
    /// The machine stood still.
    PauseDetected,
    /// The machine went down while it was watched.
    Outage,
    /// ELEVATED was entered.
    ElevatedEntered,
    /// The evidence of a pause is gathered.
    ForensicsCompleted,
    /// The source delivers nothing.
    SourceDown,
}

impl Kind {
    /// All kinds, in the order of every table.
    pub const ALL: [Self; 6] = [
        Self::CriticalEntered,
        Self::PauseDetected,
        Self::Outage,
        Self::ElevatedEntered,
        Self::ForensicsCompleted,
        Self::SourceDown,
    ];

    /// The kind's name in the configuration and in labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CriticalEntered => "critical_entered",
            Self::PauseDetected => "pause_detected",
            Self::Outage => "outage",
            Self::ElevatedEntered => "elevated_entered",
            Self::ForensicsCompleted => "forensics_completed",
            Self::SourceDown => "source_down",
        }
    }

    /// The kind of an alert; `None` for what is never shown.
    #[must_use]
    pub fn of(event: Event, status: Status) -> Option<Self> {
        match (event, status) {
            (_, Status::Resolved) => None,
            (Event::Pause, _) => Some(Self::PauseDetected),
            (Event::Critical, _) => Some(Self::CriticalEntered),
            (Event::Elevated, _) => Some(Self::ElevatedEntered),
            (Event::Outage, _) => Some(Self::Outage),
            (Event::SourceDown, _) => Some(Self::SourceDown),
            (Event::Forensics, _) => Some(Self::ForensicsCompleted),
            (Event::Stall | Event::Recovered | Event::SourceUp, _) => None,
        }
    }

    fn is_on(self, alerts: &config::Alerts) -> bool {
        match self {
            Self::CriticalEntered => alerts.critical_entered,
            Self::PauseDetected => alerts.pause_detected,
            Self::Outage => alerts.outage,
            Self::ElevatedEntered => alerts.elevated_entered,
            Self::ForensicsCompleted => alerts.forensics_completed,
            Self::SourceDown => alerts.source_down,
        }
    }
}

/// A notification as the desktop gets it. Plain text without control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Banner {
    /// The headline; it names the first culprit.
    pub title: String,
    /// The rest; it names the event.
    pub body: String,
    /// The name of a sound; empty for silence.
    pub sound: String,
}

impl Banner {
    /// The banner of a gap on record, as it was shown where the samples came from that source.
    #[must_use]
    pub fn of_gap(row: &EventRow, source: &str) -> Self {
        let alert = Payload::of_row(Event::Pause, Status::Event, row, String::new());
        Policy::new(source, config::Alerts::default()).banner(Kind::PauseDetected, &alert)
    }
}

/// What is to become of an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is not for the desktop.
    Off,
    /// Its kind was shown a moment ago: the next one sums it up.
    HeldBack(Kind),
    /// It is shown.
    Show(Kind, Banner),
}

/// What was held back of a kind since the last that was shown.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    shown_ns: Option<u64>,
    count: u64,
    longest_s: Option<f64>,
}

/// Marks what is told of no real machine: empty for one.
pub(super) fn label(source: &str) -> &'static str {
    match source {
        "replay" => " (replay)",
        "simulate" => " (simulated)",
        _ => "",
    }
}

/// The cooldown of each kind.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Appended to each headline; empty but where no real machine is watched.
    label: &'static str,
    alerts: config::Alerts,
    held: [Held; Kind::ALL.len()],
}

impl Policy {
    /// The policy of `[alerts]`. `source`: where the samples come from; what is no real machine is marked.
    #[must_use]
    pub fn new(source: &str, alerts: config::Alerts) -> Self {
        Self { label: label(source), alerts, held: Default::default() }
    }

    /// Other settings; cooldowns that run go on.
    pub fn configure(&mut self, alerts: config::Alerts) {
        self.alerts = alerts;
    }

    /// Decides on an alert; `now_ns` on the clock that stops in sleep, `busy` where notifications wait already.
    pub fn decide(&mut self, alert: &Payload, now_ns: u64, busy: bool) -> Decision {
        let Some(kind) = Kind::of(alert.event, alert.status).filter(|kind| kind.is_on(&self.alerts)) else {
            return Decision::Off;
        };
        let min = self.alerts.pause_min_duration.as_secs_f64();
        if kind == Kind::PauseDetected && alert.duration_s.is_some_and(|seconds| seconds < min) {
            return Decision::Off;
        }
        let cooldown_ns = clock::ns(self.alerts.cooldown);
        let held = &mut self.held[kind as usize];
        if busy || held.shown_ns.is_some_and(|shown_ns| now_ns.saturating_sub(shown_ns) < cooldown_ns) {
            held.count += 1;
            held.longest_s = longer(held.longest_s, alert.duration_s);
            return Decision::HeldBack(kind);
        }
        let banner = self.banner(kind, alert);
        self.held[kind as usize] = Held { shown_ns: Some(now_ns), ..Held::default() };
        Decision::Show(kind, banner)
    }

    fn banner(&self, kind: Kind, alert: &Payload) -> Banner {
        let culprit = alert.culprit();
        let named = |what: String| if culprit.is_empty() { what } else { format!("{what}: {culprit}") };
        let title = match kind {
            Kind::PauseDetected => {
                let doubt = if alert.certain == Some(false) { " (not certain)" } else { "" };
                let length = alert.duration_s.map(human::duration).unwrap_or_default();
                named(format!("Pause of {length}{doubt}"))
            }
            Kind::CriticalEntered => named("Stress is critical".to_owned()),
            Kind::ElevatedEntered => named("Stress is elevated".to_owned()),
            Kind::Outage => "The machine went down while it was watched".to_owned(),
            Kind::ForensicsCompleted => named("Evidence is gathered".to_owned()),
            Kind::SourceDown => "The monitor's source is down".to_owned(),
        };
        let mut lines = Vec::new();
        match kind {
            Kind::Outage | Kind::SourceDown | Kind::ForensicsCompleted => {
                // The headline has the mark.
                lines.push(format!("{}.", human::capital(alert.summary.trim_end_matches(self.label))));
            }
            Kind::PauseDetected | Kind::CriticalEntered | Kind::ElevatedEntered => {
                lines.extend(blamed(alert));
                lines.extend(scored(alert));
            }
        }
        lines.extend(self.held[kind as usize].sum());
        if let Some(id) = alert.id {
            let lost = if alert.stored == Some(false) { ", which the disk has not taken yet" } else { "" };
            lines.push(format!("Event {id}{lost}: pause-monitor events show {id}"));
        }
        Banner {
            title: format!("{title}{}", self.label),
            body: lines.join("\n"),
            sound: self.alerts.sound.clone(),
        }
    }
}

impl Held {
    /// What was held back, for the one that is shown.
    fn sum(&self) -> Option<String> {
        let longest = self.longest_s.map(|s| format!(", the longest {}", human::duration(s)));
        let longest = longest.unwrap_or_default();
        match self.count {
            0 => None,
            1 => Some(format!("And one more before it{longest}.")),
            count => Some(format!("And {count} more before it{longest}.")),
        }
    }
}

fn longer(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.max(other)),
        (one, other) => one.or(other),
    }
}

/// The culprits with their shares, three at most.
fn blamed(alert: &Payload) -> Option<String> {
    let shares: Vec<_> = alert
        .culprits
        .iter()
        .take(3)
        .map(|culprit| format!("{} {:.0} %", printable(&culprit.name), culprit.share * 100.0))
        .collect();
    (!shares.is_empty()).then(|| format!("{}.", shares.join(", ")))
}

/// The score and the three factors that made most of it.
fn scored(alert: &Payload) -> Option<String> {
    let stress = Stress::from(alert.stress?);
    Some(format!("Stress {} of 100{}.", stress.total(), super::largest_factors(&stress)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn pause(seconds: f64) -> Payload {
        Payload {
            version: 1,
            event: Event::Pause,
            status: Status::Event,
            host: "desk".to_owned(),
            time: "2026-11-24T09:10:11.123Z".to_owned(),
            incident: "00".repeat(16),
            id: Some(8),
            stored: Some(true),
            duration_s: Some(seconds),
            verdict: Some("pause"),
            certain: Some(true),
            stress: Some(crate::wire::StressLine {
                total: 74,
                pageins: 30,
                memory: 24,
                latency: 20,
                ..Default::default()
            }),
            tier: Some(crate::sample::Tier::Critical),
            culprits: vec![crate::wire::CulpritLine {
                pid: 501,
                name: "mds_\u{1b}[2Jstores".into(),
                share: 0.61,
                factors: [("pageins".into(), 28)].into(),
                evidence: "pageins 3/s → 840/s".into(),
            }],
            summary: "pause of 1.52 s, built up by mds_stores (61 %)".to_owned(),
        }
    }

    #[test]
    fn the_headline_names_the_culprit_and_the_rest_the_event() {
        let mut policy = Policy::new("powermetrics", config::Alerts::default());
        let Decision::Show(Kind::PauseDetected, banner) = policy.decide(&pause(1.52), 0, false) else {
            panic!("it is to be shown");
        };
        assert_eq!(banner.title, "Pause of 1.52 s: mds_\u{fffd}[2Jstores");
        assert_eq!(
            banner.body,
            "mds_\u{fffd}[2Jstores 61 %.\nStress 74 of 100, pageins 30, memory 24, latency 20.\n\
             Event 8: pause-monitor events show 8"
        );
    }

    #[test]
    fn what_the_cooldown_held_back_is_summed_up_in_the_next_and_forgotten() {
        let mut policy = Policy::new("replay", config::Alerts::default());
        assert!(matches!(policy.decide(&pause(1.0), 0, false), Decision::Show(..)));
        for (at, seconds) in [(10, 2.0), (20, 7.5), (59, 1.5)] {
            assert_eq!(
                policy.decide(&pause(seconds), at * SECOND, false),
                Decision::HeldBack(Kind::PauseDetected)
            );
        }
        let Decision::Show(_, banner) = policy.decide(&pause(1.0), 60 * SECOND, false) else {
            panic!("it is over")
        };
        assert!(banner.title.ends_with(" (replay)"), "{}", banner.title);
        assert!(banner.body.contains("And 3 more before it, the longest 7.50 s."), "{}", banner.body);
        let Decision::Show(_, banner) = policy.decide(&pause(1.0), 120 * SECOND, false) else {
            panic!("it is over")
        };
        assert!(!banner.body.contains("more before it"), "{}", banner.body);
    }

    #[test]
    fn kinds_cool_down_each_for_itself_and_only_those_that_are_on_are_shown() {
        let mut policy = Policy::new("linux", config::Alerts::default());
        assert!(matches!(policy.decide(&pause(1.0), 0, false), Decision::Show(..)));
        let critical =
            Payload { event: Event::Critical, status: Status::Firing, duration_s: None, ..pause(1.0) };
        assert!(matches!(policy.decide(&critical, 0, false), Decision::Show(Kind::CriticalEntered, _)));
        let elevated = Payload { event: Event::Elevated, ..critical.clone() };
        assert_eq!(policy.decide(&elevated, 0, false), Decision::Off, "it is off by default");
        policy.configure(config::Alerts { elevated_entered: true, ..config::Alerts::default() });
        assert!(matches!(policy.decide(&elevated, 0, false), Decision::Show(Kind::ElevatedEntered, _)));
        for never in [
            Payload { status: Status::Resolved, ..critical },
            Payload { event: Event::Stall, ..pause(9.0) },
            Payload { event: Event::Recovered, ..pause(9.0) },
            pause(0.99),
        ] {
            assert_eq!(policy.decide(&never, 500 * SECOND, false), Decision::Off);
        }
    }

    #[test]
    fn while_others_wait_one_is_held_back_and_without_a_cooldown_all_are_shown() {
        let alerts = config::Alerts { cooldown: Duration::ZERO, ..config::Alerts::default() };
        let mut policy = Policy::new("linux", alerts);
        assert!(matches!(policy.decide(&pause(1.0), 0, false), Decision::Show(..)));
        assert!(matches!(policy.decide(&pause(1.0), 0, false), Decision::Show(..)));
        assert_eq!(policy.decide(&pause(1.0), 0, true), Decision::HeldBack(Kind::PauseDetected));
    }
}
