//! Facts from the figures of an engine.

use vramscope_core::{Bytes, Event, Fact, LogTime, Milestone, Origin};

use crate::engine::Engine;
use crate::figure::Figure;
use crate::key::Key;

/// A fact with the scope and place of a figure.
pub(crate) fn of<T>(figure: &Figure, value: T) -> Fact<T> {
    Fact { value, scope: figure.scope, resolution: None, origin: figure.origin.clone() }
}

/// The first text of a key.
pub(crate) fn text(engine: &Engine, key: Key) -> Option<Fact<String>> {
    engine.of(key).find_map(|f| Some(of(f, f.text()?.to_owned())))
}

/// The first count of a key.
pub(crate) fn first_count(engine: &Engine, key: Key) -> Option<Fact<u64>> {
    engine.of(key).find_map(|f| Some(of(f, f.count()?)))
}

/// The last count of a key.
pub(crate) fn last_count(engine: &Engine, key: Key) -> Option<Fact<u64>> {
    engine.of(key).filter_map(|f| Some(of(f, f.count()?))).last()
}

/// The memory of a figure, unless it is negative.
pub(crate) fn amount(figure: &Figure) -> Option<Fact<Bytes>> {
    let value = figure.memory()?.bytes.as_bytes()?;
    let resolution = figure.resolution.and_then(|step| Bytes::from_unit(step, vramscope_core::ByteUnit::B));
    Some(Fact { value, scope: figure.scope, resolution, origin: figure.origin.clone() })
}

/// All amounts of a key.
pub(crate) fn amounts(engine: &Engine, key: Key) -> Vec<Fact<Bytes>> {
    engine.of(key).filter_map(amount).collect()
}

/// The events in order of their lines, with the first and the last line that have a clock.
pub(crate) fn events(engine: &Engine) -> Vec<Event> {
    let clock = |milestone, clock: Option<(LogTime, u64)>| {
        let (at, line) = clock?;
        let origin = Origin { line, worker: None };
        Some(Event { milestone, at: Some(at), at_is_own: true, took: None, origin })
    };
    let mut events: Vec<Event> = clock(Milestone::FirstLine, engine.first_clock).into_iter().collect();
    let mut seen = engine.events.clone();
    seen.sort_by_key(|event| event.origin.line);
    events.extend(seen);
    events.extend(clock(Milestone::LastLine, engine.last_clock));
    events
}
