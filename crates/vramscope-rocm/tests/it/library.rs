//! ROCm SMI's library: the real loading, calls and errors, on a stand-in.

use serde_json::{Value, json};
use vramscope_core::{Bytes, DeviceIndex, Vendor};
use vramscope_gpu::{GpuBackend, GpuErrorKind, OpenError, PowerKind};
use vramscope_rocm::{RocmOptions, Source};

use crate::machine::Machine;

const FIRST: DeviceIndex = DeviceIndex(0);

fn try_open(machine: &Machine, script: &Value) -> Result<Box<dyn GpuBackend>, OpenError> {
    let library = Some(machine.library(script));
    machine.open(&RocmOptions { library, ..machine.options(Source::RocmSmi) })
}

fn opened(script: &Value) -> (Machine, Box<dyn GpuBackend>) {
    let machine = Machine::new();
    let backend = try_open(&machine, script).unwrap();
    (machine, backend)
}

#[test]
fn every_figure_is_what_the_library_says() {
    let (_machine, mut backend) = opened(&json!({"devices": [{"used": [5_000_000_000u64], "busy": [93],
        "memory_busy": 41, "temperatures": {"0": 51_000, "1": 60_000, "2": 38_500}, "errors": [3, 1],
        "energy_count": 1_000_000, "energy_resolution_uj": 15.5}]}));
    assert_eq!(backend.name(), "rocm-smi");
    let device = &backend.devices()[0];
    assert_eq!(device.uuid.as_deref(), Some("GPU-123456789abcdef0"));
    assert_eq!(device.name.as_deref(), Some("Stand-in Instinct"));
    assert_eq!(device.pci_bus_id.as_deref(), Some("0000:83:00.0"));
    assert_eq!((device.vendor, device.total), (Some(Vendor::Amd), Some(Bytes::new(206_141_652_992))));
    assert_eq!(backend.info().power, Some(PowerKind::Socket));
    let reading = backend.read(FIRST).unwrap();
    assert_eq!(reading.used, Bytes::new(5_000_000_000));
    assert_eq!(reading.power_mw, Some(141_000));
    assert_eq!((reading.utilization_pct, reading.memory_utilization_pct), (Some(93), Some(41)));
    assert_eq!((reading.temperature_c, reading.memory_temperature_c), (Some(51), Some(38)));
    assert_eq!(reading.reserved, None);
    let slow = backend.read_slow(FIRST).unwrap();
    assert_eq!(slow.energy_mj, Some(15_500));
    assert_eq!((slow.ecc_corrected, slow.ecc_uncorrected), (Some(3), Some(1)));
    assert_eq!(slow.power_limit_mw, Some(750_000));
}

#[test]
fn a_failed_init_is_an_error_and_not_an_empty_list() {
    let machine = Machine::new();
    let error = try_open(&machine, &json!({"codes": {"rsmi_init": 8}})).err().unwrap();
    assert!(error.to_string().contains("rsmi_init answered 8"), "{error}");
    let error = try_open(&Machine::new(), &json!({"devices": []})).err().unwrap();
    assert!(error.to_string().contains("lists no device"), "{error}");
}

#[test]
fn one_missing_figure_does_not_hide_the_others() {
    let (_machine, mut backend) = opened(&json!({"devices": [{"temperatures": {"1": 45_000},
        "codes": {"rsmi_dev_memory_busy_percent_get": 2, "rsmi_dev_power_get": 9}, "power_type": 0}]}));
    let reading = backend.read(FIRST).unwrap();
    assert_eq!(reading.temperature_c, Some(45), "a card without an edge sensor has its junction's");
    assert_eq!((reading.memory_utilization_pct, reading.memory_temperature_c), (None, None));
    assert_eq!(reading.power_mw, Some(141_000), "the older call has it");
    assert_eq!(backend.info().power, Some(PowerKind::Average));
}

#[test]
fn the_die_without_power_has_none_and_not_zero() {
    let silent = json!({"pci_id": 0x8400, "codes": {"rsmi_dev_power_get": 2, "rsmi_dev_power_ave_get": 2}});
    let (_machine, mut backend) = opened(&json!({"devices": [{}, silent]}));
    assert_eq!(backend.read(DeviceIndex(1)).unwrap().power_mw, None);
    assert!(backend.info().notes.iter().any(|note| note.contains("second die")), "{:?}", backend.info().notes);
    assert_eq!(backend.info().power, None, "the devices do not agree");
}

#[test]
fn an_energy_counter_of_zero_is_a_card_without_one() {
    let (_machine, mut backend) = opened(&json!({}));
    assert_eq!(backend.read_slow(FIRST).unwrap().energy_mj, None);
}

#[test]
fn memory_that_fails_is_an_error_with_its_kind() {
    let kind = |code: u32| {
        let (_machine, mut backend) = opened(&json!({"codes": {"rsmi_dev_memory_usage_get": code}}));
        backend.read(FIRST).unwrap_err().kind()
    };
    assert_eq!(kind(2), GpuErrorKind::Unsupported);
    assert_eq!(kind(4), GpuErrorKind::Permission);
    assert_eq!(kind(16), GpuErrorKind::Transient);
    assert_eq!(kind(10), GpuErrorKind::Lost);
    assert_eq!(kind(6), GpuErrorKind::Transient);
}

#[test]
fn a_device_lost_in_mid_run_is_an_error_and_the_other_one_goes_on() {
    let (_machine, mut backend) = opened(&json!({"devices": [{"lost_after": 2}, {"pci_id": 0x8400}]}));
    let answers: Vec<bool> = (0..4).map(|_| backend.read(FIRST).is_ok()).collect();
    assert_eq!(answers, [true, true, false, false]);
    assert_eq!(backend.read_slow(FIRST).unwrap_err().kind(), GpuErrorKind::Lost);
    assert!(backend.read(DeviceIndex(1)).is_ok());
}

#[test]
fn clocks_and_processes_come_from_the_kernel_by_the_cards_bus() {
    let machine = Machine::new();
    machine.card(3, "0000:83:00.0", 0, 1 << 30);
    machine.file("sys/class/drm/card3/device/pp_dpm_sclk", "0: 500Mhz\n1: 1700Mhz *\n");
    machine.file("sys/class/kfd/kfd/topology/nodes/1/gpu_id", "4711\n");
    machine.file("sys/class/kfd/kfd/topology/nodes/1/properties", "simd_count 416\nlocation_id 33536\ndomain 0\n");
    machine.file("sys/class/kfd/kfd/proc/77/vram_4711", "1048576\n");
    machine.file("proc/77/comm", "python3\n");
    let mut backend = try_open(&machine, &json!({})).unwrap();
    assert_eq!(backend.read(FIRST).unwrap().sm_clock_mhz, Some(1700));
    let processes = backend.processes(FIRST).unwrap();
    assert_eq!((processes.len(), processes[0].pid, processes[0].used), (1, 77, Some(Bytes::new(1 << 20))));
    assert_eq!(processes[0].name.as_deref(), Some("python3"));
}

#[test]
fn every_name_that_was_tried_is_listed() {
    let machine = Machine::new();
    let library = Some(machine.root().join("nothing.so"));
    let error = machine.open(&RocmOptions { library, ..machine.options(Source::RocmSmi) }).err().unwrap();
    assert!(error.tried[0].what.ends_with("nothing.so"), "{error}");
    let foreign = Some(machine.file("foreign.so", "not a library"));
    let error = machine.open(&RocmOptions { library: foreign, ..machine.options(Source::RocmSmi) }).err().unwrap();
    assert!(error.tried[0].what.ends_with("foreign.so"), "{error}");
}

#[test]
fn on_a_machine_without_a_card_nothing_is_loaded_and_it_says_why() {
    let machine = Machine::new();
    let error = machine.open(&RocmOptions { only: None, ..machine.options(Source::RocmSmi) }).err().unwrap();
    assert!(error.tried[0].outcome.contains("not loaded"), "{error}");
    assert!(error.advice.contains("amdgpu"), "{error}");
}

#[test]
fn processes_are_unknown_and_not_none_where_the_kernel_does_not_list_the_card() {
    let machine = Machine::new();
    machine.file("proc/1/stat", "1 (init) S 0 1 1 0");
    let mut backend = try_open(&machine, &json!({})).unwrap();
    assert_eq!(backend.read_slow(FIRST).unwrap().processes, None);
    assert_eq!(backend.processes(FIRST).unwrap_err().kind(), GpuErrorKind::Unsupported);
}
