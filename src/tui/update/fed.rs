//! What a feed tells.

use crate::event::Verdict;
use crate::sample::Sample;
use crate::tui::feed::Fed;
use crate::tui::state::events::Read;
use crate::tui::state::playback::Loading;
use crate::tui::state::{Feed, Gap, Link, MARKS, Mark, State};

use super::{WRITTEN_NS, reread, show_banner};

/// Arrivals that the rate is taken from reach back so far, ns.
const RATE_NS: u64 = 5_000_000_000;
/// Events of a recording that are listed.
const LISTED: usize = 10_000;

pub(super) fn fed(state: &mut State, fed: Fed) {
    match fed {
        Fed::Hello(peer, ring, gaps) => {
            state.peer = Some(peer);
            state.feed = Feed::Live(Link::Up);
            state.arrivals.clear();
            greet(state, &ring);
            for gap in gaps {
                // One that was told of before the connection broke is there.
                if !state.marks.iter().any(|mark| mark.gap == gap) {
                    mark(state, gap);
                }
            }
            reread(state, 0);
        }
        Fed::Sample(sample) => {
            push(state, &sample, false);
            state.arrived_ns = Some(state.now_ns);
            state.arrivals.push_back(state.now_ns);
            while state.arrivals.front().is_some_and(|first| state.now_ns - first > RATE_NS) {
                state.arrivals.pop_front();
            }
        }
        Fed::Tier => reread(state, WRITTEN_NS),
        Fed::Gap(gap) => {
            // Of a recording the banner comes when its time does.
            if gap.verdict == Verdict::Pause && state.playback().is_none() {
                show_banner(state, gap.clone());
            }
            mark(state, gap);
            reread(state, WRITTEN_NS);
        }
        Fed::Source(source) => state.source = source,
        Fed::Lagged(dropped) => state.lagged += dropped,
        Fed::Refused(why) => {
            state.feed = Feed::Live(match &state.feed {
                Feed::Live(Link::Connecting(_)) => Link::Connecting(Some(why)),
                _ => Link::Lost(Some(why)),
            });
        }
        Fed::Lost => state.feed = Feed::Live(Link::Lost(None)),
        Fed::Recorded(samples) => {
            let was_empty = state.history.is_empty();
            for (sample, step_ns) in samples {
                state.history.push(&sample, step_ns, false);
            }
            if let Feed::Recording(playback) = &mut state.feed
                && was_empty
            {
                playback.since_ns = state.now_ns;
            }
        }
        Fed::Event(event) => {
            let list = &mut state.events.list;
            match list.iter().position(|known| known.row.id == event.row.id) {
                Some(known) => list[known] = *event,
                None if list.len() < LISTED => list.insert(0, *event),
                None => {}
            }
            state.events.read = Read::Done;
        }
        Fed::Rejected(count) => {
            if let Feed::Recording(playback) = &mut state.feed {
                playback.rejected += count;
            }
        }
        Fed::Loaded(loading) => {
            if let Feed::Recording(playback) = &mut state.feed {
                playback.loading = loading;
            }
            if state.playback().is_some_and(|playback| playback.loading != Loading::Reading) {
                state.events.read = Read::Done;
            }
        }
    }
    if state.history.last().is_none() {
        state.held = None;
    }
}

/// Takes the samples of a hello: those not seen yet. They go on where the last connection ended, or follow a break.
fn greet(state: &mut State, ring: &[Sample]) {
    let newest = state.history.newest().map(|sample| (sample.seq, sample.time_ns));
    let known =
        newest.and_then(|newest| ring.iter().position(|sample| (sample.seq, sample.time_ns) == newest));
    // A daemon that was started anew counts from 1 again; so it may be after a clock that was set back.
    let mut broken = newest.is_some() && known.is_none();
    for sample in &ring[known.map_or(0, |known| known + 1)..] {
        push(state, sample, std::mem::take(&mut broken));
    }
    if !ring.is_empty() && state.arrived_ns.is_none() {
        state.arrived_ns = Some(state.now_ns);
    }
}

fn push(state: &mut State, sample: &Sample, broken: bool) {
    let step_ns = sample.interval_ns.unwrap_or(sample.elapsed_ns);
    // Of a new run the first sample says nothing of the time before it.
    let broken = broken || (sample.interval_ns.is_none() && sample.seq <= 1 && !state.history.is_empty());
    state.history.push(sample, step_ns, broken);
    // What is held stays as long as it is there.
    if state.held.is_some_and(|held| held < state.history.first()) {
        state.held = Some(state.history.first());
    }
}

fn mark(state: &mut State, gap: Gap) {
    if state.marks.len() == MARKS {
        state.marks.pop_front();
    }
    state.marks.push_back(Mark { gap, told_at: state.history.last().unwrap_or(0) });
}
