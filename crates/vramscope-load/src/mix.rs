//! Several models of one server that share the requests.

use std::fmt;
use std::str::FromStr;

use crate::error::LoadError;
use crate::plan::wrong;
use crate::random::Random;

/// The stream of random numbers that chooses models.
const MODELS: u64 = 4;
/// More models than these are no mix that anybody reads figures of.
const MOST: usize = 1024;

/// Models with their weights: a base model and its adapters.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mix {
    shares: Vec<ModelShare>,
}

/// A model and its weight.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ModelShare {
    /// The name under which the server knows it.
    pub model: String,
    /// Its weight; it gets its part of the sum of all.
    pub weight: f64,
}

impl Mix {
    /// A mix of some models.
    pub fn new(shares: impl IntoIterator<Item = (String, f64)>) -> Self {
        Self { shares: shares.into_iter().map(|(model, weight)| ModelShare { model, weight }).collect() }
    }

    /// The models with their weights; none without a mix.
    pub fn shares(&self) -> &[ModelShare] {
        &self.shares
    }

    /// The names of the models.
    pub(crate) fn models(&self) -> impl Iterator<Item = &String> {
        self.shares.iter().map(|share| &share.model)
    }

    /// The place of the model that a request of this number asks.
    pub(crate) fn draw(&self, seed: u64, stream: u64, number: u64) -> u32 {
        let sum: f64 = self.shares.iter().map(|share| share.weight).sum();
        let mut left = Random::of(seed, &[MODELS, stream, number]).unit() * sum;
        let found = self.shares.iter().position(|share| {
            left -= share.weight;
            left < 0.0
        });
        u32::try_from(found.unwrap_or(self.shares.len().saturating_sub(1))).unwrap_or(0)
    }

    pub(crate) fn check(&self) -> Result<(), LoadError> {
        if self.shares.len() > MOST {
            return wrong("model", format!("a mix of {} models; expected up to {MOST}", self.shares.len()));
        }
        for (at, share) in self.shares.iter().enumerate() {
            if share.model.is_empty() || !(share.weight.is_finite() && share.weight > 0.0) {
                return wrong("model", format!("{share} has no name or no weight above 0"));
            }
            if self.shares[..at].iter().any(|other| other.model == share.model) {
                return wrong("model", format!("{} is in the mix twice", share.model));
            }
        }
        Ok(())
    }
}

impl fmt::Display for ModelShare {
    /// As it is written on a command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.model, self.weight)
    }
}

impl FromStr for Mix {
    type Err = String;

    /// `base=0.5,lora-a=0.3,lora-b=0.2`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |part: &str| format!("`{part}` is no model with its weight; write base=0.5,lora-a=0.3,lora-b=0.2");
        let share = |part: &str| {
            let (model, weight) = part.rsplit_once('=').ok_or_else(|| wrong(part))?;
            let weight = weight.trim().parse::<f64>().ok().filter(|weight| weight.is_finite() && *weight > 0.0);
            let model = model.trim();
            if model.is_empty() {
                return Err(wrong(part));
            }
            Ok((model.to_owned(), weight.ok_or_else(|| wrong(part))?))
        };
        Ok(Self::new(text.split(',').map(share).collect::<Result<Vec<_>, _>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_drawn_by_their_weights_and_the_same_for_the_same_seed() {
        let mix: Mix = "base=5, a=3,b=2".parse().unwrap();
        mix.check().unwrap();
        let mut counts = [0u32; 3];
        for number in 0..10_000 {
            let drawn = mix.draw(7, 1, number);
            assert_eq!(drawn, mix.draw(7, 1, number));
            counts[drawn as usize] += 1;
        }
        for (count, expected) in counts.iter().zip([5000, 3000, 2000]) {
            assert!(count.abs_diff(expected) < 200, "{counts:?}");
        }
        assert_ne!(
            (0..64).map(|n| mix.draw(7, 1, n)).collect::<Vec<_>>(),
            (0..64).map(|n| mix.draw(7, 2, n)).collect::<Vec<_>>()
        );
    }

    #[test]
    fn what_is_no_mix_is_refused() {
        for text in ["", "a", "a=0", "a=-1", "a=x", "=1", "a=1,,b=2", "a=inf"] {
            assert!(text.parse::<Mix>().unwrap_err().contains("lora-a=0.3"), "{text}");
        }
        assert!("a=1,a=2".parse::<Mix>().unwrap().check().is_err());
    }
}
