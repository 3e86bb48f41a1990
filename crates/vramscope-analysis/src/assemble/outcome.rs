//! What the run cost in time, and why it failed.

use vramscope_schema::Amount;
use vramscope_schema::v3::{Failure, Figures, LatencyStats, LogExcerpt, RunStatus};

use crate::evidence::bench::{Bench, Throughput};
use crate::known::Known;
use crate::known::failure_numbers;

pub(super) fn latency_stats(run: &Known<'_>) -> Option<LatencyStats> {
    match &run.evidence.bench {
        Some(Bench::Throughput(throughput)) => Some(of_throughput(throughput)),
        Some(Bench::Serve(result)) => Some(super::served::latency_stats(result)),
        _ => of_iterations(run),
    }
}

/// `vllm bench latency`: each iteration is one batch from the first token asked to the last one given.
fn of_iterations(run: &Known<'_>) -> Option<LatencyStats> {
    let stats = LatencyStats::from(run.latency?);
    let workload = run.evidence.args.as_ref().map(crate::evidence::args::Args::workload).unwrap_or_default();
    let per_second = |amount: Option<u64>| {
        let amount = f64::from(u32::try_from(amount?).ok()?);
        Amount::new(amount / (stats.mean_latency_ms?.get() / 1e3))
    };
    let tokens = workload.output_len.zip(workload.batch_size).and_then(|(len, batch)| len.checked_mul(batch));
    Some(LatencyStats {
        tokens_per_second: per_second(tokens),
        requests_per_second: per_second(workload.batch_size),
        ..stats
    })
}

fn of_throughput(throughput: &Throughput) -> LatencyStats {
    LatencyStats {
        tokens_per_second: throughput.tokens_per_second.and_then(Amount::new),
        requests_per_second: throughput.requests_per_second.and_then(Amount::new),
        ..LatencyStats::default()
    }
}

/// The log's own word for what ended the run; where it has none, the conductor's.
pub(super) fn failure(run: &Known<'_>) -> Option<Failure> {
    let seen = run.evidence.record.as_ref().and_then(|record| record.failure.as_ref());
    let Some(failure) = run.logged_failure() else {
        let seen = seen?;
        return Some(Failure {
            kind: seen.kind.clone(),
            phase: run.failing_phase().map(Into::into),
            message: seen.message.clone(),
            log_line: None,
            numbers: Figures::new(),
        });
    };
    Some(Failure {
        kind: failure.kind.name().to_owned(),
        phase: run.failing_phase().map(Into::into),
        message: failure.message.clone(),
        log_line: Some(failure.origin.line),
        numbers: failure_numbers(&failure.kind),
    })
}

/// The failure in the engine's own words, and of a run that did not end well the last lines of the log.
pub(super) fn excerpts(run: &Known<'_>) -> Vec<LogExcerpt> {
    let read = run.evidence.engine.as_ref().map(|e| e.file.clone());
    let file = read.or_else(|| Some(run.evidence.log_tail.as_ref()?.file.clone())).unwrap_or_default();
    let quote = |failure: &vramscope_core::Failure| LogExcerpt {
        file: file.clone(),
        first_line: failure.origin.line.max(1),
        text: failure.message.clone(),
    };
    let mut excerpts: Vec<LogExcerpt> = run.facts.failures.iter().take(3).map(quote).collect();
    let well = matches!(run.status(), RunStatus::Complete | RunStatus::Partial);
    excerpts.extend(run.evidence.log_tail.as_ref().filter(|_| !well).map(|tail| LogExcerpt {
        file: tail.file.clone(),
        first_line: tail.first_line,
        text: tail.lines.join("\n"),
    }));
    excerpts
}
