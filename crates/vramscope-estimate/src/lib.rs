//! What an engine will need, by formula: values in, values out. No device, no log and no file is touched.
//!
//! ```
//! use vramscope_estimate::{EngineArgs, kv_plan, parameter_count, weights_per_rank};
//!
//! let config = br#"{"model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
//!     "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 131072,
//!     "torch_dtype": "bfloat16"}"#;
//! let (model, _notes) = vramscope_models::read_config(config).unwrap();
//! let args = EngineArgs::default();
//! assert_eq!(parameter_count(&model).unwrap().total, 8_030_261_248);
//! assert_eq!(kv_plan(&model, &args).unwrap().bytes_per_block, 2_097_152);
//! assert!(weights_per_rank(&model, &args).unwrap().stages[0].bytes.value > 16_060_522_496);
//! ```

mod allocator;
mod calibration;
mod device;
mod devices;
pub mod document;
mod error;
mod figure;
mod llama_cpp;
mod ollama;
mod search;
mod sglang;
mod shape;
#[cfg(test)]
mod tests_support;
mod vllm;
mod weights;

pub use calibration::{Calibration, CalibrationError, Constant};
pub use device::GpuModel;
pub use devices::{DeviceError, device_named, devices, find_device};
pub use error::EstimateError;
pub use figure::Figure;
pub use llama_cpp::answers::{
    LlamaCppAnswer, LlamaCppAnswers, LlamaCppQuestion, LlamaCppWay, llama_cpp_answers, llama_cpp_answers_in_short,
};
#[cfg(feature = "json-schema")]
pub use llama_cpp::answers_document::llama_cpp_fit_json_schema;
pub use llama_cpp::answers_document::{
    LlamaCppAnswerRow, LlamaCppAsked, LlamaCppDeviceRow, LlamaCppFitDocument, LlamaCppFitSubject, LlamaCppPlaced,
    LlamaCppShareRow,
};
pub use llama_cpp::args::{LlamaCppArgs, LlamaCppKept, LlamaCppOverflow};
pub use llama_cpp::budget::{LlamaCppBudget, LlamaCppPart, LlamaCppSetting, llama_cpp_budget};
pub use llama_cpp::command::llama_cpp_command;
#[cfg(feature = "json-schema")]
pub use llama_cpp::document::llama_cpp_json_schema;
pub use llama_cpp::document::{LlamaCppDocument, LlamaCppPartRow, LlamaCppSettings, LlamaCppStarter, LlamaCppSubject};
pub use llama_cpp::error::LlamaCppError;
pub use llama_cpp::fit::{llama_cpp_fitted, llama_cpp_most_layers};
pub use llama_cpp::grammar::{LLAMA_CPP_LINE, LlamaCppLine, is_llama_cpp_command};
pub use llama_cpp::place::LlamaCppBackend;
pub use llama_cpp::split::LlamaCppShare;
pub use ollama::answers::{ollama_answers, ollama_command};
pub use ollama::args::OllamaArgs;
pub use ollama::release::{OllamaVersion, OllamaVersionError};
pub use ollama::start::{OllamaError, OllamaStart, ollama_start};
pub use sglang::answers::{
    SgLangAnswer, SgLangAnswers, SgLangQuestion, SgLangWay, sglang_answers, sglang_answers_in_short,
};
#[cfg(feature = "json-schema")]
pub use sglang::answers_document::sglang_fit_json_schema;
pub use sglang::answers_document::{
    SgLangAnswerRow, SgLangAsked, SgLangDeviceRow, SgLangFitDocument, SgLangFitSubject, SgLangPlaced,
};
pub use sglang::args::SgLangArgs;
pub use sglang::budget::{SgLangBudget, SgLangFailure, SgLangSetting, sglang_budget};
pub use sglang::cell::{SgLangCell, sglang_cell};
pub use sglang::command::sglang_command;
#[cfg(feature = "json-schema")]
pub use sglang::document::sglang_json_schema;
pub use sglang::document::{SgLangDocument, SgLangSettings};
pub use sglang::error::SgLangError;
pub use sglang::grammar::{SGLANG_LINE, SgLangLine, is_sglang_command};
pub use sglang::lack::SgLangLack;
pub use sglang::length::SGLANG_ALLOWS_LONG;
pub use sglang::pool::{SgLangFree, SgLangPool, sglang_pool};
pub use sglang::release::{SgLangChecked, SgLangVersion};
pub use sglang::share::{SgLangShare, SgLangSizes};
pub use vllm::activations::Runner;
pub use vllm::budget::{Budget, Setting, Verdict, WorkloadUse, budget, budget_of_loaded};
pub use vllm::drafts::{DraftMethod, Drafter};
pub use vllm::fit::{
    Change, DeviceFit, Placement, Wish, changes, fewest_gpus, longest_model_len, lowest_utilization, on_every_device,
    serve_command,
};
pub use vllm::grammar::{COMMAND_LINE, is_command, with_config_file};
pub use vllm::graph_args::{GraphArgs, GraphMode};
pub use vllm::input::{EngineArgs, EngineVersion, Lora, PerformanceMode, Usage};
pub use vllm::kv::{CacheKind, KvGroup, KvPlan, kv_plan};
pub use vllm::lengths::{ALLOWS_LONG, ModelLengths, model_lengths};
pub use vllm::per_layer::{AlikeLayers, CacheSharing, LayerCache, LayerTraits, OutsideLayers, StageLayers, per_layer};
pub use vllm::resolve::Resolved;
pub use vllm::time::{
    Arrivals, BatchTime, Bound, DeviceLimits, Experts, Matrices, Seconds, SeenWork, Sequence, ServedLoad, ServedTime,
    Spread, StepModel, StepParts, StepTime, TimeConstant, TimeConstants, TimeDoubts, TimePrediction, TokenCounts, Work,
    batch_time, serve,
};
pub use vllm::trust::Checked;
pub use vllm::words::{CommandLine, human_readable_int};
pub use weights::tensors::Part;
pub use weights::{ParameterCount, StageWeights, Weights, parameter_count, weights_on_device, weights_per_rank};

/// The example of the README, which is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
