//! What the store's tests share.

use super::row::{EventRow, TierSteps, TierTimes};
use crate::event::{Episode, EventId, Peak};
use crate::sample::{Name, Sample, Stress, Tier, Top};

pub(super) const SECOND: i64 = 1_000_000_000;

/// 2026-11-22T09:10:11.123Z.
pub(super) const T0: i64 = 1_795_338_611_123_000_000;

/// Stress of that total.
pub(super) fn stress(total: u8) -> Stress {
    let pageins = total.min(30);
    let load = (total - pageins).min(30);
    let memory = (total - pageins - load).min(30);
    Stress::new([load, memory, 0, 0, total - pageins - load - memory, 0, 0, pageins])
}

pub(super) fn tier(total: u8) -> Tier {
    match total {
        0..15 => Tier::Sentinel,
        15..50 => Tier::Elevated,
        _ => Tier::Critical,
    }
}

/// The sample of that number, 100 ms after the one before.
pub(super) fn sample(seq: u64, total: u8) -> Sample {
    let mut sample = Sample {
        seq,
        time_ns: T0 + i64::try_from(seq).unwrap() * SECOND / 10,
        interval_ns: Some(100_000_000),
        elapsed_ns: 100_000_000,
        expected_ns: 100_000_000,
        latency_ratio: 1.0,
        heartbeat_ns: Some(300_000),
        tier: tier(total),
        stress: stress(total),
        ..Sample::default()
    };
    sample.metrics.pageins_per_s = Some(840.0);
    sample.top.pageins.offer(501, &Name::new("mds_stores"), 840.0);
    sample
}

/// An episode that peaked at that score at its beginning.
pub(super) fn episode(id: EventId, total: u8, started_ns: i64) -> Episode {
    let peak = Peak {
        time_ns: started_ns,
        seq: 1,
        stress: stress(total),
        tier: tier(total),
        top: Top::default(),
        culprits: Vec::new(),
    };
    Episode { id, started_ns, ended_ns: None, duration_ns: None, continued: false, peak }
}

/// An open episode's row.
pub(super) fn episode_row(id: EventId, total: u8) -> EventRow {
    EventRow::from_episode(
        &episode(id, total, T0),
        incident(id),
        T0,
        TierTimes::default(),
        TierSteps::default(),
    )
}

/// An incident of that number.
pub(super) fn incident(number: u64) -> [u8; 16] {
    let mut incident = [7; 16];
    incident[..8].copy_from_slice(&number.to_le_bytes());
    incident
}
