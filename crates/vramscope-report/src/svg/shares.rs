//! Lying bars of parts beside each other, all of one whole or all on one scale.

use super::axis::Axis;
use super::{Anchor, Svg};
use crate::unit::{Unit, digits};

/// A bar: its name, and its parts in the order of the legend.
#[derive(Debug, Clone)]
pub(crate) struct ShareRow {
    pub(crate) name: String,
    pub(crate) parts: Vec<f64>,
}

const WIDTH: f64 = 800.0;
const LEFT: f64 = 130.0;
const RIGHT: f64 = 780.0;
const ROW: f64 = 34.0;
/// About the width of a character.
const CHARACTER: f64 = 6.6;
const LONGEST_NAME: usize = 18;

/// Parts of each row beside each other. `legend` names the parts with their colours.
pub(crate) fn shares(rows: &[ShareRow], legend: &[(usize, &str)], unit: Unit) -> Svg {
    let used: Vec<(usize, &str)> = legend
        .iter()
        .enumerate()
        .filter(|(place, _)| rows.iter().any(|row| row.parts.get(*place).is_some_and(|part| *part > 0.0)))
        .map(|(_, part)| *part)
        .collect();
    let top = 8.0 + 20.0 * legend_lines(&used);
    #[expect(clippy::cast_precision_loss, reason = "a number of rows")]
    let bottom = top + ROW * rows.len() as f64;
    let mut svg = Svg::new(WIDTH, bottom + 34.0);
    draw_legend(&mut svg, &used);
    let sums = rows.iter().map(|row| unit.scaled(row.parts.iter().sum()));
    let largest = sums.fold(0.0, f64::max);
    // A whole ends where the picture ends.
    let axis = if unit == Unit::Share {
        Axis::between(0.0, 100.0, LEFT, RIGHT)
    } else {
        Axis::over([largest].into_iter(), false, LEFT, RIGHT)
    };
    for tick in axis.ticks() {
        let x = axis.place(tick);
        svg.line((x, top), (x, bottom), "axis");
        svg.text((x, bottom + 15.0), Anchor::Middle, "soft", &digits(tick));
    }
    svg.text((LEFT - 8.0, bottom + 15.0), Anchor::End, "soft", unit.axis());
    let mut y = top;
    for row in rows {
        let name: String = row.name.chars().take(LONGEST_NAME).collect();
        svg.text((LEFT - 8.0, y + 21.0), Anchor::End, "", &name);
        let mut from = 0.0;
        for (part, (colour, called)) in row.parts.iter().zip(legend) {
            let to = from + part;
            let (left, right) = (axis.place(unit.scaled(from)), axis.place(unit.scaled(to)));
            if *part > 0.0 {
                let words = format!("{}, {called}: {}", row.name, unit.show(*part));
                svg.rect_with(left, y + 4.0, (right - left).max(0.5), ROW - 8.0, &format!("f{colour}"), &words);
            }
            from = to;
        }
        y += ROW;
    }
    svg
}

/// Where each entry of a legend stands: lines are broken before they leave the picture.
fn legend_places(entries: &[(usize, &str)]) -> Vec<(f64, f64)> {
    let (mut x, mut line) = (LEFT, 0.0);
    let place = |(_, name): &(usize, &str)| {
        #[expect(clippy::cast_precision_loss, reason = "a few characters")]
        let width = name.chars().count() as f64 * CHARACTER + 36.0;
        if x > LEFT && x + width > WIDTH {
            (x, line) = (LEFT, line + 1.0);
        }
        let at = (x, line);
        x += width;
        at
    };
    entries.iter().map(place).collect()
}

/// How many lines a legend takes.
pub(super) fn legend_lines(entries: &[(usize, &str)]) -> f64 {
    legend_places(entries).last().map_or(0.0, |(_, line)| line + 1.0)
}

/// Draws a legend at the top.
pub(super) fn draw_legend(svg: &mut Svg, entries: &[(usize, &str)]) {
    for ((colour, name), (x, line)) in entries.iter().zip(legend_places(entries)) {
        svg.rect(x, 5.0 + 20.0 * line, 12.0, 10.0, &format!("f{colour}"));
        svg.text((x + 17.0, 14.0 + 20.0 * line), Anchor::Start, "", name);
    }
}
