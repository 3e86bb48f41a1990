//! Devices at one instant.

use super::named::{self, MOST_ROWS};
use crate::cell::Cell;
use crate::document::Document;
use crate::node::Node;
use crate::page::{Block, Page, Picture, Section, Table};
use crate::svg::{Stack, stacks};
use crate::unit::Unit;

/// More GPUs than this have no bar of their own.
const MOST_BARS: usize = 40;

/// Bytes of a MiB, in which most tools print memory.
const MIB: f64 = 1_048_576.0;

pub(crate) fn page(document: &Document) -> Page {
    let root = document.root(0);
    let gpus = root.at("gpus").items();
    let mut blocks = Vec::new();
    blocks.extend(picture(&gpus).map(Block::Picture));
    blocks.extend(of_any(memory(&gpus)));
    blocks.extend(root.at("notes").items().iter().take(50).filter_map(Node::words).map(Block::Text));
    let mut sections =
        vec![Section::new("Memory", blocks), Section::new("Power, clocks and load", of_any(load(&gpus)))];
    let processes = processes(&root, &gpus);
    if !processes.rows.is_empty() {
        let table = processes.without_empty_columns().at_most(MOST_ROWS);
        sections.push(Section::new("Processes", [Block::Table(table)]));
    }
    let slices = slices(&gpus);
    if !slices.rows.is_empty() {
        sections.push(Section::new("Slices", [Block::Table(slices.without_empty_columns().at_most(MOST_ROWS))]));
    }
    let words = ["source", "tool_version", "driver_version", "taken_at"];
    let words: Vec<String> =
        words.iter().filter_map(|key| Some(format!("{} {}", named::words(key), root.at(key).text()?))).collect();
    let title = match gpus.len() {
        1 => "A GPU at one instant".to_owned(),
        several => format!("{several} GPUs at one instant"),
    };
    Page { title, about: words.join("; "), sections }
}

/// A table in which something stands beside the numbers of the GPUs.
fn of_any(table: Table) -> Option<Block> {
    (table.heads.len() > 1).then_some(Block::Table(table))
}

/// An amount in MiB as the tool prints it, shown in GiB with the pointer of what was printed.
fn mib(figure: &Node<'_>) -> Cell {
    let mut cell = figure.figure(Unit::Memory);
    if let Some(amount) = figure.number() {
        cell.text = Unit::Memory.show(amount * MIB);
    }
    cell
}

/// Memory as bytes where the source states bytes, else from MiB.
fn amount(gpu: &Node<'_>, stem: &str) -> (Cell, Option<f64>) {
    let bytes = gpu.at(&format!("{stem}_bytes"));
    if bytes.is_there() {
        return (bytes.figure(Unit::Memory), bytes.number());
    }
    let figure = gpu.at(&format!("{stem}_mib"));
    (mib(&figure), figure.number().map(|amount| amount * MIB))
}

fn memory(gpus: &[Node<'_>]) -> Table {
    let heads =
        ["#GPU", "name", "#in use", "#free", "#all memory", "#held back by the driver", "bus", "identity", "cut as"];
    let mut table = Table::new("Memory of each GPU", &heads);
    for gpu in gpus.iter().take(MOST_ROWS + 1) {
        let memory = ["mem_used", "mem_free", "mem_total", "mem_reserved"].map(|stem| amount(gpu, stem).0);
        let words = ["pci_bus_id", "uuid", "partition"].map(|key| gpu.at(key).cell());
        let first = [named::identity(&gpu.at("index")), gpu.at("name").cell()];
        table.row(first.into_iter().chain(memory).chain(words));
    }
    table.without_empty_columns().at_most(MOST_ROWS)
}

fn picture(gpus: &[Node<'_>]) -> Option<Picture> {
    let mut rows = Vec::new();
    let (mut used, mut all) = (0.0, 0.0);
    for gpu in gpus {
        let (in_use, total) = (amount(gpu, "mem_used").1?, amount(gpu, "mem_total").1?);
        used += in_use;
        all += total;
        if rows.len() < MOST_BARS {
            let name = gpu.at("index").words().map_or_else(|| "GPU".to_owned(), |index| format!("GPU {index}"));
            let show = |name: &str, bytes: f64| format!("{name} {}", Unit::Memory.show(bytes));
            let rest = (total - in_use).max(0.0);
            let parts = vec![(in_use, 1, show("in use", in_use)), (rest, 9, show("not in use", rest))];
            rows.push(Stack { name, parts, words: Unit::Memory.show(in_use) });
        }
    }
    if rows.is_empty() {
        return None;
    }
    let cut = if gpus.len() > MOST_BARS { format!(" The first {MOST_BARS} are drawn.") } else { String::new() };
    let words = format!(
        "{} of {} are in use on {}.{cut}",
        Unit::Memory.show(used),
        Unit::Memory.show(all),
        if gpus.len() == 1 { "the GPU".to_owned() } else { format!("{} GPUs together", gpus.len()) }
    );
    let colours = [("in use".to_owned(), 1), ("not in use".to_owned(), 9)];
    let svg = stacks(&rows, &colours, Unit::Memory);
    Some(Picture { title: "Memory in use".to_owned(), words, svg, table: None, sparks: Vec::new() })
}

fn load(gpus: &[Node<'_>]) -> Table {
    let heads =
        ["#GPU", "#power", "#limit", "#kernels", "#traffic", "#energy", "temperatures", "clocks", "held back by"];
    let mut table = Table::new("As the source states them", &heads);
    let each = |values: &Node<'_>, unit: Unit| {
        let one =
            |(name, value): &(&str, Node<'_>)| Some(format!("{} {}", named::words(name), unit.show(value.number()?)));
        let words: Vec<String> = values.members().iter().take(20).filter_map(one).collect();
        if words.is_empty() { Cell::absent() } else { Cell::text(words.join(", ")) }
    };
    for gpu in gpus.iter().take(MOST_ROWS + 1) {
        table.row([
            named::identity(&gpu.at("index")),
            gpu.at("power_w").figure(Unit::Watts),
            gpu.at("power_cap_w").figure(Unit::Watts),
            gpu.at("util_gpu_pct").figure(Unit::Percent),
            gpu.at("util_mem_pct").figure(Unit::Percent),
            gpu.at("energy_j").figure(Unit::Joules),
            each(&gpu.at("temps_c"), Unit::Celsius),
            each(&gpu.at("clocks_mhz"), Unit::Megahertz),
            gpu.at("throttle").cell(),
        ]);
    }
    table.without_empty_columns().at_most(MOST_ROWS)
}

fn processes(root: &Node<'_>, gpus: &[Node<'_>]) -> Table {
    let mut table =
        Table::new("Processes and what they hold", &["process", "#GPU", "#id", "#holds", "kind", "container"]);
    for gpu in gpus {
        for process in gpu.at("processes").items().iter().take(MOST_ROWS + 1) {
            let bytes = process.at("vram_bytes");
            let holds = if bytes.is_there() { bytes.figure(Unit::Memory) } else { mib(&process.at("used_mib")) };
            table.row([
                process.at("name").cell(),
                named::identity(&gpu.at("index")),
                named::identity(&process.at("pid")),
                holds,
                process.at("kind").cell(),
                process.at("container").cell(),
            ]);
        }
        if table.rows.len() > MOST_ROWS {
            break;
        }
    }
    for process in root.at("host_processes").items().iter().take(MOST_ROWS) {
        let name = process.at("name").cell();
        table.row([
            name,
            Cell::absent(),
            named::identity(&process.at("pid")),
            process.at("vram_bytes").figure(Unit::Memory),
        ]);
    }
    table
}

fn slices(gpus: &[Node<'_>]) -> Table {
    let heads = ["#GPU", "#instance", "#compute instance", "#in use", "#free", "#all memory", "identity"];
    let mut table = Table::new("MIG slices", &heads);
    for gpu in gpus {
        for slice in gpu.path("mig/devices").items().iter().take(MOST_ROWS + 1) {
            table.row([
                named::identity(&gpu.at("index")),
                named::identity(&slice.at("gpu_instance")),
                named::identity(&slice.at("compute_instance")),
                mib(&slice.at("used")),
                mib(&slice.at("free")),
                mib(&slice.at("total")),
                slice.at("uuid").cell(),
            ]);
        }
        if table.rows.len() > MOST_ROWS {
            break;
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::law;

    #[test]
    fn every_figure_stands_in_the_document_whatever_is_damaged_or_missing() {
        let gpu = json!({"index": 0, "name": "g", "mem_total_mib": 100, "mem_used_mib": 5, "mem_free_bytes": 9, "power_w": 5.5,
            "temps_c": {"gpu": 30}, "clocks_mhz": {"sm": 5}, "throttle": ["idle"], "mig": {"enabled": true, "devices": [
                {"gpu_instance": 1, "total": 10, "used": 1}]}, "processes": [{"pid": 1232, "name": "p", "used_mib": 4}]});
        law::of_kind(&json!({"vramscope_gpus": 1, "source": "s", "gpu_count": 1, "gpus": [gpu, gpu], "notes": ["n"],
            "host_processes": [{"pid": 5, "vram_bytes": 7}]}));
        let many = json!({"vramscope_gpus": 1, "gpus": vec![gpu; 1024]});
        law::holds(&[crate::document::Document::new("a", many).unwrap()]);
    }
}
