//! Figures by name.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Number;
use vramscope_core::{ByteDelta, Bytes};

use crate::units;

/// Figures by name; each name ends in its unit (`residual_bytes`, `utilization_pct`, `max_model_len_tokens`,
/// `waited_s`). Unit: as the name ends.
///
/// ```
/// use vramscope_core::Bytes;
/// use vramscope_schema::v3::Figures;
/// let evidence = Figures::new().bytes("free", Bytes::new(5)).number("utilization_pct", 92.0);
/// assert_eq!(evidence.get("free_bytes"), Some(5.0));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
#[cfg_attr(
    feature = "json-schema",
    schemars(
        description = "Figures by name; each name ends in its unit (`residual_bytes`, `utilization_pct`). Unit: as the name ends."
    )
)]
pub struct Figures(BTreeMap<String, Number>);

impl Figures {
    /// No figures.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an amount of memory as `{stem}_bytes`.
    #[must_use]
    pub fn bytes(self, stem: &str, amount: Bytes) -> Self {
        self.put(format!("{stem}_bytes"), amount.get().into())
    }

    /// Adds a signed difference of memory as `{stem}_bytes`.
    #[must_use]
    pub fn delta(self, stem: &str, amount: ByteDelta) -> Self {
        self.put(format!("{stem}_bytes"), amount.get().into())
    }

    /// Adds a whole number; the name ends in its unit.
    #[must_use]
    pub fn count(self, name: &str, count: u64) -> Self {
        self.put(name.to_owned(), count.into())
    }

    /// Adds a time as `{stem}_s`.
    #[must_use]
    pub fn time(self, stem: &str, time: Duration) -> Self {
        self.number(&format!("{stem}_s"), time.as_secs_f64())
    }

    /// Adds a number; the name ends in its unit. What is not a number (infinite, NaN) is not known, and left out.
    #[must_use]
    pub fn number(self, name: &str, value: f64) -> Self {
        match Number::from_f64(value) {
            Some(number) => self.put(name.to_owned(), number),
            None => self,
        }
    }

    fn put(mut self, name: String, number: Number) -> Self {
        debug_assert!(units::derived_stem(&name).is_none(), "{name}: memory is stated in bytes");
        self.0.insert(name, number);
        self
    }

    /// A figure by its full name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).and_then(Number::as_f64)
    }

    /// All figures, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Number)> {
        self.0.iter().map(|(name, number)| (name.as_str(), number))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for Figures {
    /// Takes the exact amounts; their derived companions exist only in the text.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut figures = BTreeMap::<String, Number>::deserialize(deserializer)?;
        figures.retain(|name, _| units::derived_stem(name).is_none());
        Ok(Self(figures))
    }
}
