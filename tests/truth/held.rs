//! Stopped and frozen, for a short time: what is told of that is within 20 ms of the truth, with the verdict that is due.
//! The other ways have others take part, so they want a machine that does nothing else: `matrix.rs`.

use std::time::Duration;

use serde_json::Value;

use crate::cases::{CASES, Judged, Means, Way, stop_sampler};
use crate::kernel::be_prompt;
use crate::subject::{Source, Subject};
use crate::ways::Truth;

/// How far from the truth the duration of a pause may be, ms.
pub(crate) const TOLERANCE_MS: f64 = 20.0;
/// A busy machine may take the processor from the heartbeat between its wake and its look at the clock, and nobody can
/// see that: so often it is tried once more.
const ATTEMPTS: usize = 4;

/// What the daemon made of it.
pub(crate) fn judged(gap: &Value) -> (&str, bool, f64) {
    (
        gap["verdict"].as_str().unwrap(),
        gap["certain"].as_bool().unwrap(),
        gap["duration_ms"].as_f64().unwrap(),
    )
}

/// Holds up until what is told is true: with one of these verdicts, each time but for once, when something else may have been
/// late besides, and with the right duration at last. `None` is for what is not permitted.
pub(crate) fn within(what: &str, verdicts: &[Judged], mut hold: impl FnMut() -> Option<(Truth, Value)>) {
    let (mut told, mut wrong) = (Vec::new(), 0);
    for _ in 0..ATTEMPTS {
        let Some((truth, gap)) = hold() else { return };
        let (verdict, certain, duration_ms) = judged(&gap);
        let line = format!(
            "{what}: {verdict}, certain: {certain}, {duration_ms:.1} ms of {:.1} to {:.1}",
            truth.least_ms, truth.most_ms,
        );
        println!("{line}");
        told.push(line);
        if !verdicts.contains(&(verdict, certain)) {
            wrong += 1;
            assert!(wrong <= 1, "not with the verdict that is due:\n{}", told.join("\n"));
        } else if truth.outside_ms(duration_ms).abs() <= TOLERANCE_MS {
            return;
        }
    }
    panic!("not within {TOLERANCE_MS} ms:\n{}", told.join("\n"));
}

/// The cases of a source in which nobody else takes part, so long.
fn all(source: Source, subject: &mut Subject, means: &Means, lengths_ms: &[u64]) {
    let cases = CASES.iter().filter(|case| case.source == source);
    for case in cases.filter(|case| matches!(case.way, Way::Stop | Way::Freeze)) {
        for &length in lengths_ms {
            let length = Duration::from_millis(length);
            within(&case.name(), case.verdicts, || means.hold(case, subject, length)?.pop());
        }
    }
}

#[test]
fn a_daemon_that_reads_the_kernel_tells_the_truth_of_a_hold_up() {
    be_prompt(50);
    let means = Means::new();
    let mut subject = Subject::start(Source::Linux);
    all(Source::Linux, &mut subject, &means, &[300, 900]);
}

#[test]
fn a_daemon_with_a_sampler_tells_the_truth_of_a_hold_up() {
    be_prompt(50);
    let means = Means::new();
    let mut subject = Subject::start(Source::Sampler);
    all(Source::Sampler, &mut subject, &means, &[400, 900]);
    within("the sampler alone: SIGSTOP", &[("stall", true)], || {
        Some(stop_sampler(&mut subject, Duration::from_millis(1_000)))
    });
    subject.end();
}
