//! What an engine holds, by place: each device, the host, and what was planned.

use vramscope_core::{Buffer, Bytes, EngineFacts, Scope};

use crate::table::{Align, Table};

const GIB: f64 = 1_073_741_824.0;

/// One row for each kind, place and rank; amounts of one row are added up.
pub(super) fn text(facts: &EngineFacts, width: usize) -> String {
    let mut rows: Vec<(&Buffer, Bytes)> = Vec::new();
    for buffer in &facts.buffers {
        let same = |known: &Buffer| {
            (known.kind, &known.place, known.on_host, known.of_draft, known.planned, known.amount.scope)
                == (buffer.kind, &buffer.place, buffer.on_host, buffer.of_draft, buffer.planned, buffer.amount.scope)
        };
        match rows.iter_mut().find(|(known, _)| same(known)) {
            Some((_, sum)) => *sum = sum.checked_add(buffer.amount.value).unwrap_or(*sum),
            None => rows.push((buffer, buffer.amount.value)),
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[
        ("holds", Align::Left),
        ("place", Align::Left),
        ("GiB", Align::Right),
        ("line", Align::Right),
        ("", Align::Left),
    ]);
    for (buffer, sum) in rows {
        let place = match (&buffer.place, buffer.amount.scope) {
            (Some(place), _) => place.clone(),
            (None, Scope::ThisRank(rank)) => format!("rank {rank}"),
            (None, _) if buffer.on_host => "host".to_owned(),
            (None, _) => "device".to_owned(),
        };
        let marks = [(buffer.on_host, "on the host"), (buffer.of_draft, "drafting"), (buffer.planned, "planned")];
        let marks: Vec<&str> = marks.into_iter().filter(|(is, _)| *is).map(|(_, mark)| mark).collect();
        table.row([
            buffer.kind.name().replace('_', " "),
            place,
            format!("{:.2}", sum.as_f64() / GIB),
            buffer.amount.origin.line.to_string(),
            marks.join(", "),
        ]);
    }
    table.render(width)
}
