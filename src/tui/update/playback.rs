//! A recording moves on.

use crate::event::Verdict;
use crate::tui::state::playback::{Loading, SPEEDS};
use crate::tui::state::{Feed, State};

use super::show_banner;

/// When the next sample is due, ns on our clock; `None` where nothing moves.
pub(super) fn due_ns(state: &State) -> Option<u64> {
    let playback = state.playback().filter(|playback| playback.playing)?;
    let next = state.history.get(playback.position + 1)?;
    // A freeze of a minute is not waited through: what is shown of it passes as it is drawn.
    let step_ns = next.entry.at_ns - state.history.get(playback.position)?.entry.at_ns;
    Some(playback.since_ns.saturating_add((step_ns as f64 / playback.times()) as u64))
}

/// Shows the samples that are due.
pub(super) fn advance(state: &mut State) {
    let before = match state.playback() {
        Some(playback) => playback.position,
        None => return,
    };
    while let Some(due_ns) = due_ns(state).filter(|due_ns| *due_ns <= state.now_ns) {
        if let Feed::Recording(playback) = &mut state.feed {
            playback.position += 1;
            playback.since_ns = due_ns;
        }
    }
    let last = state.history.last().unwrap_or(0);
    let Feed::Recording(playback) = &mut state.feed else { return };
    if playback.position >= last {
        // What comes next is due when it comes; at the end of it all there is nothing to play.
        playback.since_ns = state.now_ns;
        playback.playing &= playback.loading == Loading::Reading;
    }
    let after = playback.position;
    // It has caught up with the picture, which moves with it from here on.
    if state.edge.is_some_and(|edge| edge <= after) {
        state.edge = None;
    }
    let passed = before + 1..=after;
    let told =
        state.marks.iter().rfind(|mark| passed.contains(&mark.told_at) && mark.gap.verdict == Verdict::Pause);
    if let Some(gap) = told.map(|mark| mark.gap.clone()) {
        show_banner(state, gap);
    }
}

/// Goes to a sample, and on from there.
pub(super) fn seek(state: &mut State, number: u64) {
    let number = number.clamp(state.history.first(), state.history.last().unwrap_or(0));
    let now_ns = state.now_ns;
    if let Feed::Recording(playback) = &mut state.feed {
        playback.position = number;
        playback.since_ns = now_ns;
    }
    state.banner = None;
}

/// Plays or pauses; at the end it begins anew.
pub(super) fn toggle(state: &mut State) {
    let (last, now_ns) = (state.history.last().unwrap_or(0), state.now_ns);
    let Feed::Recording(playback) = &mut state.feed else { return };
    if !playback.playing && playback.position >= last && playback.loading != Loading::Reading {
        playback.position = state.history.first();
        state.edge = None;
    }
    playback.playing = !playback.playing;
    playback.since_ns = now_ns;
}

/// Plays faster or slower by one step.
pub(super) fn speed(state: &mut State, faster: bool) {
    let now_ns = state.now_ns;
    let Feed::Recording(playback) = &mut state.feed else { return };
    playback.speed = match faster {
        true => (playback.speed + 1).min(SPEEDS.len() - 1),
        false => playback.speed.saturating_sub(1),
    };
    playback.since_ns = now_ns;
}
