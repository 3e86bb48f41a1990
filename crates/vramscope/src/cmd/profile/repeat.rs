//! Several runs of one kind: how far they agree.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vramscope_schema::v3::Profile;

use super::Args;
use crate::cmd::compare::label;
use crate::output::{self, Format};
use crate::table::{Align, Table};

/// Further from the median than this many robust standard deviations, a value is an outlier (Iglewicz and Hoaglin).
const OUTLIER: f64 = 3.5;
/// The robust standard deviation of normal values is the median absolute deviation times this.
const MAD_TO_SIGMA: f64 = 1.4826;
/// With fewer runs the deviation says nothing.
const LEAST_FOR_OUTLIERS: usize = 5;

/// Several runs of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RepeatDocument {
    /// The version of this document. Unit: none, a version.
    pub(crate) vramscope_repeat: u32,
    /// How many runs. Unit: count.
    pub(crate) runs: usize,
    /// The figures.
    pub(crate) figures: Vec<RepeatedFigure>,
}

/// One figure over all runs that have it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RepeatedFigure {
    /// Its name, which ends in its unit.
    pub(crate) name: String,
    /// The runs that have it. Unit: count.
    pub(crate) n: usize,
    /// Arithmetic mean. Unit: as the name ends.
    pub(crate) mean: f64,
    /// Sample standard deviation; absent for one run. Unit: as the name ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stddev: Option<f64>,
    /// The smallest. Unit: as the name ends.
    pub(crate) min: f64,
    /// The largest. Unit: as the name ends.
    pub(crate) max: f64,
    /// (max - min) / mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) spread_pct: Option<f64>,
    /// Runs, counted from 1, whose value lies more than 3.5 robust standard deviations from the median. Five runs at
    /// least are needed to tell. Unit: none, numbers of runs.
    pub(crate) outliers: Vec<usize>,
}

/// The JSON Schema of the document.
pub(crate) fn json_schema() -> schemars::Schema {
    schemars::schema_for!(RepeatDocument)
}

/// Writes and prints how far the runs agree.
pub(super) fn tell(args: &Args, profiles: &[Profile], path: &Path) -> anyhow::Result<()> {
    let document = summarise(profiles);
    output::write_json(path, &document)?;
    match args.format {
        Format::Json => output::print_json(&document)?,
        Format::Table => output::print(&render(&document, output::width()))?,
    }
    if !args.quiet {
        output::say(&format!("summary of {} runs written to {}", document.runs, path.display()));
    }
    Ok(())
}

fn summarise(profiles: &[Profile]) -> RepeatDocument {
    let figures = vramscope_compare::figures().iter().filter_map(|compared| {
        let value = |(place, profile)| Some((place + 1, compared.of(profile)?.as_f64()));
        let values: Vec<(usize, f64)> = profiles.iter().enumerate().filter_map(value).collect();
        figure(compared.name, &values)
    });
    RepeatDocument { vramscope_repeat: 1, runs: profiles.len(), figures: figures.collect() }
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

fn render(document: &RepeatDocument, width: usize) -> String {
    let mut table = Table::new(&[
        ("figure", Align::Left),
        ("mean", Align::Right),
        ("stddev", Align::Right),
        ("min", Align::Right),
        ("max", Align::Right),
        ("spread", Align::Right),
        ("outliers", Align::Left),
    ]);
    for figure in &document.figures {
        let scale = if figure.name.ends_with("_bytes") { f64::from(1 << 30) } else { 1.0 };
        let number = |value: f64| format!("{:.3}", value / scale);
        let outliers: Vec<String> = figure.outliers.iter().map(|run| format!("run {run}")).collect();
        table.row([
            label(&figure.name),
            number(figure.mean),
            figure.stddev.map_or("-".to_owned(), number),
            number(figure.min),
            number(figure.max),
            figure.spread_pct.map_or("-".to_owned(), |spread| format!("{spread:.2} %")),
            outliers.join(", "),
        ]);
    }
    format!("{} runs\n{}", document.runs, table.render(width))
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
