//! The dashboards as files: what Grafana needs to show them, and what a person needs to read them. Grafana itself is
//! no part of this.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::boards::{DASHBOARDS, expressions, panels, read, selectors};

/// Grafana's grid.
const COLUMNS: u64 = 24;
/// The kinds of panel that are used, all of them part of Grafana itself.
const KINDS: [&str; 8] =
    ["bargauge", "gauge", "heatmap", "row", "stat", "state-timeline", "table", "timeseries"];
/// The metrics that the issue asks each dashboard for.
const MACHINE_SHOWS: [&str; 14] = [
    "stress_score",
    "stress_factor_score_seconds_total",
    "tier_seconds_total",
    "pause_duration_seconds_bucket",
    "sample_interval_seconds_bucket",
    "heartbeat_delay_seconds_bucket",
    "energy_joules_total",
    "package_energy_joules_total",
    "disk_read_bytes_total",
    "disk_written_bytes_total",
    "pageins_total",
    "sampler_cpu_seconds_total",
    "last_pause_culprit_info",
    "last_pause_timestamp_seconds",
];
const FLEET_SHOWS: [&str; 5] =
    ["pause_duration_seconds_count", "stress_score_peak", "build_info", "tier", "last_pause_culprit_info"];

/// Each dashboard, and each of its panels that shows something.
fn each(mut check: impl FnMut(&str, &Value)) {
    for file in DASHBOARDS {
        for panel in panels(&read(file)).iter().filter(|panel| panel["type"] != "row") {
            check(&format!("{file}: {}", panel["title"]), panel);
        }
    }
}

#[test]
fn the_dashboards_are_known_by_names_that_stay() {
    let names = DASHBOARDS.map(|file| (read(file)["uid"].clone(), read(file)["title"].clone()));
    let expected = [
        ("pause-monitor-machine", "pause-monitor / Machine"),
        ("pause-monitor-fleet", "pause-monitor / Fleet"),
    ];
    assert_eq!(names, expected.map(|(uid, title)| (json!(uid), json!(title))));
    for file in DASHBOARDS {
        // An id of one Grafana's database would overwrite another's dashboard.
        assert_eq!(read(file)["id"], Value::Null, "{file}");
        assert_eq!(read(file)["tags"], json!(["pause-monitor"]), "{file}");
    }
}

#[test]
fn every_panel_says_what_it_shows_and_in_what_unit() {
    each(|name, panel| {
        assert!(KINDS.contains(&panel["type"].as_str().unwrap()), "{name}: {}", panel["type"]);
        assert!(!panel["title"].as_str().unwrap().is_empty(), "{name}");
        let description = panel["description"].as_str().unwrap();
        assert!(description.len() > 20 && description.ends_with('.'), "{name}: {description:?}");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{name}");
        if panel["type"] == "heatmap" {
            assert!(panel["options"]["yAxis"]["unit"].is_string(), "{name}");
            assert_eq!(panel["targets"][0]["format"], "heatmap", "{name}");
        }
    });
}

#[test]
fn panels_and_queries_are_told_apart() {
    for file in DASHBOARDS {
        let dashboard = read(file);
        let mut ids = HashSet::new();
        for panel in panels(&dashboard) {
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{file}: {} has another's id", panel["title"]);
            let mut references = HashSet::new();
            for target in panel["targets"].as_array().into_iter().flatten() {
                assert!(references.insert(target["refId"].as_str().unwrap()), "{file}: {}", panel["title"]);
            }
            assert_eq!(references.is_empty(), panel["type"] == "row", "{file}: {}", panel["title"]);
        }
    }
}

#[test]
fn data_source_job_and_machine_can_be_chosen_everywhere() {
    let source = json!({"type": "prometheus", "uid": "${datasource}"});
    each(|name, panel| {
        assert_eq!(panel["datasource"], source, "{name}");
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"], source, "{name}");
            assert_ne!(target["instant"], target["range"], "{name}: a moment or the time shown, not both");
        }
    });
    for file in DASHBOARDS {
        let dashboard = read(file);
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        let names: Vec<_> = variables.iter().map(|variable| variable["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["datasource", "job", "instance"], "{file}");
        assert!(variables[1..].iter().all(|variable| variable["datasource"] == source), "{file}");
        let (job, instance) = match file {
            "fleet.json" => ("job=~\"$job\"", "instance=~\"$instance\""),
            _ => ("job=\"$job\"", "instance=\"$instance\""),
        };
        for expression in expressions(&dashboard) {
            let asked = selectors(&expression.text);
            assert!(!asked.is_empty(), "{file}: {} asks for nothing", expression.of);
            for selector in asked {
                let chosen = selector.contains(job) && selector.contains(instance);
                assert!(chosen, "{file}: {}: {selector} is of any machine", expression.of);
            }
        }
    }
}

#[test]
fn rates_follow_the_scrape_interval() {
    for file in DASHBOARDS {
        for expression in expressions(&read(file)) {
            let windows = expression.text.split('[').skip(1).map(|rest| rest.split_once(']').unwrap().0);
            for window in windows {
                let expected = if expression.instant { "$__range" } else { "$__rate_interval" };
                assert_eq!(window, expected, "{file}: {}", expression.of);
            }
        }
    }
}

#[test]
fn the_grid_has_no_overlap_and_no_hole() {
    for file in DASHBOARDS {
        let dashboard = read(file);
        let mut taken = HashSet::new();
        let mut bottom = 0;
        for panel in panels(&dashboard) {
            let [x, y, width, height] =
                ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
            assert!(x + width <= COLUMNS, "{file}: {} is too wide", panel["title"]);
            bottom = bottom.max(y + height);
            for cell in (x..x + width).flat_map(|x| (y..y + height).map(move |y| (x, y))) {
                assert!(taken.insert(cell), "{file}: {} lies on another panel", panel["title"]);
            }
        }
        assert_eq!(taken.len() as u64, COLUMNS * bottom, "{file} has an empty place");
    }
}

#[test]
fn they_show_what_they_are_for() {
    let asked = |file| -> String { expressions(&read(file)).into_iter().map(|e| e.text + "\n").collect() };
    for (file, metrics) in [("machine.json", &MACHINE_SHOWS[..]), ("fleet.json", &FLEET_SHOWS)] {
        for metric in metrics {
            assert!(asked(file).contains(&format!("pause_monitor_{metric}{{")), "{file} lacks {metric}");
        }
    }
    for file in DASHBOARDS {
        let annotations = &read(file)["annotations"]["list"];
        let pauses = annotations.as_array().unwrap().iter().find(|one| one["name"] == "Pauses").unwrap();
        // In milliseconds, as the mark's time, not as a value at the time of the scrape.
        assert_eq!(pauses["useValueForTime"], true, "{file}");
        assert!(pauses["expr"].as_str().unwrap().contains("1000 * pause_monitor_last_pause_timestamp"));
    }
}

#[test]
fn tiers_have_the_same_colours_everywhere() {
    each(|name, panel| {
        let defaults = &panel["fieldConfig"]["defaults"];
        for mapping in defaults["mappings"].as_array().unwrap() {
            if let Some(tier) = mapping["options"].get("2") {
                let options = &mapping["options"];
                assert_eq!(
                    [&options["0"]["color"], &options["1"]["color"], &tier["color"]],
                    ["green", "yellow", "red"],
                    "{name}"
                );
                assert_eq!(tier["text"], "CRITICAL", "{name}");
            }
        }
        for exception in panel["fieldConfig"]["overrides"].as_array().unwrap() {
            let colour = match exception["matcher"]["options"].as_str().unwrap() {
                "sentinel" => "green",
                "elevated" => "yellow",
                "critical" => "red",
                _ => continue,
            };
            assert_eq!(exception["properties"][0]["value"]["fixedColor"], colour, "{name}");
        }
    });
}
