//! Numbers as Python prints them, with the width of their last digit.

/// A printed number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Number {
    /// Its value.
    pub(crate) value: f64,
    /// Digits after the point.
    pub(crate) decimals: u8,
    /// Bytes of text that it took.
    pub(crate) len: usize,
}

/// Reads a number at the start of `text`: a sign, digits with or without thousands separators, a fraction, an exponent.
pub(crate) fn number(text: &str) -> Option<Number> {
    let bytes = text.as_bytes();
    let mut at = usize::from(matches!(bytes.first(), Some(b'-' | b'+')));
    let whole = at;
    at += whole_digits(&bytes[at..]);
    if at == whole {
        return None;
    }
    let mut decimals = 0usize;
    if bytes.get(at) == Some(&b'.') {
        decimals = bytes[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
        if decimals > 0 {
            at += 1 + decimals;
        }
    }
    let mut exponent = 0i32;
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'-' | b'+')));
        let digits = bytes[at + 1 + sign..].iter().take_while(|b| b.is_ascii_digit()).count();
        if (1..=3).contains(&digits) {
            exponent = text[at + 1..at + 1 + sign + digits].parse().ok()?;
            at += 1 + sign + digits;
        }
    }
    let printed = &text[..at];
    let value: f64 =
        if printed.contains(',') { printed.replace(',', "").parse().ok()? } else { printed.parse().ok()? };
    if !value.is_finite() {
        return None;
    }
    let decimals = i32::try_from(decimals).ok()?.saturating_sub(exponent).clamp(0, 30);
    Some(Number { value, decimals: u8::try_from(decimals).ok()?, len: at })
}

/// Reads a count at the start of `text`: digits with or without thousands separators. The length is in bytes.
pub(crate) fn count(text: &str) -> Option<(u64, usize)> {
    let len = whole_digits(text.as_bytes());
    let mut value = 0u64;
    for digit in text.as_bytes()[..len].iter().filter(|b| **b != b',') {
        value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    (len > 0).then_some((value, len))
}

/// The length of `1234` or `1,234,567`; a comma belongs to it only where exactly three digits follow.
fn whole_digits(bytes: &[u8]) -> usize {
    let run = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut at = run(0);
    if at == 0 || at > 3 {
        return at;
    }
    while bytes.get(at) == Some(&b',') && run(at + 1) == 3 {
        at += 4;
    }
    at
}

/// Half a step of the last digit.
pub(crate) fn half_step(decimals: u8) -> f64 {
    0.5 * 10f64.powi(-i32::from(decimals))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_to_their_end() {
        let read = |text| number(text).map(|n| (n.value, n.decimals, n.len));
        assert_eq!(read("14.9889 GiB"), Some((14.9889, 4, 7)));
        assert_eq!(read("-0.41 GiB"), Some((-0.41, 2, 5)));
        assert_eq!(read("2,048,704 tokens"), Some((2_048_704.0, 0, 9)));
        assert_eq!(read("15."), Some((15.0, 0, 2)));
        assert_eq!(read("1e-05x"), Some((1e-5, 5, 5)));
        assert_eq!(read("0, 1"), Some((0.0, 0, 1)));
        assert_eq!(read("GiB"), None);
    }

    #[test]
    fn a_comma_that_separates_things_is_not_a_thousand() {
        assert_eq!(count("796, # CPU"), Some((796, 3)));
        assert_eq!(count("12,34"), Some((12, 2)));
        assert_eq!(count("1,856,240 tokens"), Some((1_856_240, 9)));
        assert_eq!(count("99999999999999999999999"), None);
    }
}
