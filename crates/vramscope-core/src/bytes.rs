//! Exact amounts of memory.

use std::fmt;

/// Binary and decimal units in which memory is written by people and tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ByteUnit {
    /// One byte.
    B,
    /// 10^3 bytes.
    Kb,
    /// 2^10 bytes.
    KiB,
    /// 10^6 bytes.
    Mb,
    /// 2^20 bytes.
    MiB,
    /// 10^9 bytes.
    Gb,
    /// 2^30 bytes.
    GiB,
    /// 10^12 bytes.
    Tb,
    /// 2^40 bytes.
    TiB,
}

impl ByteUnit {
    /// Bytes in one of this unit.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::B => 1,
            Self::Kb => 1_000,
            Self::KiB => 1 << 10,
            Self::Mb => 1_000_000,
            Self::MiB => 1 << 20,
            Self::Gb => 1_000_000_000,
            Self::GiB => 1 << 30,
            Self::Tb => 1_000_000_000_000,
            Self::TiB => 1 << 40,
        }
    }

    /// The unit with this usual spelling (`GiB`, `MB`, `bytes`), or `None`.
    ///
    /// ```
    /// use vramscope_core::ByteUnit;
    /// assert_eq!(ByteUnit::from_symbol("MiB"), Some(ByteUnit::MiB));
    /// assert_eq!(ByteUnit::from_symbol("parsec"), None);
    /// ```
    pub fn from_symbol(symbol: &str) -> Option<Self> {
        Some(match symbol {
            "B" | "b" | "bytes" | "byte" => Self::B,
            "KB" | "kB" => Self::Kb,
            "KiB" => Self::KiB,
            "MB" => Self::Mb,
            "MiB" => Self::MiB,
            "GB" => Self::Gb,
            "GiB" => Self::GiB,
            "TB" => Self::Tb,
            "TiB" => Self::TiB,
            _ => return None,
        })
    }
}

/// An exact number of bytes. Arithmetic is checked: there is no silent wrap and no clamp.
///
/// It prints as GiB with two decimals, as people read memory.
///
/// ```
/// use vramscope_core::Bytes;
/// let weights = Bytes::new(16_110_919_680);
/// assert_eq!(weights.to_string(), "15.00 GiB");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(u64);

impl Bytes {
    /// No bytes.
    pub const ZERO: Self = Self(0);

    /// Wraps a count of bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The count of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// `value` in `unit`, rounded to the nearest byte; `None` if it is negative, not a number or too large.
    ///
    /// ```
    /// use vramscope_core::{ByteUnit, Bytes};
    /// assert_eq!(Bytes::from_unit(2.5, ByteUnit::KiB), Some(Bytes::new(2560)));
    /// assert_eq!(Bytes::from_unit(-0.1, ByteUnit::GiB), None);
    /// assert_eq!(Bytes::from_unit(f64::NAN, ByteUnit::B), None);
    /// ```
    pub fn from_unit(value: f64, unit: ByteUnit) -> Option<Self> {
        let bytes = (value * exact_f64(unit.bytes())).round();
        if !(0.0..18_446_744_073_709_551_615.0).contains(&bytes) {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole, not negative and below 2^64 by the test above"
        )]
        Some(Self(bytes as u64))
    }

    /// As a float of bytes, for statistics and shares; exact below 2^53 bytes (8 PiB).
    pub fn as_f64(self) -> f64 {
        exact_f64(self.0)
    }

    /// As a float of `unit`, for display and for documents that carry such a figure.
    pub fn in_unit(self, unit: ByteUnit) -> f64 {
        self.as_f64() / exact_f64(unit.bytes())
    }

    /// The sum, or `None` past 2^64 - 1.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, or `None` if `other` is larger.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The product, or `None` past 2^64 - 1.
    pub fn checked_mul(self, factor: u64) -> Option<Self> {
        self.0.checked_mul(factor).map(Self)
    }

    /// The signed way from `other` to `self`, or `None` if it does not fit 64 bits.
    pub fn checked_delta(self, other: Self) -> Option<ByteDelta> {
        if self >= other {
            i64::try_from(self.0 - other.0).ok().map(ByteDelta)
        } else {
            i64::try_from(other.0 - self.0).ok().map(|d| ByteDelta(-d))
        }
    }

    /// The sum of all, or `None` past 2^64 - 1.
    pub fn checked_sum(values: impl IntoIterator<Item = Self>) -> Option<Self> {
        values.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:.2} GiB", self.in_unit(ByteUnit::GiB)))
    }
}

/// A signed difference of memory, in bytes. Residuals are of this type and are never clamped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteDelta(i64);

impl ByteDelta {
    /// No difference.
    pub const ZERO: Self = Self(0);

    /// Wraps a signed count of bytes.
    pub const fn new(bytes: i64) -> Self {
        Self(bytes)
    }

    /// The signed count of bytes.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The size without its sign.
    pub const fn magnitude(self) -> Bytes {
        Bytes(self.0.unsigned_abs())
    }

    /// The amount if it is not negative.
    pub fn as_bytes(self) -> Option<Bytes> {
        u64::try_from(self.0).ok().map(Bytes)
    }

    /// As a float of bytes; exact below 2^53.
    pub fn as_f64(self) -> f64 {
        let size = exact_f64(self.0.unsigned_abs());
        if self.0 < 0 { -size } else { size }
    }

    /// The sum, or `None` outside 64 bits.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }
}

impl fmt::Display for ByteDelta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        f.pad(&format!("{sign}{}", self.magnitude()))
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53; above that the loss is under one part in 10^15")]
fn exact_f64(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn gib_and_gb_differ_by_seven_percent() {
        let gib = Bytes::from_unit(1.0, ByteUnit::GiB).unwrap().as_f64();
        let gb = Bytes::from_unit(1.0, ByteUnit::Gb).unwrap().as_f64();
        assert!((gib / gb - 1.073_741_824).abs() < 1e-12);
    }

    #[test]
    fn a_residual_keeps_its_sign_in_print() {
        assert_eq!(ByteDelta::new(-(1 << 29)).to_string(), "-0.50 GiB");
        assert_eq!(ByteDelta::new(1 << 29).to_string(), "+0.50 GiB");
    }

    #[test]
    fn amounts_that_do_not_fit_are_none() {
        assert_eq!(Bytes::from_unit(f64::INFINITY, ByteUnit::B), None);
        assert_eq!(Bytes::from_unit(1e30, ByteUnit::TiB), None);
        assert_eq!(Bytes::new(u64::MAX).checked_add(Bytes::new(1)), None);
        assert_eq!(Bytes::new(u64::MAX).checked_delta(Bytes::ZERO), None);
    }

    proptest! {
        #[test]
        fn delta_is_the_way_back(a in 0..u64::MAX / 2, b in 0..u64::MAX / 2) {
            let (a, b) = (Bytes::new(a), Bytes::new(b));
            let there = a.checked_delta(b).unwrap();
            let back = b.checked_delta(a).unwrap();
            prop_assert_eq!(there.get(), -back.get());
            prop_assert_eq!(there.as_bytes().is_some(), a >= b);
        }

        #[test]
        fn whole_units_round_trip(n in 0u32..1_000_000) {
            for unit in [ByteUnit::KiB, ByteUnit::Mb, ByteUnit::MiB, ByteUnit::Gb, ByteUnit::GiB] {
                let bytes = Bytes::from_unit(f64::from(n), unit).unwrap();
                prop_assert_eq!(bytes.get(), u64::from(n) * unit.bytes());
            }
        }
    }
}
