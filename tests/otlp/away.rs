//! The collector is away, hangs, or is not well: nothing is lost, nothing waits, and the log stays calm.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use prost::Message;
use tonic::Code;

use crate::collector::{Collector, Reply, event_id};
use crate::daemon::Daemon;
use crate::exporting::{
    CALM, all_are, config, exports, ids, outbox_spans, played, told, wait_until_exported,
};
use crate::port::nowhere;
use crate::program::Program;

/// A request is given up soon.
const HASTY: &str = "timeout = \"300ms\"\n";

/// Each event once, and in the order in which they ended.
fn each_once(daemon: &Daemon, collector: &Collector) {
    assert_eq!(collector.ids(), ids(daemon));
}

#[test]
fn what_ended_while_the_collector_was_away_and_the_daemon_was_killed_arrives_each_once_oldest_first() {
    for protocol in ["http/protobuf", "grpc"] {
        let address = nowhere();
        let mut daemon = played(&config(protocol, address));
        assert!(all_are(&daemon, "pending"), "{:?}", exports(&daemon));
        daemon.restart(&CALM);
        let line = format!("OpenTelemetry: {} spans wait for the collector\n", ids(&daemon).len());
        daemon.until("status to say what waits", || {
            daemon.run("status", &[] as &[&str]).stdout.ends_with(&line).then_some(())
        });
        // Killed while it waits.
        daemon.restart(&CALM);
        let take = |_: &_| Reply::Take;
        let collector = if protocol == "grpc" {
            Collector::grpc_at(address, take)
        } else {
            Collector::http_at(address, take)
        };
        wait_until_exported(&daemon);
        each_once(&daemon, &collector);
        assert_eq!(outbox_spans(&daemon), 0);
    }
}

#[test]
fn a_collector_that_comes_back_gets_the_backlog_and_the_log_has_one_line_each_way() {
    let address = nowhere();
    let mut daemon = played(&config("http/protobuf", address));
    daemon.write_config(&(config("http/protobuf", address) + "[log]\nlevel = \"debug\"\n"));
    daemon.restart(&CALM);
    // Three attempts in vain: the first is told, the others only to whoever wants to know it all.
    daemon.until("a third attempt", || {
        (told(&daemon, "the collector does not take spans (") >= 2).then_some(())
    });
    let collector = Collector::http_at(address, |_| Reply::Take);
    wait_until_exported(&daemon);
    each_once(&daemon, &collector);
    daemon.wait_for_log("the collector takes spans again");
    assert_eq!(told(&daemon, "the collector takes spans again"), 1);
    let warnings =
        daemon.log().lines().filter(|line| line.contains("WARN") && line.contains("spans")).count();
    // One of the first run, which ended with the recording, at the most.
    assert!((1..=2).contains(&warnings), "{}", daemon.log());
}

#[test]
fn a_large_backlog_goes_out_in_requests_of_bounded_size_and_a_span_has_128_events_pauses_first() {
    let address = nowhere();
    let mut daemon = played(&config("http/protobuf", address));
    // Forty episodes with 130 gaps each, whose culprits have the longest names there are.
    let database = rusqlite::Connection::open(daemon.data_dir().join("data.db")).unwrap();
    let share =
        format!(r#"{{"pid":1,"name":"{}","share":0.2,"factors":{{}},"evidence":""}}"#, "long".repeat(32));
    let culprits = format!("[{}]", [share.as_str(); 5].join(","));
    database
        .execute_batch(&format!(
            "CREATE TEMP TABLE n AS WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 5239)
                 SELECT i FROM n;
             INSERT INTO events (id, kind, started_at, ended_at, last_seen, duration_s, factors, culprits, incident,
                     elevated_s, critical_s, export)
                 SELECT 1000 + i, 'episode', 1, 1000000000 + i, 1, 1.0, '{{}}', '[]',
                     CAST(printf('%016d', i) AS BLOB), 1.0, 0.0, 'pending' FROM n WHERE i < 40;
             INSERT INTO events (id, kind, verdict, certain, started_at, ended_at, last_seen, duration_s, peak_at,
                     peak_stress, peak_tier, factors, culprits, incident, episode)
                 SELECT 2000 + i, CASE WHEN i % 130 < 3 THEN 'pause' ELSE 'stall' END, 'stall', 1, 1, 1000 + i, 1,
                     1.0, 1, 0, 'critical', '{{}}', '{culprits}', CAST(printf('%016d', i / 130) AS BLOB),
                     1000 + i / 130 FROM n WHERE i < 5200;"
        ))
        .unwrap();
    let collector = Collector::http_at(address, |_| Reply::Take);
    daemon.restart(&CALM);
    let episodes = || collector.ids().iter().filter(|id| (1_000..1_040).contains(*id)).count();
    daemon.until("all forty", || (episodes() >= 40).then_some(()));
    for received in collector.received() {
        let spans = received.spans();
        assert!(spans.len() <= 32 && received.message.encoded_len() <= 1 << 20, "{} spans", spans.len());
        for span in spans.into_iter().filter(|span| event_id(span) >= 1_000) {
            assert_eq!((span.events.len(), span.dropped_events_count), (128, 2));
            assert_eq!(span.events.iter().filter(|event| event.name == "pause").count(), 3);
        }
    }
    assert_eq!(collector.ids()[..40], (1_000..1_040).collect::<Vec<i64>>(), "the oldest first");
}

#[test]
fn a_503_is_tried_again_after_the_time_that_it_asks_for() {
    let first = AtomicBool::new(true);
    let collector = Collector::http(move |_| match first.swap(false, SeqCst) {
        true => Reply::Http(503, Some(("Retry-After", "2"))),
        false => Reply::Take,
    });
    let mut daemon = played(&config("http/protobuf", nowhere()));
    daemon.write_config(&config("http/protobuf", collector.address()));
    daemon.restart(&CALM);
    wait_until_exported(&daemon);
    each_once(&daemon, &collector);
    let received = collector.received();
    assert!(received[1].at - received[0].at >= Duration::from_secs(2));
    assert_eq!(received[0].ids(), received[1].ids(), "the same spans");
    assert_eq!(received[0].message, received[1].message, "to the last bit");
}

#[test]
fn over_grpc_unavailable_is_tried_again() {
    let count = AtomicUsize::new(0);
    let collector = Collector::grpc(move |_| match count.fetch_add(1, SeqCst) {
        0 => Reply::Grpc(Code::Unavailable),
        1 => Reply::Grpc(Code::Internal),
        _ => Reply::Take,
    });
    let mut daemon = played(&config("grpc", nowhere()));
    daemon.write_config(&config("grpc", collector.address()));
    daemon.restart(&CALM);
    wait_until_exported(&daemon);
    let mut taken = collector.ids();
    taken.sort_unstable();
    let mut all = ids(&daemon);
    all.sort_unstable();
    assert_eq!(taken, all);
}

#[test]
fn a_collector_that_takes_the_connection_and_never_answers_holds_up_nothing() {
    for protocol in ["http/protobuf", "grpc"] {
        let silent = |_: &_| Reply::Silence;
        let collector = if protocol == "grpc" { Collector::grpc(silent) } else { Collector::http(silent) };
        let config = config(protocol, collector.address()) + HASTY;
        let arguments = ["--source", "simulate:freeze", "--speed", "20"];
        let mut daemon = Daemon::start(Program::new(), &config, &arguments);
        daemon.until("a request", || (!collector.received().is_empty()).then_some(()));
        daemon.wait_for_log("no answer within 300ms");
        // Samples and events go on.
        let mut stream = daemon.stream();
        let newest = daemon.events()[0]["id"].as_i64().unwrap();
        stream.find("samples", |line| line["type"] == "sample");
        daemon.wait_for_event("a later event", |event| event["id"].as_i64().unwrap() > newest + 2);
        assert!(outbox_spans(&daemon) >= 2);
        daemon.stop(libc::SIGTERM);
        assert!(exports(&daemon).iter().all(|(_, export)| export.as_deref() == Some("pending")));
    }
}

#[test]
fn a_silent_collector_that_is_not_yet_known_as_one_holds_up_no_shutdown() {
    let collector = Collector::http(|_| Reply::Silence);
    // The first request still waits for its answer when the signal comes.
    let config = config("http/protobuf", collector.address()) + "timeout = \"5m\"\n";
    let mut daemon =
        Daemon::start(Program::new(), &config, &["--source", "simulate:freeze", "--speed", "20"]);
    daemon.until("a request", || (!collector.received().is_empty()).then_some(()));
    daemon.stop(libc::SIGTERM);
    assert_eq!(told(&daemon, "not everything was exported in time"), 1);
    assert!(all_are(&daemon, "pending"), "{:?}", exports(&daemon));
}

#[test]
fn faults_of_the_configuration_keep_everything() {
    for (protocol, reply) in [
        ("http/protobuf", Reply::Http(401, None)),
        ("http/protobuf", Reply::Http(404, None)),
        ("http/protobuf", Reply::Http(301, Some(("Location", "http://127.0.0.1:1/")))),
        ("http/protobuf", Reply::Page),
        ("grpc", Reply::Grpc(Code::Unauthenticated)),
        ("grpc", Reply::Grpc(Code::PermissionDenied)),
        ("grpc", Reply::Grpc(Code::Unimplemented)),
    ] {
        let wrong = reply.clone();
        let answer = move |_: &_| wrong.clone();
        let mut collector =
            if protocol == "grpc" { Collector::grpc(answer) } else { Collector::http(answer) };
        let mut daemon = played(&config(protocol, nowhere()));
        daemon.write_config(&config(protocol, collector.address()));
        daemon.restart(&CALM);
        daemon.wait_for_log("the collector can't be used as it is configured");
        assert!(all_are(&daemon, "pending"), "{reply:?}: {:?}", exports(&daemon));
        assert_eq!(collector.received().len(), 1, "{reply:?}: it is left alone for a minute");
        let address = collector.address();
        daemon.kill();
        drop(collector);
        let take = |_: &_| Reply::Take;
        collector = if protocol == "grpc" {
            Collector::grpc_at(address, take)
        } else {
            Collector::http_at(address, take)
        };
        daemon.restart(&CALM);
        wait_until_exported(&daemon);
        each_once(&daemon, &collector);
    }
}
