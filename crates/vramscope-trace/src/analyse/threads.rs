//! What the CPU threads did.

mod known;
mod stack;

use std::collections::HashMap;

use known::NameKind;
pub(crate) use known::NameKinds;
use stack::{Frame, Stack};

use crate::collect::MAX_STEPS;
use crate::names::NameId;
use crate::record::{Launch, Span, SpanKind, Wait};
use crate::runs::{Pool, Runs, Sorted};
use crate::steps::{StepName, StepSource};
use crate::tree::{NodeId, Tree};
use crate::{Notes, Oddity, TraceError};

/// How often and how long, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub count: u64,
    pub total: i64,
    pub max: i64,
}

impl Tally {
    pub(crate) fn add(&mut self, length: i64) {
        self.count += 1;
        self.total = self.total.saturating_add(length);
        self.max = self.max.max(length);
    }
}

/// An operator's time, with and without the operators within it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct OperatorTime {
    pub tally: Tally,
    pub own: i64,
}

/// A step as it was marked on a CPU thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MarkedStep {
    pub start: i64,
    pub end: i64,
    /// Where the mark stands in the file.
    pub place: u64,
    pub name: NameId,
    pub said: StepName,
}

/// Everything that the walk over the threads finds.
pub(crate) struct Threads {
    pub operators: HashMap<NameId, OperatorTime>,
    pub calls: HashMap<NameId, Tally>,
    pub graph_launches: u64,
    /// Annotations that mark no step, by their place among the annotations around them.
    pub scopes: Tree,
    pub scope_times: HashMap<NodeId, Tally>,
    pub layers: HashMap<NameId, Tally>,
    pub steps: Vec<MarkedStep>,
    /// Python frames, operators and calls; empty unless stacks are wanted.
    pub stacks: Tree,
    /// Time in a frame itself.
    pub stack_times: HashMap<NodeId, i64>,
    pub launches: Sorted<Launch>,
    pub waits: Sorted<Wait>,
}

/// Walks over all threads.
pub(crate) fn walk(
    spans: &Sorted<Span>,
    kinds: NameKinds,
    with_stacks: bool,
    pool: &Pool,
    notes: &mut Notes,
) -> Result<Threads, TraceError> {
    let mut walk = Walk {
        kinds,
        with_stacks,
        found: Found::default(),
        launches: Runs::new(pool),
        waits: Runs::new(pool),
        stack: Stack::default(),
        too_many_steps: 0,
    };
    let mut reader = spans.read()?;
    let mut thread = None;
    while let Some(span) = reader.next()? {
        if thread != Some(span.thread) {
            walk.close_until(i64::MAX);
            thread = Some(span.thread);
        }
        walk.close_until(span.start);
        walk.span(&span)?;
    }
    walk.close_until(i64::MAX);
    notes.add_count(Oddity::TooManySteps, walk.too_many_steps);
    notes.add_count(Oddity::TooManyStacks, walk.found.stacks.refused() + walk.found.scopes.refused());
    walk.finish()
}

/// What is gathered while walking.
#[derive(Default)]
struct Found {
    operators: HashMap<NameId, OperatorTime>,
    calls: HashMap<NameId, Tally>,
    graph_launches: u64,
    scopes: Tree,
    scope_times: HashMap<NodeId, Tally>,
    layers: HashMap<NameId, Tally>,
    steps: Vec<MarkedStep>,
    stacks: Tree,
    stack_times: HashMap<NodeId, i64>,
}

struct Walk {
    kinds: NameKinds,
    with_stacks: bool,
    found: Found,
    launches: Runs<Launch>,
    waits: Runs<Wait>,
    stack: Stack,
    too_many_steps: u64,
}

impl Walk {
    /// Ends every span that ends at or before a time.
    fn close_until(&mut self, at: i64) {
        while let Some(frame) = self.stack.pop_ended(at) {
            if frame.span.kind == SpanKind::Operator {
                let operator = self.found.operators.entry(frame.span.name).or_default();
                operator.own = operator.own.saturating_add((frame.length() - frame.operators_within).max(0));
            }
            if let (true, Some(node)) = (self.with_stacks, frame.around.stack) {
                let own = self.found.stack_times.entry(node).or_default();
                *own = own.saturating_add((frame.length() - frame.frames_within).max(0));
            }
        }
    }

    fn span(&mut self, span: &Span) -> Result<(), TraceError> {
        let mut frame = Frame::within(span, self.stack.top());
        match span.kind {
            SpanKind::Operator => {
                self.found.operators.entry(span.name).or_default().tally.add(frame.length());
                frame.around.operator = Some(span.name);
                self.stack.charge_operator(span);
            }
            SpanKind::Annotation => self.annotation(&mut frame),
            SpanKind::Python => self.layer(&mut frame),
            SpanKind::Call => return self.call(&frame),
        }
        if self.with_stacks && span.kind != SpanKind::Annotation {
            frame.around.stack = self.found.stacks.child(frame.around.stack, span.name);
            self.stack.charge_frame(span);
        }
        self.stack.push(frame);
        Ok(())
    }

    fn annotation(&mut self, frame: &mut Frame) {
        match self.kinds.of(frame.span.name) {
            NameKind::Step(said) => self.step(frame, said),
            kind => {
                if kind == NameKind::Layer {
                    self.layer(frame);
                }
                frame.around.scope = self.found.scopes.child(frame.around.scope, frame.span.name);
                if let Some(node) = frame.around.scope {
                    self.found.scope_times.entry(node).or_default().add(frame.length());
                }
            }
        }
    }

    /// A step's mark. Marks of one step may be nested (the engine's within the scheduler's): the outer one is the step,
    /// and what only the inner one says is added. The profiler's own marks enclose engine steps and give way to them.
    fn step(&mut self, frame: &mut Frame, said: StepName) {
        let outer = frame.around.step.and_then(|id| usize::try_from(id).ok());
        let outer = outer.and_then(|id| self.found.steps.get_mut(id));
        if let Some(outer) = outer.filter(|outer| outer.said.source == StepSource::Engine) {
            outer.said.context = outer.said.context.or(said.context);
            outer.said.generation = outer.said.generation.or(said.generation);
            return;
        }
        if self.found.steps.len() == MAX_STEPS {
            self.too_many_steps += 1;
            return;
        }
        frame.around.step = u32::try_from(self.found.steps.len()).ok();
        let Span { start, end, name, place, .. } = frame.span;
        self.found.steps.push(MarkedStep { start, end, place, name, said });
    }

    /// A layer of the model. Blocks within a layer are its parts, so the outermost one counts.
    fn layer(&mut self, frame: &mut Frame) {
        if frame.around.layer.is_none() && self.kinds.of(frame.span.name) == NameKind::Layer {
            frame.around.layer = Some(frame.span.name);
            self.found.layers.entry(frame.span.name).or_default().add(frame.length());
        }
    }

    fn call(&mut self, frame: &Frame) -> Result<(), TraceError> {
        let Span { thread, start, end, name, place, correlation, .. } = frame.span;
        self.found.calls.entry(name).or_default().add(frame.length());
        let kind = self.kinds.of(name);
        if kind == NameKind::Wait {
            self.waits.push(Wait { start, end, thread })?;
        }
        let graph = kind == NameKind::GraphLaunch;
        self.found.graph_launches += u64::from(graph);
        let mut stack = frame.around.stack;
        if self.with_stacks {
            stack = self.found.stacks.child(stack, name);
            self.stack.charge_frame(&frame.span);
            if let Some(node) = stack {
                let own = self.found.stack_times.entry(node).or_default();
                *own = own.saturating_add(frame.length());
            }
        }
        if correlation == u64::MAX {
            return Ok(());
        }
        let stack::Around { operator, step, layer, scope, .. } = frame.around;
        self.launches.push(Launch { correlation, start, place, thread, graph, operator, step, layer, scope, stack })
    }

    fn finish(self) -> Result<Threads, TraceError> {
        let Found { operators, calls, graph_launches, scopes, scope_times, layers, steps, stacks, stack_times } =
            self.found;
        Ok(Threads {
            operators,
            calls,
            graph_launches,
            scopes,
            scope_times,
            layers,
            steps,
            stacks,
            stack_times,
            launches: Runs::sorted([self.launches])?,
            waits: Runs::sorted([self.waits])?,
        })
    }
}
