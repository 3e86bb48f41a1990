//! A shared library with NVML's C interface that follows a script. See the README.
#![expect(unsafe_code, reason = "it stands in for a C library")]
// Each function checks its pointers as little as the real one does: the caller is the code under test.
#![expect(clippy::missing_safety_doc, reason = "the contract of each function is NVML's own")]
#![expect(missing_docs, reason = "the functions are those of NVML's API guide")]

mod script;
mod state;

use std::os::raw::{c_char, c_int, c_uint, c_ulonglong};

use nvml_wrapper_sys::bindings::{
    nvmlDevice_t, nvmlFieldValue_t, nvmlMemory_t, nvmlMemory_v2_t, nvmlPciInfo_t, nvmlProcessInfo_t, nvmlReturn_t,
    nvmlSample_t, nvmlUtilization_t, nvmlValue_t,
};

use script::Device;
use state::{enter, enter_device, handle, script, step};

const SUCCESS: nvmlReturn_t = 0;
const INVALID_ARGUMENT: nvmlReturn_t = 2;
const NOT_SUPPORTED: nvmlReturn_t = 3;
const NOT_FOUND: nvmlReturn_t = 6;
const INSUFFICIENT_SIZE: nvmlReturn_t = 7;
const ARGUMENT_VERSION_MISMATCH: nvmlReturn_t = 25;
const UNSIGNED_INT: c_uint = 1;
const UNSIGNED_LONG_LONG: c_uint = 3;

/// Writes a C string into a buffer of `length`.
unsafe fn text(value: &str, buffer: *mut c_char, length: c_uint) -> nvmlReturn_t {
    let bytes = value.as_bytes();
    let room = usize::try_from(length).unwrap_or(0);
    if bytes.len() + 1 > room {
        return INSUFFICIENT_SIZE;
    }
    unsafe {
        std::ptr::copy_nonoverlapping(bytes.as_ptr().cast(), buffer, bytes.len());
        *buffer.add(bytes.len()) = 0;
    }
    SUCCESS
}

/// Runs a device's function: scripted codes, delays and hangs first, then the work.
fn on(device: nvmlDevice_t, name: &str, work: impl FnOnce(&'static Device) -> nvmlReturn_t) -> nvmlReturn_t {
    match enter_device(device, name) {
        Ok(device) => work(device),
        Err(code) => code,
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlInit_v2() -> nvmlReturn_t {
    enter("nvmlInit_v2").err().unwrap_or(SUCCESS)
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlShutdown() -> nvmlReturn_t {
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetDriverVersion(version: *mut c_char, length: c_uint) -> nvmlReturn_t {
    unsafe { text(&script().driver, version, length) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetNVMLVersion(version: *mut c_char, length: c_uint) -> nvmlReturn_t {
    unsafe { text(&script().nvml, version, length) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetProcessName(pid: c_uint, name: *mut c_char, length: c_uint) -> nvmlReturn_t {
    match script().names.get(&pid) {
        Some(known) => unsafe { text(known, name, length) },
        None => NOT_FOUND,
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetCount_v2(count: *mut c_uint) -> nvmlReturn_t {
    unsafe { *count = c_uint::try_from(script().devices.len()).unwrap_or(0) };
    enter("nvmlDeviceGetCount_v2").err().unwrap_or(SUCCESS)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, device: *mut nvmlDevice_t) -> nvmlReturn_t {
    if let Err(code) = enter("nvmlDeviceGetHandleByIndex_v2") {
        return code;
    }
    let Some(found) = usize::try_from(index).ok().and_then(|index| script().devices.get(index)) else {
        return INVALID_ARGUMENT;
    };
    unsafe { *device = handle(found) };
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetUUID(device: nvmlDevice_t, uuid: *mut c_char, length: c_uint) -> nvmlReturn_t {
    on(device, "nvmlDeviceGetUUID", |device| unsafe { text(&device.uuid, uuid, length) })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetName(device: nvmlDevice_t, name: *mut c_char, length: c_uint) -> nvmlReturn_t {
    on(device, "nvmlDeviceGetName", |device| unsafe { text(&device.name, name, length) })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetPciInfo_v3(device: nvmlDevice_t, pci: *mut nvmlPciInfo_t) -> nvmlReturn_t {
    on(device, "nvmlDeviceGetPciInfo_v3", |device| unsafe {
        *pci = std::mem::zeroed();
        text(&device.bus, (&raw mut (*pci).busId).cast(), 32)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMemoryInfo(device: nvmlDevice_t, memory: *mut nvmlMemory_t) -> nvmlReturn_t {
    on(device, "nvmlDeviceGetMemoryInfo", |device| {
        let used = device.used_now() + device.reserved;
        unsafe { *memory = nvmlMemory_t { total: device.total, free: device.total - used, used } };
        SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMemoryInfo_v2(
    device: nvmlDevice_t,
    memory: *mut nvmlMemory_v2_t,
) -> nvmlReturn_t {
    // sizeof(nvmlMemory_v2_t) | 2 << 24 (nvml.h, NVML_STRUCT_VERSION).
    const VERSION: c_uint = 40 | 2 << 24;
    on(device, "nvmlDeviceGetMemoryInfo_v2", |device| unsafe {
        if (*memory).version != VERSION {
            return ARGUMENT_VERSION_MISMATCH;
        }
        let used = device.used_now();
        (*memory).total = device.total;
        (*memory).reserved = device.reserved;
        (*memory).used = used;
        (*memory).free = device.total - device.reserved - used;
        SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetUtilizationRates(
    device: nvmlDevice_t,
    rates: *mut nvmlUtilization_t,
) -> nvmlReturn_t {
    on(device, "nvmlDeviceGetUtilizationRates", |device| {
        let gpu = step(device, "utilization", &device.utilization);
        unsafe { *rates = nvmlUtilization_t { gpu, memory: device.memory_utilization } };
        SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetFieldValues(
    device: nvmlDevice_t,
    count: c_int,
    values: *mut nvmlFieldValue_t,
) -> nvmlReturn_t {
    on(device, "nvmlDeviceGetFieldValues", |device| {
        for place in 0..usize::try_from(count).unwrap_or(0) {
            let value = unsafe { &mut *values.add(place) };
            (value.valueType, value.value, value.nvmlReturn) = field(device, value.fieldId);
        }
        SUCCESS
    })
}

fn field(device: &'static Device, id: c_uint) -> (c_uint, nvmlValue_t, nvmlReturn_t) {
    let small = |value: u32| (UNSIGNED_INT, nvmlValue_t { uiVal: value }, SUCCESS);
    let large = |value: u64| (UNSIGNED_LONG_LONG, nvmlValue_t { ullVal: value }, SUCCESS);
    if let Some(&code) = device.field_codes.get(&id) {
        return (0, nvmlValue_t { ullVal: 0 }, code);
    }
    match id {
        82 => small(device.memory_temperature),
        138 => large(device.link_kib[0]),
        139 => large(device.link_kib[1]),
        185 => small(device.power_average_mw),
        186 => small(step(device, "power", &device.power_mw)),
        197 => large(device.pcie[0]),
        198 => large(device.pcie[1]),
        _ => (0, nvmlValue_t { ullVal: 0 }, NOT_SUPPORTED),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetPowerUsage(device: nvmlDevice_t, power: *mut c_uint) -> nvmlReturn_t {
    on(device, "nvmlDeviceGetPowerUsage", |device| {
        unsafe { *power = device.power_average_mw };
        SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetEnforcedPowerLimit(device: nvmlDevice_t, limit: *mut c_uint) -> nvmlReturn_t {
    on(device, "nvmlDeviceGetEnforcedPowerLimit", |device| {
        unsafe { *limit = device.power_limit_mw };
        SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetTotalEnergyConsumption(
    device: nvmlDevice_t,
    energy: *mut c_ulonglong,
) -> nvmlReturn_t {
    on(device, "nvmlDeviceGetTotalEnergyConsumption", |device| {
        unsafe { *energy = step(device, "energy", &device.energy_mj) };
        SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetTemperature(
    device: nvmlDevice_t,
    _sensor: c_uint,
    temperature: *mut c_uint,
) -> nvmlReturn_t {
    on(device, "nvmlDeviceGetTemperature", |device| {
        unsafe { *temperature = device.temperature };
        SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetClockInfo(
    device: nvmlDevice_t,
    domain: c_uint,
    clock: *mut c_uint,
) -> nvmlReturn_t {
    on(device, "nvmlDeviceGetClockInfo", |device| {
        let value = match domain {
            1 => device.sm_clock,
            2 => device.memory_clock,
            _ => return NOT_SUPPORTED,
        };
        unsafe { *clock = value };
        SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetCurrentClocksThrottleReasons(
    device: nvmlDevice_t,
    reasons: *mut c_ulonglong,
) -> nvmlReturn_t {
    on(device, "nvmlDeviceGetCurrentClocksThrottleReasons", |device| {
        unsafe { *reasons = device.throttle };
        SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetTotalEccErrors(
    device: nvmlDevice_t,
    kind: c_uint,
    _counter: c_uint,
    count: *mut c_ulonglong,
) -> nvmlReturn_t {
    on(device, "nvmlDeviceGetTotalEccErrors", |device| {
        unsafe { *count = device.ecc[usize::from(kind == 1)] };
        SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetPcieThroughput(
    device: nvmlDevice_t,
    counter: c_uint,
    rate: *mut c_uint,
) -> nvmlReturn_t {
    on(device, "nvmlDeviceGetPcieThroughput", |device| {
        let kib = device.pcie[usize::from(counter == 1)] / 1024;
        unsafe { *rate = c_uint::try_from(kib).unwrap_or(c_uint::MAX) };
        SUCCESS
    })
}

/// A list with room for `count` entries; the real one answers with the needed room when it does not suffice.
unsafe fn processes(
    device: nvmlDevice_t,
    name: &str,
    kind: char,
    count: *mut c_uint,
    infos: *mut nvmlProcessInfo_t,
) -> nvmlReturn_t {
    on(device, name, |device| {
        let scripted = device.processes.iter().filter(|process| process.kind == kind);
        let holder = device.held().and_then(|held| held.by).filter(|_| kind == 'C');
        let listed: Vec<(u32, Option<u64>)> = scripted
            .map(|process| (process.pid, process.used))
            .chain(holder.map(|(pid, used)| (pid, Some(used))))
            .collect();
        let room = usize::try_from(unsafe { *count }).unwrap_or(0);
        unsafe { *count = c_uint::try_from(listed.len()).unwrap_or(0) };
        if listed.len() > room {
            return INSUFFICIENT_SIZE;
        }
        for (place, (pid, used)) in listed.into_iter().enumerate() {
            let used = used.unwrap_or(c_ulonglong::MAX);
            let none = c_uint::MAX;
            let info = nvmlProcessInfo_t { pid, usedGpuMemory: used, gpuInstanceId: none, computeInstanceId: none };
            unsafe { *infos.add(place) = info };
        }
        SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetComputeRunningProcesses_v3(
    device: nvmlDevice_t,
    count: *mut c_uint,
    infos: *mut nvmlProcessInfo_t,
) -> nvmlReturn_t {
    unsafe { processes(device, "nvmlDeviceGetComputeRunningProcesses_v3", 'C', count, infos) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetGraphicsRunningProcesses_v3(
    device: nvmlDevice_t,
    count: *mut c_uint,
    infos: *mut nvmlProcessInfo_t,
) -> nvmlReturn_t {
    unsafe { processes(device, "nvmlDeviceGetGraphicsRunningProcesses_v3", 'G', count, infos) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMPSComputeRunningProcesses_v3(
    device: nvmlDevice_t,
    count: *mut c_uint,
    infos: *mut nvmlProcessInfo_t,
) -> nvmlReturn_t {
    unsafe { processes(device, "nvmlDeviceGetMPSComputeRunningProcesses_v3", 'M', count, infos) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetSamples(
    device: nvmlDevice_t,
    kind: c_uint,
    last_seen: c_ulonglong,
    value_kind: *mut c_uint,
    count: *mut c_uint,
    samples: *mut nvmlSample_t,
) -> nvmlReturn_t {
    on(device, "nvmlDeviceGetSamples", |device| {
        let ring = match kind {
            0 => &device.power_buffer,
            1 => &device.utilization_buffer,
            _ => return NOT_SUPPORTED,
        };
        let new: Vec<_> = ring.iter().filter(|(time, _)| *time > last_seen).collect();
        let room = usize::try_from(unsafe { *count }).unwrap_or(0);
        unsafe {
            *value_kind = UNSIGNED_INT;
            *count = c_uint::try_from(new.len()).unwrap_or(0);
        }
        if new.is_empty() {
            return NOT_FOUND;
        }
        if new.len() > room {
            return INSUFFICIENT_SIZE;
        }
        for (place, &&(time, value)) in new.iter().enumerate() {
            let sample = nvmlSample_t { timeStamp: time, sampleValue: nvmlValue_t { uiVal: value } };
            unsafe { *samples.add(place) = sample };
        }
        SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMigMode(
    device: nvmlDevice_t,
    current: *mut c_uint,
    pending: *mut c_uint,
) -> nvmlReturn_t {
    on(device, "nvmlDeviceGetMigMode", |device| {
        let enabled = c_uint::from(device.mig.is_some());
        unsafe { (*current, *pending) = (enabled, enabled) };
        SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMaxMigDeviceCount(device: nvmlDevice_t, count: *mut c_uint) -> nvmlReturn_t {
    on(device, "nvmlDeviceGetMaxMigDeviceCount", |device| {
        // The real one answers the most there could be, not how many there are.
        unsafe { *count = if device.mig.is_some() { 7 } else { 0 } };
        SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMigDeviceHandleByIndex(
    device: nvmlDevice_t,
    index: c_uint,
    slice: *mut nvmlDevice_t,
) -> nvmlReturn_t {
    on(device, "nvmlDeviceGetMigDeviceHandleByIndex", |device| {
        let slices = device.mig.as_deref().unwrap_or_default();
        let Some(found) = usize::try_from(index).ok().and_then(|index| slices.get(index)) else { return NOT_FOUND };
        unsafe { *slice = handle(found) };
        SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetGpuInstanceId(device: nvmlDevice_t, id: *mut c_uint) -> nvmlReturn_t {
    on(device, "nvmlDeviceGetGpuInstanceId", |device| {
        unsafe { *id = device.instances[0] };
        SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetComputeInstanceId(device: nvmlDevice_t, id: *mut c_uint) -> nvmlReturn_t {
    on(device, "nvmlDeviceGetComputeInstanceId", |device| {
        unsafe { *id = device.instances[1] };
        SUCCESS
    })
}
