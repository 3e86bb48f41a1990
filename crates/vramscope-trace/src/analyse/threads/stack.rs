//! The spans that are open at one time on one thread.

use crate::names::NameId;
use crate::record::{Span, SpanKind};
use crate::tree::NodeId;

/// What is around a span, and after its own turn, what it is around.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Around {
    pub operator: Option<NameId>,
    pub step: Option<u32>,
    pub layer: Option<NameId>,
    pub scope: Option<NodeId>,
    pub stack: Option<NodeId>,
}

/// An open span.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub span: Span,
    pub around: Around,
    /// Time of operators directly within it.
    pub operators_within: i64,
    /// Time of python frames, operators and calls directly within it.
    pub frames_within: i64,
}

impl Frame {
    pub(super) fn within(span: &Span, outer: Option<&Self>) -> Self {
        let around = outer.map(|frame| frame.around).unwrap_or_default();
        Self { span: *span, around, operators_within: 0, frames_within: 0 }
    }

    pub(super) fn length(&self) -> i64 {
        self.span.end - self.span.start
    }
}

#[derive(Default)]
pub(super) struct Stack {
    frames: Vec<Frame>,
    /// Places of the open operators.
    operators: Vec<usize>,
    /// Places of the open python frames and operators.
    called: Vec<usize>,
}

impl Stack {
    pub(super) fn top(&self) -> Option<&Frame> {
        self.frames.last()
    }

    pub(super) fn push(&mut self, frame: Frame) {
        let place = self.frames.len();
        match frame.span.kind {
            SpanKind::Operator => {
                self.operators.push(place);
                self.called.push(place);
            }
            SpanKind::Python => self.called.push(place),
            SpanKind::Annotation | SpanKind::Call => {}
        }
        self.frames.push(frame);
    }

    /// Takes the innermost span if it ends at or before a time.
    pub(super) fn pop_ended(&mut self, at: i64) -> Option<Frame> {
        let frame = self.frames.pop_if(|frame| frame.span.end <= at)?;
        let place = self.frames.len();
        self.operators.pop_if(|last| *last == place);
        self.called.pop_if(|last| *last == place);
        Some(frame)
    }

    /// Counts an operator's time as part of the operator around it.
    pub(super) fn charge_operator(&mut self, span: &Span) {
        if let Some(frame) = self.operators.last().and_then(|&place| self.frames.get_mut(place)) {
            frame.operators_within += span.end.min(frame.span.end) - span.start;
        }
    }

    /// Counts a frame's time as part of the frame around it.
    pub(super) fn charge_frame(&mut self, span: &Span) {
        if let Some(frame) = self.called.last().and_then(|&place| self.frames.get_mut(place)) {
            frame.frames_within += span.end.min(frame.span.end) - span.start;
        }
    }
}
