//! From TGI's figures to facts.

use vramscope_core::{EngineFacts, Fact};

use crate::engine::Engine;
use crate::key::Key;
use crate::note::ParseNote;
use crate::others::fact;

/// All facts of an engine but its failures.
pub(crate) fn facts(engine: &Engine) -> EngineFacts {
    let mut facts = EngineFacts::default();
    facts.engine = engine.kind;
    facts.model = fact::text(engine, Key::Model);
    facts.attention_backend = fact::text(engine, Key::AttentionBackend);
    facts.max_model_len = fact::last_count(engine, Key::MaxModelLen);
    facts.max_num_batched_tokens = fact::last_count(engine, Key::PrefillTokens);
    facts.block_size = fact::first_count(engine, Key::BlockSize);
    facts.gpu_blocks = fact::first_count(engine, Key::GpuBlocks).into_iter().collect();
    let of_blocks = || {
        let (blocks, size) = (facts.gpu_blocks.first()?, facts.block_size.as_ref()?);
        Some(Fact { value: blocks.value.checked_mul(size.value)?, ..blocks.clone() })
    };
    facts.kv_tokens = fact::first_count(engine, Key::KvTokens).or_else(of_blocks).into_iter().collect();
    facts.events = fact::events(engine);
    facts
}

/// What no verbosity prints.
pub(crate) fn notes(engine: &Engine) -> Vec<ParseNote> {
    let text = "TGI prints tokens and blocks of its cache, and no byte of memory: sizes can be computed from the model, or \
                measured on the device";
    vec![ParseNote::new(engine.first_line, text)]
}
