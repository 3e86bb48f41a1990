//! The periodic report of a running engine, as a series of bounded length.

use vramscope_core::LogTime;

use crate::figure::Value;
use crate::key::Key;
use crate::pattern::Captured;

/// One periodic report. What a release does not print is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Report {
    /// The line of the log.
    pub line: u64,
    /// When.
    pub at: Option<LogTime>,
    /// Prompt tokens a second.
    pub prompt_tokens_per_second: Option<f64>,
    /// Generated tokens a second.
    pub generation_tokens_per_second: Option<f64>,
    /// Requests running.
    pub running: Option<u64>,
    /// Requests waiting.
    pub waiting: Option<u64>,
    /// Requests swapped out.
    pub swapped: Option<u64>,
    /// KV cache in use, percent of the pool.
    pub kv_usage_pct: Option<f64>,
    /// Prefix-cache hits, percent.
    pub prefix_hit_pct: Option<f64>,
}

/// Most reports that are kept: when full, every second one is dropped and from then on every second one taken.
const MAX_REPORTS: usize = 1024;

/// The reports of one engine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reports {
    kept: Vec<Report>,
    seen: u64,
    stride: u64,
    /// The report with the highest KV usage.
    pub(crate) fullest: Option<Report>,
    /// The report with the most running requests.
    pub(crate) busiest: Option<Report>,
}

impl Reports {
    pub(crate) fn is_empty(&self) -> bool {
        self.seen == 0
    }

    /// How many were printed.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// Those that are kept: all, or every second, fourth, eighth … one.
    pub(crate) fn kept(&self) -> &[Report] {
        &self.kept
    }

    /// Of how many one is kept.
    pub(crate) fn stride(&self) -> u64 {
        self.stride.max(1)
    }

    pub(crate) fn push(&mut self, report: Report) {
        if report.kv_usage_pct > self.fullest.and_then(|r| r.kv_usage_pct) {
            self.fullest = Some(report);
        }
        if report.running > self.busiest.and_then(|r| r.running) {
            self.busiest = Some(report);
        }
        if self.seen.is_multiple_of(self.stride()) {
            if self.kept.len() == MAX_REPORTS {
                let mut place = 0;
                self.kept.retain(|_| {
                    place += 1;
                    place % 2 == 1
                });
                self.stride = self.stride().saturating_mul(2);
            }
            if self.seen.is_multiple_of(self.stride()) {
                self.kept.push(report);
            }
        }
        self.seen += 1;
    }
}

impl Report {
    pub(crate) fn of(captured: &[Captured], line: u64, at: Option<LogTime>) -> Self {
        let number = |key: Key| {
            captured.iter().find(|c| c.key == key).and_then(|c| match c.value {
                Value::Number(number) => Some(number),
                _ => None,
            })
        };
        let count = |key: Key| {
            captured.iter().find(|c| c.key == key).and_then(|c| match c.value {
                Value::Count(count) => Some(count),
                _ => None,
            })
        };
        Self {
            line,
            at,
            prompt_tokens_per_second: number(Key::PromptRate),
            generation_tokens_per_second: number(Key::GenerationRate),
            running: count(Key::Running),
            waiting: count(Key::Waiting),
            swapped: count(Key::Swapped),
            kv_usage_pct: number(Key::KvUsagePct),
            prefix_hit_pct: number(Key::PrefixHitPct),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_series_is_thinned_and_keeps_its_peak() {
        let mut reports = Reports::default();
        for n in 0..100_000u64 {
            let usage = if n == 77_777 { 99.0 } else { 1.0 };
            reports.push(Report { line: n, kv_usage_pct: Some(usage), ..Report::default() });
        }
        assert!(reports.kept().len() <= MAX_REPORTS && reports.kept().len() > MAX_REPORTS / 4);
        assert!(reports.kept().windows(2).all(|w| w[1].line - w[0].line == reports.stride()));
        assert_eq!(reports.fullest.unwrap().line, 77_777);
        assert_eq!(reports.seen(), 100_000);
    }
}
