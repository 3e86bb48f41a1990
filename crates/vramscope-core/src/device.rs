//! GPUs as the driver lists them.

use std::fmt;

use crate::Bytes;

/// A device's place in one process's list. It is a handle: across processes and restarts only the UUID identifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceIndex(pub u32);

impl fmt::Display for DeviceIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who made a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Vendor {
    /// NVIDIA.
    Nvidia,
    /// AMD.
    Amd,
    /// Intel.
    Intel,
    /// The host's own memory, measured where there is no GPU.
    Cpu,
}

impl Vendor {
    /// All vendors.
    pub const ALL: [Self; 4] = [Self::Nvidia, Self::Amd, Self::Intel, Self::Cpu];

    /// The name as documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nvidia => "nvidia",
            Self::Amd => "amd",
            Self::Intel => "intel",
            Self::Cpu => "cpu",
        }
    }
}

/// One GPU. What a source does not say is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The handle within this process.
    pub index: DeviceIndex,
    /// The identity, as the driver prints it.
    pub uuid: Option<String>,
    /// The marketing name.
    pub name: Option<String>,
    /// The PCI bus id, `domain:bus:device.function`.
    pub pci_bus_id: Option<String>,
    /// Who made it.
    pub vendor: Option<Vendor>,
    /// All memory that the driver reports for it (not the marketing size).
    pub total: Option<Bytes>,
    /// The part that the driver holds back, where the source tells it apart from `used`.
    pub reserved: Option<Bytes>,
    /// The version of the kernel driver behind it.
    pub driver: Option<String>,
    /// How it is cut into parts, or what it is a part of.
    pub partition: Option<Partition>,
}

/// How a device is cut into parts, or what it is a part of. An uncut device has none.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Partition {
    /// A whole NVIDIA GPU in MIG mode: its memory is shared out among slices, and it has no utilisation.
    MigParent,
    /// One MIG slice. Its memory is part of its parent's.
    MigSlice {
        /// The whole GPU.
        parent: DeviceIndex,
        /// The GPU instance.
        gpu_instance: u32,
        /// The compute instance inside it.
        compute_instance: u32,
    },
    /// A device as AMD's driver lists it under a compute partition mode (`SPX`, `CPX`, ...) and a memory partition
    /// mode (`NPS1`, `NPS4`, ...). Each partition is a device of its own.
    Amd {
        /// The compute partition mode.
        compute: Option<String>,
        /// The memory partition mode.
        memory: Option<String>,
    },
}

impl Device {
    /// A device of which nothing but its place is known.
    pub fn unnamed(index: DeviceIndex) -> Self {
        Self {
            index,
            uuid: None,
            name: None,
            pci_bus_id: None,
            vendor: None,
            total: None,
            reserved: None,
            driver: None,
            partition: None,
        }
    }

    /// Whether its memory is part of another listed device's, so that a sum over both would count it twice.
    pub fn is_slice(&self) -> bool {
        matches!(self.partition, Some(Partition::MigSlice { .. }))
    }

    /// Memory that a process can use: the total less what the driver holds back. This is what CUDA calls the total.
    pub fn usable(&self) -> Option<Bytes> {
        self.total?.checked_sub(self.reserved.unwrap_or(Bytes::ZERO))
    }
}
