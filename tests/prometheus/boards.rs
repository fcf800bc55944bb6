//! The dashboards as data: their panels, their expressions, and the metrics that those ask for.

// clippy.toml allows it in tests only, and takes this for none.
#![allow(clippy::unwrap_used)]

use serde_json::Value;

use crate::files;

/// The files of `dashboards/`.
pub(crate) const DASHBOARDS: [&str; 2] = ["machine.json", "fleet.json"];

/// An expression of a dashboard.
pub(crate) struct Expression {
    /// The panel's title, or the annotation's or variable's name.
    pub(crate) of: String,
    pub(crate) text: String,
    /// Whether it is asked for one moment, not for the time shown.
    pub(crate) instant: bool,
}

/// A dashboard.
pub(crate) fn read(file: &str) -> Value {
    serde_json::from_str(&files::text(&format!("dashboards/{file}"))).unwrap()
}

/// Its panels, and the rows that stand between them.
pub(crate) fn panels(dashboard: &Value) -> &[Value] {
    dashboard["panels"].as_array().unwrap()
}

/// All its expressions.
pub(crate) fn expressions(dashboard: &Value) -> Vec<Expression> {
    let mut all = Vec::new();
    for panel in panels(dashboard) {
        for target in panel["targets"].as_array().into_iter().flatten() {
            all.push(Expression {
                of: panel["title"].as_str().unwrap().to_owned(),
                text: target["expr"].as_str().unwrap().to_owned(),
                instant: target["instant"].as_bool().unwrap(),
            });
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        if let Some(text) = annotation["expr"].as_str() {
            let of = annotation["name"].as_str().unwrap().to_owned();
            all.push(Expression { of, text: text.to_owned(), instant: false });
        }
    }
    all
}

/// An expression as Grafana would send it for a machine, or for all that a pattern names.
pub(crate) fn substituted(text: &str, job: &str, instance: &str) -> String {
    let text = text.replace("$__rate_interval", "10s").replace("$__range", "2m");
    let text = text.replace("$job", job).replace("$instance", instance);
    assert!(!text.contains('$'), "a variable is left in {text}");
    text
}

/// The selectors in an expression, `name{…}`: a metric's name is one of ours, of the process, or of the scrape.
pub(crate) fn selectors(expression: &str) -> Vec<&str> {
    const OURS: [&str; 5] = ["pause_monitor_", "instance:", "job:", "process_", "scrape_"];
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(begin) = rest.find(word) {
        rest = &rest[begin..];
        let name = rest.find(|c| !word(c)).unwrap_or(rest.len());
        let is_metric = OURS.iter().any(|prefix| rest.starts_with(prefix)) || &rest[..name] == "up";
        let mut end = name;
        if rest[name..].starts_with('{') {
            end += rest[name..].find('}').unwrap() + 1;
        }
        if is_metric {
            found.push(&rest[..end]);
        }
        rest = &rest[end..];
    }
    found
}

#[test]
fn selectors_are_found_with_their_labels() {
    let expression = "sum by (tier) (rate(pause_monitor_a_total{x=\"1\", y=~\"$z\"}[5m])) / on (job) up == 1 or instance:b:c";
    assert_eq!(selectors(expression), ["pause_monitor_a_total{x=\"1\", y=~\"$z\"}", "up", "instance:b:c"]);
}
