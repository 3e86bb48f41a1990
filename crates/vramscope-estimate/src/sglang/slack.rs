//! What the server takes beside weights and pool: the process, the request table, the kernels' workspace, graphs.

use vramscope_core::{Architecture, Confidence};

use super::args::SgLangArgs;
use super::share::SgLangSizes;
use crate::calibration::Calibration;
use crate::figure::Figure;

const MIB: u64 = 1 << 20;

/// What is gone of a device before the weights are loaded: the process, and the communicator of several ranks. Measured of
/// another engine on an H200; logs of this one leave 0.8 GiB of a B200, 1.5 to 2 GiB of four cards of 24 GB.
pub(super) fn before(total: u64, spread: u64, others: u64, args: &SgLangArgs, table: &Calibration) -> Figure {
    let (context, ranks) = (&table.context, &table.non_torch_ranks);
    // `Init torch distributed ends. mem usage=0.09 GB`, of one rank.
    let own = 96 * MIB;
    let several = |bytes: u64| if args.ranks() > 1 { bytes } else { 0 };
    let left = |total: u64, taken: [u64; 4]| taken.into_iter().fold(total, u64::saturating_sub);
    let value = left(total, [others, context.value, own, several(ranks.value)]);
    let low = left(total.saturating_sub(spread), [others, context.high, 512 * MIB, several(ranks.high)]);
    let high = left(total.saturating_add(spread), [others, context.low, 0, 0]);
    Figure::exact(value, "sglang_free_before", "device total - others - process - communicator")
        .with(&[("device_total", total), ("others", others)])
        .within(low, high, Confidence::Estimated)
}

/// Loading takes the tensors and what the allocator keeps beside them: 0.02 to 0.3 GiB more in the logs.
pub(super) fn taken(weights: &Figure) -> Figure {
    let more = |bytes: u64, mib: u64| bytes.saturating_add(mib * MIB);
    let confidence = weights.confidence.min(Confidence::Estimated);
    Figure::exact(
        more(weights.value, 64),
        "sglang_weights",
        "tensors of a rank, and what the allocator keeps beside them",
    )
    .with(&[("tensors", weights.value)])
    .within(weights.low, more(weights.high, 320), confidence)
}

/// Requests at once: a half of the pool's tokens by the longest request, within bounds (`max_num_reqs`).
pub(super) fn requests(tokens: u64, context: u64, args: &SgLangArgs) -> u64 {
    let usual = u64::try_from(u128::from(tokens) * 512 / u128::from(context.max(1))).unwrap_or(u64::MAX);
    let usual = usual.clamp(2048, 4096);
    let asked = args.max_running_requests.map(|most| (most / args.attention_replicas()).max(1));
    // Never more than half of the pool's tokens: since 0.5.10 where nobody says, since 0.5.14 always; between them what is
    // asked for is held below the usual number.
    let half = (tokens / 2).max(1);
    match asked {
        None if args.version.from(5, 10) => usual.min(half),
        None => usual,
        Some(asked) if args.version.from(5, 14) => asked.min(half),
        Some(asked) if args.version.from(5, 10) => asked.min(usual),
        Some(asked) => asked,
    }
}

/// The table of requests: a number of 4 bytes for each token that one may have, and 4 more (`ReqToTokenPool`). No release
/// takes it off what the pool is sized by, nor does a later one hold it twice: it lies beside the share, once.
pub(super) fn table(requests: u64, context: u64, args: &SgLangArgs) -> u64 {
    // A row more until 0.4.6, and again since 0.5.11.
    let rows = if args.version.from(4, 7) && !args.version.from(5, 11) { requests } else { requests.saturating_add(1) };
    rows.saturating_mul(context.saturating_add(4)).saturating_mul(4)
}

/// What attention's kernels set aside between pool and graphs: 0.5 to 1.1 GiB in the logs, which no rule gave.
pub(super) fn workspace() -> Figure {
    Figure::exact(640 * MIB, "sglang_workspace", "as logs show it between pool and graphs").within(
        0,
        1280 * MIB,
        Confidence::Assumed,
    )
}

/// What graphs take. No rule is known: logs show 27 MiB a batch where few are captured and 12 where many are, and 32 MiB a
/// graph of a prefill.
pub(super) fn graphs(model: &Architecture, sizes: SgLangSizes) -> Figure {
    let (decode, prefill) = (sizes.decode_graphs, sizes.prefill_graphs);
    let of = |each: u64, prefills: u64| {
        decode.saturating_mul(each * MIB).saturating_add(prefill.saturating_mul(prefills * MIB))
    };
    let value = of(14, 32);
    let figure = Figure::exact(value, "sglang_graphs", "as logs show it: 14 MiB a batch, 32 a prefill")
        .with(&[("decode_graphs", decode), ("prefill_graphs", prefill)]);
    // Experts and wide models take more.
    let high = if model.has_experts() { of(160, 160) } else { of(48, 96) };
    if value == 0 { figure } else { figure.within(of(2, 4), high, Confidence::Assumed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `_resolve_max_num_reqs` of each release has it, and `ReqToTokenPool` its rows.
    #[test]
    fn requests_and_rows_follow_the_release() {
        let of = |version: &str, asked: Option<u64>, tokens: u64| {
            let args =
                SgLangArgs { version: version.parse().unwrap(), max_running_requests: asked, ..SgLangArgs::default() };
            let found = requests(tokens, 4096, &args);
            (found, table(found, 4096, &args) / (4100 * 4))
        };
        assert_eq!(of("0.4.6", None, 3000), (2048, 2049));
        assert_eq!(of("0.5.9", None, 3000), (2048, 2048));
        assert_eq!(of("0.5.10", None, 3000), (1500, 1500));
        assert_eq!(of("0.5.12", None, 3000), (1500, 1501));
        assert_eq!((of("0.5.9", Some(9000), 3000).0, of("0.5.12", Some(9000), 3000).0), (9000, 2048));
        assert_eq!(of("0.5.14", Some(9000), 3000), (1500, 1501));
        assert_eq!(of("0.5.23", Some(4), 3000), (4, 5));
    }
}
