//! Several runs of one kind: how far they agree.

use std::path::Path;

use vramscope_compare::document::RepeatDocument;
use vramscope_schema::v3::Profile;

use super::Args;
use crate::cmd::compare::label;
use crate::output::{self, Format};
use crate::table::{Align, Table};

/// Writes and prints how far the runs agree.
pub(super) fn tell(args: &Args, profiles: &[Profile], path: &Path) -> anyhow::Result<()> {
    let document = RepeatDocument::of(profiles);
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
