//! Each verdict, and the ways in which one could be mistaken for another.

use super::world::{ALL, MS, NOTHING, Running, World, ms, settings};
use crate::engine::{Engine, Origin, Settings};
use crate::event::Verdict;
use crate::sample::{Activity, Factor, Reading};

/// The verdict, and whether the duration is within 20 ms of the truth.
#[track_caller]
pub(super) fn assert_gap(world: &World, verdict: Verdict, certain: bool, truth_ms: u64) {
    let gap = world.gap();
    assert_eq!((gap.verdict, gap.certain), (verdict, certain), "{gap:#?}");
    assert!(ms(gap.duration_ns).abs_diff(truth_ms) <= 20, "{} ms for {truth_ms}", ms(gap.duration_ns));
    let spanned = gap.ended_ns - gap.started_ns;
    assert_eq!(spanned as u64, gap.duration_ns + gap.asleep_ns);
}

#[test]
fn a_frozen_machine_is_a_pause() {
    for origin in [Origin::Child, Origin::Own] {
        for samples_first in [false, true] {
            // Wherever in the sampler's and the heartbeat's cycle it begins.
            for phase in 0..25 {
                let mut world = World::new(origin);
                world.samples_first = samples_first;
                world.live(5_000 + phase * 4);
                world.freeze(1_500);
                world.live(3_000);
                assert_gap(&world, Verdict::Pause, true, 1_500);
                let late = world.samples.iter().find(|sample| sample.latency_ratio > 2.0).unwrap();
                assert_eq!(late.stress.get(Factor::Latency), 20, "the late sample scores");
                assert_eq!(world.gap().seq, Some(late.seq));
            }
        }
    }
}

#[test]
fn a_pause_is_reported_with_the_sample_after_it_and_not_two_seconds_later() {
    let mut world = World::new(Origin::Child);
    world.live(5_000);
    world.freeze(1_500);
    world.live(250);
    assert_gap(&world, Verdict::Pause, true, 1_500);
}

#[test]
fn a_document_that_was_finished_before_the_freeze_does_not_hide_it() {
    for freeze_ms in [300, 600, 1_500, 5_000] {
        let mut world = World::new(Origin::Child);
        world.live(5_000);
        // The sampler finishes a document while we are not scheduled; then everything stops.
        world.run(100, Running { we: false, sampler: true, rest: true });
        world.freeze(freeze_ms);
        world.live(3_000);
        let gap = world.gap();
        assert_eq!((gap.verdict, gap.certain), (Verdict::Pause, true), "{freeze_ms} ms: {gap:#?}");
    }
}

#[test]
fn a_freeze_of_245_ms_is_no_event_but_scores() {
    for phase in 0..25 {
        let mut world = World::new(Origin::Child);
        world.live(5_000 + phase * 4);
        world.freeze(245);
        world.live(3_000);
        assert!(world.gaps().is_empty(), "{:#?}", world.gaps());
        assert!(world.samples.iter().any(|sample| sample.stress.get(Factor::Latency) >= 10));
        assert!(world.samples.iter().any(|sample| sample.heartbeat_ns >= Some(220 * MS)));
    }
}

#[test]
fn a_freeze_of_275_ms_is_always_a_pause() {
    for phase in 0..25 {
        let mut world = World::new(Origin::Child);
        world.live(5_000 + phase * 4);
        world.freeze(275);
        world.live(3_000);
        assert_gap(&world, Verdict::Pause, true, 275);
    }
}

#[test]
fn thirty_seconds_of_freeze_are_one_pause_of_thirty_seconds() {
    let mut world = World::new(Origin::Child);
    world.live(5_000);
    world.freeze(30_000);
    world.live(6_000);
    assert_gap(&world, Verdict::Pause, true, 30_000);
    assert!(!world.end_if_silent(), "the heartbeat did not run, so the sampler was not silent");
}

#[test]
fn who_built_up_a_pause_of_a_minute_is_still_known_after_it() {
    let mut world = World::new(Origin::Child);
    world.live(5_000);
    world.page_in(900.0);
    world.live(8_000);
    world.freeze(60_000);
    world.live(3_000);
    let pause = world.gap();
    assert_eq!(pause.culprits[0].name.as_str(), "mds_stores");
    assert!(pause.culprits[0].share > 0.5, "{:?}", pause.culprits);
}

#[test]
fn a_pause_that_nothing_follows_is_a_pause_and_the_silence_after_it_a_stall() {
    let mut world = World::new(Origin::Child);
    world.live(5_000);
    world.freeze(1_000);
    world.sampling = false;
    world.live(1_900);
    assert!(world.gaps().is_empty(), "not before two seconds are over");
    world.live(200);
    assert_gap(&world, Verdict::Pause, true, 1_000);
    while !world.end_if_silent() {
        world.live(100);
    }
    let gaps = world.gaps();
    assert_eq!(gaps.len(), 2);
    assert_eq!(gaps[1].verdict, Verdict::Stall);
    assert!(ms(gaps[1].duration_ns).abs_diff(4_900) <= 150, "{}", ms(gaps[1].duration_ns));
}

#[test]
fn a_child_that_never_writes_again_is_a_stall_until_it_is_ended() {
    let mut world = World::new(Origin::Child);
    world.live(5_000);
    world.sampling = false;
    let mut waited = 0;
    while !world.end_if_silent() {
        world.live(100);
        waited += 100;
    }
    assert!((4_900..=5_200).contains(&waited), "{waited} ms");
    assert_gap(&world, Verdict::Stall, true, waited - 100);
}

#[test]
fn a_second_freeze_is_as_certain_as_the_first() {
    let mut world = World::new(Origin::Own);
    world.live(5_000);
    for _ in 0..3 {
        world.freeze(1_000);
        world.live(2_500);
    }
    let judged: Vec<_> = world.gaps().iter().map(|gap| (gap.verdict, gap.certain)).collect();
    assert_eq!(judged, [(Verdict::Pause, true); 3]);
}

#[test]
fn a_late_sample_of_the_fast_path_confirms_no_pause() {
    let mut world = World::new(Origin::Child);
    world.reading.degraded = true;
    world.live(5_000);
    // It is this process that makes it.
    world.run(1_000, Running { we: false, sampler: false, rest: true });
    world.live(3_000);
    assert_gap(&world, Verdict::Pause, false, 1_000);
}

#[test]
fn a_sample_that_is_a_little_late_confirms_no_long_pause() {
    for hiccup_ms in [0, 130, 250] {
        let mut world = World::new(Origin::Child);
        world.live(5_000);
        world.stop_us(500);
        // The sampler had a hiccup while we were not run.
        world.run(100 + hiccup_ms, Running { we: false, sampler: false, rest: true });
        world.stop_us(600);
        world.live(3_000);
        assert_gap(&world, Verdict::Starved, true, 1_200 + hiccup_ms);
    }
    // One that was late by as much as we were stood still, too.
    let mut world = World::new(Origin::Child);
    world.live(5_000);
    world.stop_us(200);
    world.freeze(900);
    world.stop_us(100);
    world.live(3_000);
    assert_gap(&world, Verdict::Pause, true, 1_200);
}

#[test]
fn samples_that_do_not_add_up_say_that_nobody_knows() {
    let mut world = World::new(Origin::Child);
    world.live(5_000);
    // Three came meanwhile, and then none for long: not late, as the sampler says, but no account of the time either.
    world.stop_us(300);
    world.run(700, Running { we: false, sampler: false, rest: true });
    world.forget_interval();
    world.live(3_000);
    assert_gap(&world, Verdict::Pause, false, 1_000);
}

#[test]
fn a_renewed_child_that_hangs_at_its_start_is_one_stall_however_often_it_is_tried() {
    let mut world = World::new(Origin::Child);
    world.live(5_000);
    world.sampling = false;
    world.renew(100);
    for _ in 0..3 {
        world.live(10_000);
        assert!(world.end_if_silent());
        let now = world.now();
        world.engine.started(&now);
    }
    assert_gap(&world, Verdict::Stall, true, 9_900);
    // One that fails at once, after it has delivered, has left no time out.
    world.notices.clear();
    world.sampling = true;
    world.live(5_000);
    world.renew(1_000);
    world.live(900);
    world.renew(100);
    world.live(3_000);
    assert!(world.gaps().is_empty(), "{:?}", world.gaps());
}

#[test]
fn a_pause_is_as_long_as_it_was_whenever_it_begins_between_two_beats() {
    let mut errors = Vec::new();
    for offset_ms in 0..20 {
        let mut world = World::new(Origin::Child);
        world.live(5_000 + offset_ms);
        world.freeze(1_000);
        world.live(3_000);
        errors.push(ms(world.gap().duration_ns) as i64 - 1_000);
    }
    // Half a period either way is what can't be known, and nothing is left of it on average.
    assert!(errors.iter().all(|error| error.abs() <= 10), "{errors:?}");
    assert!(errors.iter().sum::<i64>().abs() <= 20, "{errors:?}");
}

#[test]
fn a_child_that_never_wrote_at_all_is_no_gap() {
    let mut world = World::new(Origin::Child);
    world.sampling = false;
    world.live(11_000);
    assert!(world.end_if_silent());
    assert!(world.gaps().is_empty());
}

#[test]
fn a_sampler_that_stands_still_while_the_heartbeat_runs_is_a_stall_and_no_stress() {
    for origin in [Origin::Child, Origin::Own] {
        let mut world = World::new(origin);
        world.live(5_000);
        world.run(1_500, Running { we: true, sampler: false, rest: true });
        world.live(3_000);
        assert_eq!(world.gap().verdict, Verdict::Stall);
        // From the moment it stood still to its next document, less what was due anyway.
        assert!((1_390..=1_520).contains(&ms(world.gap().duration_ns)), "{}", ms(world.gap().duration_ns));
        assert!(world.samples.iter().all(|sample| sample.stress.get(Factor::Latency) == 0));
    }
}

#[test]
fn the_jitter_of_a_busy_machine_is_not_taken_off_a_stall() {
    let mut world = World::new(Origin::Child);
    world.jitter_ms = 5;
    world.live(5_000);
    world.run(1_500, Running { we: true, sampler: false, rest: true });
    world.live(3_000);
    assert_eq!(world.gap().verdict, Verdict::Stall);
    assert!((1_390..=1_520).contains(&ms(world.gap().duration_ns)), "{}", ms(world.gap().duration_ns));
}

#[test]
fn stopped_and_continued_is_starved() {
    for origin in [Origin::Child, Origin::Own] {
        let mut world = World::new(origin);
        world.witness = false;
        world.live(5_000);
        world.run(1_000, Running { we: false, sampler: false, rest: true });
        world.sigcont();
        world.live(3_000);
        assert_gap(&world, Verdict::Starved, true, 1_000);
    }
}

#[test]
fn samples_that_add_up_say_that_only_we_were_starved() {
    for stop_ms in [400, 1_000, 10_000] {
        let mut world = World::new(Origin::Child);
        world.live(5_000);
        world.stop_us(stop_ms);
        world.live(3_000);
        assert_gap(&world, Verdict::Starved, true, stop_ms);
    }
}

#[test]
fn a_sampler_that_filled_its_output_and_waited_for_us_says_that_we_were_starved() {
    for stop_ms in [5_000, 30_000] {
        for samples_first in [false, true] {
            let mut world = World::new(Origin::Child);
            world.samples_first = samples_first;
            world.room = 15;
            world.live(5_000);
            world.stop_us(stop_ms);
            world.live(3_000);
            // It is no stall either, however long it takes to read all that.
            assert_gap(&world, Verdict::Starved, true, stop_ms);
            // What came before it and filled nothing decides nothing.
            world.notices.clear();
            world.freeze(1_500);
            world.live(3_000);
            assert_gap(&world, Verdict::Pause, true, 1_500);
        }
    }
}

#[test]
fn context_switches_that_went_on_say_that_only_we_were_starved() {
    let mut world = World::new(Origin::Own);
    world.live(5_000);
    world.stop_us(1_000);
    world.live(3_000);
    assert_gap(&world, Verdict::Starved, true, 1_000);
}

#[test]
fn a_late_sample_of_our_own_making_alone_is_no_certain_pause() {
    let mut world = World::new(Origin::Own);
    world.witness = false;
    world.live(5_000);
    world.freeze(1_500);
    world.live(3_000);
    assert_gap(&world, Verdict::Pause, false, 1_500);
}

#[test]
fn a_machine_of_which_nothing_is_known_but_our_lateness_paused_but_not_for_certain() {
    // The sampler's samples went missing with no late one: a short gap at a long interval.
    let mut world = World::new(Origin::Child);
    world.interval_ms = 1_000;
    world.engine = Engine::new(Settings { nominal_ns: 1_000 * MS, ..settings(Origin::Child) }, 1);
    world.live(60_000);
    world.run(300, NOTHING);
    world.live(5_000);
    let gap = world.gap();
    assert_eq!((gap.verdict, gap.certain), (Verdict::Pause, false));
}

#[test]
fn a_late_heartbeat_during_a_renewal_is_a_pause_that_is_not_certain() {
    let mut world = World::new(Origin::Child);
    world.live(5_000);
    world.renew(400);
    world.live(100);
    world.freeze(600);
    world.live(3_000);
    assert_gap(&world, Verdict::Pause, false, 600);
}

#[test]
fn a_renewal_is_no_gap() {
    let mut world = World::new(Origin::Child);
    for _ in 0..10 {
        world.live(3_000);
        world.renew(450);
    }
    world.live(3_000);
    assert!(world.gaps().is_empty(), "{:#?}", world.gaps());
    assert_eq!(world.engine.expected_ns(), Some(100 * MS));
}

#[test]
fn a_sample_that_was_stamped_before_the_freeze_and_told_after_it_decides_nothing() {
    let mut world = World::new(Origin::Own);
    world.live(5_000);
    // The sampling thread has just looked at the clock for its sample when everything stops.
    let stamp = world.now();
    world.freeze(1_500);
    world.beats_only(1);
    let reading = Reading { elapsed_ns: 100 * MS, ..Reading::default() };
    world.engine.sample(&reading, &stamp, Some(0), &mut world.notices);
    world.live(3_000);
    assert_gap(&world, Verdict::Pause, true, 1_500);
}

#[test]
fn a_gap_belongs_to_the_episode_it_fell_into_even_when_it_is_judged_later() {
    let mut world = World::new(Origin::Child);
    world.page_in(5_000.0);
    world.live(4_000);
    let episode = world.episodes()[0].1.id;
    world.page_in(0.0);
    // Paging ends a second later, the tier falls five seconds after that; the gap is in between and is judged
    // by patience, for no sample follows it.
    world.live(5_600);
    world.freeze(600);
    world.sampling = false;
    world.live(2_500);
    assert_eq!(world.gap().episode, Some(episode));
}

#[test]
fn two_stops_in_a_row_are_both_starved_by_their_own_sigcont() {
    let mut world = World::new(Origin::Own);
    world.witness = false;
    world.live(5_000);
    world.run(1_000, Running { we: false, sampler: false, rest: true });
    world.sigcont();
    world.beats_only(130);
    world.run(1_000, Running { we: false, sampler: false, rest: true });
    world.sigcont();
    world.live(3_000);
    let verdicts: Vec<_> = world.gaps().iter().map(|gap| gap.verdict).collect();
    assert_eq!(verdicts, [Verdict::Starved, Verdict::Starved]);
}

#[test]
fn two_late_beats_and_one_late_sample_are_one_pause() {
    let mut world = World::new(Origin::Child);
    world.live(5_010);
    world.freeze(400);
    world.run(40, Running { we: true, sampler: false, rest: true });
    world.freeze(500);
    world.live(3_000);
    assert_gap(&world, Verdict::Pause, true, 900);
}

#[test]
fn who_gets_a_moment_each_second_lost_all_of_the_others_in_one_gap() {
    for origin in [Origin::Child, Origin::Own] {
        // The sampling thread may get its moment before the heartbeat's: a beat that is overdue then belongs to it.
        for samples_first in [false, true] {
            let mut world = World::new(origin);
            world.samples_first = samples_first;
            world.live(5_000);
            for _ in 0..20 {
                // Wherever in the heartbeat's cycle it begins, each time.
                world.freeze(991);
                world.run(4, ALL);
            }
            world.live(3_000);
            // How long each moment was is known to half of what was left to the next beat.
            let (gap, truth) = (world.gap(), 20 * 991);
            assert_eq!((gap.verdict, gap.certain), (Verdict::Pause, true), "{gap:#?}");
            assert!(ms(gap.duration_ns).abs_diff(truth) <= 20 * 5, "{} for {truth}", ms(gap.duration_ns));
        }
    }
}

#[test]
fn a_reading_that_was_begun_in_one_moment_and_told_in_the_next_does_not_split_a_gap() {
    let mut world = World::new(Origin::Own);
    world.live(5_000);
    world.freeze(991);
    world.beats_only(1);
    // The sampling thread has looked at the clock and begun to read when everything stops again.
    let stamp = world.now();
    world.freeze(991);
    let reading = Reading { elapsed_ns: 1_000 * MS, ..Reading::default() };
    world.engine.activity(&world.now(), Activity::default());
    world.engine.sample(&reading, &stamp, Some(0), &mut world.notices);
    world.live(3_000);
    assert_gap(&world, Verdict::Pause, true, 1_982);
}

#[test]
fn two_gaps_back_to_back_are_two_pauses() {
    let mut world = World::new(Origin::Child);
    world.live(5_000);
    world.freeze(700);
    world.live(350);
    world.freeze(1_200);
    world.live(3_000);
    let durations: Vec<_> = world.gaps().iter().map(|gap| (gap.verdict, ms(gap.duration_ns))).collect();
    assert_eq!(durations.len(), 2, "{durations:?}");
    for ((verdict, duration), truth) in durations.into_iter().zip([700, 1_200]) {
        assert_eq!(verdict, Verdict::Pause);
        assert!(duration.abs_diff(truth) <= 20, "{duration} for {truth}");
    }
}

#[test]
fn a_machine_that_becomes_slower_for_good_is_late_for_a_while_and_then_on_time() {
    let mut world = World::new(Origin::Child);
    world.live(10_000);
    world.interval_ms = 450;
    world.live(30_000);
    let stalls = world.gaps().len();
    assert!(world.gaps().iter().all(|gap| gap.verdict == Verdict::Stall));
    assert!((20..=25).contains(&stalls), "{stalls}");
    assert_eq!(world.engine.expected_ns(), Some(450 * MS));
    world.live(30_000);
    assert_eq!(world.gaps().len(), stalls, "no more of them");
    world.freeze(2_000);
    world.live(5_000);
    let last = *world.gaps().last().unwrap();
    assert_eq!((last.verdict, last.certain), (Verdict::Pause, true), "a pause is still a pause");
}

#[test]
fn what_is_undecided_when_everything_ends_is_decided_then() {
    let mut world = World::new(Origin::Child);
    world.live(5_000);
    world.freeze(1_000);
    world.sampling = false;
    world.live(20);
    let now = world.now();
    world.engine.finish(&now, &mut world.notices);
    // For a second witness there was no time.
    assert_gap(&world, Verdict::Pause, false, 1_000);
}
