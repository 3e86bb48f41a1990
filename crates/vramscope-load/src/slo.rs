//! What counts as a good answer.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::error::LoadError;
use crate::plan::wrong;
use crate::request::RequestRecord;

/// Bounds that a request must keep to be good. One that is not given is kept by all; a failed request is never good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Slo {
    /// Time to first token.
    pub ttft: Option<Duration>,
    /// Mean time per output token after the first. A request without a second token keeps it.
    pub tpot: Option<Duration>,
    /// Time from sending to the last token.
    pub e2e: Option<Duration>,
}

impl Slo {
    /// Whether there is any bound.
    pub fn is_some(&self) -> bool {
        *self != Self::default()
    }

    /// Whether a request keeps them.
    pub fn holds(&self, record: &RequestRecord) -> bool {
        let within = |bound: Option<Duration>, time: Option<Duration>| {
            bound.is_none_or(|bound| time.is_none_or(|time| time <= bound))
        };
        record.outcome.is_ok()
            && within(self.ttft, record.ttft())
            && within(self.tpot, record.tpot())
            && within(self.e2e, Some(record.latency()))
    }

    pub(crate) fn check(&self) -> Result<(), LoadError> {
        if [self.ttft, self.tpot, self.e2e].into_iter().flatten().any(|bound| bound.is_zero()) {
            return wrong("slo", "a bound is zero; expected times such as ttft=500ms");
        }
        Ok(())
    }
}

impl fmt::Display for Slo {
    /// As it is written on a command line, in milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bounds = [("ttft", self.ttft), ("tpot", self.tpot), ("e2e", self.e2e)];
        let mut first = true;
        for (name, bound) in bounds.into_iter().filter_map(|(name, bound)| Some((name, bound?))) {
            let comma = if std::mem::take(&mut first) { "" } else { "," };
            write!(f, "{comma}{name}={}ms", bound.as_secs_f64() * 1e3)?;
        }
        Ok(())
    }
}

impl FromStr for Slo {
    type Err = String;

    /// `ttft=500ms,tpot=50ms,e2e=10s`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut slo = Self::default();
        for part in text.split(',') {
            let (name, bound) =
                part.split_once('=').ok_or_else(|| format!("`{part}` is no bound; write ttft=500ms"))?;
            let place = match name.trim() {
                "ttft" => &mut slo.ttft,
                "tpot" => &mut slo.tpot,
                "e2e" | "e2el" => &mut slo.e2e,
                other => return Err(format!("there is no bound `{other}`; there are ttft, tpot and e2e")),
            };
            let bound = time(bound)?;
            if place.replace(bound).is_some() {
                return Err(format!("`{name}` is given twice"));
            }
        }
        Ok(slo)
    }
}

/// A time with its unit.
fn time(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let units = [("ms", 1e-3), ("us", 1e-6), ("s", 1.0), ("m", 60.0)];
    let parsed =
        units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?.trim().parse::<f64>().ok()?, factor)));
    let duration = parsed.and_then(|(number, factor)| Duration::try_from_secs_f64(number * factor).ok());
    duration.filter(|time| !time.is_zero()).ok_or_else(|| format!("`{text}` is no time; write 500ms or 10s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_read_with_their_units() {
        let slo: Slo = "ttft=500ms,tpot=50ms,e2e=10s".parse().unwrap();
        assert_eq!(slo.ttft.zip(slo.e2e), Some((Duration::from_millis(500), Duration::from_secs(10))));
        assert_eq!(slo.to_string().parse(), Ok(slo));
        for text in ["", "ttft", "ttft=5", "ttft=-1s", "x=1s", "ttft=1s,ttft=2s", "ttft=0s", "tpot=nans"] {
            assert!(text.parse::<Slo>().is_err(), "{text}");
        }
    }
}
