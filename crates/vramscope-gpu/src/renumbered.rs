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

/// A note with the number of its device raised, if it is one of a device.
fn renumber(note: &str, offset: u32) -> String {
    let raised = || {
        let rest = note.strip_prefix("device ")?;
        let words = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let number: u32 = rest.strip_suffix(words)?.parse().ok()?;
        Some(format!("device {}{words}", number.saturating_add(offset)))
    };
    raised().unwrap_or_else(|| note.to_owned())
}

impl GpuBackend for Renumbered {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn devices(&self) -> &[Device] {
        &self.devices
    }

    fn read(&mut self, device: DeviceIndex) -> Result<Reading, GpuError> {
        self.inner.read(self.inside(device)?).map_err(|error| error.of_device(device))
    }

    fn processes(&mut self, device: DeviceIndex) -> Result<Vec<GpuProcess>, GpuError> {
        self.inner.processes(self.inside(device)?).map_err(|error| error.of_device(device))
    }

    fn read_slow(&mut self, device: DeviceIndex) -> Result<SlowReading, GpuError> {
        self.inner.read_slow(self.inside(device)?).map_err(|error| error.of_device(device))
    }

    fn read_rare(&mut self, device: DeviceIndex, into: &mut SlowReading) -> Result<(), GpuError> {
        self.inner.read_rare(self.inside(device)?, into).map_err(|error| error.of_device(device))
    }

    fn info(&self) -> BackendInfo {
        let mut info = self.inner.info();
        info.notes.iter_mut().for_each(|note| *note = renumber(note, self.offset));
        info
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FakeGpu, Step};

    #[test]
    fn failures_and_notes_name_the_device_as_it_is_counted_outside() {
        let inner = DeviceIndex(1);
        let failure = GpuError::Timeout { device: inner, what: "memory" };
        let fake = FakeGpu::steady(2)
            .script(inner, [Step::Fail(failure)])
            .slow_fails(inner, GpuError::NoSuchDevice { device: inner });
        let mut backend =
            Renumbered::new(Box::new(fake.rare_energy(inner, [Err(GpuError::NotRecorded { device: inner })])), 4);
        let device = DeviceIndex(5);
        assert_eq!(backend.read(device), Err(GpuError::Timeout { device, what: "memory" }));
        assert_eq!(backend.read_slow(device), Err(GpuError::NoSuchDevice { device }));
        let mut rare = SlowReading::default();
        assert_eq!(backend.read_rare(device, &mut rare), Err(GpuError::NotRecorded { device }));
        assert_eq!(backend.processes(device), Err(GpuError::Unsupported { device, what: "processes" }));
        assert_eq!(backend.read(DeviceIndex(3)), Err(GpuError::NoSuchDevice { device: DeviceIndex(3) }));
    }

    #[test]
    fn a_note_of_a_device_is_renumbered_and_another_is_left() {
        assert_eq!(renumber("device 1: it is old", 4), "device 5: it is old");
        assert_eq!(renumber("device 12 is not in sysfs", 4), "device 16 is not in sysfs");
        for other in ["device", "device x", "devices 1", "it has 3 devices"] {
            assert_eq!(renumber(other, 4), other);
        }
    }
}
