//! What a device can do at most: measured, and as its data sheet has it.

use std::sync::OnceLock;

use crate::device::GpuModel;

const TABLE: &str = include_str!("../../../data/limits.tsv");
/// Of the data sheet's rates what was measured on Hopper, copies and matrix products: 4.3 of 4.8 TB/s and 3.0 of 3.35;
/// 790 and 798 of 989 TFLOP/s. It stands in where nobody measured a device.
const REACHED: (f64, f64) = (0.896, 0.80);

/// A device's rates.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct DeviceLimits {
    /// Bytes a second that a large copy reads and writes together. Where `measured` is false, a share of the data sheet's.
    pub bandwidth: f64,
    /// Floating-point operations a second of large dense products of 16 bits.
    pub matmul: f64,
    /// Bytes a second of memory as the data sheet has it.
    pub sheet_bandwidth: f64,
    /// Dense 16-bit operations a second as the data sheet has it.
    pub sheet_matmul: f64,
    /// Bytes a second from a device to another of the same host, in one direction.
    pub link: f64,
    /// The first two were measured on such a device.
    pub measured: bool,
    /// Where they come from.
    pub source: &'static str,
}

impl DeviceLimits {
    /// The limits of a device of the table; `None` for one whose rates are not known here, and of which only the size is.
    ///
    /// ```
    /// let h200 = vramscope_estimate::find_device("h200").unwrap();
    /// let limits = vramscope_estimate::DeviceLimits::of(h200).unwrap();
    /// assert_eq!((limits.bandwidth, limits.measured), (4.3e12, true));
    /// ```
    pub fn of(device: &GpuModel) -> Option<Self> {
        static ROWS: OnceLock<Vec<(&'static str, DeviceLimits)>> = OnceLock::new();
        let rows = ROWS.get_or_init(|| {
            let rows = TABLE.lines().filter(|line| !line.starts_with('#'));
            rows.map(|line| row(line).expect("the table is read by a test")).collect()
        });
        rows.iter().find(|(key, _)| *key == device.key).map(|(_, limits)| *limits)
    }
}

fn row(line: &'static str) -> Option<(&'static str, DeviceLimits)> {
    let columns: Vec<&str> = line.split('\t').collect();
    let [key, copy, product, sheet_copy, sheet_product, link, source] = columns[..] else { return None };
    let number = |text: &str| text.parse::<f64>().ok().filter(|rate| *rate > 0.0);
    let (sheet_bandwidth, sheet_matmul) = (number(sheet_copy)? * 1e12, number(sheet_product)? * 1e12);
    let measured = copy != "-" && product != "-";
    let of = |text: &str, instead: f64| if text == "-" { Some(instead) } else { number(text).map(|rate| rate * 1e12) };
    let limits = DeviceLimits {
        bandwidth: of(copy, sheet_bandwidth * REACHED.0)?,
        matmul: of(product, sheet_matmul * REACHED.1)?,
        sheet_bandwidth,
        sheet_matmul,
        link: number(link)? * 1e9,
        measured,
        source,
    };
    Some((key, limits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_of_a_device_and_no_more_than_its_data_sheet() {
        for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
            let (key, limits) = row(line).unwrap_or_else(|| panic!("{line}"));
            assert!(crate::find_device(key).is_some(), "{key}");
            assert!(limits.bandwidth < limits.sheet_bandwidth && limits.matmul < limits.sheet_matmul, "{key}");
        }
    }

    #[test]
    fn a_device_of_a_size_alone_has_no_limits() {
        assert_eq!(DeviceLimits::of(&GpuModel::of_size(vramscope_core::Bytes::new(80 << 30))), None);
    }
}
