//! Failures: from the values of a line to a typed kind.

use vramscope_core::FailureKind;

use crate::figure::Value;
use crate::key::Key;
use crate::pattern::Captured;
use crate::vllm::rows::Fails;

/// Longest message that is kept.
const MAX_MESSAGE: usize = 400;
/// Longest text that is searched for secrets to be shortened: far longer than what is kept, so that none stands at its end.
const MOST_QUOTED: usize = 16 << 10;

/// The kind of failure with the numbers of its line.
pub(crate) fn kind(fails: Fails, captured: &[Captured]) -> FailureKind {
    let find = |key: Key| captured.iter().find(|c| c.key == key).map(|c| &c.value);
    let memory = |key: Key| match find(key) {
        Some(Value::Memory(memory)) => memory.bytes.as_bytes(),
        _ => None,
    };
    let count = |key: Key| match find(key) {
        Some(Value::Count(count)) => Some(*count),
        _ => None,
    };
    let number = |key: Key| match find(key) {
        Some(Value::Number(number)) => Some(*number),
        _ => None,
    };
    match fails {
        Fails::NoKvCacheMemory => FailureKind::NoKvCacheMemory,
        Fails::MaxSeqLen => FailureKind::MaxSeqLenExceedsKvCache {
            max_model_len: count(Key::FailLength),
            kv_cache_tokens: count(Key::FailKvTokens),
        },
        Fails::KvCacheTooSmall => FailureKind::KvCacheTooSmallForMaxModelLen {
            max_model_len: count(Key::FailLength),
            needed: memory(Key::FailNeeded),
            available: memory(Key::FailAvailable),
            estimated_max_model_len: count(Key::FailEstimatedLength),
        },
        Fails::FreeMemory => FailureKind::FreeMemoryBelowUtilization {
            free: memory(Key::FailFree).or_else(|| memory(Key::FailFreeThen)),
            total: memory(Key::FailTotal),
            utilization: number(Key::FailUtilization),
            requested: memory(Key::FailRequested),
        },
        Fails::FreeMemoryGrew => {
            FailureKind::FreeMemoryGrew { initial: memory(Key::InitialFree), current: memory(Key::FreeAfterProfile) }
        }
        Fails::OutOfMemory => FailureKind::OutOfMemory {
            tried: memory(Key::FailTried),
            capacity: memory(Key::FailTotal),
            free: memory(Key::FailFreeThen),
            process: memory(Key::FailProcess),
            allocated: memory(Key::FailAllocated),
            reserved_unallocated: memory(Key::FailReserved),
        },
        Fails::HostOutOfMemory => {
            FailureKind::HostOutOfMemory { tried: memory(Key::FailTried), process: memory(Key::FailProcess) }
        }
        Fails::Collective => FailureKind::Collective,
        Fails::WorkerDied => FailureKind::WorkerDied,
        Fails::Architecture => FailureKind::UnsupportedArchitecture,
        Fails::Arguments => FailureKind::BadArguments,
        Fails::Device => FailureKind::UnsupportedOnDevice,
        Fails::EngineCore => FailureKind::EngineCoreFailed,
        Fails::WaitingForGpus => FailureKind::WaitingForGpus,
    }
}

/// How a failure relates to others of the same engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// It explains itself.
    Cause,
    /// An error whose kind is not known.
    Unknown,
    /// It follows from another one, or may pass.
    Consequence,
}

/// How a failure relates to others.
pub(crate) fn rank(kind: &FailureKind) -> Rank {
    match kind {
        FailureKind::EngineCoreFailed
        | FailureKind::EngineCoreDied
        | FailureKind::WorkerDied
        | FailureKind::WaitingForGpus => Rank::Consequence,
        FailureKind::Other => Rank::Unknown,
        _ => Rank::Cause,
    }
}

/// A process that the kernel ended for want of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Killed {
    /// Its number, as the kernel counts.
    pub(crate) pid: u64,
    /// Whether it has a name that an engine's process may have. In a container the numbers are others than the kernel's.
    pub(crate) may_be_of_engine: bool,
}

/// What the kernel's names for an engine's processes begin with; it keeps fifteen characters.
const COMMANDS: [&str; 6] = ["python", "pt_main_thread", "vllm", "VLLM", "ray", "uvicorn"];

/// The process that a line says the kernel ended.
pub(crate) fn killed(captured: &[Captured]) -> Option<Killed> {
    let find = |key: Key| captured.iter().find(|c| c.key == key).map(|c| &c.value);
    let Some(Value::Count(pid)) = find(Key::FailPid) else { return None };
    let may_be_of_engine = match find(Key::FailCommand) {
        Some(Value::Text(command)) => COMMANDS.iter().any(|known| command.starts_with(known)),
        _ => true,
    };
    Some(Killed { pid: *pid, may_be_of_engine })
}

/// The message without secrets, shortened, and without what would steer the terminal that it is shown on.
pub(crate) fn message(text: &str) -> String {
    // First, since of a secret that is cut the beginning would not be known for one. What is quoted may be of any length.
    let text = &vramscope_core::redact(&text[..floor(text, MOST_QUOTED)]);
    let end = floor(text, MAX_MESSAGE);
    let cut = end < text.len();
    // Not within a word, where there is one that ends not far before.
    let word = text[..end].rfind(char::is_whitespace).filter(|at| cut && *at > end / 2);
    let more = if cut { " …" } else { "" };
    vramscope_core::redact(vramscope_core::on_one_line(&text[..word.unwrap_or(end)]).trim_end()) + more
}

/// The nearest place up to `most` where a text may be cut.
fn floor(text: &str, most: usize) -> usize {
    (0..=text.len().min(most)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// Strips the names of exceptions from the left (`torch._inductor.exc.InductorError: OutOfMemoryError: `); gives the
/// rest, and where the last name began.
pub(crate) fn strip_exceptions(text: &str) -> (&str, Option<usize>) {
    let mut at = 0;
    let mut last = None;
    while let Some(len) = exception_at(&text[at..]) {
        last = Some(at);
        at += len;
    }
    // One that has nothing to say is its name alone.
    if text[at..].ends_with("Error") && text[at..].bytes().all(is_of_name) && is_class(&text[at..]) {
        return ("", Some(at));
    }
    (&text[at..], last)
}

/// What an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heart<'a> {
    /// The text without the names of exceptions, and without the words of a process that passes on what another said.
    pub(crate) text: &'a str,
    /// Where the name of the exception begins, if there is one.
    pub(crate) exception: Option<usize>,
    /// One process tells what another one said.
    pub(crate) retold: bool,
}

/// What the driver of several workers says before the words of the one that failed (`v1/executor/multiproc_executor.py`,
/// since 0.8); the quotes are those of the text.
const RETELLS: [&str; 2] = ["Worker failed with error '", "Worker failed with error \""];

/// Finds what an error is about.
pub(crate) fn heart(message: &str) -> Heart<'_> {
    let (text, exception) = strip_exceptions(message);
    match RETELLS.iter().find_map(|words| text.strip_prefix(words)) {
        Some(told) => Heart { text: strip_exceptions(told).0, exception, retold: true },
        None => Heart { text, exception, retold: false },
    }
}

/// Whether the name of an exception may have this character.
fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')
}

/// The length of `some.module.NameError: ` at the start.
fn exception_at(text: &str) -> Option<usize> {
    let end = text.bytes().position(|b| !is_of_name(b))?;
    let name = &text[..end];
    if !text[end..].starts_with(": ") {
        return None;
    }
    is_class(name).then_some(end + 2)
}

/// Whether a name is that of an exception; a private one begins with an underscore.
fn is_class(name: &str) -> bool {
    let class = name.rsplit('.').next().unwrap_or(name);
    class.trim_start_matches('_').starts_with(|c: char| c.is_ascii_uppercase())
        && ["Error", "Exception", "Exit", "Interrupt"].iter().any(|suffix| class.ends_with(suffix))
}

/// What an exception says in a line that begins with something unknown: behind a space or a bracket, and not in quotes.
pub(crate) fn raised_within(message: &str) -> Option<&str> {
    let colon = memchr::memmem::find(message.as_bytes(), b"Error: ")? + "Error".len();
    let start = message[..colon].rfind(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.')))?;
    let opens = matches!(message.as_bytes()[start], b' ' | b'\t' | b']' | b'|' | b':');
    let name = message.get(start + 1..)?;
    let (text, exception) = strip_exceptions(name);
    (opens && exception.is_some()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_exceptions_are_stripped() {
        assert_eq!(strip_exceptions("ValueError: Free memory").0, "Free memory");
        let nested = "torch._inductor.exc.InductorError: RuntimeError: PassManager::run failed";
        assert_eq!(strip_exceptions(nested), ("PassManager::run failed", Some(35)));
        assert_eq!(strip_exceptions("Error: x"), ("x", Some(0)));
        assert_eq!(strip_exceptions("Setting: x"), ("Setting: x", None));
    }

    #[test]
    fn a_message_does_not_steer_a_terminal() {
        assert_eq!(message("ValueError: a\u{1b}]0;title\u{7}\tb"), "ValueError: a]0;title b");
        // A long one ends with a whole word; one that is a single word ends where it must.
        assert_eq!(message(&"engine died ".repeat(40)), format!("{} …", "engine died ".repeat(33).trim_end()));
        let secret = "hf_abcdefghijklmnopqrstuvwxyz012345";
        for before in 360..MAX_MESSAGE {
            let text = message(&format!("{}={secret}", "x".repeat(before)));
            assert!(!text.contains(&secret[..6]), "{before}: {text}");
        }
        assert_eq!(message(&"x".repeat(500)), format!("{} …", "x".repeat(400)));
    }

    #[test]
    fn an_exception_that_says_nothing_is_one_all_the_same() {
        assert_eq!(strip_exceptions("AssertionError"), ("", Some(0)));
        assert_eq!(strip_exceptions("RuntimeError: NotImplementedError"), ("", Some(14)));
        assert_eq!(strip_exceptions("ValueError: no Error"), ("no Error", Some(0)));
        assert_eq!(strip_exceptions("numpy._core._exceptions._ArrayMemoryError: x"), ("x", Some(0)));
    }

    #[test]
    fn an_exception_behind_a_foreign_prefix_is_found_unless_it_is_quoted() {
        assert_eq!(raised_within("job7 > torch.OutOfMemoryError: CUDA out"), Some("CUDA out"));
        assert_eq!(raised_within("said \"RuntimeError: CUDA out\""), None);
    }
}
