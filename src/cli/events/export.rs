//! `events export ID`: an event as a file that `analyze`, `replay:` and `tui --replay` read.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use crate::cli::{Context, Exit, output};
use crate::event::EventId;
use crate::output::store::{EventJson, QueryError, Reader, StoredEvent};
use crate::wire::{self, Message, SampleLine};

/// The first line: the event itself. A replay passes over it.
#[derive(Serialize)]
struct EventLine<'a> {
    r#type: &'static str,
    #[serde(flatten)]
    event: EventJson<'a>,
}

pub(super) fn run(id: EventId, file: Option<&Path>, context: &Context) -> anyhow::Result<ExitCode> {
    let reader = Reader::open(&context.data_dir)?.ok_or(QueryError::NoSuchEvent(id))?;
    let event = reader.event(id)?;
    let samples = reader.samples(id)?;
    match file {
        None => output::print(|out| write(&event, samples, out))?,
        Some(file) => output::make_file(file, |out| write(&event, samples, out))?,
    }
    Ok(Exit::Done.into())
}

fn write(event: &StoredEvent, samples: Vec<SampleLine<'static>>, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &EventLine { r#type: "event", event: event.json() })?;
    writeln!(out)?;
    let mut line = Vec::new();
    for sample in samples {
        line.clear();
        wire::encode(&Message::Sample(Box::new(sample)), &mut line);
        out.write_all(&line)?;
    }
    Ok(())
}
