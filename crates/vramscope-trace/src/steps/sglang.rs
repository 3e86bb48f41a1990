//! How SGLang's scheduler marks its steps.

use super::{Flags, Part, StepKind, StepName};

/// As `sglang.launch_server` calls them.
pub(super) const FLAGS: Flags = Flags {
    graphs: "launch whole graphs: remove --disable-cuda-graph, or capture the batch sizes that occur (--cuda-graph-max-bs)",
    batch: "raise the batch (--max-running-requests, more concurrent requests) so that each launch does more",
};

/// `DECODE bs=32]`, `EXTEND bs=4 toks=512]`.
pub(super) fn step(rest: &str) -> Option<StepName> {
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
