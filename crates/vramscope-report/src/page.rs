//! A page as headings, sentences, tables and pictures, before it is written in any language.

use crate::cell::Cell;
use crate::svg::Drawing;
use crate::unit::with_thousands;

/// A page: what documents say, ready to be written as HTML or Markdown.
#[derive(Debug, Clone)]
pub struct Page {
    pub(crate) title: String,
    /// A line below the title: what this is, of when.
    pub(crate) about: String,
    pub(crate) sections: Vec<Section>,
}

/// A part of a page with a heading.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    pub(crate) title: String,
    pub(crate) blocks: Vec<Block>,
}

#[derive(Debug, Clone)]
pub(crate) enum Block {
    /// A sentence or several.
    Text(String),
    /// Sentences with figures in them.
    Sentence(Vec<Cell>),
    /// The few figures that matter most, large.
    Headline(Vec<(String, Cell)>),
    Table(Table),
    Findings(Vec<Finding>),
    Picture(Picture),
    Time(Box<TimeChart>),
    /// Blocks that are folded away until somebody asks.
    Folded {
        title: String,
        blocks: Vec<Block>,
    },
    /// A text of an engine, as it is.
    Quote(String),
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    pub(crate) caption: String,
    /// Heads with whether their column holds numbers.
    pub(crate) heads: Vec<(String, bool)>,
    pub(crate) rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table; a head that begins with `#` is that of numbers.
    pub(crate) fn new(caption: impl Into<String>, heads: &[&str]) -> Self {
        let head = |head: &&str| match head.strip_prefix('#') {
            Some(head) => (head.to_owned(), true),
            None => ((*head).to_owned(), false),
        };
        Self { caption: caption.into(), heads: heads.iter().map(head).collect(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let mut row: Vec<Cell> = cells.into_iter().collect();
        row.resize_with(self.heads.len(), Cell::absent);
        self.rows.push(row);
    }

    /// With no more than so many rows; the caption says how many are left out.
    pub(crate) fn at_most(mut self, rows: usize) -> Self {
        if self.rows.len() > rows {
            let all = self.rows.len();
            self.rows.truncate(rows);
            let space = if self.caption.is_empty() { "" } else { ". " };
            let [rows, all] = [rows, all].map(|count| with_thousands(&count.to_string()));
            self.caption = format!("{}{space}The first {rows} of {all} rows; all are in the document", self.caption);
        }
        self
    }

    /// Without those of the named columns that are 0 in every row; the caption says which.
    pub(crate) fn without_zeros(mut self, names: &[&str]) -> Self {
        let zero = |cell: &Cell| cell.source.as_ref().is_some_and(|(_, number)| number.as_f64() == Some(0.0));
        let mut gone = Vec::new();
        for name in names {
            let Some(column) = self.heads.iter().position(|(head, _)| head == name) else { continue };
            if !self.rows.is_empty() && self.rows.iter().all(|row| zero(&row[column])) {
                gone.push(*name);
                self.heads.remove(column);
                self.rows.iter_mut().for_each(|row| drop(row.remove(column)));
            }
        }
        if !gone.is_empty() {
            self.caption = format!("{}. None in any row: {}", self.caption, gone.join(", "));
        }
        self
    }

    /// Without the columns in which no row has anything, but for the first.
    pub(crate) fn without_empty_columns(mut self) -> Self {
        let empty = |column: usize| self.rows.iter().all(|row| row[column].is_absent() || row[column].text.is_empty());
        let keep: Vec<bool> = (0..self.heads.len()).map(|column| column == 0 || !empty(column)).collect();
        let mut kept = keep.iter();
        self.heads.retain(|_| kept.next() == Some(&true));
        for row in &mut self.rows {
            let mut kept = keep.iter();
            row.retain(|_| kept.next() == Some(&true));
        }
        self
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    Error,
    Warning,
    Note,
    Good,
}

/// Something to know, with what to do about it.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    pub(crate) weight: Weight,
    pub(crate) text: String,
    pub(crate) advice: Option<String>,
    /// A stable name.
    pub(crate) code: Option<String>,
}

/// A picture with the same in words and figures.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    pub(crate) title: String,
    /// What is to be seen in it, in a sentence: all that who does not see it has.
    pub(crate) words: String,
    pub(crate) svg: Drawing,
    /// Its figures; folded away below it.
    pub(crate) table: Option<Table>,
    /// What Markdown has in its place: a line of small bars for each name.
    pub(crate) sparks: Vec<(String, Vec<f64>)>,
}

/// Memory over time: a still picture, and the data of which the page's script makes one to look around in.
#[derive(Debug, Clone)]
pub(crate) struct TimeChart {
    pub(crate) title: String,
    /// What is to be seen in it.
    pub(crate) words: String,
    /// By which rule parts are drawn.
    pub(crate) rule: String,
    pub(crate) svg: Drawing,
    pub(crate) table: Option<Table>,
    pub(crate) sparks: Vec<(String, Vec<f64>)>,
    /// JSON that may stand within a `script` element.
    pub(crate) data: String,
}

impl Section {
    pub(crate) fn new(title: impl Into<String>, blocks: impl IntoIterator<Item = Block>) -> Self {
        Self { title: title.into(), blocks: blocks.into_iter().collect() }
    }
}

impl Page {
    /// The page as one HTML file that needs nothing else.
    pub fn html(&self) -> String {
        crate::html::write(self)
    }

    /// The page as Markdown, for a pull request or a wiki.
    pub fn markdown(&self) -> String {
        crate::markdown::write(self)
    }
}
