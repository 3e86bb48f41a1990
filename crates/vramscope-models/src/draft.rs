//! Reads the config of a drafter: a small model, or a head of the EAGLE kinds.
//!
//! Keys follow vLLM 0.33, `model_executor/models/llama_eagle3.py` and `transformers_utils/configs/speculators`.

use serde_json::{Map, Value};
use vramscope_core::DraftModel;

use crate::config::{parse, read_root};
use crate::defaults::Defaults;
use crate::fields::Fields;
use crate::{ConfigError, Note};

/// Keys of heads that this reader takes, or that shape nothing; the rest of the config is that of a decoder.
const HEAD_KEYS: [&str; 16] = [
    "draft_vocab_size",
    "target_hidden_size",
    "num_aux_hidden_states",
    "eagle_config",
    "norm_before_residual",
    "norm_before_fc",
    "norm_output",
    "fc_norm",
    "parallel_drafting",
    "eagle_aux_hidden_state_layer_ids",
    "speculators_model_type",
    "speculators_config",
    "speculators_version",
    "embed_requires_grad",
    "has_no_defaults_at_init",
    "transformer_layer_config",
];

/// States of the model that a head of the third kind takes in, where its config does not say.
const USUAL_STATES: u64 = 3;

/// Reads a drafter's `config.json`: of a model of its own, of an EAGLE head, or of one in the form of the speculators
/// library, which keeps the decoder's keys in a section.
///
/// ```
/// let json = br#"{"model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 1,
///     "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256, "draft_vocab_size": 32000}"#;
/// let (draft, _) = vramscope_models::read_draft_config(json).unwrap();
/// assert_eq!((draft.draft_vocab_size, draft.inputs), (Some(32_000), 3 * 4096));
/// assert!(draft.architecture.unread.is_empty());
/// ```
///
/// # Errors
/// As [`read_config`](crate::read_config).
pub fn read_draft_config(json: &[u8]) -> Result<(DraftModel, Vec<Note>), ConfigError> {
    let root = parse(json)?;
    let head: Map<String, Value> =
        root.iter().filter(|(key, _)| HEAD_KEYS.contains(&key.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect();
    let mut decoder = match root.get("transformer_layer_config").and_then(Value::as_object) {
        Some(section) => section.clone(),
        None => root,
    };
    decoder.retain(|key, _| !head.contains_key(key));
    let fields = Fields::new(&head, None, "", Defaults::NONE);
    let draft_vocab_size = fields.positive(&["draft_vocab_size"])?;
    let inner = head.get("eagle_config").and_then(Value::as_object);
    let listed = [Some(&head), inner].into_iter().flatten().find_map(|section| {
        let list = section.get("eagle_aux_hidden_state_layer_ids")?.as_array()?;
        (!list.is_empty()).then_some(list.len() as u64)
    });
    let states = fields.positive(&["num_aux_hidden_states"])?.or(listed).unwrap_or(USUAL_STATES);
    let target = fields.positive(&["target_hidden_size"])?;
    let (architecture, notes) = read_root(&decoder)?;
    let inputs = states.saturating_mul(target.unwrap_or(architecture.hidden_size));
    Ok((DraftModel { architecture, draft_vocab_size, inputs }, notes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_of_the_speculators_library_keeps_its_decoder_in_a_section() {
        let json = br#"{"speculators_model_type": "eagle3", "draft_vocab_size": 64, "norm_before_residual": true,
            "eagle_aux_hidden_state_layer_ids": [2, 4], "target_hidden_size": 96,
            "transformer_layer_config": {"model_type": "llama", "hidden_size": 64, "intermediate_size": 64,
            "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 128}}"#;
        let (draft, _) = read_draft_config(json).unwrap();
        assert_eq!((draft.draft_vocab_size, draft.inputs), (Some(64), 2 * 96));
        assert_eq!((draft.architecture.hidden_size, draft.architecture.unread.len()), (64, 0));
    }
}
