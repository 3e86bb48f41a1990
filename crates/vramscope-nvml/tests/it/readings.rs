//! Readings: each figure, what is absent, and what fails.

use serde_json::{Value, json};
use vramscope_core::{Bytes, DeviceIndex, ProcessKind, SlowReading, Throttle};
use vramscope_gpu::{GpuBackend as _, GpuErrorKind};
use vramscope_nvml::{NvmlBackend, NvmlOptions};

use crate::standin::{StandIn, opened};

const FIRST: DeviceIndex = DeviceIndex(0);

fn one(device: &Value) -> (StandIn, NvmlBackend) {
    opened(&json!({ "devices": [device] }))
}

#[test]
fn every_fast_figure_is_what_the_driver_says() {
    // The first reading is the one in which the backend learns what the device has.
    let (_library, mut backend) = one(&json!({"used": [1, 5_368_709_120u64], "power_mw": [1, 702_000],
        "power_average_mw": 650_000, "temperature": 52, "memory_temperature": 61, "utilization": [1, 100],
        "memory_utilization": 7, "sm_clock": 1980, "memory_clock": 3201, "throttle": 0x44}));
    let reading = backend.read(FIRST).unwrap();
    assert_eq!(reading.used, Bytes::new(5_368_709_120));
    assert_eq!(reading.total, Some(Bytes::new(150_754_820_096)));
    assert_eq!(reading.reserved, Some(Bytes::new(644_939_776)));
    assert_eq!((reading.power_mw, reading.power_average_mw), (Some(702_000), Some(650_000)));
    assert_eq!((reading.temperature_c, reading.memory_temperature_c), (Some(52), Some(61)));
    assert_eq!((reading.utilization_pct, reading.memory_utilization_pct), (Some(100), Some(7)));
    assert_eq!((reading.sm_clock_mhz, reading.memory_clock_mhz), (Some(1980), Some(3201)));
    assert_eq!(reading.throttle, Some(Throttle::POWER.with(Throttle::HARDWARE_THERMAL)));
    assert_eq!(reading.energy_mj, None, "the energy counter is too dear for the fast lane");
}

#[test]
fn an_old_driver_has_memory_without_reserved_and_one_kind_of_power() {
    // 13: the function is not in this library. 3: the device has no such field.
    let (_library, mut backend) = one(&json!({"codes": {"nvmlDeviceGetMemoryInfo_v2": 13},
        "field_codes": {"186": 3, "185": 3, "82": 3}, "used": [10], "reserved": 7}));
    let reading = backend.read(FIRST).unwrap();
    assert_eq!(reading.used, Bytes::new(17), "the old call counts what the driver holds as used");
    assert_eq!(reading.reserved, None);
    assert_eq!((reading.power_mw, reading.power_average_mw), (Some(70_000), None));
    assert_eq!(reading.memory_temperature_c, None);
    let info = backend.info();
    assert_eq!((info.power, info.reserved_apart), (None, Some(false)));
    assert_eq!(info.notes.len(), 2, "{:?}", info.notes);
}

#[test]
fn memory_that_is_shared_with_the_cpu_is_that_of_the_processes() {
    // 3: not supported, as GB10 answers.
    let none = json!({"nvmlDeviceGetMemoryInfo_v2": 3, "nvmlDeviceGetMemoryInfo": 3});
    let processes = json!([{"pid": 41, "used": 5_368_709_120u64}, {"pid": 42, "used": 1_073_741_824u64}]);
    let (_library, mut backend) = one(&json!({"codes": none, "processes": processes, "power_mw": [31_000]}));
    let reading = backend.read(FIRST).unwrap();
    assert_eq!((reading.used, reading.reserved), (Bytes::new(6_442_450_944), None));
    assert_eq!(reading.total, vramscope_gpu::machine_memory(std::path::Path::new("/")).ok());
    assert_eq!(reading.power_mw, Some(31_000), "what else it has is read");
    let notes = backend.info().notes;
    assert!(notes.iter().any(|note| note.contains("/proc/meminfo") && note.contains("processes")), "{notes:?}");
    assert!(notes.iter().all(|note| !note.contains("old driver")), "{notes:?}");
    // Idle, its name tells that zero is a reading.
    let (_library, mut backend) = one(&json!({"codes": none, "name": "NVIDIA GB10"}));
    assert_eq!(backend.read(FIRST).unwrap().used, Bytes::ZERO);
    // A driver that lists no processes either leaves nothing to measure.
    let lists = [
        "nvmlDeviceGetComputeRunningProcesses_v3",
        "nvmlDeviceGetGraphicsRunningProcesses_v3",
        "nvmlDeviceGetMPSComputeRunningProcesses_v3",
    ];
    let mut codes = none.clone();
    lists.iter().for_each(|list| codes[*list] = json!(3));
    let (_library, mut backend) = one(&json!({"codes": codes, "name": "NVIDIA GB10"}));
    assert_eq!(backend.read(FIRST).unwrap_err().kind(), GpuErrorKind::Unsupported);
}

#[test]
fn what_a_device_lacks_is_absent_and_zero_is_a_reading() {
    let (_library, mut backend) = one(&json!({"codes": {"nvmlDeviceGetUtilizationRates": 3,
        "nvmlDeviceGetTemperature": 4, "nvmlDeviceGetClockInfo": 999}, "power_mw": [0], "memory_temperature": 0}));
    let reading = backend.read(FIRST).unwrap();
    assert_eq!((reading.utilization_pct, reading.temperature_c, reading.sm_clock_mhz), (None, None, None));
    assert_eq!(reading.power_mw, Some(0));
    assert_eq!(reading.memory_temperature_c, None, "a memory of 0 degrees is a sensor that is not there");
}

#[test]
fn a_figure_that_is_not_supported_is_not_asked_for_again() {
    let (_library, mut backend) = one(&json!({"codes": {"nvmlDeviceGetUtilizationRates": 3}}));
    for _ in 0..5 {
        backend.read(FIRST).unwrap();
    }
    let costs = backend.call_costs();
    let count = |call: &str| costs.iter().find(|cost| cost.call == call).map_or(0, |cost| cost.count);
    assert_eq!((count("memory"), count("utilization")), (5, 0));
}

#[test]
fn memory_that_fails_is_an_error_with_its_kind() {
    let kind = |code: u32| {
        let (_library, mut backend) = one(&json!({"codes": {"nvmlDeviceGetMemoryInfo_v2": code,
            "nvmlDeviceGetMemoryInfo": code}}));
        backend.read(FIRST).unwrap_err().kind()
    };
    assert_eq!(kind(3), GpuErrorKind::Unsupported);
    assert_eq!(kind(4), GpuErrorKind::Permission);
    assert_eq!(kind(10), GpuErrorKind::Transient);
    assert_eq!(kind(15), GpuErrorKind::Lost);
    assert_eq!(kind(16), GpuErrorKind::Lost);
    assert_eq!(kind(999), GpuErrorKind::Transient);
}

#[test]
fn a_device_lost_in_mid_run_is_an_error_and_the_other_one_goes_on() {
    // Opening asks for memory twice: to describe the device and to learn what it has.
    let script = json!({"devices": [{"lost_after": 6}, {"uuid": "GPU-b"}]});
    let (_library, mut backend) = opened(&script);
    let answers: Vec<bool> = (0..6).map(|_| backend.read(FIRST).is_ok()).collect();
    assert_eq!(answers, [true, true, true, false, false, false]);
    assert_eq!(backend.read(FIRST).unwrap_err().kind(), GpuErrorKind::Lost);
    assert_eq!(backend.read_slow(FIRST).unwrap_err().kind(), GpuErrorKind::Lost);
    assert!(backend.read(DeviceIndex(1)).is_ok());
}

#[test]
fn slow_figures_are_what_the_driver_says() {
    let (_library, mut backend) = one(&json!({"energy_mj": [16_044_284], "pcie": [1_000, 2_000],
        "link_kib": [3, 4], "ecc": [5, 6], "power_limit_mw": 700_000}));
    let mut reading = backend.read_slow(FIRST).unwrap();
    let dear = (reading.energy_mj, reading.pcie_tx_bytes, reading.link_tx_bytes);
    assert_eq!(dear, (None, None, None), "their calls take milliseconds");
    backend.read_rare(FIRST, &mut reading).unwrap();
    assert_eq!(reading.energy_mj, Some(16_044_284));
    assert_eq!((reading.pcie_tx_bytes, reading.pcie_rx_bytes), (Some(1_000), Some(2_000)));
    assert_eq!((reading.link_tx_bytes, reading.link_rx_bytes), (Some(3_072), Some(4_096)));
    assert_eq!((reading.ecc_corrected, reading.ecc_uncorrected), (Some(5), Some(6)));
    assert_eq!(reading.power_limit_mw, Some(700_000));
    assert_eq!(reading.processes, Some(vec![]), "the driver lists none, which is not the same as not listing");
}

#[test]
fn the_pcie_rate_is_measured_only_where_it_was_asked_for() {
    let script = json!({"devices": [{"pcie": [102_400, 204_800], "field_codes": {"197": 3, "198": 3}}]});
    let library = StandIn::new(&script);
    let mut without = SlowReading::default();
    library.open().unwrap().read_rare(FIRST, &mut without).unwrap();
    assert_eq!((without.pcie_tx_bytes, without.pcie_tx_bytes_per_s), (None, None));
    let options = NvmlOptions { library: Some(library.path.clone()), pcie_rate: true };
    let mut with = SlowReading::default();
    NvmlBackend::open(&options).unwrap().read_rare(FIRST, &mut with).unwrap();
    assert_eq!((with.pcie_tx_bytes_per_s, with.pcie_rx_bytes_per_s), (Some(102_400), Some(204_800)));
}

#[test]
fn processes_of_all_lists_are_one_list_with_names() {
    let (_library, mut backend) = opened(&json!({"names": {"7": "/usr/bin/python3"}, "devices": [{"processes": [
        {"pid": 7, "used": 1024, "kind": "C"}, {"pid": 7, "used": 1024, "kind": "G"},
        {"pid": 9, "used": null, "kind": "G"}, {"pid": 8, "used": 5, "kind": "M"}
    ]}]}));
    let listed = backend.processes(FIRST).unwrap();
    let short: Vec<_> = listed.iter().map(|p| (p.pid, p.used.map(Bytes::get), p.kind.unwrap())).collect();
    assert_eq!(
        short,
        [(7, Some(1024), ProcessKind::Both), (8, Some(5), ProcessKind::Compute), (9, None, ProcessKind::Graphics)]
    );
    assert_eq!(listed[0].name.as_deref(), Some("/usr/bin/python3"));
    assert_eq!(listed[1].name, None);
}

#[test]
fn a_list_takes_one_driver_call_and_a_longer_one_two_the_first_time() {
    let many: Vec<Value> = (1..=200).map(|pid| json!({"pid": pid, "used": 1})).collect();
    let (_library, mut backend) = one(&json!({ "processes": many }));
    for _ in 0..3 {
        assert_eq!(backend.processes(FIRST).unwrap().len(), 200);
    }
    let costs = backend.call_costs();
    let lists = costs.iter().find(|cost| cost.call == "processes").unwrap();
    assert_eq!(lists.count, 9, "three kinds of processes, three times");
}

#[test]
fn a_list_that_cannot_be_is_refused_and_not_shown() {
    let (_library, mut backend) = one(&json!({"processes": [{"pid": 0, "used": 1}]}));
    assert!(backend.processes(FIRST).unwrap_err().to_string().contains("535"));
}

#[test]
fn the_drivers_buffer_is_read_from_where_it_was_left() {
    let (_library, mut backend) = one(&json!({"power_buffer": [[100, 50_000], [200, 90_000]]}));
    let first = backend.read_slow(FIRST).unwrap();
    assert_eq!(first.buffered_power_max_mw, None, "the first answer reaches back before the recording");
    let second = backend.read_slow(FIRST).unwrap();
    assert_eq!(second.buffered_power_max_mw, None, "nothing is new");
}

#[test]
fn memory_of_a_file_belongs_to_its_process_while_that_lives() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let (_library, mut backend) = one(&json!({"used_file": file.path()}));
    let alive = std::process::id();
    std::fs::write(file.path(), format!("1000 {alive} 400\n")).unwrap();
    assert_eq!(backend.read(FIRST).unwrap().used.get(), 1000);
    let listed = backend.processes(FIRST).unwrap();
    assert_eq!((listed[0].pid, listed[0].used.map(|used| used.get())), (alive, Some(600)));
    // No process has the largest number.
    std::fs::write(file.path(), "1000 4194305 400\n").unwrap();
    assert_eq!(backend.read(FIRST).unwrap().used.get(), 400);
    assert!(backend.processes(FIRST).unwrap().is_empty());
}
