//! Exact quantiles of groups of durations.

use std::collections::HashMap;

use crate::TraceError;
use crate::record::Length;
use crate::runs::Sorted;

/// Quantiles of one group, in nanoseconds, by linear interpolation between the nearest ranks (type 7, as numpy).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Quantiles {
    pub p50: f64,
    pub p95: f64,
    /// The middle value; of two middle ones, their mean rounded down.
    pub middle: i64,
}

/// The quantiles of every group.
pub(crate) fn quantiles(
    lengths: &Sorted<Length>,
    sizes: impl Fn(u32) -> u64,
) -> Result<HashMap<u32, Quantiles>, TraceError> {
    let mut found = HashMap::new();
    let mut reader = lengths.read()?;
    let mut group: Option<Group> = None;
    while let Some(length) = reader.next()? {
        if group.as_ref().is_none_or(|group| group.id != length.group) {
            if let Some(ended) = group.take() {
                found.insert(ended.id, ended.quantiles());
            }
            group = Some(Group::new(length.group, sizes(length.group)));
        }
        if let Some(group) = &mut group {
            group.next(length.nanos);
        }
    }
    if let Some(ended) = group {
        found.insert(ended.id, ended.quantiles());
    }
    Ok(found)
}

struct Group {
    id: u32,
    size: u64,
    rank: u64,
    half: Between,
    high: Between,
}

/// A quantile's place between two ranks, and the values met there.
struct Between {
    rank: u64,
    /// Twentieths of the way to the next rank.
    twentieths: u64,
    low: i64,
    high: i64,
}

impl Between {
    /// `numerator` twentieths of the way from the first to the last of `size` values.
    fn new(size: u64, numerator: u64) -> Self {
        let way = size.saturating_sub(1) * numerator;
        Self { rank: way / 20, twentieths: way % 20, low: 0, high: 0 }
    }

    fn next(&mut self, rank: u64, value: i64) {
        if rank == self.rank {
            self.low = value;
            self.high = value;
        } else if rank == self.rank + 1 {
            self.high = value;
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "durations are below 2^53 ns, which is 104 days")]
    fn value(&self) -> f64 {
        self.low as f64 + (self.high - self.low) as f64 * (self.twentieths as f64 / 20.0)
    }
}

impl Group {
    fn new(id: u32, size: u64) -> Self {
        Self { id, size, rank: 0, half: Between::new(size, 10), high: Between::new(size, 19) }
    }

    fn next(&mut self, value: i64) {
        self.half.next(self.rank, value);
        self.high.next(self.rank, value);
        self.rank += 1;
    }

    fn quantiles(&self) -> Quantiles {
        let odd = self.size % 2 == 1;
        let middle = if odd { self.half.low } else { i64::midpoint(self.half.low, self.half.high) };
        let rounds_up = !odd && (self.half.low + self.half.high) < 0 && (self.half.low + self.half.high) % 2 != 0;
        Quantiles { p50: self.half.value(), p95: self.high.value(), middle: middle - i64::from(rounds_up) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::{Pool, Runs};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn quantiles_agree_with_sorting(values in prop::collection::vec((0u32..4, -50i64..1000), 1..200)) {
            let pool = Pool::new(usize::MAX, None);
            let mut runs = Runs::new(&pool);
            let mut groups: HashMap<u32, Vec<i64>> = HashMap::new();
            for &(group, nanos) in &values {
                runs.push(Length { group, nanos }).unwrap();
                groups.entry(group).or_default().push(nanos);
            }
            let sorted = Runs::sorted([runs]).unwrap();
            let found = quantiles(&sorted, |group| groups[&group].len() as u64).unwrap();
            for (group, mut values) in groups.clone() {
                values.sort_unstable();
                // Twentieths of the way, as a whole number of twentieths of a nanosecond.
                let at = |numerator: usize| {
                    let way = (values.len() - 1) * numerator;
                    let (low, high) = (values[way / 20], values[way.div_ceil(20)]);
                    low * 20 + (high - low) * i64::try_from(way % 20).unwrap()
                };
                let twentieths = |value: f64| format!("{:.0}", value * 20.0);
                let n = values.len();
                let middle = (values[(n - 1) / 2] + values[n / 2]).div_euclid(2);
                prop_assert_eq!(twentieths(found[&group].p50), at(10).to_string());
                prop_assert_eq!(twentieths(found[&group].p95), at(19).to_string());
                prop_assert_eq!(found[&group].middle, middle);
            }
        }
    }
}
