//! What memory is measured on: the GPUs, or the engine's processes where there is none.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use vramscope_core::{Device, DeviceIndex, Vendor};
use vramscope_gpu::{GpuBackend, ProcessMemory, ProcessTree};
use vramscope_live::DeviceNow;
use vramscope_sampler::Source;
use vramscope_schema::ExitCode;

use super::Args;
use super::plan::{host_kind, variables};
use crate::backends::{self, Choice, Opened};
use crate::exit::OrExit as _;
use crate::{output, patience};

/// The devices of a run.
pub(super) struct Devices {
    sources: Vec<Source>,
    /// As they are before the run.
    pub(super) now: Vec<DeviceNow>,
    /// The processes that are measured in place of GPUs.
    pub(super) tree: Option<ProcessTree>,
    /// Variables that keep an engine which is started here on the devices that were named.
    pub(super) confinement: Vec<(String, String)>,
}

/// How often the memory of processes is read unless somebody says otherwise: a reading takes tens of milliseconds, in
/// which the engine waits where it maps memory.
const PROCESS_PERIOD: Duration = Duration::from_millis(500);

/// Opens the GPUs that the engine will see; without any, and unless one was named, the memory of the engine's processes.
pub(super) fn open(args: &Args) -> anyhow::Result<Devices> {
    let own = variables(args)?;
    // A container has an environment of its own, and a server that runs was started by somebody else.
    let here = host_kind(args) == "process";
    let variable = |name: &str| {
        let given = own.iter().rev().find(|(own, _)| own == name).map(|(_, value)| value.clone());
        given.or_else(|| std::env::var(name).ok()).filter(|_| here || args.devices.visible)
    };
    let opened = match backends::open_within(&args.devices, &variable) {
        Ok(opened) => opened,
        Err(none) if named(args) => return Err(none),
        Err(none) => {
            if !args.quiet {
                output::say(&format!(
                    "note: {}\nnote: the memory of the engine's processes is measured instead",
                    none.root_cause()
                ));
            }
            return process_memory();
        }
    };
    let mut devices = Devices { sources: Vec::new(), now: Vec::new(), tree: None, confinement: Vec::new() };
    for opened in opened {
        if here && !args.devices.gpu.is_empty() {
            let free = |(name, _): &(String, String)| variable(name).is_none();
            devices.confinement.extend(confinement(&opened).into_iter().filter(free));
        }
        let (opened, found) = read(opened)?;
        devices.now.extend(found);
        devices.sources.push(Source { backend: opened.backend, devices: opened.chosen });
    }
    Ok(devices)
}

/// The variables with which a program sees the chosen devices alone. CUDA counts whole devices as the driver does if it is
/// told to, and knows slices by UUID alone.
fn confinement(opened: &Opened) -> Vec<(String, String)> {
    let all = opened.backend.devices();
    let chosen: Vec<&Device> = all.iter().filter(|device| opened.chosen.contains(&device.index)).collect();
    let places = || {
        let whole = all.iter().filter(|device| !device.is_slice()).enumerate();
        let places = whole.filter(|(_, device)| opened.chosen.contains(&device.index));
        places.map(|(place, _)| place.to_string()).collect::<Vec<_>>().join(",")
    };
    let set = |name: &str, value: String| (name.to_owned(), value);
    match chosen.first().and_then(|device| device.vendor) {
        Some(Vendor::Nvidia) if chosen.iter().any(|device| device.is_slice()) => {
            let uuids: Vec<&str> = chosen.iter().filter_map(|device| device.uuid.as_deref()).collect();
            vec![set("CUDA_VISIBLE_DEVICES", uuids.join(","))]
        }
        Some(Vendor::Nvidia) => {
            vec![set("CUDA_VISIBLE_DEVICES", places()), set("CUDA_DEVICE_ORDER", "PCI_BUS_ID".to_owned())]
        }
        Some(Vendor::Amd) => vec![set("HIP_VISIBLE_DEVICES", places())],
        _ => Vec::new(),
    }
}

/// Whether somebody asked for a GPU.
fn named(args: &Args) -> bool {
    let asked = &args.devices;
    !asked.gpu.is_empty() || asked.backend != Choice::Auto || asked.nvml_lib.is_some() || asked.rocm_lib.is_some()
}

fn process_memory() -> anyhow::Result<Devices> {
    let tree = ProcessTree::new();
    let opened = ProcessMemory::open(Path::new("/"), tree.clone());
    let mut memory = opened.context("could not read the memory of processes").or_exit(ExitCode::NoDevice)?;
    let now = now(&mut memory, DeviceIndex(0)).into_iter().collect();
    let sources = vec![Source::from(Box::new(memory) as Box<dyn GpuBackend>)];
    Ok(Devices { sources, now, tree: Some(tree), confinement: Vec::new() })
}

/// A source's devices as they are now, unless its driver hangs.
fn read(mut opened: Opened) -> anyhow::Result<(Opened, Vec<DeviceNow>)> {
    let name = opened.backend.name();
    let read = patience::of_driver(name, move || {
        let found = opened.chosen.clone().into_iter().filter_map(|index| now(opened.backend.as_mut(), index)).collect();
        (opened, found)
    });
    read.map_err(|hangs| anyhow!("could not read {name}: {hangs}")).or_exit(ExitCode::NoDevice)
}

/// A device as it is now. What cannot be read is not known; the sampler will say why.
fn now(backend: &mut dyn GpuBackend, index: DeviceIndex) -> Option<DeviceNow> {
    let mut device = backend.devices().iter().find(|device| device.index == index)?.clone();
    let reading = backend.read(index).ok();
    let (total, reserved) = reading.map_or((None, None), |reading| (reading.total, reading.reserved));
    device.total = device.total.or(total);
    device.reserved = device.reserved.or(reserved);
    Some(DeviceNow { device, used: reading.map(|reading| reading.used), processes: backend.processes(index).ok() })
}

impl Devices {
    /// The sources, for the sampler; once.
    pub(super) fn take_sources(&mut self) -> Vec<Source> {
        std::mem::take(&mut self.sources)
    }

    /// How often they are read.
    pub(super) fn period(&self, args: &Args) -> Duration {
        match (args.interval, &self.tree) {
            (None, Some(_)) => PROCESS_PERIOD,
            (asked, _) => backends::period(asked, self.sources.iter().map(|source| source.backend.as_ref())),
        }
    }

    /// The word of the profile for what memory is measured on.
    pub(super) fn kind(&self) -> &'static str {
        if self.tree.is_some() { "process_memory" } else { "gpu" }
    }
}
