//! With what a load was made.

use crate::cell::Cell;
use crate::node::Node;
use crate::page::{Block, Table};
use crate::unit::Unit;

pub(super) fn blocks(root: &Node<'_>) -> Vec<Block> {
    let workload = root.at("workload");
    let mut table = Table::new("The load", &["what", "value"]);
    let mut put = |name: &str, cell: Cell| {
        if !cell.is_absent() {
            table.row([Cell::text(name), cell]);
        }
    };
    put("server", root.at("server").cell());
    put("reached by", root.at("transport").cell());
    put("server's version", root.at("server_version").cell());
    put("model", workload.at("model").cell());
    put("mix of models", workload.at("mix").cell());
    put("endpoint", workload.at("endpoint").cell());
    put("prompts", workload.at("prompts").cell());
    put("prompt length", workload.at("input_len").cell());
    put("tokens of a word", workload.at("tokens_per_word").figure(Unit::Plain));
    put("tokens of the chat's template", workload.at("template_tokens").figure(Unit::Count));
    put("answer length", workload.at("output_len").cell());
    put("requests of each level", workload.at("requests").figure(Unit::Count));
    put("each level sends for", workload.at("duration_s").figure(Unit::Seconds));
    put("ramp-up", workload.at("ramp_up_s").figure(Unit::Seconds));
    put("bounds of a good request", workload.at("slo").cell());
    put("part that must be good", root.path("search/share").figure(Unit::Share));
    put("seed", workload.at("seed").cell());
    put("extra fields of each body", workload.at("extra_body").cell());
    for (key, node) in workload.at("dataset").members() {
        put(&format!("data set: {}", key.replace('_', " ")), node.cell());
    }
    for (reason, node) in workload.path("dataset/skipped").members() {
        put(&format!("data set, skipped: {}", reason.replace('_', " ")), node.figure(Unit::Count));
    }
    put("price per hour", root.path("price/per_hour").figure(Unit::Plain));
    put("price of so many devices", root.path("price/devices").figure(Unit::Count));
    put("written by", root.at("generator").cell());
    let mut blocks = vec![Block::Table(table)];
    blocks.extend(metered(root));
    blocks.extend(engine(root));
    blocks
}

/// Whose energy was read.
pub(in crate::pages) fn metered(root: &Node<'_>) -> Vec<Block> {
    let metered = root.at("metered");
    if !metered.is_there() {
        return Vec::new();
    }
    let mut table = Table::new("Devices whose energy was read, each as a whole", &["device", "name", "UUID"]);
    for device in metered.at("devices").items().into_iter().take(64) {
        table.row([device.at("index").cell(), device.at("name").cell(), device.at("uuid").cell()]);
    }
    let because = metered.at("because").text().map(|why| Block::Text(format!("These are the server's because: {why}")));
    [Block::Table(table)].into_iter().chain(because).collect()
}

/// The command line of an engine that was started for it.
pub(in crate::pages) fn engine(root: &Node<'_>) -> Vec<Block> {
    let words: Vec<&str> = root.path("engine/command").items().iter().filter_map(Node::text).take(500).collect();
    if words.is_empty() {
        return Vec::new();
    }
    vec![Block::Text("The engine was started for it, by:".to_owned()), Block::Quote(words.join(" "))]
}
