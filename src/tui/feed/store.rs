//! The events on disk: read and marked by a thread of its own, so that a disk that hangs holds up nothing else.

use std::path::Path;
use std::sync::mpsc::Receiver;

use crate::event::EventId;
use crate::output::store::{self, Filter, Kind, QueryError, Reader, Status, StoredEvent};
use crate::sample::Sample;
use crate::wire::SampleLine;

/// What is asked of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The newest events, of one kind or all.
    List(u32, Option<Kind>),
    /// One event with all that belongs to it.
    Open(EventId),
    /// A status, a note, or both.
    Mark(EventId, Option<Status>, Option<String>),
}

/// One event with all that belongs to it.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The event.
    pub event: StoredEvent,
    /// What happened within a minute of it.
    pub related: Vec<StoredEvent>,
    /// Its samples.
    pub samples: Vec<Sample>,
}

/// What the store says; where it can't, why.
#[derive(Clone, Debug)]
pub enum Answer {
    /// To [`Request::List`].
    List(Result<Vec<StoredEvent>, String>),
    /// To [`Request::Open`].
    Opened(Result<Box<Opened>, String>),
    /// To [`Request::Mark`].
    Marked(EventId, Result<(), String>),
}

/// Answers until nobody asks any more. `answer` is false where nobody listens.
pub fn run(directory: &Path, requests: &Receiver<Request>, answer: &dyn Fn(Answer) -> bool) {
    while let Ok(request) = requests.recv() {
        let told = match request {
            Request::List(limit, kind) => Answer::List(list(directory, limit, kind).map_err(text)),
            Request::Open(id) => Answer::Opened(open(directory, id).map(Box::new).map_err(text)),
            Request::Mark(id, status, note) => {
                let result = store::mark(directory, &[id], status, note.as_deref());
                Answer::Marked(id, result.map_err(text))
            }
        };
        if !answer(told) {
            return;
        }
    }
}

fn text(error: QueryError) -> String {
    error.to_string()
}

fn list(directory: &Path, limit: u32, kind: Option<Kind>) -> Result<Vec<StoredEvent>, QueryError> {
    let filter = Filter { kinds: kind.into_iter().collect(), limit: Some(limit), ..Filter::default() };
    match Reader::open(directory)? {
        Some(reader) => reader.events(&filter),
        None => Ok(Vec::new()),
    }
}

fn open(directory: &Path, id: EventId) -> Result<Opened, QueryError> {
    let reader = Reader::open(directory)?.ok_or(QueryError::NoSuchEvent(id))?;
    let event = reader.event(id)?;
    let related = reader.related(&event)?;
    let samples = reader.samples(id)?.iter().filter_map(SampleLine::to_sample).collect();
    Ok(Opened { event, related, samples })
}
