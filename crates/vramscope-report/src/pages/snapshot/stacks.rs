//! Who holds the active blocks: a flame graph of their stacks, and the largest holders.

use super::{Colours, MIXED, part};
use crate::cell::Cell;
use crate::node::Node;
use crate::page::{Block, Picture, Section, Table};
use crate::pages::trace::shown;
use crate::svg::{Flame, FlameFrame};
use crate::unit::Unit;

/// Frames at most; documents hold so many.
const MOST_FRAMES: usize = 1000;
/// Rows of its table.
const ROWS: usize = 60;

pub(super) fn section(root: &Node<'_>) -> Option<Section> {
    let mut blocks = Vec::new();
    blocks.extend(picture(root).map(Block::Picture));
    let by = root.path("holders/by").text().map_or_else(|| "holder".to_owned(), shown);
    blocks.extend(super::holders(&format!("The largest holders by {by}, rounding inside"), &root.at("holders")));
    (!blocks.is_empty()).then(|| Section::new("Who holds it", blocks))
}

fn picture(root: &Node<'_>) -> Option<Picture> {
    let flame = root.at("flame");
    let nodes = flame.at("frames").items();
    let size = flame.at("bytes").number().filter(|size| *size > 0.0)?;
    let mut colours = Colours::default();
    let mut frames: Vec<FlameFrame> = Vec::new();
    for (place, node) in nodes.iter().take(MOST_FRAMES).enumerate() {
        let name = node.at("name").text();
        // A frame that is not behind the one around it hangs nowhere.
        let parent = node.at("parent").count().map(|parent| usize::try_from(parent).unwrap_or(usize::MAX));
        let bytes =
            node.at("bytes").number().filter(|bytes| *bytes > 0.0 && parent.is_none_or(|parent| parent < place));
        let (called, colour) = match (name, node.at("part").text()) {
            (Some(_), None) => ("several parts".to_owned(), MIXED),
            (_, own) => part(own),
        };
        colours.add(&called, colour);
        let name = name.map_or_else(|| "no stack recorded".to_owned(), shown);
        frames.push(FlameFrame { label: label(&name), name, parent, size: bytes.unwrap_or(0.0), colour });
    }
    if frames.is_empty() {
        return None;
    }
    let flame_graph = Flame { frames, size, unit: Unit::Memory, legend: colours.legend() };
    let own = |node: &&Node<'_>| node.at("own_bytes").number().unwrap_or(0.0);
    let mut heaviest: Vec<&Node<'_>> = nodes.iter().take(MOST_FRAMES).filter(|node| own(node) > 0.0).collect();
    heaviest.sort_by(|a, b| own(b).total_cmp(&own(a)));
    let called = |node: &Node<'_>| node.at("name").text().map_or_else(|| "no stack recorded".to_owned(), shown);
    let mut table = Table::new(
        format!("The {} frames that hold most themselves", heaviest.len().min(ROWS)),
        &["frame", "called by", "part", "#held here", "#with what it called", "#allocations"],
    );
    for node in heaviest.iter().take(ROWS) {
        let parent = node.at("parent").count().and_then(|parent| nodes.get(usize::try_from(parent).ok()?));
        table.row([
            Cell::text(called(node)),
            parent.map_or_else(Cell::absent, |parent| Cell::text(called(parent))),
            node.at("part").text().map_or_else(Cell::absent, |part| Cell::text(shown(part))),
            node.at("own_bytes").figure(Unit::Memory),
            node.at("bytes").figure(Unit::Memory),
            node.at("count").figure(Unit::Count),
        ]);
    }
    let trunk = flame_graph.trunk();
    let outer = match trunk.as_slice() {
        [first, .., last] => format!(
            " The outermost {} frames, {} to {}, hold nearly all of it and are put together.",
            trunk.len(),
            flame_graph.frames[*first].name,
            flame_graph.frames[*last].name
        ),
        _ => String::new(),
    };
    let words = format!(
        "A bar is as wide as what was asked for in it holds, rounding with it, of {} in active blocks; what it called hangs below it, and its colour is \
         what the memory is for.{outer} Of {} frames, those with the most memory are drawn.",
        Unit::Memory.show(size),
        flame.at("frames_unique").figure(Unit::Count).text
    );
    let table = (!table.rows.is_empty()).then(|| table.without_empty_columns());
    let title = "Flame graph of memory, by who asked for it".to_owned();
    Some(Picture { title, words, svg: flame_graph.draw(), table, sparks: Vec::new() })
}

/// A frame without the folders of its file, which are the same for many.
fn label(name: &str) -> String {
    let end = name.find(".py:").unwrap_or(0);
    let begin = name.get(..end).and_then(|path| path.rfind('/')).map_or(0, |slash| slash + 1);
    name[begin..].to_owned()
}
