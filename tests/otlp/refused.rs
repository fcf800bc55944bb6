//! Spans that the collector does not want do not block the rest.

use tonic::Code;

use crate::collector::{Collector, Received, Reply};
use crate::daemon::Daemon;
use crate::exporting::{CALM, config, exports, ids, played, told};
use crate::port::nowhere;

/// A daemon with a backlog, on a collector that does this with a request in which the poisoned event is.
fn poisoned(protocol: &str, answer: fn(&Received) -> Reply) -> (Daemon, Collector, i64) {
    let mut daemon = played(&config(protocol, nowhere()));
    let poison = ids(&daemon)[2];
    let respond = move |received: &Received| {
        if received.ids().contains(&poison) { answer(received) } else { Reply::Take }
    };
    let collector = if protocol == "grpc" { Collector::grpc(respond) } else { Collector::http(respond) };
    daemon.write_config(&config(protocol, collector.address()));
    daemon.restart(&CALM);
    (daemon, collector, poison)
}

/// The poisoned one is refused, the others arrived once each; one line tells it.
fn only_the_poisoned_one_is_refused(protocol: &str, answer: fn(&Received) -> Reply) {
    let (daemon, collector, poison) = poisoned(protocol, answer);
    daemon.until("nothing left to send", || {
        exports(&daemon).iter().all(|(_, export)| export.as_deref() != Some("pending")).then_some(())
    });
    for (id, export) in exports(&daemon) {
        let expected = if id == poison { "refused" } else { "exported" };
        assert_eq!(export.as_deref(), Some(expected), "{protocol}: {id}");
    }
    let others: Vec<i64> = ids(&daemon).into_iter().filter(|&id| id != poison).collect();
    assert_eq!(collector.ids(), others, "{protocol}");
    assert_eq!(told(&daemon, "the collector refuses spans for good"), 1, "{}", daemon.log());
    let status: serde_json::Value = serde_json::from_str(&daemon.run("status", &["--json"]).stdout).unwrap();
    assert_eq!(status["otlp"], serde_json::json!({ "outbox_spans": 0, "refused_spans": 1 }));
}

#[test]
fn a_400_for_one_span_costs_that_one() {
    only_the_poisoned_one_is_refused("http/protobuf", |_| Reply::Http(400, None));
}

#[test]
fn invalid_argument_for_one_span_costs_that_one() {
    only_the_poisoned_one_is_refused("grpc", |_| Reply::Grpc(Code::InvalidArgument));
}

#[test]
fn a_partial_success_costs_the_one_that_was_rejected() {
    only_the_poisoned_one_is_refused("http/protobuf", |_| Reply::Partial(1));
    only_the_poisoned_one_is_refused("grpc", |_| Reply::Partial(1));
}

#[test]
fn a_collector_that_fails_on_one_span_and_takes_the_others_refuses_that_one() {
    only_the_poisoned_one_is_refused("http/protobuf", |_| Reply::Http(500, None));
}

#[test]
fn a_collector_that_fails_on_all_of_them_loses_none() {
    let mut daemon = played(&config("http/protobuf", nowhere()));
    let collector = Collector::http(|_| Reply::Http(500, None));
    daemon.write_config(&config("http/protobuf", collector.address()));
    daemon.restart(&CALM);
    let batches = || collector.received().iter().filter(|received| received.ids().len() > 1).count();
    daemon.until("a second attempt", || (batches() >= 2).then_some(()));
    assert!(exports(&daemon).iter().all(|(_, export)| export.as_deref() == Some("pending")));
}
