//! Inputs that are too large, or too ugly, to be kept.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

const GIB: u64 = 1 << 30;
/// An H200, as its driver counts.
const TOTAL: u64 = 150_754_820_096;
const RESERVED: u64 = 644_939_776;

/// A file or a folder of this name.
pub(super) fn file(root: &Path, folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let path = folder.join(name);
    match name {
        _ if path.exists() => {}
        "hour.csv" => hour(&path).with_context(|| format!("write {}", path.display()))?,
        "hostile" => return hostile_folder(root, folder),
        "hostile.trace.json" => fs::write(&path, hostile_trace().to_string()).context("write the hostile trace")?,
        _ => bail!("nothing is known of {name}"),
    }
    Ok(path)
}

/// Readings of eight devices, ten a second for an hour, with a gap of thirty seconds and with peaks of one tick.
fn hour(path: &Path) -> std::io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    writeln!(
        out,
        "timestamp_ns,gpu_index,used_bytes,free_bytes,total_bytes,reserved_bytes,power_mw,power_avg_mw,temp_c,\
         util_gpu_pct,util_mem_pct,sm_clock_mhz,mem_clock_mhz,energy_mj,processes"
    )?;
    let mut energy = [0_u64; 8];
    for tick in (0..36_000_u64).filter(|tick| !(20_000..20_300).contains(tick)) {
        let time = 1_795_323_320_000_000_000 + tick * 100_000_000;
        for (index, energy) in (0_u64..).zip(&mut energy) {
            let used = used(tick, index);
            let busy = if tick < 1800 { 0 } else { 60 + (tick / 7 + index * 5) % 40 };
            let power = 80_000 + busy * 6000 + (tick * 31 + index * 17) % 900;
            *energy += power / 10;
            writeln!(
                out,
                "{time},{index},{used},{},{TOTAL},{RESERVED},{power},{power},{},{busy},{},{},3201,{energy},",
                TOTAL - RESERVED - used,
                35 + busy / 3 + index % 3,
                busy / 2,
                if busy == 0 { 345 } else { 1980 },
            )?;
        }
    }
    out.flush()
}

/// Nothing, weights, a pool, then requests; now and then much for one tick.
fn used(tick: u64, index: u64) -> u64 {
    match tick {
        ..600 => GIB / 2,
        600..1200 => GIB / 2 + (tick - 600) * 16 * GIB / 600,
        1200..1800 => 17 * GIB,
        _ if tick % 4321 == index * 100 => 134 * GIB,
        _ => 120 * GIB + (tick * (index + 3)) % 97 * (GIB / 64),
    }
}

/// A recording of an engine whose names and lines are hostile, in a folder with a hostile name.
fn hostile_folder(root: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let path = folder.join("<i>\"'onerror=alert(1)>&amp;\u{202e}`");
    fs::create_dir_all(&path).context("make the hostile folder")?;
    let from = root.join("examples/llama-3.1-8b");
    for entry in fs::read_dir(&from).context("list the example")? {
        let entry = entry.context("list the example")?;
        fs::copy(entry.path(), path.join(entry.file_name())).context("copy the example")?;
    }
    let arguments = fs::read_to_string(from.join("args.json")).context("read the example's arguments")?;
    let model = "</script><img src=x onerror=alert(2)>";
    let arguments = arguments.replace("./model", model).replace("llama-3.1-8b", model);
    fs::write(path.join("args.json"), arguments).context("write the hostile arguments")?;
    let mut log = fs::read_to_string(from.join("vllm.log")).context("read the example's log")?;
    let long = "W".repeat(1 << 20);
    for text in [model, "\"><svg onload=alert(3)>", "safe\u{202e}gpj.exe", "\u{1b}]0;title\u{7}\u{1b}[2J", &long] {
        log.push_str(&format!("WARNING 11-22 04:56:25 [loggers.py:273] {text}\n"));
        log.push_str(&format!("ERROR 11-22 04:56:25 [core.py:900] torch.OutOfMemoryError: {text}\n"));
    }
    fs::write(path.join("vllm.log"), log).context("write the hostile log")?;
    Ok(path)
}

/// A trace of a few kernels with hostile names.
fn hostile_trace() -> Value {
    let long = "W".repeat(1 << 20);
    let names = ["</script><img src=x onerror=alert(1)>", "\"><svg onload=alert(2)>", "safe\u{202e}gpj.exe", &long];
    let mut events = Vec::new();
    for (place, name) in (0_u32..).zip(names.iter().cycle().take(40)) {
        let at = f64::from(place) * 100.0;
        let event = |cat: &str, name: &str, tid: u32, ts: f64, dur: f64| {
            json!({"ph": "X", "cat": cat, "name": name, "pid": if cat == "kernel" { 0 } else { 77 }, "tid": tid, "ts": ts,
                "dur": dur, "args": {"External id": place + 1, "correlation": place + 1, "device": 0, "stream": 7}})
        };
        events.push(event("cpu_op", name, 1, at, 40.0));
        events.push(event("cuda_runtime", "cudaLaunchKernel", 1, at + 5.0, 5.0));
        events.push(event("kernel", name, 7, at + 20.0, 60.0));
    }
    json!({"schemaVersion": 1, "deviceProperties": [{"id": 0, "name": names[0], "totalGlobalMem": TOTAL}],
        "traceEvents": events})
}

/// A table of so many runs: batch sizes along ten lengths.
pub(super) fn many_runs(count: u32) -> Value {
    let along = count.div_ceil(10);
    let (mut runs, mut series) = (Vec::new(), Vec::new());
    for length in (1..=10_u32).map(|step| step * 128) {
        let mut points = Vec::new();
        for batch in 1..=along {
            let latency = 500.0 + f64::from(batch) * f64::from(length) / 64.0;
            let tokens = f64::from(batch) * 128_000.0 / latency;
            let peak = 16 * GIB + u64::from(batch * length) * 131_072;
            runs.push(json!({
                "name": format!("sweep/bs{batch}-in{length}.json"), "status": "complete",
                "settings": {"batch_size": batch.to_string(), "dtype": "bfloat16", "engine": "vllm 0.25.1", "gpus": "1",
                    "input_len": length.to_string(), "max_model_len": "8192", "model": "llama-3.1-8b", "output_len": "128"},
                "figures": {"baseline_bytes": 0, "kv_cache_bytes": 8 * GIB, "load_s": 42.8, "mean_latency_ms": latency,
                    "model_weights_bytes": 16_106_127_360_u64, "peak_bytes": peak, "residual_bytes": 708_837_376,
                    "requests_per_second": tokens / 128.0, "tokens_per_second": tokens},
                "cautions": [],
            }));
            points.push(json!({"value": batch, "runs": 1, "tokens_per_second": tokens, "speedup": f64::from(batch),
                "mean_latency_ms": latency, "slowdown": latency / 500.0, "peak_bytes": peak}));
        }
        let fixed = json!({"input_len": length.to_string()});
        series.push(json!({"axis": "batch_size", "fixed": fixed, "points": points, "slows_at": null}));
    }
    json!({"vramscope_runs": 1, "runs": runs, "series": series})
}
