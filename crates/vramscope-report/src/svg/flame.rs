//! Stacks as bars below each other: a bar's width is its size, and what it called hangs below it.
//!
//! Without a script it is a picture with titles. The page's script makes it one to look around in: each bar says where it
//! stands in the whole, so that a part of it can be spread over all the width.

use super::{Anchor, Drawing, Legend, Room, Svg};
use crate::unit::Unit;

/// A frame, behind the one around it.
#[derive(Debug, Clone)]
pub(crate) struct FlameFrame {
    pub(crate) name: String,
    /// What stands in its bar.
    pub(crate) label: String,
    /// The frame around it, as a place in the list.
    pub(crate) parent: Option<usize>,
    /// Its size, with what is within it.
    pub(crate) size: f64,
    pub(crate) colour: usize,
}

/// Frames, with the size of all there is.
#[derive(Debug, Clone)]
pub(crate) struct Flame {
    pub(crate) frames: Vec<FlameFrame>,
    pub(crate) size: f64,
    /// Of what sizes are.
    pub(crate) unit: Unit,
    pub(crate) legend: Vec<(usize, String)>,
}

const ROW: f64 = 18.0;
/// Frames below this width are no more than a scratch: they are not seen until something around them is spread.
const LEAST: f64 = 0.8;
/// Below this width they are left out.
const LEAST_KEPT: f64 = LEAST / 16.0;
/// About the width of a character.
const CHARACTER: f64 = 7.2;
/// Rows at most: what lies deeper is in the table.
pub(crate) const MOST_ROWS: usize = 48;
/// A frame with so much of the size of the one around it is all of it.
const ALL: f64 = 0.99;
/// The whole, in the numbers in which bars say where they stand.
const WHOLE: f64 = 1e7;

/// A bar in its place: from where, how wide, in which row, of which frame; the first one is the whole.
type Bar = (f64, f64, usize, Option<usize>);

impl Flame {
    /// The outermost frames, each the only one in the one before it, that all have nearly the whole: they say nothing and
    /// would push the picture down.
    pub(crate) fn trunk(&self) -> Vec<usize> {
        let mut trunk = Vec::new();
        let mut within = None;
        while let Some(heaviest) =
            self.within(within).max_by(|a, b| self.frames[*a].size.total_cmp(&self.frames[*b].size))
        {
            // The last one of the trunk has to have something below it to be left out.
            if self.frames[heaviest].size < self.size * ALL || self.within(Some(heaviest)).next().is_none() {
                break;
            }
            trunk.push(heaviest);
            within = Some(heaviest);
        }
        trunk
    }

    fn within(&self, parent: Option<usize>) -> impl Iterator<Item = usize> + '_ {
        (0..self.frames.len()).filter(move |place| self.frames[*place].parent == parent)
    }

    pub(crate) fn draw(&self) -> Drawing {
        Drawing::of(|room| self.draw_in(room)).flame(self.unit.scaled(self.size), self.unit.axis())
    }

    /// How much of the whole a size is. The quotient comes first: a width by the least of numbers is infinite.
    fn share(&self, size: f64) -> f64 {
        let share = size / self.size;
        // A clamped NaN stays one.
        if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) }
    }

    /// The bars, in units of the picture.
    fn bars(&self, width: f64, trunk: &[usize]) -> Vec<Bar> {
        let mut bars = vec![(0.0, width, 0, None)];
        // Where the next frame within each frame begins.
        let mut next: Vec<Option<(f64, usize)>> = vec![None; self.frames.len()];
        let last = trunk.last().copied();
        let mut outermost = 0.0;
        for (place, frame) in self.frames.iter().enumerate() {
            let above = if frame.parent == last {
                Some((&mut outermost, 1))
            } else {
                frame.parent.and_then(|parent| next.get_mut(parent)?.as_mut().map(|(x, row)| (x, *row + 1)))
            };
            let Some((x, row)) = above else { continue };
            let (from, width) = (*x, width * self.share(frame.size));
            *x += width;
            if row < MOST_ROWS && width >= LEAST_KEPT {
                next[place] = Some((from, row));
                bars.push((from, width, row, Some(place)));
            }
        }
        bars
    }

    fn draw_in(&self, room: Room) -> Svg {
        let is_drawn = |colour: usize| self.frames.iter().any(|frame| frame.colour == colour);
        let used = self.legend.iter().filter(|(colour, _)| is_drawn(*colour));
        let legend = Legend::over(used.map(|(colour, name)| (Some(*colour), name)), 0.0, room.width());
        let top = 4.0 + legend.height();
        let trunk = self.trunk();
        let bars = self.bars(room.width(), &trunk);
        // Rows of what is not seen take no room before it is.
        let rows = bars.iter().filter(|bar| bar.1 >= LEAST).map(|bar| bar.2 + 1).max().unwrap_or(1);
        #[expect(clippy::cast_precision_loss, reason = "a number of rows")]
        let mut svg = Svg::new(room.width(), top + ROW * rows as f64 + 4.0);
        legend.draw(&mut svg, 0.0);
        for (from, width, row, place) in bars.into_iter().filter(|bar| bar.2 < rows) {
            #[expect(clippy::cast_precision_loss, reason = "a number of rows")]
            let y = top + ROW * row as f64;
            let frame = place.map(|place| &self.frames[place]);
            let name = frame.map_or_else(|| trunk_name(trunk.len()), |frame| frame.name.clone());
            let size = frame.map_or(self.size, |frame| frame.size);
            let words = format!("{name}: {}, {}", self.unit.show(size), Unit::Share.show(size / self.size));
            let label = frame.map_or(&name, |frame| &frame.label);
            svg.open_bar((from / room.width() * WHOLE, width / room.width() * WHOLE), row, label, width < LEAST);
            svg.rect_with(
                from,
                y,
                width,
                ROW - 1.0,
                &format!("f{} pale", frame.map_or(9, |frame| frame.colour)),
                &words,
            );
            let shown = fitting(label, width);
            if !shown.is_empty() {
                svg.text((from + 4.0, y + 13.0), Anchor::Start, "on", &shown);
            }
            svg.close_bar();
        }
        svg
    }
}

fn trunk_name(frames: usize) -> String {
    match frames {
        0 => "all".to_owned(),
        1 => "all, in one outer frame".to_owned(),
        _ => format!("all, in {frames} outer frames"),
    }
}

/// As much of a name as has room; nothing where that is no more than a few letters.
fn fitting(name: &str, width: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the picture's width")]
    let room = ((width - 8.0) / CHARACTER).max(0.0) as usize;
    if name.chars().count() <= room {
        name.to_owned()
    } else if room >= 5 {
        name.chars().take(room - 1).chain(['…']).collect()
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(name: &str, parent: Option<usize>, size: f64) -> FlameFrame {
        FlameFrame { name: name.into(), label: name.into(), parent, size, colour: 1 }
    }

    fn flame(frames: Vec<FlameFrame>, size: f64) -> Flame {
        Flame { frames, size, unit: Unit::Time, legend: Vec::new() }
    }

    #[test]
    fn frames_without_a_choice_are_put_together() {
        let frames = vec![
            frame("main", None, 100.0),
            frame("run", Some(0), 100.0),
            frame("load", Some(1), 40.0),
            frame("serve", Some(1), 60.0),
        ];
        let flame = flame(frames, 100.0);
        assert_eq!(flame.trunk(), [0, 1]);
        let text = flame.draw_in(Room::Wide).element("", "e");
        assert!(
            text.contains("all, in 2 outer frames") && text.contains("serve: 60 ns, 60 %") && !text.contains(">run")
        );
    }

    #[test]
    fn sizes_of_a_damaged_document_are_no_place_outside_the_numbers() {
        for (whole, size) in [(5e-324, 5e-324), (5e-324, 1e300), (0.0, 0.0), (0.0, 1.0), (1.0, -1.0)] {
            let frames = vec![frame("main", None, size), frame("load", Some(0), size), frame("serve", Some(0), size)];
            let text = flame(frames, whole).draw_in(Room::Wide).element("", "e");
            assert!(!text.contains("inf\"") && !text.contains("NaN"), "{whole:e} {size:e}: {text}");
        }
    }

    #[test]
    fn a_stack_of_a_thousand_frames_is_no_tower() {
        let frames = (0..1000_usize).map(|at| frame("f", at.checked_sub(1), 1000.0)).collect();
        // Below the trunk's limit, so that none of them is put together.
        let flame = flame(frames, 1100.0);
        assert!(flame.draw_in(Room::Wide).element("", "e").matches("<rect").count() <= MOST_ROWS + 1);
        assert!(!self::flame(Vec::new(), 0.0).draw_in(Room::Wide).element("", "e").contains("NaN"));
    }

    #[test]
    fn what_is_too_narrow_is_there_for_who_looks_closer_and_takes_no_room() {
        let frames = vec![
            frame("large", None, 900.0),
            frame("small", None, 0.5),
            frame("deep", Some(1), 0.5),
            frame("dust", None, 0.01),
        ];
        let text = flame(frames, 1000.0).draw_in(Room::Wide).element("", "e");
        assert!(text.contains("data-row=\"1\" data-label=\"small\" class=\"gone\""), "{text}");
        assert!(!text.contains("deep") && !text.contains("dust"), "{text}");
    }
}
