//! Engines that are not the one whose words are known best: named, never taken for it.

use vramscope_schema::v3::{Profile, SourceKind};

use crate::analyze;
use crate::made_up::{ENGINE_LOG, GIB, folder, gpu_csv, level};

/// A recording that was conducted with this engine, whatever its log holds.
fn of_engine(engine: &str) -> Profile {
    let record = format!(
        "{{\"vramscope_run\":1,\"generator\":\"test 0\",\"status\":\"complete\",\"host\":{{\"kind\":\"process\"}},\
         \"engine_type\":\"{engine}\"}}"
    );
    let config = r#"{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096,
        "intermediate_size": 14336, "num_hidden_layers": 40, "num_attention_heads": 32, "num_key_value_heads": 8,
        "vocab_size": 128256, "max_position_embeddings": 131072, "torch_dtype": "bfloat16"}"#;
    let gpu = gpu_csv(2, 2, 60, |second| level(second) + GIB);
    let args = r#"{"argv": ["server", "--model", "m"]}"#;
    let files = [
        ("engine.log", ENGINE_LOG),
        ("gpu.csv", &gpu),
        ("run.json", &record),
        ("config.json", config),
        ("args.json", args),
    ];
    analyze(folder(&files).path()).unwrap()
}

#[test]
fn an_unknown_engine_is_said_to_be_unknown_and_is_no_other_one() {
    // One that is named nowhere here, and one whose logs are read by themselves and not taken apart.
    of_another("exllama", "\"exllama\", which is none that is known");
    of_another("tgi", "the memory of TGI is not taken apart here");
}

fn of_another(engine: &str, said: &str) {
    let profile = of_engine(engine);
    assert_eq!(profile.engine_metadata.as_ref().and_then(|engine| engine.engine_type.as_deref()), Some(engine));
    let notes = profile.metadata.notes.join("\n");
    assert!(notes.contains("engine.log") && notes.contains(said), "{notes}");
    assert!(profile.metadata.sources.iter().any(|source| source.kind == SourceKind::EngineLog), "the log is kept");
    assert_eq!(profile.raw_logs.as_ref().unwrap().files[0].file, "engine.log");
    assert!(profile.vllm_internal_metrics.is_none(), "nothing is read from words that are not known");
    assert!(profile.expectation.is_none(), "the rules of one engine predict nothing of another one");
    let found = profile.diagnostics.unwrap();
    assert!(found.iter().all(|d| d.code != "no_engine_log"), "there is one: {found:?}");
    assert!(found.iter().any(|d| d.code == "other_processes"), "{found:?}");
    for diagnostic in &found {
        let advice = diagnostic.advice.as_deref().unwrap_or_default();
        let lower = advice.to_lowercase();
        assert!(
            !lower.contains("vllm") && !lower.contains("--gpu-memory-utilization"),
            "{}: {advice}",
            diagnostic.code
        );
    }
}

#[test]
fn the_same_recording_of_the_engine_that_it_is_is_read_and_advised_in_its_words() {
    let profile = of_engine("vllm");
    assert_eq!(profile.engine_metadata.as_ref().and_then(|engine| engine.engine_type.as_deref()), Some("vllm"));
    assert!(profile.vllm_internal_metrics.is_some() && profile.expectation.is_some());
    let found = profile.diagnostics.unwrap();
    let others = found.iter().find(|d| d.code == "other_processes").unwrap();
    assert!(others.advice.as_deref().unwrap().contains("--gpu-memory-utilization"));
}

#[test]
fn a_name_that_is_not_text_for_a_terminal_is_not_repeated_as_it_is() {
    let profile = of_engine("evil\\u001b[31m");
    let notes = profile.metadata.notes.join("\n");
    assert!(!notes.contains('\u{1b}'), "{notes:?}");
}

/// What it says is taken from it, in keys of its own.
#[test]
fn a_log_of_another_engine_is_read_as_what_it_is() {
    let log = "load_tensors: offloaded 17/17 layers to GPU\nload_tensors:        CUDA0 model buffer size =  2357.26 MiB\n\
               llama_kv_cache:      CUDA0 KV buffer size =   512.00 MiB\n\
               llama_context:      CUDA0 compute buffer size =   260.00 MiB\n";
    let gpu = gpu_csv(1, 2, 60, |second| level(second) + GIB);
    let profile = analyze(folder(&[("engine.log", log), ("gpu.csv", &gpu)]).path()).unwrap();
    assert_eq!(profile.engine_metadata.as_ref().and_then(|engine| engine.engine_type.as_deref()), Some("llama.cpp"));
    assert!(profile.vllm_internal_metrics.is_none() && profile.expectation.is_none());
    let breakdown = profile.memory_breakdown.unwrap();
    assert_eq!(breakdown.kv_cache_bytes, Some(512 << 20));
    assert_eq!(breakdown.compute_buffers_bytes, Some(260 << 20));
    assert!(breakdown.activations_bytes.is_none() && breakdown.cuda_graphs_bytes.is_none());
    let advice = profile.diagnostics.iter().flatten().filter_map(|one| one.advice.as_deref());
    assert!(advice.into_iter().all(|advice| !advice.to_lowercase().contains("vllm")));
}
