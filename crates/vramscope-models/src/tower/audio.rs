//! Audio encoders and what leads from them into the decoder.

use super::{Count, Found, wide};
use crate::ConfigError;
use crate::fields::Fields;

/// The encoder that the section describes: Whisper's, with the projector of the model; near for others.
pub(super) fn read(fields: &Fields<'_>, model_type: &str, hidden: u64) -> Result<Found, ConfigError> {
    let width = fields.positive(&["d_model", "hidden_size"])?;
    let layers = fields.positive(&["encoder_layers", "num_hidden_layers"])?;
    let (Some(width), Some(layers)) = (width, layers) else {
        return Ok(Found { count: Count::default(), known: false, heads: None });
    };
    let inner = fields.positive(&["encoder_ffn_dim", "intermediate_size"])?.unwrap_or(4 * width);
    let bands = fields.positive(&["num_mel_bins"])?.unwrap_or(128);
    let positions = fields.positive(&["max_source_positions"])?.unwrap_or(1500);
    let mut layer = Count::default();
    // Keys have no bias.
    layer.split(3 * wide(width) * wide(width) + 2 * wide(width));
    layer.down(width, width, true);
    layer.up(width, inner, true);
    layer.down(inner, width, true);
    layer.whole(4 * wide(width));
    let mut count = Count::default();
    count.add(layer, layers);
    // Two convolutions of width 3, one position a frame, the last norm.
    count.whole(3 * wide(bands) * wide(width) + wide(width) + 3 * wide(width) * wide(width) + wide(width));
    count.whole(wide(positions) * wide(width) + 2 * wide(width));
    let known = match model_type {
        "voxtral" => {
            // Four frames become one token.
            count.up(inner, hidden, false);
            count.down(hidden, hidden, false);
            true
        }
        "qwen2_audio" | "audioflamingo3" => {
            // The engine takes transformers' own class, which it does not split.
            count.whole(wide(width) * wide(hidden) + wide(hidden));
            return Ok(Found { count: Count { split: 0, ..count }, known: model_type == "qwen2_audio", heads: None });
        }
        _ => {
            count.whole(wide(width) * wide(hidden));
            false
        }
    };
    let heads = fields.positive(&["encoder_attention_heads", "num_attention_heads"])?;
    Ok(Found { count, known, heads })
}
