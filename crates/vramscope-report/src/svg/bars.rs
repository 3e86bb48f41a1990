//! Lying bars under each other, each from one value to another.

use super::axis::Axis;
use super::rows::Rows;
use super::{Drawing, Room, Svg};
use crate::unit::Unit;

/// A bar: from where to where, of which colour (`f0` to `f9`), with what is written behind it.
#[derive(Debug, Clone)]
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) colour: usize,
    pub(crate) words: String,
    /// An interval around its end, where one is known.
    pub(crate) interval: Option<(f64, f64)>,
    /// What was predicted for its end, as a rule across.
    pub(crate) predicted: Option<f64>,
}

impl Bar {
    pub(crate) fn new(name: impl Into<String>, from: f64, to: f64, colour: usize, words: impl Into<String>) -> Self {
        Self { name: name.into(), from, to, colour, words: words.into(), interval: None, predicted: None }
    }
}

/// Bars over one axis in the unit's scale.
pub(crate) fn bars(bars: &[Bar], unit: Unit) -> Drawing {
    Drawing::of(|room| draw(bars, unit, room))
}

fn draw(bars: &[Bar], unit: Unit, room: Room) -> Svg {
    let rows = Rows::new(room, bars.iter().map(|bar| (bar.name.as_str(), bar.words.as_str())), 4.0);
    let ends = bars.iter().flat_map(|bar| {
        let interval = bar.interval.map_or([bar.to; 2], |(low, high)| [low, high]);
        [bar.from, bar.to, interval[0], interval[1], bar.predicted.unwrap_or(bar.to)]
    });
    let axis = Axis::over(ends.map(|value| unit.scaled(value)), false, rows.left, rows.right);
    let mut svg = rows.frame(&axis, unit.axis());
    for (place, bar) in bars.iter().enumerate() {
        let at = |value: f64| axis.place(unit.scaled(value));
        let (from, to) = (at(bar.from), at(bar.to));
        let (top, bottom) = rows.bar(place);
        svg.rect_with(
            from.min(to),
            top,
            (to - from).abs().max(1.0),
            bottom - top,
            &format!("f{}", bar.colour % 10),
            &format!("{}: {}", bar.name, bar.words),
        );
        let middle = f64::midpoint(top, bottom);
        let mut end = from.max(to);
        if let Some((low, high)) = bar.interval {
            let (low, high) = (at(low), at(high));
            svg.line((low, middle), (high, middle), "top");
            svg.line((low, middle - 4.0), (low, middle + 4.0), "top");
            svg.line((high, middle - 4.0), (high, middle + 4.0), "top");
            end = end.max(high);
        }
        if let Some(predicted) = bar.predicted {
            let x = at(predicted);
            // On a ground of its own: the bar may have any colour.
            svg.line((x, top - 1.0), (x, bottom + 3.0), "under");
            svg.line((x, top - 1.0), (x, bottom + 3.0), "predicted");
            end = end.max(x);
        }
        rows.words(&mut svg, place, end, &bar.name, &bar.words);
    }
    svg
}
