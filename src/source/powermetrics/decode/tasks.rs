//! Task rows: the sums over all of them, and the largest.

use super::text::Text;
use super::xml::{Cursor, NumberEntry, Value};
use super::{OwnPids, accrue};
use crate::sample::{Name, Reading, Reject, TopList};

/// powermetrics' pid for `ALL_TASKS`: a total, not a task.
const ALL_TASKS: i32 = -2;

/// The keys of a task row that are read.
#[derive(Clone, Copy, Debug)]
enum Field {
    Pid,
    Name,
    Cpu,
    IntrWakeups,
    IdleWakeups,
    BytesRead,
    BytesWritten,
    Pageins,
}

/// All fields have been seen, as bits.
const ALL_SEEN: u8 = u8::MAX;

impl Field {
    #[inline]
    fn of(key: &[u8]) -> Option<Self> {
        Some(match key {
            b"pid" => Self::Pid,
            b"name" => Self::Name,
            b"cputime_ms_per_s" => Self::Cpu,
            b"intr_wakeups_per_s" => Self::IntrWakeups,
            b"idle_wakeups_per_s" => Self::IdleWakeups,
            b"diskio_bytesread_per_s" => Self::BytesRead,
            b"diskio_byteswritten_per_s" => Self::BytesWritten,
            b"pageins_per_s" => Self::Pageins,
            _ => return None,
        })
    }
}

/// One row; `None` is *not reported*.
#[derive(Clone, Copy, Debug, Default)]
struct Row<'a> {
    pid: Option<i32>,
    name: Option<Text<'a>>,
    cpu: Option<f64>,
    intr_wakeups: Option<f64>,
    idle_wakeups: Option<f64>,
    bytes_read: Option<f64>,
    bytes_written: Option<f64>,
    pageins: Option<f64>,
}

impl<'a> Row<'a> {
    /// Reads the entries of a row whose start tag has been read. One with none of the keys is no task's.
    fn read(cursor: &mut Cursor<'a>, layout: &mut Layout<'a>) -> Result<Option<Self>, Reject> {
        let mut row = Self::default();
        let mut seen = 0_u8;
        let mut place = 0;
        // Half of a row comes after the last key that matters.
        while seen != ALL_SEEN {
            let Some((field, value)) = layout.entry(cursor, place)? else {
                return Ok((seen != 0).then_some(row));
            };
            place += 1;
            // Of duplicate keys the first counts, whatever its value.
            let fresh = field.filter(|&field| seen & bit(field) == 0);
            seen |= field.map_or(0, bit);
            match (fresh, value) {
                (Some(Field::Name), Value::Text(text)) => row.name = Some(text),
                (Some(Field::Pid), Value::Number(text)) => {
                    row.pid = text.integer().and_then(|pid| i32::try_from(pid).ok());
                }
                (Some(field), Value::Number(text)) => {
                    let quantity = text.quantity();
                    match field {
                        Field::Cpu => row.cpu = quantity,
                        Field::IntrWakeups => row.intr_wakeups = quantity,
                        Field::IdleWakeups => row.idle_wakeups = quantity,
                        Field::BytesRead => row.bytes_read = quantity,
                        Field::BytesWritten => row.bytes_written = quantity,
                        Field::Pageins => row.pageins = quantity,
                        Field::Pid | Field::Name => {}
                    }
                }
                (_, value) => cursor.skip(value)?,
            }
        }
        cursor.skip(Value::Dict)?;
        Ok(Some(row))
    }
}

/// Entries of a row that are remembered: more than come before the last key that matters.
const REMEMBERED: usize = 24;

/// How the entries of the row before were written, and what their keys meant.
///
/// The rows of a document have the same keys in the same order, and what is written alike means the same: a
/// comparison then stands in for reading tags and looking up the key.
#[derive(Clone, Copy, Debug, Default)]
struct Layout<'a> {
    entries: [Option<(NumberEntry<'a>, Option<Field>)>; REMEMBERED],
}

impl<'a> Layout<'a> {
    /// Reads the next entry of a row, which is its `place`th, with what its key means; `None` at its end.
    #[inline]
    fn entry(
        &mut self,
        cursor: &mut Cursor<'a>,
        place: usize,
    ) -> Result<Option<(Option<Field>, Value<'a>)>, Reject> {
        if let Some(Some((entry, field))) = self.entries.get(place)
            && let Some(text) = cursor.number_like(entry)
        {
            return Ok(Some((*field, Value::Number(text))));
        }
        self.new_entry(cursor, place)
    }

    fn new_entry(
        &mut self,
        cursor: &mut Cursor<'a>,
        place: usize,
    ) -> Result<Option<(Option<Field>, Value<'a>)>, Reject> {
        let start = cursor.position();
        let Some(key) = cursor.key()? else { return Ok(None) };
        let field = key.lookup(Field::of);
        let value = cursor.value()?;
        if let Some(slot) = self.entries.get_mut(place)
            && let Value::Number(text) = value
        {
            *slot = cursor.number_entry(start, text).map(|entry| (entry, field));
        }
        Ok(Some((field, value)))
    }
}

fn bit(field: Field) -> u8 {
    1 << field as u8
}

/// What task rows add up to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tally<'a> {
    own: &'a OwnPids,
    layout: Layout<'a>,
    /// Rows counted.
    pub(super) rows: usize,
    cpu: Option<f64>,
    idle_wakeups: Option<f64>,
    intr_wakeups: Option<f64>,
    pageins: Option<f64>,
    sampler_cpu: Option<f64>,
    top_cpu: TopList,
    top_pageins: TopList,
    top_idle_wakeups: TopList,
    top_intr_wakeups: TopList,
    top_diskio: TopList,
}

impl<'a> Tally<'a> {
    pub(super) fn new(own: &'a OwnPids) -> Self {
        Self {
            own,
            layout: Layout::default(),
            rows: 0,
            cpu: None,
            idle_wakeups: None,
            intr_wakeups: None,
            pageins: None,
            sampler_cpu: None,
            top_cpu: TopList::default(),
            top_pageins: TopList::default(),
            top_idle_wakeups: TopList::default(),
            top_intr_wakeups: TopList::default(),
            top_diskio: TopList::default(),
        }
    }

    /// Reads the elements of a `tasks` array whose start tag has been read.
    pub(super) fn read_tasks(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Reject> {
        while let Some(element) = cursor.element()? {
            if let Value::Dict = element {
                if let Some(row) = Row::read(cursor, &mut self.layout)? {
                    self.add(&row);
                }
            } else {
                cursor.skip(element)?;
            }
        }
        Ok(())
    }

    /// Reads the elements of a `coalitions` array whose start tag has been read: their tasks, not themselves,
    /// which are totals.
    pub(super) fn read_coalitions(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Reject> {
        while let Some(element) = cursor.element()? {
            if let Value::Dict = element {
                self.read_coalition(cursor)?;
            } else {
                cursor.skip(element)?;
            }
        }
        Ok(())
    }

    fn read_coalition(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Reject> {
        let mut seen = false;
        while let Some(key) = cursor.key()? {
            let tasks = key.lookup(|key| (key == b"tasks").then_some(())).is_some();
            match cursor.value()? {
                Value::Array if tasks && !seen => self.read_tasks(cursor)?,
                value => cursor.skip(value)?,
            }
            seen |= tasks;
        }
        Ok(())
    }

    fn add(&mut self, row: &Row<'_>) {
        if row.pid == Some(ALL_TASKS) {
            return;
        }
        self.rows += 1;
        accrue(&mut self.cpu, row.cpu);
        accrue(&mut self.idle_wakeups, row.idle_wakeups);
        accrue(&mut self.intr_wakeups, row.intr_wakeups);
        accrue(&mut self.pageins, row.pageins);

        // A row without a pid can't be told from others: it is in the sums, but in no list.
        let Some(pid) = row.pid else { return };
        if self.own.is_sampler(pid) {
            accrue(&mut self.sampler_cpu, row.cpu);
        }
        if self.own.is_own(pid) {
            return;
        }
        let mut diskio = row.bytes_read;
        accrue(&mut diskio, row.bytes_written);
        // Most rows enter no list: the name is decoded for those that do.
        let mut name = None;
        for (list, value) in [
            (&mut self.top_cpu, row.cpu),
            (&mut self.top_pageins, row.pageins),
            (&mut self.top_idle_wakeups, row.idle_wakeups),
            (&mut self.top_intr_wakeups, row.intr_wakeups),
            (&mut self.top_diskio, diskio),
        ] {
            let Some(value) = value.filter(|&value| list.wants(pid, value)) else { continue };
            list.offer(pid, name.get_or_insert_with(|| row.name.map_or(Name::EMPTY, Text::name)), value);
        }
    }

    /// Enters sums and lists into a reading.
    pub(super) fn enter(&self, reading: &mut Reading) {
        // A sum of finite numbers need not be finite.
        let finite = |sum: Option<f64>| sum.filter(|sum| sum.is_finite());
        reading.metrics.cpu_ms_per_s = finite(self.cpu);
        reading.metrics.idle_wakeups_per_s = finite(self.idle_wakeups);
        reading.metrics.intr_wakeups_per_s = finite(self.intr_wakeups);
        reading.metrics.pageins_per_s = finite(self.pageins);
        reading.sampler_cpu_ms_per_s = finite(self.sampler_cpu);
        reading.top_cpu = self.top_cpu;
        reading.top_pageins = self.top_pageins;
        reading.top_idle_wakeups = self.top_idle_wakeups;
        reading.top_intr_wakeups = self.top_intr_wakeups;
        reading.top_diskio = self.top_diskio;
    }
}
