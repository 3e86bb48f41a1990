//! The difference of two KV caches, term by term.

use vramscope_core::Bytes;

use super::account::{Account, Amount, Counting, signed};
use super::tokens;
use crate::vllm;

/// What a term comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The release does something else.
    Release,
    /// A setting differs.
    Setting,
    /// The card differs.
    Card,
    /// The runs measured something else, and neither release nor a setting is known to be why.
    Measured,
    /// No line states it.
    Unattributed,
}

impl Cause {
    /// The name as documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Setting => "setting",
            Self::Card => "card",
            Self::Measured => "measured",
            Self::Unattributed => "unattributed",
        }
    }
}

/// One term of the difference.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Term {
    /// A stable name.
    pub name: &'static str,
    /// What it comes from.
    pub cause: Cause,
    /// By how much it makes the second KV cache larger. Unit: bytes of one rank.
    pub bytes: i64,
    /// The same in tokens; absent where a run does not state its tokens. Unit: tokens.
    pub tokens: Option<i64>,
    /// Why, in a sentence with the figures of both runs.
    pub why: String,
    /// The setting of the second run that brings it back, where there is one.
    pub restore: Option<String>,
    /// Lines of the first run's engine log.
    pub lines_before: Vec<u64>,
    /// Lines of the second run's engine log.
    pub lines_after: Vec<u64>,
}

/// The difference of two KV caches.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Ledger {
    /// The terms; they add up to the differences exactly.
    pub terms: Vec<Term>,
    /// The second KV cache less the first. Unit: bytes of one rank.
    pub bytes: i64,
    /// The same in tokens of an engine.
    pub tokens: Option<i64>,
    /// One setting that gives the second run as much as the first, if the device has room for it.
    pub restore: Option<String>,
    /// What to know beside the terms.
    pub notes: Vec<String>,
}

/// Two amounts of one kind.
struct Pair<'a> {
    before: &'a Amount,
    after: &'a Amount,
}

impl<'a> Pair<'a> {
    fn of(before: Option<&'a Amount>, after: Option<&'a Amount>) -> Option<Self> {
        Some(Self { before: before?, after: after? })
    }

    fn more(&self) -> Option<i64> {
        signed(self.after.bytes)?.checked_sub(signed(self.before.bytes)?)
    }
}

impl Ledger {
    /// The ledger of two runs; `None` where one of them does not state its KV cache.
    pub fn of(before: &Account, after: &Account) -> Option<Self> {
        let ((before, assumed), (after, also)) = (&before.on_card_of(after), &after.on_card_of(before));
        let pools = (size(before)?, size(after)?);
        let bytes = signed(pools.1)?.checked_sub(signed(pools.0)?)?;
        let mut terms = if before.is_given() || after.is_given() {
            vec![given(before, after)]
        } else {
            budget(before, after).unwrap_or_default()
        };
        let attributed = terms.iter().try_fold(0_i64, |sum, term| sum.checked_add(term.bytes))?;
        close(&mut terms, bytes.checked_sub(attributed)?, before, after);
        let tokens = count(&mut terms, before, after, pools);
        for term in terms.iter_mut().filter(|term| term.bytes > 0 || term.tokens.is_some_and(|tokens| tokens > 0)) {
            term.restore = None;
        }
        let mut notes = notes(before, after);
        for (which, assumed) in [("first", assumed), ("second", also)] {
            if *assumed {
                notes.push(format!(
                    "the {which} run does not state what it asked for: the card of the other is taken, times its share"
                ));
            }
        }
        Some(Self { restore: restore(before, after, bytes), notes, terms, bytes, tokens })
    }
}

/// The KV cache of a run: as allocated, else as it was left.
fn size(account: &Account) -> Option<u64> {
    account.pool.or_else(|| account.available.as_ref().map(|amount| amount.bytes))
}

/// Two runs of the same settings keep the same beside their weights, up to far less than this.
const ARRIVAL: u64 = 256 << 20;

/// In use when the engine first looked: a context of its own is less than this.
const OTHERS: u64 = 1 << 30;

fn gib(bytes: u64) -> Bytes {
    Bytes::new(bytes)
}

fn term(name: &'static str, cause: Cause, bytes: i64, why: String) -> Term {
    Term { name, cause, bytes, tokens: None, why, restore: None, lines_before: Vec::new(), lines_after: Vec::new() }
}

impl Term {
    fn lines(mut self, pair: &Pair<'_>) -> Self {
        self.lines_before = pair.before.lines.clone();
        self.lines_after = pair.after.lines.clone();
        self
    }
}

/// Where a size was given, nothing is taken off: the whole difference is that setting.
fn given(before: &Account, after: &Account) -> Term {
    let of = |account: &Account| {
        account
            .setting("kv_cache_memory_bytes")
            .map_or_else(|| "what is left".to_owned(), |size| format!("{size} bytes"))
    };
    let difference = size(after).and_then(signed).zip(size(before).and_then(signed)).map_or(0, |(b, a)| b - a);
    let why = format!("the size of the KV cache: {} before, {} now", of(before), of(after));
    Term {
        restore: Some(match before.setting("kv_cache_memory_bytes") {
            Some(size) => format!("--kv-cache-memory-bytes {size}"),
            None => "leaving --kv-cache-memory-bytes out".to_owned(),
        }),
        ..term("given_size", Cause::Setting, difference, why)
    }
}

/// The terms of the engine's own budget; `None` where a run does not state it.
fn budget(before: &Account, after: &Account) -> Option<Vec<Term>> {
    let requested = Pair::of(before.requested.as_ref(), after.requested.as_ref())?;
    let weights = Pair::of(before.weights.as_ref(), after.weights.as_ref())?;
    let graphs = Pair { before: &before.graphs, after: &after.graphs };
    let profiled = after.profiled()?.checked_sub(before.profiled()?)?;
    let mut terms = asked(before, after, &requested)?;
    terms.push(heavier(before, after, &weights)?);
    terms.extend(run(before, after, profiled)?);
    terms.push(captured(before, after, &graphs)?);
    terms.retain(|term| term.bytes != 0);
    Some(terms)
}

/// What was asked for: the card, and the share of it.
fn asked(before: &Account, after: &Account, requested: &Pair<'_>) -> Option<Vec<Term>> {
    let more = requested.more()?;
    let totals = Pair::of(before.total.as_ref(), after.total.as_ref());
    let by_card = totals.as_ref().zip(before.utilization).and_then(|(totals, share)| {
        let more = totals.more()?;
        // A difference within the printed digits is none.
        let width = signed(totals.before.within + totals.after.within)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "bytes of a card times a share"
        )]
        (more.abs() > width).then(|| (more as f64 * share).round() as i64)
    });
    let card = by_card.unwrap_or(0);
    let mut terms = Vec::new();
    if let (Some(bytes), Some(totals)) = (by_card, &totals) {
        let why = format!("the card has {} in place of {}", gib(totals.after.bytes), gib(totals.before.bytes));
        terms.push(term("card", Cause::Card, bytes, why).lines(totals));
    }
    if before.utilization == after.utilization {
        return Some(terms);
    }
    let rest = more.checked_sub(card)?;
    let text = |account: &Account| {
        let share = account.utilization.map_or_else(|| "an unknown share".to_owned(), |share| share.to_string());
        if account.utilization_stated { share } else { format!("{share}, the default of its release") }
    };
    let by_release = !before.utilization_stated && !after.utilization_stated;
    let cause = if by_release { Cause::Release } else { Cause::Setting };
    let why = format!(
        "{} asked for in place of {}: {} in place of {}",
        gib(requested.after.bytes),
        gib(requested.before.bytes),
        text(after),
        text(before)
    );
    let (why, restore) = match before.utilization {
        Some(share) => match too_much(share, after) {
            Some(most) => (format!("{why}; {most}"), None),
            None => (why, Some(format!("--gpu-memory-utilization {share}"))),
        },
        None => (why, None),
    };
    terms.push(Term { restore, ..term("requested", cause, rest, why).lines(requested) });
    Some(terms)
}

/// Why a run cannot be asked for this share of its device, with the most that it can: the engine refuses to start where less
/// is free than it asks for.
fn too_much(share: f64, after: &Account) -> Option<String> {
    let total = after.total.as_ref()?.bytes;
    let free = after.room()?;
    let of_card = Bytes::new(total).as_f64();
    let wanted = of_card * share;
    let free_bytes = Bytes::new(free).as_f64();
    (wanted > free_bytes).then(|| {
        let most = (free_bytes / of_card * 100.0).floor() / 100.0;
        format!(
            "{share} again would be refused, as {} were free when the second engine started: at most \
             --gpu-memory-utilization {most} while that is so",
            gib(free)
        )
    })
}

/// Which of these settings differ, in words, with the words that bring them back.
fn setting(before: &Account, after: &Account, names: &[&str]) -> Option<(String, Option<String>)> {
    let both = |name: &&str| Some((before.setting(name)?.to_owned(), after.setting(name)?.to_owned()));
    let differ: Vec<&str> =
        names.iter().filter(|name| both(name).is_some_and(|(first, second)| first != second)).copied().collect();
    let told = differ.iter().filter(|name| !vllm::follows(name, &differ)).filter_map(|name| {
        let (first, second) = both(name)?;
        Some((format!("{name} is {second} in place of {first}"), vllm::words(name, &first)))
    });
    let (reasons, flags): (Vec<String>, Vec<String>) = told.unzip();
    (!reasons.is_empty()).then(|| (reasons.join(", "), Some(flags.join(" "))))
}

fn heavier(before: &Account, after: &Account, weights: &Pair<'_>) -> Option<Term> {
    let names = [
        "tensor_parallel_size",
        "pipeline_parallel_size",
        "quantization",
        "dtype",
        "speculative_method",
        "enable_lora",
        "max_loras",
        "max_lora_rank",
    ];
    let by = setting(before, after, &names);
    let cause = if by.is_some() { Cause::Setting } else { Cause::Measured };
    let reason = by.as_ref().map_or(String::new(), |(reason, _)| format!("; {reason}"));
    let why = format!("weights of {} in place of {}{reason}", gib(weights.after.bytes), gib(weights.before.bytes));
    let bytes = weights.more()?.checked_neg()?;
    Some(Term { restore: by.and_then(|(_, flag)| flag), ..term("weights", cause, bytes, why).lines(weights) })
}

/// What the profile run took. Two releases that count alike have what it kept and its peak apart; else only the sum of the
/// two can be compared.
fn run(before: &Account, after: &Account, profiled: i64) -> Option<Vec<Term>> {
    let names = [
        "max_num_batched_tokens",
        "max_num_seqs",
        "tensor_parallel_size",
        "enforce_eager",
        "quantization",
        "kv_cache_dtype",
        "speculative_method",
        "enable_lora",
        "max_loras",
        "max_lora_rank",
    ];
    let by = setting(before, after, &names);
    let releases = before.version != after.version;
    let cause = match (&by, releases) {
        (Some(_), _) => Cause::Setting,
        (None, true) => Cause::Release,
        (None, false) => Cause::Measured,
    };
    let reason = by.as_ref().map_or(String::new(), |(reason, _)| format!("; {reason}"));
    let restore = by.as_ref().and_then(|(_, flag)| flag.clone());
    let beside = Pair::of(before.beside.as_ref(), after.beside.as_ref());
    let peak = Pair::of(before.peak.as_ref(), after.peak.as_ref());
    if let (true, Some(beside), Some(peak)) = (before.counting == after.counting, &beside, &peak) {
        let text = |what: &str, pair: &Pair<'_>| {
            format!("{what} of {} in place of {}{reason}", gib(pair.after.bytes), gib(pair.before.bytes))
        };
        let mut kept = text("what is kept beside the weights", beside);
        let more = beside.more()?;
        if cause == Cause::Measured && before.counting == Counting::Consumed && more.unsigned_abs() > ARRIVAL {
            kept.push_str(vllm::ARRIVED);
        }
        let high = text("a transient peak", peak);
        let kept = term("beside_weights", cause, more.checked_neg()?, kept).lines(beside);
        let high = term("activation_peak", cause, peak.more()?.checked_neg()?, high).lines(peak);
        return Some(vec![Term { restore: restore.clone(), ..kept }, Term { restore, ..high }]);
    }
    let of = |account: &Account| {
        let part =
            |amount: &Option<Amount>, what: &str| amount.as_ref().map(|amount| format!("{} {what}", gib(amount.bytes)));
        let kept = match account.counting {
            Counting::Growth => "grown outside the allocator",
            Counting::Consumed => "kept beside the weights",
        };
        let parts: Vec<String> =
            [part(&account.beside, kept), part(&account.peak, "of peak")].into_iter().flatten().collect();
        let sum = account.profiled().map_or_else(String::new, |sum| gib(sum.unsigned_abs()).to_string());
        if parts.is_empty() { sum } else { format!("{sum} ({})", parts.join(", ")) }
    };
    let counted = if before.counting == after.counting { "" } else { "; the two releases cut this at another place" };
    let why = format!("the profile run took {} in place of {}{counted}{reason}", of(after), of(before));
    let lines = |account: &Account| -> Vec<u64> {
        let amounts = [&account.available, &account.beside, &account.peak];
        let mut lines: Vec<u64> =
            amounts.into_iter().flatten().flat_map(|amount| amount.lines.iter().copied()).collect();
        lines.sort_unstable();
        lines.dedup();
        lines
    };
    let one = term("profile_run", cause, profiled.checked_neg()?, why);
    Some(vec![Term { restore, lines_before: lines(before), lines_after: lines(after), ..one }])
}

fn captured(before: &Account, after: &Account, graphs: &Pair<'_>) -> Option<Term> {
    let bytes = graphs.more()?.checked_neg()?;
    let by = setting(before, after, &["enforce_eager", "cudagraph_mode", "enable_lora"]);
    let text = |bytes: u64| if bytes == 0 { "nothing".to_owned() } else { gib(bytes).to_string() };
    let mut why =
        format!("{} set aside for graphs in place of {}", text(graphs.after.bytes), text(graphs.before.bytes));
    let (cause, restore) = match by {
        Some((reason, flag)) => {
            why.push_str(&format!("; {reason}"));
            (Cause::Setting, flag)
        }
        None if before.version != after.version => {
            why.push_str("; a rule of the release");
            let off = bytes < 0 && graphs.before.bytes == 0;
            (Cause::Release, off.then(|| vllm::GRAPHS_OFF.to_owned()))
        }
        None => (Cause::Measured, None),
    };
    Some(Term { restore, ..term("graphs_estimated", cause, bytes, why).lines(graphs) })
}

/// What the terms leave over: the digits that are not printed, whole blocks, and what no line states.
fn close(terms: &mut Vec<Term>, left: i64, before: &Account, after: &Account) {
    if left == 0 {
        return;
    }
    let stated = [before, after].iter().all(|account| account.requested.is_some() && account.weights.is_some());
    let why = if stated || before.is_given() || after.is_given() {
        "digits that are not printed, whole blocks, and what no line states".to_owned()
    } else {
        let shares = before.utilization.zip(after.utilization).filter(|(first, second)| first != second);
        let share = shares.map_or_else(String::new, |(first, second)| {
            format!("; --gpu-memory-utilization is {second} in place of {first}, which no line turns into bytes")
        });
        format!(
            "a run does not state what was asked for, or its weights{share}. A folder with a recording, or a profile, \
             states the card"
        )
    };
    terms.push(term("not_attributed", Cause::Unattributed, left, why));
}

/// Lays the difference of tokens onto the terms. What a token takes may differ too: that is a term of its own.
fn count(terms: &mut Vec<Term>, before: &Account, after: &Account, pools: (u64, u64)) -> Option<i64> {
    let (first, second) = (before.tokens?, after.tokens?);
    let difference = signed(second)?.checked_sub(signed(first)?)?;
    let bytes: Vec<i64> = terms.iter().map(|term| term.bytes).collect();
    let (each, rest) = tokens::lay(&bytes, pools.0, first, difference)?;
    for (term, tokens) in terms.iter_mut().zip(each) {
        term.tokens = Some(tokens);
    }
    if rest == 0 {
        return Some(difference);
    }
    #[expect(clippy::cast_precision_loss, reason = "bytes of a token, to be read")]
    let price = |pool: u64, tokens: u64| pool as f64 / tokens.max(1) as f64;
    let (was, is) = (price(pools.0, first), price(pools.1, second));
    // Whole blocks and printed digits make tokens differ by less than this.
    if (is - was).abs() <= was * 1e-4 {
        let why = "whole tokens".to_owned();
        terms.push(Term { tokens: Some(rest), ..term("rounding", Cause::Unattributed, 0, why) });
        return Some(difference);
    }
    let names = [
        "kv_cache_dtype",
        "block_size",
        "max_model_len",
        "tensor_parallel_size",
        "pipeline_parallel_size",
        "enable_prefix_caching",
        "speculative_method",
        "max_num_batched_tokens",
    ];
    let by = if other_model(before, after) { None } else { setting(before, after, &names) };
    let releases = before.version != after.version;
    let cause = match (&by, releases) {
        _ if other_model(before, after) => Cause::Measured,
        (Some(_), _) => Cause::Setting,
        (None, true) => Cause::Release,
        (None, false) => Cause::Unattributed,
    };
    let reason = match &by {
        Some((reason, _)) => format!("; {reason}"),
        None if other_model(before, after) => "; the models are two".to_owned(),
        None => String::new(),
    };
    let counts = |account: &Account| vllm::counts_by_requests(account.version.as_deref());
    let counted = if counts(before) == counts(after) { "" } else { "; since 0.20 tokens are counted by requests" };
    let why = format!("a token takes {is:.0} bytes of a rank's pool in place of {was:.0}{counted}{reason}");
    let price =
        Term { tokens: Some(rest), restore: by.and_then(|(_, flag)| flag), ..term("token_size", cause, 0, why) };
    terms.push(price);
    Some(difference)
}

/// The share with which the second run has as much as the first.
fn restore(before: &Account, after: &Account, difference: i64) -> Option<String> {
    if before.is_given() || after.is_given() || difference >= 0 {
        return None;
    }
    let requested = signed(after.requested.as_ref()?.bytes)?.checked_sub(difference)?;
    let total = after.total.as_ref()?.bytes;
    let wanted = u64::try_from(requested).ok()?;
    #[expect(clippy::cast_precision_loss, reason = "a share of a card")]
    let share = (wanted as f64 / total as f64 * 10_000.0).round() / 10_000.0;
    let room = after.room().is_none_or(|free| wanted <= free);
    (share <= 1.0 && room).then(|| format!("--gpu-memory-utilization {share:.4}"))
}

fn other_model(before: &Account, after: &Account) -> bool {
    setting(before, after, &["num_parameters"]).is_some()
}

fn notes(before: &Account, after: &Account) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some((other, _)) = setting(before, after, &["num_parameters"]) {
        notes
            .push(format!("the runs are of two models, {other}: weights, peak and the size of a token differ by that"));
    }
    for (account, which) in [(before, "first"), (after, "second")] {
        notes.extend(account.failed().map(|failed| format!("of the {which} run, {failed}")));
        let looked = account.total.as_ref().zip(account.free.as_ref());
        let in_use = looked.and_then(|(total, free)| total.bytes.checked_sub(free.bytes));
        let found = match (account.others, in_use) {
            (Some(others), _) => (others > 256 << 20).then_some((others, "before the")),
            (None, Some(used)) => {
                (used > OTHERS).then_some((used, "at first sight, a context of its own among it, when the"))
            }
            (None, None) => None,
        };
        if let Some((bytes, when)) = found {
            notes.push(format!(
                "{} were in use {when} {which} engine came: it does not take that off its KV cache, so no term has it",
                gib(bytes)
            ));
        }
    }
    if let (Some((length, held)), Some((other, now))) = (before.concurrency, after.concurrency)
        && length != other
    {
        notes.push(format!(
            "a request of full length is of {other} tokens in place of {length}: {now:.2} of them fit in place of {held:.2}"
        ));
    }
    if before.counting != after.counting {
        notes.push(vllm::COUNTED.to_owned());
    }
    notes
}
