//! Which sources of readings a subcommand opens, and which devices it takes. The only place that names the backends.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use vramscope_core::{Device, DeviceIndex, Vendor};
use vramscope_gpu::{GpuBackend, Renumbered, Selector, select, visible, whole_devices};
use vramscope_schema::ExitCode;

use crate::exit::OrExit as _;
use crate::{output, patience};

/// A source of readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Choice {
    /// Every vendor's best source that is there.
    Auto,
    /// NVIDIA's management library.
    Nvml,
    /// AMD: the first of the three below that works.
    Rocm,
    /// AMD's library librocm_smi64.so.1.
    RocmSmi,
    /// The Linux kernel's files of AMD cards.
    AmdgpuSysfs,
    /// AMD's tools, once a second at most.
    AmdSmi,
}

/// Where readings come from and of which devices.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Devices")]
pub(crate) struct BackendArgs {
    /// Take these devices: index, UUID or its beginning, PCI bus id, or GPU:SLICE for a MIG slice. Repeat or separate
    /// by commas. Default: all whole devices.
    #[arg(long, value_name = "DEVICE", value_delimiter = ',')]
    pub(crate) gpu: Vec<Selector>,

    /// Take the devices that CUDA_VISIBLE_DEVICES, HIP_VISIBLE_DEVICES and ROCR_VISIBLE_DEVICES leave visible.
    #[arg(long, conflicts_with = "gpu")]
    pub(crate) visible: bool,

    /// Where readings come from.
    #[arg(long, value_enum, default_value = "auto", value_name = "SOURCE")]
    pub(crate) backend: Choice,

    /// Load this library instead of the installed libnvidia-ml.so.1.
    #[arg(long, value_name = "FILE")]
    pub(crate) nvml_lib: Option<PathBuf>,

    /// Load this library instead of the installed librocm_smi64.so.1.
    #[arg(long, value_name = "FILE")]
    pub(crate) rocm_lib: Option<PathBuf>,

    /// The folder under which the kernel's sys and proc lie, for containers that mount the host's elsewhere.
    #[arg(long, value_name = "FOLDER", default_value = "/", hide_short_help = true)]
    pub(crate) sys_root: PathBuf,
}

impl BackendArgs {
    /// Whether somebody asked for a GPU, or for a source that has some.
    pub(crate) fn asks_for_a_gpu(&self) -> bool {
        !self.gpu.is_empty() || self.backend != Choice::Auto || self.nvml_lib.is_some() || self.rocm_lib.is_some()
    }
}

/// An opened source with the devices that were chosen of it.
pub(crate) struct Opened {
    pub(crate) backend: Box<dyn GpuBackend>,
    pub(crate) chosen: Vec<DeviceIndex>,
}

/// How often devices are read unless somebody says otherwise.
const PERIOD: Duration = Duration::from_millis(100);

/// The time between two readings: what was asked for, else the usual one, or the shortest that all these sources allow,
/// which is then said. There is one for all, since a tick holds every device.
pub(crate) fn period<'b>(
    asked: Option<Duration>,
    sources: impl IntoIterator<Item = &'b dyn GpuBackend>,
    note: &dyn Fn(&str),
) -> Duration {
    let limits = sources.into_iter().filter_map(|source| Some((source.info().shortest_period?, source.name())));
    let (shortest, name) = match (asked, limits.max()) {
        (Some(asked), _) => return asked,
        (None, Some(slowest)) if slowest.0 > PERIOD => slowest,
        (None, _) => return PERIOD,
    };
    note(&format!(
        "note: readings are taken every {shortest:?} in place of {PERIOD:?}: {name} cannot be asked more often"
    ));
    shortest
}

/// What came of opening one vendor's source.
pub(crate) struct Probe {
    /// Whose it is: `nvml` or `rocm`.
    pub(crate) vendor: &'static str,
    /// The source, or why there is none.
    pub(crate) result: Attempt,
}

/// Tries each vendor's source that the arguments allow, in the order in which devices are numbered.
pub(crate) fn probe(args: &BackendArgs) -> Vec<Probe> {
    let mut probes = Vec::new();
    if matches!(args.backend, Choice::Auto | Choice::Nvml) {
        probes.push(Probe { vendor: "nvml", result: patiently("nvml", args, nvml) });
    }
    if args.backend != Choice::Nvml {
        probes.push(Probe { vendor: "rocm", result: patiently("rocm", args, rocm) });
    }
    probes
}

type Attempt = Result<Box<dyn GpuBackend>, String>;

/// Opens a vendor's source, unless its driver hangs.
fn patiently(vendor: &'static str, args: &BackendArgs, open: fn(&BackendArgs) -> Attempt) -> Attempt {
    let args = args.clone();
    let answer = patience::of_driver(vendor, move || open(&args));
    answer.unwrap_or_else(|hangs| Err(format!("open the backend {vendor}: {hangs}")))
}

#[cfg(feature = "nvml")]
fn nvml(args: &BackendArgs) -> Attempt {
    let options = vramscope_nvml::NvmlOptions { library: args.nvml_lib.clone(), ..Default::default() };
    match vramscope_nvml::NvmlBackend::open(&options) {
        Ok(backend) => Ok(Box::new(backend)),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(not(feature = "nvml"))]
fn nvml(_: &BackendArgs) -> Attempt {
    Err("open the backend nvml: this program was built without it (feature nvml)".into())
}

#[cfg(feature = "rocm")]
fn rocm(args: &BackendArgs) -> Attempt {
    use vramscope_rocm::{RocmOptions, Source};
    let only = match args.backend {
        Choice::RocmSmi => Some(Source::RocmSmi),
        Choice::AmdgpuSysfs => Some(Source::Sysfs),
        Choice::AmdSmi => Some(Source::Tools),
        Choice::Auto | Choice::Nvml | Choice::Rocm => None,
    };
    let options = RocmOptions { library: args.rocm_lib.clone(), root: args.sys_root.clone(), tool: None, only };
    vramscope_rocm::open(&options).map_err(|error| error.to_string())
}

#[cfg(not(feature = "rocm"))]
fn rocm(_: &BackendArgs) -> Attempt {
    Err("open the backend rocm: this program was built without it (feature rocm)".into())
}

/// The variables that leave some of a vendor's devices visible to programs.
pub(crate) const VISIBLE: [(&str, Vendor); 3] = [
    ("CUDA_VISIBLE_DEVICES", Vendor::Nvidia),
    ("HIP_VISIBLE_DEVICES", Vendor::Amd),
    ("ROCR_VISIBLE_DEVICES", Vendor::Amd),
];

/// Opens the sources and chooses devices. Devices of a second vendor are counted on from the first one's.
pub(crate) fn open(args: &BackendArgs) -> anyhow::Result<Vec<Opened>> {
    open_within(args, &|name| std::env::var(name).ok().filter(|_| args.visible))
}

/// The same, within what the variables of a program leave visible to it.
pub(crate) fn open_within(
    args: &BackendArgs,
    variable: &dyn Fn(&str) -> Option<String>,
) -> anyhow::Result<Vec<Opened>> {
    let mut backends: Vec<Box<dyn GpuBackend>> = Vec::new();
    let mut failures = Vec::new();
    for probe in probe(args) {
        match probe.result {
            Ok(backend) => {
                let offset = backends.iter().map(|b| b.devices().len()).sum::<usize>();
                let offset = u32::try_from(offset).context("count the devices")?;
                backends.push(if offset == 0 { backend } else { Box::new(Renumbered::new(backend, offset)) });
            }
            Err(failure) => failures.push(failure),
        }
    }
    if backends.is_empty() {
        let none = anyhow!("no GPU can be read on this machine:\n  failed to {}", failures.join("\n  failed to "));
        return Err(none).or_exit(ExitCode::NoDevice);
    }
    let all: Vec<Device> = backends.iter().flat_map(|backend| backend.devices().to_vec()).collect();
    let chosen = choose(args, &all, variable)?;
    let opened = backends.into_iter().map(|backend| {
        let own = |index: &DeviceIndex| backend.devices().iter().any(|device| device.index == *index);
        let chosen = chosen.iter().copied().filter(own).collect();
        Opened { backend, chosen }
    });
    Ok(opened.filter(|opened| !opened.chosen.is_empty()).collect())
}

fn choose(
    args: &BackendArgs,
    all: &[Device],
    variable: &dyn Fn(&str) -> Option<String>,
) -> anyhow::Result<Vec<DeviceIndex>> {
    if !args.gpu.is_empty() {
        return select(all, &args.gpu).context("failed to choose devices").or_exit(ExitCode::NoDevice);
    }
    let mut chosen: Vec<DeviceIndex> = whole_devices(all);
    for (name, vendor) in VISIBLE {
        let Some(value) = variable(name) else { continue };
        let found = visible(all, vendor, &value);
        found.notes.iter().for_each(|note| output::say(&format!("note: {name}={value}: {note}")));
        let other = |index: &DeviceIndex| all.iter().any(|d| d.index == *index && d.vendor != Some(vendor));
        chosen.retain(other);
        chosen.extend(found.devices);
    }
    if chosen.is_empty() {
        let none = anyhow!("the environment's VISIBLE_DEVICES variables hide every device");
        return Err(none).or_exit(ExitCode::NoDevice);
    }
    Ok(chosen)
}
