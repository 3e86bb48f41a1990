//! How SGLang's scheduler marks its steps.

use super::{Part, StepKind, StepName};

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
