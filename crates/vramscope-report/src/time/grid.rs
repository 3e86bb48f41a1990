//! Columns of readings over shared instants, in bounded memory: when a grid is full, neighbours are merged.
//!
//! A row keeps the smallest and the largest value of each column, and which of them came first. So no peak is lost, and a
//! rise stays a rise. As long as nothing was merged, a row is one instant with its values as they were.

/// What a column has of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) min: i64,
    pub(crate) max: i64,
    /// Whether the largest came before the smallest.
    pub(crate) falls: bool,
}

impl Span {
    pub(crate) fn one(value: i64) -> Self {
        Self { min: value, max: value, falls: false }
    }

    /// With what came after it.
    fn then(self, later: Self) -> Self {
        let falls = match (later.min < self.min, later.max > self.max) {
            (true, true) => later.falls,
            (true, false) => true,
            (false, true) => false,
            (false, false) => self.falls,
        };
        Self { min: self.min.min(later.min), max: self.max.max(later.max), falls }
    }
}

/// One instant, or several that were merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) first_ns: u64,
    pub(crate) last_ns: u64,
    /// How many instants.
    pub(crate) instants: u64,
    /// At how many of them all devices were read: a total is known there alone.
    pub(crate) known: u64,
    /// Whether a gap lies before it.
    pub(crate) after_gap: bool,
}

impl Row {
    /// Whether a total is known at some of its instants and not at others.
    pub(crate) fn is_mixed(&self) -> bool {
        (1..self.instants).contains(&self.known)
    }

    fn is_like(&self, other: &Self) -> bool {
        (self.known == 0) == (other.known == 0) && self.is_mixed() == other.is_mixed()
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Grid {
    limit: usize,
    /// How many instants go into a row.
    stride: u64,
    pub(crate) rows: Vec<Row>,
    pub(crate) columns: Vec<Vec<Option<Span>>>,
    /// The first instant at which each column is largest, which rows do not tell once they are merged.
    peaks: Vec<Option<(u64, i64)>>,
}

impl Grid {
    /// A grid of at most this many rows, which are two at least.
    pub(crate) fn new(columns: usize, limit: usize) -> Self {
        Self {
            limit: limit.max(2),
            stride: 1,
            rows: Vec::new(),
            columns: vec![Vec::new(); columns],
            peaks: vec![None; columns],
        }
    }

    /// Columns that nothing is in yet.
    pub(crate) fn widen(&mut self, columns: usize) {
        let rows = self.rows.len();
        self.columns.extend((0..columns).map(|_| vec![None; rows]));
        self.peaks.resize(self.columns.len(), None);
    }

    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit.max(2);
        while self.rows.len() > self.limit {
            self.merge();
        }
    }

    /// Whether each row is one instant.
    pub(crate) fn is_whole(&self) -> bool {
        self.stride == 1
    }

    /// Begins an instant, at which a total is known or not. One before the last is taken as being at the last: time does
    /// not run backwards.
    pub(crate) fn begin(&mut self, at_ns: u64, after_gap: bool, known: bool) {
        let at_ns = self.rows.last().map_or(at_ns, |row| row.last_ns.max(at_ns));
        let stride = self.stride;
        let alike = |row: &Row| if known { row.known > 0 } else { row.known < row.instants };
        if let Some(row) = self.rows.last_mut().filter(|row| row.instants < stride && !after_gap && alike(row)) {
            row.instants += 1;
            row.known += u64::from(known);
            row.last_ns = at_ns;
            return;
        }
        if self.rows.len() >= self.limit {
            self.merge();
            // The last row may have room now.
            return self.begin(at_ns, after_gap, known);
        }
        self.rows.push(Row { first_ns: at_ns, last_ns: at_ns, instants: 1, known: u64::from(known), after_gap });
        self.columns.iter_mut().for_each(|column| column.push(None));
    }

    /// Adds a value to the instant that was begun last.
    pub(crate) fn add(&mut self, column: usize, value: i64) {
        if let Some(last) = self.columns.get_mut(column).and_then(|column| column.last_mut()) {
            let one = Span::one(value);
            *last = Some(last.map_or(one, |span| span.then(one)));
            let peak = &mut self.peaks[column];
            if peak.is_none_or(|(_, peak)| value > peak) {
                *peak = self.rows.last().map(|row| (row.last_ns, value));
            }
        }
    }

    /// Sets all instants on a clock that began so much earlier.
    pub(crate) fn later(&mut self, by_ns: u64) {
        for row in &mut self.rows {
            row.first_ns = row.first_ns.saturating_add(by_ns);
            row.last_ns = row.last_ns.saturating_add(by_ns);
        }
        self.peaks.iter_mut().flatten().for_each(|(at, _)| *at = at.saturating_add(by_ns));
    }

    pub(crate) fn clear(&mut self, column: usize) {
        if let Some(column) = self.columns.get_mut(column) {
            column.fill(None);
        }
        if let Some(peak) = self.peaks.get_mut(column) {
            *peak = None;
        }
    }

    /// The smallest and the largest of a column.
    pub(crate) fn range(&self, column: usize) -> Option<(i64, i64)> {
        let spans = self.columns.get(column)?.iter().flatten();
        spans.map(|span| (span.min, span.max)).reduce(|one, two| (one.0.min(two.0), one.1.max(two.1)))
    }

    /// The first instant at which a column is largest, with what it is there.
    pub(crate) fn peak(&self, column: usize) -> Option<(u64, i64)> {
        *self.peaks.get(column)?
    }

    /// Says that no total is known so far.
    pub(crate) fn forget_known(&mut self) {
        self.rows.iter_mut().for_each(|row| row.known = 0);
    }

    /// The gaps between rows.
    pub(crate) fn holes(&self) -> Vec<(u64, u64)> {
        let holes = self.rows.windows(2).filter(|two| two[1].after_gap);
        holes.map(|two| (two[0].last_ns, two[1].first_ns)).collect()
    }

    /// Merges neighbours, over no gap and none of which one alone has a total, as long as that makes the grid smaller by
    /// a quarter.
    fn merge(&mut self) {
        let apart = |at: usize| self.rows[at + 1].after_gap || !self.rows[at].is_like(&self.rows[at + 1]);
        let pairs = |gaps: bool| {
            let mut groups: Vec<(usize, usize)> = Vec::with_capacity(self.rows.len() / 2 + 1);
            let mut at = 0;
            while at < self.rows.len() {
                let two = at + 1 < self.rows.len() && (gaps || !apart(at));
                groups.push((at, if two { at + 1 } else { at }));
                at += if two { 2 } else { 1 };
            }
            groups
        };
        let mut groups = pairs(false);
        if groups.len() > self.rows.len() / 4 * 3 {
            groups = pairs(true);
        }
        for (place, (from, to)) in groups.iter().enumerate() {
            let (first, last) = (self.rows[*from], self.rows[*to]);
            let sum = |of: fn(&Row) -> u64| if from == to { of(&first) } else { of(&first) + of(&last) };
            let (instants, known) = (sum(|row| row.instants), sum(|row| row.known));
            self.rows[place] = Row { last_ns: last.last_ns, instants, known, ..first };
            for column in &mut self.columns {
                column[place] = match (column[*from], column[*to]) {
                    (Some(one), Some(two)) if from != to => Some(one.then(two)),
                    (one, two) => one.or(two),
                };
            }
        }
        self.rows.truncate(groups.len());
        self.columns.iter_mut().for_each(|column| column.truncate(groups.len()));
        self.stride = self.stride.saturating_mul(2);
    }

    /// The same in at most so many rows.
    pub(crate) fn coarse(&self, rows: usize) -> Self {
        let mut grid = self.clone();
        grid.set_limit(rows);
        grid
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_peak_is_lost_and_rows_stay_few(
            values in prop::collection::vec(prop::option::of(-1000i64..1000), 1..400),
            limit in 2usize..40,
            gaps in prop::collection::vec(any::<bool>(), 400),
        ) {
            let mut grid = Grid::new(1, limit);
            for (at, value) in (0..).zip(&values) {
                grid.begin(at, gaps[values.len() - 1] && gaps[usize::try_from(at).unwrap()], value.is_some());
                if let Some(value) = value {
                    grid.add(0, *value);
                }
            }
            let some = || values.iter().flatten().copied();
            prop_assert_eq!(grid.range(0), some().min().zip(some().max()));
            prop_assert!(grid.rows.len() <= limit.max(2) && grid.columns[0].len() == grid.rows.len());
            prop_assert_eq!(grid.rows.iter().map(|row| row.instants).sum::<u64>(), values.len() as u64);
            prop_assert_eq!(grid.coarse(2).range(0), grid.range(0));
            // A peak is at its own instant, whatever was merged.
            let first = (0..).zip(&values).filter_map(|(at, value)| Some((at, (*value)?)));
            let peak = first.reduce(|one, two| if two.1 > one.1 { two } else { one });
            prop_assert_eq!((grid.peak(0), grid.coarse(2).peak(0)), (peak, peak));
            prop_assert_eq!(grid.rows.iter().map(|row| row.known).sum::<u64>(), some().count() as u64);
            if values.len() <= limit {
                let one: Vec<Option<Span>> = values.iter().map(|value| value.map(Span::one)).collect();
                prop_assert!(grid.is_whole());
                prop_assert_eq!(&grid.columns[0], &one);
            }
            // Each value lies within the row of its instant.
            let mut at = 0;
            for (row, span) in grid.rows.iter().zip(&grid.columns[0]) {
                let of: Vec<i64> = values[at..at + usize::try_from(row.instants).unwrap()].iter().flatten().copied().collect();
                at += usize::try_from(row.instants).unwrap();
                prop_assert_eq!(span.map(|span| (span.min, span.max)), of.iter().copied().min().zip(of.iter().copied().max()));
            }
        }
    }

    #[test]
    fn a_rise_stays_a_rise_and_a_gap_stays_between_rows() {
        let mut grid = Grid::new(1, 4);
        for at in 0..8u64 {
            grid.begin(at * 10 + if at >= 5 { 1000 } else { 0 }, at == 5, true);
            grid.add(0, if at < 6 { i64::try_from(at).unwrap() } else { 0 });
        }
        assert!(grid.columns[0].iter().flatten().take(2).all(|span| !span.falls));
        let gap = grid.rows.iter().position(|row| row.after_gap).unwrap();
        assert_eq!((grid.rows[gap - 1].last_ns, grid.rows[gap].first_ns), (40, 1050));
    }
}
