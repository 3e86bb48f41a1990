//! Lying bars under each other, each from one value to another.

use super::axis::Axis;
use super::{Anchor, Svg, fitted, width_of};
use crate::unit::{Unit, digits};

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

const WIDTH: f64 = 800.0;
const ROW: f64 = 26.0;
/// Names have at most this room.
const MOST_OF_NAMES: f64 = 250.0;

/// Bars over one axis in the unit's scale.
pub(crate) fn bars(bars: &[Bar], unit: Unit) -> Svg {
    #[expect(clippy::cast_precision_loss, reason = "a number of rows")]
    let bottom = 8.0 + ROW * bars.len() as f64;
    let mut svg = Svg::new(WIDTH, bottom + 34.0);
    let longest = bars.iter().map(|bar| width_of(&bar.name).min(MOST_OF_NAMES)).fold(0.0, f64::max);
    let left = (longest + 16.0).max(190.0);
    let ends = bars.iter().flat_map(|bar| {
        let interval = bar.interval.map_or([bar.to; 2], |(low, high)| [low, high]);
        [bar.from, bar.to, interval[0], interval[1], bar.predicted.unwrap_or(bar.to)]
    });
    let axis = Axis::over(ends.map(|value| unit.scaled(value)), false, left, WIDTH - 130.0);
    for tick in axis.ticks() {
        let x = axis.place(tick);
        svg.line((x, 4.0), (x, bottom), "axis");
        svg.text((x, bottom + 15.0), Anchor::Middle, "soft", &digits(tick));
    }
    svg.text((WIDTH - 130.0, bottom + 30.0), Anchor::End, "soft", unit.axis());
    let mut y = 8.0;
    for bar in bars {
        let (from, to) = (axis.place(unit.scaled(bar.from)), axis.place(unit.scaled(bar.to)));
        svg.text((left - 8.0, y + 15.0), Anchor::End, "", &fitted(&bar.name, left - 12.0));
        svg.rect_with(
            from.min(to),
            y + 3.0,
            (to - from).abs().max(1.0),
            ROW - 8.0,
            &format!("f{}", bar.colour % 10),
            &format!("{}: {}", bar.name, bar.words),
        );
        let middle = y + 3.0 + (ROW - 8.0) / 2.0;
        let mut end = from.max(to);
        if let Some((low, high)) = bar.interval {
            let (low, high) = (axis.place(unit.scaled(low)), axis.place(unit.scaled(high)));
            svg.line((low, middle), (high, middle), "top");
            svg.line((low, middle - 4.0), (low, middle + 4.0), "top");
            svg.line((high, middle - 4.0), (high, middle + 4.0), "top");
            end = end.max(high);
        }
        if let Some(predicted) = bar.predicted {
            let x = axis.place(unit.scaled(predicted));
            svg.line((x, y), (x, y + ROW - 2.0), "rule");
            end = end.max(x);
        }
        svg.text((end + 6.0, y + 16.0), Anchor::Start, "soft", &fitted(&bar.words, WIDTH - end - 8.0));
        y += ROW;
    }
    svg
}
