//! The host memory of a tree of processes, where there is no GPU to read.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use vramscope_core::{Bytes, Device, DeviceIndex, GpuProcess, Reading, SlowReading, Vendor};

use crate::{BackendInfo, GpuBackend, GpuError};

/// Summing a process's mappings takes the kernel milliseconds while the process cannot change them.
const SHORTEST_PERIOD: Duration = Duration::from_millis(50);

/// Which processes are measured: those watched, with all their descendants. A handle; clones share the list.
#[derive(Debug, Clone, Default)]
pub struct ProcessTree(Arc<Mutex<BTreeSet<u32>>>);

impl ProcessTree {
    /// Nothing is watched yet: the memory in use is zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Watches these processes and their descendants, in place of those watched before.
    pub fn watch(&self, pids: impl IntoIterator<Item = u32>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = pids.into_iter().collect();
    }

    fn roots(&self) -> BTreeSet<u32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Reads the proportional set size (PSS) of a process tree from the kernel: each page in memory counts once, shared
/// pages in equal parts for everybody who maps them, so that the sum over processes counts nothing twice. It is not GPU
/// memory, and memory that was allocated and never touched is not in it.
///
/// Its one device is called after what it is, its vendor is [`Vendor::Cpu`], and its total is the machine's memory.
#[derive(Debug)]
pub struct ProcessMemory {
    tree: ProcessTree,
    proc: PathBuf,
    devices: Vec<Device>,
    /// What the last reading summed, until a slow reading has told it: to sum it again would hold up the engine again.
    summed: Option<Vec<(u32, Bytes)>>,
}

impl ProcessMemory {
    /// The name of the device.
    pub const DEVICE_NAME: &str = "host memory of the engine's processes (PSS)";

    /// Opens the kernel's process files under this root, `/` as a rule.
    ///
    /// # Errors
    /// What the system says if the machine's memory cannot be read, as on systems other than Linux.
    pub fn open(root: &Path, tree: ProcessTree) -> io::Result<Self> {
        let proc = root.join("proc");
        let total = machine_memory(root)?;
        let device = Device {
            name: Some(Self::DEVICE_NAME.to_owned()),
            vendor: Some(Vendor::Cpu),
            total: Some(total),
            ..Device::unnamed(DeviceIndex(0))
        };
        Ok(Self { tree, proc, devices: vec![device], summed: None })
    }

    /// The watched processes that live, with their descendants.
    fn members(&self) -> BTreeSet<u32> {
        let mut members = self.tree.roots();
        if members.is_empty() {
            return members;
        }
        let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for entry in std::fs::read_dir(&self.proc).into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            if let Some(parent) = parent_of(&stat) {
                children.entry(parent).or_default().push(pid);
            }
        }
        let mut open: Vec<u32> = members.iter().copied().collect();
        while let Some(pid) = open.pop() {
            let new = children.get(&pid).into_iter().flatten().copied().filter(|child| members.insert(*child));
            open.extend(new.collect::<Vec<u32>>());
        }
        members
    }

    /// Each living process with its share.
    fn shares(&self, device: DeviceIndex) -> Result<Vec<(u32, Bytes)>, GpuError> {
        if device != DeviceIndex(0) {
            return Err(GpuError::NoSuchDevice { device });
        }
        let shares = self.members().into_iter().map(|pid| Ok(self.pss(pid)?.map(|share| (pid, share))));
        shares.filter_map(Result::transpose).collect()
    }

    /// The same for people.
    fn list(&self, shares: Vec<(u32, Bytes)>) -> Vec<GpuProcess> {
        let listed = shares.into_iter().map(|(pid, used)| {
            let name = std::fs::read_to_string(self.proc.join(format!("{pid}/comm"))).ok();
            let name = name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
            GpuProcess { used: Some(used), name, ..GpuProcess::unnamed(pid) }
        });
        listed.collect()
    }

    /// One process's share; `None` if it is gone.
    fn pss(&self, pid: u32) -> Result<Option<Bytes>, GpuError> {
        let device = DeviceIndex(0);
        match std::fs::read_to_string(self.proc.join(format!("{pid}/smaps_rollup"))) {
            // A process that is ending has no mappings any more, and its file is empty.
            Ok(text) => Ok(kib_of(&text, "Pss:")),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(GpuError::Permission {
                device,
                what: "the memory of the engine's processes",
                advice: "run as the engine's user or as root",
            }),
            // Gone (ENOENT), or about to be (ESRCH).
            Err(_) => Ok(None),
        }
    }
}

/// The machine's own memory, by the kernel's `/proc/meminfo` under this root.
///
/// # Errors
/// What the system says if it cannot be read, as on systems other than Linux.
pub fn machine_memory(root: &Path) -> io::Result<Bytes> {
    let text = std::fs::read_to_string(root.join("proc/meminfo"))?;
    kib_of(&text, "MemTotal:").ok_or_else(|| io::Error::other("meminfo has no MemTotal"))
}

/// A line `name   123 kB`.
fn kib_of(text: &str, name: &str) -> Option<Bytes> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024).map(Bytes::new)
}

/// The parent in a `stat` line. The program's name stands in parentheses and may hold spaces and parentheses.
fn parent_of(stat: &str) -> Option<u32> {
    let (_, after) = stat.rsplit_once(')')?;
    after.split_whitespace().nth(1)?.parse().ok()
}

impl GpuBackend for ProcessMemory {
    fn name(&self) -> &'static str {
        "process-memory"
    }

    fn devices(&self) -> &[Device] {
        &self.devices
    }

    fn read(&mut self, device: DeviceIndex) -> Result<Reading, GpuError> {
        self.summed = None;
        let shares = self.shares(device)?;
        let used = shares.iter().try_fold(Bytes::ZERO, |sum, (_, share)| sum.checked_add(*share));
        let used = used.ok_or_else(|| too_much(device))?;
        self.summed = Some(shares);
        Ok(Reading { used, total: self.devices[0].total, ..Reading::default() })
    }

    fn processes(&mut self, device: DeviceIndex) -> Result<Vec<GpuProcess>, GpuError> {
        Ok(self.list(self.shares(device)?))
    }

    /// The processes of the reading before, which a sampler takes in the same tick.
    fn read_slow(&mut self, device: DeviceIndex) -> Result<SlowReading, GpuError> {
        let shares = match self.summed.take().filter(|_| device == DeviceIndex(0)) {
            Some(shares) => shares,
            None => self.shares(device)?,
        };
        Ok(SlowReading { processes: Some(self.list(shares)), ..SlowReading::default() })
    }

    fn info(&self) -> BackendInfo {
        BackendInfo {
            library: Some("/proc/PID/smaps_rollup".to_owned()),
            shortest_period: Some(SHORTEST_PERIOD),
            notes: vec![
                "host memory of the engine's processes, not GPU memory: proportional set size, untouched pages excluded"
                    .to_owned(),
            ],
            ..BackendInfo::default()
        }
    }
}

fn too_much(device: DeviceIndex) -> GpuError {
    GpuError::Driver { device, what: "the memory of the engine's processes", detail: "more than 64 bits".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A root with processes as `(pid, parent, PSS in kB)`.
    fn root(processes: &[(u32, u32, u64)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let proc = root.path().join("proc");
        fs::create_dir_all(proc.join("net")).unwrap();
        fs::write(proc.join("meminfo"), "MemTotal:       24000000 kB\nMemFree: 1 kB\n").unwrap();
        for (pid, parent, pss) in processes {
            let folder = proc.join(pid.to_string());
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("stat"), format!("{pid} (a ) b) S {parent} 1 1 0")).unwrap();
            fs::write(folder.join("comm"), "worker\n").unwrap();
            fs::write(folder.join("smaps_rollup"), format!("5500-7fff ---p\nRss: 9 kB\nPss:   {pss} kB\n")).unwrap();
        }
        root
    }

    #[test]
    fn a_tree_is_summed_and_its_neighbours_are_not() {
        let root = root(&[(10, 1, 100), (11, 10, 20), (12, 11, 3), (20, 1, 4000)]);
        let tree = ProcessTree::new();
        let mut memory = ProcessMemory::open(root.path(), tree.clone()).unwrap();
        let device = memory.devices()[0].index;
        assert_eq!(memory.read(device).unwrap().used, Bytes::ZERO, "nothing is watched");
        tree.watch([10]);
        assert_eq!(memory.read(device).unwrap().used, Bytes::new(123 << 10));
        assert_eq!(memory.read(device).unwrap().total, Some(Bytes::new(24_000_000 << 10)));
        let listed: Vec<u32> = memory.processes(device).unwrap().iter().map(|p| p.pid).collect();
        assert_eq!(listed, [10, 11, 12]);
        fs::remove_dir_all(root.path().join("proc/11")).unwrap();
        assert_eq!(memory.read(device).unwrap().used, Bytes::new(100 << 10), "an orphan must be watched itself");
        tree.watch([10, 12]);
        assert_eq!(memory.read(device).unwrap().used, Bytes::new(103 << 10));
    }

    /// A sum takes the kernel tens of milliseconds, in which the engine waits.
    #[test]
    fn a_slow_reading_tells_what_the_reading_before_it_summed() {
        let root = root(&[(10, 1, 100), (11, 10, 20)]);
        let tree = ProcessTree::new();
        let mut memory = ProcessMemory::open(root.path(), tree.clone()).unwrap();
        tree.watch([10]);
        let grow = |kib: u64| fs::write(root.path().join("proc/10/smaps_rollup"), format!("Pss: {kib} kB\n")).unwrap();
        let slow = |memory: &mut ProcessMemory| {
            let processes = memory.read_slow(DeviceIndex(0)).unwrap().processes.unwrap();
            processes.iter().map(|process| process.used.unwrap().get() >> 10).sum::<u64>()
        };
        memory.read(DeviceIndex(0)).unwrap();
        grow(500);
        assert_eq!(slow(&mut memory), 120, "it is not summed again");
        assert_eq!(slow(&mut memory), 520, "what was told once is old");
        memory.read(DeviceIndex(0)).unwrap();
        grow(900);
        assert_eq!(memory.processes(DeviceIndex(0)).unwrap()[0].used, Some(Bytes::new(900 << 10)));
        assert!(memory.read_slow(DeviceIndex(1)).is_err());
    }

    #[test]
    fn this_process_has_memory() {
        let tree = ProcessTree::new();
        let mut memory = ProcessMemory::open(Path::new("/"), tree.clone()).unwrap();
        tree.watch([std::process::id()]);
        assert!(memory.read(DeviceIndex(0)).unwrap().used > Bytes::new(1 << 18));
        assert!(memory.read(DeviceIndex(1)).is_err());
    }
}
