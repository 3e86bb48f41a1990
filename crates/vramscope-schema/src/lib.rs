//! The profile document of vramscope, and what the command promises to scripts.
//!
//! ```
//! use vramscope_schema::ExitCode;
//! assert_eq!(ExitCode::BadInput.code(), 3);
//! ```

mod amount;
mod exit_code;
pub mod v3;

pub use amount::Amount;
pub use exit_code::ExitCode;
