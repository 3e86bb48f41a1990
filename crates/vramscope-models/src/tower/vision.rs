//! Vision transformers and what leads from them into the decoder.

use super::{Count, Found, side, wide};
use crate::ConfigError;
use crate::fields::Fields;

/// Blocks of a vision transformer.
struct Blocks {
    width: u64,
    layers: u64,
    inner: u64,
    qkv_bias: bool,
    output_bias: bool,
    /// Three matrices in a feed-forward part, not two.
    gated: bool,
    mlp_bias: bool,
    /// Vectors of the width in a block's norms and scales.
    vectors: u64,
}

impl Blocks {
    fn count(&self) -> Count {
        let Self { width, inner, .. } = *self;
        let mut block = Count::default();
        block.up(width, 3 * width, self.qkv_bias);
        block.down(width, width, self.output_bias);
        (0..if self.gated { 2 } else { 1 }).for_each(|_| block.up(width, inner, self.mlp_bias));
        block.down(inner, width, self.mlp_bias);
        block.whole(wide(self.vectors) * wide(width));
        let mut all = Count::default();
        all.add(block, self.layers);
        all
    }
}

/// The tower that the section describes.
pub(super) fn read(fields: &Fields<'_>, model_type: &str, hidden: u64) -> Result<Found, ConfigError> {
    let own = fields.text(&["model_type"])?.unwrap_or_default();
    let known = |count| Found { count, known: true, heads: None };
    let heads = fields.positive(&["num_heads"])?;
    Ok(match (own, model_type) {
        (_, "qwen2_vl") => Found { heads, ..known(qwen2(fields)?) },
        (_, "qwen2_5_vl") => Found { heads, ..known(qwen25(fields)?) },
        (_, "qwen3_vl" | "qwen3_vl_moe" | "qwen3_5" | "qwen3_5_moe") => Found { heads, ..known(qwen3(fields)?) },
        (_, "llama4") => llama4(fields, hidden)?,
        _ if fields.has("vt_hidden_size") => moonvit(fields, model_type == "kimi_k25")?,
        ("internvl_vision", _) => known(internvl(fields, hidden)?),
        ("gemma4_vision", _) => known(gemma4(fields, hidden)?),
        (own, _) => plain(fields, hidden, own == "siglip_vision_model")?,
    })
}

fn blocks(fields: &Fields<'_>, width: u64, layers: u64, inner: u64) -> Result<Blocks, ConfigError> {
    let bias = fields.flag("attention_bias")?.unwrap_or(true);
    Ok(Blocks { width, layers, inner, qkv_bias: bias, output_bias: true, gated: false, mlp_bias: true, vectors: 4 })
}

/// Pixels of a patch, over frames and channels.
fn patch(fields: &Fields<'_>) -> Result<u128, ConfigError> {
    let side = side(fields, &["patch_size", "spatial_patch_size"])?.unwrap_or(14);
    let frames = fields.positive(&["temporal_patch_size"])?.unwrap_or(1);
    let channels = fields.positive(&["in_channels", "in_chans", "num_channels"])?.unwrap_or(3);
    Ok(wide(side) * wide(side) * wide(frames) * wide(channels))
}

/// Four neighbours become one token of the decoder.
fn merger(count: &mut Count, width: u64, merge: u64, out: u64, norm: u128) {
    let joined = width * merge * merge;
    count.whole(norm);
    count.up(joined, joined, true);
    count.down(joined, out, true);
}

/// `Qwen2VisionTransformer`: its `hidden_size` is the decoder's width.
fn qwen2(fields: &Fields<'_>) -> Result<Count, ConfigError> {
    let (width, layers) = (fields.required(&["embed_dim"])?, fields.required(&["depth"])?);
    let out = fields.required(&["hidden_size"])?;
    let ratio = fields.positive(&["mlp_ratio"])?.unwrap_or(4);
    let mut count = blocks(fields, width, layers, fields.bounded("mlp_ratio", ratio, 1, 64)? * width)?.count();
    count.whole(patch(fields)? * wide(width));
    merger(&mut count, width, merge(fields)?, out, 2 * wide(width));
    Ok(count)
}

/// `Qwen2_5_VisionTransformer`: gated parts, norms without a bias.
fn qwen25(fields: &Fields<'_>) -> Result<Count, ConfigError> {
    let (width, layers) = (fields.required(&["hidden_size"])?, fields.required(&["depth"])?);
    let inner = fields.required(&["intermediate_size"])?;
    let out = fields.required(&["out_hidden_size"])?;
    let mut count = Blocks { gated: true, vectors: 2, ..blocks(fields, width, layers, inner)? }.count();
    count.whole(patch(fields)? * wide(width));
    merger(&mut count, width, merge(fields)?, out, wide(width));
    Ok(count)
}

/// `Qwen3_VisionTransformer`, with a merger for each layer that is handed to the decoder's first layers too.
fn qwen3(fields: &Fields<'_>) -> Result<Count, ConfigError> {
    let (width, layers) = (fields.required(&["hidden_size"])?, fields.required(&["depth"])?);
    let inner = fields.required(&["intermediate_size"])?;
    let out = fields.required(&["out_hidden_size"])?;
    let positions = fields.required(&["num_position_embeddings"])?;
    let merge = merge(fields)?;
    let mut count = blocks(fields, width, layers, inner)?.count();
    count.whole(patch(fields)? * wide(width) + wide(width) + wide(positions) * wide(width));
    merger(&mut count, width, merge, out, 2 * wide(width));
    for _ in 0..deep(fields)? {
        merger(&mut count, width, merge, out, 2 * wide(width * merge * merge));
    }
    Ok(count)
}

/// Layers that are handed to the decoder's first layers.
pub(super) fn deep(fields: &Fields<'_>) -> Result<usize, ConfigError> {
    Ok(fields.list("deepstack_visual_indexes")?.map_or(0, |list| list.len().min(1024)))
}

fn merge(fields: &Fields<'_>) -> Result<u64, ConfigError> {
    let merge = fields.positive(&["spatial_merge_size"])?.unwrap_or(2);
    fields.bounded("spatial_merge_size", merge, 1, 64)
}

/// `Llama4VisionModel` with its pixel shuffle and the projector; a config that leaves it out has the class's own.
pub(super) fn llama4(fields: &Fields<'_>, hidden: u64) -> Result<Found, ConfigError> {
    let number = |name: &str, usual: u64| Ok::<_, ConfigError>(fields.positive(&[name])?.unwrap_or(usual));
    let stated = fields.has("num_hidden_layers") && !fields.has("text_config");
    let number = |name: &str, usual: u64| if stated { number(name, usual) } else { Ok(usual) };
    let (width, layers) = (number("hidden_size", 768)?, number("num_hidden_layers", 34)?);
    let inner = number("intermediate_size", 5632)?;
    let (out, projected) = (number("vision_output_dim", 7680)?, number("projector_input_dim", 4096)?);
    let adapted = number("projector_output_dim", 4096)?;
    let (side, image) = (number("patch_size", 14)?, number("image_size", 448)?);
    let mut count =
        Blocks { width, layers, inner, qkv_bias: true, output_bias: true, gated: false, mlp_bias: true, vectors: 4 }
            .count();
    // Patches without a bias, the class's own embedding, one position a patch and one more, norms before and after.
    let patches = wide(image / side) * wide(image / side) + 1;
    count.split(3 * wide(side) * wide(side) * wide(width));
    count.whole(wide(width) + patches * wide(width) + 4 * wide(width));
    count.up(inner, projected, false);
    count.down(projected, adapted, false);
    count.up(out, hidden, false);
    Ok(Found { count, known: true, heads: Some(number("num_attention_heads", 16)?) })
}

/// `InternVLVisionModel`: scales in each block; the projector works on four neighbours at once.
fn internvl(fields: &Fields<'_>, hidden: u64) -> Result<Count, ConfigError> {
    let (width, layers) = (fields.required(&["hidden_size"])?, fields.required(&["num_hidden_layers"])?);
    let inner = fields.required(&["intermediate_size"])?;
    let usual = blocks(fields, width, layers, inner)?;
    let qkv_bias = fields.flag("attention_bias")?.unwrap_or(false);
    let norms = if fields.flag("use_qk_norm")? == Some(true) { 2 } else { 0 };
    let norm = if fields.text(&["norm_type"])? == Some("rms_norm") { 2 } else { 4 };
    let mut count = Blocks { qkv_bias, vectors: norm + 2 + norms, ..usual }.count();
    let image = side(fields, &["image_size"])?.unwrap_or(448);
    let patches = image / side(fields, &["patch_size"])?.unwrap_or(14);
    count.whole(patch(fields)? * wide(width) + 2 * wide(width));
    if fields.flag("use_absolute_position_embeddings")?.unwrap_or(true) {
        count.whole((wide(patches) * wide(patches) + 1) * wide(width));
    }
    if fields.flag("use_mean_pooling")? == Some(false) {
        count.whole(2 * wide(width));
    }
    let joined = 4 * width;
    count.whole(2 * wide(joined));
    count.up(joined, hidden, true);
    count.down(hidden, hidden, true);
    // The engine's class splits the feed-forward parts alone (`models/interns1_vit.py`, `models/interns1.py`).
    let mut parts = Count::default();
    parts.up(width, inner, true);
    let split = (parts.split + wide(width) * wide(inner)) * u128::from(layers);
    Ok(Count { split, ..count })
}

/// `MoonViT3d` with its projector over neighbours (Kimi K2.5), whose keys begin with `vt_` (`models/kimi_k25_vit.py`); near
/// for its successors.
fn moonvit(fields: &Fields<'_>, known: bool) -> Result<Found, ConfigError> {
    let (width, layers) = (fields.required(&["vt_hidden_size"])?, fields.required(&["vt_num_hidden_layers"])?);
    let inner = fields.required(&["vt_intermediate_size"])?;
    let (rows, columns) = (fields.required(&["init_pos_emb_height"])?, fields.required(&["init_pos_emb_width"])?);
    let out = fields.required(&["text_hidden_size"])?;
    let merge = side(fields, &["merge_kernel_size"])?.unwrap_or(2);
    let mut count = blocks(fields, width, layers, inner)?.count();
    count.whole(patch(fields)? * wide(width) + wide(width) + wide(rows) * wide(columns) * wide(width));
    // The last norm, and the projector's before neighbours are joined.
    count.whole(4 * wide(width));
    let joined = width * fields.bounded("merge_kernel_size", merge, 1, 64)?.pow(2);
    count.whole(wide(joined) * wide(joined) + wide(joined) + wide(joined) * wide(out) + wide(out));
    let heads = if known { fields.positive(&["vt_num_attention_heads"])? } else { None };
    Ok(Found { count, known, heads })
}

/// `Gemma4VisionModel`: gated parts without biases, norms of queries and keys, four norms a block.
fn gemma4(fields: &Fields<'_>, hidden: u64) -> Result<Count, ConfigError> {
    let (width, layers) = (fields.required(&["hidden_size"])?, fields.required(&["num_hidden_layers"])?);
    let inner = fields.required(&["intermediate_size"])?;
    let head = fields.positive(&["head_dim"])?.unwrap_or(64);
    let positions = fields.positive(&["position_embedding_size"])?.unwrap_or(10_240);
    let blocks =
        Blocks { width, layers, inner, qkv_bias: false, output_bias: false, gated: true, mlp_bias: false, vectors: 4 };
    let mut count = blocks.count();
    count.whole(2 * wide(head) * wide(layers));
    // A table for either axis.
    count.whole(patch(fields)? * wide(width) + 2 * wide(positions) * wide(width));
    count.whole(wide(width) * wide(hidden));
    // The engine takes transformers' own class, which it does not split.
    Ok(Count { split: 0, ..count })
}

/// SigLIP with the projector of Gemma 3; near for other vision transformers.
fn plain(fields: &Fields<'_>, hidden: u64, siglip: bool) -> Result<Found, ConfigError> {
    let width = fields.positive(&["hidden_size", "embed_dim", "vt_hidden_size"]).ok().flatten();
    let layers = fields.positive(&["num_hidden_layers", "depth", "vt_num_hidden_layers"]).ok().flatten();
    let (Some(width), Some(layers)) = (width, layers) else {
        return Ok(Found { count: Count::default(), known: false, heads: None });
    };
    let inner = fields.positive(&["intermediate_size", "vt_intermediate_size"])?.unwrap_or(4 * width);
    let mut count = blocks(fields, width, layers, inner)?.count();
    let grid = side(fields, &["image_size"])?.unwrap_or(0) / side(fields, &["patch_size"])?.unwrap_or(14);
    count.whole(patch(fields)? * wide(width) + wide(width) + wide(grid) * wide(grid) * wide(width));
    count.whole(2 * wide(width) + wide(width) * wide(hidden) + wide(width));
    // Of other kinds it is not known whether ranks split them.
    let heads = if siglip { fields.positive(&["num_attention_heads"])? } else { None };
    Ok(Found { count, known: siglip, heads })
}
