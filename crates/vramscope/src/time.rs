//! Lengths of time on the command line.

use std::time::Duration;

use vramscope_sampler::SHORTEST_PERIOD;

/// A length of time as people write it: `100ms`, `1m 30s`, `1.5h`. It may be zero.
pub(crate) fn length(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a time with its unit, as 100ms, 60s, 5m or 2h".to_owned();
    let time: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(time).map_err(|_| wrong())
}

/// A length of time that something takes: not zero.
pub(crate) fn positive(text: &str) -> Result<Duration, String> {
    let time = length(text)?;
    if time.is_zero() { Err("expected a time that is not zero".to_owned()) } else { Ok(time) }
}

/// The time between two samples.
pub(crate) fn period(text: &str) -> Result<Duration, String> {
    let period = length(text)?;
    if period < SHORTEST_PERIOD {
        return Err(format!("the shortest time between two samples is {SHORTEST_PERIOD:?}"));
    }
    Ok(period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(length("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(length("1.5h"), Ok(Duration::from_secs(5400)));
        assert_eq!(length("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(length("0s"), Ok(Duration::ZERO));
        for wrong in ["", "5", "5 parsecs", "ms", "-1s", "1e99s", "99999999999999999999h"] {
            assert!(length(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn nothing_takes_no_time_and_samples_are_not_closer_than_the_sampler_can() {
        assert!(positive("0s").is_err() && positive("1ns").is_ok());
        assert!(period("4ms").is_err() && period("5ms").is_ok());
    }
}
