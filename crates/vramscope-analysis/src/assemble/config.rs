//! How the run was set up, and which model it was.

use std::collections::BTreeMap;

use vramscope_core::Fact;
use vramscope_schema::Amount;
use vramscope_schema::v3::{EngineArgs, ModelInfo, RunConfig, WorkloadInfo};

use crate::attribution::prints_free;
use crate::evidence::args::Args;
use crate::known::Known;

/// Flags that have a place of their own in the document.
const PLACED: &[&str] = &[
    "model",
    "dtype",
    "quantization",
    "kv-cache-dtype",
    "load-format",
    "tensor-parallel-size",
    "pipeline-parallel-size",
    "data-parallel-size",
    "max-model-len",
    "max-num-seqs",
    "max-num-batched-tokens",
    "gpu-memory-utilization",
    "kv-cache-memory-bytes",
    "block-size",
    "enforce-eager",
    "enable-prefix-caching",
    "enable-chunked-prefill",
    "prompt",
    "input-len",
    "output-len",
    "batch-size",
    "num-iters",
    "num-iters-warmup",
    "num-prompts",
    "request-rate",
    "seed",
];

pub(super) fn run_config(run: &Known<'_>) -> Option<RunConfig> {
    let engine = engine_args(run);
    let workload = asked(run);
    if run.evidence.engine.is_none() && workload.is_none() {
        return None;
    }
    Some(RunConfig { engine: Some(engine), workload })
}

/// What the log says comes first: it is what the engine made of its command line.
fn engine_args(run: &Known<'_>) -> EngineArgs {
    let facts = run.facts;
    let none = Args::default();
    let args = run.evidence.args.as_ref().unwrap_or(&none);
    let text = |fact: &Option<Fact<String>>, flag: &str| value(fact).or_else(|| args.value(flag).map(str::to_owned));
    let number = |fact: &Option<Fact<u64>>, flag: &str| value(fact).or_else(|| args.number(flag));
    let size = |fact: &Option<Fact<u32>>, flag: &str| {
        value(fact).or_else(|| args.number(flag).and_then(|n| u32::try_from(n).ok()))
    };
    let share = |flag: &str| args.value(flag).and_then(|v| v.parse::<f64>().ok());
    let switch = |fact: &Option<Fact<bool>>, flag: &str| value(fact).or_else(|| args.has(flag).then_some(true));
    EngineArgs {
        model: text(&facts.model, "model").map(|name| last_part(&name)),
        dtype: text(&facts.dtype, "dtype"),
        quantization: text(&facts.quantization, "quantization"),
        kv_cache_dtype: text(&facts.kv_cache_dtype, "kv-cache-dtype"),
        load_format: text(&facts.load_format, "load-format"),
        tensor_parallel_size: size(&facts.parallel.tensor, "tensor-parallel-size"),
        pipeline_parallel_size: size(&facts.parallel.pipeline, "pipeline-parallel-size"),
        data_parallel_size: size(&facts.parallel.data, "data-parallel-size"),
        max_model_len: number(&facts.max_model_len, "max-model-len"),
        max_num_seqs: number(&facts.max_num_seqs, "max-num-seqs"),
        max_num_batched_tokens: number(&facts.max_num_batched_tokens, "max-num-batched-tokens"),
        gpu_memory_utilization: value(&facts.gpu_memory_utilization)
            .filter(|_| !prints_free(facts.engine))
            .or_else(|| share("gpu-memory-utilization"))
            .and_then(Amount::new),
        kv_cache_memory_bytes: args.number("kv-cache-memory-bytes"),
        block_size: number(&facts.block_size, "block-size"),
        enforce_eager: switch(&facts.enforce_eager, "enforce-eager"),
        enable_prefix_caching: switch(&facts.enable_prefix_caching, "enable-prefix-caching"),
        enable_chunked_prefill: switch(&facts.enable_chunked_prefill, "enable-chunked-prefill"),
        speculative_method: value(&facts.speculative_method),
        cudagraph_mode: value(&facts.cudagraph_mode),
        other: others(args),
    }
}

/// A fact's value.
pub(super) fn value<T: Clone>(fact: &Option<Fact<T>>) -> Option<T> {
    fact.as_ref().map(|f| f.value.clone())
}

/// The name of a model: a hub id as it is, of a local path only the last part, which says nothing of the machine.
fn last_part(name: &str) -> String {
    let local = name.starts_with(['/', '.', '~']) || name.contains('\\');
    let last = || name.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or(name);
    if local { last().to_owned() } else { name.to_owned() }
}

fn others(args: &Args) -> BTreeMap<String, String> {
    let rest = args.flags.iter().filter(|flag| !PLACED.contains(&flag.name.as_str()));
    rest.map(|flag| (flag.name.clone(), flag.value.as_deref().map_or("true".to_owned(), last_part))).collect()
}

fn workload(args: &Args) -> WorkloadInfo {
    WorkloadInfo {
        num_prompts: args.number("num-prompts"),
        request_rate: args.value("request-rate").and_then(|v| v.parse::<f64>().ok()).and_then(Amount::new),
        seed: args.number("seed"),
        ..WorkloadInfo::from(&args.workload())
    }
}

/// What was asked of the engine, by its conductor, else by its command line.
fn asked(run: &Known<'_>) -> Option<WorkloadInfo> {
    let recorded = run.evidence.record.as_ref().and_then(|record| record.workload.clone());
    let mut asked = recorded.or_else(|| run.evidence.args.as_ref().map(workload))?;
    asked.input_len = asked.input_len.or_else(|| tokens_of_text(run));
    Some(asked)
}

/// How many tokens the prompt was that stood for every request, by who made tokens of it.
fn tokens_of_text(run: &Known<'_>) -> Option<u64> {
    if let Some(probe) = run.evidence.probe.as_ref().filter(|probe| probe.model.is_some()) {
        return probe.request.as_ref().map(|request| request.input_len);
    }
    run.evidence.record.as_ref()?;
    let served = super::live::served(run)?;
    let (tokens, requests) = (served.input_tokens?, served.completed_requests?);
    (tokens.checked_rem(requests)? == 0).then_some(tokens / requests)
}

/// The first profilers kept the work beside the model; what they call generated counts the prompt.
fn lengths(work: &WorkloadInfo, info: &mut ModelInfo) {
    let total = work.input_len.zip(work.output_len).and_then(|(input, output)| input.checked_add(output));
    info.prompt_length = work.input_len;
    info.generated_length = total;
    info.total_sequence_length = total;
    info.batch_size = work.batch_size;
}

pub(super) fn model_info(run: &Known<'_>) -> Option<ModelInfo> {
    let facts = run.facts;
    let args = run.evidence.args.as_ref();
    let name = args.and_then(|a| a.model.clone()).or_else(|| value(&facts.model)).map(|name| last_part(&name));
    let mut info = ModelInfo {
        model_name: name.clone(),
        name,
        architecture: value(&facts.architecture),
        dtype: value(&facts.dtype),
        quantization: value(&facts.quantization),
        kv_cache_dtype: value(&facts.kv_cache_dtype),
        ..ModelInfo::default()
    };
    if let Some(architecture) = &run.evidence.architecture {
        crate::model::describe(architecture, &mut info);
    }
    super::framework::describe(run, &mut info);
    if let Some(work) = asked(run) {
        lengths(&work, &mut info);
    }
    (info != ModelInfo::default()).then_some(info)
}

#[cfg(test)]
mod tests {
    use super::last_part;

    #[test]
    fn a_path_keeps_only_its_last_part() {
        assert_eq!(last_part("meta-llama/Llama-3.1-8B"), "meta-llama/Llama-3.1-8B");
        assert_eq!(last_part("/home/someone/models/Llama-3.1-8B/"), "Llama-3.1-8B");
        assert_eq!(last_part("./model"), "model");
    }
}
