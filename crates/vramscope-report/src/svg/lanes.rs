//! Rows over one time, each filled by what took the time: parts of a whole in even steps.

use super::axis::Axis;
use super::rows::axis_words;
use super::{Anchor, Drawing, Legend, Room, Svg, fitted};
use crate::unit::Unit;

/// A row: in even steps from `start`, how long each part took.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    pub(crate) name: String,
    /// In nanoseconds.
    pub(crate) start: f64,
    pub(crate) step: f64,
    /// A list for each part, in the order of the legend; lists may be short or empty.
    pub(crate) parts: Vec<Vec<f64>>,
}

/// A stretch of time that has a name: a step of an engine.
#[derive(Debug, Clone)]
pub(crate) struct LaneMark {
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) colour: usize,
    pub(crate) words: String,
}

/// Rows over one time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lanes {
    pub(crate) lanes: Vec<Lane>,
    pub(crate) legend: Vec<(usize, &'static str)>,
    /// Named stretches above the rows.
    pub(crate) marks: Vec<LaneMark>,
    pub(crate) marks_name: String,
}

/// Of the wide picture, for names.
const NAMES: f64 = 130.0;
/// Of the narrow one, above each row.
const NAME: f64 = 18.0;
const ROW: f64 = 74.0;
const MARKS: f64 = 22.0;
/// Places of one row that say what is in them when they are pointed at.
const PLACES: usize = 80;

impl Lane {
    /// How many steps there are.
    pub(crate) fn steps(&self) -> usize {
        self.parts.iter().map(Vec::len).max().unwrap_or(0)
    }

    #[expect(clippy::cast_precision_loss, reason = "a number of steps")]
    fn at(&self, step: usize) -> f64 {
        self.start + self.step * step as f64
    }

    /// When the row ends.
    pub(crate) fn end(&self) -> f64 {
        self.at(self.steps())
    }

    /// The steps put together into no more groups than that: when each begins and ends, with the sums of the parts.
    pub(crate) fn groups(&self, most: usize) -> Vec<(f64, f64, Vec<f64>)> {
        let size = self.steps().div_ceil(most.max(1)).max(1);
        let group = |from: usize| {
            let to = (from + size).min(self.steps());
            let sum = |part: &Vec<f64>| part.iter().take(to).skip(from).sum();
            (self.at(from), self.at(to), self.parts.iter().map(sum).collect())
        };
        (0..self.steps()).step_by(size).map(group).collect()
    }
}

impl Lanes {
    pub(crate) fn draw(&self) -> Drawing {
        Drawing::of(|room| self.draw_in(room))
    }

    fn draw_in(&self, room: Room) -> Svg {
        let is_drawn =
            |place: usize| self.lanes.iter().any(|lane| lane.parts.get(place).is_some_and(|part| !part.is_empty()));
        let used = self.legend.iter().enumerate().filter(|(place, _)| is_drawn(*place));
        let legend = Legend::over(used.map(|(_, (colour, name))| (Some(*colour), *name)), 8.0, room.width());
        let top = 8.0 + legend.height();
        let (left, above) = if room.is_narrow() { (8.0, NAME) } else { (NAMES, 0.0) };
        let right = room.width() - 15.0;
        let first_row = if self.marks.is_empty() { top } else { top + MARKS + above };
        #[expect(clippy::cast_precision_loss, reason = "a number of rows")]
        let bottom = first_row + (ROW + above) * self.lanes.len() as f64;
        let mut svg = Svg::new(room.width(), bottom + 34.0);
        legend.draw(&mut svg, 0.0);
        let start = self.lanes.iter().map(|lane| lane.start).fold(f64::INFINITY, f64::min);
        let end = self.lanes.iter().map(Lane::end).fold(f64::NEG_INFINITY, f64::max);
        let axis = Axis::between(0.0, Unit::Time.scaled(end - start), left, right);
        let place = |at: f64| axis.place(Unit::Time.scaled(at - start)).clamp(left, right);
        let ticks = axis.ticks();
        for tick in &ticks {
            svg.line((axis.place(*tick), top), (axis.place(*tick), bottom), "axis");
        }
        for (x, anchor, words) in axis_words(&axis, &ticks, "", room) {
            svg.text((x, bottom + 15.0), anchor, "soft", &words);
        }
        svg.text((right, bottom + 30.0), Anchor::End, "soft", "ms from the first operation on");
        let name = |svg: &mut Svg, y: f64, height: f64, class: &str, name: &str| {
            if room.is_narrow() {
                svg.text((left, y + 13.0), Anchor::Start, class, &fitted(name, right - left));
            } else {
                let name = fitted(name, left - 12.0);
                svg.text((left - 8.0, y + height / 2.0 + 4.0), Anchor::End, class, &name);
            }
        };
        if !self.marks.is_empty() {
            name(&mut svg, top, MARKS - 2.0, "soft", &self.marks_name);
            self.draw_marks(&mut svg, top + above, &place);
        }
        for (row, lane) in (0u32..).zip(&self.lanes) {
            let y = first_row + (ROW + above) * f64::from(row);
            name(&mut svg, y, ROW, "", &lane.name);
            self.draw_lane(&mut svg, lane, y + above + 4.0, ROW - 8.0, &place, start);
        }
        svg
    }

    fn draw_marks(&self, svg: &mut Svg, top: f64, place: &dyn Fn(f64) -> f64) {
        for mark in &self.marks {
            let (from, to) = (place(mark.from), place(mark.to));
            if to > from {
                let class = format!("f{} pale", mark.colour);
                svg.rect_with(from, top + 3.0, (to - from).max(0.7), MARKS - 8.0, &class, &mark.words);
            }
        }
    }

    /// Parts on top of each other, each as one surface of steps.
    fn draw_lane(&self, svg: &mut Svg, lane: &Lane, y: f64, height: f64, place: &dyn Fn(f64) -> f64, start: f64) {
        let steps = lane.steps();
        svg.rect(place(lane.start), y, place(lane.end()) - place(lane.start), height, "band");
        let mut below = vec![0.0; steps];
        for (part, (colour, _)) in lane.parts.iter().zip(&self.legend) {
            if part.is_empty() {
                continue;
            }
            let level = |share: f64| y + height - height * (share / lane.step).clamp(0.0, 1.0);
            let (mut upper, mut lower) = (Vec::with_capacity(steps * 2), Vec::with_capacity(steps * 2));
            for (step, base) in below.iter_mut().enumerate() {
                let (left, right) = (place(lane.at(step)), place(lane.at(step + 1)));
                let low = level(*base);
                *base += part.get(step).copied().unwrap_or(0.0);
                let high = level(*base);
                upper.extend([(left, high), (right, high)]);
                lower.extend([(left, low), (right, low)]);
            }
            upper.extend(lower.into_iter().rev());
            svg.area(&without_repeats(&upper), &format!("f{colour}"));
        }
        for (from, to, sums) in lane.groups(PLACES) {
            let all: f64 = sums.iter().sum();
            let part = |(sum, (_, name)): (&f64, &(usize, &str))| {
                (*sum > 0.0).then(|| format!("{name} {}", Unit::Share.show(sum / all)))
            };
            let parts: Vec<String> = sums.iter().zip(&self.legend).filter_map(part).collect();
            let words = format!(
                "{}, {} to {}: {}",
                lane.name,
                Unit::Time.show(from - start),
                Unit::Time.show(to - start),
                if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
            );
            svg.rect_with(place(from), y, place(to) - place(from), height, "see", &words);
        }
    }
}

/// Without points on a level line between others.
fn without_repeats(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut kept: Vec<(f64, f64)> = Vec::with_capacity(points.len());
    for point in points {
        let same = |a: f64, b: f64| (a - b).abs() < 0.05;
        if let [.., first, last] = kept.as_slice()
            && same(first.1, last.1)
            && same(last.1, point.1)
        {
            kept.pop();
        }
        kept.push(*point);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn groups_hold_all_that_steps_hold(part in prop::collection::vec(0u32..1000, 0..200), most in 0usize..50) {
            let part: Vec<f64> = part.into_iter().map(f64::from).collect();
            let lane = Lane { name: "0".into(), start: 5.0, step: 2.0, parts: vec![part.clone(), Vec::new()] };
            let groups = lane.groups(most);
            prop_assert!(groups.len() <= most.max(1));
            prop_assert!((groups.iter().map(|group| group.2[0]).sum::<f64>() - part.iter().sum::<f64>()).abs() < 1e-9);
            prop_assert!(groups.windows(2).all(|pair| (pair[0].1 - pair[1].0).abs() < 1e-9));
        }
    }

    #[test]
    fn nothing_is_no_trouble() {
        let empty = Lane { name: String::new(), start: 0.0, step: 0.0, parts: Vec::new() };
        for lanes in [Vec::new(), vec![empty]] {
            let drawn = Lanes { lanes, ..Lanes::default() }.draw();
            assert!(!drawn.elements("e").contains("NaN"));
        }
    }
}
