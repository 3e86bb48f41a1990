//! The memory that a server sets up on each device, part by part.

use vramscope_core::{Architecture, Bytes, Confidence};

use super::args::SgLangArgs;
use super::cell::{SgLangCell, engine_args, sglang_cell};
use super::error::SgLangError;
use super::length::{self, context};
use super::pool::{Doubt, SgLangFree, SgLangPool, Sizing};
use super::release::{SgLangChecked, SgLangVersion};
use super::share::{SgLangShare, SgLangSizes, share, sizes};
use super::slack;
use crate::calibration::Calibration;
use crate::device::GpuModel;
use crate::figure::Figure;
use crate::{parameter_count, weights_on_device};

/// What is known beside the model and the arguments.
#[derive(Debug, Clone)]
pub struct SgLangSetting<'a> {
    /// The kind of device; `None`: not known, which needs `free` and a share.
    pub device: Option<&'a GpuModel>,
    /// Memory that other processes hold on it.
    pub others: Bytes,
    /// Measured sizes.
    pub calibration: &'a Calibration,
    /// What a log prints as free; `None`: computed from model and device.
    pub free: Option<SgLangFree>,
}

/// The memory of one rank: of the stage with most weights, where stages differ.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SgLangBudget {
    /// The arguments.
    pub args: SgLangArgs,
    /// Parameters of the whole model.
    pub parameters: u64,
    /// Longest request in tokens.
    pub context_length: u64,
    /// Most requests at once on a replica.
    pub max_running_requests: u64,
    /// The same of the smallest pool that is still likely, where the release bounds requests by its tokens.
    pub max_running_requests_low: u64,
    /// What depends on the card.
    pub sizes: SgLangSizes,
    /// The share of what is free before loading.
    pub share: SgLangShare,
    /// What a token takes.
    pub cell: SgLangCell,
    /// Free before the weights are loaded.
    pub free_before: Figure,
    /// What loading takes.
    pub weights: Figure,
    /// The pool, and the states beside it.
    pub pool: SgLangPool,
    /// The table of requests.
    pub request_table: Figure,
    /// What attention's kernels set aside.
    pub workspace: Figure,
    /// Captured graphs.
    pub graphs: Figure,
    /// What is left for activations, which nobody sets aside beforehand; zero where graphs and tables need more than the
    /// share leaves.
    pub left: Figure,
    /// How the server fails, where it does by the likely figures.
    pub failure: Option<SgLangFailure>,
    /// The same answer holds over all intervals.
    pub certain: bool,
    /// How well the release's rules are known.
    pub checked: SgLangChecked,
    /// What to know of it.
    pub notes: Vec<String>,
}

impl SgLangBudget {
    /// Requests of the longest length that the pool holds together; 0: the server starts all the same, and refuses requests
    /// that are longer than the pool.
    pub fn full_requests(&self) -> u64 {
        self.pool.tokens.value / self.context_length.max(1)
    }
}

/// How a server fails to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SgLangFailure {
    /// Weights take more than is free.
    Weights,
    /// The share leaves no pool behind the weights: it has to be raised.
    NoPool,
    /// What is beside the share does not hold table, workspace and graphs: it has to be lowered.
    Slack,
}

impl SgLangFailure {
    /// The name as documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Weights => "weights",
            Self::NoPool => "no_pool",
            Self::Slack => "slack",
        }
    }
}

/// Computes the memory of a rank.
///
/// # Errors
/// [`SgLangError`]: pools of a kind that is not known, a device that is missing where a figure needs it, and what
/// weights cannot be counted of.
pub fn sglang_budget(
    model: &Architecture,
    args: &SgLangArgs,
    setting: &SgLangSetting<'_>,
) -> Result<SgLangBudget, SgLangError> {
    check(args)?;
    let cell = sglang_cell(model, args, setting.device)?;
    let doubts = Doubts::of(model, args, &cell);
    let sizes = sizes(model, args, setting.device);
    let share = share(model, args, sizes, setting.device).ok_or(SgLangError::Missing {
        what: "the default of --mem-fraction-static",
        missing: "it depends on the device: give --gpu NAME, --gpu-memory SIZE or the share itself",
    })?;
    let free = match &setting.free {
        Some(free) => {
            free.check(setting.device)?;
            free.clone()
        }
        None => predicted(model, args, setting)?,
    };
    let doubt = doubts.of_the_room(args.mem_fraction_static.is_some());
    let (pool, rest) = Sizing { free: &free, share, cell: &cell, args, doubt }.pool()?;
    let context_length = context(model, args)?;
    let requests = |tokens: u64| slack::requests(tokens, context_length, args);
    let table = |tokens: u64| slack::table(requests(tokens), context_length, args);
    let of_tokens = &pool.tokens;
    let exact = Figure::exact(table(of_tokens.value), "sglang_request_table", "requests x (context + 4) x 4 bytes");
    let surely = if of_tokens.low == of_tokens.high { Confidence::Computed } else { Confidence::Estimated };
    let request_table = exact.within(table(of_tokens.low), table(of_tokens.high), surely);
    let (workspace, graphs) = (slack::workspace(), slack::graphs(model, sizes));
    let outside = |of: fn(&Figure) -> u64| {
        [&request_table, &workspace, &graphs].into_iter().fold(0_u64, |sum, part| sum.saturating_add(of(part)))
    };
    let (value, mut low, mut high) = rest;
    if doubts.beside() {
        // Nothing is known of what else is taken, or given back.
        low = low.saturating_mul(100) / doubt.hundredths;
        let behind = free.before.high.saturating_sub(free.taken.low).saturating_sub(pool.bytes.low);
        high = (high.saturating_mul(doubt.hundredths) / 100).min(behind);
    }
    let left = Figure::exact(
        value.saturating_sub(outside(|part| part.value)),
        "sglang_left",
        "free before - weights - pool - table - workspace - graphs",
    )
    .within(
        low.saturating_sub(outside(|part| part.high)),
        high.saturating_sub(outside(|part| part.low)),
        Confidence::Assumed,
    );
    let over = outside(|part| part.value) > value;
    let failure = failure(&free, &pool, over);
    let certain = match failure {
        Some(SgLangFailure::Weights) => free.taken.low > free.before.high,
        Some(SgLangFailure::NoPool) => pool.tokens.high == 0,
        Some(SgLangFailure::Slack) => left.high == 0,
        None => pool.tokens.low > 0 && left.low > 0,
    };
    Ok(SgLangBudget {
        parameters: parameter_count(model)?.total,
        context_length,
        max_running_requests: requests(pool.tokens.value),
        max_running_requests_low: requests(pool.tokens.low),
        sizes,
        share,
        cell,
        free_before: free.before,
        weights: free.taken,
        pool,
        request_table,
        workspace,
        graphs,
        left,
        failure,
        certain: certain && doubts.none(),
        checked: args.version.checked(),
        notes: length::note(model, args).into_iter().chain(doubts.notes(args, &cell)).collect(),
        args: args.clone(),
    })
}

fn failure(free: &SgLangFree, pool: &SgLangPool, over: bool) -> Option<SgLangFailure> {
    if free.taken.value >= free.before.value {
        return Some(SgLangFailure::Weights);
    }
    if pool.tokens.value == 0 {
        return Some(SgLangFailure::NoPool);
    }
    over.then_some(SgLangFailure::Slack)
}

fn check(args: &SgLangArgs) -> Result<(), SgLangError> {
    let bad = |name: &str, value: u64, expected| {
        Err(SgLangError::BadArgument { name: name.to_owned(), value: value.to_string(), expected })
    };
    for (name, value) in [("tp-size", args.tp_size), ("pp-size", args.pp_size), ("dp-size", args.dp_size)] {
        if !(1..=1 << 16).contains(&value) {
            return bad(name, value, "a number of ranks");
        }
    }
    if args.dp_attention && !args.tp_size.is_multiple_of(args.dp_size) {
        return bad("dp-size", args.dp_size, "a divisor of --tp-size with --enable-dp-attention");
    }
    Ok(())
}

/// What is free by the device, and what the weights take by the model.
pub(super) fn predicted(
    model: &Architecture,
    args: &SgLangArgs,
    setting: &SgLangSetting<'_>,
) -> Result<SgLangFree, SgLangError> {
    let device = setting.device.ok_or(SgLangError::Missing {
        what: "the pool",
        missing: "give --gpu NAME or --gpu-memory SIZE, or what a log prints as free before and after loading",
    })?;
    let loaded = weights_on_device(model, &engine_args(args), device)?;
    let weights = &loaded.largest().ok_or(SgLangError::Overflow { what: "the weights" })?.bytes;
    let (total, spread) = (device.total.get(), device.total_spread.get());
    Ok(SgLangFree {
        before: slack::before(total, spread, setting.others.get(), args, setting.calibration),
        taken: slack::taken(weights),
    })
}

/// What stands against the certainty of a budget.
#[derive(Debug, Clone, Copy)]
struct Doubts {
    unread: bool,
    unknown_family: bool,
    unmodelled: bool,
    unconfirmed: bool,
    checked: SgLangChecked,
}

impl Doubts {
    fn of(model: &Architecture, args: &SgLangArgs, cell: &SgLangCell) -> Self {
        Self {
            unread: !model.unread.is_empty(),
            unknown_family: !model.known_family,
            unmodelled: !args.unmodelled.is_empty() || args.dp_attention,
            unconfirmed: cell.is_unconfirmed(),
            checked: args.version.checked(),
        }
    }

    /// By how much the room for the pool may be off.
    fn of_the_room(self, share_given: bool) -> Doubt {
        let (hundredths, confidence) = if self.unread || self.checked == SgLangChecked::Before {
            (400, Confidence::Assumed)
        } else if self.unmodelled || self.checked == SgLangChecked::Newer {
            (200, Confidence::Assumed)
        } else if self.unknown_family {
            (125, Confidence::Estimated)
        } else if self.unconfirmed || (self.checked == SgLangChecked::Between && !share_given) {
            (110, Confidence::Estimated)
        } else if self.checked < SgLangChecked::Logged {
            (102, Confidence::Estimated)
        } else {
            return Doubt::NONE;
        };
        Doubt { hundredths, confidence }
    }

    /// Whether what is beside the share is in doubt too, however few tokens the pool may have.
    fn beside(self) -> bool {
        self.unread || self.unmodelled || self.checked < SgLangChecked::Between
    }

    /// Whether an answer may be called certain where its interval allows it.
    fn none(self) -> bool {
        let known = !self.unread && !self.unknown_family && !self.unmodelled && !self.unconfirmed;
        known && self.checked >= SgLangChecked::Between
    }

    fn notes(self, args: &SgLangArgs, cell: &SgLangCell) -> Vec<String> {
        let (version, newest) = (args.version, SgLangVersion::NEWEST);
        let mut notes = Vec::new();
        if args.dp_attention {
            let all =
                "--enable-dp-attention: weights of attention are counted as if all ranks split them, which they do not";
            notes.push(all.to_owned());
        }
        if !args.unmodelled.is_empty() {
            notes.push(format!("not modelled, so that nothing is certain: {}", args.unmodelled.join(", ")));
        }
        if cell.approximate {
            notes.push(
                "layers of several kinds or an index share the pool: no log of such a model was computed".to_owned(),
            );
        }
        if cell.has_states {
            notes.push("the pool of states follows the release's ratio; no log of it was computed".to_owned());
        }
        if cell.is_latent && !cell.approximate {
            notes.push("the pool holds one compressed vector a token and layer; no log of it was computed".to_owned());
        }
        if cell.window_bytes > 0 {
            notes.push("layers with a window have a pool of their own; no log of it was computed".to_owned());
        }
        notes.push("graphs and the kernels' workspace follow no rule: their figures are what logs show".to_owned());
        notes.extend(match self.checked {
            SgLangChecked::Logged => None,
            SgLangChecked::Read => Some(format!("the source of {version} was read, and no log of it was computed")),
            SgLangChecked::Between => {
                Some(format!("{version} was not read: its share follows the last release before it that was"))
            }
            SgLangChecked::Newer => Some(format!("{version} is newer than {newest}, the newest that was read")),
            SgLangChecked::Before => Some(format!("{version} is older than any release that was read")),
        });
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find_device;
    use crate::tests_support::llama_8b;

    fn budget(device: &str, line: &str) -> SgLangBudget {
        budget_of(&llama_8b(), device, line, "0.5.12")
    }

    fn budget_of(model: &Architecture, device: &str, line: &str, version: &str) -> SgLangBudget {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut args = crate::SgLangLine::read(&words).unwrap().args;
        args.version = version.parse().unwrap();
        let setting = SgLangSetting {
            device: find_device(device),
            others: Bytes::ZERO,
            calibration: Calibration::embedded(),
            free: None,
        };
        sglang_budget(model, &args, &setting).unwrap()
    }

    /// No figure is larger than the card, and none behind the weights larger than what they leave.
    fn on_the_card(device: &str, found: &SgLangBudget) {
        let device = find_device(device).unwrap();
        let most = device.total.get() + device.total_spread.get();
        let pool = &found.pool;
        let parts = [&found.free_before, &pool.static_memory, &found.request_table, &found.workspace, &found.graphs];
        for figure in parts.into_iter().chain([&pool.bytes, &found.left]).chain(&pool.states) {
            assert!(figure.high <= most, "{figure:?} of {most}");
        }
        let behind = found.free_before.high.saturating_sub(found.weights.low);
        for figure in [&pool.bytes, &found.left].into_iter().chain(&pool.states) {
            assert!(figure.high <= behind, "{figure:?} of {behind}");
        }
    }

    #[test]
    fn parts_make_up_what_is_free() {
        let found = budget("h100", "sglang serve --model-path m");
        let parts = [&found.weights, &found.pool.bytes, &found.request_table, &found.workspace, &found.graphs];
        let sum: u64 = parts.iter().map(|part| part.value).sum();
        assert_eq!(sum + found.left.value, found.free_before.value);
        assert!(found.failure.is_none() && found.certain);
        assert_eq!(found.cell.bytes, 131_072);
        assert_eq!(found.pool.tokens.confidence, Confidence::Estimated, "of a card, not of a log");
    }

    #[test]
    fn a_share_that_is_too_small_and_one_that_is_too_large_fail_in_opposite_ways() {
        let failure = |line: &str| budget("l4", line).failure;
        assert_eq!(failure("--mem-fraction-static 0.6"), Some(SgLangFailure::NoPool));
        assert_eq!(failure("--mem-fraction-static 0.99"), Some(SgLangFailure::Slack));
        assert_eq!(failure("--mem-fraction-static 0.85"), None);
        assert_eq!(budget("t4", "--tp 1").failure, Some(SgLangFailure::Weights));
    }

    #[test]
    fn no_interval_leaves_the_card_and_what_is_left_follows_one_formula() {
        for (device, line) in [
            ("h100", "--speculative-algorithm EAGLE --context-length 8192"),
            ("l4", "--mem-fraction-static 1.0"),
            ("l4", "--max-total-tokens 4096"),
            ("l4", "--mem-fraction-static 0.6"),
            ("t4", "--tp 1"),
            ("b200", "--tp 2 --swa-full-tokens-ratio 0.5"),
        ] {
            let found = budget(device, line);
            on_the_card(device, &found);
            let pool = &found.pool;
            assert!(pool.bytes.high <= found.free_before.high.saturating_sub(found.weights.low), "{line}");
            assert!(pool.tokens.high <= pool.bytes.high / found.cell.bytes, "{line}");
            let parts = [&found.weights, &pool.bytes, &found.request_table, &found.workspace, &found.graphs];
            let sum: u64 = parts.iter().map(|part| part.value).sum();
            assert_eq!(found.left.value, found.free_before.value.saturating_sub(sum), "{line}");
        }
        // On a card that is smaller than what the release sets aside the share would be below 0.
        for (gib, line) in [(1, "--tp 1"), (4, "--tp 8"), (9, "--tp 1 --chunked-prefill-size 8192")] {
            let device = GpuModel::of_size(Bytes::new(gib << 30));
            let words: Vec<&str> = line.split_whitespace().collect();
            let args = crate::SgLangLine::read(&words).unwrap().args;
            let calibration = Calibration::embedded();
            let setting = SgLangSetting { device: Some(&device), others: Bytes::ZERO, calibration, free: None };
            let found = sglang_budget(&llama_8b(), &args, &setting).unwrap();
            assert!(found.failure.is_some() && found.pool.tokens.value == 0, "{gib}: {:?}", found.pool.tokens);
            assert!(found.share.low >= 0.0 && found.left.high <= device.total.get(), "{gib}");
        }
        // A limit on tokens leaves at least what lies behind them.
        let (open, limited) = (budget("h100", "--tp 1"), budget("h100", "--max-total-tokens 4096"));
        assert!(limited.left.low > open.left.high, "{:?}", limited.left);
        assert_eq!((limited.pool.tokens.low, limited.pool.tokens.high), (4096, 4096));
        let words = ["--max-total-tokens", "4096", "--kv-cache-dtype", "fp8_e5m2", "--speculative-algorithm", "EAGLE"];
        let unread = Architecture { unread: vec!["a field".to_owned()], ..llama_8b() };
        for model in [llama_8b(), unread] {
            let found = budget_of(&model, "h100", &words.join(" "), "0.5.12");
            assert_eq!((found.pool.tokens.low, found.pool.tokens.high), (4096, 4096));
            on_the_card("h100", &found);
            assert!(found.left.low < limited.left.low, "{:?}", found.left);
        }
    }

    #[test]
    fn what_is_unsure_of_the_pool_is_unsure_of_what_is_left() {
        for version in ["0.5.17", "0.5.19"] {
            let found = budget_of(&llama_8b(), "h100", "--tp 1", version);
            assert!(!found.certain && found.left.low == 0, "{version}: {:?}", found.left);
        }
        let newer = budget_of(&llama_8b(), "h100", "--tp 1", "0.6.0");
        let (pool, weights) = (&newer.pool, &newer.weights);
        assert!(pool.bytes.high + weights.low <= pool.static_memory.high + 1, "{:?}", pool.static_memory);
        // A share that is given is not in doubt between releases that were read.
        assert!(budget_of(&llama_8b(), "h100", "--mem-fraction-static 0.8", "0.5.17").certain);
    }

    #[test]
    fn refusals_are_in_the_servers_own_words() {
        let said = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let args = crate::SgLangLine::read(&words).unwrap().args;
            let setting = SgLangSetting {
                device: find_device("h100"),
                others: Bytes::ZERO,
                calibration: Calibration::embedded(),
                free: None,
            };
            sglang_budget(&llama_8b(), &args, &setting).unwrap_err().to_string()
        };
        for (line, word) in [
            ("--tp 3", "--tp-size = 3"),
            ("--pp 64", "--pp-size = 64"),
            ("--ep 2 --tp 2", "--ep-size"),
            ("--quantization nonsense", "`nonsense`"),
            ("--context-length 131073", "SGLANG_ALLOW_OVERWRITE_LONGER_CONTEXT_LEN"),
        ] {
            let text = said(line);
            assert!(text.contains(word), "{line}: {text}");
            assert!(
                !["tensor-parallel-size", "0.33", "enable-expert"].iter().any(|vllm| text.contains(vllm)),
                "{text}"
            );
        }
    }

    #[test]
    fn no_more_is_free_than_the_device_has() {
        let free = |gib: u64| SgLangFree::printed(Bytes::new(gib << 30), Bytes::new(1 << 30), Bytes::new(1 << 20));
        let found = |gib: u64| {
            let setting = SgLangSetting {
                device: find_device("l4"),
                others: Bytes::ZERO,
                calibration: Calibration::embedded(),
                free: free(gib),
            };
            sglang_budget(&llama_8b(), &SgLangArgs::default(), &setting)
        };
        assert!(found(21).is_ok());
        assert!(matches!(found(40), Err(SgLangError::MoreThanDevice { .. })));
    }

    #[test]
    fn what_is_not_modelled_leaves_nothing_certain() {
        let plain = budget("h100", "--context-length 8192");
        let draft = budget("h100", "--context-length 8192 --speculative-algorithm EAGLE");
        assert!(plain.certain && !draft.certain);
        assert!(draft.pool.tokens.low * 2 <= plain.pool.tokens.low + 1);
        assert_eq!(draft.pool.tokens.confidence, Confidence::Assumed);
        assert!(draft.notes[0].contains("EAGLE"), "{:?}", draft.notes);
    }

    #[test]
    fn heads_are_split_over_attention_alone_and_requests_over_its_replicas() {
        let split = budget("h100", "--tp 8");
        let replicated = budget("h100", "--tp 8 --dp 8 --enable-dp-attention --max-running-requests 64");
        assert_eq!((split.cell.bytes, replicated.cell.bytes), (131_072 / 8, 131_072));
        assert_eq!(replicated.max_running_requests, 8);
        assert!(matches!(
            SgLangArgs { tp_size: 8, dp_size: 3, dp_attention: true, ..SgLangArgs::default() },
            args if check(&args).is_err()
        ));
    }
}
