//! NVML's clocks event reasons in our words.

use vramscope_core::Throttle;

/// Bits of `nvmlClocksEventReason…` (nvml.h, unchanged from driver 375 to 595).
const BITS: [(u64, Throttle); 9] = [
    (0x1, Throttle::IDLE),
    (0x2, Throttle::CLOCKS_SET),
    (0x4, Throttle::POWER),
    (0x8, Throttle::HARDWARE),
    (0x10, Throttle::SYNC),
    (0x20, Throttle::THERMAL),
    (0x40, Throttle::HARDWARE_THERMAL),
    (0x80, Throttle::POWER_BRAKE),
    (0x100, Throttle::DISPLAY),
];

/// The set of a driver's bit mask. A bit that is not known becomes [`Throttle::OTHER`].
pub(crate) fn from_mask(mask: u64) -> Throttle {
    let known = BITS.iter().filter(|(bit, _)| mask & bit != 0);
    let set = known.fold(Throttle::NONE, |set, &(_, reason)| set.with(reason));
    let all = BITS.iter().fold(0, |all, (bit, _)| all | bit);
    if mask & !all == 0 { set } else { set.with(Throttle::OTHER) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_reason_is_not_silently_dropped() {
        assert_eq!(from_mask(0), Throttle::NONE);
        assert_eq!(from_mask(0x5).names().collect::<Vec<_>>(), ["idle", "power"]);
        assert_eq!(from_mask(0x8000), Throttle::OTHER);
    }
}
