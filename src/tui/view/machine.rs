//! The machine's figures: intervals, memory, heat, power, traffic.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::human;
use crate::sample::{Sample, Tier};
use crate::tui::state::State;

use super::frame::{panel, title};

/// A figure that is not measured.
const NOT_REPORTED: &str = "not reported";
/// From so many columns on figures are told at length.
const LONG: usize = 36;

/// What a figure is called, what it is, and whether it is out of the ordinary.
type Figure = (&'static str, String, bool);

fn reported(value: Option<String>) -> String {
    value.unwrap_or_else(|| NOT_REPORTED.to_owned())
}

fn ms(ns: u64) -> String {
    format!("{:.1} ms", ns as f64 / 1e6)
}

fn watts(mw: f64) -> String {
    format!("{} W", human::number(mw / 1e3))
}

/// The figures, the most telling ones first: what there is no room for are the last.
fn figures(sample: &Sample, long: bool) -> Vec<Figure> {
    let metrics = &sample.metrics;
    let interval = sample.interval_ns.unwrap_or(sample.elapsed_ns);
    let late = sample.latency_ratio > 1.2;
    let power = metrics.combined_power_mw.or(metrics.cpu_power_mw).map(|all| {
        let parts: Vec<String> =
            [("cpu", metrics.cpu_power_mw), ("gpu", metrics.gpu_power_mw), ("ane", metrics.ane_power_mw)]
                .into_iter()
                .filter_map(|(name, mw)| mw.map(|mw| format!("{name} {}", human::number(mw / 1e3))))
                .collect();
        if long && !parts.is_empty() { format!("{} ({})", watts(all), parts.join(", ")) } else { watts(all) }
    });
    let io = match (metrics.io_read_per_s, metrics.io_write_per_s) {
        (None, None) => None,
        _ if !long => metrics.io_per_s().map(human::bytes_per_s),
        (read, write) => {
            let part = |value: Option<f64>| value.map_or_else(|| "?".to_owned(), human::bytes_per_s);
            Some(format!("{} read, {} written", part(read), part(write)))
        }
    };
    let load = match (metrics.load_avg, metrics.cores) {
        (Some(load), Some(cores)) => Some(format!("{} / {cores} cores", human::number(load))),
        (Some(load), None) => Some(human::number(load)),
        _ => None,
    };
    vec![
        (
            "interval",
            match long {
                true => format!("{}, expected {}", ms(interval), ms(sample.expected_ns)),
                false => format!("{:.1} / {}", interval as f64 / 1e6, ms(sample.expected_ns)),
            },
            late,
        ),
        ("power", reported(power), false),
        (
            "thermal",
            reported(metrics.thermal_pressure.map(|level| level.as_str().to_owned())),
            metrics.thermal_pressure.is_some_and(|level| level.throttled()),
        ),
        (
            "memory",
            reported(metrics.memory_available_pct.map(|pct| format!("{pct:.0} % free"))),
            metrics.memory_available_pct.is_some_and(|pct| pct < 30.0),
        ),
        ("swap", reported(metrics.swap_used_bytes.map(|used| format!("{} used", human::bytes(used)))), false),
        (
            "heartbeat",
            sample.heartbeat_ns.map_or_else(|| "none".to_owned(), |ns| format!("{} late", ms(ns))),
            sample.heartbeat_ns.is_some_and(|ns| ns >= 100_000_000),
        ),
        ("load", reported(load), false),
        (
            "CPU",
            reported(metrics.cpu_ms_per_s.map(|ms| format!("{} % of a core", human::number(ms / 10.0)))),
            false,
        ),
        ("disk", reported(io), false),
    ]
}

/// Interval, power and swap in a few words.
pub(super) fn short(sample: &Sample) -> String {
    let figures = figures(sample, false);
    let value =
        |wanted: &str| figures.iter().find(|(name, ..)| *name == wanted).map(|(_, value, _)| value.as_str());
    let told = |name: &str| value(name).filter(|value| *value != NOT_REPORTED).unwrap_or("?").to_owned();
    format!("{}, power {}, swap {}", told("interval"), told("power"), told("swap"))
}

pub(super) fn draw(state: &State, buf: &mut Buffer, area: Rect) {
    let look = state.look;
    let Some(sample) = state.sample() else { return };
    let right = human::local(sample.time_ns, "%H:%M:%S%.3f", &state.zone);
    let below = panel(look, buf, area, &title(look, "Machine"), &right);
    let width = usize::from(below.width);
    for ((name, value, odd), y) in figures(sample, width >= LONG).into_iter().zip(below.y..below.bottom()) {
        let style = if odd { look.tier(Tier::Elevated) } else { ratatui::style::Style::new() };
        let line = Line::from(vec![
            Span::styled(format!(" {name:<9} "), look.dim()),
            Span::styled(look.cut(&value, width.saturating_sub(11)), style),
        ]);
        buf.set_line(below.x, y, &line, below.width);
    }
}
