//! The backend on the crate `rocm_smi_lib` (feature `rocm-smi-lib`), for those who link ROCm SMI already.
//!
//! Of that crate (0.3.2) only three calls are used: memory, busy share, and the temperature of one named sensor. The
//! others are left alone for what they do: its power call passes a null pointer, fans and PCIe write outside their
//! buffers on cards with several sensors, names and versions free C's memory as Rust's, frequencies are read through a
//! structure that differs between versions of the library and with an index that is not checked, and levels become
//! Rust enumerations unchecked. Names, clocks, power and processes come from the kernel's files instead.

use std::path::Path;

use rocm_smi_lib::{RocmErr, RocmSmi, RsmiTemperatureMetric, RsmiTemperatureType};
use vramscope_core::{ByteUnit, Bytes, Device, DeviceIndex, GpuProcess, Reading, SlowReading, Vendor};
use vramscope_gpu::{Attempt, BackendInfo, CallCost, CallMeter, GpuBackend, GpuError};

use crate::card::{self, Card};
use crate::process::Processes;

/// The calls that are timed.
const CALLS: [&str; 5] = ["memory", "utilization", "temperature", "files", "processes_sysfs"];
const MEMORY: usize = 0;
const UTILIZATION: usize = 1;
const TEMPERATURE: usize = 2;
const FILES: usize = 3;
const PROCESSES: usize = 4;

/// AMD's devices through `rocm_smi_lib`.
#[derive(Debug)]
pub(crate) struct SmiCrate {
    library: RocmSmi,
    devices: Vec<Device>,
    cards: Vec<Option<Card>>,
    processes: Processes,
    meter: CallMeter,
    info: BackendInfo,
}

impl SmiCrate {
    /// Lists the devices. That crate keeps silent where ROCm SMI could not be initialised, so that no device is all
    /// that is seen of it.
    pub(crate) fn open(root: &Path) -> Result<Self, Attempt> {
        let failed = |outcome: String| Attempt { what: "rocm_smi_lib".into(), outcome };
        let mut library = RocmSmi::init().map_err(|error| failed(format!("it cannot count devices: {error:?}")))?;
        let count = library.get_device_count();
        if count == 0 {
            return Err(failed("it lists no device: there is none, or its driver is not loaded".into()));
        }
        // It has no bus of a device. The order of both lists is the kernel's; where their lengths differ, nobody knows.
        let known = card::all(root);
        let paired = u32::try_from(known.len()).is_ok_and(|cards| cards == count);
        let driver = crate::sysfs::driver_version(root);
        let mut devices = Vec::new();
        let mut cards = Vec::new();
        for index in 0..count {
            let place = usize::try_from(index).ok().filter(|_| paired);
            let card = place.and_then(|place| known.get(place)).cloned();
            let from_files = card.as_ref().map(|card| card.describe(DeviceIndex(index), driver.as_deref()));
            let total = library.get_device_memory_data(index).ok().map(|memory| Bytes::new(memory.vram_total));
            let unnamed = Device::unnamed(DeviceIndex(index));
            let described = from_files.unwrap_or(Device { driver: driver.clone(), ..unnamed });
            devices.push(Device { vendor: Some(Vendor::Amd), total: total.or(described.total), ..described });
            cards.push(card);
        }
        let note = (!paired).then(|| {
            format!(
                "the library lists {count} devices and the kernel {}: names, clocks and power are not known",
                known.len()
            )
        });
        let info = BackendInfo {
            driver_version: driver,
            library: Some("librocm_smi64 (linked)".into()),
            reserved_apart: Some(false),
            notes: note.into_iter().collect(),
            ..BackendInfo::default()
        };
        let processes = Processes::new(root);
        Ok(Self { library, devices, cards, processes, meter: CallMeter::new(&CALLS), info })
    }

    fn place(&self, device: DeviceIndex) -> Result<usize, GpuError> {
        self.devices.iter().position(|d| d.index == device).ok_or(GpuError::NoSuchDevice { device })
    }
}

/// That crate's errors in the words of all backends.
fn failure(device: DeviceIndex, what: &'static str, error: RocmErr) -> GpuError {
    match error {
        RocmErr::RsmiStatusNotSupported | RocmErr::RsmiStatusNotYetImplemented => {
            GpuError::Unsupported { device, what }
        }
        RocmErr::RsmiStatusPermission => {
            GpuError::Permission { device, what, advice: "add the user to the groups render and video" }
        }
        RocmErr::RsmiStatusBusy => GpuError::Timeout { device, what },
        RocmErr::RsmiStatusNotFound | RocmErr::RsmiStatusFileError => {
            GpuError::Lost { device, what, detail: format!("rocm_smi_lib answered {error:?}") }
        }
        other => GpuError::Driver { device, what, detail: format!("rocm_smi_lib's {other:?}") },
    }
}

/// Whole degrees of what that crate hands over as a fraction.
fn degrees(celsius: f64) -> Option<u32> {
    let whole = Bytes::from_unit(celsius.floor(), ByteUnit::B)?;
    u32::try_from(whole.get()).ok()
}

impl GpuBackend for SmiCrate {
    fn name(&self) -> &'static str {
        "rocm-smi-lib"
    }

    fn devices(&self) -> &[Device] {
        &self.devices
    }

    fn read(&mut self, device: DeviceIndex) -> Result<Reading, GpuError> {
        let place = self.place(device)?;
        let Self { library, cards, meter, .. } = self;
        // All or nothing: a card without one part of it, such as visible memory, has no figure at all here.
        let memory = meter.time(MEMORY, || library.get_device_memory_data(device.0));
        let memory = memory.map_err(|error| failure(device, "memory", error))?;
        let busy = meter.time(UTILIZATION, || library.get_device_busy_percent(device.0)).ok();
        let mut sensor = |sensor| {
            let current = RsmiTemperatureMetric::Current;
            let read = || library.get_device_temperature_metric(device.0, sensor, current);
            meter.time(TEMPERATURE, read).ok().and_then(degrees)
        };
        let temperature = sensor(RsmiTemperatureType::Edge).or_else(|| sensor(RsmiTemperatureType::Junction));
        let memory_temperature = sensor(RsmiTemperatureType::Memory);
        let files = cards[place].as_ref().and_then(|card| meter.time(FILES, || card.read(device)).ok());
        Ok(Reading {
            used: Bytes::new(memory.vram_used),
            total: Some(Bytes::new(memory.vram_total)),
            temperature_c: temperature,
            memory_temperature_c: memory_temperature,
            utilization_pct: busy.and_then(|busy| u8::try_from(busy).ok()),
            memory_utilization_pct: u8::try_from(memory.busy_percent).ok(),
            power_mw: files.as_ref().and_then(|files| files.power_mw),
            sm_clock_mhz: files.as_ref().and_then(|files| files.sm_clock_mhz),
            memory_clock_mhz: files.as_ref().and_then(|files| files.memory_clock_mhz),
            ..Reading::default()
        })
    }

    fn processes(&mut self, device: DeviceIndex) -> Result<Vec<GpuProcess>, GpuError> {
        let place = self.place(device)?;
        let bus = self.devices[place].pci_bus_id.as_deref();
        bus.and_then(|bus| self.processes.on(bus)).ok_or(GpuError::Unsupported { device, what: "processes" })
    }

    fn read_slow(&mut self, device: DeviceIndex) -> Result<SlowReading, GpuError> {
        let place = self.place(device)?;
        let Self { cards, meter, processes, devices, .. } = self;
        let from_files = cards[place].as_ref().map(Card::read_slow).unwrap_or_default();
        let bus = devices[place].pci_bus_id.as_deref();
        let processes = meter.time(PROCESSES, || bus.and_then(|bus| processes.on(bus)));
        Ok(SlowReading { processes, ..from_files })
    }

    fn info(&self) -> BackendInfo {
        self.info.clone()
    }

    fn call_costs(&self) -> Vec<CallCost> {
        self.meter.costs()
    }

    fn reset_call_costs(&mut self) {
        self.meter.reset();
    }
}
