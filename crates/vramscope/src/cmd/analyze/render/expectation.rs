//! The budget that was to be expected, beside what came.

use vramscope_schema::v3::{Confidence, Expectation};

use super::{gib, title};
use crate::table::{Align, Table};

/// The table; figures that are none in both columns are left out.
pub(super) fn table(text: &mut String, expected: &Expectation, width: usize) {
    title(text, "Predicted beside measured, one rank");
    let mut table = Table::new(&[
        ("part", Align::Left),
        ("predicted", Align::Right),
        ("between", Align::Right),
        ("measured", Align::Right),
        ("error", Align::Right),
    ]);
    let error = |pct: Option<f64>| pct.map_or("-".to_owned(), |pct| format!("{pct:+.3} %"));
    for row in &expected.memory {
        if row.predicted_bytes == 0 && row.observed_bytes.unwrap_or(0) == 0 {
            continue;
        }
        let between = match (row.low_bytes == row.high_bytes, row.confidence) {
            (false, _) => format!("{} - {}", gib(row.low_bytes), gib(row.high_bytes)),
            (true, Confidence::Computed) => "exact".to_owned(),
            (true, _) => "-".to_owned(),
        };
        table.row([
            format!("{} GiB", row.name.replace("model_", "").replace('_', " ")),
            gib(row.predicted_bytes),
            between,
            row.observed_bytes.map_or("-".to_owned(), gib),
            error(row.error_pct),
        ]);
    }
    for row in &expected.counts {
        let between = if row.low == row.high { "exact".to_owned() } else { format!("{} - {}", row.low, row.high) };
        table.row([
            row.name.replace('_', " "),
            row.predicted.to_string(),
            between,
            row.observed.map_or("-".to_owned(), |n| n.to_string()),
            error(row.error_pct),
        ]);
    }
    text.push_str(&table.render(width));
    if let Some(failure) = expected.failure.as_ref().filter(|_| !expected.fits) {
        text.push_str(&format!("  predicted: the engine refuses to start, {}\n", failure.replace('_', " ")));
    }
}
