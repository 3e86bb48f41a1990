//! Numbers as text, without floats: a float of 6.5e12 µs has a last place of 1 ns, and sums of it drift.

/// Why a decimal text is no number of nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotNanos {
    /// It is not a decimal number.
    NotANumber,
    /// It does not fit 64 bits of nanoseconds (292 years).
    TooLarge,
}

/// Microseconds in decimal text to the nearest nanosecond (halves away from zero), exactly.
pub(crate) fn nanos_of_micros(text: &[u8]) -> Result<i64, NotNanos> {
    fast(text).map_or_else(|| slow(text), Ok)
}

/// The usual shape: up to 15 digits and up to three decimals.
fn fast(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, text),
    };
    let mut value: i64 = 0;
    let mut at = 0;
    while let Some(digit) = digits.get(at).map(|b| b.wrapping_sub(b'0')).filter(|&d| d < 10) {
        value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
        at += 1;
    }
    if at == 0 || at > 15 {
        return None;
    }
    let mut scale = 3;
    if let Some((b'.', decimals)) = digits[at..].split_first() {
        if decimals.is_empty() || decimals.len() > 3 {
            return None;
        }
        for &byte in decimals {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
            scale -= 1;
        }
    } else if at != digits.len() {
        return None;
    }
    for _ in 0..scale {
        value = value.wrapping_mul(10);
    }
    Some(if negative { -value } else { value })
}

/// Any JSON number, with exponent and as many digits as one likes.
fn slow(text: &[u8]) -> Result<i64, NotNanos> {
    let number = Decimal::parse(text).ok_or(NotNanos::NotANumber)?;
    let shift = number.exponent.saturating_add(3);
    let magnitude = if number.digits == 0 {
        0
    } else if shift >= 0 {
        u32::try_from(shift)
            .ok()
            .and_then(|s| 10u128.checked_pow(s))
            .and_then(|factor| number.digits.checked_mul(factor))
            .ok_or(NotNanos::TooLarge)?
    } else {
        // A divisor past 10^38 leaves nothing of a number below 10^38.
        10u128
            .checked_pow(shift.unsigned_abs())
            .map_or(0, |d| number.digits / d + u128::from(number.digits % d >= d - d / 2))
    };
    let value = i64::try_from(magnitude).map_err(|_| NotNanos::TooLarge)?;
    Ok(if number.negative { -value } else { value })
}

/// `digits` times ten to the `exponent`, cut after 36 significant digits.
struct Decimal {
    negative: bool,
    digits: u128,
    exponent: i32,
}

impl Decimal {
    fn parse(text: &[u8]) -> Option<Self> {
        let (negative, rest) = match text.split_first()? {
            (b'-', rest) => (true, rest),
            _ => (false, text),
        };
        let mut number = Self { negative, digits: 0, exponent: 0 };
        let mut any = false;
        let mut point = false;
        let mut at = 0;
        while let Some(&byte) = rest.get(at) {
            match byte {
                b'0'..=b'9' => {
                    any = true;
                    number.digit(byte - b'0', point);
                }
                b'.' if !point && any => point = true,
                b'e' | b'E' if any => {
                    let exponent = std::str::from_utf8(&rest[at + 1..]).ok()?;
                    let exponent: i32 = exponent.parse().ok()?;
                    number.exponent = number.exponent.saturating_add(exponent);
                    return Some(number);
                }
                _ => return None,
            }
            at += 1;
        }
        any.then_some(number)
    }

    fn digit(&mut self, digit: u8, after_point: bool) {
        const FULL: u128 = 10u128.pow(36);
        if self.digits < FULL {
            self.digits = self.digits * 10 + u128::from(digit);
            self.exponent -= i32::from(after_point);
        } else {
            self.exponent += i32::from(!after_point);
        }
    }
}

/// A whole number, bare or within quotes; `None` if it is not one or does not fit 128 bits of intermediate size.
pub(crate) fn integer<T: TryFrom<i128>>(text: &[u8]) -> Option<T> {
    let text = text.strip_prefix(b"\"").and_then(|t| t.strip_suffix(b"\"")).unwrap_or(text);
    if text.len() > 38 {
        return None;
    }
    let value: i128 = std::str::from_utf8(text).ok()?.parse().ok()?;
    T::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_spelling_of_a_time_is_the_same_nanosecond() {
        for text in ["1365627862757.064", "1365627862757.0640", "13656278627570.64e-1", "1365627862757064E-3"] {
            assert_eq!(nanos_of_micros(text.as_bytes()), Ok(1_365_627_862_757_064), "{text}");
        }
        assert_eq!(nanos_of_micros(b"68.0"), Ok(68_000));
        assert_eq!(nanos_of_micros(b"-0.0015"), Ok(-2));
        assert_eq!(nanos_of_micros(b"0.00049999999999999999999999999999999999999999999999"), Ok(0));
        assert_eq!(nanos_of_micros(b"1e-400"), Ok(0));
        assert_eq!(nanos_of_micros(b"0e999999"), Ok(0));
    }

    #[test]
    fn what_is_no_time_says_why() {
        for text in ["", "-", ".", "1.2.3", "NaN", "1e", "0x10", "1e99999999999", "--1", "1 "] {
            assert_eq!(nanos_of_micros(text.as_bytes()), Err(NotNanos::NotANumber), "{text}");
        }
        for text in ["9223372036854775.808", "1e30", "18446744073709551615", "1e2147483647"] {
            assert_eq!(nanos_of_micros(text.as_bytes()), Err(NotNanos::TooLarge), "{text}");
        }
        assert_eq!(nanos_of_micros(b"9223372036854775.807"), Ok(i64::MAX));
    }

    #[test]
    fn integers_are_whole() {
        assert_eq!(integer::<u64>(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(integer::<i64>(b"\"-7\""), Some(-7));
        assert_eq!(integer::<u64>(b"-7"), None);
        assert_eq!(integer::<u64>(b"1.5"), None);
    }

    proptest! {
        #[test]
        fn printed_nanoseconds_are_read_back(ns in -(1i64 << 62)..1i64 << 62) {
            let sign = if ns < 0 { "-" } else { "" };
            let text = format!("{sign}{}.{:03}", ns.unsigned_abs() / 1000, ns.unsigned_abs() % 1000);
            prop_assert_eq!(nanos_of_micros(text.as_bytes()), Ok(ns));
            prop_assert_eq!(slow(text.as_bytes()), Ok(ns));
        }

        #[test]
        fn no_text_panics(text in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = nanos_of_micros(&text);
            let _ = integer::<u64>(&text);
        }
    }
}
