//! Lying bars under each other, each of several parts in a row.

use super::axis::Axis;
use super::{Anchor, Svg};
use crate::unit::{Unit, digits};

/// A bar of parts: each with its size, its colour (`f0` to `f9`) and what it says.
#[derive(Debug, Clone)]
pub(crate) struct Stack {
    pub(crate) name: String,
    pub(crate) parts: Vec<(f64, usize, String)>,
    /// What is written behind it.
    pub(crate) words: String,
}

const WIDTH: f64 = 800.0;
const LEFT: f64 = 190.0;
const RIGHT: f64 = WIDTH - 130.0;
const ROW: f64 = 24.0;
const LONGEST_NAME: usize = 26;
/// About the width of a letter at 12 px.
const LETTER: f64 = 6.8;

/// Bars over one axis, with what their colours mean above them. A part below zero has no place in a bar.
pub(crate) fn stacks(stacks: &[Stack], colours: &[(String, usize)], unit: Unit) -> Svg {
    let (legend, top) = legend(colours);
    #[expect(clippy::cast_precision_loss, reason = "a number of rows")]
    let bottom = top + ROW * stacks.len() as f64;
    let mut svg = Svg::new(WIDTH, bottom + 34.0);
    for (x, y, name, colour) in legend {
        svg.rect(x, y - 9.0, 12.0, 10.0, &format!("f{}", colour % 10));
        svg.text((x + 16.0, y), Anchor::Start, "", name);
    }
    let length = |stack: &Stack| stack.parts.iter().map(|part| part.0.max(0.0)).sum::<f64>();
    let axis = Axis::over(stacks.iter().map(|stack| unit.scaled(length(stack))), false, LEFT, RIGHT);
    for tick in axis.ticks() {
        let x = axis.place(tick);
        svg.line((x, top - 2.0), (x, bottom), "axis");
        svg.text((x, bottom + 15.0), Anchor::Middle, "soft", &digits(tick));
    }
    svg.text((RIGHT, bottom + 30.0), Anchor::End, "soft", unit.axis());
    let mut y = top;
    for stack in stacks {
        svg.text((LEFT - 8.0, y + 15.0), Anchor::End, "", &short_name(&stack.name));
        let mut at = 0.0;
        for (size, colour, words) in stack.parts.iter().filter(|part| part.0 > 0.0) {
            let (from, to) = (axis.place(unit.scaled(at)), axis.place(unit.scaled(at + size)));
            svg.rect_with(from, y + 3.0, to - from, ROW - 7.0, &format!("f{}", colour % 10), words);
            at += size;
        }
        svg.text((axis.place(unit.scaled(at)) + 6.0, y + 15.0), Anchor::Start, "soft", &stack.words);
        y += ROW;
    }
    svg
}

/// The end of a long name tells more than its beginning: names of runs begin alike.
fn short_name(name: &str) -> String {
    let count = name.chars().count();
    if count <= LONGEST_NAME {
        return name.to_owned();
    }
    let tail: String = name.chars().skip(count - (LONGEST_NAME - 1)).collect();
    format!("…{tail}")
}

/// Where each name of a colour stands, and where the bars begin below them.
fn legend(colours: &[(String, usize)]) -> (Vec<(f64, f64, &str, usize)>, f64) {
    let (mut x, mut y) = (8.0, 14.0);
    let mut places = Vec::new();
    for (name, colour) in colours {
        #[expect(clippy::cast_precision_loss, reason = "a few letters")]
        let width = name.chars().count() as f64 * LETTER + 34.0;
        if x + width > WIDTH && x > 8.0 {
            (x, y) = (8.0, y + 18.0);
        }
        places.push((x, y, name.as_str(), *colour));
        x += width;
    }
    (places, y + 12.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_colours_stay_within_the_picture_and_bars_stay_below_them() {
        let colours: Vec<(String, usize)> = (0..9).map(|colour| ("a name of a part".to_owned(), colour)).collect();
        let (places, top) = legend(&colours);
        let width = LETTER * 16.0;
        assert!(places.iter().all(|(x, y, ..)| x + width <= WIDTH && *y < top));
        assert!(short_name(&"x".repeat(1 << 20)).chars().count() <= LONGEST_NAME);
    }
}
