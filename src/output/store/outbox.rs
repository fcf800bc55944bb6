//! What of the events is to be exported, was, or was refused: the column `export`.

use std::sync::atomic::Ordering::Relaxed;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use tokio::sync::oneshot;

use super::Outbox;
use super::query::{COLUMNS, QueryError, Reader};
use super::row::{EventRow, Incident, Kind};
use super::statement::column;
use crate::event::EventId;

/// The column's value of an event that waits.
pub(super) const PENDING: &str = "pending";

/// What became of an event's export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Export {
    /// The collector took it.
    Exported,
    /// The collector never will take it.
    Refused,
}

impl Export {
    /// The name in the column.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exported => "exported",
            Self::Refused => "refused",
        }
    }
}

/// How the export stands. Serialized, it is `otlp` in `status --json`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Exports {
    /// Spans that wait for a collector to take them.
    pub outbox_spans: u64,
    /// Spans of events on record that a collector refused for good.
    pub refused_spans: u64,
}

/// Whether an event of that kind becomes a span of its own. A stall is an event of its episode's span.
#[must_use]
pub fn is_exported(kind: Kind) -> bool {
    match kind {
        Kind::Episode | Kind::Pause | Kind::Outage => true,
        Kind::Stall => false,
    }
}

/// What is to be noted of some events, and who waits for that.
#[derive(Debug)]
pub(super) struct Mark {
    /// The events; none asks only whether all that came before is written.
    pub(super) events: Vec<(EventId, Incident)>,
    pub(super) export: Export,
    pub(super) ack: oneshot::Sender<()>,
}

/// An event that waits for its export, with what its span needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// The event.
    pub row: EventRow,
    /// Of an episode, the gaps in it: pauses first, then by time, [`Outgoing::GAPS`] at most.
    pub gaps: Vec<EventRow>,
    /// How many more there are.
    pub gaps_left: u32,
}

impl Outgoing {
    /// The most gaps that are read of one episode: as many as a span takes events.
    pub const GAPS: u32 = 128;
}

/// A gap may be judged after its episode has ended: an episode that was exported by then is sent once more, as
/// the same span with that gap in it.
pub(super) fn send_episode_again(transaction: &Transaction<'_>, gap: &EventRow) -> rusqlite::Result<()> {
    if let Some(episode) = gap.episode {
        transaction
            .prepare_cached("UPDATE events SET export = 'pending' WHERE id = ?1 AND export = 'exported'")?
            .execute([column(episode)])?;
    }
    Ok(())
}

/// How many wait.
pub(super) fn waiting(connection: &Connection) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT count(*) FROM events WHERE export = 'pending'")?
        .query_row([], |row| row.get::<_, i64>(0))
        .map(|count| u64::try_from(count).unwrap_or(0))
}

impl Outbox {
    /// Notes what became of exports, and then tells whoever waits for that.
    pub(super) fn write_marks(
        &self,
        connection: &mut Connection,
        marks: &mut Vec<Mark>,
    ) -> rusqlite::Result<()> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for Mark { events, export, .. } in &*marks {
            // An event of that number that is another one is left alone.
            let mut statement = transaction.prepare_cached(
                "UPDATE events SET export = ?3 WHERE id = ?1 AND incident = ?2 AND export = 'pending'",
            )?;
            for (id, incident) in events {
                statement.execute(params![column(*id), incident.as_slice(), export.as_str()])?;
            }
        }
        transaction.commit()?;
        self.count(connection)?;
        for mark in marks.drain(..) {
            // The outbox's task may have ended.
            let _ = mark.ack.send(());
        }
        Ok(())
    }

    /// Brings the count of what waits up to date; returns it.
    pub(super) fn count(&self, connection: &Connection) -> rusqlite::Result<u64> {
        let waiting = waiting(connection)?;
        self.stats.outbox_spans.store(waiting, Relaxed);
        Ok(waiting)
    }

    /// Counts, and tells the task where there is something to export. What a failure here hides is counted at the
    /// next sign of life, and sent with the next event.
    pub(super) fn ring(&self, connection: &Connection) {
        if self.count(connection).is_ok_and(|waiting| waiting > 0) && self.wanted {
            self.bell.notify_one();
        }
    }
}

impl Reader {
    /// The events that wait for their export, the first to end first, `limit` at most.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn outgoing(&self, limit: u32) -> Result<Vec<Outgoing>, QueryError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM events WHERE export = 'pending' ORDER BY ended_at, id LIMIT {limit}"
        );
        let events = self.wrap(self.query(&sql, []))?;
        events.into_iter().map(|event| self.with_gaps(event.row)).collect()
    }

    fn with_gaps(&self, row: EventRow) -> Result<Outgoing, QueryError> {
        if row.kind != Kind::Episode {
            return Ok(Outgoing { row, gaps: Vec::new(), gaps_left: 0 });
        }
        let sql = format!(
            "SELECT {COLUMNS} FROM events WHERE episode = ?1 AND incident = ?2
             ORDER BY kind <> 'pause', ended_at, id LIMIT {}",
            Outgoing::GAPS
        );
        let parameters = params![column(row.id), row.incident.as_slice()];
        let gaps = self.wrap(self.query(&sql, parameters))?;
        let all: i64 = self.wrap(self.connection.query_row(
            "SELECT count(*) FROM events WHERE episode = ?1 AND incident = ?2",
            parameters,
            |row| row.get(0),
        ))?;
        let gaps: Vec<EventRow> = gaps.into_iter().map(|gap| gap.row).collect();
        let gaps_left = u32::try_from(all).unwrap_or(0).saturating_sub(gaps.len() as u32);
        Ok(Outgoing { row, gaps, gaps_left })
    }

    /// How many events wait for their export, and how many the collector refused.
    pub(super) fn exports(&self) -> Result<Exports, QueryError> {
        let refused =
            self.connection.query_row("SELECT count(*) FROM events WHERE export = 'refused'", [], |row| {
                row.get::<_, i64>(0)
            });
        let refused = self.wrap(refused)?;
        Ok(Exports {
            outbox_spans: self.wrap(waiting(&self.connection))?,
            refused_spans: u64::try_from(refused).unwrap_or(0),
        })
    }
}
