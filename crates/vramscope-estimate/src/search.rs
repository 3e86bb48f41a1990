//! The search for the largest number that still fits.

/// The largest number from `least` to `most` that fits, where more need more; `None` where not even the least does.
///
/// The last is tried first, and holds even where one before it would not.
///
/// # Errors
/// The first that `fits` meets.
pub(crate) fn largest<E>(least: u64, most: u64, fits: impl Fn(u64) -> Result<bool, E>) -> Result<Option<u64>, E> {
    if fits(most)? {
        return Ok(Some(most));
    }
    if least >= most || !fits(least)? {
        return Ok(None);
    }
    let (mut low, mut high) = (least, most - 1);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if fits(middle)? { low = middle } else { high = middle - 1 }
    }
    Ok(Some(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_fits_and_one_more_does_not() {
        let found = |least: u64, most: u64, limit: u64| largest(least, most, |n| Ok::<_, ()>(n <= limit)).unwrap();
        for limit in 0..20 {
            assert_eq!(found(3, 12, limit), (limit >= 3).then_some(limit.min(12)), "{limit}");
        }
        assert_eq!((found(0, 0, 0), found(1, 1, 0)), (Some(0), None));
    }
}
