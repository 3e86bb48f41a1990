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
}

impl Device {
    /// A device of which nothing but its place is known.
    pub fn unnamed(index: DeviceIndex) -> Self {
        Self { index, uuid: None, name: None, pci_bus_id: None, vendor: None, total: None, reserved: None }
    }

    /// Memory that a process can use: the total less what the driver holds back. This is what CUDA calls the total.
    pub fn usable(&self) -> Option<Bytes> {
        self.total?.checked_sub(self.reserved.unwrap_or(Bytes::ZERO))
    }
}
