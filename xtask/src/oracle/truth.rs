//! What an engine plans for a model, as it said itself.

use anyhow::Context as _;
use serde_json::{Map, Value, json};

/// Refusals that speak of the machine on which the engine was asked: a package or a file that is not there.
const OF_THE_MACHINE: [&str; 7] = [
    "failed to be inspected",
    "Can't load image processor",
    "Transformers does not recognize this architecture",
    "No model architectures are specified",
    "Call init_workspace_manager",
    "AmbiguousGlobalPerLayerAttributeError",
    "contains custom code which must be executed",
];

/// The longest text of a refusal that is kept.
const MOST_TEXT: usize = 200;

/// One answer of an engine.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Truth {
    /// The folder of the model, or the name of its config among the stored ones.
    pub(crate) model: String,
    pub(crate) release: String,
    /// Arguments as the engine spells them.
    pub(crate) args: Vec<String>,
    /// Bytes of the tensors and tables of the rank that holds most; `None` where the model was not built.
    pub(crate) weights: Option<u64>,
    /// Parameters of an unquantized model on one rank.
    pub(crate) parameters: Option<u64>,
    pub(crate) max_model_len: Option<u64>,
    pub(crate) plan: Option<Plan>,
    /// The engine's own words.
    pub(crate) refusal: Option<String>,
    /// Why nothing more could be asked, which says nothing of the engine.
    pub(crate) fault: Option<String>,
}

/// How an engine lays out its cache in so many bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Plan {
    pub(crate) available: u64,
    pub(crate) block_size: u64,
    pub(crate) bytes_per_block: u64,
    pub(crate) blocks: u64,
    pub(crate) concurrency: f64,
}

impl Truth {
    /// Reads a line that the oracle prints.
    pub(crate) fn of_oracle(line: &Value) -> anyhow::Result<Self> {
        let text = |key: &str| line[key].as_str().map(shortened);
        let args: Vec<String> = strings(&line["args"]);
        let one = [line.clone()];
        let stages = line["stages"].as_array().map_or(&one[..], Vec::as_slice);
        let bytes = |stage: &Value| {
            let of = |value: &Value| value.as_u64();
            let drafted = of(&stage["draft"]["weight_bytes"]).unwrap_or(0);
            let parts = &stage["parts"];
            let buffers = of(&stage["buffer_bytes"])?;
            let buffers = buffers.checked_sub(bytes_of(parts, &SEEN_TWICE)).unwrap_or(buffers);
            let made = of(&stage["weight_bytes"])?;
            let kept = made.saturating_sub(bytes_of(parts, &GIVEN_BACK));
            Some(kept + buffers + of(&stage["lora_bytes"])? + drafted)
        };
        let whole = line["quantization"].is_null() && !args.iter().any(|word| split(word));
        let (mut refusal, mut fault) = (text("refusal"), text("fault"));
        if refusal.as_deref().is_some_and(|words| OF_THE_MACHINE.iter().any(|part| words.contains(part))) {
            fault = refusal.take();
        }
        Ok(Self {
            model: line["model"].as_str().context("a line of the oracle names no model")?.to_owned(),
            release: line["vllm"].as_str().unwrap_or_default().to_owned(),
            args: without_one_rank(args),
            weights: stages.iter().filter_map(bytes).max(),
            parameters: line["parameters"].as_u64().filter(|_| whole),
            // Where the engine chooses the length, the plan has it.
            max_model_len: line["kv"]["max_model_len"].as_u64().or(line["max_model_len"].as_u64()),
            plan: plan(&line["kv"]),
            refusal,
            fault,
        })
    }

    /// Reads a stored line.
    pub(crate) fn read(line: &str) -> anyhow::Result<Self> {
        let value: Value = serde_json::from_str(line).context("read a line of the truth")?;
        let text = |key: &str| value[key].as_str().map(str::to_owned);
        let plan = value["plan"].as_array().map(|list| {
            let number = |at: usize| list.get(at).and_then(Value::as_u64).context("a plan has five numbers");
            let concurrency = list.get(4).and_then(Value::as_f64).context("a plan has five numbers")?;
            let (available, block_size) = (number(0)?, number(1)?);
            anyhow::Ok(Plan { available, block_size, bytes_per_block: number(2)?, blocks: number(3)?, concurrency })
        });
        Ok(Self {
            model: text("model").context("a line of the truth names no model")?,
            release: text("vllm").context("a line of the truth names no release")?,
            args: strings(&value["args"]),
            weights: value["weights"].as_u64(),
            parameters: value["parameters"].as_u64(),
            max_model_len: value["max_model_len"].as_u64(),
            plan: plan.transpose()?,
            refusal: text("refusal"),
            fault: text("fault"),
        })
    }

    /// The line that is stored: what is absent is left out.
    pub(crate) fn line(&self) -> String {
        let plan = self.plan.map(|p| json!([p.available, p.block_size, p.bytes_per_block, p.blocks, p.concurrency]));
        let fields = [
            ("model", Some(json!(self.model))),
            ("vllm", Some(json!(self.release))),
            ("args", Some(json!(self.args)).filter(|_| !self.args.is_empty())),
            ("weights", self.weights.map(Value::from)),
            ("parameters", self.parameters.map(Value::from)),
            ("max_model_len", self.max_model_len.map(Value::from)),
            ("plan", plan),
            ("refusal", self.refusal.clone().map(Value::from)),
            ("fault", self.fault.clone().map(Value::from)),
        ];
        let fields = fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        Value::Object(fields.collect::<Map<_, _>>()).to_string()
    }

    /// What was asked, in words.
    pub(crate) fn label(&self) -> String {
        let name = std::path::Path::new(&self.model).file_name().map(|name| name.to_string_lossy().into_owned());
        let args = self.args.join(" ").replace("--tensor-parallel-size", "TP");
        format!("{} {} {args}", name.unwrap_or_else(|| self.model.clone()), self.release).trim_end().to_owned()
    }

    /// The engine refused because one request does not fit the cache.
    pub(crate) fn lacks_room(&self) -> bool {
        self.refusal.as_deref().is_some_and(|words| words.contains("To serve at least one request"))
    }
}

/// Weights that a buffer shows again: the second Mamba mixer names its convolution's so (`mamba_mixer2.py`,
/// `conv_weights`).
const SEEN_TWICE: [&str; 2] = [".mixer.conv1d.weight", ".mamba.conv1d.weight"];
/// What experts of packed integers are made with up to 0.28 and give back when loading ends
/// (`compressed_tensors_moe_wna16_marlin.py`): the order of inputs, where it is the usual one.
const GIVEN_BACK: [&str; 4] = [
    "experts.routed_experts.w13_weight_g_idx",
    "experts.routed_experts.w2_weight_g_idx",
    "experts.routed_experts.w13_g_idx_sort_indices",
    "experts.routed_experts.w2_g_idx_sort_indices",
];

fn bytes_of(parts: &Value, ends: &[&str]) -> u64 {
    let parts = parts.as_object().into_iter().flatten();
    let parts = parts.filter(|(name, _)| ends.iter().any(|end| name.ends_with(end)));
    parts.filter_map(|(_, part)| part["bytes"].as_u64()).sum()
}

fn plan(kv: &Value) -> Option<Plan> {
    Some(Plan {
        available: kv["available"].as_u64()?,
        block_size: kv["block_size"].as_u64()?,
        bytes_per_block: kv["bytes_per_block"].as_u64()?,
        blocks: kv["num_blocks"].as_u64()?,
        concurrency: kv["concurrency"].as_f64()?,
    })
}

fn split(word: &str) -> bool {
    word.contains("parallel") && word != "--tensor-parallel-size"
}

/// One rank is what an engine takes when it is not told.
fn without_one_rank(args: Vec<String>) -> Vec<String> {
    match args.as_slice() {
        [name, one, rest @ ..] if name == "--tensor-parallel-size" && one == "1" => rest.to_vec(),
        _ => args,
    }
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect()
}

/// One line without the traces that some errors carry, and without the folders of the machine.
fn shortened(text: &str) -> String {
    let is_folder = |word: &str| word.trim_start_matches(['\'', '"', '(']).starts_with('/');
    let words = text.split_whitespace().filter(|word| !is_folder(word));
    words.collect::<Vec<_>>().join(" ").chars().take(MOST_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_line_says_what_the_oracle_said() {
        let said = json!({"model": "m", "vllm": "0.33.0", "args": ["--tensor-parallel-size", "1"], "quantization": null,
            "weight_bytes": 100, "buffer_bytes": 10, "lora_bytes": 0, "parameters": 50, "max_model_len": 64,
            "kv": {"available": 1000, "block_size": 16, "bytes_per_block": 100, "num_blocks": 10, "concurrency": 2.5}});
        let truth = Truth::of_oracle(&said).unwrap();
        assert_eq!((truth.weights, truth.parameters, truth.args.len()), (Some(110), Some(50), 0));
        assert_eq!(Truth::read(&truth.line()).unwrap(), truth);
    }

    #[test]
    fn what_the_machine_lacks_is_no_refusal() {
        let said =
            json!({"model": "m", "vllm": "0.33.0", "refusal": "Model architectures ['X'] failed to be inspected."});
        let truth = Truth::of_oracle(&said).unwrap();
        assert!(truth.refusal.is_none() && truth.fault.is_some());
    }

    #[test]
    fn the_heaviest_stage_counts() {
        let stage = |bytes: u64| json!({"weight_bytes": bytes, "buffer_bytes": 1, "lora_bytes": 0});
        let said = json!({"model": "m", "vllm": "0.33.0", "stages": [stage(5), stage(9)]});
        assert_eq!(Truth::of_oracle(&said).unwrap().weights, Some(10));
    }
}
