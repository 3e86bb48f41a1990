//! Which engine is there: its release, and the flags that it takes.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use vramscope_host::{Command, EngineError, EngineHost, Output};
use vramscope_live::Flags;
use vramscope_schema::ExitCode;

use super::Args;
use super::args::WorkKind;
use super::plan::Plan;
use super::view::View;
use crate::exit::OrExit as _;

/// An engine imports a few gigabytes of Python before it says anything, from a cold disk in minutes.
const PATIENCE: Duration = Duration::from_secs(300);
/// So much of what an engine says is repeated, in characters.
const MOST_WORDS: usize = 400;

/// The engine, as far as it can be asked before it starts.
pub(super) struct Found {
    /// Its release, as it says it.
    pub(super) version: Option<String>,
    /// The flags of the subcommand that is to run; `None` where no command is started.
    pub(super) flags: Option<Flags>,
}

impl Found {
    /// Asks the engine for its release and its flags.
    pub(super) async fn ask(args: &Args, plan: &Plan, view: &View) -> anyhow::Result<Self> {
        if let Some(url) = &args.host.url {
            view.doing("asking the server for its version");
            let client = Plan::client(args, url)?;
            let version = client.version().await;
            let version = version.context("could not reach the server").or_exit(ExitCode::HostUnavailable)?;
            return Ok(Self { version, flags: None });
        }
        if args.kind() == WorkKind::Transformers {
            return Ok(Self { version: None, flags: None });
        }
        view.doing("asking the engine for its version and its flags");
        let host = &plan.host;
        let subcommand: &[&str] = if args.kind() == WorkKind::Serve { &["serve"] } else { &["bench", "latency"] };
        let words = |help| subcommand.iter().copied().chain([help]).collect::<Vec<&str>>();
        // Since 0.10 the plain help lists groups of flags alone. Each question takes the engine seconds of imports.
        let (version, all) = (["--version"], words("--help=all"));
        let (version, all) = tokio::try_join!(ask(host, args, plan, &version), ask(host, args, plan, &all))?;
        let version = last_version(&String::from_utf8_lossy(&version.stdout));
        if let Some(flags) = flags_of(&all) {
            return Ok(Self { version, flags: Some(flags) });
        }
        let plain = ask(host, args, plan, &words("--help")).await?;
        if let Some(flags) = flags_of(&plain) {
            return Ok(Self { version, flags: Some(flags) });
        }
        let shown = plan.program(args).join(" ");
        let words = subcommand.join(" ");
        let said = last_words(&plain).map_or(String::new(), |said| format!("; it said: {}", plan.hide(&said)));
        let none = anyhow!(
            "{shown} {words} --help lists no flags of an engine: is this vLLM, and does it have {words}?{said}"
        );
        Err(none).or_exit(ExitCode::HostUnavailable)
    }
}

/// The flags of a help text; `None` if it is none of an engine.
fn flags_of(output: &Output) -> Option<Flags> {
    let flags = Flags::read(&String::from_utf8_lossy(&output.stdout));
    (output.exit.code == Some(0) && flags.name("max-model-len").is_ok()).then_some(flags)
}

async fn ask(host: &EngineHost, args: &Args, plan: &Plan, words: &[&str]) -> anyhow::Result<Output> {
    let program = plan.program(args);
    let mut command = Command::new(program.first().cloned().unwrap_or_default());
    command.args = program.iter().skip(1).cloned().chain(words.iter().map(|word| (*word).to_owned())).collect();
    let output = host.output(&command, PATIENCE).await;
    let code = match &output {
        Err(EngineError::TooSlow { .. }) => ExitCode::TimedOut,
        _ => ExitCode::HostUnavailable,
    };
    output.or_exit(code)
}

/// The last line of what went wrong, if a command says so.
fn last_words(output: &Output) -> Option<String> {
    let text = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    Some(last.chars().filter(|c| !c.is_control()).take(MOST_WORDS).collect())
}

/// The last word of the text that begins like a release; engines print warnings before it.
fn last_version(text: &str) -> Option<String> {
    let is_release = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
    text.split_whitespace().rev().find(is_release).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::last_version;

    #[test]
    fn warnings_before_the_version_are_passed_over() {
        assert_eq!(last_version("WARNING 01-02 x 1 of 2\n0.32.0+cpu\n").as_deref(), Some("0.32.0+cpu"));
        assert_eq!(last_version("vllm 0.6.1\n").as_deref(), Some("0.6.1"));
        assert_eq!(last_version("no such command\n"), None);
    }
}
