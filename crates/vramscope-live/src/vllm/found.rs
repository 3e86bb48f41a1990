//! Which release of vLLM is there, and the flags that it takes.

use std::time::Duration;

use vramscope_core::on_one_line;
use vramscope_host::{Command, Output};

use crate::plan::{Plan, PlanError};
use crate::{Flags, WorkKind};

/// An engine imports a few gigabytes of Python before it says anything, from a cold disk in minutes.
const PATIENCE: Duration = Duration::from_secs(300);
/// Asks the interpreter that a program names in its first line for the release of the package that the program is of.
const OF_RECORD: &str = r##"file=$(command -v "$1") && read -r first < "$file" && case $first in
    "#!"*python*) exec ${first#"#!"} -c 'import importlib.metadata; print(importlib.metadata.version("vllm"))' ;;
esac; exit 1"##;
/// So much of what an engine says is repeated, in characters.
const MOST_WORDS: usize = 400;

/// Asks the engine for its release and its flags.
///
/// # Errors
/// [`PlanError::Host`], and [`PlanError::NoFlags`] for a program that is no engine.
pub(crate) async fn ask(plan: &Plan) -> Result<(Option<String>, Flags), PlanError> {
    let request = plan.request();
    let subcommand: &[&str] = if request.work.kind == WorkKind::Serve { &["serve"] } else { &["bench", "latency"] };
    let words = |help| subcommand.iter().copied().chain([help]).collect::<Vec<&str>>();
    // Since 0.10 the plain help lists groups of flags alone. Each question takes the engine seconds of imports.
    let all = words("--help=all");
    let (version, all) = tokio::try_join!(version(plan), say(plan, &all))?;
    if let Some(flags) = flags_of(&all) {
        return Ok((version, flags));
    }
    let plain = say(plan, &words("--help")).await?;
    if let Some(flags) = flags_of(&plain) {
        return Ok((version, flags));
    }
    Err(PlanError::NoFlags {
        program: request.program().join(" "),
        subcommand: subcommand.join(" "),
        said: last_words(&plain).map(|said| plan.hide(&said)),
    })
}

/// The flags of a help text; `None` if it is none of an engine.
fn flags_of(output: &Output) -> Option<Flags> {
    let flags = Flags::read(&String::from_utf8_lossy(&output.stdout));
    (output.exit.code == Some(0) && flags.name("max-model-len").is_ok()).then_some(flags)
}

/// A question for the release that a program's package records; it ends badly where that cannot be found out.
pub(crate) fn of_record(program: &str) -> Command {
    let mut command = Command::new("sh");
    command.args = ["-c", OF_RECORD, "sh", program].map(str::to_owned).to_vec();
    command
}

/// The release: as the package's record has it, which takes no import; else as the engine says.
async fn version(plan: &Plan) -> Result<Option<String>, PlanError> {
    if let [program] = &plan.request().program()[..] {
        // Where there is no shell, or no such program, the engine's own answer is told of.
        if let Ok(output) = plan.host.output(&of_record(program), PATIENCE).await
            && output.exit.code == Some(0)
            && let Some(version) = last_version(&String::from_utf8_lossy(&output.stdout))
        {
            return Ok(Some(version));
        }
    }
    let said = say(plan, &["--version"]).await?;
    Ok(last_version(&String::from_utf8_lossy(&said.stdout)))
}

async fn say(plan: &Plan, words: &[&str]) -> Result<Output, PlanError> {
    let program = plan.request().program();
    let mut command = Command::new(program.first().cloned().unwrap_or_default());
    command.args = program.iter().skip(1).cloned().chain(words.iter().map(|word| (*word).to_owned())).collect();
    plan.host.output(&command, PATIENCE).await.map_err(PlanError::Host)
}

/// The last line of what went wrong, if a command says so.
fn last_words(output: &Output) -> Option<String> {
    let text = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    Some(on_one_line(last).chars().take(MOST_WORDS).collect())
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
