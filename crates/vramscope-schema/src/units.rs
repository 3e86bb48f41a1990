//! What a key's ending says: the pair rule of memory, and the units of everything else.

/// Bytes that may lie between `x_bytes` and `x_gb` of one document: half of the sixth decimal, and one for the float.
const ROUNDING_BYTES: f64 = 501.0;

/// The units that a key can end in.
#[cfg(feature = "json-schema")]
const ENDINGS: [(&str, &str); 11] = [
    ("_bytes", "bytes"),
    ("_gb", "GB (10^9 bytes)"),
    ("_mb", "MB as the named tool counts it"),
    ("_ns", "nanoseconds"),
    ("_ms", "milliseconds"),
    ("_s", "seconds"),
    ("_w", "watts"),
    ("_c", "degrees Celsius"),
    ("_pct", "percent"),
    ("_mhz", "megahertz"),
    ("_j", "joules"),
];

/// The unit that a key ends in, in words.
#[cfg(feature = "json-schema")]
pub(crate) fn unit_of(key: &str) -> Option<&'static str> {
    ENDINGS.iter().find(|(ending, _)| key.ends_with(ending)).map(|&(_, unit)| unit)
}

/// The part before `_bytes` of the key of an exact amount of memory.
pub(crate) fn exact_stem(key: &str) -> Option<&str> {
    key.strip_suffix("_bytes")
}

/// The part before `_gb` of the key of a derived amount of memory.
pub(crate) fn derived_stem(key: &str) -> Option<&str> {
    key.strip_suffix("_gb")
}

/// The derived figure: 10^9 bytes, six decimals, halves away from zero.
#[expect(clippy::cast_precision_loss, reason = "thousands of bytes are exact below 2^53, which is 9 exabytes")]
pub(crate) fn gb(bytes: i128) -> f64 {
    let thousands = (bytes.abs() + 500) / 1000;
    let size = thousands as f64 / 1e6;
    if bytes < 0 && thousands > 0 { -size } else { size }
}

/// Whether the derived figure is that of the exact one.
#[expect(clippy::cast_precision_loss, reason = "the loss is far below the tolerance")]
pub(crate) fn agree(bytes: i128, written_gb: f64) -> bool {
    let exact = bytes as f64;
    let derived = written_gb * 1e9;
    (exact - derived).abs() <= ROUNDING_BYTES + exact.abs() * f64::EPSILON * 4.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn six_decimals_and_a_sign() {
        assert_eq!(gb(16_110_919_680), 16.11092);
        assert_eq!(gb(-1_500), -0.000_002);
        assert_eq!((gb(0), gb(499)), (0.0, 0.0));
        assert!(gb(-400).is_sign_positive(), "no negative zero");
    }

    #[test]
    fn the_two_bases_do_not_agree() {
        let bytes = 16_110_919_680;
        assert!(agree(bytes, 16.11092) && !agree(bytes, 15.004) && !agree(bytes, 16.110_922));
    }

    proptest! {
        #[test]
        fn what_is_derived_agrees(bytes in -(1i128 << 62)..(1i128 << 63)) {
            prop_assert!(agree(bytes, gb(bytes)));
        }

        #[test]
        fn a_figure_off_by_two_in_the_last_decimal_disagrees(bytes in 0i128..1 << 50) {
            prop_assert!(!agree(bytes, gb(bytes) + 2e-6));
        }
    }
}
