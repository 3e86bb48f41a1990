//! A device by what the estimate depends on.

use vramscope_core::{Bytes, Vendor};

/// A GPU model, as an engine's framework sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GpuModel {
    /// Short name for the command line (`h200`).
    pub key: &'static str,
    /// Marketing name.
    pub name: &'static str,
    /// Who made it.
    pub vendor: Vendor,
    /// All memory that the framework sees (`cudaMemGetInfo`, `hipMemGetInfo`), without what the driver keeps for itself.
    pub total: Bytes,
    /// Largest difference of the total between boards, drivers and ECC settings that is known.
    pub total_spread: Bytes,
    /// Compute capability, major and minor; the LLVM target's first digits for AMD (`gfx942` is 9, 4).
    pub capability: (u8, u8),
    /// Multiprocessors or compute units.
    pub multiprocessors: u64,
    /// Second-level cache in bytes.
    pub l2_bytes: u64,
    /// Where the figures come from.
    pub source: &'static str,
}

impl GpuModel {
    /// A device of which only the size is known; the rest is taken as on an H100.
    pub const fn of_size(total: Bytes) -> Self {
        Self {
            key: "custom",
            name: "a device of this size",
            vendor: Vendor::Nvidia,
            total,
            total_spread: Bytes::ZERO,
            capability: (9, 0),
            multiprocessors: 132,
            l2_bytes: 50 << 20,
            source: "given",
        }
    }

    /// Which device it is was said, not its size alone.
    pub(crate) fn is_named(&self) -> bool {
        self.key != "custom"
    }

    /// NVIDIA's Hopper generation.
    pub(crate) fn is_hopper(&self) -> bool {
        self.vendor == Vendor::Nvidia && self.capability == (9, 0)
    }

    /// Bytes that cuBLAS takes from the framework's allocator at its first use
    /// (PyTorch, `aten/src/ATen/cuda/CUDABlas.cpp`: 32 MiB from Hopper on, 8.125 MiB before; 76 MiB in hipBLAS).
    pub(crate) fn blas_workspace(&self) -> u64 {
        match self.vendor {
            Vendor::Nvidia if self.capability.0 >= 9 => 32 << 20,
            Vendor::Nvidia => 8_519_680,
            Vendor::Amd => 32 << 20,
            _ => 0,
        }
    }
}
