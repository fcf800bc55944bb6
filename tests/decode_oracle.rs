//! Framing and decoding against references written for clarity alone: on generated documents, on the
//! fixtures, and on the capture where it is there.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use pause_monitor::sample::Reject;
use pause_monitor::source::powermetrics::decode::{Document, OwnPids, decode};
use pause_monitor::source::powermetrics::frame::Framer;
use proptest::prelude::*;
use proptest::sample::{Index, select};

#[path = "oracle/capture.rs"]
mod capture;
#[path = "oracle/framing.rs"]
mod framing;
#[path = "oracle/reference.rs"]
mod reference;

/// Frames a stream that comes in one piece.
fn frames(stream: &[u8]) -> Vec<Result<Vec<u8>, Reject>> {
    framing::in_pieces(Framer::new(), stream, std::iter::repeat(usize::MAX))
}

/// Decodes a document, and demands that the reference says the same.
fn agreed(document: &[u8], own: &OwnPids) -> Document {
    let decoded = decode(document, own);
    assert_eq!(Some(decoded), reference::decode(document, own), "{}", String::from_utf8_lossy(document));
    decoded.unwrap()
}

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/powermetrics").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The only document in a fixture.
fn only(name: &str) -> Vec<u8> {
    let mut found = frames(&fixture(name));
    assert_eq!(found.len(), 1, "{name}");
    found.remove(0).unwrap()
}

fn listed(list: &pause_monitor::sample::TopList) -> Vec<(i32, &str, f64)> {
    list.as_slice().iter().map(|entry| (entry.pid, entry.name.as_str(), entry.value)).collect()
}

#[test]
fn the_capture_means_what_the_reference_says() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/captures/mac16,5-macos26-1s.plist");
    let Ok(stream) = std::fs::read(&path) else {
        eprintln!("passed over: there is no {}", path.display());
        return;
    };
    let found = frames(&stream);
    assert_eq!(found.len(), 1);
    let decoded = agreed(found[0].as_ref().unwrap(), &OwnPids::default());
    assert_eq!(decoded.reading.elapsed_ns, 1_023_685_416);
    assert_eq!(listed(&decoded.reading.top_cpu)[0], (55249, "2.1.15", 630.672));
}

#[test]
fn a_generated_capture_means_what_the_reference_says() {
    for seed in 0..4 {
        let stream = capture::document(105, seed);
        let decoded = agreed(stream.trim_end().as_bytes(), &OwnPids::default());
        assert_eq!(decoded.reading.top_cpu.as_slice().len(), 5);
    }
}

#[test]
fn flat_tasks_are_summed_and_listed() {
    let decoded = agreed(&only("flat.plist"), &OwnPids { monitor: 612, sampler: [630, 631, 0, 0] });
    let reading = decoded.reading;
    assert_eq!(reading.metrics.cpu_ms_per_s, Some(1098.5));
    assert_eq!(reading.metrics.intr_wakeups_per_s, Some(1462.0));
    assert_eq!(reading.metrics.pageins_per_s, Some(84.0));
    assert_eq!(reading.metrics.io_per_s(), Some(4_587_520.0));
    assert_eq!(reading.metrics.gpu_busy_pct, Some(25.0));
    assert_eq!(reading.sampler_cpu_ms_per_s, Some(172.5));
    assert_eq!(
        listed(&reading.top_cpu),
        [
            (410, "WindowServer", 512.0),
            (0, "kernel_task", 250.0),
            (755, "Préférences", 100.0),
            (-1, "DEAD_TASKS", 60.0)
        ]
    );
    assert_eq!(listed(&reading.top_pageins), [(755, "Préférences", 80.0), (410, "WindowServer", 4.0)]);
    assert_eq!(decoded.timestamp_s, Some(1_795_338_611));
}

#[test]
fn tasks_in_coalitions_are_summed_and_listed_and_their_totals_are_not() {
    let reading = agreed(&only("coalitions.plist"), &OwnPids::default()).reading;
    assert_eq!(reading.metrics.cpu_ms_per_s, Some(350.0));
    assert_eq!(
        listed(&reading.top_cpu),
        [(880, "Browser", 200.0), (881, "Browser Helper", 100.0), (420, "mds", 50.0)]
    );
}

#[test]
fn an_intel_machine_reports_its_package_and_several_gpus() {
    let metrics = agreed(&only("intel.plist"), &OwnPids::default()).reading.metrics;
    assert_eq!(metrics.combined_power_mw, Some(21_500.0));
    assert_eq!(metrics.cpu_power_mw, None);
    assert_eq!(metrics.gpu_busy_pct, Some(62.5));
}

#[test]
fn a_virtual_machine_without_processor_and_gpu_reports_the_rest() {
    let reading = agreed(&only("virtual-machine.plist"), &OwnPids::default()).reading;
    assert_eq!(reading.metrics.combined_power_mw, None);
    assert_eq!(reading.metrics.gpu_busy_pct, None);
    assert_eq!(reading.metrics.io_read_per_s, None);
    assert_eq!(reading.metrics.cpu_ms_per_s, Some(12.25));
}

#[test]
fn what_is_not_a_number_is_not_reported_and_poisons_no_sum() {
    let metrics = agreed(&only("nan.plist"), &OwnPids::default()).reading.metrics;
    assert_eq!(metrics.cpu_ms_per_s, Some(20.0));
    assert_eq!(metrics.pageins_per_s, None);
    assert_eq!(metrics.gpu_busy_pct, None);
    assert_eq!(metrics.cpu_power_mw, None);
    assert_eq!(metrics.io_read_per_s, None);
    assert_eq!(metrics.io_write_per_s, Some(1_020_020_000.0));
}

#[test]
fn names_that_are_no_proper_text_do_not_lose_the_sample() {
    let reading = decode(&only("names.plist"), &OwnPids::default()).unwrap().reading;
    assert_eq!(
        listed(&reading.top_cpu),
        [
            (1, "R&D & Sons &co;", 5.0),
            (2, "caf\u{fffd} \u{fffd}\u{fffd}", 4.0),
            (3, "<key>pid</key> \"quoted\" é", 3.0),
            (4, "bell\u{7}", 2.0),
            (5, &format!("{}…", "long-name-".repeat(13)[..128].to_owned()), 1.0),
        ]
    );
}

#[test]
fn a_recording_with_foreign_text_nuls_and_cuts_yields_every_whole_document() {
    let found = frames(&fixture("stream.plist"));
    let told: Vec<Result<u64, Reject>> = found
        .iter()
        .map(|frame| {
            decode(frame.as_deref().map_err(|&reject| reject)?, &OwnPids::default())
                .map(|d| d.reading.elapsed_ns)
        })
        .collect();
    assert_eq!(
        told,
        [
            Ok(100_000_001),
            Err(Reject::Truncated),
            Ok(100_000_002),
            Err(Reject::Incomplete),
            Err(Reject::Malformed),
            Ok(100_000_003),
            Err(Reject::Truncated),
        ]
    );
}

#[test]
fn a_document_over_16_mib_is_rejected_and_the_next_one_is_read() {
    let mut stream = b"<?xml version=\"1.0\"?><plist><dict><key>big</key><string>".to_vec();
    stream.resize(17 << 20, b'x');
    stream.extend_from_slice(b"</string></dict></plist>\0");
    stream.extend_from_slice(&fixture("flat.plist"));
    let found = framing::in_pieces(Framer::new(), &stream, std::iter::repeat(64 << 10));
    assert_eq!(found.len(), 2);
    assert_eq!(found[0], Err(Reject::Oversized));
    assert!(decode(found[1].as_ref().unwrap(), &OwnPids::default()).is_ok());
}

/// An element of a generated document, written out but for what stands between its tags.
#[derive(Clone, Debug)]
enum Node {
    Dict(Vec<(String, Node)>),
    Array(Vec<Node>),
    Leaf(String),
}

/// What may stand between two tags.
const BETWEEN: [&str; 6] = ["", "\n", " ", "\r\n\t", "<!-- </dict> <key>pid</key> -->", "<?note </array>?>"];

impl Node {
    fn write(&self, out: &mut String, between: &mut impl Iterator<Item = usize>) {
        let mut gap = |out: &mut String| out.push_str(BETWEEN[between.next().unwrap_or(1)]);
        match self {
            Self::Leaf(text) => out.push_str(text),
            Self::Dict(entries) if entries.is_empty() => out.push_str("<dict/>"),
            Self::Array(elements) if elements.is_empty() => out.push_str("<array />"),
            Self::Dict(entries) => {
                gap(out);
                out.push_str(if between.next() == Some(0) { "<dict id=\"a>b\">" } else { "<dict>" });
                for (key, value) in entries {
                    out.push_str(BETWEEN[between.next().unwrap_or(1)]);
                    *out += &format!("<key>{key}</key>");
                    out.push_str(BETWEEN[between.next().unwrap_or(0)]);
                    value.write(out, between);
                }
                out.push_str("</dict>");
            }
            Self::Array(elements) => {
                gap(out);
                out.push_str("<array>");
                for element in elements {
                    out.push_str(BETWEEN[between.next().unwrap_or(1)]);
                    element.write(out, between);
                }
                out.push_str(if between.next() == Some(0) { "</array >" } else { "</array>" });
            }
        }
    }
}

fn number() -> impl Strategy<Value = Node> {
    let written = prop_oneof![
        4 => (0_u32..2_000_000).prop_map(|n| format!("<real>{}</real>", f64::from(n) / 1000.0)),
        2 => (0_u64..5000).prop_map(|n| format!("<integer>{n}</integer>")),
        1 => any::<u64>().prop_map(|n| format!("<integer>{n}</integer>")),
        1 => any::<i64>().prop_map(|n| format!("<integer>{n}</integer>")),
        1 => any::<u16>().prop_map(|n| format!("<integer>{n:#x}</integer>")),
        1 => any::<f64>().prop_map(|n| format!("<real>{n:e}</real>")),
        1 => any::<f64>().prop_map(|n| format!("<real>{n}</real>")),
        2 => (0.0_f64..1e12).prop_map(|n| format!("<real>{n:e}</real>")),
        1 => select(vec!["<real>nan</real>", "<real>-inf</real>", "<real>-0</real>", "<real>1.02002e+09</real>",
            "<real>&#49;.5</real>", "<real>0<!-- 9 -->.25</real>"]).prop_map(str::to_owned),
    ];
    written.prop_map(Node::Leaf)
}

fn ratio() -> impl Strategy<Value = Node> {
    prop_oneof![4 => (0_u32..1100).prop_map(|n| Node::Leaf(format!("<real>{}</real>", f64::from(n) / 1000.0))), 1 => number()]
}

fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => "[ -%'-;=?-~]{0,12}",
        1 => select(vec!["&amp;", "&lt;key&gt;", "&quot;", "&apos;", "&#233;", "&#x1F600;", "&#7;", "é漢", "\u{1}", "\n",
            "dict>", "!", "?", "<!-- no -->", "x0123456789"]).prop_map(str::to_owned),
    ];
    prop_oneof![
        8 => prop::collection::vec(piece.clone(), 0..4),
        1 => prop::collection::vec(piece, 10..40),
    ]
    .prop_map(|pieces| pieces.concat())
}

fn string() -> impl Strategy<Value = Node> {
    text().prop_map(|text| {
        Node::Leaf(if text.is_empty() { "<string/>".to_owned() } else { format!("<string>{text}</string>") })
    })
}

/// Any value at all, with keys in it that mean something elsewhere.
fn anything() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        number(),
        string(),
        select(vec!["<true/>", "<false></false>", "<data>AAAA</data>", "<date>2026-11-22T09:10:11Z</date>"])
            .prop_map(|leaf| Node::Leaf(leaf.to_owned())),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Node::Array),
            prop::collection::vec((key(), inner), 0..4).prop_map(Node::Dict),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    select(vec![
        "tasks",
        "my_tasks",
        "pid",
        "name",
        "pageins_per_s",
        "gpu",
        "elapsed_ns",
        "dict",
        "array",
        "",
        "a&amp;b",
        "cputime_ms_per_s",
        "idle_ratio",
        "x",
    ])
    .prop_map(str::to_owned)
}

type Entries = BoxedStrategy<Vec<(String, Node)>>;

/// Some of the entries given, in any order, with others among them, some values of the wrong kind, and some
/// keys twice.
fn mixed(known: Vec<(&'static str, BoxedStrategy<Node>)>) -> Entries {
    let entries: Vec<_> = known
        .into_iter()
        .map(|(key, value)| {
            let value = prop_oneof![16 => value, 1 => anything()];
            // A key may be spelled with an entity.
            let spelled = (key.to_owned(), format!("&#{};{}", key.as_bytes()[0], &key[1..]));
            let spelled = prop_oneof![9 => Just(spelled.0), 1 => Just(spelled.1)];
            prop::option::weighted(0.85, (spelled, value)).boxed()
        })
        .collect();
    (
        entries,
        prop::collection::vec((key(), anything()), 0..3),
        prop::option::weighted(0.2, any::<(Index, Index)>()),
    )
        .prop_map(|(known, unknown, twice)| {
            let mut entries: Vec<_> = known.into_iter().flatten().chain(unknown).collect();
            if let Some((from, to)) = twice.filter(|_| !entries.is_empty()) {
                let key = from.get(&entries).0.clone();
                let value = to.get(&entries).1.clone();
                entries.push((key, value));
            }
            entries
        })
        .prop_shuffle()
        .boxed()
}

/// Pids from a few, so that some are ours and some stand twice.
fn pid() -> BoxedStrategy<Node> {
    prop_oneof![9 => (-2_i32..9).prop_map(|pid| Node::Leaf(format!("<integer>{pid}</integer>"))), 1 => number()].boxed()
}

fn rows() -> BoxedStrategy<Node> {
    let row = mixed(vec![
        ("pid", pid()),
        ("name", string().boxed()),
        ("cputime_ms_per_s", number().boxed()),
        ("intr_wakeups_per_s", number().boxed()),
        ("idle_wakeups_per_s", number().boxed()),
        ("diskio_bytesread_per_s", number().boxed()),
        ("diskio_byteswritten_per_s", number().boxed()),
        ("pageins_per_s", number().boxed()),
    ])
    .prop_map(Node::Dict);
    prop::collection::vec(prop_oneof![12 => row, 1 => anything()], 0..9).prop_map(Node::Array).boxed()
}

fn top_level() -> Entries {
    let gpu = mixed(vec![("idle_ratio", ratio().boxed())]).prop_map(Node::Dict).boxed();
    let gpus = prop_oneof![gpu.clone(), prop::collection::vec(gpu, 0..4).prop_map(Node::Array)];
    let package = mixed(vec![("package_watts", number().boxed())]).prop_map(Node::Dict);
    let packages = prop::collection::vec(package, 0..3).prop_map(Node::Array);
    let processor = |keys: &[&'static str]| {
        let mut entries: Vec<_> = keys.iter().map(|&key| (key, number().boxed())).collect();
        entries.push(("packages", packages.clone().boxed()));
        mixed(entries).prop_map(Node::Dict)
    };
    let processor = prop_oneof![
        processor(&["cpu_power", "gpu_power", "ane_power", "combined_power"]),
        processor(&["package_watts", "package_joules"]),
        processor(&[]),
    ];
    let disk = mixed(vec![("rbytes_per_s", number().boxed()), ("wbytes_per_s", number().boxed())]);
    let coalition = mixed(vec![("tasks", rows()), ("cputime_ms_per_s", number().boxed()), ("pid", pid())]);
    let coalitions = prop::collection::vec(coalition.prop_map(Node::Dict), 0..3).prop_map(Node::Array);
    let elapsed = (90_000_000_u64..140_000_000).prop_map(|ns| Node::Leaf(format!("<integer>{ns}</integer>")));
    let level = select(vec!["Nominal", "Moderate", "HEAVY", "Trapping", "Sleeping", "Melting"]);
    let date = (0_i64..4_000_000_000).prop_map(|second| {
        let date = jiff::Timestamp::from_second(second).unwrap();
        Node::Leaf(format!("<date>{date}</date>"))
    });
    mixed(vec![
        ("elapsed_ns", prop_oneof![9 => elapsed, 1 => number()].boxed()),
        ("hw_model", string().boxed()),
        ("kern_osversion", string().boxed()),
        ("kern_boottime", number().boxed()),
        ("timestamp", date.boxed()),
        ("thermal_pressure", level.prop_map(|level| Node::Leaf(format!("<string>{level}</string>"))).boxed()),
        ("tasks", rows()),
        ("coalitions", coalitions.boxed()),
        ("all_tasks", rows()),
        ("processor", processor.boxed()),
        ("gpu", gpus.boxed()),
        ("disk", disk.prop_map(Node::Dict).boxed()),
    ])
}

fn document() -> impl Strategy<Value = String> {
    (top_level(), prop::collection::vec(0..BETWEEN.len(), 0..64), any::<bool>()).prop_map(
        |(entries, between, odd)| {
            let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
            out.push_str(
                "<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/x>y.dtd\">\n",
            );
            out.push_str("<plist version=\"1.0\">");
            // Plain documents take the fast ways, odd ones the careful ways.
            let mut between = between.into_iter().cycle().take(if odd { usize::MAX } else { 0 });
            if entries.is_empty() {
                out.push_str("<dict></dict>");
            } else {
                Node::Dict(entries).write(&mut out, &mut between);
            }
            out.push_str("\n</plist>");
            out
        },
    )
}

/// A piece of a stream: of documents, of what stands between them, and of what cuts them off.
fn stream_piece() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec![
            "<?xml",
            "<plist",
            "</plist>",
            "</plist",
            "<",
            "?",
            "<?",
            "<p",
            "\0",
            " ",
            "x",
            "noise <tag>\n"
        ])
        .prop_map(str::to_owned),
        (0_usize..40).prop_map(|length| format!("<?xml?><plist>{}</plist>", "y".repeat(length))),
        (0_usize..40).prop_map(|length| format!("<plist>{}", "z".repeat(length))),
    ]
}

proptest! {
    // A counterexample becomes a test by name, so none is kept in a file.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn a_generated_document_means_what_the_reference_says(
        document in document(),
        monitor in 0_i32..9,
        sampler in prop::array::uniform4(0_i32..9),
    ) {
        let own = OwnPids { monitor, sampler };
        prop_assert_eq!(Some(decode(document.as_bytes(), &own)), reference::decode(document.as_bytes(), &own));
    }

    #[test]
    fn frames_do_not_depend_on_how_the_bytes_were_split(
        pieces in prop::collection::vec(stream_piece(), 0..30),
        splits in prop::collection::vec(1_usize..20, 1..20),
        limit in 8_usize..80,
    ) {
        let stream = pieces.concat().into_bytes();
        let expected = framing::by_the_book(&stream, limit);
        let whole = framing::in_pieces(Framer::with_limit(limit), &stream, std::iter::repeat(usize::MAX));
        prop_assert_eq!(&whole, &expected);
        let split = framing::in_pieces(Framer::with_limit(limit), &stream, splits.into_iter().cycle());
        prop_assert_eq!(&split, &expected);
    }
}
