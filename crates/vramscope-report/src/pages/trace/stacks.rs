//! In which stacks time went: flame graphs.

use super::time::name_cell;
use crate::cell::Cell;
use crate::node::Node;
use crate::page::{Block, Picture, Section, Table};
use crate::svg::{Flame, FlameFrame};
use crate::unit::Unit;

/// Frames at most; documents hold 600.
const MOST_FRAMES: usize = 1000;
/// Rows of a flame graph's table.
const ROWS: usize = 60;

const LEGEND: [(usize, &str); 5] =
    [(1, "python"), (4, "module of the model"), (3, "operator"), (5, "call of the GPU runtime"), (9, "all")];

pub(super) fn section(root: &Node<'_>) -> Option<Section> {
    let stacks = root.at("stacks");
    let frames = stacks.at("frames").items();
    if frames.is_empty() {
        return None;
    }
    let of = |key: &str| stacks.at(key).number().filter(|time| *time > 0.0);
    let mut blocks = Vec::new();
    if let Some(time) = of("gpu_ns") {
        let title = "Flame graph of kernel time, by what launched the kernels";
        blocks.push(Block::Picture(picture(
            &stacks,
            &frames,
            Weight { title, key: "gpu_ns", own: "gpu_own_ns", time },
        )));
    }
    if let Some(time) = of("cpu_ns") {
        let title = "Flame graph of time on the CPU, all threads together";
        let picture = picture(&stacks, &frames, Weight { title, key: "cpu_ns", own: "cpu_own_ns", time });
        blocks.push(Block::Picture(picture));
    }
    super::section_of("Stacks", blocks)
}

/// Which of the two times a picture shows.
struct Weight {
    title: &'static str,
    key: &'static str,
    own: &'static str,
    time: f64,
}

fn picture(stacks: &Node<'_>, nodes: &[Node<'_>], weight: Weight) -> Picture {
    let mut frames: Vec<FlameFrame> = Vec::new();
    for (place, node) in nodes.iter().take(MOST_FRAMES).enumerate() {
        let name = node.at("name").text().unwrap_or("");
        // A frame that is not behind the one around it hangs nowhere.
        let parent = node.at("parent").count().map(|parent| usize::try_from(parent).unwrap_or(usize::MAX));
        let time = node.at(weight.key).number().filter(|_| parent.is_none_or(|parent| parent < place)).unwrap_or(0.0);
        frames.push(FlameFrame {
            name: super::shown(name),
            label: label(name),
            parent,
            size: time,
            colour: colour(name),
        });
    }
    let legend = LEGEND.map(|(colour, name)| (colour, name.to_owned())).to_vec();
    let flame = Flame { frames, size: weight.time, unit: Unit::Time, legend };
    let own = |node: &&Node<'_>| node.at(weight.own).number().unwrap_or(0.0);
    let mut heaviest: Vec<&Node<'_>> = nodes.iter().take(MOST_FRAMES).filter(|node| own(node) > 0.0).collect();
    heaviest.sort_by(|a, b| own(b).total_cmp(&own(a)));
    let around = |node: &Node<'_>| {
        let parent = node.at("parent").count().and_then(|parent| nodes.get(usize::try_from(parent).ok()?))?;
        parent.at("name").text()
    };
    let what = |node: &Node<'_>| {
        let name = node.at("name").text().unwrap_or("");
        match around(node).filter(|_| colour(name) == RUNTIME) {
            // A launch is the same everywhere: who asked for it tells more.
            Some(around) => format!("{} in {}", label(name), label(around)),
            None => label(name),
        }
    };
    let most: Vec<String> = heaviest
        .iter()
        .take(3)
        .map(|node| format!("{} ({})", what(node), Unit::Share.show(own(node) / weight.time)))
        .collect();
    let trunk = flame.trunk();
    let outer = match trunk.as_slice() {
        [first, .., last] => format!(
            " The outermost {} frames, {} to {}, hold nearly all of it and are put together.",
            trunk.len(),
            flame.frames[*first].name,
            flame.frames[*last].name
        ),
        _ => String::new(),
    };
    let most = if most.is_empty() {
        "None of those with the most time has any of its own: it lies in frames further in.".to_owned()
    } else {
        format!("The most time of their own have {}.", most.join(", "))
    };
    let words = format!(
        "A bar is as wide as its part of {}; what it called hangs below it. {most}{outer} Of {} frames, those with the most time are drawn.",
        Unit::Time.show(weight.time),
        stacks.at("frames_unique").figure(Unit::Count).text
    );
    let mut table = Table::new(
        format!("The {} frames with the most time of their own", heaviest.len().min(ROWS)),
        &["frame", "within", "#its own time", "#with what it called"],
    );
    for node in heaviest.iter().take(ROWS) {
        table.row([
            name_cell(&node.at("name")),
            Cell::text(around(node).map_or_else(String::new, super::shown)),
            node.at(weight.own).figure(Unit::Time),
            node.at(weight.key).figure(Unit::Time),
        ]);
    }
    let table = (!table.rows.is_empty()).then_some(table);
    Picture { title: weight.title.to_owned(), words, svg: flame.draw(), table, sparks: Vec::new() }
}

/// A name without the folders of its file, which are the same for many.
fn label(name: &str) -> String {
    let end = name.find(".py(").unwrap_or(0);
    let begin = name.get(..end).and_then(|path| path.rfind('/')).map_or(0, |slash| slash + 1);
    super::shown(&name[begin..])
}

/// The colour of calls of the GPU runtime.
const RUNTIME: usize = 5;

/// Told from how profilers write names: `file.py(12): function`, `nn.Module: Linear_3`, `aten::mm`, `cudaLaunchKernel`.
fn colour(name: &str) -> usize {
    if name.starts_with("nn.Module: ") {
        4
    } else if ["cuda", "cu", "hip"]
        .iter()
        .any(|start| name.strip_prefix(start).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase())))
    {
        RUNTIME
    } else if name.contains(".py(") || name.starts_with("<built-in") || name.starts_with("<string>") {
        1
    } else {
        3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_short() {
        assert_eq!(label("torch/nn/modules/module.py(1747): _call_impl"), "module.py(1747): _call_impl");
        assert_eq!(label("aten::a/b"), "aten::a/b");
        assert_eq!(label(".py("), ".py(");
    }

    #[test]
    fn frames_are_told_from_their_names() {
        for (name, expected) in [
            ("nn.Module: Linear_3", 4),
            ("cudaLaunchKernel", 5),
            ("hipMemcpyAsync", 5),
            ("cuLaunchKernelEx", 5),
            ("cudnn::conv", 3),
            ("torch/nn/modules/module.py(1747): _call_impl", 1),
            ("<built-in method item>", 1),
            ("aten::mm", 3),
        ] {
            assert_eq!(colour(name), expected, "{name}");
        }
    }
}
