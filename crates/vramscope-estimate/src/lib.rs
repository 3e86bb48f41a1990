//! Memory arithmetic.

mod attribution;

pub use attribution::{Amount, Attribution, DeviceObservation, KvGeometry, RankEvidence, attribute};
