//! Which alerts arise, and when: on a clock that the tests turn.

use std::time::Duration;

use super::{Alert, Event, Payload, Status, Watch};
use crate::event::{Culprit, Episode, Evidence, Gap, Measure, Notice, Peak, TierChange, Verdict};
use crate::output::store::{EventRow, TierSteps, TierTimes};
use crate::sample::{Factor, Name, Sample, Stress, Tier, Top};

const MS: u64 = 1_000_000;
const EPISODE: [u8; 16] = [7; 16];

/// A watch with a clock of 100 ms a sample.
struct World {
    watch: Watch,
    now_ns: u64,
    tier: Tier,
    /// The open episode.
    number: u64,
    told: Vec<Alert>,
}

fn stress(points: u8) -> Stress {
    let mut factors = [0; 8];
    factors[Factor::Pageins as usize] = points.min(30);
    factors[Factor::Memory as usize] = points.saturating_sub(30).min(30);
    factors[Factor::Latency as usize] = points.saturating_sub(60).min(20);
    Stress::new(factors)
}

fn culprit() -> Culprit {
    Culprit {
        pid: 501,
        name: Name::new("mds_stores"),
        share: 0.61,
        factors: [0; 8],
        evidence: Evidence { measure: Measure::Pageins, from: 3.0, to: 840.0 },
    }
}

impl World {
    fn new() -> Self {
        Self {
            watch: Watch::new("powermetrics", Duration::from_secs(2), || [9; 16]),
            now_ns: 1_000_000 * MS,
            tier: Tier::Sentinel,
            number: 7,
            told: Vec::new(),
        }
    }

    fn time_ns(&self) -> i64 {
        self.now_ns as i64
    }

    fn live(&mut self, ms: u64, points: u8, degraded: bool) {
        for _ in 0..ms / 100 {
            self.now_ns += 100 * MS;
            let sample = Sample {
                time_ns: self.time_ns(),
                elapsed_ns: 100 * MS,
                interval_ns: Some(100 * MS),
                tier: self.tier,
                stress: stress(points),
                degraded,
                ..Sample::default()
            };
            self.watch.sample(&sample, self.now_ns, &mut self.told);
        }
    }

    fn notice(&mut self, notice: &Notice) {
        self.watch.notice(notice, Some(EPISODE), &mut self.told);
    }

    fn episode(&self, id: u64, points: u8) -> Episode {
        Episode {
            id,
            started_ns: self.time_ns(),
            ended_ns: None,
            duration_ns: None,
            continued: false,
            peak: Peak {
                time_ns: self.time_ns(),
                seq: 1,
                stress: stress(points),
                tier: self.tier,
                top: Top::default(),
                culprits: vec![culprit()],
            },
        }
    }

    /// The tier changes, with the notices in the engine's order.
    fn step(&mut self, to: Tier, points: u8) {
        let from = std::mem::replace(&mut self.tier, to);
        if from == Tier::Sentinel {
            let episode = self.episode(7, points);
            self.notice(&Notice::EpisodeOpened(episode));
        } else if to > from {
            let episode = self.episode(7, points);
            self.notice(&Notice::EpisodeChanged(episode));
        }
        let time_ns = self.time_ns();
        self.notice(&Notice::Tier(TierChange { time_ns, from, to, stress: points, episode: 7 }));
        if to == Tier::Sentinel {
            self.close(self.number, false);
        }
    }

    fn close(&mut self, id: u64, continued: bool) {
        let mut episode = self.episode(id, 74);
        episode.ended_ns = Some(self.time_ns());
        episode.duration_ns = Some(12_300 * MS);
        episode.continued = continued;
        self.notice(&Notice::EpisodeClosed(episode));
    }

    fn gap(&mut self, verdict: Verdict, seconds: f64) {
        let gap = Gap {
            id: Some(8),
            verdict,
            certain: true,
            started_ns: 0,
            ended_ns: self.time_ns(),
            duration_ns: (seconds * 1e9) as u64,
            asleep_ns: 0,
            seq: None,
            episode: Some(7),
            stress: stress(74),
            tier: self.tier,
            culprits: vec![culprit()],
        };
        self.notice(&Notice::Gap(gap));
    }

    /// What was told since this was last asked.
    fn told(&mut self) -> Vec<(Event, Status)> {
        std::mem::take(&mut self.told)
            .iter()
            .map(|alert| (alert.payload.event, alert.payload.status))
            .collect()
    }
}

#[test]
fn critical_is_told_of_after_two_seconds_in_it_and_resolved_when_it_is_left() {
    let mut world = World::new();
    world.step(Tier::Critical, 60);
    assert_eq!(world.told(), [(Event::Elevated, Status::Firing)]);
    world.live(1_900, 74, false);
    assert_eq!(world.told(), []);
    world.live(100, 60, false);
    let told = world.told.clone();
    assert_eq!(world.told(), [(Event::Critical, Status::Firing)]);
    assert_eq!(
        (told[0].payload.id, told[0].payload.incident.clone(), told[0].payload.duration_s),
        (Some(7), "07".repeat(16), None)
    );
    assert_eq!(told[0].payload.stress.unwrap().total, 74, "the highest so far");
    assert_eq!(
        told[0].payload.summary,
        "stress is critical: 74 of 100, memory 30, pageins 30, latency 14, built up by mds_stores (61 %)"
    );
    world.live(3_000, 60, false);
    assert_eq!(world.told(), [], "once");
    world.step(Tier::Elevated, 20);
    let told = world.told.clone();
    assert_eq!(world.told(), [(Event::Critical, Status::Resolved)]);
    assert_eq!(told[0].payload.duration_s, Some(5.0));
    world.step(Tier::Sentinel, 0);
    let told = world.told.clone();
    assert_eq!(world.told(), [(Event::Elevated, Status::Resolved), (Event::Recovered, Status::Event)]);
    assert_eq!((told[1].payload.id, told[1].payload.duration_s), (Some(7), Some(12.3)));
}

#[test]
fn a_short_visit_to_critical_is_not_told_of_and_a_pause_in_it_is_at_once() {
    let mut world = World::new();
    world.step(Tier::Critical, 60);
    world.live(1_000, 60, false);
    world.step(Tier::Elevated, 20);
    world.told();
    world.step(Tier::Critical, 60);
    world.live(1_500, 60, false);
    assert_eq!(world.told(), [], "the two visits are not added up");
    world.gap(Verdict::Stall, 3.0);
    assert_eq!(world.told(), [(Event::Stall, Status::Event)]);
    world.gap(Verdict::Pause, 0.3);
    assert_eq!(world.told(), [(Event::Pause, Status::Event), (Event::Critical, Status::Firing)]);
    world.gap(Verdict::Sleep, 600.0);
    assert_eq!(world.told(), []);
}

#[test]
fn when_the_daemon_stops_states_are_resolved_but_nothing_has_recovered() {
    let mut world = World::new();
    world.step(Tier::Critical, 60);
    world.live(2_000, 60, false);
    world.told();
    world.close(7, false);
    assert_eq!(world.told(), [(Event::Critical, Status::Resolved), (Event::Elevated, Status::Resolved)]);
}

#[test]
fn a_continued_episode_is_one_state_with_the_first_one_s_number_and_the_time_of_both() {
    let mut world = World::new();
    world.step(Tier::Elevated, 20);
    world.told();
    world.close(7, true);
    world.number = 9;
    let next = world.episode(9, 20);
    world.notice(&Notice::EpisodeOpened(next));
    assert_eq!(world.told(), []);
    world.step(Tier::Sentinel, 0);
    let told = world.told.clone();
    assert_eq!(world.told(), [(Event::Elevated, Status::Resolved), (Event::Recovered, Status::Event)]);
    assert_eq!((told[0].payload.id, told[0].payload.duration_s), (Some(7), Some(24.6)));
    assert_eq!(told[0].row, Some(9), "the commit that counts is that of the row that has its end");
}

#[test]
fn of_a_killed_run_s_episode_the_end_is_told_and_of_a_source_that_is_down_when_the_daemon_stops() {
    let mut world = World::new();
    world.tier = Tier::Critical;
    let mut episode = world.episode(7, 74);
    episode.ended_ns = Some(world.time_ns());
    episode.duration_ns = Some(12_300 * MS);
    let row = EventRow::from_episode(
        &episode,
        EPISODE,
        world.time_ns(),
        TierTimes::default(),
        TierSteps::default(),
    );
    world.watch.interrupted(&row, &mut world.told);
    let told = world.told.clone();
    assert_eq!(world.told(), [(Event::Critical, Status::Resolved), (Event::Elevated, Status::Resolved)]);
    assert_eq!(
        (told[1].row, told[1].payload.duration_s, told[0].payload.duration_s),
        (Some(7), Some(12.3), None)
    );

    let mut world = World::new();
    world.watch.finish(world.now_ns, 0, &mut world.told);
    assert_eq!(world.told(), []);
    world.live(1_000, 0, false);
    world.watch.source_down(world.now_ns, 0, Some("not permitted"), &mut world.told);
    world.now_ns += 2_000 * MS;
    world.watch.finish(world.now_ns, 0, &mut world.told);
    let told = world.told.clone();
    assert_eq!(world.told(), [(Event::SourceDown, Status::Firing), (Event::SourceDown, Status::Resolved)]);
    assert_eq!(told[0].payload.incident, told[1].payload.incident);
}

#[test]
fn a_source_is_down_after_five_seconds_without_complete_samples_and_up_with_the_next() {
    let mut world = World::new();
    world.live(1_000, 0, false);
    world.watch.source_restarting(world.now_ns, 0, Some("it ended with exit status: 1"), &mut world.told);
    world.live(4_900, 0, true);
    assert_eq!(world.told(), [], "a crash that is mended at once is nothing to tell");
    world.live(100, 0, true);
    let told = world.told.clone();
    assert_eq!(world.told(), [(Event::SourceDown, Status::Firing)]);
    assert_eq!(told[0].payload.summary, "the source powermetrics is down: it ended with exit status: 1");
    assert_eq!((told[0].payload.id, told[0].payload.incident.clone()), (None, "09".repeat(16)));
    world.live(5_000, 0, true);
    assert_eq!(world.told(), []);
    world.live(100, 0, false);
    let told = world.told.clone();
    assert_eq!(world.told(), [(Event::SourceDown, Status::Resolved), (Event::SourceUp, Status::Event)]);
    assert_eq!((told[0].payload.duration_s, told[1].payload.incident.clone()), (Some(10.1), "09".repeat(16)));
}

#[test]
fn a_source_that_was_silent_or_can_t_start_is_down_at_once() {
    let mut world = World::new();
    world.live(1_000, 0, false);
    world.now_ns += 5_000 * MS;
    world.watch.source_restarting(world.now_ns, 0, Some("it wrote nothing for 5 s"), &mut world.told);
    assert_eq!(world.told(), [(Event::SourceDown, Status::Firing)]);
    let mut world = World::new();
    world.watch.source_down(world.now_ns, 0, Some("not permitted"), &mut world.told);
    world.live(10_000, 0, true);
    assert_eq!(world.told(), [(Event::SourceDown, Status::Firing)]);
}

#[test]
fn a_payload_has_every_key_and_null_for_what_is_unknown() {
    let mut world = World::new();
    world.gap(Verdict::Pause, 1.52);
    let told = world.told.remove(0).payload;
    let payload = Payload { host: "desk".to_owned(), stored: Some(true), ..told };
    let mut json = serde_json::to_value(&payload).unwrap();
    json["time"] = "…".into();
    insta::assert_snapshot!(serde_json::to_string_pretty(&json).unwrap());
    world.watch.source_down(world.now_ns, 0, None, &mut world.told);
    let payload = world.told.remove(0).payload;
    insta::assert_snapshot!(serde_json::to_string(&payload).unwrap());
}
