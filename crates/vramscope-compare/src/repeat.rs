//! Several runs of one kind: how far they agree.

use vramscope_schema::v3::Profile;

use crate::document::{RepeatDocument, RepeatedFigure};
use crate::figure::figures;

/// The version of the document.
const VERSION: u32 = 1;
/// Further from the median than this many robust standard deviations, a value is an outlier (Iglewicz and Hoaglin).
const OUTLIER: f64 = 3.5;
/// The robust standard deviation of normal values is the median absolute deviation times this.
const MAD_TO_SIGMA: f64 = 1.4826;
/// With fewer runs the deviation says nothing.
const LEAST_FOR_OUTLIERS: usize = 5;

impl RepeatDocument {
    /// How far these runs agree.
    pub fn of(profiles: &[Profile]) -> Self {
        let figures = figures().iter().filter_map(|compared| {
            let value = |(place, profile)| Some((place + 1, compared.of(profile)?.as_f64()));
            let values: Vec<(usize, f64)> = profiles.iter().enumerate().filter_map(value).collect();
            figure(compared.name, &values)
        });
        Self { vramscope_repeat: VERSION, runs: profiles.len(), figures: figures.collect() }
    }
}

fn figure(name: &str, values: &[(usize, f64)]) -> Option<RepeatedFigure> {
    let numbers: Vec<f64> = values.iter().map(|(_, value)| *value).collect();
    let n = numbers.len();
    let count = f64::from(u32::try_from(n).ok().filter(|n| *n > 0)?);
    let mean = numbers.iter().sum::<f64>() / count;
    let squares: f64 = numbers.iter().map(|value| (value - mean).powi(2)).sum();
    let min = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let max = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let middle = median(&numbers)?;
    let deviation = median(&numbers.iter().map(|value| (value - middle).abs()).collect::<Vec<_>>())? * MAD_TO_SIGMA;
    let far = |value: f64| n >= LEAST_FOR_OUTLIERS && (value - middle).abs() > OUTLIER * deviation && value != middle;
    Some(RepeatedFigure {
        name: name.to_owned(),
        n,
        mean,
        stddev: (n > 1).then(|| (squares / (count - 1.0)).sqrt()),
        min,
        max,
        spread_pct: (mean != 0.0).then(|| (max - min) / mean.abs() * 100.0),
        outliers: values.iter().filter(|(_, value)| far(*value)).map(|(run, _)| *run).collect(),
    })
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = if sorted.len().is_multiple_of(2) { *sorted.get(sorted.len() / 2 - 1)? } else { upper };
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_apart_from_the_others_is_named() {
        let values: Vec<(usize, f64)> =
            [10.0, 10.1, 9.9, 10.05, 14.0].into_iter().enumerate().map(|(n, v)| (n + 1, v)).collect();
        let found = figure("peak_bytes", &values).unwrap();
        assert_eq!((found.n, found.outliers.as_slice()), (5, &[5][..]));
        assert!((found.mean - 10.81).abs() < 1e-9 && found.max == 14.0);
        let few = figure("x", &values[2..]).unwrap();
        assert!(few.outliers.is_empty(), "three runs cannot tell");
        assert_eq!(figure("x", &[(1, 5.0)]).unwrap().stddev, None);
        assert!(figure("x", &[]).is_none());
    }

    #[test]
    fn runs_that_agree_have_no_outliers() {
        let same: Vec<(usize, f64)> = (1..=6).map(|run| (run, 7.0)).collect();
        let found = figure("x", &same).unwrap();
        assert_eq!((found.outliers.len(), found.spread_pct), (0, Some(0.0)));
    }
}
