use clap::Parser;

use super::*;
use crate::output::store::{EventRow, Incident, PeakRow, TierSteps};
use crate::sample::Stress;
use crate::wire::CulpritLine;

pub(super) const T0: i64 = 1_795_338_611_123_000_000;

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn parse(line: &str) -> Result<Args, clap::Error> {
    Cli::try_parse_from(std::iter::once("events").chain(line.split_whitespace())).map(|cli| cli.args)
}

pub(super) fn pause(id: EventId) -> StoredEvent {
    StoredEvent {
        row: EventRow {
            id,
            kind: Kind::Pause,
            verdict: Some(crate::event::Verdict::Pause),
            certain: Some(true),
            started_ns: T0,
            ended_ns: Some(T0 + 1_520_000_000),
            last_seen_ns: T0,
            duration_ns: Some(1_520_000_000),
            interrupted: None,
            continued: false,
            peak: Some(PeakRow {
                time_ns: T0,
                stress: Stress::new([3, 23, 0, 20, 0, 0, 0, 28]),
                tier: Tier::Critical,
                top: None,
            }),
            tiers: None,
            culprits: vec![CulpritLine {
                pid: 501,
                name: "mds\u{1b}[31m_stores".into(),
                share: 0.61,
                factors: Default::default(),
                evidence: "pageins 3/s → 840/s".into(),
            }],
            incident: Incident::default(),
            episode: None,
            steps: TierSteps::default(),
        },
        samples: 300,
        status: Status::Unreviewed,
        note: None,
        forensics: Vec::new(),
    }
}

pub(super) fn outage(id: EventId) -> StoredEvent {
    let mut event = pause(id);
    event.row.kind = Kind::Outage;
    (event.row.verdict, event.row.certain, event.row.duration_ns, event.row.peak) = (None, None, None, None);
    event.row.ended_ns = Some(T0 + 3_600_000_000_000);
    event.row.culprits.clear();
    event
}

fn written(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> String {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_table_has_an_event_a_line_and_no_name_can_break_it() {
    let mut doubtful = pause(8);
    doubtful.row.certain = Some(false);
    let text = written(|out| write_table(&[outage(9), doubtful, pause(7)], &TimeZone::UTC, out));
    assert_eq!(
        text,
        "\
ID  TIME                 KIND    DURATION  PEAK  TIER      STATUS      CULPRITS
 9  2026-11-22 09:10:11  outage    <= 1 h     -  -         unreviewed
 8  2026-11-22 09:10:11  pause?    1.52 s    74  critical  unreviewed  mds\u{fffd}[31m_stores 61 %
 7  2026-11-22 09:10:11  pause     1.52 s    74  critical  unreviewed  mds\u{fffd}[31m_stores 61 %
"
    );
}

#[test]
fn json_is_an_array_with_an_event_a_line() {
    assert_eq!(written(|out| write_json(&[], out)), "[]\n");
    let text = written(|out| write_json(&[pause(2), pause(1)], out));
    assert_eq!(text.lines().count(), 4);
    let array: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(array[1]["id"], 1);
}

#[test]
fn filters_are_read_and_can_be_repeated() {
    let args = parse("--kind pause,starved --kind outage --tier critical --status pinned --min-duration 2s")
        .unwrap();
    assert_eq!(args.list.kind, [Asked::Kind(Kind::Pause), Asked::Starved, Asked::Kind(Kind::Outage)]);
    assert_eq!((args.list.tier, args.list.status), (vec![Tier::Critical], vec![Status::Pinned]));
    assert_eq!(args.list.min_duration, Some(2_000_000_000));
}

#[test]
fn wrong_usage_is_told_with_exit_code_2() {
    for line in [
        "--since soon",
        "--kind freeze",
        "--min-duration 2",
        "--limit 0",
        "--limit 99999999999",
        "show",
        "show seven",
        "mark 7",
        "mark --status pinned",
        "mark 7 --status kept",
    ] {
        let error = parse(line).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}: {error}");
    }
    let error = parse("--since soon").unwrap_err().to_string();
    assert!(error.contains("not a time: write 2h or 3d (ago)"), "{error}");
}
