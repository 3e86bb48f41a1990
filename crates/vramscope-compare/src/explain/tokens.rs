//! The terms of a ledger in tokens.

/// Lays a difference of tokens onto terms in proportion to their bytes, at the first run's bytes a token; what the second
/// run's own price of a token makes of its cache, and rounding, is returned beside them. They add up to the difference.
pub(crate) fn lay(terms: &[i64], pool_before: u64, tokens_before: u64, difference: i64) -> Option<(Vec<i64>, i64)> {
    let (pool, tokens) = (i128::from(pool_before), i128::from(tokens_before));
    if pool == 0 {
        return None;
    }
    let each: Option<Vec<i64>> =
        terms.iter().map(|bytes| i64::try_from(i128::from(*bytes) * tokens / pool).ok()).collect();
    let each = each?;
    let laid = each.iter().try_fold(0_i64, |sum, tokens| sum.checked_add(*tokens))?;
    Some((each, difference.checked_sub(laid)?))
}
