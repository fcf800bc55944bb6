//! The factors stacked to the stress score, as SVG: points are whole, so the steps are true.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::plot::COLUMNS;
use super::ticks;
use crate::cli::events::story::Story;
use crate::cli::events::story::points::{Column, columns, spread};
use crate::human;
use crate::sample::{Factor, Tier};

/// Room above for the names of gaps, height of the shapes, of the strip of tiers, px.
const ABOVE: u32 = 20;
const HEIGHT: u32 = 220;
const STRIP: u32 = 6;
const BOTTOM: u32 = ABOVE + HEIGHT + 4 + STRIP;

/// From the bottom up: what matters most carries the rest.
const ORDER: [Factor; 8] = [
    Factor::Pageins,
    Factor::Memory,
    Factor::Load,
    Factor::Io,
    Factor::Gpu,
    Factor::Wakeups,
    Factor::Thermal,
    Factor::Latency,
];

/// Runs of columns that show the same sample, or none.
fn runs(columns: &[Column]) -> Vec<(usize, usize, usize)> {
    let mut runs: Vec<(usize, usize, usize)> = Vec::new();
    for (at, column) in columns.iter().enumerate() {
        let Some(best) = column.best else { continue };
        match runs.last_mut().filter(|run| run.1 == at && run.2 == best) {
            Some(run) => run.1 = at + 1,
            None => runs.push((at, at + 1, best)),
        }
    }
    runs
}

/// Boxes from one level to another; neighbours of the same levels become one.
fn boxes(spans: impl Iterator<Item = (usize, usize, u16, u16)>) -> String {
    let mut merged: Vec<(usize, usize, u16, u16)> = Vec::new();
    for span in spans.filter(|span| span.3 > span.2) {
        match merged.last_mut().filter(|last| last.1 == span.0 && (last.2, last.3) == (span.2, span.3)) {
            Some(last) => last.1 = span.1,
            None => merged.push(span),
        }
    }
    let mut path = String::new();
    for (from, to, bottom, top) in merged {
        // Writing to a String can't fail.
        let _ = write!(path, "M{from} {bottom}H{to}V{top}H{from}Z");
    }
    path
}

/// The graph.
pub(super) fn draw(story: &Story, zone: &TimeZone) -> Markup {
    let points = &story.points;
    let places = spread(points, &story.axis, &story.holes, COLUMNS);
    let columns = columns(points, &places, COLUMNS);
    let runs = runs(&columns);
    let most = runs.iter().map(|run| points[run.2].stress.sum()).max().unwrap_or(0).max(100);
    let levels = |factor: Factor, at: usize| {
        let below: u16 = ORDER
            .into_iter()
            .take_while(|other| *other != factor)
            .map(|other| u16::from(points[at].stress.get(other)))
            .sum();
        (below, below + u16::from(points[at].stress.get(factor)))
    };
    let y =
        |level: f64| format!("{:.1}", f64::from(ABOVE) + f64::from(HEIGHT) * (1.0 - level / f64::from(most)));
    let peak = points.iter().map(|point| point.stress.total()).max().unwrap_or(0);
    html! {
        figure.stack {
            svg.plot role="img" aria-label={ "The stress score by factor over time; at most " (peak) " of 100" }
                width="100%" height=(BOTTOM + 20) {
                (ticks::holes(story, ABOVE, ABOVE + HEIGHT, true))
                @for level in [0, 25, 50, 75, 100] {
                    line.grid x1="0" x2="100%" y1=(y(f64::from(level))) y2=(y(f64::from(level))) {}
                }
                // In points, upside down: y grows upwards.
                svg x="0" y=(ABOVE) width="100%" height=(HEIGHT) viewBox=(format!("0 0 {COLUMNS} {most}")) preserveAspectRatio="none" {
                    g transform=(format!("matrix(1 0 0 -1 0 {most})")) {
                        @for factor in ORDER {
                            @let path = boxes(runs.iter().map(|&(from, to, at)| {
                                let (bottom, top) = levels(factor, at);
                                (from, to, bottom, top)
                            }));
                            @if !path.is_empty() { path class={ "f-" (factor.as_str()) } d=(path) {} }
                        }
                    }
                }
                svg x="0" y=(ABOVE + HEIGHT + 4) width="100%" height=(STRIP) viewBox=(format!("0 0 {COLUMNS} 1")) preserveAspectRatio="none" {
                    @for tier in Tier::ALL {
                        @let path = boxes(runs.iter().map(|&(from, to, at)| (from, to, 0, u16::from(points[at].tier == tier))));
                        @if !path.is_empty() { path class={ "t-" (tier.as_str()) } d=(path) { title { (tier.as_str().to_uppercase()) } } }
                    }
                }
                @for level in [25, 50, 75, 100] { text.scale x="3" y=(y(f64::from(level) - 4.5)) { (level) } }
                svg.hover x="0" y=(ABOVE) width="100%" height=(HEIGHT) viewBox=(format!("0 0 {COLUMNS} 1")) preserveAspectRatio="none" {
                    @for &(from, to, at) in &runs {
                        rect x=(from) width=(to - from) height="1" { title { (told(story, at, zone)) } }
                    }
                }
                (ticks::draw(story, BOTTOM))
            }
            figcaption.dim {
                "Points of each factor, stacked; the strip below is the tier. "
                @if columns.iter().any(|column| column.count > 2) {
                    "There are more samples than columns: each column shows its most stressed sample. "
                }
                "Hold the pointer over the graph for a sample's points."
            }
        }
    }
}

/// What a sample says when it is pointed at.
fn told(story: &Story, at: usize, zone: &TimeZone) -> String {
    let point = &story.points[at];
    let time = human::local(point.time_ns, "%H:%M:%S%.3f", zone);
    let scored = Factor::ALL.into_iter().filter(|&factor| point.stress.get(factor) > 0);
    let scored: Vec<String> =
        scored.map(|factor| format!("{} {}", factor.as_str(), point.stress.get(factor))).collect();
    let parts = if scored.is_empty() { String::new() } else { format!(": {}", scored.join(", ")) };
    format!("{time}, stress {}{parts}", point.stress.total())
}
