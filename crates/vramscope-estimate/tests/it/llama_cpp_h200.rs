//! Runs of llama.cpp's server on an H200, built from source: what it printed and what the driver counted against what is
//! computed for the same tensors and options.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use vramscope_core::{Bytes, Confidence, PackedModel, PackedTensor, PackedValue};
use vramscope_estimate::{
    LlamaCppBackend, LlamaCppBudget, LlamaCppLine, LlamaCppSetting, device_named, llama_cpp_fitted,
    llama_cpp_most_layers,
};

use crate::llama_cpp::{peak, printed};
use crate::llama_cpp_models::bytes;

const MODELS: &str = include_str!("../data/llama-cpp-h200/models.json");
const RUNS: &str = include_str!("../data/llama-cpp-h200/runs.tsv");
const HOST: &str = include_str!("../data/llama-cpp-h200/host.tsv");

fn numbers(of: &Value) -> Vec<u64> {
    of.as_array().unwrap().iter().map(|number| number.as_u64().unwrap()).collect()
}

/// Whether `0-3,6` names a layer.
fn names(layers: &str, layer: u64) -> bool {
    layers.split(',').any(|range| {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        (from.parse().unwrap()..=to.parse().unwrap()).contains(&layer)
    })
}

/// The models as headers of their files have them.
pub(crate) fn models() -> BTreeMap<String, PackedModel> {
    let read: BTreeMap<String, Value> = serde_json::from_str(MODELS).unwrap();
    read.into_iter().map(|(name, described)| (name, packed(&described))).collect()
}

fn packed(described: &Value) -> PackedModel {
    let mut model = PackedModel { family: described["family"].as_str().unwrap().to_owned(), ..PackedModel::default() };
    for (key, value) in described["metadata"].as_object().unwrap() {
        let value = match value {
            Value::Array(_) => PackedValue::Numbers(numbers(value)),
            Value::Bool(switch) => PackedValue::Number(u64::from(*switch)),
            Value::Number(number) => match number.as_u64() {
                Some(number) => PackedValue::Number(number),
                None => PackedValue::Real(number.as_f64().unwrap()),
            },
            _ => panic!("{key}: {value}"),
        };
        model.metadata.insert(format!("{}.{key}", model.family), value);
    }
    let words = described["words"].as_u64().unwrap();
    model.metadata.insert("tokenizer.ggml.tokens".into(), PackedValue::Length(words));
    let rows = described["tensors"].as_array().unwrap();
    let mut offset = 0;
    let mut add = |name: String, row: &Value| {
        let sides = numbers(&row[2]);
        let (kind, bytes) = bytes(row[1].as_str().unwrap(), &sides);
        model.tensors.push(PackedTensor { name, kind, sides, bytes, offset });
        offset += bytes.next_multiple_of(32);
    };
    for row in rows.iter().filter(|row| row.get(3).is_none()) {
        add(row[0].as_str().unwrap().to_owned(), row);
    }
    for layer in 0..described["metadata"]["block_count"].as_u64().unwrap() {
        for row in rows.iter().filter(|row| row.get(3).is_some_and(|layers| names(layers.as_str().unwrap(), layer))) {
            add(format!("blk.{layer}.{}", row[0].as_str().unwrap()), row);
        }
    }
    model
}

/// One run, its figures in MiB; `None`: not printed.
pub(crate) struct Run<'t> {
    pub(crate) name: &'t str,
    pub(crate) fields: BTreeMap<&'t str, &'t str>,
}

impl Run<'_> {
    fn number(&self, field: &str) -> Option<f64> {
        self.fields[field].parse().ok()
    }

    pub(crate) fn served(&self) -> bool {
        self.fields["ready"] == "yes"
    }

    pub(crate) fn free(&self) -> Option<u64> {
        self.fields["free_mib"].parse().ok()
    }

    pub(crate) fn words(&self) -> Vec<&str> {
        self.fields["options"].split_whitespace().filter(|word| *word != "-").collect()
    }

    /// What is computed for the line, and the most layers that fit.
    fn computed(&self, model: &PackedModel) -> (LlamaCppBudget, u64) {
        let line = LlamaCppLine::read(&self.words()).unwrap();
        let device = device_named("h200").unwrap();
        // The driver's own reserve is not for any program.
        let others = self.free().map_or(0, |free| device.total.get() - (free << 20));
        let setting =
            LlamaCppSetting { backend: LlamaCppBackend::Cuda, device: Some(device), others: Bytes::new(others) };
        let budget = llama_cpp_fitted(model, &line.args, setting).unwrap();
        let most = llama_cpp_most_layers(model, &budget.args, setting).unwrap().unwrap();
        (budget, most)
    }
}

pub(crate) fn runs() -> Vec<Run<'static>> {
    let mut lines = RUNS.lines();
    let names: Vec<&str> = lines.next().unwrap().split('\t').collect();
    lines
        .map(|line| {
            let fields: BTreeMap<&str, &str> = names.iter().copied().zip(line.split('\t')).collect();
            Run { name: fields["run"], fields }
        })
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "sizes below 2^53")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn part(budget: &LlamaCppBudget, names: &[&str]) -> [f64; 2] {
    let parts = names.iter().filter_map(|name| budget.part(name));
    parts.fold([0.0; 2], |sum, part| [sum[0] + mib(part.device.value), sum[1] + mib(part.host.value)])
}

#[test]
fn what_is_printed_and_counted_on_an_h200_is_computed() {
    let (models, mut served) = (models(), 0);
    for run in runs() {
        let (budget, most) = run.computed(&models[run.fields["model"]]);
        let compute = budget.part("compute").unwrap();
        let weights = part(&budget, &["weights"]);
        let (cache, state) = (part(&budget, &["kv_cache", "window_kv_cache"]), part(&budget, &["recurrent_state"]));
        let exact = [
            ("weights_device", weights[0]),
            ("weights_host", mib(budget.host_weights_printed)),
            ("kv_device", cache[0]),
            ("kv_host", cache[1]),
            ("state_device", state[0]),
            ("state_host", state[1]),
            ("output_host", part(&budget, &["output"])[1]),
        ];
        let computing = [("compute_device", &compute.device), ("compute_host", &compute.host)];
        let total = &budget.device_total;
        eprintln!(
            "{} | {exact:.2?} | {:.2} {:.2} | total {:.2} [{:.0} {:.0}] | context {} layers {} in part {} most {most} {:?}",
            run.name,
            mib(compute.device.value),
            mib(compute.host.value),
            mib(total.value),
            mib(total.low),
            mib(total.high),
            budget.context,
            budget.layers_on_device,
            budget.expert_layers_on_host,
            budget.changes,
        );
        for (field, own) in exact {
            let Some(printed) = run.number(field) else { continue };
            assert!((printed - own).abs() <= 0.05, "{} {field}: {printed} printed, {own} computed", run.name);
        }
        for (field, own) in computing {
            let Some(printed) = run.number(field) else { continue };
            assert!((mib(own.low)..=mib(own.high)).contains(&printed), "{} {field}: {printed}, {own:?}", run.name);
            let off = (printed - mib(own.value)).abs();
            assert!(own.confidence == Confidence::Assumed || off <= 0.05, "{} {field}: {printed}, {own:?}", run.name);
        }
        if let (Ok(printed), Some(own)) = (run.fields["operators"].parse::<u64>(), budget.graph_nodes) {
            assert_eq!(printed, own, "{}: operators", run.name);
        }
        if run.fields["ready"] != "-" {
            assert_eq!(budget.fits, Some(run.served()), "{}: {:.2} MiB", run.name, mib(total.value));
        }
        if !run.served() {
            continue;
        }
        served += 1;
        assert_eq!(run.number("layers"), Some(mib(budget.layers_on_device << 20)), "{}", run.name);
        assert_eq!(run.number("context"), Some(mib((budget.context_of_slot) << 20)), "{}", run.name);
        let measured = run.number("peak_mib").unwrap();
        let off = mib(total.value) / measured - 1.0;
        // What plain scores take grows with what the cache holds, which nobody says beforehand: half is counted.
        let most = if run.words().windows(2).any(|words| words == ["-fa", "off"]) { 0.04 } else { 0.02 };
        assert!(off.abs() <= most, "{}: {measured} measured, {:.2} computed", run.name, mib(total.value));
        assert!((mib(total.low)..=mib(total.high)).contains(&measured), "{}: {measured}, {total:?}", run.name);
    }
    assert!(served >= 70, "{served}");
}

#[test]
fn what_the_same_source_prints_on_host_memory_is_computed() {
    let models = models();
    let mut lines = HOST.lines();
    let names: Vec<&str> = lines.next().unwrap().split('\t').collect();
    for line in lines {
        let fields: BTreeMap<&str, &str> = names.iter().copied().zip(line.split('\t')).collect();
        let run = Run { name: fields["run"], fields };
        let read = LlamaCppLine::read(&run.words()).unwrap();
        let setting = LlamaCppSetting { backend: LlamaCppBackend::Host, device: None, others: Bytes::ZERO };
        let budget = llama_cpp_fitted(&models[run.fields["model"]], &read.args, setting).unwrap();
        let compute = &budget.part("compute").unwrap().host;
        let exact = [
            ("weights", mib(budget.host_weights_printed)),
            ("repacked", mib(budget.host_weights_repacked)),
            ("kv", part(&budget, &["kv_cache", "window_kv_cache"])[1]),
            ("state", part(&budget, &["recurrent_state"])[1]),
            ("compute", mib(compute.value)),
        ];
        eprintln!("{} {exact:.2?} {:?}", run.name, budget.graph_nodes);
        for (field, own) in exact {
            let printed = run.number(field).unwrap();
            let assumed = field == "compute" && compute.confidence == Confidence::Assumed;
            let within = assumed && (mib(compute.low)..=mib(compute.high)).contains(&printed);
            assert!(within || (printed - own).abs() <= 0.05, "{} {field}: {printed} printed, {own} computed", run.name);
        }
        if let Some(own) = budget.graph_nodes {
            assert_eq!(run.fields["operators"].parse(), Ok(own), "{}: operators", run.name);
        }
    }
}

#[test]
fn the_table_says_what_the_recordings_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/llama-cpp-h200");
    let mut compared = 0;
    for run in runs() {
        let folder = folder.join(run.name);
        let Ok(log) = std::fs::read_to_string(folder.join("llama.log")) else { continue };
        let result: Value =
            serde_json::from_str(&std::fs::read_to_string(folder.join("result.json")).unwrap()).unwrap();
        let csv = std::fs::read_to_string(folder.join("gpu.csv")).unwrap();
        let found = printed(&log).unwrap();
        let before = result["nvml_before"]["used"].as_u64().unwrap();
        let pairs = [
            ("peak_mib", mib(peak(&csv) - before)),
            ("weights_device", found.weights[0]),
            ("weights_host", found.weights[1]),
            ("kv_device", found.cache[0]),
            ("kv_host", found.cache[1]),
            ("state_device", found.state[0]),
            ("state_host", found.state[1]),
            ("compute_device", found.compute[0]),
            ("compute_host", found.compute[1]),
            ("output_host", found.output),
            ("operators", mib(found.nodes << 20)),
        ];
        for (field, recorded) in pairs {
            let Some(number) = run.number(field) else { continue };
            assert!((number - recorded).abs() < 0.006, "{} {field}: {number}, {recorded} recorded", run.name);
        }
        assert_eq!(result["timings"].is_object(), run.served(), "{}", run.name);
        compared += 1;
    }
    assert_eq!(compared, 12);
}
