//! Steps of an engine: one run of the model over a batch.

/// What a step computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum StepKind {
    /// Prompts only.
    Prefill,
    /// One or a few tokens for each running request.
    Decode,
    /// Both in one batch.
    Mixed,
    /// The engine says that the batch is empty.
    Empty,
    /// Nothing tells.
    Unknown,
}

impl StepKind {
    /// All of them, in the order in which tables show them.
    pub const ALL: [Self; 5] = [Self::Prefill, Self::Decode, Self::Mixed, Self::Empty, Self::Unknown];

    /// The name as documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prefill => "prefill",
            Self::Decode => "decode",
            Self::Mixed => "mixed",
            Self::Empty => "empty",
            Self::Unknown => "unknown",
        }
    }
}

/// How steps were told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum StepSource {
    /// The engine marked them.
    Engine,
    /// The profiler's schedule marked them (`ProfilerStep#N`).
    Profiler,
    /// The marks are on the GPU's side only.
    GpuMarks,
    /// Detected: after sampling kernels the next model kernel begins a step.
    Detected,
}

impl StepSource {
    /// The name as documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Engine => "engine_annotation",
            Self::Profiler => "profiler_step",
            Self::GpuMarks => "gpu_annotation",
            Self::Detected => "detected",
        }
    }
}

/// What the name of an annotation says about a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StepName {
    pub source: StepSource,
    pub kind: StepKind,
    pub context: Part,
    pub generation: Part,
}

/// Requests and tokens of one part of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Part {
    pub requests: Option<u64>,
    pub tokens: Option<u64>,
}

impl Part {
    /// This part, with what only another mark of it says.
    pub(crate) fn or(self, other: Self) -> Self {
        Self { requests: self.requests.or(other.requests), tokens: self.tokens.or(other.tokens) }
    }
}

impl StepName {
    /// Reads the name of an annotation; `None` if it marks no step.
    pub(crate) fn parse(name: &[u8]) -> Option<Self> {
        if name.starts_with(b"ProfilerStep#") {
            let nothing = Part::default();
            return Some(Self {
                source: StepSource::Profiler,
                kind: StepKind::Unknown,
                context: nothing,
                generation: nothing,
            });
        }
        let name = std::str::from_utf8(name).ok()?;
        name.strip_prefix("execute_").and_then(vllm).or_else(|| name.strip_prefix("step[").and_then(sglang))
    }

    fn new(context: Part, generation: Part) -> Self {
        let kind = match (context.requests, generation.requests) {
            (Some(0), Some(0)) => StepKind::Empty,
            (Some(_), Some(0)) => StepKind::Prefill,
            (Some(0), Some(_)) => StepKind::Decode,
            (Some(_), Some(_)) => StepKind::Mixed,
            _ => StepKind::Unknown,
        };
        Self { source: StepSource::Engine, kind, context, generation }
    }
}

/// vLLM's worker: `context_8(2048)_generation_0(0)`; with detailed annotations a total comes first and the brackets hold
/// `sq` and more: `32_context_0(sq0sk0sqsq0sqsk0)_generation_32(sq32sk55086sqsq32sqsk55086)`.
fn vllm(rest: &str) -> Option<StepName> {
    let start = if rest.starts_with("context_") { 0 } else { rest.find("_context_")? + 1 };
    let rest = rest[start..].strip_prefix("context_")?;
    let (context, generation) = rest.split_once("_generation_")?;
    Some(StepName::new(part(context)?, part(generation)?))
}

/// `8(2048)` or `8(sq2048sk…)`.
fn part(text: &str) -> Option<Part> {
    let (requests, tokens) = text.split_once('(')?;
    let tokens = tokens.strip_prefix("sq").unwrap_or(tokens);
    let end = tokens.find(|c: char| !c.is_ascii_digit()).unwrap_or(tokens.len());
    Some(Part { requests: Some(requests.parse().ok()?), tokens: tokens[..end].parse().ok() })
}

/// SGLang's scheduler: `DECODE bs=32]`, `EXTEND bs=4 toks=512]`.
fn sglang(rest: &str) -> Option<StepName> {
    let rest = rest.strip_suffix(']')?;
    let mut words = rest.split_whitespace();
    let mode = words.next()?;
    let number = |key: &str| words.clone().find_map(|word| word.strip_prefix(key)).and_then(|value| value.parse().ok());
    let all = Part { requests: number("bs="), tokens: number("toks=") };
    let none = Part { requests: Some(0), tokens: Some(0) };
    let mut step = match mode {
        "DECODE" => StepName::new(none, all),
        "EXTEND" | "PREFILL" => StepName::new(all, none),
        _ => StepName::new(Part::default(), Part::default()),
    };
    match mode {
        "DECODE" => step.kind = StepKind::Decode,
        "EXTEND" | "PREFILL" => step.kind = StepKind::Prefill,
        "MIXED" => step.kind = StepKind::Mixed,
        "IDLE" => step.kind = StepKind::Empty,
        _ => {}
    }
    Some(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kind, prompts, their tokens, and generating requests.
    type Said = (StepKind, Option<u64>, Option<u64>, Option<u64>);

    fn read(name: &str) -> Option<Said> {
        let step = StepName::parse(name.as_bytes())?;
        Some((step.kind, step.context.requests, step.context.tokens, step.generation.requests))
    }

    #[test]
    fn engines_name_their_steps() {
        use StepKind::{Decode, Empty, Mixed, Prefill, Unknown};
        assert_eq!(read("execute_context_8(2048)_generation_0(0)"), Some((Prefill, Some(8), Some(2048), Some(0))));
        assert_eq!(read("execute_context_1(888_788544)_generation_0(0)"), Some((Prefill, Some(1), Some(888), Some(0))));
        assert_eq!(
            read("execute_32_context_0(sq0sk0sqsq0sqsk0)_generation_32(sq32sk55086sqsq32sqsk55086)"),
            Some((Decode, Some(0), Some(0), Some(32)))
        );
        assert_eq!(read("execute_context_2(9)_generation_3(3)"), Some((Mixed, Some(2), Some(9), Some(3))));
        assert_eq!(read("execute_context_0(0)_generation_0(0)"), Some((Empty, Some(0), Some(0), Some(0))));
        assert_eq!(read("step[DECODE bs=32]"), Some((Decode, Some(0), Some(0), Some(32))));
        assert_eq!(read("step[EXTEND bs=4 toks=512]"), Some((Prefill, Some(4), Some(512), Some(0))));
        assert_eq!(read("ProfilerStep#6"), Some((Unknown, None, None, None)));
        for other in ["forward", "execute_model", "execute_context_x(1)_generation_0(0)", "step[", "execute_é_context_"]
        {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
