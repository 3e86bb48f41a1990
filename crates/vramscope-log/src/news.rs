//! What a parser has learned since it was asked last, for those who watch a log grow.

use vramscope_core::{Event, Failure};

use crate::figure::Figure;
use crate::vllm::settings::Setting;

/// Something that a line has said.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum News {
    /// An engine announces itself on this line; what follows is of it.
    Engine {
        /// The line, counted from 1.
        line: u64,
    },
    /// A figure. Its scope is not settled before the end.
    Figure(Figure),
    /// A setting.
    Setting(Setting),
    /// Something happened.
    Event(Event),
    /// The engine failed. What follows from a failure that was told is no news.
    Failure {
        /// How.
        failure: Failure,
        /// What to do about it.
        advice: String,
    },
}

/// Most news that are kept for one who does not ask.
const MAX_NEWS: usize = 10_000;

/// News that wait to be taken.
#[derive(Debug, Default)]
pub(crate) struct Newsroom {
    waiting: Vec<News>,
    open: bool,
}

impl Newsroom {
    /// One that keeps news.
    pub(crate) fn open() -> Self {
        Self { waiting: Vec::new(), open: true }
    }

    pub(crate) fn push(&mut self, news: impl FnOnce() -> News) {
        if self.open && self.waiting.len() < MAX_NEWS {
            self.waiting.push(news());
        }
    }

    pub(crate) fn take(&mut self) -> Vec<News> {
        std::mem::take(&mut self.waiting)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open
    }
}
