//! The server's command line of an answer.

use vramscope_core::{redact_args, shell_quoted};

use super::answers::LlamaCppWay;
use super::grammar::{LLAMA_CPP_LINE, at_program};

/// Options that an answer states by itself.
const SET: &[&str] =
    &["ctx-size", "parallel", "gpu-layers", "n-gpu-layers", "n-cpu-moe", "cpu-moe", "cache-type-k", "cache-type-v"];
/// Variables that say the same.
const SET_VARIABLES: &[&str] =
    &["CTX_SIZE", "N_PARALLEL", "N_GPU_LAYERS", "N_CPU_MOE", "CPU_MOE", "CACHE_TYPE_K", "CACHE_TYPE_V"];

/// Words without variables of the server that an answer states by itself, and without what hands one to a container.
pub(crate) fn without_answered(words: &[&str]) -> Vec<String> {
    let is_answered = |word: &str| {
        let word = word.strip_prefix("--env=").unwrap_or(word);
        let name = word.strip_prefix("LLAMA_ARG_").and_then(|word| word.split_once('='));
        name.is_some_and(|(name, _)| SET_VARIABLES.contains(&name))
    };
    let mut kept: Vec<&str> = Vec::new();
    for word in words {
        if !is_answered(word) {
            kept.push(word);
        } else if kept.last().is_some_and(|before| matches!(*before, "-e" | "--env")) {
            kept.pop();
        }
    }
    redact_args(kept)
}

/// Those of several devices.
const SPLIT: &[&str] = &["split-mode", "tensor-split"];

/// The command line of an answer, each word as a shell takes it: what was given before and behind the server's name and
/// is not answered stays as it was, with secrets hidden.
///
/// `-fit off` keeps the server from changing what was answered, unless the line says something of `-fit`.
pub fn llama_cpp_command<S: AsRef<str>>(words: &[S], model: &str, way: &LlamaCppWay) -> Vec<String> {
    let (program, words) = at_program(words).unwrap_or((&[], words));
    let several = way.shares.len() > 1;
    let flags = LLAMA_CPP_LINE.flags(words);
    let names = |names: &[&str]| flags.iter().any(|flag| names.contains(&flag.name.as_str()));
    let (names_model, fits) = (names(&["model", "hf-repo"]), names(&["fit"]));
    let program: Vec<&str> = program.iter().map(AsRef::as_ref).collect();
    let mut all = without_answered(&program);
    if all.is_empty() {
        all.push("llama-server".to_owned());
    }
    let mut add = |name: &str, value: &str| all.extend([name.to_owned(), value.to_owned()]);
    if !names_model {
        add("-m", model);
    }
    all.extend(redact_args(
        LLAMA_CPP_LINE.without(words, |name| SET.contains(&name) || several && SPLIT.contains(&name)),
    ));
    let mut add = |name: &str, value: String| all.extend([name.to_owned(), value]);
    let args = &way.args;
    add("-c", args.context.unwrap_or(way.budget.context).to_string());
    if let Some(slots) = args.slots {
        add("-np", slots.to_string());
    }
    add("-ngl", way.budget.layers_on_device.to_string());
    for (name, kind) in [("-ctk", &args.cache_k), ("-ctv", &args.cache_v)] {
        if kind != "f16" {
            add(name, kind.clone());
        }
    }
    if several {
        add("-sm", "layer".to_owned());
        add("-ts", vec!["1"; way.shares.len()].join(","));
    }
    match args.cpu_moe_layers {
        0 => {}
        layers if layers >= way.budget.layers => all.push("--cpu-moe".to_owned()),
        layers => all.extend(["--n-cpu-moe".to_owned(), layers.to_string()]),
    }
    if !fits {
        all.extend(["-fit".to_owned(), "off".to_owned()]);
    }
    all.iter().map(|word| shell_quoted(word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_an_answer_states_are_not_said_twice() {
        let words = ["docker", "run", "-e", "LLAMA_ARG_CPU_MOE=1", "--env=LLAMA_ARG_CTX_SIZE=8", "-e", "A=b", "image"];
        assert_eq!(without_answered(&words), ["docker", "run", "-e", "A=b", "image"]);
        assert_eq!(without_answered(&["LLAMA_ARG_N_GPU_LAYERS=3", "LLAMA_ARG_FIT=on"]), ["LLAMA_ARG_FIT=on"]);
    }
}
