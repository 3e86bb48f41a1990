//! Engine arguments as vLLM spells them on its command line.

use serde_json::{Map, Value};
use vramscope_core::{Bytes, ElementType, Flag, Part};

use crate::EstimateError;
use crate::vllm::drafts::Drafter;
use crate::vllm::grammar::{COMMAND_LINE, behind_program};
use crate::vllm::indifferent::is_without_effect;
use crate::vllm::input::{EngineArgs, Lora, PerformanceMode, Usage};

/// A command line, read.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CommandLine {
    /// The model's name or folder, where given.
    pub model: Option<String>,
    /// The arguments that an estimate depends on.
    pub args: EngineArgs,
    /// Arguments that change nothing on a device, by name. What is not known here is among
    /// [`EngineArgs::unmodelled`].
    pub ignored: Vec<String>,
}

impl CommandLine {
    /// Reads words such as `vllm serve MODEL --tensor-parallel-size 2 --max-model-len=32k`. The program's and the
    /// subcommand's names may be absent. Words override what `base` says.
    ///
    /// ```
    /// use vramscope_estimate::{CommandLine, EngineArgs};
    /// let read = CommandLine::read(&["serve", "Qwen/Qwen3-8B", "-tp", "2", "--enforce-eager"], EngineArgs::default());
    /// let read = read.unwrap();
    /// assert_eq!(read.model.as_deref(), Some("Qwen/Qwen3-8B"));
    /// assert!(read.args.enforce_eager && read.args.tensor_parallel_size == 2);
    /// ```
    ///
    /// # Errors
    /// [`EstimateError::BadArgument`] for a value that the engine would not accept, or one that is absent.
    pub fn read<S: AsRef<str>>(words: &[S], base: EngineArgs) -> Result<Self, EstimateError> {
        let mut read = Self { model: None, args: base, ignored: Vec::new() };
        // A model that stands alone wins over `--model`, which may come from a configuration file.
        let (mut leading, mut alone) = (true, None);
        let mut drafts = Map::new();
        let mut adapters = read.args.lora.is_some();
        for part in COMMAND_LINE.read(behind_program(words)) {
            match part {
                Part::Word(word) if leading && read.subcommand(word) => {}
                Part::Word(word) => drop(alone.get_or_insert_with(|| word.to_owned())),
                Part::Flag(flag) => {
                    leading = false;
                    match flag.name.as_str() {
                        "enable-lora" => adapters = true,
                        "no-enable-lora" => adapters = false,
                        _ => {}
                    }
                    if !crate::vllm::fit::is_set(&flag.name) {
                        read.args.kept.extend(spelled(&flag));
                    }
                    if flag.name == "speculative-config" || flag.name.starts_with("spec-") {
                        draft_fields(&flag, &mut drafts)?;
                    } else if flag.name == "compilation-config" {
                        read.compilation(&flag)?;
                    } else if flag.field.is_some() || !read.switch(&flag.name) {
                        read.option(&flag.full_name(), flag.value)?;
                    }
                }
            }
        }
        if !adapters && read.args.lora.take().is_some() {
            // Sizes of adapters make none.
            read.ignored.push("--max-loras and --max-lora-rank without --enable-lora".to_owned());
        }
        read.model = alone.or(read.model);
        if let Some((drafter, tokens)) = Drafter::read(&drafts)? {
            read.args.drafter = Some(drafter);
            read.args.num_speculative_tokens = tokens;
        }
        read.args.check()?;
        Ok(read)
    }

    /// A compilation's configuration: an object of JSON, or single fields behind a point. A bare number is its level.
    fn compilation(&mut self, flag: &Flag<'_>) -> Result<(), EstimateError> {
        let fields = fields_of(flag, "--compilation-config").or_else(|wrong| {
            let level = flag.value.is_some_and(|text| text.parse::<u8>().is_ok());
            if level { Ok(Map::from_iter([("level".to_owned(), Value::from(flag.value))])) } else { Err(wrong) }
        })?;
        self.args.graphs.read(&fields, &mut self.args.unmodelled)
    }

    /// Whether a word before the first flag is a subcommand.
    fn subcommand(&mut self, word: &str) -> bool {
        match word {
            "run" => {}
            "serve" => self.args.usage = Usage::Server,
            "bench" => self.args.usage = Usage::Offline,
            "latency" | "throughput" if self.args.usage == Usage::Offline => {
                // The offline benchmarks turn it off unless told otherwise.
                self.args.enable_prefix_caching = Some(false);
            }
            _ => return false,
        }
        true
    }

    /// Flags without a value.
    fn switch(&mut self, name: &str) -> bool {
        let (bare, on) = name.strip_prefix("no-").map_or((name, true), |bare| (bare, false));
        match bare {
            "enforce-eager" => self.args.enforce_eager = on,
            "enable-prefix-caching" => self.args.enable_prefix_caching = Some(on),
            "enable-chunked-prefill" => self.args.enable_chunked_prefill = Some(on),
            "async-scheduling" => self.args.async_scheduling = Some(on),
            "disable-hybrid-kv-cache-manager" => self.args.disable_hybrid_kv_cache_manager = Some(on),
            "enable-expert-parallel" => self.args.enable_expert_parallel = on,
            "language-model-only" => self.args.language_model_only = on,
            "enable-lora" => {
                self.args.lora = on.then_some(self.args.lora.unwrap_or(Lora { max_loras: 1, max_rank: 16 }))
            }
            _ => return false,
        }
        true
    }

    fn option(&mut self, name: &str, value: Option<&str>) -> Result<(), EstimateError> {
        let args = &mut self.args;
        let count = |flag: &'static str| whole(flag, value);
        match name {
            "model" => self.model = value.map(str::to_owned),
            "tensor-parallel-size" => args.tensor_parallel_size = count("--tensor-parallel-size")?,
            "pipeline-parallel-size" => args.pipeline_parallel_size = count("--pipeline-parallel-size")?,
            "data-parallel-size" => args.data_parallel_size = count("--data-parallel-size")?,
            // Both words for what fits (`human_readable_int_or_auto`).
            "max-model-len" => {
                args.auto_max_model_len = matches!(value, Some("auto" | "-1"));
                args.max_model_len = if args.auto_max_model_len { None } else { Some(count("--max-model-len")?) };
            }
            "max-cudagraph-capture-size" => args.graphs.largest = Some(count("--max-cudagraph-capture-size")?),
            "performance-mode" => args.performance_mode = performance_mode(value)?,
            "max-num-seqs" => args.max_num_seqs = Some(count("--max-num-seqs")?),
            "max-num-batched-tokens" => args.max_num_batched_tokens = Some(count("--max-num-batched-tokens")?),
            "block-size" => args.block_size = Some(count("--block-size")?),
            "num-gpu-blocks-override" => args.num_gpu_blocks_override = Some(count("--num-gpu-blocks-override")?),
            "kv-cache-memory-bytes" | "kv-cache-memory" => {
                // None of it is as if nothing was said (`if kv_cache_memory_bytes := …`, `v1/worker/gpu_worker.py`).
                args.kv_cache_memory = Some(count("--kv-cache-memory-bytes")?).filter(|n| *n > 0).map(Bytes::new);
            }
            "gpu-memory-utilization" => args.gpu_memory_utilization = Some(share("--gpu-memory-utilization", value)?),
            "dtype" => args.dtype = element("--dtype", value)?,
            "quantization" => args.quantization = named(value),
            "kv-cache-dtype" => args.kv_cache_dtype = named(value).filter(|name| name != "auto"),
            "max-loras" | "max-lora-rank" => {
                let lora = args.lora.get_or_insert(Lora { max_loras: 1, max_rank: 16 });
                match name {
                    "max-loras" => lora.max_loras = whole("--max-loras", value)?,
                    _ => lora.max_rank = whole("--max-lora-rank", value)?,
                }
            }
            "hf-overrides" => {
                let object = value.filter(|text| serde_json::from_str::<Map<String, Value>>(text).is_ok());
                let object = object.ok_or_else(|| bad("--hf-overrides", value, "an object of JSON"))?;
                args.hf_overrides = Some(object.to_owned());
            }
            "num-speculative-tokens" => args.num_speculative_tokens = count("--num-speculative-tokens")?,
            "load-format" => args.dummy_weights = value == Some("dummy"),
            "mamba-ssm-cache-dtype" => args.mamba_ssm_cache_dtype = element("--mamba-ssm-cache-dtype", value)?,
            // Recorded twice with pictures and no films; none of any kind leaves the tower out.
            _ if name.starts_with("limit-mm-per-prompt") && !value.is_some_and(says_none) => {
                self.ignored.push(name.to_owned());
            }
            _ if is_without_effect(name) => self.ignored.push(name.to_owned()),
            // Other splits, other graphs, another config, or what nobody has looked at.
            _ => args.unmodelled.push(format!("--{name}")),
        }
        Ok(())
    }
}

/// An option in words that mean the same.
fn spelled(flag: &Flag<'_>) -> Vec<String> {
    let first = std::iter::once(format!("--{}", flag.full_name()));
    first.chain(flag.value.into_iter().chain(flag.more.iter().copied()).map(str::to_owned)).collect()
}

/// Whether a limit is 0, or each of an object of limits: a tower stays as long as one of its kinds is wanted.
fn says_none(limits: &str) -> bool {
    let read: Option<Value> = serde_json::from_str(limits).ok();
    let none = |value: &Value| value.as_u64() == Some(0) || value.get("count").and_then(Value::as_u64) == Some(0);
    read.is_none_or(|read| none(&read) || read.as_object().is_some_and(|all| all.values().all(none)))
}

/// Fields of a speculative configuration: as [`fields_of`], or the short options of 0.33.
fn draft_fields(flag: &Flag<'_>, fields: &mut Map<String, Value>) -> Result<(), EstimateError> {
    let name = match flag.name.as_str() {
        "spec-method" => "method",
        "spec-model" => "model",
        "spec-tokens" => "num_speculative_tokens",
        _ => {
            fields.extend(fields_of(flag, "--speculative-config")?);
            return Ok(());
        }
    };
    fields.insert(name.to_owned(), field("--speculative-config", flag.value)?);
    Ok(())
}

/// Fields of an option that is an object of JSON, or of which single fields are given behind a point.
fn fields_of(flag: &Flag<'_>, name: &'static str) -> Result<Map<String, Value>, EstimateError> {
    let own = |name: &str| name.replace('-', "_");
    if let Some(one) = flag.field {
        return Ok(Map::from_iter([(own(one), field(name, flag.value)?)]));
    }
    let read = flag.value.and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok());
    let read = read.ok_or_else(|| bad(name, flag.value, "an object of JSON"))?;
    Ok(read.into_iter().map(|(name, value)| (own(&name), value)).collect())
}

fn field(name: &'static str, value: Option<&str>) -> Result<Value, EstimateError> {
    let text = value.ok_or_else(|| bad(name, None, "a value for each field"))?;
    Ok(serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)))
}

fn bad(name: &'static str, value: Option<&str>, expected: &'static str) -> EstimateError {
    let value = value.map_or_else(|| "nothing".to_owned(), |v| v.chars().take(40).collect());
    EstimateError::BadArgument { name, value, expected }
}

fn whole(name: &'static str, value: Option<&str>) -> Result<u64, EstimateError> {
    let number = value.and_then(human_readable_int);
    number.ok_or_else(|| bad(name, value, "a whole number such as 4096, 32k or 8G"))
}

/// A whole number as vLLM's flags take it, by its `human_readable_int`: `1k` is 1000, `1K` is 1024, and so with m and g;
/// `25.6k` is 25600, for fractions are allowed with the decimal units. `None` for any other text.
pub fn human_readable_int(text: &str) -> Option<u64> {
    let factor = match text.chars().last() {
        Some('k') => 1_000,
        Some('K') => 1 << 10,
        Some('m') => 1_000_000,
        Some('M') => 1 << 20,
        Some('g') => 1_000_000_000,
        Some('G') => 1 << 30,
        _ => 1,
    };
    let digits = if factor == 1 { text } else { &text[..text.len() - 1] };
    if let Ok(number) = digits.parse::<u64>() {
        return number.checked_mul(factor);
    }
    let fraction: f64 = digits.parse().ok()?;
    #[expect(clippy::cast_precision_loss, reason = "units are exact")]
    let product = fraction * factor as f64;
    if !matches!(factor, 1_000 | 1_000_000 | 1_000_000_000) || !(0.0..9e15).contains(&product) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range by the test above")]
    Some(product as u64)
}

fn share(name: &'static str, value: Option<&str>) -> Result<f64, EstimateError> {
    let wrong = || bad(name, value, "a share above 0 and up to 1");
    value.and_then(|v| v.parse::<f64>().ok()).filter(|s| *s > 0.0 && *s <= 1.0).ok_or_else(wrong)
}

fn performance_mode(value: Option<&str>) -> Result<PerformanceMode, EstimateError> {
    Ok(match value {
        Some("balanced") => PerformanceMode::Balanced,
        Some("interactivity") => PerformanceMode::Interactivity,
        Some("throughput") => PerformanceMode::Throughput,
        _ => return Err(bad("--performance-mode", value, "balanced, interactivity or throughput")),
    })
}

fn named(value: Option<&str>) -> Option<String> {
    value.filter(|name| !matches!(*name, "None" | "none")).map(str::to_owned)
}

fn element(name: &'static str, value: Option<&str>) -> Result<Option<ElementType>, EstimateError> {
    Ok(Some(match value {
        Some("auto") => return Ok(None),
        Some("bfloat16") => ElementType::Bf16,
        Some("float16" | "half") => ElementType::F16,
        Some("float32" | "float") => ElementType::F32,
        _ => return Err(bad(name, value, "auto, bfloat16, float16 or float32")),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vllm::graph_args::GraphMode;

    fn read(text: &str) -> Result<CommandLine, EstimateError> {
        CommandLine::read(&text.split_whitespace().collect::<Vec<_>>(), EngineArgs::default())
    }

    #[test]
    fn numbers_are_as_the_engine_reads_them() {
        let args = read("--max-model-len 32k --kv-cache-memory-bytes 8G --max-num-batched-tokens=2K").unwrap().args;
        assert_eq!(args.max_model_len, Some(32_000));
        assert_eq!(args.kv_cache_memory, Some(Bytes::new(8 << 30)));
        assert_eq!(args.max_num_batched_tokens, Some(2048));
        assert_eq!(read("--max-model-len 25.6k").unwrap().args.max_model_len, Some(25_600));
        for wrong in
            ["--max-model-len x", "--max-model-len", "--max-model-len -2", "--gpu-memory-utilization 1.5", "-tp 0"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn modes_and_lengths_by_word_are_read_and_the_last_word_counts() {
        for word in ["auto", "-1"] {
            let args = read(&format!("--max-model-len 4096 --max-model-len {word}")).unwrap().args;
            assert_eq!((args.auto_max_model_len, args.max_model_len), (true, None), "{word}");
        }
        let args = read("--max-model-len auto --max-model-len 4096 --performance-mode throughput").unwrap().args;
        assert_eq!((args.auto_max_model_len, args.max_model_len), (false, Some(4096)));
        assert_eq!(args.performance_mode, PerformanceMode::Throughput);
        assert_eq!(read("--no-enable-chunked-prefill").unwrap().args.enable_chunked_prefill, Some(false));
        assert!(read("--performance-mode fast").is_err());
    }

    #[test]
    fn what_changes_no_size_is_named() {
        let read = read("vllm serve a/b --port 80 --trust-remote-code --enforce_eager -- ").unwrap();
        assert_eq!(read.model.as_deref(), Some("a/b"));
        assert!(read.args.enforce_eager);
        assert!(read.ignored.contains(&"port".to_owned()) && read.ignored.contains(&"trust-remote-code".to_owned()));
    }

    #[test]
    fn what_is_said_of_graphs_is_read_and_the_rest_named() {
        let words = ["-cc", r#"{"cudagraph_mode": "piecewise", "cudagraph_capture_sizes": [8, 1], "pass_config": {}}"#];
        let args = CommandLine::read(&words, EngineArgs::default()).unwrap().args;
        assert_eq!((args.graphs.mode, args.graphs.sizes), (Some(GraphMode::Piecewise), Some(vec![8, 1])));
        assert_eq!(args.unmodelled, ["--compilation-config.pass_config"]);
        let args = read("--compilation-config.cudagraph_mode=NONE --compilation-config.mode 3").unwrap().args;
        assert_eq!((args.graphs.mode, args.unmodelled.len()), (Some(GraphMode::None), 0));
        assert_eq!(read("-O 0 -cc 0").unwrap().args.unmodelled.len(), 2, "other levels of compilation");
        for wrong in ["-cc x", "-cc.cudagraph_mode SOME", "-cc.cudagraph_capture_sizes [0]", "-cc.cudagraph_mode"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_that_no_engine_has_are_refused_and_a_cache_of_none_is_not_given() {
        assert!(read("--max-cudagraph-capture-size 18446744073709551615 --max-num-batched-tokens 4G").is_err());
        assert_eq!(read("--kv-cache-memory-bytes 0").unwrap().args.kv_cache_memory, None);
        assert_eq!(read("--runner pooling").unwrap().args.unmodelled, ["--runner"]);
    }

    #[test]
    fn a_switch_takes_no_value_and_a_field_is_no_switch() {
        let read = read("vllm serve --enable-log-outputs a/b -tp 2 -O3 --compilation-config.backend eager").unwrap();
        assert_eq!((read.model.as_deref(), read.args.tensor_parallel_size), (Some("a/b"), 2));
        assert_eq!(read.ignored, ["enable-log-outputs"]);
        assert_eq!(read.args.unmodelled, ["--optimization-level", "--compilation-config.backend"]);
    }

    #[test]
    fn the_offline_benchmark_has_its_own_defaults() {
        let read = read("vllm bench latency --model . --enable-lora --max-lora-rank 16 --max-loras 4").unwrap();
        assert_eq!(read.args.usage, Usage::Offline);
        assert_eq!(read.args.enable_prefix_caching, Some(false));
        assert_eq!(read.args.lora, Some(Lora { max_loras: 4, max_rank: 16 }));
        for off in ["vllm serve . --max-lora-rank 64", "vllm serve . --no-enable-lora --max-loras 4"] {
            assert_eq!(self::read(off).unwrap().args.lora, None, "{off}");
        }
    }
}
