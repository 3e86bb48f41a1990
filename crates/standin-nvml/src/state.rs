//! The script of this copy of the library, and where each sequence of it stands.

use std::collections::HashMap;
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use nvml_wrapper_sys::bindings::{nvmlDevice_st, nvmlDevice_t, nvmlReturn_t};

use crate::script::{Device, Script};

const GPU_IS_LOST: nvmlReturn_t = 15;
const UNKNOWN: nvmlReturn_t = 999;

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

/// A device's handle is its address in the script, which never moves.
pub(crate) fn handle(device: &'static Device) -> nvmlDevice_t {
    std::ptr::from_ref(device).cast::<nvmlDevice_st>().cast_mut()
}

fn device(handle: nvmlDevice_t) -> &'static Device {
    // SAFETY: handles come from `handle` alone, and the script lives as long as the library.
    unsafe { &*handle.cast::<Device>() }
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
pub(crate) fn enter(name: &str) -> Result<(), nvmlReturn_t> {
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
pub(crate) fn enter_device(handle: nvmlDevice_t, name: &str) -> Result<&'static Device, nvmlReturn_t> {
    if handle.is_null() {
        return Err(UNKNOWN);
    }
    enter(name)?;
    let device = device(handle);
    if let Some(&code) = device.codes.get(name) {
        return Err(code);
    }
    if device.is_lost_now() {
        return Err(GPU_IS_LOST);
    }
    if let Some(after) = device.lost_after {
        let key = format!("lost {handle:p}");
        let counted = name.starts_with("nvmlDeviceGetMemoryInfo");
        let asked = if counted { count(key) } else { counts(|counts| counts.get(&key).copied().unwrap_or(0)) };
        if asked >= after {
            return Err(GPU_IS_LOST);
        }
    }
    Ok(device)
}

/// The next value of a device's sequence; the last one repeats.
pub(crate) fn step<T: Copy + Default>(device: &'static Device, name: &str, values: &[T]) -> T {
    let last = values.len().saturating_sub(1);
    let at = usize::try_from(count(format!("{name} {:p}", handle(device)))).unwrap_or(last).min(last);
    values.get(at).copied().unwrap_or_default()
}

impl Device {
    /// The memory in use at this call.
    pub(crate) fn used_now(&'static self) -> u64 {
        match self.held() {
            Some(held) => held.used,
            None => step(self, "used", &self.used),
        }
    }

    /// Whether the file of the memory in use says so.
    fn is_lost_now(&self) -> bool {
        let text = self.used_file.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
        text.is_some_and(|text| text.trim() == "lost")
    }

    /// What the file of the memory in use says now, and which process holds it.
    pub(crate) fn held(&self) -> Option<Held> {
        let text = std::fs::read_to_string(self.used_file.as_ref()?).unwrap_or_default();
        let mut words = text.split_whitespace();
        let used = words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
        let holder = words.next().and_then(|word| word.parse().ok());
        let rest = words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
        Some(match holder {
            Some(pid) if lives(pid) => Held { used, by: Some((pid, used.saturating_sub(rest))) },
            Some(_) => Held { used: rest, by: None },
            None => Held { used, by: None },
        })
    }
}

/// Memory in use, and the process that holds a part of it.
pub(crate) struct Held {
    used: u64,
    pub(crate) by: Option<(u32, u64)>,
}

/// Whether a process lives: one that has ended and waits for its parent holds nothing any more.
fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !matches!(rest.trim_start().chars().next(), Some('Z' | 'X') | None))
}
