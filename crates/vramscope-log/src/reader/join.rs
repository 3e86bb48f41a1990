//! Puts together what was cut: lines that a container runtime splits, and lines that a terminal wraps.

use vramscope_core::LogTime;

use crate::record::{self, Record};

/// Longest text that is put together.
const MAX_JOINED: usize = 128 * 1024;
/// Most continuations of one wrapped line.
const MAX_CONTINUATIONS: u8 = 8;

/// What a container runtime's mark says of a piece.
#[derive(Debug)]
pub(crate) enum Runtime {
    /// It is whole.
    Whole,
    /// It is the beginning of a line and kept for later.
    Held,
    /// It ends a line, which is this.
    Joined(String),
}

/// The surroundings of a record that ended within its format.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub(crate) tag: Option<String>,
    pub(crate) level: Option<String>,
    /// The service or pod that wrote it.
    pub(crate) service: Option<String>,
    pub(crate) stage: Option<u32>,
    pub(crate) clock: Option<LogTime>,
    pub(crate) line: u64,
    /// The rank that stands before it.
    pub(crate) rank: Option<u32>,
    /// How many of its values are known already.
    pub(crate) known: usize,
    /// Whether it was applied.
    pub(crate) applied: bool,
}

#[derive(Debug)]
struct Open {
    message: String,
    owner: Owner,
    left: u8,
}

/// Keeps beginnings until their ends come.
#[derive(Debug, Default)]
pub(crate) struct Joiner {
    /// Beginnings of lines, by stream.
    partial: [Option<String>; 2],
    open: Option<Open>,
}

impl Joiner {
    /// Whether the next piece must be read.
    pub(crate) fn wants_next(&self) -> bool {
        self.open.is_some() || self.partial.iter().any(Option::is_some)
    }

    /// Looks for `stdout P` and `stdout F` behind a time.
    pub(crate) fn runtime(&mut self, text: &str) -> Runtime {
        let Some((stream, whole, lead)) = runtime_mark(text) else { return Runtime::Whole };
        let slot = &mut self.partial[stream];
        if !whole {
            match slot {
                Some(held) if held.len() < MAX_JOINED => held.push_str(&text[lead..]),
                Some(_) => {}
                None => *slot = Some(text.to_owned()),
            }
            return Runtime::Held;
        }
        match slot.take() {
            None => Runtime::Whole,
            Some(mut held) => {
                held.push_str(&text[lead..]);
                Runtime::Joined(held)
            }
        }
    }

    /// What is still held at the end.
    pub(crate) fn end(&mut self) -> Vec<String> {
        self.open = None;
        self.partial.iter_mut().filter_map(Option::take).collect()
    }

    /// Remembers a record that ended within its format.
    pub(crate) fn open(&mut self, record: &Record<'_>, line: u64, known: usize, applied: bool) {
        let owner = Owner {
            tag: record.tag.map(str::to_owned),
            level: record.level.map(str::to_owned),
            service: record.stream.name.map(str::to_owned),
            stage: record.stream.stage,
            clock: record.clock,
            line,
            rank: record.rank,
            known,
            applied,
        };
        self.open = Some(Open { message: record.message.to_owned(), owner, left: MAX_CONTINUATIONS });
    }

    /// If the last record was cut and this text can be its continuation, the two together.
    pub(crate) fn continued(&mut self, text: &str) -> Option<(String, Owner)> {
        let mut open = self.open.take()?;
        if open.left == 0 || open.message.len() > MAX_JOINED || is_of_its_own(text) {
            return None;
        }
        open.message.push_str(text.trim_end());
        let joined = (open.message.clone(), open.owner.clone());
        open.left -= 1;
        self.open = Some(open);
        Some(joined)
    }

    /// The continuation was enough, or brought more values.
    pub(crate) fn known(&mut self, values: usize, whole: bool) {
        if whole {
            self.open = None;
        } else if let Some(open) = &mut self.open {
            open.owner.known = values;
            open.owner.applied = true;
        }
    }
}

/// Whether a text begins something: it has a prefix, or it is a line that is never a continuation.
pub(crate) fn is_of_its_own(text: &str) -> bool {
    let trimmed = text.trim_start();
    if trimmed.is_empty() || trimmed.starts_with("Traceback ") || trimmed.starts_with("File \"") {
        return true;
    }
    let mut own = false;
    record::each(text, |record| own |= record.level.is_some() || record.tag.is_some() || record.clock.is_some());
    own
}

/// The stream, whether the line is whole, and where its text begins, of `2025-06-02T11:20:30.1Z stdout F text`.
pub(super) fn runtime_mark(text: &str) -> Option<(usize, bool, usize)> {
    if !text.as_bytes().first()?.is_ascii_digit() {
        return None;
    }
    let (_, len) = crate::clock::iso(text)?;
    let rest = &text[len..];
    let (stream, rest) = match (rest.strip_prefix(" stdout "), rest.strip_prefix(" stderr ")) {
        (Some(rest), _) => (0, rest),
        (_, Some(rest)) => (1, rest),
        _ => return None,
    };
    let whole = match rest.as_bytes().first()? {
        b'F' => true,
        b'P' => false,
        _ => return None,
    };
    let lead = len + " stdout ".len() + 1;
    match text.as_bytes().get(lead) {
        None => Some((stream, whole, lead)),
        Some(b' ') => Some((stream, whole, lead + 1)),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_line_is_put_together_by_stream() {
        let mut joiner = Joiner::default();
        assert!(matches!(joiner.runtime("2025-06-02T11:20:30.1Z stdout P Model load"), Runtime::Held));
        assert!(matches!(joiner.runtime("2025-06-02T11:20:30.1Z stderr F other"), Runtime::Whole));
        assert!(joiner.wants_next());
        match joiner.runtime("2025-06-02T11:20:30.2Z stdout F ing took 1 GiB") {
            Runtime::Joined(text) => assert!(text.ends_with("Model loading took 1 GiB"), "{text}"),
            other => panic!("{other:?}"),
        }
        assert!(!joiner.wants_next());
        assert!(matches!(joiner.runtime("no runtime at all"), Runtime::Whole));
    }

    #[test]
    fn what_has_a_prefix_is_no_continuation() {
        assert!(!is_of_its_own("e is needed, which is larger"));
        assert!(is_of_its_own("INFO 05-20 19:02:33 [a.py:1] x"));
        assert!(is_of_its_own("(EngineCore pid=402) x"));
        assert!(is_of_its_own("2025-06-02T11:20:30Z x"));
        assert!(is_of_its_own("  File \"x.py\", line 1"));
    }
}
