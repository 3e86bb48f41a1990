//! How figures are written: few digits, one unit a kind of figure.

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Bytes, shown as GiB.
    Memory,
    Milliseconds,
    Seconds,
    /// Nanoseconds, shown as seconds.
    Nanoseconds,
    /// Nanoseconds, shown in the unit that suits their size; beside an axis in ms.
    Time,
    Percent,
    /// A share from 0 to 1, shown in percent.
    Share,
    PerSecond,
    Watts,
    /// Milliwatts, shown as watts.
    Milliwatts,
    Joules,
    Celsius,
    Megahertz,
    Count,
    /// A number of no or any unit.
    Plain,
}

impl Unit {
    /// The figure with its unit.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::Memory => gib(value),
            Self::Milliseconds => format!("{} ms", digits(value)),
            Self::Seconds => format!("{} s", digits(value)),
            Self::Nanoseconds => format!("{} s", digits(value / 1e9)),
            Self::Time => time(value),
            Self::Share => percent(value * 100.0),
            Self::Percent => percent(value),
            Self::PerSecond => format!("{}/s", digits(value)),
            Self::Watts => format!("{} W", digits(value)),
            Self::Milliwatts => format!("{} W", digits(value / 1000.0)),
            Self::Joules => format!("{} J", digits(value)),
            Self::Celsius => format!("{} °C", digits(value)),
            Self::Megahertz => format!("{} MHz", digits(value)),
            Self::Count => grouped(&format!("{value:.0}")),
            Self::Plain => digits(value),
        }
    }

    /// A change with its unit and its sign: what grew has a plus.
    pub(crate) fn signed(self, value: f64) -> String {
        format!("{}{}", if value > 0.0 { "+" } else { "" }, self.show(value))
    }

    /// What stands beside an axis.
    pub(crate) fn axis(self) -> &'static str {
        match self {
            Self::Memory => "GiB",
            Self::Milliseconds | Self::Time => "ms",
            Self::Seconds | Self::Nanoseconds => "s",
            Self::Percent | Self::Share => "%",
            Self::PerSecond => "per second",
            Self::Watts | Self::Milliwatts => "W",
            Self::Joules => "J",
            Self::Celsius => "°C",
            Self::Megahertz => "MHz",
            Self::Count | Self::Plain => "",
        }
    }

    /// The figure in the unit of the axis.
    pub(crate) fn scaled(self, value: f64) -> f64 {
        match self {
            Self::Memory => value / GIB,
            Self::Nanoseconds => value / 1e9,
            Self::Milliwatts => value / 1000.0,
            Self::Time => value / 1e6,
            Self::Share => value * 100.0,
            _ => value,
        }
    }
}

const GIB: f64 = 1_073_741_824.0;

/// Small amounts in MiB, of which two decimals of a GiB would leave nothing.
fn gib(bytes: f64) -> String {
    let size = bytes.abs();
    if size == 0.0 || size >= GIB / 100.0 {
        format!("{} GiB", grouped(&format!("{:.2}", bytes / GIB)))
    } else if size >= 1024.0 * 1024.0 / 100.0 {
        format!("{:.2} MiB", bytes / (1024.0 * 1024.0))
    } else {
        format!("{bytes:.0} B")
    }
}

/// Nanoseconds in the unit in which they have one to three digits before the point.
fn time(ns: f64) -> String {
    let size = ns.abs();
    if size >= 1e9 {
        format!("{} s", digits(ns / 1e9))
    } else if size >= 1e6 {
        format!("{} ms", digits(ns / 1e6))
    } else if size >= 1e3 {
        format!("{} µs", digits(ns / 1e3))
    } else {
        format!("{} ns", digits(ns))
    }
}

/// A percentage with two decimals at most. What rounds to nothing keeps them: `0.00 %` is little, `0 %` is nothing.
fn percent(value: f64) -> String {
    let size = value.abs();
    if size >= 100.0 || value == 0.0 || !value.is_finite() {
        return format!("{} %", digits(value));
    }
    if size < 0.005 {
        return format!("{value:.2} %");
    }
    format!("{} %", format!("{value:.2}").trim_end_matches('0').trim_end_matches('.'))
}

/// A text of our own with its counts written as others on the page are: `914304 tokens` as `914,304 tokens`. What is part
/// of a name, of a decimal or of an amount in other digits stays.
pub(crate) fn with_thousands(text: &str) -> String {
    let one = |word: &str| {
        let bare = word.trim_end_matches([',', '.', ';', ':', ')']);
        let end = &word[bare.len()..];
        let start = bare.len() - bare.trim_start_matches('(').len();
        let (start, number) = bare.split_at(start);
        let counts = number.len() >= 4 && number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
        if counts { format!("{start}{}{end}", grouped(number)) } else { word.to_owned() }
    };
    text.split(' ').map(one).collect::<Vec<_>>().join(" ")
}

/// About four digits, and no more decimals than those need.
pub(crate) fn digits(value: f64) -> String {
    let size = value.abs();
    let text = if !value.is_finite() {
        return "not a number".to_owned();
    } else if size >= 1000.0 || value == 0.0 {
        format!("{value:.0}")
    } else if size >= 100.0 {
        format!("{value:.1}")
    } else if size >= 1.0 {
        format!("{value:.2}")
    } else if size >= 0.001 {
        format!("{value:.4}")
    } else {
        format!("{value:.2e}")
    };
    let text = if text.contains('.') && !text.contains('e') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    };
    grouped(&text)
}

/// Thousands apart.
fn grouped(text: &str) -> String {
    let (whole, rest) = text.split_once('.').map_or((text, None), |(whole, rest)| (whole, Some(rest)));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.to_owned();
    }
    let mut out = String::from(sign);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(rest) = rest {
        out.push('.');
        out.push_str(rest);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_few_digits_and_a_unit() {
        for (unit, value, text) in [
            (Unit::Memory, 16_106_127_360.0, "15.00 GiB"),
            (Unit::Memory, 0.0, "0.00 GiB"),
            (Unit::Memory, 1_048_576.0, "1.00 MiB"),
            (Unit::Milliseconds, 12.3456, "12.35 ms"),
            (Unit::Time, 2_800.0, "2.8 µs"),
            (Unit::Share, 0.051, "5.1 %"),
            (Unit::Percent, 0.467_578_75, "0.47 %"),
            (Unit::Percent, 0.5, "0.5 %"),
            (Unit::Percent, 84.736_355, "84.74 %"),
            (Unit::Percent, -0.811_387, "-0.81 %"),
            (Unit::Percent, -0.000_1, "-0.00 %"),
            (Unit::Percent, 0.0, "0 %"),
            (Unit::Percent, 1234.4, "1,234 %"),
            (Unit::Count, 1_234_567.0, "1,234,567"),
            (Unit::Count, -1234.0, "-1,234"),
            (Unit::Plain, 0.000_012, "1.20e-5"),
            (Unit::Seconds, 12345.6, "12,346 s"),
        ] {
            assert_eq!(unit.show(value), text, "{unit:?}");
        }
        for (unit, value, text) in [
            (Unit::Memory, 16_106_127_360.0, "+15.00 GiB"),
            (Unit::Memory, -16_106_127_360.0, "-15.00 GiB"),
            (Unit::Time, 16_860_391.0, "+16.86 ms"),
            (Unit::Share, -0.0522, "-5.22 %"),
            (Unit::Milliseconds, 12.3456, "+12.35 ms"),
            (Unit::Count, 0.0, "0"),
        ] {
            assert_eq!(unit.signed(value), text, "{unit:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_percentage_has_two_decimals_at_most_and_little_is_not_nothing(value in -1e6..1e6f64) {
            let text = Unit::Percent.show(value);
            let number = text.strip_suffix(" %").unwrap();
            proptest::prop_assert!(number.split_once('.').is_none_or(|(_, decimals)| decimals.len() <= 2), "{}", text);
            proptest::prop_assert!((number == "0") == (value == 0.0), "{}", text);
        }
    }

    #[test]
    fn counts_of_a_text_have_thousands_apart_and_names_stay() {
        for (text, shown) in [
            ("914304 tokens in 57144 blocks of 16", "914,304 tokens in 57,144 blocks of 16"),
            ("(131072), 2097152.", "(131,072), 2,097,152."),
            ("cuda12345 0012345 12345.5 --len=90208", "cuda12345 0012345 12345.5 --len=90208"),
        ] {
            assert_eq!(with_thousands(text), shown);
        }
    }
}
