//! This machine's kernel, read every 100 ms.

use super::{Live, Sampler, SourceState, Ticks};
use crate::clock;
use crate::engine::FAST_PATH_NS;
use crate::privileges;
use crate::source::linux::LinuxSource;

/// Reads until it is asked to end.
pub(super) fn run(sampler: &mut Sampler) {
    let mut live = match Live::new() {
        Ok(live) => live,
        Err(error) => return sampler.cant_start(format!("the heartbeat can't start: {error}")),
    };
    // After that: a thread starts with what is in force in its maker.
    privileges::raise();
    let mut source = match LinuxSource::new() {
        Ok(source) => source,
        Err(error) => return sampler.cant_start(error.to_string()),
    };
    let mut last = clock::now();
    sampler.engine.started(&last);
    sampler.is_started();
    sampler.source(SourceState::Up, source.info(), None);
    // Rates need two readings.
    source.read(FAST_PATH_NS);
    let mut ticks = Ticks::new(FAST_PATH_NS, last.awake_ns);
    while !sampler.stopping() {
        clock::sleep_until(ticks.due_ns);
        let at = clock::now();
        if !ticks.due(at.awake_ns) {
            continue;
        }
        live.listen(sampler, &at);
        live.witness(sampler);
        let elapsed_ns = at.awake_since(&last).max(1);
        last = at;
        let reading = source.read(elapsed_ns);
        live.sample(sampler, reading, &at);
    }
    sampler.finish(&clock::now());
}
