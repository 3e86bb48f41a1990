//! Any bytes as a safetensors file, and as the index of a checkpoint in several: no panic, no memory beyond the input's.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vramscope_models::{read_safetensors, read_safetensors_index};

fuzz_target!(|bytes: &[u8]| {
    // A file may claim any size; the reader is told the true one, or one with room for data.
    for size in [bytes.len() as u64, bytes.len() as u64 + (1 << 20), u64::MAX] {
        let Ok(table) = read_safetensors(bytes, size) else { continue };
        for tensor in &table.tensors {
            assert!(tensor.bytes <= size);
            assert!(tensor.elements().is_some());
        }
        let (all, loaded) = (table.bytes(), table.loaded_bytes(true, 1));
        assert!(loaded.is_none_or(|loaded| all.is_none_or(|all| loaded <= all)));
        let _ = table.by_kind();
    }
    if let Ok(files) = read_safetensors_index(bytes) {
        assert!(files.iter().all(|name| !name.contains('/') && name != ".."));
    }
});
