//! What commands print for people: aligned tables.

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr;

/// Rows of text in columns as wide as their widest entry.
#[derive(Debug, Default)]
pub struct Table {
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings; those that begin with `>` are of columns of numbers, set to the right.
    #[must_use]
    pub fn new(headings: &[&str]) -> Self {
        Self {
            right: headings.iter().map(|heading| heading.starts_with('>')).collect(),
            rows: vec![headings.iter().map(|heading| heading.trim_start_matches('>').to_owned()).collect()],
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Writes the table. No line ends with blanks.
    ///
    /// # Errors
    /// The writer's.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let width =
            |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max();
        let widths: Vec<usize> = (0..self.right.len()).map(|column| width(column).unwrap_or(0)).collect();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, width), right) in row.iter().zip(&widths).zip(&self.right) {
                let blanks = " ".repeat(width.saturating_sub(cell.width()));
                let (before, after) = if *right { (blanks.as_str(), "") } else { ("", blanks.as_str()) };
                line.extend([before, cell, after, "  "]);
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_entry_and_no_line_ends_with_blanks() {
        let mut table = Table::new(&[">ID", "KIND", "CULPRITS"]);
        table.row(vec!["7".into(), "pause".into(), String::new()]);
        table.row(vec!["1234".into(), "épisode".into(), "mds".into()]);
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "  ID  KIND     CULPRITS\n   7  pause\n1234  épisode  mds\n");
    }

    #[test]
    fn columns_are_as_wide_as_a_terminal_shows_them() {
        let mut table = Table::new(&["NAME", ">CPU"]);
        table.row(vec!["漢字".into(), "1".into()]);
        table.row(vec!["e\u{301}a".into(), "23".into()]);
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "NAME  CPU\n漢字    1\ne\u{301}a     23\n");
    }
}
