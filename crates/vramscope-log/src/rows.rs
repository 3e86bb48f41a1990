//! Tables of formats for rooms whose engines have few of them. Each line of such an engine is read, so a needle only
//! saves trying a pattern.

use crate::pattern::{Matched, Pattern};

/// One format.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<D: 'static> {
    /// The releases that print it, first and last; empty where it is open.
    pub(crate) versions: &'static str,
    /// A text that each line of the format holds.
    pub(crate) needle: &'static str,
    /// The format, in the language of the `pattern` module.
    pub(crate) pattern: &'static str,
    /// What such a line does beyond stating its figures.
    pub(crate) does: D,
}

/// A format.
pub(crate) const fn row<D>(versions: &'static str, needle: &'static str, pattern: &'static str, does: D) -> Row<D> {
    Row { versions, needle, pattern, does }
}

/// The formats of an engine, compiled.
#[derive(Debug)]
pub(crate) struct Table<D: 'static> {
    formats: Vec<(&'static Row<D>, Pattern)>,
}

impl<D> Table<D> {
    /// A pattern that does not compile is caught by the tests of its room.
    pub(crate) fn of(rows: &'static [Row<D>]) -> Self {
        let compile = |row: &'static Row<D>| Pattern::compile(row.pattern).ok().map(|pattern| (row, pattern));
        Self { formats: rows.iter().filter_map(compile).collect() }
    }

    /// The format of a message that begins with it: the one that reads most of it, a whole one before one that is cut
    /// off, and else the first.
    pub(crate) fn find(&self, message: &str) -> Option<(&'static Row<D>, Matched)> {
        let mut best: Option<(&'static Row<D>, Matched)> = None;
        for (row, pattern) in &self.formats {
            if !message.contains(row.needle) {
                continue;
            }
            let Some(matched) = pattern.match_start(message) else { continue };
            let rank = |m: &Matched| (m.captured.len(), !m.cut);
            if best.as_ref().is_none_or(|(_, known)| rank(&matched) > rank(known)) {
                best = Some((*row, matched));
            }
        }
        best
    }
}

/// What the tests of every room hold its table to.
#[cfg(test)]
pub(crate) mod law {
    use super::{Pattern, Row};
    use crate::key::Key;

    /// The keys that the rows read.
    pub(crate) fn keys<D>(rows: &[Row<D>]) -> Vec<Key> {
        rows.iter().flat_map(|row| Pattern::compile(row.pattern).unwrap().keys()).collect()
    }

    /// Every pattern compiles and holds its needle, and each row is met by a line of the fixture.
    pub(crate) fn holds<D: Copy>(rows: &'static [Row<D>], fixture: &str, message: impl Fn(&str) -> Vec<String>) {
        let table = super::Table::of(rows);
        let mut met = vec![false; rows.len()];
        for line in fixture.lines() {
            for text in message(line) {
                if let Some((row, _)) = table.find(&text) {
                    let place = rows.iter().position(|known| std::ptr::eq(known, row)).unwrap();
                    met[place] = true;
                }
            }
        }
        for (row, met) in rows.iter().zip(met) {
            let pattern = Pattern::compile(row.pattern).unwrap_or_else(|e| panic!("{}: {e}", row.pattern));
            assert!(pattern.must_contain(row.needle), "{}: does not contain {:?}", row.pattern, row.needle);
            assert!(!row.pattern.contains("  "), "{}: one space stands for any number", row.pattern);
            assert!(met, "no line of the fixture is of the format {}", row.pattern);
        }
    }
}
