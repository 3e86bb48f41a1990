//! Stacks as a tree of frames, for flame graphs.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::holders::Sums;
use crate::parts::part_or_other;
use crate::place::frame_text;
use crate::{FrameId, Names, StackId};

/// A frame, with all that was asked for within it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlameFrame {
    /// The frame as text; absent of allocations of which no stack was recorded.
    pub name: Option<String>,
    /// The frame around it, as a place in the list before its own.
    pub parent: Option<usize>,
    /// Bytes of it and of what it called.
    pub bytes: u64,
    /// Bytes that were asked for right here.
    pub own: u64,
    /// Allocations of it and of what it called.
    pub count: u64,
    /// What all of its memory is for; absent where it is for several parts, or no stack was recorded.
    pub part: Option<&'static str>,
}

/// Stacks as a tree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Flame {
    /// The frames with the most bytes, each behind the one around it.
    pub frames: Vec<FlameFrame>,
    /// How many there are in all.
    pub all: u64,
}

/// Frames of a tree while it is made: a program's active blocks have some thousand, and a made-up file could have a billion.
const MOST_NODES: usize = 1 << 20;

/// What a frame's memory is for, as far as its stacks are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    One(&'static str),
    Several,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    frame: Option<FrameId>,
    parent: Option<usize>,
    bytes: u64,
    own: u64,
    count: u64,
    part: Option<For>,
}

impl Flame {
    /// The tree of sums by stack, with no more than so many frames: those with the most bytes.
    pub fn of(names: &Names, sums: &Sums, most: usize) -> Self {
        let mut nodes: Vec<Node> = Vec::new();
        let mut places: HashMap<(Option<usize>, Option<FrameId>), usize> = HashMap::new();
        // The largest first, so that a tree that is too large lacks the smallest.
        let mut stacks: Vec<_> = sums.iter().collect();
        stacks.sort_by(|(a, one), (b, other)| {
            other.bytes.cmp(&one.bytes).then_with(|| words(names, **a).cmp(words(names, **b)))
        });
        for (stack, sum) in stacks {
            let part = stack.map(|stack| part_or_other(names, stack));
            let path: Vec<Option<FrameId>> = match stack {
                Some(stack) => names.stack(*stack).iter().rev().map(|frame| Some(*frame)).collect(),
                None => vec![None],
            };
            let mut parent = None;
            for (depth, frame) in path.iter().enumerate() {
                let place = match places.get(&(parent, *frame)) {
                    Some(place) => *place,
                    None if nodes.len() == MOST_NODES => break,
                    None => {
                        places.insert((parent, *frame), nodes.len());
                        nodes.push(Node { frame: *frame, parent, bytes: 0, own: 0, count: 0, part: None });
                        nodes.len() - 1
                    }
                };
                let node = &mut nodes[place];
                node.bytes = node.bytes.saturating_add(sum.bytes);
                node.count += sum.count;
                node.part = match (node.part, part) {
                    (None, Some(part)) => Some(For::One(part)),
                    (Some(For::One(before)), Some(part)) if before != part => Some(For::Several),
                    (known, _) => known,
                };
                if depth + 1 == path.len() {
                    node.own = node.own.saturating_add(sum.bytes);
                }
                parent = Some(place);
            }
        }
        Self { frames: largest(names, &nodes, most), all: nodes.len() as u64 }
    }
}

/// A stack as words, the outermost frame first. The numbers of stacks follow the file, and two files may say the same.
fn words(names: &Names, stack: Option<StackId>) -> impl Iterator<Item = (&str, &str, u32)> {
    let frames = stack.map(|stack| names.stack(stack)).unwrap_or_default();
    let words = |id: &FrameId| {
        let frame = names.frame(*id);
        (names.text(frame.file), names.text(frame.name), frame.line)
    };
    frames.iter().rev().map(words)
}

/// The frames with the most bytes. None has more than the one around it, which therefore comes before.
fn largest(names: &Names, nodes: &[Node], most: usize) -> Vec<FlameFrame> {
    let mut order: Vec<usize> = (0..nodes.len()).collect();
    order.sort_by_key(|place| (Reverse(nodes[*place].bytes), *place));
    order.truncate(most);
    let new: HashMap<usize, usize> = order.iter().enumerate().map(|(new, old)| (*old, new)).collect();
    let frame = |old: &usize| {
        let node = &nodes[*old];
        FlameFrame {
            name: node.frame.map(|frame| frame_text(names, names.frame(frame))),
            parent: node.parent.and_then(|parent| new.get(&parent).copied()),
            bytes: node.bytes,
            own: node.own,
            count: node.count,
            part: match node.part {
                Some(For::One(part)) => Some(part),
                Some(For::Several) | None => None,
            },
        }
    };
    order.iter().map(frame).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Snapshot, Source, active_by_stack};

    #[test]
    fn a_frame_has_what_its_callees_have_and_its_own_and_stands_behind_the_one_around_it() {
        let frame = |name: &str| format!(r#"{{"name": "{name}", "filename": "/app/a.py", "line": 1}}"#);
        let block = |size: u64, names: &[&str]| {
            let frames: Vec<String> = names.iter().map(|name| frame(name)).collect();
            format!(
                r#"{{"size": {size}, "requested_size": {size}, "state": "active_allocated", "frames": [{}]}}"#,
                frames.join(",")
            )
        };
        let blocks = [block(50, &["leaf", "main"]), block(30, &["main"]), block(15, &["other", "main"]), block(5, &[])];
        let text = format!(
            r#"{{"segments": [{{"total_size": 100, "allocated_size": 100, "active_size": 100, "blocks": [{}]}}],
            "device_traces": []}}"#,
            blocks.join(",")
        );
        let snapshot = Snapshot::read(&Source::memory("made up", text.into_bytes())).unwrap();
        let sums = active_by_stack(&snapshot, None, None);
        let flame = Flame::of(&snapshot.names, &sums, 3);
        let rows: Vec<_> =
            flame.frames.iter().map(|own| (own.name.as_deref(), own.parent, own.bytes, own.own)).collect();
        assert_eq!(
            rows,
            [
                (Some("/app/a.py:1 main"), None, 95, 30),
                (Some("/app/a.py:1 leaf"), Some(0), 50, 50),
                (Some("/app/a.py:1 other"), Some(0), 15, 15)
            ]
        );
        assert_eq!(flame.all, 4);
        let whole = Flame::of(&snapshot.names, &sums, 10);
        assert_eq!(whole.frames.iter().map(|own| own.own).sum::<u64>(), 100);
        assert_eq!(whole.frames[3].name, None);
    }
}
