//! Where only AMD's tools answer, which cannot be asked as often as a library.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use serde_json::json;
use vramscope_timeline::document::read_file;

use super::Machine;
use crate::gpus::stand_in;
use crate::{stderr, stdout};

pub(crate) const AMD_SMI: &str = r#"#!/bin/sh
if [ "$1" = static ]; then
  echo '{"gpu_data": [{"gpu": 0, "asic": {"market_name": "AMD Instinct MI300X"}}]}'
else
  echo '{"gpu_data": [{"gpu": 0, "mem_usage": {"total_vram": {"value": 196592, "unit": "MB"}, "used_vram": {"value": 284, "unit": "MB"}}}]}'
fi
"#;

/// A folder whose program `amd-smi` prints one device.
fn with_amd_smi() -> Machine {
    let machine = Machine::steady();
    machine.write("amd-smi", AMD_SMI);
    fs::set_permissions(machine.path("amd-smi"), fs::Permissions::from_mode(0o755)).unwrap();
    machine
}

fn run(machine: &Machine, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vramscope"));
    let root = machine.folder.path();
    let path = format!("{}:{}", root.display(), std::env::var("PATH").unwrap());
    command.args(["monitor", "--sys-root", root.to_str().unwrap(), "--format", "lines"]).args(args);
    command.env("PATH", path).output().unwrap()
}

#[test]
fn the_usual_interval_becomes_what_the_tools_allow_and_it_is_said_and_recorded() {
    let machine = with_amd_smi();
    let file = machine.path("run.jsonl");
    let out = run(&machine, &["--backend", "amd-smi", "--duration", "1500ms", "-o", file.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(0), "{}", stderr(&out));
    let said = "note: readings are taken every 1s in place of 100ms: amd-smi cannot be asked more often\n";
    assert_eq!(stderr(&out), said);
    assert!(stdout(&out).contains("2 ticks, one each 1000 ms"), "{}", stdout(&out));
    assert_eq!(read_file(&file).unwrap().header.period_ms, Some(1000.0));
}

#[test]
fn an_interval_that_was_asked_for_is_refused_where_it_is_too_short_and_kept_where_it_is_not() {
    let machine = with_amd_smi();
    let short = run(&machine, &["--backend", "amd-smi", "--interval", "100ms", "--duration", "1s"]);
    assert_eq!(short.status.code(), Some(2));
    assert!(stderr(&short).contains("the shortest period is 1s for amd-smi"), "{}", stderr(&short));
    let long = run(&machine, &["--backend", "amd-smi", "--interval", "1500ms", "--duration", "1s"]);
    assert_eq!((long.status.code(), stderr(&long).as_str()), (Some(0), ""));
}

#[test]
fn devices_of_two_vendors_have_one_interval_that_both_sources_allow() {
    let machine = with_amd_smi();
    // The kernel's driver is there, and its files of the card cannot be seen.
    fs::create_dir_all(machine.path("sys/class/kfd/kfd")).unwrap();
    let script = json!({"devices": [{"name": "Stand-in GPU", "used": [3_221_225_472u64]}]});
    let library = stand_in(machine.folder.path(), "libstandin_nvml.so", "libnvidia-ml.so.1", &script);
    let out = run(&machine, &["--nvml-lib", &library, "--duration", "1500ms"]);
    assert_eq!(out.status.code(), Some(0), "{}", stderr(&out));
    assert!(stderr(&out).contains("every 1s in place of 100ms: amd-smi"), "{}", stderr(&out));
    let text = stdout(&out);
    assert!(text.contains("GPU 0  Stand-in GPU  2 samples"), "{text}");
    assert!(text.contains("GPU 1  AMD Instinct MI300X  2 samples"), "{text}");
}
