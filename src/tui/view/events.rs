//! The events: as a panel, and as a list.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::human;
use crate::output::store::{Kind, Status, StoredEvent};
use crate::sample::Tier;
use crate::tui::look::Look;
use crate::tui::state::State;
use crate::tui::state::events::Read;

use super::frame::{self, title};
use super::processes::offset;

/// An event's gravity, by colour.
fn style(look: Look, event: &StoredEvent) -> Style {
    match event.row.kind {
        Kind::Pause | Kind::Outage => look.tier(Tier::Critical),
        Kind::Stall => look.tier(Tier::Elevated),
        Kind::Episode => look.tier(event.row.peak.as_ref().map_or(Tier::Elevated, |peak| peak.tier)),
    }
}

fn status_style(look: Look, status: Status) -> Style {
    match status {
        Status::Unreviewed => look.key(),
        Status::Pinned => look.tier(Tier::Elevated),
        Status::Reviewed | Status::Dismissed => look.dim(),
    }
}

/// The peak's score, and its tier.
fn peak(event: &StoredEvent) -> (String, &'static str) {
    event
        .row
        .peak
        .as_ref()
        .map_or_else(|| ("-".to_owned(), "-"), |peak| (peak.stress.total().to_string(), peak.tier.as_str()))
}

/// One event in a line of that width.
fn line(state: &State, event: &StoredEvent, width: usize) -> Line<'static> {
    let look = state.look;
    let time = human::local(event.row.started_ns, "%m-%d %H:%M:%S", &state.zone);
    let (score, tier) = peak(event);
    let mut line = vec![
        Span::styled(format!("{:>5} ", event.row.id), look.dim()),
        Span::raw(format!("{time}  ")),
        Span::styled(look.fit(&event.kind_text(), 9), style(look, event)),
        Span::raw(look.right(&event.length_text(), 13)),
        Span::styled(format!("{score:>5} "), style(look, event)),
    ];
    let mut used = 5 + 1 + 16 + 9 + 13 + 6;
    if width >= 90 {
        line.push(Span::styled(look.fit(tier, 9), style(look, event)));
        line.push(Span::styled(look.fit(event.status.as_str(), 11), status_style(look, event.status)));
        used += 20;
    }
    let culprits = event.culprits_text();
    let note =
        event.note.as_deref().filter(|_| width >= 90).map_or_else(String::new, |note| format!("  # {note}"));
    line.push(Span::raw(format!(
        " {}",
        look.cut(&format!("{culprits}{note}"), width.saturating_sub(used + 1))
    )));
    Line::from(line)
}

/// What there is to say where there is no list.
fn nothing(state: &State) -> Option<String> {
    let events = &state.events;
    match &events.read {
        Read::Failed(why) => Some(why.clone()),
        Read::NotYet if state.playback().is_some() => Some("nothing yet".to_owned()),
        Read::NotYet => Some("they are being read …".to_owned()),
        Read::Done if events.list.is_empty() => Some(match events.filter {
            Some(kind) => format!("no {} on record", kind.as_str()),
            None => "none on record".to_owned(),
        }),
        Read::Done => None,
    }
}

pub(super) fn panel_at(state: &State, area: Rect, row: u16) -> Option<u64> {
    let index = row.checked_sub(area.y + 1)?;
    state.events_so_far().nth(usize::from(index)).map(|event| event.row.id)
}

/// Events from the newest on.
fn draw_rows<'a>(
    state: &State,
    buf: &mut Buffer,
    below: Rect,
    events: impl Iterator<Item = &'a StoredEvent>,
    selected: Option<u64>,
) {
    let look = state.look;
    if let Some(why) = nothing(state) {
        let why = look.cut(&why, usize::from(below.width) - 1);
        buf.set_stringn(below.x, below.y, format!(" {why}"), usize::from(below.width), look.dim());
        if state.events.list.is_empty() {
            return;
        }
    }
    let shown_ns = state.playback().and_then(|_| state.sample()).map_or(i64::MAX, |sample| sample.time_ns);
    for (event, y) in events.zip(below.y..below.bottom()) {
        buf.set_line(below.x, y, &line(state, event, usize::from(below.width)), below.width);
        // Of a recording more is known than has been shown: one can go there.
        if event.row.ended_ns.is_some_and(|ended_ns| ended_ns > shown_ns) {
            buf.set_style(Rect { y, height: 1, ..below }, look.dim());
        }
        if selected == Some(event.row.id) {
            buf.set_style(Rect { y, height: 1, ..below }, look.selected());
        }
    }
}

pub(super) fn panel(state: &State, buf: &mut Buffer, area: Rect) {
    let below = frame::panel(state.look, buf, area, &title(state.look, "Events"), "3: all of them");
    draw_rows(state, buf, below, state.events_so_far(), None);
}

/// The list's rows, below its headings.
fn rows(area: Rect) -> Rect {
    Rect { y: area.y + 2, height: area.height.saturating_sub(2), ..area }
}

pub(super) fn draw(state: &State, buf: &mut Buffer, area: Rect) {
    let look = state.look;
    let events = &state.events;
    let of = events.filter.map_or_else(String::new, |kind| format!(": {}s only", kind.as_str()));
    let more = if events.may_have_more() { " newest" } else { "" };
    let waited = events.asked_ns.map_or(0, |asked| state.now_ns.saturating_sub(asked));
    let right = match waited {
        // A disk that is busy is asked once and waited for.
        2_000_000_000.. => {
            format!("the disk has not answered for {}", human::duration(frame::seconds(waited)))
        }
        _ => human::count(events.list.len() as u64, "event") + more,
    };
    let below = frame::panel(look, buf, area, &title(look, &format!("Events{of}")), &right);
    let heading = "   ID TIME            KIND          DURATION PEAK ";
    let more = if below.width >= 90 { "TIER     STATUS      CULPRITS" } else { " CULPRITS" };
    buf.set_stringn(below.x, below.y, format!("{heading}{more}"), usize::from(below.width), look.dim());
    let rows = rows(area);
    let index = events.index();
    let shown = events.list.iter().skip(offset(index, usize::from(rows.height)));
    draw_rows(state, buf, rows, shown, events.list.get(index).map(|event| event.row.id));
}

/// The event in that row of the screen.
pub(super) fn at(state: &State, area: Rect, row: u16) -> Option<u64> {
    let rows = rows(area);
    let row = row.checked_sub(rows.y)?;
    let index = offset(state.events.index(), usize::from(rows.height)) + usize::from(row);
    state.events.list.get(index).map(|event| event.row.id)
}
