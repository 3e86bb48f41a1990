//! Model architectures, read from what a model's repository holds.
//!
//! ```
//! let json = br#"{"model_type": "qwen3", "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28,
//!     "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936,
//!     "tie_word_embeddings": true, "max_position_embeddings": 40960, "torch_dtype": "bfloat16"}"#;
//! let (model, _notes) = vramscope_models::read_config(json).unwrap();
//! assert!(model.tied_head);
//! ```

mod checkpoint;
mod compressed;
mod config;
mod database;
mod defaults;
mod draft;
mod error;
mod family;
mod feed_forward;
mod fields;
mod gguf;
mod layers;
mod lengths;
mod mixers;
mod overrides;
mod quantization;
mod rotary;
mod safetensors;
mod saved;
mod stored;
mod tower;
mod unread;

pub use checkpoint::{HeaderError, StoredTensor, TensorTable};
pub use config::{MOST_CONFIG_BYTES, QUANTIZATION_FILE, read_config, with_overrides, with_quantization};
pub use database::{KnownModel, UnknownModel, find_model, known_models};
pub use draft::read_draft_config;
pub use error::{ConfigError, JsonError, Note};
pub use gguf::{Gguf, MOST_PACKED_JSON_BYTES, SavedHeaderError, packed_json, read_gguf, read_packed_json};
pub use overrides::Overrides;
pub use safetensors::{read_safetensors, read_safetensors_index};

/// The example of the README, which is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
