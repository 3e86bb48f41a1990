//! Plain tables that fit the terminal.

use std::fmt::Write as _;

/// Where a column's cells stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
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
        let mut row: Vec<String> = cells.into_iter().collect();
        row.resize(self.heads.len(), String::new());
        self.rows.push(row);
    }

    /// The table as text of at most `width` columns where the last column can be wrapped, indented by two.
    pub(crate) fn render(&self, width: usize) -> String {
        let widths = self.widths();
        let fixed: usize = widths.iter().rev().skip(1).map(|w| w + 2).sum::<usize>() + 2;
        let room = width.saturating_sub(fixed).max(16);
        let mut text = String::new();
        let heads: Vec<String> = self.heads.iter().map(|(h, _)| h.clone()).collect();
        let bold = anstyle::Style::new().bold();
        let head = self.line(&heads, &widths, room);
        let _ = writeln!(text, "{bold}{}{bold:#}", head.trim_end_matches('\n'));
        for row in &self.rows {
            text.push_str(&self.line(row, &widths, room));
        }
        text
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

    fn line(&self, row: &[String], widths: &[usize], room: usize) -> String {
        let last = row.len() - 1;
        let mut lead = String::from("  ");
        for (i, cell) in row.iter().enumerate().take(last) {
            let w = widths[i];
            match self.heads[i].1 {
                Align::Left => lead.push_str(&format!("{cell:<w$}  ")),
                Align::Right => lead.push_str(&format!("{cell:>w$}  ")),
            }
        }
        let indent = " ".repeat(lead.chars().count());
        let pad = widths[last].min(room);
        let mut text = String::new();
        for (n, part) in wrap(&row[last], room).iter().enumerate() {
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

/// Breaks text at spaces into lines of at most `width` characters; a longer word stays whole.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        line.push_str(word);
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
    fn wrapping_loses_nothing() {
        let text = "a bb ccc dddd eeeee";
        for width in 1..30 {
            assert_eq!(wrap(text, width).join(" "), text);
        }
    }
}
