//! Sleep, waking, and clocks that are set: none of it is a gap.

use super::gaps::assert_gap;
use super::world::{MS, World, ms};
use crate::engine::Origin;
use crate::event::Verdict;
use crate::sample::Reading;

#[test]
fn the_first_five_seconds_after_a_wake_are_still_the_waking() {
    for (after_ms, delay_ms, verdict) in [
        (4_800, 1_000, Verdict::Sleep),
        (5_200, 1_000, Verdict::Pause),
        (2_000, 4_900, Verdict::Sleep),
        (2_000, 5_100, Verdict::Pause),
    ] {
        let mut world = World::new(Origin::Child);
        world.live(5_000);
        world.sleep(3_600_000);
        world.live(after_ms);
        world.notices.clear();
        world.freeze(delay_ms);
        world.live(4_000);
        assert_eq!(world.gap().verdict, verdict, "{delay_ms} ms, {after_ms} after the wake");
    }
}

#[test]
fn suspend_with_its_seconds_of_going_down_is_sleep() {
    let mut world = World::new(Origin::Own);
    world.live(5_000);
    world.freeze(2_000);
    world.sleep(3_600_000);
    world.freeze(700);
    world.live(3_000);
    let gap = world.gap();
    assert_eq!((gap.verdict, gap.id), (Verdict::Sleep, None));
    assert_eq!(ms(gap.duration_ns), 3_600_000);
    assert!(
        world.samples.iter().all(|sample| sample.latency_ratio < 2.0),
        "the first after a wake is not late"
    );
    assert!(world.episodes().is_empty());
}

#[test]
fn sleep_without_lateness_is_counted_as_sleep() {
    for samples_first in [false, true] {
        for phase in 0..25 {
            let mut world = World::new(Origin::Child);
            world.samples_first = samples_first;
            world.live(5_000 + phase * 4);
            world.sleep(60_000);
            world.live(3_000);
            let gap = world.gap();
            assert_eq!((gap.verdict, ms(gap.duration_ns), gap.id), (Verdict::Sleep, 60_000, None));
        }
    }
}

#[test]
fn the_seconds_of_waking_are_still_sleep() {
    let mut world = World::new(Origin::Child);
    world.live(5_000);
    world.sleep(60_000);
    world.live(2_000);
    world.freeze(900);
    world.live(3_000);
    let verdicts: Vec<_> = world.gaps().iter().map(|gap| gap.verdict).collect();
    assert_eq!(verdicts, [Verdict::Sleep, Verdict::Sleep]);
    assert!(world.gaps().iter().all(|gap| gap.id.is_none()));
}

#[test]
fn a_sampler_that_dies_after_a_sleep_is_no_stall() {
    let mut world = World::new(Origin::Child);
    world.live(5_000);
    world.sampling = false;
    world.sleep(3_600_000);
    world.live(2_000);
    world.renew(400);
    world.sampling = true;
    world.live(3_000);
    assert_eq!(world.gap().verdict, Verdict::Sleep);
}

#[test]
fn a_delay_of_five_seconds_is_more_than_waking() {
    let mut world = World::new(Origin::Child);
    world.live(5_000);
    world.sleep(60_000);
    world.freeze(6_000);
    world.live(3_000);
    let gap = world.gap();
    assert_eq!(gap.verdict, Verdict::Pause);
    assert_eq!(ms(gap.asleep_ns), 60_000);
    assert!(ms(gap.duration_ns).abs_diff(6_000) <= 20);
}

#[test]
fn a_first_document_that_includes_the_sleep_is_no_gap() {
    let mut world = World::new(Origin::Child);
    world.live(5_000);
    world.sleep(60_000);
    // The document under way when it slept comes on time; the next one counts the sleep.
    world.live(100);
    let reading = Reading { elapsed_ns: 60_100 * MS, ..Reading::default() };
    let now = world.now();
    world.engine.sample(&reading, &now, Some(0), &mut world.notices);
    world.live(3_000);
    assert_eq!(world.gap().verdict, Verdict::Sleep);
}

#[test]
fn a_clock_that_steps_back_is_no_gap() {
    for step in [1, 50, 900, 5_000, 86_400_000] {
        let mut world = World::new(Origin::Child);
        world.live(5_000);
        world.step_wall_back(step as i64);
        world.step_clock_back(step.min(900_000));
        world.live(3_000);
        assert!(world.gaps().iter().all(|gap| gap.verdict == Verdict::Sleep), "{:#?}", world.gaps());
        assert!(world.samples.iter().all(|sample| sample.interval_ns.is_none_or(|ns| ns <= 101 * MS)));
        // What comes after it is judged as ever, once it can't be the waking.
        world.live(3_000);
        world.notices.clear();
        world.freeze(1_500);
        world.live(3_000);
        assert_gap(&world, Verdict::Pause, true, 1_500);
    }
}

#[test]
fn an_episode_in_which_a_clock_steps_back_is_as_long_as_it_was() {
    let length_ms = |step_ms| {
        let mut world = World::new(Origin::Child);
        world.page_in(5_000.0);
        world.live(10_000);
        world.step_clock_back(step_ms);
        world.live(10_000);
        world.page_in(0.0);
        world.live(10_000);
        let (what, episode) = *world.episodes().last().unwrap();
        assert_eq!(what, "closed");
        ms(episode.duration_ns.unwrap())
    };
    let truth_ms = length_ms(0);
    for step_ms in [1, 50, 900, 5_000, 900_000] {
        let told_ms = length_ms(step_ms);
        // What is less than the least sleep may be a stamp that was handed over late.
        assert!(told_ms.abs_diff(truth_ms) <= 100, "{told_ms} ms of {truth_ms}, {step_ms} back");
    }
}

#[test]
fn a_wall_clock_that_jumps_is_no_gap() {
    for step in [-86_400_000, 86_400_000] {
        let mut world = World::new(Origin::Own);
        world.live(5_000);
        world.step_wall_back(step);
        world.live(3_000);
        assert!(world.gaps().is_empty());
        assert!(world.samples.iter().all(|sample| sample.interval_ns.is_none_or(|ns| ns <= 101 * MS)));
    }
}
