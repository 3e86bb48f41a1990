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
    let holds = expected.memory.iter().any(|row| row.name == "held" && row.observed_bytes.is_some());
    for row in &expected.memory {
        // What grew outside the allocator is within what was held, where the engine prints both as one.
        let within_held = row.name == "non_torch" && row.observed_bytes.is_none() && holds;
        if row.predicted_bytes == 0 && row.observed_bytes.unwrap_or(0) == 0 || within_held {
            continue;
        }
        let between = match (row.low_bytes == row.high_bytes, row.confidence) {
            (false, _) => format!("{} - {}", gib(row.low_bytes), gib(row.high_bytes)),
            (true, Confidence::Computed) => "exact".to_owned(),
            (true, _) => "-".to_owned(),
        };
        table.row([
            format!("{} GiB", name(&row.name)),
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

/// How a part is called in the table.
fn name(part: &str) -> String {
    match part {
        "cuda_graphs" => "graphs captured".to_owned(),
        "cuda_graphs_budgeted" => "graphs set aside".to_owned(),
        _ => part.replace("model_", "").replace('_', " "),
    }
}
