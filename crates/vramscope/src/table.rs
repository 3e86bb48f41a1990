//! Plain tables that fit the terminal.

use std::fmt::Write as _;

use vramscope_core::{on_one_line, shortened};

/// Where a column's cells stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// The last column is not wrapped narrower than this.
const LEAST_ROOM: usize = 16;
/// Where the last column begins if it goes below its row.
const BELOW: usize = 6;

/// How a table is laid out.
#[derive(Debug, Clone, Copy)]
struct Layout {
    /// Spaces between two columns.
    gap: usize,
    /// The width of the last column.
    room: usize,
    /// The last column goes below its row.
    below: bool,
}

/// A count, its digits in groups of three.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A table under construction. The last column may be wrapped to fit the width; the others never are.
#[derive(Debug)]
pub(crate) struct Table {
    heads: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column heads.
    pub(crate) fn new(heads: &[(&str, Align)]) -> Self {
        Self { heads: heads.iter().map(|&(h, a)| (h.to_owned(), a)).collect(), rows: Vec::new() }
    }

    /// Adds a row; missing cells are empty.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut row: Vec<String> = cells.into_iter().map(|cell| plain(&cell)).collect();
        row.resize(self.heads.len(), String::new());
        self.rows.push(row);
    }

    /// The table as text of at most `width` columns, indented by two: the last column is wrapped. Where that leaves it
    /// no room, columns move closer together, and text in the last one goes below its row.
    pub(crate) fn render(&self, width: usize) -> String {
        let widths = self.widths();
        let layout = self.layout(&widths, width);
        let mut text = String::new();
        let heads: Vec<String> = self.heads.iter().map(|(h, _)| h.clone()).collect();
        let bold = anstyle::Style::new().bold();
        let head = self.line(&heads, &widths, layout);
        let _ = writeln!(text, "{bold}{}{bold:#}", head.trim_end_matches('\n'));
        for row in &self.rows {
            text.push_str(&self.line(row, &widths, layout));
        }
        text
    }

    fn layout(&self, widths: &[usize], width: usize) -> Layout {
        let last = widths.len() - 1;
        let fixed = |gap: usize| 2 + widths[..last].iter().map(|w| w + gap).sum::<usize>();
        let wanted = widths[last].min(LEAST_ROOM);
        let beside = |gap: usize| Layout { gap, room: width.saturating_sub(fixed(gap)).max(LEAST_ROOM), below: false };
        let text = last > 0 && self.heads[last].1 == Align::Left;
        match [2, 1].into_iter().find(|gap| fixed(*gap) + wanted <= width) {
            Some(gap) => beside(gap),
            None if text => {
                let gap = if fixed(2) <= width + 2 { 2 } else { 1 };
                Layout { gap, room: width.saturating_sub(BELOW).max(LEAST_ROOM), below: true }
            }
            None => beside(1),
        }
    }

    fn widths(&self) -> Vec<usize> {
        let cell = |row: &Vec<String>, i: usize| row[i].chars().count();
        (0..self.heads.len())
            .map(|i| {
                let head = self.heads[i].0.chars().count();
                self.rows.iter().map(|row| cell(row, i)).max().unwrap_or(0).max(head)
            })
            .collect()
    }

    fn line(&self, row: &[String], widths: &[usize], layout: Layout) -> String {
        let last = row.len() - 1;
        let gap = " ".repeat(layout.gap);
        let mut lead = String::from("  ");
        for (i, cell) in row.iter().enumerate().take(last) {
            let w = widths[i];
            match self.heads[i].1 {
                Align::Left => lead.push_str(&format!("{cell:<w$}{gap}")),
                Align::Right => lead.push_str(&format!("{cell:>w$}{gap}")),
            }
        }
        let mut text = String::new();
        let mut indent = " ".repeat(lead.chars().count());
        if layout.below {
            text.push_str(lead.trim_end());
            text.push('\n');
            indent = " ".repeat(BELOW);
            lead.clone_from(&indent);
            if row[last].is_empty() {
                return text;
            }
        }
        let pad = widths[last].min(layout.room);
        for (n, part) in wrap(&row[last], layout.room).iter().enumerate() {
            let lead = if n == 0 { &lead } else { &indent };
            let cell = match self.heads[last].1 {
                Align::Left => part.clone(),
                Align::Right => format!("{part:>pad$}"),
            };
            text.push_str(format!("{lead}{cell}").trim_end());
            text.push('\n');
        }
        text
    }
}

/// A cell holds a name, a setting or a sentence; a longer one is a mistake or worse, and would hide its table.
const MOST_OF_CELL: usize = 2000;

/// The text of a cell, on one line and without what would steer a terminal: names and settings come from documents of
/// anybody.
fn plain(text: &str) -> String {
    on_one_line(&shortened(text, MOST_OF_CELL)).trim_end().to_owned()
}

/// The same for text of several lines.
const MOST_OF_TEXT: usize = 10_000;

/// Breaks text at spaces into lines of at most `width` characters; a longer word stays whole.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for word in shortened(text, MOST_OF_TEXT).split_whitespace().map(plain) {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        line.push_str(&word);
        used += length;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_column_wraps_under_itself() {
        let mut t = Table::new(&[("part", Align::Left), ("GiB", Align::Right), ("source", Align::Left)]);
        t.row(["weights".into(), "15.00".into(), "the engine printed it on line 15 of its log".into()]);
        t.row(["kv".into(), "111.61".into(), "computed".into()]);
        let text = anstream::adapter::strip_str(&t.render(44)).to_string();
        assert_eq!(
            text,
            "  part        GiB  source\n\
             \x20 weights   15.00  the engine printed it on\n\
             \x20                  line 15 of its log\n\
             \x20 kv       111.61  computed\n"
        );
    }

    #[test]
    fn a_narrow_terminal_gets_closer_columns_and_then_text_below_its_row() {
        let mut t = Table::new(&[("part", Align::Left), ("GiB", Align::Right), ("source", Align::Left)]);
        t.row(["weights".into(), "15.00".into(), "the engine printed it on line 15".into()]);
        t.row(["kv".into(), "111.61".into(), String::new()]);
        let text = |width| anstream::adapter::strip_str(&t.render(width)).to_string();
        assert!(text(35).starts_with("  part        GiB  source"));
        assert!(text(33).starts_with("  part       GiB source"));
        assert_eq!(
            text(28),
            "  part        GiB\n      source\n  weights   15.00\n      the engine printed it\n      on line 15\n  kv       111.61\n"
        );
        let mut numbers = Table::new(&[("a", Align::Right), ("b", Align::Right)]);
        numbers.row(["1".into(), "2".into()]);
        assert_eq!(numbers.render(1).lines().count(), 2, "numbers stay in their row");
    }

    #[test]
    fn what_a_document_says_does_not_steer_the_terminal() {
        let mut t = Table::new(&[("model", Align::Left), ("run", Align::Left)]);
        t.row(["a\u{1b}[2Jb\n".into(), "c\u{7}d".into()]);
        assert!(t.render(80).ends_with("  a[2Jb  cd\n"), "{:?}", t.render(80));
        assert_eq!(wrap("e\u{9b}f g\u{202e}", 80), ["ef g"]);
        let mut long = Table::new(&[("model", Align::Left)]);
        long.row(["x".repeat(1 << 20)]);
        assert!(long.render(80).len() < 10_000 && wrap(&"y ".repeat(1 << 20), 80).len() < 1000);
    }

    #[test]
    fn wrapping_loses_nothing() {
        let text = "a bb ccc dddd eeeee";
        for width in 1..30 {
            assert_eq!(wrap(text, width).join(" "), text);
        }
    }
}
