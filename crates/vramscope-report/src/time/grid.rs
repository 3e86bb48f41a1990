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
    /// Whether a gap lies before it.
    pub(crate) after_gap: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Grid {
    limit: usize,
    /// How many instants go into a row.
    stride: u64,
    pub(crate) rows: Vec<Row>,
    pub(crate) columns: Vec<Vec<Option<Span>>>,
}

impl Grid {
    /// A grid of at most this many rows, which are two at least.
    pub(crate) fn new(columns: usize, limit: usize) -> Self {
        Self { limit: limit.max(2), stride: 1, rows: Vec::new(), columns: vec![Vec::new(); columns] }
    }

    /// Columns that nothing is in yet.
    pub(crate) fn widen(&mut self, columns: usize) {
        let rows = self.rows.len();
        self.columns.extend((0..columns).map(|_| vec![None; rows]));
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

    /// Begins an instant. One before the last is taken as being at the last: time does not run backwards.
    pub(crate) fn begin(&mut self, at_ns: u64, after_gap: bool) {
        let at_ns = self.rows.last().map_or(at_ns, |row| row.last_ns.max(at_ns));
        let stride = self.stride;
        if let Some(row) = self.rows.last_mut().filter(|row| row.instants < stride && !after_gap) {
            row.instants += 1;
            row.last_ns = at_ns;
            return;
        }
        if self.rows.len() >= self.limit {
            self.merge();
            // The last row may have room now.
            return self.begin(at_ns, after_gap);
        }
        self.rows.push(Row { first_ns: at_ns, last_ns: at_ns, instants: 1, after_gap });
        self.columns.iter_mut().for_each(|column| column.push(None));
    }

    /// Adds a value to the instant that was begun last.
    pub(crate) fn add(&mut self, column: usize, value: i64) {
        if let Some(last) = self.columns.get_mut(column).and_then(|column| column.last_mut()) {
            let one = Span::one(value);
            *last = Some(last.map_or(one, |span| span.then(one)));
        }
    }

    pub(crate) fn clear(&mut self, column: usize) {
        if let Some(column) = self.columns.get_mut(column) {
            column.fill(None);
        }
    }

    /// The smallest and the largest of a column.
    pub(crate) fn range(&self, column: usize) -> Option<(i64, i64)> {
        let spans = self.columns.get(column)?.iter().flatten();
        spans.map(|span| (span.min, span.max)).reduce(|one, two| (one.0.min(two.0), one.1.max(two.1)))
    }

    /// The first instant at which a column is largest, as near as rows tell.
    pub(crate) fn peak(&self, column: usize) -> Option<(u64, i64)> {
        let max = self.range(column)?.1;
        let place = self.columns[column].iter().position(|span| span.is_some_and(|span| span.max == max))?;
        let (row, span) = (self.rows[place], self.columns[column][place]?);
        Some((if span.falls || span.min == span.max { row.first_ns } else { row.last_ns }, max))
    }

    /// The gaps between rows.
    pub(crate) fn holes(&self) -> Vec<(u64, u64)> {
        let holes = self.rows.windows(2).filter(|two| two[1].after_gap);
        holes.map(|two| (two[0].last_ns, two[1].first_ns)).collect()
    }

    /// Merges neighbours, over no gap as long as that makes the grid smaller by a quarter.
    fn merge(&mut self) {
        let pairs = |gaps: bool| {
            let mut groups: Vec<(usize, usize)> = Vec::with_capacity(self.rows.len() / 2 + 1);
            let mut at = 0;
            while at < self.rows.len() {
                let two = at + 1 < self.rows.len() && (gaps || !self.rows[at + 1].after_gap);
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
            let instants = if from == to { first.instants } else { first.instants + last.instants };
            self.rows[place] = Row { last_ns: last.last_ns, instants, ..first };
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
                grid.begin(at, gaps[values.len() - 1] && gaps[usize::try_from(at).unwrap()]);
                if let Some(value) = value {
                    grid.add(0, *value);
                }
            }
            let some = || values.iter().flatten().copied();
            prop_assert_eq!(grid.range(0), some().min().zip(some().max()));
            prop_assert!(grid.rows.len() <= limit.max(2) && grid.columns[0].len() == grid.rows.len());
            prop_assert_eq!(grid.rows.iter().map(|row| row.instants).sum::<u64>(), values.len() as u64);
            prop_assert_eq!(grid.coarse(2).range(0), grid.range(0));
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
            grid.begin(at * 10 + if at >= 5 { 1000 } else { 0 }, at == 5);
            grid.add(0, if at < 6 { i64::try_from(at).unwrap() } else { 0 });
        }
        assert!(grid.columns[0].iter().flatten().take(2).all(|span| !span.falls));
        let gap = grid.rows.iter().position(|row| row.after_gap).unwrap();
        assert_eq!((grid.rows[gap - 1].last_ns, grid.rows[gap].first_ns), (40, 1050));
    }
}
