//! What a measurement took of energy and money.

use serde::{Deserialize, Serialize};

/// Whose energy was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct MeteredDocument {
    /// The devices, each as a whole: what else ran on them is in it.
    pub devices: Vec<MeteredDevice>,
    /// Why these are the server's.
    pub because: String,
}

/// A device whose energy was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct MeteredDevice {
    /// Its number on this machine. Unit: none, a number.
    pub index: u32,
    /// Its identity, where the driver tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Its name, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What the server costs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PriceDocument {
    /// The whole server. Unit: currency units per hour.
    pub per_hour: f64,
    /// Devices that this is the price of, where it was given for one; absent for a price of the server. Unit: count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devices: Option<u64>,
}

/// The energy of whole devices over a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct EnergyDocument {
    /// By the devices' own counters. Unit: joules.
    pub joules: f64,
    /// Between the two readings of the counters. Unit: seconds.
    pub seconds: f64,
    /// The first over the second. Unit: watts.
    pub mean_watts: f64,
    /// Per generated token of completed requests; prompts are in it. Unit: joules per token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joules_per_output_token: Option<f64>,
    /// Per token of prompts and answers. Unit: joules per token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joules_per_token: Option<f64>,
}

/// What tokens cost at the price of the server, if it does this all the time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CostDocument {
    /// A million generated tokens; prompts are in it. Unit: currency units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_million_output_tokens: Option<f64>,
    /// A million tokens of prompts and answers. Unit: currency units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_million_tokens: Option<f64>,
}

/// Counters move in steps of up to 100 ms (measured on an H200): over a second they are right to a tenth.
const LEAST_S: f64 = 1.0;

impl MeteredDocument {
    /// These devices, each as index, UUID and name.
    pub fn new(
        devices: impl IntoIterator<Item = (u32, Option<String>, Option<String>)>,
        because: impl Into<String>,
    ) -> Self {
        let devices = devices.into_iter().map(|(index, uuid, name)| MeteredDevice { index, uuid, name }).collect();
        Self { devices, because: because.into() }
    }
}

impl PriceDocument {
    /// A price of the whole server an hour, or of so many devices.
    pub fn new(per_hour: f64, devices: Option<u64>) -> Self {
        Self { per_hour, devices }
    }
}

impl EnergyDocument {
    /// Energy over a time, and for so many tokens. `None` for a time so short that counters say nothing of it.
    pub(crate) fn of(joules: f64, seconds: f64, output: u64, input: u64) -> Option<Self> {
        (seconds >= LEAST_S).then(|| Self {
            joules,
            seconds,
            mean_watts: joules / seconds,
            joules_per_output_token: each(joules, output),
            joules_per_token: each(joules, output.saturating_add(input)),
        })
    }
}

impl CostDocument {
    pub(crate) fn of(price: PriceDocument, seconds: f64, output: u64, input: u64) -> Self {
        const MILLION: f64 = 1e6;
        let paid = price.per_hour / 3600.0 * seconds;
        Self {
            per_million_output_tokens: each(paid * MILLION, output),
            per_million_tokens: each(paid * MILLION, output.saturating_add(input)),
        }
    }
}

fn each(amount: f64, count: u64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "tokens of one measurement")]
    let count = count as f64;
    (count > 0.0).then(|| amount / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tokens_cost_follows_from_price_and_time() {
        // 3.60 an hour are a thousandth a second; ten seconds for 1000 tokens are ten a million.
        let cost = CostDocument::of(PriceDocument::new(3.6, None), 10.0, 1000, 4000);
        assert!((cost.per_million_output_tokens.unwrap() - 10.0).abs() < 1e-9);
        assert!((cost.per_million_tokens.unwrap() - 2.0).abs() < 1e-9);
        assert_eq!(CostDocument::of(PriceDocument::new(3.6, None), 10.0, 0, 0).per_million_tokens, None);
    }

    #[test]
    fn energy_over_less_than_the_steps_of_a_counter_allow_is_absent() {
        assert_eq!(EnergyDocument::of(100.0, 0.9, 10, 10), None);
        let energy = EnergyDocument::of(100.0, 2.0, 10, 40).unwrap();
        assert_eq!((energy.mean_watts, energy.joules_per_output_token), (50.0, Some(10.0)));
        assert_eq!(energy.joules_per_token, Some(2.0));
    }
}
