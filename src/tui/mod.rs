//! The dashboard.
//!
//! ```text
//! terminal ─┐                        ┌─> view ──> term (at most 30 frames a second)
//! feed ─────┼─ channel ─> update ─> state
//! store ────┘  (bounded)      │
//!                             └─> effects: ask the store, suspend, quit
//! ```
//!
//! State (data), update (input → state) and view (state → screen) are apart; only this file and `term` touch the
//! outside, and the feeds, each on a thread of its own.

pub mod feed;
pub mod keys;
pub mod look;
pub mod state;
pub mod term;
pub mod update;
pub mod view;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use crossterm::event::{Event, MouseEventKind};
use jiff::tz::TimeZone;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM};

use crate::clock;
use crate::daemon::player::Player;
use crate::engine::Settings;

use feed::store::Request;
use look::Look;
use state::playback::Playback;
use state::{Feed, Link, State};
use term::{Screen, Surface};
use update::{Effect, Input, update, wake_at};

/// Inputs that wait at most; then the feeds wait.
const QUEUE: usize = 256;
/// Questions to the store that wait at most.
const QUESTIONS: usize = 8;
/// How long a greeting stands.
const GREETING_NS: u64 = 8_000_000_000;
/// The time from one frame to the next at least: 30 a second.
const FRAME_NS: u64 = 33_000_000;
/// Inputs taken between two looks at the clock.
const AT_ONCE: usize = 256;
/// How long a signal waits for the terminal before it ends the program all the same.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is shown.
pub enum Show {
    /// The daemon of this data directory, and how one is started there.
    Live(PathBuf, String),
    /// A recording of this name, through an engine of these settings.
    Recording(String, Box<Player>, Settings, Arc<AtomicBool>),
}

/// What a visit that is led says at its beginning, and what ends it.
pub struct Tour {
    /// Shown for a while, instead of the keys.
    pub greeting: String,
    /// The dashboard ends when this says so, or is gone.
    pub ends: Receiver<()>,
}

/// Shows it until the user quits, a signal comes, the terminal is gone or the tour ends.
///
/// # Errors
/// There is no terminal, or it fails.
pub fn run(show: Show, look: Look, tour: Option<Tour>) -> io::Result<()> {
    let mut screen = Screen::take()?;
    let now_ns = clock::awake_ns();
    let size = crossterm::terminal::size()?;
    let (inputs, taken) = sync_channel(QUEUE);
    let (questions, asked) = sync_channel(QUESTIONS);
    let stop = Arc::new(AtomicBool::new(false));
    let mut start_with = String::new();
    let feed = match show {
        Show::Live(directory, command) => {
            start_with = command;
            let store = directory.clone();
            spawn("store", &inputs, move |inputs| {
                feed::store::run(&store, &asked, &|answer| inputs.send(Input::Answer(answer)).is_ok());
            })?;
            spawn("feed", &inputs, move |inputs| {
                feed::live::run(&directory, &|fed| inputs.send(Input::Fed(fed)).is_ok());
            })?;
            Feed::Live(Link::Connecting(None))
        }
        Show::Recording(name, player, settings, stopped) => {
            spawn("feed", &inputs, move |inputs| {
                let heard = AtomicBool::new(true);
                feed::recording::run(*player, settings, &|fed| {
                    let sent = inputs.send(Input::Fed(fed)).is_ok();
                    heard.fetch_and(sent, Ordering::Relaxed);
                    sent
                });
                stopped.store(true, Ordering::Relaxed);
            })?;
            Feed::Recording(Playback::new(name, now_ns))
        }
    };
    spawn("terminal", &inputs, read_terminal)?;
    let ended = Arc::clone(&stop);
    spawn("signals", &inputs, move |inputs| heed_signals(inputs, &ended))?;
    let mut state = State::new(feed, look, TimeZone::system(), size, now_ns);
    state.start_with = start_with;
    if let Some(Tour { greeting, ends }) = tour {
        state.notice = Some((greeting, now_ns + GREETING_NS));
        spawn("tour", &inputs, move |inputs| {
            let _ = ends.recv();
            let _ = inputs.send(Input::Stop);
        })?;
    }
    let result = serve(&mut screen, &mut state, &taken, &questions);
    stop.store(true, Ordering::Relaxed);
    drop(screen);
    result
}

/// A thread that feeds the channel; one that panics ends the program.
fn spawn(
    name: &str,
    inputs: &SyncSender<Input>,
    body: impl FnOnce(&SyncSender<Input>) + Send + 'static,
) -> io::Result<()> {
    /// Tells of a panic, which unwinds through it.
    struct OnPanic(SyncSender<Input>);
    impl Drop for OnPanic {
        fn drop(&mut self) {
            if thread::panicking() {
                let _ = self.0.try_send(Input::Stop);
            }
        }
    }
    let inputs = inputs.clone();
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        let guard = OnPanic(inputs);
        body(&guard.0);
    })?;
    Ok(())
}

/// Hands over keys, the mouse and sizes, until the terminal is gone.
fn read_terminal(inputs: &SyncSender<Input>) {
    while let Ok(event) = crossterm::event::read() {
        // The mouse that only moves changes nothing.
        if matches!(&event, Event::Mouse(mouse) if mouse.kind == MouseEventKind::Moved) {
            continue;
        }
        if inputs.send(Input::Terminal(event)).is_err() {
            return;
        }
    }
    let _ = inputs.send(Input::Stop);
}

/// SIGTERM, SIGINT and SIGHUP end it, a second one at once; SIGCONT draws anew.
fn heed_signals(inputs: &SyncSender<Input>, ended: &AtomicBool) {
    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP, SIGCONT]) else {
        return;
    };
    for signal in &mut signals {
        if signal == SIGCONT {
            if inputs.try_send(Input::Continued).is_err() {
                continue;
            }
        } else {
            break;
        }
    }
    // Full where a terminal hangs: then the wait below ends it.
    let _ = inputs.try_send(Input::Stop);
    let deadline_ns = clock::awake_ns() + PATIENCE.as_nanos() as u64;
    while clock::awake_ns() < deadline_ns && !ended.load(Ordering::Relaxed) {
        if signals.pending().any(|signal| signal != SIGCONT) {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    if !ended.load(Ordering::Relaxed) {
        // The terminal takes nothing: its modes can be set all the same.
        let _ = crossterm::terminal::disable_raw_mode();
        signal_hook::low_level::exit(1);
    }
}

/// Takes inputs, draws where something changed, and sees to effects, until one is to quit.
fn serve(
    surface: &mut dyn Surface,
    state: &mut State,
    inputs: &Receiver<Input>,
    questions: &SyncSender<Request>,
) -> io::Result<()> {
    let mut changed = true;
    let mut next_frame_ns = 0;
    let mut first = Some(Input::Tick);
    loop {
        let mut left = AT_ONCE;
        while let Some(input) = first.take().or_else(|| inputs.try_recv().ok()) {
            for effect in update(state, input, clock::awake_ns()) {
                match effect {
                    Effect::Quit => return Ok(()),
                    Effect::Redraw => surface.renew()?,
                    Effect::Suspend => surface.suspend()?,
                    Effect::Ask(request) => {
                        if questions.try_send(request).is_err() {
                            state.notice = Some((
                                "The disk does not answer: try again.".to_owned(),
                                state.now_ns + 5_000_000_000,
                            ));
                        }
                    }
                }
            }
            changed = true;
            left -= 1;
            if left == 0 {
                break;
            }
        }
        let now_ns = clock::awake_ns();
        if changed && now_ns >= next_frame_ns {
            surface.draw(state)?;
            changed = false;
            next_frame_ns = now_ns + FRAME_NS;
        }
        let frame_ns = changed.then_some(next_frame_ns);
        let wake_ns = [frame_ns, wake_at(state)].into_iter().flatten().min();
        let waited = match wake_ns {
            Some(wake_ns) => {
                inputs.recv_timeout(Duration::from_nanos(wake_ns.saturating_sub(clock::awake_ns())))
            }
            None => inputs.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        first = match waited {
            Ok(input) => Some(input),
            Err(RecvTimeoutError::Timeout) if frame_ns.is_some() && frame_ns == wake_ns => None,
            Err(RecvTimeoutError::Timeout) => Some(Input::Tick),
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
    }
}
