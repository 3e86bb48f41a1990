//! The labelled logs of other engines, compared number by number.

use serde_json::Value;
use vramscope_core::{BufferKind, Bytes, EngineKind, FailureKind};
use vramscope_log::{EngineReport, Figure, Key};

use crate::corpus;
use crate::engines::{logs, read};

/// A number that a label asks for, with half a step of the digit that the engine printed.
struct Asked {
    field: String,
    expected: f64,
    found: Option<f64>,
    step: f64,
}

#[test]
fn every_label_is_met_and_nothing_is_invented() {
    let (mut wrong, mut fields) = (Vec::new(), 0);
    for name in ["llama.cpp", "ollama", "sglang", "tgi"] {
        let Some(folder) = corpus::folder(&format!("engines/{name}")) else { return };
        let mut found = Vec::new();
        logs(&folder, &mut found);
        let (mut of_engine, mut missed) = (0, 0);
        for path in found {
            let label: Value = serde_json::from_slice(
                &std::fs::read(path.with_extension("json")).expect("as it stands in the corpus"),
            )
            .expect("as it stands in the corpus");
            let report = read(&std::fs::read(&path).expect("as it stands in the corpus"));
            let engine = &report.engines[0];
            for asked in asked(&label["label"], engine) {
                of_engine += 1;
                let met = asked.found.is_some_and(|found| (found - asked.expected).abs() <= asked.step + 1e-9);
                if !met {
                    missed += 1;
                    let Asked { field, expected, found, .. } = asked;
                    wrong.push(format!("{} {field}: expected {expected}, found {found:?}", path.display()));
                }
            }
            for (field, value) in label["label"].as_object().expect("as it stands in the corpus") {
                if field == "kv_tokens" && value.is_null() && !engine.facts.kv_tokens.is_empty() {
                    wrong.push(format!("{}: {field} is invented", path.display()));
                }
            }
        }
        eprintln!("{name}: {} of {of_engine} numeric fields", of_engine - missed);
        fields += of_engine;
    }
    assert!(wrong.is_empty(), "{} of {fields} fields:\n{}", wrong.len(), wrong.join("\n"));
}

pub(crate) fn mib(bytes: Bytes) -> f64 {
    bytes.as_f64() / 1_048_576.0
}

/// Parts of a kind, summed, in MiB; those of a place only, where one is named.
fn part(
    engine: &EngineReport,
    kind: BufferKind,
    place: Option<&str>,
    planned: bool,
    host: Option<bool>,
) -> Option<f64> {
    let is = |name: &Option<String>| {
        place.is_none_or(|place| {
            name.as_deref().is_some_and(|name| name == place || name.starts_with(&format!("{place}_Mapped")))
        })
    };
    let parts: Vec<f64> = engine
        .facts
        .buffers
        .iter()
        .filter(|p| p.kind == kind && p.planned == planned && is(&p.place) && host.is_none_or(|host| p.on_host == host))
        .map(|p| mib(p.amount.value))
        .collect();
    (!parts.is_empty()).then(|| parts.iter().sum())
}

fn figures(engine: &EngineReport, key: Key) -> Vec<&Figure> {
    engine.figures.iter().filter(|f| f.key == key).collect()
}

pub(crate) fn values(engine: &EngineReport, key: Key) -> Vec<f64> {
    let value = |f: &&Figure| {
        let count = f.count().and_then(|n| u32::try_from(n).ok()).map(f64::from);
        count.or_else(|| f.number()).or_else(|| f.memory().map(|m| m.bytes.as_f64() / 1_048_576.0))
    };
    figures(engine, key).iter().filter_map(value).collect()
}

/// What a field of a label asks of a report, in MiB where it is memory.
fn asked(label: &Value, engine: &EngineReport) -> Vec<Asked> {
    let mut all = Vec::new();
    for (field, value) in label.as_object().expect("as it stands in the corpus") {
        // Computed by whoever labelled, from figures beside the log, or words.
        let beside = field.ends_with("_computed")
            || field.ends_with("_inferred")
            || field.starts_with("nvidia_smi")
            || matches!(
                field.as_str(),
                "trap" | "derived_not_printed" | "devices" | "ranks" | "library" | "failure" | "what"
            );
        if beside {
            continue;
        }
        let unit = if field.contains("_gib") { 1024.0 } else { 1.0 };
        let mut ask = |name: &str, expected: f64, found: Option<f64>, step: f64| {
            all.push(Asked { field: format!("{field}{name}"), expected: expected * unit, found, step });
        };
        match value {
            Value::Object(places) => {
                for (place, expected) in places {
                    let kind = kind_of(field);
                    let found = part(engine, kind, Some(place), false, None);
                    ask(&format!(".{place}"), expected.as_f64().expect("as it stands in the corpus"), found, 0.006);
                }
            }
            Value::Array(list) => {
                let mut found = listed(field, engine);
                let mut expected: Vec<f64> =
                    list.iter().map(|v| v.as_f64().expect("as it stands in the corpus")).collect();
                if field.as_str() == "free_after_pool_gib" {
                    found.sort_by(f64::total_cmp);
                    expected.sort_by(f64::total_cmp);
                }
                for (at, expected) in expected.into_iter().enumerate() {
                    ask(&format!("[{at}]"), expected, found.get(at).copied(), if unit > 1.0 { 0.02 } else { 0.006 });
                }
            }
            Value::Number(n) => {
                let found = single(field, engine);
                ask(
                    "",
                    n.as_f64().expect("as it stands in the corpus"),
                    found,
                    if unit > 1.0 { 0.02 * 1024.0 / 100.0 } else { 0.006 },
                );
            }
            Value::String(text) if field == "layers_offloaded" => {
                let (on, of) = text.split_once('/').expect("as it stands in the corpus");
                let fact = |fact: &Option<vramscope_core::Fact<u64>>| {
                    fact.as_ref().map(|f| f64::from(u32::try_from(f.value).expect("as it stands in the corpus")))
                };
                ask(
                    ".on_device",
                    on.parse().expect("as it stands in the corpus"),
                    fact(&engine.facts.layers_on_device),
                    0.0,
                );
                ask(".of", of.parse().expect("as it stands in the corpus"), fact(&engine.facts.layers), 0.0);
            }
            _ => {}
        }
    }
    all
}

fn kind_of(field: &str) -> BufferKind {
    match field {
        _ if field.starts_with("weights") => BufferKind::Weights,
        _ if field.starts_with("kv") => BufferKind::KvCache,
        _ if field.starts_with("recurrent") || field.starts_with("mamba") => BufferKind::RecurrentState,
        _ if field.starts_with("compute") || field.starts_with("graph_") => BufferKind::Compute,
        _ => panic!("no part for {field}"),
    }
}

fn listed(field: &str, engine: &EngineReport) -> Vec<f64> {
    let of_table = |key: Key| -> Vec<f64> {
        let device = |f: &&&Figure| f.place.as_deref() != Some("Host");
        figures(engine, key)
            .iter()
            .filter(device)
            .filter_map(|f| Some(f.memory()?.bytes.as_f64() / 1_048_576.0))
            .collect()
    };
    match field {
        "device_total_mib" => {
            let all = of_table(Key::DeviceTotal);
            all[all.len().saturating_sub(4)..].to_vec()
        }
        "device_free_mib" => of_table(Key::HeldFree),
        "model_mib" => of_table(Key::PlannedWeights),
        "context_mib" => of_table(Key::PlannedContext),
        "compute_mib" => of_table(Key::PlannedCompute),
        "kv_parts" if engine.facts.engine == Some(EngineKind::SgLang) => {
            let gib: Vec<f64> = values(engine, Key::KvKeys).iter().map(|mib| mib / 1024.0).collect();
            let values: Vec<f64> = values(engine, Key::KvValues).iter().map(|mib| mib / 1024.0).collect();
            gib.iter().zip(values).map(|(k, v)| k + v).collect()
        }
        "kv_parts" => values(engine, Key::KvTotal),
        "graph_parts" => values(engine, Key::Graphs).iter().map(|mib| mib / 1024.0).collect(),
        "load_seconds" => values(engine, Key::LoadSecs).iter().map(|secs| (secs * 100.0).round() / 100.0).collect(),
        "free_after_pool_gib" => values(engine, Key::FreeAfterPools),
        _ => panic!("no list for {field}"),
    }
}

fn single(field: &str, engine: &EngineReport) -> Option<f64> {
    let first = |key: Key| values(engine, key).first().copied();
    let last = |key: Key| values(engine, key).last().copied();
    let sum = |kind: BufferKind, host: Option<bool>| part(engine, kind, None, false, host);
    let failure = || {
        engine.facts.failures.iter().find_map(|f| match &f.kind {
            FailureKind::OutOfMemory { tried, capacity, free, .. } if tried.is_some() => {
                Some((*tried, *capacity, *free))
            }
            _ => None,
        })
    };
    let sglang = engine.facts.engine == Some(EngineKind::SgLang);
    let tokens = |n: u64| f64::from(u32::try_from(n).expect("as it stands in the corpus"));
    match field {
        "weights_device_mib" => sum(BufferKind::Weights, Some(false)),
        "host_weights_mib" => sum(BufferKind::Weights, Some(true)),
        "file_mib" => sum(BufferKind::Weights, None),
        "mmproj_mib" => first(Key::ProjectorWeights),
        "kv_total_mib" => first(Key::KvTotal),
        "output_host_mib" => sum(BufferKind::Output, Some(true)),
        "compute_device_total_mib" => sum(BufferKind::Compute, Some(false)),
        "compute_host_mib" => sum(BufferKind::Compute, Some(true)),
        "graph_splits" => first(Key::GraphSplits),
        "n_ctx_fitted" => last(Key::FittedMaxModelLen),
        "n_ctx" | "ctx_tokens" | "ctx_tokens_total" => first(Key::ContextTokens),
        "n_ctx_slot" => first(Key::SlotTokens),
        "ctx_tokens_per_slot" | "context_len" => engine.facts.max_model_len.as_ref().map(|f| tokens(f.value)),
        // A slot announces itself.
        "slots" => first(Key::Slots).or_else(|| first(Key::SlotTokens).map(|_| 1.0)),
        "device_total_mib" => first(Key::DeviceTotal),
        "device_free_mib" => last(Key::InitialFree)
            .filter(|_| {
                first(Key::PlannedTotal).is_none()
                    || last(Key::HeldFree).is_none()
                    || engine.facts.buffers.iter().any(|p| !p.planned)
                    || engine.facts.engine == Some(EngineKind::Ollama)
            })
            .or_else(|| first(Key::HeldFree)),
        "model_mib" => figures(engine, Key::PlannedWeights)
            .iter()
            .find(|f| f.place.as_deref() != Some("Host"))
            .and_then(|f| Some(mib(f.memory()?.bytes.as_bytes()?))),
        "context_mib" => figures(engine, Key::PlannedContext)
            .iter()
            .find(|f| f.place.as_deref() != Some("Host"))
            .and_then(|f| Some(mib(f.memory()?.bytes.as_bytes()?))),
        "compute_mib" => figures(engine, Key::PlannedCompute)
            .iter()
            .find(|f| f.place.as_deref() != Some("Host"))
            .and_then(|f| Some(mib(f.memory()?.bytes.as_bytes()?))),
        "unaccounted_mib" => first(Key::Unaccounted),
        "device_free_gib" => first(Key::InitialFree),
        "available_gib" => first(Key::FreeForEngine),
        "model_layers" => engine.facts.layers.as_ref().map(|f| tokens(f.value)),
        "required_host_gib" | "required_on_device_gib" | "required_on_device_mib" => first(Key::PlannedOnDevice),
        "weights_gib" | "weights_mib" if sglang => sum(BufferKind::Weights, None),
        "weights_gib" | "weights_mib" => first(Key::PlannedWeights),
        "kv_gib" if sglang => sum(BufferKind::KvCache, None),
        "kv_gib" | "kv_mib" => first(Key::PlannedKv),
        "graph_mib" => first(Key::PlannedCompute),
        "graph_mib_used" => first(Key::PlannedComputePartial),
        "total_gib" => first(Key::HeldTotal),
        "kv_tokens" => engine.facts.kv_cache_tokens().map(tokens),
        "swa_tokens" => first(Key::KvWindowTokens),
        "kv_k_gib" => first(Key::KvKeys),
        "kv_v_gib" => first(Key::KvValues),
        "mamba_gib" => sum(BufferKind::RecurrentState, None),
        "graph_gib" => sum(BufferKind::Graphs, None),
        "graph_seconds" => first(Key::CaptureSecs),
        "free_after_weights_gib" => first(Key::FreeAfterWeights),
        "free_after_pool_gib" => first(Key::FreeAfterPools),
        "free_at_ready_gib" => first(Key::FreeAtReady).or_else(|| last(Key::FreeAfterGraphs)),
        "max_running_requests" => first(Key::Slots),
        "load_seconds" => first(Key::LoadSecs).map(|secs| (secs * 100.0).round() / 100.0),
        "max_batch_total_tokens" => first(Key::MaxBatchTotalTokens),
        "prefill_tokens" => first(Key::FailPrefillTokens),
        "oom_tried_mib" | "oom_tried_gib" => failure()?.0.map(mib),
        "oom_total_gib" => failure()?.1.map(mib),
        "oom_free_mib" | "oom_free_gib" => failure()?.2.map(mib),
        _ => panic!("no figure for {field}"),
    }
}
