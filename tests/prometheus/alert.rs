//! From a pause to somebody's webhook, with the configurations that are shipped.

use crate::expressions::frozen;
use crate::files::{changed, repository};
use crate::server::{Server, address};
use crate::web::Webhook;

#[test]
fn a_pause_is_told_through_prometheus_and_alertmanager_to_a_webhook() {
    let webhook = Webhook::start();
    let config = changed(
        "deploy/alertmanager/alertmanager.yml",
        &[("127.0.0.1:9094", &webhook.address().to_string()), ("group_wait: 30s", "group_wait: 1s")],
    );
    let Some(alertmanager) = Server::alertmanager(&config) else { return };
    let daemon = frozen();
    let config = changed(
        "deploy/prometheus/prometheus.yml",
        &[
            ("127.0.0.1:9847", &address(&daemon).to_string()),
            ("127.0.0.1:9093", &alertmanager.address().to_string()),
            ("scrape_interval: 15s", "scrape_interval: 1s"),
            ("scrape_timeout: 10s", "scrape_timeout: 1s"),
            ("evaluation_interval: 15s", "evaluation_interval: 1s"),
        ],
    );
    let Some(server) = Server::prometheus(&config, &["--storage.tsdb.path=data"], &[]) else { return };

    let message = alertmanager.until("a message to the webhook", || {
        webhook.next().filter(|message| message["commonLabels"]["alertname"] == "PauseMonitorPause")
    });
    assert_eq!(
        (&message["status"], &message["receiver"]),
        (&"firing".into(), &"people".into()),
        "{}",
        server.log()
    );
    let alert = &message["alerts"][0];
    let labels = &alert["labels"];
    assert_eq!(labels["job"], "pause-monitor");
    assert_eq!(labels["instance"], "this-machine");
    assert_eq!(labels["severity"], "warning");
    let annotations = &alert["annotations"];
    assert_eq!(annotations["summary"], "this-machine paused.");
    assert!(repository(annotations["runbook_url"].as_str().unwrap()).is_file());

    // Who was blamed is in it, and is on record.
    let description = annotations["description"].as_str().unwrap();
    let events = daemon.events();
    let mut blamed = events
        .iter()
        .filter(|event| event["kind"] == "pause")
        .map(|pause| format!("Blamed first: {}.", pause["culprits"][0]["name"].as_str().unwrap()));
    assert!(blamed.any(|blamed| description.contains(&blamed)), "{description}: {events:?}");
}
