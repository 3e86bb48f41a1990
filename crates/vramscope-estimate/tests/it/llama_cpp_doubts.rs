//! What a file or a line leaves open: refused as the server refuses it, or never sure.

use vramscope_core::{Bytes, Confidence, PackedModel, PackedValue};
use vramscope_estimate::{
    LlamaCppBackend, LlamaCppBudget, LlamaCppError, LlamaCppLine, LlamaCppSetting, device_named, llama_cpp_fitted,
};

use crate::llama_cpp_h200::models;

fn start(model: &PackedModel, words: &str, build: Option<u64>, used: u64) -> Result<LlamaCppBudget, LlamaCppError> {
    let mut line = LlamaCppLine::read(&words.split_whitespace().collect::<Vec<_>>()).unwrap();
    line.args.build = build;
    let device = device_named("l4").unwrap();
    let setting =
        LlamaCppSetting { backend: LlamaCppBackend::Cuda, device: Some(device), others: Bytes::new(used << 30) };
    llama_cpp_fitted(model, &line.args, setting)
}

fn qwen3() -> PackedModel {
    models().remove("qwen3-4b-q4km").unwrap()
}

#[test]
fn a_file_that_does_not_say_its_heads_is_refused() {
    let mut model = qwen3();
    for key in ["head_count", "head_count_kv"] {
        model.metadata.remove(&format!("qwen3.attention.{key}"));
    }
    let missing = start(&model, "-c 4096", None, 0);
    assert!(matches!(missing, Err(LlamaCppError::MissingKey { key: "attention.head_count" })), "{missing:?}");
    for (value, word) in [
        (PackedValue::Numbers(vec![8, 8]), "for each layer"),
        (PackedValue::Text("many".to_owned()), "for each layer"),
        (PackedValue::Number(4), "rows where the metadata says"),
    ] {
        let mut model = qwen3();
        model.metadata.insert("qwen3.attention.head_count_kv".to_owned(), value);
        let error = start(&model, "-c 4096", None, 0).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn a_whole_context_that_is_asked_for_is_not_lowered() {
    let model = qwen3();
    let left = start(&model, "-np 1", None, 16).unwrap();
    let asked = start(&model, "-np 1 -c 0", None, 16).unwrap();
    assert!(left.context < 40_960 && left.layers_on_device == 37, "{:?}", left.changes);
    assert!(asked.context == 40_960 && asked.layers_on_device < 37, "{:?}", asked.changes);
}

#[test]
fn a_server_that_is_kept_from_devices_has_a_context_on_one() {
    let budget = start(&qwen3(), "-c 4096 -dev none", None, 0).unwrap();
    // On an H200 NVML counted 526.81 MiB.
    assert_eq!((budget.device_total.value, budget.fits, budget.own_on_device()), (527 << 20, Some(true), 0));
    assert!(budget.host_total.value > 2 << 30 && budget.driver.confidence == Confidence::Assumed);
}

/// On an H200 with 12 GiB free the server took 13 layers where 14 are computed, and 920 MiB to compute in for 664.
#[test]
fn a_long_cache_on_the_host_may_be_copied_once_more() {
    let model = models().remove("llama-8b-q8").unwrap();
    let line = LlamaCppLine::read(&["-np", "1", "-c", "131072", "-ngl", "13", "-fit", "off"]).unwrap();
    let device = device_named("h200").unwrap();
    let setting = LlamaCppSetting { backend: LlamaCppBackend::Cuda, device: Some(device), others: Bytes::ZERO };
    let budget = llama_cpp_fitted(&model, &line.args, setting).unwrap();
    let compute = &budget.part("compute").unwrap().device;
    assert!(compute.contains(920 << 20) && compute.confidence == Confidence::Assumed, "{compute:?}");
    assert!(budget.notes.iter().any(|note| note.contains("a copy more")), "{:?}", budget.notes);
}

#[test]
fn what_is_older_or_loaded_beside_makes_every_figure_unsure() {
    let model = qwen3();
    let sure = start(&model, "-c 4096 -np 1", Some(10434), 0).unwrap();
    let cache = |budget: &LlamaCppBudget| budget.part("kv_cache").unwrap().device.clone();
    assert!(cache(&sure).confidence > Confidence::Estimated);
    for (words, build) in [
        ("-c 4096 -np 1", 6000),
        ("-c 4096 -np 1 --spec-draft-model d.gguf", 10434),
        ("-c 4096 -np 1 -hfd a/b", 10434),
        ("-c 4096 -np 1 --hf-repo-draft a/b", 10434),
        ("-c 4096 -np 1 --mmproj-url https://example.org/x", 10434),
        ("-c 4096 -np 1 -mmu https://example.org/x", 10434),
        ("-c 4096 -np 1 --spec-default", 10434),
    ] {
        let unsure = start(&model, words, Some(build), 0).unwrap();
        let figure = cache(&unsure);
        assert!(figure.confidence == Confidence::Assumed && figure.high >= 2 * figure.value, "{words} {build}");
    }
}
