//! What memory is measured on: GPUs, or the engine's processes where there is none.

use vramscope_core::{Device, DeviceIndex, Vendor};
use vramscope_gpu::{GpuBackend, ProcessTree};

use crate::DeviceNow;

/// What memory is measured on.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// The devices as they are before the run.
    pub devices: Vec<DeviceNow>,
    /// Whether somebody chose them; a new container sees these alone then.
    pub chosen: bool,
    /// The processes that are measured in place of GPUs.
    pub processes: Option<ProcessTree>,
    /// Variables that keep an engine which is started here on the devices that were chosen.
    pub confinement: Vec<(String, String)>,
}

impl Measured {
    /// The word of the profile for it.
    pub fn kind(&self) -> &'static str {
        if self.processes.is_some() { "process_memory" } else { "gpu" }
    }
}

impl DeviceNow {
    /// Reads a device as it is now; `None` if the source has none of this index. What cannot be read is not known; the
    /// sampler will say why.
    pub fn read(backend: &mut dyn GpuBackend, index: DeviceIndex) -> Option<Self> {
        let mut device = backend.devices().iter().find(|device| device.index == index)?.clone();
        let reading = backend.read(index).ok();
        let (total, reserved) = reading.map_or((None, None), |reading| (reading.total, reading.reserved));
        device.total = device.total.or(total);
        device.reserved = device.reserved.or(reserved);
        Some(Self { device, used: reading.map(|reading| reading.used), processes: backend.processes(index).ok() })
    }
}

/// The variables with which a program sees the chosen ones of a vendor's devices alone. CUDA counts whole devices as the
/// driver does if it is told to, and knows slices by UUID alone.
pub fn confinement(all: &[Device], chosen: &[DeviceIndex]) -> Vec<(String, String)> {
    let seen: Vec<&Device> = all.iter().filter(|device| chosen.contains(&device.index)).collect();
    let places = || {
        let whole = all.iter().filter(|device| !device.is_slice()).enumerate();
        let places = whole.filter(|(_, device)| chosen.contains(&device.index));
        places.map(|(place, _)| place.to_string()).collect::<Vec<_>>().join(",")
    };
    let set = |name: &str, value: String| (name.to_owned(), value);
    match seen.first().and_then(|device| device.vendor) {
        Some(Vendor::Nvidia) if seen.iter().any(|device| device.is_slice()) => {
            let uuids: Vec<&str> = seen.iter().filter_map(|device| device.uuid.as_deref()).collect();
            vec![set("CUDA_VISIBLE_DEVICES", uuids.join(","))]
        }
        Some(Vendor::Nvidia) => {
            vec![set("CUDA_VISIBLE_DEVICES", places()), set("CUDA_DEVICE_ORDER", "PCI_BUS_ID".to_owned())]
        }
        Some(Vendor::Amd) => vec![set("HIP_VISIBLE_DEVICES", places())],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(index: u32, vendor: Vendor) -> Device {
        Device { vendor: Some(vendor), ..Device::unnamed(DeviceIndex(index)) }
    }

    #[test]
    fn a_program_is_kept_on_the_chosen_devices_by_their_places() {
        let nvidia = [device(0, Vendor::Nvidia), device(1, Vendor::Nvidia), device(2, Vendor::Nvidia)];
        let kept = confinement(&nvidia, &[DeviceIndex(0), DeviceIndex(2)]);
        assert_eq!(kept[0], ("CUDA_VISIBLE_DEVICES".to_owned(), "0,2".to_owned()));
        // A second vendor's devices are numbered on from the first one's, and counted from 0 by their own software.
        let amd = [device(3, Vendor::Amd), device(4, Vendor::Amd)];
        assert_eq!(confinement(&amd, &[DeviceIndex(4)]), [("HIP_VISIBLE_DEVICES".to_owned(), "1".to_owned())]);
        assert_eq!(confinement(&amd, &[]), []);
    }
}
