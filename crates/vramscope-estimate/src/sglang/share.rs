//! The share of a device that weights and pool may take, where nobody states it (`--mem-fraction-static`).
//!
//! Until 0.4.5 the ranks decide it alone. Later releases set memory aside for activations and graphs, by the card's size as
//! `nvidia-smi` prints it, and state the rest as a share, rounded to thousandths. It is a share of what is free before the
//! weights are loaded, and not of the device (`model_runner.py`, `profile_max_num_token`).

use vramscope_core::{Architecture, Confidence, Mixer, Vendor};

use super::args::SgLangArgs;
use crate::device::GpuModel;

const MIB_PER_GIB: f64 = 1024.0;

/// A share, from 0 to 1, with its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct SgLangShare {
    /// The most likely share.
    pub value: f64,
    /// The least that is still likely.
    pub low: f64,
    /// The most that is still likely.
    pub high: f64,
    /// How well it is known.
    pub confidence: Confidence,
}

impl SgLangShare {
    /// A share that was given, or stated by a log.
    pub fn given(value: f64) -> Self {
        Self { value, low: value, high: value, confidence: Confidence::Computed }
    }
}

/// What the server takes for what is not given and depends on the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SgLangSizes {
    /// Tokens of a prompt that are computed together; 0: prompts are not cut.
    pub chunked_prefill_size: u64,
    /// The largest batch of which a graph is captured; 0 without graphs.
    pub cuda_graph_max_bs: u64,
    /// Batches of which graphs are captured.
    pub decode_graphs: u64,
    /// Numbers of tokens of which graphs of prefills are captured.
    pub prefill_graphs: u64,
}

/// The card's size as `nvidia-smi` prints it, in MiB, by what the framework sees of it: likely, least and most. NVIDIA's
/// driver keeps 0.26 (T4) to 0.85 GiB (A100 80 GB) of what it prints; AMD's prints what the framework sees.
fn as_printed(device: &GpuModel) -> (f64, f64, f64) {
    let seen = device.total.as_f64() / MIB_PER_GIB / MIB_PER_GIB;
    let spread = device.total_spread.as_f64() / MIB_PER_GIB / MIB_PER_GIB;
    match device.vendor {
        Vendor::Amd => (seen, seen - spread, seen + spread),
        _ => (seen + 480.0, seen + 200.0 - spread, seen + 900.0 + spread),
    }
}

/// Whether the cache is one compressed vector a token.
pub(super) fn is_latent(model: &Architecture) -> bool {
    model.layers.iter().any(|layer| matches!(layer.mixer, Mixer::Latent(_)))
}

/// What is not given, by the card and the release.
pub(super) fn sizes(model: &Architecture, args: &SgLangArgs, device: Option<&GpuModel>) -> SgLangSizes {
    let printed = device.map(|device| as_printed(device).0);
    let (chunk, batch) = by_card(args, printed);
    let chunk = args.chunked_prefill_size.unwrap_or(chunk);
    let capped = match args.max_running_requests {
        // Since 0.5.20 none is captured that no request can fill.
        Some(most) if args.version.from(5, 20) => batch.min(most),
        _ => batch,
    };
    let batch = args.cuda_graph_max_bs.unwrap_or(capped);
    let decode = args.cuda_graph_batches.unwrap_or_else(|| decode_batches(batch));
    let off = args.disable_cuda_graph;
    let captures_prefills = args.prefill_graphs.unwrap_or(args.version.from(5, 10)) && args.version.from(5, 6);
    SgLangSizes {
        chunked_prefill_size: chunk,
        cuda_graph_max_bs: batch,
        decode_graphs: if off { 0 } else { decode },
        prefill_graphs: if off || !captures_prefills { 0 } else { prefill_sizes(largest_prefill(model, args, chunk)) },
    }
}

/// Tokens of a chunk and the largest batch by the card's size.
fn by_card(args: &SgLangArgs, printed: Option<f64>) -> (u64, u64) {
    let wide = args.tp_size >= 4;
    let Some(mib) = printed else { return (4096, 160) };
    if !args.version.from(4, 9) {
        let chunk = match mib {
            mib if mib < 25_000.0 => 2048,
            mib if mib > 180_000.0 && args.version.from(4, 7) => 16384,
            _ => 8192,
        };
        let batch = if mib >= 25_000.0 {
            160
        } else if wide {
            80
        } else {
            8
        };
        return (chunk, batch);
    }
    let gib = mib / MIB_PER_GIB;
    if !args.version.from(5, 3) {
        // Without a limit, the runner's own list ends at 160, and at 256 on large cards.
        let batch = match gib {
            gib if gib < 35.0 => {
                if wide {
                    80
                } else {
                    8
                }
            }
            gib if gib < 90.0 => 160,
            gib if gib < 160.0 => 256,
            _ => 512,
        };
        let chunk = match gib {
            gib if gib < 35.0 => 2048,
            gib if gib < 160.0 => 8192,
            _ => 16384,
        };
        return (chunk, batch);
    }
    match gib {
        gib if gib < 20.0 => (2048, 8),
        gib if gib < 35.0 && args.version.from(5, 20) => (4096, if wide { 160 } else { 48 }),
        gib if gib < 35.0 => {
            let narrow = if args.version.from(5, 5) { 24 } else { 16 };
            (2048, if wide { 80 } else { narrow })
        }
        gib if gib < 60.0 => (4096, if wide { 160 } else { 32 }),
        gib if gib < 160.0 => (8192, if wide { 512 } else { 256 }),
        _ => (16384, 512),
    }
}

/// Batches up to the largest: 1, 2, 4, 8, 12, then by 8, 16 and 32.
fn decode_batches(largest: u64) -> u64 {
    let few = [1, 2, 4, 8, 12];
    let listed = few.into_iter().chain((16..=256).step_by(8)).chain((272..512).step_by(16));
    let listed = u64::try_from(listed.filter(|batch| *batch <= largest).count()).unwrap_or(0);
    listed + if largest >= 512 { (largest - 512) / 32 + 1 } else { 0 }
}

/// The most tokens of which a graph of a prefill is captured.
fn largest_prefill(model: &Architecture, args: &SgLangArgs, chunk: u64) -> u64 {
    if !args.version.from(5, 9) {
        return 4096;
    }
    let latent = if args.version.from(5, 23) { chunk.min(8192) } else { 2048 };
    let largest = if is_latent(model) { latent } else { chunk };
    let within = |largest: u64, most: Option<u64>| most.map_or(largest, |most| largest.min(most));
    let largest = within(largest, args.max_total_tokens.filter(|_| args.version.from(5, 10)));
    let clamped = args.version.from(5, 14) && !args.version.from(5, 20);
    within(largest, args.context_length.filter(|_| clamped))
}

/// Numbers of tokens up to the largest: by 4, 16, 32, 64, 256 and 512.
fn prefill_sizes(largest: u64) -> u64 {
    let listed = (4..=32).step_by(4).chain((48..=256).step_by(16)).chain((288..=512).step_by(32));
    let listed = listed.chain((576..=1024).step_by(64)).chain((1280..=4096).step_by(256));
    let listed = u64::try_from(listed.filter(|size| *size <= largest).count()).unwrap_or(0);
    listed + if largest >= 4608 { (largest - 4608) / 512 + 1 } else { 0 }
}

/// The share that the release takes: as given, else by its rule. `None` without a device on which that rule depends.
pub(super) fn share(
    model: &Architecture,
    args: &SgLangArgs,
    sizes: SgLangSizes,
    device: Option<&GpuModel>,
) -> Option<SgLangShare> {
    if let Some(given) = args.mem_fraction_static {
        return Some(SgLangShare::given(given));
    }
    let (value, low, high) = match (by_ranks(args), device) {
        (Some(share), _) => (share, share, share),
        (None, None) => return None,
        (None, Some(device)) => {
            let of = |mib: f64| by_size(model, args, sizes, mib);
            let (likely, least, most) = as_printed(device);
            let all = [of(likely), of(least), of(most)];
            (all[0], all.into_iter().fold(f64::MAX, f64::min), all.into_iter().fold(f64::MIN, f64::max))
        }
    };
    let mut share = SgLangShare { value, low, high, confidence: Confidence::Computed };
    if low < high {
        share.confidence = Confidence::Estimated;
    }
    if model.tower.is_some() && args.version.from(4, 9) {
        // Multiplied by 0.95, and by 0.8 to 1.05 by the tower's layers and width, which are told by its size alone:
        // twelve matrices of its width in each layer, against 24 layers of 1024.
        const USUAL: f64 = 12.0 * 24.0 * 1024.0 * 1024.0;
        let weights = model.tower.map_or(0.0, |tower| vramscope_core::Bytes::new(tower.parameters).as_f64());
        let factor = 0.95 * (1.0 - 0.1 * (weights / USUAL - 1.0)).clamp(0.8, 1.05);
        share = SgLangShare {
            value: share.value * factor,
            low: share.low * 0.95 * 0.8,
            high: share.high,
            confidence: Confidence::Estimated,
        };
    }
    Some(share)
}

/// The share of releases that look at the ranks alone.
fn by_ranks(args: &SgLangArgs) -> Option<f64> {
    let version = args.version;
    if version.from(4, 6) {
        return None;
    }
    let eight = if version.from(4, 1) {
        0.81
    } else if version.from(3, 6) {
        0.82
    } else {
        0.83
    };
    Some(steps(args.tp_size, eight))
}

fn steps(ranks: u64, eight: f64) -> f64 {
    match ranks {
        16.. => 0.79,
        8.. => eight,
        4.. => 0.85,
        2.. => 0.87,
        _ => 0.88,
    }
}

/// The share by the card's size in MiB.
fn by_size(model: &Architecture, args: &SgLangArgs, sizes: SgLangSizes, mib: f64) -> f64 {
    let version = args.version;
    if !version.from(4, 9) {
        return of_ranks_and_size(args, mib);
    }
    let reserved = if version.from(5, 3) { reserved(model, args, sizes, mib) } else { reserved_by_card(args, mib) };
    // A card that is smaller than what is set aside leaves nothing; the server goes on with a share below 0 and finds no room.
    ((mib - reserved) / mib * 1000.0).round().max(0.0) / 1000.0
}

/// 0.4.6 to 0.4.8: by ranks on cards up to 80 GiB, more on large ones.
fn of_ranks_and_size(args: &SgLangArgs, mib: f64) -> f64 {
    let share = if mib <= 81_920.0 { steps(args.ranks(), 0.81) } else { 0.88 };
    if mib > 180_000.0 && args.version.from(4, 7) {
        return 0.79;
    }
    if mib > 96.0 * MIB_PER_GIB {
        let more = share + 48.0 * MIB_PER_GIB * (1.0 - share) / mib;
        return more.min((mib - 18.0 * MIB_PER_GIB) / mib);
    }
    share
}

/// 0.4.9 to 0.5.2: so many GiB by the card.
fn reserved_by_card(args: &SgLangArgs, mib: f64) -> f64 {
    let ranks = vramscope_core::Bytes::new(args.ranks()).as_f64();
    let gib = match mib / MIB_PER_GIB {
        size if size < 35.0 => 2.8 + ranks / 10.0,
        size if size < 90.0 => 9.5 + ranks / 2.0,
        size if size < 160.0 => 12.0 + ranks / 2.0,
        _ => 32.0,
    };
    (gib + if args.dp_attention { 4.0 } else { 0.0 }) * MIB_PER_GIB
}

/// Since 0.5.3: so many MiB by what is computed together and what is captured.
fn reserved(model: &Architecture, args: &SgLangArgs, sizes: SgLangSizes, mib: f64) -> f64 {
    let number = |count: u64| vramscope_core::Bytes::new(count).as_f64();
    let tokens = if sizes.chunked_prefill_size > 0 { sizes.chunked_prefill_size } else { args.max_prefill_tokens };
    let mut reserved = 512.0 + number(tokens.max(2048)) * 1.5 + number(args.ranks()) / 8.0 * MIB_PER_GIB;
    let batch = number(sizes.cuda_graph_max_bs);
    // Since 0.5.16 nothing for graphs that are off.
    if !(args.disable_cuda_graph && args.version.from(5, 16)) {
        reserved += batch * 2.0;
    }
    if args.dp_attention {
        reserved += batch * number(args.dp_size) * if sizes.cuda_graph_max_bs > 300 { 4.5 } else { 3.0 };
    }
    if sizes.prefill_graphs > 0 {
        reserved += match () {
            // 0.5.6 to 0.5.8: a quarter of the largest prefill.
            () if !args.version.from(5, 9) => MIB_PER_GIB,
            () if is_latent(model) && args.version.from(5, 10) => 1.5 * MIB_PER_GIB,
            () => number(sizes.prefill_graphs) * 8.0,
        };
    }
    if mib > 60.0 * MIB_PER_GIB { reserved.max(10.0 * MIB_PER_GIB) } else { reserved }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sglang::release::SgLangVersion;
    use crate::tests_support::llama_8b;
    use vramscope_core::Bytes;

    fn share_of(version: &str, tp_size: u64, mib: u64) -> f64 {
        let version: SgLangVersion = version.parse().unwrap();
        let args = SgLangArgs { version, tp_size, ..SgLangArgs::default() };
        // A card of which the driver prints so much.
        let device = GpuModel { vendor: Vendor::Amd, ..GpuModel::of_size(Bytes::new(mib << 20)) };
        let model = llama_8b();
        share(&model, &args, sizes(&model, &args, Some(&device)), Some(&device)).unwrap().value
    }

    /// Worked by hand from each release's source.
    #[test]
    fn each_release_has_its_rule() {
        for (version, tp, mib, expected) in [
            ("0.2.15", 8, 81_559, 0.83),
            ("0.3.6", 8, 81_559, 0.82),
            ("0.4.3", 8, 81_559, 0.81),
            ("0.4.3", 4, 24_564, 0.85),
            ("0.4.6.post5", 1, 81_559, 0.88),
            ("0.4.6.post5", 8, 143_771, 0.8718),
            ("0.4.7", 1, 183_359, 0.79),
            // (15360 - 2.9 * 1024) / 15360
            ("0.5.0", 1, 15_360, 0.807),
            // (81559 - 10 * 1024) / 81559
            ("0.4.10", 1, 81_559, 0.874),
            ("0.5.2", 8, 143_771, 0.886),
            // 512 + 12288 + 512 + 128 of 81559
            ("0.5.3", 1, 81_559, 0.835),
            // 512 + 12288 + 1024 + 1024
            ("0.5.3", 8, 143_771, 0.897),
            // 512 + 24576 + 1024 + 128 + 74 * 8
            ("0.5.12", 1, 183_359, 0.854),
            ("0.5.9", 1, 183_359, 0.857),
            // 512 + 3072 + 48 + 128 + 42 * 8 = 4096 of 24564
            ("0.5.12", 1, 24_564, 0.833),
            // 512 + 6144 + 96 + 128 + 50 * 8 = 7280
            ("0.5.23", 1, 24_564, 0.704),
        ] {
            let found = share_of(version, tp, mib);
            assert!((found - expected).abs() < 0.0005, "{version} tp {tp} {mib} MiB: {found} and not {expected}");
        }
    }

    #[test]
    fn sizes_of_graphs_are_those_that_logs_count() {
        // `4/4` on a card of 16 GB (0.5.0), `52/52` and `74/74` on a B200 (0.5.12).
        assert_eq!((decode_batches(8), decode_batches(512), prefill_sizes(16384)), (4, 52, 74));
    }

    #[test]
    fn what_is_given_goes_before_the_rule_and_needs_no_device() {
        let model = llama_8b();
        let given = SgLangArgs { mem_fraction_static: Some(0.7), ..SgLangArgs::default() };
        assert_eq!(share(&model, &given, sizes(&model, &given, None), None), Some(SgLangShare::given(0.7)));
        let open = SgLangArgs::default();
        assert_eq!(share(&model, &open, sizes(&model, &open, None), None), None, "the rule needs the card");
    }
}
