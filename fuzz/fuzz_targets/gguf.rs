//! Any bytes as a GGUF file: no panic, no memory beyond the input's, and a shape that can be estimated or is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vramscope_estimate::{EngineArgs, Setting, budget, find_device};

fuzz_target!(|bytes: &[u8]| {
    let Ok(gguf) = vramscope_models::read_gguf(bytes) else { return };
    let Ok((model, _notes)) = gguf.architecture() else { return };
    let device = find_device("h200").expect("it is in the table");
    if let Ok(found) = budget(&model, &EngineArgs::default(), Setting::alone(device)) {
        assert!(found.weights.low <= found.weights.value && found.weights.value <= found.weights.high);
    }
});
