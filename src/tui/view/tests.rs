//! Every screen at three sizes, as text; colours where they carry a meaning.

use insta::assert_snapshot;
use proptest::prelude::*;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};

use super::*;
use crate::sample::{Name, Sample, Stress, Tier};
use crate::tui::feed::Fed;
use crate::tui::look::{Colours, Look, Symbols};
use crate::tui::update::tests::{
    LOOK, critical, degraded, empty, listed, live, lost, opened, press, recorded,
};
use crate::tui::update::{Input, update};

const SIZES: [(u16, u16); 3] = [(60, 16), (80, 24), (160, 50)];

fn drawn(state: &mut State, size: (u16, u16)) -> Buffer {
    state.size = size;
    let mut buffer = Buffer::empty(Rect::new(0, 0, size.0, size.1));
    draw(state, &mut buffer);
    buffer
}

fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in 0..buffer.area.height {
        let mut line = String::new();
        let mut skip = 0;
        for x in 0..buffer.area.width {
            // Behind a wide character there is a cell that is not drawn.
            if skip == 0 {
                let symbol = buffer[(x, y)].symbol();
                line.push_str(symbol);
                skip = unicode_width::UnicodeWidthStr::width(symbol).saturating_sub(1);
            } else {
                skip -= 1;
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn snapshots(name: &str, mut state: State) {
    for size in SIZES {
        let buffer = drawn(&mut state, size);
        assert_snapshot!(format!("{name}_{}x{}", size.0, size.1), text(&buffer));
    }
}

#[test]
fn every_view_at_every_size() {
    snapshots("overview", live());
    snapshots("processes", {
        let mut state = critical();
        press(&mut state, '2');
        press(&mut state, 'm');
        state
    });
    snapshots("events", listed());
    snapshots("event", opened());
    snapshots("factor", {
        let mut state = critical();
        press(&mut state, '4');
        state.factor = Factor::Pageins;
        state
    });
    snapshots("help", {
        let mut state = live();
        press(&mut state, '?');
        state
    });
}

#[test]
fn every_state_at_every_size() {
    snapshots("connecting", empty());
    snapshots("no_daemon", {
        let mut state = empty();
        let why =
            "no daemon runs on /home/a/.local/share/pause-monitor: start one with `pause-monitor daemon`";
        let now_ns = state.now_ns;
        update(&mut state, Input::Fed(Fed::Refused(why.to_owned())), now_ns);
        state
    });
    snapshots("critical", critical());
    snapshots("degraded", degraded());
    snapshots("lost", lost());
    snapshots("recorded", recorded());
    snapshots("silent", {
        let mut state = live();
        let now_ns = state.now_ns + 3_200_000_000;
        update(&mut state, Input::Tick, now_ns);
        state
    });
    snapshots("held", {
        let mut state = critical();
        state.banner = None;
        press(&mut state, ' ');
        for _ in 0..30 {
            press(&mut state, ',');
        }
        state
    });
    snapshots("note", {
        let mut state = listed();
        press(&mut state, 'n');
        for c in "build".chars() {
            press(&mut state, c);
        }
        state
    });
}

#[test]
fn an_ascii_terminal_gets_ascii_and_one_without_colours_none() {
    let mut state = critical();
    state.look = Look { colours: Colours::None, symbols: Symbols::Ascii };
    snapshots("ascii", state.clone());
    for mut state in [state, listed(), opened(), lost(), recorded(), degraded()] {
        state.look = Look { colours: Colours::None, symbols: Symbols::Ascii };
        for view in View::ALL {
            state.view = view;
            let buffer = drawn(&mut state, (120, 40));
            for cell in &buffer.content {
                assert!(cell.symbol().is_ascii(), "{:?}", cell.symbol());
                assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset));
            }
        }
    }
}

#[test]
fn blocks_serve_where_there_is_no_braille() {
    let mut state = critical();
    state.look.symbols = Symbols::Block;
    assert_snapshot!("blocks_80x24", text(&drawn(&mut state, (80, 24))));
}

/// The colours of the graph's columns, from the left, each once.
fn colours(buffer: &Buffer, rows: std::ops::Range<u16>) -> Vec<Color> {
    let mut seen = Vec::new();
    for x in 5..buffer.area.width {
        for y in rows.clone() {
            let cell = &buffer[(x, y)];
            let braille = cell.symbol().chars().all(|c| ('\u{2801}'..='\u{28ff}').contains(&c));
            if braille && seen.last() != Some(&cell.fg) {
                seen.push(cell.fg);
            }
        }
    }
    seen
}

#[test]
fn the_graph_has_the_colours_of_the_tiers() {
    let mut state = critical();
    state.banner = None;
    let buffer = drawn(&mut state, (120, 40));
    let tiers = [Tier::Elevated, Tier::Critical].map(|tier| LOOK.tier(tier).fg.unwrap());
    assert_eq!(colours(&buffer, 2..15)[colours(&buffer, 2..15).len() - 2..], tiers);
    state.look.colours = Colours::Sixteen;
    let buffer = drawn(&mut state, (120, 40));
    assert!(buffer.content.iter().all(|cell| !matches!(cell.fg, Color::Indexed(_) | Color::Rgb(..))));
}

#[test]
fn while_the_connection_is_lost_the_last_picture_is_dimmed() {
    let dim = |mut state: State| {
        let buffer = drawn(&mut state, (80, 24));
        buffer[(2, 10)].modifier.contains(Modifier::DIM)
    };
    assert!(dim(lost()));
    assert!(!dim(live()));
}

#[test]
fn below_the_smallest_size_it_says_what_it_needs() {
    let mut state = live();
    for size in [(59, 16), (60, 15), (10, 3), (1, 1), (3, 1)] {
        let shown = text(&drawn(&mut state, size));
        assert!(shown.starts_with(&"pause-monitor"[..usize::from(size.0.min(13))]), "{size:?}: {shown}");
    }
    assert_eq!(text(&drawn(&mut state, (30, 10))).lines().nth(1), Some("needs 60 x 16,"));
}

#[test]
fn names_cannot_break_the_screen() {
    let mut state = live();
    let mut sample = *state.history.newest().unwrap();
    for (pid, name) in [
        "\u{1b}[2J\u{7}boom\r\nx",
        "漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字",
        "e\u{301}\u{301}\u{301}",
        "\u{202e}evil",
        "👨‍👩‍👧 family",
    ]
    .into_iter()
    .enumerate()
    {
        sample.top.cpu.offer(pid as i32, &Name::new(name), 5_000.0 - pid as f64);
    }
    sample.seq += 1;
    let now_ns = state.now_ns;
    update(&mut state, Input::Fed(Fed::Sample(Box::new(sample))), now_ns);
    for view in [View::Overview, View::Processes] {
        state.view = view;
        for size in SIZES {
            let buffer = drawn(&mut state, size);
            for cell in &buffer.content {
                assert!(!cell.symbol().chars().any(char::is_control), "{:?}", cell.symbol());
                assert!(!cell.symbol().contains('\u{202e}'));
            }
        }
    }
    state.view = View::Processes;
    assert_snapshot!("names_80x24", text(&drawn(&mut state, (80, 24))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_whatever_the_figures_and_the_size(
        width in 1u16..200,
        height in 1u16..70,
        steps in prop::collection::vec((0u64..100_000_000_000, 0u64..3_000_000_000, any::<u32>()), 0..60),
        keys in prop::collection::vec(prop::sample::select(vec!['1', '2', '3', '4', ' ', ',', '.', '-', '+', 'm', 'r', 'g', 'n', '?']), 0..12),
    ) {
        let mut state = empty();
        state.size = (width, height);
        let mut now_ns = state.now_ns;
        for (seq, (step, expected, bits)) in steps.into_iter().enumerate() {
            now_ns += step / 100;
            let part = |shift: u32, max: u8| ((bits >> shift) as u8) % (max + 1);
            let sample = Sample {
                seq: seq as u64,
                time_ns: i64::from(bits) * 1_000,
                interval_ns: (bits % 5 > 0).then_some(step),
                elapsed_ns: step,
                expected_ns: expected,
                latency_ratio: f64::from(bits) / 1e6,
                heartbeat_ns: (bits % 3 > 0).then_some(step / 2),
                degraded: bits % 7 == 0,
                tier: Tier::ALL[bits as usize % 3],
                stress: Stress::new([part(0, 30), part(3, 30), part(5, 10), part(7, 20), part(9, 10), part(11, 20), part(13, 10), part(15, 30)]),
                ..Sample::default()
            };
            update(&mut state, Input::Fed(Fed::Sample(Box::new(sample))), now_ns);
        }
        for key in keys {
            press(&mut state, key);
            let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
            draw(&state, &mut buffer);
            for column in [0, width / 2, width - 1] {
                for row in [0, height / 2, height - 1] {
                    let _ = target(&state, column, row);
                }
            }
        }
    }
}
