//! What takes the most time as bars, with all of it in the table below.

use crate::cell::Cell;
use crate::page::{Picture, Table};
use crate::svg::{Bar, bars};
use crate::unit::Unit;

/// As many are named in words.
const NAMED: usize = 3;

/// A table whose first rows are bars of their times, the largest first.
pub(super) struct Ranked {
    table: Table,
    bars: Vec<Bar>,
    /// Bars at most.
    most: usize,
}

impl Ranked {
    pub(super) fn new(table: Table, most: usize) -> Self {
        Self { table, bars: Vec::new(), most }
    }

    /// A row with its bar: the bar's name, its time in ns, its colour and the words behind it.
    pub(super) fn row(&mut self, (name, ns, colour, words): (String, Option<f64>, usize, String), cells: Vec<Cell>) {
        if self.bars.len() < self.most {
            self.bars.push(Bar::new(name, 0.0, ns.unwrap_or(0.0), colour, words));
        }
        self.table.row(cells);
    }

    /// A row that has no bar.
    pub(super) fn other(&mut self, cells: Vec<Cell>) {
        self.table.row(cells);
    }

    /// The picture; what it says begins with the largest, and ends with `more`.
    pub(super) fn picture(self, title: &str, begins: &str, more: &str) -> Picture {
        let most = self.bars.iter().take(NAMED).map(|bar| format!("{}, {}", bar.name, bar.words));
        Picture {
            title: title.to_owned(),
            words: format!("{begins} {}.{more}", most.collect::<Vec<_>>().join("; ")),
            svg: bars(&self.bars, Unit::Time),
            table: Some(self.table),
            sparks: Vec::new(),
        }
    }
}
