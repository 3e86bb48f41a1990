//! Work that a driver may never finish: a GPU in a bad state blocks every call into its driver.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use crate::output;

/// A driver that loads its devices anew for each program (no persistence mode) takes seconds for each; AMD's tools have
/// 20 s for each of four starts.
const LIMIT: Duration = Duration::from_secs(90);
/// Who waits longer is told for what.
const QUIET: Duration = Duration::from_secs(3);

/// Does the work of a source's driver and waits for it, or says what it means that it did not end.
pub(crate) fn of_driver<T: Send + 'static>(
    source: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    wait_within(QUIET, LIMIT, &format!("the GPU driver behind {source}"), work).ok_or_else(|| {
        format!(
            "the driver has not answered for {} s; look for a GPU error in the kernel's log (dmesg), and reset the GPU or \
             restart the machine",
            LIMIT.as_secs()
        )
    })
}

/// Does the work on a thread of its own, or gives it up: then the thread stays behind until the program ends. `what` is
/// waited for, as a noun.
fn wait_within<T: Send + 'static>(
    quiet: Duration,
    limit: Duration,
    what: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (done, result) = mpsc::sync_channel(1);
    let worker = std::thread::spawn(move || done.send(work()));
    let mut answer = result.recv_timeout(quiet);
    if matches!(answer, Err(RecvTimeoutError::Timeout)) {
        output::say(&format!("waiting for {what} (Ctrl-C ends)"));
        answer = result.recv_timeout(limit.saturating_sub(quiet));
    }
    match answer {
        Ok(answer) => Some(answer),
        Err(RecvTimeoutError::Timeout) => None,
        // The work panicked; nobody else has seen it.
        Err(RecvTimeoutError::Disconnected) => match worker.join() {
            Ok(_) => None,
            Err(panic) => std::panic::resume_unwind(panic),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(10);

    #[test]
    fn work_that_ends_is_waited_for_and_work_that_does_not_is_given_up() {
        assert_eq!(wait_within(LIMIT, LIMIT, "nothing", || 7), Some(7));
        let (never, held) = mpsc::channel::<()>();
        assert_eq!(wait_within(SHORT, 2 * SHORT, "a test's driver that hangs", move || held.recv().is_err()), None);
        drop(never);
        let (late, held) = mpsc::channel();
        let slow = move || {
            let answer: u32 = held.recv().unwrap_or(0);
            answer
        };
        let answer =
            std::thread::spawn(move || wait_within(Duration::ZERO, LIMIT, "a test's driver that is slow", slow));
        late.send(8).unwrap();
        assert_eq!(answer.join().unwrap(), Some(8), "after it was told for what is waited");
    }

    #[test]
    #[expect(clippy::panic, reason = "the panic is what is tested")]
    fn a_panic_of_the_work_is_not_taken_for_silence() {
        let caught =
            std::panic::catch_unwind(|| wait_within(LIMIT, LIMIT, "nothing", || -> u32 { panic!("of a test") }));
        assert!(caught.is_err());
    }
}
