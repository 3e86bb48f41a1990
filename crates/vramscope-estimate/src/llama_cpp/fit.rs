//! What is changed until a server fits its device, and the most layers that do.
//!
//! Follows `common/fit.cpp` (2025-12 to 2026-11) in what is changed and in which order: the context, then experts, then
//! layers, and of one more layer what still fits. How far is searched for here, so that nothing is left unused.

use vramscope_core::PackedModel;

use super::args::{LlamaCppArgs, LlamaCppKept, LlamaCppOverflow};
use super::budget::{LlamaCppBudget, LlamaCppSetting, llama_cpp_budget};
use super::driver::at_start;
use super::error::LlamaCppError;

/// Contexts are changed in steps of this.
const STEP: u64 = 256;

/// A search for what fits so many bytes of the server's own.
struct Search<'m, 'd> {
    model: &'m PackedModel,
    setting: LlamaCppSetting<'d>,
    room: u64,
}

impl Search<'_, '_> {
    fn fits(&self, args: &LlamaCppArgs) -> Result<bool, LlamaCppError> {
        Ok(llama_cpp_budget(self.model, args, self.setting)?.own_on_device() <= self.room)
    }

    /// The largest number from `low` to `high` with which it fits; `low` where none does.
    fn most(
        &self,
        low: u64,
        high: u64,
        args: &LlamaCppArgs,
        set: impl Fn(&mut LlamaCppArgs, u64),
    ) -> Result<u64, LlamaCppError> {
        let (mut low, mut high) = (low, high);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            let mut tried = args.clone();
            set(&mut tried, middle);
            if self.fits(&tried)? { low = middle } else { high = middle - 1 }
        }
        Ok(low)
    }
}

/// The memory of a server whose arguments leave open what fitting may change: context, layers, experts.
///
/// # Errors
/// As [`llama_cpp_budget`].
pub fn llama_cpp_fitted(
    model: &PackedModel,
    args: &LlamaCppArgs,
    setting: LlamaCppSetting<'_>,
) -> Result<LlamaCppBudget, LlamaCppError> {
    let asked = llama_cpp_budget(model, args, setting)?;
    // There is nothing to fit.
    if args.without_device {
        return Ok(asked);
    }
    let Some(available) = asked.available.filter(|_| args.fit && setting.backend.has_device()) else {
        return Ok(asked);
    };
    // The server measures what is free when the driver's context is there, and leaves the target of that.
    // A trial takes nothing of the device but for recurrent states, which are there while it looks.
    let states = asked.part("recurrent_state").map_or(0, |part| part.device.value);
    let taken = at_start(setting.backend).saturating_add(states);
    let room = available.saturating_sub(taken).saturating_sub(args.fit_target);
    let search = Search { model, setting, room };
    if asked.own_on_device() <= room {
        return Ok(asked);
    }
    let (mut args, mut changes) = (args.clone(), Vec::new());
    let streams = if asked.unified { 1 } else { asked.slots };
    let least = args.fit_context.saturating_mul(streams);
    if args.context.is_none() && !args.keeps_context && asked.context > least {
        let step = STEP.saturating_mul(streams);
        let found = search.most(least / step, asked.context / step, &args, |args, steps| {
            args.context = Some(steps.saturating_mul(step));
        })?;
        // A context of nothing is none: 0 means the trained length.
        let found = found.saturating_mul(step).max(least).max(step);
        args.context = Some(found);
        changes.push(format!("the context is {found} instead of {}", asked.context));
    }
    // The server changes no layers where somebody said how many, or where a tensor lies.
    if args.gpu_layers.is_none() && args.cpu_moe_layers == 0 && !search.fits(&args)? {
        if model.own("expert_count").is_some_and(|experts| experts > 0) {
            fit_with_experts(&search, &mut args, asked.layers, &mut changes)?;
        } else {
            let found = search.most(0, asked.layers, &args, |args, layers| args.gpu_layers = Some(layers))?;
            args.gpu_layers = Some(found);
            changes.push(format!("{found} of {} layers are on the device", asked.layers));
        }
    }
    let mut budget = llama_cpp_budget(model, &args, setting)?;
    budget.changes = changes;
    Ok(budget)
}

/// Layers without their experts from the last one on, then whole layers from the first one on, then parts of one more.
///
/// The server counts the output among the layers that it gives whole, and so keeps one layer fewer in part than it says.
fn fit_with_experts(
    search: &Search<'_, '_>,
    args: &mut LlamaCppArgs,
    all: u64,
    changes: &mut Vec<String>,
) -> Result<(), LlamaCppError> {
    let set = |args: &mut LlamaCppArgs, layers: u64, whole: u64, first: LlamaCppKept| {
        args.gpu_layers = Some(layers);
        args.overflow = (whole < layers).then(|| LlamaCppOverflow { from: all - layers + whole, first });
    };
    let lean = |args: &mut LlamaCppArgs, layers: u64| set(args, layers, 1, LlamaCppKept::Experts);
    let mut without = args.clone();
    without.cpu_moe_layers = all;
    let all_lean_fit = search.fits(&without)?;
    let layers = search.most(0, all, args, lean)?;
    lean(args, layers);
    if all_lean_fit && layers > 1 {
        let whole = search.most(1, layers, args, |args, whole| set(args, layers, whole, LlamaCppKept::Experts))?;
        set(args, layers, whole, LlamaCppKept::Experts);
        let mut takes = |first: LlamaCppKept| {
            let mut tried = args.clone();
            set(&mut tried, layers, whole, first);
            let fits = search.fits(&tried)?;
            if fits {
                *args = tried;
            }
            Ok(fits)
        };
        if whole < layers {
            if takes(LlamaCppKept::DownAndGate)? {
                takes(LlamaCppKept::Down)?;
            } else {
                takes(LlamaCppKept::FeedForward)?;
            }
        }
    }
    if layers < all {
        changes.push(format!("{layers} of {all} layers are on the device"));
    }
    let Some(overflow) = args.overflow.filter(|overflow| overflow.from + 1 < all) else { return Ok(()) };
    let (from, last) = (overflow.from, all - 2);
    let rest = if from < last { format!(", and the experts of layers {} to {last}", from + 1) } else { String::new() };
    changes.push(match overflow.first {
        LlamaCppKept::Experts => format!("experts of layers {from} to {last} stay on the host"),
        LlamaCppKept::DownAndGate => format!("down and gate projections of layer {from} stay on the host{rest}"),
        LlamaCppKept::Down => format!("down projections of layer {from} stay on the host{rest}"),
        LlamaCppKept::FeedForward => format!("the feed-forward part of layer {from} stays on the host{rest}"),
    });
    Ok(())
}

/// The most layers with which everything fits what the device has for the server; `None` where not even none fit.
///
/// # Errors
/// As [`llama_cpp_budget`].
pub fn llama_cpp_most_layers(
    model: &PackedModel,
    args: &LlamaCppArgs,
    setting: LlamaCppSetting<'_>,
) -> Result<Option<u64>, LlamaCppError> {
    let with = |layers: u64| {
        let args = LlamaCppArgs { gpu_layers: Some(layers), ..args.clone() };
        llama_cpp_budget(model, &args, setting)
    };
    let nothing = with(0)?;
    if nothing.fits == Some(false) {
        return Ok(None);
    }
    let (mut low, mut high) = (0, nothing.layers);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if with(middle)?.fits.unwrap_or(true) { low = middle } else { high = middle - 1 }
    }
    Ok(Some(low))
}
