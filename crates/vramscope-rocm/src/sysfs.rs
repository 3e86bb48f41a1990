//! The backend on the kernel's files alone: no library, works in containers, costs some microseconds a file.

use std::path::Path;

use vramscope_core::{Device, DeviceIndex, GpuProcess, Reading, SlowReading};
use vramscope_gpu::{Attempt, BackendInfo, CallCost, CallMeter, GpuBackend, GpuError};

use crate::card::{self, Card};
use crate::files;
use crate::process::Processes;

/// The calls that are timed.
const CALLS: [&str; 2] = ["sysfs_fast", "sysfs_slow"];

/// AMD's cards through sysfs and KFD.
#[derive(Debug, Clone)]
pub(crate) struct Sysfs {
    cards: Vec<Card>,
    devices: Vec<Device>,
    processes: Processes,
    meter: CallMeter,
    info: BackendInfo,
}

impl Sysfs {
    /// Lists the cards under a root, or says why there is none.
    pub(crate) fn open(root: &Path) -> Result<Self, Attempt> {
        let what = root.join("sys/class/drm").display().to_string();
        let cards = card::all(root);
        let driver = driver_version(root);
        let devices: Vec<Device> =
            (0..).zip(&cards).map(|(n, card)| card.describe(DeviceIndex(n), driver.as_deref())).collect();
        if devices.is_empty() {
            return Err(Attempt { what, outcome: "it lists no card of AMD".into() });
        }
        if let Some(denied) = cards.iter().find_map(|card| card.used(DeviceIndex(0)).err()) {
            return Err(Attempt { what, outcome: denied.to_string() });
        }
        let kinds: Vec<_> = cards.iter().filter_map(Card::power).map(|(_, kind)| kind).collect();
        let agree = kinds.windows(2).all(|pair| pair[0] == pair[1]);
        let info = BackendInfo {
            driver_version: driver,
            library: Some(what),
            power: kinds.first().copied().filter(|_| agree && kinds.len() == cards.len()),
            reserved_apart: Some(false),
            notes: notes(&devices),
            ..BackendInfo::default()
        };
        Ok(Self { cards, devices, processes: Processes::new(root), meter: CallMeter::new(&CALLS), info })
    }

    fn card(&self, device: DeviceIndex) -> Result<usize, GpuError> {
        self.devices.iter().position(|d| d.index == device).ok_or(GpuError::NoSuchDevice { device })
    }
}

/// The driver's own version where it was built apart from the kernel, else the kernel's.
pub(crate) fn driver_version(root: &Path) -> Option<String> {
    let own = files::text(&root.join("sys/module/amdgpu/version")).ok();
    own.or_else(|| files::text(&root.join("proc/sys/kernel/osrelease")).ok().map(|kernel| format!("kernel {kernel}")))
}

/// A processor with graphics has a small carve-out as its video memory; allocations live in system memory.
const SMALL: u64 = 4 << 30;

fn notes(devices: &[Device]) -> Vec<String> {
    let small = |device: &&Device| device.total.is_some_and(|total| total.get() < SMALL);
    let note = |device: &Device| {
        format!(
            "device {}: a processor with graphics, as it seems: most of its memory is system memory (GTT), which is \
                 not in these figures",
            device.index
        )
    };
    devices.iter().filter(small).map(note).collect()
}

impl GpuBackend for Sysfs {
    fn name(&self) -> &'static str {
        "amdgpu-sysfs"
    }

    fn devices(&self) -> &[Device] {
        &self.devices
    }

    fn read(&mut self, device: DeviceIndex) -> Result<Reading, GpuError> {
        let place = self.card(device)?;
        let Self { cards, meter, .. } = self;
        meter.time(0, || cards[place].read(device))
    }

    fn processes(&mut self, device: DeviceIndex) -> Result<Vec<GpuProcess>, GpuError> {
        let place = self.card(device)?;
        let listed = self.cards[place].bus.as_deref().and_then(|bus| self.processes.on(bus));
        listed.ok_or(GpuError::Unsupported { device, what: "processes" })
    }

    fn read_slow(&mut self, device: DeviceIndex) -> Result<SlowReading, GpuError> {
        let place = self.card(device)?;
        let Self { cards, meter, processes, .. } = self;
        let card = &cards[place];
        card.used(device)?;
        Ok(meter.time(1, || SlowReading {
            processes: card.bus.as_deref().and_then(|bus| processes.on(bus)),
            ..card.read_slow()
        }))
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
