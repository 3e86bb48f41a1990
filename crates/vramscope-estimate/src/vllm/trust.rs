//! How far a figure can be trusted: what of the model is understood, and which release the rules were checked against.

use vramscope_core::{Architecture, Confidence, Layer, Mixer};

use crate::figure::Figure;
use crate::vllm::indifferent::is_of_other_senses;
use crate::vllm::input::{EngineArgs, EngineVersion};
use crate::vllm::kv::KvPlan;
use crate::vllm::{asked, classes, drafts};

/// How well the rules for a release are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Checked {
    /// The engine before the present one (to 0.7): other rules, which are not known here.
    Before,
    /// Newer than any release that was looked at.
    Newer,
    /// Older or between releases that were checked; the rules were read in part.
    Between,
    /// Cache and weights were compared with the release's own planner: 0.28.0, 0.30.0, 0.32.0.
    Planned,
    /// Engines of it were recorded: 0.25.1 and 0.33.0.
    Recorded,
}

impl Checked {
    /// The name as documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Newer => "newer",
            Self::Between => "between",
            Self::Planned => "planned",
            Self::Recorded => "recorded",
        }
    }
}

impl EngineVersion {
    /// How well the rules for this release are known.
    pub const fn checked(self) -> Checked {
        match (self.major, self.minor, self.patch) {
            (0, 25, 1) | (0, 33, 0) => Checked::Recorded,
            (0, 28 | 30 | 32, 0) => Checked::Planned,
            (0, 0..8, _) => Checked::Before,
            (0, 8..33, _) => Checked::Between,
            _ => Checked::Newer,
        }
    }
}

/// What was given, matters for memory and is not modelled, by name.
pub(crate) fn unmodelled(model: &Architecture, args: &EngineArgs) -> Vec<String> {
    let concerns = |option: &&String| model.tower.is_some() || !is_of_other_senses(option);
    let mut found: Vec<String> = args.unmodelled.iter().filter(concerns).cloned().collect();
    found.extend(asked::unserved(model, args));
    if model.quantization.as_ref().is_some_and(|own| own.method == "gguf") && args.version.from_minor(25) {
        found.push("a GGUF file, for which vLLM 0.25.1 and 0.33.0 have no loader".to_owned());
    }
    let sparse = |layer: &Layer| matches!(layer.mixer, Mixer::Latent(latent) if latent.sparse);
    let declared = model.quantization.as_ref().and_then(|own| own.kv_cache.as_deref());
    if args.kv_cache_dtype.is_none()
        && declared.is_some_and(|name| name.starts_with("fp8"))
        && model.layers.iter().any(sparse)
    {
        // Until 0.28 no kernel on Hopper serves it, since 0.30 FlashInfer's does, where it is installed.
        found.push(
            "sparse attention over the 8-bit cache that the checkpoint declares (not every kernel serves it)"
                .to_owned(),
        );
    }
    found.extend(args.hf_overrides.as_ref().map(|_| "--hf-overrides".to_owned()));
    let Some(drafter) = &args.drafter else { return found };
    found.extend_from_slice(&drafter.unmodelled);
    if found.is_empty() && !drafts::is_modelled(model, Some(drafter)) {
        let why =
            if drafter.wants_model() { "its model's config is not at hand" } else { "such a drafter is not known" };
        found.push(format!("--speculative-config ({why})"));
    }
    found
}

/// What stands against the certainty of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Doubts {
    unread: bool,
    /// What is not understood compresses the cache or selects from it.
    compressed: bool,
    /// It attends to compressed tokens, of which no run was recorded.
    compressing: bool,
    /// The release has no class of its own for it.
    foreign: bool,
    unknown_family: bool,
    unlike_plan: bool,
    unmodelled: bool,
    /// What its drafter holds and computes is not known.
    unread_drafter: bool,
    checked: Checked,
}

impl Doubts {
    pub(crate) fn of(model: &Architecture, args: &EngineArgs, plan: &KvPlan) -> Self {
        Self {
            unread: !model.unread.is_empty(),
            // States of a class that gives out vectors may stand at the model's longest length.
            compressed: model.unread.iter().any(|key| {
                let states = key == "architectures" && model.has_recurrence();
                states || key.contains("compress") || key.contains("sparse")
            }),
            compressing: model.has_compressed_attention(),
            foreign: classes::lacks(model, args.version),
            unknown_family: !model.known_family,
            unlike_plan: plan.approximate,
            unmodelled: !unmodelled(model, args).is_empty(),
            unread_drafter: !drafts::is_modelled(model, args.drafter.as_ref()),
            checked: args.version.checked(),
        }
    }

    /// Whether an answer may be called certain where its interval allows it.
    pub(crate) fn none(self) -> bool {
        !self.unread
            && !self.unknown_family
            && !self.foreign
            && !self.unlike_plan
            && !self.unmodelled
            && self.checked >= Checked::Between
    }

    /// By how much a figure of the cache may be off, as a divisor below and a factor above, in thousandths.
    fn factors(self) -> Option<(u64, Confidence)> {
        if self.compressed {
            // MiniMax-M3's blocks 16 of what is taken for it.
            Some((32_000, Confidence::Assumed))
        } else if self.foreign {
            // Hy 4's latents, whose heads transformers' class keeps each.
            Some((8000, Confidence::Assumed))
        } else if self.unread || self.checked == Checked::Before {
            // Layers taken for windowed ones halved a cache; an index or a compression may quarter it.
            Some((4000, Confidence::Assumed))
        } else if self.unlike_plan || self.unmodelled || self.checked == Checked::Newer {
            Some((2000, Confidence::Assumed))
        } else if self.unknown_family {
            Some((1250, Confidence::Estimated))
        } else {
            None
        }
    }

    /// Widens a figure of a part that the model's shape decides, where not all of the shape is understood. A drafter that is
    /// not read adds to the part and takes nothing from it: by 31 and 34 % of the peak where an EAGLE-3 head of
    /// Llama-3.1-8B was recorded, by as much again for a draft of the model's own size.
    pub(crate) fn widen_part(self, figure: Figure) -> Figure {
        if figure.value == 0 {
            return figure;
        }
        let shape = if self.unread || self.foreign || self.compressing { 3 } else { 1 };
        let drafter = if self.unread_drafter { 2 } else { 1 };
        if shape * drafter == 1 {
            return figure;
        }
        let (low, high) = (figure.low / shape, figure.high.saturating_mul(shape * drafter));
        figure.within(low, high, Confidence::Assumed)
    }

    /// Widens a figure of the cache.
    pub(crate) fn widen(self, figure: Figure) -> Figure {
        let Some((factor, confidence)) = self.factors() else { return figure };
        let low = u128::from(figure.low) * 1000 / u128::from(factor);
        let high = u128::from(figure.high) * u128::from(factor) / 1000;
        let narrow = |wide: u128| u64::try_from(wide).unwrap_or(u64::MAX);
        let confidence = figure.confidence.min(confidence);
        figure.within(narrow(low), narrow(high), confidence)
    }

    /// What to tell of options that are not modelled, and of a release that was neither recorded nor compared.
    pub(crate) fn notes(self, model: &Architecture, args: &EngineArgs) -> Vec<String> {
        let (version, newest) = (args.version, EngineVersion::NEWEST);
        let mut notes = Vec::new();
        if self.unmodelled {
            let options = unmodelled(model, args).join(", ");
            notes.push(format!("not modelled, so that nothing is certain: {options}"));
        }
        if self.compressing {
            let what = "no run of attention over compressed tokens was recorded";
            notes
                .push(format!("{what}: activations and graphs of it are estimates, and may be a third or three times"));
        }
        if self.foreign {
            let class = model.class.as_deref().unwrap_or_default();
            notes.push(format!(
                "vLLM {version} has no class `{class}` of its own: where it serves the model, transformers' class is split \
                 and cached in its own way"
            ));
        }
        notes.extend(match self.checked {
            Checked::Recorded | Checked::Planned => None,
            Checked::Between => {
                Some(format!("vLLM {version} was not checked: its budget follows the releases before and after it"))
            }
            Checked::Newer => Some(format!(
                "vLLM {version} is newer than {newest}, the newest release that was checked: computed as that one, and \
                 never certain"
            )),
            Checked::Before => {
                Some(format!("vLLM {version} has the engine before the present one, whose rules are not known here"))
            }
        });
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_stand_where_they_were_looked_at() {
        let checked = |text: &str| text.parse::<EngineVersion>().unwrap().checked();
        assert_eq!(checked("0.25.1"), Checked::Recorded);
        assert_eq!(checked("0.33.0"), Checked::Recorded);
        assert_eq!(checked("0.30.0"), Checked::Planned);
        assert_eq!(checked("0.30.2"), Checked::Between, "another patch than the one that was looked at");
        assert_eq!(checked("0.25.0"), Checked::Between);
        assert_eq!(checked("0.33.1"), Checked::Newer);
        assert_eq!(checked("0.27.0"), Checked::Between);
        assert_eq!(checked("0.6.3"), Checked::Before);
        assert_eq!(checked("0.34.0"), Checked::Newer);
        assert_eq!(checked("1.0.0"), Checked::Newer);
    }
}
