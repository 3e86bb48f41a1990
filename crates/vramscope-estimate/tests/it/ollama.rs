//! What Ollama starts for a model, against its rules and against figures that public runs of it printed.

use vramscope_core::{Bytes, Confidence, PackedModel, PackedValue};
use vramscope_estimate::{
    LlamaCppBackend, LlamaCppSetting, OllamaArgs, OllamaError, OllamaStart, device_named, ollama_start,
};

use crate::llama_cpp_h200::models;

const RUNS: &str = include_str!("../data/ollama-h200/runs.tsv");

fn start(model: &PackedModel, gpu: &str, used: u64, words: &[&str], set: impl Fn(&mut OllamaArgs)) -> OllamaStart {
    let mut args = OllamaArgs::read(words);
    set(&mut args);
    let device = device_named(gpu).unwrap();
    let setting = LlamaCppSetting { backend: LlamaCppBackend::Cuda, device: Some(device), others: Bytes::new(used) };
    ollama_start(model, ("m.gguf", model.bytes().unwrap()), &args, setting).unwrap()
}

#[test]
fn the_usual_context_and_batch_follow_the_memory() {
    let models = models();
    // 262144 tokens on the first; the models were trained for 40960 and 131072.
    for (name, gpu, context, batch) in [
        ("qwen3-4b-q4km", "h100", 40960, 2048),
        ("llama-8b-q8", "h100", 131_072, 2048),
        ("llama-8b-q8", "l4", 4096, 512),
        ("llama-8b-q8", "rtx-4090", 32768, 1024),
    ] {
        let started = start(&models[name], gpu, 0, &[], |_| {});
        eprintln!("{name} on {gpu}: {} tokens, batch {:?}", started.num_ctx, started.num_batch);
        assert_eq!((started.num_ctx, started.num_batch), (context, Some(batch)), "{name} on {gpu}");
        assert!(started.budget.notes.iter().any(|note| note.contains("nobody says")));
    }
    let reserved = start(&models["llama-8b-q8"], "rtx-4090", 0, &["OLLAMA_GPU_OVERHEAD=1073741824"], |_| {});
    assert_eq!(reserved.num_ctx, 4096);
}

/// Command lines of public runs: tokens and requests that were asked for, and what was started.
#[test]
fn lines_that_public_runs_started_are_the_ones_that_are_computed() {
    let models = models();
    for (num_ctx, parallel, context, batch) in
        [(512, 1, 512, 512), (4096, 1, 4096, 512), (4096, 2, 8192, 1024), (65536, 1, 65536, 2048)]
    {
        let variable = format!("OLLAMA_NUM_PARALLEL={parallel}");
        let started = start(&models["llama-8b-q8"], "h100", 0, &[&variable], |args| args.num_ctx = Some(num_ctx));
        let said = format!("-c {context} -np {parallel} --flash-attn auto -b {batch} -ub {batch}");
        eprintln!("{num_ctx} tokens, {parallel} at once: {}", started.command());
        assert!(started.command().ends_with(&said), "{said}: {}", started.command());
    }
}

/// A public run of 0.30 with a model of this shape: 4096 MiB of cache for 32768 tokens, 1792 of them on the device with
/// 15 of 33 layers (reference: formulas of memory, section 3).
#[test]
fn a_cache_lies_where_a_public_run_had_it() {
    let started = start(&models()["llama-8b-q8"], "l4", 0, &[], |args| {
        (args.num_ctx, args.num_gpu) = (Some(32768), Some(15));
    });
    let cache = started.budget.part("kv_cache").unwrap();
    eprintln!("cache on the device: 1792 MiB printed, {} computed", cache.device.value >> 20);
    eprintln!("cache on the host: 2304 MiB printed, {} computed", cache.host.value >> 20);
    assert_eq!((cache.device.value, cache.host.value), (1792 << 20, 2304 << 20));
    assert_eq!((started.budget.layers_on_device, started.budget.layers), (15, 33));
}

#[test]
fn nothing_is_surer_than_what_no_run_confirms() {
    for (name, model) in models() {
        for words in [&[][..], &["OLLAMA_KV_CACHE_TYPE=q8_0", "OLLAMA_FLASH_ATTENTION=1", "OLLAMA_NUM_PARALLEL=2"]] {
            let budget = start(&model, "rtx-4090", 12 << 30, words, |args| args.num_ctx = Some(8192)).budget;
            let parts = budget.parts.iter().flat_map(|part| [&part.device, &part.host]);
            let figures = parts.chain([&budget.driver, &budget.device_total, &budget.host_total]);
            assert!(figures.clone().all(|figure| figure.confidence <= Confidence::Estimated), "{name}: {budget:?}");
            assert!(figures.clone().all(|figure| figure.contains(figure.value)), "{name}");
            assert!(
                budget.driver.confidence == Confidence::Assumed && budget.driver.high - budget.driver.low > 700 << 20
            );
            let sum: u64 = budget.parts.iter().map(|part| part.device.value).sum();
            assert_eq!(sum + budget.driver.value, budget.device_total.value, "{name}");
            assert!(budget.device_total.high - budget.device_total.low >= budget.driver.high - budget.driver.low);
        }
    }
}

#[test]
fn settings_become_the_servers_options() {
    let models = models();
    let model = &models["qwen3-4b-q4km"];
    let words =
        ["OLLAMA_KV_CACHE_TYPE=Q8_0", "OLLAMA_FLASH_ATTENTION=0", "LLAMA_ARG_FIT_TARGET=512", "ollama", "serve"];
    let mut args = OllamaArgs::read(&words);
    args.num_ctx = Some(8192);
    let device = device_named("rtx-4090").unwrap();
    let setting = LlamaCppSetting { backend: LlamaCppBackend::Cuda, device: Some(device), others: Bytes::ZERO };
    let refused = ollama_start(model, ("m.gguf", model.bytes().unwrap()), &args, setting);
    assert!(
        matches!(refused, Err(OllamaError::NeedsFlashAttention { .. })),
        "quantized values need attention in one operator"
    );
    args.flash_attention = Some(true);
    (args.num_batch, args.num_gpu) = (Some(64), Some(5));
    let started = ollama_start(model, ("m.gguf", 0), &args, setting).unwrap();
    let line = "LLAMA_ARG_FIT_TARGET=512 llama-server --model m.gguf -c 8192 -np 1 --cache-type-k q8_0 --cache-type-v q8_0 \
                --flash-attn on -b 64 -ub 64 -ngl 5";
    assert_eq!(started.command(), line);
    assert_eq!((started.budget.args.fit_target, started.budget.args.build), (512 << 20, Some(10488)));
    assert_eq!(started.budget.micro_batch, 64);
    (args.num_batch, args.kv_cache_type) = (Some(0), None);
    let own = ollama_start(model, ("m.gguf", 0), &args, setting).unwrap();
    assert!((own.num_batch, own.budget.micro_batch) == (None, 512) && !own.command().contains("-ub"), "{own:?}");
}

#[test]
fn without_layers_on_it_no_device_is_used() {
    let models = models();
    for (version, unmapped) in [("0.32.5", "-ngl 0 --no-mmap"), ("0.32.6", "-ngl 0 --load-mode none")] {
        let started = start(&models["llama-8b-q8"], "rtx-4090", 0, &[], |args| {
            (args.num_gpu, args.version) = (Some(0), version.parse().unwrap());
        });
        assert!(started.command().ends_with(unmapped), "{}", started.command());
        assert_eq!((started.num_ctx, started.budget.device_total.value), (32768, 0));
        assert!(started.budget.fits.is_none() && started.budget.host_total.value > 7 << 30);
    }
}

#[test]
fn attention_on_old_devices_depends_on_the_release() {
    let models = models();
    let device = vramscope_estimate::GpuModel { capability: (6, 1), ..*device_named("l4").unwrap() };
    let setting = LlamaCppSetting { backend: LlamaCppBackend::Cuda, device: Some(&device), others: Bytes::ZERO };
    for (version, attention, batch) in [("0.31.1", "--flash-attn off", 512), ("0.31.2", "--flash-attn auto", 1024)] {
        let args = OllamaArgs { version: version.parse().unwrap(), num_ctx: Some(8192), ..OllamaArgs::default() };
        let started = ollama_start(&models["qwen3-4b-q4km"], ("m.gguf", 0), &args, setting).unwrap();
        assert!(started.command().contains(attention), "{version}: {}", started.command());
        assert_eq!(started.num_batch, Some(batch), "{version}");
    }
}

#[test]
fn what_reads_pictures_has_a_longer_context_and_is_less_sure() {
    let mut models = models();
    let model = models.get_mut("qwen3-4b-q4km").unwrap();
    let plain = start(model, "l4", 0, &[], |args| args.num_ctx = Some(512));
    let mut tower = model.tensors[0].clone();
    tower.name = "v.blk.0.attn_q.weight".to_owned();
    model.tensors.push(tower);
    let seeing = start(model, "l4", 0, &[], |args| args.num_ctx = Some(512));
    assert_eq!((plain.num_ctx, seeing.num_ctx), (512, 2048));
    let width = |start: &OllamaStart| start.budget.device_total.high - start.budget.device_total.low;
    assert!(width(&seeing) > 2 * width(&plain), "{} and {}", width(&seeing), width(&plain));
}

#[test]
fn what_is_not_known_is_refused_or_said() {
    let mut models = models();
    let device = device_named("l4").unwrap();
    let setting = LlamaCppSetting { backend: LlamaCppBackend::Cuda, device: Some(device), others: Bytes::ZERO };
    let model = models.get_mut("llama-8b-q8").unwrap();
    let of = |version: &str| OllamaArgs { version: version.parse().unwrap(), ..OllamaArgs::default() };
    let older = ollama_start(model, ("m.gguf", model.bytes().unwrap()), &of("0.21.0"), setting);
    assert!(matches!(older, Err(OllamaError::Older { .. })), "{older:?}");
    let newer = ollama_start(model, ("m.gguf", model.bytes().unwrap()), &of("0.40.0"), setting).unwrap();
    assert!(newer.budget.notes.iter().any(|note| note.contains("0.40.0 was not read")));
    assert_eq!(newer.budget.args.build, None);
    model.metadata.insert("llama.pooling_type".to_owned(), PackedValue::Number(1));
    let embeds = ollama_start(model, ("m.gguf", model.bytes().unwrap()), &of("0.32.0"), setting);
    assert!(matches!(embeds, Err(OllamaError::Embeddings)), "{embeds:?}");
    let layers = model.metadata.insert("llama.block_count".to_owned(), PackedValue::Number(1 << 62)).unwrap();
    model.metadata.remove("llama.pooling_type");
    let enormous = ollama_start(model, ("m.gguf", 0), &of("0.32.0"), setting);
    assert!(matches!(enormous, Err(OllamaError::Server(_))), "{enormous:?}");
    model.metadata.insert("llama.block_count".to_owned(), layers);
    model.family = "gptoss".to_owned();
    let translated = ollama_start(model, ("m.gguf", 0), &of("0.32.0"), setting).unwrap_err().to_string();
    assert!(translated.contains("gptoss") && translated.contains("gpt-oss"), "{translated}");
}

/// The lines that the engine starts, started by hand on an H200: predicted before.
#[test]
fn lines_that_the_engine_starts_take_what_is_computed_for_them() {
    let models = models();
    let device = device_named("h200").unwrap();
    let rows: Vec<Vec<&str>> = RUNS.lines().skip(1).map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows.len(), 10);
    for row in rows {
        let free = row[2].parse::<u64>().ok().map_or(device.total.get(), |mib| mib << 20);
        let (ours, words): (Vec<&str>, Vec<&str>) = row[8].split(' ').partition(|word| word.starts_with("num_"));
        let mut args = OllamaArgs::read(&words);
        for option in ours {
            match option.split_once('=').unwrap() {
                ("num_ctx", tokens) => args.num_ctx = Some(tokens.parse().unwrap()),
                (_, layers) => args.num_gpu = Some(layers.parse().unwrap()),
            }
        }
        let others = Bytes::new(device.total.get() - free);
        let setting = LlamaCppSetting { backend: LlamaCppBackend::Cuda, device: Some(device), others };
        let model = &models[row[1]];
        let budget = ollama_start(model, ("m.gguf", model.bytes().unwrap()), &args, setting).unwrap().budget;
        let printed = |column: usize| row[column].parse::<f64>().unwrap();
        let mib = |bytes: u64| Bytes::new(bytes).as_f64() / 1_048_576.0;
        let on_device = |names: &[&str]| {
            let parts = budget.parts.iter().filter(|part| names.contains(&part.name));
            mib(parts.map(|part| part.device.value).sum())
        };
        let computed = [on_device(&["weights"]), on_device(&["kv_cache", "window_kv_cache"]), on_device(&["compute"])];
        eprintln!("{}: {computed:.2?} {:.2} of {}", row[0], mib(budget.device_total.value), row[7]);
        assert_eq!(budget.layers_on_device.to_string(), row[3], "{}", row[0]);
        for (column, computed) in (4..).zip(computed) {
            assert!((computed - printed(column)).abs() < 0.02, "{}: {computed} for {}", row[0], row[column]);
        }
        let (total, peak) = (&budget.device_total, printed(7));
        assert!((mib(total.value) - peak).abs() < peak * 0.01, "{}: {:.2} for {peak}", row[0], mib(total.value));
        assert!(mib(total.low) <= peak && peak <= mib(total.high), "{}", row[0]);
    }
}
