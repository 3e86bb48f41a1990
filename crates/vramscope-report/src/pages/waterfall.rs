//! From one amount to another, step by step.

use crate::svg::{Bar, Drawing, bars};
use crate::unit::Unit;

/// One step: what is added, or taken off where it is below zero.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) size: f64,
    pub(crate) colour: usize,
    pub(crate) words: String,
    /// The least and the most that it may be.
    pub(crate) interval: Option<(f64, f64)>,
}

impl Step {
    /// What an amount is less by.
    pub(crate) fn less(name: impl Into<String>, size: f64, colour: usize, words: impl Into<String>) -> Self {
        Self { name: name.into(), size: -size, colour, words: words.into(), interval: None }
    }

    /// What an amount is more by.
    pub(crate) fn more(name: impl Into<String>, size: f64, colour: usize, words: impl Into<String>) -> Self {
        Self { name: name.into(), size, colour, words: words.into(), interval: None }
    }
}

/// A whole amount of a waterfall, as a bar from zero: its name, size, colour and words.
pub(crate) type Level = (String, f64, usize, String);

/// The picture: a whole amount, steps that hang at each other, and a whole amount again.
pub(crate) fn waterfall(first: Option<Level>, steps: &[Step], last: Option<Level>) -> Drawing {
    let whole = |(name, size, colour, words): Level| Bar::new(name, 0.0, size, colour, words);
    let mut at = first.as_ref().map_or(0.0, |first| first.1);
    let mut all: Vec<Bar> = first.map(whole).into_iter().collect();
    for step in steps {
        let mut bar = Bar::new(step.name.clone(), at, at + step.size, step.colour, step.words.clone());
        bar.interval = step.interval.map(|(low, high)| {
            let ends = if step.size < 0.0 { (at - high, at - low) } else { (at + low, at + high) };
            (ends.0.min(ends.1), ends.0.max(ends.1))
        });
        at += step.size;
        all.push(bar);
    }
    all.extend(last.map(whole));
    bars(&all, Unit::Memory)
}
