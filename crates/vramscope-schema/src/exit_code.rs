//! The exit codes of the `vramscope` command. They are part of its interface: a number never changes its meaning.

/// What an exit code of `vramscope` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExitCode {
    /// The result is complete.
    Success,
    /// Something failed that has no code of its own.
    Failure,
    /// The command line is wrong.
    Usage,
    /// An input file is missing, unreadable or not what it should be.
    BadInput,
    /// The result could not be written.
    CannotWrite,
    /// A document is of a newer major version than this program reads.
    NewerVersion,
    /// The engine failed; the result says where and why.
    EngineFailed,
    /// No usable device, driver or permission.
    NoDevice,
    /// The answer is no: the model does not fit, or a limit set with a `--fail-…` option is exceeded.
    Negative,
    /// The engine's program, its container or Docker cannot be reached.
    HostUnavailable,
    /// A time limit ran out.
    TimedOut,
    /// Stopped by Ctrl-C; what was recorded is kept.
    Interrupted,
}

impl ExitCode {
    /// All codes with their meaning, for `--help` and documentation.
    pub const ALL: [Self; 12] = [
        Self::Success,
        Self::Failure,
        Self::Usage,
        Self::BadInput,
        Self::CannotWrite,
        Self::NewerVersion,
        Self::EngineFailed,
        Self::NoDevice,
        Self::Negative,
        Self::HostUnavailable,
        Self::TimedOut,
        Self::Interrupted,
    ];

    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::BadInput => 3,
            Self::CannotWrite => 4,
            Self::NewerVersion => 5,
            Self::EngineFailed => 6,
            Self::NoDevice => 7,
            Self::Negative => 8,
            Self::HostUnavailable => 9,
            Self::TimedOut => 10,
            Self::Interrupted => 130,
        }
    }

    /// The meaning in a few words.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Success => "the result is complete",
            Self::Failure => "something else failed",
            Self::Usage => "the command line is wrong",
            Self::BadInput => "an input is missing, unreadable or not what it should be",
            Self::CannotWrite => "the result could not be written",
            Self::NewerVersion => "a document is of a newer major version",
            Self::EngineFailed => "the engine failed; the result says where and why",
            Self::NoDevice => "no usable device, driver or permission",
            Self::Negative => "the answer is no, or a --fail limit is exceeded",
            Self::HostUnavailable => "the engine's program, its container or Docker cannot be reached",
            Self::TimedOut => "a time limit ran out",
            Self::Interrupted => "stopped by Ctrl-C; what was recorded is kept",
        }
    }
}
