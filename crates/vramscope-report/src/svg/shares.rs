//! Lying bars of parts beside each other, all of one whole or all on one scale.

use super::axis::Axis;
use super::rows::Rows;
use super::{Drawing, Legend, Room, Svg};
use crate::unit::Unit;

/// A bar: its name, and its parts in the order of the legend.
#[derive(Debug, Clone)]
pub(crate) struct ShareRow {
    pub(crate) name: String,
    pub(crate) parts: Vec<f64>,
}

/// Parts of each row beside each other. `legend` names the parts with their colours.
pub(crate) fn shares(rows: &[ShareRow], legend: &[(usize, &str)], unit: Unit) -> Drawing {
    Drawing::of(|room| draw(rows, legend, unit, room))
}

fn draw(all: &[ShareRow], legend: &[(usize, &str)], unit: Unit, room: Room) -> Svg {
    let is_drawn = |place: usize| all.iter().any(|row| row.parts.get(place).is_some_and(|part| *part > 0.0));
    let used = legend.iter().enumerate().filter(|(place, _)| is_drawn(*place));
    let colours = Legend::over(used.map(|(_, (colour, name))| (Some(*colour), *name)), 8.0, room.width());
    let rows = Rows::new(room, all.iter().map(|row| (row.name.as_str(), "")), colours.height() + 4.0);
    let largest = all.iter().map(|row| unit.scaled(row.parts.iter().sum())).fold(0.0, f64::max);
    // A whole ends where the picture ends.
    let axis = if unit == Unit::Share {
        Axis::between(0.0, 100.0, rows.left, rows.right)
    } else {
        Axis::over([largest].into_iter(), false, rows.left, rows.right)
    };
    let mut svg = rows.frame(&axis, unit.axis());
    colours.draw(&mut svg, 0.0);
    for (place, row) in all.iter().enumerate() {
        let (top, bottom) = rows.bar(place);
        let mut from = 0.0;
        for (part, (colour, called)) in row.parts.iter().zip(legend) {
            let to = from + part;
            let (left, right) = (axis.place(unit.scaled(from)), axis.place(unit.scaled(to)));
            if *part > 0.0 {
                let words = format!("{}, {called}: {}", row.name, unit.show(*part));
                svg.rect_with(left, top, (right - left).max(0.5), bottom - top, &format!("f{colour}"), &words);
            }
            from = to;
        }
        rows.words(&mut svg, place, rows.right, &row.name, "");
    }
    svg
}
