//! States to look at, and what inputs make of them.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use jiff::tz::TimeZone;

use super::*;
use crate::config::{Config, Scenario, SourceKind};
use crate::daemon::player::Player;
use crate::event::Verdict;
use crate::output::store::{EventRow, Kind, PeakRow, Status, StoredEvent, TierSteps, TierTimes};
use crate::sample::{Factor, Metrics, Name, Sample, Stress, Tier};
use crate::source::replay::Replay;
use crate::source::simulate::{DEFAULT_START_S, Simulator, SimulatorSettings};
use crate::tui::feed::recording;
use crate::tui::feed::store::Opened;
use crate::tui::look::{Colours, Look, Symbols};
use crate::tui::state::playback::{Loading, Playback};
use crate::tui::state::{Gap, Peer, Source, View};
use crate::wire::Thresholds;

const S: u64 = 1_000_000_000;
const T0: i64 = DEFAULT_START_S * 1_000_000_000;

pub(crate) const LOOK: Look = Look { colours: Colours::Many, symbols: Symbols::Braille };

/// What a recording of a simulated freeze feeds: 46 s with one pause.
fn freeze() -> Vec<Fed> {
    // Made once: decoding is slow without optimisation.
    static MADE: std::sync::OnceLock<Vec<Fed>> = std::sync::OnceLock::new();
    MADE.get_or_init(simulated).clone()
}

fn simulated() -> Vec<Fed> {
    let stream = Simulator::new(Scenario::Freeze, SimulatorSettings::default()).into_stream();
    let bytes = 300 << 20;
    let mut fed = Vec::new();
    let stream = std::io::Read::take(stream, bytes);
    let config = Config { source: SourceKind::Replay("f".into()), ..Config::default() };
    let player = Player::new(Replay::new(Box::new(stream)), T0, true);
    let sink = std::cell::RefCell::new((&mut fed, 0));
    recording::run(player, crate::daemon::settings(&config), &|item| {
        let mut sink = sink.borrow_mut();
        if let Fed::Recorded(samples) = &item {
            sink.1 += samples.len();
        }
        sink.0.push(item);
        sink.1 < 400
    });
    fed
}

/// The first `count` samples of a simulated freeze, as a daemon would send them.
fn samples(count: usize) -> Vec<Sample> {
    let mut samples: Vec<Sample> = Vec::new();
    for fed in freeze() {
        if let Fed::Recorded(batch) = fed {
            samples.extend(batch.iter().map(|(sample, step_ns)| {
                let mut sample = *sample;
                sample.interval_ns = Some(*step_ns);
                sample.heartbeat_ns = Some(300_000);
                sample.metrics.load_avg = Some(3.4);
                sample.metrics.cores = Some(16);
                sample.metrics.memory_available_pct = Some(62.0);
                sample.metrics.swap_used_bytes = Some(3 << 29);
                sample
            }));
        }
    }
    samples.truncate(count);
    samples
}

pub(crate) fn empty() -> State {
    State::new(Feed::Live(Link::Connecting(None)), LOOK, TimeZone::UTC, (80, 24), 100 * S)
}

fn hello() -> Fed {
    let thresholds = Thresholds { elevated: 15, critical: 50 };
    let peer = Peer {
        source: "powermetrics".to_owned(),
        host: "studio".to_owned(),
        version: "0.1.0".to_owned(),
        thresholds,
    };
    Fed::Hello(peer, Vec::new(), Vec::new())
}

/// Connected, with so many samples.
pub(crate) fn with(count: usize) -> State {
    let mut state = empty();
    let mut now_ns = state.now_ns;
    update(&mut state, Input::Fed(hello()), now_ns);
    let source = Source {
        state: "up".to_owned(),
        hw_model: Some("Mac16,5".to_owned()),
        os_build: Some("25C56".to_owned()),
        detail: None,
    };
    update(&mut state, Input::Fed(Fed::Source(source)), now_ns);
    update(&mut state, Input::Answer(Answer::List(Ok(events()))), now_ns);
    for sample in samples(count) {
        now_ns += sample.interval_ns.unwrap();
        update(&mut state, Input::Fed(Fed::Sample(Box::new(sample))), now_ns);
    }
    state
}

/// A calm machine, live.
pub(crate) fn live() -> State {
    with(80)
}

/// Right after a pause, which was told.
pub(crate) fn critical() -> State {
    let mut state = with(180);
    let number = (0..180).find(|number| state.history.get(*number).unwrap().hole_ns().is_some()).unwrap();
    let ended_ns = state.history.get(number).unwrap().sample().time_ns;
    let culprits = state.blame.culprits.clone();
    let gap = Gap {
        ended_ns,
        verdict: Verdict::Pause,
        certain: true,
        duration_ms: 2_521.2,
        event: Some(8),
        culprits,
    };
    let now_ns = state.now_ns;
    update(&mut state, Input::Fed(Fed::Gap(gap)), now_ns);
    state
}

/// The daemon has lost its source.
pub(crate) fn degraded() -> State {
    let mut state = live();
    let source = Source {
        state: "down".to_owned(),
        detail: Some("powermetrics ended".to_owned()),
        ..Source::default()
    };
    let mut now_ns = state.now_ns;
    update(&mut state, Input::Fed(Fed::Source(source)), now_ns);
    for seq in 0..60 {
        now_ns += S / 10;
        let sample = Sample {
            seq: 81 + seq,
            time_ns: T0 + (now_ns - 100 * S) as i64,
            interval_ns: Some(S / 10),
            elapsed_ns: S / 10,
            expected_ns: S / 10,
            latency_ratio: 1.0,
            heartbeat_ns: Some(2_000_000),
            degraded: true,
            stress: Stress::new([18, 4, 0, 0, 0, 0, 0, 0]),
            tier: Tier::Elevated,
            metrics: Metrics {
                load_avg: Some(38.4),
                cores: Some(16),
                memory_available_pct: Some(26.0),
                ..Metrics::default()
            },
            ..Sample::default()
        };
        update(&mut state, Input::Fed(Fed::Sample(Box::new(sample))), now_ns);
    }
    state
}

/// The daemon is gone, for 12 s.
pub(crate) fn lost() -> State {
    let mut state = critical();
    let now_ns = state.now_ns;
    update(&mut state, Input::Fed(Fed::Lost), now_ns);
    update(
        &mut state,
        Input::Fed(Fed::Refused("no daemon runs on /d: start one".to_owned())),
        now_ns + 12 * S,
    );
    state
}

/// A recording, in its middle.
pub(crate) fn recorded() -> State {
    let playback = Playback::new("freeze.plist".to_owned(), 100 * S);
    let mut state = State::new(Feed::Recording(playback), LOOK, TimeZone::UTC, (80, 24), 100 * S);
    for fed in freeze() {
        update(&mut state, Input::Fed(fed), 100 * S);
    }
    update(&mut state, Input::Fed(Fed::Loaded(Loading::Done)), 100 * S);
    update(&mut state, Input::Tick, 118 * S);
    state
}

fn event(id: u64, kind: Kind, started_s: i64, duration_ms: Option<u64>, status: Status) -> StoredEvent {
    let started_ns = T0 + started_s * 1_000_000_000;
    let verdict = match kind {
        Kind::Pause => Some(Verdict::Pause),
        Kind::Stall => Some(Verdict::Starved),
        Kind::Episode | Kind::Outage => None,
    };
    let row = EventRow {
        id,
        kind,
        verdict,
        certain: verdict.map(|_| id.is_multiple_of(2)),
        started_ns,
        ended_ns: duration_ms.map(|ms| started_ns + ms as i64 * 1_000_000),
        last_seen_ns: started_ns + 5_000_000_000,
        duration_ns: duration_ms.map(|ms| ms * 1_000_000),
        interrupted: None,
        continued: false,
        peak: (kind != Kind::Outage).then(|| PeakRow {
            time_ns: started_ns + 2_000_000_000,
            stress: Stress::new([3, 23, 10, 20, 0, 0, 0, 28]),
            tier: Tier::Critical,
            top: None,
        }),
        tiers: (kind == Kind::Episode).then_some(TierTimes { elevated_ns: 9 * S, critical_ns: 12 * S }),
        culprits: vec![CulpritLine {
            pid: 501,
            name: "mds_stores".into(),
            share: 0.61,
            factors: std::collections::BTreeMap::from([("pageins".into(), 28)]),
            evidence: "pageins 3/s → 840/s".into(),
        }],
        incident: [7; 16],
        episode: None,
        steps: TierSteps::default(),
    };
    StoredEvent { row, samples: 300, status, note: None, forensics: Vec::new() }
}

fn events() -> Vec<StoredEvent> {
    let mut noted = event(8, Kind::Pause, 15, Some(2_521), Status::Pinned);
    noted.note = Some("while the backup ran".to_owned());
    let mut wide = event(5, Kind::Stall, -4_000, Some(1_016), Status::Dismissed);
    wide.row.culprits[0].name = "写真解析サービス e\u{301}\u{1b}[31m".into();
    vec![
        event(9, Kind::Episode, 8, None, Status::Unreviewed),
        noted,
        event(7, Kind::Episode, -900, Some(61_000), Status::Reviewed),
        event(6, Kind::Outage, -3_600, Some(90_000), Status::Unreviewed),
        wide,
    ]
}

/// The list of events.
pub(crate) fn listed() -> State {
    let mut state = live();
    press(&mut state, '3');
    state
}

/// One event, opened.
pub(crate) fn opened() -> State {
    let mut state = listed();
    hit(&mut state, KeyCode::Down);
    assert_eq!(hit(&mut state, KeyCode::Enter), [Effect::Ask(Request::Open(8))]);
    let now_ns = state.now_ns;
    let list = events();
    let opened = Opened { event: list[1].clone(), related: vec![list[0].clone()], samples: samples(160) };
    update(&mut state, Input::Answer(Answer::Opened(Ok(Box::new(opened)))), now_ns);
    state
}

fn key(code: KeyCode) -> Input {
    Input::Terminal(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

pub(crate) fn press(state: &mut State, c: char) -> Vec<Effect> {
    let now_ns = state.now_ns;
    update(state, key(KeyCode::Char(c)), now_ns)
}

fn hit(state: &mut State, code: KeyCode) -> Vec<Effect> {
    let now_ns = state.now_ns;
    update(state, key(code), now_ns)
}

fn click(state: &mut State, column: u16, row: u16) -> Vec<Effect> {
    let mouse = MouseEvent {
        kind: MouseEventKind::Down(MouseButton::Left),
        column,
        row,
        modifiers: KeyModifiers::NONE,
    };
    let now_ns = state.now_ns;
    update(state, Input::Terminal(Event::Mouse(mouse)), now_ns)
}

#[test]
fn a_picture_that_is_held_stays_while_samples_come() {
    let mut state = live();
    press(&mut state, ' ');
    let held = state.sample().unwrap().seq;
    let next = Sample { seq: held + 1, interval_ns: Some(S / 10), ..*state.sample().unwrap() };
    let now_ns = state.now_ns + S / 10;
    update(&mut state, Input::Fed(Fed::Sample(Box::new(next))), now_ns);
    assert_eq!(state.sample().unwrap().seq, held);
    hit(&mut state, KeyCode::Left);
    let back = state.sample().unwrap().seq;
    assert!((held - 11..=held - 8).contains(&back), "a second back from {held}: {back}");
    assert_eq!(state.edge(), Some(held - 1), "under a picture that stands");
    press(&mut state, '.');
    assert_eq!(state.sample().unwrap().seq, back + 1);
    hit(&mut state, KeyCode::Home);
    assert_eq!(state.sample().unwrap().seq, 1);
    hit(&mut state, KeyCode::End);
    assert_eq!((state.sample().unwrap().seq, state.held, state.edge), (held + 1, None, None));
}

#[test]
fn what_is_held_is_let_go_only_with_the_oldest_samples() {
    let mut state = live();
    hit(&mut state, KeyCode::Home);
    let sample = *state.sample().unwrap();
    for seq in 0..super::super::state::history::LIVE as u64 {
        let next = Sample { seq: 100 + seq, interval_ns: Some(S / 10), ..sample };
        let now_ns = state.now_ns + S / 10;
        update(&mut state, Input::Fed(Fed::Sample(Box::new(next))), now_ns);
    }
    assert_eq!(state.cursor(), Some(state.history.first()));
    assert_eq!(state.sample().unwrap().seq, 100, "it moves on with the oldest that is kept");
}

#[test]
fn the_rate_is_measured_and_without_samples_the_picture_is_not_live() {
    let mut state = live();
    let rate = state.rate_hz().unwrap();
    assert!((8.5..9.6).contains(&rate), "{rate}");
    assert!(state.is_live());
    let silent_ns = state.now_ns + 1_200_000_000;
    assert_eq!(wake_at(&state), Some(state.now_ns + S), "a tick comes to tell of it");
    update(&mut state, Input::Tick, silent_ns);
    assert!(!state.is_live());
}

#[test]
fn a_pause_shows_a_banner_for_a_while_and_esc_takes_it_away() {
    let mut state = critical();
    assert_eq!(state.banner.as_ref().map(|banner| banner.gap.event), Some(Some(8)));
    let until_ns = state.banner.as_ref().unwrap().until_ns;
    let mut waited = state.clone();
    update(&mut waited, Input::Tick, until_ns);
    assert_eq!(waited.banner, None);
    hit(&mut state, KeyCode::Esc);
    assert_eq!(state.banner, None);
    assert_eq!(state.marks.len(), 1, "the mark on the time axis stays");
}

#[test]
fn after_a_reconnection_the_samples_and_gaps_known_already_are_not_taken_twice() {
    let mut state = live();
    let newest = *state.history.newest().unwrap();
    let ring: Vec<Sample> = state.history.window(79, 3 * S).map(|kept| *kept.sample()).collect();
    let next = Sample { seq: newest.seq + 1, time_ns: newest.time_ns + 100_000_000, ..newest };
    let mut again = ring.clone();
    again.push(next);
    let now_ns = state.now_ns;
    let gap = critical().marks[0].gap.clone();
    for _ in 0..2 {
        update(&mut state, Input::Fed(Fed::Lost), now_ns);
        let Fed::Hello(peer, ..) = hello() else { panic!() };
        update(&mut state, Input::Fed(Fed::Hello(peer, again.clone(), vec![gap.clone()])), now_ns);
        assert_eq!(state.marks.iter().map(|mark| &mark.gap).collect::<Vec<_>>(), [&gap], "nor are gaps");
        assert_eq!(state.banner, None, "nor is it told as news");
    }
    assert_eq!(state.history.len(), 81);
    assert!(!state.history.get(80).unwrap().broken, "it goes on where it was");
}

#[test]
fn a_daemon_that_was_started_anew_goes_on_after_a_break() {
    let mut state = live();
    let newest = *state.history.newest().unwrap();
    let first = Sample { seq: 1, time_ns: newest.time_ns + 30_000_000_000, interval_ns: None, ..newest };
    let now_ns = state.now_ns + 30 * S;
    update(&mut state, Input::Fed(Fed::Lost), now_ns);
    let Fed::Hello(peer, ..) = hello() else { panic!() };
    update(&mut state, Input::Fed(Fed::Hello(peer, vec![first], Vec::new())), now_ns);
    let kept = state.history.get(80).unwrap();
    assert!(kept.broken && kept.hole_ns().is_none(), "nothing is claimed of the time between");
}

#[test]
fn events_are_marked_noted_and_read_again() {
    let mut state = listed();
    hit(&mut state, KeyCode::Down);
    assert_eq!(press(&mut state, 'v'), [Effect::Ask(Request::Mark(8, Some(Status::Reviewed), None))]);
    press(&mut state, 'n');
    assert!(state.events.note.is_some());
    hit(&mut state, KeyCode::Home);
    for c in "q: ".chars() {
        assert_eq!(press(&mut state, c), [], "letters are no commands while a note is written");
    }
    let effects = hit(&mut state, KeyCode::Enter);
    let note = "q: while the backup ran".to_owned();
    assert_eq!(effects, [Effect::Ask(Request::Mark(8, None, Some(note)))]);
    let now_ns = state.now_ns;
    state.events.asked_ns = None;
    let effects = update(&mut state, Input::Answer(Answer::Marked(8, Ok(()))), now_ns);
    assert_eq!(effects, [Effect::Ask(Request::List(200, None))]);
    press(&mut state, 'n');
    hit(&mut state, KeyCode::Esc);
    assert!(state.events.note.is_none(), "left without saving");
}

#[test]
fn a_disk_that_hangs_is_asked_once() {
    let mut state = empty();
    let asked = update(&mut state, Input::Tick, 100 * S);
    assert_eq!(asked, [Effect::Ask(Request::List(200, None))]);
    for second in 101..200 {
        assert_eq!(update(&mut state, Input::Tick, second * S), []);
    }
}

#[test]
fn the_selection_stays_with_its_event_when_newer_ones_come() {
    let mut state = listed();
    hit(&mut state, KeyCode::Down);
    let mut list = events();
    list.insert(0, event(10, Kind::Pause, 20, Some(400), Status::Unreviewed));
    let now_ns = state.now_ns;
    update(&mut state, Input::Answer(Answer::List(Ok(list))), now_ns);
    assert_eq!((state.events.selected, state.events.index()), (Some(8), 2));
}

#[test]
fn going_to_an_event_shows_the_sample_that_ended_it_or_says_that_it_was_not_received() {
    let mut state = recorded();
    press(&mut state, '3');
    let pause = state.events.list.iter().find(|event| event.row.kind == Kind::Pause).unwrap().row.clone();
    state.events.selected = Some(pause.id);
    press(&mut state, 'g');
    assert_eq!(state.view, View::Overview);
    let kept = state.history.get(state.cursor().unwrap()).unwrap();
    assert_eq!(kept.sample().time_ns, pause.ended_ns.unwrap());
    assert!(kept.hole_ns().is_some());
    let mut state = listed();
    hit(&mut state, KeyCode::PageDown);
    press(&mut state, 'g');
    assert_eq!(state.view, View::Events);
    assert!(state.notice.as_ref().unwrap().0.contains("not received"));
}

#[test]
fn a_recording_plays_at_its_pace_stops_steps_and_ends() {
    let mut state = recorded();
    let at = |state: &State| state.history.get(state.cursor().unwrap()).unwrap().entry.at_ns as f64 / 1e9;
    assert!((17.5..=18.0).contains(&at(&state)), "{}", at(&state));
    press(&mut state, '>');
    let now_ns = state.now_ns;
    update(&mut state, Input::Tick, now_ns + 2 * S);
    assert!((21.4..=22.0).contains(&at(&state)), "twice as fast: {}", at(&state));
    press(&mut state, ' ');
    assert!(state.banner.is_some(), "a pause has been reached");
    let until_ns = wake_at(&state).unwrap();
    assert!(until_ns > state.now_ns, "no sooner than it goes");
    update(&mut state, Input::Tick, until_ns);
    assert_eq!(wake_at(&state), None, "nothing moves, so nothing wakes");
    let before = state.cursor().unwrap();
    press(&mut state, ',');
    assert_eq!(state.cursor(), Some(before - 1));
    hit(&mut state, KeyCode::End);
    assert_eq!(state.cursor(), state.history.last());
    press(&mut state, ' ');
    assert_eq!(state.cursor(), Some(0), "at the end it begins anew");
    let now_ns = state.now_ns;
    update(&mut state, Input::Tick, now_ns + 1_000 * S);
    assert!(!state.playback().unwrap().playing, "the end");
}

#[test]
fn an_answer_that_is_no_longer_wanted_opens_nothing() {
    let mut state = listed();
    hit(&mut state, KeyCode::Down);
    hit(&mut state, KeyCode::Enter);
    hit(&mut state, KeyCode::Down);
    let opened = Opened { event: events()[1].clone(), related: Vec::new(), samples: Vec::new() };
    let now_ns = state.now_ns;
    update(&mut state, Input::Answer(Answer::Opened(Ok(Box::new(opened)))), now_ns);
    assert!(state.events.detail.is_none());
    assert_eq!(state.events.selected, Some(7));
}

#[test]
fn of_a_recording_nothing_is_told_before_its_time() {
    let playback = Playback::new("freeze.plist".to_owned(), 100 * S);
    let mut state = State::new(Feed::Recording(playback), LOOK, TimeZone::UTC, (80, 24), 100 * S);
    for fed in freeze() {
        update(&mut state, Input::Fed(fed), 100 * S);
    }
    assert_eq!(state.cursor(), Some(0));
    assert_eq!(state.banner, None);
    assert_eq!(state.events_so_far().count(), 0);
    assert!(!state.events.list.is_empty() && !state.events.may_have_more());
    update(&mut state, Input::Tick, 118 * S);
    let so_far: Vec<_> = state
        .events_so_far()
        .map(|event| (event.row.kind, event.row.started_ns - T0, event.row.ended_ns.map(|ns| ns - T0)))
        .collect();
    assert_eq!(
        so_far.len(),
        1,
        "the pause; its episode goes on: {so_far:?} at {}",
        state.sample().unwrap().time_ns - T0
    );
}

#[test]
fn smallest_first_begins_with_what_is_known_and_the_selection_stays_with_its_process() {
    let mut state = live();
    press(&mut state, '2');
    hit(&mut state, KeyCode::Down);
    let selected = state.processes.selected.clone().unwrap();
    press(&mut state, 'r');
    let rows = crate::tui::view::rows(&state);
    let known: Vec<f64> = rows.iter().map_while(|row| row.now[0]).collect();
    assert!(known.len() == 5 && known.is_sorted(), "{known:?}");
    assert!(rows[known.len()..].iter().all(|row| row.now[0].is_none()));
    let row = &rows[crate::tui::view::selected_row(&state, &rows)];
    assert_eq!((row.pid, row.name.clone()), selected);
}

#[test]
fn a_pause_in_a_recording_shows_its_banner_when_it_is_reached() {
    let mut state = recorded();
    state.banner = None;
    hit(&mut state, KeyCode::Home);
    let mut banners = 0;
    for tenth in 1..400 {
        let had = state.banner.is_some();
        let now_ns = 200 * S + tenth * S / 10;
        update(&mut state, Input::Tick, now_ns);
        banners += u32::from(!had && state.banner.is_some());
    }
    assert_eq!(banners, 1);
}

#[test]
fn events_of_a_recording_are_opened_from_it_and_not_marked() {
    let mut state = recorded();
    press(&mut state, '3');
    assert_eq!(press(&mut state, 'p'), []);
    assert!(state.notice.is_some());
    hit(&mut state, KeyCode::Enter);
    let detail = state.events.detail.as_ref().unwrap();
    assert!(!detail.samples.is_empty() && !detail.related.is_empty());
}

#[test]
fn the_mouse_selects_opens_and_goes_to_a_time() {
    let mut state = live();
    state.size = (120, 40);
    let factors = 1 + 16;
    click(&mut state, 5, factors + 1 + Factor::Gpu as u16);
    assert_eq!(state.factor, Factor::Gpu);
    click(&mut state, 100, 4);
    assert!(state.held.is_some(), "a click in the graph holds it there");
    let header = (0..120).find(|column| {
        let mut state = state.clone();
        click(&mut state, *column, 0);
        state.view == View::Events
    });
    assert!(header.is_some());
    let mut state = listed();
    click(&mut state, 10, 4);
    assert_eq!(state.events.selected, Some(8));
    assert_eq!(click(&mut state, 10, 4), [Effect::Ask(Request::Open(8))], "twice opens");
}

#[test]
fn a_process_that_is_no_longer_listed_is_not_claimed_to_do_nothing() {
    let mut state = live();
    let mut sample = *state.history.newest().unwrap();
    sample.seq += 1;
    sample.top.cpu.clear();
    sample.top.cpu.offer(7, &Name::new("lone"), 12.5);
    let now_ns = state.now_ns + S / 10;
    update(&mut state, Input::Fed(Fed::Sample(Box::new(sample))), now_ns);
    let rows = crate::tui::view::rows(&state);
    assert_eq!((rows[0].name.as_str(), rows[0].now[0]), ("lone", Some(12.5)));
    assert!(rows.len() > 4 && rows[1..].iter().all(|row| row.now[0].is_none()));
}

#[test]
fn esc_and_q_lead_out() {
    let mut state = opened();
    hit(&mut state, KeyCode::Esc);
    assert!(state.events.detail.is_none());
    hit(&mut state, KeyCode::Esc);
    assert_eq!(state.view, View::Overview);
    press(&mut state, '?');
    assert!(state.help);
    press(&mut state, 'm');
    assert!(!state.help, "any key closes the help");
    assert_eq!(press(&mut state, 'q'), [Effect::Quit]);
    let now_ns = state.now_ns;
    assert_eq!(update(&mut state, Input::Stop, now_ns), [Effect::Quit]);
}
