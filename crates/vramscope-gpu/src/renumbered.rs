//! A backend whose devices are counted from another number.

use vramscope_core::{Device, DeviceIndex, GpuProcess, Partition, Reading, SlowReading};

use crate::{BackendInfo, CallCost, GpuBackend, GpuError};

/// Counts a backend's devices from an offset, so that those of two vendors do not share numbers.
///
/// ```
/// use vramscope_core::DeviceIndex;
/// use vramscope_gpu::{FakeGpu, GpuBackend as _, Renumbered};
/// let second = Renumbered::new(Box::new(FakeGpu::steady(1)), 4);
/// assert_eq!(second.devices()[0].index, DeviceIndex(4));
/// ```
pub struct Renumbered {
    inner: Box<dyn GpuBackend>,
    devices: Vec<Device>,
    offset: u32,
}

impl std::fmt::Debug for Renumbered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renumbered").field("inner", &self.inner.name()).field("offset", &self.offset).finish()
    }
}

impl Renumbered {
    /// The backend with its devices' numbers raised by the offset.
    pub fn new(inner: Box<dyn GpuBackend>, offset: u32) -> Self {
        let raise = |index: DeviceIndex| DeviceIndex(index.0.saturating_add(offset));
        let mut devices = inner.devices().to_vec();
        for device in &mut devices {
            device.index = raise(device.index);
            if let Some(Partition::MigSlice { parent, .. }) = &mut device.partition {
                *parent = raise(*parent);
            }
        }
        Self { inner, devices, offset }
    }

    fn inside(&self, device: DeviceIndex) -> Result<DeviceIndex, GpuError> {
        device.0.checked_sub(self.offset).map(DeviceIndex).ok_or(GpuError::NoSuchDevice { device })
    }
}

impl GpuBackend for Renumbered {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn devices(&self) -> &[Device] {
        &self.devices
    }

    fn read(&mut self, device: DeviceIndex) -> Result<Reading, GpuError> {
        self.inner.read(self.inside(device)?)
    }

    fn processes(&mut self, device: DeviceIndex) -> Result<Vec<GpuProcess>, GpuError> {
        self.inner.processes(self.inside(device)?)
    }

    fn read_slow(&mut self, device: DeviceIndex) -> Result<SlowReading, GpuError> {
        self.inner.read_slow(self.inside(device)?)
    }

    fn read_rare(&mut self, device: DeviceIndex, into: &mut SlowReading) -> Result<(), GpuError> {
        self.inner.read_rare(self.inside(device)?, into)
    }

    fn info(&self) -> BackendInfo {
        self.inner.info()
    }

    fn slow_handle(&mut self) -> Option<Box<dyn GpuBackend>> {
        let inner = self.inner.slow_handle()?;
        Some(Box::new(Self::new(inner, self.offset)))
    }

    fn call_costs(&self) -> Vec<CallCost> {
        self.inner.call_costs()
    }

    fn reset_call_costs(&mut self) {
        self.inner.reset_call_costs();
    }
}
