//! `vramscope gpus`: the GPUs of this machine now, or those of a saved output.

pub(crate) mod from;
mod render;

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use vramscope_core::{Device, DeviceIndex};
use vramscope_gpu::document::{Gpu, Snapshot};
use vramscope_gpu::{Selector, select, snapshot};
use vramscope_schema::ExitCode;

use crate::backends::{self, BackendArgs};
use crate::containers::Containers;
use crate::exit::OrExit as _;
use crate::output::{self, Format};
use crate::patience;

const EXAMPLES: &str = "\
Examples:
  vramscope gpus                                   # what is on this machine's GPUs now
  vramscope gpus --gpu GPU-8932f937 --format json  # one GPU, for a program
  vramscope gpus --from report.txt                 # a pasted nvidia-smi, amd-smi or rocm-smi output
  vramscope gpus --from query.csv --from apps.csv  # two outputs of one machine together

Exit codes: 0 done, 3 a saved output that is none or cannot be read, 7 no GPU, driver or permission.";

/// Show the GPUs: memory, power, utilisation, processes with their containers.
///
/// With --from, reads saved outputs instead: nvidia-smi's CSV (--query-gpu, --query-compute-apps), XML (-q -x), text
/// (-q) and table, amd-smi's and rocm-smi's JSON and text of any generation. Which one it is, is seen from its content;
/// prompts, dates, colours and code fences around it are passed over. UTF-16 is understood.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Read this saved output instead of the machine's GPUs; a folder stands for its files, - for stdin. Repeat for
    /// outputs that belong together.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["visible", "backend", "nvml_lib", "rocm_lib", "sys_root"]
    )]
    from: Vec<PathBuf>,

    /// How to show the result.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    #[command(flatten)]
    devices: BackendArgs,
}

/// Shows a snapshot.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut document =
        if args.from.is_empty() { now(&args.devices)? } else { chosen(from::read(&args.from)?, &args.devices.gpu)? };
    // A program may be named by its whole command line.
    for process in document.gpus.iter_mut().flat_map(|gpu| gpu.processes.iter_mut().flatten()) {
        process.name = process.name.take().map(|name| vramscope_core::redact(&name));
    }
    let text = match args.format {
        Format::Table => render::table(&document, output::width()),
        Format::Json => output::json_text(&document)?,
    };
    output::print(&text)?;
    Ok(ExitCode::Success)
}

/// Of a saved output the GPUs that were asked for, or all.
fn chosen(mut document: Snapshot, wanted: &[Selector]) -> anyhow::Result<Snapshot> {
    if wanted.is_empty() {
        return Ok(document);
    }
    let device = |gpu: &Gpu| Device {
        uuid: gpu.uuid.clone(),
        pci_bus_id: gpu.pci_bus_id.clone(),
        ..Device::unnamed(DeviceIndex(gpu.index))
    };
    let all: Vec<Device> = document.gpus.iter().map(device).collect();
    let chosen = select(&all, wanted).context("failed to choose devices").or_exit(ExitCode::NoDevice)?;
    document.gpus.retain(|gpu| chosen.contains(&DeviceIndex(gpu.index)));
    document.gpu_count = document.gpus.len();
    Ok(document)
}

fn now(args: &BackendArgs) -> anyhow::Result<Snapshot> {
    let mut joined: Option<Snapshot> = None;
    for mut opened in backends::open(args)? {
        let name = opened.backend.name();
        let read = move || snapshot(opened.backend.as_mut(), &opened.chosen);
        let one = patience::of_driver(name, read).map_err(|hangs| anyhow!("failed to read {name}: {hangs}"));
        let one = one.or_exit(ExitCode::NoDevice)?;
        joined = Some(match joined {
            None => one,
            Some(first) => join(first, one),
        });
    }
    let mut document = joined.unwrap_or_else(|| Snapshot::from_source("none"));
    let mut containers = Containers::new(&args.sys_root);
    for process in document.gpus.iter_mut().flat_map(|gpu| gpu.processes.iter_mut().flatten()) {
        process.container = containers.of(process.pid);
        process.name = process.name.take().or_else(|| containers.program(process.pid));
    }
    Ok(document)
}

/// Two vendors' devices in one document.
fn join(mut first: Snapshot, second: Snapshot) -> Snapshot {
    let driver = |snapshot: &Snapshot| snapshot.driver_version.as_ref().map(|v| format!("{} {v}", snapshot.source));
    let drivers: Vec<String> = [driver(&first), driver(&second)].into_iter().flatten().collect();
    first.driver_version = (!drivers.is_empty()).then(|| drivers.join(", "));
    first.source = format!("{}, {}", first.source, second.source);
    first.tool_version = None;
    first.gpu_count += second.gpu_count;
    first.gpus.extend(second.gpus);
    first.notes.extend(second.notes);
    first
}
