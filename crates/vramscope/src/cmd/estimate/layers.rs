//! Memory by layer as tables, one for each pipeline stage.

use std::fmt::Write as _;
use std::ops::Range;

use vramscope_core::{ByteUnit, Bytes, Confidence};
use vramscope_estimate::{AlikeLayers, CacheKind, CacheSharing, LayerTraits, StageLayers};

use super::render::{gib, paragraph};
use crate::table::{Align, Table};

/// All stages, and what the columns are.
pub(crate) fn tables(stages: &[StageLayers], width: usize) -> String {
    let mut text = String::new();
    for (index, stage) in stages.iter().enumerate() {
        let place = if stages.len() > 1 { format!(", stage {} of {}", index + 1, stages.len()) } else { String::new() };
        let _ = writeln!(text, "By layer, on each rank{place} (MiB are those of one layer)\n");
        text.push_str(&weights(stage).render(width));
        let known = |figure: &vramscope_estimate::Figure| {
            format!("{}, {} to {} GiB", figure.confidence, gib(figure.low), gib(figure.high))
        };
        let _ = writeln!(text);
        paragraph(&mut text, &format!("Weights and their parts are {}.", known(&stage.weights)), width);
        if !stage.sharing.is_empty() {
            let _ = writeln!(text);
            text.push_str(&cache(stage).render(width));
            let _ = writeln!(text);
            let known = known(&stage.kv_cache);
            let total = gib(stage.kv_cache.value);
            let line = match stage.sharing.len() {
                1 => format!("The KV cache and its parts are {known}: layers are the whole of it, {total} GiB."),
                _ => format!(
                    "The KV cache and its parts are {known}. Groups draw blocks from one pool of {total} GiB, and a layer's KV \
                     is what it has if its group draws all of them; the layers and the padding of each group are the whole pool."
                ),
            };
            paragraph(&mut text, &line, width);
        }
        states(stage).into_iter().for_each(|line| paragraph(&mut text, &line, width));
        let _ = writeln!(text);
    }
    text
}

/// Columns that would be empty are left out.
fn weights(stage: &StageLayers) -> Table {
    let caches = stage.sharing.is_empty();
    let states = stage.alike.iter().all(|alike| alike.state.is_none());
    let heads = [
        ("part", Align::Left, false),
        ("n", Align::Right, false),
        ("MiB", Align::Right, false),
        ("GiB", Align::Right, false),
        ("KV MiB", Align::Right, caches),
        ("state MiB", Align::Right, states),
        ("layers", Align::Left, false),
    ];
    let kept: Vec<(&str, Align)> =
        heads.iter().filter(|(.., left_out)| !left_out).map(|(name, align, _)| (*name, *align)).collect();
    let mut table = Table::new(&kept);
    let mut row = |cells: [String; 7]| {
        let cells = cells.into_iter().zip(heads).filter(|(_, (.., left_out))| !left_out);
        table.row(cells.map(|(cell, _)| cell));
    };
    let none = String::new;
    for alike in &stage.alike {
        // A block that one of its groups has drawn is none of another's.
        let kv = alike.caches.iter().map(|cache| cache.bytes).max().unwrap_or(0);
        row([
            name(alike, &stage.alike),
            alike.count().to_string(),
            mib(alike.weights),
            gib(alike.weights.saturating_mul(alike.count())),
            if alike.caches.is_empty() { none() } else { mib(kv) },
            alike.state.as_ref().map_or_else(none, |state| mib(state.value)),
            places(&alike.layers),
        ]);
    }
    for own in &stage.outside {
        let kv = own.kv_cache.map_or_else(none, mib);
        row([title(own.name).to_owned(), none(), mib(own.weights), gib(own.weights), kv, none(), none()]);
    }
    let count: u64 = stage.alike.iter().map(AlikeLayers::count).sum();
    let total = stage.weights.value;
    row(["= weights".to_owned(), count.to_string(), mib(total), gib(total), none(), none(), none()]);
    table
}

/// How well a sequence's states are known, and how much of their blocks they fill.
fn states(stage: &StageLayers) -> Option<String> {
    let (alike, state) = stage.alike.iter().find_map(|alike| Some((alike, alike.state.as_ref()?)))?;
    let block = alike.caches.iter().find(|cache| cache.kind == CacheKind::Recurrent)?.block_bytes;
    let padding = mib(block.saturating_sub(state.value));
    Some(format!(
        "State is that of one sequence, {}{}: of a block of {} MiB in a layer it fills {}, and {padding} are padding.",
        state.confidence,
        if state.confidence == Confidence::Assumed { ", as the config is not understood in full" } else { "" },
        mib(block),
        mib(state.value),
    ))
}

fn cache(stage: &StageLayers) -> Table {
    let mut table = Table::new(&[
        ("KV cache shared by", Align::Left),
        ("n", Align::Right),
        ("GiB", Align::Right),
        ("padding GiB", Align::Right),
        ("layers", Align::Left),
    ]);
    for group in &stage.sharing {
        let own: u64 = group.layers.iter().map(|run| run.len() as u64).sum();
        let mut layers = places(&group.layers);
        if group.drafter_layers > 0 {
            layers.push_str(if layers.is_empty() { "the drafter's" } else { ", the drafter's" });
        }
        let count = (own + group.drafter_layers).to_string();
        table.row([cache_kind(group), count, gib(group.bytes), gib(group.padding), layers]);
    }
    table
}

/// `attention, experts`.
fn kind(alike: &AlikeLayers) -> String {
    let mixer = match alike.mixer {
        "attention_and_recurrence" => "attention + recurrence",
        "sliding_attention" => "sliding attention",
        "chunked_attention" => "chunked attention",
        "latent_attention" => "latent attention",
        "compressed_attention" => "compressed attention",
        other => other,
    };
    match (mixer, alike.feed_forward) {
        ("none", feed_forward) => feed_forward.to_owned(),
        (mixer, "none") => mixer.to_owned(),
        (mixer, feed_forward) => format!("{mixer}, {feed_forward}"),
    }
}

/// The kind, with what tells it from other layers of the same kind on the stage.
fn name(alike: &AlikeLayers, all: &[AlikeLayers]) -> String {
    let kind = kind(alike);
    let own = alike.traits;
    let same: Vec<LayerTraits> =
        all.iter().filter(|other| self::kind(other) == kind).map(|other| other.traits).collect();
    let mut words = Vec::new();
    if same.iter().any(|other| other.tokens_per_vector != own.tokens_per_vector) {
        words.push(own.tokens_per_vector.map_or_else(|| "window".to_owned(), |tokens| format!("{tokens}:1")));
    } else if same.iter().any(|other| other.window != own.window) {
        words.push(own.window.map_or_else(|| "all tokens".to_owned(), |tokens| format!("window of {tokens}")));
    } else if own.indexed && same.iter().any(|other| !other.indexed) {
        words.push("index".to_owned());
    }
    if own.experts_by_table && same.iter().any(|other| !other.experts_by_table) {
        words.push("by table".to_owned());
    }
    if words.is_empty() { kind } else { format!("{kind} ({})", words.join(", ")) }
}

fn title(name: &str) -> &str {
    match name {
        "norms" => "final norm",
        "buffers" => "rotary tables, buffers",
        "residual_streams" => "residual streams",
        "allocator_rounding" => "allocator's rounding",
        "share_remainder" => "rest of the shares",
        other => other,
    }
}

fn cache_kind(group: &CacheSharing) -> String {
    match group.kind {
        CacheKind::Full => "full attention".to_owned(),
        CacheKind::Latent => "latents".to_owned(),
        CacheKind::Compressed => "compressed tokens".to_owned(),
        CacheKind::Sliding(window) => format!("window of {window}"),
        CacheKind::Chunked(chunk) => format!("chunk of {chunk}"),
        CacheKind::Recurrent => "recurrent states".to_owned(),
    }
}

/// `0-2, 4-6, 8`.
fn places(layers: &[Range<usize>]) -> String {
    let of = |run: &Range<usize>| match run.len() {
        1 => run.start.to_string(),
        _ => format!("{}-{}", run.start, run.end.saturating_sub(1)),
    };
    layers.iter().map(of).collect::<Vec<_>>().join(", ")
}

fn mib(bytes: u64) -> String {
    format!("{:.2}", Bytes::new(bytes).in_unit(ByteUnit::MiB))
}
