//! Memory arithmetic.

mod attribution;

pub use attribution::{Attribution, AttributionInput, DeviceObservation, Figure, KvGeometry, attribute};
