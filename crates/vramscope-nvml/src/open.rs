//! Finds the driver's library and says what is missing where there is none.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;
use vramscope_gpu::{Attempt, OpenError};

/// Where the library lies when the loader does not find it by its name: Debian's and Red Hat's folders, the folder of
/// container toolkits, and WSL's.
const FOLDERS: [&str; 5] = [
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/local/nvidia/lib64",
    "/usr/lib/wsl/lib",
];

/// The library's name, with the version of its interface.
const NAME: &str = "libnvidia-ml.so.1";

/// The backend's name.
pub(crate) const BACKEND: &str = "nvml";

/// Loads and initialises the library; returns it with the name under which it was found.
pub(crate) fn library(given: Option<&Path>) -> Result<(Arc<Nvml>, String), OpenError> {
    let names: Vec<PathBuf> = match given {
        Some(path) => vec![path.to_owned()],
        None => {
            let folders = FOLDERS.iter().map(|folder| Path::new(folder).join(NAME)).filter(|path| path.exists());
            std::iter::once(PathBuf::from(NAME)).chain(folders).collect()
        }
    };
    let mut tried = Vec::new();
    for name in names {
        let shown = name.display().to_string();
        match Nvml::builder().lib_path(name.as_os_str()).init() {
            Ok(nvml) => return Ok((Arc::new(nvml), shown)),
            Err(error) => {
                tried.push(Attempt { what: shown, outcome: words(&error) });
                if !matches!(error, NvmlError::LibloadingError(_)) {
                    return Err(refusal(&error, tried));
                }
            }
        }
    }
    Err(OpenError {
        backend: BACKEND,
        missing: "NVIDIA's management library is not installed".into(),
        advice: "install the NVIDIA driver, or start the container with access to the GPUs (docker run --gpus all)"
            .into(),
        tried,
    })
}

/// The library is there and does not start.
fn refusal(error: &NvmlError, tried: Vec<Attempt>) -> OpenError {
    let (missing, advice) = match error {
        NvmlError::DriverNotLoaded => (
            "the NVIDIA kernel driver is not loaded",
            "load it (modprobe nvidia), check that the machine has an NVIDIA GPU, or give the container access to it",
        ),
        NvmlError::LibRmVersionMismatch => (
            "the library and the loaded kernel driver are of different versions",
            "reboot, or reload the kernel driver, after an update of the driver",
        ),
        NvmlError::NoPermission | NvmlError::OperatingSystem => (
            "the driver refuses this user",
            "check the permissions of /dev/nvidia* and, in a container, its device rules",
        ),
        NvmlError::FailedToLoadSymbol(_) => {
            ("the library is not NVIDIA's management library", "name the right libnvidia-ml.so.1")
        }
        _ => ("the driver does not start", "see the kernel's log (dmesg) and nvidia-smi"),
    };
    OpenError { backend: BACKEND, missing: missing.into(), advice: advice.into(), tried }
}

/// The driver starts and lists nothing.
pub(crate) fn no_device(found: &str) -> OpenError {
    OpenError {
        backend: BACKEND,
        missing: "the NVIDIA driver lists no device that may be used".into(),
        advice: "check nvidia-smi and, in a container, NVIDIA_VISIBLE_DEVICES".into(),
        tried: vec![Attempt { what: found.into(), outcome: "it lists no device".into() }],
    }
}

fn words(error: &NvmlError) -> String {
    match error {
        NvmlError::LibloadingError(source) => source.to_string(),
        other => other.to_string(),
    }
}
