//! A measured device as predictions take it.

use vramscope_core::{Bytes, Device, Vendor};
use vramscope_estimate::{GpuModel, find_device};

/// A device as the budget takes it: its size as measured, what else matters by its name.
pub fn gpu_model(device: &Device) -> Option<GpuModel> {
    if device.vendor == Some(Vendor::Cpu) {
        return None;
    }
    let total = device.usable()?;
    let known = device.name.as_deref().and_then(find_device).copied();
    Some(GpuModel { total, total_spread: Bytes::ZERO, ..known.unwrap_or(GpuModel::of_size(total)) })
}
