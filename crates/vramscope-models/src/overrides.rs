//! A shape given by hand: on top of a config, or instead of one.

use serde_json::{Map, Value, json};
use vramscope_core::Architecture;

use crate::config::{parse, read_root, read_shape, text_section};
use crate::fields::MOST;
use crate::{ConfigError, KnownModel, Note};

/// The vocabulary where none is given: that of Llama 2.
const USUAL_VOCABULARY: u64 = 32_000;

/// Fields given by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Overrides {
    /// Parameters of the whole model. Without a config they decide the width of the feed-forward parts.
    pub parameters: Option<u64>,
    /// Layers.
    pub layers: Option<u64>,
    /// Query heads.
    pub heads: Option<u64>,
    /// Key and value heads.
    pub kv_heads: Option<u64>,
    /// Width of a head.
    pub head_dim: Option<u64>,
    /// Width of the residual stream.
    pub hidden_size: Option<u64>,
    /// Width of the feed-forward parts.
    pub intermediate_size: Option<u64>,
    /// Tokens of the vocabulary.
    pub vocab_size: Option<u64>,
    /// The longest sequence.
    pub max_positions: Option<u64>,
}

impl Overrides {
    /// Reads a config with these fields in place of its own.
    ///
    /// # Errors
    /// As [`crate::read_config`].
    pub fn on_config(&self, json: &[u8]) -> Result<(Architecture, Vec<Note>), ConfigError> {
        read_root(&self.in_place(parse(json)?))
    }

    /// A known model with these fields in place of its own.
    ///
    /// # Errors
    /// As [`crate::read_config`].
    pub fn on_known(&self, model: &KnownModel) -> Result<(Architecture, Vec<Note>), ConfigError> {
        read_shape(&self.in_place(model.config().clone()))
    }

    /// A dense decoder of this shape, by the general rules. Layers, heads and hidden size must be given.
    ///
    /// ```
    /// use vramscope_models::Overrides;
    /// let shape = Overrides {
    ///     parameters: Some(6_738_415_616),
    ///     layers: Some(32),
    ///     heads: Some(32),
    ///     hidden_size: Some(4096),
    ///     ..Overrides::default()
    /// };
    /// let (model, notes) = shape.alone().unwrap();
    /// assert!(!model.known_family && !notes.is_empty());
    /// ```
    ///
    /// # Errors
    /// [`ConfigError::Missing`] for what must be given, and as [`crate::read_config`].
    pub fn alone(&self) -> Result<(Architecture, Vec<Note>), ConfigError> {
        let need =
            |value: Option<u64>, name: &str| value.ok_or_else(|| ConfigError::Missing { field: name.to_owned() });
        self.check()?;
        let hidden = need(self.hidden_size, "hidden_size")?;
        let (layers, heads) = (need(self.layers, "num_hidden_layers")?, need(self.heads, "num_attention_heads")?);
        let vocabulary = self.vocab_size.unwrap_or(USUAL_VOCABULARY);
        let width = match self.intermediate_size {
            Some(width) => width,
            None => self.derived_width(hidden, layers, heads, vocabulary)?,
        };
        let root = json!({"intermediate_size": width, "vocab_size": vocabulary});
        let (model, mut notes) = read_shape(&self.in_place(root.as_object().cloned().unwrap_or_default()))?;
        if self.intermediate_size.is_none() {
            notes.push(Note {
                field: "intermediate_size".into(),
                text: format!("{width}, so that the parameters add up"),
            });
        }
        if self.vocab_size.is_none() {
            notes.push(Note { field: "vocab_size".into(), text: format!("{vocabulary} taken as usual") });
        }
        Ok((model, notes))
    }

    /// Bounds what is computed with before a config is read.
    fn check(&self) -> Result<(), ConfigError> {
        let given = [
            ("num_hidden_layers", self.layers),
            ("num_attention_heads", self.heads),
            ("num_key_value_heads", self.kv_heads),
            ("head_dim", self.head_dim),
            ("hidden_size", self.hidden_size),
            ("vocab_size", self.vocab_size),
        ];
        for (field, value) in given {
            if let Some(value) = value.filter(|value| !(1..=MOST).contains(value)) {
                return Err(ConfigError::OutOfRange { field: field.to_owned(), value, least: 1, most: MOST });
            }
        }
        Ok(())
    }

    /// The feed-forward width that makes the parameters add up; two and two thirds of the hidden size without a count.
    fn derived_width(&self, hidden: u64, layers: u64, heads: u64, vocabulary: u64) -> Result<u64, ConfigError> {
        let Some(parameters) = self.parameters else { return Ok((8 * hidden / 3).next_multiple_of(256)) };
        let wide = |n: u64| u128::from(n);
        let head_dim = self.head_dim.unwrap_or(hidden / heads.max(1));
        let kv_heads = self.kv_heads.unwrap_or(heads);
        let attention = 2 * wide(hidden) * wide(head_dim) * (wide(heads) + wide(kv_heads));
        let fixed = 2 * wide(vocabulary) * wide(hidden) + wide(layers) * (attention + 2 * wide(hidden));
        let left = wide(parameters).checked_sub(fixed);
        let width = left.map(|left| left / (3 * wide(hidden) * wide(layers)).max(1)).filter(|width| *width > 0);
        width.and_then(|width| u64::try_from(width).ok()).ok_or_else(|| ConfigError::Contradiction {
            field: "--model-params".into(),
            other: "num_hidden_layers".into(),
            reason: format!("{parameters} parameters are too few for {layers} layers of width {hidden}"),
        })
    }

    /// The object with these fields in place of its own.
    fn in_place(&self, mut root: Map<String, Value>) -> Map<String, Value> {
        let section = text_section(&root).map(|(name, _)| name);
        let target = match section.and_then(|name| root.get_mut(name)) {
            Some(Value::Object(section)) => section,
            _ => &mut root,
        };
        let fields = [
            ("num_hidden_layers", self.layers),
            ("num_attention_heads", self.heads),
            ("num_key_value_heads", self.kv_heads),
            ("head_dim", self.head_dim),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("vocab_size", self.vocab_size),
            ("max_position_embeddings", self.max_positions),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                target.insert(name.to_owned(), value.into());
            }
        }
        if self.layers.is_some() {
            // Lists with an entry a layer would contradict another number of layers.
            for name in ["layer_types", "layers_block_type", "hybrid_override_pattern"] {
                target.remove(name);
            }
        }
        root
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_numbers_are_refused_before_anything_is_computed_with_them() {
        for absurd in [0, u64::MAX] {
            let shape = Overrides {
                parameters: Some(u64::MAX),
                layers: Some(32),
                heads: Some(32),
                hidden_size: Some(absurd),
                ..Overrides::default()
            };
            assert!(matches!(shape.alone(), Err(ConfigError::OutOfRange { .. })), "{absurd}");
        }
    }
}
