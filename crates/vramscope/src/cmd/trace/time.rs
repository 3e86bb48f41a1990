//! Times on the command line: `10ms..25ms`, `6520618853487.683..`, `..1.5s`.

use std::str::FromStr;

use vramscope_trace::Window;

/// A part of a trace's time, as it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Between {
    from: Option<Time>,
    to: Option<Time>,
}

/// A time in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Time {
    /// Since the beginning of the trace.
    Since(i64),
    /// Of the trace's clock.
    Clock(i64),
}

impl Between {
    /// Whether the beginning of the trace must be known.
    pub(super) fn is_relative(self) -> bool {
        [self.from, self.to].into_iter().flatten().any(|time| matches!(time, Time::Since(_)))
    }

    /// The window of a trace that begins at `begin`.
    pub(super) fn window(self, begin: i64) -> Window {
        let at = |time: Option<Time>, open: i64| match time {
            None => open,
            Some(Time::Since(ns)) => begin.saturating_add(ns),
            Some(Time::Clock(ns)) => ns,
        };
        Window { from_ns: at(self.from, i64::MIN), to_ns: at(self.to, i64::MAX) }
    }
}

impl FromStr for Between {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shape = "expected T0..T1, as 10ms..25ms or 1365627862757.064..1365627862957.064";
        // A decimal point may stand before the dots, so the longest split that leaves two times is meant.
        let (from, to) = text.split_once("..").ok_or(shape)?;
        let side = |text: &str| if text.trim().is_empty() { Ok(None) } else { time(text.trim()).map(Some) };
        let between = Self { from: side(from)?, to: side(to)? };
        match (between.from, between.to) {
            (Some(Time::Since(a)), Some(Time::Since(b))) | (Some(Time::Clock(a)), Some(Time::Clock(b))) if a >= b => {
                Err("the window ends before it begins".into())
            }
            _ => Ok(between),
        }
    }
}

fn time(text: &str) -> Result<Time, String> {
    let units = [("ns", -9), ("us", -6), ("µs", -6), ("ms", -3), ("s", 0)];
    let found = units.iter().find_map(|(unit, power)| text.strip_suffix(unit).map(|number| (number, *power)));
    let wrong = || format!("`{text}` is no time; write 10ms, 1.5s, 200us, or a ts of the file");
    match found {
        Some((number, power)) => nanos(number.trim(), power + 9).map(Time::Since).ok_or_else(wrong),
        None => nanos(text, 3).map(Time::Clock).ok_or_else(wrong),
    }
}

/// A decimal number times ten to the `power`, whole nanoseconds; digits beyond a nanosecond are refused.
fn nanos(number: &str, power: i32) -> Option<i64> {
    let (negative, digits) = number.strip_prefix('-').map_or((false, number), |rest| (true, rest));
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let decimals = decimals.trim_end_matches('0');
    let missing = usize::try_from(power).ok()?.checked_sub(decimals.len())?;
    let text = format!("{whole}{decimals}{}", "0".repeat(missing));
    let plain = !whole.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let value: i64 = text.parse().ok().filter(|_| plain)?;
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(text: &str) -> (i64, i64) {
        let window = text.parse::<Between>().unwrap().window(1_000);
        (window.from_ns, window.to_ns)
    }

    #[test]
    fn times_have_a_unit_or_are_the_clocks() {
        assert_eq!(window("10ms..25.5ms"), (10_001_000, 25_501_000));
        assert_eq!(window("6520618853487.683.."), (6_520_618_853_487_683, i64::MAX));
        assert_eq!(window("..1.5s"), (i64::MIN, 1_500_001_000));
        assert_eq!(window("0us..200us"), (1_000, 201_000));
        assert!(!"5..6".parse::<Between>().unwrap().is_relative());
    }

    #[test]
    fn what_is_no_window_says_so() {
        for text in ["10ms", "5ms..3ms", "x..y", "1.2.3..", "1.23456ns..", "..99999999999999999999"] {
            assert!(text.parse::<Between>().is_err(), "{text}");
        }
    }
}
