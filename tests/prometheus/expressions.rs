//! Every expression of the dashboards and of the rules, asked of a Prometheus that scrapes daemons under stress.

use std::fmt::Write;

use crate::boards::{DASHBOARDS, Expression, expressions, read, selectors, substituted};
use crate::daemon::{Daemon, PATIENCE};
use crate::program::Program;
use crate::server::{Server, address};
use crate::stand_in::StandIn;

/// A configuration that scrapes these every second, and evaluates the rules as often.
fn scraping(targets: &[(&str, &Daemon)]) -> String {
    let mut config = String::from(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n\
         rule_files: [pause-monitor.rules.yml]\n\
         scrape_configs:\n  - job_name: pause-monitor\n    static_configs:\n",
    );
    for (name, daemon) in targets {
        let address = address(daemon);
        writeln!(config, "      - {{targets: [\"{address}\"], labels: {{instance: {name}}}}}").unwrap();
    }
    config
}

/// A machine that is frozen again and again, by a story told four times as fast.
pub(crate) fn frozen() -> Daemon {
    let config = "[http]\nculprit_info = true\nlisten = [\"127.0.0.1:0\"]\n\
                  [[hooks]]\nname = \"nothing\"\non = [\"pause\"]\ncommand = [\"true\"]\n";
    Daemon::start(Program::new(), config, &["--source", "simulate:freeze", "--speed", "4"])
}

/// A machine with a powermetrics of its own, simulated, that lists itself; load, memory and the heartbeat are this
/// machine's.
pub(crate) fn with_powermetrics(stand_in: &StandIn) -> Daemon {
    let config = format!("[http]\nlisten = [\"127.0.0.1:0\"]\n{}", stand_in.config(0));
    Daemon::start(stand_in.program(), &config, &[""; 0])
}

/// This machine.
pub(crate) fn this_machine() -> Daemon {
    Daemon::start(Program::new(), "[http]\nlisten = [\"127.0.0.1:0\"]\n", &["--source", "linux"])
}

/// Asks for expressions until each has had data of one of these machines, and says which never had. So has everything
/// that they look at, or what ends in `or vector(0)` would pass whatever it asks for.
pub(crate) fn all_have_data(server: &Server, mut expressions: Vec<Expression>, instances: &[&str]) {
    let looked_at: Vec<_> = expressions
        .iter()
        .flat_map(|expression| {
            let of = &expression.of;
            selectors(&expression.text).into_iter().map(|selector| Expression {
                of: of.clone(),
                text: format!("last_over_time({selector}[$__range])"),
                instant: true,
            })
        })
        .collect();
    expressions.extend(looked_at);
    let deadline = std::time::Instant::now() + PATIENCE;
    let mut missing = expressions;
    loop {
        missing.retain(|expression| !instances.iter().any(|instance| has_data(server, expression, instance)));
        if missing.is_empty() {
            return;
        }
        let wanted: String = missing.iter().map(|one| format!("\n{}: {}", one.of, one.text)).collect();
        assert!(std::time::Instant::now() < deadline, "no data in {PATIENCE:?} of {wanted}");
    }
}

fn has_data(server: &Server, expression: &Expression, instance: &str) -> bool {
    let text = substituted(&expression.text, "pause-monitor", instance);
    let series = if expression.instant { server.query(&text) } else { server.query_range(&text) };
    let series = series.unwrap_or_else(|error| panic!("{}: {text}: {error}", expression.of));
    !series.is_empty()
}

#[test]
fn every_expression_of_the_dashboards_and_of_the_rules_has_data() {
    let stand_in = StandIn::new("own");
    let daemons = [frozen(), with_powermetrics(&stand_in), this_machine()];
    let instances = ["frozen", "sampled", "real"];
    let targets: Vec<_> = instances.into_iter().zip(&daemons).collect();
    let Some(server) = Server::prometheus(&scraping(&targets), &["--storage.tsdb.path=data"], &[]) else {
        return;
    };

    for file in DASHBOARDS {
        let mut instances = instances.to_vec();
        if file == "fleet.json" {
            // All of them, as Grafana writes it.
            instances = vec![".+"];
        }
        all_have_data(&server, expressions(&read(file)), &instances);
    }
    the_rules_have_data(&server);
    drop(daemons);
    stand_in.wait_until_gone();
}

/// A recording rule's expression has data. An alert's is there to have none: the server evaluates it, so its
/// comparison is legal, and each thing it looks at has data; what fires it is in the rules' own tests.
fn the_rules_have_data(server: &Server) {
    let rules = || -> Vec<serde_json::Value> {
        let groups = server.api("/api/v1/rules", None).unwrap();
        let groups = groups["groups"].as_array().unwrap();
        groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
    };
    let evaluated = server.until("an evaluation of all rules", || {
        let rules = rules();
        rules.iter().all(|rule| rule["health"] != "unknown").then_some(rules)
    });
    assert_eq!(evaluated.len(), 18);
    let mut wanted = Vec::new();
    for rule in &evaluated {
        let name = rule["name"].as_str().unwrap();
        assert_eq!(rule["health"], "ok", "{name}: {}", rule["lastError"]);
        let query = rule["query"].as_str().unwrap();
        if rule["type"] == "recording" {
            wanted.extend([query, name].map(|text| (name, text.to_owned())));
        } else {
            wanted.extend(selectors(query).into_iter().map(|selector| (name, selector.to_owned())));
        }
    }
    let expressions =
        wanted.into_iter().map(|(of, text)| Expression { of: of.to_owned(), text, instant: true });
    all_have_data(server, expressions.collect(), &["any"]);
}
