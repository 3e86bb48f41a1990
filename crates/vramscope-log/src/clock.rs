//! Clocks as logs print them.

use vramscope_core::LogTime;

/// Reads `MM-DD HH:MM:SS` at the start of `text`, with the fraction that some builds add. Also gives the length.
pub(crate) fn month_day(text: &str) -> Option<(LogTime, usize)> {
    let b = text.as_bytes();
    let (month, day) = (two(b, 0)?, two(b, 3)?);
    if b.get(2) != Some(&b'-') || b.get(5) != Some(&b' ') {
        return None;
    }
    let (time, len) = time_of_day(text, 6)?;
    valid(LogTime { month, day, ..time }).map(|time| (time, len))
}

/// Reads `YYYY-MM-DD HH:MM:SS` or `YYYY-MM-DDTHH:MM:SS`, with fraction and zone where printed. Also gives the length.
pub(crate) fn iso(text: &str) -> Option<(LogTime, usize)> {
    let b = text.as_bytes();
    let year = i16::from(two(b, 0)?) * 100 + i16::from(two(b, 2)?);
    if b.get(4) != Some(&b'-') || b.get(7) != Some(&b'-') || !matches!(b.get(10), Some(b' ' | b'T')) {
        return None;
    }
    let (month, day) = (two(b, 5)?, two(b, 8)?);
    let (time, mut len) = time_of_day(text, 11)?;
    let mut utc_offset_minutes = None;
    match b.get(len) {
        Some(b'Z') => {
            utc_offset_minutes = Some(0);
            len += 1;
        }
        Some(sign @ (b'+' | b'-')) => {
            if let Some(hours) = two(b, len + 1) {
                let colon = usize::from(b.get(len + 3) == Some(&b':'));
                if let Some(minutes) = two(b, len + 3 + colon) {
                    let offset = i16::from(hours) * 60 + i16::from(minutes);
                    utc_offset_minutes = Some(if *sign == b'-' { -offset } else { offset });
                    len += 5 + colon;
                }
            }
        }
        _ => {}
    }
    valid(LogTime { year: Some(year), month, day, utc_offset_minutes, ..time }).map(|time| (time, len))
}

/// Reads `HH:MM:SS[.,]fraction` at `at`; gives where it ends.
fn time_of_day(text: &str, at: usize) -> Option<(LogTime, usize)> {
    let b = text.as_bytes();
    if b.get(at + 2) != Some(&b':') || b.get(at + 5) != Some(&b':') {
        return None;
    }
    let (hour, minute, second) = (two(b, at)?, two(b, at + 3)?, two(b, at + 6)?);
    let mut end = at + 8;
    let mut nanosecond = 0u32;
    if matches!(b.get(end), Some(b'.' | b',')) {
        let digits = b[end + 1..].iter().take_while(|d| d.is_ascii_digit()).count();
        if digits > 0 {
            // Some builds print milliseconds without leading zeros' width; as a decimal fraction they still order.
            let mut scale = 100_000_000u32;
            for digit in &b[end + 1..end + 1 + digits.min(9)] {
                nanosecond += u32::from(digit - b'0') * scale;
                scale /= 10;
            }
            end += 1 + digits;
        }
    }
    let time = LogTime { year: None, month: 1, day: 1, hour, minute, second, nanosecond, utc_offset_minutes: None };
    Some((time, end))
}

fn valid(time: LogTime) -> Option<LogTime> {
    let fits = (1..=12).contains(&time.month)
        && (1..=31).contains(&time.day)
        && time.hour < 24
        && time.minute < 60
        && time.second <= 60;
    fits.then_some(time)
}

fn two(bytes: &[u8], at: usize) -> Option<u8> {
    let (tens, ones) = (bytes.get(at)?, bytes.get(at + 1)?);
    (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| (tens - b'0') * 10 + (ones - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_of_all_kinds() {
        let (t, len) = month_day("07-18 05:51:41.238 gpu").unwrap();
        assert_eq!((t.month, t.day, t.hour, t.nanosecond, len), (7, 18, 5, 238_000_000, 18));
        let (t, len) = iso("2025-06-02T11:20:30.123456789Z x").unwrap();
        assert_eq!((t.year, t.nanosecond, t.utc_offset_minutes, len), (Some(2025), 123_456_789, Some(0), 30));
        let (t, _) = iso("2025-06-02 11:20:30,250+05:30").unwrap();
        assert_eq!((t.nanosecond, t.utc_offset_minutes), (250_000_000, Some(330)));
        assert!(month_day("13-18 05:51:41").is_none());
        assert!(iso("2025-06-02 11:2").is_none());
    }
}
