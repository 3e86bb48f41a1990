//! Our answer beside an engine's.

use vramscope_core::{Architecture, Bytes};
use vramscope_estimate::{
    Budget, CommandLine, EngineArgs, EngineVersion, Figure, Part, Setting, budget, find_device, parameter_count,
    weights_on_device,
};

use super::truth::{Plan, Truth};

/// How an answer compares, the best first. A case is as good as its worst figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    Exact,
    Near,
    Inside,
    /// Both refuse.
    Refused,
    /// The engine serves it and we refuse.
    RefusedThoughServed,
    Wrong,
    /// The engine could not be asked.
    Unknown,
}

impl Class {
    pub(crate) const ALL: [(Self, &str); 7] = [
        (Self::Exact, "exact"),
        (Self::Near, "<= 0.1 %"),
        (Self::Inside, "inside the interval"),
        (Self::Refused, "refused by both"),
        (Self::RefusedThoughServed, "refused though served"),
        (Self::Wrong, "wrong"),
        (Self::Unknown, "the engine could not be asked"),
    ];
}

/// A case with its class and what is not exact in it.
pub(crate) struct Judged {
    pub(crate) class: Class,
    pub(crate) why: Vec<String>,
}

impl Judged {
    fn new() -> Self {
        Self { class: Class::Exact, why: Vec::new() }
    }

    fn add(&mut self, class: Class, why: String) {
        if class > Class::Exact {
            self.why.push(why);
        }
        self.class = self.class.max(class);
    }

    fn of(class: Class, why: impl Into<String>) -> Self {
        Self { class, why: vec![why.into()] }
    }
}

/// The room for the cache in an answer that states none.
const USUAL_ROOM: u64 = 40 << 30;

/// Compares what is computed of a config with what the engine said of it.
pub(crate) fn judge(truth: &Truth, model: Result<&Architecture, &str>) -> Judged {
    let asked = truth.weights.is_some() || truth.refusal.is_some();
    if !asked {
        return Judged::of(Class::Unknown, truth.fault.clone().unwrap_or_default());
    }
    let ours = model.map_err(str::to_owned).and_then(|model| answer(truth, model).map(|ours| (model, ours)));
    match (&truth.refusal, ours) {
        (Some(_), Err(_)) => Judged::of(Class::Refused, ""),
        (None, Err(why)) => Judged::of(Class::RefusedThoughServed, why),
        (Some(words), Ok((_, ours))) => refused(truth, words, &ours),
        (None, Ok((model, ours))) => served(truth, model, &ours),
    }
}

/// What is computed, with the weights' rounding apart: the engine's own count knows of no allocator.
pub(crate) struct Ours {
    pub(crate) budget: Budget,
    pub(crate) rounding: u64,
}

pub(crate) fn answer(truth: &Truth, model: &Architecture) -> Result<Ours, String> {
    let text = |error: vramscope_estimate::EstimateError| error.to_string();
    let version: EngineVersion = truth.release.parse().map_err(text)?;
    let base = EngineArgs { version, ..EngineArgs::default() };
    let mut args = CommandLine::read(&truth.args, base).map_err(text)?.args;
    args.kv_cache_memory = Some(Bytes::new(truth.plan.map_or(USUAL_ROOM, |plan| plan.available)));
    let device = find_device("h200").ok_or("there is no such device")?;
    let weights = weights_on_device(model, &args, device).map_err(text)?;
    let stage = weights.largest().ok_or("there are no stages")?;
    let rounding = stage.parts.iter().find(|(part, _)| *part == Part::Rounding).map_or(0, |(_, bytes)| *bytes);
    let budget = budget(model, &args, Setting::alone(device)).map_err(text)?;
    Ok(Ours { budget, rounding })
}

/// The engine refuses; a verdict that is certain of the contrary is wrong.
fn refused(truth: &Truth, words: &str, ours: &Ours) -> Judged {
    let verdict = &ours.budget.verdict;
    let too_small = !verdict.fits || ours.budget.max_concurrency_milli.value < 1000;
    if truth.lacks_room() && too_small {
        return weighed(truth, ours, Class::Refused);
    }
    let certain = if truth.lacks_room() {
        !ours.budget.max_concurrency_milli.contains(999)
    } else {
        // Whether it fits the device was not asked; that it would be served was.
        verdict.certain
    };
    Judged::of(if certain { Class::Wrong } else { Class::Inside }, format!("served, but the engine refuses: {words}"))
}

fn served(truth: &Truth, model: &Architecture, ours: &Ours) -> Judged {
    let mut judged = weighed(truth, ours, Class::Exact);
    if let Some(parameters) = truth.parameters.filter(|_| truth.args.is_empty() && model.tower.is_none()) {
        let count = parameter_count(model).map_or(0, |count| count.total);
        // A checkpoint may have less than the engine makes room for; so it is only told.
        if off(count, parameters).abs() > 0.001 {
            judged.why.push(format!("parameters {count} for {parameters}"));
        }
    }
    if let Some(length) = truth.max_model_len.filter(|length| *length != ours.budget.engine.max_model_len) {
        judged.add(Class::Wrong, format!("length {} for {length}", ours.budget.engine.max_model_len));
    }
    if let Some(plan) = truth.plan {
        planned(&mut judged, &plan, &ours.budget);
    }
    judged
}

/// The weights of the heaviest rank.
fn weighed(truth: &Truth, ours: &Ours, exact: Class) -> Judged {
    let mut judged = Judged { class: exact, ..Judged::new() };
    let Some(weights) = truth.weights else { return judged };
    let figure = &ours.budget.weights;
    let value = figure.value - ours.rounding.min(figure.value);
    let error = off(value, weights);
    let inside = figure.low <= weights.saturating_add(ours.rounding) && weights <= figure.high;
    let class = match (error.abs(), inside) {
        (_, false) => Class::Wrong,
        (error, true) if error <= 1e-6 => exact,
        (error, true) if error <= 0.001 => Class::Near,
        _ => Class::Inside,
    };
    judged.add(class, format!("weights {:+.3} % of {weights}, {:?}", error * 100.0, figure.confidence));
    judged
}

fn planned(judged: &mut Judged, truth: &Plan, ours: &Budget) {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few thousand requests at most")]
    let milli = (truth.concurrency * 1000.0).floor() as u64;
    let figures: [(&str, &Figure, u64); 3] = [
        ("block size", &ours.block_size, truth.block_size),
        ("blocks", &ours.num_gpu_blocks, truth.blocks),
        ("requests x 1000", &ours.max_concurrency_milli, milli),
    ];
    for (what, figure, value) in figures {
        // The thousandth may be rounded either way.
        let same = figure.value == value || (what == "requests x 1000" && figure.value.abs_diff(value) <= 1);
        let class = match () {
            () if same => Class::Exact,
            () if !figure.contains(value) => Class::Wrong,
            () if off(figure.value, value).abs() <= 0.001 => Class::Near,
            () => Class::Inside,
        };
        judged.add(class, format!("{what} {} for {value}", figure.value));
    }
    if ours.plan.bytes_per_block != truth.bytes_per_block && judged.class <= Class::Near {
        judged
            .add(Class::Wrong, format!("bytes of a block {} for {}", ours.plan.bytes_per_block, truth.bytes_per_block));
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share")]
fn off(ours: u64, truth: u64) -> f64 {
    if ours == truth { 0.0 } else { ours as f64 / truth as f64 - 1.0 }
}
