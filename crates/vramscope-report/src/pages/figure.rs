//! Figures that a document names, with the unit at the end of the name, and tables that are not endless.

use crate::cell::Cell;
use crate::page::{Block, Table};
use crate::unit::Unit;

/// Longer tables are cut: nobody reads them, and a page has to stay small.
pub(super) const MOST_ROWS: usize = 200;

/// The ends of names, longest first where one ends in another.
const ENDINGS: &[(&str, Unit)] = &[
    ("_bytes", Unit::Memory),
    ("_per_second", Unit::PerSecond),
    ("_per_s", Unit::PerSecond),
    ("_ms", Unit::Milliseconds),
    ("_pct", Unit::Percent),
    ("_w", Unit::Watts),
    ("_s", Unit::Seconds),
];
/// Names that end in what they count.
const COUNTS: &[&str] = &["_tokens", "_requests"];

/// The unit of a figure of this name.
pub(super) fn unit(name: &str) -> Unit {
    let of_end = ENDINGS.iter().find(|(end, _)| name.ends_with(end)).map(|(_, unit)| *unit);
    let count = || COUNTS.iter().any(|end| name.ends_with(end)).then_some(Unit::Count);
    of_end.or_else(count).unwrap_or(Unit::Plain)
}

/// The name without its unit, in words.
pub(super) fn title(name: &str) -> String {
    let bare = ENDINGS.iter().find_map(|(end, unit)| {
        // "tokens per second" is what the figure is, not only its unit.
        (*unit != Unit::PerSecond).then(|| name.strip_suffix(end)).flatten()
    });
    bare.unwrap_or(name).replace('_', " ")
}

#[expect(clippy::cast_precision_loss, reason = "a number of rows")]
pub(super) fn float(count: usize) -> f64 {
    count as f64
}

/// A table of at most as many rows as somebody reads, with a sentence on those that are left out.
pub(super) fn bounded(mut table: Table) -> Vec<Block> {
    let all = table.rows.len();
    table.rows.truncate(MOST_ROWS);
    let table = Block::Table(table);
    if all <= MOST_ROWS {
        return vec![table];
    }
    let left = all - MOST_ROWS;
    vec![table, Block::Text(format!("The table has the first {MOST_ROWS} rows; {left} more are in the document."))]
}

/// The table of a picture, cut likewise.
pub(super) fn beneath(mut table: Table) -> Table {
    if table.rows.len() > MOST_ROWS {
        let left = table.rows.len() - MOST_ROWS;
        table.rows.truncate(MOST_ROWS);
        table.caption = format!("{}; {left} more rows are in the document", table.caption);
    }
    table
}

/// One of many in a sentence: `1 run`, `2 runs`.
pub(super) fn many(count: usize, one: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {one}{plural}", Unit::Count.show(float(count)))
}

/// Words after each other: `a, b and c`.
pub(super) fn listed(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// A cell of a figure that was worked out here.
pub(super) fn derived(value: Option<f64>, unit: Unit) -> Cell {
    value.filter(|value| value.is_finite()).map_or_else(Cell::absent, |value| Cell::text(unit.show(value)))
}

/// A foreign name that fits into a sentence.
pub(super) fn brief(name: &str) -> String {
    const LONGEST: usize = 60;
    let letters = name.chars().count();
    if letters <= LONGEST {
        return name.to_owned();
    }
    // The end of a path tells more than its beginning.
    let end: String = name.chars().skip(letters - (LONGEST - 1)).collect();
    format!("…{end}")
}

/// What names of paths have in common before the last slash of it, in bytes.
pub(super) fn common_folder(names: &[&str]) -> usize {
    let Some(first) = names.first() else { return 0 };
    let shared = names.iter().fold(first.len(), |shared, name| {
        let same = first.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
        shared.min(same)
    });
    if names.len() < 2 {
        return first.rfind('/').map_or(0, |at| at + 1);
    }
    first.as_bytes()[..shared].iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_unit_and_what_it_is() {
        for (name, its, words) in [
            ("peak_bytes", Unit::Memory, "peak"),
            ("mean_latency_ms", Unit::Milliseconds, "mean latency"),
            ("tokens_per_second", Unit::PerSecond, "tokens per second"),
            ("kv_cache_usage_max_pct", Unit::Percent, "kv cache usage max"),
            ("kv_cache_tokens", Unit::Count, "kv cache tokens"),
            ("load_s", Unit::Seconds, "load"),
            ("measure_power_w", Unit::Watts, "measure power"),
            ("odd", Unit::Plain, "odd"),
        ] {
            assert_eq!((unit(name), title(name).as_str()), (its, words), "{name}");
        }
    }

    #[test]
    fn the_common_folder_ends_behind_a_slash_and_within_every_name() {
        assert_eq!(common_folder(&["a/b/c1", "a/b/c2"]), 4);
        assert_eq!(common_folder(&["a/b", "x/b"]), 0);
        assert_eq!(common_folder(&["runs/only"]), 5);
        assert_eq!(common_folder(&["é/a", "é/b"]), 3);
        assert_eq!(common_folder(&["a/", "a/"]), 2);
        assert_eq!(common_folder(&[]), 0);
    }
}
