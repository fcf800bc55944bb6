use proptest::prelude::*;
use std::sync::Arc;

use super::*;
use crate::source::simulate::{Scenario, Simulator, SimulatorSettings};

const RECORDING: &str = include_str!("../../../fixtures/streams/recording.jsonl");

const MS: u64 = 1_000_000;

fn all(mut replay: Replay) -> Vec<Item> {
    std::iter::from_fn(|| replay.next().unwrap()).collect()
}

fn items(recording: impl Into<Vec<u8>>) -> Vec<Item> {
    all(Replay::new(Box::new(Cursor::new(recording.into()))))
}

/// One word an item: the interval of a reading in ms, and what else there is.
fn told(items: &[Item]) -> Vec<String> {
    items
        .iter()
        .map(|item| match item {
            Item::Reading { reading, .. } => format!("{}", reading.elapsed_ns as f64 / 1e6),
            Item::Info(info) => format!("{:?}", info.hw_model.unwrap_or_default()),
            Item::Rejected(reason) => reason.as_str().to_owned(),
            Item::Restarted => "restarted".to_owned(),
            Item::Told(told) => format!("{} told", told.verdict.as_str()),
        })
        .collect()
}

fn error(recording: impl Into<Vec<u8>>) -> io::Error {
    Replay::new(Box::new(Cursor::new(recording.into()))).next().unwrap_err()
}

/// A plist document; an empty timestamp is left out.
fn document(elapsed_ms: u64, timestamp: &str) -> String {
    let timestamp = match timestamp {
        "" => String::new(),
        time => format!("<key>timestamp</key><date>{time}</date>\n"),
    };
    format!(
        "<?xml version=\"1.0\"?>\n<plist version=\"1.0\">\n<dict>\n<key>elapsed_ns</key><integer>{}</integer>\n\
         <key>hw_model</key><string>Mac16,5</string>\n{timestamp}</dict>\n</plist>\n",
        elapsed_ms * MS
    )
}

fn sample(seq: u64, elapsed_ms: u64) -> String {
    format!("{{\"type\":\"sample\",\"seq\":{seq},\"elapsed_ms\":{elapsed_ms}}}\n")
}

/// Gives what it has in pieces of the given sizes, in turn; a 0 is an interrupted read.
struct Pieces {
    bytes: Cursor<Vec<u8>>,
    sizes: std::iter::Cycle<std::vec::IntoIter<usize>>,
}

impl Read for Pieces {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        match self.sizes.next() {
            Some(0) => Err(ErrorKind::Interrupted.into()),
            size => {
                let size = size.unwrap_or(1).min(space.len());
                self.bytes.read(&mut space[..size])
            }
        }
    }
}

fn in_pieces(recording: &[u8], mut sizes: Vec<usize>) -> Vec<Item> {
    // However often it is interrupted, it must get on.
    sizes.push(1);
    let pieces = Pieces { bytes: Cursor::new(recording.to_vec()), sizes: sizes.into_iter().cycle() };
    all(Replay::new(Box::new(pieces)))
}

#[test]
fn a_stream_is_replayed_with_the_half_minute_before_it_and_its_restart() {
    assert_eq!(
        told(&items(RECORDING)),
        [
            "108",
            "108.2",
            "restarted",
            "\"Mac16,5\"",
            "108",
            "1628.4",
            "pause told",
            "malformed",
            "108",
            "incomplete",
            "restarted",
            "112",
            "truncated"
        ]
    );
}

#[test]
fn a_sample_line_brings_back_when_it_arrived_how_late_the_heartbeat_was_and_who_did_what() {
    let late = items(RECORDING)
        .into_iter()
        .find_map(|item| match item {
            Item::Reading { reading, arrival_ns, heartbeat_ns, time_ns } if arrival_ns == 1_632 * MS => {
                Some((reading, heartbeat_ns, time_ns))
            }
            _ => None,
        })
        .unwrap();
    assert_eq!(late.1, Some(1_520_400_000));
    assert_eq!(late.2, crate::wire::parse_rfc3339("2026-11-22T09:10:11.848Z"));
    assert_eq!(late.0.metrics.pageins_per_s, Some(900.0));
    assert_eq!(late.0.metrics.load_avg, Some(2.1));
    assert_eq!(late.0.top_pageins.as_slice()[0].name.as_str(), "mds_stores");
    assert_eq!(late.0.top_intr_wakeups.as_slice()[0].value, 1_209.3);
    assert!(late.0.top_idle_wakeups.as_slice().is_empty());
}

#[test]
fn what_a_line_lacks_is_not_reported() {
    let items = items("{\"type\":\"sample\",\"elapsed_ms\":100.5}\n");
    let Item::Reading { reading, arrival_ns, heartbeat_ns, time_ns } = items[0] else { panic!("{items:?}") };
    assert_eq!(reading, Reading { elapsed_ns: 100_500_000, ..Reading::default() });
    assert_eq!((arrival_ns, heartbeat_ns, time_ns), (100_500_000, None, None));
}

#[test]
fn a_line_without_a_time_of_day_goes_on_from_the_last_one() {
    let lines = "{\"type\":\"sample\",\"elapsed_ms\":100,\"time\":\"1970-01-01T00:00:01Z\"}\n\
                 {\"type\":\"sample\",\"elapsed_ms\":100,\"interval_ms\":250}\n";
    let items = items(lines);
    let Item::Reading { time_ns, .. } = items[1] else { panic!("{items:?}") };
    assert_eq!(time_ns, Some(1_250_000_000));
}

#[test]
fn lines_that_make_no_sense_are_counted_and_end_nothing() {
    let lines = [
        sample(1, 101),
        "42\n".into(),
        "{\"type\":\"sample\",\"elapsed_ms\":\"soon\"}\n".into(),
        "{\"type\":\"sample\",\"elapsed_ms\":1e999}\n".into(),
        "{\"elapsed_ms\":1}\n".into(),
        format!("{}\n", "[".repeat(10_000)),
        "{\"type\":\"sample\",\"elapsed_ms\":0}\n".into(),
        "{\"type\":\"sample\",\"elapsed_ms\":-5}\n".into(),
        "{\"type\":\"sample\",\"elapsed_ms\":null}\n".into(),
        "{\"type\":\"of another version\",\"elapsed_ms\":1}\n".into(),
        "  \r\n\0\n".into(),
        sample(2, 102),
    ];
    let malformed = ["malformed"; 5];
    let incomplete = ["incomplete"; 3];
    let expected: Vec<&str> = ["101"].into_iter().chain(malformed).chain(incomplete).chain(["102"]).collect();
    assert_eq!(told(&items(lines.concat())), expected);
}

#[test]
fn a_name_that_is_not_utf8_costs_its_line_only() {
    let lines = [
        sample(1, 101).into_bytes(),
        b"{\"type\":\"sample\",\"x\":\"\xff\"}\n".to_vec(),
        sample(2, 102).into_bytes(),
    ];
    assert_eq!(told(&items(lines.concat())), ["101", "malformed", "102"]);
}

#[test]
fn a_last_line_without_a_newline_is_read_where_it_is_whole() {
    assert_eq!(told(&items(sample(1, 101).trim_end())), ["101"]);
    assert_eq!(told(&items(format!("{}{{\"type\":\"sam", sample(1, 101)))), ["101", "truncated"]);
}

#[test]
fn a_recording_whose_beginning_is_lost_is_read_from_its_first_whole_line() {
    assert_eq!(told(&items(format!("\"cpu\":[]}}}}\n{}", sample(7, 101)))), ["malformed", "101"]);
}

#[test]
fn a_line_over_a_mebibyte_is_rejected_once_and_the_next_one_is_kept() {
    let padding = " ".repeat(lines::LINE_MAX);
    let long = format!("{{{padding}\"type\":\"sample\",\"elapsed_ms\":5}}\n");
    let recording = [sample(1, 101), long, sample(2, 102)].concat();
    let expected = ["101", "oversized", "102"];
    assert_eq!(told(&items(recording.clone())), expected);
    assert_eq!(told(&in_pieces(recording.as_bytes(), vec![1_000_003, 70_000])), expected);
}

#[test]
fn an_endless_line_takes_bounded_memory() {
    let mut lines = lines::Lines::new();
    let mut rejected = 0;
    for _ in 0..200 {
        let space = lines.space();
        assert!(space.len() <= 4 << 20, "{} bytes", space.len());
        space.fill(b'x');
        let count = space.len();
        lines.filled(count);
        while let Some(item) = lines.next_item() {
            assert_eq!(item, Item::Rejected(Reject::Oversized));
            rejected += 1;
        }
    }
    assert_eq!(rejected, 1);
}

#[test]
fn a_hello_may_be_as_long_as_its_samples_need() {
    let padding = " ".repeat(2 * lines::LINE_MAX);
    let hello = format!(
        "{{\"type\":\"hello\",\"ring\":[{{\"seq\":1,\"elapsed_ms\":101}},{padding}{{\"elapsed_ms\":102}}]}}\n"
    );
    assert_eq!(told(&items(hello + &sample(3, 103))), ["101", "102", "103"]);
}

#[test]
fn of_a_hello_without_end_the_newest_ten_minutes_are_kept() {
    let ring = (1..=7_000).map(|seq| format!("{{\"elapsed_ms\":{seq}}}")).collect::<Vec<_>>().join(",");
    let items = items(format!("{{\"type\":\"hello\",\"ring\":[{ring}]}}\n"));
    assert_eq!(items.len(), 6_000);
    assert_eq!(told(&items[..1]), ["1001"]);
}

#[test]
fn a_second_hello_repeats_no_sample_and_a_hole_before_it_is_a_restart() {
    let line = |seq: u64| {
        format!(
            "{{\"type\":\"sample\",\"seq\":{seq},\"elapsed_ms\":{seq},\"time\":\"2026-11-22T09:10:{seq}Z\"}}"
        )
    };
    let hello = |from: u64, to: u64| {
        let ring: Vec<String> = (from..=to).map(line).collect();
        format!("{{\"type\":\"hello\",\"ring\":[{}]}}", ring.join(","))
    };
    let overlapping = [hello(11, 12), line(13), hello(12, 14), line(15)].join("\n");
    assert_eq!(told(&items(overlapping)), ["11", "12", "13", "14", "15"]);
    let with_a_hole = [hello(11, 12), line(13), hello(21, 22), line(23)].join("\n");
    assert_eq!(told(&items(with_a_hole)), ["11", "12", "13", "restarted", "21", "22", "23"]);
}

#[test]
fn the_gaps_of_a_hello_come_before_its_samples_and_not_again_with_the_next() {
    let sample =
        |seq: u64| format!("{{\"seq\":{seq},\"elapsed_ms\":{seq},\"time\":\"2026-11-22T09:10:{seq}Z\"}}");
    let gap = |verdict: &str, ended: u64| {
        format!(
            "{{\"time\":\"2026-11-22T09:10:{ended}Z\",\"verdict\":\"{verdict}\",\"certain\":true,\
             \"duration_ms\":900,\"event\":7,\"culprits\":[]}}"
        )
    };
    let hello = |gaps: &[String], ring: &[String]| {
        format!("{{\"type\":\"hello\",\"gaps\":[{}],\"ring\":[{}]}}\n", gaps.join(","), ring.join(","))
    };
    let lines = [
        hello(&[gap("starved", 11), "{}".to_owned()], &[sample(11), sample(12)]),
        hello(&[gap("starved", 11), gap("sleep", 13)], &[sample(12), sample(13)]),
        hello(&[gap("pause", 20)], &[sample(21)]),
    ];
    assert_eq!(
        told(&items(lines.concat())),
        ["starved told", "11", "12", "sleep told", "13", "restarted", "pause told", "21"]
    );
    let many: Vec<String> = (10..60)
        .chain(10..60)
        .map(|ended| gap(if ended % 2 == 0 { "pause" } else { "stall" }, ended))
        .collect();
    assert_eq!(items(hello(&many, &[])).len(), 50, "each once");
    // Judged after the connection broke: it ended before the last sample that was read.
    let late =
        [hello(&[], &[sample(11), sample(13)]), hello(&[gap("starved", 12)], &[sample(13), sample(14)])];
    assert_eq!(told(&items(late.concat())), ["11", "13", "starved told", "14"]);
}

#[test]
fn a_hello_of_the_next_run_begins_anew_though_its_numbers_are_smaller() {
    let lines = "{\"type\":\"sample\",\"seq\":900,\"elapsed_ms\":100,\"time\":\"2026-11-22T09:10:10Z\"}\n\
                 {\"type\":\"hello\",\"ring\":[{\"seq\":1,\"elapsed_ms\":101,\"time\":\"2026-11-22T09:10:20Z\"}]}\n";
    assert_eq!(told(&items(lines)), ["100", "restarted", "101"]);
}

#[test]
fn a_plist_stream_is_told_from_lines_by_its_content_and_foreign_lines_before_it_are_skipped() {
    let stream = [
        "Second underflow occured.\n",
        &document(108, "2026-11-22T09:10:11Z"),
        "\0",
        &document(109, "2026-11-22T09:10:11Z"),
    ]
    .concat();
    assert_eq!(told(&items(stream)), ["\"Mac16,5\"", "108", "109"]);
    // A process may be called anything.
    let line = "{\"type\":\"sample\",\"elapsed_ms\":100,\"top\":{\"cpu\":[{\"pid\":1,\"name\":\"<?xml\",\"value\":1}]}}";
    assert_eq!(told(&items(line)), ["100"]);
    assert_eq!(told(&items(document(108, "").replace("Mac16,5", "{\n{"))), ["\"{\\n{\"", "108"]);
}

#[test]
fn the_time_of_day_of_plists_begins_at_the_first_timestamp_and_goes_on_with_the_intervals() {
    let stream = [
        document(100, ""),
        document(101, "1970-01-01T00:00:10Z"),
        document(102, "1970-01-01T00:00:55Z"),
        document(103, ""),
    ];
    let times: Vec<Option<i64>> = items(stream.concat())
        .into_iter()
        .filter_map(|item| if let Item::Reading { time_ns, .. } = item { Some(time_ns) } else { None })
        .collect();
    assert_eq!(times, [None, Some(10_000_000_000), Some(10_102_000_000), Some(10_205_000_000)]);
}

#[test]
fn documents_that_are_cut_off_or_incomplete_are_counted_and_end_nothing() {
    let whole = document(100, "");
    let stream = [&whole[..60], &whole, &document(0, ""), &whole, &whole[..60]].concat();
    assert_eq!(told(&items(stream)), ["truncated", "\"Mac16,5\"", "100", "incomplete", "100", "truncated"]);
}

#[test]
fn an_empty_recording_has_nothing_and_one_that_is_none_is_refused() {
    assert!(items("").is_empty());
    assert!(items(" \n\0\n").is_empty());
    let endless = Replay::new(Box::new(io::repeat(b'x'))).next().unwrap_err();
    for error in [error("Hello, world\n"), endless, error(vec![b'\n'; 3 << 20])] {
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.to_string().starts_with("this is no recording: make one with"), "{error}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error =
        Replay::open(Path::new("/no/such/recording"), Arc::default()).map(|_| ()).unwrap_err().to_string();
    assert!(error.starts_with("can't read the recording /no/such/recording: "), "{error}");
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        Replay::open(folder.path(), Arc::default()).map(|_| ()).unwrap_err().kind(),
        ErrorKind::IsADirectory
    );
}

#[test]
fn a_file_is_replayed_from_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recording.jsonl");
    std::fs::write(&path, RECORDING).unwrap();
    assert_eq!(all(Replay::open(&path, Arc::default()).unwrap()), items(RECORDING));
}

#[test]
fn an_input_that_fails_is_an_error_and_not_the_end() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(ErrorKind::PermissionDenied.into())
        }
    }
    let input = Cursor::new(sample(1, 101)).chain(Failing);
    let mut replay = Replay::new(Box::new(input));
    assert!(matches!(replay.next(), Ok(Some(Item::Reading { .. }))));
    assert_eq!(replay.next().unwrap_err().kind(), ErrorKind::PermissionDenied);
}

#[test]
fn an_item_is_given_as_soon_as_its_bytes_are_there() {
    struct Never;
    impl Read for Never {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            panic!("asked for more than the first item needs")
        }
    }
    for recording in [sample(1, 101), document(100, "")] {
        let mut replay = Replay::new(Box::new(Cursor::new(recording).chain(Never)));
        assert!(replay.next().unwrap().is_some());
    }
}

#[test]
fn a_simulation_takes_the_same_path() {
    let settings = SimulatorSettings { tasks: 12, ..SimulatorSettings::default() };
    let stream = Simulator::new(Scenario::Freeze, settings).into_stream();
    let mut replay = Replay::new(Box::new(stream));
    let Some(Item::Info(info)) = replay.next().unwrap() else { panic!("no info") };
    assert_eq!(info.hw_model.unwrap().as_str(), "Mac16,5");
    let mut intervals = Vec::new();
    for index in 0..170 {
        let Some(Item::Reading { reading, time_ns, .. }) = replay.next().unwrap() else { panic!("{index}") };
        assert!(reading.metrics.gpu_busy_pct.is_some() && reading.metrics.combined_power_mw.is_some());
        assert_eq!(reading.metrics.idle_wakeups_per_s, Some(0.0));
        assert!(time_ns.unwrap() >= settings.start_unix_s * 1_000_000_000);
        intervals.push(reading.elapsed_ns);
        if reading.elapsed_ns > 1_000 * MS {
            assert_eq!(reading.top_pageins.as_slice()[0].name.as_str(), "fileproviderd");
        }
    }
    assert_eq!(intervals.iter().filter(|&&ns| ns > 1_000 * MS).count(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_does_not_matter_how_the_bytes_were_split_into_reads(
        sizes in proptest::collection::vec(0_usize..3_000, 1..40),
        cut in 0_usize..6_000,
    ) {
        let stream = [document(100, "2026-11-22T09:10:11Z"), "\0".into(), document(101, "")].concat();
        for recording in [RECORDING, &stream] {
            // Enough is left to know what it is.
            let length = recording.len() - cut % (recording.len() - 16);
            let recording = &recording.as_bytes()[..length];
            prop_assert_eq!(in_pieces(recording, sizes.clone()), items(recording));
        }
    }

    #[test]
    fn no_bytes_can_bring_it_down(noise in proptest::collection::vec(any::<u8>(), 0..400), at in any::<usize>()) {
        for recording in [RECORDING.as_bytes(), document(100, "").as_bytes()] {
            let mut damaged = recording.to_vec();
            let at = at % damaged.len();
            damaged.splice(at..(at + 200).min(recording.len()), noise.iter().copied());
            let mut replay = Replay::new(Box::new(Cursor::new(damaged)));
            while let Ok(Some(_)) = replay.next() {}
        }
    }
}
