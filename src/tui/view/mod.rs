//! The screen: a pure function of the state. Every panel is a small file of the same shape: where it is, what it shows.

mod connecting;
mod culprits;
mod detail;
mod events;
mod factor;
mod factors;
mod frame;
mod graph;
mod help;
mod layout;
mod machine;
mod processes;
mod raw;
mod stress;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::look::plain;
use super::state::{Measure, State, View};
use crate::sample::Factor;

pub use layout::{MIN_COLUMNS, MIN_ROWS};
pub use processes::{rows, selected_row};

/// Something that the mouse can point at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A screen's name.
    Tab(View),
    /// A place on the time axis, ns.
    Time(u64),
    /// A factor's row.
    Factor(Factor),
    /// A process's row.
    Process(usize),
    /// A column of the list of processes.
    Measure(Measure),
    /// An event's row.
    Event(u64),
}

/// Draws everything into `buf`, whose size is the terminal's.
pub fn draw(state: &State, buf: &mut Buffer) {
    screen(state, buf);
    if state.look.ascii() {
        // Whatever it was that got there: such a terminal shows nothing else.
        for cell in buf.content.iter_mut().filter(|cell| !cell.symbol().is_ascii()) {
            let symbol = plain(cell.symbol()).to_owned();
            cell.set_symbol(&symbol);
        }
    }
}

fn screen(state: &State, buf: &mut Buffer) {
    let area = buf.area;
    if area.width < MIN_COLUMNS || area.height < MIN_ROWS {
        return layout::too_small(buf, area);
    }
    let places = layout::places(area, frame::has_banner(state));
    frame::header(state, buf, places.header);
    if let Some(place) = places.banner {
        frame::banner(state, buf, place);
    }
    frame::footer(state, buf, places.footer);
    if state.help {
        help::draw(state, buf, places.body);
        return;
    }
    match state.view {
        View::Overview if state.history.is_empty() => connecting::draw(state, buf, places.body),
        View::Overview => overview(state, buf, &places),
        View::Processes => processes::draw(state, buf, places.body),
        View::Events => match &state.events.detail {
            Some(detail) => detail::draw(state, detail, buf, places.body),
            None => events::draw(state, buf, places.body),
        },
        View::Factor => factor::draw(state, buf, places.body),
    }
}

fn overview(state: &State, buf: &mut Buffer, places: &layout::Places) {
    stress::draw(state, buf, places.graph);
    factors::draw(state, buf, places.factors, places.machine.is_some());
    if let Some(place) = places.machine {
        machine::draw(state, buf, place);
    }
    if let Some(place) = places.processes {
        processes::panel(state, buf, place);
    }
    if let Some(place) = places.culprits {
        culprits::draw(state, buf, place);
    }
    if let Some(place) = places.events {
        events::panel(state, buf, place);
    }
    if dimmed(state) {
        // The last picture stays while there is no connection.
        buf.set_style(places.body, Style::new().add_modifier(ratatui::style::Modifier::DIM));
    }
}

/// What is seen is the past: the connection is lost.
fn dimmed(state: &State) -> bool {
    use super::state::{Feed, Link};
    matches!(state.feed, Feed::Live(Link::Lost(_)))
}

/// What is at that place of the screen.
#[must_use]
pub fn target(state: &State, column: u16, row: u16) -> Option<Target> {
    let area = Rect::new(0, 0, state.size.0, state.size.1);
    if area.width < MIN_COLUMNS || area.height < MIN_ROWS {
        return None;
    }
    let places = layout::places(area, frame::has_banner(state));
    let inside = |place: Rect| place.contains((column, row).into());
    if inside(places.header) {
        return frame::tab_at(state, places.header, column).map(Target::Tab);
    }
    match state.view {
        View::Overview if inside(places.graph) => {
            stress::time_at(state, places.graph, column).map(Target::Time)
        }
        View::Overview if inside(places.factors) => factors::at(places.factors, row).map(Target::Factor),
        View::Overview => {
            let place = places.events.filter(|place| inside(*place))?;
            events::panel_at(state, place, row).map(Target::Event)
        }
        View::Processes => processes::at(state, places.body, column, row),
        View::Events if state.events.detail.is_none() => {
            events::at(state, places.body, row).map(Target::Event)
        }
        View::Events | View::Factor => None,
    }
}

#[cfg(test)]
mod tests;
