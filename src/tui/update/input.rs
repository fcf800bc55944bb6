//! Keys and the mouse.

use crossterm::event::{Event, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use tui_input::InputRequest;
use tui_input::backend::crossterm::EventHandler;

use crate::output::store::{Kind, Status};
use crate::sample::Factor;
use crate::tui::feed::store::Request;
use crate::tui::keys::{Action, action};
use crate::tui::state::events::{Detail, PAGE};
use crate::tui::state::history::History;
use crate::tui::state::{Feed, SPANS, State, View};
use crate::tui::view::{Target, rows, selected_row, target};

use super::{Effect, notify, playback, reread};

/// A note is no longer than this, bytes: it is one line.
const NOTE_MAX: usize = 2_000;
/// Events within this of another are related to it, ns.
const RELATED_NS: i64 = 60_000_000_000;
/// Rows that a page key moves by.
const PAGE_ROWS: isize = 10;

pub(super) fn terminal(state: &mut State, event: &Event) -> Vec<Effect> {
    match event {
        Event::Resize(columns, rows) => {
            state.size = (*columns, *rows);
            Vec::new()
        }
        Event::Key(key) if key.kind != KeyEventKind::Release => {
            if state.events.note.is_some() {
                return note_key(state, event);
            }
            // Shift makes the arrows go further.
            let far = key.modifiers.contains(KeyModifiers::SHIFT);
            action(key).map_or_else(Vec::new, |action| act(state, action, far))
        }
        Event::Paste(text) => {
            if let Some((_, input)) = &mut state.events.note {
                for c in text.chars().filter(|c| !c.is_control()) {
                    if input.value().len() + c.len_utf8() <= NOTE_MAX {
                        input.handle(InputRequest::InsertChar(c));
                    }
                }
            }
            Vec::new()
        }
        Event::Mouse(mouse) if state.events.note.is_none() => pointed(state, mouse),
        _ => Vec::new(),
    }
}

/// A key while a note is written.
fn note_key(state: &mut State, event: &Event) -> Vec<Effect> {
    use crossterm::event::KeyCode;
    let Event::Key(key) = event else { return Vec::new() };
    let Some((id, input)) = &mut state.events.note else { return Vec::new() };
    match (key.code, key.modifiers.contains(KeyModifiers::CONTROL)) {
        (KeyCode::Esc, _) | (KeyCode::Char('c'), true) => state.events.note = None,
        (KeyCode::Enter, _) => {
            let request = Request::Mark(*id, None, Some(input.value().trim().to_owned()));
            state.events.note = None;
            return vec![Effect::Ask(request)];
        }
        _ if input.value().len() < NOTE_MAX || !matches!(key.code, KeyCode::Char(_)) => {
            input.handle_event(event);
        }
        _ => {}
    }
    Vec::new()
}

fn act(state: &mut State, action: Action, far: bool) -> Vec<Effect> {
    state.events.opening = None;
    if state.help {
        match action {
            Action::Quit => return vec![Effect::Quit],
            Action::Up => state.help_offset = state.help_offset.saturating_sub(1),
            Action::Down => state.help_offset = state.help_offset.saturating_add(1).min(100),
            Action::PageUp => state.help_offset = state.help_offset.saturating_sub(10),
            Action::PageDown => state.help_offset = state.help_offset.saturating_add(10).min(100),
            Action::Redraw => return vec![Effect::Redraw],
            Action::Suspend => return vec![Effect::Suspend],
            _ => {
                state.help = false;
                state.help_offset = 0;
            }
        }
        return Vec::new();
    }
    match action {
        Action::Quit => return vec![Effect::Quit],
        Action::Redraw => return vec![Effect::Redraw],
        Action::Suspend => return vec![Effect::Suspend],
        Action::Help => state.help = true,
        Action::Show(view) => show(state, view),
        Action::NextView => show(state, View::ALL[(state.view as usize + 1) % View::ALL.len()]),
        Action::PreviousView => {
            show(state, View::ALL[(state.view as usize + View::ALL.len() - 1) % View::ALL.len()])
        }
        Action::Up => select(state, -1),
        Action::Down => select(state, 1),
        Action::PageUp => select(state, -PAGE_ROWS),
        Action::PageDown => select(state, PAGE_ROWS),
        Action::Enter => return enter(state),
        Action::Leave => leave(state),
        Action::Hold => hold(state),
        Action::Back => travel(state, if far { -10_000_000_000 } else { -1_000_000_000 }),
        Action::Forward => travel(state, if far { 10_000_000_000 } else { 1_000_000_000 }),
        Action::StepBack => step(state, false),
        Action::StepForward => step(state, true),
        Action::First => jump(state, state.history.first()),
        Action::Last => last(state),
        Action::Wider => state.span = (state.span + 1).min(SPANS.len() - 1),
        Action::Narrower => state.span = state.span.saturating_sub(1),
        Action::Faster => playback::speed(state, true),
        Action::Slower => playback::speed(state, false),
        Action::Measure => state.processes.measure = state.processes.measure.next(),
        Action::Reverse => state.processes.reversed = !state.processes.reversed,
        Action::Filter => filter(state),
        Action::Mark(status) => return mark(state, status),
        Action::Note => note(state),
        Action::GoTo => go_to(state),
    }
    Vec::new()
}

fn show(state: &mut State, view: View) {
    if view == state.view && view == View::Events {
        state.events.detail = None;
    }
    state.view = view;
    if view == View::Events {
        reread(state, 0);
    }
}

/// Moves the selection of the present screen.
fn select(state: &mut State, by: isize) {
    let moved = |index: usize, count: usize| index.saturating_add_signed(by).min(count.saturating_sub(1));
    match state.view {
        View::Overview | View::Factor => {
            state.factor = Factor::ALL[moved(state.factor as usize, Factor::ALL.len())];
        }
        View::Processes => {
            let rows = rows(state);
            let to = moved(selected_row(state, &rows), rows.len());
            state.processes.selected = rows.get(to).map(|row| (row.pid, row.name.clone()));
        }
        View::Events => {
            if let Some(detail) = &mut state.events.detail {
                detail.offset = detail.offset.saturating_add_signed(by as i16).min(200);
                return;
            }
            let index = state.events.index();
            let to = moved(index, state.events.list.len());
            state.events.selected = state.events.list.get(to).map(|event| event.row.id);
            if to + 1 == state.events.list.len() && by > 0 && state.events.may_have_more() {
                state.events.limit = state.events.limit.saturating_add(PAGE);
                reread(state, 0);
            }
        }
    }
}

fn enter(state: &mut State) -> Vec<Effect> {
    match state.view {
        View::Overview => state.view = View::Factor,
        View::Events if state.events.detail.is_none() => {
            let Some(event) = state.events.current() else { return Vec::new() };
            let id = event.row.id;
            if state.playback().is_none() {
                state.events.opening = Some(id);
                return vec![Effect::Ask(Request::Open(id))];
            }
            open_recorded(state);
        }
        View::Processes | View::Events | View::Factor => {}
    }
    Vec::new()
}

/// Opens an event of a recording: its samples and what is related are here already.
fn open_recorded(state: &mut State) {
    let Some(event) = state.events.current().cloned() else { return };
    let end_ns = event.row.ended_ns.unwrap_or(event.row.last_seen_ns);
    let related = state.events.list.iter().rev().filter(|other| {
        let other_end = other.row.ended_ns.unwrap_or(other.row.last_seen_ns);
        other.row.id != event.row.id
            && other.row.started_ns <= end_ns.saturating_add(RELATED_NS)
            && other_end >= event.row.started_ns.saturating_sub(RELATED_NS)
    });
    let related = related.cloned().collect();
    let mut samples = History::new(1);
    if let Some(end) = state.history.at_time(end_ns) {
        let window = state.history.window(end, 60_000_000_000);
        samples = History::new(window.len().max(1));
        for kept in window {
            samples.push(kept.sample(), kept.step_ns, kept.broken);
        }
    }
    state.events.detail = Some(Box::new(Detail { event, related, samples, offset: 0 }));
}

fn leave(state: &mut State) {
    if state.view == View::Events && state.events.detail.is_some() {
        state.events.detail = None;
    } else if state.banner.is_some() {
        state.banner = None;
    } else if state.held.is_some() {
        release(state);
    } else {
        state.view = View::Overview;
    }
}

fn hold(state: &mut State) {
    match &state.feed {
        Feed::Recording(_) => playback::toggle(state),
        Feed::Live(_) if state.held.is_some() => release(state),
        Feed::Live(_) => state.held = state.history.last(),
    }
}

/// Goes to a sample: of a live source it is held.
fn jump(state: &mut State, number: u64) {
    if state.history.is_empty() {
        return;
    }
    // The picture stands as long as the sample is in it.
    let edge = state.edge();
    match &state.feed {
        Feed::Recording(_) => playback::seek(state, number),
        Feed::Live(_) => {
            state.held = Some(number.clamp(state.history.first(), state.history.last().unwrap_or(0)))
        }
    }
    let at_ns = |number: u64| state.history.get(number).map_or(0, |kept| kept.entry.at_ns);
    let (Some(edge), Some(cursor)) = (edge, state.cursor()) else { return };
    let span_ns = state.span_ns();
    state.edge = if cursor >= edge {
        None
    } else if at_ns(cursor) + span_ns < at_ns(edge) {
        state.history.at(at_ns(cursor) + span_ns)
    } else {
        Some(edge)
    };
}

/// Goes back or on, by time on the axis.
fn travel(state: &mut State, by_ns: i64) {
    let Some(kept) = state.cursor().and_then(|cursor| state.history.get(cursor)) else { return };
    if let Some(number) = state.history.at(kept.entry.at_ns.saturating_add_signed(by_ns)) {
        jump(state, number);
    }
}

/// Goes one sample back or on; a recording stops for that.
fn step(state: &mut State, on: bool) {
    let Some(cursor) = state.cursor() else { return };
    if let Feed::Recording(playback) = &mut state.feed {
        playback.playing = false;
    }
    jump(state, if on { cursor + 1 } else { cursor.saturating_sub(1) });
}

/// To the end of a recording; live again.
fn last(state: &mut State) {
    match &state.feed {
        Feed::Recording(_) => jump(state, state.history.last().unwrap_or(0)),
        Feed::Live(_) => release(state),
    }
}

/// Live again.
fn release(state: &mut State) {
    state.held = None;
    state.edge = None;
}

fn filter(state: &mut State) {
    if state.view != View::Events || state.playback().is_some() {
        return;
    }
    state.events.filter = match state.events.filter {
        None => Some(Kind::Pause),
        Some(Kind::Pause) => Some(Kind::Stall),
        Some(Kind::Stall) => Some(Kind::Episode),
        Some(Kind::Episode) => Some(Kind::Outage),
        Some(Kind::Outage) => None,
    };
    state.events.detail = None;
    state.events.limit = PAGE;
    reread(state, 0);
}

/// The event that keys act on, where it can be marked.
fn markable(state: &mut State) -> Option<u64> {
    if state.view != View::Events {
        return None;
    }
    if state.playback().is_some() {
        notify(state, "Events of a recording are not kept: they can't be marked.");
        return None;
    }
    state.events.current().map(|event| event.row.id)
}

fn mark(state: &mut State, status: Status) -> Vec<Effect> {
    markable(state).map(|id| Effect::Ask(Request::Mark(id, Some(status), None))).into_iter().collect()
}

fn note(state: &mut State) {
    if let Some(id) = markable(state) {
        let old = state.events.current().and_then(|event| event.note.clone()).unwrap_or_default();
        state.events.note = Some((id, tui_input::Input::new(old)));
    }
}

/// Goes to the time of the event, where that was received.
fn go_to(state: &mut State) {
    if state.view != View::Events {
        return;
    }
    let Some(row) = state.events.current().map(|event| event.row.clone()) else { return };
    let time_ns = match (&row.peak, row.kind) {
        (Some(peak), Kind::Episode) => peak.time_ns,
        _ => row.ended_ns.unwrap_or(row.started_ns),
    };
    let oldest_ns = state.history.get(state.history.first()).map(|kept| kept.sample().time_ns);
    let newest_ns = state.history.newest().map(|sample| sample.time_ns);
    let received = oldest_ns.is_some_and(|ns| ns <= time_ns) && newest_ns.is_some_and(|ns| time_ns <= ns);
    match state.history.at_time(time_ns).filter(|_| received) {
        Some(number) => {
            if let Feed::Recording(playback) = &mut state.feed {
                playback.playing = false;
            }
            jump(state, number);
            state.view = View::Overview;
        }
        None => notify(state, "That time was not received here: Enter shows what is on record."),
    }
}

fn pointed(state: &mut State, mouse: &MouseEvent) -> Vec<Effect> {
    match mouse.kind {
        MouseEventKind::ScrollUp if state.help => act(state, Action::Up, false),
        MouseEventKind::ScrollDown if state.help => act(state, Action::Down, false),
        MouseEventKind::ScrollUp => {
            select(state, -1);
            Vec::new()
        }
        MouseEventKind::ScrollDown => {
            select(state, 1);
            Vec::new()
        }
        MouseEventKind::Down(MouseButton::Left) if state.help => {
            state.help = false;
            Vec::new()
        }
        MouseEventKind::Down(MouseButton::Left) | MouseEventKind::Drag(MouseButton::Left) => {
            clicked(state, mouse.column, mouse.row, matches!(mouse.kind, MouseEventKind::Drag(_)))
        }
        _ => Vec::new(),
    }
}

fn clicked(state: &mut State, column: u16, row: u16, dragged: bool) -> Vec<Effect> {
    match target(state, column, row) {
        Some(Target::Time(at_ns)) => {
            if let Some(number) = state.history.at(at_ns) {
                jump(state, number);
            }
        }
        _ if dragged => {}
        Some(Target::Tab(view)) => show(state, view),
        Some(Target::Factor(factor)) => {
            if state.factor == factor && state.view == View::Overview {
                return enter(state);
            }
            state.factor = factor;
        }
        Some(Target::Process(index)) => {
            state.processes.selected = rows(state).get(index).map(|row| (row.pid, row.name.clone()));
        }
        Some(Target::Event(id)) => {
            let again = state.events.selected == Some(id) && state.view == View::Events;
            state.events.selected = Some(id);
            if again {
                return enter(state);
            }
            if state.view != View::Events {
                show(state, View::Events);
            }
        }
        Some(Target::Measure(measure)) => {
            if state.processes.measure == measure {
                state.processes.reversed = !state.processes.reversed;
            }
            state.processes.measure = measure;
        }
        None => {}
    }
    Vec::new()
}
