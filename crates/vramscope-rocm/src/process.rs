//! Which process holds how much of which card, from the kernel: KFD for compute, DRM's `fdinfo` for the rest. AMD's
//! tools are not asked: until July 2026 they printed each process under every card.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use vramscope_core::{ByteUnit, Bytes, GpuProcess, ProcessKind};

use crate::files;

/// Finds processes under a root.
#[derive(Debug, Clone)]
pub(crate) struct Processes {
    root: PathBuf,
    /// The KFD's number of each card, by its bus.
    kfd: BTreeMap<String, u64>,
}

impl Processes {
    pub(crate) fn new(root: &Path) -> Self {
        let nodes = files::entries(&root.join("sys/class/kfd/kfd/topology/nodes"));
        Self { root: root.to_owned(), kfd: nodes.iter().filter_map(|node| kfd_node(node)).collect() }
    }

    /// Whether the KFD has a card at this bus.
    pub(crate) fn knows(&self, bus: &str) -> bool {
        self.kfd.contains_key(bus)
    }

    /// The processes on the card at this bus, or `None` where the kernel offers neither way to know.
    pub(crate) fn on(&self, bus: &str) -> Option<Vec<GpuProcess>> {
        let kfd = self.root.join("sys/class/kfd/kfd/proc");
        let proc = self.root.join("proc");
        if !kfd.is_dir() && !proc.is_dir() {
            return None;
        }
        let mut found: BTreeMap<u32, GpuProcess> = BTreeMap::new();
        if let Some(number) = self.kfd.get(bus) {
            for folder in files::entries(&kfd) {
                let Ok(pid) = files::name(&folder).parse() else { continue };
                // A process has the file while it has a context on that card.
                let Ok(used) = files::number(&folder.join(format!("vram_{number}"))) else { continue };
                let (used, kind) = (Some(Bytes::new(used)), Some(ProcessKind::Compute));
                found.insert(pid, GpuProcess { used, kind, ..GpuProcess::unnamed(pid) });
            }
        }
        for folder in files::entries(&proc) {
            let Ok(pid) = files::name(&folder).parse() else { continue };
            let Some(used) = drm_memory(&folder, bus) else { continue };
            let kind = Some(ProcessKind::Graphics);
            let entry = found.entry(pid).or_insert_with(|| GpuProcess { kind, ..GpuProcess::unnamed(pid) });
            // Compute's allocations are in the KFD's count and not in the render node's, or in both: never add.
            entry.used = entry.used.max(Some(used));
        }
        for process in found.values_mut() {
            let name = files::text(&proc.join(process.pid.to_string()).join("comm"));
            process.name = name.ok().filter(|name| !name.is_empty());
        }
        Some(found.into_values().collect())
    }
}

/// The bus and the KFD's number of a topology node; processors have number 0.
fn kfd_node(node: &Path) -> Option<(String, u64)> {
    let number = files::number(&node.join("gpu_id")).ok().filter(|&number| number != 0)?;
    let properties = files::text(&node.join("properties")).ok()?;
    let of = |name: &str| properties.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' ')?.parse::<u64>().ok());
    let place = of("location_id")?;
    Some((bus_id(of("domain").unwrap_or(0), place), number))
}

/// The bus id of a domain and of bus, device and function packed as PCI does it.
pub(crate) fn bus_id(domain: u64, place: u64) -> String {
    format!("{domain:04x}:{:02x}:{:02x}.{}", place >> 8 & 0xff, place >> 3 & 0x1f, place & 0x7)
}

/// Video memory that a process holds through open render nodes of one card. A client that is open several times counts
/// once (the kernel's "DRM client usage stats").
fn drm_memory(process: &Path, bus: &str) -> Option<Bytes> {
    let mut seen = HashSet::new();
    let mut total: Option<Bytes> = None;
    for file in files::entries(&process.join("fdinfo")) {
        let Ok(text) = files::text(&file) else { continue };
        if !text.contains("drm-driver:") {
            continue;
        }
        let of = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim);
        if of("drm-driver") != Some("amdgpu") || of("drm-pdev") != Some(bus) {
            continue;
        }
        if !seen.insert(of("drm-client-id").unwrap_or_default().to_owned()) {
            continue;
        }
        let held = of("drm-resident-vram").or_else(|| of("drm-memory-vram")).and_then(amount);
        total = held.and_then(|held| total.unwrap_or(Bytes::ZERO).checked_add(held)).or(total);
    }
    total
}

/// `1024 KiB`; without a unit it is bytes.
fn amount(text: &str) -> Option<Bytes> {
    let mut words = text.split_whitespace();
    let value: u64 = words.next()?.parse().ok()?;
    let unit = words.next().map_or(Some(ByteUnit::B), ByteUnit::from_symbol)?;
    Bytes::new(value).checked_mul(unit.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_their_unit() {
        assert_eq!(amount("12 KiB"), Some(Bytes::new(12 << 10)));
        assert_eq!(amount("3 MiB"), Some(Bytes::new(3 << 20)));
        assert_eq!(amount("512"), Some(Bytes::new(512)));
        assert_eq!(amount("1 parsec"), None);
    }

    #[test]
    fn a_packed_place_is_a_bus_id() {
        assert_eq!(bus_id(0, 0x8300), "0000:83:00.0");
        assert_eq!(bus_id(1, 0x0c09), "0001:0c:01.1");
    }
}
