//! Episodes: when they begin and end, and what is kept of them.

use super::world::{MS, World, settings};
use crate::clock::Stamp;
use crate::engine::{Engine, Origin, Settings};
use crate::event::Notice;
use crate::sample::{Factor, Name, Reading, ThermalPressure, Tier, WakeupsKind};

#[test]
fn an_episode_opens_with_its_first_sample_and_closes_when_the_machine_is_calm() {
    let mut world = World::new(Origin::Child);
    world.page_in(0.0);
    world.live(5_000);
    world.page_in(5_000.0);
    world.live(4_000);
    world.page_in(0.0);
    world.live(15_000);
    let episodes = world.episodes();
    let kinds: Vec<_> = episodes.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, ["opened", "changed", "closed"]);
    let (_, named) = episodes[1];
    assert_eq!(named.peak.culprits[0].name, Name::new("mds_stores"), "told at once: nobody stood out before");
    let (_, closed) = episodes[2];
    assert_eq!((closed.id, closed.continued), (1, false));
    assert_eq!(closed.peak.stress.get(Factor::Pageins), 30);
    assert_eq!(closed.peak.tier, Tier::Elevated);
    assert_eq!(closed.peak.culprits[0].name, Name::new("mds_stores"));
    let spanned = (closed.ended_ns.unwrap() - closed.started_ns) as u64;
    assert_eq!(closed.duration_ns, Some(spanned));
    // 4 s of paging, a second until the mean is below the threshold, 5 s of waiting.
    assert!((9_000..=11_000).contains(&(spanned / MS)), "{} ms", spanned / MS);
    let tiers: Vec<_> = world
        .notices
        .iter()
        .filter_map(|n| {
            if let Notice::Tier(change) = n { Some((change.from, change.to, change.episode)) } else { None }
        })
        .collect();
    assert_eq!(tiers, [(Tier::Sentinel, Tier::Elevated, 1), (Tier::Elevated, Tier::Sentinel, 1)]);
}

#[test]
fn a_peak_out_of_the_blue_is_somebodys_once_what_follows_tells_though_nothing_is_as_high_again() {
    let mut world = World::new(Origin::Child);
    world.page_in(0.0);
    world.live(30_000);
    world.page_in(150.0);
    world.reading.metrics.gpu_busy_pct = Some(100.0);
    world.live(300);
    // What came with it is gone: from here on no score reaches the peak.
    world.reading.metrics.gpu_busy_pct = Some(0.0);
    world.live(9_000);
    let episodes = world.episodes();
    let kinds: Vec<_> = episodes.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, ["opened", "changed"], "named once");
    let (_, opened) = episodes[0];
    let (_, named) = episodes[1];
    assert!(opened.peak.culprits.is_empty());
    assert_eq!(named.peak.culprits[0].name, Name::new("mds_stores"));
    assert!(named.peak.stress.get(Factor::Gpu) > 0, "the peak stays what it was: {:?}", named.peak.stress);
}

/// Somebody draws for half a minute, 10 points; then the machine pages in so that the first samples are the highest.
fn drawn_and_paged_in() -> World {
    let mut world = World::new(Origin::Child);
    world.page_in(0.0);
    world.reading.metrics.gpu_busy_pct = Some(80.0);
    world.reading.metrics.cpu_ms_per_s = Some(1_000.0);
    world.reading.top_cpu.offer(7, &Name::new("game"), 1_000.0);
    world.live(30_000);
    world.reading.metrics.gpu_busy_pct = Some(100.0);
    world.page_in(5_000.0);
    world
}

#[test]
fn whoever_was_at_work_before_a_sudden_peak_is_not_to_blame_for_it_though_nothing_is_as_high_again() {
    for listed_after_ms in [0, 1_000] {
        let mut world = drawn_and_paged_in();
        let list = world.reading.top_pageins;
        if listed_after_ms > 0 {
            world.reading.top_pageins.clear();
        }
        world.live(300);
        world.reading.metrics.gpu_busy_pct = Some(80.0);
        world.live(listed_after_ms);
        world.reading.top_pageins = list;
        world.live(5_000);
        let episodes = world.episodes();
        let names: Vec<Name> = episodes.iter().map(|(_, episode)| episode.peak.culprits[0].name).collect();
        assert_eq!(names[0], Name::new("game"));
        assert_eq!(names[1..], [Name::new("mds_stores")], "told once, as soon as it is known");
        let (opened, named) = (episodes[0].1, episodes[1].1);
        assert!(named.peak.seq < opened.peak.seq + 5, "the peak stays where it was");
    }
}

/// Half a minute of calm, then a second in which a game draws and computes, 42 points, so much of it by its listed CPU time.
fn drawn_for_a_second(part: f64) -> World {
    let mut world = World::new(Origin::Child);
    world.page_in(0.0);
    world.live(30_000);
    world.reading.metrics.gpu_busy_pct = Some(100.0);
    world.reading.metrics.cores = Some(1);
    world.reading.metrics.load_avg = Some(6.0);
    world.reading.metrics.cpu_ms_per_s = Some(1_000.0);
    world.reading.top_cpu.offer(7, &Name::new("game"), part * 1_000.0);
    world.live(1_000);
    world.reading.metrics.gpu_busy_pct = Some(0.0);
    world.reading.metrics.load_avg = Some(0.0);
    world.reading.top_cpu.clear();
    world
}

/// Who is to blame for the episode in the end.
fn blamed(world: &mut World) -> Vec<String> {
    world.live(4_000);
    world.page_in(0.0);
    world.live(20_000);
    let (kind, closed) = *world.episodes().last().unwrap();
    assert_eq!(kind, "closed");
    closed.peak.culprits.iter().map(|culprit| culprit.name.as_str().to_owned()).collect()
}

#[test]
fn who_comes_after_a_peak_that_is_somebodys_is_not_to_blame_for_it() {
    for after_ms in [0, 500, 1_000, 2_000] {
        let mut world = drawn_for_a_second(1.0);
        assert!(world.samples.last().unwrap().stress.total() >= 40);
        world.live(after_ms);
        world.page_in(5_000.0);
        assert_eq!(blamed(&mut world), ["game"], "{after_ms} ms");
    }
}

#[test]
fn who_comes_long_after_a_peak_that_is_nobodys_for_the_larger_part_is_not_to_blame_for_it() {
    let mut world = drawn_for_a_second(0.4);
    assert!(world.samples.last().unwrap().stress.total() >= 40);
    world.live(3_000);
    world.page_in(5_000.0);
    assert_eq!(blamed(&mut world), ["game"]);
}

#[test]
fn who_has_less_than_those_who_are_known_is_not_to_blame_for_a_peak_either() {
    let mut world = drawn_for_a_second(0.4);
    world.reading.metrics.gpu_busy_pct = Some(74.0);
    world.reading.top_cpu.offer(9, &Name::new("film"), 1_000.0);
    world.live(4_000);
    world.reading.metrics.gpu_busy_pct = Some(0.0);
    assert_eq!(blamed(&mut world)[0], "game");
}

#[test]
fn two_who_take_turns_in_front_while_the_peak_rises_are_told_once_a_second_at_most() {
    let mut world = World::new(Origin::Child);
    world.page_in(0.0);
    world.live(30_000);
    for turn in 0..50_u32 {
        let (pid, name) = if turn / 3 % 2 == 0 { (501, "mds_stores") } else { (9, "the_other") };
        let per_s = 112.0 + 6.0 * f64::from(turn);
        world.page_in(per_s);
        world.reading.top_pageins.clear();
        world.reading.top_pageins.offer(pid, &Name::new(name), per_s);
        world.live(100);
    }
    let told = world.episodes().len();
    assert!((2..=6).contains(&told), "{told} times in 5 s");
}

#[test]
fn a_higher_tier_is_written_at_once_and_a_higher_peak_every_thirty_seconds() {
    let mut world = World::new(Origin::Child);
    world.page_in(110.0);
    world.live(10_000);
    world.page_in(150.0);
    world.live(10_000);
    assert_eq!(world.episodes().len(), 1, "the peak rose, but 30 s are not over");
    world.live(11_000);
    assert_eq!(world.episodes().len(), 2);
    assert_eq!(world.episodes()[1].1.peak.stress.total(), 17);
    world.page_in(5_000.0);
    world.reading.metrics.gpu_busy_pct = Some(100.0);
    world.live(2_000);
    let (kind, last) = *world.episodes().last().unwrap();
    assert_eq!((kind, last.peak.tier), ("changed", Tier::Critical));
}

#[test]
fn an_episode_that_a_pause_opens_begins_when_the_pause_began() {
    for origin in [Origin::Child, Origin::Own] {
        let mut world = World::new(origin);
        world.live(5_000);
        world.freeze(3_000);
        world.live(10_000);
        let gap = world.gap();
        let (_, episode) = *world.episodes().last().unwrap();
        assert_eq!(episode.started_ns, gap.started_ns);
        assert_eq!(gap.episode, Some(episode.id));
        assert_eq!(gap.stress.get(Factor::Latency), 20);
        assert_eq!(gap.tier, Tier::Elevated);
    }
}

#[test]
fn an_episode_of_an_hour_is_continued_in_a_new_one() {
    let settings = Settings { max_episode_ns: 60_000 * MS, ..settings(Origin::Recording) };
    let mut engine = Engine::new(settings, 1);
    let mut notices = Vec::new();
    let mut at = Stamp::default();
    let mut reading = Reading { elapsed_ns: 100 * MS, ..Reading::default() };
    reading.metrics.gpu_busy_pct = Some(100.0);
    for _ in 0..1_500 {
        at.awake_ns += 100 * MS;
        at.unix_ns += 100 * MS as i64;
        engine.sample(&reading, &at, None, &mut notices);
    }
    engine.finish(&at, &mut notices);
    let story: Vec<_> = notices
        .iter()
        .filter_map(|notice| match notice {
            Notice::EpisodeOpened(episode) => Some((episode.id, false, false)),
            Notice::EpisodeClosed(episode) => Some((episode.id, true, episode.continued)),
            _ => None,
        })
        .collect();
    assert_eq!(
        story,
        [
            (1, false, false),
            (1, true, true),
            (2, false, false),
            (2, true, true),
            (3, false, false),
            (3, true, false)
        ]
    );
}

#[test]
fn interrupt_wakeups_are_scored_once_there_were_no_idle_ones_for_thirty_seconds() {
    let mut world = World::new(Origin::Child);
    world.reading.metrics.idle_wakeups_per_s = Some(0.0);
    world.reading.metrics.intr_wakeups_per_s = Some(30_000.0);
    world.reading.top_intr_wakeups.offer(7, &Name::new("kernel_task"), 9_000.0);
    world.live(29_500);
    let last = *world.samples.last().unwrap();
    assert_eq!((last.wakeups_kind, last.stress.get(Factor::Wakeups)), (WakeupsKind::Idle, 0));
    assert!(last.top.wakeups.as_slice().is_empty());
    world.live(1_000);
    let last = *world.samples.last().unwrap();
    assert_eq!((last.wakeups_kind, last.stress.get(Factor::Wakeups)), (WakeupsKind::Interrupt, 5));
    assert_eq!(last.top.wakeups.as_slice()[0].pid, 7);
    world.reading.metrics.idle_wakeups_per_s = Some(1.0);
    world.live(100);
    assert_eq!(world.samples.last().unwrap().wakeups_kind, WakeupsKind::Idle);
}

#[test]
fn degraded_samples_score_load_and_memory_keep_the_tier_and_teach_no_interval() {
    let mut world = World::new(Origin::Child);
    world.interval_ms = 135;
    world.page_in(5_000.0);
    world.live(10_000);
    assert_eq!(world.engine.tier(), Tier::Elevated);
    world.reading = Reading { degraded: true, ..Reading::default() };
    world.reading.metrics.load_avg = Some(6.0);
    world.reading.metrics.cores = Some(2);
    world.interval_ms = 100;
    world.live(20_000);
    let last = *world.samples.last().unwrap();
    assert!(last.degraded);
    assert_eq!((last.tier, last.stress.get(Factor::Load), last.expected_ns), (Tier::Elevated, 22, 100 * MS));
    world.reading.metrics.load_avg = Some(0.0);
    world.live(20_000);
    assert_eq!(world.engine.tier(), Tier::Elevated, "they never lower a tier");
    assert_eq!(world.engine.expected_ns(), Some(135 * MS));
    assert!(world.gaps().is_empty());
}

#[test]
fn new_thresholds_hold_from_the_next_sample_on() {
    let mut world = World::new(Origin::Child);
    world.reading.metrics.thermal_pressure = Some(ThermalPressure::Heavy);
    world.live(2_000);
    assert_eq!(world.engine.tier(), Tier::Sentinel);
    let mut changed = settings(Origin::Child);
    changed.tiers.elevated = 10;
    world.engine.configure(&changed);
    world.live(200);
    assert_eq!(world.engine.tier(), Tier::Elevated);
}

#[test]
fn ids_go_on_after_the_highest_on_record() {
    let mut world = World::new(Origin::Child);
    world.engine.reserve_ids(42);
    world.engine.reserve_ids(7);
    world.live(3_000);
    world.freeze(500);
    world.live(3_000);
    let ids: Vec<_> =
        world.episodes().iter().map(|(_, e)| e.id).chain(world.gaps().iter().filter_map(|g| g.id)).collect();
    assert!(ids.iter().all(|&id| id >= 42), "{ids:?}");
}
