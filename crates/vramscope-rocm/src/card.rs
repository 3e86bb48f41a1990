//! One AMD card in the kernel's files.

use std::io;
use std::path::{Path, PathBuf};

use vramscope_core::{Bytes, Device, DeviceIndex, Partition, Reading, SlowReading, Vendor};
use vramscope_gpu::{GpuError, PowerKind};

use crate::files;

/// AMD's PCI vendor.
const VENDOR: &str = "0x1002";

/// A card's folders.
#[derive(Debug, Clone)]
pub(crate) struct Card {
    /// `/sys/class/drm/cardN/device`.
    pub(crate) folder: PathBuf,
    /// `…/hwmon/hwmonN`, where there is one.
    hwmon: Option<PathBuf>,
    /// `domain:bus:device.function`.
    pub(crate) bus: Option<String>,
}

/// The cards under a root, in the kernel's order.
pub(crate) fn all(root: &Path) -> Vec<Card> {
    let mut numbered: Vec<(u32, PathBuf)> = files::entries(&root.join("sys/class/drm"))
        .into_iter()
        // Connectors are named `card0-DP-1`.
        .filter_map(|path| Some((files::name(&path).strip_prefix("card")?.parse().ok()?, path)))
        .collect();
    numbered.sort();
    let amd = |folder: &PathBuf| files::text(&folder.join("vendor")).is_ok_and(|vendor| vendor == VENDOR);
    numbered.into_iter().map(|(_, path)| path.join("device")).filter(amd).map(Card::of).collect()
}

impl Card {
    fn of(folder: PathBuf) -> Self {
        let hwmon =
            files::entries(&folder.join("hwmon")).into_iter().find(|path| files::name(path).starts_with("hwmon"));
        let uevent = files::text(&folder.join("uevent")).unwrap_or_default();
        let bus = uevent.lines().find_map(|line| line.strip_prefix("PCI_SLOT_NAME=")).map(str::to_owned);
        Self { folder, hwmon, bus }
    }

    /// What the kernel says of the card itself.
    pub(crate) fn describe(&self, index: DeviceIndex, driver: Option<&str>) -> Device {
        let word = |name: &str| files::text(&self.folder.join(name)).ok().filter(|text| !text.is_empty());
        let compute = word("current_compute_partition");
        let memory = word("current_memory_partition");
        let cut = compute.is_some() || memory.is_some();
        Device {
            uuid: word("unique_id").and_then(|id| uuid_of(&id)),
            name: word("product_name"),
            pci_bus_id: self.bus.clone(),
            vendor: Some(Vendor::Amd),
            total: self.bytes("mem_info_vram_total"),
            driver: driver.map(str::to_owned),
            partition: cut.then_some(Partition::Amd { compute, memory }),
            ..Device::unnamed(index)
        }
    }

    fn bytes(&self, name: &str) -> Option<Bytes> {
        files::number(&self.folder.join(name)).ok().map(Bytes::new)
    }

    /// Memory in use, or why it cannot be known.
    pub(crate) fn used(&self, device: DeviceIndex) -> Result<Bytes, GpuError> {
        let used = files::number(&self.folder.join("mem_info_vram_used"));
        used.map(Bytes::new).map_err(|error| failure(device, "memory", &error, &self.folder))
    }

    /// All that is cheap to read.
    pub(crate) fn read(&self, device: DeviceIndex) -> Result<Reading, GpuError> {
        let used = self.used(device)?;
        let percent = |name: &str| files::number(&self.folder.join(name)).ok().and_then(|n| u8::try_from(n).ok());
        Ok(Reading {
            used,
            total: self.bytes("mem_info_vram_total"),
            power_mw: self.power().map(|(power, _)| power),
            temperature_c: self.temperature(&["edge", "junction"]),
            memory_temperature_c: self.temperature(&["mem"]),
            utilization_pct: percent("gpu_busy_percent"),
            memory_utilization_pct: percent("mem_busy_percent"),
            sm_clock_mhz: self.shader_clock(),
            memory_clock_mhz: self.memory_clock(),
            ..Reading::default()
        })
    }

    /// The shader clock in MHz.
    pub(crate) fn shader_clock(&self) -> Option<u32> {
        files::starred_mhz(&self.folder.join("pp_dpm_sclk"))
    }

    /// The memory clock in MHz.
    pub(crate) fn memory_clock(&self) -> Option<u32> {
        files::starred_mhz(&self.folder.join("pp_dpm_mclk"))
    }

    /// Power in milliwatts and what it is: firmware either averages (`power1_average`) or does not (`power1_input`).
    pub(crate) fn power(&self) -> Option<(u32, PowerKind)> {
        let of = |name: &str| self.sensor(name).and_then(milli_of_micro);
        let average = of("power1_average").map(|power| (power, PowerKind::Average));
        average.or_else(|| of("power1_input").map(|power| (power, PowerKind::Instant)))
    }

    fn sensor(&self, name: &str) -> Option<u64> {
        files::number(&self.hwmon.as_ref()?.join(name)).ok()
    }

    /// The first of these sensors that the card has, in degrees.
    fn temperature(&self, labels: &[&str]) -> Option<u32> {
        let hwmon = self.hwmon.as_ref()?;
        labels.iter().find_map(|label| {
            // The kernel numbers edge 1, junction 2, memory 3; the label is what counts.
            let place =
                (1..=8).find(|n| files::text(&hwmon.join(format!("temp{n}_label"))).is_ok_and(|l| l == *label))?;
            let milli = files::number(&hwmon.join(format!("temp{place}_input"))).ok()?;
            u32::try_from(milli / 1000).ok()
        })
    }

    /// Energy, limits and memory errors.
    pub(crate) fn read_slow(&self) -> SlowReading {
        let errors = files::text(&self.folder.join("ras/umc_err_count")).unwrap_or_default();
        let count = |name: &str| errors.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        SlowReading {
            energy_mj: self.sensor("energy1_input").map(|micro| micro / 1000).filter(|&energy| energy > 0),
            power_limit_mw: self.sensor("power1_cap").and_then(milli_of_micro),
            ecc_corrected: count("ce:"),
            ecc_uncorrected: count("ue:"),
            ..SlowReading::default()
        }
    }
}

/// The identity as ROCm's runtime writes it, from the kernel's hexadecimal number. Zero is no identity.
pub(crate) fn uuid_of(id: &str) -> Option<String> {
    let number = u64::from_str_radix(id.trim_start_matches("0x"), 16).ok().filter(|&id| id != 0)?;
    Some(format!("GPU-{number:016x}"))
}

pub(crate) fn milli_of_micro(micro: u64) -> Option<u32> {
    u32::try_from(micro / 1000).ok()
}

/// What a failed read of a card's file means. A file that is gone with its folder is a lost device.
fn failure(device: DeviceIndex, what: &'static str, error: &io::Error, folder: &Path) -> GpuError {
    use io::ErrorKind::{NotFound, PermissionDenied};
    // ENODEV and ENXIO: the driver is unbound, or the card fell off the bus.
    let gone = matches!(error.raw_os_error(), Some(19 | 6)) || (error.kind() == NotFound && !folder.exists());
    match error.kind() {
        _ if gone => GpuError::Lost { device, what, detail: error.to_string() },
        PermissionDenied => {
            GpuError::Permission { device, what, advice: "add the user to the groups render and video" }
        }
        NotFound => GpuError::Unsupported { device, what },
        _ => GpuError::Driver { device, what, detail: error.to_string() },
    }
}
