//! The clock, and the priority with which it is kept.
#![expect(unsafe_code, reason = "no safe wrapper of sched_setscheduler(2) is in the tree")]

use std::io;

use rustix::time::{ClockId, clock_gettime};

/// Gives the calling thread real-time priority, below the kernel's own threads.
///
/// # Errors
/// The system's: it takes `CAP_SYS_NICE` or a limit `RLIMIT_RTPRIO`.
pub fn real_time() -> io::Result<()> {
    const PRIORITY: libc::c_int = 10;
    // SAFETY: all-zero bytes are a valid sched_param on every libc: it has numbers only.
    let mut parameter: libc::sched_param = unsafe { std::mem::zeroed() };
    parameter.sched_priority = PRIORITY;
    // SAFETY: 0 is the calling thread, and the pointer is to a value that lives through the call.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameter) } == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

/// Now, by the clock that never steps, which is that of `std::time::Instant`.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let (seconds, rest) = (u64::try_from(now.tv_sec).unwrap_or(0), u64::try_from(now.tv_nsec).unwrap_or(0));
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}
