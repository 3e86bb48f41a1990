//! Memory arithmetic.

mod attribution;

pub use attribution::{Amount, Attribution, AttributionInput, DeviceObservation, KvGeometry, attribute};
