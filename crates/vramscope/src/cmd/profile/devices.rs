//! What memory is measured on: the GPUs, or the engine's processes where there is none.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use vramscope_core::DeviceIndex;
use vramscope_gpu::{GpuBackend, ProcessMemory, ProcessTree};
use vramscope_live::{DeviceNow, Measured, Place, Request, confinement};
use vramscope_sampler::Source;
use vramscope_schema::ExitCode;

use super::Args;
use crate::backends::{self, Opened};
use crate::exit::OrExit as _;
use crate::patience;

/// The devices of a run.
pub(super) struct Devices {
    sources: Vec<Source>,
    /// What memory is measured on.
    pub(super) measured: Measured,
}

/// How often the memory of processes is read unless somebody says otherwise: a reading takes tens of milliseconds, in
/// which the engine waits where it maps memory.
const PROCESS_PERIOD: Duration = Duration::from_millis(500);

/// Opens the GPUs that the engine will see; without any, and unless one was named, the memory of the engine's processes.
pub(super) fn open(args: &Args, request: &Request, note: &dyn Fn(&str)) -> anyhow::Result<Devices> {
    let own = &request.environment.given;
    // A container has an environment of its own, and a server that runs was started by somebody else.
    let here = request.place == Place::Process;
    let variable = |name: &str| {
        let given = own.iter().rev().find(|(own, _)| own == name).map(|(_, value)| value.clone());
        given.or_else(|| std::env::var(name).ok()).filter(|_| here || args.devices.visible)
    };
    let opened = match backends::open_within(&args.devices, &variable) {
        Ok(opened) => opened,
        Err(none) if args.devices.asks_for_a_gpu() => return Err(none),
        Err(none) => {
            if !args.quiet {
                note(&format!(
                    "note: {}\nnote: the memory of the engine's processes is measured instead",
                    none.root_cause()
                ));
            }
            return process_memory();
        }
    };
    let measured = Measured { chosen: !args.devices.gpu.is_empty(), ..Measured::default() };
    let mut devices = Devices { sources: Vec::new(), measured };
    for opened in opened {
        if here && devices.measured.chosen {
            let free = |(name, _): &(String, String)| variable(name).is_none();
            let confinement = confinement(opened.backend.devices(), &opened.chosen);
            devices.measured.confinement.extend(confinement.into_iter().filter(free));
        }
        let (opened, found) = read(opened)?;
        devices.measured.devices.extend(found);
        devices.sources.push(Source { backend: opened.backend, devices: opened.chosen });
    }
    Ok(devices)
}

fn process_memory() -> anyhow::Result<Devices> {
    let tree = ProcessTree::new();
    let opened = ProcessMemory::open(Path::new("/"), tree.clone());
    let mut memory = opened.context("could not read the memory of processes").or_exit(ExitCode::NoDevice)?;
    let devices = DeviceNow::read(&mut memory, DeviceIndex(0)).into_iter().collect();
    let sources = vec![Source::from(Box::new(memory) as Box<dyn GpuBackend>)];
    Ok(Devices { sources, measured: Measured { devices, processes: Some(tree), ..Measured::default() } })
}

/// A source's devices as they are now, unless its driver hangs.
fn read(mut opened: Opened) -> anyhow::Result<(Opened, Vec<DeviceNow>)> {
    let name = opened.backend.name();
    let read = patience::of_driver(name, move || {
        let chosen = opened.chosen.clone().into_iter();
        let found = chosen.filter_map(|index| DeviceNow::read(opened.backend.as_mut(), index)).collect();
        (opened, found)
    });
    read.map_err(|hangs| anyhow!("could not read {name}: {hangs}")).or_exit(ExitCode::NoDevice)
}

impl Devices {
    /// The sources, for the sampler; once.
    pub(super) fn take_sources(&mut self) -> Vec<Source> {
        std::mem::take(&mut self.sources)
    }

    /// How often they are read.
    pub(super) fn period(&self, args: &Args, note: &dyn Fn(&str)) -> Duration {
        match (args.interval, &self.measured.processes) {
            (None, Some(_)) => PROCESS_PERIOD,
            (asked, _) => backends::period(asked, self.sources.iter().map(|source| source.backend.as_ref()), note),
        }
    }
}
