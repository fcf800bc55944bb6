//! What every screen has: the title, the screens' names, the keys, a banner; and a panel's heading.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use crate::human;
use crate::sample::Tier;
use crate::tui::look::Look;
use crate::tui::state::playback::Loading;
use crate::tui::state::{Feed, Gap, Link, State, View, WAITING_NS};

/// A time that goes on, without digits that only flicker.
pub(super) fn tenths(ns: u64) -> String {
    match ns {
        0..60_000_000_000 => format!("{:.1} s", seconds(ns / 100_000_000 * 100_000_000)),
        _ => whole(ns),
    }
}

/// A time in whole seconds.
pub(super) fn whole(ns: u64) -> String {
    match ns / 1_000_000_000 {
        whole @ 0..60 => format!("{whole} s"),
        whole => human::duration(whole as f64),
    }
}

/// Nanoseconds as seconds.
pub(super) fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// Text broken at blanks into lines of at most `width` columns; a longer word has a line of its own.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split(' ') {
        if !line.is_empty() && line.width() + 1 + word.width() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

/// Draws a panel's heading, what is on its right included, and returns the room below it.
pub(super) fn panel(look: Look, buf: &mut Buffer, area: Rect, title: &Line<'_>, right: &str) -> Rect {
    let rule = look.pick("─", "-");
    let width = usize::from(area.width);
    buf.set_stringn(area.x, area.y, rule.repeat(width), width, look.rule());
    let room = width.saturating_sub(4);
    let (x, _) = buf.set_line(area.x + 1, area.y, &Line::from(" "), 1);
    let (x, _) = buf.set_line(x, area.y, title, room as u16);
    buf.set_stringn(x, area.y, " ", 1, Style::new());
    let right = look.text(right);
    let used = usize::from(x - area.x) + 1;
    if !right.is_empty() && used + right.width() + 3 <= width {
        let at = area.right() - right.width() as u16 - 3;
        buf.set_stringn(at, area.y, format!(" {right} "), right.width() + 2, look.dim());
    }
    Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area }
}

/// A panel's plain heading.
pub(super) fn title(look: Look, text: &str) -> Line<'static> {
    Line::styled(look.text(text), look.title())
}

/// A part of `width` columns filled up to `part` (0–1) of it.
pub(super) fn bar(look: Look, part: f64, width: usize, style: Style) -> Vec<Span<'static>> {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let part = part.clamp(0.0, 1.0);
    let eighths = (part * width as f64 * 8.0).round() as usize;
    let (mut full, mut rest) = (eighths / 8, eighths % 8);
    if look.ascii() {
        full = (eighths + 4) / 8;
        rest = 0;
    }
    // What is not zero shows.
    if part > 0.0 && full == 0 && rest == 0 {
        rest = 1;
    }
    let end = if look.ascii() { if rest > 0 { "|" } else { "" } } else { EIGHTHS[rest] };
    let filled = look.pick("█", "#").repeat(full) + end;
    let empty = width.saturating_sub(filled.width());
    vec![Span::styled(filled, style), Span::styled(look.pick("·", ".").repeat(empty), look.rule())]
}

/// The state in a word, as the title says it, and what there is to say of it.
pub(super) fn standing(state: &State) -> (&'static str, String) {
    match &state.feed {
        Feed::Recording(playback)
            if matches!(playback.loading, Loading::Failed(_)) && state.history.is_empty() =>
        {
            ("(replay)", "not readable".to_owned())
        }
        Feed::Recording(playback) => {
            let at = |number: u64| {
                let first = state.history.get(state.history.first()).map_or(0, |kept| kept.entry.at_ns);
                let ns = state.history.get(number).map_or(0, |kept| kept.entry.at_ns - first);
                let tenths = ns / 100_000_000;
                format!("{}:{:02}.{}", tenths / 600, tenths / 10 % 60, tenths % 10)
            };
            let all = state.history.last().map_or_else(|| at(0), at);
            let more = if playback.loading == Loading::Reading { "+" } else { "" };
            let pace = if playback.playing { format!("{}x", playback.times()) } else { "paused".to_owned() };
            let full = if playback.loading == Loading::Full { ", only its first two hours" } else { "" };
            ("(replay)", format!("{} / {all}{more} {pace}{full}", at(playback.position)))
        }
        Feed::Live(Link::Connecting(_)) => ("(connecting)", String::new()),
        Feed::Live(Link::Lost(_)) => {
            let ago =
                state.silence_ns().map_or_else(String::new, |ns| format!("last sample {} ago", whole(ns)));
            ("(reconnecting)", ago)
        }
        Feed::Live(Link::Up) => match state.silence_ns() {
            Some(ns) if ns >= WAITING_NS => ("(waiting)", format!("no sample for {}", tenths(ns))),
            None => ("(waiting)", "for the first sample".to_owned()),
            Some(_) => ("(live)", state.rate_hz().map_or_else(String::new, |rate| format!("{rate:.1} Hz"))),
        },
    }
}

/// How far behind the newest sample the one that is held is.
fn held(state: &State) -> Option<String> {
    let held = state.history.get(state.held?)?.entry.at_ns;
    let newest = state.history.get(state.history.last()?)?.entry.at_ns;
    Some(format!("(held) -{}", tenths(newest.saturating_sub(held))))
}

fn tabs(state: &State, width: u16) -> Vec<(View, String)> {
    let full = |view: View| format!(" {} {} ", view as usize + 1, view.title());
    View::ALL
        .into_iter()
        .map(|view| {
            let short = width < 110 && view != state.view;
            (view, if short { format!(" {} ", view as usize + 1) } else { full(view) })
        })
        .collect()
}

/// Where the screens' names begin.
fn tabs_x(tabs: &[(View, String)], area: Rect) -> u16 {
    let width: usize = tabs.iter().map(|(_, text)| text.width()).sum();
    area.right().saturating_sub(width as u16 + 3)
}

pub(super) fn header(state: &State, buf: &mut Buffer, area: Rect) {
    let look = state.look;
    let tabs = tabs(state, area.width);
    let tabs_x = tabs_x(&tabs, area);
    let (word, detail) = standing(state);
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let style = match (word, state.sample().map(|sample| sample.tier)) {
        ("(live)", Some(tier)) => look.tier(tier),
        ("(replay)", _) => look.key(),
        _ => look.tier(Tier::Elevated),
    };
    // Where room is short, the state matters more than the program's name.
    let name = if area.width < 80 { " " } else { " pause-monitor " };
    let mut line = vec![Span::styled(name, bold), Span::styled(word, style.add_modifier(Modifier::BOLD))];
    if state.sample().is_some_and(|sample| sample.degraded) {
        line.push(Span::styled(" (degraded)", look.tier(Tier::Elevated)));
    }
    line.extend(held(state).map(|held| Span::styled(format!(" {held}"), look.key())));
    if !detail.is_empty() {
        line.push(Span::raw(format!(" {detail}")));
    }
    if state.lagged > 0 {
        line.push(Span::styled(format!(" lagged {}", state.lagged), look.tier(Tier::Elevated)));
    }
    let room = tabs_x.saturating_sub(area.x + 1);
    let used: usize = line.iter().map(Span::width).sum();
    let machine = look.cut(&machine(state), usize::from(room).saturating_sub(used + 2));
    line.push(Span::styled(format!("  {machine}"), look.dim()));
    buf.set_line(area.x, area.y, &Line::from(line), room);
    let mut x = tabs_x;
    for (view, text) in tabs {
        let style = if view == state.view && !state.help { look.selected() } else { look.key() };
        (x, _) = buf.set_stringn(x, area.y, text, usize::from(area.right() - x), style);
    }
    let style = if state.help { look.selected() } else { look.key() };
    buf.set_stringn(x, area.y, " ? ", usize::from(area.right() - x), style);
}

/// Whose figures these are: `name · source · model`.
fn machine(state: &State) -> String {
    let mut parts = Vec::new();
    match (&state.feed, &state.peer) {
        (Feed::Recording(playback), _) => parts.push(playback.name.clone()),
        (Feed::Live(_), Some(peer)) => parts.extend([peer.host.clone(), peer.source.clone()]),
        (Feed::Live(_), None) => {}
    }
    parts.extend(state.source.hw_model.clone());
    parts.extend(state.source.os_build.clone());
    if matches!(state.source.state.as_str(), "down" | "restarting") {
        parts.push(format!("source {}", state.source.state));
    }
    parts.join(" · ")
}

/// The screen whose name is in that column.
pub(super) fn tab_at(state: &State, area: Rect, column: u16) -> Option<View> {
    let tabs = tabs(state, area.width);
    let mut x = tabs_x(&tabs, area);
    for (view, text) in tabs {
        let end = x + text.width() as u16;
        if (x..end).contains(&column) {
            return Some(view);
        }
        x = end;
    }
    None
}

pub(super) fn footer(state: &State, buf: &mut Buffer, area: Rect) {
    let look = state.look;
    let width = usize::from(area.width);
    if let Some((id, input)) = &state.events.note {
        let before = format!(" Note on event {id}: ");
        let room = width.saturating_sub(before.width() + 24);
        let scroll = input.visual_scroll(room);
        let shown: String = input.value().chars().skip(scroll).collect();
        let line = Line::from(vec![
            Span::styled(before.clone(), look.key()),
            Span::raw(look.fit(&shown, room)),
            Span::styled("  Enter saves, Esc leaves", look.dim()),
        ]);
        buf.set_line(area.x, area.y, &line, area.width);
        let x = area.x + (before.width() + input.visual_cursor().saturating_sub(scroll)) as u16;
        if x < area.right() {
            buf[(x, area.y)].modifier.insert(Modifier::REVERSED);
        }
        return;
    }
    if let Some((notice, _)) = &state.notice {
        buf.set_stringn(
            area.x,
            area.y,
            format!(" {}", look.cut(notice, width - 1)),
            width,
            look.tier(Tier::Elevated),
        );
        return;
    }
    // Help and the way out are always there; of the rest what fits.
    let last = [("?", "help"), ("q", "quit")];
    let columns =
        |keys: &[(&str, &str)]| keys.iter().map(|(key, what)| key.width() + what.width() + 3).sum::<usize>();
    let mut room = width.saturating_sub(1 + columns(&last));
    let mut line = vec![Span::raw(" ")];
    let fits = keys(state).into_iter().take_while(|key| {
        let fits = columns(&[*key]) <= room;
        room = room.saturating_sub(columns(&[*key]));
        fits
    });
    for (key, what) in fits.chain(last) {
        line.push(Span::styled(key, look.key()));
        line.push(Span::styled(format!(" {what}  "), look.dim()));
    }
    buf.set_line(area.x, area.y, &Line::from(line), area.width);
}

/// The keys that are of most use now, and what they do.
fn keys(state: &State) -> Vec<(&'static str, &'static str)> {
    if state.help {
        return vec![("any key", "closes"), ("Up Down", "scroll")];
    }
    let playing = state.playback().map(|playback| playback.playing);
    let hold = match (playing, state.held) {
        (Some(true), _) => ("Space", "pause"),
        (Some(false), _) => ("Space", "play"),
        (None, Some(_)) => ("Space", "live again"),
        (None, None) => ("Space", "hold"),
    };
    let time = ("Left Right", if playing.is_some() { "seek" } else { "time" });
    let mut keys = match state.view {
        View::Events if state.events.detail.is_some() && playing.is_some() => {
            vec![("Esc", "list"), ("g", "go to it"), ("Up Down", "scroll")]
        }
        View::Events if state.events.detail.is_some() => {
            vec![
                ("Esc", "list"),
                ("v p x u", "mark"),
                ("n", "note"),
                ("g", "go to it"),
                ("Up Down", "scroll"),
            ]
        }
        View::Events if playing.is_some() => vec![("Enter", "open"), ("g", "go to it"), ("Esc", "back")],
        View::Events => {
            vec![("Enter", "open"), ("f", "filter"), ("v p x u", "mark"), ("n", "note"), ("g", "go to it")]
        }
        _ if state.history.is_empty() => vec![("1 2 3 4", "screens")],
        View::Processes => vec![("m", "measure"), ("r", "reverse"), hold, time],
        View::Factor => vec![("Up Down", "factor"), hold, time, ("- +", "zoom")],
        View::Overview => vec![hold, time, ("- +", "zoom"), ("Enter", "factor"), ("m", "measure")],
    };
    if playing.is_some() && matches!(state.view, View::Overview | View::Factor) && !state.history.is_empty() {
        keys.extend([(", .", "step"), ("< >", "speed")]);
    }
    keys
}

/// Nothing comes, or something happened just now.
pub(super) fn has_banner(state: &State) -> bool {
    silent_ns(state).is_some() || state.banner.is_some()
}

/// How long nothing has come over a connection that stands, ns, where that is long.
fn silent_ns(state: &State) -> Option<u64> {
    state.silence_ns().filter(|ns| *ns >= WAITING_NS && matches!(state.feed, Feed::Live(Link::Up)))
}

/// What happened just now; while nothing comes, that.
pub(super) fn banner(state: &State, buf: &mut Buffer, area: Rect) {
    let look = state.look;
    let (text, tier) = match (silent_ns(state), &state.banner) {
        (Some(ns), _) => {
            let why = match state.source.state.as_str() {
                "down" => "the source is down",
                "restarting" => "the source is started again",
                _ => "the sampler or the machine stands still; the verdict comes with the next one",
            };
            (format!("No sample for {}: {why}", tenths(ns)), Tier::Elevated)
        }
        (None, Some(banner)) => (happened(state, &banner.gap), Tier::Critical),
        (None, None) => return,
    };
    let width = usize::from(area.width);
    buf.set_stringn(area.x, area.y, look.fit(&format!(" {text}"), width), width, look.banner(tier));
}

/// A gap in a line.
fn happened(state: &State, gap: &Gap) -> String {
    let doubt = if gap.certain { "" } else { ", not certain" };
    let blamed = gap.culprits.first().map_or_else(
        || ", no process stands out".to_owned(),
        |first| format!(", built up by {} {:.0} %", first.name, first.share * 100.0),
    );
    let event = gap.event.map_or_else(String::new, |id| format!("; event {id}"));
    let time = human::local(gap.ended_ns, "%H:%M:%S", &state.zone);
    let length = human::duration(gap.duration_ms / 1e3);
    format!("{} of {length} at {time}{doubt}{blamed}{event}", gap.verdict.as_str().to_uppercase())
}
