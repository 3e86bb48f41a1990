//! Steps of an engine: one run of the model over a batch.

mod sglang;
mod vllm;

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

/// Flags of the engine that marked steps, for advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flags {
    /// How its steps become graphs.
    pub graphs: &'static str,
    /// How its batches become larger.
    pub batch: &'static str,
}

impl Flags {
    /// The flags of the engine that gives steps such names; `None` where no engine does.
    pub(crate) fn of(step: &str) -> Option<Self> {
        if step.strip_prefix("execute_").and_then(vllm::step).is_some() {
            Some(vllm::FLAGS)
        } else {
            step.strip_prefix("step[").and_then(sglang::step).map(|_| sglang::FLAGS)
        }
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
        name.strip_prefix("execute_").and_then(vllm::step).or_else(|| name.strip_prefix("step[").and_then(sglang::step))
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
