//! Several equal devices, each with the same share of the layers (`-sm layer -ts 1,1`).
//!
//! Which device holds a layer follows `llama_model::load_tensors` (2024-03 to 2026-11); weights and caches of each are
//! exact by that. What the graph takes of each was compared with no run: it is assumed to be what one device needs for all
//! of it, with the copies of inputs that are made so that several batches are in flight (`llama-context.cpp`, pipeline
//! parallelism, four by default).

use vramscope_core::{Confidence, PackedModel};

use super::args::LlamaCppArgs;
use super::budget::{LlamaCppBudget, LlamaCppSetting, sum};
use super::cache::{Cache, Context};
use super::compute::compute;
use super::error::LlamaCppError;
use super::place::{Offload, Place, bytes_on_device, place};
use super::shape::{Shape, layer_of};
use crate::figure::Figure;

/// As many devices as the server takes at most (`GGML_CUDA_MAX_DEVICES`).
pub(crate) const MOST_DEVICES: u64 = 16;
/// Copies of each input with several batches in flight (`GGML_SCHED_MAX_COPIES`).
const COPIES: usize = 4;
/// What a driver may hold more of each device where several talk to each other; assumed.
const BESIDE_OTHERS: u64 = 256 << 20;

/// What one device holds.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LlamaCppShare {
    /// Layers on it, the output among them.
    pub layers: u64,
    /// Its weights, in bytes.
    pub weights: u64,
    /// Its keys, values and states, in bytes.
    pub cache: u64,
    /// Its compute buffer, in bytes.
    pub compute: Figure,
    /// What the driver and its libraries take of it, in bytes.
    pub driver: Figure,
    /// All of it, in bytes.
    pub total: Figure,
}

impl LlamaCppShare {
    /// The one device of a budget.
    pub(crate) fn alone(budget: &LlamaCppBudget) -> Self {
        let of = |name: &str| budget.part(name).map_or(0, |part| part.device.value);
        let nothing = || Figure::exact(0, "none", "nothing");
        Self {
            layers: budget.layers_on_device,
            weights: of("weights"),
            cache: of("kv_cache").saturating_add(of("window_kv_cache")).saturating_add(of("recurrent_state")),
            compute: budget.part("compute").map_or_else(nothing, |part| part.device.clone()),
            driver: budget.driver.clone(),
            total: budget.device_total.clone(),
        }
    }
}

/// A server's memory on any number of equal devices.
pub(crate) struct Split<'m> {
    model: &'m PackedModel,
    args: LlamaCppArgs,
    setting: LlamaCppSetting<'m>,
    shape: Shape,
    context: Context,
    offload: Offload,
    /// What one device would hold of everything.
    whole: LlamaCppShare,
    compute: Figure,
}

impl<'m> Split<'m> {
    /// Of a budget with these arguments.
    pub(crate) fn of(
        model: &'m PackedModel,
        budget: &LlamaCppBudget,
        setting: LlamaCppSetting<'m>,
    ) -> Result<Self, LlamaCppError> {
        let args = budget.args.clone();
        let shape = Shape::read(model)?;
        let context = Context::of(&shape, &args)?;
        let offload = Offload::of(&shape, &args, setting.backend);
        let whole = LlamaCppShare::alone(budget);
        // Every layer lies on a device, and no tensor was put elsewhere by its name.
        let in_flight = budget.layers_on_device == budget.layers
            && args.offload_cache
            && args.cpu_moe_layers == 0
            && args.overflow.is_none();
        let more = match shape.graph {
            Some(_) if in_flight => {
                compute(model, &shape, &args, &context, setting.backend, COPIES)?.peaks.first().copied().unwrap_or(0)
            }
            _ => 0,
        };
        let (value, alone) = (whole.compute.value.max(more), &whole.compute);
        let high = value.max(alone.high);
        let formula = "what one device needs for all layers, with four copies of inputs where batches are in flight";
        let compute = Figure::exact(value, "llama_cpp_graph_walk", formula)
            .with(&[("without_copies", alone.value)])
            .within(alone.low / 2, high.saturating_add(high / 4), Confidence::Assumed);
        Ok(Self { model, args, setting, shape, context, offload, whole, compute })
    }

    /// What each of so many devices holds; the budget's own figures for one.
    pub(crate) fn over(&self, devices: u64) -> Result<Vec<LlamaCppShare>, LlamaCppError> {
        if devices <= 1 {
            return Ok(vec![self.whole.clone()]);
        }
        let count = usize::try_from(devices.min(MOST_DEVICES)).unwrap_or(1);
        let (mut layers, mut weights, mut cache) = (vec![0_u64; count], vec![0_u64; count], vec![0_u64; count]);
        let output = self.shape.layers.len();
        for (at, layer) in self.shape.layers.iter().enumerate().filter(|(at, _)| self.offload.holds(*at)) {
            let device = self.device(at, devices);
            layers[device] += 1;
            if self.args.offload_cache {
                let bytes = Cache::of_layer(&self.shape, layer, &self.context, &self.args);
                let bytes = bytes.ok_or(LlamaCppError::Overflow { what: "the cache" })?;
                let state = layer.state.map_or(0, |state| state.bytes(self.context.slots));
                cache[device] = cache[device].saturating_add(bytes).saturating_add(state);
            }
        }
        if self.offload.output {
            layers[self.device(output, devices)] += 1;
        }
        let tied = self.model.tensor("output.weight").is_none();
        let alignment = self.setting.backend.alignment();
        for tensor in &self.model.tensors {
            let layer = layer_of(tensor);
            if layer.is_some_and(|layer| layer >= output) {
                continue;
            }
            let bytes = bytes_on_device(tensor, self.setting.backend)?.next_multiple_of(alignment);
            if place(&tensor.name, layer, &self.args, self.offload) == Place::Device {
                // What belongs to no layer lies beside the output; turns of positions lie where the first layer does.
                let beside = if tensor.name.starts_with("rope_freqs") { 0 } else { output };
                let device = self.device(layer.unwrap_or(beside), devices);
                weights[device] = weights[device].saturating_add(bytes);
            }
            if tied && tensor.name == "token_embd.weight" && self.offload.output {
                let device = self.device(output, devices);
                weights[device] = weights[device].saturating_add(bytes);
            }
        }
        let driver = &self.whole.driver;
        let driver = driver.clone().within(
            driver.low,
            driver.high.saturating_add(BESIDE_OTHERS),
            driver.confidence.min(Confidence::Assumed),
        );
        let share = |at: usize| {
            let own = weights[at].saturating_add(cache[at]);
            let own = Figure::exact(own, "llama_cpp_weights", "weights and cache of its layers");
            let parts = [&own, &self.compute, &driver];
            LlamaCppShare {
                layers: layers[at],
                weights: weights[at],
                cache: cache[at],
                compute: self.compute.clone(),
                driver: driver.clone(),
                total: sum(parts.into_iter(), "llama_cpp_device_total", "all parts on this device"),
            }
        };
        Ok((0..count).map(share).collect())
    }

    /// The device of a layer: the first whose part of the layers, those before it included, ends behind it.
    fn device(&self, layer: usize, devices: u64) -> usize {
        let at = u64::try_from(layer.saturating_sub(self.offload.first)).unwrap_or(0);
        let device = at.saturating_mul(devices) / self.offload.layers.max(1);
        usize::try_from(device.min(devices - 1)).unwrap_or(0)
    }
}
