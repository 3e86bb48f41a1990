//! `vramscope explain`: why a KV cache is as large as it is, and what changed between two.

mod render;

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use vramscope_compare::document::ExplanationDocument;
use vramscope_compare::explain::{Account, Ledger, start};
use vramscope_core::EngineKind;
use vramscope_log::excerpt;
use vramscope_schema::ExitCode;
use vramscope_schema::v3::Profile;

use crate::exit::OrExit as _;
use crate::input;
use crate::output::{self, Format};

/// Explain a KV cache from the card down to one request, or why that of a second run is larger or smaller
///
/// A run is vLLM's log, a recording folder of it, or a profile of it; other engines size their caches otherwise. With two of one model, the difference of their KV caches is laid
/// out term by term, in bytes and tokens: what the release does otherwise, settings, weights, what the profile run took,
/// graphs, the card. The terms add up exactly; what no line states is a term of its own. Each has the lines that it rests
/// on and, where there is one, the setting that brings it back. Below, both starts step by step.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  vramscope explain vllm.log
  vramscope explain before-upgrade.log after-upgrade.log
  vramscope explain runs/0.25.1 runs/0.33.0 --format json | jq '.difference.terms[] | {name, size_bytes, restore}'
  vramscope explain before.json after.json

What each release's figures hold: docs/printed-figures.md.

Exit codes: 0 done, 2 wrong command line, 3 no run, or one that says nothing of its memory, 4 the result cannot be written,
5 a profile of a newer version.")]
pub(crate) struct Args {
    /// The run: vLLM's log, a recording folder, or a profile
    #[arg(value_name = "RUN")]
    before: PathBuf,
    /// The run to compare it with, of the same model
    #[arg(value_name = "OTHER")]
    after: Option<PathBuf>,
    /// How to show the result
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let first = input::profile_recording_or_log(&args.before)?;
    let second = args.after.as_deref().map(input::profile_recording_or_log).transpose()?;
    let mut runs = vec![(name(&args.before), Account::of(&first))];
    if let (Some(path), Some(profile)) = (&args.after, &second) {
        runs.push((name(path), Account::of(profile)));
    }
    for ((name, account), profile) in runs.iter().zip([Some(&first), second.as_ref()]) {
        if account.available.is_none() && account.pool.is_none() {
            return Err(silent(name, profile)).or_exit(ExitCode::BadInput);
        }
    }
    let ledger = match &runs[..] {
        [(_, before), (_, after)] => Ledger::of(before, after),
        _ => None,
    };
    let start = start(&first, second.as_ref());
    match args.format {
        Format::Json => output::print_json(&ExplanationDocument::of(&runs, ledger.as_ref(), &start))?,
        Format::Table => output::print(&render::explanation(&runs, ledger.as_ref(), &start, output::width()))?,
    }
    Ok(ExitCode::Success)
}

/// Why a run has no KV cache to explain: it is another engine's, it failed, or its log says nothing of it.
fn silent(name: &str, profile: Option<&Profile>) -> anyhow::Error {
    let engine = profile.and_then(|profile| profile.engine_metadata.as_ref()?.engine_type.as_deref());
    if let Some(other) = engine.and_then(EngineKind::from_name).filter(|kind| *kind != EngineKind::Vllm) {
        return anyhow!(
            "{name} is of {}, and `explain` answers for vLLM; `vramscope log` says what such a log states, and \
             `vramscope analyze` what of it is explained",
            other.title()
        );
    }
    match profile.and_then(|profile| profile.failure.as_ref()) {
        Some(failure) => {
            let line = failure.log_line.map_or_else(String::new, |line| format!(" (line {line})"));
            let message = excerpt(&failure.message);
            anyhow!(
                "{name} has no KV cache: its engine failed, {}{line}: {message}; `vramscope log` says what to do",
                failure.kind.replace('_', " ")
            )
        }
        None => anyhow!("{name} does not say how much memory was left for the KV cache: it has no such line"),
    }
}

fn name(path: &Path) -> String {
    path.display().to_string()
}
