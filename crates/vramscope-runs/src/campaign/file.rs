//! The campaign file in YAML, with the field names that the profilers before this one had.

mod axis;

use serde::Deserialize;

use super::CampaignError;
use crate::record::Shape;

/// A campaign file.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CampaignFile {
    /// The models, each with its axes.
    pub models: Vec<ModelEntry>,
}

/// One model and what is asked of it: every batch size with every input and every output length.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ModelEntry {
    /// The model: a hub id, or a folder.
    #[serde(alias = "hf_model_id", alias = "model")]
    pub model_id: String,
    /// The running container in which the engine is started; without it, it is started on this machine.
    #[serde(default)]
    pub container_name: Option<String>,
    /// The image of which a new container is made for each run.
    #[serde(default)]
    pub image: Option<String>,
    /// Prompt tokens of one request, one length or a list. Unit: tokens.
    #[serde(default, alias = "input_len", alias = "input_length", deserialize_with = "axis::deserialize")]
    #[cfg_attr(feature = "json-schema", schemars(with = "Option<axis::OneOrMany>"))]
    pub input_lengths: Option<Vec<u64>>,
    /// The prompt of every request, in place of input_lengths; of the workloads serve and transformers.
    #[serde(default)]
    pub prompt: Option<String>,
    /// Generated tokens of one request, one length or a list. Unit: tokens.
    #[serde(
        default,
        alias = "output_len",
        alias = "output_length",
        alias = "max_tokens",
        deserialize_with = "axis::deserialize"
    )]
    #[cfg_attr(feature = "json-schema", schemars(with = "Option<axis::OneOrMany>"))]
    pub output_lengths: Option<Vec<u64>>,
    /// Requests in flight together, one number or a list. Unit: count.
    #[serde(default, alias = "batch_size", deserialize_with = "axis::deserialize")]
    #[cfg_attr(feature = "json-schema", schemars(with = "Option<axis::OneOrMany>"))]
    pub batch_sizes: Option<Vec<u64>>,
    /// The element type of the weights, as the engine names it.
    #[serde(default)]
    pub dtype: Option<String>,
    /// The quantization method, as the engine names it.
    #[serde(default)]
    pub quantization: Option<String>,
    /// The element type of the KV cache, as the engine names it.
    #[serde(default)]
    pub kv_cache_dtype: Option<String>,
    /// Ranks that share each layer. Unit: count.
    #[serde(default)]
    pub tensor_parallel_size: Option<u64>,
    /// Ranks that share the layers among them. Unit: count.
    #[serde(default)]
    pub pipeline_parallel_size: Option<u64>,
    /// The share of the GPU's memory that the engine may use. Unit: none, a share.
    #[serde(default)]
    pub gpu_memory_utilization: Option<f64>,
    /// The longest sequence. Unit: tokens.
    #[serde(default)]
    pub max_model_len: Option<u64>,
    /// Run without graphs and compilation.
    #[serde(default)]
    pub enforce_eager: Option<bool>,
    /// Run code that comes with the model.
    #[serde(default)]
    pub trust_remote_code: Option<bool>,
    /// Parameters of the whole model. Unit: count.
    #[serde(default)]
    pub model_params: Option<f64>,
    /// Layers. Unit: count.
    #[serde(default)]
    pub num_layers: Option<u64>,
    /// Query heads. Unit: count.
    #[serde(default)]
    pub num_heads: Option<u64>,
    /// Key and value heads. Unit: count.
    #[serde(default)]
    pub num_kv_heads: Option<u64>,
    /// The width of one head. Unit: elements.
    #[serde(default)]
    pub head_dim: Option<u64>,
    /// The width of the residual stream. Unit: elements.
    #[serde(default)]
    pub hidden_size: Option<u64>,
    /// The width of the feed-forward parts. Unit: elements.
    #[serde(default)]
    pub intermediate_size: Option<u64>,
    /// Tokens of the vocabulary. Unit: count.
    #[serde(default)]
    pub vocab_size: Option<u64>,
    /// Measured iterations. Unit: count.
    #[serde(default)]
    pub num_iters: Option<u64>,
    /// Iterations before the measured ones. Unit: count.
    #[serde(default)]
    pub num_iters_warmup: Option<u64>,
    /// A remark for people.
    #[serde(default)]
    pub notes: Option<String>,
    /// Further arguments of the engine, each a word.
    #[serde(default)]
    pub engine_args: Vec<String>,
}

impl ModelEntry {
    /// The entry with a model's shape as it is given by hand.
    #[must_use]
    pub fn of_shape(mut self, shape: &Shape) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "no model has 2^53 parameters")]
        let parameters = shape.parameters.map(|count| count as f64);
        self.model_params = parameters;
        self.num_layers = shape.layers;
        self.num_heads = shape.heads;
        self.num_kv_heads = shape.kv_heads;
        self.head_dim = shape.head_dim;
        self.hidden_size = shape.hidden_size;
        self.intermediate_size = shape.intermediate_size;
        self.vocab_size = shape.vocab_size;
        self
    }
}

/// The JSON Schema of the file, for editors.
#[cfg(feature = "json-schema")]
pub fn campaign_json_schema() -> schemars::Schema {
    schemars::schema_for!(CampaignFile)
}

/// What the reader expects by its own names, and what a person writes there.
const EXPECTED: [(&str, &str); 8] = [
    ("invalid u64", "expected a whole number, such as 8"),
    ("invalid floating point", "expected a number, such as 0.9"),
    ("invalid f64", "expected a number, such as 0.9"),
    ("invalid boolean", "expected true or false"),
    ("expected sequence start", "expected a list, such as `- model: org/name` on lines of its own"),
    ("expected mapping start", "expected fields, such as `model: org/name`"),
    ("expected string scalar", "expected text"),
    ("expected one of models", "expected models"),
];

fn in_words(said: &str) -> String {
    EXPECTED.iter().fold(said.to_owned(), |said, (theirs, ours)| said.replace(theirs, ours))
}

/// Reads the YAML. Anchors, depth and size are bounded by the reader's own budget.
pub(super) fn read(text: &str) -> Result<CampaignFile, CampaignError> {
    let options = serde_saphyr::options! { with_snippet: false };
    let mut field = None;
    let read = serde_saphyr::with_deserializer_from_str_with_options(text, options, |yaml| {
        serde_path_to_error::deserialize(yaml).map_err(|error| {
            field = Some(error.path().to_string()).filter(|path| path != ".");
            error.into_inner()
        })
    });
    read.map_err(|error| {
        let said = match error {
            serde_saphyr::Error::MultipleDocuments { .. } => {
                "it has several documents with --- between them; put all models below one `models:`".to_owned()
            }
            error => in_words(error.to_string().trim_end()),
        };
        CampaignError::Yaml { reason: field.map_or(said.clone(), |field| format!("{field}: {said}")) }
    })
}
