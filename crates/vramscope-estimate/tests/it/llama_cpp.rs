//! Real runs of llama.cpp's server: every buffer that they print against what is computed for them.

use std::path::Path;

use vramscope_core::{Bytes, PackedModel};
use vramscope_estimate::{
    GpuModel, LlamaCppBackend, LlamaCppBudget, LlamaCppLine, LlamaCppSetting, device_named, llama_cpp_budget,
    llama_cpp_fitted, llama_cpp_most_layers,
};

use crate::llama_cpp_models::model;
use crate::shared;

/// Buffers as a log prints them, in MiB.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Printed {
    weights: [f64; 2],
    repacked: f64,
    cache: [f64; 2],
    output: f64,
    compute: [f64; 2],
    nodes: u64,
}

#[expect(clippy::cast_precision_loss, reason = "sizes below 2^53")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The last load of a log: a trial before it prints the same lines.
fn printed(log: &str) -> Option<Printed> {
    let (mut found, mut any) = (Printed::default(), false);
    for line in log.lines() {
        if line.contains("loading model tensors") {
            found = Printed::default();
        }
        if let Some((_, nodes)) = line.split_once("graph nodes  = ") {
            found.nodes = nodes.trim().parse().ok()?;
        }
        let Some((before, size)) = line.split_once("buffer size = ") else { continue };
        let size: f64 = size.trim().trim_end_matches(" MiB").trim().parse().ok()?;
        let words: Vec<&str> = before.split_whitespace().collect();
        let (buffer, what) = match words.as_slice() {
            [.., buffer, what] => (*buffer, *what),
            _ => continue,
        };
        any = true;
        let on_host = usize::from(buffer.starts_with("CPU") || buffer.ends_with("_Host"));
        match what {
            "model" if buffer == "CPU_REPACK" => found.repacked += size,
            "model" => found.weights[on_host] += size,
            "KV" => found.cache[on_host] += size,
            "output" => found.output += size,
            "compute" => found.compute[on_host] += size,
            _ => panic!("a buffer of another kind: {line}"),
        }
    }
    any.then_some(found)
}

fn part(budget: &LlamaCppBudget, names: &[&str]) -> [f64; 2] {
    let parts = names.iter().filter_map(|name| budget.part(name));
    parts.fold([0.0; 2], |sum, part| [sum[0] + mib(part.device.value), sum[1] + mib(part.host.value)])
}

fn computed(budget: &LlamaCppBudget) -> Printed {
    let host = mib(budget.host_weights_printed);
    Printed {
        weights: [part(budget, &["weights"])[0], host],
        repacked: mib(budget.host_weights_repacked),
        cache: part(budget, &["kv_cache", "window_kv_cache"]),
        output: part(budget, &["output"])[1],
        compute: part(budget, &["compute"]),
        nodes: budget.graph_nodes.unwrap_or(0),
    }
}

/// Weights, cache and output within 0.05 MiB, compute buffers within 2 % and, here, within 0.05 MiB as well.
fn assert_close(run: &str, printed: &Printed, own: &Printed, with_host_weights: bool) {
    let mut pairs = vec![
        (printed.weights[0], own.weights[0]),
        (printed.repacked, own.repacked),
        (printed.cache[0], own.cache[0]),
        (printed.cache[1], own.cache[1]),
        (printed.output, own.output),
    ];
    if with_host_weights {
        pairs.push((printed.weights[1], own.weights[1]));
    }
    // A run that ends for want of memory prints no compute buffer.
    if printed.compute != [0.0; 2] {
        pairs.extend([(printed.compute[0], own.compute[0]), (printed.compute[1], own.compute[1])]);
    }
    for (printed, own) in pairs {
        assert!((printed - own).abs() <= 0.05, "{run}: {printed} printed, {own} computed");
    }
}

fn read(folder: &Path, name: &str) -> String {
    String::from_utf8_lossy(&std::fs::read(folder.join(name)).unwrap()).into_owned()
}

/// A line of the table, as a person reads it.
fn show(run: &str, printed: &Printed, own: &Printed) {
    let pair =
        |printed: [f64; 2], own: [f64; 2]| format!("{:.2}/{:.2} {:.2}/{:.2}", printed[0], own[0], printed[1], own[1]);
    println!(
        "{run:32} weights {} repacked {:.2}/{:.2} cache {} output {:.2}/{:.2} compute {} nodes {}/{}",
        pair(printed.weights, own.weights),
        printed.repacked,
        own.repacked,
        pair(printed.cache, own.cache),
        printed.output,
        own.output,
        pair(printed.compute, own.compute),
        printed.nodes,
        own.nodes,
    );
}

fn budget_of(model: &PackedModel, words: &str, backend: LlamaCppBackend, total: u64) -> LlamaCppBudget {
    let words: Vec<&str> = words.split_whitespace().collect();
    let line = LlamaCppLine::read(&words).unwrap();
    let device = GpuModel::of_size(Bytes::new(total));
    let device = backend.has_device().then_some(&device);
    llama_cpp_fitted(model, &line.args, LlamaCppSetting { backend, device, others: Bytes::ZERO }).unwrap()
}

#[test]
fn every_buffer_of_the_runs_on_host_memory_and_a_vulkan_device_is_computed() {
    let Some(folder) = shared::path("corpus/engines/llama-server-runs") else { return };
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter_map(|name| name.strip_suffix(".cmd").map(str::to_owned))
        .collect();
    names.sort();
    let mut compared = 0;
    for name in &names {
        let words = read(&folder, &format!("{name}.cmd"));
        let file = words.split("models/").nth(1).unwrap().split(".gguf").next().unwrap();
        let model = model(file).unwrap_or_else(|| panic!("{name}: no model {file}"));
        let backend = if name.contains("-vk-") { LlamaCppBackend::Vulkan } else { LlamaCppBackend::Host };
        // The software device says that it has 2 GiB.
        let budget = budget_of(&model, &words, backend, 2 << 30);
        let Some(printed) = printed(&read(&folder, &format!("{name}.log"))) else {
            println!("{name:32} prints no buffer");
            continue;
        };
        let own = computed(&budget);
        show(name, &printed, &own);
        // Fitting keeps the experts of the first layers on the host here, the server those of the last: the range of
        // pages differs, the sums do not.
        assert_close(name, &printed, &own, name != "b10434-vk-fit-layers");
        if printed.nodes > 0 {
            assert_eq!(printed.nodes, own.nodes, "{name}: operators");
        }
        compared += 1;
    }
    assert!(compared >= 26, "{compared} of {} runs compared", names.len());
}

#[test]
fn a_later_build_prints_the_same_buffers() {
    let Some(folder) = shared::path("corpus/engines/llama-server-runs") else { return };
    let printed = printed(&read(&folder, "b11549-xllamacpp.log")).unwrap();
    let model = model("dense-q8").unwrap();
    let own = computed(&budget_of(&model, "-c 4096 -np 2 --no-kv-unified", LlamaCppBackend::Host, 0));
    show("b11549-xllamacpp", &printed, &own);
    assert_close("b11549-xllamacpp", &printed, &own, true);
}

/// The most that was in use on the device, by its samples.
fn peak(csv: &str) -> u64 {
    csv.lines().skip(1).filter_map(|line| line.split(',').nth(2)?.parse::<u64>().ok()).max().unwrap()
}

#[test]
fn device_totals_on_an_h200_are_within_two_percent_of_what_the_driver_counted() {
    let Some(folder) = shared::path("corpus/engines/llama-cuda-runs") else { return };
    let device = device_named("h200").unwrap();
    let mut compared = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let run = entry.unwrap().path();
        if !run.join("args.json").exists() {
            continue;
        }
        let name = run.file_name().unwrap().to_string_lossy().into_owned();
        let said: serde_json::Value = serde_json::from_str(&read(&run, "args.json")).unwrap();
        let words: Vec<&str> = said["argv"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        let result: serde_json::Value = serde_json::from_str(&read(&run, "result.json")).unwrap();
        if result["ready"] != true {
            println!("{name:24} did not start");
            continue;
        }
        let model = model(said["model"].as_str().unwrap()).unwrap();
        let line = LlamaCppLine::read(&words).unwrap();
        let setting = LlamaCppSetting { backend: LlamaCppBackend::Cuda, device: Some(device), others: Bytes::ZERO };
        let budget = llama_cpp_fitted(&model, &line.args, setting).unwrap();
        let (own, measured) = (budget.device_total.value, peak(&read(&run, "gpu.csv")));
        let off = mib(own) / mib(measured) - 1.0;
        println!(
            "{name:24} measured {:9.2} computed {:9.2} [{:9.2} {:9.2}] {:+.2} % driver {:.2}",
            mib(measured),
            mib(own),
            mib(budget.device_total.low),
            mib(budget.device_total.high),
            off * 100.0,
            mib(budget.driver.value),
        );
        assert!(off.abs() <= 0.02, "{name}: {off}");
        assert!(budget.device_total.contains(measured), "{name}: outside the interval");
        assert!(budget.changes.is_empty(), "{name}: {:?}", budget.changes);
        let log = read(&run, "llama.log");
        if let Some(printed) = printed(&log) {
            show(&name, &printed, &computed(&budget));
            assert_close(&name, &printed, &computed(&budget), true);
        }
        compared += 1;
    }
    assert_eq!(compared, 9);
}

#[test]
fn the_most_layers_fit_and_one_more_does_not() {
    let model = model("llama-half8b-q4_k_m").unwrap();
    let line = LlamaCppLine::read(&["-c", "8192", "-np", "1"]).unwrap();
    for size in [1_u64 << 30, 3 << 29, 2 << 30, 5 << 29, 3 << 30, 4 << 30] {
        let device = GpuModel::of_size(Bytes::new(size));
        let setting = LlamaCppSetting { backend: LlamaCppBackend::Cuda, device: Some(&device), others: Bytes::ZERO };
        let most = llama_cpp_most_layers(&model, &line.args, setting).unwrap().unwrap();
        let fits = |layers: u64| {
            let args = vramscope_estimate::LlamaCppArgs { gpu_layers: Some(layers), ..line.args.clone() };
            llama_cpp_budget(&model, &args, setting).unwrap().fits
        };
        assert_eq!(fits(most), Some(true), "{size}: {most}");
        assert!(most == 17 || fits(most + 1) == Some(false), "{size}: {most}");
        let own = llama_cpp_fitted(&model, &line.args, setting).unwrap();
        assert!(own.layers_on_device <= most, "{size}: the server leaves more free than is needed");
    }
}

#[test]
fn what_is_not_modelled_is_named_and_never_computed() {
    let model = model("dense-q8").unwrap();
    let budget = budget_of(&model, "-c 4096 -md draft.gguf", LlamaCppBackend::Host, 0);
    assert!(budget.notes.iter().any(|note| note.contains("--model-draft")), "{:?}", budget.notes);
    let mut other = model.clone();
    other.family = "unheard-of".into();
    let renamed = other.metadata.iter().map(|(key, value)| (key.replace("llama.", "unheard-of."), value.clone()));
    other.metadata = renamed.collect();
    for budget in [budget, budget_of(&other, "-c 4096", LlamaCppBackend::Host, 0)] {
        let compute = &budget.part("compute").unwrap().host;
        assert_eq!(compute.confidence, vramscope_core::Confidence::Assumed);
        assert!(compute.high >= compute.low * 2, "{compute:?}");
    }
}
