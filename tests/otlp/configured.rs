//! Where the settings come from, and what is never shown.

use opentelemetry_proto::tonic::common::v1::any_value::Value;

use crate::collector::{Collector, Reply, attribute};
use crate::daemon::Daemon;
use crate::exporting::{CALM, all_are, config, exports, played, played_by, wait_until_exported};
use crate::port::nowhere;
use crate::program::Program;

#[test]
fn the_standard_variables_beat_the_file_and_headers_go_along_unseen() {
    for protocol in ["http/protobuf", "grpc"] {
        let take = |_: &_| Reply::Take;
        let collector = if protocol == "grpc" { Collector::grpc(take) } else { Collector::http(take) };
        let endpoint = format!("http://{}", collector.address());
        let program = Program::new()
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
            .env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
            .env("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20hush,x-tenant=desk")
            .env("OTEL_SERVICE_NAME", "mac-mini")
            .env("OTEL_RESOURCE_ATTRIBUTES", "service.name=lost,deployment.environment.name=home%20office");
        let file = config("http/json", nowhere()).replace("http/json", "http/protobuf")
            + "headers = { x-file = \"quiet\" }\n[log]\nlevel = \"trace\"\n";
        let mut daemon = played_by(program, &file);
        daemon.restart(&CALM);
        wait_until_exported(&daemon);
        let received = collector.received();
        for one in &received {
            assert_eq!(one.headers["authorization"], "Bearer hush");
            assert_eq!((one.headers["x-tenant"].as_str(), one.headers.get("x-file")), ("desk", None));
            let coding = if protocol == "grpc" { "grpc-encoding" } else { "content-encoding" };
            assert_eq!(one.headers[coding], "gzip");
        }
        let resource = received[0].message.resource_spans[0].resource.as_ref().unwrap();
        let get = |key: &str| attribute(&resource.attributes, key).cloned();
        assert_eq!(get("service.name"), Some(Value::StringValue("mac-mini".to_owned())));
        assert_eq!(get("deployment.environment.name"), Some(Value::StringValue("home office".to_owned())));

        let shown = daemon.run("config", &["show"]).stdout;
        let origin = |line: &str| {
            let line =
                shown.lines().find(|shown| shown.starts_with(line)).unwrap_or_else(|| panic!("{shown}"));
            line.split_once("  # ").unwrap().1.to_owned()
        };
        assert_eq!(origin(&format!("endpoint = \"{endpoint}\"")), "environment OTEL_EXPORTER_OTLP_ENDPOINT");
        assert_eq!(
            origin("headers = { \"authorization\" = \"(secret)\", \"x-tenant\" = \"(secret)\" }"),
            "environment OTEL_EXPORTER_OTLP_HEADERS"
        );
        assert_eq!(origin("timeout = \"10s\""), "default");
        assert!(shown.contains("\n# service.name is \"mac-mini\" (OTEL_SERVICE_NAME)\n"), "{shown}");
        let json = daemon.run("config", &["show", "--json"]).stdout;
        for (what, text) in [("show", &shown), ("show --json", &json), ("the log", &daemon.log())] {
            assert!(!text.contains("hush") && !text.contains("quiet"), "{what}: {text}");
        }
    }
}

#[test]
fn a_bad_value_ends_the_start_in_one_line_with_exit_code_2() {
    for (name, value, line) in [
        (
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "http/json",
            "the environment: OTEL_EXPORTER_OTLP_PROTOCOL: \"http/json\" is none of http/protobuf, grpc",
        ),
        (
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
            "/nowhere.pem",
            "otlp.certificate: /nowhere.pem: No such file or directory (os error 2): name a PEM file that this user \
             may read",
        ),
        (
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
            "/dev/null",
            "otlp.certificate: /dev/null: there is no certificate in it: name a PEM file that this user may read",
        ),
    ] {
        let program =
            Program::new().env("OTEL_EXPORTER_OTLP_ENDPOINT", "https://127.0.0.1:4318").env(name, value);
        let mut daemon = Daemon::start(program, "", &CALM);
        assert_eq!(daemon.wait(), 2, "{}", daemon.log());
        assert_eq!(daemon.log(), format!("pause-monitor: {line}\n"));
    }
}

#[test]
fn otel_sdk_disabled_turns_it_off_whatever_else_is_set() {
    let collector = Collector::http(|_| Reply::Take);
    let program = Program::new().env("OTEL_SDK_DISABLED", "true");
    let daemon = played_by(program, &config("http/protobuf", collector.address()));
    assert!(exports(&daemon).iter().all(|(_, export)| export.is_none()));
    assert!(collector.received().is_empty());
    assert!(!daemon.log().contains("span"), "{}", daemon.log());
    let shown = daemon.run("config", &["show"]).stdout;
    assert!(shown.contains("# OTEL_SDK_DISABLED is true: nothing is exported"), "{shown}");
}

#[test]
fn without_an_endpoint_there_is_no_exporter_and_no_noise() {
    // Other variables alone are no wish to export, and no fault of theirs is told.
    let program = Program::new().env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json");
    let daemon = played_by(program, "");
    assert!(exports(&daemon).iter().all(|(_, export)| export.is_none()));
    assert!(!daemon.log().contains("span"), "{}", daemon.log());
    assert!(!daemon.data_dir().join("instance-id").exists());
}

#[test]
fn what_waits_when_the_endpoint_is_taken_away_still_waits_and_is_shown() {
    let mut daemon = played(&config("http/protobuf", nowhere()));
    let waiting = exports(&daemon).len() as u64;
    daemon.write_config("");
    daemon.restart(&CALM);
    daemon.until("the socket", || daemon.socket().exists().then_some(()));
    assert_eq!(crate::exporting::outbox_spans(&daemon), waiting);
    assert!(all_are(&daemon, "pending"));
}
