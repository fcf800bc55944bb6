//! Values over time as columns: braille, blocks or ASCII; with holes where nothing came.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr;

use crate::human;
use crate::sample::Tier;
use crate::tui::look::{Look, Symbols};
use crate::tui::state::history::{History, Kept};

use super::frame::{seconds, whole};

/// Columns of the axis at the left.
pub(super) const SCALE: u16 = 5;

/// What is to be seen.
pub(super) struct Span<'a> {
    /// The samples.
    pub history: &'a History,
    /// The number of the sample at the right edge.
    pub end: u64,
    /// How much time, ns.
    pub span_ns: u64,
}

impl<'a> Span<'a> {
    /// Where the axis begins and ends, ns. It may begin before time does.
    fn range(&self) -> (i128, i128) {
        let end = self.history.get(self.end).map_or(0, |kept| i128::from(kept.entry.at_ns));
        (end - i128::from(self.span_ns.max(1)), end)
    }

    /// The place of a time among `count` columns; may lie outside.
    fn column(&self, at_ns: u64, count: usize) -> i128 {
        let (start, end) = self.range();
        ((i128::from(at_ns) - start) * count as i128).div_euclid((end - start).max(1))
    }

    /// The time at a column of `count`, ns.
    pub(super) fn time(&self, column: usize, count: usize) -> u64 {
        let (start, end) = self.range();
        let at = start + (end - start) * (2 * column as i128 + 1) / (2 * count.max(1) as i128);
        u64::try_from(at.max(0)).unwrap_or(u64::MAX)
    }

    /// The samples in it, and the one before, which may reach into it.
    pub(super) fn samples(&self) -> impl DoubleEndedIterator<Item = &'a Kept> + Clone + use<'a> {
        self.history.window(self.end, self.span_ns.saturating_add(1_000_000_000))
    }
}

/// One column.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Column {
    /// The highest value in it; `None` where none was reported.
    pub value: Option<f64>,
    /// The highest tier in it.
    pub tier: Tier,
    /// Nothing came in all of it.
    pub hole: bool,
}

/// The values in `count` columns.
pub(super) fn columns(span: &Span<'_>, count: usize, value: impl Fn(&Kept) -> Option<f64>) -> Vec<Column> {
    let mut columns = vec![Column::default(); count];
    let mut fill = |from_ns: u64, to_ns: u64, mut put: Box<dyn FnMut(&mut Column) + '_>| {
        let last = count as i128 - 1;
        // The end belongs to the next one's first column, but for the newest.
        let (from, to) =
            (span.column(from_ns, count), span.column(to_ns.saturating_sub(1).max(from_ns), count));
        if to < 0 || from > last {
            return;
        }
        for column in from.max(0)..=to.min(last) {
            put(&mut columns[column as usize]);
        }
    };
    let mut before_ns = None;
    for kept in span.samples() {
        if let Some(before) = before_ns
            && kept.from_ns > before
        {
            fill(before, kept.from_ns, Box::new(|column| column.hole = true));
        }
        let (value, tier) = (value(kept), kept.sample().tier);
        fill(
            kept.from_ns,
            kept.entry.at_ns,
            Box::new(move |column| {
                column.value = match (column.value, value) {
                    (Some(old), Some(new)) => Some(old.max(new)),
                    (old, new) => old.or(new),
                };
                column.tier = column.tier.max(tier);
            }),
        );
        before_ns = Some(kept.entry.at_ns);
    }
    for column in &mut columns {
        column.hole &= column.value.is_none();
    }
    columns
}

/// How many columns of values a cell has.
pub(super) fn per_cell(look: Look) -> usize {
    if look.symbols == Symbols::Braille { 2 } else { 1 }
}

/// A line across the graph.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    /// Where, as a value.
    pub at: f64,
    /// What stands at the left of it.
    pub label: String,
    /// In this style.
    pub style: Style,
}

/// Draws columns, as many as [`per_cell`] has room for, from 0 up to `top`, in the colours of their tiers.
pub(super) fn draw(look: Look, buf: &mut Buffer, area: Rect, columns: &[Column], top: f64) {
    let rows = usize::from(area.height);
    let steps = match look.symbols {
        Symbols::Braille => 4,
        Symbols::Block => 8,
        Symbols::Ascii => 2,
    };
    let height = |column: &Column| -> usize {
        let Some(value) = column.value else { return 0 };
        let height = (value / top.max(f64::MIN_POSITIVE) * (rows * steps) as f64).round() as usize;
        // What is not zero shows.
        height.clamp(usize::from(value > 0.0), rows * steps)
    };
    for (cell, columns) in columns.chunks(per_cell(look)).enumerate().take(usize::from(area.width)) {
        let heights: Vec<usize> = columns.iter().map(height).collect();
        let tier = columns.iter().map(|column| column.tier).max().unwrap_or_default();
        let hole = columns.iter().all(|column| column.hole);
        let style = look.tier(tier);
        for row in 0..rows {
            // From the bottom.
            let base = row * steps;
            let filled = |height: usize| height.saturating_sub(base).min(steps);
            let x = area.x + cell as u16;
            let y = area.bottom() - 1 - row as u16;
            let cell = &mut buf[(x, y)];
            if heights.iter().all(|height| filled(*height) == 0) {
                if hole {
                    cell.set_symbol(look.pick("░", ":")).set_style(look.rule());
                }
                continue;
            }
            let symbol = match look.symbols {
                Symbols::Braille => {
                    braille(filled(heights[0]), heights.get(1).map_or(0, |height| filled(*height)))
                }
                Symbols::Block => {
                    ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'][filled(heights[0]).clamp(1, 8) - 1]
                }
                Symbols::Ascii => [':', '#'][filled(heights[0]).clamp(1, 2) - 1],
            };
            cell.set_char(symbol).set_style(style);
        }
    }
}

/// The braille character with so many dots from the bottom in its left and in its right column, 0–4 each.
fn braille(left: usize, right: usize) -> char {
    const LEFT: [u32; 5] = [0, 0x40, 0x44, 0x46, 0x47];
    const RIGHT: [u32; 5] = [0, 0x80, 0xa0, 0xb0, 0xb8];
    char::from_u32(0x2800 + LEFT[left.min(4)] + RIGHT[right.min(4)]).unwrap_or(' ')
}

/// The scale at the left, with its lines across where nothing is drawn.
pub(super) fn scale(look: Look, buf: &mut Buffer, area: Rect, top: f64, marks: &[Mark]) {
    let rows = f64::from(area.height);
    for mark in marks {
        let row = (mark.at / top.max(f64::MIN_POSITIVE) * rows).ceil().clamp(1.0, rows) as u16;
        let y = area.bottom() - row;
        buf.set_stringn(
            area.x,
            y,
            look.right(&mark.label, usize::from(SCALE) - 1),
            usize::from(SCALE),
            mark.style,
        );
        for x in area.x + SCALE..area.right() {
            let cell = &mut buf[(x, y)];
            if cell.symbol() == " " {
                cell.set_symbol(look.pick("┈", ".")).set_style(mark.style);
            }
        }
    }
}

/// The time axis: ages below, and above the holes how long they were.
pub(super) fn time(look: Look, buf: &mut Buffer, plot: Rect, span: &Span<'_>) {
    let width = usize::from(plot.width);
    let y = plot.bottom();
    let text = |ns: u64| format!("-{}", whole(ns));
    for part in 0..3_u16 {
        let x = plot.x + plot.width * part / 3;
        let text = text(span.span_ns / 3 * u64::from(3 - part));
        // A gap's sign matters more.
        let free = (x..(x + text.width() as u16).min(plot.right())).all(|x| buf[(x, y)].symbol() == " ");
        if free {
            buf.set_stringn(x, y, text, width, look.dim());
        }
    }
    for kept in span.samples() {
        let Some(hole_ns) = kept.hole_ns() else { continue };
        let label = human::duration(seconds(hole_ns));
        let (from, to) = (span.column(kept.from_ns, width), span.column(kept.entry.at_ns, width));
        if to < 0 {
            continue;
        }
        // It ends where the samples go on: over the hole, or over what came before where that is narrow.
        let end = from.clamp(0, width as i128) as usize;
        let start = end.saturating_sub(label.width());
        if plot.height > 1 {
            buf.set_stringn(plot.x + start as u16, plot.y, label, width - start, look.tier(Tier::Critical));
        }
    }
}

/// Where a sample stands among the cells of the plot; `None` outside.
pub(super) fn cell(span: &Span<'_>, plot: Rect, at_ns: u64) -> Option<u16> {
    let column = span.column(at_ns.saturating_sub(1), usize::from(plot.width));
    (0..i128::from(plot.width)).contains(&column).then(|| plot.x + column as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;

    fn history(steps_ms: &[u64]) -> History {
        let mut history = History::new(1_000);
        for (seq, step) in steps_ms.iter().enumerate() {
            let sample = Sample { seq: seq as u64, expected_ns: 100_000_000, ..Sample::default() };
            history.push(&sample, step * 1_000_000, false);
        }
        history
    }

    fn values(columns: &[Column]) -> String {
        columns
            .iter()
            .map(|column| match (column.value, column.hole) {
                (Some(value), _) => char::from_digit(value as u32 % 36, 36).unwrap(),
                (None, true) => '_',
                (None, false) => ' ',
            })
            .collect()
    }

    #[test]
    fn each_sample_fills_the_time_it_speaks_of() {
        let history = history(&[0, 100, 100, 100, 100]);
        let span = Span { history: &history, end: 4, span_ns: 400_000_000 };
        let columns = columns(&span, 8, |kept| Some(kept.sample().seq as f64));
        assert_eq!(values(&columns), "11223344");
    }

    #[test]
    fn before_the_first_sample_there_is_nothing_and_after_a_freeze_a_hole() {
        let history = history(&[0, 100, 100, 500]);
        let span = Span { history: &history, end: 3, span_ns: 1_000_000_000 };
        let columns = columns(&span, 10, |kept| Some(kept.sample().seq as f64));
        assert_eq!(values(&columns), "  012____3");
    }

    #[test]
    fn a_narrow_graph_shows_the_highest_value_of_each_column() {
        let history = history(&[0, 100, 100, 100, 100]);
        let span = Span { history: &history, end: 4, span_ns: 400_000_000 };
        let columns = columns(&span, 2, |kept| Some([9.0, 7.0, 1.0, 2.0, 3.0][kept.sample().seq as usize]));
        assert_eq!(values(&columns), "73");
    }

    #[test]
    fn dots_fill_from_the_bottom() {
        assert_eq!(braille(0, 0), '\u{2800}');
        assert_eq!(braille(4, 4), '⣿');
        assert_eq!(braille(1, 2), '⣠');
    }
}
