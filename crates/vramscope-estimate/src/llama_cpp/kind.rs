//! Types of elements, as ggml stores them: blocks of so many elements in so many bytes (`ggml.c`, `type_traits`).

/// A type of elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Elements of a block.
    pub(crate) block: u64,
    /// Bytes of a block.
    pub(crate) bytes: u64,
}

impl Kind {
    pub(crate) const F32: Self = Self { block: 1, bytes: 4 };
    pub(crate) const F16: Self = Self { block: 1, bytes: 2 };
    pub(crate) const I32: Self = Self { block: 1, bytes: 4 };
    pub(crate) const I64: Self = Self { block: 1, bytes: 8 };

    /// Bytes of so many elements in a row; whole blocks.
    pub(crate) fn row(self, elements: u64) -> u64 {
        elements.div_ceil(self.block).saturating_mul(self.bytes)
    }

    /// Whether elements stand in blocks with a scale of their own.
    pub(crate) fn is_quantized(self) -> bool {
        self.block > 1
    }
}

/// The type of that name, as GGUF headers spell it.
pub(crate) fn kind_named(name: &str) -> Option<Kind> {
    let of = |block, bytes| Some(Kind { block, bytes });
    match name {
        "F32" | "I32" => of(1, 4),
        "F16" | "BF16" | "I16" => of(1, 2),
        "I8" => of(1, 1),
        "I64" | "F64" => of(1, 8),
        "Q4_0" | "IQ4_NL" => of(32, 18),
        "Q4_1" => of(32, 20),
        "Q5_0" => of(32, 22),
        "Q5_1" => of(32, 24),
        "Q8_0" => of(32, 34),
        "Q8_1" => of(32, 36),
        "Q2_K" => of(256, 84),
        "Q3_K" | "IQ3_S" => of(256, 110),
        "Q4_K" => of(256, 144),
        "Q5_K" => of(256, 176),
        "Q6_K" => of(256, 210),
        "Q8_K" => of(256, 292),
        "IQ2_XXS" | "TQ2_0" => of(256, 66),
        "IQ2_XS" => of(256, 74),
        "IQ3_XXS" => of(256, 98),
        "IQ1_S" => of(256, 50),
        "IQ2_S" => of(256, 82),
        "IQ4_XS" => of(256, 136),
        "IQ1_M" => of(256, 56),
        "TQ1_0" => of(256, 54),
        "MXFP4" => of(32, 17),
        "NVFP4" => of(64, 36),
        "Q1_0" => of(128, 18),
        "Q2_0" => of(64, 18),
        _ => None,
    }
}

/// The type of a KV cache (`common/arg.cpp`, `kv_cache_types`).
pub(crate) fn cache_kind(name: &str) -> Option<Kind> {
    let allowed = ["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"];
    allowed.contains(&name).then(|| kind_named(&name.to_uppercase())).flatten()
}
