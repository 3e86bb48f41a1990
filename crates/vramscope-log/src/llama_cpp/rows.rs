//! The formats of llama.cpp's log, and of its server's. Names of functions before a message change every few months and
//! are no part of a format. All amounts are powers of two, whatever the unit says (`src/llama-*.cpp`, `common/fit.cpp`,
//! `tools/server/`).

use vramscope_core::Milestone;

use crate::rows::{Row, row};

/// What a line does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Does {
    /// It is known, and states nothing.
    Nothing,
    /// It states figures.
    State,
    /// A program begins.
    Begin,
    /// How much is printed.
    Verbosity,
    /// A model is about to be loaded.
    Model,
    /// A trial of what would fit begins or ends.
    Planning(bool),
    /// A trial of the drafting model, which shares the devices, comes next.
    PlanningDraft,
    /// A table of memory begins.
    TableHead,
    /// Whether what is loaded is a trial.
    NoAlloc,
    /// The drafting model comes next.
    Draft,
    /// The device's figure of weights holds the KV cache as well.
    WithKv,
    /// A context begins.
    Context,
    Weights,
    HostWeights,
    DeviceWeights,
    Projector,
    Kv,
    DeviceKv,
    KvTotal,
    Recurrent,
    Compute,
    Scratch,
    Output,
    /// A row of the memory table.
    Table,
    Event(Milestone),
    /// The fit gave up, and loading goes on.
    Refused,
}

pub(crate) const ROWS: &[Row<Does>] = &[
    row("b1400-", "build", "build: {version} ({..}) with", Does::Begin),
    row("b10000-", "build", "build {version} ({..}) with", Does::Begin),
    row("b800-b3000", "build = ", "build = {version} (", Does::Begin),
    row("b1700-b3000", "build info", "build info | tid={..} build={version} commit=", Does::Begin),
    row("b10000-", "verbosity = ", "verbosity = {verbosity} (", Does::Verbosity),
    row("b1100-", "loaded meta data", "loaded meta data with {..} tensors from {model} (version", Does::Model),
    row("-b1100", "loading model from", "loading model from {model}", Does::Model),
    row("b10000-", "loading model '", "loading model '{model}'", Does::Model),
    row("b7500-", "fitting params", "fitting params to device memory", Does::Planning(true)),
    row(
        "b10000-",
        "the extra model",
        "getting device memory data for the extra model at a context size",
        Does::PlanningDraft,
    ),
    row("b7500-", "getting device memory", "getting device memory data for", Does::Planning(true)),
    row("b7500-", "successfully fit", "successfully fit params to free device memory", Does::Planning(false)),
    row("b7500-", "fitting params", "fitting params to free memory took {ignored} seconds", Does::Planning(false)),
    row("b7500-", "failed to fit", "failed to fit params to free device memory", Does::Refused),
    row("b9000-", "no_alloc", "no_alloc = {verbosity}{$}", Does::NoAlloc),
    row("", "draft", "loading draft model", Does::Draft),
    row("b9000-", "draft", "creating MTP draft context", Does::Draft),
    row("-b1500", "cache to GPU", "offloading {v|k} cache to GPU", Does::WithKv),
    row("b1400-", "n_ctx", "n_ctx = {context_tokens}{$}", Does::Context),
    row("b4000-b6700", "n_ctx_per_seq", "n_ctx_per_seq = {max_model_len}{$}", Does::State),
    row("b6700-", "n_ctx_seq", "n_ctx_seq = {max_model_len}{$}", Does::State),
    row("b4000-", "n_seq_max", "n_seq_max = {slots}{$}", Does::State),
    row("b2000-", "n_batch", "n_batch = {batch_tokens}{$}", Does::State),
    row("b2000-", "n_ubatch", "n_ubatch = {micro_batch_tokens}{$}", Does::State),
    row("b6000-", "kv_unified", "kv_unified = {kv_unified}{$}", Does::State),
    row("b3000-", "flash_attn", "flash_attn = {flash_attention}{$}", Does::State),
    row("b1100-", "arch", "arch = {architecture}{$}", Does::State),
    row("b4500-", "file type", "file type = {quantization}", Does::State),
    row("b1100-b4500", "model ftype", "model ftype = {quantization}", Does::State),
    row("b4500-", "file size", "file size = {checkpoint_size} (", Does::State),
    row("b1100-b4500", "model size", "model size = {checkpoint_size} (", Does::State),
    row("b7000-", "model size:", "model size: {projector_weights}", Does::Projector),
    row("", "offloaded", "offloaded {layers_on_device}/{layers} layers to GPU", Does::State),
    row(
        "b4000-",
        "using device",
        "using device {place} ({device_name}) ({device_bus_id}) - {initial_free} free",
        Does::State,
    ),
    row("b4000-", "using device", "using device {place} ({device_name}) ({..}) - {initial_free} free", Does::State),
    row("b4000-b6600", "using device", "using device {place} ({device_name}) - {initial_free} free", Does::State),
    row("b10000-", " free)", "- {place} : {device_name} ({device_total}, {initial_free} free)", Does::State),
    row("b4000-", " model buffer size = ", "{place} model buffer size = {weights}", Does::Weights),
    row("b2000-b4000", " buffer size = ", "{place} buffer size = {weights}", Does::Weights),
    row("-b2000", "mem required", "mem required = {weights}[[ (+ {kv_of_state} per state)]]", Does::HostWeights),
    row("b1700-b2000", "system memory used", "system memory used = {weights}", Does::HostWeights),
    row("-b2000", "VRAM used", "VRAM used: {weights}", Does::DeviceWeights),
    row(
        "-b1700",
        "total VRAM used",
        "total VRAM used: {held_total} (model: {held_weights}, context: {held_context})",
        Does::State,
    ),
    row("b2000-", " KV buffer size = ", "{place} KV buffer size = {kv_pool}", Does::Kv),
    row("b1400-b2000", "VRAM kv self", "VRAM kv self = {kv_pool}", Does::DeviceKv),
    row(
        "-b5700",
        " self size",
        "{KV|kv} self size = {kv_total}[[, K ({kv_cache_dtype}): {kv_keys}, V ({ignored_word}): {kv_values}]]",
        Does::KvTotal,
    ),
    // Where requests have a pool each, the cells are those of one of them: `4/4 seqs` are sequences and pools
    // (`src/llama-kv-cache.cpp`).
    row(
        "b6100-",
        " cells, ",
        "size = {kv_total} ([[ ]]{kv_cells} cells, {..}/{kv_streams} seqs), K ({kv_cache_dtype}): {kv_keys}, V ({ignored_word}): {kv_values}",
        Does::KvTotal,
    ),
    row(
        "b5700-b6100",
        " cells, ",
        "size = {kv_total} ([[ ]]{kv_cells} cells, {..} seqs), K ({kv_cache_dtype}): {kv_keys}, V ({ignored_word}): {kv_values}",
        Does::KvTotal,
    ),
    row("b5700-", " cells, ", "size = {recurrent_total} ([[ ]]{state_slots} cells, {..}), R (", Does::KvTotal),
    row("b5300-", " RS buffer size = ", "{place} RS buffer size = {recurrent_state}", Does::Recurrent),
    row("b2000-", " compute buffer size = ", "{place} compute buffer size = {compute_buffer}", Does::Compute),
    row("b10000-", " compute buffer size is ", "{ignored_word} compute buffer size is {ignored_memory}", Does::Nothing),
    row("-b2000", "compute buffer total size", "compute buffer total size = {compute_buffer}", Does::Compute),
    row("-b2000", "VRAM scratch buffer", "VRAM scratch buffer: {compute_scratch}", Does::Scratch),
    row("b2000-", " output buffer size = ", "{place} output buffer size = {output_buffer}", Does::Output),
    row("", "graph splits", "graph splits = {graph_splits}", Does::State),
    row("b1700-b10000", "n_ctx_slot", "id {..}| new slot n_ctx_slot = {slot_tokens}", Does::State),
    row("b10000-", "new slot, n_ctx", "id {..}| new slot, n_ctx = {slot_tokens}", Does::State),
    row(
        "b9000-",
        "n_ctx_slot",
        "initializing, n_slots = {slots}, n_ctx_slot = {slot_tokens}, kv_unified = '{kv_unified}'",
        Does::State,
    ),
    row("b2000-b9000", "initializing slots", "initializing slots, n_slots = {slots}{$}", Does::State),
    row("b6600-", "memory breakdown [MiB]", "| memory breakdown [MiB]", Does::TableHead),
    row(
        "b6600-",
        " = ",
        "| - {place} ({device_name}) | {device_total=M} = {held_free=M} + ([[ ]]{held_total=M} = {held_weights=M} + {held_context=M} + {held_compute=M}) + {unaccounted=M} |",
        Does::Table,
    ),
    row(
        "b6600-",
        " = ",
        "| - {place} | {held_total=M} = {held_weights=M} + {held_context=M} + {held_compute=M} |",
        Does::Table,
    ),
    row(
        "b7500-",
        "projected to use",
        "projected to use {planned_total} of {device|host} memory vs. {planned_free} of {free device|total host} memory",
        Does::State,
    ),
    row(
        "b7500-",
        "context size reduced",
        "context size reduced from {ignored} to {fitted_max_model_len} ->",
        Does::State,
    ),
    row(
        "b7500-",
        " layers",
        "- {place} ({device_name}): {planned_layers} layers{..}, {planned_on_device} used, {planned_free} free",
        Does::State,
    ),
    row("b6800-", "prompt cache is", "prompt cache is enabled, size limit: {prompt_cache_limit}", Does::State),
    row("b1100-", "loading model tensors", "loading model tensors", Does::Event(Milestone::LoadBegan)),
    row("", "warming up the model", "warming up the model with an empty run", Does::Event(Milestone::Allocated)),
    row("", "listening on", "{server is |}listening on http", Does::Event(Milestone::ServerReady)),
    row("", "model loaded", "model loaded", Does::Event(Milestone::EngineReady)),
    row("b6800-", "cleaning up", "{operator(): |}cleaning up before exit", Does::Event(Milestone::ShutdownBegan)),
    row("", "token to piece cache", "token to piece cache size = {ignored_memory}", Does::Nothing),
    row("-b2500", "ggml ctx size", "ggml ctx size = {ignored_memory}", Does::Nothing),
    row("b6800-", "cache state", "- cache state: ", Does::Nothing),
    row("b6800-", "saving prompt", "- saving prompt with length ", Does::Nothing),
    row("b6800-", "tokens, checkpoints", "- prompt {..} tokens, checkpoints", Does::Nothing),
    row("b7500-", "will leave", "will leave {ignored} >= {ignored_memory}", Does::Nothing),
    row("b7500-", "memory target", "cannot meet free memory target of {ignored_memory}", Does::Nothing),
    row("b7500-", "target=", "id={ignored}, target={ignored_memory}", Does::Nothing),
    row("b7500-", "n_layer=", "id={ignored}, n_layer= ", Does::Nothing),
    row("b7500-", "dense weights", "with only dense weights in device memory there is a total", Does::Nothing),
    row("", "recommendedMaxWorkingSetSize", "recommendedMaxWorkingSetSize = {ignored_memory}", Does::Nothing),
];

#[cfg(test)]
mod tests {
    #[test]
    fn every_row_is_met_by_its_fixture() {
        crate::rows::law::holds(super::ROWS, include_str!("../../tests/it/data/llama-cpp.txt"), |line| {
            crate::llama_cpp::messages(line).into_iter().map(str::to_owned).collect()
        });
    }
}
