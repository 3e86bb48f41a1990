//! Steps of the engine.

use vramscope_trace::document::{Extract, TraceDocument};
use vramscope_trace::{StepKind, Summary};

use super::super::figures::{millis, ms};
use super::super::render::Section;
use super::more;
use crate::table::Align::{Left, Right};
use crate::table::grouped;

pub(super) fn step_kinds(summary: &Summary) -> Section {
    let document = TraceDocument::of(summary, None, Extract { top: 0, steps: 0 });
    let source = document.steps.source.unwrap_or_default().replace('_', " ");
    let heads = [
        ("kind", Left),
        ("steps", Right),
        ("CPU p50 ms", Right),
        ("GPU span p50 ms", Right),
        ("GPU busy p50 ms", Right),
        ("p95 ms", Right),
        ("kernels", Right),
    ];
    let mut section = Section::new(format!("Steps, by {source}"), &heads);
    let or_empty = |ns: Option<f64>| ns.map(millis).unwrap_or_default();
    for kind in &document.steps.kinds {
        section.row([
            kind.kind.clone(),
            grouped(kind.count),
            or_empty(kind.cpu_p50_ns),
            or_empty(kind.gpu_span_p50_ns),
            or_empty(kind.gpu_busy_p50_ns),
            or_empty(kind.gpu_busy_p95_ns),
            grouped(kind.kernels),
        ]);
    }
    section
}

pub(super) fn steps(summary: &Summary, top: usize) -> Section {
    let heads = [
        ("at ms", Right),
        ("kind", Left),
        ("prompt", Right),
        ("generate", Right),
        ("CPU ms", Right),
        ("GPU span", Right),
        ("GPU busy", Right),
        ("kernels", Right),
    ];
    let mut section = Section::new("Each step", &heads);
    let begin = summary.extent_ns.map_or(0, |(first, _)| first);
    let batch = |requests: Option<u64>, tokens: Option<u64>| match (requests, tokens) {
        (Some(0) | None, _) => String::new(),
        (Some(requests), Some(tokens)) => format!("{requests} x {tokens}"),
        (Some(requests), None) => requests.to_string(),
    };
    for step in summary.steps.list.iter().take(top) {
        section.row([
            ms(u64::try_from(step.start_ns - begin).unwrap_or(0)),
            if step.kind == StepKind::Unknown { "-".into() } else { step.kind.name().to_owned() },
            batch(step.context_requests, step.context_tokens),
            batch(step.generation_requests, step.generation_tokens),
            step.cpu_ns.map(ms).unwrap_or_default(),
            step.gpu.map(|gpu| ms(gpu.span_ns)).unwrap_or_default(),
            step.gpu.map(|gpu| ms(gpu.busy_ns)).unwrap_or_default(),
            step.gpu.map(|gpu| grouped(gpu.kernels)).unwrap_or_default(),
        ]);
    }
    more(&mut section, summary.steps.list.len(), top);
    section
}
