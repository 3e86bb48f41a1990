//! The length of a union of intervals that come in order of their beginnings.

/// A union so far: its length, and where its last interval ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Union {
    length: i64,
    end: Option<i64>,
}

impl Union {
    /// Nothing.
    pub(crate) const EMPTY: Self = Self { length: 0, end: None };

    /// Adds an interval that begins no earlier than the ones before. Gives from where on it is new; at its end or behind
    /// it, nothing of it is.
    #[inline]
    pub(crate) fn add(&mut self, start: i64, end: i64) -> i64 {
        let from = self.end.map_or(start, |last| last.max(start));
        if end > from {
            self.length += end - from;
        }
        self.end = Some(self.end.map_or(end, |last| last.max(end)));
        from
    }

    /// Nanoseconds covered.
    pub(crate) fn length(self) -> i64 {
        self.length
    }

    /// Where the last interval ends.
    pub(crate) fn end(self) -> Option<i64> {
        self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_union_covers_each_nanosecond_once(intervals in prop::collection::vec((0i64..200, 0i64..30), 0..40)) {
            let mut intervals = intervals;
            intervals.sort_unstable();
            let mut union = Union::default();
            let mut covered = [false; 300];
            for (start, length) in intervals {
                union.add(start, start + length);
                for at in start..start + length {
                    covered[usize::try_from(at).unwrap()] = true;
                }
            }
            let count = covered.iter().filter(|c| **c).count();
            prop_assert_eq!(usize::try_from(union.length()).unwrap(), count);
        }
    }
}
