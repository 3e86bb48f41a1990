//! What is kept of an event until the file has been read, and the orders in which it is read back.

use std::cmp::Ordering;

use crate::names::NameId;
use crate::runs::{Packed, get, get_signed, put, put_signed};

/// What a span on the CPU is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SpanKind {
    /// A python frame.
    Python,
    /// A span that the program named.
    Annotation,
    /// An operator of the framework.
    Operator,
    /// A call of the GPU runtime or driver.
    Call,
}

impl SpanKind {
    const ALL: [Self; 4] = [Self::Python, Self::Annotation, Self::Operator, Self::Call];
}

/// A span on a CPU thread, in order of thread and time; of two that begin together, the longer one encloses the other,
/// and of two that also end together, the one that stands first in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub thread: NameId,
    pub start: i64,
    pub end: i64,
    pub kind: SpanKind,
    pub name: NameId,
    /// Where it stands in the file. Names have numbers in the order in which workers meet them, so that they cannot say
    /// which of two records comes first.
    pub place: u64,
    /// The id that a call shares with what it launched; zero for other kinds.
    pub correlation: u64,
}

impl Ord for Span {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |s: &Self| (s.thread, s.start);
        key(self)
            .cmp(&key(other))
            .then(other.end.cmp(&self.end))
            .then_with(|| (self.kind, self.place).cmp(&(other.kind, other.place)))
            .then_with(|| (self.name, self.correlation).cmp(&(other.name, other.correlation)))
    }
}

impl PartialOrd for Span {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[derive(Default)]
pub(crate) struct SpanState {
    thread: NameId,
    start: i64,
    place: u64,
    correlation: u64,
}

impl Packed for Span {
    type State = SpanState;

    fn pack(&self, state: &mut SpanState, out: &mut Vec<u8>) {
        put_signed(out, i64::from(self.thread) - i64::from(state.thread));
        put_signed(out, self.start.wrapping_sub(state.start));
        put_signed(out, self.end.wrapping_sub(self.start));
        let kind = SpanKind::ALL.iter().position(|&k| k == self.kind).unwrap_or_default();
        put(out, u64::from(self.name) << 2 | kind as u64);
        put_place(out, &mut state.place, self.place);
        if self.kind == SpanKind::Call {
            put_signed(out, self.correlation.wrapping_sub(state.correlation).cast_signed());
            state.correlation = self.correlation;
        }
        state.thread = self.thread;
        state.start = self.start;
    }

    fn unpack(state: &mut SpanState, input: &mut &[u8]) -> Option<Self> {
        let thread = small(i64::from(state.thread).wrapping_add(get_signed(input)?))?;
        let start = state.start.wrapping_add(get_signed(input)?);
        let end = start.wrapping_add(get_signed(input)?);
        let packed = get(input)?;
        let kind = SpanKind::ALL[usize::from(packed.to_le_bytes()[0] & 3)];
        let place = get_place(input, &mut state.place)?;
        let mut correlation = 0;
        if kind == SpanKind::Call {
            correlation = state.correlation.wrapping_add(get_signed(input)?.cast_unsigned());
            state.correlation = correlation;
        }
        (state.thread, state.start) = (thread, start);
        Some(Self { thread, start, end, kind, name: NameId::try_from(packed >> 2).ok()?, place, correlation })
    }
}

/// Appends a place in the file as its distance from the last one.
fn put_place(out: &mut Vec<u8>, last: &mut u64, place: u64) {
    put_signed(out, place.wrapping_sub(*last).cast_signed());
    *last = place;
}

fn get_place(input: &mut &[u8], last: &mut u64) -> Option<u64> {
    *last = last.wrapping_add(get_signed(input)?.cast_unsigned());
    Some(*last)
}

fn small(value: i64) -> Option<NameId> {
    NameId::try_from(value).ok()
}

/// What a GPU did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Work {
    Kernel,
    Copy,
    Fill,
}

impl Work {
    const ALL: [Self; 3] = [Self::Kernel, Self::Copy, Self::Fill];
}

/// An operation on a GPU, in order of its correlation; those without one come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GpuOp {
    pub correlation: Option<u64>,
    pub start: i64,
    pub end: i64,
    pub work: Work,
    pub name: NameId,
    pub device: NameId,
    pub stream: NameId,
    /// Bytes copied or filled, where stated.
    pub bytes: Option<u64>,
    /// Floating-point operations, where stated.
    pub flops: Option<u64>,
    /// Where it stands in the file.
    pub place: u64,
}

impl Packed for GpuOp {
    type State = (u64, i64, u64);

    fn pack(&self, (correlation, start, place): &mut Self::State, out: &mut Vec<u8>) {
        let work = Work::ALL.iter().position(|&w| w == self.work).unwrap_or_default() as u64;
        let has = u64::from(self.flops.is_some()) << 4
            | u64::from(self.correlation.is_some()) << 3
            | u64::from(self.bytes.is_some()) << 2;
        put(out, u64::from(self.name) << 5 | has | work);
        if let Some(own) = self.correlation {
            put(out, own.wrapping_sub(*correlation));
            *correlation = own;
        }
        put_signed(out, self.start.wrapping_sub(*start));
        put_signed(out, self.end.wrapping_sub(self.start));
        put(out, u64::from(self.device));
        put(out, u64::from(self.stream));
        for stated in [self.bytes, self.flops].into_iter().flatten() {
            put(out, stated);
        }
        put_place(out, place, self.place);
        *start = self.start;
    }

    fn unpack((last, start, place): &mut Self::State, input: &mut &[u8]) -> Option<Self> {
        let packed = get(input)?;
        let has = |bit: u64| packed & bit == bit;
        let mut correlation = None;
        if has(8) {
            *last = last.wrapping_add(get(input)?);
            correlation = Some(*last);
        }
        *start = start.wrapping_add(get_signed(input)?);
        Some(Self {
            correlation,
            start: *start,
            end: start.wrapping_add(get_signed(input)?),
            work: *Work::ALL.get(usize::from(packed.to_le_bytes()[0] & 3))?,
            name: NameId::try_from(packed >> 5).ok()?,
            device: NameId::try_from(get(input)?).ok()?,
            stream: NameId::try_from(get(input)?).ok()?,
            bytes: if has(4) { Some(get(input)?) } else { None },
            flops: if has(16) { Some(get(input)?) } else { None },
            place: get_place(input, place)?,
        })
    }
}

/// Who issued a call, in order of the call's correlation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Launch {
    pub correlation: u64,
    pub start: i64,
    /// Where the call stands in the file.
    pub place: u64,
    pub thread: NameId,
    /// It launches a whole graph.
    pub graph: bool,
    /// The innermost operator around it.
    pub operator: Option<NameId>,
    /// The step around it, by its number.
    pub step: Option<u32>,
    /// The model layer around it, by its name.
    pub layer: Option<NameId>,
    /// The annotations around it, as a place in their tree.
    pub scope: Option<u32>,
    /// The python stack around it, as a place in its tree.
    pub stack: Option<u32>,
}

impl Packed for Launch {
    type State = (u64, i64, u64);

    fn pack(&self, (correlation, start, place): &mut Self::State, out: &mut Vec<u8>) {
        put(out, self.correlation.wrapping_sub(*correlation));
        put_signed(out, self.start.wrapping_sub(*start));
        put_place(out, place, self.place);
        put(out, u64::from(self.thread) << 1 | u64::from(self.graph));
        for place in [self.operator, self.step, self.layer, self.scope, self.stack] {
            put(out, place.map_or(0, |id| u64::from(id) + 1));
        }
        (*correlation, *start) = (self.correlation, self.start);
    }

    fn unpack((correlation, start, last): &mut Self::State, input: &mut &[u8]) -> Option<Self> {
        *correlation = correlation.wrapping_add(get(input)?);
        *start = start.wrapping_add(get_signed(input)?);
        let place = get_place(input, last)?;
        let packed = get(input)?;
        let mut around = || get(input).map(|id| id.checked_sub(1).and_then(|id| u32::try_from(id).ok()));
        Some(Self {
            correlation: *correlation,
            start: *start,
            thread: NameId::try_from(packed >> 1).ok()?,
            graph: packed & 1 == 1,
            place,
            operator: around()?,
            step: around()?,
            layer: around()?,
            scope: around()?,
            stack: around()?,
        })
    }
}

/// An operation on a GPU with what is known of its launch, in order of device and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimedOp {
    pub device: NameId,
    pub start: i64,
    pub end: i64,
    /// Where it stands in the file, which orders what begins and ends together.
    pub place: u64,
    pub stream: NameId,
    pub name: NameId,
    pub work: Work,
    /// When the call that launched it began, and on which thread.
    pub launched: Option<(i64, NameId)>,
    pub step: Option<u32>,
}

impl Packed for TimedOp {
    type State = (NameId, i64, u64);

    fn pack(&self, (device, start, place): &mut Self::State, out: &mut Vec<u8>) {
        put_signed(out, i64::from(self.device) - i64::from(*device));
        put_signed(out, self.start.wrapping_sub(*start));
        put_place(out, place, self.place);
        put_signed(out, self.end.wrapping_sub(self.start));
        let work = Work::ALL.iter().position(|&w| w == self.work).unwrap_or_default() as u64;
        put(out, u64::from(self.name) << 3 | u64::from(self.launched.is_some()) << 2 | work);
        put(out, u64::from(self.stream));
        if let Some((at, thread)) = self.launched {
            put_signed(out, self.start.wrapping_sub(at));
            put(out, u64::from(thread));
        }
        put(out, self.step.map_or(0, |id| u64::from(id) + 1));
        (*device, *start) = (self.device, self.start);
    }

    fn unpack((device, start, last): &mut Self::State, input: &mut &[u8]) -> Option<Self> {
        *device = small(i64::from(*device).wrapping_add(get_signed(input)?))?;
        *start = start.wrapping_add(get_signed(input)?);
        let place = get_place(input, last)?;
        let end = start.wrapping_add(get_signed(input)?);
        let packed = get(input)?;
        let stream = NameId::try_from(get(input)?).ok()?;
        let mut launched = None;
        if packed & 4 == 4 {
            let at = start.wrapping_sub(get_signed(input)?);
            launched = Some((at, NameId::try_from(get(input)?).ok()?));
        }
        Some(Self {
            device: *device,
            start: *start,
            end,
            place,
            stream,
            name: NameId::try_from(packed >> 3).ok()?,
            work: *Work::ALL.get(usize::from(packed.to_le_bytes()[0] & 3))?,
            launched,
            step: get(input)?.checked_sub(1).and_then(|id| u32::try_from(id).ok()),
        })
    }
}

/// A call that waits for the GPU, in order of thread and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wait {
    pub thread: NameId,
    pub start: i64,
    pub end: i64,
}

impl Packed for Wait {
    type State = (NameId, i64);

    fn pack(&self, (thread, start): &mut Self::State, out: &mut Vec<u8>) {
        put_signed(out, i64::from(self.thread) - i64::from(*thread));
        put_signed(out, self.start.wrapping_sub(*start));
        put_signed(out, self.end.wrapping_sub(self.start));
        (*thread, *start) = (self.thread, self.start);
    }

    fn unpack((thread, start): &mut Self::State, input: &mut &[u8]) -> Option<Self> {
        *thread = small(i64::from(*thread).wrapping_add(get_signed(input)?))?;
        *start = start.wrapping_add(get_signed(input)?);
        Some(Self { thread: *thread, start: *start, end: start.wrapping_add(get_signed(input)?) })
    }
}

/// The part of a pause until the call that ended it, in order of the call's thread and of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Unlaunched {
    pub thread: NameId,
    pub from: i64,
    pub to: i64,
    /// The device that pauses, by its place among the devices.
    pub device: u32,
    /// It counts within the steps too.
    pub in_steps: bool,
}

impl Packed for Unlaunched {
    type State = (NameId, i64);

    fn pack(&self, (thread, from): &mut Self::State, out: &mut Vec<u8>) {
        put_signed(out, i64::from(self.thread) - i64::from(*thread));
        put_signed(out, self.from.wrapping_sub(*from));
        put_signed(out, self.to.wrapping_sub(self.from));
        put(out, u64::from(self.device) << 1 | u64::from(self.in_steps));
        (*thread, *from) = (self.thread, self.from);
    }

    fn unpack((thread, from): &mut Self::State, input: &mut &[u8]) -> Option<Self> {
        *thread = small(i64::from(*thread).wrapping_add(get_signed(input)?))?;
        *from = from.wrapping_add(get_signed(input)?);
        let to = from.wrapping_add(get_signed(input)?);
        let packed = get(input)?;
        let device = u32::try_from(packed >> 1).ok()?;
        Some(Self { thread: *thread, from: *from, to, device, in_steps: packed & 1 == 1 })
    }
}

/// One duration or delay of a group, in order of group and length.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Length {
    pub group: u32,
    pub nanos: i64,
}

impl Packed for Length {
    type State = Length;

    fn pack(&self, last: &mut Self, out: &mut Vec<u8>) {
        put(out, u64::from(self.group.wrapping_sub(last.group)));
        put_signed(out, self.nanos.wrapping_sub(last.nanos));
        *last = *self;
    }

    fn unpack(last: &mut Self, input: &mut &[u8]) -> Option<Self> {
        let group = last.group.wrapping_add(u32::try_from(get(input)?).ok()?);
        *last = Self { group, nanos: last.nanos.wrapping_add(get_signed(input)?) };
        Some(*last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip<T: Packed + std::fmt::Debug>(mut records: Vec<T>) {
        records.sort_unstable();
        let mut bytes = Vec::new();
        let mut state = T::State::default();
        for record in &records {
            record.pack(&mut state, &mut bytes);
        }
        let (mut state, mut input) = (T::State::default(), bytes.as_slice());
        for record in &records {
            assert_eq!(T::unpack(&mut state, &mut input).as_ref(), Some(record));
        }
        assert!(input.is_empty());
    }

    fn kind() -> impl Strategy<Value = SpanKind> {
        prop::sample::select(SpanKind::ALL.to_vec())
    }

    fn work() -> impl Strategy<Value = Work> {
        prop::sample::select(Work::ALL.to_vec())
    }

    proptest! {
        #[test]
        fn records_survive_packing(
            spans in prop::collection::vec(
                (any::<u32>(), any::<i64>(), any::<i64>(), kind(), any::<u32>(), any::<[u64; 2]>()), 0..20),
            ops in prop::collection::vec(
                (any::<Option<u64>>(), any::<[i64; 3]>(), work(), any::<[u32; 3]>(), any::<Option<u64>>(),
                 any::<Option<(i64, u32)>>(), any::<Option<u16>>()), 0..20),
            launches in prop::collection::vec(
                (any::<[u64; 2]>(), any::<i64>(), any::<u32>(), any::<bool>(), any::<[Option<u16>; 5]>()), 0..20),
        ) {
            round_trip(spans.iter().map(|&(thread, start, end, kind, name, [place, correlation])| Span {
                thread, start, end, kind, name, place,
                correlation: if kind == SpanKind::Call { correlation } else { 0 },
            }).collect());
            round_trip(ops.iter().map(|&(correlation, [start, end, place], work, [name, device, stream], bytes, ..)| GpuOp {
                correlation, start, end, work, name, device, stream, bytes, flops: bytes.and(correlation),
                place: place.cast_unsigned(),
            }).collect());
            round_trip(ops.iter().map(|&(_, [from, to, _], _, [thread, device, _], bytes, ..)| Unlaunched {
                thread, from, to, device, in_steps: bytes.is_some(),
            }).collect());
            round_trip(ops.iter().map(|&(_, [start, end, place], work, [name, device, stream], _, launched, step)| TimedOp {
                device, start, end, place: place.cast_unsigned(), stream, name, work, launched, step: step.map(u32::from),
            }).collect());
            round_trip(launches.iter().map(|&([correlation, place], start, thread, graph, p)| {
                let [operator, step, layer, scope, stack] = p.map(|id| id.map(u32::from));
                Launch { correlation, start, place, thread, graph, operator, step, layer, scope, stack }
            }).collect());
            round_trip(spans.iter().map(|&(thread, start, end, ..)| Wait { start, end, thread }).collect());
            round_trip(spans.iter().map(|&(group, nanos, ..)| Length { group, nanos }).collect());
        }
    }
}
