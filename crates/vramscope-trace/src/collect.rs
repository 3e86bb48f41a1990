//! What one worker keeps of the events it is given.

mod counts;
mod memory;
mod times;

use std::collections::HashMap;

pub(crate) use counts::Counts;
pub(crate) use memory::MemoryLog;
pub(crate) use times::{Extent, ExtentSink};

use crate::analyse::join::FlopTally;
use crate::analyse::threads::Tally;
use crate::event::{Event, Kind, correlation, flops, gpu_args, memory_args};
use crate::names::{NameCache, NameId, Names};
use crate::read::Sink;
use crate::record::{GpuOp, Span, SpanKind, Work};
use crate::runs::{Pool, Runs};
use crate::steps::StepName;
use crate::{Notes, Oddity, TraceError, Window};

/// The time in which a GPU carried out a step, as the profiler's own mark on the GPU says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GpuStep {
    pub device: NameId,
    pub start: i64,
    pub end: i64,
    pub name: NameId,
}

/// Steps beyond this are not listed.
pub(crate) const MAX_STEPS: usize = 1 << 17;

/// What a worker is told to keep.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keep {
    /// Only events that begin in it.
    pub window: Option<Window>,
    /// All python frames, not only model layers.
    pub python: bool,
}

/// One worker's share of a trace.
pub(crate) struct Shard {
    keep: Keep,
    names: NameCache,
    pub counts: Counts,
    pub extent: Extent,
    pub gpu: Runs<GpuOp>,
    pub spans: Runs<Span>,
    pub gpu_steps: Vec<GpuStep>,
    pub memory: MemoryLog,
    /// Time of the profiler itself, by name.
    pub overhead: HashMap<NameId, Tally>,
    /// Floating-point operations that operators state, by name.
    pub flops: HashMap<NameId, FlopTally>,
    pub notes: Notes,
    last_thread: (Vec<u8>, NameId),
}

impl Shard {
    pub(crate) fn new(names: &Names, pool: &Pool, keep: Keep) -> Self {
        Self {
            keep,
            names: names.cache(),
            counts: Counts::default(),
            extent: Extent::default(),
            gpu: Runs::new(pool),
            spans: Runs::new(pool),
            gpu_steps: Vec::new(),
            memory: MemoryLog::default(),
            overhead: HashMap::new(),
            flops: HashMap::new(),
            notes: Notes::default(),
            last_thread: (Vec::new(), NameId::MAX),
        }
    }

    fn name(&mut self, raw: &[u8], offset: u64) -> NameId {
        let (id, kept) = self.names.id(raw);
        if !kept {
            self.notes.add(Oddity::TooManyNames, offset);
        }
        id
    }

    /// A thread's number. Events of one thread follow each other, so the last one is tried first.
    fn thread(&mut self, event: &Event<'_>, offset: u64) -> NameId {
        let (pid, tid) = (event.pid.unwrap_or_default(), event.tid.unwrap_or_default());
        let (key, id) = &self.last_thread;
        let same = key.len() == pid.len() + 1 + tid.len() && key.starts_with(pid) && key.ends_with(tid);
        if same && key[pid.len()] == b'/' {
            return *id;
        }
        let key = [pid, b"/", tid].concat();
        let id = self.name(&key, offset);
        self.last_thread = (key, id);
        id
    }

    fn times(&mut self, event: &Event<'_>, offset: u64) -> Result<Option<(i64, i64)>, TraceError> {
        let times = times::of(event, offset)?;
        match times {
            Some((start, _)) => self.extent.include(start, offset),
            None => self.notes.add(Oddity::NoTime, offset),
        }
        Ok(times)
    }

    fn gpu_op(&mut self, event: &Event<'_>, work: Work, offset: u64) -> Result<(), TraceError> {
        let Some((start, end)) = self.times(event, offset)? else { return Ok(()) };
        let args = event.args.map(gpu_args).unwrap_or_default();
        if work != Work::Kernel && args.bytes.is_none() {
            self.notes.add(Oddity::NoBytes, offset);
        }
        let name = self.name(event.name.unwrap_or_default(), offset);
        let device = self.name(args.device.or(event.pid).unwrap_or_default(), offset);
        let stream = self.name(args.stream.or(event.tid).unwrap_or_default(), offset);
        let (correlation, bytes, flops) = (args.correlation, args.bytes, args.flops);
        self.gpu.push(GpuOp { correlation, start, end, work, name, device, stream, bytes, flops, place: offset })
    }

    fn span(&mut self, event: &Event<'_>, kind: SpanKind, offset: u64) -> Result<(), TraceError> {
        let Some((start, end)) = self.times(event, offset)? else { return Ok(()) };
        let name = self.name(event.name.unwrap_or_default(), offset);
        let thread = self.thread(event, offset);
        let mut correlation_id = 0;
        match kind {
            // A call without a correlation launches nothing; the largest number stands for none.
            SpanKind::Call => correlation_id = event.args.and_then(correlation).unwrap_or(u64::MAX),
            SpanKind::Operator => {
                if let Some(stated) = event.args.and_then(flops) {
                    self.flops.entry(name).or_default().add(stated, 0);
                }
            }
            SpanKind::Annotation | SpanKind::Python => {}
        }
        self.spans.push(Span { thread, start, end, kind, name, place: offset, correlation: correlation_id })
    }

    fn gpu_annotation(&mut self, event: &Event<'_>, offset: u64) -> Result<(), TraceError> {
        let name = event.name.unwrap_or_default();
        if StepName::parse(name).is_none() {
            return Ok(());
        }
        let Some((start, end)) = times::of(event, offset)? else { return Ok(()) };
        if self.gpu_steps.len() == MAX_STEPS {
            self.notes.add(Oddity::TooManySteps, offset);
            return Ok(());
        }
        let device = event.args.map(gpu_args).and_then(|args| args.device).or(event.pid).unwrap_or_default();
        let (device, name) = (self.name(device, offset), self.name(name, offset));
        self.gpu_steps.push(GpuStep { device, start, end, name });
        Ok(())
    }

    fn overhead(&mut self, event: &Event<'_>, offset: u64) -> Result<(), TraceError> {
        if let Some((start, end)) = times::of(event, offset)? {
            let name = self.name(event.name.unwrap_or_default(), offset);
            self.overhead.entry(name).or_default().add(end - start);
        }
        Ok(())
    }
}

impl Sink for Shard {
    fn event(&mut self, event: &Event<'_>, _: &[u8], offset: u64) -> Result<(), TraceError> {
        let kind = event.kind();
        if !self.keep.window.is_none_or(|window| window.takes(event, kind)) {
            return Ok(());
        }
        self.counts.add(event);
        match kind {
            Kind::Kernel => self.gpu_op(event, Work::Kernel, offset),
            Kind::Copy => self.gpu_op(event, Work::Copy, offset),
            Kind::Fill => self.gpu_op(event, Work::Fill, offset),
            Kind::Call => self.span(event, SpanKind::Call, offset),
            Kind::Operator => self.span(event, SpanKind::Operator, offset),
            Kind::Annotation => self.span(event, SpanKind::Annotation, offset),
            Kind::Python => {
                let module = event.name.is_some_and(times::is_module);
                if self.keep.python || module { self.span(event, SpanKind::Python, offset) } else { Ok(()) }
            }
            Kind::GpuAnnotation => self.gpu_annotation(event, offset),
            Kind::Memory => {
                let at = times::instant(event, offset)?;
                match (at, event.args.map(memory_args)) {
                    (Some(at), Some(args)) => self.memory.add(at, &args),
                    _ => self.notes.add(Oddity::NoTime, offset),
                }
                Ok(())
            }
            Kind::Overhead => self.overhead(event, offset),
            Kind::BeginEnd => {
                self.notes.add(Oddity::BeginEnd, offset);
                Ok(())
            }
            Kind::Metadata | Kind::Other => Ok(()),
        }
    }

    fn notes(&mut self) -> &mut Notes {
        &mut self.notes
    }
}
