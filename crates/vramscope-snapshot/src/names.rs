//! Texts, frames and stacks, each kept once however often the file holds it.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};

use vramscope_core::redact;

use crate::build::MAX_FRAMES;

/// A text of the file, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TextId(pub(crate) u32);

/// A frame of the file, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrameId(pub(crate) u32);

/// A stack of the file, by number. The same frames in the same order have the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StackId(pub(crate) u32);

/// One frame of a stack, as torch wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Frame {
    /// The function's name.
    pub name: TextId,
    /// The file of its source.
    pub file: TextId,
    /// The line, counted from 1; 0 where torch knows none.
    pub line: u32,
}

/// All texts, frames and stacks of a snapshot.
#[derive(Debug, Clone, Default)]
pub struct Names {
    texts: Vec<Box<str>>,
    text_index: Index,
    text_bytes: u64,
    /// The texts that came last: torch writes the same few for each event anew.
    recent: [Option<TextId>; 4],
    frames: Vec<Frame>,
    frame_index: HashMap<Frame, FrameId>,
    /// Frames of all stacks behind each other, the innermost of a stack first.
    stack_frames: Vec<FrameId>,
    /// Where each stack ends in `stack_frames`.
    stack_ends: Vec<usize>,
    stack_index: Index,
}

/// Numbers by what they stand for, of which the table keeps no copy.
#[derive(Debug, Clone, Default)]
struct Index {
    hasher: RandomState,
    /// A power of two of places, each a number plus one.
    places: Vec<u32>,
    used: usize,
}

impl Index {
    /// The number whose content is alike, or the place where it belongs.
    fn find(&self, hash: u64, alike: impl Fn(u32) -> bool) -> Result<u32, usize> {
        let mask = self.places.len() - 1;
        #[expect(clippy::cast_possible_truncation, reason = "only the low bits are used")]
        let mut place = hash as usize & mask;
        loop {
            match self.places[place] {
                0 => return Err(place),
                kept if alike(kept - 1) => return Ok(kept - 1),
                _ => place = (place + 1) & mask,
            }
        }
    }

    /// Makes room for one more.
    fn grow(&mut self, hash_of: impl Fn(u32) -> u64) {
        if self.used * 2 < self.places.len() {
            return;
        }
        let old = std::mem::take(&mut self.places);
        self.places = vec![0; (old.len() * 2).max(64)];
        for kept in old.into_iter().filter(|kept| *kept != 0) {
            if let Err(place) = self.find(hash_of(kept - 1), |_| false) {
                self.places[place] = kept;
            }
        }
    }
}

impl Names {
    /// The text of a number.
    pub fn text(&self, id: TextId) -> &str {
        &self.texts[id.0 as usize]
    }

    /// The frame of a number.
    pub fn frame(&self, id: FrameId) -> Frame {
        self.frames[id.0 as usize]
    }

    /// The frames of a stack, the innermost first.
    pub fn stack(&self, id: StackId) -> &[FrameId] {
        stack_at(&self.stack_frames, &self.stack_ends, id.0)
    }

    /// How many different stacks there are.
    pub fn stacks(&self) -> usize {
        self.stack_ends.len()
    }

    /// How many different frames there are.
    pub fn frames(&self) -> usize {
        self.frames.len()
    }

    /// Bytes of all texts.
    pub(crate) fn text_bytes(&self) -> u64 {
        self.text_bytes
    }

    /// Takes secrets out of all texts: a program's annotations and settings may hold some.
    pub(crate) fn redact(&mut self) {
        for text in &mut self.texts {
            let without = redact(text);
            if *without != **text {
                *text = without.into();
            }
        }
    }

    /// The number of a text; none when there are as many as numbers.
    pub(crate) fn add_text(&mut self, text: &str) -> Option<TextId> {
        let same = |id: &&TextId| &*self.texts[id.0 as usize] == text;
        if let Some(id) = self.recent.iter().flatten().find(same) {
            return Some(*id);
        }
        let id = self.look_up(text)?;
        self.recent.rotate_right(1);
        self.recent[0] = Some(id);
        Some(id)
    }

    fn look_up(&mut self, text: &str) -> Option<TextId> {
        let texts = &self.texts;
        let hasher = self.text_index.hasher.clone();
        self.text_index.grow(|id| hasher.hash_one(&*texts[id as usize]));
        let hash = hasher.hash_one(text);
        match self.text_index.find(hash, |id| &*texts[id as usize] == text) {
            Ok(id) => Some(TextId(id)),
            Err(place) => {
                let id = next(self.texts.len())?;
                self.texts.push(text.into());
                self.text_bytes += text.len() as u64;
                self.text_index.places[place] = id + 1;
                self.text_index.used += 1;
                Some(TextId(id))
            }
        }
    }

    /// The number of a frame.
    pub(crate) fn add_frame(&mut self, frame: Frame) -> Option<FrameId> {
        if let Some(id) = self.frame_index.get(&frame) {
            return Some(*id);
        }
        let id = FrameId(next(self.frames.len())?);
        self.frames.push(frame);
        self.frame_index.insert(frame, id);
        Some(id)
    }

    /// The number of a stack.
    pub(crate) fn add_stack(&mut self, stack: &[FrameId]) -> Option<StackId> {
        let (frames, ends) = (&self.stack_frames, &self.stack_ends);
        let hasher = self.stack_index.hasher.clone();
        self.stack_index.grow(|id| hash_frames(&hasher, stack_at(frames, ends, id)));
        let hash = hash_frames(&hasher, stack);
        match self.stack_index.find(hash, |id| stack_at(frames, ends, id) == stack) {
            Ok(id) => Some(StackId(id)),
            Err(place) => {
                let id = next(self.stack_ends.len())?;
                if (self.stack_frames.len() + stack.len()) as u64 > MAX_FRAMES {
                    return None;
                }
                self.stack_frames.extend_from_slice(stack);
                self.stack_ends.push(self.stack_frames.len());
                self.stack_index.places[place] = id + 1;
                self.stack_index.used += 1;
                Some(StackId(id))
            }
        }
    }
}

/// Numbers end below 2^28, which leaves room for what a cell of the builder says beside them.
fn next(count: usize) -> Option<u32> {
    u32::try_from(count).ok().filter(|id| *id < 1 << 28)
}

/// A keyed hash of frames, two at a time: files have a stack for each event.
fn hash_frames(hasher: &RandomState, frames: &[FrameId]) -> u64 {
    let mut hash = hasher.build_hasher();
    for pair in frames.chunks(2) {
        let second = pair.get(1).map_or(u32::MAX, |frame| frame.0);
        hash.write_u64(u64::from(pair[0].0) << 32 | u64::from(second));
    }
    hash.finish()
}

fn stack_at<'n>(frames: &'n [FrameId], ends: &[usize], id: u32) -> &'n [FrameId] {
    let at = id as usize;
    let from = if at == 0 { 0 } else { ends[at - 1] };
    &frames[from..ends[at]]
}
