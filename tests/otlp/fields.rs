//! Every field of what arrives.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};

use crate::collector::{Collector, Reply, attribute, event_id};
use crate::daemon::Daemon;
use crate::exporting::{CALM, config, ids, played, times, wait_until_exported};

fn text(text: &str) -> Value {
    Value::StringValue(text.to_owned())
}

/// The texts of an array.
fn texts(value: Option<&Value>) -> Vec<String> {
    let Some(Value::ArrayValue(array)) = value else { panic!("{value:?}") };
    let one = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        other => panic!("{other:?}"),
    };
    array.values.iter().map(|value| one(value.value.as_ref().unwrap())).collect()
}

/// The numbers of an array.
fn numbers(value: Option<&Value>) -> Vec<f64> {
    let Some(Value::ArrayValue(array)) = value else { panic!("{value:?}") };
    let one = |value: &Value| match value {
        Value::DoubleValue(number) => *number,
        other => panic!("{other:?}"),
    };
    array.values.iter().map(|value| one(value.value.as_ref().unwrap())).collect()
}

fn seconds(value: Option<&Value>) -> f64 {
    match value {
        Some(Value::DoubleValue(seconds)) => *seconds,
        other => panic!("{other:?}"),
    }
}

fn is_a_pause_of(event: &Event, pause: &Span) -> bool {
    event.name == "pause" && event.time_unix_nano == pause.end_time_unix_nano
}

/// A pause's span, its episode's, and all that is in them.
fn check(daemon: &Daemon, collector: &Collector) {
    let spans = collector.spans();
    let pause = spans.iter().find(|span| span.name == "pause").unwrap();
    let episode = spans.iter().find(|span| span.span_id == pause.parent_span_id).unwrap();
    assert_eq!(episode.name, "episode");
    assert_eq!((pause.trace_id.len(), pause.span_id.len(), episode.parent_span_id.len()), (16, 8, 0));
    assert_eq!(pause.trace_id, episode.trace_id);
    let on_record =
        |span: &Span| daemon.events().into_iter().find(|event| event["id"] == event_id(span)).unwrap();
    let hex: String = pause.trace_id.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(on_record(pause)["incident"], hex);
    for span in [pause, episode] {
        let (start, end) = times(daemon, event_id(span));
        assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (start, end), "to the nanosecond");
        assert_eq!((span.kind, span.dropped_events_count), (SpanKind::Internal as i32, 0));
        let event = on_record(span);
        let known = seconds(attribute(&span.attributes, "pause_monitor.duration"));
        assert!((known - event["duration_s"].as_f64().unwrap()).abs() < 1e-6);
        let get = |key: &str| attribute(&span.attributes, key).cloned();
        assert_eq!(get("pause_monitor.peak_stress"), event["peak_stress"].as_i64().map(Value::IntValue));
        assert_eq!(get("pause_monitor.peak_tier"), event["peak_tier"].as_str().map(text));
        for (factor, points) in event["factors"].as_object().unwrap() {
            let key = format!("pause_monitor.stress.{factor}");
            assert_eq!(get(&key), points.as_i64().map(Value::IntValue), "{key}");
        }
        let culprits = event["culprits"].as_array().unwrap();
        let names: Vec<&str> = culprits.iter().map(|culprit| culprit["name"].as_str().unwrap()).collect();
        assert_eq!(texts(get("pause_monitor.culprit.names").as_ref()), names);
        let shares: Vec<f64> = culprits.iter().map(|culprit| culprit["share"].as_f64().unwrap()).collect();
        assert_eq!(numbers(get("pause_monitor.culprit.shares").as_ref()), shares);
        assert!(!names.is_empty());
        assert_eq!(get("pause_monitor.interrupted"), None);
    }
    assert_eq!(attribute(&pause.attributes, "pause_monitor.verdict"), Some(&text("pause")));
    assert_eq!(attribute(&pause.attributes, "pause_monitor.certain"), Some(&Value::BoolValue(true)));
    assert_eq!(attribute(&episode.attributes, "pause_monitor.verdict"), None);

    let [event] = &pause.events[..] else { panic!("{:?}", pause.events) };
    assert!(is_a_pause_of(event, pause));
    assert_eq!(episode.events.iter().filter(|event| is_a_pause_of(event, pause)).count(), 1);
    assert_eq!(
        seconds(attribute(&event.attributes, "pause_monitor.duration")),
        seconds(attribute(&pause.attributes, "pause_monitor.duration"))
    );
    let tiers: Vec<&Event> = episode.events.iter().filter(|event| event.name == "tier").collect();
    let to: Vec<&Value> =
        tiers.iter().map(|event| attribute(&event.attributes, "pause_monitor.tier.to").unwrap()).collect();
    assert_eq!(to, [&text("elevated"), &text("critical"), &text("elevated"), &text("sentinel")]);
    assert_eq!(tiers[0].time_unix_nano, episode.start_time_unix_nano);
    assert_eq!(tiers[3].time_unix_nano, episode.end_time_unix_nano);
    assert!(episode.events.windows(2).all(|pair| pair[0].time_unix_nano <= pair[1].time_unix_nano));
}

fn check_resource(daemon: &Daemon, collector: &Collector) {
    let received = collector.received();
    let resource = &received[0].message.resource_spans[0];
    assert!(resource.schema_url.starts_with("https://opentelemetry.io/schemas/"), "{}", resource.schema_url);
    let attributes = &resource.resource.as_ref().unwrap().attributes;
    let get = |key: &str| match attribute(attributes, key) {
        Some(Value::StringValue(text)) => text.clone(),
        other => panic!("{key}: {other:?}"),
    };
    assert_eq!(
        (get("service.name"), get("service.version")),
        ("pause-monitor".into(), env!("CARGO_PKG_VERSION").into())
    );
    let instance = std::fs::read_to_string(daemon.data_dir().join("instance-id")).unwrap();
    assert_eq!(get("service.instance.id"), instance.trim());
    assert_eq!(get("os.type"), if cfg!(target_os = "macos") { "darwin" } else { "linux" });
    for key in ["host.name", "host.arch", "os.version"] {
        assert!(!get(key).is_empty(), "{key}");
    }
    let scope = resource.scope_spans[0].scope.as_ref().unwrap();
    assert_eq!((scope.name.as_str(), scope.version.as_str()), ("pause-monitor", env!("CARGO_PKG_VERSION")));
}

#[test]
fn over_http_every_field_arrives_as_it_is_on_record() {
    let collector = Collector::http(|_| Reply::Take);
    let mut daemon = played(&config("http/protobuf", collector.address()));
    // What the end of the recording left no time for.
    daemon.restart(&CALM);
    wait_until_exported(&daemon);
    check(&daemon, &collector);
    check_resource(&daemon, &collector);
    for received in collector.received() {
        assert_eq!(received.path, "/v1/traces");
        assert!(received.headers["user-agent"].starts_with("pause-monitor/"), "{received:?}");
        assert_eq!(received.headers.get("content-encoding"), None);
    }
    daemon.until("the connection's end: nothing is left to send", || {
        (collector.connections() == 0).then_some(())
    });
}

#[test]
fn over_grpc_with_gzip_it_is_the_same() {
    let collector = Collector::grpc(|_| Reply::Take);
    let config = config("grpc", collector.address()) + "compression = \"gzip\"\n";
    let mut daemon = played(&config);
    daemon.restart(&CALM);
    wait_until_exported(&daemon);
    check(&daemon, &collector);
    check_resource(&daemon, &collector);
    for received in collector.received() {
        assert!(received.headers["user-agent"].contains("pause-monitor/"), "{received:?}");
        assert_eq!(received.headers.get("grpc-encoding").map(String::as_str), Some("gzip"));
    }
}

#[test]
fn a_pause_is_exported_when_it_ends_and_not_when_its_episode_does() {
    let collector = Collector::http(|_| Reply::Take);
    // The episode stays open: nothing brings it down in the time of this test.
    let config = config("http/protobuf", collector.address()) + "[tiers]\ndeescalation = \"10m\"\n";
    let mut daemon = Daemon::start(
        crate::program::Program::new(),
        &config,
        &["--source", "simulate:freeze", "--speed", "20"],
    );
    let pause = collector.wait_for_span("the pause", |span| span.name == "pause");
    assert!(collector.spans().iter().all(|span| span.name == "pause"));
    let open = daemon.wait_for_event("its episode", |event| event["open"] == true);
    // At the end the episode is closed, and sent as well.
    daemon.stop(libc::SIGTERM);
    daemon.restart(&CALM);
    let episode = collector.wait_for_span("the episode", |span| span.span_id == pause.parent_span_id);
    assert_eq!(event_id(&episode), open["id"].as_i64().unwrap());
}

#[test]
fn an_episode_that_was_interrupted_by_a_kill_is_exported_with_the_changes_of_tier_it_had() {
    let collector = Collector::http(|_| Reply::Take);
    let config = config("http/protobuf", collector.address()) + "[tiers]\ndeescalation = \"10m\"\n";
    let mut daemon = Daemon::start(
        crate::program::Program::new(),
        &config,
        &["--source", "simulate:thrash", "--speed", "20"],
    );
    let open = daemon.wait_for_event("an episode in CRITICAL", |event| event["peak_tier"] == "critical");
    let known = |daemon: &Daemon| {
        let changes = "SELECT json_array_length(tier_changes) FROM events WHERE id = ?1";
        let database = rusqlite::Connection::open(daemon.data_dir().join("data.db")).unwrap();
        database.query_row(changes, [open["id"].as_i64().unwrap()], |row| row.get::<_, i64>(0)).unwrap()
    };
    daemon.until("its changes of tier on disk", || (known(&daemon) >= 2).then_some(()));
    daemon.restart(&CALM);
    let episode = collector.wait_for_span("the episode", |span| span.name == "episode");
    assert_eq!(attribute(&episode.attributes, "pause_monitor.interrupted"), Some(&text("restart")));
    assert!(episode.events.iter().filter(|event| event.name == "tier").count() >= 2, "{episode:?}");
}

#[test]
fn what_ended_before_there_was_an_endpoint_is_not_sent() {
    let mut daemon = played("");
    assert!(!daemon.data_dir().join("instance-id").exists(), "nothing is made without an endpoint");
    let before = ids(&daemon);
    let collector = Collector::http(|_| Reply::Take);
    daemon.write_config(&config("http/protobuf", collector.address()));
    daemon.restart(&["--source", "simulate:freeze", "--speed", "20"]);
    let span = collector.wait_for_span("a span", |_| true);
    assert!(event_id(&span) > *before.iter().max().unwrap());
}
