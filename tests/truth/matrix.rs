//! The whole table, by hand: 0.3, 1, 5 and 30 s of each way.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::cases::{CASES, Judged, Means, stop_sampler, stop_sampler_for_good};
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

/// A row: how many gaps a hold-up became, how long they were together, the greatest error of one of them, how far one
/// lay outside what could be true, and whether each holds.
fn row(what: &str, gaps: &[(Truth, Value)], verdicts: &[Judged]) -> bool {
    let (mut truth, mut recorded_ms) = (Truth { least_ms: 0.0, most_ms: 0.0 }, 0.0);
    let (mut error_ms, mut outside_ms) = (0.0_f64, 0.0_f64);
    let further = |a: f64, b: f64| if b.abs() > a.abs() { b } else { a };
    let (mut made, mut holds) = (BTreeSet::new(), !gaps.is_empty());
    for (of, gap) in gaps {
        let (verdict, certain, duration_ms) = judged(gap);
        truth = Truth { least_ms: truth.least_ms + of.least_ms, most_ms: truth.most_ms + of.most_ms };
        recorded_ms += duration_ms;
        error_ms = further(error_ms, duration_ms - of.middle_ms());
        outside_ms = further(outside_ms, of.outside_ms(duration_ms));
        made.insert(format!("{verdict}{}", if certain { "" } else { ", not certain" }));
        holds &= verdicts.contains(&(verdict, certain));
    }
    holds &= outside_ms.abs() <= TOLERANCE_MS;
    println!(
        "| {what} | {} | {:.1} ± {:.1} | {recorded_ms:.1} | {error_ms:+.1} | {outside_ms:+.1} | {} | {} |",
        gaps.len(),
        truth.middle_ms(),
        (truth.most_ms - truth.least_ms) / 2.0,
        made.into_iter().collect::<Vec<_>>().join(" / "),
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
    println!(
        "| held up, how | gaps | truth, ms | recorded, ms | error, ms | outside, ms | verdict | holds |"
    );
    println!("|---|---|---|---|---|---|---|---|");
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
                if let Some(gaps) = means.hold(case, &mut subject, Duration::from_millis(length)) {
                    note(&what, row(&what, &gaps, case.verdicts));
                }
                subject.live(20);
            }
        }
        if source == Source::Sampler && wanted(ALONE) {
            for length in [500, 1_000, 4_000] {
                let what = ALONE;
                let gap = stop_sampler(&mut subject, Duration::from_millis(length));
                note(what, row(what, &[gap], &[("stall", true)]));
            }
            let what = "the sampler alone: SIGSTOP for good";
            let gap = stop_sampler_for_good(&mut subject);
            note(what, row(what, &[gap], &[("stall", true)]));
        }
    }
    let mut clock = WallClock::new();
    let mut subject = clock.subject();
    for by_s in JUMPS_S.into_iter().filter(|_| wanted(WALL)) {
        clock.jump_alone(&mut subject, by_s);
        println!("| nobody: the wall clock jumps by {by_s} s | 0 | 0 | none told | 0 | 0 | none | yes |");
        for length in LENGTHS_MS {
            let what = format!("{WALL} by {by_s} s");
            let gap = clock.jump_within(&mut subject, by_s, Duration::from_millis(length));
            note(&what, row(&what, &[gap], &[("starved", true)]));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
