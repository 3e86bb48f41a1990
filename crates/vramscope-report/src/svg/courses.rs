//! Rows of small lines: how each of several sizes went on.

use super::axis::Axis;
use super::rows::Rows;
use super::{Drawing, Room, Svg};

/// A row: its name, its sizes at each place, what is said behind them, and its colour.
#[derive(Debug, Clone)]
pub(crate) struct Course {
    pub(crate) name: String,
    pub(crate) values: Vec<f64>,
    pub(crate) words: String,
    pub(crate) colour: usize,
    /// What it says when it is pointed at.
    pub(crate) told: String,
}

/// Lines below each other, each from its own lowest to its own highest, over the same places.
pub(crate) fn courses(courses: &[Course], at: &[f64], x: &str) -> Drawing {
    Drawing::of(|room| draw(courses, at, x, room))
}

fn draw(courses: &[Course], at: &[f64], x: &str, room: Room) -> Svg {
    let texts = courses.iter().map(|course| (course.name.as_str(), course.words.as_str()));
    let rows = Rows::new(room, texts, 4.0);
    let ends = (at.first().copied().unwrap_or(0.0), at.last().copied().unwrap_or(1.0));
    let axis = Axis::between(ends.0, ends.1, rows.left + 3.0, rows.right - 3.0);
    let mut svg = rows.frame(&axis, x);
    for (row, course) in courses.iter().enumerate() {
        let (top, bottom) = rows.bar(row);
        let finite = || course.values.iter().copied().filter(|value| value.is_finite());
        let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
        if low <= high {
            // A size that stays is a line in the middle.
            let y = if low < high {
                Axis::between(low, high, bottom - 2.0, top + 2.0)
            } else {
                Axis::between(low - 1.0, low + 1.0, bottom - 2.0, top + 2.0)
            };
            let points: Vec<(f64, f64)> = at
                .iter()
                .zip(&course.values)
                .filter(|(_, value)| value.is_finite())
                .map(|(at, value)| (axis.place(*at), y.place(*value)))
                .collect();
            svg.path(&points, &format!("line l{}", course.colour % 10));
            if let Some(last) = points.last() {
                svg.dot(*last, 2.5, &format!("f{}", course.colour % 10), &course.told);
            }
        }
        svg.rect_with(rows.left, top, rows.right - rows.left, bottom - top, "see", &course.told);
        rows.words(&mut svg, row, rows.right, &course.name, &course.words);
    }
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_course_that_stays_is_a_line_and_one_without_sizes_is_none() {
        let course = |values: &[f64]| Course {
            name: "serve.py:7 remember".into(),
            values: values.to_vec(),
            words: "+3 MiB".into(),
            colour: 5,
            told: "it grows".into(),
        };
        let all = [
            course(&[1.0, 2.0, 4.0]),
            course(&[3.0; 3]),
            course(&[]),
            course(&[f64::NAN; 3]),
            course(&[1e308, -1e308]),
        ];
        for room in [Room::Wide, Room::Narrow] {
            let drawn = draw(&all, &[0.0, 1.0, 2.0], "s", room).element("", "e");
            assert_eq!(drawn.matches("<path").count(), 3, "{drawn}");
            assert!(!drawn.contains("NaN") && !drawn.contains("inf\""), "{drawn}");
        }
    }
}
