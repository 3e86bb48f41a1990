//! Words of sentences.

use std::collections::HashMap;
use std::hash::Hash;

use crate::cell::Cell;
use crate::unit::Unit;

#[expect(clippy::cast_precision_loss, reason = "a number of rows")]
pub(super) fn float(count: usize) -> f64 {
    count as f64
}

/// One of many in a sentence: `1 run`, `2 runs`.
pub(super) fn many(count: usize, one: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {one}{plural}", Unit::Count.show(float(count)))
}

/// Words after each other: `a, b and c`.
pub(super) fn listed(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// What is said of several, by what is said: each once, in the order in which it was first said.
#[derive(Debug)]
pub(super) struct Grouped<K, T> {
    places: HashMap<K, usize>,
    pub(super) all: Vec<T>,
}

impl<K: Eq + Hash, T> Grouped<K, T> {
    pub(super) fn new() -> Self {
        Self { places: HashMap::new(), all: Vec::new() }
    }

    /// What was said under a key, or what is made of it now.
    pub(super) fn entry(&mut self, key: K, new: impl FnOnce() -> T) -> &mut T {
        let next = self.all.len();
        let place = *self.places.entry(key).or_insert(next);
        if place == next {
            self.all.push(new());
        }
        &mut self.all[place]
    }
}

/// A cell of a figure that was worked out here.
pub(super) fn derived(value: Option<f64>, unit: Unit) -> Cell {
    value.filter(|value| value.is_finite()).map_or_else(Cell::absent, |value| Cell::text(unit.show(value)))
}

/// A foreign name that fits into a sentence.
pub(super) fn brief(name: &str) -> String {
    const LONGEST: usize = 60;
    let letters = name.chars().count();
    if letters <= LONGEST {
        return name.to_owned();
    }
    // The end of a path tells more than its beginning.
    let end: String = name.chars().skip(letters - (LONGEST - 1)).collect();
    format!("…{end}")
}

/// What names of paths have in common before the last slash of it, in bytes.
pub(super) fn common_folder(names: &[&str]) -> usize {
    let Some(first) = names.first() else { return 0 };
    let shared = names.iter().fold(first.len(), |shared, name| {
        let same = first.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
        shared.min(same)
    });
    if names.len() < 2 {
        return first.rfind('/').map_or(0, |at| at + 1);
    }
    first.as_bytes()[..shared].iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_folder_ends_behind_a_slash_and_within_every_name() {
        assert_eq!(common_folder(&["a/b/c1", "a/b/c2"]), 4);
        assert_eq!(common_folder(&["a/b", "x/b"]), 0);
        assert_eq!(common_folder(&["runs/only"]), 5);
        assert_eq!(common_folder(&["é/a", "é/b"]), 3);
        assert_eq!(common_folder(&["a/", "a/"]), 2);
        assert_eq!(common_folder(&[]), 0);
    }
}
