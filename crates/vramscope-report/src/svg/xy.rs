//! Lines, steps and points over two axes.

use super::axis::Axis;
use super::{Anchor, Svg};
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

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 780.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 290.0;
const LEGEND_ROW: f64 = 18.0;

impl Plot {
    pub(crate) fn draw(&self) -> Svg {
        let legend = self.legend();
        let rows = legend.last().map_or(0, |(_, row, _)| row + 1);
        #[expect(clippy::cast_precision_loss, reason = "a few rows")]
        let below = if rows > 1 { rows as f64 * LEGEND_ROW } else { 0.0 };
        let mut svg = Svg::new(WIDTH, HEIGHT + below);
        let points = || self.series.iter().flat_map(|series| series.points.iter());
        let spreads = self.series.iter().flat_map(|series| series.spread.iter().flat_map(|(low, high)| [*low, *high]));
        let marks = |vertical: bool| {
            self.marks.iter().filter_map(move |mark| match mark {
                Mark::X(x, _) if !vertical => Some(*x),
                Mark::Y(y, _) if vertical => Some(*y),
                _ => None,
            })
        };
        let x = Axis::over(points().map(|point| point.0).chain(marks(false)), self.log_x, LEFT, RIGHT);
        let y = Axis::over(points().map(|point| point.1).chain(spreads).chain(marks(true)), self.log_y, BOTTOM, TOP);
        self.frame(&mut svg, &x, &y);
        // Words of rules that stand close to each other would lie over each other: each has a row of its own.
        let mut row = TOP + 12.0;
        for mark in &self.marks {
            match mark {
                Mark::X(at, words) => {
                    svg.line((x.place(*at), TOP), (x.place(*at), BOTTOM), "rule");
                    let right = x.place(*at) > (LEFT + RIGHT) / 2.0;
                    let (anchor, off) = if right { (Anchor::End, -4.0) } else { (Anchor::Start, 4.0) };
                    svg.text((x.place(*at) + off, row), anchor, "soft", words);
                    row += 14.0;
                }
                Mark::Y(at, words) => {
                    svg.line((LEFT, y.place(*at)), (RIGHT, y.place(*at)), "rule");
                    // Beside the end of the rule, but for where a series passes there.
                    let near = |point: &&(f64, f64)| {
                        x.place(point.0) > RIGHT - 160.0 && (y.place(point.1) - y.place(*at) + 8.0).abs() < 16.0
                    };
                    let (end, anchor) = if points().any(|point| near(&point)) {
                        (LEFT + 4.0, Anchor::Start)
                    } else {
                        (RIGHT, Anchor::End)
                    };
                    svg.text((end, y.place(*at) - 4.0), anchor, "soft", words);
                }
                Mark::Point(..) => {}
            }
        }
        for series in &self.series {
            draw_series(&mut svg, series, &x, &y, (&self.x, &self.y));
        }
        self.words_of_points(&mut svg, &x, &y);
        for (series, row, at) in legend {
            #[expect(clippy::cast_precision_loss, reason = "a few rows")]
            let top = if rows > 1 { HEIGHT + row as f64 * LEGEND_ROW } else { 6.0 };
            svg.rect(at, top, 12.0, 10.0, &format!("f{}", series.colour % 10));
            svg.text((at + 16.0, top + 9.0), Anchor::Start, "", &short_name(&series.name));
        }
        svg
    }

    fn frame(&self, svg: &mut Svg, x: &Axis, y: &Axis) {
        for tick in self.ticks(x) {
            svg.line((x.place(tick), TOP), (x.place(tick), BOTTOM), "axis");
            svg.text((x.place(tick), BOTTOM + 16.0), Anchor::Middle, "soft", &digits(tick));
        }
        for tick in y.ticks() {
            svg.line((LEFT, y.place(tick)), (RIGHT, y.place(tick)), "axis");
            svg.text((LEFT - 6.0, y.place(tick) + 4.0), Anchor::End, "soft", &digits(tick));
        }
        svg.text((RIGHT, BOTTOM + 34.0), Anchor::End, "soft", &self.x);
        svg.text((4.0, TOP - 14.0), Anchor::Start, "soft", &self.y);
    }

    /// Where levels go in powers, the few that were measured say more than round figures between them.
    fn ticks(&self, x: &Axis) -> Vec<f64> {
        const FEW: usize = 12;
        let mut all: Vec<f64> = self
            .series
            .iter()
            .filter(|series| series.shape != Shape::Step)
            .flat_map(|series| series.points.iter().map(|point| point.0))
            .filter(|value| value.is_finite())
            .collect();
        all.sort_by(f64::total_cmp);
        all.dedup();
        if !self.log_x || all.len() < 2 || all.len() > FEW || all.iter().any(|value| value.fract() != 0.0) {
            return x.ticks();
        }
        let mut last = f64::NEG_INFINITY;
        all.retain(|value| {
            let free = x.place(*value) - last >= 36.0;
            last = if free { x.place(*value) } else { last };
            free
        });
        all
    }

    /// Which names stand in which row from where: beside each other above the picture where they fit, else below it.
    /// Series of one name and colour have one entry.
    fn legend(&self) -> Vec<(&Series, usize, f64)> {
        let mut entries: Vec<&Series> = Vec::new();
        for series in &self.series {
            if !entries.iter().any(|entry| entry.name == series.name && entry.colour == series.colour) {
                entries.push(series);
            }
        }
        if entries.len() < 2 {
            return Vec::new();
        }
        let width = |series: &Series| {
            #[expect(clippy::cast_precision_loss, reason = "a few characters")]
            let letters = short_name(&series.name).chars().count() as f64;
            letters * 6.8 + 34.0
        };
        let fits = LEFT + 110.0 + entries.iter().map(|entry| width(entry)).sum::<f64>() <= RIGHT;
        let start = if fits { LEFT + 110.0 } else { LEFT };
        let (mut at, mut row) = (start, usize::from(!fits));
        let mut placed = Vec::new();
        for entry in entries {
            if at > start && at + width(entry) > RIGHT {
                (at, row) = (start, row + 1);
            }
            placed.push((entry, row, at));
            at += width(entry);
        }
        placed
    }

    /// Words beside points, but for those that would lie over others.
    fn words_of_points(&self, svg: &mut Svg, x: &Axis, y: &Axis) {
        let mut taken: Vec<(f64, f64, f64)> = Vec::new();
        for mark in &self.marks {
            let Mark::Point(at_x, at_y, words) = mark else { continue };
            #[expect(clippy::cast_precision_loss, reason = "a few characters")]
            let width = words.chars().count() as f64 * 6.5;
            // A front rises to the right: right below its points is free of it.
            let (px, py) = (x.place(*at_x), y.place(*at_y));
            let py = if py + 16.0 < BOTTOM { py + 15.0 } else { py - 8.0 };
            let left = if px + width > RIGHT { px - 7.0 - width } else { px + 7.0 };
            let free = |(other, other_width, row): &(f64, f64, f64)| {
                left + width < *other || other + other_width < left || (row - py).abs() > 13.0
            };
            if taken.iter().all(free) {
                svg.text((left, py), Anchor::Start, "soft", words);
                taken.push((left, width, py));
            }
        }
    }
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
