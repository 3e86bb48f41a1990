//! How vLLM's worker marks its steps.

use super::{Flags, Part, StepName};

/// As `vllm serve` calls them.
pub(super) const FLAGS: Flags = Flags {
    graphs: "launch whole graphs: remove --enforce-eager, or capture the batch sizes that occur",
    batch: "raise the batch (--max-num-seqs, more concurrent requests) so that each launch does more",
};

/// `context_8(2048)_generation_0(0)`; with detailed annotations a total comes first and the brackets hold
/// `sq` and more: `32_context_0(sq0sk0sqsq0sqsk0)_generation_32(sq32sk55086sqsq32sqsk55086)`.
pub(super) fn step(rest: &str) -> Option<StepName> {
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
