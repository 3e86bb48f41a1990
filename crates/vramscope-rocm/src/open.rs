//! Chooses the best source that this machine has.

use std::path::{Path, PathBuf};

use vramscope_gpu::{Attempt, GpuBackend, OpenError};

use crate::card;
use crate::smi_lib::SmiLib;
use crate::sysfs::Sysfs;
use crate::tool_backend::ToolBackend;

/// A source of AMD's figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// `librocm_smi64.so.1`.
    RocmSmi,
    /// The kernel's files.
    Sysfs,
    /// The JSON of `amd-smi` or `rocm-smi`, once a second at most.
    Tools,
    /// The crate `rocm_smi_lib`, only where it is asked for by name (feature `rocm-smi-lib`).
    #[cfg(feature = "rocm-smi-lib")]
    RocmSmiLib,
}

/// How to open the backend.
#[derive(Debug, Clone)]
pub struct RocmOptions {
    /// The library to load instead of the installed one.
    pub library: Option<PathBuf>,
    /// The folder under which `sys` and `proc` lie.
    pub root: PathBuf,
    /// The tool to run instead of the installed one.
    pub tool: Option<PathBuf>,
    /// This source and no other.
    pub only: Option<Source>,
}

impl Default for RocmOptions {
    fn default() -> Self {
        Self { library: None, root: PathBuf::from("/"), tool: None, only: None }
    }
}

/// The library's names, as the loader finds it and as ROCm and Debian install it.
const NAMES: [&str; 5] = [
    "librocm_smi64.so.1",
    "librocm_smi64.so",
    "/opt/rocm/lib/librocm_smi64.so.1",
    "/opt/rocm/lib/librocm_smi64.so",
    "/usr/lib/x86_64-linux-gnu/librocm_smi64.so.1",
];

/// Opens the first source that works: the library, the kernel's files, the tools.
///
/// ```
/// use vramscope_rocm::{RocmOptions, open};
/// match open(&RocmOptions::default()) {
///     Ok(backend) => assert!(!backend.devices().is_empty()),
///     Err(error) => assert!(!error.advice.is_empty(), "it always says what to do"),
/// }
/// ```
///
/// # Errors
/// [`OpenError`] that lists each way that was tried, and says what to do.
pub fn open(options: &RocmOptions) -> Result<Box<dyn GpuBackend>, OpenError> {
    let mut tried = Vec::new();
    let wanted = |source| options.only.is_none_or(|only| only == source);
    // Without a card the library prints to stderr and fails: it is only loaded where it could succeed.
    let has_card = !card::all(&options.root).is_empty() || options.root.join("sys/class/kfd/kfd").is_dir();
    #[cfg(feature = "rocm-smi-lib")]
    if options.only == Some(Source::RocmSmiLib) {
        match crate::smi_crate::SmiCrate::open(&options.root) {
            Ok(backend) => return Ok(Box::new(backend)),
            Err(attempt) => tried.push(attempt),
        }
    }
    if wanted(Source::RocmSmi) {
        if has_card || options.library.is_some() || options.only.is_some() {
            for name in names(options) {
                match SmiLib::open(&name, &options.root) {
                    Ok(backend) => return Ok(Box::new(backend)),
                    Err(attempt) => tried.push(attempt),
                }
            }
        } else {
            let outcome = "not loaded: the kernel lists no card of AMD".to_owned();
            tried.push(Attempt { what: NAMES[0].into(), outcome });
        }
    }
    if wanted(Source::Sysfs) {
        match Sysfs::open(&options.root) {
            Ok(backend) => return Ok(Box::new(backend)),
            Err(attempt) => tried.push(attempt),
        }
    }
    if wanted(Source::Tools) && (has_card || options.tool.is_some() || options.only.is_some()) {
        match ToolBackend::open(options.tool.as_deref()) {
            Ok(backend) => return Ok(Box::new(backend)),
            Err(attempts) => tried.extend(attempts),
        }
    }
    Err(refusal(has_card, tried))
}

fn names(options: &RocmOptions) -> Vec<PathBuf> {
    match &options.library {
        Some(path) => vec![path.clone()],
        None => {
            let there = |name: &&&str| !name.starts_with('/') || Path::new(name).exists();
            NAMES.iter().filter(there).map(PathBuf::from).collect()
        }
    }
}

fn refusal(has_card: bool, tried: Vec<Attempt>) -> OpenError {
    let denied = tried.iter().any(|attempt| attempt.outcome.to_lowercase().contains("permission"));
    let (missing, advice) = match (has_card, denied) {
        (_, true) => (
            "the AMD card cannot be read by this user",
            "add the user to the groups render and video, or give the container /dev/kfd and /dev/dri",
        ),
        (true, false) => (
            "there is an AMD card, but neither ROCm SMI's library nor the kernel's files nor a tool answers",
            "install rocm-smi-lib (librocm-smi64-1 on Debian), or check dmesg for amdgpu",
        ),
        (false, false) => (
            "no AMD card is listed by the kernel",
            "check that the amdgpu driver is loaded (lsmod), and in a container pass --device /dev/kfd --device /dev/dri",
        ),
    };
    OpenError { backend: "rocm", missing: missing.into(), advice: advice.into(), tried }
}
