//! The runs of a campaign as command lines of `profile`, checked before the first one starts.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Parser;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vramscope_core::redact_args;
use vramscope_runs::PlannedRun;
use vramscope_schema::ExitCode;

use super::Args;
use crate::cmd::profile::{self, WorkKind};
use crate::cmd::runs::TableFormat;
use crate::exit::{self, OrExit as _};
use crate::output;
use crate::table::{Align, Table, wrap};

/// A run that is ready to be carried out.
pub(super) struct Planned {
    pub(super) run: PlannedRun,
    /// Where its profile goes.
    pub(super) profile: PathBuf,
    pub(super) args: Box<profile::Args>,
    words: Vec<String>,
}

/// The arguments of `profile`; of one that is given twice the later one counts, so that the command line wins over the
/// file.
#[derive(Parser)]
#[command(name = "vramscope profile", no_binary_name = true, args_override_self = true)]
struct OneRun {
    #[command(flatten)]
    args: profile::Args,
}

/// Checks every run's arguments.
pub(super) fn make(runs: Vec<PlannedRun>, folder: &Path, args: &Args) -> anyhow::Result<Vec<Planned>> {
    let total = runs.len();
    let one = |(place, mut run): (usize, PlannedRun)| {
        let which = format!("run {} of {total}, {}", place + 1, run.name);
        let profile = folder.join(format!("{}.json", run.name));
        let read =
            |words: &[String]| parse(words).map_err(|wrong| anyhow!("{which}: {wrong}")).or_exit(ExitCode::Usage);
        let mut words = words(&run, &profile, args);
        let mut parsed = read(&words)?;
        if let Some(prompt) = &run.prompt {
            // Files of the earlier profilers have prompts whatever is measured.
            if parsed.kind() == WorkKind::Latency {
                run.notes.push("its prompt is not sent: latency takes lengths; see --workload".to_owned());
            } else {
                words.insert(0, format!("--prompt={prompt}"));
                parsed = read(&words)?;
            }
        }
        parsed.part_of_campaign = true;
        Ok(Planned { run, profile, args: parsed, words })
    };
    runs.into_iter().enumerate().map(one).collect()
}

fn parse(words: &[String]) -> Result<Box<profile::Args>, String> {
    let parsed = OneRun::try_parse_from(words).map_err(|error| {
        let said = error.to_string();
        said.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })?;
    let flags = parsed.args.engine.given().read();
    flags.map_err(|error| exit::causes(&anyhow::Error::new(error)).collect::<Vec<_>>().join(": "))?;
    Ok(Box::new(parsed.args))
}

/// The run as arguments of `profile`.
fn words(run: &PlannedRun, profile: &Path, args: &Args) -> Vec<String> {
    let number = |value: Option<u64>| value.map(|value| value.to_string());
    let host = |value: &Option<String>| value.clone().filter(|_| !args.no_containers);
    let values = [
        ("model", Some(run.model.clone())),
        ("output", Some(profile.display().to_string())),
        ("container", host(&run.container).filter(|_| run.image.is_none())),
        ("image", host(&run.image)),
        ("input-len", number(run.input_len)),
        ("output-len", number(run.output_len)),
        ("batch-size", number(run.batch_size)),
        ("num-iters", number(run.num_iters)),
        ("num-iters-warmup", number(run.num_iters_warmup)),
        ("model-params", number(run.shape.parameters)),
        ("num-layers", number(run.shape.layers)),
        ("num-heads", number(run.shape.heads)),
        ("num-kv-heads", number(run.shape.kv_heads)),
        ("head-dim", number(run.shape.head_dim)),
        ("hidden-size", number(run.shape.hidden_size)),
    ];
    let values = values.into_iter().filter_map(|(name, value)| Some((name, Some(value?))));
    let switches = run.trust_remote_code.then_some(("trust-remote-code", None));
    let flags = run.flags.iter().map(|(name, value)| (*name, value.clone()));
    // With `=`, a value that begins with a dash is a value all the same.
    let word = |(name, value): (&str, Option<String>)| match value {
        Some(value) => format!("--{name}={value}"),
        None => format!("--{name}"),
    };
    let mut words: Vec<String> = values.chain(flags).chain(switches).map(word).collect();
    // The engine's own words stand last, behind a further `--`.
    let (ours, engine) = match args.words.iter().position(|word| word == "--") {
        Some(at) => (&args.words[..at], &args.words[at + 1..]),
        None => (&args.words[..], &[][..]),
    };
    words.extend(ours.iter().cloned());
    if !run.engine_args.is_empty() || !engine.is_empty() {
        words.push("--".to_owned());
        words.extend(run.engine_args.iter().chain(engine).cloned());
    }
    words
}

/// What a campaign would run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(super) struct PlanDocument {
    /// The version of this document. Unit: none, a version.
    vramscope_campaign_plan: u32,
    /// The runs, in their order.
    pub(super) runs: Vec<PlannedDocument>,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(super) struct PlannedDocument {
    /// The name of its files.
    pub(super) name: String,
    /// Where its profile goes.
    profile: String,
    /// The arguments of `vramscope profile`, secrets replaced.
    pub(super) arguments: Vec<String>,
    /// What a person should know of how the file was read.
    notes: Vec<String>,
}

/// The JSON Schema of the plan.
pub(crate) fn json_schema() -> schemars::Schema {
    schemars::schema_for!(PlanDocument)
}

/// The plan as a document.
pub(super) fn document(plan: &[Planned]) -> PlanDocument {
    let runs = plan.iter().map(|planned| PlannedDocument {
        name: planned.run.name.clone(),
        profile: planned.profile.display().to_string(),
        arguments: redact_args(planned.words.iter().map(String::as_str)),
        notes: planned.run.notes.clone(),
    });
    PlanDocument { vramscope_campaign_plan: 1, runs: runs.collect() }
}

/// Prints the plan.
pub(super) fn show(plan: &[Planned], format: TableFormat) -> anyhow::Result<()> {
    match format {
        TableFormat::Table => output::print(&table(plan, output::width())),
        TableFormat::Json => output::print_json(&document(plan)),
        TableFormat::Csv => {
            let mut out = csv::Writer::from_writer(Vec::new());
            out.write_record(["name", "profile", "arguments"])?;
            for run in document(plan).runs {
                out.write_record([&run.name, &run.profile, &run.arguments.join(" ")])?;
            }
            output::print(&String::from_utf8(out.into_inner()?)?)
        }
    }
}

fn table(plan: &[Planned], width: usize) -> String {
    let mut table = Table::new(&[
        ("in", Align::Right),
        ("out", Align::Right),
        ("batch", Align::Right),
        ("model and flags", Align::Left),
    ]);
    for planned in plan {
        let run = &planned.run;
        let args = &planned.args;
        let flags = run.flags.iter().map(|(name, value)| match value {
            Some(value) => format!("--{name} {value}"),
            None => format!("--{name}"),
        });
        let place = args.host.container.as_deref().or(args.host.image.as_deref()).map(|name| format!("in {name}"));
        let what: Vec<String> = [run.model.clone()].into_iter().chain(place).chain(flags).collect();
        table.row([
            args.work.prompt.as_ref().map_or(args.work.input_len.to_string(), |_| "text".to_owned()),
            args.work.output_len.to_string(),
            args.work.batch_size.to_string(),
            what.join(" "),
        ]);
    }
    let folder = plan.first().and_then(|planned| planned.profile.parent()).unwrap_or(Path::new("."));
    let s = if plan.len() == 1 { "" } else { "s" };
    let mut text = format!("{} run{s}, to {}\n{}", plan.len(), folder.display(), table.render(width));
    let mut told = Vec::new();
    for (run, note) in plan.iter().flat_map(|planned| planned.run.notes.iter().map(|note| (&planned.run, note))) {
        let note = format!("note: {}: {note}", run.model);
        if !told.contains(&note) {
            for line in wrap(&note, width.saturating_sub(2)) {
                let _ = writeln!(text, "  {line}");
            }
            told.push(note);
        }
    }
    text
}
