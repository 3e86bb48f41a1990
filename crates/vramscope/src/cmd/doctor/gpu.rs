//! Sources of readings, and the drivers under them.

use std::path::Path;

use vramscope_core::{ByteUnit, Bytes, Partition};
use vramscope_gpu::{GpuBackend, ProcessMemory, ProcessTree};
use vramscope_schema::doctor::{Area, Check, Status};

use crate::backends::{self, BackendArgs};
use crate::patience;

/// The check of what is measured where there is no GPU.
pub(super) const PROCESS_MEMORY: &str = "process memory";

pub(super) fn checks(args: &BackendArgs) -> Vec<Check> {
    let mut checks = drivers(&args.sys_root);
    checks.extend(backends::probe(args).into_iter().map(|probe| match probe.result {
        Ok(backend) => {
            let name = backend.name();
            let read = patience::of_driver(name, move || opened(backend));
            read.unwrap_or_else(|hangs| Check::ok(Area::Gpu, name, hangs).status(Status::Failed))
        }
        Err(why) => absent(probe.vendor, &why),
    }));
    if !checks.iter().any(|check| check.serves && check.status != Status::Failed) {
        checks.push(process_memory(args));
    }
    checks
        .extend(["CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"].into_iter().filter_map(hides));
    checks
}

/// The kernel's drivers, which may be loaded where their libraries are missing.
fn drivers(root: &Path) -> Vec<Check> {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).ok();
    let nvidia = read("proc/driver/nvidia/version");
    // `NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release Build …`
    let version = nvidia.as_deref().and_then(|text| {
        let words = text.lines().next()?.split_whitespace();
        words.map(str::to_owned).find(|word| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit()))
    });
    let nvidia = match &nvidia {
        Some(_) => Check::ok(Area::Gpu, "NVIDIA kernel driver", "loaded").version(version),
        None => Check::ok(Area::Gpu, "NVIDIA kernel driver", "not loaded").status(Status::Absent),
    };
    let amd = if root.join("sys/module/amdgpu").exists() {
        let version = read("sys/module/amdgpu/version").map(|text| text.trim().to_owned());
        Check::ok(Area::Gpu, "AMD kernel driver", "loaded").version(version)
    } else {
        Check::ok(Area::Gpu, "AMD kernel driver", "not loaded").status(Status::Absent)
    };
    vec![nvidia, amd]
}

/// A source that opened: its devices are read once, since a library may open and still deny every reading.
fn opened(mut backend: Box<dyn GpuBackend>) -> Check {
    let info = backend.info();
    let mut found = Vec::new();
    let mut failed = Vec::new();
    for device in backend.devices().to_vec() {
        let name = device.name.as_deref().unwrap_or("(name not stated)");
        let name = match device.partition {
            Some(Partition::MigSlice { parent, .. }) => format!("{name} (a slice of GPU {parent})"),
            _ => name.to_owned(),
        };
        match backend.read(device.index) {
            Ok(reading) => {
                let gib = |bytes: Bytes| format!("{:.2}", bytes.in_unit(ByteUnit::GiB));
                let total = reading.total.or(device.total).map(|total| format!(" of {}", gib(total)));
                let total = total.unwrap_or_default();
                found.push(format!("GPU {}: {name}, {}{total} GiB in use", device.index, gib(reading.used)));
            }
            Err(error) => failed.push(format!("GPU {}: {name}: failed to {error}", device.index)),
        }
    }
    let reads = !found.is_empty();
    found.append(&mut failed.clone());
    if let Some(library) = &info.library {
        found.push(format!("through {library}"));
    }
    if let Some(driver) = &info.driver_version {
        found.push(format!("driver {driver}"));
    }
    found.extend(info.notes);
    if backend.devices().is_empty() {
        found.insert(0, "it answers and lists no device".into());
    }
    let status = match (reads, failed.is_empty()) {
        (false, _) => Status::Failed,
        (true, false) => Status::Note,
        (true, true) => Status::Ok,
    };
    let check = Check::ok(Area::Gpu, backend.name(), found.join("; ")).status(status);
    let check = check.version(info.library_version);
    if reads { check.serving() } else { check }
}

/// What is left where no GPU can be read: `profile` measures the engine's processes then, unless a GPU was asked for.
fn process_memory(args: &BackendArgs) -> Check {
    let name = PROCESS_MEMORY;
    if args.asks_for_a_gpu() {
        return Check::ok(Area::Gpu, name, "not used, since a GPU is asked for").status(Status::Absent);
    }
    match ProcessMemory::open(&args.sys_root, ProcessTree::new()) {
        Ok(_) => {
            let found = "no GPU can be read; the memory of the engine's processes is measured instead \
                         (/proc/PID/smaps_rollup)";
            Check::ok(Area::Gpu, name, found).status(Status::Note).serving()
        }
        Err(why) => {
            let found = format!("the memory of processes cannot be measured either: {why}");
            Check::ok(Area::Gpu, name, found).status(Status::Absent)
        }
    }
}

/// A source that did not open. The message says what was tried and what to do.
fn absent(vendor: &str, why: &str) -> Check {
    Check::ok(Area::Gpu, vendor, format!("failed to {why}")).status(Status::Absent)
}

/// A variable that hides devices from engines.
fn hides(name: &str) -> Option<Check> {
    let value = std::env::var(name).ok()?;
    let said =
        if value.is_empty() { "it is empty: engines see no device".into() } else { format!("engines see {value}") };
    Some(Check::ok(Area::Gpu, name, said).status(Status::Note))
}
