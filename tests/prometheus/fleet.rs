//! A fleet: on each machine a Prometheus in agent mode that writes to one receiver, with the configurations that are
//! shipped.

use crate::boards::{expressions, read};
use crate::daemon::Daemon;
use crate::expressions::{all_have_data, frozen, this_machine, with_powermetrics};
use crate::files::{changed, text};
use crate::server::{Server, address};
use crate::stand_in::StandIn;

/// What the fleet of this test knows itself by, its hash as the receiver has it, and both as a header.
const PASSWORD: &str = "a fleet password";
pub(crate) const PASSWORD_HASH: &str = "$2b$04$6C0J6Fpj9yDIksGvPB0l.ez1Kto1DlYg2Q/r71qIJBiosdfbzPnki";
const AUTHORIZATION: &str = "Authorization: Basic ZmxlZXQ6YSBmbGVldCBwYXNzd29yZA==\r\n";

/// The receiver, with the shipped file's users and without its certificate, which is everybody's own.
fn receiver() -> Option<Server> {
    let users = changed("deploy/fleet/web.yml", &[("PUT-THE-BCRYPT-HASH-HERE", PASSWORD_HASH)]);
    let (_, users) = users.split_once("basic_auth_users").unwrap();
    let config =
        changed("deploy/fleet/receiver.yml", &[("evaluation_interval: 30s", "evaluation_interval: 1s")]);
    let arguments =
        ["--web.enable-remote-write-receiver", "--web.config.file=web.yml", "--storage.tsdb.path=data"];
    let web = ("web.yml", &*format!("basic_auth_users{users}"));
    Server::prometheus(&config, &arguments, &[web]).map(|server| server.with_headers(AUTHORIZATION))
}

/// The agent of a machine.
fn agent(machine: &str, daemon: &Daemon, receiver: &Server) -> Option<Server> {
    let config = changed(
        "deploy/fleet/agent.yml",
        &[
            ("instance: MACHINE", &format!("instance: {machine}")),
            ("127.0.0.1:9847", &address(daemon).to_string()),
            ("https://receiver.example:9090", &format!("http://{}", receiver.address())),
            ("scrape_interval: 15s", "scrape_interval: 1s"),
        ],
    );
    let arguments = ["--enable-feature=agent", "--storage.agent.path=data"];
    Server::prometheus(&config, &arguments, &[("fleet-password", PASSWORD)])
}

#[test]
fn many_machines_write_to_one_place_and_the_fleet_dashboard_shows_them() {
    let machines = ["frozen", "sampled", "real"];
    let stand_in = StandIn::new("own");
    let daemons = [frozen(), with_powermetrics(&stand_in), this_machine()];
    let Some(receiver) = receiver() else { return };
    let agents: Option<Vec<_>> =
        machines.iter().zip(&daemons).map(|(machine, daemon)| agent(machine, daemon, &receiver)).collect();
    let Some(_agents) = agents else { return };

    let count = |expression: &str| receiver.value(&format!("count({expression})")).unwrap_or(0.0);
    receiver.until("all machines at the receiver", || (count("pause_monitor_up == 1") == 3.0).then_some(()));
    all_have_data(&receiver, expressions(&read("fleet.json")), &[".+"]);

    // What a Mac has: powermetrics' figures, load, memory and the heartbeat. Not what the receiver makes of them, nor what is
    // there from the first pause on, which this machine may have any time.
    // Linux captures other things after a pause than a Mac, which has five, with five outcomes each.
    const CAPTURES: &str = "pause_monitor_forensics_captures_total";
    let all = |machine| {
        count(&format!(
            "{{instance=\"{machine}\", __name__!~\".+:.+|ALERTS.*|pause_monitor_last_pause_.*\"}}"
        ))
    };
    let here = |machine| count(&format!("{CAPTURES}{{instance=\"{machine}\"}}"));
    let series = |machine| all(machine) - here(machine) + 25.0;
    let documented = text("docs/fleet.md");
    let (_, documented) = documented.split_once("A Mac has **").unwrap();
    let documented: f64 = documented.split(' ').next().unwrap().parse().unwrap();
    let what =
        format!("{documented} series of a Mac, as documented (at first there were {})", series("sampled"));
    receiver.until(&what, || (series("sampled") == documented).then_some(()));
}
