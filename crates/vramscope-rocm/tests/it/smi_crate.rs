//! The crate `rocm_smi_lib`: it links its library, so each case is a process of its own that finds the stand-in, or the
//! installed library, when it starts.

use std::process::{Command, Output};

use serde_json::{Value, json};
use vramscope_core::{Bytes, DeviceIndex};
use vramscope_rocm::Source;

use crate::machine::Machine;

/// Runs a test of this binary again, with the stand-in in the place of the installed library.
fn beside(machine: &Machine, script: &Value, test: &str) -> Output {
    machine.library(script);
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("LD_LIBRARY_PATH", machine.root())
        .env("VRAMSCOPE_TEST_ROOT", machine.root())
        .output()
        .unwrap()
}

/// What the child sees, one line a device.
fn look() -> Option<String> {
    let root = std::env::var_os("VRAMSCOPE_TEST_ROOT")?;
    let options = vramscope_rocm::RocmOptions {
        root: root.into(),
        only: Some(Source::RocmSmiLib),
        ..vramscope_rocm::RocmOptions::default()
    };
    Some(match vramscope_rocm::open(&options) {
        Ok(mut backend) => {
            let device = backend.devices()[0].clone();
            format!("{} {:?} {:?} {:?}", backend.name(), device.name, device.total, backend.read(DeviceIndex(0)))
        }
        Err(error) => error.to_string(),
    })
}

#[test]
fn its_sound_calls_and_the_kernels_files_make_a_reading() {
    if let Some(seen) = look() {
        println!("seen: {seen}");
        return;
    }
    let machine = Machine::new();
    machine.card(0, "0000:83:00.0", 1, 2);
    machine.file("sys/class/drm/card0/device/product_name", "Instinct of files\n");
    machine.file("sys/class/drm/card0/device/pp_dpm_sclk", "0: 500Mhz\n1: 2100Mhz *\n");
    let script = json!({"devices": [{"used": [5_000_000_000u64], "other_memory": [1, 2], "busy": [93], "memory_busy": 41,
        "temperatures": {"0": 51_999, "2": 38_500}}]});
    let output = beside(&machine, &script, "smi_crate::its_sound_calls_and_the_kernels_files_make_a_reading");
    let seen = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{seen}{}", String::from_utf8_lossy(&output.stderr));
    let used = format!("used: {:?}", Bytes::new(5_000_000_000));
    for part in [
        "rocm-smi-lib Some(\"Instinct of files\")",
        used.as_str(),
        "utilization_pct: Some(93)",
        "memory_utilization_pct: Some(41)",
        "temperature_c: Some(51)",
        "memory_temperature_c: Some(38)",
        "sm_clock_mhz: Some(2100)",
    ] {
        assert!(seen.contains(part), "{part} in {seen}");
    }
}

#[test]
fn a_card_without_one_kind_of_memory_has_no_figure_and_says_so() {
    if let Some(seen) = look() {
        println!("seen: {seen}");
        return;
    }
    let machine = Machine::new();
    let test = "smi_crate::a_card_without_one_kind_of_memory_has_no_figure_and_says_so";
    let output = beside(&machine, &json!({}), test);
    let seen = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(seen.contains("Err(Unsupported { device: DeviceIndex(0), what: \"memory\" })"), "{seen}");
}

#[test]
fn a_driver_that_is_not_there_is_an_error_although_the_crate_keeps_silent() {
    if let Some(seen) = look() {
        println!("seen: {seen}");
        return;
    }
    let machine = Machine::new();
    let test = "smi_crate::a_driver_that_is_not_there_is_an_error_although_the_crate_keeps_silent";
    let output = beside(&machine, &json!({"codes": {"rsmi_init": 8}, "devices": []}), test);
    let seen = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(seen.contains("rocm_smi_lib: it lists no device"), "{seen}{}", String::from_utf8_lossy(&output.stderr));
}
