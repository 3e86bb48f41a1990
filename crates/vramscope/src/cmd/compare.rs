//! `vramscope compare`: two profiles against each other, repeats against repeats, or profiles against a calculator.

mod against;
mod junit;
mod render;

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use vramscope_compare::document::{CalculatorDocument, ComparisonDocument};
use vramscope_compare::{Better, Calculated, Check, Difference, Limit, Verdict, figures};
use vramscope_core::{ByteUnit, Bytes};
use vramscope_schema::ExitCode;

use crate::exit::OrExit as _;
use crate::input;
use crate::output::{self, Format};

pub(crate) use render::{label, value};

/// Compare two runs figure by figure, repeats with repeats, or a profile with what a calculator said
///
/// A run is a profile of any version, a recording folder, or the result of a load generator: vllm bench serve and sweep,
/// SGLang's bench_serving, GuideLLM, AIPerf. Settings that differ are shown first, since they may explain the rest. Limits
/// make it a check for CI. With --against each side is the repeats of one run, and each figure is judged: better, worse,
/// no difference shown, or inconclusive; docs/results.md has the rule.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  vramscope compare before.json after.json
  vramscope compare before.json after.json --fail-above 5%
  vramscope compare before.json after.json --fail-above mean_latency_ms=2% --fail-above peak_bytes=1%
  vramscope compare llama-2-7b.json --calc-weights 13.5 --calc-kv 0.4 --calc-activations 0.9 --calc-overhead 0.6
  vramscope compare llama-2-7b.json --calc-weights 13.5 --fail-above model_weights=2%
  vramscope compare a1.json a2.json a3.json --against b1.json b2.json b3.json --fail-above 5% --junit compare.xml

More than two runs, or a sweep: vramscope runs.

Exit codes: 0 no limit exceeded, 3 no profile, or a limit for a figure that the profiles do not have, 5 a profile of a
newer version, 8 a limit is exceeded, or with limits and --against, more requests went unanswered on the second side.")]
pub(crate) struct Args {
    /// Two runs, the first one to compare with, - for stdin; with --calc-… each of them is compared with the calculator, with
    /// --against they are the repeats of the first side
    #[arg(value_name = "RUN", required = true)]
    profiles: Vec<PathBuf>,
    /// Fail when a figure becomes worse by more than this: 5% for every figure that has a better direction, or
    /// NAME=5% for one. With --calc-…: when the calculator is off by more, on every part or on the one named. Repeat
    /// for more
    #[arg(long, value_name = "[NAME=]SHARE", value_parser = limit)]
    fail_above: Vec<Limit>,
    #[command(flatten)]
    against: against::AgainstArgs,
    /// Write the figures as test cases of JUnit XML: an exceeded limit is a failure
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    #[command(flatten)]
    calculated: CalculatedArgs,
    /// What to print: a table for people, or a document
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// What a calculator said.
#[derive(clap::Args)]
#[command(next_help_heading = "What a calculator said; a bare number is in GB of 10^9 bytes")]
struct CalculatedArgs {
    /// The weights on all GPUs together
    #[arg(long, value_name = "SIZE", value_parser = size)]
    calc_weights: Option<Bytes>,
    /// The KV cache on all GPUs together
    #[arg(long, value_name = "SIZE", value_parser = size)]
    calc_kv: Option<Bytes>,
    /// The activations on all GPUs together
    #[arg(long, value_name = "SIZE", value_parser = size)]
    calc_activations: Option<Bytes>,
    /// Everything else that the run adds to the GPUs
    #[arg(long, value_name = "SIZE", value_parser = size)]
    calc_overhead: Option<Bytes>,
    /// All of it [default: the sum, where the other four are given]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    calc_total: Option<Bytes>,
}

impl CalculatedArgs {
    fn read(&self) -> Option<Calculated> {
        let said = Calculated {
            weights: self.calc_weights,
            kv_cache: self.calc_kv,
            activations: self.calc_activations,
            overhead: self.calc_overhead,
            total: self.calc_total,
        };
        (said != Calculated::default()).then_some(said)
    }
}

/// The parts of a calculator's answer on which a limit may be set.
const PARTS: [&str; 5] = ["model_weights", "kv_cache", "activations", "framework_overhead", "total"];

/// `5%`, `0.05`, `mean_latency_ms=5%`.
fn limit(text: &str) -> Result<Limit, String> {
    let (figure, share) = match text.split_once('=') {
        Some((name, share)) => (Some(name.trim()), share),
        None => (None, text),
    };
    let known = |name: &&str| figures().iter().any(|figure| figure.name == *name) || PARTS.contains(name);
    if let Some(name) = figure.filter(|name| !known(name)) {
        let names: Vec<&str> = figures().iter().map(|figure| figure.name).collect();
        let (names, parts) = (names.join(", "), PARTS.join(", "));
        return Err(format!("there is no figure {name:?}; there are {names}, and with --calc-…: {parts}"));
    }
    Ok(Limit { figure: figure.map(str::to_owned), share: super::share(share)? })
}

/// A size with its unit; a bare number is in GB, as the `_gb` fields of profiles.
fn size(text: &str) -> Result<Bytes, String> {
    match text.trim().parse::<f64>() {
        Ok(number) => Bytes::from_unit(number, ByteUnit::Gb).ok_or_else(|| "expected a size such as 13.5GB".to_owned()),
        Err(_) => super::estimate::input::size(text),
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(said) = args.calculated.read() {
        if args.junit.is_some() || !args.against.runs.is_empty() {
            let neither =
                anyhow!("--against and --junit are of runs, and --calc-… compares with a calculator; leave one out");
            return Err(neither).or_exit(ExitCode::Usage);
        }
        return calculator(args, &said);
    }
    if !args.against.runs.is_empty() {
        return against::run(args);
    }
    let [before, after] = &args.profiles[..] else {
        let many = anyhow!(
            "two runs are compared with each other, and {} were named; --against takes repeats of each, `vramscope runs` sets \
             any number beside each other, and --calc-… compares each with a calculator",
            args.profiles.len()
        );
        return Err(many).or_exit(ExitCode::Usage);
    };
    let difference = Difference::of(&input::run(before)?, &input::run(after)?);
    let verdict = difference.judge(&args.fail_above);
    if let Some(path) = &args.junit {
        junit::write(path, &cases(&difference, &verdict))?;
    }
    let (before, after) = (name(before), name(after));
    match args.format {
        Format::Json => output::print_json(&ComparisonDocument::of(&before, &after, &difference, &verdict))?,
        Format::Table => {
            let limited = !args.fail_above.is_empty();
            let text = render::difference(&before, &after, &difference, limited.then_some(&verdict), output::width());
            output::print(&text)?;
        }
    }
    judged(&verdict)
}

/// Each figure that has a better direction, as a test case.
fn cases(difference: &Difference, verdict: &Verdict) -> Vec<junit::Case> {
    let directed = difference.figures.iter().filter(|change| change.better != Better::Neither);
    directed
        .map(|change| {
            let exceeded = verdict.exceeded.iter().find(|item| item.figure == change.name);
            let outcome = match (exceeded, change.delta()) {
                (Some(item), _) => junit::Outcome::Failed(junit::exceeded(item)),
                (None, None) => junit::Outcome::Skipped("it is not in both runs".to_owned()),
                (None, Some(_)) => junit::Outcome::Passed,
            };
            junit::Case { name: change.name.to_owned(), outcome }
        })
        .collect()
}

/// A limit that cannot be checked is no limit that is kept.
fn judged(verdict: &Verdict) -> anyhow::Result<ExitCode> {
    if !verdict.exceeded.is_empty() {
        return Ok(ExitCode::Negative);
    }
    if !verdict.unjudged.is_empty() {
        let names = verdict.unjudged.join(", ");
        let unjudged =
            anyhow!("no limit can be set on {names}: it is not in both profiles, or has no better direction");
        return Err(unjudged).or_exit(ExitCode::BadInput);
    }
    Ok(ExitCode::Success)
}

/// What limits find in a calculator's answer, each as a sentence.
#[derive(Debug, Default, PartialEq)]
struct Judged {
    exceeded: Vec<String>,
    unjudged: Vec<String>,
}

/// Holds limits against a check. The KV cache and the total are as far off as they are at best: a calculator means the
/// engine's pool or what the workload fills of it.
fn judge(check: &Check, limits: &[Limit]) -> Judged {
    let mut judged = Judged::default();
    for name in PARTS {
        let wanted = |limit: &&Limit| limit.figure.as_deref().is_none_or(|figure| figure == name);
        let Some(share) = limits.iter().filter(wanted).map(|limit| limit.share).reduce(f64::min) else { continue };
        let of_workload = format!("{name}_of_workload");
        let parts = || check.parts.iter().filter(|part| [name, &of_workload].contains(&part.part.name()));
        let off = parts().filter_map(|part| part.relative()).min_by(|a, b| a.abs().total_cmp(&b.abs()));
        let named = limits.iter().any(|limit| limit.figure.as_deref() == Some(name));
        match off {
            Some(off) if off.abs() > share => {
                let (off, share) = (off * 100.0, share * 100.0);
                judged.exceeded.push(format!("the calculator is off by {off:+.1} % on {name}, more than {share} %"));
            }
            Some(_) => {}
            None if named || parts().next().is_some() => judged.unjudged.push(name.to_owned()),
            None => {}
        }
    }
    judged
}

fn calculator(args: &Args, said: &Calculated) -> anyhow::Result<ExitCode> {
    let of_profiles = |limit: &&Limit| limit.figure.as_deref().is_some_and(|name| !PARTS.contains(&name));
    if let Some(limit) = args.fail_above.iter().find(of_profiles) {
        let name = limit.figure.as_deref().unwrap_or_default();
        let parts = PARTS.join(", ");
        let none = anyhow!("a calculator does not answer for {name}; with --calc-… a limit may be set on {parts}");
        return Err(none).or_exit(ExitCode::Usage);
    }
    let mut documents = Vec::new();
    let mut judged = Judged::default();
    for path in &args.profiles {
        let check = Check::of(&input::profile_or_recording(path)?, said);
        let found = judge(&check, &args.fail_above);
        let of_path = |text: String| format!("{}: {text}", path.display());
        judged.exceeded.extend(found.exceeded.into_iter().map(of_path));
        judged.unjudged.extend(found.unjudged.into_iter().map(of_path));
        match args.format {
            Format::Json => documents.push(CalculatorDocument::of(&name(path), &check)),
            Format::Table => output::print(&render::check(&name(path), &check, output::width()))?,
        }
    }
    match (args.format, &documents[..]) {
        (Format::Table, _) => {}
        // One profile is one document.
        (Format::Json, [one]) => output::print_json(one)?,
        (Format::Json, many) => output::print_json(&many)?,
    }
    judged.exceeded.iter().for_each(|text| output::say(text));
    if !judged.exceeded.is_empty() {
        return Ok(ExitCode::Negative);
    }
    if !judged.unjudged.is_empty() {
        let parts = judged.unjudged.join(", ");
        let unjudged =
            anyhow!("a limit cannot be checked on {parts}: the profile does not say it, or --calc-… does not");
        return Err(unjudged).or_exit(ExitCode::BadInput);
    }
    Ok(ExitCode::Success)
}

fn name(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_size_is_in_gb_and_a_unit_is_taken_as_it_is() {
        assert_eq!(size("13.5"), Ok(Bytes::new(13_500_000_000)));
        assert_eq!(size("1GiB"), Ok(Bytes::new(1 << 30)));
        for wrong in ["", "-1", "nan", "inf", "1e300", "13.5 parsec"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn limits_are_for_all_figures_or_for_one_that_exists() {
        assert_eq!(limit("5%"), Ok(Limit { figure: None, share: 0.05 }));
        assert_eq!(limit("load_s=0.5"), Ok(Limit { figure: Some("load_s".into()), share: 0.5 }));
        assert!(limit("lod_s=5%").unwrap_err().contains("load_s"));
        assert!(limit("-5%").is_err() && limit("load_s=").is_err() && limit("nan").is_err());
    }
}
