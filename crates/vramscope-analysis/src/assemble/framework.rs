//! A model that ran in plain transformers: what the bundled probe read inside the framework.

use crate::attribution::Evidenced;
use vramscope_core::{Basis, Bytes, ComponentKind, Confidence, EngineKind, LatencyResult};
use vramscope_estimate::{CommandLine, EngineArgs, kv_plan};
use vramscope_schema::v3::{EngineMetadata, ModelInfo};

use crate::evidence::Evidence;
use crate::evidence::probe::{Probe, ProbeDevice};
use crate::known::Known;

/// The parts of each device, in the place of ranks. On a CPU there is one, the process.
pub(super) fn parts(evidence: &Evidence) -> Vec<(u32, ComponentKind, Evidenced)> {
    let Some(probe) = &evidence.probe else { return Vec::new() };
    let Some(model) = &probe.model else { return Vec::new() };
    let mut parts = Vec::new();
    let stored = |device: &str| {
        let size = model.parameter_bytes_by_device.get(device).copied()?;
        let buffers = if model.parameter_bytes_by_device.len() == 1 { model.buffer_bytes } else { Bytes::ZERO };
        size.checked_add(buffers)
    };
    let cache = cache(evidence, probe);
    if probe.devices.is_empty() {
        parts.extend(stored("cpu").map(|size| (0, ComponentKind::Weights, weights(size))));
        parts.extend(cache.map(|cache| (0, ComponentKind::KvCache, cache)));
        return parts;
    }
    let used: Vec<&ProbeDevice> = probe.devices.iter().filter(|d| stored(&name(d)).is_some()).collect();
    for (rank, device) in (0..).zip(&used) {
        parts.extend(stored(&name(device)).map(|size| (rank, ComponentKind::Weights, weights(size))));
        // How a cache is spread over several devices nobody says.
        let cache = cache.clone().filter(|_| used.len() == 1);
        let held = cache.as_ref().map_or(Bytes::ZERO, |cache| cache.size);
        parts.extend(working(device, held).map(|size| (rank, ComponentKind::Activations, size)));
        parts.extend(cache.map(|cache| (rank, ComponentKind::KvCache, cache)));
    }
    parts
}

/// A device as torch calls it.
fn name(device: &ProbeDevice) -> String {
    format!("cuda:{}", device.index)
}

fn weights(size: Bytes) -> Evidenced {
    evidenced(
        size,
        Confidence::Measured,
        "framework_storages",
        "distinct storages of parameters and buffers".to_owned(),
    )
}

/// What `generate` held over the loaded model at its peak, less the cache.
fn working(device: &ProbeDevice, cache: Bytes) -> Option<Evidenced> {
    let (peak, loaded) = (device.peak_generate?.allocated_bytes, device.after_load?.allocated_bytes);
    let size = peak.checked_sub(loaded)?.checked_sub(cache)?;
    let detail = format!("{peak} of tensors at the peak of generate, less {loaded} after loading and {cache} of cache");
    Some(evidenced(size, Confidence::Measured, "framework_peak_allocated", detail))
}

/// The cache of a whole batch at its full length, where every layer keeps every token.
fn cache(evidence: &Evidence, probe: &Probe) -> Option<Evidenced> {
    let request = probe.request.as_ref()?;
    // The framework's cache has the type that the model was loaded in, whatever its config says.
    let dtype = format!("--dtype={}", probe.model.as_ref()?.dtype);
    let args = CommandLine::read(&[dtype], EngineArgs::default()).ok()?.args;
    let plan = kv_plan(evidence.architecture.as_ref()?, &args).ok()?;
    if plan.approximate || plan.groups.len() != 1 || plan.block_size == 0 {
        return None;
    }
    // The last token is given out and never read.
    let length = request.input_len.checked_add(request.output_len)?.checked_sub(1)?;
    let tokens = length.checked_mul(request.batch_size)?;
    let size = Bytes::new(plan.bytes_per_block).checked_mul(tokens)?.get() / plan.block_size;
    let detail = format!("{tokens} tokens, each {} bytes", plan.bytes_per_block / plan.block_size);
    Some(evidenced(Bytes::new(size), Confidence::Computed, "tokens_times_bytes_per_token", detail))
}

fn evidenced(size: Bytes, confidence: Confidence, method: &'static str, detail: String) -> Evidenced {
    Evidenced { size, resolution: None, confidence, basis: Basis { method, detail, log_lines: Vec::new() } }
}

/// The measured iterations.
pub(super) fn latency(evidence: &Evidence) -> Option<LatencyResult> {
    let probe = evidence.probe.as_ref().filter(|probe| !probe.generate.is_empty())?;
    Some(LatencyResult { iterations: probe.generate.clone(), ..LatencyResult::default() })
}

/// What the probe says of the model wins over its description: it was loaded.
pub(super) fn describe(run: &Known<'_>, info: &mut ModelInfo) {
    let Some(model) = run.evidence.probe.as_ref().and_then(|probe| probe.model.as_ref()) else { return };
    info.architecture = Some(model.architecture.clone());
    info.dtype = Some(model.dtype.clone());
    info.num_parameters = Some(model.parameters);
}

pub(super) fn metadata(probe: &Probe) -> EngineMetadata {
    EngineMetadata {
        engine_type: Some(EngineKind::Transformers.name().to_owned()),
        engine_version: probe.versions.as_ref().map(|versions| versions.transformers.clone()),
        platform: probe.platform.clone(),
        ..EngineMetadata::default()
    }
}
