//! How long prompts and answers are.

use std::fmt;
use std::str::FromStr;

use crate::random::Random;

/// A distribution of lengths in tokens, never below 1.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Lengths {
    /// All the same.
    Fixed(u64),
    /// Each from the first to the last, equally likely.
    Uniform {
        /// The shortest.
        low: u64,
        /// The longest.
        high: u64,
    },
    /// Normally distributed, rounded; what falls below 1 or beyond four deviations is drawn again.
    Normal {
        /// The mean.
        mean: f64,
        /// The standard deviation.
        sd: f64,
    },
}

/// A normal length farther from its mean than so many deviations is drawn again, so that the longest one is known.
const DEVIATIONS: f64 = 4.0;
/// After so many draws below 1 a length is 1: the mean is far below it then.
const DRAWS: usize = 64;

impl Lengths {
    /// The longest that can come.
    pub fn longest(&self) -> u64 {
        match *self {
            Self::Fixed(len) => len,
            Self::Uniform { high, .. } => high,
            Self::Normal { mean, sd } => whole(mean + DEVIATIONS * sd),
        }
    }

    /// The shortest that can come.
    pub fn shortest(&self) -> u64 {
        match *self {
            Self::Fixed(len) => len,
            Self::Uniform { low, .. } => low,
            Self::Normal { mean, sd } => whole(mean - DEVIATIONS * sd),
        }
    }

    /// The length if all are the same.
    pub fn fixed(&self) -> Option<u64> {
        if let Self::Fixed(len) = self { Some(*len) } else { None }
    }

    /// What is wrong with it, if anything is.
    pub(crate) fn problem(&self) -> Option<String> {
        match *self {
            Self::Uniform { low, high } if low > high => Some(format!("{self} ends before it begins")),
            Self::Normal { mean, sd } if !(mean.is_finite() && sd.is_finite() && mean >= 1.0 && sd >= 0.0) => {
                Some(format!("{self} has no such mean and deviation; expected a mean of at least 1"))
            }
            _ => None,
        }
    }

    /// One length.
    pub(crate) fn draw(&self, random: &mut Random) -> u64 {
        match *self {
            Self::Fixed(len) => len,
            Self::Uniform { low, high } => {
                low.saturating_add(random.below_u64(high.saturating_sub(low).saturating_add(1)))
            }
            Self::Normal { mean, sd } => {
                let fits = |x: &f64| *x >= 0.5 && (*x - mean).abs() <= DEVIATIONS * sd;
                let drawn = (0..DRAWS).map(|_| mean + sd * random.normal()).find(fits);
                whole(drawn.unwrap_or(mean))
            }
        }
    }
}

/// The nearest length of at least 1.
fn whole(length: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what a length can be")]
    let length = length.round().clamp(1.0, 1e15) as u64;
    length
}

impl From<u64> for Lengths {
    fn from(len: u64) -> Self {
        Self::Fixed(len)
    }
}

impl fmt::Display for Lengths {
    /// As it is written on a command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(len) => write!(f, "{len}"),
            Self::Uniform { low, high } => write!(f, "{low}..{high}"),
            Self::Normal { mean, sd } => write!(f, "normal:{mean},{sd}"),
        }
    }
}

impl FromStr for Lengths {
    type Err = String;

    /// `512`, `200..2000` with both ends, `normal:500,100`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no length; write 512, 200..2000 or normal:MEAN,DEVIATION");
        let lengths = if let Some(normal) = text.strip_prefix("normal:") {
            let (mean, sd) = normal.split_once(',').ok_or_else(wrong)?;
            let number = |text: &str| text.trim().parse::<f64>().map_err(|_| wrong());
            Self::Normal { mean: number(mean)?, sd: number(sd)? }
        } else if let Some((low, high)) = text.split_once("..") {
            let number = |text: &str| text.trim().parse::<u64>().map_err(|_| wrong());
            Self::Uniform { low: number(low)?, high: number(high)? }
        } else {
            Self::Fixed(text.trim().parse().map_err(|_| wrong())?)
        };
        lengths.problem().map_or(Ok(lengths), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read_back_and_nonsense_is_not() {
        for text in ["512", "200..2000", "7..7", "normal:500,100", "normal:12.5,0"] {
            assert_eq!(text.parse::<Lengths>().unwrap().to_string(), text);
        }
        for text in
            ["", "x", "5..1", "-3", "1..", "normal:5", "normal:0,1", "normal:nan,1", "normal:5,-1", "normal:5,inf"]
        {
            assert!(text.parse::<Lengths>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn lengths_stay_within_their_bounds(seed: u64, low in 1u64..1000, more in 0u64..1000, mean in 1.0f64..1000.0, sd in 0.0f64..500.0) {
            let mut random = Random::of(seed, &[]);
            for lengths in [Lengths::Fixed(low), Lengths::Uniform { low, high: low + more }, Lengths::Normal { mean, sd }] {
                for _ in 0..50 {
                    let len = lengths.draw(&mut random);
                    prop_assert!((lengths.shortest()..=lengths.longest()).contains(&len) && len >= 1, "{lengths}: {len}");
                }
            }
        }
    }

    #[test]
    fn normal_lengths_have_their_mean_and_deviation() {
        let mut random = Random::of(3, &[]);
        let lengths = Lengths::Normal { mean: 500.0, sd: 100.0 };
        let many: Vec<f64> = (0..20_000).map(|_| lengths.draw(&mut random) as f64).collect();
        let mean = many.iter().sum::<f64>() / 2e4;
        let sd = (many.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 2e4).sqrt();
        assert!((mean - 500.0).abs() < 3.0 && (sd - 100.0).abs() < 3.0, "{mean} {sd}");
    }
}
