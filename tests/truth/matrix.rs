//! The whole table, by hand: 0.3, 1, 5 and 30 s of each way.

use std::time::Duration;

use crate::cases::{CASES, Means, stop_sampler};
use crate::held::{TOLERANCE_MS, judged};
use crate::kernel::be_prompt;
use crate::subject::{Source, Subject};
use crate::wall::{JUMPS_S, WallClock};
use crate::ways::Truth;

const LENGTHS_MS: [u64; 4] = [300, 1_000, 5_000, 30_000];

const ALONE: &str = "the sampler alone: SIGSTOP";
const WALL: &str = "daemon (linux): SIGSTOP, the wall clock jumps";

/// Whether a row is asked for: all are, or those with certain words in their names.
fn wanted(name: &str) -> bool {
    std::env::var("TRUTH_ROWS").map_or(true, |words| name.contains(&words))
}

/// A row, and whether it holds.
fn row(what: &str, truth: &Truth, gap: &serde_json::Value, verdicts: &[(&str, bool)]) -> bool {
    let (verdict, certain, duration_ms) = judged(gap);
    let outside_ms = truth.outside_ms(duration_ms);
    let holds = outside_ms.abs() <= TOLERANCE_MS && verdicts.contains(&(verdict, certain));
    println!(
        "| {what} | {:.1} ± {:.1} | {duration_ms:.1} | {:+.1} | {verdict}{} | {} |",
        truth.middle_ms(),
        (truth.most_ms - truth.least_ms) / 2.0,
        duration_ms - truth.middle_ms(),
        if certain { "" } else { ", not certain" },
        if holds { "yes" } else { "NO" }
    );
    holds
}

#[test]
#[ignore = "a quarter of an hour, and it wants a quiet machine: run it by hand"]
fn the_table_of_errors() {
    be_prompt(50);
    let means = Means::new();
    let mut failed = Vec::new();
    println!("| held up, how | truth, ms | recorded, ms | error, ms | verdict | holds |");
    println!("|---|---|---|---|---|---|");
    let mut note = |what: &str, held: bool| {
        if !held {
            failed.push(what.to_owned())
        }
    };
    for source in [Source::Linux, Source::Sampler] {
        let mut subject = Subject::start(source);
        for case in CASES.iter().filter(|case| case.source == source && wanted(&case.name())) {
            for length in LENGTHS_MS {
                let what = case.name();
                if let Some((truth, gap)) = means.hold(case, &mut subject, Duration::from_millis(length)) {
                    note(&what, row(&what, &truth, &gap, case.verdicts));
                }
                subject.live(20);
            }
        }
        if source == Source::Sampler && wanted(ALONE) {
            for length in [500, 1_000, 4_000] {
                let what = ALONE;
                let (truth, gap) = stop_sampler(&mut subject, Duration::from_millis(length));
                note(what, row(what, &truth, &gap, &[("stall", true)]));
            }
        }
    }
    let mut clock = WallClock::new();
    let mut subject = clock.subject();
    for by_s in JUMPS_S.into_iter().filter(|_| wanted(WALL)) {
        clock.jump_alone(&mut subject, by_s);
        println!("| nobody: the wall clock jumps by {by_s} s | 0 | none told | 0 | none | yes |");
        for length in LENGTHS_MS {
            let what = format!("{WALL} by {by_s} s");
            let (truth, gap) = clock.jump_within(&mut subject, by_s, Duration::from_millis(length));
            note(&what, row(&what, &truth, &gap, &[("starved", true)]));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
