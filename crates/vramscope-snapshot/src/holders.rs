//! Who holds memory: sums by stack, function, file or package.

use std::collections::HashMap;

use vramscope_core::on_one_line;

use crate::model::{PoolId, Snapshot};
use crate::parts::part_or_other;
use crate::place::{frame_text, package, short_path, site};
use crate::{Names, StackId};

/// What sums are made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum By {
    /// The whole stack.
    #[default]
    Stack,
    /// The function that is the stack's site, with its file.
    Function,
    /// The file of the stack's site.
    File,
    /// The package that holds that file.
    Module,
    /// What it is for, as far as the stack tells: weights, KV cache, graphs and so on.
    Part,
}

impl By {
    /// The name as documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stack => "stack",
            Self::Function => "function",
            Self::File => "file",
            Self::Module => "module",
            Self::Part => "part",
        }
    }
}

/// Bytes and pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum {
    /// Bytes.
    pub bytes: u64,
    /// Allocations.
    pub count: u64,
}

impl Sum {
    pub(crate) fn add(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.count += 1;
    }

    pub(crate) fn join(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.count += other.count;
    }
}

/// Sums by stack; no stack stands for allocations of which none was recorded.
pub type Sums = HashMap<Option<StackId>, Sum>;

/// One holder of memory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// What it is: the site of its stack, a function, a file or a package. Absent where no stack was recorded.
    pub label: Option<String>,
    /// The frames of its stack, the innermost first, as text; empty unless sums are by stack.
    pub frames: Vec<String>,
    /// What it holds.
    pub sum: Sum,
}

/// Active blocks by stack, in bytes of the blocks: rounding included. Only those of one pool where one is named.
pub fn active_by_stack(snapshot: &Snapshot, device: Option<u32>, pool: Option<PoolId>) -> Sums {
    let mut sums = Sums::new();
    let wanted = |segment: &crate::Segment| {
        device.is_none_or(|device| segment.device == device)
            && pool.is_none_or(|pool| segment.pool.unwrap_or(PoolId::DEFAULT) == pool)
    };
    for (segment, block) in snapshot.all_blocks() {
        if block.state.is_active() && wanted(segment) {
            sums.entry(block.stack).or_default().add(block.size);
        }
    }
    sums
}

/// Sums as holders, the largest first.
pub fn holders(names: &Names, sums: &Sums, by: By) -> Vec<Holder> {
    let mut rows: Vec<Holder> = match by {
        By::Stack => sums
            .iter()
            .map(|(stack, sum)| Holder {
                label: stack.and_then(|stack| label(names, stack, by)),
                frames: stack.map(|stack| frames(names, stack)).unwrap_or_default(),
                sum: *sum,
            })
            .collect(),
        _ => {
            let mut joined: HashMap<Option<String>, Sum> = HashMap::new();
            for (stack, sum) in sums {
                joined.entry(stack.and_then(|stack| label(names, stack, by))).or_default().join(*sum);
            }
            joined.into_iter().map(|(label, sum)| Holder { label, frames: Vec::new(), sum }).collect()
        }
    };
    rows.sort_by(|a, b| {
        let key = |row: &Holder| (std::cmp::Reverse(row.sum.bytes), std::cmp::Reverse(row.sum.count));
        key(a).cmp(&key(b)).then_with(|| (&a.label, &a.frames).cmp(&(&b.label, &b.frames)))
    });
    rows
}

/// How a stack is called when sums are made so.
pub(crate) fn label(names: &Names, stack: StackId, by: By) -> Option<String> {
    if by == By::Part {
        return Some(part_or_other(names, stack).to_owned());
    }
    let frame = site(names, stack)?;
    let file = names.text(frame.file);
    Some(match by {
        By::Stack | By::Part => frame_text(names, frame),
        By::Function => format!("{} {}", short_path(file), names.text(frame.name)),
        By::File => short_path(file).to_owned(),
        By::Module => package(file),
    })
}

/// The frames of a stack as text, the innermost first.
pub(crate) fn frames(names: &Names, stack: StackId) -> Vec<String> {
    names.stack(stack).iter().map(|id| frame_text(names, names.frame(*id))).collect()
}

/// Sums as lines for flame graphs: the frames of a stack, the outermost first, and its bytes.
pub fn folded(names: &Names, sums: &Sums) -> Vec<String> {
    let mut joined: std::collections::BTreeMap<String, u64> = std::collections::BTreeMap::new();
    for (stack, sum) in sums {
        let path = match stack {
            // A semicolon parts frames, and a line feed lines.
            Some(stack) => {
                let frames = frames(names, *stack).into_iter().rev();
                frames.map(|frame| on_one_line(&frame).replace(';', ":")).collect::<Vec<_>>().join(";")
            }
            None => "(no stack recorded)".to_owned(),
        };
        let bytes = joined.entry(path).or_default();
        *bytes = bytes.saturating_add(sum.bytes);
    }
    joined.into_iter().map(|(path, bytes)| format!("{path} {bytes}")).collect()
}
