//! What a run was set up with: whatever may explain that two runs differ.

use std::collections::BTreeMap;
use std::fmt::Display;

use vramscope_schema::v3::{EngineArgs, ModelInfo, Profile, WorkloadInfo};

/// One thing that a run was set up with.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Its name, as the profile calls it.
    pub name: &'static str,
    of: fn(&Profile) -> Option<String>,
}

impl Setting {
    /// What a profile says of it; `None` where it is silent. Defaults are not filled in.
    pub fn of(&self, profile: &Profile) -> Option<String> {
        (self.of)(profile)
    }
}

/// Every setting, in the order in which people read them.
pub fn settings() -> &'static [Setting] {
    SETTINGS
}

const SETTINGS: &[Setting] = &[
    Setting {
        name: "model",
        of: |p| {
            model(p, |m| m.name.clone().or_else(|| m.model_name.clone())).or_else(|| engine(p, |e| e.model.clone()))
        },
    },
    Setting { name: "num_parameters", of: |p| model(p, |m| text(m.num_parameters)) },
    Setting {
        name: "engine",
        of: |p| {
            let engine = p.engine_metadata.as_ref()?;
            let words = [engine.engine_type.clone(), engine.engine_version.clone()];
            let words: Vec<String> = words.into_iter().flatten().collect();
            (!words.is_empty()).then(|| words.join(" "))
        },
    },
    Setting { name: "gpus", of: gpus },
    Setting {
        name: "driver_version",
        of: |p| p.gpu_info.as_ref()?.devices.iter().find_map(|device| device.driver_version.clone()),
    },
    Setting { name: "sent_by", of: |p| p.served_stats.as_ref()?.sent_by.clone() },
    Setting { name: "device_kind", of: |p| p.host.as_ref()?.device_kind.clone() },
    Setting {
        name: "dtype",
        of: |p| engine(p, |e| e.dtype.clone()).or_else(|| model(p, |m| m.dtype.clone())).map(|dtype| plain(&dtype)),
    },
    Setting {
        name: "quantization",
        of: |p| engine(p, |e| e.quantization.clone()).or_else(|| model(p, |m| m.quantization.clone())),
    },
    Setting {
        name: "kv_cache_dtype",
        of: |p| engine(p, |e| e.kv_cache_dtype.clone()).or_else(|| model(p, |m| m.kv_cache_dtype.clone())),
    },
    Setting { name: "load_format", of: |p| engine(p, |e| e.load_format.clone()) },
    Setting { name: "tensor_parallel_size", of: |p| engine(p, |e| text(e.tensor_parallel_size)) },
    Setting { name: "pipeline_parallel_size", of: |p| engine(p, |e| text(e.pipeline_parallel_size)) },
    Setting { name: "data_parallel_size", of: |p| engine(p, |e| text(e.data_parallel_size)) },
    Setting { name: "max_model_len", of: |p| engine(p, |e| text(e.max_model_len)) },
    Setting { name: "max_num_seqs", of: |p| engine(p, |e| text(e.max_num_seqs)) },
    Setting { name: "max_num_batched_tokens", of: |p| engine(p, |e| text(e.max_num_batched_tokens)) },
    Setting { name: "gpu_memory_utilization", of: |p| engine(p, |e| text(e.gpu_memory_utilization.map(|u| u.get()))) },
    Setting { name: "kv_cache_memory_bytes", of: |p| engine(p, |e| text(e.kv_cache_memory_bytes)) },
    Setting {
        name: "block_size",
        of: |p| {
            let reported = p.vllm_internal_metrics.as_ref().and_then(|metrics| text(metrics.block_size));
            reported.or_else(|| engine(p, |e| text(e.block_size)))
        },
    },
    Setting { name: "enforce_eager", of: |p| engine(p, |e| text(e.enforce_eager)) },
    Setting { name: "cudagraph_mode", of: |p| engine(p, |e| e.cudagraph_mode.clone()) },
    Setting { name: "enable_prefix_caching", of: |p| engine(p, |e| text(e.enable_prefix_caching)) },
    Setting { name: "speculative_method", of: |p| engine(p, |e| e.speculative_method.clone()) },
    Setting { name: "enable_lora", of: |p| engine(p, |e| other(e, "enable-lora").map(str::to_owned)) },
    Setting { name: "max_loras", of: |p| engine(p, |e| other(e, "max-loras").map(str::to_owned)) },
    Setting { name: "max_lora_rank", of: |p| engine(p, |e| other(e, "max-lora-rank").map(str::to_owned)) },
    Setting {
        name: "attention_backend",
        of: |p| p.vllm_internal_metrics.as_ref().and_then(|metrics| metrics.attention_backend.clone()),
    },
    Setting { name: "batch_size", of: |p| work(p, |w| w.batch_size).or_else(|| model(p, |m| text(m.batch_size))) },
    Setting { name: "input_len", of: |p| work(p, |w| w.input_len).or_else(|| model(p, |m| text(m.prompt_length))) },
    Setting {
        name: "output_len",
        of: |p| {
            // What version 1 calls generated may count the prompt.
            let answer = |m: &ModelInfo| text(m.total_sequence_length?.checked_sub(m.prompt_length?));
            work(p, |w| w.output_len).or_else(|| p.model_info.as_ref().and_then(answer))
        },
    },
    Setting { name: "num_prompts", of: |p| work(p, |w| w.num_prompts) },
    Setting {
        name: "request_rate",
        of: |p| text(p.run_config.as_ref()?.workload.as_ref()?.request_rate.map(|rate| rate.get())),
    },
];

fn text(value: Option<impl Display>) -> Option<String> {
    value.map(|value| value.to_string())
}

/// `torch.float16` and `float16` are one type.
fn plain(dtype: &str) -> String {
    dtype.strip_prefix("torch.").unwrap_or(dtype).to_owned()
}

fn model(profile: &Profile, of: fn(&ModelInfo) -> Option<String>) -> Option<String> {
    profile.model_info.as_ref().and_then(of)
}

fn engine(profile: &Profile, of: fn(&EngineArgs) -> Option<String>) -> Option<String> {
    profile.run_config.as_ref()?.engine.as_ref().and_then(of)
}

/// An argument of the engine that has no field of its own, as its command line names it.
fn other<'a>(engine: &'a EngineArgs, flag: &str) -> Option<&'a str> {
    engine.other.get(flag).or_else(|| engine.other.get(&flag.replace('-', "_"))).map(String::as_str)
}

fn work(profile: &Profile, of: fn(&WorkloadInfo) -> Option<u64>) -> Option<String> {
    text(profile.run_config.as_ref()?.workload.as_ref().and_then(of))
}

/// `2 x NVIDIA H200`; the number alone where no GPU has a name.
fn gpus(profile: &Profile) -> Option<String> {
    let info = profile.gpu_info.as_ref()?;
    let names: Vec<Option<&str>> = info.devices.iter().map(|device| device.name.as_deref()).collect();
    if names.is_empty() { text(info.num_gpus) } else { Some(counted(&names)) }
}

/// GPUs by kind, whatever their order.
fn counted(names: &[Option<&str>]) -> String {
    let mut kinds: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    for name in names {
        *kinds.entry(*name).or_default() += 1;
    }
    if kinds.keys().all(Option::is_none) {
        return names.len().to_string();
    }
    let kind = |(name, n): (&Option<&str>, &usize)| format!("{n} x {}", name.unwrap_or("GPU without a name"));
    kinds.iter().map(kind).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_counted_by_kind_whatever_their_order() {
        assert_eq!(counted(&[Some("B"), Some("A"), Some("B")]), "1 x A, 2 x B");
        assert_eq!(counted(&[Some("A"), Some("B"), Some("B")]), "1 x A, 2 x B");
        assert_eq!(counted(&[Some("A"), None]), "1 x GPU without a name, 1 x A");
        assert_eq!(counted(&[None, None]), "2");
    }
}
