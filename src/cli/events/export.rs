//! `events export ID`: an event as a file that `analyze`, `replay:` and `tui --replay` read.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
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
        Some(file) => {
            // Names of processes are in it: it is its owner's alone. A file that is there is somebody's.
            let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
            let made = made.with_context(|| format!("can't make {}", file.display()))?;
            let mut out = BufWriter::new(made);
            write(&event, samples, &mut out)
                .and_then(|()| out.flush())
                .with_context(|| format!("can't write {}", file.display()))?;
        }
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
