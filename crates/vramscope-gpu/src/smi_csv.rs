//! What `nvidia-smi --query-gpu=… --format=csv` and `--query-compute-apps=… --format=csv` write: their columns, and how a
//! cell is read. The names are those of `nvidia-smi --help-query-gpu` and `--help-query-compute-apps`, drivers 319 to 610.
//!
//! ```
//! use vramscope_gpu::smi_csv::{Cell, Head, What};
//! let head = Head::parse("memory.used [MiB]");
//! assert_eq!(head.what, Some(What::MemoryUsed));
//! assert_eq!(Cell::new("3 MiB").bytes(&head).unwrap().unwrap().get(), 3 << 20);
//! assert_eq!(Cell::new("[N/A]").bytes(&head).unwrap(), None);
//! ```

mod cell;
mod columns;

pub use cell::{Cell, CellError, CellFault, is_absent, present};
pub use columns::{Head, What, is_column, is_header};
