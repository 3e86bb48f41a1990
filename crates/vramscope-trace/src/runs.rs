//! Records in order, in bounded memory.
//!
//! A trace's events are nearly, but not quite, in order of time, and joining GPU work with the calls that launched it
//! needs other orders still. Records are sorted in small batches; each batch is packed as differences, which takes five
//! to twelve bytes a record; packed batches beyond a budget go to an unnamed temporary file. Reading merges the batches.

mod merge;
mod pack;
mod pool;

pub(crate) use merge::Merged;
#[cfg(test)]
pub(crate) use merge::records_read;
pub(crate) use pack::{Packed, get, get_signed, put, put_signed};
pub(crate) use pool::Pool;

use crate::TraceError;
use pool::Batch;

/// Records sorted at a time. The batch of the largest record takes 4 MiB.
const BATCH: usize = 1 << 16;

/// Records on their way to being sorted.
pub(crate) struct Runs<T> {
    pool: Pool,
    open: Vec<T>,
    batches: Vec<Batch>,
    count: u64,
}

impl<T: Packed> Runs<T> {
    pub(crate) fn new(pool: &Pool) -> Self {
        Self { pool: pool.clone(), open: Vec::new(), batches: Vec::new(), count: 0 }
    }

    pub(crate) fn push(&mut self, record: T) -> Result<(), TraceError> {
        self.open.push(record);
        self.count += 1;
        if self.open.len() == BATCH { self.close_batch() } else { Ok(()) }
    }

    fn close_batch(&mut self) -> Result<(), TraceError> {
        if self.open.is_empty() {
            return Ok(());
        }
        self.open.sort_unstable();
        let mut bytes = Vec::with_capacity(self.open.len() * 8);
        let mut state = T::State::default();
        for record in self.open.drain(..) {
            record.pack(&mut state, &mut bytes);
        }
        self.batches.push(self.pool.keep(bytes)?);
        Ok(())
    }

    /// Ends the writing of several sets; all their records can then be read in order.
    pub(crate) fn sorted(sets: impl IntoIterator<Item = Self>) -> Result<Sorted<T>, TraceError> {
        let mut sorted = Sorted { batches: Vec::new(), count: 0, kind: std::marker::PhantomData };
        for mut set in sets {
            set.close_batch()?;
            sorted.count += set.count;
            sorted.batches.append(&mut set.batches);
        }
        Ok(sorted)
    }
}

/// Records that can be read in order, any number of times.
pub(crate) struct Sorted<T> {
    batches: Vec<Batch>,
    count: u64,
    kind: std::marker::PhantomData<T>,
}

impl<T: Packed> Sorted<T> {
    /// All records in order.
    pub(crate) fn read(&self) -> Result<Merged<'_, T>, TraceError> {
        Merged::new(self.batches.iter().map(Batch::open))
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    struct Pair(i64, u64);

    impl Packed for Pair {
        type State = i64;

        fn pack(&self, last: &mut i64, out: &mut Vec<u8>) {
            put_signed(out, self.0.wrapping_sub(*last));
            put(out, self.1);
            *last = self.0;
        }

        fn unpack(last: &mut i64, input: &mut &[u8]) -> Option<Self> {
            *last = last.wrapping_add(get_signed(input)?);
            Some(Self(*last, get(input)?))
        }
    }

    fn round_trip(values: &[(i64, u64)], pool: &Pool) -> Vec<Pair> {
        let mut sets = [Runs::new(pool), Runs::new(pool), Runs::new(pool)];
        for (n, &(a, b)) in values.iter().enumerate() {
            let set = &mut sets[n % 3];
            set.push(Pair(a, b)).unwrap();
            if n % 7 == 0 {
                set.close_batch().unwrap();
            }
        }
        let sorted = Runs::sorted(sets).unwrap();
        assert_eq!(sorted.len(), values.len() as u64);
        let mut merged = sorted.read().unwrap();
        let mut found = Vec::new();
        while let Some(record) = merged.next().unwrap() {
            found.push(record);
        }
        found
    }

    proptest! {
        #[test]
        fn records_come_back_in_order(values in prop::collection::vec(any::<(i64, u64)>(), 0..300)) {
            let mut expected: Vec<Pair> = values.iter().map(|&(a, b)| Pair(a, b)).collect();
            expected.sort_unstable();
            prop_assert_eq!(round_trip(&values, &Pool::new(usize::MAX, None)), expected.clone());
            let folder = std::env::temp_dir();
            prop_assert_eq!(round_trip(&values, &Pool::new(0, Some(folder))), expected);
        }
    }

    #[test]
    fn a_missing_folder_is_an_error_that_names_it() {
        let pool = Pool::new(0, Some("/nonexistent/vramscope".into()));
        let mut runs = Runs::new(&pool);
        runs.push(Pair(1, 2)).unwrap();
        let failed = Runs::sorted([runs]).err().map(|e| e.to_string());
        assert!(failed.is_some_and(|text| text.contains("/nonexistent/vramscope")));
    }
}
