//! The engine's version, configuration, platform and backends.

use vramscope_core::{Generation, Milestone};

use super::{Effect, Row, row};

pub(super) const ROWS: &[Row] = &[
    row("0.7.1-", "LLM engine ", "Initializing a V1 LLM engine (v{version}) with config: ")
        .does(Effect::Config)
        .says(Generation::V1),
    row("0.7.1-0.10.2", "LLM engine ", "Initializing a V0 LLM engine (v{version}) with config: ")
        .does(Effect::Config)
        .says(Generation::V0),
    row("0.4.0-0.7.0", "LLM engine ", "Initializing an LLM engine (v{version}) with config: ").does(Effect::Config),
    row("-0.3.3", "LLM engine ", "Initializing an LLM engine with config: ").does(Effect::Config).says(Generation::V0),
    row("0.9.0-", "LLM engine ", "Dumping input data for V1 LLM engine (v{version}) with config: ")
        .does(Effect::ConfigAgain)
        .says(Generation::V1),
    row("0.4.0-0.14", " version ", "vLLM API server version {version}").does(Effect::Begin),
    row("0.4.0-", " version ", "vLLM batch processing API version {version}").does(Effect::Begin),
    row("0.15.0-", " version ", "vLLM server version {version}, serving model {model}").does(Effect::Begin),
    row("0.15.0-", " version ", "{..}█ version {version}").does(Effect::Begin),
    row("0.15.0-", "█  model", "{..}█ model {model}"),
    row("0.9.0-", "args: ", "non-default args: ").does(Effect::Args),
    row("-0.8.5", "args: ", "args: Namespace(").does(Effect::Namespace),
    row("0.7.0-", "d platform", "Automatically detected platform {platform}."),
    row("0.9.0-", " architecture", "Resolved architecture: {architecture}"),
    row("0.9.2-", " len ", "Using max model len {max_model_len}"),
    row("0.5.3.post1-", "max_num_", "Chunked prefill is enabled with max_num_batched_tokens={max_num_batched_tokens}."),
    row("0.25.0-", "max_num_", "Defaulting max_num_batched_tokens to {max_num_batched_tokens} for"),
    row("0.25.0-", "max_num_", "Defaulting max_num_seqs to {max_num_seqs} for"),
    row("0.10.0-", "data_parallel", "Defaulting api_server_count to data_parallel_size ({data_parallel_size})."),
    row("0.12.0-", "el Runner", "Using V{model_runner} Model Runner"),
    row(
        "0.8.0-",
        "world size",
        "rank {rank} in world size {world_size} is assigned as DP rank {dp_rank}, PP rank {pp_rank}, [[PCP rank {ignored}, ]]TP rank {tp_rank}",
    )
    .does(Effect::Rank),
    // Attention.
    row("0.12.0-", " backend", "Using {attention_backend} attention backend out of potential backends"),
    row("0.7.0-0.13", " backend", "Using {attention_backend} backend on V1 engine.").says(Generation::V1),
    row("0.13.0-", " backend", "Using AttentionBackendEnum.{attention_backend} backend."),
    row("0.19.0-", " backend", "Using {attention_backend} backend out of potential backends").does(Effect::Backend),
    row("0.4.0-0.17.1", " backend", "Using {attention_backend} backend.").does(Effect::Backend),
    // The server.
    row("0.4.0-", "p complete", "[[INFO: ]]Application startup complete.").event(Milestone::ServerReady),
    row("0.7.0-", "trigger", "[shutdown] API server: shutdown triggered").event(Milestone::ShutdownBegan),
    row("0.7.0-", "trigger", "[shutdown] EngineCore: trigger received").event(Milestone::ShutdownBegan),
    row("0.4.0-", "Shutting down", "INFO: Shutting down").event(Milestone::ShutdownBegan),
];
