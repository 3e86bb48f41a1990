//! A machine made of files: cards in `sys`, processes in `proc`, a copy of the stand-in library.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use vramscope_gpu::{GpuBackend, OpenError};
use vramscope_rocm::{RocmOptions, Source, open};

/// The folders live as long as the value.
pub(crate) struct Machine {
    folder: TempDir,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file of the machine.
    pub(crate) fn file(&self, path: &str, text: &str) -> PathBuf {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// A card with the files that every AMD card has.
    pub(crate) fn card(&self, number: u32, bus: &str, used: u64, total: u64) -> PathBuf {
        let at = |name: &str| format!("sys/class/drm/card{number}/device/{name}");
        self.file(&at("vendor"), "0x1002\n");
        self.file(&at("uevent"), &format!("DRIVER=amdgpu\nPCI_SLOT_NAME={bus}\n"));
        self.file(&at("mem_info_vram_total"), &format!("{total}\n"));
        self.file(&at("mem_info_vram_used"), &format!("{used}\n"));
        self.root().join(format!("sys/class/drm/card{number}/device"))
    }

    /// A copy of the stand-in library that follows this script.
    pub(crate) fn library(&self, script: &Value) -> PathBuf {
        // Cargo builds the dependency beside the test binary.
        let built = std::env::current_exe().unwrap().with_file_name("libstandin_rocm_smi.so");
        let path = self.root().join("librocm_smi64.so.1");
        fs::copy(&built, &path).unwrap_or_else(|error| panic!("copy {}: {error}", built.display()));
        self.file("librocm_smi64.so.1.json", &script.to_string());
        path
    }

    pub(crate) fn options(&self, only: Source) -> RocmOptions {
        RocmOptions { root: self.root().to_owned(), only: Some(only), ..RocmOptions::default() }
    }

    pub(crate) fn open(&self, options: &RocmOptions) -> Result<Box<dyn GpuBackend>, OpenError> {
        open(options)
    }
}
