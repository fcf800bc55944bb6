//! From a pause to somebody's webhook, with the configurations that are shipped.

use crate::daemon::Daemon;
use crate::expressions::frozen;
use crate::files::{changed, repository};
use crate::program::Program;
use crate::server::{Server, address};
use crate::web::Webhook;

/// An Alertmanager that does not wait, in front of a webhook.
fn alertmanager(webhook: &Webhook) -> Option<Server> {
    let changes = [
        ("127.0.0.1:9094", &*webhook.address().to_string()),
        ("group_wait: 30s", "group_wait: 1s"),
        ("group_interval: 5m", "group_interval: 1s"),
    ];
    Server::alertmanager(&changed("deploy/alertmanager/alertmanager.yml", &changes))
}

/// The shipped configuration, a second where it has a quarter of a minute.
fn prometheus(daemon: &Daemon, alertmanager: &Server) -> String {
    changed(
        "deploy/prometheus/prometheus.yml",
        &[
            ("127.0.0.1:9847", &address(daemon).to_string()),
            ("127.0.0.1:9093", &alertmanager.address().to_string()),
            ("scrape_interval: 15s", "scrape_interval: 1s"),
            ("scrape_timeout: 10s", "scrape_timeout: 1s"),
            ("evaluation_interval: 15s", "evaluation_interval: 1s"),
        ],
    )
}

#[test]
fn what_has_passed_is_taken_back() {
    let webhook = Webhook::start();
    let Some(alertmanager) = alertmanager(&webhook) else { return };
    let config = "[http]\nlisten = [\"127.0.0.1:0\"]\n";
    let daemon = Daemon::start(Program::new(), config, &["--source", "simulate:freeze"]);
    // The same rules with less patience. At its own pace: told faster, the time of a pause would lie in the future.
    let rules = changed(
        "deploy/prometheus/pause-monitor.rules.yml",
        &[("< 900", "< 4"), ("for: 5m", "for: 1s"), ("errors_total[15m]", "errors_total[10s]")],
    );
    let files = [("pause-monitor.rules.yml", &*rules)];
    let config_text = prometheus(&daemon, &alertmanager);
    let arguments = ["--storage.tsdb.path=data"];
    let Some(_server) = Server::prometheus(&config_text, &arguments, &files) else { return };
    let told = |name: &str, status: &str| {
        alertmanager.until(&format!("{name} {status}"), || {
            webhook
                .next()
                .filter(|message| message["commonLabels"]["alertname"] == name && message["status"] == status)
        })
    };
    told("PauseMonitorPause", "firing");
    told("PauseMonitorPause", "resolved");

    daemon.write_config("[tiers]\nelevated = 0\n");
    daemon.signal(libc::SIGHUP);
    told("PauseMonitorConfigReloadFailed", "firing");
    daemon.write_config(config);
    daemon.signal(libc::SIGHUP);
    told("PauseMonitorConfigReloadFailed", "resolved");

    let connection = rusqlite::Connection::open(daemon.data_dir().join("data.db")).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    let message = told("PauseMonitorStoreErrors", "firing");
    assert_eq!(message["alerts"][0]["labels"]["instance"], "this-machine");
    drop(connection);
    told("PauseMonitorStoreErrors", "resolved");
}

#[test]
fn a_pause_is_told_through_prometheus_and_alertmanager_to_a_webhook() {
    let webhook = Webhook::start();
    let Some(alertmanager) = alertmanager(&webhook) else { return };
    let daemon = frozen();
    let config = prometheus(&daemon, &alertmanager);
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
