//! The kernel's files: cards, sensors, partitions, processes, and cards that go away.

use std::fs;

use vramscope_core::{Bytes, DeviceIndex, Partition, ProcessKind};
use vramscope_gpu::{GpuBackend, GpuErrorKind, PowerKind};
use vramscope_rocm::Source;

use crate::machine::Machine;

const FIRST: DeviceIndex = DeviceIndex(0);
const GIB: u64 = 1 << 30;

fn opened(machine: &Machine) -> Box<dyn GpuBackend> {
    machine.open(&machine.options(Source::Sysfs)).unwrap()
}

/// A card with sensors, as a discrete one of the RDNA generations has them.
fn discrete() -> Machine {
    let machine = Machine::new();
    machine.card(1, "0000:07:00.0", 1_572_745_216, 12_868_124_672);
    let file = |name: &str, text: &str| machine.file(&format!("sys/class/drm/card1/device/{name}"), text);
    file("unique_id", "8d3a2f00c0ffee11\n");
    file("gpu_busy_percent", "37\n");
    file("mem_busy_percent", "0\n");
    file("pp_dpm_sclk", "0: 500Mhz\n1: 2424Mhz *\n2: 2725Mhz\n");
    file("pp_dpm_mclk", "0: 96Mhz *\n1: 1000Mhz\n");
    file("hwmon/hwmon4/power1_average", "6000000\n");
    file("hwmon/hwmon4/power1_cap", "211000000\n");
    file("hwmon/hwmon4/temp1_label", "edge\n");
    file("hwmon/hwmon4/temp1_input", "45000\n");
    file("hwmon/hwmon4/temp2_label", "junction\n");
    file("hwmon/hwmon4/temp2_input", "47000\n");
    file("hwmon/hwmon4/temp3_label", "mem\n");
    file("hwmon/hwmon4/temp3_input", "46000\n");
    machine.file("sys/class/drm/card1-DP-1/status", "connected\n");
    machine.file("sys/class/drm/card0/device/vendor", "0x10de\n");
    machine.file("proc/sys/kernel/osrelease", "6.12.9\n");
    machine
}

#[test]
fn a_discrete_card_has_all_its_sensors() {
    let machine = discrete();
    let mut backend = opened(&machine);
    assert_eq!(backend.devices().len(), 1, "neither a connector nor another maker's card is one");
    let device = &backend.devices()[0];
    assert_eq!(device.uuid.as_deref(), Some("GPU-8d3a2f00c0ffee11"));
    assert_eq!(device.driver.as_deref(), Some("kernel 6.12.9"));
    assert_eq!(backend.info().power, Some(PowerKind::Average));
    let reading = backend.read(FIRST).unwrap();
    assert_eq!(reading.used, Bytes::new(1_572_745_216));
    assert_eq!(reading.power_mw, Some(6_000));
    assert_eq!((reading.temperature_c, reading.memory_temperature_c), (Some(45), Some(46)));
    assert_eq!((reading.utilization_pct, reading.memory_utilization_pct), (Some(37), Some(0)));
    assert_eq!((reading.sm_clock_mhz, reading.memory_clock_mhz), (Some(2424), Some(96)));
    assert_eq!(backend.read_slow(FIRST).unwrap().power_limit_mw, Some(211_000));
}

#[test]
fn a_card_without_hwmon_has_memory_and_no_invented_figures() {
    let machine = Machine::new();
    machine.card(0, "0000:03:00.0", 7, 8 * GIB);
    let mut backend = opened(&machine);
    let reading = backend.read(FIRST).unwrap();
    assert_eq!(reading.used, Bytes::new(7));
    assert_eq!((reading.power_mw, reading.temperature_c, reading.utilization_pct), (None, None, None));
    assert_eq!(backend.read_slow(FIRST).unwrap().energy_mj, None);
    assert_eq!(backend.devices()[0].uuid, None);
}

#[test]
fn partitions_of_one_card_are_devices_of_their_own() {
    let machine = Machine::new();
    for number in [1, 10, 2] {
        let folder = machine.card(number, &format!("0000:83:00.{}", number % 8), u64::from(number), 24 * GIB);
        fs::write(folder.join("current_compute_partition"), "CPX\n").unwrap();
        fs::write(folder.join("current_memory_partition"), "NPS4\n").unwrap();
    }
    let mut backend = opened(&machine);
    let used: Vec<u64> = (0..3).map(|n| backend.read(DeviceIndex(n)).unwrap().used.get()).collect();
    assert_eq!(used, [1, 2, 10], "cards are in the order of their numbers");
    let cpx = Partition::Amd { compute: Some("CPX".into()), memory: Some("NPS4".into()) };
    assert_eq!(backend.devices()[0].partition, Some(cpx));
}

#[test]
fn a_processor_with_graphics_is_said_to_be_one() {
    let machine = Machine::new();
    machine.card(0, "0000:e4:00.0", 445_550_592, 512 << 20);
    assert!(opened(&machine).info().notes[0].contains("GTT"));
}

#[test]
fn a_card_that_goes_away_is_lost_and_a_file_that_is_not_a_number_is_a_failure() {
    let machine = Machine::new();
    let folder = machine.card(0, "0000:03:00.0", 7, GIB);
    let mut backend = opened(&machine);
    fs::write(folder.join("mem_info_vram_used"), "").unwrap();
    assert_eq!(backend.read(FIRST).unwrap_err().kind(), GpuErrorKind::Transient);
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(backend.read(FIRST).unwrap_err().kind(), GpuErrorKind::Lost);
    assert_eq!(backend.read_slow(FIRST).unwrap_err().kind(), GpuErrorKind::Lost);
}

#[test]
fn processes_are_joined_from_kfd_and_fdinfo_and_nothing_counts_twice() {
    let machine = Machine::new();
    machine.card(0, "0000:03:00.0", 7, GIB);
    machine.card(1, "0000:0c:00.0", 7, GIB);
    for (node, gpu_id, place) in [(1, 100, 0x0300), (2, 200, 0x0c00)] {
        machine.file(&format!("sys/class/kfd/kfd/topology/nodes/{node}/gpu_id"), &format!("{gpu_id}\n"));
        let properties = format!("domain 0\nlocation_id {place}\n");
        machine.file(&format!("sys/class/kfd/kfd/topology/nodes/{node}/properties"), &properties);
    }
    machine.file("sys/class/kfd/kfd/topology/nodes/0/gpu_id", "0\n");
    machine.file("sys/class/kfd/kfd/proc/10/vram_100", "21008920000\n");
    machine.file("sys/class/kfd/kfd/proc/10/vram_200", "0\n");
    let client = |id: u32, bus: &str, key: &str, amount: &str| {
        format!("pos:\t0\ndrm-driver:\tamdgpu\ndrm-client-id:\t{id}\ndrm-pdev:\t{bus}\n{key}:\t{amount}\n")
    };
    machine.file("proc/10/fdinfo/5", &client(1, "0000:03:00.0", "drm-memory-vram", "100 KiB"));
    machine.file("proc/20/fdinfo/3", &client(2, "0000:03:00.0", "drm-memory-vram", "64 MiB"));
    machine.file("proc/20/fdinfo/4", &client(2, "0000:03:00.0", "drm-memory-vram", "64 MiB"));
    machine.file("proc/20/fdinfo/6", &client(3, "0000:03:00.0", "drm-resident-vram", "4096"));
    machine.file("proc/20/fdinfo/7", "pos:\t0\nflags:\t02\n");
    machine.file("proc/20/comm", "Xorg\n");
    let mut backend = opened(&machine);
    let listed = backend.processes(FIRST).unwrap();
    let short: Vec<_> = listed.iter().map(|p| (p.pid, p.used.unwrap().get(), p.kind.unwrap())).collect();
    let expected = [(10, 21_008_920_000, ProcessKind::Compute), (20, (64 << 20) + 4096, ProcessKind::Graphics)];
    assert_eq!(short, expected);
    assert_eq!(listed[1].name.as_deref(), Some("Xorg"));
    let other = backend.processes(DeviceIndex(1)).unwrap();
    assert_eq!(other.len(), 1, "a context without memory is listed, and nothing of the other card");
    assert_eq!(other[0].used, Some(Bytes::ZERO));
}

#[cfg(unix)]
#[test]
fn a_file_that_may_not_be_read_names_the_groups() {
    use std::os::unix::fs::PermissionsExt as _;
    let machine = Machine::new();
    let folder = machine.card(0, "0000:03:00.0", 7, GIB);
    let secret = folder.join("mem_info_vram_used");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(&secret).is_ok() {
        println!("skipped: this user may read everything");
        return;
    }
    let error = machine.open(&machine.options(Source::Sysfs)).err().unwrap();
    assert!(error.advice.contains("render"), "{error}");
}
