//! The inverse questions: what has to change so that a model fits, and how far it goes.

use vramscope_core::{Architecture, ElementType, Quantization, WeightFormat, Workload, redact_args, shell_quoted};

use crate::vllm::activations::CHOOSES_RUNNER;
use crate::vllm::budget::{Budget, Setting, budget_of_loaded};
use crate::vllm::input::EngineArgs;
use crate::vllm::lengths::{ALLOWS_LONG, model_lengths};
use crate::{EstimateError, GpuModel, Weights, weights_on_device};

/// Tensor-parallel sizes that are tried, the smallest first.
const TENSOR_SIZES: [u64; 5] = [1, 2, 4, 8, 16];
/// Ranks of one node; more of them are pipeline stages.
const NODE: u64 = 8;
/// Pipeline sizes that are tried where one node is not enough.
const PIPELINE_SIZES: [u64; 4] = [1, 2, 4, 8];
/// Steps of `gpu_memory_utilization` in one.
const SHARE_STEPS: u64 = 100;

/// What the engine is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wish {
    /// Tokens of one request, prompt and answer; `None` takes the model's longest.
    pub request_tokens: Option<u64>,
    /// Requests of that length in flight together; `None` is one.
    pub requests: Option<u64>,
}

/// A change that was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// As asked.
    None,
    /// A KV cache of 8 bits.
    CacheFp8,
    /// Weights of 8 bits, made from a plain checkpoint while loading.
    WeightsFp8,
    /// A checkpoint of 4 bits (AWQ).
    WeightsFourBits,
    /// A checkpoint of 4 bits and a KV cache of 8 bits.
    WeightsFourBitsCacheFp8,
}

impl Change {
    /// All changes, from the mildest on.
    pub const ALL: [Self; 5] =
        [Self::None, Self::CacheFp8, Self::WeightsFp8, Self::WeightsFourBits, Self::WeightsFourBitsCacheFp8];

    /// The name as documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "as_asked",
            Self::CacheFp8 => "fp8_kv_cache",
            Self::WeightsFp8 => "fp8_weights",
            Self::WeightsFourBits => "four_bit_weights",
            Self::WeightsFourBitsCacheFp8 => "four_bit_weights_and_fp8_kv_cache",
        }
    }

    /// The model and the arguments with this change; `None` where it changes nothing (already quantized, cache set).
    fn apply(self, model: &Architecture, args: &EngineArgs) -> Option<(Architecture, EngineArgs)> {
        let (mut model, mut args) = (model.clone(), args.clone());
        let plain = model.quantization.is_none() && args.quantization.is_none();
        let weights = match self {
            Self::None | Self::CacheFp8 => None,
            // The engine makes these itself while it loads a plain checkpoint.
            Self::WeightsFp8 if plain => {
                args.quantization = Some("fp8".to_owned());
                None
            }
            Self::WeightsFp8 => return None,
            Self::WeightsFourBits | Self::WeightsFourBitsCacheFp8 => {
                Some(("awq", WeightFormat::Packed { bits: 4, group: Some(128), zero_point: true, group_index: false }))
            }
        };
        if let Some((method, format)) = weights {
            let quantization = Quantization {
                method: method.to_owned(),
                format,
                others: Vec::new(),
                head: vramscope_core::StoredAs::Plain,
                kv_cache: None,
                beside_config: false,
            };
            model.quantization = plain.then_some(quantization);
            model.quantization.as_ref()?;
        }
        if matches!(self, Self::CacheFp8 | Self::WeightsFourBitsCacheFp8) {
            if args.kv_cache_dtype.is_some() {
                return None;
            }
            args.kv_cache_dtype = Some("fp8".to_owned());
        }
        Some((model, args))
    }
}

/// How a model can be served on a kind of device.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Placement {
    /// What had to change.
    pub change: Change,
    /// The engine's arguments.
    pub args: EngineArgs,
    /// Devices in all.
    pub gpus: u64,
    /// The budget with them.
    pub budget: Budget,
    /// Requests of the wished length that fit together.
    pub concurrent_requests: u64,
}

/// The fewest devices on which the wish comes true without any change; arguments that are given stay as they are.
///
/// # Errors
/// As [`budget`](crate::budget()); sizes that do not divide are passed over.
pub fn fewest_gpus(
    model: &Architecture,
    args: &EngineArgs,
    setting: Setting<'_>,
    wish: Wish,
) -> Result<Option<Placement>, EstimateError> {
    let mut sizes: Vec<(u64, u64)> = Vec::new();
    for pipeline in PIPELINE_SIZES {
        for tensor in TENSOR_SIZES.into_iter().filter(|tensor| *tensor <= NODE || pipeline == 1) {
            sizes.push((tensor, pipeline));
        }
    }
    sizes.sort_by_key(|&(tensor, pipeline)| (tensor * pipeline, pipeline));
    let mut refused = None;
    for (tensor_parallel_size, pipeline_parallel_size) in sizes {
        let args = EngineArgs { tensor_parallel_size, pipeline_parallel_size, ..args.clone() };
        match place(model, &args, setting, wish, Change::None) {
            Ok(Some(placement)) => return Ok(Some(placement)),
            Ok(None) | Err(EstimateError::NotDivisible { .. }) => {}
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    refused.map_or(Ok(None), Err)
}

/// Whether the wish comes true on the devices that the arguments name, by each change in turn.
///
/// # Errors
/// As [`budget`](crate::budget()).
pub fn changes(
    model: &Architecture,
    args: &EngineArgs,
    setting: Setting<'_>,
    wish: Wish,
) -> Result<Vec<(Change, Option<Placement>)>, EstimateError> {
    let mut tried = Vec::new();
    for change in Change::ALL {
        if let Some((model, args)) = change.apply(model, args) {
            tried.push((change, place(&model, &args, setting, wish, change)?));
        }
    }
    Ok(tried)
}

/// The placement, if the wish comes true with these arguments.
fn place(
    model: &Architecture,
    args: &EngineArgs,
    setting: Setting<'_>,
    wish: Wish,
    change: Change,
) -> Result<Option<Placement>, EstimateError> {
    place_loaded(model, args, setting, wish, change, &weights_on_device(model, args, setting.device)?)
}

fn place_loaded(
    model: &Architecture,
    args: &EngineArgs,
    setting: Setting<'_>,
    wish: Wish,
    change: Change,
    loaded: &Weights,
) -> Result<Option<Placement>, EstimateError> {
    let mut args = args.clone();
    args.max_model_len = args.max_model_len.or(wish.request_tokens);
    let found = budget_of_loaded(model, &args, setting, loaded)?;
    let tokens = wish.request_tokens.unwrap_or(found.engine.max_model_len);
    let wanted = wish.requests.unwrap_or(1);
    let used = found.workload(Workload { input_len: Some(tokens), output_len: Some(0), ..Workload::default() });
    let concurrent_requests = used.map_or(0, |used| used.concurrent_requests);
    let fits = found.verdict.fits && concurrent_requests >= wanted && tokens <= found.engine.max_model_len;
    let gpus = args.tensor_parallel_size * args.pipeline_parallel_size * args.data_parallel_size;
    Ok(fits.then_some(Placement { change, args, gpus, budget: found, concurrent_requests }))
}

/// The longest `max_model_len` with which the engine starts; `None` if it starts with none.
///
/// # Errors
/// As [`budget`](crate::budget()).
pub fn longest_model_len(
    model: &Architecture,
    args: &EngineArgs,
    setting: Setting<'_>,
) -> Result<Option<u64>, EstimateError> {
    let most = model_lengths(model, args.version).map(|lengths| lengths.longest).or(args.max_model_len);
    let most = most.ok_or(EstimateError::Missing { what: "the longest request", name: "--max-model-len" })?;
    let loaded = weights_on_device(model, args, setting.device)?;
    let starts = |tokens: u64| -> Result<bool, EstimateError> {
        let args = EngineArgs { max_model_len: Some(tokens), ..args.clone() };
        Ok(budget_of_loaded(model, &args, setting, &loaded)?.verdict.fits)
    };
    if !starts(1)? {
        return Ok(None);
    }
    let (mut low, mut high) = (1, most);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if starts(middle)? { low = middle } else { high = middle - 1 }
    }
    Ok(Some(low))
}

/// The lowest `gpu_memory_utilization`, in hundredths, with which the wish comes true; `None` if none is enough.
///
/// # Errors
/// As [`budget`](crate::budget()).
pub fn lowest_utilization(
    model: &Architecture,
    args: &EngineArgs,
    setting: Setting<'_>,
    wish: Wish,
) -> Result<Option<u64>, EstimateError> {
    let loaded = weights_on_device(model, args, setting.device)?;
    let enough = |hundredths: u64| -> Result<bool, EstimateError> {
        #[expect(clippy::cast_precision_loss, reason = "at most a hundred")]
        let share = hundredths as f64 / SHARE_STEPS as f64;
        let args = EngineArgs { gpu_memory_utilization: Some(share), ..args.clone() };
        Ok(place_loaded(model, &args, setting, wish, Change::None, &loaded)?.is_some())
    };
    // The last hundredth is never free: the driver's context is in it.
    let (mut low, mut high) = (1, SHARE_STEPS - 1);
    while high > low && !enough(high)? {
        high -= 1;
    }
    if !enough(high)? {
        return Ok(None);
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if enough(middle)? { high = middle } else { low = middle + 1 }
    }
    Ok(Some(low))
}

/// Options that a placement's command line has by itself, and those that name what stands elsewhere in it.
const SET: &[&str] = &[
    "block-size",
    "config",
    "data-parallel-size",
    "dtype",
    "enable-expert-parallel",
    "enforce-eager",
    "gpu-memory-utilization",
    "kv-cache-dtype",
    "max-model-len",
    "max-num-batched-tokens",
    "max-num-seqs",
    "model",
    "no-enable-expert-parallel",
    "no-enforce-eager",
    "pipeline-parallel-size",
    "quantization",
    "tensor-parallel-size",
];

/// Whether a placement says it by itself.
pub(crate) fn is_set(name: &str) -> bool {
    SET.contains(&name)
}

/// The `vllm serve` command line of a placement, each word as a shell takes it. Options that were given and that no
/// placement changes follow as they were; secrets among them are hidden.
pub fn serve_command(model: &str, placement: &Placement) -> Vec<String> {
    let args = &placement.args;
    // Four bits need another checkpoint, whose name is not known here.
    let other = matches!(placement.change, Change::WeightsFourBits | Change::WeightsFourBitsCacheFp8);
    let model = if other { format!("an AWQ checkpoint of {model}") } else { model.to_owned() };
    let longer = args.allow_long_max_model_len.then(|| format!("{ALLOWS_LONG}=1"));
    let runner = args.second_runner.map(|second| format!("{CHOOSES_RUNNER}={}", u8::from(second)));
    let mut words: Vec<String> = longer.into_iter().chain(runner).collect();
    words.extend(["vllm".to_owned(), "serve".to_owned(), model]);
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            words.extend([name.to_owned(), value]);
        }
    };
    let above_one = |n: u64| (n > 1).then(|| n.to_string());
    add("--tensor-parallel-size", above_one(args.tensor_parallel_size));
    add("--pipeline-parallel-size", above_one(args.pipeline_parallel_size));
    add("--data-parallel-size", above_one(args.data_parallel_size));
    let automatic = args.auto_max_model_len.then(|| "auto".to_owned());
    add("--max-model-len", args.max_model_len.map(|n| n.to_string()).or(automatic));
    add("--dtype", args.dtype.and_then(engine_name).map(str::to_owned));
    add("--max-num-seqs", args.max_num_seqs.map(|n| n.to_string()));
    add("--max-num-batched-tokens", args.max_num_batched_tokens.map(|n| n.to_string()));
    add("--gpu-memory-utilization", args.gpu_memory_utilization.map(|share| share.to_string()));
    add("--kv-cache-dtype", args.kv_cache_dtype.clone());
    add("--block-size", args.block_size.map(|n| n.to_string()));
    add("--quantization", args.quantization.clone());
    if args.enforce_eager {
        words.push("--enforce-eager".to_owned());
    }
    if args.enable_expert_parallel {
        words.push("--enable-expert-parallel".to_owned());
    }
    words.extend(redact_args(args.kept.iter().map(String::as_str)));
    words.iter().map(|word| shell_quoted(word)).collect()
}

/// What the engine calls an element type; `None` for one that it does not compute in.
fn engine_name(kind: ElementType) -> Option<&'static str> {
    Some(match kind {
        ElementType::Bf16 => "bfloat16",
        ElementType::F16 => "float16",
        ElementType::F32 => "float32",
        _ => return None,
    })
}

/// A device with the fewest of them that a model needs.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DeviceFit {
    /// The device.
    pub device: &'static GpuModel,
    /// The placement on the fewest of them; `None` if 64 are not enough.
    pub placement: Option<Placement>,
}

/// Every device of the table with the fewest that the wish needs.
///
/// # Errors
/// As [`budget`](crate::budget()).
pub fn on_every_device(model: &Architecture, args: &EngineArgs, wish: Wish) -> Result<Vec<DeviceFit>, EstimateError> {
    let fit = |device| {
        let placement = fewest_gpus(model, args, Setting::alone(device), wish)?;
        Ok(DeviceFit { device, placement })
    };
    crate::devices().iter().map(fit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget;
    use crate::find_device;
    use crate::tests_support::llama_8b;

    fn wish(tokens: u64, requests: u64) -> Wish {
        Wish { request_tokens: Some(tokens), requests: Some(requests) }
    }

    #[test]
    fn the_longest_length_starts_and_one_more_does_not() {
        let (model, device) = (llama_8b(), find_device("l4").unwrap());
        let args = EngineArgs::default();
        let longest = longest_model_len(&model, &args, Setting::alone(device)).unwrap().unwrap();
        assert!(longest < 131_072);
        for (tokens, starts) in [(longest, true), (longest + 1, false)] {
            let args = EngineArgs { max_model_len: Some(tokens), ..args.clone() };
            assert_eq!(budget(&model, &args, Setting::alone(device)).unwrap().verdict.fits, starts, "{tokens}");
        }
    }

    #[test]
    fn the_lowest_share_is_enough_and_one_step_less_is_not() {
        let (model, device) = (llama_8b(), find_device("h100").unwrap());
        let args = EngineArgs::default();
        let lowest = lowest_utilization(&model, &args, Setting::alone(device), wish(8192, 16)).unwrap().unwrap();
        for (hundredths, enough) in [(lowest, true), (lowest - 1, false)] {
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let share = hundredths as f64 / 100.0;
            let args = EngineArgs { gpu_memory_utilization: Some(share), ..args.clone() };
            let placed = place(&model, &args, Setting::alone(device), wish(8192, 16), Change::None).unwrap();
            assert_eq!(placed.is_some(), enough, "{hundredths}");
        }
    }

    #[test]
    fn two_small_cards_serve_what_one_cannot() {
        let (model, device) = (llama_8b(), find_device("a10g").unwrap());
        let placed =
            fewest_gpus(&model, &EngineArgs::default(), Setting::alone(device), wish(32_768, 4)).unwrap().unwrap();
        assert_eq!((placed.gpus, placed.args.tensor_parallel_size), (2, 2));
        let words = serve_command("a/b", &placed).join(" ");
        assert_eq!(words, "vllm serve a/b --tensor-parallel-size 2 --max-model-len 32768");
    }

    #[test]
    fn the_line_says_what_was_given_and_what_it_was_computed_with() {
        let words = [
            "serve",
            "m",
            "--enable-lora",
            "--max-lora-rank",
            "64",
            "--kv_cache_dtype",
            "fp8",
            "--dtype=half",
            "-tp",
            "1",
            "--mamba-ssm-cache-dtype",
            "float32",
            "-cc.cudagraph_mode=NONE",
            "--api-key",
            "sk-abcdefgh12345678",
            "--hf-overrides",
            "{\"rope_theta\": 1.0}",
        ];
        let mut args = crate::CommandLine::read(&words, EngineArgs::default()).unwrap().args;
        args.take_environment(|name| (name == ALLOWS_LONG).then(|| "1".to_owned()));
        let device = find_device("h100").unwrap();
        let placed = place(&llama_8b(), &args, Setting::alone(device), wish(8192, 4), Change::None).unwrap().unwrap();
        let line = serve_command("a/b", &placed);
        assert_eq!(
            line.join(" "),
            "VLLM_ALLOW_LONG_MAX_MODEL_LEN=1 vllm serve a/b --max-model-len 8192 --dtype float16 --kv-cache-dtype fp8 \
             --enable-lora --max-lora-rank 64 --mamba-ssm-cache-dtype float32 --compilation-config.cudagraph_mode NONE \
             --api-key '[redacted]' --hf-overrides '{\"rope_theta\": 1.0}'"
        );
        // Read again it is the same engine.
        let line: Vec<&str> = line.iter().map(|word| word.trim_matches('\'')).collect();
        let mut again = crate::CommandLine::read(&line, EngineArgs::default()).unwrap().args;
        again.take_environment(|name| (name == ALLOWS_LONG).then(|| "1".to_owned()));
        (again.kept, again.hf_overrides, args.hf_overrides) = (args.kept.clone(), None, None);
        assert_eq!(again, EngineArgs { max_model_len: Some(8192), ..args });
    }

    #[test]
    fn four_bits_fit_where_sixteen_do_not() {
        let (model, device) = (llama_8b(), find_device("t4").unwrap());
        let tried = changes(&model, &EngineArgs::default(), Setting::alone(device), wish(8192, 4)).unwrap();
        let fits = |change| tried.iter().find(|(c, _)| *c == change).is_some_and(|(_, placed)| placed.is_some());
        assert!(!fits(Change::None) && fits(Change::WeightsFourBits));
    }
}
