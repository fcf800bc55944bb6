//! `events export ID`: an event with its samples and its evidence as a file that `analyze`, `replay:` and
//! `tui --replay` read.
//!
//! JSON lines: the event, its samples, then the captures, each in as many lines as it takes: a replay reads lines of a
//! megabyte at most, and passes over these.

mod captures;
mod redaction;

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
use crate::redact::Redactor;
use crate::wire::{self, Message, SampleLine};

/// The first line: the event itself. A replay passes over it.
#[derive(Serialize)]
struct EventLine<'a> {
    r#type: &'static str,
    #[serde(flatten)]
    event: EventJson<'a>,
    /// Names were taken out.
    redacted: bool,
}

pub(super) fn run(
    id: EventId,
    file: Option<&Path>,
    redact: bool,
    context: &Context,
) -> anyhow::Result<ExitCode> {
    let reader = Reader::open(&context.data_dir)?.ok_or(QueryError::NoSuchEvent(id))?;
    let event = reader.event(id)?;
    let samples = reader.samples(id)?;
    let redactor = redact.then(|| redaction::of_this_machine(context));
    let export = Export { event, samples, redactor, context };
    match file {
        None => output::print(|out| export.write(out))?,
        Some(file) => {
            // Names of processes are in it: it is its owner's alone. A file that is there is somebody's.
            let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
            let made = made.with_context(|| format!("can't make {}", file.display()))?;
            let mut out = BufWriter::new(made);
            let written = export.write(&mut out).and_then(|()| out.flush());
            if let Err(error) = written {
                // What is there is not the whole event.
                let _ = std::fs::remove_file(file);
                return Err(error).with_context(|| format!("can't write {}", file.display()));
            }
        }
    }
    Ok(Exit::Done.into())
}

/// What goes into the file.
struct Export<'a> {
    event: StoredEvent,
    samples: Vec<SampleLine<'static>>,
    /// Takes names out; `None`: they stay.
    redactor: Option<Redactor>,
    context: &'a Context,
}

impl Export<'_> {
    fn write(self, out: &mut dyn Write) -> io::Result<()> {
        let redactor = self.redactor.as_ref();
        let redacted = redactor.map(|redactor| redaction::event(redactor, &self.event));
        let event = redacted.as_ref().unwrap_or(&self.event).json();
        let line = EventLine { r#type: "event", event, redacted: redactor.is_some() };
        serde_json::to_writer(&mut *out, &line)?;
        writeln!(out)?;
        let mut line = Vec::new();
        for mut sample in self.samples {
            if let Some(redactor) = redactor {
                redaction::sample(redactor, &mut sample);
            }
            line.clear();
            wire::encode(&Message::Sample(Box::new(sample)), &mut line);
            out.write_all(&line)?;
        }
        captures::write(&self.event, redactor, &self.context.data_dir, out)
    }
}
