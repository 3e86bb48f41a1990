//! Amounts on top of each other over time or events, in steps.

use super::axis::Axis;
use super::rows::axis_words;
use super::{Anchor, Drawing, Legend, Room, Svg, fitted, width_of};
use crate::unit::{Unit, digits};

/// One amount, as long as there are places on the horizontal axis.
#[derive(Debug, Clone)]
pub(crate) struct Area {
    pub(crate) name: String,
    pub(crate) colour: usize,
    pub(crate) values: Vec<f64>,
}

/// Amounts on top of each other, the first one lowest.
#[derive(Debug, Clone)]
pub(crate) struct Areas {
    /// What the horizontal axis is of.
    pub(crate) x: String,
    pub(crate) unit: Unit,
    /// Where the values stand on it, in order.
    pub(crate) at: Vec<f64>,
    pub(crate) areas: Vec<Area>,
    /// A line over them, with its name; open where nothing is known.
    pub(crate) line: Option<(String, Vec<Option<f64>>)>,
    /// Rules across, with their words.
    pub(crate) marks: Vec<(f64, String)>,
    /// The place of the highest.
    pub(crate) peak: Option<usize>,
}

/// Columns on wide and on narrow screens: each keeps its lowest and its highest.
const COLUMNS: [usize; 2] = [330, 150];
/// Columns that say their values when they are pointed at.
const TOLD: usize = 110;
/// Between two rows of words at rules.
const LINE: f64 = 14.0;
const BELOW: f64 = 42.0;

impl Areas {
    pub(crate) fn draw(&self) -> Drawing {
        Drawing::of(|room| self.draw_in(room))
    }

    fn total(&self, place: usize) -> f64 {
        self.areas.iter().map(|area| area.values.get(place).copied().unwrap_or(0.0)).sum()
    }

    /// The places that are drawn: of each column its first, its lowest and its highest.
    fn kept(&self, x: &Axis, columns: usize) -> Vec<usize> {
        let (from, to) = x.span();
        #[expect(clippy::cast_precision_loss, reason = "a number of columns")]
        let width = (to - from) / columns as f64;
        #[expect(clippy::cast_possible_truncation, reason = "a number of columns")]
        let column = |place: usize| ((x.place(self.at[place]) - from) / width).floor() as i64;
        let mut kept = Vec::new();
        let mut begin = 0;
        while begin < self.at.len() {
            let own = column(begin);
            let mut end = begin + 1;
            while end < self.at.len() && column(end) == own {
                end += 1;
            }
            let by_total = |a: &usize, b: &usize| self.total(*a).total_cmp(&self.total(*b));
            let mut of_column = vec![begin, end - 1];
            of_column.extend((begin..end).min_by(by_total));
            of_column.extend((begin..end).rev().max_by(by_total));
            of_column.extend(self.peak.filter(|peak| (begin..end).contains(peak)));
            of_column.sort_unstable();
            of_column.dedup();
            kept.append(&mut of_column);
            begin = end;
        }
        kept
    }

    fn draw_in(&self, room: Room) -> Svg {
        let (left, right, height) = match room {
            Room::Wide => (70.0, 780.0, 260.0),
            Room::Narrow => (52.0, 348.0, 220.0),
        };
        let mut names: Vec<(Option<usize>, String)> = Vec::new();
        for area in self.areas.iter().rev() {
            match names.iter_mut().find(|(colour, _)| *colour == Some(area.colour)) {
                Some((_, name)) => *name = format!("{}, {name}", area.name),
                None => names.push((Some(area.colour), area.name.clone())),
            }
        }
        names.extend(self.line.as_ref().map(|(name, _)| (None, format!("– {name}"))));
        let legend = Legend::over(names, 8.0, room.width());
        let x =
            Axis::between(self.at.first().copied().unwrap_or(0.0), self.at.last().copied().unwrap_or(1.0), left, right);
        let flags = self.flags(&x, room);
        let rows = flags.iter().map(|flag| flag.2 + 1).max().unwrap_or(0);
        #[expect(clippy::cast_precision_loss, reason = "a few rows")]
        let top = 22.0 + legend.height() + rows as f64 * LINE + 8.0;
        let bottom = top + height;
        let lines = self.line.iter().flat_map(|(_, values)| values.iter().flatten().copied());
        let totals = (0..self.at.len()).map(|place| self.total(place)).chain(lines);
        let y = Axis::over(totals.map(|value| self.unit.scaled(value)), false, bottom, top);
        let mut svg = Svg::new(room.width(), bottom + BELOW);
        svg.text((4.0, 14.0), Anchor::Start, "soft", self.unit.axis());
        legend.draw(&mut svg, 22.0);
        for tick in y.ticks() {
            svg.line((left, y.place(tick)), (right, y.place(tick)), "axis");
            svg.text((left - 6.0, y.place(tick) + 4.0), Anchor::End, "soft", &digits(tick));
        }
        for (at, anchor, words) in axis_words(&x, &x.ticks(), "", room) {
            svg.text((at, bottom + 16.0), anchor, "soft", &words);
        }
        svg.text((right, bottom + 34.0), Anchor::End, "soft", &self.x);
        let kept = self.kept(&x, COLUMNS[usize::from(room.is_narrow())]);
        self.shapes(&mut svg, &x, &y, &kept);
        for (at, from, row, words) in &flags {
            #[expect(clippy::cast_precision_loss, reason = "a few rows")]
            let base = top - 5.0 - *row as f64 * LINE;
            svg.line((*at, base + 3.0), (*at, bottom), "rule");
            svg.text((*from, base), Anchor::Start, "soft", words);
        }
        if !room.is_narrow() {
            self.told(&mut svg, &x, (top, bottom));
        }
        if let Some(peak) = self.peak.filter(|peak| *peak < self.at.len()) {
            let at = (x.place(self.at[peak]), y.place(self.unit.scaled(self.total(peak))));
            svg.dot(at, 4.0, "peak", &self.words(peak));
        }
        svg
    }

    /// The areas, the highest first: each covers the lower part of the one before.
    fn shapes(&self, svg: &mut Svg, x: &Axis, y: &Axis, kept: &[usize]) {
        let place = |place: usize, value: f64| (x.place(self.at[place]), y.place(self.unit.scaled(value)));
        for top in (0..self.areas.len()).rev() {
            let sum = |at: usize| self.areas[..=top].iter().filter_map(|area| area.values.get(at)).sum::<f64>();
            let points: Vec<(f64, f64)> = kept.iter().map(|at| place(*at, sum(*at))).collect();
            svg.steps(&points, Some(y.place(0.0)), &format!("f{}", self.areas[top].colour % 10));
        }
        if let Some((_, values)) = &self.line {
            let mut points = Vec::new();
            for at in kept {
                match values.get(*at).copied().flatten() {
                    Some(value) => points.push(place(*at, value)),
                    None => svg.steps(&std::mem::take(&mut points), None, "top"),
                }
            }
            svg.steps(&points, None, "top");
        }
    }

    /// Columns that cannot be seen and say what is there.
    fn told(&self, svg: &mut Svg, x: &Axis, (top, bottom): (f64, f64)) {
        let kept = self.kept(x, TOLD);
        let mut last = None;
        for (place, at) in kept.iter().enumerate() {
            let from = x.place(self.at[*at]);
            let to = kept.get(place + 1).map_or(x.span().1, |next| x.place(self.at[*next]));
            if to - from >= 2.0 || last.is_none_or(|last| from - last >= 6.0) {
                svg.rect_with(from, top, (to - from).max(6.0), bottom - top, "see", &self.words(*at));
                last = Some(from);
            }
        }
    }

    fn words(&self, place: usize) -> String {
        let mut words = format!("{} {}: {}", digits(self.at[place]), self.x, self.unit.show(self.total(place)));
        for area in self.areas.iter().rev() {
            let value = area.values.get(place).copied().unwrap_or(0.0);
            if value > 0.0 {
                words.push_str(&format!("; {} {}", area.name, self.unit.show(value)));
            }
        }
        words
    }

    /// Words at rules: where the rule is, where its words begin, and in which row from below.
    fn flags(&self, x: &Axis, room: Room) -> Vec<(f64, f64, usize, String)> {
        let mut flags: Vec<(f64, f64, usize, String)> = Vec::new();
        let mut marks: Vec<(f64, &String)> = self.marks.iter().map(|(at, words)| (x.place(*at), words)).collect();
        marks.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (row, (at, words)) in marks.into_iter().enumerate() {
            // Each in a row of its own: a rule then goes through no words but those of rows above it.
            let words = fitted(words, room.width() - 16.0);
            let from = (at + 3.0).min(room.width() - width_of(&words) - 4.0).max(4.0);
            flags.push((at, from, row, words));
        }
        // The one furthest to the left stands highest, so that its rule passes beside the words of the others.
        let rows = flags.len();
        flags.iter_mut().for_each(|flag| flag.2 = rows - 1 - flag.2);
        flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn areas(values: &[f64]) -> Areas {
        Areas {
            x: "events".into(),
            unit: Unit::Plain,
            at: (0..values.len()).map(|at| f64::from(u32::try_from(at).unwrap())).collect(),
            areas: vec![
                Area { name: "weights".into(), colour: 1, values: vec![1.0; values.len()] },
                Area { name: "cache".into(), colour: 2, values: values.to_vec() },
            ],
            line: Some(("held".into(), values.iter().map(|value| (*value < 5.0).then_some(9.0)).collect())),
            marks: vec![(1.0, "out of memory".into()), (2.0, "highest".into())],
            peak: Some(2),
        }
    }

    #[test]
    fn the_highest_of_a_long_course_is_drawn_and_told() {
        let mut values = vec![1.0; 100_000];
        values[61_803] = 77.0;
        let mut long = areas(&values);
        long.peak = Some(61_803);
        for room in [Room::Wide, Room::Narrow] {
            let x = Axis::between(0.0, 1e5, 0.0, 700.0);
            let kept = long.kept(&x, COLUMNS[usize::from(room.is_narrow())]);
            assert!(kept.contains(&61_803) && kept.len() <= 4 * 331, "{}", kept.len());
            let drawn = long.draw_in(room).element("", "e");
            assert!(drawn.contains("61,803 events: 78; cache 77; weights 1"), "{room:?}");
            assert!(drawn.len() < 60_000, "{}", drawn.len());
        }
    }

    #[test]
    fn areas_of_nothing_are_an_empty_frame() {
        for values in [&[][..], &[0.0], &[f64::NAN, 1.0], &[1e308, 1e308]] {
            let mut odd = areas(values);
            odd.peak = Some(0);
            let drawn = odd.draw_in(Room::Narrow).element("", "e");
            assert!(!drawn.contains("=\"NaN") && !drawn.contains("=\"inf"), "{drawn}");
        }
    }
}
