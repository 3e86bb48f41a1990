//! Makes records of a snapshot out of values as they come, whichever format they came in.
//!
//! No tree of the file is made: a dictionary becomes a record when it is filled, a list of records a range of them, and
//! a list of frames the number of its stack.

mod field;
mod finish;
mod key;

use std::collections::BTreeMap;

use crate::events::Event;
use crate::model::{Annotation, Block, PoolId, Segment, State};
use crate::names::{Frame, FrameId};
use crate::{Action, Events, Names, Settings, StackId, TextId};
use field::Fields;
use key::Key;

/// A value of the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// Above all of [`Value::Int`].
    Uint(u64),
    Float(f64),
    Text(TextId),
    /// A pair of numbers, by the number of it.
    Pool(u32),
    /// A list or a dictionary, by the number of its cell.
    Held(u32),
    /// What no field of a snapshot is made of: bytes, other tuples.
    Opaque,
}

/// What became of a list or a dictionary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    EmptyList,
    EmptyDict,
    Frame(FrameId),
    Frames(StackId),
    Event(u32),
    Block(u32),
    Segment(u32),
    /// Ranges, by number.
    Events(u32),
    Blocks(u32),
    Segments(u32),
    /// Values of a list, by number.
    List(u32),
    Pool(u32),
    Annotation,
    Settings,
    Root,
    /// A dictionary of which nothing is kept.
    Other,
}

/// What is wrong with a value.
#[derive(Debug)]
pub(crate) enum Fault {
    /// A field, said in full.
    Field(String),
    /// More of something than there can be.
    Limit(&'static str, u64),
}

/// The most lists and dictionaries; a file of 4 GB has a hundred million.
const MAX_CELLS: usize = 1 << 29;
/// The most values in lists that hold no records: what torch writes has a handful.
const MAX_LOOSE: usize = 1 << 20;
/// The most bytes of different texts. Names of functions and files of a large program are a few MiB.
const MAX_TEXT: u64 = 256 << 20;
/// The longest text: an original trace of generated code has some KiB.
pub(crate) const MAX_ONE_TEXT: u64 = 16 << 20;
/// Characters of an unknown field's name that are kept.
const MOST_OF_KEY: usize = 80;
/// The most different unknown fields that are named.
const MAX_UNKNOWN: usize = 100;

/// Records as they become known.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    names: Names,
    keys: key::Keys,
    cells: Vec<Cell>,
    ranges: Vec<(u32, u32)>,
    lists: Vec<Vec<Value>>,
    loose: usize,
    pools: Vec<PoolId>,
    segments: Vec<Segment>,
    /// Where the list of blocks of each segment is, until all are known.
    segment_blocks: Vec<Value>,
    blocks: Vec<Block>,
    events: Events,
    annotations: Vec<Annotation>,
    settings: Option<Settings>,
    root: Option<Root>,
    unknown: BTreeMap<String, u64>,
    fields: Fields,
    /// Room for the frames of one stack.
    frames: Vec<FrameId>,
}

/// The parts of the outermost dictionary.
#[derive(Debug, Clone, Copy)]
struct Root {
    segments: Value,
    traces: Option<Value>,
    hosts: Option<Value>,
}

impl Builder {
    /// A text.
    pub(crate) fn text(&mut self, text: &str) -> Result<Value, Fault> {
        let id = self.names.add_text(text).ok_or(Fault::Limit("the number of texts", 1 << 28))?;
        if self.names.text_bytes() > MAX_TEXT {
            return Err(Fault::Limit("the length of all texts", MAX_TEXT));
        }
        Ok(Value::Text(id))
    }

    /// The words of a text that was added.
    pub(crate) fn words(&self, id: TextId) -> &str {
        self.names.text(id)
    }

    /// A list with nothing in it yet.
    pub(crate) fn list(&mut self) -> Result<Value, Fault> {
        self.cell(Cell::EmptyList)
    }

    /// A dictionary with nothing in it yet.
    pub(crate) fn dict(&mut self) -> Result<Value, Fault> {
        self.cell(Cell::EmptyDict)
    }

    /// A tuple: two numbers are a pool.
    pub(crate) fn tuple(&mut self, items: &[Value]) -> Result<Value, Fault> {
        let [first, second] = items else { return Ok(Value::Opaque) };
        let (Some(first), Some(second)) = (field::unsigned(*first), field::unsigned(*second)) else {
            return Ok(Value::Opaque);
        };
        let pool = PoolId(first, second);
        // Events of one pool follow each other by the thousand.
        if self.pools.last() != Some(&pool) {
            if self.pools.len() >= MAX_LOOSE {
                return Err(Fault::Limit("the number of pools", MAX_LOOSE as u64));
            }
            self.pools.push(pool);
        }
        Ok(Value::Pool(u32::try_from(self.pools.len() - 1).unwrap_or_default()))
    }

    fn cell(&mut self, cell: Cell) -> Result<Value, Fault> {
        if self.cells.len() >= MAX_CELLS {
            return Err(Fault::Limit("the number of lists and dictionaries", MAX_CELLS as u64));
        }
        #[expect(clippy::cast_possible_truncation, reason = "below MAX_CELLS")]
        let number = self.cells.len() as u32;
        self.cells.push(cell);
        Ok(Value::Held(number))
    }

    /// Appends to a list.
    pub(crate) fn append(&mut self, list: Value, items: &[Value]) -> Result<(), Fault> {
        let Value::Held(at) = list else { return Err(Fault::Field("a value is appended to what is no list".into())) };
        let Some(first) = items.first() else { return Ok(()) };
        let cell = self.cells[at as usize];
        let grown = match (cell, self.kind(*first)) {
            (Cell::EmptyList | Cell::Frames(_), Cell::Frame(_)) => self.frames(cell, items)?,
            (Cell::EmptyList | Cell::Events(_), Cell::Event(_)) => Cell::Events(self.range(cell, items, "events")?),
            (Cell::EmptyList | Cell::Blocks(_), Cell::Block(_)) => Cell::Blocks(self.range(cell, items, "blocks")?),
            (Cell::EmptyList | Cell::Segments(_), Cell::Segment(_)) => {
                Cell::Segments(self.range(cell, items, "segments")?)
            }
            (Cell::EmptyList, _) if items.len() == 2 => match self.tuple(items)? {
                Value::Pool(at) => Cell::Pool(at),
                _ => self.loose(cell, items)?,
            },
            (Cell::EmptyList | Cell::List(_), _) => self.loose(cell, items)?,
            (Cell::EmptyDict | Cell::Other, _) => {
                return Err(Fault::Field("a value is appended to a dictionary".into()));
            }
            (before, one) => {
                let (list, item) = (before.noun(), one.noun());
                return Err(Fault::Field(format!(
                    "a list of {list} goes on with {item}, and torch's lists hold one kind"
                )));
            }
        };
        self.cells[at as usize] = grown;
        Ok(())
    }

    fn kind(&self, value: Value) -> Cell {
        match value {
            Value::Held(at) => self.cells[at as usize],
            _ => Cell::Other,
        }
    }

    /// A stack out of frames, or a longer one.
    fn frames(&mut self, cell: Cell, items: &[Value]) -> Result<Cell, Fault> {
        let mut frames = std::mem::take(&mut self.frames);
        frames.clear();
        if let Cell::Frames(before) = cell {
            frames.extend_from_slice(self.names.stack(before));
        }
        // A stack is copied when it grows: so much at a time, and no more.
        if frames.len() + items.len() > MAX_STACK {
            return Err(Fault::Limit("the depth of a stack", MAX_STACK as u64));
        }
        for item in items {
            match self.kind(*item) {
                Cell::Frame(frame) => frames.push(frame),
                other => return Err(Fault::Field(format!("a list of frames holds {}", other.noun()))),
            }
        }
        let stack =
            self.names.add_stack(&frames).ok_or(Fault::Limit("the frames of all different stacks", MAX_FRAMES))?;
        self.frames = frames;
        Ok(Cell::Frames(stack))
    }

    /// A range of records that follow each other, or a longer one.
    fn range(&mut self, cell: Cell, items: &[Value], what: &'static str) -> Result<u32, Fault> {
        let number = |cell| match cell {
            Cell::Event(at) | Cell::Block(at) | Cell::Segment(at) => Some(at),
            _ => None,
        };
        let first = items.first().and_then(|item| number(self.kind(*item))).unwrap_or_default();
        let at = match cell {
            Cell::Events(at) | Cell::Blocks(at) | Cell::Segments(at) => at,
            _ => {
                self.ranges.push((first, first));
                u32::try_from(self.ranges.len() - 1).map_err(|_| Fault::Limit("the number of lists", 1 << 32))?
            }
        };
        let (start, mut end) = self.ranges[at as usize];
        let wanted = items.first().map(|item| std::mem::discriminant(&self.kind(*item)));
        for item in items {
            let kind = self.kind(*item);
            if Some(std::mem::discriminant(&kind)) != wanted || number(kind) != Some(end) {
                let problem = format!("a list of {what} holds something else, or one of them twice or out of order");
                return Err(Fault::Field(problem));
            }
            end += 1;
        }
        self.ranges[at as usize] = (start, end);
        Ok(at)
    }

    /// A list of values that are no records.
    fn loose(&mut self, cell: Cell, items: &[Value]) -> Result<Cell, Fault> {
        self.loose += items.len();
        if self.loose > MAX_LOOSE {
            return Err(Fault::Limit("the number of values that are part of no record", MAX_LOOSE as u64));
        }
        let at = match cell {
            Cell::List(at) => at,
            _ => {
                self.lists.push(Vec::new());
                u32::try_from(self.lists.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.lists[at as usize].extend_from_slice(items);
        Ok(Cell::List(at))
    }

    /// Fills a dictionary with keys and values in turn. Its keys say what it is.
    pub(crate) fn fill(&mut self, dict: Value, pairs: &[Value]) -> Result<(), Fault> {
        let Value::Held(at) = dict else { return Err(Fault::Field("a key is set in what is no dictionary".into())) };
        let before = self.cells[at as usize];
        if before != Cell::EmptyDict {
            let noun = before.noun();
            return Err(Fault::Field(format!("{noun} is filled in pieces; torch and pickle.dump write each at once")));
        }
        self.fields.clear();
        let mut strangers = Vec::new();
        for pair in pairs.chunks_exact(2) {
            let Value::Text(key) = pair[0] else { continue };
            match self.keys.find(key, &self.names) {
                Some(known) => self.fields.set(known, pair[1]),
                None => strangers.push(key),
            }
        }
        let cell = self.record()?;
        if !matches!(cell, Cell::Other | Cell::Settings | Cell::Annotation) {
            self.strangers(&cell, &strangers);
        }
        self.cells[at as usize] = cell;
        Ok(())
    }

    /// Remembers fields that are not known.
    fn strangers(&mut self, cell: &Cell, keys: &[TextId]) {
        for key in keys {
            // Keys are as long as a file likes; their beginning tells which they are.
            let key = self.names.text(*key);
            let shown = key.char_indices().nth(MOST_OF_KEY).map_or(key, |(end, _)| &key[..end]);
            self.meet(format!("{}.{shown}", cell.noun().split(' ').next_back().unwrap_or_default()));
        }
    }

    /// Counts what is not known by its name.
    fn meet(&mut self, name: String) {
        if self.unknown.len() < MAX_UNKNOWN || self.unknown.contains_key(&name) {
            *self.unknown.entry(name).or_default() += 1;
        }
    }

    fn record(&mut self) -> Result<Cell, Fault> {
        let has = |key| self.fields.has(key);
        if has(Key::Action) {
            self.event()
        } else if has(Key::Filename) && has(Key::Name) && has(Key::Line) {
            self.frame()
        } else if has(Key::TotalSize) {
            self.segment()
        } else if has(Key::State) && has(Key::Size) {
            self.block()
        } else if has(Key::Segments) {
            self.root()
        } else if has(Key::Name) && (has(Key::Stage) || has(Key::TimeUs)) {
            self.annotation()
        } else if has(Key::AllocConf) || has(Key::MaxSplitSize) {
            self.set()
        } else {
            Ok(Cell::Other)
        }
    }

    fn frame(&mut self) -> Result<Cell, Fault> {
        let (name, file) = (self.fields.text("frame", Key::Name)?, self.fields.text("frame", Key::Filename)?);
        // C++ frames without debugging symbols have line 0 or less.
        let line = self.fields.signed("frame", Key::Line)?.unwrap_or_default();
        let frame = Frame { name, file, line: u32::try_from(line).unwrap_or_default() };
        let id = self.names.add_frame(frame).ok_or(Fault::Limit("the number of frames", 1 << 28))?;
        Ok(Cell::Frame(id))
    }

    /// The stack in a record's frames; none where there are none.
    fn stack(&self, noun: &str) -> Result<Option<StackId>, Fault> {
        match self.fields.get(Key::Frames).map(|value| (value, self.kind(value))) {
            None | Some((Value::None, _) | (_, Cell::EmptyList)) => Ok(None),
            Some((_, Cell::Frames(stack))) => Ok(Some(stack)),
            Some((_, other)) => {
                Err(Fault::Field(format!("{noun}'s frames are {}, not a list of frames", other.noun())))
            }
        }
    }

    fn pool(&self, noun: &str, key: Key) -> Result<Option<PoolId>, Fault> {
        match self.fields.get(key) {
            None | Some(Value::None) => Ok(None),
            Some(Value::Pool(at)) => Ok(Some(self.pools[at as usize])),
            Some(value) => match self.kind(value) {
                Cell::Pool(at) => Ok(Some(self.pools[at as usize])),
                _ => Err(Fault::Field(format!("{noun}'s {} is no pair of numbers", key.name()))),
            },
        }
    }

    fn event(&mut self) -> Result<Cell, Fault> {
        let word = self.fields.text("event", Key::Action)?;
        let action = Action::of(self.names.text(word));
        if action == Action::Other {
            let shown: String = self.names.text(word).chars().take(MOST_OF_KEY).collect();
            self.meet(format!("event.action={shown}"));
        }
        // What is missing is not 0: an event without its size tells nothing.
        let needed = |value: Option<u64>, key: Key, expected: &str| {
            value.ok_or_else(|| Fault::Field(format!("an event's `{}` is missing, expected {expected}", key.name())))
        };
        let (addr, size) = if action == Action::Oom {
            let free = self.fields.size_or_more("event", Key::DeviceFree)?;
            let size = self.fields.size_or_more("event", Key::Size)?;
            (needed(free, Key::DeviceFree, "a number of bytes")?, needed(size, Key::Size, "a number of bytes")?)
        } else {
            let (addr, size) = (self.fields.address("event", Key::Addr)?, self.fields.size("event", Key::Size)?);
            match action {
                Action::Alloc | Action::FreeRequested | Action::FreeCompleted => {
                    (needed(addr, Key::Addr, "an address")?, needed(size, Key::Size, "a number of bytes")?)
                }
                _ => (addr.unwrap_or_default(), size.unwrap_or_default()),
            }
        };
        let note = match self.fields.get(Key::UserMetadata) {
            Some(Value::Text(text)) if !self.names.text(text).is_empty() => Some(text),
            _ => None,
        };
        let event = Event {
            action,
            addr,
            size,
            stream: self.fields.address("event", Key::Stream)?.unwrap_or_default(),
            time_us: self.fields.signed("event", Key::TimeUs)?,
            stack: self.stack("an event")?,
            pool: self.pool("an event", Key::PoolId)?.map(|pool| (pool.0, pool.1)),
            note,
        };
        self.events.push(&event).map(Cell::Event).ok_or(Fault::Limit("the number of events", 1 << 28))
    }

    fn block(&mut self) -> Result<Cell, Fault> {
        let word = self.fields.text("block", Key::State)?;
        let state = match self.names.text(word) {
            "active_allocated" => State::Allocated,
            "active_pending_free" | "active_awaiting_free" => State::Waiting,
            "inactive" => State::Inactive,
            other => {
                let shown: String = other.chars().take(40).collect();
                let known = "active_allocated, active_pending_free or inactive";
                return Err(Fault::Field(format!("a block's state is {shown:?}, expected {known}")));
            }
        };
        let block = Block {
            address: self.fields.address("block", Key::Address)?.unwrap_or_default(),
            size: self.fields.needed_size("block", Key::Size)?,
            requested: self.fields.size("block", Key::RequestedSize)?,
            state,
            stack: self.stack("a block")?,
        };
        if let Some(requested) = block.requested.filter(|requested| state != State::Inactive && *requested > block.size)
        {
            let size = block.size;
            return Err(Fault::Field(format!("a block of {size} bytes was asked for {requested}, expected no more")));
        }
        self.blocks.push(block);
        record_number(self.blocks.len()).map(Cell::Block)
    }

    fn segment(&mut self) -> Result<Cell, Fault> {
        let small = match self.fields.get(Key::SegmentType) {
            Some(Value::Text(text)) => self.names.text(text) == "small",
            _ => false,
        };
        let segment = Segment {
            device: match self.fields.get(Key::Device) {
                Some(Value::Int(-1)) => HOST,
                _ => self.fields.device("segment", Key::Device)?.unwrap_or_default(),
            },
            address: self.fields.address("segment", Key::Address)?.unwrap_or_default(),
            total: self.fields.needed_size("segment", Key::TotalSize)?,
            allocated: self.fields.needed_size("segment", Key::AllocatedSize)?,
            active: self.fields.needed_size("segment", Key::ActiveSize)?,
            requested: self.fields.size("segment", Key::RequestedSize)?,
            stream: self.fields.address("segment", Key::Stream)?.unwrap_or_default(),
            small,
            pool: self.pool("a segment", Key::SegmentPoolId)?,
            expandable: self.fields.truth("segment", Key::IsExpandable)?,
            stack: self.stack("a segment")?,
            blocks: 0..0,
        };
        self.segments.push(segment);
        self.segment_blocks.push(self.fields.get(Key::Blocks).unwrap_or(Value::None));
        record_number(self.segments.len()).map(Cell::Segment)
    }

    fn annotation(&mut self) -> Result<Cell, Fault> {
        let stage = match self.fields.get(Key::Stage) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        };
        self.annotations.push(Annotation {
            name: self.fields.text("annotation", Key::Name)?,
            stage,
            device: self.fields.device("annotation", Key::Device)?,
            time_us: self.fields.signed("annotation", Key::TimeUs)?,
        });
        Ok(Cell::Annotation)
    }

    fn set(&mut self) -> Result<Cell, Fault> {
        let text = match self.fields.get(Key::AllocConf) {
            Some(Value::Text(text)) => Some(self.names.text(text).to_owned()),
            _ => None,
        };
        // Torch writes the largest number, or -1 where it is signed, for no limit.
        let max_split_size = match self.fields.get(Key::MaxSplitSize) {
            Some(Value::Int(size)) => u64::try_from(size).ok().filter(|size| *size < i64::MAX.cast_unsigned()),
            _ => None,
        };
        let garbage_collection_threshold = match self.fields.get(Key::GarbageCollectionThreshold) {
            Some(Value::Float(share)) if share.is_finite() => Some(share),
            _ => None,
        };
        let expandable_segments = self.fields.truth("settings", Key::ExpandableSegments)?;
        self.settings = Some(Settings { text, max_split_size, garbage_collection_threshold, expandable_segments });
        Ok(Cell::Settings)
    }

    fn root(&mut self) -> Result<Cell, Fault> {
        self.root = Some(Root {
            segments: self.fields.get(Key::Segments).unwrap_or(Value::None),
            traces: self.fields.get(Key::DeviceTraces),
            hosts: self.fields.get(Key::HostSegments),
        });
        Ok(Cell::Root)
    }
}

/// The device of pinned host memory, which torch writes as -1.
const HOST: u32 = u32::MAX;

/// The most frames of all different stacks together. Those of a large program's hour are some hundred thousand.
pub(crate) const MAX_FRAMES: u64 = 1 << 26;

/// The deepest stack. Python stops at 1000 frames unless it is told otherwise.
const MAX_STACK: usize = 1 << 16;

/// The number of the record that was pushed last.
fn record_number(count: usize) -> Result<u32, Fault> {
    u32::try_from(count - 1)
        .ok()
        .filter(|number| *number < 1 << 28)
        .ok_or(Fault::Limit("the number of segments or blocks", 1 << 28))
}

impl Cell {
    /// What it is, for messages.
    fn noun(self) -> &'static str {
        match self {
            Self::EmptyList => "an empty list",
            Self::EmptyDict => "an empty dictionary",
            Self::Frame(_) => "a frame",
            Self::Frames(_) => "a list of frames",
            Self::Event(_) => "an event",
            Self::Block(_) => "a block",
            Self::Segment(_) => "a segment",
            Self::Events(_) => "a list of events",
            Self::Blocks(_) => "a list of blocks",
            Self::Segments(_) => "a list of segments",
            Self::List(_) => "a list",
            Self::Pool(_) => "a pair of numbers",
            Self::Annotation => "an annotation",
            Self::Settings => "settings",
            Self::Root => "a snapshot",
            Self::Other => "something else",
        }
    }
}
