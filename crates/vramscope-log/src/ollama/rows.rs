//! The formats of Ollama's own records (`llm/memory.go`, `llm/server.go`, `ml/device.go`, `server/sched.go`): the message,
//! and the fields that are read. Amounts are powers of two with one decimal.

use super::slog::Slog;
use crate::key::Key;
use crate::pattern::Captured;
use crate::rows::{Row, row};

/// What a record does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Does {
    /// It states figures.
    State,
    /// It states the host's memory, as before each load.
    Host,
    /// A runner is started.
    Starts,
    /// The runner is up.
    Ready,
    /// The server listens.
    Listens,
    /// A model is asked for: on trial, or to be kept.
    Load,
    /// What loading is expected to take.
    Plan,
    Weights,
    Kv,
    Compute,
    /// The host cannot hold the model.
    TooLarge,
    /// A variable of the environment is refused.
    BadVariable,
}

pub(crate) const ROWS: &[Row<Does>] = &[
    row("0.1.30-", "Listening on", "msg=\"Listening on*\" ", Does::Listens),
    row(
        "0.5.0-",
        "system memory",
        "msg=\"system memory\" total={host_memory} free={host_free} free_swap={swap_free}",
        Does::Host,
    ),
    row(
        "0.1.45-",
        "inference compute",
        "msg=\"inference compute\" name={place} id={place} description={device_name} library={library} total={device_total} available={initial_free}",
        Does::State,
    ),
    row(
        "0.1.45-0.5.5",
        "offload to",
        "msg=\"offload to*\" layers.model={layers} layers.offload={layers_on_device} memory.available={free_for_engine} memory.gpu_overhead={left_free_more} memory.required.full={planned_total} memory.required.partial={planned_partial} memory.required.kv={planned_kv_cache} memory.required.allocations={planned_on_device} memory.weights.total={planned_weights} memory.weights.repeating={planned_weights_repeating} memory.weights.nonrepeating={planned_weights_nonrepeating} memory.graph.full={planned_compute} memory.graph.partial={planned_compute_partial} projector.weights={planned_projector_weights}",
        Does::Plan,
    ),
    row(
        "0.5.6-0.12.10",
        "offload",
        "msg=offload library={library} layers.model={layers} layers.offload={layers_on_device} memory.available={free_for_engine} memory.gpu_overhead={left_free_more} memory.required.full={planned_total} memory.required.partial={planned_partial} memory.required.kv={planned_kv_cache} memory.required.allocations={planned_on_device} memory.weights.total={planned_weights} memory.weights.repeating={planned_weights_repeating} memory.weights.nonrepeating={planned_weights_nonrepeating} memory.graph.full={planned_compute} memory.graph.partial={planned_compute_partial} projector.weights={planned_projector_weights}",
        Does::Plan,
    ),
    row(
        "0.11.5-",
        "gpu memory",
        "msg=\"gpu memory\" id={place} library={library} available={free_for_engine} free={initial_free} minimum={left_free} overhead={left_free_more}",
        Does::State,
    ),
    row("0.11.5-", "loading model", "msg=\"loading model\" model_layers={layers}", Does::State),
    row("0.6.0-", "offloaded", "msg=\"offloaded*\" ", Does::State),
    row("0.6.0-", "model weights", "msg=\"model weights\" device={place} buffer={place} size={weights}", Does::Weights),
    row("0.11.5-", "kv cache", "msg=\"kv cache\" device={place} size={kv_pool}", Does::Kv),
    row(
        "0.6.0-",
        "compute graph",
        "msg=\"compute graph\" device={place} backend={place} size={compute_buffer}",
        Does::Compute,
    ),
    row("0.11.5-", "total memory", "msg=\"total memory\" size={held_total}", Does::State),
    row("0.11-", "load", "msg=load ", Does::Load),
    row("0.6.0-", "architecture", "msg=\"\" architecture={architecture} file_type={quantization}", Does::State),
    row("0.1.30-", "starting llama server", "msg=\"starting llama server\" ", Does::Starts),
    row("0.5.13-", "starting runner", "msg=\"starting runner\" ", Does::Starts),
    row("0.30.0-", "starting llama-server", "msg=\"starting llama-server\" ", Does::Starts),
    row("0.1.38-", "runner started", "msg=\"llama runner started*\" ", Does::Ready),
    row("0.30.0-", "llama-server started", "msg=\"llama-server started*\" ", Does::Ready),
    row(
        "0.1.45-",
        "model request too large",
        "msg=\"model request too large for system\" requested={fail_tried} available={fail_available}",
        Does::TooLarge,
    ),
    row(
        "0.1.30-",
        "invalid environment variable",
        "msg=\"invalid environment variable, using default\" ",
        Does::BadVariable,
    ),
];

/// A row, taken apart.
#[derive(Debug)]
pub(crate) struct Format {
    pub(crate) row: &'static Row<Does>,
    msg: &'static str,
    /// The message goes on behind that.
    goes_on: bool,
    fields: Vec<(&'static str, Key)>,
}

impl Format {
    /// The keys that it reads.
    #[cfg(test)]
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.fields.iter().map(|(_, key)| *key).collect()
    }
}

/// All formats.
pub(crate) fn formats() -> Vec<Format> {
    ROWS.iter().filter_map(format).collect()
}

fn format(row: &'static Row<Does>) -> Option<Format> {
    let rest = row.pattern.strip_prefix("msg=")?;
    let (msg, rest) = match rest.strip_prefix('"') {
        Some(inside) => inside.split_once('"')?,
        None => rest.split_once(' ')?,
    };
    let (msg, goes_on) = msg.strip_suffix('*').map_or((msg, false), |msg| (msg, true));
    let fields = rest.split_whitespace().map(|field| {
        let (name, key) = field.split_once("={")?;
        Some((name, Key::from_name(key.strip_suffix('}')?)?))
    });
    Some(Format { row, msg, goes_on, fields: fields.collect::<Option<_>>()? })
}

fn of<'f>(formats: &'f [Format], slog: &Slog<'_>) -> Option<&'f Format> {
    formats.iter().find(|format| if format.goes_on { slog.msg.starts_with(format.msg) } else { slog.msg == format.msg })
}

/// What a record does, if it is known.
pub(crate) fn does(formats: &[Format], slog: &Slog<'_>) -> Option<Does> {
    of(formats, slog).map(|format| format.row.does)
}

/// What a record states.
pub(crate) fn find(
    formats: &[Format],
    slog: &Slog<'_>,
    value: impl Fn(Key, &str) -> Vec<Captured>,
) -> Option<(Does, Vec<Captured>)> {
    let format = of(formats, slog)?;
    let mut captured: Vec<Captured> = Vec::new();
    for (name, key) in &format.fields {
        let name = if *name == "model_layers" { "model layers" } else { name };
        // A place has one name, the first that the record has.
        if *key == Key::Place && captured.iter().any(|c| c.key == Key::Place) {
            continue;
        }
        if let Some(text) = slog.field(name).filter(|text| !text.is_empty()) {
            captured.extend(value(*key, text));
        }
    }
    captured.extend(in_message(slog));
    Some((format.row.does, captured))
}

/// What stands in the message itself.
fn in_message(slog: &Slog<'_>) -> Vec<Captured> {
    use crate::pattern::value;
    let mut captured = Vec::new();
    if let Some((_, rest)) = slog.msg.split_once("(version ") {
        captured.extend(value(Key::Version, rest.trim_end_matches(')')));
    }
    if let Some((on, rest)) = slog.msg.strip_prefix("offloaded ").and_then(|rest| rest.split_once('/')) {
        captured.extend(value(Key::LayersOnDevice, on));
        captured.extend(value(Key::Layers, rest));
    }
    if let Some((_, rest)) = slog.msg.split_once(" started in ") {
        captured.extend(value(Key::LoadSecs, rest));
    }
    captured
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_taken_apart_and_met_by_the_fixture() {
        assert_eq!(formats().len(), ROWS.len());
        let records: Vec<Slog<'_>> =
            include_str!("../../tests/it/data/ollama.txt").lines().filter_map(Slog::of).collect();
        for format in formats() {
            let met =
                records.iter().any(|slog| of(&formats(), slog).map(|f| f.row.pattern) == Some(format.row.pattern));
            assert!(met, "no line of the fixture is of the format {}", format.row.pattern);
        }
    }
}
