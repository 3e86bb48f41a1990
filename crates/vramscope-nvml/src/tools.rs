//! Saved outputs of `nvidia-smi`, of any driver generation.
//!
//! Read are `--query-gpu=… --format=csv` and `--query-compute-apps=… --format=csv` with their header line, `-q -x`
//! (XML), `-q` (text), and the table that it prints without arguments. A cell in brackets or `N/A` is absent. Figures
//! keep the form in which they are printed.

mod csv;
mod query;
mod table;
mod xml;

pub use csv::read_csv;
pub use query::read_query;
pub use table::read_table;
pub use xml::read_xml;

use vramscope_gpu::document::MAX_GPUS;
use vramscope_gpu::smi_csv::is_header;

/// What an output is, by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `--format=csv`.
    Csv,
    /// `-q -x`.
    Xml,
    /// `-q`.
    Query,
    /// No arguments.
    Table,
}

/// An output that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The XML is not well-formed.
    #[error(
        "read the XML of nvidia-smi at line {line} (it may be cut short: save the whole output of nvidia-smi -q -x)"
    )]
    Xml {
        /// The line in the text, from 1.
        line: usize,
        /// What is wrong there; its own position counts from the log's first line.
        source: roxmltree::Error,
    },
    /// The XML is of another program.
    #[error("find nvidia-smi's output in the XML: the root is <{root}>, not <nvidia_smi_log>")]
    OtherXml {
        /// The root element.
        root: String,
    },
    /// The CSV has no header line, so nobody knows what its columns are.
    #[error("find the header line of nvidia-smi's CSV (it was written with noheader: save it again without)")]
    NoHeader,
    /// The output lists no GPU.
    #[error("find a GPU in the output of {what} (is the whole output there?)")]
    NoGpu {
        /// The command that prints such an output.
        what: &'static str,
    },
    /// The output lists more GPUs than any machine has.
    #[error(
        "find one machine's GPUs: line {line} lists one more than {MAX_GPUS}, as a log over time does that does not say \
         which GPU a row is of (vramscope timeline reads logs)"
    )]
    TooManyGpus {
        /// The line, from 1.
        line: usize,
    },
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
    if xml::holds_log(text) {
        return Some(Kind::Xml);
    }
    if text.lines().take(100).any(is_header) {
        return Some(Kind::Csv);
    }
    if query::holds_log(text) {
        return Some(Kind::Query);
    }
    table::holds_table(text).then_some(Kind::Table)
}

/// A line as `date` prints it, which `nvidia-smi` puts before its table: `Mon Nov 23 21:04:05 2026`.
fn is_date(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let short = |word: Option<&str>| word.is_some_and(|word| word.len() == 3 && word.chars().all(char::is_alphabetic));
    short(words.next()) && short(words.next()) && words.any(|word| word.matches(':').count() == 2)
}

/// The reasons in the bit mask of `clocks_event_reasons.active`, by our names (nvml.h, `nvmlClocksEventReason…`).
fn throttle(mask: u64) -> Vec<String> {
    crate::throttle::from_mask(mask).names().map(str::to_owned).collect()
}
