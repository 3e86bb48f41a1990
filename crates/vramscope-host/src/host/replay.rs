//! An engine that is over: its recorded log, played in time.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Held;
use crate::engine::{Engine, EngineEvent, Exit, LogLine};
use crate::feed::feed;

/// Plays recorded lines with the pauses that lay between them, and then the recorded end. Lines keep the times that
/// they were recorded with.
#[derive(Debug, Clone, Default)]
pub struct ReplayHost {
    /// The lines, in order.
    pub lines: Vec<LogLine>,
    /// How it ended.
    pub exit: Exit,
    /// What a second of the recording takes, in thousandths of a second: 1000 as it was, 0 without a pause.
    pub pace_permille: u32,
}

/// What is held of one that plays.
#[derive(Debug)]
pub(crate) struct Running {
    playing: JoinHandle<()>,
    exit: watch::Sender<Option<Exit>>,
}

impl ReplayHost {
    pub(super) fn start(&self) -> Engine {
        let (source, feed) = feed();
        let exit = source.exit.clone();
        let this = self.clone();
        let playing = tokio::spawn(async move {
            let begun = Instant::now();
            let first = this.lines.first().map_or(0, |line| line.at_unix_ns);
            for line in this.lines {
                let behind = u64::try_from(line.at_unix_ns.saturating_sub(first)).unwrap_or(0);
                let pause = Duration::from_nanos(behind).saturating_mul(this.pace_permille) / 1000;
                if let Some(due) = begun.checked_add(pause) {
                    tokio::time::sleep_until(due).await;
                }
                if source.events.send(EngineEvent::Line(line)).await.is_err() {
                    return;
                }
            }
            source.exit.send_replace(Some(this.exit));
        });
        Engine { feed, held: Held::Replay(Running { playing, exit }) }
    }
}

impl Running {
    /// Ends the playing where it is.
    pub(crate) fn stop(&mut self) {
        self.playing.abort();
        self.exit.send_if_modified(|exit| {
            let open = exit.is_none();
            exit.get_or_insert_default();
            open
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.playing.abort();
    }
}
