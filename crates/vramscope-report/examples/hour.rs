//! An hour of eight GPUs at ten readings a second, as a page: `cargo run --release -p vramscope-report --example hour > hour.html`.
//!
//! What it took is said on stderr.

use std::io::Write as _;
use std::time::Instant;

use serde_json::json;
use vramscope_report::{Document, EngineState, Reading, Recording, page};

const TICKS: u64 = 36_000;
const PERIOD_NS: u64 = 100_000_000;
const DEVICES: u32 = 8;
const GIB: f64 = 1_073_741_824.0;

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "made-up figures"
)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let devices: Vec<u32> = (0..DEVICES).collect();
    let start = Instant::now();
    let mut recording = Recording::new(&devices);
    let mut random = 1u64;
    let mut noise = move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 40) as f64 / (1u64 << 24) as f64
    };
    for (name, from, to) in [
        ("baseline", 0, 60),
        ("launch", 60, 90),
        ("load", 90, 300),
        ("ready", 300, 330),
        ("measure", 330, 3500),
        ("shutdown", 3500, 3520),
        ("settle", 3520, 3600),
    ] {
        recording.phase(name, from * 1_000_000_000, to * 1_000_000_000);
    }
    recording.gap(1_500_000_000_000, 1_560_000_000_000, None, "missed_ticks");
    for tick in 0..TICKS {
        let (at_ns, second) = (tick * PERIOD_NS, tick as f64 / 10.0);
        if (15_001..15_600).contains(&tick) {
            continue;
        }
        for device in 0..DEVICES {
            let memory = match second {
                s if s < 60.0 => 0.0,
                s if s < 90.0 => 0.7,
                s if s < 150.0 => 0.7 + (s - 90.0) / 60.0 * 60.0,
                s if s < 3500.0 => 125.0 + 5.0 * noise() * f64::from(u8::from(s > 330.0)),
                _ => 0.0,
            };
            let busy = (330.0..3500.0).contains(&second);
            let reading = Reading {
                used_bytes: Some((memory * GIB) as u64 / 4096 * 4096),
                total_bytes: Some((140.0 * GIB) as u64),
                power_w: Some(if busy { 450.0 + 250.0 * noise() } else { 120.0 + 4.0 * noise() }),
                temperature_c: Some(if busy { 60.0 + (10.0 * noise()).round() } else { 38.0 }),
                utilization_pct: Some(if busy { (100.0 * noise()).round() } else { 0.0 }),
                memory_utilization_pct: Some(if busy { (60.0 * noise()).round() } else { 0.0 }),
                sm_clock_mhz: Some(if busy { 1980.0 - 15.0 * (20.0 * noise()).round() } else { 345.0 }),
                memory_clock_mhz: Some(3201.0),
            };
            recording.reading(device, tick, at_ns, &reading);
        }
        if tick % 10 == 0 && (3300..35_000).contains(&tick) {
            let state = EngineState {
                running: Some((64.0 * noise()).round()),
                waiting: Some((9.0 * noise()).round()),
                kv_usage_pct: Some(90.0 * noise()),
            };
            recording.request_state(at_ns, &state);
        }
    }
    let taken = start.elapsed();
    let components = json!([{"kind": "model_weights", "size_bytes": 8.0 * 60.0 * GIB}, {"kind": "kv_cache", "size_bytes": 8.0 * 60.0 * GIB}, {"kind": "runtime_context", "size_bytes": 8.0 * 0.7 * GIB}, {"kind": "activations", "size_bytes": 8.0 * 6.0 * GIB}]);
    let value = json!({"vramscope_timeline_report": 1, "seconds": 3600.0, "ticks": recording.ticks(), "memory_breakdown": {"components": components}});
    let document = Document::new("hour", value)?.with_recording(recording);
    let html = page(&[document], None)?.html();
    std::io::stdout().write_all(html.as_bytes())?;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: not known");
    writeln!(
        std::io::stderr(),
        "taken in {taken:?}, page after {:?}, {} bytes of HTML, {peak}",
        start.elapsed(),
        html.len()
    )?;
    Ok(())
}
