//! Figures under the names that documents give them: a name ends with its unit.

use crate::cell::Cell;
use crate::node::Node;
use crate::page::Table;
use crate::unit::Unit;

/// The most rows of a table of names: what a person reads, and far more than any document of ours has.
pub(crate) const MOST_ROWS: usize = 200;

/// The ends of names with their units, longest first where one ends in another.
const ENDS: &[(&str, Unit)] = &[
    ("_bytes", Unit::Memory),
    ("_per_second", Unit::PerSecond),
    ("_per_s", Unit::PerSecond),
    ("_ms", Unit::Milliseconds),
    ("_ns", Unit::Nanoseconds),
    ("_secs", Unit::Seconds),
    ("_seconds", Unit::Seconds),
    ("_s", Unit::Seconds),
    ("_pct", Unit::Percent),
    ("_percent", Unit::Percent),
    ("_percentage", Unit::Percent),
    ("_watts", Unit::Watts),
    ("_w", Unit::Watts),
    ("_j", Unit::Joules),
    ("_c", Unit::Celsius),
    ("_mhz", Unit::Megahertz),
    ("_tokens", Unit::Count),
    ("_requests", Unit::Count),
];

/// The unit that a name ends with; `None` where it says none.
pub(crate) fn unit(name: &str) -> Option<Unit> {
    ENDS.iter().find(|(end, _)| name.ends_with(end) || name == &end[1..]).map(|(_, unit)| *unit)
}

/// A stable name in words, without its unit.
pub(crate) fn words(name: &str) -> String {
    // "tokens per second" is what the figure is, and so are tokens, not only their unit.
    let is_unit = |unit: &Unit| !matches!(unit, Unit::PerSecond | Unit::Count);
    let bare = ENDS.iter().find_map(|(end, unit)| is_unit(unit).then(|| name.strip_suffix(end)).flatten());
    let spaced = bare.unwrap_or(name).replace('_', " ");
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
    let of_value = if value.count().is_some() { Unit::Count } else { Unit::Plain };
    if value.number().is_some() {
        return value.figure(unit(name).unwrap_or(of_value));
    }
    match value.text() {
        Some(text) => Cell::text(moment(text)),
        None => value.cell(),
    }
}

/// A time of day without what is finer than a second; any other text as it is.
pub(crate) fn moment(text: &str) -> String {
    let is_moment =
        text.len() <= 40 && text.as_bytes().get(10) == Some(&b'T') && text.as_bytes().get(13) == Some(&b':');
    let Some((before, fraction)) = text.split_once('.').filter(|_| is_moment) else { return text.to_owned() };
    let zone = fraction.trim_start_matches(|letter: char| letter.is_ascii_digit());
    format!("{before}{zone}")
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
    fn a_moment_is_told_in_seconds_and_other_texts_as_they_are() {
        for (text, shown) in [
            ("2026-11-28T17:06:55.401Z", "2026-11-28T17:06:55Z"),
            ("2026-11-28T17:06:55.401234567+01:00", "2026-11-28T17:06:55+01:00"),
            ("0.25.1", "0.25.1"),
            ("a.b", "a.b"),
        ] {
            assert_eq!(moment(text), shown);
        }
    }

    #[test]
    fn a_name_ends_with_its_unit() {
        let value = serde_json::json!({"a_bytes": 1_073_741_824, "b_ms": 2.5, "kv_cache_tokens": 12345, "a_gb": 1.07, "c": [7]});
        let root = Node::root(&value, 0);
        let table = table("", std::slice::from_ref(&root), &[]).unwrap();
        let rows: Vec<(&str, &str)> =
            table.rows.iter().map(|row| (row[0].text.as_str(), row[1].text.as_str())).collect();
        assert_eq!(rows, [("a", "1.00 GiB"), ("b", "2.5 ms"), ("KV cache tokens", "12,345")]);
        assert_eq!(lines(&root.at("c")).text, "7");
        for (name, its, said) in [
            ("peak_bytes", Some(Unit::Memory), "peak"),
            ("tokens_per_second", Some(Unit::PerSecond), "tokens per second"),
            ("kv_cache_usage_max_pct", Some(Unit::Percent), "KV cache usage max"),
            ("kv_cache_tokens", Some(Unit::Count), "KV cache tokens"),
            ("measure_power_w", Some(Unit::Watts), "measure power"),
            ("bytes", Some(Unit::Memory), "bytes"),
            ("odd", None, "odd"),
        ] {
            assert_eq!((unit(name), words(name).as_str()), (its, said), "{name}");
        }
    }
}
