//! Numbers from a seed, the same in every release.

/// Steele, Lea and Flood's `SplitMix64`. A library's generator may change its stream between versions, and then a seed in an
/// old report would no longer name its load; these few lines cannot.
#[derive(Debug, Clone)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// The stream of a seed that these words name, in their order: each word is mixed into what came before it.
    pub(crate) fn of(seed: u64, words: &[u64]) -> Self {
        let state = words
            .iter()
            .fold(Self { state: seed }.next(), |state, word| Self { state: state.wrapping_add(*word) }.next());
        Self { state }
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

    /// A number below `count`; 0 if there is none. The bias, under `count` / 2^64, does not matter for a load.
    pub(crate) fn below_u64(&mut self, count: u64) -> u64 {
        let scaled = u128::from(self.next()) * u128::from(count);
        u64::try_from(scaled >> 64).unwrap_or(0)
    }

    /// A number from 0 to below 1.
    pub(crate) fn unit(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double")]
        let unit = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        unit
    }

    /// An exponentially distributed number of mean 1.
    pub(crate) fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }

    /// A normally distributed number of mean 0 and deviation 1 (Box and Muller).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (2.0 * self.exponential()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// A gamma-distributed number of mean 1 (Marsaglia and Tsang, with their step for shapes below 1). The larger the
    /// shape, the closer to 1; shape 1 is exponential.
    pub(crate) fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            let unit = 1.0 - self.unit();
            // The mean of the larger shape is 1 by its own scale.
            return self.gamma(shape + 1.0) * (shape + 1.0) / shape * unit.powf(1.0 / shape);
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && (1.0 - self.unit()).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v / shape;
            }
        }
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

    fn moments(mut draw: impl FnMut() -> f64) -> (f64, f64) {
        let many: Vec<f64> = (0..100_000).map(|_| draw()).collect();
        let mean = many.iter().sum::<f64>() / 1e5;
        (mean, many.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 1e5)
    }

    #[test]
    fn numbers_have_the_mean_and_variance_of_their_distribution() {
        let mut random = Random::of(7, &[]);
        let (mean, variance) = moments(|| random.exponential());
        assert!((mean - 1.0).abs() < 0.02 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        let (mean, variance) = moments(|| random.normal());
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        for shape in [0.3, 1.0, 4.0] {
            let (mean, variance) = moments(|| random.gamma(shape));
            assert!((mean - 1.0).abs() < 0.03 && (variance * shape - 1.0).abs() < 0.1, "{shape}: {mean} {variance}");
        }
    }

    #[test]
    fn each_word_and_its_place_name_another_stream() {
        let first = |words: &[u64]| Random::of(5, words).next();
        let streams = [first(&[]), first(&[0]), first(&[1, 2]), first(&[2, 1]), first(&[1, 2, 0])];
        let others: std::collections::BTreeSet<u64> = streams.into_iter().collect();
        assert_eq!(others.len(), streams.len());
    }
}
