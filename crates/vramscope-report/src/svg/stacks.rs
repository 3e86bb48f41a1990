//! Lying bars under each other, each of several parts in a row.

use super::axis::Axis;
use super::rows::Rows;
use super::{Drawing, Legend, Room, Svg};
use crate::unit::Unit;

/// A bar of parts: each with its size, its colour (`f0` to `f9`) and what it says.
#[derive(Debug, Clone)]
pub(crate) struct Stack {
    pub(crate) name: String,
    pub(crate) parts: Vec<(f64, usize, String)>,
    /// What is written behind it.
    pub(crate) words: String,
}

const LONGEST_NAME: usize = 26;

/// Bars over one axis, with what their colours mean above them. A part below zero has no place in a bar.
pub(crate) fn stacks(stacks: &[Stack], colours: &[(String, usize)], unit: Unit) -> Drawing {
    Drawing::of(|room| draw(stacks, colours, unit, room))
}

fn draw(stacks: &[Stack], colours: &[(String, usize)], unit: Unit, room: Room) -> Svg {
    let is_drawn = |colour: usize| {
        stacks.iter().flat_map(|stack| &stack.parts).any(|part| part.0 > 0.0 && part.1 % 10 == colour % 10)
    };
    let used = colours.iter().filter(|(_, colour)| is_drawn(*colour)).map(|(name, colour)| (Some(*colour), name));
    let legend = Legend::over(used, 8.0, room.width());
    let names: Vec<String> = stacks.iter().map(|stack| short_name(&stack.name)).collect();
    let texts = names.iter().zip(stacks).map(|(name, stack)| (name.as_str(), stack.words.as_str()));
    let rows = Rows::new(room, texts, legend.height() + 4.0);
    let length = |stack: &Stack| stack.parts.iter().map(|part| part.0.max(0.0)).sum::<f64>();
    let axis = Axis::over(stacks.iter().map(|stack| unit.scaled(length(stack))), false, rows.left, rows.right);
    let mut svg = rows.frame(&axis, unit.axis());
    legend.draw(&mut svg, 0.0);
    for (place, (stack, name)) in stacks.iter().zip(&names).enumerate() {
        let (top, bottom) = rows.bar(place);
        let mut at = 0.0;
        for (size, colour, words) in stack.parts.iter().filter(|part| part.0 > 0.0) {
            let (from, to) = (axis.place(unit.scaled(at)), axis.place(unit.scaled(at + size)));
            svg.rect_with(from, top, to - from, bottom - top, &format!("f{}", colour % 10), words);
            at += size;
        }
        rows.words(&mut svg, place, axis.place(unit.scaled(at)), name, &stack.words);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_legend_names_what_is_drawn_and_long_names_are_cut() {
        let parts = vec![(2.0, 1, "weights".to_owned()), (0.0, 2, "none".to_owned())];
        let stack = Stack { name: "x".repeat(1 << 20), parts, words: "2".to_owned() };
        let colours = [("weights".to_owned(), 1), ("cache".to_owned(), 2)];
        let drawn = draw(&[stack], &colours, Unit::Plain, Room::Narrow).element("", "e");
        assert!(drawn.contains(">weights</text>") && !drawn.contains("cache"), "{drawn}");
        assert!(short_name(&"x".repeat(1 << 20)).chars().count() <= LONGEST_NAME);
    }
}
