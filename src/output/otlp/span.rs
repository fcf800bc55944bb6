//! Events as spans. Pure: rows in, [`SpanData`] out.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{Event, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{Array, InstrumentationScope, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use crate::event::EventId;
use crate::output::store::{EventRow, Incident, Kind, Outgoing, TierStep};
use crate::sample::Factor;

/// Span events of one span at most, as the SDK's own limit is; the rest is counted as dropped.
const EVENTS: usize = 128;

/// Who makes the spans.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("pause-monitor").with_version(env!("CARGO_PKG_VERSION")).build()
}

/// The span of an event, the same at each export.
pub(super) fn span(outgoing: &Outgoing, scope: &InstrumentationScope) -> SpanData {
    let row = &outgoing.row;
    let name = match row.kind {
        Kind::Episode => "episode",
        Kind::Pause => "pause",
        Kind::Outage => "outage",
        // They are span events, and no spans; the outbox asks for none.
        Kind::Stall => "stall",
    };
    let mut events = Events::default();
    match row.kind {
        Kind::Pause | Kind::Stall => events.gaps.push(gap(row)),
        Kind::Episode | Kind::Outage => {
            for row in &outgoing.gaps {
                let kept = if row.kind == Kind::Pause { &mut events.pauses } else { &mut events.gaps };
                kept.push(gap(row));
            }
            events.others.extend(row.steps.kept.iter().map(step));
            events.dropped = row.steps.dropped.saturating_add(outgoing.gaps_left);
        }
    }
    let start = time(row.started_ns);
    SpanData {
        span_context: SpanContext::new(
            TraceId::from_bytes(row.incident),
            span_id(&row.incident, row.id),
            TraceFlags::SAMPLED,
            false,
            TraceState::default(),
        ),
        parent_span_id: row.episode.map_or(SpanId::INVALID, |episode| span_id(&row.incident, episode)),
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: name.into(),
        start_time: start,
        // A clock that was set back between the two yields no span that ends before it starts.
        end_time: time(row.ended_ns.unwrap_or(row.last_seen_ns)).max(start),
        attributes: attributes(row),
        dropped_attributes_count: 0,
        events: events.take(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: scope.clone(),
    }
}

/// The first 8 bytes of SHA-256(incident ‖ event id, big-endian): known of a parent before it is exported.
fn span_id(incident: &Incident, event: EventId) -> SpanId {
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    hash.update(incident);
    hash.update(&event.to_be_bytes());
    let mut id = [0; 8];
    id.copy_from_slice(&hash.finish().as_ref()[..8]);
    SpanId::from_bytes(id)
}

/// Unix ns, exact; what is before 1970 is 1970.
fn time(unix_ns: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(u64::try_from(unix_ns).unwrap_or(0))
}

/// Span events by what goes first where not all have room.
#[derive(Default)]
struct Events {
    pauses: Vec<Event>,
    gaps: Vec<Event>,
    others: Vec<Event>,
    /// Those that did not even come this far.
    dropped: u32,
}

impl Events {
    /// As many as have room, by time.
    fn take(self) -> SpanEvents {
        let mut all: Vec<Event> = self.pauses.into_iter().chain(self.gaps).chain(self.others).collect();
        let dropped = all.len().saturating_sub(EVENTS) as u32;
        all.truncate(EVENTS);
        // Stable: of two at the same time the gap comes first, which explains the other.
        all.sort_by_key(|event| event.timestamp);
        let mut events = SpanEvents::default();
        events.events = all;
        events.dropped_count = self.dropped.saturating_add(dropped);
        events
    }
}

/// A gap, at its end, as on the socket.
fn gap(row: &EventRow) -> Event {
    let name = if row.kind == Kind::Pause { "pause" } else { "gap" };
    let mut attributes = vec![KeyValue::new("pause_monitor.event.id", id(row.id))];
    verdict(row, &mut attributes);
    culprits(row, &mut attributes);
    Event::new(name, time(row.ended_ns.unwrap_or(row.last_seen_ns)), attributes, 0)
}

/// A change of tier.
fn step(step: &TierStep) -> Event {
    let attributes = vec![
        KeyValue::new("pause_monitor.tier.from", step.from.as_str()),
        KeyValue::new("pause_monitor.tier.to", step.to.as_str()),
        KeyValue::new("pause_monitor.stress.total", i64::from(step.stress)),
    ];
    Event::new("tier", time(step.time_ns), attributes, 0)
}

fn attributes(row: &EventRow) -> Vec<KeyValue> {
    let mut attributes = vec![KeyValue::new("pause_monitor.event.id", id(row.id))];
    verdict(row, &mut attributes);
    if let Some(peak) = &row.peak {
        attributes.push(KeyValue::new("pause_monitor.peak_stress", i64::from(peak.stress.total())));
        attributes.push(KeyValue::new("pause_monitor.peak_tier", peak.tier.as_str()));
        attributes.extend(Factor::ALL.map(|factor| {
            let key = format!("pause_monitor.stress.{}", factor.as_str());
            KeyValue::new(key, i64::from(peak.stress.get(factor)))
        }));
        culprits(row, &mut attributes);
    }
    if let Some(interrupted) = row.interrupted {
        attributes.push(KeyValue::new("pause_monitor.interrupted", interrupted.as_str()));
    }
    attributes
}

/// Verdict and certainty, of a gap; the duration, where it is known.
fn verdict(row: &EventRow, attributes: &mut Vec<KeyValue>) {
    if let Some(verdict) = row.verdict {
        attributes.push(KeyValue::new("pause_monitor.verdict", verdict.as_str()));
    }
    if let Some(certain) = row.certain {
        attributes.push(KeyValue::new("pause_monitor.certain", certain));
    }
    if let Some(ns) = row.duration_ns {
        attributes.push(KeyValue::new("pause_monitor.duration", ns as f64 / 1e9));
    }
}

/// Names and shares, in one order; empty where no process stands out.
fn culprits(row: &EventRow, attributes: &mut Vec<KeyValue>) {
    let names = row.culprits.iter().map(|culprit| StringValue::from(culprit.name.to_string())).collect();
    let shares = row.culprits.iter().map(|culprit| culprit.share).collect();
    attributes.push(KeyValue::new("pause_monitor.culprit.names", Value::Array(Array::String(names))));
    attributes.push(KeyValue::new("pause_monitor.culprit.shares", Value::Array(Array::F64(shares))));
}

/// Ids are given from 1 up and never come near the limit.
fn id(event: EventId) -> i64 {
    i64::try_from(event).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Verdict;
    use crate::output::store::{Interruption, PeakRow, TierSteps, TierTimes};
    use crate::sample::{Stress, Tier};
    use crate::wire::CulpritLine;

    const T0: i64 = 1_795_338_611_123_456_789;

    fn row(id: EventId, kind: Kind) -> EventRow {
        let gap = matches!(kind, Kind::Pause | Kind::Stall);
        EventRow {
            id,
            kind,
            verdict: gap.then_some(if kind == Kind::Pause { Verdict::Pause } else { Verdict::Starved }),
            certain: gap.then_some(true),
            started_ns: T0,
            ended_ns: Some(T0 + 1_520_000_001),
            last_seen_ns: T0,
            duration_ns: Some(1_520_000_000),
            interrupted: None,
            continued: false,
            peak: Some(PeakRow {
                time_ns: T0,
                stress: Stress::new([3, 23, 0, 20, 0, 0, 0, 28]),
                tier: Tier::Critical,
                top: None,
            }),
            tiers: (!gap).then(TierTimes::default),
            culprits: vec![CulpritLine {
                pid: 501,
                name: "mds_stores".into(),
                share: 0.61,
                factors: Default::default(),
                evidence: "".into(),
            }],
            incident: [7; 16],
            episode: gap.then_some(1),
            steps: TierSteps::default(),
        }
    }

    fn of(row: EventRow) -> SpanData {
        span(&Outgoing { row, gaps: Vec::new(), gaps_left: 0 }, &scope())
    }

    fn step_at(seconds: i64) -> TierStep {
        TierStep {
            time_ns: T0 + seconds * 1_000_000_000,
            from: Tier::Sentinel,
            to: Tier::Elevated,
            stress: 20,
        }
    }

    fn value<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
        attributes.iter().find(|attribute| attribute.key.as_str() == key).map(|attribute| &attribute.value)
    }

    #[test]
    fn a_pause_is_a_child_of_its_episode_to_the_nanosecond_and_the_same_each_time() {
        let (episode, pause) = (of(row(1, Kind::Episode)), of(row(2, Kind::Pause)));
        assert_eq!(pause.span_context.trace_id().to_bytes(), [7; 16]);
        assert_eq!(pause.parent_span_id, episode.span_context.span_id());
        assert_eq!(episode.parent_span_id, SpanId::INVALID);
        assert_ne!(pause.span_context.span_id(), episode.span_context.span_id());
        assert_eq!(pause, of(row(2, Kind::Pause)));
        assert_eq!(pause.start_time.duration_since(UNIX_EPOCH).unwrap().as_nanos(), T0 as u128);
        assert_eq!(pause.end_time.duration_since(pause.start_time).unwrap().as_nanos(), 1_520_000_001);
        assert_eq!(pause.events.len(), 1);
        assert_eq!((pause.events[0].name.as_ref(), pause.events[0].timestamp), ("pause", pause.end_time));
    }

    #[test]
    fn the_id_is_the_documented_hash() {
        // printf '\7%.0s' {1..16} | cat - <(printf '\0\0\0\0\0\0\0\2') | sha256sum | cut -c 1-16
        assert_eq!(span_id(&[7; 16], 2).to_string(), "c925ac25412cc3f2");
    }

    #[test]
    fn a_pause_outside_an_episode_and_an_outage_are_roots() {
        let mut alone = row(2, Kind::Pause);
        alone.episode = None;
        assert_eq!(of(alone).parent_span_id, SpanId::INVALID);
        let mut outage = row(3, Kind::Outage);
        (outage.peak, outage.duration_ns, outage.tiers) = (None, None, None);
        outage.culprits.clear();
        let span = of(outage);
        assert_eq!((span.name.as_ref(), span.parent_span_id), ("outage", SpanId::INVALID));
        assert_eq!(
            span.attributes,
            [KeyValue::new("pause_monitor.event.id", 3_i64)],
            "nothing else is known of it"
        );
    }

    #[test]
    fn attributes_are_those_of_the_event() {
        let mut interrupted = row(1, Kind::Episode);
        interrupted.interrupted = Some(Interruption::Reboot);
        let attributes = of(interrupted).attributes;
        let expected: [(&str, Value); 8] = [
            ("pause_monitor.event.id", 1_i64.into()),
            ("pause_monitor.duration", 1.52.into()),
            ("pause_monitor.peak_stress", 74_i64.into()),
            ("pause_monitor.peak_tier", "critical".into()),
            ("pause_monitor.stress.load", 3_i64.into()),
            ("pause_monitor.stress.gpu", 0_i64.into()),
            ("pause_monitor.stress.pageins", 28_i64.into()),
            ("pause_monitor.interrupted", "reboot".into()),
        ];
        for (key, expected) in expected {
            assert_eq!(value(&attributes, key), Some(&expected), "{key}");
        }
        assert_eq!(value(&attributes, "pause_monitor.verdict"), None);
        let names = Value::Array(Array::String(vec!["mds_stores".into()]));
        assert_eq!(value(&attributes, "pause_monitor.culprit.names"), Some(&names));
        assert_eq!(
            value(&attributes, "pause_monitor.culprit.shares"),
            Some(&Value::Array(Array::F64(vec![0.61])))
        );
        let pause = of(row(2, Kind::Pause)).attributes;
        assert_eq!(value(&pause, "pause_monitor.verdict"), Some(&"pause".into()));
        assert_eq!(value(&pause, "pause_monitor.certain"), Some(&true.into()));
    }

    #[test]
    fn of_too_many_events_the_pauses_stay_and_the_rest_is_counted() {
        let mut episode = row(1, Kind::Episode);
        episode.steps.kept = (0..100).map(step_at).collect();
        episode.steps.dropped = 5;
        let gap = |id: EventId, kind| {
            let mut gap = row(id, kind);
            gap.ended_ns = Some(T0 + id as i64 * 500_000_000);
            gap
        };
        let gaps =
            (2..62).map(|id| gap(id, Kind::Pause)).chain((62..72).map(|id| gap(id, Kind::Stall))).collect();
        let span = span(&Outgoing { row: episode, gaps, gaps_left: 3 }, &scope());
        let count = |name: &str| span.events.iter().filter(|event| event.name == name).count();
        assert_eq!((count("pause"), count("gap"), count("tier")), (60, 10, 58));
        assert_eq!(span.events.dropped_count, 42 + 5 + 3);
        assert!(span.events.windows(2).all(|pair| pair[0].timestamp <= pair[1].timestamp));
    }

    #[test]
    fn a_clock_that_was_set_back_yields_no_span_that_ends_before_it_starts() {
        let mut odd = row(2, Kind::Pause);
        (odd.started_ns, odd.ended_ns) = (T0, Some(-5));
        let span = of(odd);
        assert_eq!(span.end_time, span.start_time);
    }
}
