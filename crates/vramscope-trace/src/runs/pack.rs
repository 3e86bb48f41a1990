//! Records as differences from the record before.

/// A record that can be packed. Order is the order in which records are read back.
pub(crate) trait Packed: Copy + Ord {
    /// What is carried from one record to the next.
    type State: Default;

    /// Appends the record.
    fn pack(&self, state: &mut Self::State, out: &mut Vec<u8>);

    /// Takes the next record off the input; `None` if the input ends within it.
    fn unpack(state: &mut Self::State, input: &mut &[u8]) -> Option<Self>;
}

/// Appends a number in seven-bit groups, small numbers in few bytes.
#[inline]
pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Appends a signed number; numbers near zero take few bytes.
#[inline]
pub(crate) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, value.wrapping_shl(1).cast_unsigned() ^ (value >> 63).cast_unsigned());
}

#[inline]
pub(crate) fn get(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    let mut shift = 0;
    loop {
        let (&byte, rest) = input.split_first()?;
        *input = rest;
        value |= u64::from(byte & 0x7f).wrapping_shl(shift);
        if byte < 0x80 {
            return Some(value);
        }
        shift += 7;
        if shift > 63 {
            return None;
        }
    }
}

#[inline]
pub(crate) fn get_signed(input: &mut &[u8]) -> Option<i64> {
    let value = get(input)?;
    Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}
