//! The table of devices.

use std::sync::OnceLock;

use vramscope_core::{Bytes, Vendor};

use crate::device::GpuModel;

const TABLE: &str = include_str!("../data/devices.tsv");
const MIB: u64 = 1 << 20;

/// All devices of the table, by vendor and size.
pub fn devices() -> &'static [GpuModel] {
    static DEVICES: OnceLock<Vec<GpuModel>> = OnceLock::new();
    DEVICES.get_or_init(|| {
        let rows = TABLE.lines().filter(|line| !line.starts_with('#'));
        rows.map(|line| row(line).expect("the table is read by a test")).collect()
    })
}

/// A device by its key, or by its name; case, spaces and hyphens do not count.
///
/// ```
/// assert_eq!(vramscope_estimate::find_device("H200").unwrap().total.get(), 150_109_880_320);
/// assert!(vramscope_estimate::find_device("abacus").is_none());
/// ```
pub fn find_device(name: &str) -> Option<&'static GpuModel> {
    let wanted = bare(name);
    let by = |of: fn(&GpuModel) -> &str| devices().iter().find(|device| bare(of(device)) == wanted);
    by(|device| device.key).or_else(|| by(|device| device.name))
}

/// What makes two spellings of a device the same.
fn bare(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let without_maker =
        ["nvidia", "tesla", "geforce", "amd", "instinct", "radeon"].iter().fold(lower, |n, maker| n.replace(maker, ""));
    without_maker.chars().filter(char::is_ascii_alphanumeric).collect()
}

fn row(line: &'static str) -> Option<GpuModel> {
    let mut columns = line.split('\t');
    let (key, name) = (columns.next()?, columns.next()?);
    let vendor = match columns.next()? {
        "nvidia" => Vendor::Nvidia,
        "amd" => Vendor::Amd,
        _ => return None,
    };
    let total = Bytes::new(columns.next()?.parse().ok()?);
    let total_spread = Bytes::new(columns.next()?.parse::<u64>().ok()?.checked_mul(MIB)?);
    let (major, minor) = columns.next()?.split_once('.')?;
    Some(GpuModel {
        key,
        name,
        vendor,
        total,
        total_spread,
        capability: (major.parse().ok()?, minor.parse().ok()?),
        multiprocessors: columns.next()?.parse().ok()?,
        l2_bytes: columns.next()?.parse::<u64>().ok()?.checked_mul(MIB)?,
        source: columns.next().filter(|source| !source.is_empty())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_may_say_tesla() {
        assert_eq!(find_device("Tesla T4").map(|device| device.key), Some("t4"));
    }

    #[test]
    fn every_row_is_a_device_with_a_source() {
        assert!(devices().len() >= 25);
        for device in devices() {
            assert!(device.total.get() > 10 << 30, "{}", device.key);
            assert!(std::ptr::eq(find_device(device.key).unwrap(), device), "{} is not found by its key", device.key);
            assert!(
                std::ptr::eq(find_device(device.name).unwrap(), device),
                "{} is not found by its name",
                device.name
            );
        }
    }
}
