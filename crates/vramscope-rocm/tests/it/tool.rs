//! The tools as a source: programs that print outputs of the recorded shapes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use vramscope_core::{Bytes, DeviceIndex};
use vramscope_gpu::{GpuBackend, OpenError, PowerKind};
use vramscope_rocm::{RocmOptions, Source};

use crate::machine::Machine;

fn program(machine: &Machine, name: &str, script: &str) -> PathBuf {
    let text = machine.file(&format!("{name}.text"), &format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(&text, fs::Permissions::from_mode(0o755)).unwrap();
    // A program that another test's child still holds open for writing cannot be started: let another process write it.
    let path = machine.root().join(name);
    assert!(Command::new("cp").arg(&text).arg(&path).status().unwrap().success());
    path
}

fn try_open(machine: &Machine, name: &str, script: &str) -> Result<Box<dyn GpuBackend>, OpenError> {
    let tool = Some(program(machine, name, script));
    machine.open(&RocmOptions { tool, ..machine.options(Source::Tools) })
}

#[test]
fn amd_smi_is_read_in_its_wrapped_shape_with_text_before_it() {
    let machine = Machine::new();
    let script = r#"echo 'WARNING: User is missing the following required groups: [render]'
if [ "$1" = static ]; then
  echo '{"gpu_data": [{"gpu": 0, "asic": {"market_name": "AMD Instinct MI300X"}, "vram": {"size": {"value": 196592, "unit": "MB"}}}]}'
else
  echo '{"gpu_data": [{"gpu": 0, "usage": {"gfx_activity": {"value": 12, "unit": "%"}}, "power": {"socket_power": {"value": 141, "unit": "W"}},
    "temperature": {"edge": "N/A", "hotspot": {"value": 45, "unit": "C"}}, "mem_usage": {"used_vram": {"value": 284, "unit": "MB"}}}]}'
fi"#;
    let mut backend = try_open(&machine, "amd-smi", script).unwrap();
    assert_eq!(backend.name(), "amd-smi");
    assert_eq!(backend.devices()[0].name.as_deref(), Some("AMD Instinct MI300X"));
    let reading = backend.read(DeviceIndex(0)).unwrap();
    assert_eq!(reading.used, Bytes::new(284 << 20));
    assert_eq!((reading.power_mw, reading.temperature_c, reading.utilization_pct), (Some(141_000), Some(45), Some(12)));
    let info = backend.info();
    assert_eq!((info.power, info.shortest_period), (Some(PowerKind::Socket), Some(Duration::from_secs(1))));
}

#[test]
fn rocm_smi_is_read_in_its_string_shape_and_asked_once_a_second_at_most() {
    let machine = Machine::new();
    let count = machine.root().join("count");
    let script = format!(
        r#"echo run >> '{}'
echo '{{"card0": {{"VRAM Total Memory (B)": "34342961152", "VRAM Total Used Memory (B)": "6782976", "GPU use (%)": "0", "Average Graphics Package Power (W)": "37.0", "sclk clock speed:": "(300Mhz)"}}}}'"#,
        count.display()
    );
    let mut backend = try_open(&machine, "rocm-smi", &script).unwrap();
    for _ in 0..50 {
        let reading = backend.read(DeviceIndex(0)).unwrap();
        assert_eq!(reading.used, Bytes::new(6_782_976), "bytes are exact where the tool prints bytes");
        assert_eq!((reading.power_mw, reading.sm_clock_mhz), (Some(37_000), Some(300)));
    }
    assert!(fs::read_to_string(count).unwrap().lines().count() <= 4);
}

#[test]
fn a_tool_that_prints_nothing_or_fails_is_said_so() {
    let machine = Machine::new();
    let silent = try_open(&machine, "amd-smi", "exit 3").err().unwrap();
    assert!(silent.to_string().contains("it printed nothing (exit status: 3)"), "{silent}");
    let wrong = try_open(&machine, "rocm-smi", "echo '{\"a\": 1}'").err().unwrap();
    assert!(wrong.to_string().contains("amd-smi's or rocm-smi's keys"), "{wrong}");
}
