//! What limits the GPU, in a few figures and sentences.

use crate::cell::Cell;
use crate::node::Node;
use crate::page::{Block, Finding, Section, Table, Weight};
use crate::unit::Unit;

/// What a verdict is called, and what it says.
const BOUNDS: &[(&str, &str, &str)] = &[
    (
        "gpu_bound",
        "GPU-bound",
        "The GPU is the limit: it had work nearly all the time. Faster kernels, or fewer of them, make it faster.",
    ),
    (
        "cpu_bound",
        "CPU-bound",
        "The host is the limit: the GPU stood idle because the CPU had not launched its next work yet.",
    ),
    (
        "communication_bound",
        "communication-bound",
        "Communication between GPUs is the limit: it ran for a large part of the time while no computation did.",
    ),
    (
        "memory_copy_bound",
        "copy-bound",
        "Copies are the limit: they ran for a large part of the time while no kernel did.",
    ),
    (
        "mixed",
        "mixed",
        "No single limit stands out: the GPU was idle for a part of the time, and no one cause explains most of it.",
    ),
    ("undetermined", "undetermined", "The trace does not tell what the limit is."),
];

/// What a verdict is called.
pub(crate) fn bound(name: &str) -> String {
    BOUNDS.iter().find(|(key, ..)| *key == name).map_or_else(|| name.to_owned(), |(_, called, _)| (*called).to_owned())
}

pub(super) fn section(root: &Node<'_>) -> Section {
    let verdict = root.at("verdict");
    let share =
        |name: &str| evidence(&verdict, name).map_or_else(Cell::absent, |row| row.at("share").figure(Unit::Share));
    let mut figures =
        vec![("What limits the GPU".to_owned(), Cell::text(bound(verdict.at("bound").text().unwrap_or(""))))];
    let mut add = |name: &str, cell: Cell| {
        if !cell.is_absent() {
            figures.push((name.to_owned(), cell));
        }
    };
    // The same window as the bar of that name.
    let within = verdict.at("within_steps").is_true();
    add(if within { "GPU busy, within the steps" } else { "GPU busy, over all its work" }, share("busy"));
    add("Host had launched nothing, of idle time", share("host_idle"));
    match root.at("devices").items().as_slice() {
        [] => {}
        [one] => add("First to last GPU work", one.path("whole/span_ns").figure(Unit::Time)),
        several => add("GPUs in this trace", Cell::text(several.len().to_string())),
    }
    add("Kernels", root.path("exact/gpu_kernel_count").figure(Unit::Count));
    add("Time of all kernels", root.path("exact/gpu_kernel_time_ns").figure(Unit::Time));
    let steps = root.at("steps").at("count");
    if steps.count().is_some_and(|count| count > 0) {
        add("Steps", steps.figure(Unit::Count));
    }
    add("From launch to start, median", root.path("launch_delay/median_ns").figure(Unit::Time));
    let mut blocks = vec![Block::Headline(figures), Block::Text(words(root))];
    blocks.extend(self::verdict(&verdict));
    Section::new("What limits the GPU", blocks)
}

/// The answer as sentences.
fn words(root: &Node<'_>) -> String {
    let verdict = root.at("verdict");
    let name = verdict.at("bound").text().unwrap_or("");
    let meaning = BOUNDS.iter().find(|(key, ..)| *key == name).map_or("", |(.., meaning)| meaning);
    let mut text = meaning.to_owned();
    let share = |name: &str| evidence(&verdict, name).and_then(|row| row.at("share").number());
    let over = if verdict.at("within_steps").is_true() {
        "within the steps, from the first to the last"
    } else {
        "over all GPU work, from the first operation to the last"
    };
    if let Some(busy) = share("busy") {
        text.push_str(&format!(" Judged {over}, some operation ran for {} of the time.", Unit::Share.show(busy)));
    }
    if verdict.at("within_steps").is_true() {
        text.push_str(&others(root));
    }
    if let Some(linked) = share("linked")
        && linked < 1.0
    {
        text.push_str(&format!(
            " The launch of {} of the kernels is in the trace; of the others it is not known what the host did.",
            Unit::Share.show(linked)
        ));
    }
    let heaviest = root.at("kernels").items().into_iter().next();
    if let Some(kernel) = heaviest
        && let (Some(name), Some(share)) = (kernel.at("name").text(), kernel.at("share").number())
    {
        text.push_str(&format!(
            " The kernel with the most time is {} ({} of all kernel time).",
            super::title(name),
            Unit::Share.show(share)
        ));
    }
    text
}

/// What else on the page is called busy, and over which time.
fn others(root: &Node<'_>) -> String {
    let devices = root.at("devices").items();
    let [device] = devices.as_slice() else { return String::new() };
    let whole = device.path("whole/busy_share").number();
    whole.map_or_else(String::new, |share| {
        format!(
            " Over all its work, in steps or not, it is {}: both times are bars of the next picture.",
            Unit::Share.show(share)
        )
    })
}

/// What to try, and what the verdict rests on.
pub(crate) fn verdict(verdict: &Node<'_>) -> Vec<Block> {
    let mut blocks = Vec::new();
    let advice: Vec<Finding> = (verdict.at("advice").items().iter())
        .filter_map(|one| one.text())
        .map(|text| Finding { weight: Weight::Note, text: text.to_owned(), advice: None, code: None })
        .collect();
    if !advice.is_empty() {
        blocks.push(Block::Findings(advice));
    }
    let rows = verdict.at("evidence").items();
    if !rows.is_empty() {
        let mut table = Table::new("What the verdict rests on", &["what it means", "#share", "#threshold", "reached"]);
        for row in rows {
            table.row([
                row.at("meaning").cell(),
                row.at("share").figure(Unit::Share),
                row.at("threshold").figure(Unit::Share),
                Cell::text(match (row.at("threshold").is_there(), row.at("reached").is_true()) {
                    (false, _) => "",
                    (true, true) => "yes",
                    (true, false) => "no",
                }),
            ]);
        }
        blocks.push(super::folded("What the verdict rests on", table, None));
    }
    blocks
}

fn evidence<'d>(verdict: &Node<'d>, name: &str) -> Option<Node<'d>> {
    verdict.at("evidence").items().into_iter().find(|row| row.at("name").text() == Some(name))
}
