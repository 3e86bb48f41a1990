//! The table of devices.

use std::sync::OnceLock;

use vramscope_core::{Bytes, Vendor};

use crate::device::GpuModel;

const TABLE: &str = include_str!("../data/devices.tsv");
const MIB: u64 = 1 << 20;

/// All devices of the table, by vendor and size.
pub fn devices() -> &'static [GpuModel] {
    static DEVICES: OnceLock<Vec<GpuModel>> = OnceLock::new();
    DEVICES.get_or_init(|| rows().iter().map(|row| row.device).collect())
}

fn rows() -> &'static [Row] {
    static ROWS: OnceLock<Vec<Row>> = OnceLock::new();
    ROWS.get_or_init(|| {
        let rows = TABLE.lines().filter(|line| !line.starts_with('#'));
        rows.map(|line| row(line).expect("the table is read by a test")).collect()
    })
}

/// A name that stands for no device of the table, or for several.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// None has this name.
    #[error("find the GPU {name:?} in the table: there are {}", keys.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// The keys of the table.
        keys: Vec<&'static str>,
    },
    /// The name leaves open which of them it is.
    #[error("find the GPU {name:?} in the table: it may be {}; name one of them", keys.join(" or "))]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// The keys of those that it may be.
        keys: Vec<&'static str>,
    },
}

/// A device by its key, its name, or a name that a driver prints, such as `NVIDIA A100-SXM4-80GB`. Case, spaces, hyphens
/// and the maker's name do not count. `None` for one that is not in the table, and for a name that leaves open which of
/// several it is; [`device_named`] tells those apart.
///
/// ```
/// assert_eq!(vramscope_estimate::find_device("H200").unwrap().total.get(), 150_109_880_320);
/// assert_eq!(vramscope_estimate::find_device("NVIDIA A100-SXM4-80GB").unwrap().key, "a100-80g");
/// assert!(vramscope_estimate::find_device("abacus").is_none());
/// ```
pub fn find_device(name: &str) -> Option<&'static GpuModel> {
    device_named(name).ok()
}

/// A device as [`find_device`] finds it.
///
/// # Errors
/// [`DeviceError`], with the keys that a person may give instead.
pub fn device_named(name: &str) -> Result<&'static GpuModel, DeviceError> {
    let wanted = bare(name);
    let by = |of: fn(&GpuModel) -> &str| devices().iter().find(|device| bare(of(device)) == wanted);
    if let Some(exact) = by(|device| device.key).or_else(|| by(|device| device.name)) {
        return Ok(exact);
    }
    let words = words(name);
    let fits = |row: &&Row| row.fits(&words);
    let found: Vec<&'static GpuModel> = rows().iter().filter(fits).map(|row| &row.device).collect();
    match found[..] {
        [one] => Ok(one),
        [] => Err(DeviceError::Unknown { name: name.to_owned(), keys: devices().iter().map(|row| row.key).collect() }),
        _ => Err(DeviceError::Ambiguous { name: name.to_owned(), keys: found.iter().map(|row| row.key).collect() }),
    }
}

/// Names of makers and their families, which no two devices of the table differ by.
const MAKERS: [&str; 6] = ["nvidia", "tesla", "geforce", "amd", "instinct", "radeon"];

/// What makes two spellings of a device the same.
fn bare(name: &str) -> String {
    let without_maker = MAKERS.iter().fold(name.to_ascii_lowercase(), |n, maker| n.replace(maker, ""));
    without_maker.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// The words of a name, without the maker. `80 GB` and `80G` are `80gb`.
fn words(name: &str) -> Vec<String> {
    let small = name.to_ascii_lowercase();
    let mut words: Vec<String> = Vec::new();
    for word in small.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        match words.last_mut() {
            Some(size) if ["gb", "g"].contains(&word) && is_number(size) => size.push_str("gb"),
            _ if MAKERS.contains(&word) => {}
            _ => {
                let size = word.strip_suffix('g').filter(|size| !size.is_empty() && is_number(size));
                words.push(size.map_or_else(|| word.to_owned(), |size| format!("{size}gb")));
            }
        }
    }
    words
}

/// A line of the table.
struct Row {
    device: GpuModel,
    /// Words of which one group has to stand in a name, whole.
    must: Vec<Vec<&'static str>>,
    /// Words that may stand beside them. A word that is none of these is that of another device.
    may: Vec<&'static str>,
}

impl Row {
    fn fits(&self, words: &[String]) -> bool {
        self.must.iter().any(|must| {
            let has = |word: &&str| words.iter().any(|own| own == word);
            let known = |own: &String| must.iter().chain(&self.may).any(|word| own == word);
            must.iter().all(has) && words.iter().all(known)
        })
    }
}

fn row(line: &'static str) -> Option<Row> {
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
    let (multiprocessors, l2_bytes) =
        (columns.next()?.parse().ok()?, columns.next()?.parse::<u64>().ok()?.checked_mul(MIB)?);
    let words = columns.next()?;
    let (must, may) = words.split_once('|').unwrap_or((words, ""));
    let list = |words: &'static str| words.split_whitespace().collect::<Vec<_>>();
    let device = GpuModel {
        key,
        name,
        vendor,
        total,
        total_spread,
        capability: (major.parse().ok()?, minor.parse().ok()?),
        multiprocessors,
        l2_bytes,
        source: columns.next().filter(|source| !source.is_empty())?,
    };
    Some(Row { device, must: must.split(',').map(list).collect(), may: list(may) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_drivers_print_are_those_of_the_table() {
        for (name, key) in [
            ("NVIDIA A100-SXM4-80GB", "a100-80g"),
            ("NVIDIA A100 80GB PCIe", "a100-80g"),
            ("A100-SXM-80GB", "a100-80g"),
            ("NVIDIA A100-SXM4-40GB", "a100-40g"),
            ("NVIDIA A100-PCIE-40GB", "a100-40g"),
            ("NVIDIA H100 80GB HBM3", "h100"),
            ("NVIDIA H100 PCIe", "h100-pcie"),
            ("NVIDIA H100 NVL", "h100-nvl"),
            ("NVIDIA H200", "h200"),
            ("NVIDIA H200 NVL", "h200-nvl"),
            ("NVIDIA H20", "h20"),
            ("NVIDIA L4", "l4"),
            ("NVIDIA L40S", "l40s"),
            ("NVIDIA A10G", "a10g"),
            ("NVIDIA GeForce RTX 4090", "rtx4090"),
            ("NVIDIA RTX A6000", "a6000"),
            ("NVIDIA RTX 6000 Ada Generation", "rtx6000-ada"),
            ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "rtx-pro-6000"),
            ("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", "rtx-pro-6000"),
            ("Tesla T4", "t4"),
            ("Tesla V100-SXM2-16GB", "v100-16g"),
            ("Tesla V100-SXM2-32GB", "v100-32g"),
            ("Tesla V100-PCIE-32GB", "v100-32g"),
            ("NVIDIA B200", "b200"),
            ("NVIDIA GB200", "gb200"),
            ("NVIDIA B300 SXM6 AC", "b300"),
            ("NVIDIA GB10", "gb10"),
            ("DGX Spark", "gb10"),
            ("AMD Instinct MI300X OAM", "mi300x"),
            ("AMD Instinct MI300X", "mi300x"),
            ("AMD Instinct MI355X", "mi355x"),
            ("A100 80 GB", "a100-80g"),
            ("a100-80G", "a100-80g"),
        ] {
            assert_eq!(device_named(name).map(|device| device.key), Ok(key), "{name}");
        }
    }

    #[test]
    fn a_name_that_leaves_open_which_lists_those_that_it_may_be() {
        for (name, keys) in [
            ("NVIDIA A100", &["a100-40g", "a100-80g"][..]),
            ("A100-SXM4", &["a100-40g", "a100-80g"]),
            ("Tesla V100-SXM2", &["v100-16g", "v100-32g"]),
            ("NVIDIA H100 80GB", &["h100-pcie", "h100"]),
        ] {
            let Err(DeviceError::Ambiguous { keys: listed, .. }) = device_named(name) else { panic!("{name}") };
            assert_eq!(listed, keys, "{name}");
        }
    }

    /// Others have other sizes, and a part of a device is none.
    #[test]
    fn a_name_with_a_word_that_is_not_known_is_another_device() {
        for name in [
            "NVIDIA A10",
            "NVIDIA L40",
            "NVIDIA A800-SXM4-80GB",
            "NVIDIA GeForce RTX 4090 D",
            "NVIDIA GeForce RTX 4090 Laptop GPU",
            "NVIDIA GeForce RTX 3090 Ti",
            "Quadro RTX 6000",
            "NVIDIA A100-SXM4-80GB MIG 3g.40gb",
            "NVIDIA GH200 480GB",
            "NVIDIA GB300",
            "GRID A100D-80C",
            "AMD Instinct MI250X/MI250",
            "NVIDIA H20-3e",
            "",
            "NVIDIA",
        ] {
            assert!(matches!(device_named(name), Err(DeviceError::Unknown { .. })), "{name}");
        }
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
