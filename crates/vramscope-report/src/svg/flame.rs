//! Stacks as bars below each other: a bar's width is its time, and what it called hangs below it.

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
    /// Its time, with what is within it.
    pub(crate) time: f64,
    pub(crate) colour: usize,
}

/// Frames, with all the time that there is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flame {
    pub(crate) frames: Vec<FlameFrame>,
    pub(crate) time: f64,
    pub(crate) legend: Vec<(usize, &'static str)>,
}

const ROW: f64 = 18.0;
/// Frames below this width are no more than a scratch.
const LEAST: f64 = 0.8;
/// About the width of a character.
const CHARACTER: f64 = 7.2;
/// Rows at most: what lies deeper is in the table.
pub(crate) const MOST_ROWS: usize = 48;
/// A frame with so much of the time of the one around it is all of it.
const ALL: f64 = 0.99;

impl Flame {
    /// The outermost frames, each the only one in the one before it, that all have nearly the whole time: they say
    /// nothing and would push the picture down.
    pub(crate) fn trunk(&self) -> Vec<usize> {
        let mut trunk = Vec::new();
        let mut within = None;
        while let Some(heaviest) =
            self.within(within).max_by(|a, b| self.frames[*a].time.total_cmp(&self.frames[*b].time))
        {
            // The last one of the trunk has to have something below it to be left out.
            if self.frames[heaviest].time < self.time * ALL || self.within(Some(heaviest)).next().is_none() {
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
        Drawing::of(|room| self.draw_in(room))
    }

    fn draw_in(&self, room: Room) -> Svg {
        let is_drawn = |colour: usize| self.frames.iter().any(|frame| frame.colour == colour);
        let used = self.legend.iter().filter(|(colour, _)| is_drawn(*colour));
        let legend = Legend::over(used.map(|(colour, name)| (Some(*colour), *name)), 0.0, room.width());
        let top = 4.0 + legend.height();
        let trunk = self.trunk();
        let mut rows = 1;
        let mut bars = vec![(0.0, room.width(), 0, None)];
        // Where the next frame within each frame begins.
        let mut next: Vec<Option<(f64, usize)>> = vec![None; self.frames.len()];
        let scale = room.width() / self.time.max(f64::MIN_POSITIVE);
        let last = trunk.last().copied();
        let mut outermost = 0.0;
        for (place, frame) in self.frames.iter().enumerate() {
            let above = if frame.parent == last {
                Some((&mut outermost, 1))
            } else {
                frame.parent.and_then(|parent| next.get_mut(parent)?.as_mut().map(|(x, row)| (x, *row + 1)))
            };
            let Some((x, row)) = above else { continue };
            let (from, width) = (*x, frame.time * scale);
            *x += width;
            if row < MOST_ROWS && width >= LEAST {
                next[place] = Some((from, row));
                bars.push((from, width, row, Some(place)));
                rows = rows.max(row + 1);
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a number of rows")]
        let mut svg = Svg::new(room.width(), top + ROW * rows as f64 + 4.0);
        legend.draw(&mut svg, 0.0);
        for (from, width, row, place) in bars {
            #[expect(clippy::cast_precision_loss, reason = "a number of rows")]
            let y = top + ROW * row as f64;
            let frame = place.map(|place| &self.frames[place]);
            let name = frame.map_or_else(|| trunk_name(trunk.len()), |frame| frame.name.clone());
            let time = frame.map_or(self.time, |frame| frame.time);
            let words = format!("{name}: {}, {}", Unit::Time.show(time), Unit::Share.show(time / self.time));
            svg.rect_with(
                from,
                y,
                width,
                ROW - 1.0,
                &format!("f{} pale", frame.map_or(9, |frame| frame.colour)),
                &words,
            );
            let shown = fitting(frame.map_or(&name, |frame| &frame.label), width);
            if !shown.is_empty() {
                svg.text((from + 4.0, y + 13.0), Anchor::Start, "on", &shown);
            }
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

    fn frame(name: &str, parent: Option<usize>, time: f64) -> FlameFrame {
        FlameFrame { name: name.into(), label: name.into(), parent, time, colour: 1 }
    }

    #[test]
    fn frames_without_a_choice_are_put_together() {
        let frames = vec![
            frame("main", None, 100.0),
            frame("run", Some(0), 100.0),
            frame("load", Some(1), 40.0),
            frame("serve", Some(1), 60.0),
        ];
        let flame = Flame { frames, time: 100.0, legend: Vec::new() };
        assert_eq!(flame.trunk(), [0, 1]);
        let text = flame.draw_in(Room::Wide).element("", "e");
        assert!(
            text.contains("all, in 2 outer frames") && text.contains("serve: 60 ns, 60 %") && !text.contains(">run")
        );
    }

    #[test]
    fn a_stack_of_a_thousand_frames_is_no_tower() {
        let frames = (0..1000_usize).map(|at| frame("f", at.checked_sub(1), 1000.0)).collect();
        // Below the trunk's limit, so that none of them is put together.
        let flame = Flame { frames, time: 1100.0, legend: Vec::new() };
        assert!(flame.draw_in(Room::Wide).element("", "e").matches("<rect").count() <= MOST_ROWS + 1);
        assert!(!Flame::default().draw_in(Room::Wide).element("", "e").contains("NaN"));
    }
}
