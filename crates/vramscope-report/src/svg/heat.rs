//! A grid of figures, each on a ground that is the stronger the larger the figure is.

use std::ops::Range;

use super::{Anchor, Drawing, Room, Svg, fitted, width_of};

/// A figure in the grid: how much, and how it is written.
#[derive(Debug, Clone)]
pub(crate) struct HeatCell {
    pub(crate) value: f64,
    pub(crate) text: String,
}

/// A grid over two settings. The rows stand from top to bottom.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heat {
    /// What the columns are.
    pub(crate) x: String,
    /// What the rows are.
    pub(crate) y: String,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<String>,
    /// A list for each row; `None` where nobody knows.
    pub(crate) cells: Vec<Vec<Option<HeatCell>>>,
}

const TOP: f64 = 40.0;
const ROW: f64 = 32.0;
/// Wider cells look like a table with gaps.
const WIDEST: f64 = 120.0;
/// Names of rows have at most this room.
const MOST_OF_NAMES: f64 = 130.0;
/// What stands left and right of a text in its cell.
const AROUND: f64 = 3.0;
/// In more parts than this a grid is not drawn: its figures are in its table.
const MOST_PARTS: usize = 6;
/// From the least to the most in ten steps: `h0` to `h9`.
const STEPS: f64 = 9.0;

impl Heat {
    pub(crate) fn draw(&self) -> Drawing {
        Drawing::of(|room| self.draw_in(room))
    }

    /// Where its columns have no room beside each other, the grid is drawn in parts below each other.
    fn draw_in(&self, room: Room) -> Svg {
        let names = self.rows.iter().map(|name| width_of(name)).fold(0.0, f64::max);
        let left = (names + 18.0).max(width_of(&self.y) + 8.0).min(MOST_OF_NAMES);
        let texts = self.columns.iter().chain(self.cells.iter().flatten().flatten().map(|cell| &cell.text));
        let widest = texts.map(|text| width_of(text)).fold(0.0, f64::max) + AROUND * 2.0;
        let all = room.width() - left - 6.0;
        let columns = self.columns.len().max(1);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few columns of a picture")]
        let fitting = ((all / widest.max(1.0)) as usize).clamp(columns.div_ceil(MOST_PARTS), columns);
        let parts = columns.div_ceil(fitting);
        let each = columns.div_ceil(parts);
        let width = (all / float(each)).min(WIDEST);
        let height = TOP + ROW * float(self.rows.len()) + 6.0;
        let bottom = height * float(parts);
        let mut svg = Svg::new(room.width(), bottom + 24.0);
        let scale = Scale::of(self.cells.iter().flatten().flatten().map(|cell| cell.value));
        for part in 0..parts {
            let columns = (part * each)..((part + 1) * each).min(self.columns.len());
            self.draw_part(&mut svg, columns, &scale, (left, height * float(part)), width);
        }
        let from = left.max(60.0);
        for step in 0..10_u8 {
            svg.rect(from + 16.0 * f64::from(step), bottom + 4.0, 16.0, 12.0, &format!("h{step}"));
        }
        svg.text((from - 8.0, bottom + 14.0), Anchor::End, "soft", "least");
        svg.text((from + 168.0, bottom + 14.0), Anchor::Start, "soft", "most");
        svg
    }

    fn draw_part(&self, svg: &mut Svg, columns: Range<usize>, scale: &Scale, (left, top): (f64, f64), width: f64) {
        svg.text((left, top + 14.0), Anchor::Start, "soft", &fitted(&self.x, width * float(columns.len())));
        svg.text((0.0, top + TOP - 8.0), Anchor::Start, "soft", &fitted(&self.y, left - 6.0));
        for (place, column) in columns.clone().enumerate() {
            let name = fitted(&self.columns[column], width - 2.0);
            svg.text((left + width * (float(place) + 0.5), top + TOP - 8.0), Anchor::Middle, "soft", &name);
        }
        for (row, (name, cells)) in self.rows.iter().zip(&self.cells).enumerate() {
            let y = top + TOP + ROW * float(row);
            svg.text((left - 10.0, y + ROW / 2.0 + 4.0), Anchor::End, "", &fitted(name, left - 10.0));
            for (place, column) in columns.clone().enumerate() {
                let (x, middle) = (left + width * float(place), left + width * (float(place) + 0.5));
                let said = format!("{} {}, {} {name}", self.x, self.columns[column], self.y);
                let Some(cell) = cells.get(column).and_then(Option::as_ref).filter(|cell| cell.value.is_finite())
                else {
                    svg.rect_with(x + 1.0, y + 1.0, width - 2.0, ROW - 2.0, "band", &format!("{said}: not known"));
                    svg.text((middle, y + ROW / 2.0 + 4.0), Anchor::Middle, "soft on", "–");
                    continue;
                };
                let class = format!("h{:.0}", (scale.share(cell.value) * STEPS).round());
                svg.rect_with(x + 1.0, y + 1.0, width - 2.0, ROW - 2.0, &class, &format!("{said}: {}", cell.text));
                if width_of(&cell.text) <= width {
                    svg.text((middle, y + ROW / 2.0 + 4.0), Anchor::Middle, "on", &cell.text);
                }
            }
        }
    }
}

/// From a figure to how strong its ground is.
struct Scale {
    low: f64,
    high: f64,
    log: bool,
}

impl Scale {
    /// In powers where figures differ by more than a few times: else all but the largest would look alike.
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let finite = values.filter(|value| value.is_finite());
        let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        Self { low, high, log: low > 0.0 && high / low > 8.0 }
    }

    fn share(&self, value: f64) -> f64 {
        let share = if self.log {
            (value.ln() - self.low.ln()) / (self.high.ln() - self.low.ln())
        } else {
            (value - self.low) / (self.high - self.low)
        };
        if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.5 }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a number of rows, columns or letters")]
fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ground_is_the_stronger_the_larger_the_figure_is_and_never_no_number() {
        for values in [vec![1.0, 2.0, 3.0], vec![1.0, 10.0, 1000.0], vec![-5.0, 0.0, 5.0]] {
            let scale = Scale::of(values.iter().copied());
            let shares: Vec<f64> = values.iter().map(|value| scale.share(*value)).collect();
            assert!(shares.windows(2).all(|pair| pair[0] < pair[1]), "{values:?} {shares:?}");
            assert!(shares[0] < 1e-9 && shares[2] > 1.0 - 1e-9, "{values:?} {shares:?}");
        }
        for odd in [vec![], vec![7.0], vec![0.0, 0.0], vec![f64::NAN], vec![1e308, -1e308]] {
            let scale = Scale::of(odd.iter().copied());
            assert!((0.0..=1.0).contains(&scale.share(odd.first().copied().unwrap_or(1.0))), "{odd:?}");
        }
    }

    #[test]
    fn a_grid_that_is_wider_than_the_screen_is_drawn_in_parts_and_no_figure_is_left_out() {
        let cells: Vec<_> =
            (0..12).map(|place| Some(HeatCell { value: f64::from(place), text: format!("{place}.00 GiB") })).collect();
        let columns = (0..12).map(|place| format!("c{place}")).collect();
        let heat = Heat { columns, rows: vec!["a".into()], cells: vec![cells], ..Heat::default() };
        for room in [Room::Wide, Room::Narrow] {
            let drawn = heat.draw_in(room).element("", "e1");
            assert!((0..12).all(|place| drawn.contains(&format!(">{place}.00 GiB</text>"))), "{drawn}");
        }
    }

    #[test]
    fn what_is_not_known_is_a_dash() {
        let cells = vec![vec![None, Some(HeatCell { value: f64::NAN, text: "NaN".into() })]];
        let heat = Heat { columns: vec!["1".into(), "2".into()], rows: vec!["a".into()], cells, ..Heat::default() };
        let drawn = heat.draw_in(Room::Wide).element("", "e1");
        assert!(!drawn.contains("NaN") && drawn.matches("not known").count() == 2, "{drawn}");
    }
}
