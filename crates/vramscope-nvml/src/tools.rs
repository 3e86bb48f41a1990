//! Saved outputs of `nvidia-smi`, of any driver generation.
//!
//! Read are `--query-gpu=… --format=csv` and `--query-compute-apps=… --format=csv` with their header line, and
//! `-q -x` (XML). A cell in brackets or `N/A` is absent. Figures keep the form in which they are printed.

mod csv;
mod xml;

pub use csv::read_csv;
pub use xml::read_xml;

/// What an output is, by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `--format=csv`.
    Csv,
    /// `-q -x`.
    Xml,
}

/// An output that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The XML is not well-formed.
    #[error("read the XML of nvidia-smi")]
    Xml(#[from] roxmltree::Error),
    /// The XML is of another program.
    #[error("find nvidia-smi's output in the XML: the root is <{root}>, not <nvidia_smi_log>")]
    OtherXml {
        /// The root element.
        root: String,
    },
    /// The CSV has no header line, so nobody knows what its columns are.
    #[error("find the header line of nvidia-smi's CSV (it was written with noheader: save it again without)")]
    NoHeader,
    /// A line has more or fewer cells than the header.
    #[error("read line {line} of nvidia-smi's CSV: {found} cells, and the header names {expected}")]
    Cells {
        /// The line, from 1.
        line: usize,
        /// How many cells it has.
        found: usize,
        /// How many columns there are.
        expected: usize,
    },
}

/// What this text is, or `None` if it is no output of nvidia-smi.
///
/// ```
/// use vramscope_nvml::tools::{Kind, recognise};
/// assert_eq!(recognise("index, name, memory.used [MiB]\n0, NVIDIA H200, 1 MiB\n"), Some(Kind::Csv));
/// assert_eq!(recognise("{}"), None);
/// ```
pub fn recognise(text: &str) -> Option<Kind> {
    let start = text.trim_start();
    if start.starts_with('<') {
        return text.contains("<nvidia_smi_log").then_some(Kind::Xml);
    }
    text.lines().take(100).any(csv::is_header).then_some(Kind::Csv)
}

/// What nvidia-smi's cell says, or `None` if it says that there is nothing to say.
fn present(cell: &str) -> Option<&str> {
    let cell = cell.trim();
    let absent = cell.is_empty()
        || cell.starts_with('[')
        || ["N/A", "Not Supported", "ERR!", "Unknown Error", "GPU is lost", "None"].contains(&cell)
        || cell.starts_with("Requested functionality");
    (!absent).then_some(cell)
}

/// The reasons in the bit mask of `clocks_event_reasons.active`, by our names (nvml.h, `nvmlClocksEventReason…`).
fn throttle(mask: u64) -> Vec<String> {
    crate::throttle::from_mask(mask).names().map(str::to_owned).collect()
}
