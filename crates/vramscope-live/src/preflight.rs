//! What can be known before an engine is started: whether the run makes sense, and what will become of it.

mod dtype;
mod model;

use std::path::Path;

use vramscope_analysis::gpu_model;
use vramscope_core::{Architecture, Bytes, Device, FailureKind, GpuProcess, ProcessKind, Vendor};
use vramscope_estimate::{Budget, Calibration, EngineArgs, EstimateError, Setting, budget};

use crate::paths::free_beside;
use crate::vllm::words::LET_IT_BE_LONGER;

/// A process with less than this is a desktop's, and does no harm.
const HARMLESS: Bytes = Bytes::new(512 << 20);
/// Recordings are small; logs of a bad day are not.
const LITTLE_DISK: Bytes = Bytes::new(1 << 30);
const NO_DISK: Bytes = Bytes::new(64 << 20);

/// Room on a disk beside what several runs may leave there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiskRoom {
    /// What the runs may leave together: for each as much as one is refused without.
    pub needed: Bytes,
    /// What is free.
    pub free: Bytes,
}

impl DiskRoom {
    /// For so many runs in this folder, or the one that it will be made in; `None` where the system does not tell.
    pub fn of_runs(runs: usize, folder: &Path) -> Option<Self> {
        let needed = NO_DISK.get().checked_mul(u64::try_from(runs).ok()?)?;
        Some(Self { needed: Bytes::new(needed), free: free_beside(folder)? })
    }
}

/// A device as it is now.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DeviceNow {
    /// Which.
    pub device: Device,
    /// Memory in use on it, if it can be read.
    pub used: Option<Bytes>,
    /// The processes on it, if they can be listed.
    pub processes: Option<Vec<GpuProcess>>,
}

/// What the checks look at.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Preflight<'p> {
    /// The devices that were chosen.
    pub devices: &'p [DeviceNow],
    /// The model, if it is known.
    pub architecture: Option<&'p Architecture>,
    /// The engine's arguments.
    pub args: EngineArgs,
    /// Room on the disk of the recording, if it can be told.
    pub disk_free: Option<Bytes>,
    /// The model's folder, or what was named as one.
    pub model_folder: Option<&'p Path>,
    /// Whether weights are made up (`--load-format dummy`).
    pub dummy_weights: bool,
    /// How weights are to be loaded, where somebody says it.
    pub load_format: Option<String>,
    /// The engine's processes that are there already: those of a server that runs, none of one that is to be started.
    /// `None` where nothing says which they are.
    pub own_processes: Option<Vec<u32>>,
    /// Prompt and answer of one request together, where the lengths are given. Unit: tokens.
    pub request_tokens: Option<u64>,
    /// The longest sequence that the model or a server which runs allows, where it is known.
    pub longest: Option<Longest>,
}

/// The longest sequence that is allowed unless somebody says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Longest {
    /// What a server that runs says of itself. Unit: tokens.
    Served(u64),
    /// What the engine derives of the model's config.
    Derived {
        /// The length. Unit: tokens.
        tokens: u64,
        /// How its release derives it was checked.
        sure: bool,
    },
}

/// Something that a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// A stable name.
    pub code: &'static str,
    /// The run must not start, unless somebody insists.
    pub refuses: bool,
    /// What is the case.
    pub message: String,
    /// What to do about it.
    pub advice: &'static str,
}

impl Preflight<'_> {
    /// What speaks against the run whichever release of the engine is found, or what a person should know.
    pub fn check_place(&self) -> Vec<Finding> {
        let found = [
            self.too_few_devices(),
            self.no_processes(),
            self.contradiction(),
            self.longer_than_the_model(),
            self.too_long(),
            self.others(),
            self.model(),
            self.other_quantization(),
            self.dtype(),
            self.disk(),
        ];
        found.into_iter().flatten().collect()
    }

    /// Whether the engine will find room: its release decides that too.
    pub fn check_fit(&self) -> Option<Finding> {
        let budget = self.budget()?;
        let failure = budget.verdict.failure.as_ref().filter(|_| !budget.verdict.fits)?;
        let sure = if budget.verdict.certain { "will" } else { "will probably" };
        let lacking = missing(failure).map_or(String::new(), |bytes| format!(", {bytes} are missing on each device"));
        Some(Finding {
            code: "does_not_fit",
            refuses: budget.verdict.certain,
            message: format!("the engine {sure} refuse to start: {}{lacking}", failure.name().replace('_', " ")),
            advice: "vramscope estimate with the same arguments shows the budget, and vramscope fit what would do",
        })
    }

    /// What the engine refuses to make of this model, whatever the devices.
    fn contradiction(&self) -> Option<Finding> {
        let device = gpu_model(&self.devices.first()?.device)?;
        let setting = Setting { device: &device, others: Bytes::ZERO, calibration: Calibration::embedded() };
        let error = budget(self.architecture?, &self.args, setting).err()?;
        // Other errors are the limits of this program, not of the engine.
        matches!(error, EstimateError::NotDivisible { .. }).then(|| Finding {
            code: "cannot_be_split",
            refuses: true,
            message: error.to_string(),
            advice: "choose another --tensor-parallel-size",
        })
    }

    /// The budget as it is to be expected on the first device; `None` without a GPU, and where the model is not known or
    /// the arguments contradict it.
    pub fn budget(&self) -> Option<Budget> {
        let now = self.devices.first()?;
        let device = gpu_model(&now.device)?;
        let setting =
            Setting { device: &device, others: now.used.unwrap_or(Bytes::ZERO), calibration: Calibration::embedded() };
        budget(self.architecture?, &self.args, setting).ok()
    }

    fn too_few_devices(&self) -> Option<Finding> {
        let gpus = self.devices.iter().filter(|now| now.device.vendor != Some(Vendor::Cpu)).count();
        let ranks = self.args.tensor_parallel_size.saturating_mul(self.args.pipeline_parallel_size);
        let enough = gpus == 0 || u64::try_from(gpus).is_ok_and(|gpus| gpus >= ranks);
        (!enough).then(|| Finding {
            code: "too_few_devices",
            refuses: true,
            message: format!("the engine is to have {ranks} ranks, and {gpus} devices are chosen"),
            advice: "choose more devices with --gpu, or lower --tensor-parallel-size",
        })
    }

    /// The engine refuses to be told a length above the one that it derives of the model.
    fn longer_than_the_model(&self) -> Option<Finding> {
        let Longest::Derived { tokens: most, sure } = self.longest? else { return None };
        let asked = self.args.max_model_len.filter(|asked| *asked > most && !self.args.allow_long_max_model_len)?;
        let may = if sure { "refuses" } else { "may refuse" };
        Some(Finding {
            code: "max_model_len_too_long",
            refuses: sure,
            message: format!(
                "--max-model-len is {asked}; the engine derives {most} of the model's config and {may} more"
            ),
            advice: LET_IT_BE_LONGER,
        })
    }

    /// The engine refuses requests above the length that it takes.
    fn too_long(&self) -> Option<Finding> {
        let told = self.args.max_model_len.map(|most| (most, true, "is to take"));
        let (most, sure, how) = match (self.longest, told) {
            (Some(Longest::Served(most)), _) => (most, true, "says that it takes"),
            (_, Some(told)) => told,
            (Some(Longest::Derived { tokens, sure }), None) => (tokens, sure, "takes, by the model's config,"),
            (None, None) => return None,
        };
        let tokens = self.request_tokens.filter(|tokens| *tokens > most)?;
        Some(Finding {
            code: "requests_too_long",
            refuses: sure,
            message: format!("a request has {tokens} tokens with its answer, and the engine {how} {most} at most"),
            advice: "lower --input-len or --output-len, or raise --max-model-len",
        })
    }

    /// Without a GPU the memory of processes is measured, and that of none would be zero.
    fn no_processes(&self) -> Option<Finding> {
        let gpu = self.devices.iter().any(|now| now.device.vendor != Some(Vendor::Cpu));
        (!gpu && self.own_processes.is_none()).then(|| Finding {
            code: "no_processes",
            refuses: true,
            message: "without a GPU the memory of the server's processes is measured, and nothing says which they are"
                .to_owned(),
            advice: "give --pid or --container; with --force, times are measured and memory is not",
        })
    }

    fn others(&self) -> Option<Finding> {
        let own = self.own_processes.as_deref()?;
        let in_the_way = |process: &&GpuProcess| {
            if own.contains(&process.pid) {
                return false;
            }
            let computes = matches!(process.kind, Some(ProcessKind::Compute | ProcessKind::Both));
            process.used.map_or(computes, |used| used > HARMLESS)
        };
        let gpus = self.devices.iter().filter(|now| now.device.vendor != Some(Vendor::Cpu));
        // An engine that is started here takes the first devices that it sees, one for each rank.
        let ranks = self.args.tensor_parallel_size.saturating_mul(self.args.pipeline_parallel_size);
        let most = if own.is_empty() { usize::try_from(ranks).unwrap_or(usize::MAX) } else { usize::MAX };
        let listed: Vec<String> = gpus
            .take(most)
            .flat_map(|now| now.processes.iter().flatten().map(move |process| (now.device.index, process)))
            .filter(|(_, process)| in_the_way(process))
            .map(|(device, process)| {
                let used = process.used.map_or(String::new(), |used| format!(" with {used}"));
                format!("process {} on device {device}{used}", process.pid)
            })
            .collect();
        (!listed.is_empty()).then(|| Finding {
            code: "other_processes",
            // A server that runs has chosen its place already.
            refuses: own.is_empty(),
            message: format!("others use the devices: {}", listed.join(", ")),
            advice: "stop them, choose other devices with --gpu, or go on with --force; what they hold is in the baseline",
        })
    }

    fn disk(&self) -> Option<Finding> {
        let free = self.disk_free.filter(|free| *free < LITTLE_DISK)?;
        Some(Finding {
            code: "little_disk",
            refuses: free < NO_DISK,
            message: format!("{free} are free on the disk of the recording"),
            advice: "free some, or record elsewhere with --output",
        })
    }
}

/// What lacks for a start, where the failure says it.
fn missing(failure: &FailureKind) -> Option<Bytes> {
    let (needed, there) = match failure {
        FailureKind::KvCacheTooSmallForMaxModelLen { needed, available, .. } => (needed, available),
        FailureKind::FreeMemoryBelowUtilization { requested, free, .. } => (requested, free),
        _ => return None,
    };
    needed
        .as_ref()
        .zip(there.as_ref())
        .and_then(|(needed, there)| needed.get().checked_sub(there.get()))
        .map(Bytes::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vramscope_core::DeviceIndex;

    pub(super) fn gpu(total_gib: u64, processes: Vec<GpuProcess>) -> DeviceNow {
        let device = Device { total: Some(Bytes::new(total_gib << 30)), ..Device::unnamed(DeviceIndex(0)) };
        DeviceNow { device, used: Some(Bytes::ZERO), processes: Some(processes) }
    }

    fn codes(preflight: &Preflight<'_>) -> Vec<(&'static str, bool)> {
        let found = preflight.check_place().into_iter().chain(preflight.check_fit());
        found.map(|finding| (finding.code, finding.refuses)).collect()
    }

    fn llama() -> Architecture {
        let json = br#"{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096,
            "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
            "vocab_size": 128256, "max_position_embeddings": 131072, "torch_dtype": "bfloat16"}"#;
        vramscope_models::read_config(json).unwrap().0
    }

    pub(super) fn preflight<'p>(devices: &'p [DeviceNow], architecture: Option<&'p Architecture>) -> Preflight<'p> {
        let args = EngineArgs::default();
        Preflight {
            devices,
            architecture,
            args,
            disk_free: None,
            model_folder: None,
            dummy_weights: false,
            load_format: None,
            own_processes: Some(vec![]),
            request_tokens: None,
            longest: None,
        }
    }

    #[test]
    fn what_certainly_does_not_fit_is_refused() {
        let llama = llama();
        assert_eq!(codes(&preflight(&[gpu(80, vec![])], Some(&llama))), []);
        assert_eq!(codes(&preflight(&[gpu(12, vec![])], Some(&llama))), [("does_not_fit", true)]);
        assert_eq!(codes(&preflight(&[gpu(12, vec![])], None)), [], "nothing is known of the model");
    }

    #[test]
    fn neighbours_are_refused_and_a_desktop_is_not() {
        let process = |mib: u64, kind| GpuProcess {
            used: Some(Bytes::new(mib << 20)),
            kind: Some(kind),
            ..GpuProcess::unnamed(7)
        };
        let busy = [gpu(80, vec![process(9000, ProcessKind::Compute)])];
        assert_eq!(codes(&preflight(&busy, None)), [("other_processes", true)]);
        let beside = [gpu(80, vec![]), busy[0].clone()];
        assert_eq!(codes(&preflight(&beside, None)), [], "one rank takes the first device");
        let attached = |own| Preflight { own_processes: own, ..preflight(&busy, None) };
        assert_eq!(codes(&attached(Some(vec![7]))), [], "the server itself");
        assert_eq!(codes(&attached(Some(vec![8]))), [("other_processes", false)]);
        assert_eq!(codes(&attached(None)), [], "it may be the server");
        let desktop = [gpu(80, vec![process(40, ProcessKind::Graphics)])];
        assert_eq!(codes(&preflight(&desktop, None)), []);
    }

    #[test]
    fn memory_of_processes_needs_to_know_which() {
        let host = DeviceNow {
            device: Device { vendor: Some(Vendor::Cpu), ..Device::unnamed(DeviceIndex(0)) },
            used: Some(Bytes::ZERO),
            processes: Some(vec![]),
        };
        for (device, known, expected) in
            [(host.clone(), false, &[("no_processes", true)][..]), (host, true, &[]), (gpu(80, vec![]), false, &[])]
        {
            let devices = [device];
            let asked = Preflight { own_processes: known.then(|| vec![7]), ..preflight(&devices, None) };
            assert_eq!(codes(&asked), expected);
        }
    }

    #[test]
    fn ranks_need_devices_models_need_weights_and_recordings_need_room() {
        let devices = [gpu(80, vec![])];
        let folder = tempfile::tempdir().unwrap();
        let mut preflight = preflight(&devices, None);
        preflight.args.tensor_parallel_size = 2;
        (preflight.request_tokens, preflight.args.max_model_len) = (Some(640), Some(512));
        preflight.disk_free = Some(Bytes::new(1 << 20));
        preflight.model_folder = Some(folder.path());
        let expected =
            [("too_few_devices", true), ("requests_too_long", true), ("no_model_config", true), ("little_disk", true)];
        assert_eq!(codes(&preflight), expected);
        preflight.args.max_model_len = Some(640);
        let derived = |tokens, sure| Longest::Derived { tokens, sure };
        for (longest, found) in [
            (derived(639, true), Some(("max_model_len_too_long", true))),
            (derived(640, true), None),
            (derived(639, false), Some(("max_model_len_too_long", false))),
            (Longest::Served(639), None),
        ] {
            preflight.longest = Some(longest);
            let finding = preflight.longer_than_the_model();
            assert_eq!(finding.map(|finding| (finding.code, finding.refuses)), found, "{longest:?}");
        }
        preflight.args.max_model_len = None;
        for (longest, refuses) in
            [(Longest::Served(639), Some(true)), (derived(639, false), Some(false)), (derived(640, true), None)]
        {
            preflight.longest = Some(longest);
            assert_eq!(preflight.too_long().map(|finding| finding.refuses), refuses, "{longest:?}");
        }
        (preflight.longest, preflight.args.max_model_len) = (None, Some(640));
        std::fs::write(folder.path().join("config.json"), "{}").unwrap();
        assert_eq!(codes(&preflight)[1], ("no_weights", true));
        preflight.dummy_weights = true;
        assert_eq!(codes(&preflight).len(), 2);
        let (file, absent, gguf) =
            (folder.path().join("config.json"), folder.path().join("none"), folder.path().join("m.gguf"));
        std::fs::write(&gguf, "").unwrap();
        for (path, found) in [(&file, Some("model_is_a_file")), (&absent, Some("no_model_folder")), (&gguf, None)] {
            preflight.model_folder = Some(path);
            assert_eq!(preflight.model().map(|finding| finding.code), found);
        }
    }
}
