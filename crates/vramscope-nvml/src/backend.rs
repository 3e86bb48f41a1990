//! The backend: devices, identity, and which figures each device has.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;
use vramscope_core::{Bytes, Device, DeviceIndex, GpuProcess, Partition, Reading, SlowReading, Vendor};
use vramscope_gpu::{BackendInfo, CallCost, CallMeter, GpuBackend, GpuError, OpenError, PowerKind};

use crate::fast::INTEGRATED;
use crate::ffi::{self, Handle, ProcessBuffer};
use crate::open;
use crate::support::Support;

/// How to open the backend.
#[derive(Debug, Clone, Default)]
pub struct NvmlOptions {
    /// The library to load instead of the installed one.
    pub library: Option<PathBuf>,
    /// Whether rare readings may measure the PCIe rate where the device has no byte counters. Each such reading blocks
    /// for about 40 ms in the driver.
    pub pcie_rate: bool,
}

/// NVIDIA's devices through NVML.
#[derive(Debug)]
pub struct NvmlBackend {
    pub(crate) nvml: Arc<Nvml>,
    pub(crate) cards: Vec<Card>,
    pub(crate) meter: CallMeter,
    pub(crate) buffer: ProcessBuffer,
    pub(crate) names: HashMap<u32, Option<String>>,
    pub(crate) pcie_rate: bool,
    devices: Vec<Device>,
    info: BackendInfo,
}

/// One device with what was learned about it.
#[derive(Debug, Clone)]
pub(crate) struct Card {
    pub(crate) handle: Handle,
    pub(crate) index: DeviceIndex,
    pub(crate) total: Option<Bytes>,
    pub(crate) support: Figures,
    /// The newest samples seen in the driver's buffers, by its own clock.
    pub(crate) buffered_utilization: Option<u64>,
    pub(crate) buffered_power: Option<u64>,
}

/// Which figures a device has.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    pub(crate) memory_v2: Support,
    /// The device's own memory, in either form.
    pub(crate) memory: Support,
    pub(crate) utilization: Support,
    pub(crate) instant_power: Support,
    pub(crate) power: Support,
    pub(crate) temperature: Support,
    pub(crate) memory_temperature: Support,
    pub(crate) sm_clock: Support,
    pub(crate) memory_clock: Support,
    pub(crate) throttle: Support,
    pub(crate) energy: Support,
    pub(crate) compute_processes: Support,
    pub(crate) graphics_processes: Support,
    pub(crate) mps_processes: Support,
    pub(crate) pcie_counters: Support,
    pub(crate) pcie_rate: Support,
    pub(crate) link_counters: Support,
    pub(crate) ecc: Support,
    pub(crate) power_limit: Support,
    pub(crate) buffered_utilization: Support,
    pub(crate) buffered_power: Support,
}

/// The driver calls that are timed, by place.
pub(crate) const CALLS: [&str; 17] = [
    "memory",
    "utilization",
    "power_fields",
    "power",
    "temperature",
    "sm_clock",
    "memory_clock",
    "throttle",
    "energy",
    "processes",
    "process_name",
    "counter_fields",
    "pcie_rate",
    "ecc",
    "power_limit",
    "buffered_utilization",
    "buffered_power",
];

/// Places in [`CALLS`].
pub(crate) mod call {
    pub(crate) const MEMORY: usize = 0;
    pub(crate) const UTILIZATION: usize = 1;
    pub(crate) const POWER_FIELDS: usize = 2;
    pub(crate) const POWER: usize = 3;
    pub(crate) const TEMPERATURE: usize = 4;
    pub(crate) const SM_CLOCK: usize = 5;
    pub(crate) const MEMORY_CLOCK: usize = 6;
    pub(crate) const THROTTLE: usize = 7;
    pub(crate) const ENERGY: usize = 8;
    pub(crate) const PROCESSES: usize = 9;
    pub(crate) const PROCESS_NAME: usize = 10;
    pub(crate) const COUNTER_FIELDS: usize = 11;
    pub(crate) const PCIE_RATE: usize = 12;
    pub(crate) const ECC: usize = 13;
    pub(crate) const POWER_LIMIT: usize = 14;
    pub(crate) const BUFFERED_UTILIZATION: usize = 15;
    pub(crate) const BUFFERED_POWER: usize = 16;
}

impl NvmlBackend {
    /// Loads the library and lists the devices.
    ///
    /// # Errors
    /// [`OpenError`] that says what is missing on this machine, and what to do.
    pub fn open(options: &NvmlOptions) -> Result<Self, OpenError> {
        let (nvml, found) = open::library(options.library.as_deref())?;
        let driver = nvml.sys_driver_version().ok();
        let mut notes = Vec::new();
        let (devices, cards) = list(&nvml, driver.as_deref(), &mut notes);
        if devices.is_empty() {
            return Err(OpenError { missing: with(notes), ..open::no_device(&found) });
        }
        let info = BackendInfo {
            library_version: nvml.sys_nvml_version().ok(),
            driver_version: driver,
            library: Some(found),
            notes,
            ..BackendInfo::default()
        };
        let mut backend = Self {
            nvml,
            cards,
            meter: CallMeter::new(&CALLS),
            buffer: ProcessBuffer::default(),
            names: HashMap::new(),
            pcie_rate: options.pcie_rate,
            devices,
            info,
        };
        backend.learn();
        Ok(backend)
    }

    /// Reads each device once, so that what it lacks is known and stated before the first tick.
    fn learn(&mut self) {
        let all: Vec<DeviceIndex> = self.devices.iter().map(|device| device.index).collect();
        let mut instant = true;
        let mut apart = true;
        for (place, index) in all.into_iter().enumerate() {
            let Ok(reading) = self.read(index) else { continue };
            self.devices[place].total = reading.total;
            self.devices[place].reserved = reading.reserved;
            self.cards[place].total = reading.total;
            // Memory that is shared with the CPU is none of the driver's to hold.
            let shared = self.cards[place].support.memory == Support::Never;
            apart &= reading.reserved.is_some() || shared;
            if shared {
                self.info.notes.push(format!(
                    "device {index} shares the CPU's memory and the driver states none of its own: in use is the sum of what \
                     it lists of processes, and the total is the machine's (/proc/meminfo)"
                ));
            }
            let slice = self.devices[place].is_slice();
            instant &= slice || self.cards[place].support.instant_power == Support::Open;
        }
        self.info.power = instant.then_some(PowerKind::Instant);
        self.info.reserved_apart = Some(apart);
        if !instant {
            let note = "power is the driver's own figure: a mean over one second on most devices since Ampere";
            self.info.notes.push(note.into());
        }
        if !apart {
            self.info.notes.push("an old driver: memory in use includes what the driver holds".into());
        }
        self.meter = CallMeter::new(&CALLS);
    }

    /// Whether a device is known to share the CPU's memory, by its name.
    pub(crate) fn is_integrated(&self, place: usize) -> bool {
        let name = self.devices.get(place).and_then(|device| device.name.as_deref()).unwrap_or_default();
        let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
        words.any(|word| INTEGRATED.contains(&word))
    }

    pub(crate) fn place(&self, device: DeviceIndex) -> Result<usize, GpuError> {
        self.cards.iter().position(|card| card.index == device).ok_or(GpuError::NoSuchDevice { device })
    }
}

fn with(notes: Vec<String>) -> String {
    let base = "the NVIDIA driver lists no device that may be used";
    if notes.is_empty() { base.into() } else { format!("{base} ({})", notes.join("; ")) }
}

/// All whole devices, then all MIG slices. A device that the driver counts but does not hand out becomes a note.
fn list(nvml: &Nvml, driver: Option<&str>, notes: &mut Vec<String>) -> (Vec<Device>, Vec<Card>) {
    let count = nvml.device_count().unwrap_or(0);
    let mut devices = Vec::new();
    let mut handles = Vec::new();
    let mut slices = Vec::new();
    for index in 0..count {
        let device = match nvml.device_by_index(index) {
            Ok(device) => device,
            Err(error) => {
                notes.push(format!("device {index}: {error}"));
                continue;
            }
        };
        let mut known = describe(&device, DeviceIndex(index), driver);
        if device.mig_mode().is_ok_and(|mode| mode.current == 1) {
            known.partition = Some(Partition::MigParent);
            let places = device.mig_device_count().unwrap_or(0);
            slices.extend((0..places).filter_map(|place| Some((index, device.mig_device_by_index(place).ok()?))));
        }
        handles.push(ffi::keep(&device));
        devices.push(known);
    }
    for (place, (parent, slice)) in (count..).zip(slices) {
        let handle = ffi::keep(&slice);
        let (gpu_instance, compute_instance) = ffi::instances(nvml, handle).unwrap_or((u32::MAX, u32::MAX));
        let mut known = describe(&slice, DeviceIndex(place), driver);
        known.partition = Some(Partition::MigSlice { parent: DeviceIndex(parent), gpu_instance, compute_instance });
        handles.push(handle);
        devices.push(known);
    }
    let card = |(device, handle): (&Device, Handle)| Card {
        handle,
        index: device.index,
        total: device.total,
        support: Figures::default(),
        buffered_utilization: None,
        buffered_power: None,
    };
    let cards = devices.iter().zip(handles).map(card).collect();
    (devices, cards)
}

fn describe(device: &nvml_wrapper::Device<'_>, index: DeviceIndex, driver: Option<&str>) -> Device {
    let memory = device.memory_info().ok();
    Device {
        uuid: device.uuid().ok(),
        name: device.name().ok(),
        pci_bus_id: device.pci_info().ok().map(|pci| pci.bus_id.to_ascii_lowercase()),
        vendor: Some(Vendor::Nvidia),
        total: memory.as_ref().map(|memory| Bytes::new(memory.total)),
        reserved: memory.map(|memory| Bytes::new(memory.reserved)),
        driver: driver.map(str::to_owned),
        ..Device::unnamed(index)
    }
}

impl GpuBackend for NvmlBackend {
    fn name(&self) -> &'static str {
        open::BACKEND
    }

    fn devices(&self) -> &[Device] {
        &self.devices
    }

    fn read(&mut self, device: DeviceIndex) -> Result<Reading, GpuError> {
        self.read_fast(device)
    }

    fn processes(&mut self, device: DeviceIndex) -> Result<Vec<GpuProcess>, GpuError> {
        let place = self.place(device)?;
        self.list_processes(place)?.ok_or(GpuError::Unsupported { device, what: "processes" })
    }

    fn read_slow(&mut self, device: DeviceIndex) -> Result<SlowReading, GpuError> {
        self.read_rest(device)
    }

    fn read_rare(&mut self, device: DeviceIndex, into: &mut SlowReading) -> Result<(), GpuError> {
        self.read_dear(device, into)
    }

    fn info(&self) -> BackendInfo {
        self.info.clone()
    }

    fn slow_handle(&mut self) -> Option<Box<dyn GpuBackend>> {
        Some(Box::new(Self {
            nvml: Arc::clone(&self.nvml),
            cards: self.cards.clone(),
            meter: CallMeter::new(&CALLS),
            buffer: ProcessBuffer::default(),
            names: HashMap::new(),
            pcie_rate: self.pcie_rate,
            devices: self.devices.clone(),
            info: self.info.clone(),
        }))
    }

    fn call_costs(&self) -> Vec<CallCost> {
        self.meter.costs()
    }

    fn reset_call_costs(&mut self) {
        self.meter.reset();
    }
}

/// The answers that mean "this driver does not know the newer form of the call".
pub(crate) fn is_too_old(error: &NvmlError) -> bool {
    use NvmlError::{FailedToLoadSymbol, FunctionNotFound, NotSupported, UnexpectedVariant};
    matches!(error, FailedToLoadSymbol(_) | FunctionNotFound | NotSupported | UnexpectedVariant(25 | 26))
}
