//! What a matrix becomes in each storage format: the tensors that are made for it, and those that stay.

use vramscope_core::{ElementType, Vendor, WeightFormat};

use super::tensors::{Part, Tensor};
use crate::device::GpuModel;

/// How weights are stored, and on what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Storage {
    pub(crate) format: WeightFormat,
    pub(crate) dtype: ElementType,
    /// Zero points are used by the kernel (AWQ), not only stored (GPTQ).
    pub(crate) zeros_used: bool,
    pub(crate) kernel: Kernel,
}

/// The family of kernels that computes with packed weights; it decides their final form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// Hopper's: zero points become 16-bit numbers.
    Machete,
    /// Most others': everything stays packed.
    Marlin,
    /// Those of data-centre Blackwell and of AMD, which differ for experts of 4 bits.
    Wide,
}

impl Kernel {
    pub(crate) fn of(device: &GpuModel) -> Self {
        if device.is_hopper() {
            Self::Machete
        } else if device.capability.0 == 10 || device.vendor == Vendor::Amd {
            Self::Wide
        } else {
            Self::Marlin
        }
    }
}

/// The tensors of one matrix, in bytes: weight, zero points or index, scales, and the rest. Zero is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Pieces {
    /// As created for loading.
    pub(crate) made: [u64; 4],
    /// As they stay.
    pub(crate) kept: [u64; 4],
    /// Set where the engine rewrites packed weights after loading.
    pub(crate) repack: Option<Repack>,
}

/// A packed matrix that is rewritten after loading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Repack {
    /// Elements of the matrix.
    pub(crate) elements: u64,
    /// Elements of its scales.
    pub(crate) scales: u64,
    /// Bytes of the packed matrix.
    pub(crate) weight_bytes: u64,
    /// Bytes of the packed zero points.
    pub(crate) zero_bytes: u64,
    /// Zero points become 16-bit numbers.
    pub(crate) widen: bool,
    /// The checkpoint's order of weights is AWQ's and is undone first.
    pub(crate) reorder: bool,
}

impl Pieces {
    fn alike(sizes: [u64; 4]) -> Self {
        Self { made: sizes, kept: sizes, repack: None }
    }

    /// Bytes that stay; `None` past 64 bits.
    pub(crate) fn kept_bytes(&self) -> Option<u64> {
        self.kept.iter().try_fold(0_u64, |sum, size| sum.checked_add(*size))
    }
}

/// The tensors for a matrix; `None` past 64 bits or for a format that is not known.
pub(crate) fn pieces(tensor: &Tensor, storage: Storage) -> Option<Pieces> {
    let plain = if tensor.wide { 4 } else { storage.dtype.bits() / 8 };
    let elements = tensor.parameters()?;
    if !tensor.linear {
        // Hopper's kernel wants the biases of 4-bit experts in 32 bits.
        let wide = storage.format == WeightFormat::Mxfp4 && storage.kernel == Kernel::Machete;
        let plain = if wide && tensor.part == Part::Experts { 4 } else { plain };
        return Some(Pieces::alike([elements.checked_mul(plain)?, 0, 0, 0]));
    }
    let (rows, columns, copies) = (tensor.rows, tensor.columns, tensor.copies);
    Some(match storage.format {
        WeightFormat::Plain => Pieces::alike([elements.checked_mul(plain)?, 0, 0, 0]),
        WeightFormat::Byte { per_channel, static_input_scale } => {
            let scales = if per_channel { rows } else { tensor.joined };
            let inputs = if static_input_scale { 4 * copies } else { 0 };
            Pieces::alike([elements, 0, scales.checked_mul(4 * copies)?, inputs])
        }
        WeightFormat::ByteBlocks { rows: high, columns: wide, scale } => {
            let blocks = rows.div_ceil(high).checked_mul(columns.div_ceil(wide))?;
            Pieces::alike([elements, 0, blocks.checked_mul(scale.checked_mul(copies)?)?, 0])
        }
        WeightFormat::Packed { bits, group, zero_point, group_index } => {
            packed(tensor, storage, elements, Groups { bits, group, zero_point, group_index })?
        }
        WeightFormat::Nf4 { double_quantized } => {
            let scales = elements.div_ceil(64);
            let bytes = if double_quantized { scales + 4 * scales.div_ceil(256) } else { 4 * scales };
            Pieces::alike([elements.div_ceil(2), 0, bytes, 0])
        }
        WeightFormat::Mxfp4 if tensor.part != Part::Experts => {
            let scales = rows.checked_mul(columns.div_ceil(32))?.checked_mul(copies)?;
            Pieces::alike([elements.div_ceil(2), 0, scales, 0])
        }
        WeightFormat::Mxfp4 => mxfp4(tensor, storage)?,
        WeightFormat::Nvfp4 => {
            let scales = rows.checked_mul(columns.div_ceil(16))?.checked_mul(copies)?;
            Pieces::alike([elements.div_ceil(2), 0, scales, 8 * copies])
        }
        WeightFormat::Unknown => return None,
    })
}

struct Groups {
    bits: u64,
    group: Option<u64>,
    zero_point: bool,
    group_index: bool,
}

fn packed(tensor: &Tensor, storage: Storage, elements: u64, groups: Groups) -> Option<Pieces> {
    let count = tensor.columns.div_ceil(groups.group.unwrap_or(tensor.columns).max(1));
    let scales = count.checked_mul(tensor.rows)?.checked_mul(tensor.copies)?;
    let weight = words(elements, groups.bits)?;
    let zeros = if groups.zero_point { words(scales, groups.bits)? } else { 0 };
    let index = if groups.group_index { 4 * tensor.columns } else { 0 };
    let made = [weight, zeros, scales.checked_mul(2)?, index];
    let wide = storage.kernel == Kernel::Machete && storage.zeros_used && groups.zero_point;
    let kept = [weight, if wide { made[2] } else { zeros }, made[2], index];
    let (weight_bytes, zero_bytes) = (weight, zeros);
    let repack = Repack { elements, scales, weight_bytes, zero_bytes, widen: wide, reorder: storage.zeros_used };
    Some(Pieces { made, kept, repack: (tensor.copies == 1).then_some(repack) })
}

/// Experts of 4 bits. On Hopper the scales' rows are padded to 256 (`triton_kernels/tensor_details/layout_details/
/// hopper_scale.py`, `hopper_value.py`) and the experts' width to 64; elsewhere both widths are padded as the kernels
/// there need (`fused_moe/oracle/mxfp4.py`, `mxfp4_round_up_hidden_size_and_intermediate_size`, 0.25).
fn mxfp4(tensor: &Tensor, storage: Storage) -> Option<Pieces> {
    let (rows, columns, copies) = (tensor.rows, tensor.columns, tensor.copies);
    let half = |rows: u64, columns: u64| rows.checked_mul(columns.div_ceil(2))?.checked_mul(copies);
    let scales = |rows: u64, columns: u64| rows.checked_mul(columns.div_ceil(32))?.checked_mul(copies);
    // Of the two matrices, the first has the experts' width as rows (for each of those joined), the second as columns.
    let first = tensor.joined > 1;
    let padded = |width: u64, hidden: u64| match first {
        true => ((rows / tensor.joined).next_multiple_of(width) * tensor.joined, columns.next_multiple_of(hidden)),
        false => (rows.next_multiple_of(hidden), columns.next_multiple_of(width)),
    };
    let (rows, columns) = match storage.kernel {
        Kernel::Machete => padded(64, 1),
        Kernel::Marlin => padded(128, 256),
        Kernel::Wide => padded(256, 256),
    };
    let made = [half(rows, columns)?, 0, scales(rows, columns)?, 0];
    let kept = match storage.kernel {
        Kernel::Machete => [made[0], 0, scales(rows.next_multiple_of(256), columns.next_multiple_of(64))?, 0],
        Kernel::Marlin | Kernel::Wide => made,
    };
    Some(Pieces { made, kept, repack: None })
}

/// Values of so many bits, packed into 32-bit words.
fn words(values: u64, bits: u64) -> Option<u64> {
    values.checked_mul(bits)?.div_ceil(32).checked_mul(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(side: u64, part: Part) -> Tensor {
        Tensor { part, copies: 1, rows: side, columns: side, linear: true, place: None, joined: 1, wide: false }
    }

    fn storage(format: WeightFormat, kernel: Kernel) -> Storage {
        Storage { format, dtype: ElementType::Bf16, zeros_used: true, kernel }
    }

    fn bits_per_weight(format: WeightFormat, kernel: Kernel) -> f64 {
        let side = 4096;
        let made = pieces(&square(side, Part::Experts), storage(format, kernel)).unwrap();
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let bits = made.kept_bytes().unwrap() as f64 * 8.0 / (side * side) as f64;
        bits
    }

    #[test]
    fn bits_per_weight_are_those_of_the_formats() {
        let packed = |zero_point| WeightFormat::Packed { bits: 4, group: Some(128), zero_point, group_index: false };
        let table = [
            (WeightFormat::Plain, 16.0),
            (WeightFormat::ByteBlocks { rows: 128, columns: 128, scale: 4 }, 8.0 + 32.0 / 16384.0),
            (WeightFormat::ByteBlocks { rows: 1, columns: 32, scale: 1 }, 8.25),
            (packed(true), 4.0 + 16.0 / 128.0 + 4.0 / 128.0),
            (packed(false), 4.125),
            (WeightFormat::Nf4 { double_quantized: false }, 4.5),
            (WeightFormat::Nf4 { double_quantized: true }, 4.0 + 8.0 / 64.0 + 32.0 / 16384.0),
            (WeightFormat::Mxfp4, 4.25),
        ];
        for (format, expected) in table {
            assert!((bits_per_weight(format, Kernel::Marlin) - expected).abs() < 1e-9, "{format:?}");
        }
        assert!((bits_per_weight(WeightFormat::Nvfp4, Kernel::Marlin) - 4.5).abs() < 1e-4);
        let wide_zeros = bits_per_weight(packed(true), Kernel::Machete);
        assert!((wide_zeros - (4.0 + 32.0 / 128.0)).abs() < 1e-9, "Hopper's kernel keeps zero points in 16 bits");
    }

    #[test]
    fn what_is_not_linear_stays_plain() {
        let norm = Tensor { linear: false, rows: 10, columns: 1, ..square(1, Part::Norms) };
        let plain = pieces(&norm, storage(WeightFormat::Nvfp4, Kernel::Marlin)).unwrap();
        assert_eq!(plain.kept_bytes(), Some(20));
        assert_eq!(pieces(&square(64, Part::Attention), storage(WeightFormat::Unknown, Kernel::Marlin)), None);
    }
}
