//! Opening: identity of what is there, and what is said where nothing is.

use serde_json::json;
use vramscope_core::{Bytes, DeviceIndex, Partition, Vendor};
use vramscope_gpu::{GpuBackend as _, OpenError, PowerKind};
use vramscope_nvml::{NvmlBackend, NvmlOptions};

use crate::standin::{StandIn, opened};

fn failure(script: &serde_json::Value) -> OpenError {
    StandIn::new(script).open().unwrap_err()
}

#[test]
fn devices_have_their_identity_and_the_backend_says_what_it_rests_on() {
    let script = json!({"devices": [
        {"uuid": "GPU-a", "name": "NVIDIA H200", "bus": "00000000:83:00.0", "total": 150_754_820_096u64,
         "reserved": 644_939_776},
        {"uuid": "GPU-b", "bus": "00000000:84:00.0"}
    ]});
    let (library, backend) = opened(&script);
    let first = &backend.devices()[0];
    assert_eq!(first.uuid.as_deref(), Some("GPU-a"));
    assert_eq!(first.name.as_deref(), Some("NVIDIA H200"));
    assert_eq!(first.pci_bus_id.as_deref(), Some("00000000:83:00.0"));
    assert_eq!(first.vendor, Some(Vendor::Nvidia));
    assert_eq!((first.total, first.reserved), (Some(Bytes::new(150_754_820_096)), Some(Bytes::new(644_939_776))));
    assert_eq!(first.driver.as_deref(), Some("580.159.04"));
    assert_eq!(backend.devices()[1].index, DeviceIndex(1));
    let info = backend.info();
    assert_eq!(info.power, Some(PowerKind::Instant));
    assert_eq!(info.reserved_apart, Some(true));
    assert_eq!(info.library.as_deref(), library.path.to_str());
    assert!(info.notes.is_empty(), "{:?}", info.notes);
}

#[test]
fn mig_slices_come_after_the_whole_devices_and_know_their_parent() {
    let slice = |n: u32| {
        json!({"uuid": format!("MIG-{n}"), "total": 10u64 << 30, "used": [n], "instances": [n + 3, 0],
        "codes": {"nvmlDeviceGetUtilizationRates": 3, "nvmlDeviceGetPowerUsage": 3, "nvmlDeviceGetFieldValues": 3}})
    };
    let script = json!({"devices": [
        {"uuid": "GPU-a", "mig": [slice(0), slice(1)], "codes": {"nvmlDeviceGetUtilizationRates": 3}},
        {"uuid": "GPU-b"}
    ]});
    let (_library, mut backend) = opened(&script);
    let names: Vec<_> = backend.devices().iter().map(|d| (d.index.0, d.uuid.clone().unwrap())).collect();
    assert_eq!(names, [(0, "GPU-a".into()), (1, "GPU-b".into()), (2, "MIG-0".into()), (3, "MIG-1".into())]);
    assert_eq!(backend.devices()[0].partition, Some(Partition::MigParent));
    let second = Partition::MigSlice { parent: DeviceIndex(0), gpu_instance: 4, compute_instance: 0 };
    assert_eq!(backend.devices()[3].partition, Some(second));
    let reading = backend.read(DeviceIndex(3)).unwrap();
    assert_eq!(reading.used, Bytes::new(1));
    assert_eq!((reading.utilization_pct, reading.power_mw), (None, None), "a slice has neither");
    assert_eq!(backend.read(DeviceIndex(0)).unwrap().utilization_pct, None, "nor has its parent a utilisation");
}

#[test]
fn a_missing_library_lists_what_was_tried() {
    let missing = NvmlOptions { library: Some("/nowhere/libnvidia-ml.so.1".into()), ..NvmlOptions::default() };
    let error = NvmlBackend::open(&missing).unwrap_err();
    assert_eq!(error.tried[0].what, "/nowhere/libnvidia-ml.so.1");
    assert!(error.to_string().contains("not installed"), "{error}");
    assert!(error.advice.contains("--gpus all"), "{error}");
}

#[test]
fn a_library_that_is_another_one_is_said_to_be_so() {
    let own = std::env::current_exe().unwrap();
    let libc = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib/aarch64-linux-gnu/libc.so.6", "/lib64/libc.so.6"];
    let foreign = libc.into_iter().map(std::path::PathBuf::from).find(|path| path.exists()).unwrap_or(own);
    let error = NvmlBackend::open(&NvmlOptions { library: Some(foreign), pcie_rate: false }).unwrap_err();
    assert!(error.missing.contains("not NVIDIA's"), "{error}");
}

#[test]
fn each_refusal_of_the_driver_has_its_own_advice() {
    let said = |code: u32| failure(&json!({"codes": {"nvmlInit_v2": code}}));
    assert!(said(9).missing.contains("driver is not loaded"));
    assert!(said(18).advice.contains("reboot"));
    assert!(said(4).missing.contains("refuses this user"));
    assert!(said(999).advice.contains("dmesg"));
}

#[test]
fn a_driver_without_devices_is_an_error_and_not_an_empty_list() {
    let none = failure(&json!({"devices": []}));
    assert!(none.advice.contains("NVIDIA_VISIBLE_DEVICES"), "{none}");
    let withheld = failure(&json!({"codes": {"nvmlDeviceGetHandleByIndex_v2": 4}}));
    assert!(withheld.missing.contains("permission"), "{withheld}");
}
