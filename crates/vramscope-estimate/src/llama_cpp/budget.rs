//! What a server takes of a device and of the host, part by part.

use vramscope_core::{Bytes, Confidence, PackedModel};

use super::args::LlamaCppArgs;
use super::cache::{Cache, Context};
use super::compute::compute;
use super::driver::{at_start, driver};
use super::error::LlamaCppError;
use super::kind::Kind;
use super::place::{LlamaCppBackend, Offload, Weights, weights};
use super::shape::{LayerShape, Shape};
use crate::GpuModel;
use crate::figure::Figure;

/// Names and formulas of the sums.
const DEVICE_TOTAL: (&str, &str) = ("llama_cpp_device_total", "all parts on the device and the driver's share");
const HOST_TOTAL: (&str, &str) = ("llama_cpp_host_total", "all parts on the host");

/// The device on which a server runs.
#[derive(Debug, Clone, Copy)]
pub struct LlamaCppSetting<'d> {
    /// What computes on it.
    pub backend: LlamaCppBackend,
    /// The device; `None`: the host alone.
    pub device: Option<&'d GpuModel>,
    /// What others hold on it.
    pub others: Bytes,
}

impl LlamaCppSetting<'_> {
    /// The host alone, where the arguments keep the server from devices.
    pub(crate) fn heeding(self, args: &LlamaCppArgs) -> Self {
        if args.without_device { Self { backend: LlamaCppBackend::Host, device: None, ..self } } else { self }
    }
}

/// One part of the memory, on the device and on the host.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LlamaCppPart {
    /// A short stable name: `weights`, `kv_cache`, `window_kv_cache`, `recurrent_state`, `compute`, `output`.
    pub name: &'static str,
    /// On the device, in bytes.
    pub device: Figure,
    /// On the host, in bytes.
    pub host: Figure,
}

/// The memory of a server.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LlamaCppBudget {
    /// The arguments with what fitting changed.
    pub args: LlamaCppArgs,
    /// What fitting changed, one sentence each.
    pub changes: Vec<String>,
    /// Tokens of all slots together.
    pub context: u64,
    /// Most tokens of one request.
    pub context_of_slot: u64,
    /// Requests at once.
    pub slots: u64,
    /// All requests share one pool.
    pub unified: bool,
    /// Tokens that are computed together.
    pub micro_batch: u64,
    /// Layers on the device, the output among them.
    pub layers_on_device: u64,
    /// All of them.
    pub layers: u64,
    /// Layers of the device whose experts stay on the host, all or some of their matrices.
    pub expert_layers_on_host: u64,
    /// The parts.
    pub parts: Vec<LlamaCppPart>,
    /// What the server prints for weights on the host: with pages of the file, an address range.
    pub host_weights_printed: u64,
    /// Weights of the host that are rearranged.
    pub host_weights_repacked: u64,
    /// What the driver and its libraries take.
    pub driver: Figure,
    /// Everything on the device, the driver's share among it.
    pub device_total: Figure,
    /// Everything on the host.
    pub host_total: Figure,
    /// What the device has for the server, in bytes; `None` without a device.
    pub available: Option<u64>,
    /// Whether it fits; `None` without a device.
    pub fits: Option<bool>,
    /// Operators in the graph of the largest batch; `None` where the graph is not known.
    pub graph_nodes: Option<u64>,
    /// What was taken for granted, one sentence each.
    pub notes: Vec<String>,
}

/// The memory of a server as its arguments ask for it, without fitting.
///
/// # Errors
/// [`LlamaCppError`]: a file that is no whole model, arguments that the server refuses.
pub fn llama_cpp_budget(
    model: &PackedModel,
    args: &LlamaCppArgs,
    setting: LlamaCppSetting<'_>,
) -> Result<LlamaCppBudget, LlamaCppError> {
    let given = setting;
    let setting = setting.heeding(args);
    let shape = Shape::read(model)?;
    refuse(&shape, args)?;
    let context = Context::of(&shape, args)?;
    let backend = setting.backend;
    let offload = Offload::of(&shape, args, backend);
    let taken = weights(model, &shape, args, backend)?;
    let cache = Cache::of(&shape, &context, args, offload)?;
    let mut notes = notes(&shape, args);
    let (computing, nodes) = computing(model, &shape, args, &context, backend)?;
    let mut parts = vec![weights_part(&taken, args), cache_part("kv_cache", cache.device, cache.host)];
    if shape.window > 0 {
        parts.push(cache_part("window_kv_cache", cache.window_device, cache.window_host));
    }
    if shape.has_state() {
        parts.push(state_part(cache.state_device, cache.state_host, shape.graph.is_some()));
        if shape.graph.is_none() {
            notes.push("recurrent state of this family was not compared with a run".to_owned());
        }
    }
    if shape.graph.is_none() {
        // Such a family may share caches between layers, leave tensors out, or store them otherwise.
        for part in &mut parts {
            for figure in [&mut part.device, &mut part.host] {
                let (low, high) = (figure.value / 2, figure.value.saturating_add(figure.value / 10).max(figure.high));
                let confidence = figure.confidence.min(Confidence::Estimated);
                *figure = figure.clone().within(low.min(figure.low), high, confidence);
            }
        }
    }
    parts.push(computing);
    let output = shape.vocabulary.saturating_mul(context.slots).saturating_mul(4);
    let output = Figure::exact(output, "llama_cpp_output", "vocabulary * slots * 4");
    parts.push(LlamaCppPart { name: "output", device: none(), host: output });
    if !args.unmodelled.is_empty() || args.is_of_old_build() {
        for part in &mut parts {
            part.device = unsure(&part.device);
            part.host = unsure(&part.host);
        }
    }
    let of_device = GpuModel::of_size(Bytes::ZERO);
    let device = setting.device.unwrap_or(&of_device);
    let mut driver = if backend.has_device() { driver(model, &shape, args, &context, backend, device) } else { none() };
    if args.without_device {
        driver = idle(given.backend);
    }
    if args.rebuilt {
        as_rebuilt(&mut parts, &mut driver);
    }
    if copied_beyond(&shape, &context, args, backend) > 0 {
        notes.push(
            "a long cache lies on the host in part: for what is copied of it one run took a copy more than is computed"
                .to_owned(),
        );
    }
    let device_parts = parts.iter().map(|part| &part.device).chain([&driver]);
    let device_total = sum(device_parts, DEVICE_TOTAL.0, DEVICE_TOTAL.1);
    let host_total = sum(parts.iter().map(|part| &part.host), HOST_TOTAL.0, HOST_TOTAL.1);
    let available = given.device.map(|device| device.total.get().saturating_sub(given.others.get()));
    Ok(LlamaCppBudget {
        args: args.clone(),
        changes: Vec::new(),
        context: context.tokens,
        context_of_slot: context.of_slot,
        slots: context.slots,
        unified: context.unified,
        micro_batch: context.micro_batch,
        layers_on_device: offload.layers,
        layers: u64::try_from(shape.layers.len()).unwrap_or(0) + 1,
        expert_layers_on_host: expert_layers_on_host(&shape, args, offload),
        parts,
        host_weights_printed: taken.host_printed,
        host_weights_repacked: taken.repacked,
        fits: available.map(|available| device_total.value <= available),
        available,
        driver,
        device_total,
        host_total,
        graph_nodes: nodes,
        notes,
    })
}

impl LlamaCppBudget {
    /// The part of that name.
    pub fn part(&self, name: &str) -> Option<&LlamaCppPart> {
        self.parts.iter().find(|part| part.name == name)
    }

    /// Whether the answer to whether it fits holds over the whole interval; `None` without a device.
    pub fn certain(&self) -> Option<bool> {
        let (total, fits) = (&self.device_total, self.fits?);
        let sure = |available| if fits { total.high <= available } else { total.low > available };
        self.available.map(|available| !self.args.is_unbounded() && sure(available))
    }

    /// Sums the parts again after one of them was changed.
    pub(crate) fn total_again(&mut self) {
        let on_device = self.parts.iter().map(|part| &part.device).chain([&self.driver]);
        self.device_total = sum(on_device, DEVICE_TOTAL.0, DEVICE_TOTAL.1);
        self.host_total = sum(self.parts.iter().map(|part| &part.host), HOST_TOTAL.0, HOST_TOTAL.1);
        self.fits = self.available.map(|available| self.device_total.value <= available);
    }

    /// What the server itself counts on the device: all but the driver's share.
    pub fn own_on_device(&self) -> u64 {
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(part.device.value))
    }
}

/// What another build takes: weights and caches follow the same rules, compute buffers may differ by what was patched, and
/// the driver's share by the devices that it has kernels for.
fn as_rebuilt(parts: &mut [LlamaCppPart], driver: &mut Figure) {
    const DRIVER_LESS: u64 = 350 << 20;
    const DRIVER_MORE: u64 = 400 << 20;
    let widened = |figure: &Figure, less: u64, more: u64, at_most: Confidence| {
        let (low, high) = (figure.value.saturating_sub(less), figure.value.saturating_add(more));
        figure.clone().within(low.min(figure.low), high.max(figure.high), figure.confidence.min(at_most))
    };
    for part in parts {
        let compute = part.name == "compute";
        for figure in [&mut part.device, &mut part.host] {
            let half_percent = figure.value / 200;
            let (less, more) =
                if compute { (figure.value / 50, figure.value / 10) } else { (half_percent, half_percent) };
            *figure = widened(figure, less, more, Confidence::Estimated);
        }
    }
    if driver.high > 0 {
        *driver = widened(driver, DRIVER_LESS, DRIVER_MORE, Confidence::Assumed);
    }
}

fn refuse(shape: &Shape, args: &LlamaCppArgs) -> Result<(), LlamaCppError> {
    let quantized = args.kind_v().is_quantized();
    if shape.latent && args.cache_k != args.cache_v {
        let (what, advice) = ("keys and values of two types", "give `-ctk` and `-ctv` the same: one vector holds both");
        return Err(LlamaCppError::Refused { what, advice });
    }
    if quantized && !args.fused_attention() {
        let (what, advice) = ("quantized values without flash attention", "leave out `-fa off` or use `-ctv f16`");
        return Err(LlamaCppError::Refused { what, advice });
    }
    // `llama_init_from_model`, where `-fa` was left to the server.
    let split = |layer: &LayerShape| {
        let parts = |kind: Kind, head: u64| !head.is_multiple_of(kind.block);
        layer.kv_heads > 0 && (parts(args.kind_k(), layer.head_k) || parts(args.kind_v(), layer.head_v))
    };
    if args.flash_attention.is_none() && shape.layers.iter().any(split) {
        let (what, advice) = ("a cache of this type for heads of this width", "use `-ctk f16 -ctv f16`");
        return Err(LlamaCppError::Refused { what, advice });
    }
    Ok(())
}

fn expert_layers_on_host(shape: &Shape, args: &LlamaCppArgs, offload: Offload) -> u64 {
    if shape.experts == 0 {
        return 0;
    }
    let layers = u64::try_from(shape.layers.len()).unwrap_or(0);
    match args.overflow {
        None => args.cpu_moe_layers.min(layers),
        Some(overflow) => layers.saturating_sub(overflow.from.max(u64::try_from(offload.first).unwrap_or(layers))),
    }
}

fn none() -> Figure {
    Figure::exact(0, "none", "nothing")
}

fn cache_part(name: &'static str, device: u64, host: u64) -> LlamaCppPart {
    let figure = |bytes| {
        Figure::exact(bytes, "llama_cpp_kv_cache", "cells * pools * (keys + values of a cell), over the layers there")
    };
    LlamaCppPart { name, device: figure(device), host: figure(host) }
}

fn state_part(device: u64, host: u64, compared: bool) -> LlamaCppPart {
    let figure = |bytes: u64| {
        let exact =
            Figure::exact(bytes, "llama_cpp_recurrent_state", "(convolution + state) * slots * 4, over the layers");
        if compared { exact } else { exact.within(bytes / 2, bytes.saturating_mul(2), Confidence::Estimated) }
    };
    LlamaCppPart { name: "recurrent_state", device: figure(device), host: figure(host) }
}

fn weights_part(taken: &Weights, args: &LlamaCppArgs) -> LlamaCppPart {
    let device = Figure::exact(taken.device, "llama_cpp_weights", "the tensors on the device, each aligned");
    // With pages of the file, a rearranged tensor is there twice until the pages are dropped.
    let once = taken.host.saturating_add(taken.repacked);
    let printed = taken.host_printed.saturating_add(taken.repacked);
    let host = Figure::exact(once, "llama_cpp_weights", "the tensors on the host");
    let host = if args.mmap { host.within(once, printed, Confidence::Computed) } else { host };
    LlamaCppPart { name: "weights", device, host }
}

/// The largest keys of a layer that were copied to a device in runs that were compared.
const LONGEST_COMPARED: u64 = 36 << 20;

/// Keys of the largest layer of the host that are copied to the device for a large batch, where they are larger than in any
/// run that was compared; else 0.
fn copied_beyond(shape: &Shape, context: &Context, args: &LlamaCppArgs, backend: LlamaCppBackend) -> u64 {
    let offload = Offload::of(shape, args, backend);
    if !backend.has_device() || !args.offload_cache || !args.offload_operators {
        return 0;
    }
    let on_host = shape.layers.iter().enumerate().filter(|(at, _)| !offload.holds(*at));
    let both = on_host.filter_map(|(_, layer)| Cache::of_layer(shape, layer, context, args)).max().unwrap_or(0);
    if both / 2 > LONGEST_COMPARED { both / 2 } else { 0 }
}

/// What the server takes of a device that it is kept from: its backend looks at it all the same.
fn idle(backend: LlamaCppBackend) -> Figure {
    let taken = at_start(backend);
    let formula = "the driver's context, which is made although no device is used";
    Figure::exact(taken, "llama_cpp_idle_device", formula).within(0, taken.saturating_mul(2), Confidence::Assumed)
}

/// The compute buffers by the walk through the graph; by a rule of thumb where the graph is not known.
fn computing(
    model: &PackedModel,
    shape: &Shape,
    args: &LlamaCppArgs,
    context: &Context,
    backend: LlamaCppBackend,
) -> Result<(LlamaCppPart, Option<u64>), LlamaCppError> {
    const FORMULA: &str = "the peak of ggml's allocator over the graph of the largest batch";
    if shape.graph.is_some() {
        let reserved = compute(model, shape, args, context, backend, 1)?;
        let figure = |bytes: u64| Figure::exact(bytes, "llama_cpp_graph_walk", FORMULA);
        let tokens = context.micro_batch.min(context.tokens);
        // What a later build adds: in five runs of b11549 on host memory a batch of embeddings and the numbers of its
        // words and places. Its order was not followed.
        let mixed = tokens.saturating_mul(shape.hidden.saturating_mul(4).saturating_add(12));
        let mixed = if args.mixes_inputs() { mixed } else { 0 };
        let host = reserved.peaks.last().copied().unwrap_or(0).saturating_add(mixed);
        let device = if reserved.peaks.len() > 1 { reserved.peaks[0] } else { 0 };
        let mut part = LlamaCppPart { name: "compute", device: figure(device), host: figure(host) };
        let more = copied_beyond(shape, context, args, backend);
        if more > 0 {
            let high = device.saturating_add(more);
            part.device = part.device.clone().within(device, high, Confidence::Assumed);
        }
        // Another build adds or saves a tensor.
        let within = if args.build_is_checked() { None } else { Some((98, 110)) };
        if let Some((low, high)) = within {
            for figure in [&mut part.device, &mut part.host] {
                let share = |percent: u64| figure.value.saturating_mul(percent) / 100;
                let sure = figure.confidence.min(Confidence::Estimated);
                *figure = figure.clone().within(share(low), share(high).max(figure.high), sure);
            }
        }
        return Ok((part, u64::try_from(reserved.nodes).ok()));
    }
    let tokens = context.micro_batch.min(context.tokens);
    let wide = model.tensors.iter().filter(|tensor| tensor.name.contains("ffn_up"));
    let wide = wide.filter_map(|tensor| tensor.sides.get(1)).max().copied().unwrap_or(shape.hidden.saturating_mul(4));
    let masks = context.cells.saturating_add(if shape.window > 0 { context.window_cells } else { 0 });
    let flow = shape.hidden.saturating_mul(3).saturating_add(wide.saturating_mul(3)).saturating_mul(4);
    let value = tokens.saturating_mul(flow.saturating_add(masks.saturating_mul(2)));
    let figure = |value: u64, high: u64| {
        let rule = "micro-batch * (3 hidden + 3 feed-forward, of 4 bytes, + the masks of 2)";
        Figure::exact(value, "llama_cpp_graph_rule", rule).within(value / 3, high, Confidence::Assumed)
    };
    let inputs = tokens.saturating_mul(shape.hidden.saturating_mul(8).saturating_add(masks.saturating_mul(2)));
    let (device, host) = if backend.has_device() { (value, inputs) } else { (0, value) };
    let part = LlamaCppPart {
        name: "compute",
        device: figure(device, device.saturating_mul(4)),
        host: figure(host, host.saturating_mul(4)),
    };
    Ok((part, None))
}

fn unsure(figure: &Figure) -> Figure {
    let (low, high) = (figure.value / 2, figure.value.saturating_mul(2).max(figure.high));
    figure.clone().within(low, high, figure.confidence.min(Confidence::Assumed))
}

fn notes(shape: &Shape, args: &LlamaCppArgs) -> Vec<String> {
    let mut notes = Vec::new();
    if shape.graph.is_none() {
        let family = &shape.family;
        notes.push(format!("the graph of `{family}` is not known: compute buffers are by a rule of thumb"));
    }
    if !args.build_is_checked() {
        notes.push(
            "compute buffers follow build b10434 and a source of 2026-10; others differ by a tensor or two".to_owned(),
        );
    }
    if let Some(build) = args.build.filter(|_| args.is_of_old_build()) {
        notes.push(format!(
            "build b{build} is older than those that were read: slots, layers on the device and the context were others \
             where nobody says them, and every figure may be off"
        ));
    }
    for option in &args.unmodelled {
        notes.push(format!("{option} takes memory that is not modelled: every figure may be off"));
    }
    notes.push("prompt cache (`--cache-ram`, 8 GiB on the host by default) and projectors are not counted".to_owned());
    notes
}

pub(crate) fn sum<'f>(
    figures: impl Iterator<Item = &'f Figure>,
    method: &'static str,
    formula: &'static str,
) -> Figure {
    let mut total = Figure::exact(0, method, formula);
    for figure in figures {
        total.value = total.value.saturating_add(figure.value);
        total.low = total.low.saturating_add(figure.low);
        total.high = total.high.saturating_add(figure.high);
        if figure.high > 0 {
            total.confidence = total.confidence.min(figure.confidence);
        }
    }
    total
}
