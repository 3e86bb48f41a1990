//! The one place where errors become exit codes.

use std::fmt;
use std::fmt::Write as _;

use vramscope_analysis::ModelError;
use vramscope_host::EngineError;
use vramscope_live::{CaptureError, PlanError};
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
    crate::output::say(&format!("error: {}", causes(error).collect::<Vec<_>>().join("\n  because: ")));
    process(code(error))
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
