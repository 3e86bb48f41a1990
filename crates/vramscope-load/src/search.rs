//! Finds the highest level that holds: doubles until one does not, then halves the gap.

/// How a level came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// It holds.
    Yes,
    /// It does not.
    No,
    /// The requests that were sent do not tell it from one that is on the bound.
    Unsure,
}

/// A search over levels from the first up, in steps of a given fineness.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    whole: bool,
    /// The first level: where nothing holds, one below a thousandth of it is not looked for.
    first: f64,
    most: f64,
    resolution: f64,
    holds: Option<f64>,
    fails: Option<f64>,
    next: Option<f64>,
    unsure: u32,
    share: f64,
}

/// A level that cannot be told is measured so often at most, all its requests together.
const REPEATS: u32 = 3;

impl Search {
    /// From `first` up to `most`, until the gap between what holds and what does not is `resolution` of what holds. With
    /// `whole` only whole numbers are tried, and the gap need not be below 1.
    /// A level holds where `share` of its requests are good.
    pub fn new(first: f64, most: f64, resolution: f64, whole: bool, share: f64) -> Self {
        let first = first.min(most);
        let next = Some(first);
        Self { whole, first, most, resolution, holds: None, fails: None, next, unsure: 0, share }
    }

    /// The level to measure, or `None` when the search is over.
    pub fn next(&self) -> Option<f64> {
        self.next
    }

    /// How often the level has been measured without an answer.
    pub fn unsure(&self) -> u32 {
        self.unsure
    }

    /// The highest level that was found to hold.
    pub fn holds(&self) -> Option<f64> {
        self.holds
    }

    /// The lowest level that was found not to.
    pub fn fails(&self) -> Option<f64> {
        self.fails
    }

    /// Takes how many requests of the level of [`Self::next`] were good, of how many, over all that was measured of it.
    /// Where that does not tell, the level is measured again; after three times what was seen decides.
    pub fn tell(&mut self, good: u64, sent: u64) {
        let Some(level) = self.next else { return };
        let held = held(good, sent, self.share);
        if held == Held::Unsure && self.unsure + 1 < REPEATS {
            self.unsure += 1;
            return;
        }
        self.unsure = 0;
        if held == Held::Yes || (held == Held::Unsure && ratio(good, sent) >= self.share) {
            self.holds = Some(level);
        } else {
            self.fails = Some(level);
        }
        self.next = self.after();
    }

    fn after(&self) -> Option<f64> {
        match (self.holds, self.fails) {
            (Some(holds), None) if holds >= self.most => None,
            (Some(holds), None) => Some((holds * 2.0).min(self.most)),
            (None, None) => None,
            (holds, Some(fails)) => {
                let low = holds.unwrap_or(0.0);
                let gap = fails - low;
                let least = if self.whole { 1.0 } else { self.first / 1000.0 };
                if gap <= self.resolution * low || ((self.whole || holds.is_none()) && gap <= least) {
                    return None;
                }
                let middle = low + gap / 2.0;
                Some(if self.whole { middle.floor().max(low + 1.0) } else { middle })
            }
        }
    }
}

/// Whether a level holds where so many of its requests were good, and `share` of them have to be. It is unsure while the
/// 95 % interval of Wilson around what was seen has the share in it.
pub fn held(good: u64, sent: u64, share: f64) -> Held {
    const Z: f64 = 1.96;
    if sent == 0 {
        return Held::No;
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of requests")]
    let n = sent as f64;
    let seen = ratio(good, sent);
    let centre = (seen + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let half = Z / (1.0 + Z * Z / n) * (seen * (1.0 - seen) / n + Z * Z / (4.0 * n * n)).sqrt();
    // All good is as good as it can be: a share of 99 % would take 400 requests to be sure of.
    if good == sent || centre - half >= share {
        Held::Yes
    } else if centre + half < share {
        Held::No
    } else {
        Held::Unsure
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests")]
fn ratio(good: u64, sent: u64) -> f64 {
    if sent == 0 { 0.0 } else { good as f64 / sent as f64 }
}

/// A measured level, as far as the shape of many matters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// What was asked: requests in flight, or per second.
    pub level: f64,
    /// What came of it: generated tokens per second.
    pub throughput: f64,
    /// What it cost: the mean time of a request, in seconds.
    pub latency: f64,
}

/// The level with the most throughput for its latency (Kleinrock's power): below it the server has time left, above it
/// requests wait for each other.
pub fn knee(points: &[Point]) -> Option<f64> {
    let power = |point: &Point| point.throughput / point.latency;
    let fit = points.iter().filter(|point| point.latency > 0.0 && power(point).is_finite());
    fit.max_by(|a, b| power(a).total_cmp(&power(b))).map(|point| point.level)
}

/// The lowest level with at least 95 % of the highest throughput, where a level of at least 1.5 times it was measured
/// and brought no more: only then is it known to be the end.
pub fn saturation(points: &[Point]) -> Option<f64> {
    let most = points.iter().map(|point| point.throughput).reduce(f64::max).filter(|most| *most > 0.0)?;
    let reached = points.iter().filter(|point| point.throughput >= 0.95 * most).map(|point| point.level);
    let lowest = reached.reduce(f64::min)?;
    points.iter().any(|point| point.level >= 1.5 * lowest).then_some(lowest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(mut search: Search, truth: f64) -> (Search, u32) {
        let mut measured = 0;
        while let Some(level) = search.next() {
            search.tell(if level <= truth { 100 } else { 0 }, 100);
            measured += 1;
            assert!(measured < 100, "it ends");
        }
        (search, measured)
    }

    proptest! {
        #[test]
        fn what_holds_is_found_to_the_resolution(truth in 1.0f64..5000.0) {
            let (search, measured) = run(Search::new(1.0, 4096.0, 0.05, true, 0.99), truth);
            let found = search.holds().unwrap();
            prop_assert!(found <= truth && (found >= truth.min(4096.0).floor() - 1.0 || found >= 0.95 * truth.min(4096.0)), "{found} for {truth}");
            prop_assert!(measured <= 24);
            let (search, _) = run(Search::new(1.0, 1e6, 0.02, false, 0.99), truth);
            let found = search.holds().unwrap();
            prop_assert!(found <= truth && found >= truth / 1.0201, "{found} for {truth}");
        }

        #[test]
        fn where_nothing_holds_the_search_ends(first in 0.5f64..100.0) {
            let (search, _) = run(Search::new(first, 1e4, 0.02, false, 0.99), 0.0);
            prop_assert_eq!(search.holds(), None);
            let (search, measured) = run(Search::new(1.0, 64.0, 0.05, true, 0.99), 0.0);
            prop_assert_eq!((search.holds(), measured), (None, 1));
        }
    }

    #[test]
    fn what_is_unsure_is_measured_again_and_then_decided_by_what_was_seen() {
        for (good, holds, next) in [(295, None, Some(2.0)), (298, Some(4.0), Some(8.0))] {
            let mut search = Search::new(4.0, 64.0, 0.05, true, 0.99);
            search.tell(99, 100);
            assert_eq!((search.next(), search.unsure()), (Some(4.0), 1));
            search.tell(198, 200);
            search.tell(good, 300);
            assert_eq!((search.holds(), search.next(), search.unsure()), (holds, next, 0), "{good}");
        }
    }

    #[test]
    fn a_share_is_told_as_far_as_the_requests_tell_it() {
        assert_eq!(held(0, 0, 0.99), Held::No);
        assert_eq!(held(100, 100, 0.99), Held::Yes);
        assert_eq!(held(80, 100, 0.99), Held::No);
        assert_eq!(held(98, 100, 0.99), Held::Unsure);
        assert_eq!(held(99_900, 100_000, 0.99), Held::Yes);
        assert_eq!(held(98_000, 100_000, 0.99), Held::No);
    }

    #[test]
    fn the_knee_and_the_end_of_a_server_of_known_capacity_are_found() {
        // Eight places, a second each: beyond eight, requests wait.
        let points: Vec<Point> = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
            .map(|level: f64| Point { level, throughput: level.min(8.0) * 100.0, latency: (level / 8.0).max(1.0) })
            .to_vec();
        assert_eq!((knee(&points), saturation(&points)), (Some(8.0), Some(8.0)));
        assert_eq!(saturation(&points[..4]), None, "the last level still brought more");
        assert_eq!((knee(&[]), saturation(&[])), (None, None));
    }
}
