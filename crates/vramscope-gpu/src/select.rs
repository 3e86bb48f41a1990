//! Which devices are meant.

use std::fmt;
use std::str::FromStr;

use vramscope_core::{Device, DeviceIndex, Partition, Vendor};

/// How a person names a device.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Selector {
    /// By its place in the driver's list.
    Index(u32),
    /// By its UUID or the beginning of it, where that is unambiguous.
    Uuid(String),
    /// By its PCI bus id, with or without the domain.
    PciBusId(String),
    /// A MIG slice by its GPU and its place there (`0:1`).
    Slice(u32, u32),
}

/// A selection that does not work out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// The text names no device in any known way.
    #[error("understand the device {text:?} (expected an index, a UUID, a PCI bus id, or GPU:SLICE for a MIG slice)")]
    Unreadable {
        /// What was written.
        text: String,
    },
    /// No device has that name.
    #[error("find the device {selector} (there are: {present})")]
    Missing {
        /// What was asked for.
        selector: String,
        /// What there is.
        present: String,
    },
    /// Several devices begin with that name.
    #[error("choose the device {selector}: it fits several ({fits})")]
    Ambiguous {
        /// What was asked for.
        selector: String,
        /// What it fits.
        fits: String,
    },
}

impl FromStr for Selector {
    type Err = SelectError;

    fn from_str(text: &str) -> Result<Self, SelectError> {
        let text = text.trim();
        let unreadable = || SelectError::Unreadable { text: text.to_owned() };
        if let Ok(index) = text.parse() {
            return Ok(Self::Index(index));
        }
        if let Some((gpu, slice)) = text.split_once(':')
            && let (Ok(gpu), Ok(slice)) = (gpu.parse(), slice.parse())
        {
            return Ok(Self::Slice(gpu, slice));
        }
        let hex = |c: char| c.is_ascii_hexdigit() || c == ':' || c == '.';
        if text.contains(':') && text.contains('.') && text.chars().all(hex) {
            return Ok(Self::PciBusId(bus_id(text)));
        }
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/' | '.');
        let named = text.len() >= 4 && text.chars().all(word);
        if named { Ok(Self::Uuid(text.to_owned())) } else { Err(unreadable()) }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "{index}"),
            Self::Uuid(text) | Self::PciBusId(text) => f.write_str(text),
            Self::Slice(gpu, slice) => write!(f, "{gpu}:{slice}"),
        }
    }
}

/// The domain's width and the letters' case differ between tools: `00000000:0F:00.0` is `0000:0f:00.0` is `0f:00.0`.
fn bus_id(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let (domain, rest) = match lower.matches(':').count() {
        0 | 1 => ("", lower.as_str()),
        _ => lower.split_once(':').unwrap_or(("", &lower)),
    };
    let domain = domain.trim_start_matches('0');
    if domain.is_empty() { rest.to_owned() } else { format!("{domain}:{rest}") }
}

/// The devices that are not slices of another one.
pub fn whole_devices(devices: &[Device]) -> Vec<DeviceIndex> {
    devices.iter().filter(|d| !d.is_slice()).map(|d| d.index).collect()
}

/// The devices that the selectors name, each once, in the order of the selectors. No selector at all means the whole
/// devices, without MIG slices.
///
/// ```
/// use vramscope_core::DeviceIndex;
/// use vramscope_gpu::{FakeGpu, GpuBackend as _, Selector, select};
/// let gpu = FakeGpu::steady(3);
/// let chosen = select(gpu.devices(), &["FAKE-00000002".parse().unwrap(), Selector::Index(0)]).unwrap();
/// assert_eq!(chosen, [DeviceIndex(2), DeviceIndex(0)]);
/// ```
///
/// # Errors
/// [`SelectError`] if a selector fits no device, or more than one.
pub fn select(devices: &[Device], selectors: &[Selector]) -> Result<Vec<DeviceIndex>, SelectError> {
    if selectors.is_empty() {
        return Ok(whole_devices(devices));
    }
    let mut chosen = Vec::new();
    for selector in selectors {
        let device = find(devices, selector)?;
        if !chosen.contains(&device) {
            chosen.push(device);
        }
    }
    Ok(chosen)
}

fn find(devices: &[Device], selector: &Selector) -> Result<DeviceIndex, SelectError> {
    let fits: Vec<&Device> = match selector {
        Selector::Index(index) => devices.iter().filter(|d| d.index.0 == *index).collect(),
        Selector::Uuid(text) => by_uuid(devices, text),
        Selector::PciBusId(text) => {
            let same = |d: &&Device| !d.is_slice() && d.pci_bus_id.as_deref().is_some_and(|id| bus_id(id) == *text);
            devices.iter().filter(same).collect()
        }
        Selector::Slice(gpu, place) => slices_of(devices, DeviceIndex(*gpu)).nth(widen(*place)).into_iter().collect(),
    };
    match fits.as_slice() {
        [one] => Ok(one.index),
        [] => Err(SelectError::Missing { selector: selector.to_string(), present: list(devices.iter()) }),
        _ => Err(SelectError::Ambiguous { selector: selector.to_string(), fits: list(fits.into_iter()) }),
    }
}

fn widen(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

/// The devices of exactly that UUID, or else those whose UUID begins with the text (`GPU-` may be left out).
fn by_uuid<'d>(devices: &'d [Device], text: &str) -> Vec<&'d Device> {
    let fold = |s: &str| s.to_ascii_lowercase();
    let wanted = fold(text);
    let uuid = |d: &&'d Device| d.uuid.as_deref().map(fold);
    let same: Vec<_> = devices.iter().filter(|d| uuid(d).is_some_and(|u| u == wanted)).collect();
    if !same.is_empty() {
        return same;
    }
    let begins = |u: String| u.starts_with(&wanted) || u.strip_prefix("gpu-").is_some_and(|u| u.starts_with(&wanted));
    devices.iter().filter(|d| uuid(d).is_some_and(begins)).collect()
}

fn slices_of(devices: &[Device], gpu: DeviceIndex) -> impl Iterator<Item = &Device> {
    devices.iter().filter(move |d| matches!(d.partition, Some(Partition::MigSlice { parent, .. }) if parent == gpu))
}

fn list<'d>(devices: impl Iterator<Item = &'d Device>) -> String {
    let one = |d: &Device| d.uuid.as_ref().map_or_else(|| d.index.to_string(), |uuid| format!("{} {uuid}", d.index));
    let all: Vec<String> = devices.map(one).collect();
    if all.is_empty() { "none".into() } else { all.join(", ") }
}

/// What a `…_VISIBLE_DEVICES` variable leaves visible.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Visible {
    /// The devices, in the variable's order.
    pub devices: Vec<DeviceIndex>,
    /// What a reader must know: where the list was cut, what could not be told apart.
    pub notes: Vec<String>,
}

/// Applies the value of `CUDA_VISIBLE_DEVICES`, `HIP_VISIBLE_DEVICES` or `ROCR_VISIBLE_DEVICES` as those libraries do:
/// indices count the vendor's whole devices from 0, UUIDs may be cut short, an empty value hides all, and the list ends
/// before the first entry that fits no device (CUDA C++ Programming Guide, "CUDA environment variables").
pub fn visible(devices: &[Device], vendor: Vendor, value: &str) -> Visible {
    let of_vendor: Vec<Device> = devices.iter().filter(|d| d.vendor == Some(vendor)).cloned().collect();
    let whole: Vec<&Device> = of_vendor.iter().filter(|d| !d.is_slice()).collect();
    let mut found = Vec::new();
    let mut notes = Vec::new();
    let mut by_index = false;
    for entry in value.split(',').map(str::trim).take_while(|_| !value.trim().is_empty()) {
        let device = match entry.parse::<usize>() {
            Ok(index) => {
                by_index = true;
                whole.get(index).map(|d| d.index)
            }
            Err(_) => match by_uuid(&of_vendor, entry).as_slice() {
                [one] if entry.len() >= 4 => Some(one.index),
                _ => None,
            },
        };
        match device {
            Some(device) if found.contains(&device) => {
                notes.push(format!("{entry} is named twice, which hides all devices"));
                return Visible { devices: Vec::new(), notes };
            }
            Some(device) => found.push(device),
            None => {
                notes.push(format!("{entry:?} fits no device, which ends the list"));
                break;
            }
        }
    }
    let names: Vec<_> = whole.iter().map(|d| &d.name).collect();
    if by_index && vendor == Vendor::Nvidia && names.windows(2).any(|pair| pair[0] != pair[1]) {
        let hint = "devices differ, and CUDA counts the fastest first unless CUDA_DEVICE_ORDER=PCI_BUS_ID: use UUIDs";
        notes.push(hint.into());
    }
    Visible { devices: found, notes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FakeGpu, GpuBackend as _};

    fn mig() -> Vec<Device> {
        let mut devices = FakeGpu::steady(2).devices().to_vec();
        devices[1].partition = Some(Partition::MigParent);
        for n in 0..2 {
            let slice = Partition::MigSlice { parent: DeviceIndex(1), gpu_instance: n + 3, compute_instance: 0 };
            devices.push(Device {
                uuid: Some(format!("MIG-{n}abc")),
                partition: Some(slice),
                vendor: Some(Vendor::Nvidia),
                ..Device::unnamed(DeviceIndex(2 + n))
            });
        }
        devices
    }

    fn chosen(devices: &[Device], text: &str) -> Result<Vec<u32>, SelectError> {
        let found = select(devices, &[text.parse()?])?;
        Ok(found.into_iter().map(|d| d.0).collect())
    }

    #[test]
    fn a_device_has_four_kinds_of_names() {
        let devices = mig();
        assert_eq!(chosen(&devices, "1"), Ok(vec![1]));
        assert_eq!(chosen(&devices, "FAKE-00000001"), Ok(vec![1]));
        assert_eq!(chosen(&devices, "00000000:01:00.0"), Ok(vec![1]));
        assert_eq!(chosen(&devices, "1:1"), Ok(vec![3]));
        assert_eq!(chosen(&devices, "MIG-0"), Ok(vec![2]));
    }

    #[test]
    fn what_fits_none_or_several_is_an_error_that_lists_what_there_is() {
        let several = chosen(&mig(), "FAKE").unwrap_err().to_string();
        assert!(several.contains("0 FAKE-00000000, 1 FAKE-00000001"), "{several}");
        let none = chosen(&mig(), "9").unwrap_err().to_string();
        assert!(none.contains("there are: 0 FAKE"), "{none}");
        assert!("not a gpu!".parse::<Selector>().is_err());
    }

    #[test]
    fn nothing_chosen_means_whole_devices_so_that_no_memory_counts_twice() {
        assert_eq!(select(&mig(), &[]).unwrap(), [DeviceIndex(0), DeviceIndex(1)]);
    }

    #[test]
    fn the_visible_list_ends_at_the_first_wrong_entry_as_cuda_does_it() {
        let see = |value| visible(&mig(), Vendor::Nvidia, value).devices.into_iter().map(|d| d.0).collect::<Vec<_>>();
        assert_eq!(see("1,0"), [1, 0]);
        assert_eq!(see("0,-1,1"), [0]);
        assert_eq!(see("MIG-1abc"), [3]);
        assert_eq!(see("").len() + see("-1").len() + see("0,0").len() + see("NoDevFiles").len(), 0);
        assert!(visible(&mig(), Vendor::Amd, "0").devices.is_empty(), "another vendor's devices are not counted");
    }
}
