//! An engine that can be interrupted, whatever this process inherited.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::{fs, io};

use rustix::process::Signal;

/// A program inherits which signals are ignored, and not which are caught. A shell ignores SIGINT for its background jobs,
/// and what Python makes of an ignored SIGINT is to ignore it too.
pub(super) fn let_children_hear() -> io::Result<()> {
    if is_signal_ignored(Signal::INT.as_raw()) {
        // The flag is nobody's: the signal is caught and forgotten.
        signal_hook::flag::register(Signal::INT.as_raw(), Arc::new(AtomicBool::new(false)))?;
    }
    Ok(())
}

/// Whether this process ignores a signal, as one that `nohup` started does with SIGHUP: whoever started it does not want it
/// to end by it. `false` where that cannot be found out.
pub fn is_signal_ignored(number: i32) -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| is_ignored(&status, number))
}

/// What `/proc/PID/status` says of a signal.
fn is_ignored(status: &str, number: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let bit = u32::try_from(number).ok().and_then(|number| 1_u64.checked_shl(number.checked_sub(1)?));
    mask.zip(bit).is_some_and(|(mask, bit)| mask & bit != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_has_a_bit_for_each_signal() {
        let status = "Name:\tsh\nSigBlk:\tffffffffffffffff\nSigIgn:\t0000000000000006\nSigCgt:\tffffffffffffffff\n";
        assert!(is_ignored(status, Signal::INT.as_raw()) && is_ignored(status, Signal::QUIT.as_raw()));
        assert!(!is_ignored(status, Signal::HUP.as_raw()) && !is_ignored(status, Signal::TERM.as_raw()));
        let all = "SigIgn:\tffffffffffffffff\n";
        assert!(is_ignored(all, 64) && [i32::MIN, -1, 0, 65, i32::MAX].iter().all(|number| !is_ignored(all, *number)));
        assert!(!is_ignored("SigIgn:\tnone\n", Signal::INT.as_raw()) && !is_ignored("", Signal::INT.as_raw()));
    }
}
