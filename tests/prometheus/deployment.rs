//! The files of `deploy/`: the programs they are for take them, and what they mount or name is there. No container was
//! run for this.

use std::fs;
use std::process::Command;

use crate::files::{changed, repository, text};
use crate::peer::peer;

/// What `promtool check config` takes for these files' own directories: the rules beside them, and a password.
fn checked(arguments: &[&str], config: &str) {
    let Some(promtool) = peer(&["promtool"], "prometheus") else { return };
    let directory = tempfile::tempdir().unwrap();
    let rules = "pause-monitor.rules.yml";
    fs::copy(repository("deploy/prometheus").join(rules), directory.path().join(rules)).unwrap();
    fs::write(directory.path().join("fleet-password"), "secret").unwrap();
    fs::write(directory.path().join("checked.yml"), config).unwrap();
    let output = Command::new(promtool)
        .args(arguments)
        .arg("checked.yml")
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn prometheus_takes_its_configurations() {
    for file in ["prometheus/prometheus.yml", "compose/prometheus.yml", "fleet/receiver.yml"] {
        checked(&["check", "config"], &text(&format!("deploy/{file}")));
    }
    checked(&["check", "config", "--agent"], &text("deploy/fleet/agent.yml"));
}

#[test]
fn the_receiver_lets_nobody_in_before_a_password_was_chosen() {
    let web = changed("deploy/fleet/web.yml", &[("PUT-THE-BCRYPT-HASH-HERE", crate::fleet::PASSWORD_HASH)]);
    let certificates = web.split_once("basic_auth_users").unwrap();
    // The certificate is the user's own; the rest is as it is shipped.
    checked(&["check", "web-config"], &format!("basic_auth_users{}", certificates.1));
    let Some(promtool) = peer(&["promtool"], "prometheus") else { return };
    let shipped = Command::new(promtool)
        .args(["check", "web-config", "deploy/fleet/web.yml"])
        .current_dir(repository(""))
        .output()
        .unwrap();
    assert!(!shipped.status.success(), "the shipped file has a password that works");
}

#[test]
fn alertmanager_takes_its_configuration() {
    let Some(amtool) = peer(&["amtool"], "prometheus-alertmanager") else { return };
    let file = repository("deploy/alertmanager/alertmanager.yml");
    let output = Command::new(amtool).arg("check-config").arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_compose_mounts_is_there_and_nothing_listens_beyond_this_machine() {
    let compose = text("deploy/compose.yml");
    let mut mounted = 0;
    for line in compose.lines() {
        let mount = line.trim().strip_prefix("- ").and_then(|mount| mount.split_once(":/"));
        if let Some((path, _)) = mount.filter(|(path, _)| path.starts_with('.')) {
            assert!(repository("deploy").join(path).exists(), "{path} is mounted, and is not there");
            mounted += 1;
        }
        if let Some(ports) = line.trim().strip_prefix("ports: ") {
            let open = ports.trim_matches(['[', ']']).split(", ");
            assert!(open.into_iter().all(|port| port.starts_with("\"127.0.0.1:")), "{line}");
        }
        if let Some(image) = line.trim().strip_prefix("image: ") {
            let (_, version) = image.split_once(':').unwrap();
            assert!(version != "latest" && version.contains('.'), "{image} is of no certain version");
        }
    }
    assert_eq!(mounted, 5);
    // Where Grafana looks for the dashboards is where compose puts them.
    let provider = text("deploy/grafana/provisioning/dashboards/pause-monitor.yml");
    let (_, path) = provider.split_once("path: ").unwrap();
    assert!(compose.contains(&format!("- ../dashboards:{}:ro", path.trim())));
    assert!(compose.contains("- ./grafana/provisioning:/etc/grafana/provisioning:ro"));
}
