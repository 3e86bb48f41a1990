//! Samples as an asynchronous stream.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::mpsc;
use vramscope_core::Sample;

/// The samples of a recording as they come, for a tokio program. It ends with the recording.
///
/// A reader that is too slow loses samples, which are counted; the recording itself does not wait and loses nothing.
#[derive(Debug)]
pub struct SampleStream {
    samples: mpsc::Receiver<Sample>,
    lost: Arc<AtomicU64>,
}

impl SampleStream {
    /// The next sample, or `None` after the recording's end.
    pub async fn next(&mut self) -> Option<Sample> {
        self.samples.recv().await
    }

    /// How many samples this reader was too slow for.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Acquire)
    }
}

impl futures_core::Stream for SampleStream {
    type Item = Sample;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Sample>> {
        self.samples.poll_recv(context)
    }
}

/// Those who listen to a recording.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listeners(Arc<Mutex<Vec<Listener>>>);

#[derive(Debug)]
struct Listener {
    samples: mpsc::Sender<Sample>,
    lost: Arc<AtomicU64>,
}

impl Listeners {
    pub(crate) fn add(&self, room: usize) -> SampleStream {
        let (sender, samples) = mpsc::channel(room.max(1));
        let lost = Arc::new(AtomicU64::new(0));
        let listener = Listener { samples: sender, lost: Arc::clone(&lost) };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(listener);
        SampleStream { samples, lost }
    }

    pub(crate) fn tell(&self, sample: &Sample) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|listener| match listener.samples.try_send(*sample) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                listener.lost.fetch_add(1, Ordering::AcqRel);
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        });
    }

    /// Ends all streams.
    pub(crate) fn end(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
