//! Straight lines and the like through measured points: weighted least squares, and Student's t.

use statrs::distribution::{ContinuousCDF as _, StudentsT};

/// A point: what was varied, a column each, what came of it, and how much it counts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) columns: Vec<f64>,
    pub(crate) value: f64,
    pub(crate) weight: f64,
}

/// A fit of `value = Σ coefficient · column`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fit {
    /// Each coefficient with its standard error, in the order of the columns.
    pub(crate) coefficients: Vec<(f64, f64)>,
    /// Points beyond those that the coefficients take up.
    pub(crate) freedom: f64,
    /// The part of the values' variance that the fit explains; `None` where they do not vary.
    pub(crate) r2: Option<f64>,
    /// The standard deviation of what it leaves, of a point of the mean weight, in the unit of the values.
    pub(crate) residual_sd: f64,
}

/// A column that keeps less than this part of its length beside the others says nothing of its own.
const DEPENDENT: f64 = 1e-9;

impl Fit {
    /// The fit by weighted least squares, by Householder's idea done column by column (modified Gram-Schmidt, which is as
    /// stable for a few columns). `None` unless there are more points than columns and each column says something of its own.
    pub(crate) fn of(rows: &[Row]) -> Option<Self> {
        let columns = rows.first()?.columns.len();
        if rows.len() <= columns || rows.iter().any(|row| row.columns.len() != columns || row.weight <= 0.0) {
            return None;
        }
        let roots: Vec<f64> = rows.iter().map(|row| row.weight.sqrt()).collect();
        let mut q: Vec<Vec<f64>> = (0..columns)
            .map(|at| rows.iter().zip(&roots).map(|(row, root)| row.columns[at] * root).collect())
            .collect();
        let mut left: Vec<f64> = rows.iter().zip(&roots).map(|(row, root)| row.value * root).collect();
        let lengths: Vec<f64> = q.iter().map(|column| dot(column, column).sqrt()).collect();
        let mut r = vec![vec![0.0; columns]; columns];
        let mut turned = vec![0.0; columns];
        for at in 0..columns {
            let length = dot(&q[at], &q[at]).sqrt();
            if length.is_nan() || length <= DEPENDENT * lengths[at] {
                return None;
            }
            r[at][at] = length;
            q[at].iter_mut().for_each(|x| *x /= length);
            let (before, after) = q.split_at_mut(at + 1);
            let own = &before[at];
            for (offset, column) in after.iter_mut().enumerate() {
                r[at][at + 1 + offset] = taken_off(column, own);
            }
            turned[at] = taken_off(&mut left, own);
        }
        let inverse = inverse_of_upper(&r);
        let freedom = float(rows.len() - columns);
        let squares = dot(&left, &left);
        let variance = squares / freedom;
        let coefficients = inverse
            .iter()
            .map(|row| (dot(row, &turned), (variance * dot(row, row)).sqrt()))
            .collect::<Vec<(f64, f64)>>();
        if coefficients.iter().any(|(value, error)| !value.is_finite() || !error.is_finite()) {
            return None;
        }
        let weights: f64 = rows.iter().map(|row| row.weight).sum();
        let mean = rows.iter().map(|row| row.weight * row.value).sum::<f64>() / weights;
        let spread: f64 = rows.iter().map(|row| row.weight * (row.value - mean).powi(2)).sum();
        let mean_weight = weights / float(rows.len());
        Some(Self {
            coefficients,
            freedom,
            r2: (spread > 0.0).then(|| 1.0 - squares / spread),
            residual_sd: (variance / mean_weight).sqrt(),
        })
    }

    /// Whether a coefficient is told from zero, at this rate of false alarms, by a two-sided t-test.
    pub(crate) fn is_told(&self, at: usize, false_alarms: f64) -> bool {
        let Some((value, error)) = self.coefficients.get(at) else { return false };
        t_quantile(self.freedom, false_alarms).is_some_and(|t| value.abs() > t * error)
    }
}

/// Takes off a column what it has of a direction of length 1, and gives how much that was.
fn taken_off(column: &mut [f64], direction: &[f64]) -> f64 {
    let part = dot(column, direction);
    column.iter_mut().zip(direction).for_each(|(x, d)| *x -= part * d);
    part
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The inverse of an upper triangle.
fn inverse_of_upper(r: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let n = r.len();
    let mut inverse = vec![vec![0.0; n]; n];
    for column in 0..n {
        inverse[column][column] = 1.0 / r[column][column];
        for row in (0..column).rev() {
            let sum: f64 = (row + 1..=column).map(|at| r[row][at] * inverse[at][column]).sum();
            inverse[row][column] = -sum / r[row][row];
        }
    }
    inverse
}

/// The two-sided quantile of Student's t; `None` without freedom.
pub(crate) fn t_quantile(freedom: f64, false_alarms: f64) -> Option<f64> {
    let t = StudentsT::new(0.0, 1.0, freedom).ok()?.inverse_cdf(1.0 - false_alarms / 2.0);
    t.is_finite().then_some(t)
}

#[expect(clippy::cast_precision_loss, reason = "points of one experiment")]
fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(points: &[(Vec<f64>, f64)]) -> Vec<Row> {
        points.iter().map(|(columns, value)| Row { columns: columns.clone(), value: *value, weight: 1.0 }).collect()
    }

    #[test]
    fn a_line_has_the_coefficients_and_errors_of_the_textbook() {
        // Heights and weights of women, 1975 (R's data set `women`): lm(weight ~ height).
        let weights =
            [115.0, 117.0, 120.0, 123.0, 126.0, 129.0, 132.0, 135.0, 139.0, 142.0, 146.0, 150.0, 154.0, 159.0, 164.0];
        let points: Vec<(Vec<f64>, f64)> =
            (0_u32..15).map(|at| (vec![1.0, f64::from(58 + at)], weights[at as usize])).collect();
        let fit = Fit::of(&rows(&points)).unwrap();
        let close = |a: f64, b: f64| (a - b).abs() < 1e-4 * b.abs();
        assert!(close(fit.coefficients[0].0, -87.51667) && close(fit.coefficients[0].1, 5.93694), "{fit:?}");
        assert!(close(fit.coefficients[1].0, 3.45) && close(fit.coefficients[1].1, 0.09114), "{fit:?}");
        assert!(close(fit.r2.unwrap(), 0.991) && close(fit.residual_sd, 1.52501), "{fit:?}");
        assert!(fit.is_told(1, 0.01));
    }

    #[test]
    fn what_cannot_be_told_apart_has_no_fit() {
        let point = |x: f64| (vec![1.0, x, 2.0 * x], x);
        assert_eq!(Fit::of(&rows(&[point(1.0), point(2.0), point(3.0), point(5.0)])), None);
        assert_eq!(Fit::of(&rows(&[(vec![1.0, 2.0], 1.0), (vec![1.0, 3.0], 2.0)])), None, "no freedom is left");
        assert_eq!(Fit::of(&[]), None);
        assert_eq!(t_quantile(0.0, 0.05), None);
    }

    proptest! {
        #[test]
        fn what_is_exact_is_found_whatever_the_weights(
            a in -50.0f64..50.0, b in -1.0f64..1.0, c in -0.01f64..0.01,
            points in prop::collection::vec((1u32..4000, 0.1f64..10.0), 6..30),
        ) {
            let rows: Vec<Row> = points.iter().map(|(x, weight)| {
                let x = f64::from(*x);
                Row { columns: vec![1.0, x, x * x], value: a + b * x + c * x * x, weight: *weight }
            }).collect();
            let different: std::collections::BTreeSet<u32> = points.iter().map(|(x, _)| *x).collect();
            prop_assume!(different.len() >= 5 && different.last().unwrap() - different.first().unwrap() > 400);
            let fit = Fit::of(&rows).unwrap();
            for (row, at) in rows.iter().zip(0..) {
                let found: f64 = row.columns.iter().zip(&fit.coefficients).map(|(x, c)| x * c.0).sum();
                prop_assert!((found - row.value).abs() < 1e-6 * (1.0 + row.value.abs()), "{at}: {found} for {}", row.value);
            }
        }
    }
}
