//! `vllm bench latency`.

use std::io;
use std::path::Path;
use std::process::exit;

use serde_json::json;
use standin_vllm::{How, Phase};

use crate::engine::{Engine, hang};
use crate::flags::Given;

/// The percentiles that the benchmark prints.
const PERCENTILES: [u8; 6] = [10, 25, 50, 75, 90, 99];

/// Plays the benchmark to its end.
pub(crate) fn latency(engine: &Engine, given: &Given, recorded_s: &[f64]) -> io::Result<()> {
    for phase in [Phase::Launch, Phase::Load, Phase::Ready, Phase::Warmup, Phase::Measure, Phase::Shutdown] {
        if phase == Phase::Shutdown {
            // The recording's own figures belong to its number of iterations.
            result(engine, given, recorded_s)?;
        }
        match engine.enter(phase) {
            Some(How::Hang) => hang(),
            Some(_) if phase == Phase::Shutdown => hang(),
            Some(_) => {
                engine.log(&format!("ValueError: the script refuses at {phase:?}"));
                engine.end(1);
            }
            None => {}
        }
        let more = engine.play(phase);
        if !more && phase < Phase::Measure {
            // The recorded engine failed here.
            engine.end(1);
        }
    }
    engine.use_memory(0);
    engine.end(0)
}

/// Prints and writes the times of as many iterations as were asked for.
fn result(engine: &Engine, given: &Given, recorded_s: &[f64]) -> io::Result<()> {
    let count = given.flags.get("--num-iters").map_or(Ok(recorded_s.len()), |text| text.parse());
    let Ok(count) = count else { exit(2) };
    let latencies: Vec<f64> = recorded_s.iter().copied().cycle().take(count).collect();
    let mut sorted = latencies.clone();
    sorted.sort_by(f64::total_cmp);
    let average = latencies.iter().sum::<f64>() / f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    engine.log(&format!("Avg latency: {average} seconds"));
    let mut percentiles = serde_json::Map::new();
    for percent in PERCENTILES {
        let value = quantile(&sorted, f64::from(percent) / 100.0);
        engine.log(&format!("{percent}% percentile latency: {value} seconds"));
        percentiles.insert(percent.to_string(), json!(value));
    }
    if let Some(path) = given.flags.get("--output-json") {
        let document = json!({"avg_latency": average, "latencies": latencies, "percentiles": percentiles});
        std::fs::write(Path::new(path), format!("{document:#}"))?;
    }
    Ok(())
}

/// The linear quantile of sorted values; NaN of none.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = q * f64::from(u32::try_from(last).unwrap_or(u32::MAX));
    let below = (0..=last).rev().find(|i| f64::from(u32::try_from(*i).unwrap_or(0)) <= place).unwrap_or(0);
    let fraction = place - place.floor();
    sorted[below] + fraction * (sorted[(below + 1).min(last)] - sorted[below])
}
