//! Lines, steps and points over two axes.

use std::cmp::Ordering;

use super::axis::Axis;
use super::rows::axis_words;
use super::{Anchor, Drawing, Legend, Room, Svg, width_of};
use crate::unit::digits;

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Points that are joined.
    Line,
    /// Steps to the right, as distributions have.
    Step,
    /// A thin line without points: a fit, or one of many.
    Curve,
    Points,
}

/// Points of one colour (`0` to `9`).
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
    /// How far each point may be off, below and above; as many as points, or none.
    pub(crate) spread: Vec<(f64, f64)>,
    pub(crate) shape: Shape,
    pub(crate) colour: usize,
}

/// A rule across the picture with words beside it.
#[derive(Debug, Clone)]
pub(crate) enum Mark {
    /// At a value of the horizontal axis.
    X(f64, String),
    /// At a value of the vertical axis.
    Y(f64, String),
    /// Words beside a point of the series.
    Point(f64, f64, String),
}

/// Lines over two axes. Values are in the scale of the axes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plot {
    pub(crate) x: String,
    pub(crate) y: String,
    pub(crate) log_x: bool,
    pub(crate) log_y: bool,
    pub(crate) series: Vec<Series>,
    pub(crate) marks: Vec<Mark>,
}

/// A line of words.
const LINE: f64 = 14.0;
/// Below it are what is beside the horizontal axis and its name.
const BELOW: f64 = 42.0;

/// Where the lines are drawn, between all that is said around them.
#[derive(Debug, Clone, Copy)]
struct Frame {
    room: Room,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Plot {
    pub(crate) fn draw(&self) -> Drawing {
        Drawing::of(|room| self.draw_in(room))
    }

    fn draw_in(&self, room: Room) -> Svg {
        let (left, right, height) = match room {
            Room::Wide => (70.0, 780.0, 260.0),
            Room::Narrow => (52.0, 348.0, 220.0),
        };
        let x = self.x_axis(left, right);
        let flags = self.flags(&x);
        let rows = flags.iter().map(|flag| flag.row + 1).max().unwrap_or(0);
        // The legend stands beside the name of the vertical axis where both find room there.
        let name = self.y_axis(0.0, 0.0).named(&self.y);
        let beside = self.legend(width_of(&name) + 28.0, right);
        let (legend, at) = if beside.is_one_line() { (beside, 2.0) } else { (self.legend(8.0, right), LINE + 6.0) };
        let head = if at > 2.0 { at + legend.height() } else { 22.0 };
        let top = head + float(rows) * LINE + 8.0;
        let frame = Frame { room, left, right, top, bottom: top + height };
        let y = self.y_axis(frame.bottom, frame.top);
        let mut svg = Svg::new(room.width(), frame.bottom + BELOW);
        svg.text((4.0, 14.0), Anchor::Start, "soft", &name);
        legend.draw(&mut svg, at);
        self.frame(&mut svg, &x, &y, frame);
        for flag in &flags {
            let base = frame.top - 5.0 - float(flag.row) * LINE;
            svg.line((flag.at, base + 3.0), (flag.at, frame.bottom), "rule");
            svg.text((flag.from, base), Anchor::Start, "soft", flag.words);
        }
        for mark in &self.marks {
            if let Mark::Y(at, words) = mark {
                self.level(&mut svg, (*at, words), &x, &y, frame);
            }
        }
        for series in &self.series {
            draw_series(&mut svg, series, &x, &y, (&self.x, &self.y));
        }
        self.words_of_points(&mut svg, &x, &y, frame);
        svg
    }

    fn points(&self) -> impl Iterator<Item = &(f64, f64)> {
        self.series.iter().flat_map(|series| series.points.iter())
    }

    /// The horizontal axis. Levels that are written beside it need no round ends.
    fn x_axis(&self, left: f64, right: f64) -> Axis {
        let marks = self.marks.iter().filter_map(|mark| if let Mark::X(at, _) = mark { Some(*at) } else { None });
        let values: Vec<f64> = self.points().map(|point| point.0).chain(marks).filter(|at| at.is_finite()).collect();
        let axis = Axis::over(values.iter().copied(), self.log_x, left, right);
        if axis.is_log() && self.levels().is_some() {
            let ends =
                values.iter().fold((f64::INFINITY, 0.0), |(low, high), at| (f64::min(low, *at), f64::max(high, *at)));
            return axis.exactly(ends.0, ends.1);
        }
        axis
    }

    fn y_axis(&self, bottom: f64, top: f64) -> Axis {
        let spreads = self.series.iter().flat_map(|series| series.spread.iter().flat_map(|(low, high)| [*low, *high]));
        let marks = self.marks.iter().filter_map(|mark| if let Mark::Y(at, _) = mark { Some(*at) } else { None });
        Axis::over(self.points().map(|point| point.1).chain(spreads).chain(marks), self.log_y, bottom, top)
    }

    fn frame(&self, svg: &mut Svg, x: &Axis, y: &Axis, frame: Frame) {
        let ticks = self.levels().filter(|_| x.is_log()).unwrap_or_else(|| x.ticks());
        let places: Vec<f64> = ticks.iter().map(|tick| x.place(*tick)).collect();
        for at in places.iter().filter(|at| (frame.left - 0.1..=frame.right + 0.1).contains(*at)) {
            svg.line((*at, frame.top), (*at, frame.bottom), "axis");
        }
        for (at, anchor, words) in axis_words(x, &ticks, "", frame.room) {
            svg.text((at, frame.bottom + 16.0), anchor, "soft", &words);
        }
        for tick in y.ticks() {
            svg.line((frame.left, y.place(tick)), (frame.right, y.place(tick)), "axis");
            svg.text((frame.left - 6.0, y.place(tick) + 4.0), Anchor::End, "soft", &digits(tick));
        }
        svg.text((frame.right, frame.bottom + 34.0), Anchor::End, "soft", &x.named(&self.x));
    }

    /// Where levels go in powers, the few that were measured say more than round figures between them.
    fn levels(&self) -> Option<Vec<f64>> {
        const FEW: usize = 12;
        let drawn = self.series.iter().filter(|series| series.shape != Shape::Step);
        let mut all: Vec<f64> =
            drawn.flat_map(|series| series.points.iter().map(|point| point.0)).filter(|at| at.is_finite()).collect();
        all.sort_by(f64::total_cmp);
        all.dedup();
        let are_levels = self.log_x && (2..=FEW).contains(&all.len()) && all.iter().all(|value| value.fract() == 0.0);
        are_levels.then_some(all)
    }

    /// Words at the heads of rules, above all that is drawn: in rows, so that no two of them lie over each other and no
    /// rule goes through the words of another where that can be.
    fn flags(&self, x: &Axis) -> Vec<Flag<'_>> {
        let (left, _) = x.span();
        let mut marks: Vec<(f64, &str)> = Vec::new();
        for mark in &self.marks {
            if let Mark::X(at, words) = mark {
                marks.push((x.place(*at), words));
            }
        }
        marks.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut flags: Vec<Flag<'_>> = Vec::new();
        for (at, words) in marks {
            let width = width_of(words);
            // It ends at its rule: the next rule is to the right of it.
            let from = (at - width + 3.0).max(left - 40.0);
            let flag = Flag { at, from, to: from + width, row: 0, words };
            let row = (0..=flags.len()).find(|row| flags.iter().all(|other| flag.is_clear_of(*row, other)));
            flags.push(Flag { row: row.unwrap_or(flags.len()), ..flag });
        }
        flags
    }

    /// A rule at a height, with its words at the end at which no series passes.
    fn level(&self, svg: &mut Svg, (at, words): (f64, &str), x: &Axis, y: &Axis, frame: Frame) {
        let height = y.place(at);
        svg.line((frame.left, height), (frame.right, height), "rule");
        let width = width_of(words) + 10.0;
        let is_near = |point: &(f64, f64), from: f64, to: f64| {
            (from..=to).contains(&x.place(point.0)) && (y.place(point.1) - height + 8.0).abs() < 16.0
        };
        let is_taken = |from: f64, to: f64| self.points().any(|point| is_near(point, from, to));
        let (end, anchor) = if is_taken(frame.right - width, frame.right) && !is_taken(frame.left, frame.left + width) {
            (frame.left + 4.0, Anchor::Start)
        } else {
            (frame.right - 2.0, Anchor::End)
        };
        svg.text((end, height - 4.0), anchor, "soft", words);
    }

    /// Series of one name and colour have one entry; one that has no point is not there.
    fn legend(&self, left: f64, right: f64) -> Legend {
        let mut entries: Vec<(Option<usize>, String)> = Vec::new();
        for series in self.series.iter().filter(|series| !series.points.is_empty()) {
            let entry = (Some(series.colour), short_name(&series.name));
            if !entries.contains(&entry) {
                entries.push(entry);
            }
        }
        if entries.len() < 2 {
            entries.clear();
        }
        Legend::over(entries, left, right)
    }

    /// Words beside points, but for those that would lie over others.
    fn words_of_points(&self, svg: &mut Svg, x: &Axis, y: &Axis, frame: Frame) {
        let mut taken: Vec<(f64, f64, f64)> = Vec::new();
        for mark in &self.marks {
            let Mark::Point(at_x, at_y, words) = mark else { continue };
            let width = width_of(words);
            // A front rises to the right: right below its points is free of it.
            let (px, py) = (x.place(*at_x), y.place(*at_y));
            let py = if py + 16.0 < frame.bottom { py + 15.0 } else { py - 8.0 };
            let left = if px + 7.0 + width > frame.room.width() { px - 7.0 - width } else { px + 7.0 };
            let free = |(other, other_width, row): &(f64, f64, f64)| {
                left + width < *other || other + other_width < left || (row - py).abs() > 13.0
            };
            // Words over another point are read by nobody, and are taken for its name.
            let over_point = |(x_of, y_of): &(f64, f64)| {
                let (dot_x, dot_y) = (x.place(*x_of), y.place(*y_of));
                (left - 4.0..=left + width + 4.0).contains(&dot_x) && (py - 14.0..=py + 6.0).contains(&dot_y)
            };
            let points = || self.series.iter().flat_map(|series| series.points.iter());
            if taken.iter().all(free) && !points().any(over_point) {
                svg.text((left, py), Anchor::Start, "soft", words);
                taken.push((left, width, py));
            }
        }
    }
}

/// Words above a rule: where it stands, from where to where they go, and in which row from below.
#[derive(Debug, Clone, Copy)]
struct Flag<'p> {
    at: f64,
    from: f64,
    to: f64,
    row: usize,
    words: &'p str,
}

impl Flag<'_> {
    /// Whether in this row neither lies over the other: words over words, or the rule of one through the words of the
    /// other.
    fn is_clear_of(&self, row: usize, other: &Self) -> bool {
        const SPACE: f64 = 2.0;
        let within = |at: f64, flag: &Self| (flag.from - SPACE..=flag.to + SPACE).contains(&at);
        match row.cmp(&other.row) {
            Ordering::Equal => self.from > other.to + SPACE * 4.0 || self.to + SPACE * 4.0 < other.from,
            Ordering::Greater => !within(self.at, other),
            Ordering::Less => !within(other.at, self),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a few rows")]
fn float(count: usize) -> f64 {
    count as f64
}

/// A name that fits a legend.
fn short_name(name: &str) -> String {
    const LONGEST: usize = 34;
    let mut short: String = name.chars().take(LONGEST).collect();
    if name.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}

fn draw_series(svg: &mut Svg, series: &Series, x: &Axis, y: &Axis, names: (&str, &str)) {
    let places: Vec<(f64, f64)> = series.points.iter().map(|point| (x.place(point.0), y.place(point.1))).collect();
    let colour = series.colour % 10;
    match series.shape {
        Shape::Line => svg.path(&places, &format!("line l{colour}")),
        Shape::Curve => svg.path(&places, &format!("thin l{colour}")),
        Shape::Step => {
            let mut steps = Vec::with_capacity(places.len() * 2);
            for (place, point) in places.iter().enumerate() {
                if place > 0 {
                    steps.push((point.0, places[place - 1].1));
                }
                steps.push(*point);
            }
            svg.path(&steps, &format!("line l{colour}"));
        }
        Shape::Points => {}
    }
    for (place, (low, high)) in series.spread.iter().enumerate().take(places.len()) {
        let at = places[place].0;
        svg.line((at, y.place(*low)), (at, y.place(*high)), &format!("thin l{colour}"));
    }
    if matches!(series.shape, Shape::Line | Shape::Points) {
        for (place, point) in places.iter().zip(&series.points) {
            let words = format!("{}: {} {}, {} {}", series.name, digits(point.0), names.0, digits(point.1), names.1);
            svg.dot(*place, 3.5, &format!("f{colour}"), &words);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(points: &[(f64, f64)]) -> Series {
        Series { name: "a".into(), points: points.to_vec(), spread: Vec::new(), shape: Shape::Line, colour: 1 }
    }

    #[test]
    fn words_of_rules_lie_neither_over_each_other_nor_under_another_rule() {
        let mark = |at: f64, words: &str| Mark::X(at, words.to_owned());
        let near =
            vec![mark(8.0, "the knee"), mark(10.0, "keeps the bounds"), mark(11.0, "most"), mark(200.0, "longest")];
        let plot =
            Plot { log_x: true, series: vec![line(&[(1.0, 1.0), (200.0, 5.0)])], marks: near, ..Plot::default() };
        for (left, right) in [(70.0, 780.0), (52.0, 348.0)] {
            let flags = plot.flags(&plot.x_axis(left, right));
            assert_eq!(flags.len(), 4);
            for (place, one) in flags.iter().enumerate() {
                assert!(one.to <= right + 10.0, "{one:?}");
                for other in flags.iter().skip(place + 1) {
                    assert!(other.is_clear_of(other.row, one), "{one:?} {other:?}");
                }
            }
        }
    }

    #[test]
    fn an_axis_in_powers_says_so_and_a_series_without_points_has_no_entry() {
        let series = vec![line(&[(1.0, 2.0), (64.0, 9.0)]), Series { name: "others".into(), ..line(&[]) }];
        let plot = Plot { x: "in flight".into(), y: "ms".into(), log_x: true, series, ..Plot::default() };
        let drawn = plot.draw_in(Room::Wide).element("", "e");
        assert!(drawn.contains("in flight (log scale)") && !drawn.contains("others"), "{drawn}");
        let even = Plot { log_x: false, ..plot }.draw_in(Room::Wide).element("", "e");
        assert!(even.contains(">in flight<"), "{even}");
    }
}
