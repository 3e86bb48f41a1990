//! Speculative decoding: who guesses tokens ahead, and what it holds beside the model.
//!
//! Follows vLLM 0.25 and 0.33: `config/speculative.py`, the classes of `model_executor/models/*_{mtp,eagle,eagle3}.py`,
//! and `v1/worker/gpu/spec_decode/eagle/utils.py`, which gives heads the model's embedding and output.

use serde_json::{Map, Value};
use vramscope_core::{Architecture, DraftModel, FeedForward, Layer, Mixer, Span};

use crate::EstimateError;

/// How tokens are guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DraftMethod {
    /// By looking them up in the text so far, which takes no memory of the device.
    Lookup,
    /// By looking them up in a tree of suffixes, in the host's memory.
    Suffix,
    /// By the model's own layers that predict further tokens (multi-token prediction).
    OwnLayers,
    /// By a head over the model's last states (EAGLE).
    Eagle,
    /// By a head over several of the model's states (EAGLE-3).
    Eagle3,
    /// By a model of its own.
    Model,
    /// By a method that is not modelled here.
    Other,
}

impl DraftMethod {
    /// The name as the engine and documents spell it; `other` for one that is not known here.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lookup => "ngram",
            Self::Suffix => "suffix",
            Self::OwnLayers => "mtp",
            Self::Eagle => "eagle",
            Self::Eagle3 => "eagle3",
            Self::Model => "draft_model",
            Self::Other => "other",
        }
    }
}

/// What guesses tokens ahead.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Drafter {
    /// How it does it.
    pub method: DraftMethod,
    /// Its model's name or folder, where it has one.
    pub model: Option<String>,
    /// Its model's shape; a head or a model without one is not modelled.
    pub draft: Option<Box<DraftModel>>,
    /// Fields of its configuration that matter and are not modelled.
    pub unmodelled: Vec<String>,
}

/// Fields of `--speculative-config` that change no size of the device's memory beside those that are read.
const WITHOUT_EFFECT: [&str; 14] = [
    "acceptance_method",
    "disable_by_batch_size",
    "disable_logprobs",
    "disable_mqa_scorer",
    "disable_padded_drafter_batch",
    "draft_sample_method",
    "posterior_alpha",
    "posterior_threshold",
    "prompt_lookup_max",
    "prompt_lookup_min",
    "rejection_sample_method",
    "revision",
    "synthetic_acceptance_rate",
    "trust_remote_code",
];

impl Drafter {
    /// Reads the fields of a speculative configuration; the second value is the number of tokens guessed.
    ///
    /// # Errors
    /// [`EstimateError::BadArgument`] for a number of tokens that is none.
    pub(crate) fn read(fields: &Map<String, Value>) -> Result<Option<(Self, u64)>, EstimateError> {
        if fields.is_empty() {
            return Ok(None);
        }
        let text = |name: &str| fields.get(name).and_then(Value::as_str);
        let model = text("model").map(str::to_owned);
        let method = method(text("method"), model.as_deref());
        let tokens = match fields.get("num_speculative_tokens") {
            None | Some(Value::Null) => 1,
            Some(value) => value.as_u64().or_else(|| value.as_str()?.parse().ok()).ok_or_else(|| {
                let value = value.to_string().chars().take(40).collect();
                let expected = "a number of tokens that a drafter guesses";
                EstimateError::BadArgument { name: "num_speculative_tokens", value, expected }
            })?,
        };
        const READ: [&str; 3] = ["method", "model", "num_speculative_tokens"];
        let known = |name: &str| READ.contains(&name) || WITHOUT_EFFECT.contains(&name);
        let unmodelled = fields.iter().filter(|(name, value)| !known(name) && !value.is_null());
        let unmodelled = unmodelled.map(|(name, _)| format!("--speculative-config.{name}")).collect();
        Ok(Some((Self { method, model, draft: None, unmodelled }, tokens)))
    }

    /// Whether its model's shape is wanted and not there.
    pub fn wants_model(&self) -> bool {
        let has_model = matches!(self.method, DraftMethod::Eagle | DraftMethod::Eagle3 | DraftMethod::Model);
        has_model && self.draft.is_none()
    }
}

/// The method as the engine finds it: as told, else by the model's name.
fn method(told: Option<&str>, model: Option<&str>) -> DraftMethod {
    match told.unwrap_or_default() {
        "ngram" | "[ngram]" | "ngram_gpu" => DraftMethod::Lookup,
        "suffix" => DraftMethod::Suffix,
        "eagle" => DraftMethod::Eagle,
        "eagle3" => DraftMethod::Eagle3,
        "mtp" => DraftMethod::OwnLayers,
        name if name.ends_with("_mtp") => DraftMethod::OwnLayers,
        "" | "draft_model" => match model.unwrap_or_default().to_lowercase() {
            name if matches!(name.as_str(), "ngram" | "[ngram]") => DraftMethod::Lookup,
            name if name.contains("eagle-") => DraftMethod::Eagle,
            name if name.contains("eagle3") => DraftMethod::Eagle3,
            name if name.contains("dflash") || name.contains("dspark") || name.is_empty() => DraftMethod::Other,
            _ => DraftMethod::Model,
        },
        _ => DraftMethod::Other,
    }
}

/// How a family's own further layers take in the model's states and the next token's vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Join {
    /// By a matrix in each layer that stands whole on every rank (`eh_proj`).
    Whole,
    /// By one matrix for all layers that ranks split (`fc`).
    Split,
}

impl Join {
    /// That of a family whose further layers are like its last one, or `None` for others.
    fn of(model: &Architecture) -> Option<Self> {
        match model.family.as_deref()? {
            "deepseek_v3" | "deepseek_v32" | "glm_moe_dsa" | "glm4_moe" | "glm4_moe_lite" | "mimo" => Some(Self::Whole),
            "qwen3_next" | "qwen3_5_text" | "qwen3_5_moe_text" => Some(Self::Split),
            _ => None,
        }
    }
}

/// What a drafter holds on the ranks of the last stage.
#[derive(Debug, Clone)]
pub(crate) enum Draft<'a> {
    /// Layers like the model's.
    OwnLayers { layer: &'a Layer, count: u64, join: Join },
    /// A head over `inputs` values of the model's states per token; the first layer takes in the token's vector too.
    Head { draft: &'a DraftModel, third: bool },
    /// A model.
    Model(&'a Architecture),
}

impl<'a> Draft<'a> {
    /// What the drafter of an engine holds; `None` where it holds nothing or is not modelled (see [`is_modelled`]).
    pub(crate) fn of(model: &'a Architecture, drafter: Option<&'a Drafter>) -> Option<Self> {
        let drafter = drafter?;
        let draft = drafter.draft.as_deref().filter(|draft| {
            // Further formats, states and towers of drafters were never looked at.
            let a = &draft.architecture;
            a.quantization.is_none() && !a.has_recurrence() && a.tower.is_none()
        });
        match drafter.method {
            DraftMethod::OwnLayers => {
                let join = Join::of(model)?;
                // Qwen's classes make one layer where the config does not say (`getattr(…, 1)`).
                let count = if join == Join::Split { model.draft_layers.max(1) } else { model.draft_layers };
                let attends = |layer: &&Layer| match layer.mixer {
                    Mixer::Attention(a) => a.span == Span::Full,
                    Mixer::Latent(_) => true,
                    _ => false,
                };
                // Where layers share an index, one that predicts has its own.
                let indexes = |layer: &&Layer| matches!(layer.mixer, Mixer::Latent(l) if l.indexer.is_some());
                let behind = || model.layers.iter().rev().filter(attends);
                let layer = behind().find(indexes).or_else(|| behind().next())?;
                (count > 0).then_some(Self::OwnLayers { layer, count, join })
            }
            DraftMethod::Eagle => Some(Self::Head { draft: draft?, third: false }),
            DraftMethod::Eagle3 => Some(Self::Head { draft: draft?, third: true }),
            DraftMethod::Model => Some(Self::Model(&draft?.architecture)),
            DraftMethod::Lookup | DraftMethod::Suffix | DraftMethod::Other => None,
        }
    }

    /// Its own model's shape, where it has one.
    pub(crate) fn own_model(&self) -> Option<&'a Architecture> {
        match self {
            Self::OwnLayers { .. } => None,
            Self::Head { draft, .. } => Some(&draft.architecture),
            Self::Model(model) => Some(model),
        }
    }

    /// Its layers, each with how many there are of it.
    pub(crate) fn layers(&self) -> Vec<(&'a Layer, u64)> {
        match self {
            Self::OwnLayers { layer, count, .. } => vec![(layer, *count)],
            Self::Head { .. } | Self::Model(_) => self.own_model().iter().flat_map(|own| own.runs()).collect(),
        }
    }

    /// Values per token of the model's states that are kept for it while a step runs, beside those that a step has anyway.
    pub(crate) fn states(&self) -> u64 {
        match self {
            Self::Head { draft, third: true } => draft.inputs,
            _ => 0,
        }
    }

    /// Values per token alive while the head is compiled for the first time: the model's states, what they are joined to and
    /// its norm, the activation's arguments, and the head's own two states. Seen in an allocation history of EAGLE-3.
    pub(crate) fn tried(&self, hidden: u64) -> u64 {
        let Self::Head { draft, third: true } = self else { return 0 };
        let widest = draft.architecture.layers.iter().filter_map(|layer| match &layer.feed_forward {
            FeedForward::Dense(dense) if dense.gated => Some(3 * dense.width),
            FeedForward::Dense(dense) => Some(2 * dense.width),
            _ => None,
        });
        draft.inputs.saturating_add(4 * hidden).saturating_add(widest.max().unwrap_or(0))
    }

    /// Values per token that its own step joins.
    pub(crate) fn joined(&self, hidden: u64) -> u64 {
        match self {
            Self::Head { draft, third: true } => draft.inputs.saturating_add(2 * hidden),
            _ => 4 * hidden,
        }
    }
}

/// Whether what a drafter holds is known here: nothing, or a [`Draft`].
pub(crate) fn is_modelled(model: &Architecture, drafter: Option<&Drafter>) -> bool {
    let Some(told) = drafter else { return true };
    let holds_nothing = matches!(told.method, DraftMethod::Lookup | DraftMethod::Suffix);
    told.unmodelled.is_empty() && (holds_nothing || Draft::of(model, drafter).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_found_as_the_engine_finds_them() {
        let cases = [
            (Some("ngram"), None, DraftMethod::Lookup),
            (None, Some("[ngram]"), DraftMethod::Lookup),
            (Some("deepseek_mtp"), None, DraftMethod::OwnLayers),
            (None, Some("yuhuili/EAGLE-LLaMA3-Instruct-8B"), DraftMethod::Eagle),
            (None, Some("AngelSlim/Qwen3-8B_eagle3"), DraftMethod::Eagle3),
            (Some("draft_model"), Some("Qwen/Qwen3-0.6B"), DraftMethod::Model),
            (Some("medusa"), Some("a/b"), DraftMethod::Other),
        ];
        for (told, model, expected) in cases {
            assert_eq!(method(told, model), expected, "{told:?} {model:?}");
        }
    }

    #[test]
    fn fields_that_matter_and_are_not_read_are_named() {
        let fields = serde_json::json!({"method": "mtp", "num_speculative_tokens": "2", "quantization": "fp8",
            "prompt_lookup_max": 4});
        let (drafter, tokens) = Drafter::read(fields.as_object().unwrap()).unwrap().unwrap();
        assert_eq!((drafter.method, tokens), (DraftMethod::OwnLayers, 2));
        assert_eq!(drafter.unmodelled, ["--speculative-config.quantization"]);
        let wrong = serde_json::json!({"method": "mtp", "num_speculative_tokens": "many"});
        assert!(Drafter::read(wrong.as_object().unwrap()).is_err());
    }
}
