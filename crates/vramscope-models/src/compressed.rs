//! Attention over compressed tokens, as DeepSeek-V4's config describes it.

use serde_json::Value;
use vramscope_core::{CompressedAttention, Compressor, Indexer};

use crate::ConfigError;
use crate::fields::Fields;

/// Tokens of a run whose vectors are selected by an index.
const SELECTED: u64 = 4;
/// Tokens of a run whose vectors are all seen.
const ALL_SEEN: u64 = 128;

/// What all layers have alike, and how each of them compresses.
pub(crate) struct Compressed {
    attention: CompressedAttention,
    compressors: Vec<Option<Compressor>>,
}

impl Compressed {
    /// Reads the keys; `None` for models of other kinds.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Option<Self>, ConfigError> {
        if fields.text(&["model_type"])? != Some("deepseek_v4") {
            return Ok(None);
        }
        let indexer =
            Indexer { heads: fields.required(&["index_n_heads"])?, head_dim: fields.required(&["index_head_dim"])? };
        let heads = fields.required(&["num_attention_heads"])?;
        let output_groups = fields.required(&["o_groups"])?;
        if !heads.is_multiple_of(output_groups) {
            let reason = format!("{heads} heads cannot be split into {output_groups} groups evenly");
            return Err(fields.contradiction("o_groups", "num_attention_heads", reason));
        }
        // All heads share the one vector.
        let kv_heads = fields.positive(&["num_key_value_heads"])?.unwrap_or(1);
        fields.bounded("num_key_value_heads", kv_heads, 1, 1)?;
        let head_dim = fields.required(&["head_dim"])?;
        let rope_dim = fields.required(&["qk_rope_head_dim"])?;
        let attention = CompressedAttention {
            heads,
            head_dim,
            rope_dim: fields.bounded("qk_rope_head_dim", rope_dim, 1, head_dim)?,
            query_rank: fields.required(&["q_lora_rank"])?,
            output_groups,
            output_rank: fields.required(&["o_lora_rank"])?,
            window: fields.required(&["sliding_window"])?,
            compressor: None,
        };
        Ok(Some(Self { attention, compressors: compressors(fields, indexer)? }))
    }

    /// The attention of a layer.
    pub(crate) fn of(&self, fields: &Fields<'_>, place: usize) -> Result<CompressedAttention, ConfigError> {
        let compressor = self.compressors.get(place).copied().ok_or_else(|| {
            let reason = format!("{} entries, and a layer {place}", self.compressors.len());
            fields.contradiction(RATIOS, "num_hidden_layers", reason)
        })?;
        Ok(CompressedAttention { compressor, ..self.attention })
    }
}

/// How many tokens each layer makes one of. The list goes on for the layers that predict further tokens.
const RATIOS: &str = "compress_ratios";

fn compressors(fields: &Fields<'_>, indexer: Indexer) -> Result<Vec<Option<Compressor>>, ConfigError> {
    let list = fields.list(RATIOS)?.ok_or_else(|| fields.missing(&[RATIOS]))?;
    let compressor = |ratio: &Value| match ratio.as_u64() {
        Some(0) => Ok(None),
        Some(SELECTED) => Ok(Some(Compressor { tokens: SELECTED, indexer: Some(indexer) })),
        Some(ALL_SEEN) => Ok(Some(Compressor { tokens: ALL_SEEN, indexer: None })),
        _ => Err(fields.wrong(RATIOS, "0, 4 or 128, the only ones that implementations have", ratio)),
    };
    list.iter().map(compressor).collect()
}

#[cfg(test)]
mod tests {
    use vramscope_core::Mixer;

    use crate::read_config;

    fn config(ratios: &str) -> String {
        format!(
            r#"{{"model_type": "deepseek_v4", "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
            "head_dim": 32, "qk_rope_head_dim": 16, "q_lora_rank": 16, "o_groups": 2, "o_lora_rank": 8, "hc_mult": 4,
            "index_n_heads": 2, "index_head_dim": 16, "sliding_window": 8, "moe_intermediate_size": 16,
            "n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1, "num_hash_layers": 1,
            "topk_method": "noaux_tc", "vocab_size": 64, "compress_ratios": {ratios}}}"#
        )
    }

    #[test]
    fn each_layer_compresses_as_the_list_says() {
        let (model, _) = read_config(config("[0, 4, 128, 4]").as_bytes()).unwrap();
        let compressors = model.layers.iter().map(|layer| match layer.mixer {
            Mixer::Compressed(own) => own.compressor.map(|own| (own.tokens, own.runs())),
            other => panic!("{other:?}"),
        });
        assert_eq!(compressors.collect::<Vec<_>>(), [None, Some((4, 2)), Some((128, 1))]);
        assert_eq!(model.unread, [""; 0]);
    }

    #[test]
    fn ratios_without_an_implementation_and_lists_too_short_are_refused() {
        for (ratios, field) in
            [("[0, 4, 8]", "compress_ratios"), ("[0, 4]", "compress_ratios"), ("null", "compress_ratios")]
        {
            let refused = read_config(config(ratios).as_bytes()).unwrap_err().to_string();
            assert!(refused.contains(field), "{refused}");
        }
    }
}
