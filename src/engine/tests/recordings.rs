//! Recordings tell the story of the live run that they come from.

use super::world::{MS, Running, World, ms, settings};
use crate::clock::Stamp;
use crate::engine::{Beat, Engine, Origin};
use crate::event::{Notice, Told, Verdict};
use crate::sample::{Factor, Reading};

#[test]
fn a_recording_without_heartbeats_pauses_where_its_interval_is_late() {
    let mut engine = Engine::new(settings(Origin::Recording), 1);
    let mut notices = Vec::new();
    let mut at = Stamp { unix_ns: 1_700_000_000_000_000_000, ..Stamp::default() };
    for index in 0..60 {
        let elapsed_ns = if index == 40 { 1_620 * MS } else { 120 * MS };
        at.awake_ns += elapsed_ns;
        at.total_ns += elapsed_ns;
        at.unix_ns += elapsed_ns as i64;
        let sample = engine.sample(&Reading { elapsed_ns, ..Reading::default() }, &at, None, &mut notices);
        assert_eq!((sample.interval_ns, sample.heartbeat_ns), (None, None));
        assert_eq!(sample.stress.get(Factor::Latency), if index == 40 { 20 } else { 0 });
    }
    let gaps: Vec<_> =
        notices.iter().filter_map(|n| if let Notice::Gap(gap) = n { Some(gap) } else { None }).collect();
    assert_eq!(gaps.len(), 1);
    assert_eq!((gaps[0].verdict, gaps[0].certain, ms(gaps[0].duration_ns)), (Verdict::Pause, true, 1_500));
}

#[test]
fn a_recording_with_heartbeats_tells_the_story_of_the_live_run() {
    let story = |world: &World| -> Vec<(Verdict, u64)> {
        world.gaps().iter().map(|gap| (gap.verdict, ms(gap.duration_ns) / 50)).collect()
    };
    for (name, act) in [
        ("pause", (|world: &mut World| world.freeze(1_480)) as fn(&mut World)),
        ("starved", |world| world.stop_us(2_000)),
        ("stall", |world| world.run(1_480, Running { we: true, sampler: false, rest: true })),
    ] {
        let mut live = World::new(Origin::Child);
        live.samples_first = true;
        live.live(5_000);
        act(&mut live);
        live.live(4_000);
        let mut replayed = World::new(Origin::Recording);
        let mut at = replayed.now();
        for sample in &live.samples {
            let arrival_ns = sample.interval_ns.unwrap_or(sample.elapsed_ns);
            at.awake_ns += arrival_ns;
            at.total_ns += arrival_ns;
            at.unix_ns = sample.time_ns;
            if let Some(delay_ns) = sample.heartbeat_ns {
                replayed.engine.beat(&Beat { at, delay_ns }, &mut replayed.notices);
            }
            let reading = Reading { elapsed_ns: sample.elapsed_ns, ..Reading::default() };
            let again = replayed.engine.sample(&reading, &at, None, &mut replayed.notices);
            assert_eq!(again.stress, sample.stress, "{name}, sample {}", sample.seq);
        }
        replayed.engine.finish(&at, &mut replayed.notices);
        assert_eq!(story(&replayed), story(&live), "{name}");
        assert!(!story(&live).is_empty());
    }
}

/// When a recording says what was made of its gaps.
#[derive(Clone, Copy, Debug)]
enum When {
    First,
    AsItWas,
    Last,
    Never,
}

/// Replays a live run's samples.
fn replayed(live: &World, when: When) -> World {
    replayed_with(live, when, u64::MAX)
}

/// The same; before the sample of that number the source was started anew.
fn replayed_with(live: &World, when: When, restarted: u64) -> World {
    let told: Vec<Told> = live
        .gaps()
        .iter()
        .map(|gap| Told {
            verdict: gap.verdict,
            certain: gap.certain,
            ended_ns: gap.ended_ns,
            duration_ns: gap.duration_ns,
        })
        .collect();
    let mut replayed = World::new(Origin::Recording);
    let mut at = replayed.now();
    let mut left = told.into_iter().peekable();
    match when {
        When::First => left.by_ref().for_each(|told| replayed.engine.told(told)),
        When::Never => left.by_ref().for_each(drop),
        When::AsItWas | When::Last => {}
    }
    for sample in &live.samples {
        let arrival_ns = sample.interval_ns.unwrap_or(sample.elapsed_ns);
        at.awake_ns += arrival_ns;
        at.total_ns += arrival_ns;
        at.unix_ns = sample.time_ns;
        // A second late, as a case that waits for its witnesses is.
        let is_due =
            |told: &Told| told.ended_ns + 1_000_000_000 < sample.time_ns && matches!(when, When::AsItWas);
        while let Some(told) = left.next_if(is_due) {
            replayed.engine.told(told);
        }
        if sample.seq == restarted {
            replayed.engine.started(&at);
        }
        if let Some(delay_ns) = sample.heartbeat_ns {
            replayed.engine.beat(&Beat { at, delay_ns }, &mut replayed.notices);
        }
        let reading = Reading { elapsed_ns: sample.elapsed_ns, ..Reading::default() };
        replayed.engine.sample(&reading, &at, None, &mut replayed.notices);
    }
    left.for_each(|told| replayed.engine.told(told));
    replayed.engine.finish(&at, &mut replayed.notices);
    replayed
}

#[test]
fn a_recording_tells_what_was_made_of_a_gap_though_it_lacks_what_decided_it() {
    let story =
        |world: &World| -> Vec<_> { world.gaps().iter().map(|gap| (gap.verdict, gap.certain)).collect() };
    let mut live = World::new(Origin::Own);
    live.live(5_000);
    // SIGCONT says that only we stood still, the kernel's counters that all did: neither is in the samples.
    live.stop_us(1_480);
    live.live(8_000);
    live.freeze(2_200);
    live.live(4_000);
    assert_eq!(story(&live), [(Verdict::Starved, true), (Verdict::Pause, true)]);
    for when in [When::First, When::AsItWas] {
        assert_eq!(story(&replayed(&live, when)), story(&live), "{when:?}");
    }
    let untold = story(&replayed(&live, When::Never));
    assert_eq!(untold, [(Verdict::Pause, false), (Verdict::Pause, false)], "nobody knows any more");
}

/// What was told, to 50 ms.
fn told(world: &World) -> Vec<(Verdict, bool, u64)> {
    world.gaps().iter().map(|gap| (gap.verdict, gap.certain, (ms(gap.duration_ns) + 25) / 50)).collect()
}

#[test]
fn a_recording_tells_a_silence_that_no_sample_of_it_shows() {
    for freeze_ms in [0, 1_000] {
        let mut live = World::new(Origin::Child);
        live.live(5_000);
        live.freeze(freeze_ms);
        live.sampling = false;
        while !live.end_if_silent() {
            live.live(100);
        }
        let now = live.now();
        live.engine.started(&now);
        live.sampling = true;
        let restarted = live.samples.last().unwrap().seq + 1;
        live.live(5_000);
        live.freeze(700);
        live.live(5_000);
        let verdicts: Vec<Verdict> = live.gaps().iter().map(|gap| gap.verdict).collect();
        let all = [Verdict::Pause, Verdict::Stall, Verdict::Pause];
        assert_eq!(verdicts, all[usize::from(freeze_ms == 0)..]);
        for when in [When::First, When::AsItWas] {
            let again = replayed_with(&live, when, restarted);
            assert_eq!(told(&again), told(&live), "{when:?}, {freeze_ms} ms");
            let times = |world: &World| -> Vec<_> {
                world.gaps().iter().map(|gap| (gap.started_ns, gap.ended_ns)).collect()
            };
            assert_eq!(times(&again), times(&live));
        }
    }
}

#[test]
fn a_recording_that_ends_before_the_pause_tells_it_all_the_same() {
    let mut live = World::new(Origin::Child);
    live.live(5_000);
    let before = live.samples.len();
    live.freeze(1_000);
    live.sampling = false;
    live.live(3_000);
    live.samples.truncate(before);
    assert_eq!(told(&live), [(Verdict::Pause, true, 20)]);
    for when in [When::First, When::Last] {
        let again = replayed(&live, when);
        assert_eq!(told(&again), told(&live), "{when:?}");
    }
}

#[test]
fn a_recording_tells_how_long_a_gap_of_many_waits_was() {
    let mut live = World::new(Origin::Child);
    live.live(5_000);
    for _ in 0..4 {
        live.freeze(300);
        live.run(20, Running { we: true, sampler: false, rest: true });
    }
    live.live(5_000);
    let ended_by = live.gap().seq.unwrap();
    for when in [When::First, When::AsItWas] {
        assert_eq!(told(&replayed(&live, when)), told(&live), "{when:?}");
    }
    // The evidence of an event ends with the gap.
    live.samples.retain(|sample| sample.seq <= ended_by);
    assert_eq!(told(&replayed(&live, When::Last)), told(&live));
}

#[test]
fn what_a_recording_tells_and_shows_is_one_gap() {
    let mut live = World::new(Origin::Child);
    live.live(5_000);
    live.run(1_480, Running { we: true, sampler: false, rest: true });
    live.live(8_000);
    live.freeze(2_200);
    live.live(8_000);
    let verdicts: Vec<Verdict> = live.gaps().iter().map(|gap| gap.verdict).collect();
    assert_eq!(verdicts, [Verdict::Stall, Verdict::Pause]);
    for when in [When::First, When::AsItWas] {
        let mut without_heartbeat = World::new(Origin::Child);
        without_heartbeat.notices.clone_from(&live.notices);
        without_heartbeat.samples = live
            .samples
            .iter()
            .map(|sample| crate::sample::Sample { heartbeat_ns: None, ..*sample })
            .collect();
        assert_eq!(told(&replayed(&live, when)), told(&live), "{when:?}");
        // Of a recording of a recording; without a heartbeat each is a pause until it is told what it was.
        without_heartbeat
            .notices
            .retain(|notice| matches!(notice, Notice::Gap(gap) if gap.verdict == Verdict::Pause));
        assert!(told(&replayed(&without_heartbeat, when)).contains(&(Verdict::Pause, true, 44)));
        assert_eq!(replayed(&without_heartbeat, when).gaps().len(), 2, "{when:?}");
    }
}

#[test]
fn what_is_told_of_the_time_before_a_recording_is_none_of_its_gaps() {
    let mut live = World::new(Origin::Child);
    live.live(5_000);
    live.freeze(1_000);
    live.live(20_000);
    let gap_ns = live.gap().ended_ns;
    let begin_ns = |live: &World| live.samples[0].time_ns - live.samples[0].elapsed_ns as i64;
    // The event before is among those that an export tells of.
    live.samples.retain(|sample| sample.time_ns > gap_ns + 5_000_000_000);
    assert!(begin_ns(&live) > gap_ns);
    for when in [When::First, When::Last] {
        assert!(replayed(&live, when).gaps().is_empty(), "{when:?}");
    }
}
