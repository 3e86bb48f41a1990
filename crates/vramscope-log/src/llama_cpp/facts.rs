//! From llama.cpp's figures to facts.

use vramscope_core::{Buffer, BufferKind, ByteDelta, ByteUnit, Bytes, EngineFacts, Fact, PlaceFacts, Scope};

use crate::engine::Engine;
use crate::figure::Figure;
use crate::key::Key;
use crate::note::ParseNote;
use crate::others::fact;

/// All facts of an engine but its failures.
pub(crate) fn facts(engine: &Engine) -> EngineFacts {
    let mut facts = EngineFacts::default();
    facts.engine = engine.kind;
    facts.version = fact::text(engine, Key::Version);
    stated(engine, &mut facts);
    facts
}

/// What is printed alike by all who use the library.
pub(crate) fn stated(engine: &Engine, facts: &mut EngineFacts) {
    facts.model = fact::text(engine, Key::Model);
    facts.architecture = fact::text(engine, Key::Architecture);
    facts.quantization = fact::text(engine, Key::Quantization);
    facts.kv_cache_dtype = fact::text(engine, Key::KvCacheDtype);
    facts.max_num_seqs = fact::last_count(engine, Key::Slots);
    facts.max_num_batched_tokens = fact::first_count(engine, Key::BatchTokens);
    facts.max_model_len = fact::last_count(engine, Key::SlotTokens).or_else(|| {
        let own = fact::first_count(engine, Key::MaxModelLen);
        own.or_else(|| fact::first_count(engine, Key::ContextTokens))
    });
    // Of the caches of one model the one that holds the most is the one without a window.
    let most = engine.of(Key::KvTokens).filter_map(|f| Some((f.count()?, f))).max_by_key(|(tokens, _)| *tokens);
    facts.kv_tokens = most.into_iter().map(|(tokens, f)| fact::of(f, tokens)).collect();
    facts.layers_on_device = fact::first_count(engine, Key::LayersOnDevice);
    facts.layers = fact::first_count(engine, Key::Layers);
    let on_device = |f: &&Figure| !f.place.as_deref().is_some_and(super::is_host);
    facts.initial_free = engine.of(Key::InitialFree).filter(on_device).filter_map(fact::amount).collect();
    facts.device_total = engine.of(Key::DeviceTotal).filter(on_device).filter_map(fact::amount).collect();
    facts.places = places(engine);
    facts.buffers = super::trials::chosen(engine);
    // Up to January 2024 no line says where the cache lies.
    let cached = facts.buffers.iter().any(|part| part.kind == BufferKind::KvCache && !part.planned);
    let with_weights = facts.buffers.iter().any(|part| part.kind == BufferKind::Total);
    if !cached && !with_weights {
        let on_host = facts.layers_on_device.as_ref().is_none_or(|layers| layers.value == 0)
            && !facts.buffers.iter().any(|part| part.kind == BufferKind::Weights && !part.on_host);
        for amount in engine.of(Key::KvTotal).filter_map(fact::amount) {
            let mut part = Buffer::new(BufferKind::KvCache, None, Fact { scope: Scope::AllRanks, ..amount });
            part.on_host = on_host;
            facts.buffers.push(part);
        }
    }
    facts.events = fact::events(engine);
}

/// Most devices of which facts are kept.
const MAX_PLACES: usize = 64;

/// The devices, in the order in which they are named first.
fn places(engine: &Engine) -> Vec<PlaceFacts> {
    let mut places: Vec<PlaceFacts> = Vec::new();
    // The table at the end is told from that of a trial by what it calls held.
    let ended = |place: &str| {
        let held = |f: &&Figure| f.place.as_deref() == Some(place);
        let line = engine.of(Key::HeldTotal).filter(held).last()?.origin.line;
        let figure = engine.of(Key::Unaccounted).filter(held).find(|f| f.origin.line == line)?;
        let resolution = figure.resolution.and_then(|step| Bytes::from_unit(step, ByteUnit::B));
        let resolution = resolution.and_then(|step| i64::try_from(step.get()).ok()).map(ByteDelta::new);
        Some(Fact { resolution, ..fact::of(figure, figure.memory()?.bytes) })
    };
    let seen = |f: &&Figure| matches!(f.key, Key::DeviceName | Key::DeviceBusId | Key::DeviceTotal | Key::InitialFree);
    for figure in engine.figures.iter().filter(seen) {
        let Some(name) = figure.place.as_deref().filter(|name| !super::is_host(name)) else { continue };
        let known = places.iter().position(|place| place.place == name);
        let at = match known {
            Some(at) => at,
            None if places.len() < MAX_PLACES => {
                places.push({
                    let mut place = PlaceFacts::new(name.to_owned());
                    place.outside_at_end = ended(name);
                    place
                });
                places.len() - 1
            }
            None => continue,
        };
        let place = &mut places[at];
        match figure.key {
            Key::DeviceName if place.device.is_none() => {
                place.device = figure.text().map(|text| fact::of(figure, text.to_owned()));
            }
            Key::DeviceBusId if place.pci_bus_id.is_none() => {
                place.pci_bus_id = figure.text().map(|text| fact::of(figure, text.to_owned()));
            }
            Key::DeviceTotal if place.total.is_none() => place.total = fact::amount(figure),
            Key::InitialFree if place.free_at_first.is_none() => place.free_at_first = fact::amount(figure),
            _ => {}
        }
    }
    places
}

/// What the engine does not say at its default verbosity, and what the figures that it says hold.
pub(crate) fn notes(engine: &Engine) -> Vec<ParseNote> {
    let mut notes = Vec::new();
    let prints = engine.figures.iter().any(|f| SIZES.contains(&f.key)) || !engine.buffers.is_empty();
    let verbosity = engine.of(Key::Verbosity).find_map(|f| Some((f.count()?, f.origin.line)));
    let line = verbosity.map_or(engine.first_line, |(_, line)| line);
    let quiet = verbosity.is_some_and(|(level, _)| level < 4);
    // A server that has slots, and has not said of which context.
    let has = |key: Key| engine.of(key).next().is_some();
    let is_up = has(Key::Slots) && !has(Key::ContextTokens) && !has(Key::MaxModelLen);
    if !prints && (quiet || is_up) {
        let text = "llama-server prints no figure of memory at its default verbosity: start it with `-lv 4` \
                    (`--log-verbosity 4`, or LLAMA_LOG_VERBOSITY=4), and read the log again";
        notes.push(ParseNote::new(line, text));
    }
    if let Some((splits, f)) = engine.of(Key::GraphSplits).find_map(|f| Some((f.count()?, f))) {
        let all = |key: Key| engine.of(key).find_map(Figure::count);
        if splits > 2 && all(Key::LayersOnDevice).is_some() && all(Key::LayersOnDevice) == all(Key::Layers) {
            let text = format!(
                "a step is cut into {splits} parts although all layers are on devices: several devices share it, or part \
                 of it is computed on the host"
            );
            notes.push(ParseNote::new(f.origin.line, text));
        }
    }
    notes
}

/// Keys of memory that only a log of sufficient verbosity has.
const SIZES: [Key; 6] =
    [Key::Weights, Key::KvPool, Key::KvTotal, Key::ComputeBuffer, Key::PlannedWeights, Key::HeldWeights];
