//! One measure over time as SVG. Shapes are stretched to the page's width, text is not.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::ticks;
use crate::cli::events::story::Story;
use crate::human;

/// Columns of a graph: more than 400 px of them nobody can tell apart, and a page of an hour stays small.
pub(super) const COLUMNS: usize = 480;
/// Height of the shapes, and of all, px.
const HEIGHT: u32 = 96;
const ALL: u32 = HEIGHT + 22;

/// A line of a plot.
pub(super) struct Series {
    /// What it is; empty where the title says so.
    pub(super) name: &'static str,
    /// The least and the greatest value of each column.
    pub(super) columns: Vec<Option<(f64, f64)>>,
}

/// A measure, drawn.
pub(super) struct Plot {
    pub(super) title: &'static str,
    pub(super) unit: &'static str,
    pub(super) series: Vec<Series>,
    /// The axis reaches so far at least: 100 % of a share.
    pub(super) least_top: f64,
}

impl Plot {
    /// The greatest value in it.
    pub(super) fn most(&self) -> f64 {
        let values = self.series.iter().flat_map(|series| series.columns.iter().flatten());
        values.map(|(_, most)| *most).fold(0.0, f64::max)
    }
}

/// The least round number that is not below.
pub(super) fn round_up(value: f64) -> f64 {
    if !(value.is_finite() && value > 0.0) {
        return 1.0;
    }
    let unit = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    steps.into_iter().map(|step| step * unit).find(|top| *top >= value * (1.0 - 1e-9)).unwrap_or(value)
}

/// A step line's filled area: a closed path for each run of columns that have values.
fn area(columns: &[Option<(f64, f64)>], top: f64, of: fn(&(f64, f64)) -> f64) -> String {
    let mut path = String::new();
    let y = |value: f64| f64::from(HEIGHT) * (1.0 - (value / top).clamp(0.0, 1.0));
    let mut at = 0;
    while at < columns.len() {
        let Some(first) = &columns[at] else {
            at += 1;
            continue;
        };
        let start = at;
        let mut level = format!("{:.1}", y(of(first)));
        // Writing to a String can't fail.
        let _ = write!(path, "M{start} {HEIGHT}V{level}");
        while let Some(value) = columns.get(at).and_then(Option::as_ref) {
            let next = format!("{:.1}", y(of(value)));
            if next != level {
                let _ = write!(path, "H{at}V{next}");
                level = next;
            }
            at += 1;
        }
        let _ = write!(path, "H{at}V{HEIGHT}Z");
    }
    path
}

/// The plot as a figure.
pub(super) fn draw(plot: &Plot, story: &Story) -> Markup {
    let top = round_up(plot.most().max(plot.least_top));
    let label = |value: f64| if value == 0.0 { "0".to_owned() } else { trim(&human::number(value)) };
    html! {
        figure {
            figcaption {
                strong { (plot.title) } " " span.dim { (plot.unit) }
                @for (at, series) in plot.series.iter().enumerate() {
                    @if !series.name.is_empty() {
                        " " span.nobreak { svg.swatch viewBox="0 0 10 10" aria-hidden="true" {
                            rect class={ "s" (at) } width="10" height="10" rx="2" {} } " " (series.name) }
                    }
                }
                span.most { "most " (trim(&human::number(plot.most()))) }
            }
            svg.plot role="img" aria-label={ (plot.title) ", " (plot.unit) ", at most " (human::number(plot.most())) }
                width="100%" height=(ALL) {
                (ticks::holes(story, 0, HEIGHT, false))
                @for part in [0.0, 0.5, 1.0] {
                    @let y = f64::from(HEIGHT) * (1.0 - part);
                    line.grid x1="0" x2="100%" y1=(format!("{y:.1}")) y2=(format!("{y:.1}")) {}
                }
                svg x="0" y="0" width="100%" height=(HEIGHT) viewBox=(format!("0 0 {COLUMNS} {HEIGHT}")) preserveAspectRatio="none" {
                    @for (at, series) in plot.series.iter().enumerate() {
                        path class={ "area s" (at) } d=(area(&series.columns, top, |value| value.1)) {}
                        @if series.columns.iter().flatten().any(|(least, most)| least < most) {
                            path class={ "least s" (at) } d=(area(&series.columns, top, |value| value.0)) {}
                        }
                    }
                }
                text.scale x="3" y="11" { (label(top)) }
                text.scale x="3" y=(HEIGHT / 2 + 11) { (label(top / 2.0)) }
                (ticks::draw(story, HEIGHT))
            }
        }
    }
}

/// Without zeros that say nothing.
fn trim(number: &str) -> String {
    if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        number.to_owned()
    }
}
