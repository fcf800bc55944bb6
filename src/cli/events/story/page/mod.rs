//! The story as one HTML page that needs nothing else: no script, no font, no picture, and a policy that forbids them.
//! Pure.
//!
//! maud writes the markup: what is put in is escaped, and no string can become markup by being forgotten.

mod measures;
mod plot;
mod stack;
mod ticks;

use base64::Engine as _;
use jiff::tz::TimeZone;
use maud::{DOCTYPE, Markup, PreEscaped, Render, html};

use super::captures::Content;
use super::{Story, words};
use crate::human;
use crate::output::store::{Kind, Status};
use crate::sample::{Factor, Process, TopList, printable};
use crate::wire;

const STYLE: &str = include_str!("style.css");

/// Who made the page, on what machine, and when.
#[derive(Clone, Debug)]
pub(in crate::cli::events) struct Made {
    /// This machine's name.
    pub(in crate::cli::events) host: String,
    /// Its system.
    pub(in crate::cli::events) os: String,
    /// Now, Unix ns.
    pub(in crate::cli::events) at_ns: i64,
    /// Whose local time.
    pub(in crate::cli::events) zone: TimeZone,
}

/// Text from outside: no control characters, and whatever direction it is written in stays within it.
struct Outside<'a>(&'a str);

impl Render for Outside<'_> {
    fn render(&self) -> Markup {
        html! { bdi { (printable(self.0)) } }
    }
}

/// The page.
pub(in crate::cli::events) fn page(story: &Story, contents: &[Content], made: &Made) -> String {
    let event = &story.event;
    let name = format!("{}, {}", human::capital(&event.kind_text()), event.length_text());
    let began = human::local(event.row.started_ns, "%Y-%m-%d %H:%M", &made.zone);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                title { (name) ", " (began) " - pause-monitor" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (heading(story))
                    (facts(story, made))
                    (built_up(story, made))
                    (culprits(story))
                    (plots(story))
                    (top(story, made))
                    (related(story, made))
                    (captures(story, contents))
                }
                (footer(story, made))
            }
        }
    }
    .into_string()
}

/// Nothing may be loaded, run or sent; only the one style sheet above, known by its hash, counts.
fn policy() -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, STYLE.as_bytes());
    let hash = base64::engine::general_purpose::STANDARD.encode(digest);
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'")
}

fn heading(story: &Story) -> Markup {
    let event = &story.event;
    let row = &event.row;
    let tier = row.peak.as_ref().map_or("", |peak| peak.tier.as_str());
    html! {
        header {
            p.kicker { "pause-monitor, event " (row.id) }
            h1 {
                (human::capital(&event.kind_text())) " "
                span.length { (event.length_text()) }
                @if let Some(peak) = &row.peak {
                    span.badge.(tier) { (tier.to_uppercase()) " " (peak.stress.total()) }
                }
            }
            // A percent sign stays with its figure.
            p.lead { (Outside(&words::headline(story).replace(" %", "\u{a0}%"))) }
        }
    }
}

fn fact(name: &str, value: impl Render) -> Markup {
    html! { tr { th scope="row" { (name) } td { (value) } } }
}

/// A time as people here write it, and in UTC.
fn both(ns: i64, zone: &TimeZone) -> Markup {
    html! {
        span.nobreak { (human::local(ns, "%Y-%m-%d %H:%M:%S%.3f %:z", zone)) }
        " " span.dim.nobreak { (wire::rfc3339(ns)) }
    }
}

fn facts(story: &Story, made: &Made) -> Markup {
    let (event, row) = (&story.event, &story.event.row);
    let interval = story.points.last().map(|point| human::duration(point.expected_ms / 1e3));
    let cores = story.points.iter().find_map(|point| point.metrics.cores);
    let steps = words::steps(story, &made.zone, 24);
    html! {
        section {
            h2 { "Facts" }
            table.facts {
                tbody {
                    (fact("Began", both(row.started_ns, &made.zone)))
                    @match row.ended_ns {
                        Some(end) => (fact("Ended", html! { (both(end, &made.zone)) (event.ending()) })),
                        None => (fact("Ended", html! { "not yet; last seen " (both(row.last_seen_ns, &made.zone)) })),
                    }
                    (fact("Duration", event.length_text()))
                    @if row.verdict.is_some() { (fact("Verdict", html! { strong { (words::verdict(story)) } })) }
                    (fact("Why", html! { @for reason in words::why(story) { p { (reason) } } }))
                    @if let Some(peak) = &row.peak {
                        (fact("Stress", html! {
                            (peak.stress.total()) " of 100, " (peak.tier.as_str())
                            @if row.kind == Kind::Episode { ", highest at " (both(peak.time_ns, &made.zone)) }
                        }))
                    }
                    @if let Some(tiers) = words::tiers(story) { (fact("Time in tiers", tiers)) }
                    @if !steps.is_empty() { (fact("Changes", steps.join(", "))) }
                    @if let Some(episode) = row.episode { (fact("Episode", html! { "it fell into event " (episode) })) }
                    (fact("Samples", html! {
                        (event.samples) " of its own, " (story.points.len()) " shown"
                        @if story.cut { " (there are more than a page can take)" }
                        @match story.live() {
                            Some(true) => ", of a machine that was watched live",
                            Some(false) => ", of a recording or a simulation: they have no heartbeat",
                            None => "",
                        }
                        @if story.points.iter().any(|point| point.degraded) { "; some are degraded: load, memory and lateness alone" }
                    }))
                    @if let Some(interval) = interval { (fact("Expected interval", interval)) }
                    @if let Some(cores) = cores { (fact("Cores", cores)) }
                    (fact("Incident", html! { code { (event.json().incident) } " " span.dim { "the trace id" } }))
                    @if event.status != Status::Unreviewed { (fact("Status", event.status.as_str())) }
                    @if let Some(note) = &event.note { (fact("Note", Outside(note))) }
                }
            }
        }
    }
}

fn built_up(story: &Story, made: &Made) -> Markup {
    if story.event.row.kind == Kind::Outage {
        return html! {};
    }
    let scored = story.scored();
    html! {
        section {
            h2 { "What built up" }
            p.dim { "The stress score and the factors it is made of, " (words::shown(story)) "." }
            @if !story.points.is_empty() {
                (stack::draw(story, &made.zone))
                @if scored.is_empty() { p { "No factor scored." } }
            }
            @if !scored.is_empty() {
                div.wide { table {
                    thead { tr { th { "Factor" } th { "Points at most" } th { "Measured then" } th.meaning { "What it is" } } }
                    tbody {
                        @for (factor, at) in scored {
                            @let points = story.points[at].stress.get(factor);
                            tr {
                                td { (swatch(factor)) " " (factor.as_str()) }
                                td.bar { (bar(f64::from(points) / f64::from(factor.max()), factor.as_str()))
                                    " " span.nobreak { (points) "/" (factor.max()) } }
                                td.nobreak { (words::measured(story, factor, at)) }
                                td.dim.meaning { (words::meaning(factor)) }
                            }
                        }
                    }
                } }
            }
        }
    }
}

fn swatch(factor: Factor) -> Markup {
    html! { svg.swatch viewBox="0 0 10 10" aria-hidden="true" { rect class={ "f-" (factor.as_str()) } width="10" height="10" rx="2" {} } }
}

/// A bar of that part of its room.
fn bar(part: f64, class: &str) -> Markup {
    let width = format!("{:.1}", part.clamp(0.0, 1.0) * 100.0);
    html! {
        svg.meter viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" {
            rect.room width="100" height="10" {}
            rect class={ "f-" (class) } width=(width) height="10" {}
        }
    }
}

fn culprits(story: &Story) -> Markup {
    let row = &story.event.row;
    if row.peak.is_none() {
        return html! {};
    }
    html! {
        section {
            h2 { "Who" }
            @if row.culprits.is_empty() {
                p { "No process stands out." }
            } @else {
                p.dim { "Shares of the points of what is shown above, the latest weighing most." }
                div.wide { table {
                    thead { tr { th { "Process" } th { "Share" } th { "Points on average" } th { "Evidence" } } }
                    tbody {
                        @for culprit in &row.culprits {
                            tr {
                                td.name { (Outside(&culprit.name)) " " span.dim { (culprit.pid) } }
                                td.bar { (bar(culprit.share, "share")) " " span.nobreak { (format!("{:.0} %", culprit.share * 100.0)) } }
                                td { @for (at, (factor, points)) in culprit.factors.iter().enumerate() {
                                    @if at > 0 { ", " }
                                    span.nobreak { (Outside(factor)) " " (points) }
                                } }
                                td.name { (Outside(&culprit.evidence)) }
                            }
                        }
                    }
                } }
            }
        }
    }
}

fn plots(story: &Story) -> Markup {
    if story.points.is_empty() {
        return html! {};
    }
    let found = measures::of(story);
    html! {
        section {
            h2 { "Measured" }
            @if found.thinned {
                p.dim { "There are more samples than columns: each column shows its greatest value, and darker its least." }
            }
            div.plots { @for plot in &found.plots { (plot::draw(plot, story)) } }
            @if !found.zero.is_empty() { p.dim { "Reported, and zero all the time: " (found.zero.join(", ")) "." } }
            @if !found.absent.is_empty() { p.dim { "Not reported: " (found.absent.join(", ")) "." } }
        }
    }
}

/// A value with its unit.
type Told = fn(f64) -> String;

fn top(story: &Story, made: &Made) -> Markup {
    let Some((time_ns, top)) = &story.top else { return html! {} };
    let lists: [(&str, &TopList, Told); 4] = [
        ("CPU", &top.cpu, |value| format!("{:.1} %", value / 10.0)),
        ("Page-ins", &top.pageins, |value| format!("{} /s", human::number(value))),
        ("Disk", &top.diskio, human::bytes_per_s),
        ("Wakeups", &top.wakeups, |value| format!("{} /s", human::number(value))),
    ];
    let row = |process: &Process, told: Told| {
        html! { tr {
            td.name { (Outside(process.name.as_str())) " " span.dim { (process.pid) } }
            td.number.nobreak { (told(process.value)) }
        } }
    };
    html! {
        section {
            h2 { "Largest processes" }
            p.dim { "In the most stressed sample, at " (human::local(*time_ns, "%H:%M:%S%.3f", &made.zone)) "." }
            div.lists {
                @for (name, list, told) in lists {
                    div.wide { table {
                        thead { tr { th { (name) } th {} } }
                        tbody {
                            @for process in list.as_slice() { (row(process, told)) }
                            @if list.as_slice().is_empty() { tr { td.dim colspan="2" { "none, or not reported" } } }
                        }
                    } }
                }
            }
        }
    }
}

fn related(story: &Story, made: &Made) -> Markup {
    html! {
        section {
            h2 { "Within a minute of it" }
            @if story.related.is_empty() {
                p { "Nothing else is on record." }
            } @else {
                div.wide { table {
                    thead { tr { th { "Event" } th { "Began" } th { "What" } th { "Duration" } th { "Culprits" } } }
                    tbody {
                        @for other in &story.related {
                            tr {
                                td { (other.row.id) }
                                td.nobreak { (human::local(other.row.started_ns, "%H:%M:%S%.3f", &made.zone)) }
                                td { (other.kind_text()) }
                                td.nobreak { (other.length_text()) }
                                td.name { (Outside(&other.culprits_text())) }
                            }
                        }
                    }
                } }
            }
        }
    }
}

/// What a page shows of a captured text: its lines as they are, but nothing that could turn or hide them.
fn lines(text: &str) -> String {
    let shown: Vec<String> =
        text.lines().map(|line| line.split('\t').map(printable).collect::<Vec<_>>().join("\t")).collect();
    shown.join("\n")
}

fn captures(story: &Story, contents: &[Content]) -> Markup {
    let captures = &story.event.forensics;
    if captures.is_empty() {
        return html! {};
    }
    html! {
        section {
            h2 { "Captured" }
            div.wide { table {
                thead { tr { th { "Name" } th { "Outcome" } th { "Where" } th { "Detail" } } }
                tbody {
                    @for (at, capture) in captures.iter().enumerate() {
                        tr {
                            td.name { (Outside(&capture.name)) }
                            td { (Outside(&capture.outcome)) }
                            td.name { @if let Some(path) = &capture.path { code { (Outside(path)) } } }
                            td.name { @if let Some(detail) = &capture.detail { (Outside(detail)) }
                                @if let Some(Content::Left(why)) = contents.get(at) { " " span.dim { (why) } } }
                        }
                    }
                }
            } }
            @for (capture, content) in captures.iter().zip(contents) {
                @if let Content::Text { text, whole, size } = content {
                    details {
                        summary { (Outside(&capture.name)) " "
                            span.dim { (human::bytes(*size)) @if !whole { ", its first " (human::bytes(text.len() as u64)) } } }
                        pre { (lines(text)) }
                    }
                }
            }
        }
    }
}

fn footer(story: &Story, made: &Made) -> Markup {
    let id = story.event.row.id;
    html! {
        footer {
            p {
                "Made " (human::local(made.at_ns, "%Y-%m-%d %H:%M:%S %:z", &made.zone))
                " by pause-monitor " (env!("CARGO_PKG_VERSION"))
                @if !made.host.is_empty() { " on " (Outside(&made.host)) }
                " (" (Outside(&made.os)) ")"
                ", from its own record. Names of processes are in it; their arguments never are."
            }
            p { "The samples themselves: " code { "pause-monitor events export " (id) " -o event-" (id) ".jsonl" } }
        }
    }
}
