//! A shared library with ROCm SMI's C interface that follows a script. See the README.
#![expect(unsafe_code, reason = "it stands in for a C library")]
// Each function checks its pointers as little as the real one does: the caller is the code under test.
#![expect(clippy::missing_safety_doc, reason = "the contract of each function is that of rocm_smi.h")]
#![expect(missing_docs, reason = "the functions are those of rocm_smi.h")]

mod script;
mod state;

use std::os::raw::c_char;

use script::Device;
use state::{enter, enter_device, script, step};

const SUCCESS: u32 = 0;
const INVALID_ARGS: u32 = 1;
const NOT_SUPPORTED: u32 = 2;
const INSUFFICIENT_SIZE: u32 = 11;

/// Runs a device's function: scripted codes, delays and hangs first, then the work. A null pointer is refused, as the
/// header promises.
fn on<T>(index: u32, name: &str, out: *mut T, work: impl FnOnce(&'static Device) -> Result<T, u32>) -> u32 {
    if out.is_null() {
        return INVALID_ARGS;
    }
    match enter_device(index, name).and_then(work) {
        Ok(value) => {
            unsafe { *out = value };
            SUCCESS
        }
        Err(code) => code,
    }
}

unsafe fn text(value: &str, buffer: *mut c_char, length: usize) -> u32 {
    if value.len() + 1 > length {
        return INSUFFICIENT_SIZE;
    }
    unsafe {
        std::ptr::copy_nonoverlapping(value.as_ptr().cast(), buffer, value.len());
        *buffer.add(value.len()) = 0;
    }
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn rsmi_init(_flags: u64) -> u32 {
    enter("rsmi_init").err().unwrap_or(SUCCESS)
}

#[unsafe(no_mangle)]
pub extern "C" fn rsmi_shut_down() -> u32 {
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsmi_num_monitor_devices(count: *mut u32) -> u32 {
    unsafe { *count = u32::try_from(script().devices.len()).unwrap_or(0) };
    enter("rsmi_num_monitor_devices").err().unwrap_or(SUCCESS)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsmi_version_str_get(_component: u32, version: *mut c_char, length: u32) -> u32 {
    unsafe { text(&script().driver, version, usize::try_from(length).unwrap_or(0)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsmi_dev_name_get(index: u32, name: *mut c_char, length: usize) -> u32 {
    match enter_device(index, "rsmi_dev_name_get") {
        Ok(device) => unsafe { text(&device.name, name, length) },
        Err(code) => code,
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsmi_dev_unique_id_get(index: u32, id: *mut u64) -> u32 {
    on(index, "rsmi_dev_unique_id_get", id, |device| Ok(device.unique_id))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsmi_dev_pci_id_get(index: u32, id: *mut u64) -> u32 {
    on(index, "rsmi_dev_pci_id_get", id, |device| Ok(device.pci_id))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsmi_dev_memory_total_get(index: u32, kind: u32, total: *mut u64) -> u32 {
    on(index, "rsmi_dev_memory_total_get", total, |device| {
        if kind == 0 { Ok(device.total) } else { device.other_memory.map(|m| m[1]).ok_or(NOT_SUPPORTED) }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsmi_dev_memory_usage_get(index: u32, kind: u32, used: *mut u64) -> u32 {
    on(index, "rsmi_dev_memory_usage_get", used, |device| match kind {
        0 => Ok(step(index, "used", &device.used)),
        _ => device.other_memory.map(|m| m[0]).ok_or(NOT_SUPPORTED),
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsmi_dev_busy_percent_get(index: u32, busy: *mut u32) -> u32 {
    on(index, "rsmi_dev_busy_percent_get", busy, |device| Ok(step(index, "busy", &device.busy)))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsmi_dev_memory_busy_percent_get(index: u32, busy: *mut u32) -> u32 {
    on(index, "rsmi_dev_memory_busy_percent_get", busy, |device| Ok(device.memory_busy))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsmi_dev_power_get(index: u32, power: *mut u64, kind: *mut u32) -> u32 {
    if kind.is_null() {
        return INVALID_ARGS;
    }
    on(index, "rsmi_dev_power_get", power, |device| {
        unsafe { *kind = device.power_type };
        Ok(step(index, "power", &device.power_uw))
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsmi_dev_power_ave_get(index: u32, _sensor: u32, power: *mut u64) -> u32 {
    on(index, "rsmi_dev_power_ave_get", power, |device| Ok(step(index, "power", &device.power_uw)))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsmi_dev_power_cap_get(index: u32, _sensor: u32, cap: *mut u64) -> u32 {
    on(index, "rsmi_dev_power_cap_get", cap, |device| Ok(device.power_cap_uw))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsmi_dev_energy_count_get(
    index: u32,
    counter: *mut u64,
    resolution: *mut f32,
    time: *mut u64,
) -> u32 {
    on(index, "rsmi_dev_energy_count_get", counter, |device| {
        unsafe {
            *resolution = device.energy_resolution_uj;
            *time = 1;
        }
        Ok(device.energy_count)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsmi_dev_temp_metric_get(index: u32, sensor: u32, metric: u32, value: *mut i64) -> u32 {
    on(index, "rsmi_dev_temp_metric_get", value, |device| {
        let known = device.temperatures.get(&sensor).copied();
        known.filter(|_| metric == 0).ok_or(NOT_SUPPORTED)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsmi_dev_ecc_count_get(index: u32, block: u64, counts: *mut [u64; 2]) -> u32 {
    on(
        index,
        "rsmi_dev_ecc_count_get",
        counts,
        |device| if block == 1 { Ok(device.errors) } else { Err(NOT_SUPPORTED) },
    )
}
