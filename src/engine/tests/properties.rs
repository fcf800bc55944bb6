//! Whatever comes in, in any order.

use proptest::prelude::*;

use super::world::{ALL, World, ms, settings};
use crate::clock::Stamp;
use crate::engine::{Beat, Engine, Origin};
use crate::event::{Notice, Verdict};
use crate::sample::{Activity, Reading};

/// Whatever may come in, in any order.
#[derive(Clone, Debug)]
enum Input {
    Beat(u64),
    Sample { elapsed: u64, overdue: Option<u64>, degraded: bool },
    Activity(u64, [Option<u64>; 3]),
    Continued,
    HeldUp,
    Started,
    Ended,
    Poll(u64),
}

fn any_input() -> impl Strategy<Value = Input> {
    prop_oneof![
        4 => (0u64..60_000_000_000).prop_map(Input::Beat),
        4 => (1u64..20_000_000_000, prop::option::of(0u64..5_000_000_000), any::<bool>())
            .prop_map(|(elapsed, overdue, degraded)| Input::Sample { elapsed, overdue, degraded }),
        1 => (any::<u64>(), any::<[Option<u64>; 3]>())
            .prop_map(|(switches, pressure)| Input::Activity(switches, pressure)),
        1 => Just(Input::Continued),
        1 => Just(Input::HeldUp),
        1 => Just(Input::Started),
        1 => Just(Input::Ended),
        1 => (0u64..60_000_000_000).prop_map(Input::Poll),
    ]
}

fn play(inputs: &[(Stamp, Input)]) -> (Vec<Notice>, Vec<crate::sample::Sample>) {
    let mut engine = Engine::new(settings(Origin::Child), 1);
    let (mut notices, mut samples) = (Vec::new(), Vec::new());
    for (at, input) in inputs {
        match input {
            Input::Beat(delay_ns) => engine.beat(&Beat { at: *at, delay_ns: *delay_ns }, &mut notices),
            Input::Sample { elapsed, overdue, degraded } => {
                let reading = Reading { elapsed_ns: *elapsed, degraded: *degraded, ..Reading::default() };
                samples.push(engine.sample(&reading, at, *overdue, &mut notices));
            }
            Input::HeldUp => engine.held_up(at),
            Input::Activity(switches, pressure) => {
                engine.activity(at, Activity { context_switches: *switches, pressure_us: *pressure });
            }
            Input::Continued => engine.continued(at.awake_ns),
            Input::Started => engine.started(at),
            Input::Ended => engine.ended(at, 0, &mut notices),
            Input::Poll(overdue) => engine.poll(at, *overdue, &mut notices),
        }
    }
    if let Some((at, _)) = inputs.last() {
        engine.finish(at, &mut notices);
    }
    (notices, samples)
}

proptest! {
    #[test]
    fn whatever_the_clocks_do_time_never_runs_backwards_and_the_same_input_gives_the_same_output(
        inputs in prop::collection::vec(
            ((any::<u64>(), any::<u64>(), any::<i64>()).prop_map(|(awake_ns, total_ns, unix_ns)| {
                Stamp { awake_ns, total_ns, unix_ns }
            }), any_input()),
            0..120,
        ),
    ) {
        let (notices, samples) = play(&inputs);
        prop_assert!(samples.is_sorted_by(|a, b| a.seq < b.seq));
        let mut ids = Vec::new();
        for notice in &notices {
            match notice {
                Notice::Gap(gap) => {
                    prop_assert!(gap.started_ns <= gap.ended_ns);
                    prop_assert_eq!(gap.id.is_none(), gap.verdict == Verdict::Sleep);
                    ids.extend(gap.id);
                }
                Notice::EpisodeOpened(episode) => ids.push(episode.id),
                Notice::EpisodeClosed(episode) => {
                    prop_assert!(episode.ended_ns >= Some(episode.started_ns));
                }
                _ => {}
            }
        }
        prop_assert!(ids.is_sorted_by(|a, b| a < b), "every event has a number of its own: {:?}", ids);
        let opened = notices.iter().filter(|n| matches!(n, Notice::EpisodeOpened(_))).count();
        let closed = notices.iter().filter(|n| matches!(n, Notice::EpisodeClosed(_))).count();
        prop_assert_eq!(opened, closed);
        let (again, same_samples) = play(&inputs);
        prop_assert_eq!(notices, again);
        prop_assert_eq!(samples, same_samples);
    }

    #[test]
    fn a_pause_anywhere_of_any_length_is_recorded_within_20_ms(
        before in 3_000u64..6_000, freeze in 275u64..20_000, own in any::<bool>(), samples_first in any::<bool>(),
    ) {
        let mut world = World::new(if own { Origin::Own } else { Origin::Child });
        world.samples_first = samples_first;
        world.live(before);
        world.freeze(freeze);
        world.run(3_000, ALL);
        let gap = world.gap();
        prop_assert_eq!((gap.verdict, gap.certain), (Verdict::Pause, true));
        prop_assert!(ms(gap.duration_ns).abs_diff(freeze) <= 20);
    }
}
