//! What an operator should know, each from evidence with the figures in it.
//!
//! A check looks at one thing and is silent when there is nothing to say. To add one: a function here or in a module
//! below, and a row in [`CHECKS`].

mod engine;
mod evidence;
mod growth;
mod memory;
mod model;
mod work;

use std::time::Duration;

use vramscope_core::{ByteDelta, Bytes};
use vramscope_schema::v3::{Diagnostic, Figures, Severity};

use crate::advice::{Setting, Topic, advice};
use crate::known::Known;

/// A check; `None` is silence.
type Check = fn(&Known<'_>) -> Option<Diagnostic>;

/// All checks.
const CHECKS: &[Check] = &[
    engine::failed,
    engine::prints_no_memory,
    engine::killed,
    engine::ended_badly,
    engine::cut_off,
    engine::process_memory,
    engine::no_engine_log,
    engine::ranks_contradict_devices,
    model::given_sizes,
    memory::weights_against_config,
    memory::kv_pool_against_workload,
    memory::kv_pool_nearly_full,
    memory::used_beyond_request,
    memory::residual,
    memory::not_returned,
    memory::other_processes,
    memory::headroom,
    growth::grows,
    work::underused,
    work::held_back,
    work::latency_varies,
    work::cache_hits,
    evidence::no_baseline,
    evidence::no_clock,
    evidence::gaps,
    evidence::few_samples,
    evidence::pool_not_seen,
];

/// Runs every check; the worst findings come first.
pub(crate) fn run(known: &Known<'_>) -> Vec<Diagnostic> {
    let mut found: Vec<Diagnostic> = CHECKS.iter().filter_map(|check| check(known)).collect();
    found.sort_by_key(|d| std::cmp::Reverse(d.severity));
    found
}

/// A diagnostic under construction.
fn diagnostic(code: &str, severity: Severity, message: String) -> Diagnostic {
    let code = code.to_owned();
    Diagnostic { code, severity, message, advice: None, evidence: Figures::new(), log_lines: Vec::new() }
}

/// Adds advice.
fn advise(diagnostic: Diagnostic, advice: &str) -> Option<Diagnostic> {
    Some(Diagnostic { advice: Some(advice.to_owned()), ..diagnostic })
}

/// Adds the advice of the engine that ran.
fn advise_on(diagnostic: Diagnostic, known: &Known<'_>, topic: Topic) -> Option<Diagnostic> {
    advise(diagnostic, &advice(setting(known), topic))
}

/// How the run was, as far as advice depends on it.
fn setting<'a>(known: &'a Known<'_>) -> Setting<'a> {
    Setting { engine: known.evidence.engine_kind(), facts: known.facts, on_cpu: known.is_on_cpu() }
}

/// A share in percent with one decimal.
fn percent_of(part: f64, whole: Bytes) -> f64 {
    if whole == Bytes::ZERO { 0.0 } else { part / whole.as_f64() * 100.0 }
}

/// A time in the unit that reads best.
fn long(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} minutes", seconds / 60),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A signed amount in words.
fn signed(delta: ByteDelta) -> String {
    format!("{} {}", delta.magnitude(), if delta.get() < 0 { "less" } else { "more" })
}
