//! An amount with its confidence and basis, not yet tied to a component.

use vramscope_core::{Basis, Bytes, Component, ComponentKind, Confidence, Fact, Scope};

/// An amount of memory, and why it is that.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evidenced {
    /// How much.
    pub size: Bytes,
    /// Half the width of the interval that the source implies, where it implies one.
    pub resolution: Option<Bytes>,
    /// How well it is known.
    pub confidence: Confidence,
    /// Why.
    pub basis: Basis,
}

impl Evidenced {
    /// Ties it to a component.
    pub fn into_component(self, kind: ComponentKind) -> Component {
        let Self { size, resolution, confidence, basis } = self;
        Component { kind, size, resolution, confidence, basis }
    }

    pub(super) fn of_component(component: &Component) -> Self {
        let Component { size, resolution, confidence, ref basis, .. } = *component;
        Self { size, resolution, confidence, basis: basis.clone() }
    }
}

/// What the log says for one rank: the rank's own last figure; else the last one that speaks for every rank; else, as
/// newer engines let one rank print for all, the last figure of any rank.
pub(super) fn pick(facts: &[Fact<Bytes>], rank: u32, of: &str) -> Option<Evidenced> {
    let own = facts.iter().rev().find(|f| f.scope == Scope::ThisRank(rank));
    let each = || facts.iter().rev().find(|f| f.scope == Scope::PerRank);
    let any = || facts.iter().rev().find(|f| matches!(f.scope, Scope::ThisRank(_)));
    let fact = own.or_else(each).or_else(any)?;
    let by_other = matches!(fact.scope, Scope::ThisRank(other) if other != rank);
    let by = if by_other { format!(", printed by another rank for rank {rank}") } else { String::new() };
    Some(Evidenced {
        size: fact.value,
        resolution: fact.resolution,
        confidence: Confidence::Reported,
        basis: Basis {
            method: "engine_log",
            detail: format!("{of}: {}{by}", fact.value),
            log_lines: vec![fact.origin.line],
        },
    })
}

/// Figures added up: known as badly as the worst of them. `None` for no figures, or past 64 bits.
pub(super) fn sum(figures: &[Evidenced]) -> Option<Evidenced> {
    let first = figures.first()?;
    if figures.len() == 1 {
        return Some(first.clone());
    }
    let size = Bytes::checked_sum(figures.iter().map(|f| f.size))?;
    let resolutions: Vec<Bytes> = figures.iter().filter_map(|f| f.resolution).collect();
    let mut lines: Vec<u64> = figures.iter().flat_map(|f| f.basis.log_lines.iter().copied()).collect();
    lines.sort_unstable();
    lines.dedup();
    let alike = figures.iter().all(|f| f.size == first.size);
    let detail = if alike {
        format!("{} times {}", figures.len(), first.basis.detail)
    } else {
        let sizes: Vec<String> = figures.iter().map(|f| f.size.to_string()).collect();
        format!("the sum of {}", sizes.join(", "))
    };
    Some(Evidenced {
        size,
        resolution: if resolutions.is_empty() { None } else { Bytes::checked_sum(resolutions) },
        confidence: figures.iter().map(|f| f.confidence).min()?,
        basis: Basis { method: first.basis.method, detail, log_lines: lines },
    })
}
