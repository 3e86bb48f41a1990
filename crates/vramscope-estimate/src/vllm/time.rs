//! How long a step takes, and what bounds it.
//!
//! A step reads every weight once, the KV cache of its sequences, and computes two operations for each weight and token.
//! What that costs follows from the bytes that memory is predicted with, from what the device was measured to do, and from
//! a few constants of kernels and host that were fitted on recordings ([`constants`]). `docs/time.md` has the formulas and
//! their errors.

mod batch;
mod constants;
mod doubts;
mod figure;
mod limits;
mod serve;
mod step;
mod work;

pub use batch::{BatchTime, batch_time};
pub use constants::{TimeConstant, TimeConstants};
pub use doubts::TimeDoubts;
pub use figure::{Bound, Seconds, StepParts};
pub use limits::DeviceLimits;
pub use serve::{Arrivals, ServedLoad, ServedTime, Spread, TokenCounts, serve};
pub use step::{Sequence, StepModel, StepTime, TimePrediction};
pub use work::{Experts, Matrices, SeenWork, Work};

/// A count as a real number. Counts of bytes and operations beyond 2^53 lose their last digits, which no time shows.
#[expect(clippy::cast_precision_loss, reason = "times have three digits")]
fn float(count: u64) -> f64 {
    count as f64
}
