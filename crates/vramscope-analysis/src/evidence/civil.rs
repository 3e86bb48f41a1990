//! Times as tools print them.

/// Reads `2026/11/22 05:24:13.123` (nvidia-smi), the same with dashes or `T`, or seconds since 1970 with a fraction.
/// The result is nanoseconds since 1970 in whatever zone the tool used.
pub(crate) fn parse_unix_ns(text: &str) -> Option<i64> {
    if let Some(ns) = parse_seconds(text) {
        return Some(ns);
    }
    let (date, time) = text.split_once([' ', 'T'])?;
    let mut date = date.split(['/', '-']);
    let (year, month, day) = (date.next()?.parse().ok()?, date.next()?.parse().ok()?, date.next()?.parse().ok()?);
    let mut time = time.trim_end_matches('Z').split(':');
    let (hour, minute, second) = (time.next()?.parse().ok()?, time.next()?.parse().ok()?, time.next()?);
    let (second, fraction) = second.split_once('.').unwrap_or((second, "0"));
    if date.next().is_some() || time.next().is_some() {
        return None;
    }
    let seconds = unix_seconds(year, month, day, hour, minute, second.parse().ok()?)?;
    seconds.checked_mul(1_000_000_000)?.checked_add(fraction_ns(fraction)?)
}

/// Seconds since 1970 of a date and time of day, both in UTC or both in the same unknown zone.
pub(crate) fn unix_seconds(year: i16, month: i8, day: i8, hour: i8, minute: i8, second: i8) -> Option<i64> {
    // A leap second is printed as :60; the clock that follows has no such second.
    let second = second.min(59);
    let moment = jiff::civil::DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    moment.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp().as_second())
}

/// `1795325053` or `1795325053.25`.
fn parse_seconds(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if whole.len() < 9 || !whole.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    whole.parse::<i64>().ok()?.checked_mul(1_000_000_000)?.checked_add(fraction_ns(fraction)?)
}

/// The digits after the point as nanoseconds; digits past the ninth are dropped.
fn fraction_ns(digits: &str) -> Option<i64> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nine: String = digits.chars().chain("000000000".chars()).take(9).collect();
    nine.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_of_one_instant() {
        let ns = 1_795_325_053_250_000_000;
        for text in ["2026/11/22 05:24:13.250", "2026-11-22T05:24:13.25Z", "1795325053.25"] {
            assert_eq!(parse_unix_ns(text), Some(ns), "{text}");
        }
    }

    #[test]
    fn what_is_no_time() {
        for text in
            ["", "x", "2026/13/22 05:24:13", "2026/11/22", "12", "2026/11/22 05:24:13.x", "99999999999999999999"]
        {
            assert_eq!(parse_unix_ns(text), None, "{text}");
        }
    }
}
