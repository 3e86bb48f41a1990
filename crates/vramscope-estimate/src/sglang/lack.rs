//! What keeps a server from serving, and by how much.

use vramscope_core::Bytes;

use super::answers::SgLangWay;
use super::budget::SgLangFailure;
use super::pool::times;

/// What keeps a server from serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SgLangLack {
    /// `weights`, `pool`, `windows` (the pool of layers with a window), `slack`, `requests` (more at once than the release takes),
    /// or `limit`: `--max-total-tokens` or `--max-running-requests` was given and is the bound.
    pub what: &'static str,
    /// By how much a rank needs more, in bytes: weights and pools than the share has, tables and graphs than is beside it.
    pub bytes: Option<u64>,
    /// Requests for which it is short, over all replicas.
    pub requests: u64,
    /// Tokens of each.
    pub tokens: u64,
}

/// What a way lacks that does not serve; `window`: the most tokens of a request that a pool for windows holds.
pub(super) fn lack(way: &SgLangWay, window: u64) -> SgLangLack {
    let of = Lacking { way, each: way.each() };
    let (what, bytes) = of.what(of.each.saturating_mul(way.tokens.min(window)));
    SgLangLack { what, bytes: bytes.filter(|bytes| *bytes > 0), requests: way.requests, tokens: way.tokens }
}

struct Lacking<'w> {
    way: &'w SgLangWay,
    /// Requests of one pool.
    each: u64,
}

impl Lacking<'_> {
    fn what(&self, in_window: u64) -> (&'static str, Option<u64>) {
        let budget = &self.way.budget;
        let wanted = self.each.saturating_mul(self.way.tokens);
        match budget.failure {
            Some(SgLangFailure::Weights) => ("weights", Some(self.over(wanted))),
            Some(SgLangFailure::Slack) => ("slack", Some(self.over_slack())),
            Some(SgLangFailure::NoPool) => self.tokens("pool", wanted),
            None if wanted > budget.pool.tokens.value => self.tokens("pool", wanted),
            None if self.each > budget.max_running_requests => (self.requests(), None),
            None => match self.tokens_for(in_window) {
                Some(tokens) => self.tokens("windows", tokens),
                None => ("windows", None),
            },
        }
    }

    /// A pool that holds too few tokens: an argument that is given bounds them where there is memory for all.
    fn tokens(&self, what: &'static str, wanted: u64) -> (&'static str, Option<u64>) {
        match self.over(wanted) {
            0 if self.way.budget.args.max_total_tokens.is_some() => ("limit", None),
            // By less than fractions of a byte are computed to.
            over => (what, Some(over.max(1))),
        }
    }

    /// Who lets in too few requests.
    fn requests(&self) -> &'static str {
        let args = &self.way.budget.args;
        let given = args.max_running_requests.map(|most| (most / args.attention_replicas()).max(1));
        if given.is_some_and(|most| most < self.each) { "limit" } else { "requests" }
    }

    /// By how much weights and a pool of so many tokens, in whole pages, and its states exceed the share.
    fn over(&self, tokens: u64) -> u64 {
        let budget = &self.way.budget;
        let (cell, args) = (&budget.cell, &budget.args);
        let states = if cell.has_states { 1.0 + args.mamba_full_memory_ratio } else { 1.0 };
        let tokens = Bytes::new(tokens.div_ceil(args.page()).saturating_mul(args.page())).as_f64();
        let pool = times(1, tokens * cell.shared_bytes() * states).unwrap_or(u64::MAX);
        budget.weights.value.saturating_add(pool).saturating_sub(budget.pool.static_memory.value)
    }

    fn over_slack(&self) -> u64 {
        let budget = &self.way.budget;
        let parts = [&budget.weights, &budget.pool.bytes, &budget.request_table, &budget.workspace, &budget.graphs];
        let parts = parts.into_iter().chain(&budget.pool.states);
        let all = parts.fold(0_u64, |sum, part| sum.saturating_add(part.value));
        all.saturating_sub(budget.free_before.value)
    }

    /// Tokens of the larger pool with which that for windows holds so many; `None` where no number does.
    fn tokens_for(&self, in_window: u64) -> Option<u64> {
        let page = self.way.budget.args.page();
        let whole = Bytes::new(in_window.div_ceil(page).checked_mul(page)?).as_f64();
        let tokens = (whole / self.way.budget.cell.window_share).ceil();
        times(1, tokens)
    }
}
