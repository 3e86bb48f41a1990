//! How sure a predicted time is.
//!
//! Half-widths are the errors that recorded batches had where their model was left out of the fit, rounded up; what was
//! never recorded is wider than anything that was.

use vramscope_core::{Architecture, Mixer, WeightFormat};

use super::figure::Seconds;
use super::limits::DeviceLimits;
use crate::vllm::budget::Budget;
use crate::{EngineArgs, GpuModel};

/// Below so many parameters the host is what takes the time, and hosts differ by more than models.
const LARGE: u64 = 3_000_000_000;

/// The device on which engines were timed.
const RECORDED: &str = "h200";

/// What a time may be off by, and why.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TimeDoubts {
    /// Half of the interval as a share of the value.
    pub half_width: f64,
    /// Nothing bounds times from above: the host decides, and nobody measured it.
    pub open: bool,
    /// The reasons, one sentence each.
    pub reasons: Vec<&'static str>,
}

impl TimeDoubts {
    pub(super) fn of(
        model: &Architecture,
        args: &EngineArgs,
        device: &GpuModel,
        budget: &Budget,
        limits: &DeviceLimits,
    ) -> Self {
        let engine = &budget.engine;
        let latent = |mixer: &Mixer| matches!(mixer, Mixer::Latent(_) | Mixer::Compressed(_));
        let has = |of: &dyn Fn(&Mixer) -> bool| model.layers.iter().any(|layer| of(&layer.mixer));
        let of_format = match engine.format {
            WeightFormat::Plain => (0.08, None),
            WeightFormat::Packed { .. } => (0.20, Some("kernels of 4-bit integers were recorded with one model")),
            WeightFormat::Mxfp4 => (0.45, Some("kernels of MXFP4 experts read at 0.27 to 0.46 of the copy rate")),
            WeightFormat::Byte { .. } | WeightFormat::ByteBlocks { .. } => {
                (0.20, Some("no recording of weights of 8 bits"))
            }
            WeightFormat::Nvfp4 | WeightFormat::Nf4 { .. } | WeightFormat::Unknown => {
                (0.45, Some("no recording of this weight format"))
            }
        };
        let mixed = model.quantization.as_ref().is_some_and(|declared| !declared.others.is_empty());
        let experts = model.has_experts();
        let rows: [(bool, f64, &str); 12] = [
            (args.lora.is_some(), 0.12, "adapters were recorded once, and none was in use"),
            (experts, 0.12, "experts were recorded with one model, whose tokens choose evenly"),
            (mixed, 0.20, "layers of several formats are taken for one"),
            (has(&latent), 0.30, "no compiled recording of latent attention"),
            (model.has_recurrence(), 0.40, "kernels of recurrent layers are not modelled, only their bytes"),
            (engine.tensor_parallel_size > 1, 0.20, "sums over ranks are those of links as in an HGX of Hopper cards"),
            (engine.pipeline_parallel_size > 1, 0.40, "no compiled recording of a pipeline"),
            (engine.expert_ranks > 1, 0.25, "experts dealt over ranks were recorded once, and took longer"),
            (limits.measured && device.key != RECORDED, 0.08, "engines were recorded on an H200 alone"),
            (!limits.measured, 0.30, "the device's rates are shares of its data sheet: nobody measured them"),
            (!engine.version.is_recorded(), 0.10, "this release was not recorded"),
            (!model.unread.is_empty() || !model.known_family, 0.40, "not all of the model's config is understood"),
        ];
        let mut squares: f64 = of_format.0 * of_format.0;
        let mut reasons: Vec<&'static str> = of_format.1.into_iter().collect();
        for (_, half, reason) in rows.into_iter().filter(|row| row.0) {
            squares += half * half;
            reasons.push(reason);
        }
        let small = budget.parameters < LARGE;
        if !engine.compiled {
            reasons.push("without graphs the host starts each kernel: it takes at least the device's time");
        } else if small {
            reasons.push("below 3e9 parameters the host decides: it takes at least the device's time");
        }
        // Shares above this say nothing.
        Self { half_width: squares.sqrt().min(0.7), open: !engine.compiled || small, reasons }
    }

    /// The interval around a value of which the device takes so much. Unit: seconds.
    pub(super) fn around(&self, value: f64, device: f64) -> Seconds {
        let low = if self.open { device.min(value) } else { value } * (1.0 - self.half_width);
        Seconds { value, low, high: (!self.open).then_some(value * (1.0 + self.half_width)) }
    }
}
