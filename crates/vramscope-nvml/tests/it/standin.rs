//! A copy of the stand-in library for one test, with its own script and its own state.

use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;
use vramscope_gpu::OpenError;
use vramscope_nvml::{NvmlBackend, NvmlOptions};

/// The library's folder lives as long as the value.
pub(crate) struct StandIn {
    _folder: TempDir,
    pub(crate) path: PathBuf,
}

impl StandIn {
    /// A copy of the library that follows this script.
    pub(crate) fn new(script: &Value) -> Self {
        // Cargo builds the dependency beside the test binary.
        let built = std::env::current_exe().unwrap().with_file_name("libstandin_nvml.so");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libnvidia-ml.so.1");
        std::fs::copy(&built, &path).unwrap_or_else(|error| panic!("copy {}: {error}", built.display()));
        std::fs::write(folder.path().join("libnvidia-ml.so.1.json"), script.to_string()).unwrap();
        Self { _folder: folder, path }
    }

    /// Opens the backend on it.
    pub(crate) fn open(&self) -> Result<NvmlBackend, OpenError> {
        NvmlBackend::open(&NvmlOptions { library: Some(self.path.clone()), pcie_rate: false })
    }
}

/// Opens the backend on a script that must work.
pub(crate) fn opened(script: &Value) -> (StandIn, NvmlBackend) {
    let library = StandIn::new(script);
    let backend = library.open().unwrap();
    (library, backend)
}
