//! Vision towers: counted from their own section where it has the fields of a vision transformer.

use serde_json::{Map, Value};
use vramscope_core::Tower;

use crate::ConfigError;
use crate::fields::Fields;

/// The tower of a multimodal model with its projector; `None` for a language model.
///
/// The count follows SigLIP with the projector of Gemma 3, and is near for other vision transformers.
pub(crate) fn read(fields: &Fields<'_>, root: &Map<String, Value>, hidden: u64) -> Result<Option<Tower>, ConfigError> {
    if let Some(parameters) = fields.number(&["tower_parameters"])? {
        return Ok(Some(Tower { parameters, counted: true }));
    }
    let Some(section) = root.get("vision_config").and_then(Value::as_object) else { return Ok(None) };
    let siglip = section.get("model_type").and_then(Value::as_str) == Some("siglip_vision_model");
    let vision = Fields::new(section, None, "vision_config.", &[]);
    let number = |names: &[&str]| vision.positive(names);
    let (Some(width), Some(layers)) =
        (number(&["hidden_size", "embed_dim"])?, number(&["num_hidden_layers", "depth"])?)
    else {
        return Ok(Some(Tower { parameters: 0, counted: false }));
    };
    let inner = number(&["intermediate_size"])?.unwrap_or(4 * width);
    let patch = number(&["patch_size", "spatial_patch_size"])?.unwrap_or(14);
    let image = number(&["image_size"])?.unwrap_or(0);
    let wide = |n: u64| u128::from(n);
    let layer = 4 * wide(width) * wide(width) + 9 * wide(width) + 2 * wide(width) * wide(inner) + wide(inner);
    let patches = 3 * wide(patch) * wide(patch) * wide(width) + wide(width);
    let positions = wide(image / patch) * wide(image / patch) * wide(width);
    let projector = wide(width) * wide(hidden) + wide(width);
    let sum = wide(layers) * layer + patches + positions + 2 * wide(width) + projector;
    let parameters = u64::try_from(sum).map_err(|_| ConfigError::OutOfRange {
        field: "vision_config.hidden_size".to_owned(),
        value: width,
        least: 1,
        most: 1 << 20,
    })?;
    Ok(Some(Tower { parameters, counted: siglip }))
}
