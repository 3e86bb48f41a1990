//! Models for unit tests.

use vramscope_core::Architecture;

/// Llama 3.1 8B.
pub(crate) fn llama_8b() -> Architecture {
    let config = br#"{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096,
        "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
        "vocab_size": 128256, "max_position_embeddings": 131072, "torch_dtype": "bfloat16"}"#;
    vramscope_models::read_config(config).unwrap().0
}
