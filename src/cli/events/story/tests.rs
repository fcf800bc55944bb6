//! Stories of every kind as a terminal shows them, and pages that no name can break.

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::captures::{self, Content};
use super::page::{self, Made};
use super::points::{Axis, columns, spread};
use super::text::{self, Telling, ansi};
use super::*;
use crate::cli::events::tests::{T0, outage, pause};
use crate::output::store::{Capture, Interruption, Status, TierStep, TierTimes};
use crate::sample::{Name, Stress, ThermalPressure, Tier};
use crate::tui::look::{Colours, Look, Symbols};

/// Samples of 30 s up to the gap, 1.52 s without one, the late one, and 3 s after: page-ins and disk build up.
fn samples(live: bool, name: &str) -> Vec<Sample> {
    let mut samples = Vec::new();
    for seq in 1..=330_u64 {
        let step = i64::try_from(seq).unwrap();
        let late = seq == 301;
        let time_ns = if seq <= 300 {
            T0 - (300 - step) * 100_000_000
        } else {
            T0 + 1_520_000_000 + (step - 301) * 100_000_000
        };
        let rise = (seq.saturating_sub(100) / 8).min(25) as u8;
        let mut sample = Sample {
            seq,
            time_ns,
            interval_ns: Some(if late { 1_620_000_000 } else { 100_000_000 }),
            elapsed_ns: if late { 1_620_000_000 } else { 100_000_000 },
            expected_ns: 100_000_000,
            latency_ratio: if late { 16.2 } else { 1.0 },
            heartbeat_ns: live.then_some(if late { 1_510_000_000 } else { 300_000 }),
            tier: if rise > 20 {
                Tier::Critical
            } else if rise > 10 {
                Tier::Elevated
            } else {
                Tier::Sentinel
            },
            stress: Stress::new([3, rise / 2, 0, if late { 20 } else { 0 }, rise / 3, 0, 0, rise]),
            ..Sample::default()
        };
        sample.metrics.load_avg = Some(9.4);
        sample.metrics.cores = Some(8);
        sample.metrics.memory_available_pct = Some(30.0 - f64::from(rise) / 2.0);
        sample.metrics.thermal_pressure = Some(ThermalPressure::Nominal);
        sample.metrics.pageins_per_s = Some(f64::from(rise) * 12.0);
        sample.metrics.io_read_per_s = Some(f64::from(rise) * 4e6);
        sample.metrics.io_write_per_s = Some(1e6);
        sample.metrics.cpu_ms_per_s = Some(2_400.0);
        sample.top.cpu.offer(501, &Name::new(name), 1_200.0);
        sample.top.pageins.offer(501, &Name::new(name), 840.0);
        samples.push(sample);
    }
    samples
}

fn gathered(samples: &[Sample]) -> Gathered {
    let mut gathered = Gathered::default();
    samples.iter().for_each(|sample| gathered.sample(sample));
    gathered
}

fn told_pause(name: &str) -> StoredEvent {
    let mut event = pause(8);
    event.row.episode = Some(7);
    event.row.culprits[0].name = name.to_owned().into();
    event.row.culprits[0].factors = [("pageins".into(), 18), ("io".into(), 6)].into();
    event
}

fn episode() -> StoredEvent {
    let mut event = pause(7);
    event.row.kind = Kind::Episode;
    (event.row.verdict, event.row.certain) = (None, None);
    (event.row.started_ns, event.row.ended_ns) = (T0 - 15 * SECOND_NS, Some(T0 + 9 * SECOND_NS));
    event.row.duration_ns = Some(24_000_000_000);
    event.row.tiers = Some(TierTimes { elevated_ns: 10_000_000_000, critical_ns: 14_000_000_000 });
    event.row.steps.kept = [(15, Tier::Sentinel, Tier::Elevated), (2, Tier::Elevated, Tier::Critical)]
        .map(|(before, from, to)| TierStep { time_ns: T0 - before * SECOND_NS, from, to, stress: 20 })
        .to_vec();
    event
}

fn story_of(kind: &str) -> Story {
    let of = |event: StoredEvent, related: Vec<StoredEvent>, live| {
        Story::new(event, related, gathered(&samples(live, "mds_stores")))
    };
    let mut event = told_pause("mds_stores");
    match kind {
        "pause" => {
            event.note = Some("during the backup".to_owned());
            event.status = Status::Pinned;
            event.forensics = captured("events/8/pressure.txt");
            of(event, vec![episode(), outage(9)], true)
        }
        "pause_not_certain" => {
            event.row.certain = Some(false);
            of(event, Vec::new(), true)
        }
        "pause_recorded" => of(event, Vec::new(), false),
        "stall" | "starved" => {
            event.row.kind = Kind::Stall;
            event.row.verdict = Verdict::parse(kind);
            event.row.culprits.clear();
            of(event, Vec::new(), true)
        }
        "episode" => of(episode(), vec![event], true),
        "episode_open" => {
            let mut open = episode();
            (open.row.ended_ns, open.row.duration_ns, open.row.last_seen_ns) = (None, None, T0 + SECOND_NS);
            of(open, Vec::new(), true)
        }
        "outage" => {
            let mut cut = episode();
            cut.row.interrupted = Some(Interruption::Reboot);
            Story::new(outage(9), vec![cut], Gathered::default())
        }
        _ => {
            event.row.culprits.clear();
            event.samples = 0;
            Story::new(event, Vec::new(), Gathered::default())
        }
    }
}

fn captured(path: &str) -> Vec<Capture> {
    let capture = |name: &str, outcome: &str, path: Option<&str>, detail: Option<&str>| Capture {
        name: name.to_owned(),
        outcome: outcome.to_owned(),
        path: path.map(str::to_owned),
        detail: detail.map(str::to_owned),
    };
    vec![
        capture("pressure", "saved", Some(path), None),
        capture("kernel-log", "not permitted", None, Some("read it as root")),
    ]
}

fn telling(width: usize, symbols: Symbols, colours: Colours) -> Telling {
    Telling { look: Look { colours, symbols }, width, zone: TimeZone::UTC }
}

fn written(story: &Story, telling: &Telling) -> String {
    let mut out = Vec::new();
    ansi::write(&text::lines(story, telling), telling.look.colours != Colours::None, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

const KINDS: [&str; 9] = [
    "pause",
    "pause_not_certain",
    "pause_recorded",
    "stall",
    "starved",
    "episode",
    "episode_open",
    "outage",
    "pause_without_samples",
];

#[test]
fn every_kind_has_a_story_of_its_own_at_80_and_60_columns() {
    for kind in KINDS {
        let story = story_of(kind);
        for width in [80, 60] {
            let text = written(&story, &telling(width, Symbols::Braille, Colours::None));
            insta::assert_snapshot!(format!("{kind}_{width}"), text);
            for line in text.lines() {
                let wide = unicode_width::UnicodeWidthStr::width(line);
                assert!(wide <= width, "{kind}: {wide} columns: {line}");
                assert_eq!(line.trim_end(), line, "{kind}: blanks at the end");
            }
        }
    }
}

#[test]
fn an_ascii_terminal_gets_ascii_alone() {
    for kind in KINDS {
        let text = written(&story_of(kind), &telling(80, Symbols::Ascii, Colours::None));
        assert!(text.is_ascii(), "{kind}: {text}");
    }
    let text = written(&story_of("pause"), &telling(80, Symbols::Ascii, Colours::None));
    insta::assert_snapshot!("pause_ascii", text);
}

#[test]
fn colours_are_sequences_only_where_there_are_colours_and_change_no_text() {
    let story = story_of("pause");
    let plain = written(&story, &telling(80, Symbols::Braille, Colours::None));
    let coloured = written(&story, &telling(80, Symbols::Braille, Colours::Many));
    assert!(!plain.contains('\x1b') && coloured.contains("\x1b[38;5;203m"));
    let mut bare = String::new();
    for (at, part) in coloured.split('\x1b').enumerate() {
        bare.push_str(if at == 0 { part } else { part.split_once('m').unwrap().1 });
    }
    assert_eq!(bare, plain);
}

#[test]
fn a_long_gap_does_not_push_out_what_led_up_to_it() {
    let axis = Axis::around(0, (30 * SECOND_NS, 120 * SECOND_NS), 120 * SECOND_NS);
    assert!(axis.shortened && axis.place(30 * SECOND_NS) > 0.85, "{axis:?}");
    assert!((axis.place(120 * SECOND_NS) - 1.0).abs() < 1e-9);
    assert!(!Axis::around(0, (30 * SECOND_NS, 31 * SECOND_NS), 31 * SECOND_NS).shortened);
}

#[test]
fn the_late_sample_stands_after_the_gap_and_not_in_it() {
    let story = story_of("pause");
    let places = spread(&story.points, &story.axis, &story.holes, 100);
    let columns = columns(&story.points, &places, 100);
    let gap = story.axis.part(story.event.row.started_ns, story.end_ns()).unwrap();
    let (from, to) = ((gap.0 * 100.0).ceil() as usize, (gap.1 * 100.0).floor() as usize);
    assert!(to > from && columns[from..to].iter().all(|column| column.best.is_none()), "{from} to {to}");
}

fn made() -> Made {
    Made { host: "host".to_owned(), os: "Debian GNU/Linux 12".to_owned(), at_ns: T0, zone: TimeZone::UTC }
}

/// Whatever stands between `<` and `>`: what a browser takes for markup.
fn tags(page: &str) -> Vec<&str> {
    page.split('<').skip(1).map(|part| part.split_once('>').map_or(part, |(tag, _)| tag)).collect()
}

fn page_of(name: &str, note: &str, text: &str) -> String {
    let mut event = told_pause(name);
    event.note = Some(note.to_owned());
    event.forensics = captured("events/8/pressure.txt");
    event.forensics[1].detail = Some(note.to_owned());
    let mut other = episode();
    other.row.culprits[0].name = name.to_owned().into();
    let story = Story::new(event, vec![other], gathered(&samples(true, name)));
    let size = text.len() as u64;
    let contents = [Content::Text { text: text.to_owned(), whole: true, size }, Content::Left(String::new())];
    page::page(&story, &contents, &Made { host: name.to_owned(), ..made() })
}

fn assert_no_markup_from(name: &str, note: &str, text: &str) {
    let harmless = page_of("mds", "a note", "text");
    let hostile = page_of(name, note, text);
    assert_eq!(tags(&hostile), tags(&harmless), "names became markup");
    let shown = |c: char| {
        (!c.is_control() || c == '\n' || c == '\t') && !"\u{61c}\u{202e}\u{2066}\u{2028}".contains(c)
    };
    assert!(hostile.chars().all(shown), "a character that turns or hides text");
}

#[test]
fn hostile_names_notes_and_captures_are_text_on_the_page() {
    let script = "<script>alert('1')</script>\"><img src=x onerror=alert(1)>\n\r\0</style></title><!--";
    assert_no_markup_from(script, script, &format!("{script}\n\t</pre>{script}"));
    assert_no_markup_from("a\u{202e}b\u{2066}&lt;&#60;script&#62;", "]]>\u{2028}", "\u{1b}[31m");
    let page = page_of(script, "a note", "text");
    assert!(page.contains("&lt;script&gt;alert("), "it is shown");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn no_name_note_or_capture_can_become_markup(
        name in "(?s)([<>\"'&/=;!\\-\u{202e}\u{0}\n]|script|style|svg|.){1,24}",
        note in "(?s)([<>\"'&/]|onload|.){1,40}",
        text in "(?s)([<>\"'&/\r\n\t]|/pre|.){1,80}",
    ) {
        assert_no_markup_from(&name, &note, &text);
    }
}

#[test]
fn the_page_forbids_everything_but_its_own_style() {
    for kind in KINDS {
        let page = page::page(&story_of(kind), &[], &made());
        let policy = "default-src 'none'; style-src 'sha256-";
        assert!(page.contains(policy), "{kind}");
        for banned in ["<script", " style=", " href=", " src=", "http:", "https:", "url(", "@import"] {
            assert!(!page.contains(banned), "{kind}: {banned}");
        }
        assert!(!page.contains("NaN") && !page.contains("inf%"), "{kind}");
    }
}

#[test]
fn the_page_of_a_pause_is_as_it_was() {
    let mut short = samples(true, "mds_stores");
    short.retain(|sample| sample.seq > 290 && sample.seq < 304);
    let page =
        page::page(&Story::new(told_pause("mds_stores"), vec![episode()], gathered(&short)), &[], &made());
    let body = page
        .split_once("</style>")
        .unwrap()
        .1
        .replace("><", ">\n<")
        .replace(env!("CARGO_PKG_VERSION"), "VERSION");
    insta::assert_snapshot!("page", body);
}

#[test]
fn an_hour_at_10_hz_is_a_page_of_a_reasonable_size() {
    let mut event = episode();
    (event.row.started_ns, event.row.ended_ns) = (T0, Some(T0 + 3_600 * SECOND_NS));
    let mut gathered = Gathered::default();
    let mut line = samples(true, "mds_stores")[200];
    for seq in 0..36_000_u64 {
        let noise = (seq.wrapping_mul(2_654_435_761) >> 7) % 30;
        (line.seq, line.time_ns) = (seq, T0 + i64::try_from(seq).unwrap() * 100_000_000);
        line.stress = Stress::new([noise as u8, 20, 0, (noise % 7) as u8, 5, 0, 0, (30 - noise) as u8]);
        line.metrics.pageins_per_s = Some(noise as f64 * 17.3);
        line.metrics.cpu_ms_per_s = Some(noise as f64 * 31.1);
        line.metrics.io_read_per_s = Some(noise as f64 * 1e6);
        gathered.sample(&line);
    }
    let page = page::page(&Story::new(event, Vec::new(), gathered), &[], &made());
    assert!(page.len() < 500_000, "{} bytes", page.len());
    assert!(page.contains("There are more samples than columns"), "it says so");
}

#[test]
fn the_arrow_is_at_the_event_s_own_gap_and_not_at_an_earlier_one() {
    let mut earlier = told_pause("mds_stores");
    (earlier.row.id, earlier.row.kind, earlier.row.verdict) = (6, Kind::Stall, Some(Verdict::Starved));
    (earlier.row.started_ns, earlier.row.ended_ns) = (T0 - 14 * SECOND_NS, Some(T0 - 13 * SECOND_NS));
    let story = Story::new(told_pause("mds_stores"), vec![earlier], gathered(&samples(true, "mds_stores")));
    let text = written(&story, &telling(80, Symbols::Braille, Colours::None));
    let arrow = text.lines().find(|line| line.contains("↑ pause")).unwrap_or_else(|| panic!("{text}"));
    let at = arrow.chars().position(|c| c == '↑').unwrap();
    let graph =
        text.lines().find(|line| line.trim_start().starts_with("stress  ") && line.contains('▁')).unwrap();
    let own = graph.chars().collect::<Vec<_>>().iter().rposition(|c| *c == '░');
    assert!(own.is_none_or(|own| own.abs_diff(at) < 12), "{text}");
    assert!(at > 25, "the earlier one is at the beginning: {text}");
}

#[test]
fn captures_are_embedded_where_they_are_small_text_of_the_events_own_directory() {
    let data = tempfile::tempdir().unwrap();
    let directory = data.path().join("events/8");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("pressure.txt"), "some avg10=1.00\n").unwrap();
    std::fs::write(directory.join("long.txt"), "x".repeat(100_000)).unwrap();
    std::fs::write(directory.join("trace.bin"), b"\0\x01\x02").unwrap();
    std::fs::write(directory.join("ring.jsonl"), "{}\n").unwrap();
    std::fs::write(data.path().join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink(data.path().join("secret"), directory.join("link")).unwrap();
    let mut event = told_pause("mds");
    let names = ["pressure.txt", "long.txt", "trace.bin", "ring.jsonl", "../../secret", "link", "gone"];
    event.forensics =
        names.map(|name| Capture { path: Some(name.to_owned()), ..captured(name)[1].clone() }).to_vec();
    // Recorded before the data directory was moved.
    let before = "elsewhere/events/8/pressure.txt".to_owned();
    event.forensics.push(Capture { path: Some(before), ..captured("")[0].clone() });
    let contents = captures::read(&event, data.path());
    let whole = Content::Text { text: "some avg10=1.00\n".to_owned(), whole: true, size: 16 };
    assert_eq!((&contents[0], &contents[7]), (&whole, &whole));
    assert!(
        matches!(&contents[1], Content::Text { text, whole: false, size: 100_000 } if text.len() == 65_536)
    );
    for (at, told) in [
        (2, "3 bytes, not text"),
        (3, "on the plots"),
        (4, "can't be read"),
        (5, "not in the event's"),
        (6, "can't be read"),
    ] {
        assert!(
            matches!(&contents[at], Content::Left(why) if why.contains(told)),
            "{at}: {:?}",
            contents[at]
        );
    }
}
