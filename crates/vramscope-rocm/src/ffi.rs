//! The binding to `librocm_smi64.so.1`: the calls whose types have stayed the same from ROCm 4 to 7. The only unsafe
//! code of the crate.
//!
//! Left out on purpose: `rsmi_gpu_metrics_t`, which grew several times, and `rsmi_frequencies_t`, which got a field in
//! front in ROCm 6; clocks come from the kernel's files instead.
#![expect(unsafe_code, reason = "calls into AMD's C library")]

use std::ffi::{CStr, c_char};
use std::path::Path;
use std::sync::Arc;

use libloading::Library;

/// What a function answers; 0 is success.
pub(crate) type Status = u32;

/// The codes of `rsmi_status_t` that mean something to us (rocm_smi.h).
pub(crate) mod status {
    use super::Status;

    pub(crate) const NOT_SUPPORTED: Status = 2;
    pub(crate) const FILE_ERROR: Status = 3;
    pub(crate) const PERMISSION: Status = 4;
    pub(crate) const INIT_ERROR: Status = 8;
    pub(crate) const NOT_YET_IMPLEMENTED: Status = 9;
    pub(crate) const NOT_FOUND: Status = 10;
    pub(crate) const NO_DATA: Status = 14;
    pub(crate) const BUSY: Status = 16;
}

/// A function that is not in this library.
pub(crate) const ABSENT: Status = Status::MAX - 1;

type DeviceU32 = unsafe extern "C" fn(u32, *mut u32) -> Status;
type DeviceU64 = unsafe extern "C" fn(u32, *mut u64) -> Status;
type DeviceKindU64 = unsafe extern "C" fn(u32, u32, *mut u64) -> Status;
type Temperature = unsafe extern "C" fn(u32, u32, u32, *mut i64) -> Status;
type Power = unsafe extern "C" fn(u32, *mut u64, *mut u32) -> Status;
type Energy = unsafe extern "C" fn(u32, *mut u64, *mut f32, *mut u64) -> Status;
type Name = unsafe extern "C" fn(u32, *mut c_char, usize) -> Status;
type VersionText = unsafe extern "C" fn(u32, *mut c_char, u32) -> Status;
type ErrorCount = unsafe extern "C" fn(u32, u64, *mut [u64; 2]) -> Status;

/// The functions of one loaded library. Each but the first three may be missing.
#[derive(Debug)]
struct Functions {
    shut_down: unsafe extern "C" fn() -> Status,
    num_devices: unsafe extern "C" fn(*mut u32) -> Status,
    unique_id: Option<DeviceU64>,
    pci_id: Option<DeviceU64>,
    name: Option<Name>,
    memory_total: Option<DeviceKindU64>,
    memory_usage: Option<DeviceKindU64>,
    busy: Option<DeviceU32>,
    memory_busy: Option<DeviceU32>,
    power: Option<Power>,
    socket_power: Option<DeviceU64>,
    average_power: Option<DeviceKindU64>,
    power_cap: Option<DeviceKindU64>,
    energy: Option<Energy>,
    temperature: Option<Temperature>,
    errors: Option<ErrorCount>,
    version_text: Option<VersionText>,
}

/// A loaded and initialised library. It is shut down when the last handle is gone.
#[derive(Debug, Clone)]
pub(crate) struct RocmSmi(Arc<Loaded>);

#[derive(Debug)]
struct Loaded {
    functions: Functions,
    // Behind the functions: they point into it.
    _library: Library,
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // SAFETY: the library was initialised, and nobody calls it any more.
        unsafe { (self.functions.shut_down)() };
    }
}

/// Why a library cannot be used.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// The loader did not find or accept it.
    Load(libloading::Error),
    /// It is another library.
    Foreign(&'static str),
    /// Its initialisation answered this.
    Init(Status),
}

/// The kinds of memory (`rsmi_memory_type_t`).
pub(crate) const VRAM: u32 = 0;
/// The temperature sensors (`rsmi_temperature_type_t`).
pub(crate) const EDGE: u32 = 0;
pub(crate) const JUNCTION: u32 = 1;
pub(crate) const MEMORY: u32 = 2;
/// The current value of a sensor (`rsmi_temperature_metric_t`).
const CURRENT: u32 = 0;
/// The memory controllers (`RSMI_GPU_BLOCK_UMC`).
const UMC_BLOCK: u64 = 1;
/// The driver's version (`RSMI_SW_COMP_DRIVER`).
const DRIVER: u32 = 0;
/// The longest text that is asked for.
const TEXT: usize = 256;

/// What `rsmi_dev_power_get` says its figure is (`RSMI_POWER_TYPE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PowerType {
    Average,
    Current,
}

impl RocmSmi {
    /// Loads and initialises the library.
    pub(crate) fn open(path: &Path) -> Result<Self, LoadError> {
        // SAFETY: loading runs the library's initialisers; ROCm SMI's set up C++ statics only.
        let library = unsafe { Library::new(path) }.map_err(LoadError::Load)?;
        let init: unsafe extern "C" fn(u64) -> Status =
            symbol(&library, c"rsmi_init").ok_or(LoadError::Foreign("rsmi_init"))?;
        let functions = Functions {
            shut_down: symbol(&library, c"rsmi_shut_down").ok_or(LoadError::Foreign("rsmi_shut_down"))?,
            num_devices: symbol(&library, c"rsmi_num_monitor_devices")
                .ok_or(LoadError::Foreign("rsmi_num_monitor_devices"))?,
            unique_id: symbol(&library, c"rsmi_dev_unique_id_get"),
            pci_id: symbol(&library, c"rsmi_dev_pci_id_get"),
            name: symbol(&library, c"rsmi_dev_name_get"),
            memory_total: symbol(&library, c"rsmi_dev_memory_total_get"),
            memory_usage: symbol(&library, c"rsmi_dev_memory_usage_get"),
            busy: symbol(&library, c"rsmi_dev_busy_percent_get"),
            memory_busy: symbol(&library, c"rsmi_dev_memory_busy_percent_get"),
            power: symbol(&library, c"rsmi_dev_power_get"),
            socket_power: symbol(&library, c"rsmi_dev_current_socket_power_get"),
            average_power: symbol(&library, c"rsmi_dev_power_ave_get"),
            power_cap: symbol(&library, c"rsmi_dev_power_cap_get"),
            energy: symbol(&library, c"rsmi_dev_energy_count_get"),
            temperature: symbol(&library, c"rsmi_dev_temp_metric_get"),
            errors: symbol(&library, c"rsmi_dev_ecc_count_get"),
            version_text: symbol(&library, c"rsmi_version_str_get"),
        };
        // SAFETY: the function has this signature in every version of the library.
        match unsafe { init(0) } {
            0 => Ok(Self(Arc::new(Loaded { functions, _library: library }))),
            code => Err(LoadError::Init(code)),
        }
    }

    fn functions(&self) -> &Functions {
        &self.0.functions
    }

    pub(crate) fn device_count(&self) -> Result<u32, Status> {
        let mut count = 0;
        // SAFETY: the library is initialised and the integer outlives the call.
        answer(unsafe { (self.functions().num_devices)(&raw mut count) }, count)
    }

    pub(crate) fn driver_version(&self) -> Option<String> {
        let call = self.functions().version_text?;
        let mut text = [0; TEXT];
        // SAFETY: the buffer has the length that the call is told, less one for its last byte.
        let code = unsafe { call(DRIVER, text.as_mut_ptr(), 255) };
        (code == 0).then(|| read_text(&text)).flatten()
    }

    pub(crate) fn name(&self, device: u32) -> Option<String> {
        let call = self.functions().name?;
        let mut text = [0; TEXT];
        // SAFETY: the buffer has the length that the call is told, less one for its last byte.
        let code = unsafe { call(device, text.as_mut_ptr(), TEXT - 1) };
        (code == 0).then(|| read_text(&text)).flatten()
    }

    pub(crate) fn unique_id(&self, device: u32) -> Result<u64, Status> {
        u64_of(self.functions().unique_id, device)
    }

    /// Domain, bus, device and function as one number (`rsmi_dev_pci_id_get`).
    pub(crate) fn pci_id(&self, device: u32) -> Result<u64, Status> {
        u64_of(self.functions().pci_id, device)
    }

    pub(crate) fn memory_total(&self, device: u32, kind: u32) -> Result<u64, Status> {
        kind_of(self.functions().memory_total, device, kind)
    }

    pub(crate) fn memory_usage(&self, device: u32, kind: u32) -> Result<u64, Status> {
        kind_of(self.functions().memory_usage, device, kind)
    }

    pub(crate) fn busy(&self, device: u32) -> Result<u32, Status> {
        u32_of(self.functions().busy, device)
    }

    pub(crate) fn memory_busy(&self, device: u32) -> Result<u32, Status> {
        u32_of(self.functions().memory_busy, device)
    }

    /// Power in microwatts, and what it is.
    pub(crate) fn power(&self, device: u32) -> Result<(u64, Option<PowerType>), Status> {
        let call = self.functions().power.ok_or(ABSENT)?;
        let (mut power, mut kind) = (0, u32::MAX);
        // SAFETY: the library is initialised and both integers outlive the call.
        let code = unsafe { call(device, &raw mut power, &raw mut kind) };
        let kind = match kind {
            0 => Some(PowerType::Average),
            1 => Some(PowerType::Current),
            _ => None,
        };
        answer(code, (power, kind))
    }

    pub(crate) fn socket_power(&self, device: u32) -> Result<u64, Status> {
        u64_of(self.functions().socket_power, device)
    }

    pub(crate) fn average_power(&self, device: u32) -> Result<u64, Status> {
        kind_of(self.functions().average_power, device, 0)
    }

    /// In microwatts.
    pub(crate) fn power_cap(&self, device: u32) -> Result<u64, Status> {
        kind_of(self.functions().power_cap, device, 0)
    }

    /// The counter, and how many microjoules one count is.
    pub(crate) fn energy(&self, device: u32) -> Result<(u64, f32), Status> {
        let call = self.functions().energy.ok_or(ABSENT)?;
        let (mut counter, mut resolution, mut time) = (0, 0.0, 0);
        // SAFETY: the library is initialised and all three numbers outlive the call.
        let code = unsafe { call(device, &raw mut counter, &raw mut resolution, &raw mut time) };
        answer(code, (counter, resolution))
    }

    /// In thousandths of a degree Celsius.
    pub(crate) fn temperature(&self, device: u32, sensor: u32) -> Result<i64, Status> {
        let call = self.functions().temperature.ok_or(ABSENT)?;
        let mut value = 0;
        // SAFETY: the library is initialised and the integer outlives the call.
        answer(unsafe { call(device, sensor, CURRENT, &raw mut value) }, value)
    }

    /// Memory errors: corrected and not.
    pub(crate) fn errors(&self, device: u32) -> Result<[u64; 2], Status> {
        let call = self.functions().errors.ok_or(ABSENT)?;
        let mut counts = [0; 2];
        // SAFETY: `rsmi_error_count_t` is two 64-bit integers, and the array outlives the call.
        let code = unsafe { call(device, UMC_BLOCK, &raw mut counts) };
        answer(code, counts)
    }
}

/// A function of the library by its name. `T` must be its type.
fn symbol<T: Copy>(library: &Library, name: &CStr) -> Option<T> {
    // SAFETY: each caller names the type that rocm_smi.h gives the function, and keeps the library loaded.
    unsafe { library.get::<T>(name.to_bytes_with_nul()) }.ok().map(|found| *found)
}

fn answer<T>(code: Status, value: T) -> Result<T, Status> {
    if code == 0 { Ok(value) } else { Err(code) }
}

fn u32_of(call: Option<DeviceU32>, device: u32) -> Result<u32, Status> {
    let call = call.ok_or(ABSENT)?;
    let mut value = 0;
    // SAFETY: the function has this signature, and the integer outlives the call.
    answer(unsafe { call(device, &raw mut value) }, value)
}

fn u64_of(call: Option<DeviceU64>, device: u32) -> Result<u64, Status> {
    let call = call.ok_or(ABSENT)?;
    let mut value = 0;
    // SAFETY: the function has this signature, and the integer outlives the call.
    answer(unsafe { call(device, &raw mut value) }, value)
}

fn kind_of(call: Option<DeviceKindU64>, device: u32, kind: u32) -> Result<u64, Status> {
    let call = call.ok_or(ABSENT)?;
    let mut value = 0;
    // SAFETY: the function has this signature, and the integer outlives the call.
    answer(unsafe { call(device, kind, &raw mut value) }, value)
}

/// The text of a buffer that the library filled; its last byte was never offered, so it ends.
fn read_text(buffer: &[c_char; TEXT]) -> Option<String> {
    let bytes: Vec<u8> = buffer.iter().map(|c| c.to_ne_bytes()[0]).collect();
    let text = CStr::from_bytes_until_nul(&bytes).ok()?.to_string_lossy().trim().to_owned();
    (!text.is_empty()).then_some(text)
}
