//! What an input does to the state. Pure: time is an argument, and what is to be done outside is returned.

mod fed;
mod input;
mod playback;

use crate::engine::culprit::culprits;
use crate::wire::CulpritLine;

use super::feed::Fed;
use super::feed::store::{Answer, Request};
use super::state::events::{Detail, PAGE, Read};
use super::state::history::History;
use super::state::{BANNER_NS, Banner, Feed, Gap, Link, State, WAITING_NS};

/// Something that comes from outside.
#[derive(Clone, Debug)]
pub enum Input {
    /// A key, the mouse, another size.
    Terminal(crossterm::event::Event),
    /// A feed.
    Fed(Fed),
    /// The store.
    Answer(Answer),
    /// Time passed: [`wake_at`] asked for it.
    Tick,
    /// It was stopped and goes on.
    Continued,
    /// It is to end: a signal came, or the terminal is gone.
    Stop,
}

/// Something that is to be done outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// End.
    Quit,
    /// Ask the store.
    Ask(Request),
    /// Draw everything anew.
    Redraw,
    /// Give the terminal back until we are continued.
    Suspend,
}

/// How much blame is dealt out over, ns: the ring's default.
const RING_NS: u64 = 30_000_000_000;
/// Who is to blame is worked out again after so many samples.
const BLAME_EVERY: u64 = 5;
/// How long a line at the bottom stays, ns.
const NOTICE_NS: u64 = 5_000_000_000;
/// How often ages on the screen are brought up to date, ns.
const AGES_NS: u64 = 250_000_000;
/// While events are looked at, they are read again this often, ns: others write too.
const REREAD_NS: u64 = 5_000_000_000;
/// After something happened its row is written before it is read, ns.
const WRITTEN_NS: u64 = 300_000_000;

/// Takes an input.
pub fn update(state: &mut State, input: Input, now_ns: u64) -> Vec<Effect> {
    state.now_ns = state.now_ns.max(now_ns);
    let mut effects = match input {
        Input::Terminal(event) => input::terminal(state, &event),
        Input::Fed(fed) => {
            fed::fed(state, fed);
            Vec::new()
        }
        Input::Answer(answer) => answered(state, answer),
        Input::Tick => Vec::new(),
        Input::Continued => vec![Effect::Redraw],
        Input::Stop => vec![Effect::Quit],
    };
    playback::advance(state);
    expire(state);
    read_events(state, &mut effects);
    blame(state);
    effects
}

/// When the state changes without an input, ns on our clock: a tick is to come then.
#[must_use]
pub fn wake_at(state: &State) -> Option<u64> {
    let waiting = match &state.feed {
        Feed::Live(Link::Up) => {
            state.arrived_ns.map(|arrived| (arrived + WAITING_NS).max(state.now_ns + AGES_NS))
        }
        Feed::Live(_) => state.arrived_ns.map(|_| state.now_ns + AGES_NS),
        Feed::Recording(_) => playback::due_ns(state),
    };
    let banner = state.banner.as_ref().map(|banner| banner.until_ns);
    let notice = state.notice.as_ref().map(|(_, until_ns)| *until_ns);
    let read = state.events.due_ns.filter(|_| state.events.asked_ns.is_none());
    [waiting, banner, notice, read].into_iter().flatten().min()
}

/// Shows a line at the bottom for a while.
fn notify(state: &mut State, text: impl Into<String>) {
    state.notice = Some((text.into(), state.now_ns + NOTICE_NS));
}

fn show_banner(state: &mut State, gap: Gap) {
    state.banner = Some(Banner { gap, until_ns: state.now_ns + BANNER_NS });
}

fn expire(state: &mut State) {
    let now_ns = state.now_ns;
    if state.banner.as_ref().is_some_and(|banner| banner.until_ns <= now_ns) {
        state.banner = None;
    }
    if state.notice.as_ref().is_some_and(|(_, until_ns)| *until_ns <= now_ns) {
        state.notice = None;
    }
}

/// The list is to be read again, soon. Of a recording it is in the recording.
fn reread(state: &mut State, in_ns: u64) {
    if state.playback().is_some() {
        return;
    }
    let due_ns = state.now_ns + in_ns;
    state.events.due_ns = Some(state.events.due_ns.map_or(due_ns, |due| due.min(due_ns)));
}

/// Asks for the list where it is time. One question at a time: a disk that hangs is not asked twice.
fn read_events(state: &mut State, effects: &mut Vec<Effect>) {
    if state.playback().is_some() {
        return;
    }
    let events = &mut state.events;
    if events.limit == 0 {
        events.limit = PAGE;
        events.due_ns = Some(state.now_ns);
    }
    if events.asked_ns.is_none() && events.due_ns.is_some_and(|due| due <= state.now_ns) {
        events.due_ns = None;
        events.asked_ns = Some(state.now_ns);
        effects.push(Effect::Ask(Request::List(events.limit, events.filter)));
    }
}

fn answered(state: &mut State, answer: Answer) -> Vec<Effect> {
    match answer {
        Answer::List(result) => {
            state.events.asked_ns = None;
            match result {
                Ok(list) => {
                    state.events.read = Read::Done;
                    if let Some(detail) = &mut state.events.detail
                        && let Some(event) = list.iter().find(|event| event.row.id == detail.event.row.id)
                    {
                        detail.event = event.clone();
                    }
                    state.events.list = list;
                }
                Err(why) => state.events.read = Read::Failed(why),
            }
            reread(state, REREAD_NS);
        }
        // One that is no longer wanted comes too late.
        Answer::Opened(Ok(opened)) if state.events.opening != Some(opened.event.row.id) => {}
        Answer::Opened(Ok(opened)) => {
            state.events.opening = None;
            let samples = History::of(&opened.samples);
            let detail = Detail { event: opened.event, related: opened.related, samples, offset: 0 };
            state.events.selected = Some(detail.event.row.id);
            state.events.detail = Some(Box::new(detail));
        }
        Answer::Marked(id, Ok(())) => {
            notify(state, format!("Event {id} is marked."));
            reread(state, 0);
        }
        Answer::Opened(Err(why)) | Answer::Marked(_, Err(why)) => notify(state, why),
    }
    Vec::new()
}

/// Works out who is to blame at the sample shown, not for each sample anew.
fn blame(state: &mut State) {
    let Some(cursor) = state.cursor() else { return };
    if cursor.abs_diff(state.blame.at) < BLAME_EVERY && state.blame.at != 0 {
        return;
    }
    state.blame.at = cursor;
    state.blame.culprits = culprits(state.history.ring(cursor, RING_NS))
        .iter()
        .map(|culprit| CulpritLine::from(culprit).into_owned())
        .collect();
}

#[cfg(test)]
pub(super) mod tests;
