//! What stands under a graph: times, at round distances.

use maud::{Markup, html};

use crate::cli::events::story::Story;
use crate::event::Verdict;
use crate::human;

/// Distances between ticks, s.
const STEPS: [i64; 14] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200];
/// Ticks at most, about.
const MOST: i64 = 9;
const SECOND_NS: i64 = 1_000_000_000;

/// Places (0 to 1) and labels. Of a gap the times before it began and after it ended, of an episode since it began.
pub(super) fn ticks(story: &Story) -> Vec<(f64, String)> {
    let axis = &story.axis;
    let (from, to) = (axis.start_ns(), axis.end_ns());
    let (began, ended) = (story.event.row.started_ns, story.end_ns());
    let gap = story.is_gap();
    let shown = to.saturating_sub(from) - if gap { ended - began } else { 0 };
    let step_s = STEPS.into_iter().find(|step| shown / SECOND_NS / step < MOST).unwrap_or(86_400);
    let step = step_s * SECOND_NS;
    let label = |k: i64, sign: &str| {
        let seconds = k * step_s;
        match seconds {
            0 => "0".to_owned(),
            _ if seconds % 60 == 0 => format!("{sign}{} min", seconds / 60),
            _ => format!("{sign}{seconds} s"),
        }
    };
    let mut ticks = Vec::new();
    let before = began.saturating_sub(from) / step;
    ticks.extend((1..=before).rev().map(|k| (axis.place(began - k * step), label(k, "−"))));
    let (start, first) = if gap { (ended, 1) } else { (began, 0) };
    let after = to.saturating_sub(start) / step;
    ticks.extend(
        (first..=after).map(|k| (axis.place(start + k * step), label(k, if gap { "+" } else { "" }))),
    );
    ticks
}

/// Percent, as an attribute has them.
pub(super) fn percent(place: f64) -> String {
    format!("{:.2}%", place * 100.0)
}

/// Where a label stands so that it does not leave the graph.
pub(super) fn anchor(place: f64) -> &'static str {
    match place {
        place if place < 0.06 => "start",
        place if place > 0.94 => "end",
        _ => "middle",
    }
}

/// The ticks' lines and labels, `height` px from the top.
pub(super) fn draw(story: &Story, height: u32) -> Markup {
    html! {
        @for (at, (place, label)) in ticks(story).into_iter().enumerate() {
            line.tick x1=(percent(place)) x2=(percent(place)) y1=(height) y2=(height + 4) {}
            text.tick.odd[at % 2 == 1] x=(percent(place)) y=(height + 16) text-anchor=(anchor(place)) { (label) }
        }
    }
}

/// What stood still, shaded from top to bottom; with its name above where `named`.
pub(super) fn holes(story: &Story, top: u32, height: u32, named: bool) -> Markup {
    html! {
        @for hole in &story.holes {
            @if let Some((from, to)) = story.axis.part(hole.from_ns, hole.to_ns) {
                @let own = hole.id == story.event.row.id;
                rect class={ "hole " (hole.verdict.map_or("outage", Verdict::as_str)) } x=(percent(from)) y=(top)
                    width=(percent((to - from).max(0.0015))) height=(height - top) {
                    title { "event " (hole.id) ": " (hole.verdict.map_or("outage", Verdict::as_str)) }
                }
                @if named && (own || story.holes.len() < 6) {
                    @let middle = f64::midpoint(from, to);
                    text class={ "hole " (hole.verdict.map_or("outage", Verdict::as_str)) } x=(percent(middle)) y=(top.saturating_sub(5)) text-anchor=(anchor(middle)) {
                        (hole.verdict.map_or("outage", Verdict::as_str)) " "
                        (human::duration(hole.to_ns.saturating_sub(hole.from_ns) as f64 / 1e9))
                        @if own && story.axis.shortened { " (drawn shorter)" }
                    }
                }
            }
        }
    }
}
