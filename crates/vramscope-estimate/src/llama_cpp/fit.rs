//! What is changed until a server fits its device, and the most layers that do.
//!
//! Follows `common/fit.cpp` (2025-12 to 2026-11) in what is changed and in which order: the context, then experts, then
//! layers. How far is searched for here, so that nothing is left unused.

use vramscope_core::PackedModel;

use super::args::LlamaCppArgs;
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
    let Some(available) = asked.available.filter(|_| args.fit && setting.backend.has_device()) else {
        return Ok(asked);
    };
    // The server measures what is free when the driver's context is there, and leaves the target of that.
    let room = available.saturating_sub(at_start(setting.backend)).saturating_sub(args.fit_target);
    let search = Search { model, setting, room };
    if asked.own_on_device() <= room {
        return Ok(asked);
    }
    let (mut args, mut changes) = (args.clone(), Vec::new());
    if args.context.is_none() && asked.context > args.fit_context {
        let (least, most) = (args.fit_context / STEP, asked.context / STEP);
        let found = search.most(least, most, &args, |args, steps| args.context = Some(steps * STEP))?;
        args.context = Some((found * STEP).max(args.fit_context));
        changes.push(format!("the context is {} instead of {}", found * STEP, asked.context));
    }
    if args.gpu_layers.is_none() && !search.fits(&args)? {
        let experts = model.own("expert_count").is_some_and(|experts| experts > 0);
        if experts && args.cpu_moe_layers == 0 {
            let layers = asked.layers - 1;
            let found = search.most(0, layers, &args, |args, full| args.cpu_moe_layers = layers - full)?;
            args.cpu_moe_layers = layers - found;
            changes.push(format!("experts of {} layers stay on the host", args.cpu_moe_layers));
        }
        if !search.fits(&args)? {
            let found = search.most(0, asked.layers, &args, |args, layers| args.gpu_layers = Some(layers))?;
            args.gpu_layers = Some(found);
            changes.push(format!("{found} of {} layers are on the device", asked.layers));
        }
    }
    let mut budget = llama_cpp_budget(model, &args, setting)?;
    budget.changes = changes;
    Ok(budget)
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
