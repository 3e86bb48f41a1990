//! Pictures as SVG: they take their colours from the page, print as they are, and need no script.

mod areas;
mod axis;
mod bars;
mod courses;
mod flame;
mod heat;
mod lanes;
mod legend;
mod rows;
mod shares;
mod stacks;
mod xy;

use std::fmt::Write as _;

pub(crate) use areas::{Area, Areas};
pub(crate) use axis::Axis;
pub(crate) use bars::{Bar, bars};
pub(crate) use courses::{Course, courses};
pub(crate) use flame::{Flame, FlameFrame};
pub(crate) use heat::{Heat, HeatCell};
pub(crate) use lanes::{Lane, LaneMark, Lanes};
pub(crate) use legend::Legend;
pub(crate) use rows::axis_words;
pub(crate) use shares::{ShareRow, shares};
pub(crate) use stacks::{Stack, stacks};
pub(crate) use xy::{Mark, Plot, Series, Shape};

use crate::html::escaped;

/// A picture under construction. Lengths are in its own units; about a pixel each on a wide screen.
#[derive(Debug, Clone)]
pub(crate) struct Svg {
    width: f64,
    height: f64,
    body: String,
}

/// How much room a picture has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// A window or a sheet of paper: names stand beside what they name.
    Wide,
    /// A telephone: names stand above what they name.
    Narrow,
}

impl Room {
    pub(crate) fn width(self) -> f64 {
        match self {
            Self::Wide => 800.0,
            Self::Narrow => 360.0,
        }
    }

    pub(crate) fn is_narrow(self) -> bool {
        self == Self::Narrow
    }
}

/// A picture as it is drawn where there is much room, and where there is little: the page's style shows one of them.
#[derive(Debug, Clone)]
pub(crate) struct Drawing {
    wide: Svg,
    narrow: Svg,
    /// Of a flame graph: how much all of it is, and in which unit.
    flame: Option<(f64, &'static str)>,
}

impl Drawing {
    /// What a function draws in as much room as it is told.
    pub(crate) fn of(draw: impl Fn(Room) -> Svg) -> Self {
        Self { wide: draw(Room::Wide), narrow: draw(Room::Narrow), flame: None }
    }

    /// The same as a flame graph, of so much in this unit: the page's script makes it one to look around in.
    fn flame(mut self, whole: f64, unit: &'static str) -> Self {
        self.flame = Some((whole, unit));
        self
    }

    /// Of a flame graph: how much all of it is, and in which unit.
    pub(crate) fn as_flame(&self) -> Option<(f64, &'static str)> {
        self.flame
    }

    /// Both elements, named by the text of this identity.
    pub(crate) fn elements(&self, named_by: &str) -> String {
        format!("{}{}", self.wide.element("wide", named_by), self.narrow.element("narrow", named_by))
    }
}

/// Where a text stands from its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    pub(crate) fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new() }
    }

    pub(crate) fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, class: &str) {
        let (width, height) = (short(width.max(0.0)), short(height.max(0.0)));
        let _ = write!(
            self.body,
            "<rect x=\"{}\" y=\"{}\" width=\"{width}\" height=\"{height}\" class=\"{class}\"/>",
            short(x),
            short(y)
        );
    }

    /// A rectangle that says something when it is pointed at.
    pub(crate) fn rect_with(&mut self, x: f64, y: f64, width: f64, height: f64, class: &str, words: &str) {
        self.rect(x, y, width, height, class);
        let end = self.body.len() - 2;
        self.body.truncate(end);
        let _ = write!(self.body, "><title>{}</title></rect>", escaped(words));
    }

    /// Begins a bar of a flame graph: where it stands in the whole, in which row, and what is written in it.
    fn open_bar(&mut self, (from, width): (f64, f64), row: usize, label: &str, hidden: bool) {
        let hidden = if hidden { " class=\"gone\"" } else { "" };
        let label = escaped(&without_towers(label));
        let _ = write!(
            self.body,
            "<g data-at=\"{from:.0}\" data-width=\"{width:.0}\" data-row=\"{row}\" data-label=\"{label}\"{hidden}>"
        );
    }

    fn close_bar(&mut self) {
        self.body.push_str("</g>");
    }

    pub(crate) fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let _ = write!(
            self.body,
            "<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" class=\"{class}\"/>",
            short(from.0),
            short(from.1),
            short(to.0),
            short(to.1)
        );
    }

    /// A line through points.
    pub(crate) fn path(&mut self, points: &[(f64, f64)], class: &str) {
        self.outline(points, "", class);
    }

    /// A surface within points.
    pub(crate) fn area(&mut self, points: &[(f64, f64)], class: &str) {
        self.outline(points, "Z", class);
    }

    /// Steps to the right through points, with what is below them down to `bottom` where that is given.
    fn steps(&mut self, points: &[(f64, f64)], bottom: Option<f64>, class: &str) {
        let (Some(first), Some(last)) = (points.first(), points.last()) else { return };
        let _ = write!(self.body, "<path d=\"M{} {}", short(first.0), short(first.1));
        let (mut at, mut level) = (short(first.0), short(first.1));
        for (x, y) in points.iter().skip(1) {
            let (x, y) = (short(*x), short(*y));
            if y != level {
                if x != at {
                    let _ = write!(self.body, "H{x}");
                }
                let _ = write!(self.body, "V{y}");
                (at, level) = (x, y);
            }
        }
        let _ = write!(self.body, "H{}", short(last.0));
        if let Some(bottom) = bottom {
            let _ = write!(self.body, "V{}H{}Z", short(bottom), short(first.0));
        }
        let _ = write!(self.body, "\" class=\"{class}\"/>");
    }

    fn outline(&mut self, points: &[(f64, f64)], end: &str, class: &str) {
        if points.is_empty() {
            return;
        }
        self.body.push_str("<path d=\"");
        for (place, (x, y)) in points.iter().enumerate() {
            let _ = write!(self.body, "{}{} {}", if place == 0 { 'M' } else { 'L' }, short(*x), short(*y));
        }
        let _ = write!(self.body, "{end}\" class=\"{class}\"/>");
    }

    pub(crate) fn dot(&mut self, (x, y): (f64, f64), radius: f64, class: &str, words: &str) {
        let _ = write!(
            self.body,
            "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" class=\"{class}\"><title>{}</title></circle>",
            short(x),
            short(y),
            short(radius),
            escaped(words)
        );
    }

    pub(crate) fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let _ = write!(
            self.body,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\" class=\"{class}\">{}</text>",
            short(x),
            short(y),
            escaped(&without_towers(text))
        );
    }

    /// The element, named by the text of this identity.
    pub(crate) fn element(&self, class: &str, named_by: &str) -> String {
        format!(
            "<svg class=\"{class}\" viewBox=\"0 0 {} {}\" role=\"img\" aria-labelledby=\"{named_by}\">{}</svg>",
            short(self.width),
            short(self.height),
            self.body
        )
    }
}

/// A text of which no letter carries more than a few marks: nothing would keep a tower of them within its line.
fn without_towers(text: &str) -> String {
    const MOST: usize = 3;
    let is_mark = |c: char| {
        matches!(c, '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
            | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
    };
    let mut marks = 0;
    let kept = |c: &char| {
        marks = if is_mark(*c) { marks + 1 } else { 0 };
        marks <= MOST
    };
    text.chars().filter(kept).collect()
}

/// About how wide a text of 12 pixels is: rather more than less, whatever letters it has.
pub(crate) fn width_of(text: &str) -> f64 {
    let letter = |c: char| match c {
        'i' | 'j' | 'l' | 't' | 'f' | 'r' | '.' | ',' | ':' | ';' | '|' | '\'' | ' ' => 4.2,
        'm' | 'w' | 'M' | 'W' | '@' | '%' => 12.0,
        '<' | '>' | '=' | '+' | '~' | '#' | '&' => 10.4,
        'A'..='Z' => 9.6,
        c if c.is_ascii() => 7.7,
        _ => 13.0,
    };
    text.chars().map(letter).sum()
}

/// As much of a text as there is room for, with `…` where some is left out.
pub(crate) fn fitted(text: &str, room: f64) -> String {
    if text.len() < 4096 && width_of(text) <= room {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut width = 12.0;
    for c in text.chars() {
        width += width_of(c.encode_utf8(&mut [0; 4]));
        if width > room {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

/// A coordinate with at most one decimal: finer than a pixel, and small.
pub(crate) fn short(value: f64) -> String {
    let text = format!("{:.1}", if value.is_finite() { value } else { 0.0 });
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_carries_a_few_marks_and_no_tower() {
        assert_eq!(without_towers("na\u{308}me"), "na\u{308}me");
        let shown = without_towers(&format!("a{}b", "\u{301}".repeat(50)));
        assert!(shown.starts_with('a') && shown.ends_with('b') && shown.chars().count() < 8, "{shown}");
    }

    #[test]
    fn a_text_that_is_cut_has_no_more_width_than_there_is_room() {
        for text in ["W".repeat(60), "i".repeat(200), "漢字".repeat(40), "a name of usual length".to_owned()] {
            for room in [30.0, 100.0, 250.0] {
                let shown = fitted(&text, room);
                assert!(width_of(&shown) <= room + 1.0, "{shown}");
                assert!(shown == text || shown.ends_with('…'));
            }
        }
    }
}
