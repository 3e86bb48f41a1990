//! What a backend says of its devices now, as a document.

use std::collections::BTreeMap;

use vramscope_core::{Bytes, Device, DeviceIndex, GpuProcess, Partition, Reading, SlowReading};

use crate::document::{Gpu, Mig, MigDevice, Process, Snapshot};
use crate::{Figure, GpuBackend, GpuError, PowerKind};

/// Reads the selected devices once. A device that does not answer is listed with what is known of it and a note.
///
/// ```
/// use vramscope_gpu::{FakeGpu, GpuBackend as _, snapshot, whole_devices};
/// let mut gpu = FakeGpu::steady(2);
/// let all = whole_devices(gpu.devices());
/// let document = snapshot(&mut gpu, &all);
/// assert_eq!((document.gpus.len(), document.gpus[0].processes.clone()), (2, None));
/// ```
pub fn snapshot(backend: &mut dyn GpuBackend, devices: &[DeviceIndex]) -> Snapshot {
    let info = backend.info();
    let mut document = Snapshot::from_source(backend.name());
    document.tool_version = info.library_version;
    document.driver_version = info.driver_version;
    document.notes = info.notes;
    let all = backend.devices().to_vec();
    for device in all.iter().filter(|d| devices.contains(&d.index)) {
        match one(backend, device, info.power) {
            Ok(gpu) => document.gpus.push(gpu),
            Err((gpu, error)) => {
                document.notes.push(error.to_string());
                document.gpus.push(*gpu);
            }
        }
        let slices: Vec<&Device> = all.iter().filter(|d| is_slice_of(d, device.index)).collect();
        if device.partition == Some(Partition::MigParent)
            && let Some(gpu) = document.gpus.last_mut()
        {
            let devices = slices.iter().map(|slice| slice_memory(backend, slice)).collect();
            gpu.mig = Some(Mig { enabled: true, devices: Some(devices) });
        }
    }
    document.gpu_count = document.gpus.len();
    document
}

fn is_slice_of(device: &Device, whole: DeviceIndex) -> bool {
    matches!(device.partition, Some(Partition::MigSlice { parent, .. }) if parent == whole)
}

fn one(backend: &mut dyn GpuBackend, device: &Device, power: Option<PowerKind>) -> Result<Gpu, (Box<Gpu>, GpuError)> {
    let mut gpu = identity(device);
    let reading = match backend.read(device.index) {
        Ok(reading) => reading,
        Err(error) => return Err((Box::new(gpu), error)),
    };
    fast(&mut gpu, &reading, power);
    // One part that fails does not cost the other.
    let (mut reading, failed) = match backend.read_slow(device.index) {
        Ok(reading) => (reading, None),
        Err(error) => (SlowReading::default(), Some(error)),
    };
    let rare = backend.read_rare(device.index, &mut reading);
    slow(&mut gpu, reading);
    match failed.map_or(rare, Err) {
        Ok(()) => Ok(gpu),
        Err(error) => Err((Box::new(gpu), error)),
    }
}

fn identity(device: &Device) -> Gpu {
    let partition = match &device.partition {
        Some(Partition::Amd { compute, memory }) => {
            let modes: Vec<&str> = [compute, memory].into_iter().filter_map(Option::as_deref).collect();
            (!modes.is_empty()).then(|| modes.join("/"))
        }
        Some(Partition::MigSlice { parent, gpu_instance, compute_instance }) => {
            Some(format!("mig {parent}/{gpu_instance}/{compute_instance}"))
        }
        _ => None,
    };
    Gpu {
        index: device.index.0,
        name: device.name.clone(),
        uuid: device.uuid.clone(),
        pci_bus_id: device.pci_bus_id.clone(),
        vendor: device.vendor.map(|vendor| vendor.name().to_owned()),
        mem_total_mib: device.total.map(Figure::mib),
        mem_total_bytes: device.total.map(Bytes::get),
        partition,
        ..Gpu::default()
    }
}

fn fast(gpu: &mut Gpu, reading: &Reading, power: Option<PowerKind>) {
    if let Some(total) = reading.total {
        gpu.mem_total_mib = Some(Figure::mib(total));
        gpu.mem_total_bytes = Some(total.get());
    }
    let total = gpu.mem_total_bytes.map(Bytes::new);
    let taken = reading.used.checked_add(reading.reserved.unwrap_or(Bytes::ZERO));
    gpu.mem_used_mib = Some(Figure::mib(reading.used));
    gpu.mem_used_bytes = Some(reading.used.get());
    gpu.mem_reserved_mib = reading.reserved.map(Figure::mib);
    gpu.mem_reserved_bytes = reading.reserved.map(Bytes::get);
    gpu.mem_free_mib = total.zip(taken).and_then(|(total, taken)| total.checked_sub(taken)).map(Figure::mib);
    let watts = |mw: Option<u32>| mw.map(|mw| Figure::thousandth(u64::from(mw)));
    match (reading.power_mw, reading.power_average_mw) {
        (instant, Some(average)) => {
            gpu.power_w = watts(Some(average));
            gpu.power_kind = Some(PowerKind::Average.name().into());
            gpu.instant_power_w = watts(instant);
        }
        (Some(drawn), None) => {
            gpu.power_w = watts(Some(drawn));
            gpu.power_kind = Some(power.map_or("power_draw", PowerKind::name).into());
        }
        (None, None) => {}
    }
    let insert = |map: &mut BTreeMap<String, Figure>, name: &str, value: Option<u32>| {
        if let Some(value) = value {
            map.insert(name.to_owned(), value.into());
        }
    };
    insert(&mut gpu.temps_c, "gpu", reading.temperature_c);
    insert(&mut gpu.temps_c, "memory", reading.memory_temperature_c);
    insert(&mut gpu.clocks_mhz, "sm", reading.sm_clock_mhz);
    insert(&mut gpu.clocks_mhz, "mem", reading.memory_clock_mhz);
    gpu.util_gpu_pct = reading.utilization_pct.map(|pct| u32::from(pct).into());
    gpu.util_mem_pct = reading.memory_utilization_pct.map(|pct| u32::from(pct).into());
    gpu.throttle = reading.throttle.map(|set| set.names().map(str::to_owned).collect());
    gpu.energy_j = reading.energy_mj.map(Figure::thousandth);
}

fn slow(gpu: &mut Gpu, reading: SlowReading) {
    gpu.power_cap_w = reading.power_limit_mw.map(|mw| Figure::thousandth(u64::from(mw)));
    gpu.energy_j = reading.energy_mj.map(Figure::thousandth).or(gpu.energy_j);
    gpu.processes = reading.processes.map(|list| list.into_iter().map(process).collect());
}

fn process(process: GpuProcess) -> Process {
    Process {
        pid: process.pid,
        name: process.name,
        kind: process.kind.map(|kind| kind.name().to_owned()),
        used_mib: process.used.map(Figure::mib),
        vram_bytes: process.used.map(Bytes::get),
        container: process.container,
        ..Process::default()
    }
}

fn slice_memory(backend: &mut dyn GpuBackend, slice: &Device) -> MigDevice {
    let mut found = MigDevice { uuid: slice.uuid.clone(), ..MigDevice::default() };
    if let Some(Partition::MigSlice { gpu_instance, compute_instance, .. }) = slice.partition {
        found.gpu_instance = Some(gpu_instance);
        found.compute_instance = Some(compute_instance);
    }
    if let Ok(reading) = backend.read(slice.index) {
        let total = reading.total.or(slice.total);
        found.total = total.map(Figure::mib);
        found.used = Some(Figure::mib(reading.used));
        found.free = total.and_then(|total| total.checked_sub(reading.used)).map(Figure::mib);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FakeGpu;

    #[test]
    fn a_part_that_fails_costs_no_other_part() {
        let device = DeviceIndex(0);
        let failed = |what| GpuError::Timeout { device, what };
        let cap = SlowReading { power_limit_mw: Some(700_000), ..SlowReading::default() };

        let mut gpu = FakeGpu::steady(1).slow(device, cap).rare_energy(device, [Err(failed("energy"))]);
        let without_energy = snapshot(&mut gpu, &[device]);
        assert_eq!(without_energy.gpus[0].power_cap_w, Some(Figure::Real(700.0)));
        assert_eq!(without_energy.gpus[0].energy_j, None);
        assert!(without_energy.notes.contains(&failed("energy").to_string()));

        let mut gpu = FakeGpu::steady(1).slow_fails(device, failed("processes")).rare_energy(device, [Ok(5_000)]);
        let without_processes = snapshot(&mut gpu, &[device]);
        assert_eq!(without_processes.gpus[0].energy_j, Some(Figure::Real(5.0)));
        assert_eq!(without_processes.gpus[0].processes, None);
        assert!(without_processes.notes.contains(&failed("processes").to_string()));
    }

    #[test]
    fn a_slice_says_which_gpu_it_is_of() {
        let place = Partition::MigSlice { parent: DeviceIndex(0), gpu_instance: 2, compute_instance: 1 };
        let slice = Device { partition: Some(place), ..Device::unnamed(DeviceIndex(3)) };
        let document = snapshot(&mut FakeGpu::of([slice]), &[DeviceIndex(3)]);
        assert_eq!(document.gpus[0].partition.as_deref(), Some("mig 0/2/1"));
    }
}
