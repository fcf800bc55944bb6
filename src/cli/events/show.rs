//! `events show ID`: the whole story of an event.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use jiff::tz::TimeZone;
use serde::Serialize;

use super::story::Story;
use super::story::text::{self, Telling, ansi};
use crate::cli::{Context, Exit, output};
use crate::event::EventId;
use crate::human;
use crate::output::store::{EventJson, QueryError, Reader, StoredEvent};
use crate::tui::look::{Colours, Look};
use crate::wire::{self, SampleLine};

/// Columns where there is no terminal.
const WIDTH: u16 = 80;
/// Narrower than this nothing fits, wider than that nothing is easier to read.
const WIDTHS: std::ops::RangeInclusive<u16> = 40..=120;

/// `events show --json`.
#[derive(Serialize)]
struct ShowJson<'a> {
    #[serde(flatten)]
    event: EventJson<'a>,
    related: Vec<EventJson<'a>>,
    recording: &'a [SampleLine<'static>],
}

pub(super) fn run(id: EventId, json: bool, context: &Context) -> anyhow::Result<ExitCode> {
    let reader = Reader::open(&context.data_dir)?.ok_or(QueryError::NoSuchEvent(id))?;
    if json {
        write_json(&reader, id)?;
    } else {
        let story = Story::read(&reader, id)?;
        let telling = Telling { look: look(), width: usize::from(width()), zone: TimeZone::system() };
        let lines = text::lines(&story, &telling);
        output::print(|out| ansi::write(&lines, telling.look.colours != Colours::None, out))?;
    }
    Ok(Exit::Done.into())
}

fn write_json(reader: &Reader, id: EventId) -> anyhow::Result<()> {
    let event = reader.event(id)?;
    let related = reader.related(&event)?;
    let samples = reader.samples(id)?;
    output::print(|out| {
        let related = related.iter().map(StoredEvent::json).collect();
        let all = ShowJson { event: event.json(), related, recording: &samples };
        wire::write_json(&mut *out, &all)?;
        writeln!(out)
    })
}

/// What standard output can show: colours only where it is a terminal.
fn look() -> Look {
    let mut look = Look::of_terminal(human::utf8(), |name| std::env::var_os(name));
    if !io::stdout().is_terminal() {
        look.colours = Colours::None;
    }
    look
}

fn width() -> u16 {
    let size = if io::stdout().is_terminal() { crossterm::terminal::size().ok() } else { None };
    size.map_or(WIDTH, |(columns, _)| columns).clamp(*WIDTHS.start(), *WIDTHS.end())
}
