//! Where the errors of libraries become exit codes. What a code says of a command's own result is decided in its file.

use std::fmt;
use std::fmt::Write as _;

use vramscope_analysis::ModelError;
use vramscope_core::{REDACTED, redact, redact_args, secrets_in, shortened};
use vramscope_host::EngineError;
use vramscope_live::{CaptureError, PlanError, ServedError};
use vramscope_schema::ExitCode;

/// An exit code attached to an error as context: `.context(Exit(ExitCode::BadInput))` is the innermost statement of
/// what kind of failure it is, and prints nothing of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failed {
    /// What the process answers.
    pub(crate) code: ExitCode,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.meaning())
    }
}

impl std::error::Error for Failed {}

/// Gives an error the exit code it deserves.
pub(crate) trait OrExit<T> {
    /// Attaches an exit code; an error that has one already keeps it.
    fn or_exit(self, code: ExitCode) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> OrExit<T> for Result<T, E> {
    fn or_exit(self, code: ExitCode) -> anyhow::Result<T> {
        self.map_err(|error| {
            let error = error.into();
            if error.downcast_ref::<Failed>().is_some() { error } else { error.context(Failed { code }) }
        })
    }
}

/// Gives an error of the planning its exit code.
pub(crate) trait OrPlanned<T> {
    /// Attaches the exit code.
    fn or_planned(self) -> anyhow::Result<T>;
}

impl<T> OrPlanned<T> for Result<T, PlanError> {
    fn or_planned(self) -> anyhow::Result<T> {
        self.map_err(|error| {
            let code = of_plan(&error);
            anyhow::Error::new(error).context(Failed { code })
        })
    }
}

/// Gives an error of a server that is started here its exit code.
pub(crate) trait OrServed<T> {
    /// Attaches the exit code.
    fn or_served(self) -> anyhow::Result<T>;
}

impl<T> OrServed<T> for Result<T, ServedError> {
    fn or_served(self) -> anyhow::Result<T> {
        self.map_err(|error| {
            let code = of_served(error.root());
            anyhow::Error::new(error).context(Failed { code })
        })
    }
}

/// How a server that does not serve ends the process: as a run of it would.
fn of_served(error: &ServedError) -> ExitCode {
    match error {
        ServedError::NoCommand | ServedError::Port { .. } | ServedError::Listens { .. } => ExitCode::Usage,
        ServedError::Config(error) => of_plan(error),
        ServedError::BeginLog { .. } | ServedError::WriteLog(_) | ServedError::NotWatched => ExitCode::CannotWrite,
        ServedError::NotReady { .. } => ExitCode::TimedOut,
        ServedError::Taken { .. } | ServedError::Start(_) | ServedError::Asked(_) => ExitCode::HostUnavailable,
        _ => ExitCode::EngineFailed,
    }
}

/// How a model that cannot be read ends the process.
pub(crate) fn of_model(error: &ModelError) -> ExitCode {
    match error {
        ModelError::Unnamed | ModelError::Read { .. } => ExitCode::Usage,
        _ => ExitCode::BadInput,
    }
}

/// How a run that is not planned ends the process.
fn of_plan(error: &PlanError) -> ExitCode {
    match error {
        PlanError::OnlyRequests
        | PlanError::NoPrompt
        | PlanError::NoFlag { .. }
        | PlanError::OurFlag { .. }
        | PlanError::OurVariable { .. }
        | PlanError::NoServer { .. }
        | PlanError::NoModelName { .. }
        | PlanError::NoModelWord { .. }
        | PlanError::NoModelFile
        | PlanError::NotStarted { .. }
        | PlanError::OnlyServes { .. }
        | PlanError::NoAllocator { .. }
        | PlanError::NoHookInServer
        | PlanError::NoHookInContainer
        | PlanError::OfOther(_)
        | PlanError::GivenTwice { .. }
        | PlanError::Words(_)
        | PlanError::Flag(_)
        | PlanError::Load(_)
        | PlanError::NoModel { .. }
        | PlanError::MountAbsent { .. }
        | PlanError::MountTarget { .. }
        | PlanError::Socket(_)
        | PlanError::NoFileName
        | PlanError::ToStdout
        | PlanError::OutputIsFolder { .. }
        | PlanError::NoText { .. } => ExitCode::Usage,
        PlanError::Model(error) if !matches!(error, ModelError::Read { .. }) => of_model(error),
        PlanError::ModelInside(_) | PlanError::EngineConfig { .. } => ExitCode::BadInput,
        PlanError::OutputIsTaken { .. } | PlanError::Recording(_) => ExitCode::CannotWrite,
        PlanError::Host(EngineError::TooSlow { .. }) => ExitCode::TimedOut,
        PlanError::Host(_)
        | PlanError::Unreachable(_)
        | PlanError::NoFlags { .. }
        | PlanError::WithoutDocker { .. } => ExitCode::HostUnavailable,
        PlanError::Asked(error) => of_plan(error),
        // What the system refuses.
        _ => ExitCode::Failure,
    }
}

/// How a trace that does not come ends the process.
pub(crate) fn of_capture(error: &CaptureError) -> ExitCode {
    match error {
        CaptureError::MakeDir { .. } | CaptureError::FindDir { .. } => ExitCode::Failure,
        CaptureError::KeepFunctions { .. } | CaptureError::Memory(_) => ExitCode::CannotWrite,
        CaptureError::List { .. } | CaptureError::Entry(_) | CaptureError::NoTrace { .. } => ExitCode::BadInput,
        CaptureError::NotHttp
        | CaptureError::NoHost { .. }
        | CaptureError::NotHere { .. }
        | CaptureError::Address(_)
        | CaptureError::NoVersion { .. }
        | CaptureError::NoCommand
        | CaptureError::NotTheEngine { .. }
        | CaptureError::AskVersion(_)
        | CaptureError::SaysNoVersion { .. }
        | CaptureError::OwnProfilerConfig => ExitCode::Usage,
        _ => ExitCode::EngineFailed,
    }
}

/// What the process answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Its own code.
    Own(ExitCode),
    /// That of a program that it ran for somebody.
    Command(u8),
}

impl From<ExitCode> for Answer {
    fn from(code: ExitCode) -> Self {
        Self::Own(code)
    }
}

/// The process's answer.
pub(crate) fn process(answer: impl Into<Answer>) -> std::process::ExitCode {
    match answer.into() {
        Answer::Own(code) => code.code().into(),
        Answer::Command(code) => code.into(),
    }
}

/// Prints an error with its causes to stderr. A closed pipe is not an error: whoever read has seen enough.
pub(crate) fn report(error: &anyhow::Error) -> std::process::ExitCode {
    let closed = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    };
    if error.chain().any(closed) {
        return process(ExitCode::Success);
    }
    let said: Vec<String> = causes(error).map(|cause| presentable(&cause)).collect();
    crate::output::say(&format!("error: {}", said.join("\n  because: ")));
    process(code(error))
}

/// One cause says no more than a screen holds: what it quotes may be of any length.
const MOST_OF_CAUSE: usize = 4000;

/// A secret that is shorter would be found in words that have nothing to do with it.
const LEAST_SECRET: usize = 4;

/// A message without secrets and at a length that can be read.
pub(crate) fn presentable(message: &str) -> String {
    let words: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    // Of a secret that is cut the rest would not be known for one.
    let hidden = without(&redact(message), &secret_words(&words));
    shortened(&hidden, MOST_OF_CAUSE).into_owned()
}

/// The words, and parts of words, of a command line whose values are not to be seen: errors quote the command line. The
/// value of a flag that is not known is one too: it may be a secret's flag with a slip in it.
fn secret_words(words: &[String]) -> Vec<String> {
    let shown = redact_args(words.iter().map(String::as_str));
    let mut secret: Vec<String> = Vec::new();
    for (word, shown) in words.iter().zip(&shown).filter(|(word, shown)| word != shown) {
        secret.extend(secrets_in(word));
        if shown == REDACTED {
            secret.push(word.clone());
        } else if let Some((_, value)) = word.split_once('=') {
            secret.push(value.to_owned());
        }
    }
    secret.retain(|word| word.len() >= LEAST_SECRET && word != REDACTED);
    secret.sort_by_key(|word| std::cmp::Reverse(word.len()));
    secret
}

fn without(message: &str, secrets: &[String]) -> String {
    secrets.iter().fold(message.to_owned(), |message, secret| message.replace(secret.as_str(), REDACTED))
}

/// Ends the process as clap would, where it has the last word: with help, a version, or a mistake of the command line.
/// A mistake is told without the secrets that stand beside it.
pub(crate) fn of_command_line(error: &clap::Error) -> std::process::ExitCode {
    let text = crate::help::as_written(&error.render().ansi().to_string());
    let plain = anstream::adapter::strip_str(&text).to_string();
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        crate::output::say(plain.trim_end());
        return process(ExitCode::Usage);
    }
    if error.use_stderr() {
        crate::output::say(presentable(&hide_unknown_value(plain)).trim_end());
        return process(ExitCode::Usage);
    }
    let printed = crate::output::print_help(&text);
    printed.map_or_else(|error| report(&error), |()| process(ExitCode::Success))
}

/// A message without the values of flags that clap does not know.
fn hide_unknown_value(message: String) -> String {
    let mut message = message;
    for word in std::env::args_os().map(|word| word.to_string_lossy().into_owned()) {
        let value = word.strip_prefix("--").and_then(|flag| flag.split_once('=')).map(|(_, value)| value);
        if let Some(value) = value.filter(|value| value.len() >= LEAST_SECRET)
            && message.contains(&word)
        {
            message = message.replace(&format!("={value}"), &format!("={REDACTED}"));
        }
    }
    message
}

/// What an error says, its causes behind it.
pub(crate) fn causes(error: &anyhow::Error) -> impl Iterator<Item = String> + '_ {
    // An exit code attached as context is hidden inside anyhow's own type: it is told by its words.
    let code = error.downcast_ref::<Failed>().map(Failed::to_string);
    error.chain().map(ToString::to_string).filter(move |cause| Some(cause) != code.as_ref())
}

/// The code that an error deserves.
pub(crate) fn code(error: &anyhow::Error) -> ExitCode {
    error.downcast_ref::<Failed>().map_or(ExitCode::Failure, |failed| failed.code)
}

/// The exit codes for `--help`.
pub(crate) fn help() -> String {
    let mut text = String::from("Exit codes:\n");
    for code in ExitCode::ALL {
        let _ = writeln!(text, "  {:>3}  {}", code.code(), code.meaning());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_on_the_command_line_is_secret_in_a_message_about_it() {
        let words = ["profile", "--api-key", "plainword", "--hf-token=other-word", "--port", "plain", "-k"];
        let secrets = secret_words(&words.map(str::to_owned));
        assert_eq!(
            without("unexpected argument 'plainword' near other-word of plain, --hf-token=other-word", &secrets),
            "unexpected argument '[redacted]' near [redacted] of plain, --hf-token=[redacted]"
        );
        assert!(secret_words(&["--token=abc".to_owned()]).is_empty(), "too short to be looked for");
    }

    #[test]
    fn a_message_is_as_long_as_a_screen_whatever_it_quotes() {
        let long = format!("expected a number, found {:?}; write digits", "9".repeat(10_000_000));
        let said = presentable(&long);
        assert!(
            said.len() < 2 * MOST_OF_CAUSE && said.ends_with("write digits") && said.starts_with("expected a number")
        );
    }
}
