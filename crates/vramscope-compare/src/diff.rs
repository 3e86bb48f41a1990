//! Two profiles against each other.

use vramscope_schema::v3::{Profile, RunStatus};

use crate::figure::{Better, Figure, Quantity, figures};
use crate::setting::settings;

/// Two profiles against each other.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Difference {
    /// What the two runs were set up with, where it differs.
    pub settings: Vec<SettingChange>,
    /// Every figure that at least one of them has.
    pub figures: Vec<Change>,
    /// What makes the comparison doubtful, in sentences.
    pub cautions: Vec<String>,
}

/// A setting that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SettingChange {
    /// Its name.
    pub name: &'static str,
    /// In the first profile; `None` where that is silent.
    pub before: Option<String>,
    /// In the second.
    pub after: Option<String>,
}

/// One figure in both.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// Its name, which ends in its unit.
    pub name: &'static str,
    /// Which way it should move.
    pub better: Better,
    /// In the first profile.
    pub before: Option<Quantity>,
    /// In the second.
    pub after: Option<Quantity>,
}

impl Change {
    /// How much more the second has.
    pub fn delta(&self) -> Option<Quantity> {
        self.after?.less(self.before?)
    }

    /// The same as a share of the first; `None` where the first is zero.
    pub fn relative(&self) -> Option<f64> {
        let before = self.before?.as_f64();
        (before != 0.0).then(|| self.delta().map(|delta| delta.as_f64() / before.abs()))?
    }

    /// By what share it became worse; infinite from zero, `None` where it did not.
    fn worse(&self) -> Option<f64> {
        let delta = self.delta()?.as_f64();
        let worse = match self.better {
            Better::Lower => delta > 0.0,
            Better::Higher => delta < 0.0,
            Better::Neither => false,
        };
        worse.then(|| self.relative().map_or(f64::INFINITY, f64::abs))
    }
}

/// By how much a figure may become worse.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// The figure by its name; `None` for each that has a better direction and stands in both profiles.
    pub figure: Option<String>,
    /// The share of the first profile's value, 0.05 for 5 percent.
    pub share: f64,
}

/// A figure that became worse by more than its limit.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Exceeded {
    /// Its name.
    pub figure: &'static str,
    /// By what share it became worse; infinite where it was zero.
    pub worse_by: f64,
    /// Its limit.
    pub limit: f64,
}

/// What limits say of a difference.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Verdict {
    /// What became worse by more than its limit.
    pub exceeded: Vec<Exceeded>,
    /// Figures with a limit of their own that cannot be judged: not in both profiles, or without a better direction.
    pub unjudged: Vec<String>,
}

/// The settings in which two profiles differ.
pub(crate) fn changed(before: &Profile, after: &Profile) -> Vec<SettingChange> {
    let changed = settings().iter().filter_map(|setting| {
        let (was, is) = (setting.of(before), setting.of(after));
        (was != is).then_some(SettingChange { name: setting.name, before: was, after: is })
    });
    changed.collect()
}

impl Difference {
    /// The difference from the first to the second.
    pub fn of(before: &Profile, after: &Profile) -> Self {
        let both = figures().iter().map(|figure| Change {
            name: figure.name,
            better: figure.better,
            before: figure.of(before),
            after: figure.of(after),
        });
        Self {
            settings: changed(before, after),
            figures: both.filter(|change| change.before.is_some() || change.after.is_some()).collect(),
            cautions: [(before, "first"), (after, "second")]
                .into_iter()
                .flat_map(|(p, n)| cautions(p, Some(n)))
                .chain(two_senders(before, after))
                .collect(),
        }
    }

    /// Judges it. A figure's own limit holds in place of the general one.
    pub fn judge(&self, limits: &[Limit]) -> Verdict {
        let mut verdict = Verdict::default();
        let general = limits.iter().rev().find(|limit| limit.figure.is_none()).map(|limit| limit.share);
        for change in &self.figures {
            let own = limits.iter().rev().find(|limit| limit.figure.as_deref() == Some(change.name));
            let limit = own.map(|limit| limit.share).or(general);
            if let (Some(limit), Some(worse_by)) = (limit, change.worse())
                && worse_by > limit
            {
                verdict.exceeded.push(Exceeded { figure: change.name, worse_by, limit });
            }
        }
        verdict.exceeded.sort_by(|a, b| b.worse_by.total_cmp(&a.worse_by));
        let judged = |name: &str| {
            let change = self.figures.iter().find(|change| change.name == name);
            change.is_some_and(|change| change.better != Better::Neither && change.delta().is_some())
        };
        let named = limits.iter().filter_map(|limit| limit.figure.as_deref());
        verdict.unjudged = named.filter(|name| !judged(name)).map(str::to_owned).collect();
        verdict
    }
}

/// Requests of a profile that were not answered whole, in words; `None` where all were, or it does not say.
fn unanswered(profile: &Profile) -> Option<String> {
    let served = profile.served_stats.as_ref()?;
    let kinds = [("failed", served.failed_requests), ("were not sent", served.unsent_requests)];
    let told: Vec<String> =
        kinds.into_iter().filter_map(|(how, n)| Some(format!("{} {how}", n.filter(|n| *n > 0)?))).collect();
    let all = served.completed_requests.unwrap_or(0) + kinds.iter().filter_map(|(_, n)| *n).sum::<u64>();
    (!told.is_empty()).then(|| format!("of {all} requests {}", told.join(", ")))
}

/// Load generators have clocks and tokenizers of their own.
pub(crate) fn two_senders(before: &Profile, after: &Profile) -> Option<String> {
    let of = |profile: &Profile| profile.served_stats.as_ref()?.sent_by.clone();
    let (first, second) = (of(before)?, of(after)?);
    (first != second).then(|| {
        format!("{first} and {second} measured the two: what differs may be how they measure and count tokens")
    })
}

/// Requests that were answered, and not as they were asked, in words.
pub(crate) fn unlike_asked(profile: &Profile) -> Option<String> {
    let served = profile.served_stats.as_ref()?;
    let kinds = [
        ("answers have fewer tokens than asked for", served.short_requests),
        ("requests were sent late", served.late_requests),
    ];
    let told: Vec<String> =
        kinds.into_iter().filter_map(|(how, n)| Some(format!("{} {how}", n.filter(|n| *n > 0)?))).collect();
    (!told.is_empty()).then(|| told.join(", "))
}

/// What makes figures of a profile doubtful; `which` of two it is.
pub(crate) fn cautions(profile: &Profile, which: Option<&str>) -> Vec<String> {
    let it = which.map_or("the profile".to_owned(), |which| format!("the {which} profile"));
    let mut found = Vec::new();
    match profile.metadata.status {
        Some(RunStatus::Failed) => found.push(format!("{it} is of a run that failed")),
        Some(RunStatus::Interrupted) => found.push(format!("{it} is of a run that was stopped")),
        _ => {}
    }
    found.extend(unanswered(profile).map(|told| format!("{it}: {told}; its times and rates are of the others")));
    found.extend(unlike_asked(profile).map(|told| format!("{it}: {told}")));
    let doubtful = |figure: &&Figure| figure.of(profile).is_some() && figure.unproven(profile);
    let unproven: Vec<&str> = figures().iter().filter(doubtful).map(|figure| figure.name).collect();
    if !unproven.is_empty() {
        let from = profile.migration.as_ref().map_or("?", |migration| migration.from.as_str());
        found.push(format!(
            "{it} came from version {from}, and nothing proves the unit of {}: they may be off by 7.4 %",
            unproven.join(", ")
        ));
    }
    found
}
