//! What a running engine says, in order, with its end last.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::engine::{EngineEvent, Exit};

/// Lines that may wait for the reader. With every line at its longest this is 64 MiB; then the engine's writes wait.
const WAITING: usize = 1024;

/// Bytes of log that are kept while the engine stops and nobody reads.
const KEPT_BYTES: usize = 64 << 20;

/// How long a log may stay open after the engine's first process has ended: another may hold it for ever.
const DRAIN: Duration = Duration::from_secs(2);

/// The receiving end of an engine's log and of its exit.
#[derive(Debug)]
pub(crate) struct Feed {
    events: mpsc::Receiver<EngineEvent>,
    exit: watch::Receiver<Option<Exit>>,
    kept: VecDeque<EngineEvent>,
    kept_bytes: usize,
    lost: u64,
    closed: bool,
    drained_by: Option<Instant>,
    ended: Option<Exit>,
}

/// The sending end. The log is closed when all its clones are gone.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) events: mpsc::Sender<EngineEvent>,
    pub(crate) exit: watch::Sender<Option<Exit>>,
}

/// Both ends.
pub(crate) fn feed() -> (Source, Feed) {
    let (events, received) = mpsc::channel(WAITING);
    let (exit, ended) = watch::channel(None);
    let feed = Feed {
        events: received,
        exit: ended,
        kept: VecDeque::new(),
        kept_bytes: 0,
        lost: 0,
        closed: false,
        drained_by: None,
        ended: None,
    };
    (Source { events, exit }, feed)
}

impl Feed {
    /// The next event. Nothing is lost if the future is dropped.
    pub(crate) async fn next(&mut self) -> EngineEvent {
        if let Some(event) = self.kept.pop_front() {
            return event;
        }
        if self.lost > 0 {
            let reason = format!("{} lines while the engine stopped: more than {KEPT_BYTES} bytes", self.lost);
            self.lost = 0;
            return EngineEvent::LogLost { reason };
        }
        self.receive().await
    }

    async fn receive(&mut self) -> EngineEvent {
        loop {
            if let Some(exit) = &self.ended {
                return EngineEvent::Exited(exit.clone());
            }
            let late = self.drained_by.is_some_and(|by| Instant::now() >= by);
            if self.drained_by.is_some() && (self.closed || late) {
                self.ended = Some(self.exit.borrow().clone().unwrap_or_default());
                continue;
            }
            let deadline = self.drained_by;
            tokio::select! {
                biased;
                event = self.events.recv(), if !self.closed => match event {
                    Some(event) => return event,
                    None => self.closed = true,
                },
                // A sender that is gone without a word will say nothing more: that is an end of unknown kind.
                _ = self.exit.wait_for(Option::is_some), if deadline.is_none() => {
                    self.drained_by = Some(Instant::now() + DRAIN);
                }
                () = until(deadline), if deadline.is_some() => {}
            }
        }
    }

    /// Does `work`, and keeps what the engine says meanwhile for [`Feed::next`], so that it never waits for a reader.
    pub(crate) async fn keep_during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            let said = tokio::select! {
                biased;
                done = &mut work => return done,
                said = self.events.recv(), if !self.closed => said,
            };
            match said {
                Some(event) => self.keep(event),
                None => self.closed = true,
            }
        }
    }

    /// Waits for the end, and keeps what is said until then.
    pub(crate) async fn finish(&mut self) -> Exit {
        loop {
            match self.receive().await {
                EngineEvent::Exited(exit) => return exit,
                event => self.keep(event),
            }
        }
    }

    fn keep(&mut self, event: EngineEvent) {
        let bytes = match &event {
            EngineEvent::Line(line) => line.bytes.len() + size_of::<EngineEvent>(),
            _ => 0,
        };
        if self.kept_bytes + bytes > KEPT_BYTES {
            self.lost += 1;
        } else {
            self.kept_bytes += bytes;
            self.kept.push_back(event);
        }
    }
}

async fn until(deadline: Option<Instant>) {
    if let Some(deadline) = deadline {
        tokio::time::sleep_until(deadline).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{LogLine, LogStream};

    fn line(bytes: usize) -> EngineEvent {
        let bytes = vec![b'x'; bytes];
        EngineEvent::Line(LogLine { at_unix_ns: 0, stream: LogStream::Stdout, bytes, ended: true })
    }

    #[tokio::test]
    async fn the_end_comes_after_every_line_and_stays() {
        let (source, mut feed) = feed();
        source.exit.send_replace(Some(Exit { code: Some(3), ..Exit::default() }));
        source.events.send(line(1)).await.unwrap();
        source.events.send(line(2)).await.unwrap();
        drop(source);
        assert_eq!(feed.next().await, line(1));
        assert_eq!(feed.next().await, line(2));
        for _ in 0..2 {
            assert_eq!(feed.next().await, EngineEvent::Exited(Exit { code: Some(3), ..Exit::default() }));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_that_somebody_holds_open_does_not_hide_the_end() {
        let (source, mut feed) = feed();
        source.exit.send_replace(Some(Exit::default()));
        assert_eq!(feed.next().await, EngineEvent::Exited(Exit::default()));
        drop(source);
    }

    #[tokio::test]
    async fn what_is_said_while_stopping_is_kept_up_to_a_bound_and_the_loss_is_told() {
        let (source, mut feed) = feed();
        let many = KEPT_BYTES / (1 << 20) + 5;
        let talk = async {
            for _ in 0..many {
                source.events.send(line(1 << 20)).await.unwrap();
            }
        };
        feed.keep_during(talk).await;
        source.exit.send_replace(Some(Exit::default()));
        drop(source);
        feed.finish().await;
        let mut lines = 0;
        loop {
            match feed.next().await {
                EngineEvent::Line(_) => lines += 1,
                EngineEvent::LogLost { reason } => assert!(reason.starts_with(&format!("{} lines", many - lines))),
                EngineEvent::Exited(_) => break,
            }
        }
        assert_eq!(lines, KEPT_BYTES / (1 << 20) - 1);
    }
}
