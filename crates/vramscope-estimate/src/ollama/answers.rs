//! The inverse questions: which settings of the engine fit a device.

use vramscope_core::{PackedModel, redact_args, shell_quoted};

use super::args::OllamaArgs;
use super::start::{OllamaError, OllamaStart, ollama_start};
use crate::llama_cpp::answers::{Asking, LlamaCppAnswers, LlamaCppQuestion, answers};
use crate::llama_cpp::command::without_answered;
use crate::{LlamaCppArgs, LlamaCppLine, LlamaCppSetting, LlamaCppWay, Wish};

/// The engine itself chooses devices.
const QUESTIONS: [LlamaCppQuestion; 4] = [
    LlamaCppQuestion::AsAsked,
    LlamaCppQuestion::MostLayers,
    LlamaCppQuestion::FewestExpertLayersOnHost,
    LlamaCppQuestion::LongestContext,
];

/// All questions for one device, with what the engine starts as it was asked: the batch follows the context as the engine
/// has it, and every interval is that of [`ollama_start`].
///
/// # Errors
/// As [`ollama_start`], and a setting without a device.
pub fn ollama_answers(
    model: &PackedModel,
    file: (&str, u64),
    args: &OllamaArgs,
    setting: LlamaCppSetting<'_>,
) -> Result<(OllamaStart, LlamaCppAnswers), OllamaError> {
    let start = ollama_start(model, file, args, setting)?;
    let mut line = LlamaCppLine::read(&start.words)?;
    (line.args.build, line.args.rebuilt) = (start.budget.args.build, true);
    line.args.unmodelled.clone_from(&start.budget.args.unmodelled);
    let follows = |args: &mut LlamaCppArgs| {
        if let Some((batches, context)) = start.batches.as_ref().zip(args.context) {
            let batch = batches.of_context(context);
            (args.batch, args.micro_batch) = (batch, batch);
        }
    };
    let asking = Asking { questions: &QUESTIONS, caches: Asking::CACHES, follows: &follows };
    let mut found = answers(model, &line, setting, Wish::default(), &asking)?;
    found
        .notes
        .extend(start.budget.notes.iter().filter(|note| !found.notes.contains(note)).cloned().collect::<Vec<_>>());
    Ok((start, found))
}

/// What an answer is in the engine's words: the server's variables, and the layers, which are a parameter of the model.
pub fn ollama_command(args: &OllamaArgs, way: &LlamaCppWay) -> String {
    let server = &way.args;
    let slots = server.slots_or_auto().max(1);
    let given: Vec<&str> = args.for_server.iter().map(String::as_str).collect();
    let mut words = without_answered(&given);
    let mut set = |name: &str, value: String| words.push(format!("{name}={value}"));
    set("OLLAMA_CONTEXT_LENGTH", (way.budget.context / slots).to_string());
    set("OLLAMA_NUM_PARALLEL", slots.to_string());
    if server.cache_k != "f16" {
        set("OLLAMA_KV_CACHE_TYPE", server.cache_k.clone());
    }
    if let Some(on) = args.flash_attention {
        set("OLLAMA_FLASH_ATTENTION", u8::from(on).to_string());
    }
    match server.cpu_moe_layers {
        0 => {}
        layers => set("LLAMA_ARG_N_CPU_MOE", layers.min(way.budget.layers).to_string()),
    }
    words.extend(["ollama", "serve"].map(str::to_owned));
    let words = redact_args(words.iter().map(String::as_str));
    let line = words.iter().map(|word| shell_quoted(word)).collect::<Vec<_>>().join(" ");
    let batch = args.num_batch.map_or_else(String::new, |batch| format!(", PARAMETER num_batch {batch}"));
    format!("{line}  # Modelfile: PARAMETER num_gpu {}{batch}", way.budget.layers_on_device)
}
