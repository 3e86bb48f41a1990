//! `vramscope trace diff`: two traces against each other.

use std::path::PathBuf;

use clap::ValueEnum;
use vramscope_schema::ExitCode;
use vramscope_trace::document::DiffDocument;
use vramscope_trace::{Basis, Change, Difference, Exceeded, Source, Summary, plain_name, summarize};

use super::figures::{millis, short, signed_share};
use super::render::{self, Section};
use super::{Format, base_options};
use crate::output;
use crate::table::Align;

/// Compare two traces kernel by kernel, slow-downs first
///
/// Kernels are matched by name; those of one trace only are matched by their names without template arguments, types
/// and numbers. With --fail-above, the exit code tells whether anything became slower by more than that.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  vramscope trace diff before.json.gz after.json.gz
  vramscope trace diff before.json.gz after.json.gz --fail-above 5% --format json

Exit codes: 0 no limit exceeded, 3 no trace, 8 something grew by more than --fail-above: all kernel time, busy time,
the time of a step, or a kernel that takes at least --min-share of the kernel time.")]
pub(super) struct Args {
    /// The trace to compare with
    #[arg(value_name = "A")]
    before: PathBuf,
    /// The trace to judge
    #[arg(value_name = "B")]
    after: PathBuf,
    /// Fail when something grew by more than this: 5% or 0.05
    #[arg(long, value_name = "SHARE", value_parser = crate::cmd::share)]
    fail_above: Option<f64>,
    /// Kernels below this share of the kernel time never fail
    #[arg(long, value_name = "SHARE", value_parser = crate::cmd::share, default_value = "1%")]
    min_share: f64,
    /// Compare totals, or times by step
    #[arg(long, value_enum, default_value = "auto")]
    by: By,
    /// Only GPU work on this device
    #[arg(long, value_name = "N")]
    device: Option<String>,
    /// Sort kernels into categories by this table
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Rows of the list
    #[arg(long, value_name = "N", default_value = "30")]
    top: usize,
    /// What to print
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// What times are divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// Steps, where both traces have steps and their numbers differ
    Auto,
    /// Nothing
    Total,
    /// Steps with GPU work
    Step,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut options = base_options(args.rules.as_deref())?;
    options.device.clone_from(&args.device);
    let read = |path: &PathBuf| -> anyhow::Result<Summary> {
        let source = Source::file(path);
        super::in_file(summarize(&source, &options), &source)
    };
    let (before, after) = (read(&args.before)?, read(&args.after)?);
    let basis = match args.by {
        By::Auto => None,
        By::Total => Some(Basis::Total),
        By::Step => Some(Basis::Step),
    };
    let difference = Difference::of(&before, &after, basis);
    let exceeded = args.fail_above.map(|limit| difference.exceeded(limit, args.min_share)).unwrap_or_default();
    let text = match args.format {
        Format::Json => {
            let names = (&before.file.name, &after.file.name);
            let document = DiffDocument::of(names.0, names.1, &difference, args.fail_above, &exceeded);
            output::json_text(&document)?
        }
        Format::Csv => csv(&difference)?,
        Format::Markdown => render::markdown(&sections(args, &difference, &exceeded, 160)),
        Format::Table => {
            let width = output::width();
            render::table(&sections(args, &difference, &exceeded, width), width)
        }
    };
    output::print(&text)?;
    Ok(if exceeded.is_empty() { ExitCode::Success } else { ExitCode::Negative })
}

fn sections(args: &Args, difference: &Difference, exceeded: &[Exceeded], width: usize) -> Vec<Section> {
    let by = match difference.basis {
        Basis::Total => "totals".to_owned(),
        Basis::Step => format!("by step ({} before, {} after)", difference.steps.0, difference.steps.1),
    };
    let mut totals = Section::new(
        format!("{} -> {}: {by}", args.before.display(), args.after.display()),
        &[("figure", Align::Left), ("before ms", Align::Right), ("after ms", Align::Right), ("change", Align::Right)],
    );
    for headline in &difference.headlines {
        let change = headline.relative().map(signed_share).unwrap_or_default();
        totals.row([headline.name.replace('_', " "), millis(headline.before_ns), millis(headline.after_ns), change]);
    }
    let mut kernels = Section::new(
        "Kernels that differ, slow-downs first",
        &[
            ("delta ms", Align::Right),
            ("change", Align::Right),
            ("before ms", Align::Right),
            ("after ms", Align::Right),
            ("count", Align::Right),
            ("kernel", Align::Left),
        ],
    )
    .with_names();
    for change in shown(difference, args.top) {
        kernels.row(row(change));
    }
    let left = difference.changes.len().saturating_sub(args.top);
    let left = if left > 0 { format!("{left} more differ; ") } else { String::new() };
    kernels.text(format!("{left}{} kernels do not differ", difference.unchanged));
    let mut result = vec![totals, kernels];
    if let Some(limit) = args.fail_above {
        let mut verdict = Section::new(format!("Limit {}", signed_share(limit)), &[]);
        verdict.text(if exceeded.is_empty() { "nothing grew by more" } else { "exceeded:" });
        for item in exceeded {
            verdict.text(format!(
                "  {} {}",
                signed_share(item.relative),
                short(&plain_name(&item.name), width.saturating_sub(20))
            ));
        }
        result.push(verdict);
    }
    result
}

/// The largest slow-downs and the largest gains, when not all fit.
fn shown(difference: &Difference, top: usize) -> impl Iterator<Item = &Change> {
    let all = &difference.changes;
    let gains = if all.len() > top { top / 3 } else { 0 };
    let slow = top.min(all.len()).saturating_sub(gains);
    all.iter().take(slow).chain(all.iter().skip(all.len().saturating_sub(gains).max(slow)))
}

fn row(change: &Change) -> [String; 6] {
    let relative = match (change.before, change.relative()) {
        (None, _) => "new".to_owned(),
        (Some(_), _) if change.after.is_none() => "gone".to_owned(),
        (Some(_), relative) => relative.map(signed_share).unwrap_or_default(),
    };
    let count = |side: Option<vramscope_trace::Side>| side.map_or(0, |side| side.count);
    let counts = (count(change.before), count(change.after));
    let counts = if counts.0 == counts.1 { counts.0.to_string() } else { format!("{}->{}", counts.0, counts.1) };
    let mark = if change.folded { "~ " } else { "" };
    [
        format!("{:+.3}", change.delta_ns() / 1e6),
        relative,
        change.before.map(|side| millis(side.compared_ns)).unwrap_or_default(),
        change.after.map(|side| millis(side.compared_ns)).unwrap_or_default(),
        counts,
        format!("{mark}{}", plain_name(&change.name)),
    ]
}

fn csv(difference: &Difference) -> anyhow::Result<String> {
    let mut out = csv::Writer::from_writer(Vec::new());
    out.write_record([
        "name",
        "folded",
        "category",
        "before_count",
        "before_ns",
        "after_count",
        "after_ns",
        "basis",
        "delta_ns",
        "relative",
    ])?;
    for change in &difference.changes {
        let side = |side: Option<vramscope_trace::Side>| {
            side.map(|side| (side.count.to_string(), side.compared_ns.to_string())).unwrap_or_default()
        };
        let (before, after) = (side(change.before), side(change.after));
        out.write_record([
            change.name.as_str(),
            if change.folded { "true" } else { "false" },
            change.category.name(),
            &before.0,
            &before.1,
            &after.0,
            &after.1,
            difference.basis.name(),
            &change.delta_ns().to_string(),
            &change.relative().map(|r| r.to_string()).unwrap_or_default(),
        ])?;
    }
    Ok(String::from_utf8(out.into_inner()?)?)
}
