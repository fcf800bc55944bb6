//! From what happens on a machine to somebody's webhook, with the configurations that are shipped: alerts fire there, and
//! are resolved.

use std::io::PipeWriter;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::daemon::Daemon;
use crate::files::{changed, repository};
use crate::program::Program;
use crate::server::{Server, address};
use crate::web::Webhook;

/// All times of the rules, shortened: what takes minutes there takes seconds here.
const SHORTENED: [(&str, &str); 4] =
    [("< 900", "< 5"), ("[5m]", "[10s]"), ("for: 1m", "for: 1s"), ("for: 5m", "for: 1s")];

/// A machine whose story is told as it is written: a simulated one, ten times as fast.
struct Told {
    daemon: Daemon,
    story: PipeWriter,
}

impl Told {
    fn start() -> Self {
        let config = "[http]\nlisten = [\"127.0.0.1:0\"]\nculprit_info = true\n";
        let arguments = ["--source", "replay:-", "--speed", "10"];
        let (read, story) = std::io::pipe().unwrap();
        Self { daemon: Daemon::start_with(Program::new(), config, &arguments, Stdio::from(read)), story }
    }

    /// Goes on with what a simulation writes.
    fn tell(&self, arguments: &[&str]) -> Child {
        let arguments = [&["simulate", "--tasks", "12"], arguments].concat();
        let story = self.story.try_clone().unwrap();
        Program::new().command(&arguments).stdout(story).spawn().unwrap()
    }
}

/// What the webhook was told, as it comes.
struct Messages<'a> {
    webhook: &'a Webhook,
    alertmanager: &'a Server,
    /// Alerts, each with its labels, annotations and status.
    alerts: Vec<Value>,
}

impl Messages<'_> {
    /// Waits for an alert in this state.
    fn wait_for(&mut self, name: &str, instance: &str, status: &str) -> Value {
        let Self { webhook, alertmanager, alerts } = self;
        alertmanager.until(&format!("{name} of {instance}, {status}"), || {
            while let Some(message) = webhook.next() {
                assert_eq!(message["receiver"], "people", "{message}");
                alerts.extend(message["alerts"].as_array().unwrap().iter().cloned());
            }
            let is_it = |alert: &&Value| {
                let labels = &alert["labels"];
                labels["alertname"] == name && labels["instance"] == instance && alert["status"] == status
            };
            alerts.iter().find(is_it).cloned()
        })
    }
}

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
fn alerts_go_through_prometheus_and_alertmanager_to_a_webhook_and_are_resolved_there() {
    let webhook = Webhook::start();
    let Some(alertmanager) = alertmanager(&webhook) else { return };
    let told = Told::start();
    // Whatever it does is critical, and stays so.
    let strict = "[tiers]\nelevated = 1\ncritical = 2\ndeescalation = \"10m\"\n";
    let http = "[http]\nlisten = [\"127.0.0.1:0\"]\n";
    let arguments = ["--source", "simulate:thrash", "--speed", "10"];
    let stressed = Daemon::start(Program::new(), &format!("{http}{strict}"), &arguments);
    let mut config = prometheus(&told.daemon, &alertmanager);
    config.push_str(&format!(
        "      - {{targets: [\"{}\"], labels: {{instance: stressed}}}}\n",
        address(&stressed)
    ));
    let rules = changed("deploy/prometheus/pause-monitor.rules.yml", &SHORTENED);
    let files = [("pause-monitor.rules.yml", &*rules)];
    let Some(server) = Server::prometheus(&config, &["--storage.tsdb.path=data"], &files) else { return };
    server.until("both machines", || (server.value("count(up == 1)") == Some(2.0)).then_some(()));
    let mut messages = Messages { webhook: &webhook, alertmanager: &alertmanager, alerts: Vec::new() };

    // One machine pauses. Its story is over sooner than it happens: the pause ends some 17 s from now, by its own time.
    let start = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let pausing = ["--scenario", "freeze", "--no-wait", "--count", "260", "--start", &start];
    assert!(told.tell(&pausing).wait().unwrap().success());
    // The other is under stress, and is given a configuration that it refuses.
    stressed.write_config(&format!("{http}{strict}colour = 3\n"));
    stressed.signal(libc::SIGHUP);

    let pause = messages.wait_for("PauseMonitorPause", "this-machine", "firing");
    assert_eq!(
        (&pause["labels"]["job"], &pause["labels"]["severity"]),
        (&"pause-monitor".into(), &"warning".into())
    );
    let annotations = &pause["annotations"];
    assert_eq!(annotations["summary"], "this-machine paused.");
    assert!(repository(annotations["runbook_url"].as_str().unwrap()).is_file());
    // Who was blamed is in it, and is on record.
    let recorded = told.daemon.wait_for_event("the pause", |event| event["kind"] == "pause");
    let blamed = format!("Blamed first: {}.", recorded["culprits"][0]["name"].as_str().unwrap());
    assert!(annotations["description"].as_str().unwrap().contains(&blamed), "{annotations}: {recorded}");
    messages.wait_for("PauseMonitorCriticalStress", "stressed", "firing");
    messages.wait_for("PauseMonitorConfigReloadFailed", "stressed", "firing");
    // The story is told, and no sample comes any more.
    messages.wait_for("PauseMonitorSamplerStalled", "this-machine", "firing");

    // All is well again: another configuration, with thresholds that nothing reaches, and samples that go on.
    stressed.write_config(&format!("{http}[tiers]\nelevated = 98\ncritical = 99\n"));
    stressed.signal(libc::SIGHUP);
    let mut calm = told.tell(&["--scenario", "calm"]);
    for (name, instance) in [
        ("PauseMonitorPause", "this-machine"),
        ("PauseMonitorSamplerStalled", "this-machine"),
        ("PauseMonitorCriticalStress", "stressed"),
        ("PauseMonitorConfigReloadFailed", "stressed"),
    ] {
        messages.wait_for(name, instance, "resolved");
    }
    calm.kill().unwrap();
    calm.wait().unwrap();
    // Nothing else was told of: what did not happen is no alert.
    let names = messages.alerts.iter().map(|alert| alert["labels"]["alertname"].as_str().unwrap());
    let told_of: std::collections::BTreeSet<_> = names.collect();
    assert_eq!(told_of.len(), 4, "{told_of:?}");
}

#[test]
fn what_the_store_and_a_hook_could_not_do_is_told_and_taken_back() {
    let webhook = Webhook::start();
    let Some(alertmanager) = alertmanager(&webhook) else { return };
    let config = "[http]\nlisten = [\"127.0.0.1:0\"]\n\
        [[hooks]]\nname = \"refuses\"\non = [\"elevated\"]\ncommand = [\"/bin/false\"]\n";
    let daemon = Daemon::start(Program::new(), config, &["--source", "simulate:freeze", "--speed", "4"]);
    let rules = changed(
        "deploy/prometheus/pause-monitor.rules.yml",
        &[("errors_total[15m]", "errors_total[10s]"), ("|dropped\"}[1h]", "|dropped\"}[10s]")],
    );
    let files = [("pause-monitor.rules.yml", &*rules)];
    let arguments = ["--storage.tsdb.path=data"];
    let config_text = prometheus(&daemon, &alertmanager);
    let Some(_server) = Server::prometheus(&config_text, &arguments, &files) else { return };
    let mut messages = Messages { webhook: &webhook, alertmanager: &alertmanager, alerts: Vec::new() };
    let failing = messages.wait_for("PauseMonitorHookFailing", "this-machine", "firing");
    assert_eq!(failing["labels"]["hook"], "refuses");
    // The hook is taken out.
    daemon.write_config("[http]\nlisten = [\"127.0.0.1:0\"]\n");
    daemon.signal(libc::SIGHUP);
    let connection = rusqlite::Connection::open(daemon.data_dir().join("data.db")).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    messages.wait_for("PauseMonitorStoreErrors", "this-machine", "firing");
    drop(connection);
    messages.wait_for("PauseMonitorStoreErrors", "this-machine", "resolved");
    messages.wait_for("PauseMonitorHookFailing", "this-machine", "resolved");
}
