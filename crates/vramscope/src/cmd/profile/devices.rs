//! What memory is measured on: the GPUs, or the engine's processes where there is none.

use std::path::Path;

use anyhow::Context as _;
use vramscope_core::DeviceIndex;
use vramscope_gpu::{GpuBackend, ProcessMemory, ProcessTree};
use vramscope_run::DeviceNow;
use vramscope_sampler::Source;
use vramscope_schema::ExitCode;

use super::Args;
use crate::backends::{self, Choice};
use crate::exit::OrExit as _;
use crate::output;

/// The devices of a run.
pub(super) struct Devices {
    sources: Vec<Source>,
    /// As they are before the run.
    pub(super) now: Vec<DeviceNow>,
    /// The processes that are measured in place of GPUs.
    pub(super) tree: Option<ProcessTree>,
}

/// Opens the GPUs; without any, and unless one was named, the memory of the engine's processes.
pub(super) fn open(args: &Args) -> anyhow::Result<Devices> {
    let opened = match backends::open(&args.devices) {
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
    let mut devices = Devices { sources: Vec::new(), now: Vec::new(), tree: None };
    for mut opened in opened {
        for index in opened.chosen.clone() {
            devices.now.extend(now(opened.backend.as_mut(), index));
        }
        devices.sources.push(Source { backend: opened.backend, devices: opened.chosen });
    }
    Ok(devices)
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
    Ok(Devices { sources: vec![Source::from(Box::new(memory) as Box<dyn GpuBackend>)], now, tree: Some(tree) })
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

    /// The word of the profile for what memory is measured on.
    pub(super) fn kind(&self) -> &'static str {
        if self.tree.is_some() { "process_memory" } else { "gpu" }
    }
}
