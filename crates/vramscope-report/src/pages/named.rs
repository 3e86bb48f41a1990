//! Figures under the names that documents give them: a name ends with its unit.

use crate::cell::Cell;
use crate::node::Node;
use crate::page::Table;
use crate::unit::Unit;

/// The most rows of a table of names: what a person reads, and far more than any document of ours has.
pub(crate) const MOST_ROWS: usize = 200;

/// The unit that a name ends with.
pub(crate) fn unit(name: &str, figure: &Node<'_>) -> Unit {
    const ENDS: &[(&str, Unit)] = &[
        ("bytes", Unit::Memory),
        ("_ms", Unit::Milliseconds),
        ("_ns", Unit::Nanoseconds),
        ("_s", Unit::Seconds),
        ("_secs", Unit::Seconds),
        ("seconds", Unit::Seconds),
        ("_pct", Unit::Percent),
        ("percent", Unit::Percent),
        ("percentage", Unit::Percent),
        ("_w", Unit::Watts),
        ("watts", Unit::Watts),
        ("_j", Unit::Joules),
        ("_c", Unit::Celsius),
        ("_mhz", Unit::Megahertz),
        ("per_second", Unit::PerSecond),
    ];
    let ends = ENDS.iter().find(|(end, _)| name.ends_with(end)).map(|(_, unit)| *unit);
    ends.unwrap_or(if figure.count().is_some() { Unit::Count } else { Unit::Plain })
}

/// A stable name in words.
pub(crate) fn words(name: &str) -> String {
    let name = ["_bytes", "_ms", "_ns", "_s", "_secs", "_pct", "_w", "_j", "_c", "_mhz"]
        .iter()
        .find_map(|end| name.strip_suffix(end))
        .unwrap_or(name);
    let spaced = name.replace('_', " ");
    let word = |word: &str| match word {
        "kv" => "KV".to_owned(),
        "gpu" => "GPU".to_owned(),
        "gpus" => "GPUs".to_owned(),
        "cpu" => "CPU".to_owned(),
        "cuda" => "CUDA".to_owned(),
        other => other.to_owned(),
    };
    spaced.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// What stands under a name: a figure in the name's unit, else words.
pub(crate) fn cell(name: &str, value: &Node<'_>) -> Cell {
    if value.number().is_some() { value.figure(unit(name, value)) } else { value.cell() }
}

/// A number that counts nothing: an identity, a line, a version.
pub(crate) fn identity(value: &Node<'_>) -> Cell {
    let mut cell = value.figure(Unit::Plain);
    if let (false, Some(words)) = (cell.is_absent(), value.words()) {
        cell.text = words;
    }
    cell
}

/// Numbers of lines of a log, in words; the first few of many.
pub(crate) fn lines(list: &Node<'_>) -> Cell {
    const MOST: usize = 6;
    let lines = list.items();
    match lines.as_slice() {
        [] => Cell::absent(),
        [one] => identity(one),
        [first, ..] => {
            let few: Vec<String> = lines.iter().take(MOST).filter_map(Node::words).collect();
            let more = if lines.len() > MOST { format!(" and {} more", lines.len() - MOST) } else { String::new() };
            let mut cell = identity(first);
            cell.text = format!("{}{more}", few.join(", "));
            cell
        }
    }
}

/// The members of objects, a row each; `None` where they have none. An amount that stands there twice is shown once.
pub(crate) fn table(caption: &str, objects: &[Node<'_>], without: &[&str]) -> Option<Table> {
    let mut table = Table::new(caption, &["name", "value"]);
    for object in objects {
        for (name, value) in object.members() {
            let twin = name.strip_suffix("_gb").is_some_and(|stem| object.at(&format!("{stem}_bytes")).is_there());
            let cell = cell(name, &value);
            if !twin && !cell.is_absent() && !without.contains(&name) {
                table.row([Cell::text(words(name)), cell]);
            }
        }
    }
    (!table.rows.is_empty()).then(|| table.at_most(MOST_ROWS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_ends_with_its_unit() {
        let value = serde_json::json!({"a_bytes": 1_073_741_824, "b_ms": 2.5, "kv_cache_tokens": 12345, "a_gb": 1.07, "c": [7]});
        let root = Node::root(&value, 0);
        let table = table("", std::slice::from_ref(&root), &[]).unwrap();
        let rows: Vec<(&str, &str)> =
            table.rows.iter().map(|row| (row[0].text.as_str(), row[1].text.as_str())).collect();
        assert_eq!(rows, [("a", "1.00 GiB"), ("b", "2.5 ms"), ("KV cache tokens", "12,345")]);
        assert_eq!(lines(&root.at("c")).text, "7");
    }
}
