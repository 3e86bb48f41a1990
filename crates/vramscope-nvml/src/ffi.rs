//! The calls that `nvml-wrapper` lacks or makes twice, through the same loaded library. The only unsafe code of the
//! crate.
#![expect(unsafe_code, reason = "calls into the driver's C library")]

use std::os::raw::{c_int, c_longlong, c_uint, c_ulonglong};

use nvml_wrapper::Nvml;
use nvml_wrapper::device::Device;
use nvml_wrapper::error::{NvmlError, nvml_sym, nvml_try};
use nvml_wrapper_sys::bindings::{
    nvmlDevice_t, nvmlFieldValue_t, nvmlMemory_t, nvmlProcessInfo_t, nvmlReturn_enum_NVML_ERROR_INSUFFICIENT_SIZE,
    nvmlReturn_t, nvmlSample_t, nvmlValue_t, nvmlValueType_enum_NVML_VALUE_TYPE_DOUBLE as DOUBLE,
    nvmlValueType_enum_NVML_VALUE_TYPE_SIGNED_INT as SIGNED_INT,
    nvmlValueType_enum_NVML_VALUE_TYPE_SIGNED_LONG_LONG as SIGNED_LONG_LONG,
    nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_INT as UNSIGNED_INT,
    nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG as UNSIGNED_LONG,
    nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG_LONG as UNSIGNED_LONG_LONG,
    nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_SHORT as UNSIGNED_SHORT, nvmlValueType_t,
};

/// A device's handle, good for as long as the library it came from is initialised.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Handle(nvmlDevice_t);

// SAFETY: a handle is an opaque value that NVML never lets go of before nvmlShutdown, and NVML is thread-safe ("NVML
// is thread-safe so it is safe to make simultaneous NVML calls from multiple threads", NVML API guide).
unsafe impl Send for Handle {}

/// Keeps a device's handle beyond the borrow of the wrapper's type.
pub(crate) fn keep(device: &Device<'_>) -> Handle {
    // SAFETY: the handle is only used together with the same library, which each caller keeps in an `Arc`.
    Handle(unsafe { device.handle() })
}

/// The wrapper's view of a kept handle. `nvml` must be the library that the handle came from.
pub(crate) fn device(nvml: &Nvml, handle: Handle) -> Device<'_> {
    // SAFETY: the handle came from `keep` on a device of this library, which is still initialised while `nvml` lives.
    unsafe { Device::new(handle.0, nvml) }
}

/// Memory as drivers before 510 know it: total and used, where used includes what the driver holds.
pub(crate) fn memory_v1(nvml: &Nvml, handle: Handle) -> Result<(u64, u64), NvmlError> {
    let call = nvml_sym(nvml.lib().nvmlDeviceGetMemoryInfo.as_ref())?;
    let mut memory = nvmlMemory_t { total: 0, free: 0, used: 0 };
    // SAFETY: the handle is of this library, and the struct outlives the call.
    nvml_try(unsafe { call(handle.0, &raw mut memory) })?;
    Ok((memory.total, memory.used))
}

/// The driver's mask of reasons that hold the clocks back, with bits that the wrapper does not know.
pub(crate) fn throttle_mask(nvml: &Nvml, handle: Handle) -> Result<u64, NvmlError> {
    let call = nvml_sym(nvml.lib().nvmlDeviceGetCurrentClocksThrottleReasons.as_ref())?;
    let mut mask: c_ulonglong = 0;
    // SAFETY: the handle is of this library, and the integer outlives the call.
    nvml_try(unsafe { call(handle.0, &raw mut mask) })?;
    Ok(mask)
}

/// A MIG slice's GPU instance and compute instance.
pub(crate) fn instances(nvml: &Nvml, handle: Handle) -> Result<(u32, u32), NvmlError> {
    let gpu = nvml_sym(nvml.lib().nvmlDeviceGetGpuInstanceId.as_ref())?;
    let compute = nvml_sym(nvml.lib().nvmlDeviceGetComputeInstanceId.as_ref())?;
    let (mut gpu_instance, mut compute_instance): (c_uint, c_uint) = (0, 0);
    // SAFETY: the handle is of this library, and the integers outlive the calls.
    unsafe {
        nvml_try(gpu(handle.0, &raw mut gpu_instance))?;
        nvml_try(compute(handle.0, &raw mut compute_instance))?;
    }
    Ok((gpu_instance, compute_instance))
}

/// A figure that is asked for by number, for a scope (a power domain, a link).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub(crate) id: u32,
    pub(crate) scope: u32,
}

/// Asks for several fields in one call; each has its own answer.
pub(crate) fn fields<const N: usize>(
    nvml: &Nvml,
    handle: Handle,
    asked: [Field; N],
) -> Result<[Result<u64, NvmlError>; N], NvmlError> {
    let call = nvml_sym(nvml.lib().nvmlDeviceGetFieldValues.as_ref())?;
    let mut values = asked.map(|field| nvmlFieldValue_t {
        fieldId: field.id,
        scopeId: field.scope,
        timestamp: 0 as c_longlong,
        latencyUsec: 0,
        valueType: 0,
        nvmlReturn: 0,
        value: nvmlValue_t { ullVal: 0 },
    });
    let count = c_int::try_from(N).map_err(|_| NvmlError::InvalidArg)?;
    // SAFETY: the handle is of this library, and `values` holds as many entries as the count says.
    nvml_try(unsafe { call(handle.0, count, values.as_mut_ptr()) })?;
    Ok(values.map(|value| nvml_try(value.nvmlReturn).and_then(|()| whole(value.valueType, value.value))))
}

/// A value of any whole-number type; negative and fractional ones are not counts.
fn whole(kind: nvmlValueType_t, value: nvmlValue_t) -> Result<u64, NvmlError> {
    let not_a_count = NvmlError::UnexpectedVariant(kind);
    // SAFETY: every member of the union is plain data of at most its size; the driver set the one that `kind` names.
    unsafe {
        match kind {
            UNSIGNED_INT => Ok(value.uiVal.into()),
            #[expect(clippy::useless_conversion, reason = "an unsigned long has 32 bits on Windows")]
            UNSIGNED_LONG => Ok(value.ulVal.into()),
            UNSIGNED_LONG_LONG => Ok(value.ullVal),
            UNSIGNED_SHORT => Ok(value.usVal.into()),
            SIGNED_INT => u64::try_from(value.siVal).map_err(|_| not_a_count),
            SIGNED_LONG_LONG => u64::try_from(value.sllVal).map_err(|_| not_a_count),
            DOUBLE => {
                let fits = value.dVal >= 0.0 && value.dVal < 9_007_199_254_740_992.0;
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "in range by the test above"
                )]
                if fits { Ok(value.dVal as u64) } else { Err(not_a_count) }
            }
            _ => Err(not_a_count),
        }
    }
}

/// Which list of processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    Compute,
    Graphics,
    Mps,
}

/// One process as the driver lists it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listed {
    pub(crate) pid: u32,
    pub(crate) used: Option<u64>,
}

/// A kept buffer, so that a list takes one call.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProcessBuffer(Vec<nvmlProcessInfo_t>);

/// Room for this many processes at first.
const FIRST_ROOM: usize = 64;
/// A list longer than this is not real.
const MOST_ROOM: usize = 1 << 16;

impl ProcessBuffer {
    /// Lists processes in one driver call; in two when the list outgrew the buffer.
    pub(crate) fn list(&mut self, nvml: &Nvml, handle: Handle, list: List) -> Result<Vec<Listed>, NvmlError> {
        let lib = nvml.lib();
        let call = nvml_sym(match list {
            List::Compute => lib.nvmlDeviceGetComputeRunningProcesses_v3.as_ref(),
            List::Graphics => lib.nvmlDeviceGetGraphicsRunningProcesses_v3.as_ref(),
            List::Mps => lib.nvmlDeviceGetMPSComputeRunningProcesses_v3.as_ref(),
        })?;
        let blank = nvmlProcessInfo_t { pid: 0, usedGpuMemory: 0, gpuInstanceId: 0, computeInstanceId: 0 };
        let mut room = self.0.len().max(FIRST_ROOM);
        loop {
            self.0.clear();
            self.0.resize(room, blank);
            let mut count = c_uint::try_from(room).map_err(|_| NvmlError::InvalidArg)?;
            // SAFETY: the handle is of this library, and the buffer holds as many entries as `count` says.
            let code: nvmlReturn_t = unsafe { call(handle.0, &raw mut count, self.0.as_mut_ptr()) };
            let listed = usize::try_from(count).unwrap_or(usize::MAX);
            // Processes may come between the answer and the next call: leave room for some more.
            if code == nvmlReturn_enum_NVML_ERROR_INSUFFICIENT_SIZE && room < MOST_ROOM {
                room = listed.saturating_add(FIRST_ROOM).max(room * 2).min(MOST_ROOM);
                continue;
            }
            nvml_try(code)?;
            let known = self.0.iter().take(listed);
            // All bits set is NVML's word for "not available".
            let used = |info: &nvmlProcessInfo_t| (info.usedGpuMemory != u64::MAX).then_some(info.usedGpuMemory);
            return Ok(known.map(|info| Listed { pid: info.pid, used: used(info) }).collect());
        }
    }
}

/// What the driver's own buffer held since a time of its own clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Buffered {
    pub(crate) newest: u64,
    pub(crate) max: u64,
    pub(crate) sum: u64,
    pub(crate) count: u64,
}

/// More samples than any known driver keeps (about 120).
const RING: usize = 512;

/// Reads the driver's buffer of one kind since `last_seen` in one call. `None` when nothing is new.
pub(crate) fn buffered(nvml: &Nvml, handle: Handle, kind: u32, last_seen: u64) -> Result<Option<Buffered>, NvmlError> {
    let call = nvml_sym(nvml.lib().nvmlDeviceGetSamples.as_ref())?;
    let blank = nvmlSample_t { timeStamp: 0, sampleValue: nvmlValue_t { ullVal: 0 } };
    let mut samples = [blank; RING];
    let mut count = c_uint::try_from(RING).map_err(|_| NvmlError::InvalidArg)?;
    let mut value_kind: nvmlValueType_t = 0;
    // SAFETY: the handle is of this library, and the buffer holds as many entries as `count` says.
    let code = unsafe { call(handle.0, kind, last_seen, &raw mut value_kind, &raw mut count, samples.as_mut_ptr()) };
    match nvml_try(code) {
        Ok(()) => {}
        Err(NvmlError::NotFound) => return Ok(None),
        Err(error) => return Err(error),
    }
    let listed = usize::try_from(count).unwrap_or(RING).min(RING);
    let mut total: Option<Buffered> = None;
    for sample in samples[..listed].iter().filter(|sample| sample.timeStamp > last_seen) {
        let value = whole(value_kind, sample.sampleValue)?;
        let so_far = total.get_or_insert(Buffered { newest: 0, max: 0, sum: 0, count: 0 });
        so_far.newest = so_far.newest.max(sample.timeStamp);
        so_far.max = so_far.max.max(value);
        so_far.sum = so_far.sum.saturating_add(value);
        so_far.count += 1;
    }
    Ok(total)
}
