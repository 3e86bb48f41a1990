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
    let whole = used[end] - used[start];
    (whole >= pool / 4 * 3 && whole <= pool / 4 * 5).then_some((start, end))
}

/// The level on which the weights were put. A plateau qualifies if memory rises from it by the weights and does not fall
/// below that again; right after loading it may be higher, by temporary copies. Several qualify, because allocation has
/// short stops on its way; the engine rests longest between creating its context and loading.
fn before_load(used: &[u64], baseline: Bytes, weights: Bytes) -> Option<Bytes> {
    let mut lowest_after = used.to_vec();
    for i in (1..used.len()).rev() {
        lowest_after[i - 1] = lowest_after[i - 1].min(lowest_after[i]);
    }
    let carries_weights = |end: usize| {
        let top = used[end].saturating_add(weights.get()).saturating_sub(SLACK.get());
        let loaded = used[end..].iter().position(|u| *u >= top);
        loaded.is_some_and(|after| lowest_after[end + after] >= top)
    };
    let least = baseline.checked_add(LEAST_CONTEXT)?.get();
    let mut end = 0;
    let mut longest: Option<(usize, u64)> = None;
    for plateau in used.chunk_by(|a, b| a == b) {
        end += plateau.len();
        let qualifies = plateau.len() >= PLATEAU && plateau[0] >= least && carries_weights(end - 1);
        if qualifies && longest.is_none_or(|(length, _)| plateau.len() > length) {
            longest = Some((plateau.len(), plateau[0]));
        }
    }
    longest.map(|(_, level)| Bytes::new(level))
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn temporary_copies_and_a_profile_run_do_not_mislead() {
        let run = [0.0, 0.0, 0.5, 0.5, 0.5, 1.0, 1.0, 2.5, 3.0, 2.75, 4.0, 2.75, 62.75, 122.75, 122.75, 123.5];
        let found = levels(&run, 0.0, 2.25, 120.0);
        assert_eq!(found.before_load, Some(Bytes::new(GIB / 2)));
        assert_eq!(found.before_pool, Some(Bytes::new(11 * GIB / 4)));
        let after = found.after_pool.unwrap();
        assert_eq!((after.at.as_millis(), after.used.get()), (1300, 491 * GIB / 4));
    }

    #[test]
    fn a_pool_that_is_not_to_be_seen_is_absent() {
        let found = levels(&[0.0, 0.5, 0.5, 0.5, 3.0, 3.0], 0.0, 2.5, 60.0);
        assert_eq!((found.before_pool, found.after_pool), (None, None));
        assert_eq!(levels(&[], 0.0, 1.0, 1.0), Levels::default());
    }
}
