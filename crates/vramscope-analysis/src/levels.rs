//! Finds in one device's samples the levels between which the engine's allocations lie.
//!
//! An engine claims memory in steps: the driver context, the weights, the profile run, the KV-cache pool in one
//! stroke, graphs. The log says how large the steps are and about when; the samples say where the level stood
//! before and after.

use std::time::Duration;

use vramscope_core::{Bytes, Sample};

/// Levels of one device. Absent: not to be seen in the samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Levels {
    /// What was in use, baseline included, when weights began to load.
    pub(crate) before_load: Option<Bytes>,
    /// What was in use just before the KV-cache pool was allocated.
    pub(crate) before_pool: Option<Bytes>,
    /// What was in use just after.
    pub(crate) after_pool: Option<Level>,
}

/// A level with its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Level {
    pub(crate) at: Duration,
    pub(crate) used: Bytes,
}

/// What the log says of one device: sizes of the steps on it, all ranks of the device together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Steps {
    pub(crate) baseline: Bytes,
    pub(crate) weights: Option<Bytes>,
    pub(crate) pool: Option<Bytes>,
}

/// A level counts as a plateau when it holds for so many samples.
const PLATEAU: usize = 2;
/// Part of the pool by which one sample must rise over the one before to belong to its allocation.
const STEEP: u64 = 50;
/// A driver context is larger than this.
const LEAST_CONTEXT: Bytes = Bytes::new(100 << 20);
/// How far levels may be off: one allocation segment of the framework and the digits of the log.
const SLACK: Bytes = Bytes::new(32 << 20);

/// Reads the levels off the samples of one device, in order of time.
pub(crate) fn find(samples: &[&Sample], steps: Steps) -> Levels {
    let used: Vec<u64> = samples.iter().map(|s| s.reading.used.get()).collect();
    let stroke = steps.pool.and_then(|pool| stroke(&used, pool.get()));
    let loaded_until = stroke.map_or(used.len(), |(start, _)| start + 1);
    let before_load = steps.weights.and_then(|w| before_load(&used[..loaded_until], steps.baseline, w));
    Levels {
        before_load,
        before_pool: stroke.map(|(start, _)| Bytes::new(used[start])),
        after_pool: stroke.map(|(_, end)| Level { at: samples[end].at, used: Bytes::new(used[end]) }),
    }
}

/// The allocation of the pool: the steepest rise, from the sample before it to the first one after it. It must be
/// most of the pool, because the framework may hand back cached memory in the same moment, but not much of it.
fn stroke(used: &[u64], pool: u64) -> Option<(usize, usize)> {
    let steep = (pool / STEEP).max(1);
    let rise = |i: usize| used[i + 1].saturating_sub(used[i]);
    let steepest = (0..used.len().checked_sub(1)?).max_by_key(|&i| (rise(i), std::cmp::Reverse(i)))?;
    let (mut start, mut end) = (steepest, steepest + 1);
    while start > 0 && rise(start - 1) >= steep {
        start -= 1;
    }
    while end + 1 < used.len() && rise(end) >= steep {
        end += 1;
    }
    // Where memory only falls the steepest rise is none.
    let whole = used[end].checked_sub(used[start])?;
    (whole >= pool / 4 * 3 && whole <= pool / 4 * 5).then_some((start, end))
}

/// The level on which the weights were put. A plateau qualifies if memory rises from it by the weights and does not fall
/// below that again; right after loading it may be higher, by temporary copies. Several qualify, because allocation has
/// short stops on its way; the engine rests longest between creating its context and loading.
fn before_load(used: &[u64], baseline: Bytes, weights: Bytes) -> Option<Bytes> {
    let least = baseline.checked_add(LEAST_CONTEXT)?.get();
    let mut lowest_after = used.to_vec();
    for i in (1..used.len()).rev() {
        lowest_after[i - 1] = lowest_after[i - 1].min(lowest_after[i]);
    }
    // From the end backwards: places from here on of which each is higher than all between it and here, the nearest last.
    // The first one that is high enough is found by halving, since a log may have a million plateaus.
    let mut rising: Vec<usize> = Vec::new();
    let mut start = used.len();
    let mut longest: Option<(usize, u64)> = None;
    for plateau in used.chunk_by(|a, b| a == b).rev() {
        let end = start - 1;
        start -= plateau.len();
        let level = plateau[0];
        while rising.last().is_some_and(|&place| used[place] <= level) {
            rising.pop();
        }
        rising.push(end);
        let top = level.saturating_add(weights.get()).saturating_sub(SLACK.get());
        let reached = rising.partition_point(|&place| used[place] >= top);
        let loaded = reached.checked_sub(1).map(|nearest| rising[nearest]);
        let carries_weights = loaded.is_some_and(|loaded| lowest_after[loaded] >= top);
        let qualifies = plateau.len() >= PLATEAU && level >= least && carries_weights;
        // Of two equally long ones the earlier counts.
        if qualifies && longest.is_none_or(|(length, _)| plateau.len() >= length) {
            longest = Some((plateau.len(), level));
        }
    }
    longest.map(|(_, level)| Bytes::new(level))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vramscope_core::{DeviceIndex, Reading};

    const GIB: u64 = 1 << 30;

    fn levels(heights: &[f64], baseline: f64, weights: f64, pool: f64) -> Levels {
        let gib = |value: f64| Bytes::from_unit(value, vramscope_core::ByteUnit::GiB).unwrap();
        let samples: Vec<Sample> = (0u32..)
            .zip(heights)
            .map(|(tick, &used)| Sample {
                at: Duration::from_millis(100) * tick,
                tick,
                device: DeviceIndex(0),
                reading: Reading { used: gib(used), ..Reading::default() },
            })
            .collect();
        let samples: Vec<&Sample> = samples.iter().collect();
        let steps = Steps { baseline: gib(baseline), weights: Some(gib(weights)), pool: Some(gib(pool)) };
        find(&samples, steps)
    }

    #[test]
    fn memory_that_only_falls_has_no_pool_and_no_panic() {
        for heights in [&[3.0, 2.0][..], &[3.0, 3.0, 2.0, 1.0], &[1.0, 1.0]] {
            let found = levels(heights, 0.0, 1.0, 1.0);
            assert!(found.before_pool.is_none() && found.after_pool.is_none(), "{heights:?}: {found:?}");
        }
    }

    #[test]
    fn temporary_copies_and_a_profile_run_do_not_mislead() {
        let run = [0.0, 0.0, 0.5, 0.5, 0.5, 1.0, 1.0, 2.5, 3.0, 2.75, 4.0, 2.75, 62.75, 122.75, 122.75, 123.5];
        let found = levels(&run, 0.0, 2.25, 120.0);
        assert_eq!(found.before_load, Some(Bytes::new(GIB / 2)));
        assert_eq!(found.before_pool, Some(Bytes::new(11 * GIB / 4)));
        let after = found.after_pool.unwrap();
        assert_eq!((after.at.as_millis(), after.used.get()), (1300, 491 * GIB / 4));
    }

    proptest! {
        #[test]
        fn the_level_before_loading_is_that_of_the_plain_search(
            heights in prop::collection::vec((0u64..12, 1usize..4), 0..40),
            weights in 0u64..8,
            baseline in 0u64..3,
        ) {
            let step = 64 << 20;
            let used: Vec<u64> = heights.iter().flat_map(|&(height, n)| std::iter::repeat_n(height * step, n)).collect();
            let (baseline, weights) = (Bytes::new(baseline * step), Bytes::new(weights * step));
            prop_assert_eq!(before_load(&used, baseline, weights), plain_search(&used, baseline, weights));
        }
    }

    /// Word for word: the longest plateau, the earliest of several, from which memory rises by the weights for good.
    fn plain_search(used: &[u64], baseline: Bytes, weights: Bytes) -> Option<Bytes> {
        let mut found: Option<(usize, u64)> = None;
        let mut end = 0;
        for plateau in used.chunk_by(|a, b| a == b) {
            end += plateau.len();
            let top = (plateau[0] + weights.get()).saturating_sub(SLACK.get());
            let after = &used[end - 1..];
            let loaded = after.iter().position(|u| *u >= top);
            let stays = loaded.is_some_and(|place| after[place..].iter().all(|u| *u >= top));
            let qualifies = plateau.len() >= PLATEAU && plateau[0] >= baseline.get() + LEAST_CONTEXT.get() && stays;
            if qualifies && found.is_none_or(|(length, _)| plateau.len() > length) {
                found = Some((plateau.len(), plateau[0]));
            }
        }
        found.map(|(_, level)| Bytes::new(level))
    }

    #[test]
    fn a_pool_that_is_not_to_be_seen_is_absent() {
        let found = levels(&[0.0, 0.5, 0.5, 0.5, 3.0, 3.0], 0.0, 2.5, 60.0);
        assert_eq!((found.before_pool, found.after_pool), (None, None));
        assert_eq!(levels(&[], 0.0, 1.0, 1.0), Levels::default());
    }
}
