//! `vramscope doctor`: whether this machine can profile an engine, and if not, what to do.

mod engine;
mod gpu;
mod machine;
mod render;

use std::path::PathBuf;
use std::time::Duration;

use vramscope_schema::ExitCode;
use vramscope_schema::doctor::{Area, Check, DoctorReport, Status, VERSION};

use crate::backends::BackendArgs;
use crate::output::{self, Format};

/// Say whether this machine can profile an engine, and what to do if it cannot
///
/// Opens every source of GPU readings and reads each device once; looks at drivers, device files and groups, at whether
/// this is a container, at Docker, at vLLM and torch, and at the folder for results. Changes nothing.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  vramscope doctor
  vramscope doctor --results /data/runs --format json
  vramscope doctor --sys-root /host        # in a container that mounts the host's files there

Exit codes: 0 profiling can run (without a GPU on the memory of processes), 7 nothing can be measured, 8 something else is missing (the last lines say what).")]
pub(crate) struct Args {
    /// The folder into which results would be written
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    results: PathBuf,

    /// How long to wait for an answer of vLLM's Python, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=600))]
    patience: u64,

    /// How to show the result
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    #[command(flatten)]
    devices: BackendArgs,
}

/// Checks the machine.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let root = &args.devices.sys_root;
    let mut checks = gpu::checks(&args.devices);
    checks.extend(machine::permissions(root));
    checks.extend(machine::container(root));
    checks.extend(engine::docker(root));
    checks.extend(engine::python(Duration::from_secs(args.patience)));
    checks.push(machine::storage(&args.results));
    let report = verdict(checks);
    let text = match args.format {
        Format::Table => render::table(&report, output::width()),
        Format::Json => output::json_text(&report)?,
    };
    output::print(&text)?;
    Ok(if report.can_profile {
        ExitCode::Success
    } else if !works(&report.checks, Area::Gpu) {
        ExitCode::NoDevice
    } else {
        ExitCode::Negative
    })
}

/// What is needed: a GPU that can be read or else the memory of processes, a way to start an engine, a folder that takes the result.
const NEEDED: [(Area, &str); 3] = [
    (Area::Gpu, "no GPU can be read"),
    (Area::Engine, "there is neither vLLM nor a Docker that answers (an engine that runs already can be attached to)"),
    (Area::Storage, "the folder for results takes no files"),
];

fn verdict(checks: Vec<Check>) -> DoctorReport {
    let missing: Vec<String> =
        NEEDED.iter().filter(|(area, _)| !works(&checks, *area)).map(|(_, what)| (*what).to_owned()).collect();
    DoctorReport {
        vramscope_doctor: VERSION,
        generator: concat!("vramscope ", env!("CARGO_PKG_VERSION")).into(),
        can_profile: missing.is_empty(),
        missing,
        checks,
    }
}

/// Whether something of an area serves.
fn works(checks: &[Check], area: Area) -> bool {
    checks.iter().any(|check| check.area == area && check.serves && check.status != Status::Failed)
}
