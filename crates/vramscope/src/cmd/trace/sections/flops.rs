//! Floating-point operations that the trace states.

use vramscope_trace::{FlopRow, Summary, plain_name};

use super::super::figures::scaled;
use super::super::render::Section;
use super::more;
use crate::table::Align::{Left, Right};
use crate::table::grouped;

/// Empty where the trace states none.
pub(super) fn stated(summary: &Summary, top: usize) -> Section {
    let heads = [("FLOP", Right), ("FLOP/s", Right), ("count", Right), ("of", Left), ("name", Left)];
    let mut section = Section::new("Floating-point operations, as the trace states them", &heads).with_names();
    let Some(flops) = &summary.flops else { return section };
    let mut rows = |of: &str, rows: &[FlopRow]| {
        for row in rows.iter().take(top) {
            let rate = row.per_second().map(scaled).unwrap_or_default();
            section.row([count(row.flops), rate, grouped(row.count), of.to_owned(), plain_name(&row.name)]);
        }
        more(&mut section, rows.len(), top);
    };
    rows("operator", &flops.operators);
    rows("kernel", &flops.kernels);
    let rate = flops.per_second().map(|rate| format!("; {}FLOP/s of the time in which a GPU was busy", scaled(rate)));
    section.text(format!("{}FLOP in all, by {}{}", count(flops.total), flops.source.name(), rate.unwrap_or_default()));
    section
}

#[expect(clippy::cast_precision_loss, reason = "for display")]
fn count(flops: u64) -> String {
    scaled(flops as f64)
}
