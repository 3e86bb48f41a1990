//! The script of this copy of the library, and where each sequence of it stands.

use std::collections::HashMap;
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::script::{Device, Script};

const INVALID_ARGS: u32 = 1;
const FILE_ERROR: u32 = 3;

/// The script beside this library.
pub(crate) fn script() -> &'static Script {
    static SCRIPT: OnceLock<Script> = OnceLock::new();
    SCRIPT.get_or_init(|| {
        let mut path = own_path().into_os_string();
        path.push(".json");
        let Ok(text) = std::fs::read(&path) else { return Script::default() };
        match serde_json::from_slice(&text) {
            Ok(script) => script,
            #[expect(clippy::panic, reason = "a test with a wrong script must not pass")]
            Err(error) => panic!("the script {} is wrong: {error}", path.display()),
        }
    })
}

/// Where this library was loaded from.
fn own_path() -> PathBuf {
    // SAFETY: dladdr fills the struct for an address inside a loaded object, and this function's own is one; the name
    // that it gives lives as long as the object.
    unsafe {
        let mut info: libc::Dl_info = std::mem::zeroed();
        let known = libc::dladdr(own_path as *const libc::c_void, &raw mut info);
        if known == 0 || info.dli_fname.is_null() {
            return PathBuf::new();
        }
        PathBuf::from(OsStr::from_bytes(CStr::from_ptr(info.dli_fname).to_bytes()))
    }
}

/// How often things were asked for: functions, and devices' sequences.
fn counts<T>(work: impl FnOnce(&mut HashMap<String, u64>) -> T) -> T {
    static COUNTS: Mutex<Option<HashMap<String, u64>>> = Mutex::new(None);
    let mut counts = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    work(counts.get_or_insert_default())
}

/// Counts one more; answers how many there were before.
fn count(key: String) -> u64 {
    counts(|counts| {
        let count = counts.entry(key).or_default();
        *count += 1;
        *count - 1
    })
}

/// Spends the delay of a function, hangs if it is to hang, and answers the code that the script has for it.
pub(crate) fn enter(name: &str) -> Result<(), u32> {
    let script = script();
    if let Some(&time) = script.delays_us.get(name) {
        std::thread::sleep(Duration::from_micros(time));
    }
    if let Some(&from) = script.hangs_at.get(name)
        && count(format!("hang {name}")) >= from
    {
        loop {
            std::thread::sleep(Duration::from_secs(3600));
        }
    }
    script.codes.get(name).map_or(Ok(()), |&code| Err(code))
}

/// The same for a device's function, which may also be lost.
pub(crate) fn enter_device(index: u32, name: &str) -> Result<&'static Device, u32> {
    enter(name)?;
    let device = usize::try_from(index).ok().and_then(|index| script().devices.get(index)).ok_or(INVALID_ARGS)?;
    if let Some(&code) = device.codes.get(name) {
        return Err(code);
    }
    if let Some(after) = device.lost_after {
        let key = format!("lost {index}");
        let counted = name == "rsmi_dev_memory_usage_get";
        let asked = if counted { count(key) } else { counts(|counts| counts.get(&key).copied().unwrap_or(0)) };
        if asked >= after {
            return Err(FILE_ERROR);
        }
    }
    Ok(device)
}

/// The next value of a device's sequence; the last one repeats.
pub(crate) fn step<T: Copy + Default>(index: u32, name: &str, values: &[T]) -> T {
    let last = values.len().saturating_sub(1);
    let at = usize::try_from(count(format!("{name} {index}"))).unwrap_or(last).min(last);
    values.get(at).copied().unwrap_or_default()
}
