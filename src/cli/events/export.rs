//! `events export ID`: an event with its samples and its evidence as a file that `analyze`, `replay:` and
//! `tui --replay` read.
//!
//! JSON lines: the event, what was made of the gaps about it, its samples, then the captures, each in as many lines as it takes: a replay reads lines of a
//! megabyte at most, and passes over these.

mod captures;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use super::redaction;
use crate::cli::{Context, Exit, output};
use crate::event::EventId;
use crate::output::store::{EventJson, QueryError, Reader, StoredEvent};
use crate::redact::Redactor;
use crate::wire::{self, GapLine, Message};

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
    let redactor = redact.then(|| redaction::of_this_machine(context));
    let how = if event.samples > 0 {
        "`analyze`, `tui --replay` and `daemon --source replay:` read it."
    } else {
        "the event alone; no samples are on record with it."
    };
    let export = Export { event, reader, redactor, context };
    output::deliver(file, |out| export.write(out), |file| format!("Wrote {}: {how}", file.display()))?;
    Ok(Exit::Done.into())
}

/// What goes into the file.
struct Export<'a> {
    event: StoredEvent,
    /// Its samples are read as they are written: an hour of them would take 100 MB.
    reader: Reader,
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
        wire::write_json(&mut *out, &line)?;
        writeln!(out)?;
        // What was made of the gaps that its samples reach back to: a replay goes by that.
        let mut related = self.reader.related(&self.event).map_err(io::Error::other)?;
        let end_ns = self.event.row.ended_ns.unwrap_or(self.event.row.last_seen_ns);
        related.retain(|other| other.row.ended_ns.is_some_and(|ended_ns| ended_ns <= end_ns));
        for gap in related.iter().chain([&self.event]) {
            let redacted = redactor.map(|redactor| redaction::event(redactor, gap));
            if let Some(told) = told(redacted.as_ref().unwrap_or(gap)) {
                wire::write_json(&mut *out, &Message::Gap(told))?;
                writeln!(out)?;
            }
        }
        let mut line = Vec::new();
        let mut written = Ok(());
        let read = self.reader.each_sample(self.event.row.id, (i64::MIN, i64::MAX), |mut sample| {
            if written.is_err() {
                return;
            }
            if let Some(redactor) = redactor {
                redaction::sample(redactor, &mut sample);
            }
            line.clear();
            wire::encode(&Message::Sample(Box::new(sample)), &mut line);
            written = out.write_all(&line);
        });
        written?;
        read.map_err(io::Error::other)?;
        captures::write(&self.event, redactor, &self.context.data_dir, out)
    }
}

/// A gap on record as the line that told of it; `None` of what is none.
fn told(event: &StoredEvent) -> Option<GapLine<'_>> {
    let row = &event.row;
    Some(GapLine {
        time: wire::rfc3339(row.ended_ns?).into(),
        verdict: row.verdict?.as_str().into(),
        certain: row.certain?,
        duration_ms: wire::ms(row.duration_ns?),
        event: Some(row.id),
        culprits: row.culprits.clone(),
    })
}
