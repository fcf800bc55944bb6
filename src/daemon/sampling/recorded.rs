//! A recording or a simulation, at its own pace, faster, or as fast as it goes.

use std::path::Path;
use std::thread;
use std::time::Duration;

use super::{Sampler, SourceState};
use crate::clock;
use crate::config::Scenario;
use crate::daemon::player::{Player, Step};
use crate::sample::SourceInfo;
use crate::source::replay::{Replay, Speed};
use crate::source::simulate::{Simulator, SimulatorSettings};

/// How long it sleeps at most before it looks whether it is to end, ns.
const SLICE_NS: u64 = 100_000_000;
/// Room that a step may need in the hand-over.
const ROOM: usize = 32;

/// Plays a recording to its end.
pub(super) fn replay(sampler: &mut Sampler, path: &Path, speed: Speed) {
    let stop = std::sync::Arc::clone(&sampler.stop);
    match Replay::open(path, stop) {
        Ok(replay) => play(sampler, Player::new(replay, clock::unix_ns(), true), speed),
        Err(error) => sampler.cant_start(error.to_string()),
    }
}

/// Plays a simulation until it is asked to end.
pub(super) fn simulate(sampler: &mut Sampler, scenario: Scenario, speed: Speed) {
    let start = clock::unix_ns();
    let settings =
        SimulatorSettings { start_unix_s: start.div_euclid(1_000_000_000), ..SimulatorSettings::default() };
    let stream = Simulator::new(scenario, settings).into_stream();
    play(sampler, Player::new(Replay::new(Box::new(stream)), start, false), speed);
}

fn play(sampler: &mut Sampler, mut player: Player, speed: Speed) {
    let mut info = SourceInfo::default();
    // On the clock that stops in sleep: when the next step is due. Counted from step to step, so that a
    // machine that slept does not have to catch up.
    let mut due_ns = clock::awake_ns();
    while !sampler.stopping() {
        sampler.obey();
        let step = match player.step(&mut sampler.engine, &mut sampler.notices) {
            Ok(Some(step)) => step,
            Ok(None) => break,
            Err(error) => {
                if sampler.started.is_some() {
                    return sampler.cant_start(error.to_string());
                }
                sampler.source(SourceState::Down, info, Some(error.to_string()));
                sampler.failed(error.to_string());
                break;
            }
        };
        if sampler.started.is_some() {
            sampler.is_started();
            if let Step::Info(told) = step {
                info = told;
            }
            sampler.source(SourceState::Up, info, None);
        }
        match step {
            Step::Sample(sample, arrival_ns) => {
                match speed.delay(arrival_ns) {
                    Some(delay) => {
                        due_ns += u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX / 2);
                        pace(sampler, due_ns);
                    }
                    None => wait_for_room(sampler),
                }
                sampler.deliver(sample, &player.now());
            }
            Step::Info(told) if told != info => {
                info = told;
                sampler.source(SourceState::Up, info, None);
            }
            Step::Info(_) | Step::Told => {}
            Step::Rejected(reject) => {
                wait_for_room(sampler);
                sampler.rejected(reject);
            }
            Step::Restarted => sampler.source(SourceState::Restarting, info, None),
        }
        sampler.hand_over();
    }
    sampler.is_started();
    sampler.finish(&player.now());
}

/// Sleeps until the step is due, or it is asked to end.
fn pace(sampler: &Sampler, due_ns: u64) {
    loop {
        let now_ns = clock::awake_ns();
        if now_ns >= due_ns || sampler.stopping() {
            return;
        }
        clock::sleep_until(due_ns.min(now_ns + SLICE_NS));
    }
}

/// At full speed nothing is dropped: the recording can wait, and loses nothing by it.
fn wait_for_room(sampler: &mut Sampler) {
    while !sampler.outlet.has_room(ROOM) && !sampler.stopping() {
        sampler.outlet.wake();
        thread::sleep(Duration::from_micros(200));
    }
}
