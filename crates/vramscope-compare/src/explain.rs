//! Why a KV cache is as large as it is, and why that of another run is larger or smaller.
//!
//! An engine's KV cache is what is left: of the amount that it asked for it takes off weights, what it keeps beside them, a
//! peak, and graphs. [`Account`] has these subtractions for one run, as its own figures state them; [`Ledger`] is the
//! difference of two, term by term. Both add up exactly: what no figure explains is a term of its own.

mod account;
mod ledger;
mod tokens;

pub use account::{Account, Amount, Counting};
pub use ledger::{Cause, Ledger, Term};

use vramscope_schema::v3::Profile;

/// One step of a start in one or two runs.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StartStep {
    /// What, as a stable name: the event of the log that ends it.
    pub name: String,
    /// How long it took in the first run: as its line says, else since the event before it. Unit: seconds.
    pub before_s: Option<f64>,
    /// The same in the second run.
    pub after_s: Option<f64>,
    /// What is known of a step that not every release has.
    pub why: Option<&'static str>,
}

/// What is known of steps that not every release or model has.
fn why(name: &str) -> Option<&'static str> {
    Some(match name {
        "graphs_tried" => "since 0.29 graphs are captured on trial before the KV cache is sized, and again at the end",
        "kernels_tuned" => "kernels are tried for their speed; --no-enable-flashinfer-autotune leaves that out",
        _ => return None,
    })
}

/// The events that end the steps of a start, in order.
const STEPS: &[&str] = &[
    "load_began",
    "weights_loaded",
    "compiled",
    "graphs_tried",
    "profiled",
    "kv_pool_sized",
    "kernels_tuned",
    "graphs_captured",
    "engine_ready",
    "server_ready",
];

/// The start of one run, or of two side by side. Each step lasts from the event before it, so that they add up to the
/// whole start.
pub fn start(before: &Profile, after: Option<&Profile>) -> Vec<StartStep> {
    let (first, second) = (steps(before), after.map(steps).unwrap_or_default());
    let of = |steps: &[(&str, f64)], name: &str| steps.iter().find(|(known, _)| *known == name).map(|(_, took)| *took);
    let all = STEPS.iter().map(|name| StartStep {
        name: (*name).to_owned(),
        before_s: of(&first, name),
        after_s: of(&second, name),
        why: why(name),
    });
    all.filter(|step| step.before_s.is_some() || step.after_s.is_some()).collect()
}

/// The steps of one start with their seconds.
fn steps(profile: &Profile) -> Vec<(&'static str, f64)> {
    let Some(metrics) = &profile.vllm_internal_metrics else { return Vec::new() };
    let mut last = 0.0;
    let mut steps = Vec::new();
    for name in STEPS {
        let at = metrics.steps.iter().find(|step| step.name == *name).and_then(|step| step.at_s);
        let Some(at) = at.filter(|at| *at >= last) else { continue };
        steps.push((*name, at - last));
        last = at;
    }
    steps
}
