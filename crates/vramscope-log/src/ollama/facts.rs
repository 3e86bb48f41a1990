//! From Ollama's figures to facts.

use vramscope_core::{BufferKind, EngineFacts, Fact, PlaceFacts};

use crate::engine::Engine;
use crate::key::Key;
use crate::llama_cpp;
use crate::others::fact;
use crate::pattern::Captured;

/// All facts of an engine but its failures.
pub(crate) fn facts(engine: &Engine) -> EngineFacts {
    let mut facts = EngineFacts::default();
    facts.engine = engine.kind;
    llama_cpp::facts::stated(engine, &mut facts);
    facts.version = fact::text(engine, Key::Version).filter(|version| version.value.contains('.'));
    facts.platform = fact::text(engine, Key::Library);
    // A plan that is made anew replaces the one before, and what the runner loads is said after both.
    facts.layers_on_device = fact::last_count(engine, Key::LayersOnDevice);
    facts.layers = fact::last_count(engine, Key::Layers);
    // The context is that of all slots together.
    let slots = facts.max_num_seqs.as_ref().map_or(1, |slots| slots.value).max(1);
    let tokens = fact::first_count(engine, Key::ContextTokens);
    if engine.of(Key::SlotTokens).next().is_none()
        && engine.of(Key::MaxModelLen).next().is_none()
        && let Some(tokens) = &tokens
    {
        facts.max_model_len = Some(Fact { value: tokens.value / slots, ..tokens.clone() });
    }
    if facts.kv_tokens.is_empty() && facts.buffers.iter().any(|p| p.kind == BufferKind::KvCache && !p.planned) {
        facts.kv_tokens = tokens.into_iter().collect();
    }
    facts.places = places(&facts);
    facts
}

/// The devices by the names that buffers have. The server lists its devices by other names (an id, what a card calls
/// itself), in the order of its runner's numbers; where not as many hold something as it lists, nothing tells which those
/// are. What it found free is what was free before a runner came, and no first look of the process that loads the model.
fn places(facts: &EngineFacts) -> Vec<PlaceFacts> {
    let mut names: Vec<&str> =
        facts.buffers.iter().filter(|part| part.is_on_device()).filter_map(|part| part.place.as_deref()).collect();
    names.sort_unstable_by_key(|name| (name.len(), *name));
    names.dedup();
    let listed: Vec<&PlaceFacts> = facts.places.iter().filter(|place| !names.contains(&place.place.as_str())).collect();
    let in_order = listed.len() == names.len();
    let of_name = |(at, name): (usize, &&str)| {
        let own = facts.places.iter().find(|place| place.place == **name);
        let other = listed.get(at).copied().filter(|_| in_order);
        let mut place = own.or(other)?.clone();
        place.place = (*name).to_owned();
        place.free_at_first = None;
        Some(place)
    };
    names.iter().enumerate().filter_map(of_name).collect()
}

/// What was printed of the layout so far was a plan: the runner prints what it allocates itself.
pub(super) fn all_planned(engine: &mut Engine) {
    let last = engine.last_line;
    for part in engine.buffers.iter_mut().filter(|part| part.amount.origin.line < last) {
        part.planned = true;
    }
    for figure in engine.figures.iter_mut().filter(|figure| figure.origin.line < last) {
        figure.key = planned(figure.key);
    }
}

/// The key of a figure that is planned.
pub(super) fn plan(captured: &mut Captured) {
    captured.key = planned(captured.key);
}

fn planned(key: Key) -> Key {
    match key {
        Key::Weights => Key::PlannedWeights,
        Key::KvPool => Key::PlannedKv,
        Key::ComputeBuffer => Key::PlannedCompute,
        Key::HeldTotal => Key::PlannedTotal,
        other => other,
    }
}
