//! The page at `/`: the links and the present state. Any local user can read loopback, so it names no process and no
//! path.

use std::fmt::Write;

use crate::clock;
use crate::human;
use crate::output::metrics::{Metrics, REVISION, Snapshot};
use crate::sample::{Factor, Tier};

/// How often a browser asks again, s.
const REFRESH_S: u32 = 5;

const STYLE: &str = "
:root{color-scheme:light dark;--dim:#666;--line:#ddd;--sentinel:#1a7f37;--elevated:#9a6700;--critical:#cf222e}
@media (prefers-color-scheme:dark){:root{--dim:#999;--line:#333;--sentinel:#3fb950;--elevated:#d29922;--critical:#f85149}}
body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}
h1{font-size:1.25rem;margin:0}
.dim{color:var(--dim)}
.score{font-size:3rem;line-height:1.2;font-variant-numeric:tabular-nums}
.sentinel{color:var(--sentinel)}.elevated{color:var(--elevated)}.critical{color:var(--critical)}
table{border-collapse:collapse;width:100%;margin:1.5rem 0}
td{border-top:1px solid var(--line);padding:.3rem 0}td+td{text-align:right;font-variant-numeric:tabular-nums}
nav a{margin-right:1rem}
";

/// The whole page.
pub(super) fn page(metrics: &Metrics) -> String {
    render(&metrics.snapshot(), metrics.source(), metrics.store_is_open(), clock::unix_ns())
}

fn render(snapshot: &Snapshot, source: &str, store_is_open: bool, now_ns: i64) -> String {
    let mut rows: Vec<(&str, String)> = Vec::new();
    let totals = &snapshot.totals;
    let last = totals.last.as_ref().filter(|_| snapshot.fresh);
    let (tier, score, state) = match last {
        None => ("", "–".to_owned(), "no samples arrive".to_owned()),
        Some(last) => {
            let degraded = if last.degraded { ", degraded: the source does not deliver" } else { "" };
            let state = format!("{}{degraded}", last.tier.as_str().to_uppercase());
            (last.tier.as_str(), last.stress.total().to_string(), state)
        }
    };
    if let Some(last) = last {
        let scored: Vec<String> = Factor::ALL
            .into_iter()
            .filter(|&factor| last.stress.get(factor) > 0)
            .map(|factor| format!("{} {}", factor.as_str(), last.stress.get(factor)))
            .collect();
        rows.push(("stress from", if scored.is_empty() { "nothing".to_owned() } else { scored.join(", ") }));
        let metrics = &last.metrics;
        if let (Some(load), Some(cores)) = (metrics.load_avg, metrics.cores) {
            rows.push(("load", format!("{load:.1} on {}", human::count(cores.into(), "core"))));
        }
        if let Some(free) = metrics.memory_available_pct {
            rows.push(("memory", format!("{free:.0} % free")));
        }
    }
    if let Some(highest) = totals.peak.highest(snapshot.now_ns) {
        rows.push(("highest stress of the last minute", highest[0].to_string()));
    }
    rows.push((
        "last pause",
        match snapshot.last_pause {
            // A recording may be from another time.
            Some((at_ns, _)) => format!("{} ago", human::duration(now_ns.saturating_sub(at_ns) as f64 / 1e9)),
            None => "none on record".to_owned(),
        },
    ));
    let lost = human::duration(totals.pauses.sum());
    rows.push(("pauses since the start", format!("{} ({lost} lost)", totals.pauses.count())));
    let above_ns: u64 =
        [Tier::Elevated, Tier::Critical].map(|tier| totals.tiers.ns[tier as usize]).iter().sum();
    rows.push(("time above SENTINEL since the start", human::duration(above_ns as f64 / 1e9)));
    rows.push(("source", source.to_owned()));
    rows.push(("store", if store_is_open { "open" } else { "not open" }.to_owned()));

    let mut table = String::new();
    for (name, value) in rows {
        // Writing to a String cannot fail.
        let _ = write!(table, "<tr><td>{name}</td><td>{value}</td></tr>");
    }
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"{REFRESH_S}\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>pause-monitor</title>\
         <style>{STYLE}</style></head><body><h1>pause-monitor</h1>\
         <div class=\"score {tier}\">{score}</div><div class=\"{tier}\">{state}</div>\
         <table>{table}</table>\
         <nav><a href=\"/metrics\">metrics</a><a href=\"/healthz\">health</a><a href=\"/readyz\">readiness</a></nav>\
         <p class=\"dim\">version {}, revision {REVISION}</p></body></html>\n",
        env!("CARGO_PKG_VERSION")
    )
}
