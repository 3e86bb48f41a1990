//! Bytes of a matrix in each storage format, with its scales.

use vramscope_core::{ElementType, WeightFormat};

use super::tensors::Tensor;

/// Bytes of a tensor on the device; `None` past 64 bits or for a format that is not known.
pub(crate) fn bytes(tensor: &Tensor, format: WeightFormat, dtype: ElementType) -> Option<u64> {
    let plain = dtype.bits() / 8;
    if !tensor.linear {
        return tensor.parameters()?.checked_mul(plain);
    }
    let (rows, columns) = (tensor.rows, tensor.columns);
    let each = match format {
        WeightFormat::Plain => rows.checked_mul(columns)?.checked_mul(plain)?,
        WeightFormat::Byte { per_channel, static_input_scale } => {
            let scales = if per_channel { rows } else { tensor.joined };
            let inputs = if static_input_scale { 4 } else { 0 };
            rows.checked_mul(columns)?.checked_add(4 * scales + inputs)?
        }
        WeightFormat::ByteBlocks { rows: high, columns: wide } => {
            let scales = rows.div_ceil(high).checked_mul(columns.div_ceil(wide))?;
            rows.checked_mul(columns)?.checked_add(scales.checked_mul(4)?)?
        }
        WeightFormat::Packed { bits, group, zero_point, group_index } => {
            let groups = columns.div_ceil(group.unwrap_or(columns).max(1));
            let weights = bits_to_bytes(rows.checked_mul(columns)?, bits)?;
            let scales = groups.checked_mul(rows)?.checked_mul(2)?;
            let zeros = if zero_point { bits_to_bytes(groups.checked_mul(rows)?, bits)? } else { 0 };
            let index = if group_index { 4 * columns } else { 0 };
            weights.checked_add(scales)?.checked_add(zeros)?.checked_add(index)?
        }
        WeightFormat::Nf4 { double_quantized } => {
            let weights = rows.checked_mul(columns)?;
            let scales = weights.div_ceil(64);
            let scale_bytes = if double_quantized { scales + 4 * scales.div_ceil(256) } else { 4 * scales };
            weights.div_ceil(2).checked_add(scale_bytes)?
        }
        WeightFormat::Mxfp4 => scaled_nibbles(rows, columns, 32)?,
        WeightFormat::Nvfp4 => scaled_nibbles(rows, columns, 16)?.checked_add(8)?,
        WeightFormat::Unknown => return None,
    };
    each.checked_mul(tensor.copies)
}

/// Half a byte a weight and one byte a group of inputs.
fn scaled_nibbles(rows: u64, columns: u64, group: u64) -> Option<u64> {
    rows.checked_mul(columns.div_ceil(2).checked_add(columns.div_ceil(group))?)
}

/// Values of so many bits, packed into 32-bit words.
fn bits_to_bytes(values: u64, bits: u64) -> Option<u64> {
    values.checked_mul(bits)?.div_ceil(32).checked_mul(4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::tensors::Part;

    fn square(side: u64) -> Tensor {
        Tensor { part: Part::FeedForward, copies: 1, rows: side, columns: side, linear: true, joined: 1 }
    }

    fn bits_per_weight(format: WeightFormat) -> f64 {
        let side = 4096;
        let bytes = bytes(&square(side), format, ElementType::Bf16).unwrap();
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let bits = bytes as f64 * 8.0 / (side * side) as f64;
        bits
    }

    #[test]
    fn bits_per_weight_are_those_of_the_formats() {
        let packed =
            |zero_point, group_index| WeightFormat::Packed { bits: 4, group: Some(128), zero_point, group_index };
        let table = [
            (WeightFormat::Plain, 16.0),
            (WeightFormat::ByteBlocks { rows: 128, columns: 128 }, 8.0 + 32.0 / 16384.0),
            (packed(true, false), 4.0 + 16.0 / 128.0 + 4.0 / 128.0),
            (packed(false, false), 4.125),
            (WeightFormat::Nf4 { double_quantized: false }, 4.5),
            (WeightFormat::Nf4 { double_quantized: true }, 4.0 + 8.0 / 64.0 + 32.0 / 16384.0),
            (WeightFormat::Mxfp4, 4.25),
        ];
        for (format, expected) in table {
            assert!((bits_per_weight(format) - expected).abs() < 1e-9, "{format:?}");
        }
        assert!((bits_per_weight(WeightFormat::Nvfp4) - 4.5).abs() < 1e-4);
    }

    #[test]
    fn what_is_not_linear_stays_plain() {
        let norm = Tensor { linear: false, rows: 10, columns: 1, ..square(1) };
        assert_eq!(bytes(&norm, WeightFormat::Mxfp4, ElementType::Bf16), Some(20));
        assert_eq!(bytes(&square(64), WeightFormat::Unknown, ElementType::Bf16), None);
    }
}
