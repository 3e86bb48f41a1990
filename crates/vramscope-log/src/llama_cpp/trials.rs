//! The tables that a server prints while it tries what fits: each trial has one, and one plan stands in the end.

use vramscope_core::{Buffer, BufferKind, Bytes};

use crate::engine::Engine;
use crate::key::Key;

/// The rows of one table, as places in the list of buffers.
#[derive(Debug, Default)]
struct Table {
    rows: Vec<usize>,
    of_draft: bool,
}

/// What is left of an engine's buffers if of its trials only the one counts that was chosen. The fit says what each device
/// will take (`- CUDA0 (…): 7 layers, 44 MiB used`), and that is not always what was tried last; where it says nothing, it
/// left the last trial as it was.
pub(crate) fn chosen(engine: &Engine) -> Vec<Buffer> {
    let tables = tables(&engine.buffers);
    let draft = tables.iter().rfind(|table| table.of_draft);
    let mains = || tables.iter().filter(|table| !table.of_draft);
    let said = said(engine);
    let is_said = |table: &&Table| {
        !said.is_empty()
            && said.iter().all(|(place, used)| {
                let of = |table: &Table| total(engine, table, place);
                // Whole MiB, cut off, so that the sum of both models may be one more.
                let known = of(table).saturating_add(draft.map_or(0, of));
                used.get() == known || draft.is_some() && used.get() == known.saturating_add(1 << 20)
            })
    };
    let main = mains().rfind(is_said).or_else(|| mains().next_back());
    let kept = |at: usize| [main, draft].into_iter().flatten().any(|table| table.rows.contains(&at));
    let tried = |at: usize| tables.iter().any(|table| table.rows.contains(&at));
    let all = engine.buffers.iter().enumerate();
    all.filter(|(at, _)| kept(*at) || !tried(*at)).map(|(_, buffer)| buffer.clone()).collect()
}

/// The tables of trials: a place stands once in each.
fn tables(buffers: &[Buffer]) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for (at, buffer) in buffers.iter().enumerate() {
        // Only rows of tables plan a context, each of them.
        let line = buffer.amount.origin.line;
        let near = &buffers[at.saturating_sub(2)..buffers.len().min(at + 3)];
        let of_table = near.iter().any(|other| other.amount.origin.line == line && other.kind == BufferKind::Context);
        if !buffer.planned || !of_table {
            continue;
        }
        let again = |table: &&mut Table| {
            table.of_draft == buffer.of_draft
                && table.rows.iter().all(|row| buffers[*row].place != buffer.place || buffers[*row].kind != buffer.kind)
        };
        match tables.last_mut().filter(again) {
            Some(table) => table.rows.push(at),
            None => tables.push(Table { rows: vec![at], of_draft: buffer.of_draft }),
        }
    }
    tables
}

/// What a place takes by a table, in bytes.
fn total(engine: &Engine, table: &Table, place: &str) -> u64 {
    let row = table.rows.iter().map(|row| &engine.buffers[*row]).find(|row| row.place.as_deref() == Some(place));
    let figure = row.and_then(|row| engine.of(Key::PlannedTotal).find(|f| f.origin.line == row.amount.origin.line));
    figure.and_then(|figure| figure.memory()?.bytes.as_bytes()).map_or(0, Bytes::get)
}

/// What the fit said last that each device will take.
fn said(engine: &Engine) -> Vec<(&str, Bytes)> {
    let mut said: Vec<(&str, Bytes)> = Vec::new();
    for figure in engine.of(Key::PlannedOnDevice) {
        let amount = figure.memory().and_then(|memory| memory.bytes.as_bytes());
        let (Some(place), Some(amount)) = (figure.place.as_deref(), amount) else { continue };
        match said.iter_mut().find(|(known, _)| *known == place) {
            Some((_, known)) => *known = amount,
            None => said.push((place, amount)),
        }
    }
    said
}
