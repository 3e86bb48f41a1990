//! A model beside a log that is not the log's: nothing is computed from it, and that is said.

use vramscope_analysis::{Evidence, assemble};
use vramscope_runs::EvidenceFiles;
use vramscope_schema::v3::{Generator, Profile, RunStatus};

use crate::made_up::{ENGINE_LOG, folder};

fn config(class: &str, hidden: u64, layers: u64) -> String {
    format!(
        r#"{{"architectures": ["{class}"], "model_type": "llama", "hidden_size": {hidden}, "intermediate_size": 14336,
        "num_hidden_layers": {layers}, "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256,
        "max_position_embeddings": 131072, "torch_dtype": "bfloat16"}}"#
    )
}

fn of(log: &str, beside: (&str, &str)) -> Profile {
    let folder = folder(&[("engine.log", log), beside]);
    let path = folder.path().join(beside.0);
    let packed = beside.0.starts_with("packed");
    let files = EvidenceFiles {
        engine_logs: vec![folder.path().join("engine.log")],
        model: (!packed).then(|| path.clone()),
        packed: packed.then_some(path),
        ..EvidenceFiles::default()
    };
    let evidence = Evidence::load(&files, &mut |_, _| {}).unwrap();
    assemble(&evidence, Generator { name: "test".into(), version: "0".into() }).unwrap()
}

fn is_refused(profile: &Profile) -> bool {
    let told = profile.metadata.notes.iter().any(|note| note.contains("is not the model of the log"));
    let described = profile.model_info.as_ref().is_some_and(|info| info.num_parameters.is_some());
    assert_ne!(told, described, "{:?}", profile.metadata.notes);
    told
}

#[test]
fn a_config_of_another_class_or_of_far_other_weights_describes_nothing() {
    let sglang = "[2026-04-27 02:36:06 TP0] Load weight end. elapsed=1.97 s, type=Qwen3ForCausalLM, avail mem=62.30 GB, mem usage=15.28 GB.\n";
    assert!(is_refused(&of(sglang, ("config.json", &config("LlamaForCausalLM", 4096, 32)))));
    assert!(!is_refused(&of(sglang, ("config.json", &config("Qwen3ForCausalLM", 4096, 32)))));
    // 10 GiB a rank, of two.
    assert!(!is_refused(&of(ENGINE_LOG, ("config.json", &config("LlamaForCausalLM", 4096, 40)))));
    assert!(is_refused(&of(ENGINE_LOG, ("config.json", &config("LlamaForCausalLM", 1024, 2)))));
}

#[test]
fn layers_tell_llama_cpps_model() {
    let log =
        "load_tensors: offloaded 33/33 layers to GPU\nload_tensors:        CUDA0 model buffer size =  2357.26 MiB\n";
    assert!(!is_refused(&of(log, ("config.json", &config("LlamaForCausalLM", 4096, 32)))));
    assert!(is_refused(&of(log, ("config.json", &config("LlamaForCausalLM", 4096, 16)))));
}

#[test]
fn how_an_engine_failed_is_told_of_every_engine() {
    let log = "2025-07-04T12:36:01.922473Z ERROR text_generation_launcher: Method Warmup encountered an error.\nRuntimeError: Not enough memory to handle 4096 prefill tokens. You need to decrease `--max-batch-prefill-tokens`\n";
    let profile = of(log, ("config.json", &config("LlamaForCausalLM", 4096, 32)));
    assert_eq!(profile.metadata.status, Some(RunStatus::Failed));
    assert!(profile.failure.is_some());
    let found = profile.diagnostics.unwrap();
    assert!(
        found.iter().any(|d| d.advice.as_deref().is_some_and(|advice| advice.contains("--max-batch-prefill-tokens")))
    );
}
