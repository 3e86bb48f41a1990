//! The pool: what is left of the share behind the weights, in tokens.
//!
//! `bytes = free after loading - free before * (1 - share)`, which no dummy run precedes (`model_runner.py`,
//! `profile_max_num_token`; later `kv_cache_configurator.py`, `_profile_available_bytes`). Of several ranks the one with
//! least free counts for all.

use vramscope_core::{ByteUnit, Bytes, Confidence};

use super::args::SgLangArgs;
use super::cell::SgLangCell;
use super::error::SgLangError;
use super::release::SgLangChecked;
use super::share::SgLangShare;
use crate::device::GpuModel;
use crate::figure::Figure;

const OVERFLOW: SgLangError = SgLangError::Overflow { what: "the pool" };

/// What the driver counts as free on a device before the weights are loaded, and what loading takes.
#[derive(Debug, Clone, PartialEq)]
pub struct SgLangFree {
    pub(super) before: Figure,
    pub(super) taken: Figure,
}

impl SgLangFree {
    /// As a log prints it, `avail mem` of the lines `Load weight begin` and `Load weight end`, each true to half of
    /// `resolution`. `None` where more is free after loading than before.
    pub fn printed(before: Bytes, after: Bytes, resolution: Bytes) -> Option<Self> {
        let half = resolution.get() / 2;
        let taken = before.checked_sub(after)?.get();
        let figure = |value: u64, off: u64, formula| {
            Figure::exact(value, "sglang_printed", formula).within(
                value.saturating_sub(off),
                value.saturating_add(off),
                Confidence::Computed,
            )
        };
        Some(Self {
            before: figure(before.get(), half, "`avail mem` before the weights"),
            taken: figure(taken, half.saturating_mul(2), "`avail mem` before less behind the weights"),
        })
    }

    /// No device has more free than it has.
    pub(super) fn check(&self, device: Option<&GpuModel>) -> Result<(), SgLangError> {
        let Some(device) = device else { return Ok(()) };
        let most = device.total.get().saturating_add(device.total_spread.get());
        if self.before.low <= most {
            return Ok(());
        }
        let (free, total) = (Bytes::new(self.before.value), device.total);
        Err(SgLangError::MoreThanDevice { free, total })
    }
}

/// The pool and what is beside it in its share.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SgLangPool {
    /// What weights, states and pool may take together.
    pub static_memory: Figure,
    /// Recurrent states; absent in models without.
    pub states: Option<Figure>,
    /// The pool's bytes in whole pages.
    pub bytes: Figure,
    /// Tokens of the pool: `max_total_num_tokens`.
    pub tokens: Figure,
    /// Tokens of the pool of layers with a window; absent where they have none of their own.
    pub window_tokens: Option<Figure>,
}

/// Which end of an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Least,
    Likely,
    Most,
}

/// By how much the room behind the weights may be off beside what is measured: a divisor below, a factor above.
#[derive(Debug, Clone, Copy)]
pub(super) struct Doubt {
    /// In hundredths; 100: not at all.
    pub(super) hundredths: u64,
    /// No figure that follows from it is known better.
    pub(super) confidence: Confidence,
}

impl Doubt {
    /// What is not doubted.
    pub(super) const NONE: Self = Self { hundredths: 100, confidence: Confidence::Computed };
}

/// Sizes the pool.
///
/// # Errors
/// [`SgLangError::UnknownPool`]: states of releases whose rule is not known; overflow.
pub fn sglang_pool(
    free: &SgLangFree,
    share: SgLangShare,
    cell: &SgLangCell,
    args: &SgLangArgs,
) -> Result<SgLangPool, SgLangError> {
    Ok(Sizing { free, share, cell, args, doubt: Doubt::NONE }.pool()?.0)
}

/// What a pool is sized of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizing<'s> {
    pub(super) free: &'s SgLangFree,
    pub(super) share: SgLangShare,
    pub(super) cell: &'s SgLangCell,
    pub(super) args: &'s SgLangArgs,
    pub(super) doubt: Doubt,
}

/// What is free before loading and what that takes, at one end of each, with the share's end.
#[derive(Debug, Clone, Copy)]
struct Corner {
    before: u64,
    taken: u64,
    end: End,
}

impl Sizing<'_> {
    /// The pool, and what is left of the free memory behind weights, states and pool: all of it but for the share, less where
    /// there is no pool, more where its tokens are limited.
    ///
    /// # Errors
    /// As [`sglang_pool`].
    pub(super) fn pool(&self) -> Result<(SgLangPool, (u64, u64, u64)), SgLangError> {
        let Self { free, share, cell, args, doubt } = *self;
        if cell.has_states && !args.version.from(5, 6) {
            return Err(SgLangError::UnknownPool { what: "recurrent states under a release before 0.5.6" });
        }
        let inputs = [&free.before, &free.taken];
        let known = share.confidence.min(doubt.confidence);
        let mut confidence = inputs.into_iter().fold(known, |least, figure| least.min(figure.confidence));
        // Logs of dense attention alone were computed, and of some releases.
        let confirmed = args.version.checked() == SgLangChecked::Logged && !cell.is_unconfirmed();
        if !confirmed {
            confidence = confidence.min(Confidence::Estimated);
        }
        let (before, taken) = (&free.before, &free.taken);
        let likely = Corner { before: before.value, taken: taken.value, end: End::Likely };
        let (least, most) = (
            Corner { before: before.low, taken: taken.high, end: End::Least },
            Corner { before: before.high, taken: taken.low, end: End::Most },
        );
        let three = |of: &dyn Fn(Corner) -> Option<u64>, least: Corner| -> Result<(u64, u64, u64), SgLangError> {
            Ok((of(likely).ok_or(OVERFLOW)?, of(least).ok_or(OVERFLOW)?, of(most).ok_or(OVERFLOW)?))
        };
        let figure =
            |(value, low, high), method, formula| Figure::exact(value, method, formula).within(low, high, confidence);
        // What weights take of the share is no part of the doubt.
        let statics = three(&|at| self.static_memory(at), Corner { taken: taken.low, ..least })?;
        let static_memory = figure(statics, "sglang_static", "free before loading x share");
        let states = three(&|at| self.states(at), least)?;
        let states = figure(states, "sglang_states", "the rest of the share x ratio / (1 + ratio)");
        let bytes = three(&|at| bytes_of(self.tokens(at)?, cell, args), least)?;
        let bytes = figure(bytes, "sglang_pool", "tokens x bytes of a token");
        let tokens = figure(
            three(&|at| self.tokens(at), least)?,
            "sglang_tokens",
            "(free after loading - free before x (1 - share)) / bytes of a token, in whole pages",
        )
        .with(&[("free_before", before.value), ("taken_by_weights", taken.value), ("cell", cell.bytes)]);
        let window = three(&|at| window_tokens(self.tokens(at)?, cell, args), least)?;
        let window = figure(window, "sglang_window_tokens", "tokens x swa_full_tokens_ratio, in whole pages");
        let pool = SgLangPool {
            static_memory,
            states: cell.has_states.then_some(states),
            bytes,
            tokens,
            window_tokens: (cell.window_bytes > 0 && cell.bytes > 0).then_some(window),
        };
        // More that is free makes the pool larger, and what is beside it may be less: any of the corners may be the end.
        let (mut fewest, mut largest) = (u64::MAX, 0);
        for (before, taken) in [before.low, before.high].into_iter().flat_map(|b| [(b, taken.low), (b, taken.high)]) {
            fewest = fewest.min(self.beside(Corner { before, taken, end: End::Most }).ok_or(OVERFLOW)?);
            largest = largest.max(self.beside(Corner { before, taken, end: End::Least }).ok_or(OVERFLOW)?);
        }
        Ok((pool, (self.beside(likely).ok_or(OVERFLOW)?, fewest, largest)))
    }

    fn share_of(&self, at: Corner) -> Option<u64> {
        let share = match at.end {
            End::Least => self.share.low,
            End::Likely => self.share.value,
            End::Most => self.share.high,
        };
        times(at.before, share)
    }

    /// What the share leaves behind the weights, as far as the doubt goes: no more than is free there.
    fn room(&self, at: Corner) -> Option<u64> {
        let room = self.share_of(at)?.saturating_sub(at.taken);
        let doubted = match at.end {
            End::Least => room.saturating_mul(100) / self.doubt.hundredths.max(100),
            End::Likely => room,
            End::Most => (room.saturating_mul(self.doubt.hundredths) / 100).max(room),
        };
        Some(doubted.min(at.before.saturating_sub(at.taken)))
    }

    fn static_memory(&self, at: Corner) -> Option<u64> {
        let share = self.share_of(at)?;
        Some(share.saturating_sub(share.saturating_sub(at.taken)).saturating_add(self.room(at)?))
    }

    fn states(&self, at: Corner) -> Option<u64> {
        states_of(self.room(at)?, self.cell, self.args)
    }

    fn tokens(&self, at: Corner) -> Option<u64> {
        tokens_of(self.room(at)?.saturating_sub(self.states(at)?), self.cell, self.args)
    }

    fn beside(&self, at: Corner) -> Option<u64> {
        let pool = bytes_of(self.tokens(at)?, self.cell, self.args)?;
        Some([at.taken, self.states(at)?, pool].into_iter().fold(at.before, u64::saturating_sub))
    }
}

/// A share of an amount, rounded down.
pub(super) fn times(amount: u64, factor: f64) -> Option<u64> {
    Bytes::from_unit((Bytes::new(amount).as_f64() * factor).floor(), ByteUnit::B).map(Bytes::get)
}

fn states_of(room: u64, cell: &SgLangCell, args: &SgLangArgs) -> Option<u64> {
    let ratio = args.mamba_full_memory_ratio;
    if cell.has_states { times(room, ratio / (1.0 + ratio)) } else { Some(0) }
}

/// Whole pages in a room.
fn tokens_of(room: u64, cell: &SgLangCell, args: &SgLangArgs) -> Option<u64> {
    let tokens = times(room, 1.0 / cell.shared_bytes())?;
    let tokens = args.max_total_tokens.map_or(tokens, |most| tokens.min(most));
    Some(tokens / args.page() * args.page())
}

/// The window's tokens, where it has a pool beside the other.
fn window_tokens(tokens: u64, cell: &SgLangCell, args: &SgLangArgs) -> Option<u64> {
    if cell.window_bytes == 0 || cell.bytes == 0 {
        return Some(0);
    }
    Some(times(tokens, cell.window_share)? / args.page() * args.page())
}

fn bytes_of(tokens: u64, cell: &SgLangCell, args: &SgLangArgs) -> Option<u64> {
    if cell.bytes == 0 {
        return tokens.checked_mul(cell.window_bytes);
    }
    let window = window_tokens(tokens, cell, args)?.checked_mul(cell.window_bytes)?;
    tokens.checked_mul(cell.bytes)?.checked_add(window)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gib(value: f64) -> Bytes {
        Bytes::from_unit(value, ByteUnit::GiB).unwrap()
    }

    fn printed(before: f64, after: f64) -> SgLangFree {
        SgLangFree::printed(gib(before), gib(after), gib(0.01)).unwrap()
    }

    /// A public log: QwQ-32B on four cards of 24 GB, 0.4.3, which printed 46611 tokens.
    #[test]
    fn a_printed_pool_follows_from_what_was_free() {
        let args = SgLangArgs { tp_size: 4, version: "0.4.3".parse().unwrap(), ..SgLangArgs::default() };
        let share = SgLangShare::given(0.85);
        let pool = sglang_pool(&printed(21.63, 6.09), share, &SgLangCell::of_bytes(65536), &args).unwrap();
        assert!(pool.tokens.contains(46_611), "{:?}", pool.tokens);
        assert!(pool.tokens.value.abs_diff(46_611) < 466, "{:?}", pool.tokens);
        assert_eq!(pool.tokens.confidence, Confidence::Computed);
        assert_eq!((pool.states, pool.window_tokens), (None, None));
        let unconfirmed = SgLangArgs { version: "0.5.16".parse().unwrap(), ..args };
        let pool = sglang_pool(&printed(21.63, 6.09), share, &SgLangCell::of_bytes(65536), &unconfirmed).unwrap();
        assert_eq!(pool.tokens.confidence, Confidence::Estimated, "no log of this release was computed");
    }

    #[test]
    fn pages_are_whole_and_a_limit_counts() {
        let cell = SgLangCell::of_bytes(65536);
        let args = SgLangArgs { page_size: Some(64), max_total_tokens: Some(1000), ..SgLangArgs::default() };
        let pool = sglang_pool(&printed(20.0, 10.0), SgLangShare::given(0.9), &cell, &args).unwrap();
        assert_eq!((pool.tokens.value, pool.bytes.value), (960, 960 * 65536));
    }

    #[test]
    fn weights_that_fill_the_share_leave_no_pool() {
        let cell = SgLangCell::of_bytes(65536);
        let pool = sglang_pool(&printed(20.0, 2.0), SgLangShare::given(0.85), &cell, &SgLangArgs::default()).unwrap();
        assert_eq!(pool.tokens.value, 0);
        assert_eq!(SgLangFree::printed(gib(2.0), gib(3.0), gib(0.01)), None);
    }

    #[test]
    fn a_window_has_its_share_and_states_theirs() {
        let args = SgLangArgs::default();
        let window = SgLangCell { window_bytes: 50, window_share: 0.8, ..SgLangCell::of_bytes(60) };
        let found =
            |cell: &SgLangCell| sglang_pool(&printed(20.0, 12.0), SgLangShare::given(0.9), cell, &args).unwrap();
        let pool = found(&window);
        // 10 GiB over 60 + 0.8 * 50 bytes.
        assert_eq!(pool.tokens.value, (10 << 30) / 100);
        assert_eq!(pool.window_tokens.map(|tokens| tokens.value), Some((10 << 30) / 100 * 8 / 10));
        let states = found(&SgLangCell { has_states: true, ..SgLangCell::of_bytes(60) });
        let (room, kept) = (10_u64 << 30, states.states.unwrap().value);
        assert!(kept.abs_diff(room * 9 / 19) < 2, "{kept}");
        assert!(states.bytes.value.abs_diff(room * 10 / 19) < 120, "{}", states.bytes.value);
        let early = SgLangArgs { version: "0.5.3".parse().unwrap(), ..SgLangArgs::default() };
        let cell = SgLangCell { has_states: true, ..SgLangCell::of_bytes(60) };
        let refused = sglang_pool(&printed(20.0, 12.0), SgLangShare::given(0.9), &cell, &early);
        assert!(matches!(refused, Err(SgLangError::UnknownPool { .. })));
    }
}
