//! The data set that prompts and lengths come from, and the models that share the requests.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::anyhow;
use vramscope_load::document::{DatasetDocument, LevelDocument};
use vramscope_load::{Arrival, Client, DataPrompts, Dataset, DatasetSpec, Endpoint, LoadPlan, Mix, Prompts};
use vramscope_schema::ExitCode;

use super::args::{Args, EndpointArg};
use super::render::{digits, name};
use crate::exit::OrExit as _;
use crate::table::{Align, Table};

#[derive(clap::Args)]
pub(crate) struct DataArgs {
    /// Where prompts and lengths come from
    ///
    /// random: from the seed, no two alike. prefix:SHARE,LENGTH: likewise, but SHARE of them (0.8 or 80%) begin with the
    /// same LENGTH tokens of their --input-len. sharegpt:FILE: a JSON list of conversations; the first human turn is
    /// asked, for as many tokens as the answer in the file has; sharegpt:FILE,turns=N goes on with up to N turns, each
    /// with the server's own answers before it. jsonl:FILE: a line each with `prompt` (a text or token ids) or `messages`,
    /// and `output_tokens`. trace:FILE: lengths and times of recorded requests, of Mooncake (JSON lines), Azure or BurstGPT
    /// (CSV); --concurrency or --rate take the place of its times.
    #[arg(long, value_name = "KIND", default_value = "random", value_parser = spec, help_heading = "Requests")]
    pub(crate) dataset: DatasetSpec,
    /// With a trace: send it so many times as fast as it was recorded, one level or several [default: 1]
    #[arg(long, value_name = "X,…", value_delimiter = ',', conflicts_with_all = ["concurrency", "rate", "sweep"], help_heading = "Levels")]
    pub(crate) trace_speed: Vec<f64>,
}

fn spec(text: &str) -> Result<DatasetSpec, String> {
    text.parse()
}

/// Refuses to write a result over what is read, or over another result.
fn check_files(args: &Args) -> anyhow::Result<()> {
    let data = match &args.data.dataset {
        DatasetSpec::ShareGpt { path, .. } | DatasetSpec::Jsonl { path } | DatasetSpec::Trace { path } => Some(path),
        _ => None,
    };
    let named = [("--output", args.output.as_ref()), ("--requests", args.requests.as_ref()), ("--dataset", data)];
    let same =
        |a: &PathBuf, b: &PathBuf| a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b);
    for (at, (name, path)) in named.iter().enumerate() {
        for (other, second) in &named[at + 1..] {
            if let (Some(path), Some(second)) = (path, second)
                && same(path, second)
            {
                let path = path.display();
                return Err(anyhow!(
                    "{name} and {other} are one file, {path}, and one would replace the other; name another"
                ))
                .or_exit(ExitCode::Usage);
            }
        }
    }
    Ok(())
}

/// Says what of the arguments does not go together.
pub(super) fn check(args: &Args) -> anyhow::Result<()> {
    check_files(args)?;
    let is_trace = matches!(args.data.dataset, DatasetSpec::Trace { .. });
    let has_file = !matches!(args.data.dataset, DatasetSpec::Random | DatasetSpec::Prefix { .. });
    let wrong = if has_file && args.input_len.is_some() {
        "the data set says how long prompts are; leave out --input-len"
    } else if !args.data.trace_speed.is_empty() && !is_trace {
        "--trace-speed is of a trace; give one with --dataset trace:FILE"
    } else if args.max_in_flight.is_some() && args.rate.is_empty() && !replays(args) {
        "--max-in-flight holds back what is due by the clock; give a --rate or a trace"
    } else if args.sweep && replays(args) {
        "--sweep finds a concurrency or a rate; give --concurrency N or --rate R to begin with"
    } else {
        return Ok(());
    };
    Err(anyhow!(wrong)).or_exit(ExitCode::Usage)
}

/// Whether requests are sent at the times of a trace.
pub(super) fn replays(args: &Args) -> bool {
    matches!(args.data.dataset, DatasetSpec::Trace { .. }) && args.concurrency.is_empty() && args.rate.is_empty()
}

/// The levels of a trace: its speeds.
pub(super) fn speeds(args: &Args) -> Vec<Arrival> {
    let speeds = if args.data.trace_speed.is_empty() { &[1.0][..] } else { &args.data.trace_speed };
    speeds.iter().map(|speed| Arrival::Trace { speed: *speed, max_in_flight: args.max_in_flight }).collect()
}

/// The endpoint that is asked for, or that the data set needs.
pub(super) fn endpoint(args: &Args, set: Option<&Dataset>) -> Endpoint {
    match args.endpoint {
        Some(EndpointArg::Completions) => Endpoint::Completions,
        Some(EndpointArg::Chat) => Endpoint::Chat,
        None if set.is_some_and(Dataset::is_chat) => Endpoint::Chat,
        None => Endpoint::Completions,
    }
}

/// Reads the data set's file, if it has one.
pub(super) fn read(args: &Args) -> anyhow::Result<Option<Dataset>> {
    Dataset::read(&args.data.dataset, args.num_prompts.filter(|_| replays(args))).or_exit(ExitCode::BadInput)
}

/// Where the prompts of a plan come from. Lengths that the file has as text are told by the server's own count where it
/// counts.
pub(super) async fn prompts(
    client: Option<&Client>,
    plan: &LoadPlan,
    args: &Args,
    set: Option<Dataset>,
) -> anyhow::Result<Prompts> {
    let Some(set) = set else {
        return Ok(match args.data.dataset {
            DatasetSpec::Prefix { share, len } => Prompts::Prefix { share, len },
            _ => Prompts::Random,
        });
    };
    let sample = set.sample();
    let counted = match client {
        // A server that cannot tell is no reason not to load it.
        Some(client) if !sample.is_empty() => client.count_tokens(&plan.model, sample).await.ok().flatten(),
        _ => None,
    };
    #[expect(clippy::cast_precision_loss, reason = "bytes and tokens of a sample of some kilobytes")]
    let ratio = counted.map(|tokens| sample.len() as f64 / tokens as f64);
    let set = Arc::new(set.arrange(ratio, plan.seed).or_exit(ExitCode::BadInput)?);
    Ok(Prompts::Data(DataPrompts { set, first: 0, own_output: args.output_len.is_none() }))
}

/// The models of `--model`: one, or a mix.
pub(super) fn models(text: Option<&str>) -> anyhow::Result<(Option<String>, Mix)> {
    match text {
        Some(text) if text.contains('=') => {
            let mix: Mix = text.parse().map_err(|wrong: String| anyhow!(wrong)).or_exit(ExitCode::Usage)?;
            Ok((mix.shares().first().map(|share| share.model.clone()), mix))
        }
        text => Ok((text.map(str::to_owned), Mix::default())),
    }
}

/// A data set for people.
pub(super) fn said(data: &DatasetDocument) -> String {
    match (&data.file, data.usable, data.records) {
        (Some(file), Some(usable), Some(records)) => format!("{} {file} ({usable} of {records} records)", data.kind),
        _ => {
            let share = data.prefix_share.unwrap_or(0.0) * 100.0;
            format!("{share:.0} % with a common prefix of {}", data.prefix_len.unwrap_or(0))
        }
    }
}

/// The models of a mix for people; empty without one.
pub(super) fn table(levels: &[LevelDocument], width: usize) -> String {
    if levels.iter().all(|level| level.models.is_empty()) {
        return String::new();
    }
    let mut table = Table::new(&[
        ("level", Align::Left),
        ("model", Align::Left),
        ("share", Align::Right),
        ("sent", Align::Right),
        ("failed", Align::Right),
        ("TTFT p50", Align::Right),
        ("p99", Align::Right),
        ("TPOT p50", Align::Right),
        ("E2E p50 ms", Align::Right),
    ]);
    let shown = |figure: Option<f64>| figure.map_or_else(|| "-".to_owned(), digits);
    for (level, model) in levels.iter().flat_map(|level| level.models.iter().map(move |model| (level, model))) {
        table.row([
            name(level),
            model.model.clone(),
            format!("{:.1} %", model.share * 100.0),
            model.sent.to_string(),
            model.failed.to_string(),
            shown(model.ttft.map(|ttft| ttft.p50_ms)),
            shown(model.ttft.map(|ttft| ttft.p99_ms)),
            shown(model.tpot.map(|tpot| tpot.p50_ms)),
            shown(model.e2e.map(|e2e| e2e.p50_ms)),
        ]);
    }
    table.render(width)
}
