//! Rows of bars with their names and words: beside the bars where there is room, else above them.

use super::axis::Axis;
use super::{Anchor, Room, Svg, fitted, width_of};
use crate::unit::digits;

/// Names beside bars have at most this room.
const MOST_OF_NAMES: f64 = 250.0;
/// What is left and right of all.
const EDGE: f64 = 8.0;

/// Where rows, their names and their bars stand.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    room: Room,
    count: usize,
    top: f64,
    /// From where to where bars may go.
    pub(crate) left: f64,
    pub(crate) right: f64,
}

impl Rows {
    /// Rows of these names and words from `top` down.
    pub(crate) fn new<'t>(room: Room, texts: impl Iterator<Item = (&'t str, &'t str)>, top: f64) -> Self {
        let (mut count, mut names, mut words) = (0, 0.0, 0.0);
        for (name, said) in texts {
            count += 1;
            names = f64::max(names, width_of(name).min(MOST_OF_NAMES));
            words = f64::max(words, width_of(said));
        }
        let (left, right) = match room {
            Room::Wide => ((names + 16.0).max(130.0), room.width() - words.clamp(EDGE, 160.0) - EDGE),
            Room::Narrow => (EDGE, room.width() - EDGE * 2.0),
        };
        Self { room, count, top, left, right }
    }

    /// How high a row is, and where in it the bar begins and ends.
    fn heights(&self) -> (f64, f64, f64) {
        match self.room {
            Room::Wide => (26.0, 4.0, 22.0),
            Room::Narrow => (38.0, 18.0, 33.0),
        }
    }

    fn y(&self, row: usize) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a number of rows")]
        let row = row as f64;
        self.top + self.heights().0 * row
    }

    /// Where the bar of a row begins and ends from the top down.
    pub(crate) fn bar(&self, row: usize) -> (f64, f64) {
        let (_, from, to) = self.heights();
        (self.y(row) + from, self.y(row) + to)
    }

    /// The picture with the axis below all rows and its rules behind them: never through a name.
    pub(crate) fn frame(&self, axis: &Axis, unit: &str) -> Svg {
        let bottom = self.y(self.count) + 2.0;
        let mut svg = Svg::new(self.room.width(), bottom + 20.0);
        let ticks = axis.ticks();
        for tick in &ticks {
            let x = axis.place(*tick);
            if self.room.is_narrow() {
                (0..self.count).map(|row| self.bar(row)).for_each(|(from, to)| svg.line((x, from), (x, to), "axis"));
            } else {
                svg.line((x, self.top), (x, bottom), "axis");
            }
        }
        for (x, anchor, words) in axis_words(axis, &ticks, unit, self.room) {
            svg.text((x, bottom + 15.0), anchor, "soft", &words);
        }
        svg
    }

    /// The name of a row, and what is said behind its bar, which ends at `end`.
    pub(crate) fn words(&self, svg: &mut Svg, row: usize, end: f64, name: &str, words: &str) {
        match self.room {
            Room::Wide => {
                let y = self.y(row) + 17.0;
                svg.text((self.left - 8.0, y), Anchor::End, "", &fitted(name, self.left - 12.0));
                let room = self.room.width() - end - 8.0;
                svg.text((end + 6.0, y), Anchor::Start, "soft", &fitted(words, room));
            }
            Room::Narrow => {
                let y = self.y(row) + 13.0;
                let all = self.room.width() - EDGE * 2.0;
                let words = fitted(words, all * 0.6);
                let name = fitted(name, all - width_of(&words) - 8.0);
                svg.text((EDGE, y), Anchor::Start, "", &name);
                svg.text((self.room.width() - EDGE, y), Anchor::End, "soft", &words);
            }
        }
    }
}

/// Where the values beside a lying axis stand: those that do not lie over each other, the first and the last of them
/// before others, within the picture. The last one says the unit.
pub(crate) fn axis_words(axis: &Axis, ticks: &[f64], unit: &str, room: Room) -> Vec<(f64, Anchor, String)> {
    let placed = |(place, tick): (usize, &f64)| {
        let is_last = place + 1 == ticks.len() && !unit.is_empty();
        let words = if is_last { format!("{} {unit}", digits(*tick)) } else { digits(*tick) };
        let (middle, half) = (axis.place(*tick), width_of(&words) / 2.0);
        let (x, anchor) = if middle + half > room.width() {
            (room.width(), Anchor::End)
        } else if middle - half < 0.0 {
            (0.0, Anchor::Start)
        } else {
            (middle, Anchor::Middle)
        };
        (middle - half - 3.0, middle + half + 3.0, (x, anchor, words))
    };
    let all: Vec<_> = ticks.iter().enumerate().map(placed).collect();
    let Some((last, rest)) = all.split_last() else { return Vec::new() };
    let mut free = f64::NEG_INFINITY;
    let mut shown = Vec::new();
    for (from, to, words) in rest {
        if *from >= free && *to <= last.0 {
            free = *to;
            shown.push(words.clone());
        }
    }
    shown.push(last.2.clone());
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_above_bars_on_narrow_screens_and_beside_them_on_wide_ones() {
        let texts = [("a name of usual length", "1.00 GiB"), ("another", "20.00 GiB (5 %)")];
        let narrow = Rows::new(Room::Narrow, texts.into_iter(), 0.0);
        assert!(narrow.right - narrow.left > 0.9 * Room::Narrow.width(), "bars have the whole width");
        let wide = Rows::new(Room::Wide, texts.into_iter(), 0.0);
        assert!(wide.left > width_of(texts[0].0) && wide.right + width_of(texts[1].1) <= Room::Wide.width());
        let long = "x".repeat(1 << 16);
        for room in [Room::Wide, Room::Narrow] {
            let rows = Rows::new(room, [(long.as_str(), long.as_str())].into_iter(), 0.0);
            assert!(rows.right - rows.left > 0.4 * room.width());
        }
    }

    #[test]
    fn values_beside_an_axis_never_lie_over_each_other_and_its_ends_are_among_them() {
        let axis = Axis::over([0.0, 1e6].into_iter(), false, 8.0, 344.0);
        let ticks: Vec<f64> = (0..=20).map(|step| f64::from(step) * 5e4).collect();
        let words = axis_words(&axis, &ticks, "s", Room::Narrow);
        assert_eq!((words[0].2.as_str(), words[words.len() - 1].2.as_str()), ("0", "1,000,000 s"));
        assert!(words.windows(2).all(|pair| pair[1].0 - pair[0].0 > width_of(&pair[1].2) / 2.0));
        assert!(axis_words(&axis, &[], "s", Room::Narrow).is_empty());
    }
}
