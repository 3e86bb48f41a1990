//! Numbers from a seed, the same in every release.

/// Steele, Lea and Flood's `SplitMix64`. A library's generator may change its stream between versions, and then a seed in an
/// old report would no longer name its load; these few lines cannot.
#[derive(Debug, Clone)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// The stream number `stream` of a seed.
    pub(crate) fn of(seed: u64, stream: u64) -> Self {
        let mut first = Self { state: seed };
        let mut second = Self { state: first.next().wrapping_add(stream) };
        Self { state: second.next() }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `count`; 0 if there is none. The bias, under 2^-32, does not matter for a load.
    pub(crate) fn below(&mut self, count: u32) -> u32 {
        let scaled = (self.next() >> 32) * u64::from(count);
        u32::try_from(scaled >> 32).unwrap_or(0)
    }

    /// An exponentially distributed number of mean 1.
    pub(crate) fn exponential(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double")]
        let unit = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        -(1.0 - unit).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_the_published_one() {
        // The first outputs for seed 1234567 in the authors' reference program.
        let mut random = Random { state: 1_234_567 };
        assert_eq!([random.next(), random.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn exponential_numbers_have_mean_and_deviation_one() {
        let mut random = Random::of(7, 0);
        let many: Vec<f64> = (0..100_000).map(|_| random.exponential()).collect();
        let mean = many.iter().sum::<f64>() / 1e5;
        let variance = many.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 1e5;
        assert!((mean - 1.0).abs() < 0.02 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }
}
