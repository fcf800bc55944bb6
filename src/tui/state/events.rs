//! The events, as far as they were read.

use tui_input::Input;

use crate::event::EventId;
use crate::output::store::{Kind, StoredEvent};

use super::history::History;

/// Events read at first; more when the end of the list is reached.
pub const PAGE: u32 = 200;

/// What is known of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Read {
    /// It was not read yet.
    #[default]
    NotYet,
    /// It was.
    Done,
    /// It can't be; why.
    Failed(String),
}

/// One event, opened.
#[derive(Clone, Debug)]
pub struct Detail {
    /// The event.
    pub event: StoredEvent,
    /// What happened within a minute of it.
    pub related: Vec<StoredEvent>,
    /// Its samples.
    pub samples: History,
    /// Lines that were scrolled past.
    pub offset: u16,
}

/// The events.
#[derive(Clone, Debug, Default)]
pub struct Events {
    /// Newest first.
    pub list: Vec<StoredEvent>,
    /// What is known of the list.
    pub read: Read,
    /// Only of this kind.
    pub filter: Option<Kind>,
    /// How many are asked for.
    pub limit: u32,
    /// The event selected; the newest where there is none.
    pub selected: Option<EventId>,
    /// The event opened.
    pub detail: Option<Box<Detail>>,
    /// The event that the store was asked to open, as long as that is wanted.
    pub opening: Option<EventId>,
    /// The note being written, for this event.
    pub note: Option<(EventId, Input)>,
    /// When the list is to be read again, ns on our clock.
    pub due_ns: Option<u64>,
    /// Since when an answer of the store is waited for, ns on our clock.
    pub asked_ns: Option<u64>,
}

impl Events {
    /// The place of the selected event in the list.
    #[must_use]
    pub fn index(&self) -> usize {
        self.selected.and_then(|id| self.list.iter().position(|event| event.row.id == id)).unwrap_or(0)
    }

    /// The event that keys act on: the one opened, else the one selected.
    #[must_use]
    pub fn current(&self) -> Option<&StoredEvent> {
        match &self.detail {
            Some(detail) => Some(&detail.event),
            None => self.list.get(self.index()),
        }
    }

    /// There may be older ones than those read.
    #[must_use]
    pub fn may_have_more(&self) -> bool {
        self.limit > 0 && self.list.len() >= self.limit as usize
    }
}
