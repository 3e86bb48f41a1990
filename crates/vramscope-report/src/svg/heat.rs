//! A grid of figures, each on a ground that is the stronger the larger the figure is.

use super::{Anchor, Svg};

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

const WIDTH: f64 = 800.0;
const LEFT: f64 = 130.0;
const TOP: f64 = 40.0;
const ROW: f64 = 32.0;
/// Wider cells look like a table with gaps.
const WIDEST: f64 = 120.0;
/// Of letters of 12 px.
const LETTER: f64 = 7.0;
/// From the least to the most in ten steps: `h0` to `h9`.
const STEPS: f64 = 9.0;

impl Heat {
    pub(crate) fn draw(&self) -> Svg {
        let bottom = TOP + ROW * float(self.rows.len());
        let mut svg = Svg::new(WIDTH, bottom + 30.0);
        let width = ((WIDTH - LEFT - 10.0) / float(self.columns.len().max(1))).min(WIDEST);
        svg.text((LEFT, 14.0), Anchor::Start, "soft", &self.x);
        svg.text((LEFT - 10.0, TOP - 8.0), Anchor::End, "soft", &self.y);
        // Where columns are narrow, some of their names are left out rather than written over each other.
        let longest = self.columns.iter().map(|name| float(name.chars().count())).fold(1.0, f64::max) * LETTER + 6.0;
        let mut free = f64::NEG_INFINITY;
        for (column, name) in self.columns.iter().enumerate() {
            let middle = LEFT + width * (float(column) + 0.5);
            if middle - longest / 2.0 >= free {
                svg.text((middle, TOP - 8.0), Anchor::Middle, "soft", name);
                free = middle + longest / 2.0;
            }
        }
        let scale = Scale::of(self.cells.iter().flatten().flatten().map(|cell| cell.value));
        for (row, (name, cells)) in self.rows.iter().zip(&self.cells).enumerate() {
            let y = TOP + ROW * float(row);
            svg.text((LEFT - 10.0, y + ROW / 2.0 + 4.0), Anchor::End, "", name);
            for (column, cell) in cells.iter().enumerate().take(self.columns.len()) {
                let x = LEFT + width * float(column);
                let place = format!("{} {}, {} {name}", self.x, self.columns[column], self.y);
                let Some(cell) = cell.as_ref().filter(|cell| cell.value.is_finite()) else {
                    svg.rect_with(x + 1.0, y + 1.0, width - 2.0, ROW - 2.0, "band", &format!("{place}: not known"));
                    svg.text((x + width / 2.0, y + ROW / 2.0 + 4.0), Anchor::Middle, "soft", "–");
                    continue;
                };
                let class = format!("h{:.0}", (scale.share(cell.value) * STEPS).round());
                svg.rect_with(x + 1.0, y + 1.0, width - 2.0, ROW - 2.0, &class, &format!("{place}: {}", cell.text));
                if float(cell.text.chars().count()) * LETTER <= width - 4.0 {
                    svg.text((x + width / 2.0, y + ROW / 2.0 + 4.0), Anchor::Middle, "", &cell.text);
                }
            }
        }
        for step in 0..10_u8 {
            svg.rect(LEFT + 60.0 + 16.0 * f64::from(step), bottom + 10.0, 16.0, 12.0, &format!("h{step}"));
        }
        svg.text((LEFT + 52.0, bottom + 20.0), Anchor::End, "soft", "least");
        svg.text((LEFT + 60.0 + 160.0 + 8.0, bottom + 20.0), Anchor::Start, "soft", "most");
        svg
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
            (value / self.low).ln() / (self.high / self.low).ln()
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
    fn what_is_not_known_is_a_dash() {
        let cells = vec![vec![None, Some(HeatCell { value: f64::NAN, text: "NaN".into() })]];
        let heat = Heat { columns: vec!["1".into(), "2".into()], rows: vec!["a".into()], cells, ..Heat::default() };
        let drawn = heat.draw().element("e1");
        assert!(!drawn.contains("NaN") && drawn.matches("not known").count() == 2, "{drawn}");
    }
}
