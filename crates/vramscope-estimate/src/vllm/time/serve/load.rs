//! What is sent to a server: when requests come, and how long they are.

use super::random::Random;
use crate::EstimateError;
use crate::vllm::time::float;

/// Most requests of one simulation.
const MOST_REQUESTS: u64 = 100_000;
/// Most tokens of one request: more than any model takes.
const MOST_TOKENS: u64 = 100_000_000;

/// Requests to a server, as a load generator sends them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ServedLoad {
    /// When they come.
    pub arrivals: Arrivals,
    /// How many there are.
    pub requests: u64,
    /// How many of them, from the first on, are in no percentile: the server fills while they come.
    pub warmup: u64,
    /// Prompt tokens of one.
    pub input: TokenCounts,
    /// Generated tokens of one.
    pub output: TokenCounts,
    /// The same seed names the same load.
    pub seed: u64,
}

/// When requests come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Arrivals {
    /// So many are always in flight: each that ends is followed by the next at once.
    InFlight(u64),
    /// So many a second, at even distances.
    Even(f64),
    /// So many a second in the mean, independent of each other.
    Poisson(f64),
}

/// Numbers of tokens: drawn evenly between two, the ends included, or always the same where both are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenCounts {
    /// The fewest.
    pub least: u64,
    /// The most.
    pub most: u64,
}

impl TokenCounts {
    /// Always so many.
    pub const fn fixed(tokens: u64) -> Self {
        Self { least: tokens, most: tokens }
    }

    /// Between half of this number and half more.
    pub const fn around(tokens: u64) -> Self {
        Self { least: tokens.div_ceil(2), most: tokens.saturating_add(tokens / 2) }
    }

    fn draw(self, random: &mut Random) -> u64 {
        self.least + random.below(self.most - self.least + 1)
    }

    fn check(self, name: &'static str) -> Result<(), EstimateError> {
        let expected = "a whole number from 1 to 100000000, and no more at the low end than at the high one";
        let sound = 1 <= self.least && self.least <= self.most && self.most <= MOST_TOKENS;
        let value = || format!("{}..{}", self.least, self.most);
        if sound { Ok(()) } else { Err(EstimateError::BadArgument { name, value: value(), expected }) }
    }
}

/// A request before it is sent. Unit of lengths: tokens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    /// Seconds from the start at which it comes; `None` where it follows another.
    pub(super) at: Option<f64>,
    pub(super) input: u64,
    pub(super) output: u64,
}

impl ServedLoad {
    /// All requests in their order.
    ///
    /// # Errors
    /// [`EstimateError::BadArgument`] for a load that nobody can send or that is too large to go through.
    pub(super) fn due(&self) -> Result<Vec<Due>, EstimateError> {
        let wrong = |name, value: String, expected| Err(EstimateError::BadArgument { name, value, expected });
        self.input.check("input_len")?;
        self.output.check("output_len")?;
        if !(1..=MOST_REQUESTS).contains(&self.requests) {
            return wrong("requests", self.requests.to_string(), "1 to 100000");
        }
        if self.warmup >= self.requests {
            return wrong("warmup", self.warmup.to_string(), "fewer than all requests");
        }
        match self.arrivals {
            Arrivals::InFlight(0) => return wrong("concurrency", "0".to_owned(), "at least 1"),
            Arrivals::Even(rate) | Arrivals::Poisson(rate) if !(1e-6..=1e6).contains(&rate) => {
                return wrong("rate", rate.to_string(), "0.000001 to 1000000 requests a second");
            }
            _ => {}
        }
        let (mut lengths, mut distances) = (Random::of(self.seed, 1), Random::of(self.seed, 2));
        let mut clock = 0.0;
        let mut one = |index: u64| {
            let at = match self.arrivals {
                Arrivals::InFlight(together) => (index < together).then_some(0.0),
                Arrivals::Even(rate) => Some(float(index) / rate),
                Arrivals::Poisson(rate) => {
                    let at = clock;
                    clock += distances.exponential() / rate;
                    Some(at)
                }
            };
            Due { at, input: self.input.draw(&mut lengths), output: self.output.draw(&mut lengths) }
        };
        Ok((0..self.requests).map(&mut one).collect())
    }
}
