//! In which unit the earlier profilers wrote their bare numbers. One table, and one piece of arithmetic that may know
//! better.

use std::ops::RangeInclusive;

use crate::Version;
use crate::v3::BasisUnit;

/// A unit with its reason.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Basis {
    pub(super) unit: BasisUnit,
    /// Whether nothing else is possible.
    pub(super) proven: bool,
    pub(super) reason: String,
}

/// One row: from which producer, of which tool, in which field.
struct Row {
    majors: RangeInclusive<u32>,
    /// The tool that the document names; `*` is any, also none.
    tool: &'static str,
    /// The beginning of the field's path in the current document.
    field: &'static str,
    unit: BasisUnit,
    proven: bool,
    reason: &'static str,
}

const fn row(majors: RangeInclusive<u32>, tool: &'static str, field: &'static str, unit: BasisUnit) -> Row {
    Row { majors, tool, field, unit, proven: false, reason: "" }
}

impl Row {
    const fn proven(self, reason: &'static str) -> Self {
        Self { proven: true, reason, ..self }
    }

    const fn supposed(self, reason: &'static str) -> Self {
        Self { proven: false, reason, ..self }
    }
}

const CALCULATED: &str = "the profiler calculated it and does not say in which unit; 2^30 is usual";

/// The first row that fits decides. The last row of a version fits every field.
const TABLE: &[Row] = &[
    row(3..=3, "amd-smi", "detailed_gpu_metrics.", BasisUnit::Mib).proven("amd-smi divides by 2^20 and prints MB"),
    row(3..=3, "nvidia-smi", "detailed_gpu_metrics.", BasisUnit::Mib).proven("nvidia-smi counts in MiB"),
    row(3..=3, "*", "detailed_gpu_metrics.", BasisUnit::Mib)
        .supposed("the document names no tool whose MB is known; most count in 2^20"),
    row(3..=3, "*", "vllm_internal_metrics.total_", BasisUnit::Gib)
        .supposed("the profiler may have computed it from blocks, or summed it; its parts are in GiB"),
    row(3..=3, "*", "vllm_internal_metrics.", BasisUnit::Gib).proven(
        "copied from the engine's log, where vLLM divides by 2^30 in every release, whether it prints GB or GiB",
    ),
    row(1..=1, "*", "", BasisUnit::Gib)
        .supposed("the profiler divided the framework's counts of bytes and does not say by what; 2^30 is usual"),
    row(2..=3, "*", "memory_breakdown.model_weights_", BasisUnit::Gib).supposed(CALCULATED),
    row(2..=3, "*", "memory_breakdown.kv_cache_", BasisUnit::Gib).supposed(CALCULATED),
    row(2..=3, "*", "memory_breakdown.activations_", BasisUnit::Gib).supposed(CALCULATED),
    row(2..=3, "*", "", BasisUnit::Gib)
        .supposed("the profiler divided what the GPU tool showed, in MiB, and does not say by what; 1024 is usual"),
];

/// The unit of a field.
pub(super) fn of(from: Version, tool: Option<&str>, field: &str) -> Basis {
    let fits = |row: &&Row| {
        row.majors.contains(&from.major) && (row.tool == "*" || tool == Some(row.tool)) && field.starts_with(row.field)
    };
    let unknown = row(0..=0, "*", "", BasisUnit::Gib).supposed("nothing is known of the profiler");
    let row = TABLE.iter().find(fits).unwrap_or(&unknown);
    Basis { unit: row.unit, proven: row.proven, reason: row.reason.to_owned() }
}

/// The weights' true size by parameters and element type: it tells 10^9 from 2^30 where one of them fits and the other
/// does not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct WeightsSize {
    bytes: f64,
}

/// How near a figure must come to count as the same amount, in parts of one. Written figures have two decimals, and
/// devices hold small buffers beside the parameters.
const NEAR: f64 = 0.01;

impl WeightsSize {
    /// Of an unquantized model. `None` where something is missing or the element type is not known.
    pub(super) fn of(parameters: Option<u64>, dtype: Option<&str>, quantization: Option<&str>) -> Option<Self> {
        if quantization.is_some_and(|q| !q.eq_ignore_ascii_case("none")) {
            return None;
        }
        let element = match dtype?.trim_start_matches("torch.") {
            "float16" | "bfloat16" | "half" | "fp16" | "bf16" => 2,
            "float32" | "float" | "fp32" => 4,
            _ => return None,
        };
        let bytes = vramscope_core::Bytes::new(parameters?.checked_mul(element)?).as_f64();
        (bytes > 0.0).then_some(Self { bytes })
    }

    /// The unit in which `written` is this size, if exactly one is.
    pub(super) fn decide(self, written: f64) -> Option<Basis> {
        let near = |unit: BasisUnit| (written * per_unit(unit) / self.bytes - 1.0).abs() <= NEAR;
        let unit = match (near(BasisUnit::Gb), near(BasisUnit::Gib)) {
            (true, false) => BasisUnit::Gb,
            (false, true) => BasisUnit::Gib,
            _ => return None,
        };
        let reason = format!(
            "parameters times element size are {:.3} GB or {:.3} GiB",
            self.bytes / 1e9,
            self.bytes / per_unit(BasisUnit::Gib)
        );
        Some(Basis { unit, proven: true, reason })
    }
}

/// Bytes in one of a unit.
pub(super) fn per_unit(unit: BasisUnit) -> f64 {
    match unit {
        BasisUnit::Gb => 1e9,
        BasisUnit::Gib => 1_073_741_824.0,
        BasisUnit::Mb => 1e6,
        BasisUnit::Mib => 1_048_576.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V3: Version = Version { major: 3, minor: 0 };

    #[test]
    fn the_table_decides_by_producer_tool_and_field() {
        let amd = of(V3, Some("amd-smi"), "detailed_gpu_metrics.gpus[].vram_used_bytes");
        assert_eq!((amd.unit, amd.proven), (BasisUnit::Mib, true));
        let other = of(V3, Some("rocm-smi"), "detailed_gpu_metrics.gpus[].vram_used_bytes");
        assert!(!other.proven);
        assert!(of(V3, None, "vllm_internal_metrics.model_weights_bytes").proven);
        assert!(!of(V3, None, "vllm_internal_metrics.total_allocated_bytes").proven);
        assert!(!of(Version::V1, None, "memory_breakdown.model_weights_bytes").proven);
    }

    #[test]
    fn every_known_version_has_a_row_for_every_field() {
        for major in 1..=3 {
            assert!(TABLE.iter().any(|row| row.majors.contains(&major) && row.tool == "*" && row.field.is_empty()));
        }
    }

    #[test]
    fn parameters_tell_decimal_from_binary() {
        let size = WeightsSize::of(Some(1_235_814_400), Some("torch.bfloat16"), None).unwrap();
        assert_eq!(size.decide(2.47).unwrap().unit, BasisUnit::Gb);
        assert_eq!(size.decide(2.30).unwrap().unit, BasisUnit::Gib);
        assert_eq!(size.decide(2.39), None, "between the two, nothing is decided");
        assert_eq!(WeightsSize::of(Some(1), Some("bfloat16"), Some("awq")), None);
        assert_eq!(WeightsSize::of(Some(1), Some("int4"), None), None);
    }
}
