//! Two traces against each other, kernel by kernel.

use std::collections::BTreeMap;

use crate::{Category, Summary, fold_name};

/// What times are divided by before they are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// Nothing: totals.
    Total,
    /// The number of steps with GPU work.
    Step,
}

impl Basis {
    /// The name as documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Step => "step",
        }
    }
}

/// One side of a comparison.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct Side {
    /// How often it ran.
    pub count: u64,
    /// Sum of durations, in nanoseconds.
    pub total_ns: u64,
    /// Sum of durations by the basis, in nanoseconds.
    pub compared_ns: f64,
}

/// A kernel that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The kernel's name, or the folded name under which several were matched.
    pub name: String,
    /// Whether it was matched by its folded name.
    pub folded: bool,
    /// What it is for.
    pub category: Category,
    /// Before; `None` if it did not run.
    pub before: Option<Side>,
    /// After; `None` if it did not run.
    pub after: Option<Side>,
}

impl Change {
    /// How much longer it takes, by the basis, in nanoseconds.
    pub fn delta_ns(&self) -> f64 {
        self.after.unwrap_or_default().compared_ns - self.before.unwrap_or_default().compared_ns
    }

    /// The change as a share of what it took before; `None` if it is new.
    pub fn relative(&self) -> Option<f64> {
        let before = self.before.filter(|side| side.compared_ns > 0.0)?;
        Some(self.delta_ns() / before.compared_ns)
    }
}

/// One figure of the whole trace, before and after, by the basis.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Headline {
    /// What it is, `snake_case`.
    pub name: &'static str,
    /// Before, in nanoseconds.
    pub before_ns: f64,
    /// After, in nanoseconds.
    pub after_ns: f64,
}

impl Headline {
    /// The change as a share of what it was; `None` if it was nothing.
    pub fn relative(&self) -> Option<f64> {
        (self.before_ns > 0.0).then(|| (self.after_ns - self.before_ns) / self.before_ns)
    }
}

/// The difference of two traces.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Difference {
    /// What times were divided by.
    pub basis: Basis,
    /// Steps with GPU work, before and after.
    pub steps: (u64, u64),
    /// Kernel time, busy time, and with steps the time from the first to the last step.
    pub headlines: Vec<Headline>,
    /// Kernels that differ, the largest slow-down first and the largest gain last.
    pub changes: Vec<Change>,
    /// Kernels that do not differ.
    pub unchanged: u64,
}

/// A limit that is exceeded.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Exceeded {
    /// The kernel or the headline.
    pub name: String,
    /// By how much it grew, as a share of what it was.
    pub relative: f64,
}

impl Difference {
    /// Compares two traces. Without a basis, steps are used when both traces have them and their numbers differ.
    pub fn of(before: &Summary, after: &Summary, basis: Option<Basis>) -> Self {
        let steps = (gpu_steps(before), gpu_steps(after));
        let comparable = steps.0 > 0 && steps.1 > 0;
        let basis = match basis {
            Some(Basis::Step) | None if comparable && (basis.is_some() || steps.0 != steps.1) => Basis::Step,
            _ => Basis::Total,
        };
        let divisors = match basis {
            Basis::Total => (1, 1),
            Basis::Step => steps,
        };
        let (changes, unchanged) = changes(before, after, divisors);
        let headlines = headlines(before, after, divisors, comparable);
        Self { basis, steps, headlines, changes, unchanged }
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// What grew by more than `limit` (0.05 is 5 %): headlines, and kernels that ran on both sides and take at least
    /// `min_share` of the kernel time of one side. A new kernel counts through the headlines.
    pub fn exceeded(&self, limit: f64, min_share: f64) -> Vec<Exceeded> {
        let over = |relative: Option<f64>| relative.filter(|&relative| relative > limit);
        let headlines = self.headlines.iter().filter_map(|headline| {
            over(headline.relative()).map(|relative| Exceeded { name: headline.name.to_owned(), relative })
        });
        let all = self.headlines.iter().find(|headline| headline.name == KERNEL_TIME);
        let (before, after) = all.map_or((0.0, 0.0), |all| (all.before_ns, all.after_ns));
        let changes = self.changes.iter().filter(move |change| {
            let heavy = |side: Option<Side>, all: f64| side.is_some_and(|side| side.compared_ns >= min_share * all);
            heavy(change.before, before) || heavy(change.after, after)
        });
        let changes = changes.filter_map(|change| {
            over(change.relative()).map(|relative| Exceeded { name: change.name.clone(), relative })
        });
        headlines.chain(changes).collect()
    }
}

const KERNEL_TIME: &str = "kernel_time";

fn gpu_steps(summary: &Summary) -> u64 {
    summary.steps.list.iter().filter(|step| step.gpu.is_some()).count() as u64
}

#[expect(clippy::cast_precision_loss, reason = "times are below 2^53 ns")]
fn per(total_ns: u64, divisor: u64) -> f64 {
    total_ns as f64 / divisor.max(1) as f64
}

fn headlines(before: &Summary, after: &Summary, divisors: (u64, u64), with_steps: bool) -> Vec<Headline> {
    let headline = |name, of: &dyn Fn(&Summary) -> u64| Headline {
        name,
        before_ns: per(of(before), divisors.0),
        after_ns: per(of(after), divisors.1),
    };
    let mut headlines = vec![
        headline(KERNEL_TIME, &|summary| summary.kernel_totals.time_ns),
        headline("busy_time", &|summary| summary.devices.iter().map(|device| device.whole.busy_ns).sum()),
    ];
    if with_steps {
        let span = |summary: &Summary| -> u64 {
            summary.devices.iter().filter_map(|device| device.steps.map(|time| time.span_ns)).sum()
        };
        if span(before) > 0 && span(after) > 0 {
            headlines.push(headline("step_time", &span));
        }
    }
    headlines
}

#[derive(Default)]
struct Pair {
    sides: [Side; 2],
    category: Option<Category>,
    names: Vec<String>,
}

fn changes(before: &Summary, after: &Summary, divisors: (u64, u64)) -> (Vec<Change>, u64) {
    let mut by_name: BTreeMap<&str, Pair> = BTreeMap::new();
    for (place, summary) in [before, after].into_iter().enumerate() {
        for kernel in &summary.kernels {
            let pair = by_name.entry(&kernel.name).or_default();
            pair.sides[place].count += kernel.count;
            pair.sides[place].total_ns += kernel.total_ns;
            pair.category.get_or_insert(kernel.category);
        }
    }
    // Names of one side only meet under their folded name; attention and GEMM may be instances of one template.
    let mut rows: Vec<(String, bool, Pair)> = Vec::new();
    let mut folded: BTreeMap<(String, Option<Category>), Pair> = BTreeMap::new();
    for (name, pair) in by_name {
        if pair.sides.iter().all(|side| side.count > 0) {
            rows.push((name.to_owned(), false, pair));
            continue;
        }
        let group = folded.entry((fold_name(name), pair.category)).or_default();
        for (sum, side) in group.sides.iter_mut().zip(pair.sides) {
            sum.count += side.count;
            sum.total_ns += side.total_ns;
        }
        group.category = pair.category;
        group.names.push(name.to_owned());
    }
    for ((name, _), mut group) in folded {
        let single = (group.names.len() == 1).then(|| group.names.pop()).flatten();
        let is_folded = single.is_none();
        rows.push((single.unwrap_or(name), is_folded, group));
    }
    let all = rows.len();
    let mut changes: Vec<Change> = rows
        .into_iter()
        .map(|(name, folded, pair)| {
            let side = |place: usize, divisor| {
                let Side { count, total_ns, .. } = pair.sides[place];
                (count > 0).then(|| Side { count, total_ns, compared_ns: per(total_ns, divisor) })
            };
            let (before, after) = (side(0, divisors.0), side(1, divisors.1));
            Change { name, folded, category: pair.category.unwrap_or(Category::Other), before, after }
        })
        .filter(|change| change.before != change.after)
        .collect();
    changes.sort_by(|a, b| b.delta_ns().total_cmp(&a.delta_ns()).then_with(|| a.name.cmp(&b.name)));
    let unchanged = (all - changes.len()) as u64;
    (changes, unchanged)
}
