//! The backend on ROCm SMI's library, with clocks and processes from the kernel's files.

use std::path::Path;

use vramscope_core::{Bytes, Device, DeviceIndex, GpuProcess, Reading, SlowReading, Vendor};
use vramscope_gpu::{Attempt, BackendInfo, CallCost, CallMeter, GpuBackend, GpuError, PowerKind};

use crate::card::{self, Card, milli_of_micro};
use crate::ffi::{self, ABSENT, LoadError, PowerType, RocmSmi, Status, status};
use crate::process::{Processes, bus_id};

/// The calls that are timed.
const CALLS: [&str; 8] =
    ["memory", "utilization", "power", "temperature", "clocks_sysfs", "energy", "processes_sysfs", "ecc"];
const MEMORY: usize = 0;
const UTILIZATION: usize = 1;
const POWER: usize = 2;
const TEMPERATURE: usize = 3;
const CLOCKS: usize = 4;
const ENERGY: usize = 5;
const PROCESSES: usize = 6;
const ERRORS: usize = 7;

/// AMD's devices through `librocm_smi64.so.1`.
#[derive(Debug, Clone)]
pub(crate) struct SmiLib {
    library: RocmSmi,
    devices: Vec<Device>,
    /// Each device's place in the kernel's files, by its bus.
    cards: Vec<Option<Card>>,
    power: Vec<PowerCall>,
    processes: Processes,
    meter: CallMeter,
    info: BackendInfo,
}

/// Which call has a device's power. MI200 has an average, MI300 the socket's, and of a card with two dies one has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PowerCall {
    Any,
    Socket,
    Average,
    None,
}

impl SmiLib {
    /// Loads the library of this name and lists its devices.
    pub(crate) fn open(path: &Path, root: &Path) -> Result<Self, Attempt> {
        let shown = path.display().to_string();
        let failed = |outcome: String| Attempt { what: shown.clone(), outcome };
        let library = RocmSmi::open(path).map_err(|error| failed(words(&error)))?;
        let count = library.device_count().map_err(|code| failed(format!("it cannot count devices (code {code})")))?;
        if count == 0 {
            return Err(failed("it lists no device".into()));
        }
        let driver = library.driver_version().or_else(|| crate::sysfs::driver_version(root));
        let known = card::all(root);
        let mut devices = Vec::new();
        let mut cards = Vec::new();
        for index in 0..count {
            let bus = library.pci_id(index).ok().map(|id| bus_id(id >> 32, id & 0xffff));
            let card = known.iter().find(|card| bus.is_some() && card.bus == bus).cloned();
            let from_files = card.as_ref().map(|card| card.describe(DeviceIndex(index), None));
            let total = library.memory_total(index, ffi::VRAM).ok().map(Bytes::new);
            devices.push(Device {
                uuid: library.unique_id(index).ok().and_then(|id| card::uuid_of(&format!("{id:x}"))),
                name: library.name(index),
                pci_bus_id: bus,
                vendor: Some(Vendor::Amd),
                total,
                driver: driver.clone(),
                partition: from_files.and_then(|device| device.partition),
                ..Device::unnamed(DeviceIndex(index))
            });
            cards.push(card);
        }
        let (power, kinds): (Vec<_>, Vec<_>) = (0..count).map(|index| power_call(&library, index)).unzip();
        let agree = kinds.windows(2).all(|pair| pair[0] == pair[1]);
        let info = BackendInfo {
            driver_version: driver,
            library: Some(shown),
            power: kinds.first().copied().flatten().filter(|_| agree),
            reserved_apart: Some(false),
            notes: notes(&power, &cards),
            ..BackendInfo::default()
        };
        let processes = Processes::new(root);
        Ok(Self { library, devices, cards, power, processes, meter: CallMeter::new(&CALLS), info })
    }

    fn place(&self, device: DeviceIndex) -> Result<usize, GpuError> {
        self.devices.iter().position(|d| d.index == device).ok_or(GpuError::NoSuchDevice { device })
    }
}

fn words(error: &LoadError) -> String {
    match error {
        LoadError::Load(source) => source.to_string(),
        LoadError::Foreign(name) => format!("it is not ROCm SMI: it has no {name}"),
        LoadError::Init(status::INIT_ERROR) => "rsmi_init answered 8: no AMD device or its driver is not loaded".into(),
        LoadError::Init(code) => format!("rsmi_init answered {code}"),
    }
}

/// The bus under which the kernel lists a device's processes. Where it lists neither the card nor its number in the KFD,
/// finding nothing means nothing.
fn listing_bus<'d>(device: &'d Device, card: Option<&Card>, processes: &Processes) -> Option<&'d str> {
    device.pci_bus_id.as_deref().filter(|bus| card.is_some() || processes.knows(bus))
}

/// Asks each call once which of them answers, and what its figure is.
fn power_call(library: &RocmSmi, index: u32) -> (PowerCall, Option<PowerKind>) {
    if let Ok((_, kind)) = library.power(index) {
        let kind = kind.map(|kind| match kind {
            PowerType::Average => PowerKind::Average,
            PowerType::Current => PowerKind::Socket,
        });
        return (PowerCall::Any, kind);
    }
    if library.socket_power(index).is_ok() {
        return (PowerCall::Socket, Some(PowerKind::Socket));
    }
    match library.average_power(index) {
        Ok(_) => (PowerCall::Average, Some(PowerKind::Average)),
        Err(_) => (PowerCall::None, None),
    }
}

fn notes(power: &[PowerCall], cards: &[Option<Card>]) -> Vec<String> {
    let mut notes = Vec::new();
    for (index, (power, card)) in power.iter().zip(cards).enumerate() {
        if *power == PowerCall::None {
            notes.push(format!("device {index} has no power figure (the second die of a card has none)"));
        }
        if card.is_none() {
            notes.push(format!("device {index} is not in sysfs: its clocks and processes are not known"));
        }
    }
    notes
}

/// The library's answer in the words of all backends.
fn failure(device: DeviceIndex, what: &'static str, code: Status) -> GpuError {
    match code {
        ABSENT | status::NOT_SUPPORTED | status::NOT_YET_IMPLEMENTED => GpuError::Unsupported { device, what },
        status::PERMISSION => {
            GpuError::Permission { device, what, advice: "add the user to the groups render and video" }
        }
        status::BUSY => GpuError::Timeout { device, what },
        status::NOT_FOUND | status::FILE_ERROR => {
            // The library reads the kernel's files: when they are gone, so is the device.
            GpuError::Lost { device, what, detail: format!("ROCm SMI answered {code}") }
        }
        status::NO_DATA => GpuError::Driver { device, what, detail: "that it has no data".into() },
        other => GpuError::Driver { device, what, detail: format!("ROCm SMI's code {other}") },
    }
}

impl GpuBackend for SmiLib {
    fn name(&self) -> &'static str {
        "rocm-smi"
    }

    fn devices(&self) -> &[Device] {
        &self.devices
    }

    fn read(&mut self, device: DeviceIndex) -> Result<Reading, GpuError> {
        let place = self.place(device)?;
        let Self { library, meter, cards, power, devices, .. } = self;
        let used = meter.time(MEMORY, || library.memory_usage(device.0, ffi::VRAM));
        let used = used.map_err(|code| failure(device, "memory", code))?;
        let busy = meter.time(UTILIZATION, || (library.busy(device.0), library.memory_busy(device.0)));
        let percent = |value: Result<u32, Status>| value.ok().and_then(|value| u8::try_from(value).ok());
        let drawn = match power[place] {
            PowerCall::Any => meter.time(POWER, || library.power(device.0)).ok().map(|(power, _)| power),
            PowerCall::Socket => meter.time(POWER, || library.socket_power(device.0)).ok(),
            PowerCall::Average => meter.time(POWER, || library.average_power(device.0)).ok(),
            PowerCall::None => None,
        };
        let mut degrees = |sensor: u32| {
            let milli = meter.time(TEMPERATURE, || library.temperature(device.0, sensor)).ok()?;
            u32::try_from(milli / 1000).ok()
        };
        let temperature = degrees(ffi::EDGE).or_else(|| degrees(ffi::JUNCTION));
        let memory_temperature = degrees(ffi::MEMORY);
        let clocks =
            cards[place].as_ref().map(|card| meter.time(CLOCKS, || (card.shader_clock(), card.memory_clock())));
        let (shader, memory_clock) = clocks.unwrap_or((None, None));
        Ok(Reading {
            used: Bytes::new(used),
            total: devices[place].total,
            power_mw: drawn.and_then(milli_of_micro),
            temperature_c: temperature,
            memory_temperature_c: memory_temperature,
            utilization_pct: percent(busy.0),
            memory_utilization_pct: percent(busy.1),
            sm_clock_mhz: shader,
            memory_clock_mhz: memory_clock,
            ..Reading::default()
        })
    }

    fn processes(&mut self, device: DeviceIndex) -> Result<Vec<GpuProcess>, GpuError> {
        let place = self.place(device)?;
        let bus = listing_bus(&self.devices[place], self.cards[place].as_ref(), &self.processes);
        bus.and_then(|bus| self.processes.on(bus)).ok_or(GpuError::Unsupported { device, what: "processes" })
    }

    fn read_slow(&mut self, device: DeviceIndex) -> Result<SlowReading, GpuError> {
        let place = self.place(device)?;
        let Self { library, meter, cards, processes, devices, .. } = self;
        let memory = library.memory_usage(device.0, ffi::VRAM);
        if let Err(lost @ GpuError::Lost { .. }) = memory.map_err(|code| failure(device, "memory", code)) {
            return Err(lost);
        }
        let from_files = cards[place].as_ref().map(Card::read_slow).unwrap_or_default();
        let counter = meter.time(ENERGY, || library.energy(device.0)).ok().and_then(energy_mj);
        let errors = meter.time(ERRORS, || library.errors(device.0)).ok();
        let bus = listing_bus(&devices[place], cards[place].as_ref(), processes);
        Ok(SlowReading {
            energy_mj: counter.or(from_files.energy_mj),
            processes: meter.time(PROCESSES, || bus.and_then(|bus| processes.on(bus))),
            ecc_corrected: errors.map(|counts| counts[0]).or(from_files.ecc_corrected),
            ecc_uncorrected: errors.map(|counts| counts[1]).or(from_files.ecc_uncorrected),
            power_limit_mw: library.power_cap(device.0).ok().and_then(milli_of_micro).or(from_files.power_limit_mw),
            ..from_files
        })
    }

    fn info(&self) -> BackendInfo {
        self.info.clone()
    }

    fn slow_handle(&mut self) -> Option<Box<dyn GpuBackend>> {
        Some(Box::new(Self { meter: CallMeter::new(&CALLS), ..self.clone() }))
    }

    fn call_costs(&self) -> Vec<CallCost> {
        self.meter.costs()
    }

    fn reset_call_costs(&mut self) {
        self.meter.reset();
    }
}

/// Millijoules of a counter and its resolution in microjoules. Cards without the counter answer 0, which no card that
/// runs has used.
fn energy_mj((counter, resolution): (u64, f32)) -> Option<u64> {
    let microjoules = Bytes::new(counter).as_f64() * f64::from(resolution);
    let whole = Bytes::from_unit(microjoules / 1000.0, vramscope_core::ByteUnit::B)?;
    Some(whole.get()).filter(|&energy| energy > 0)
}
