//! What the colours of a picture mean.

use super::{Anchor, Svg, fitted, width_of};

/// From one line of a legend to the next.
const LINE: f64 = 18.0;
/// A sign of a colour with the space behind it.
const SIGN: f64 = 16.0;
/// Between two entries.
const BETWEEN: f64 = 16.0;

/// An entry in its place: its colour, where there is one, and its words.
#[derive(Debug, Clone)]
struct Entry {
    x: f64,
    line: f64,
    colour: Option<usize>,
    words: String,
}

/// Entries beside each other, in lines that end before the picture does.
#[derive(Debug, Clone, Default)]
pub(crate) struct Legend {
    entries: Vec<Entry>,
    lines: f64,
}

impl Legend {
    /// Entries from `left` to `right`, each with its colour; without one it is words alone.
    pub(crate) fn over<S: AsRef<str>>(
        entries: impl IntoIterator<Item = (Option<usize>, S)>,
        left: f64,
        right: f64,
    ) -> Self {
        let (mut x, mut line) = (left, 0.0);
        let mut placed = Vec::new();
        for (colour, words) in entries {
            let sign = colour.map_or(0.0, |_| SIGN);
            let words = fitted(words.as_ref(), right - left - sign);
            let width = sign + width_of(&words);
            if x > left && x + width > right {
                (x, line) = (left, line + 1.0);
            }
            placed.push(Entry { x, line, colour, words });
            x += width + BETWEEN;
        }
        let lines = if placed.is_empty() { 0.0 } else { line + 1.0 };
        Self { entries: placed, lines }
    }

    /// How high it is.
    pub(crate) fn height(&self) -> f64 {
        self.lines * LINE
    }

    /// Whether all entries stand in one line.
    pub(crate) fn is_one_line(&self) -> bool {
        self.lines <= 1.0
    }

    /// Draws it from `top` down.
    pub(crate) fn draw(&self, svg: &mut Svg, top: f64) {
        for entry in &self.entries {
            let y = top + LINE * entry.line;
            let mut x = entry.x;
            if let Some(colour) = entry.colour {
                svg.rect(x, y + 3.0, 12.0, 10.0, &format!("f{}", colour % 10));
                x += SIGN;
            }
            svg.text((x, y + 12.0), Anchor::Start, if entry.colour.is_some() { "" } else { "soft" }, &entry.words);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_stay_within_the_picture_and_beside_each_other() {
        let words: Vec<String> = (0..9).map(|place| "a name of a part ".repeat(place % 3 + 1)).collect();
        for right in [360.0, 800.0] {
            let legend = Legend::over(words.iter().map(|one| (Some(1), one)), 8.0, right);
            let end = |entry: &Entry| entry.x + SIGN + width_of(&entry.words);
            assert!(legend.entries.iter().all(|entry| end(entry) <= right + 1.0));
            let follows = |pair: &[Entry]| pair[0].line < pair[1].line || end(&pair[0]) < pair[1].x;
            assert!(legend.entries.windows(2).all(follows));
            assert!(!legend.is_one_line() && legend.height() > 18.0);
        }
        let none = Legend::over(Vec::<(Option<usize>, &str)>::new(), 8.0, 360.0);
        assert!(none.height() == 0.0 && none.is_one_line());
    }
}
