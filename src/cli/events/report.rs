//! `events report ID`: the story of an event as one HTML page.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;

use jiff::tz::TimeZone;

use super::redaction;
use super::story::page::{self, Made};
use super::story::{Story, captures};
use crate::cli::{Context, Exit, Failure, output};
use crate::clock;
use crate::event::EventId;
use crate::human;
use crate::output::store::{QueryError, Reader};
use crate::source::host;

pub(super) fn run(
    id: EventId,
    file: Option<&Path>,
    redact: bool,
    context: &Context,
) -> anyhow::Result<ExitCode> {
    let reader = Reader::open(&context.data_dir)?.ok_or(QueryError::NoSuchEvent(id))?;
    let mut story = Story::read(&reader, id)?;
    if file.is_none() && io::stdout().is_terminal() {
        let told =
            format!("a page is not for a terminal: name a file, as in -o pause-monitor-event-{id}.html");
        return Err(Failure::new(Exit::Usage, told).into());
    }
    let mut contents = captures::read(&story.event, &context.data_dir);
    let mut host = host::host_name();
    if redact {
        let redactor = redaction::of_this_machine(context);
        story.redact(&redactor);
        contents.iter_mut().for_each(|content| content.redact(&redactor));
        host = redactor.text(&host).into_owned();
    }
    let made = Made { host, os: host::os(), at_ns: clock::unix_ns(), zone: TimeZone::system() };
    let page = page::page(&story, &contents, &made);
    let size = human::bytes(page.len() as u64);
    let told = |file: &Path| format!("Wrote {}, {size}: open it in a browser.", file.display());
    output::deliver(file, |out| out.write_all(page.as_bytes()), told)?;
    Ok(Exit::Done.into())
}
