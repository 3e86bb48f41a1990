//! Whether a server keeps up with a rate, or only has not let its clients wait long enough yet.

use std::time::Duration;

use crate::arrival::{Arrival, Spacing};
use crate::report::LoadReport;

/// Less growth than this part of what came meanwhile is not told from chance.
const LEAST_PART: f64 = 0.02;
/// Nor is growth by fewer requests: on a busy machine an answer or two are late at any time.
const LEAST: f64 = 4.0;
/// Nor growth within so many deviations of the number that comes.
const DEVIATIONS: f64 = 3.0;

/// How the requests that wait or run grow though they should not.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Backlog {
    /// Requests due and not answered when half of the time was over.
    pub half: u64,
    /// The same at its end.
    pub end: u64,
    /// Requests that came meanwhile.
    pub came: u64,
}

impl LoadReport {
    /// Whether what is due and not answered grew over the second half of the time in which requests came, in both quarters
    /// of it (a stall makes one grow), by more than chance: over three deviations of the number that comes, 2 % of it, and
    /// four requests. Such a rate is above what the server answers, however short the wait is yet. `None` with a fixed
    /// number in flight, and where no request was answered within a quarter.
    pub fn falls_behind(&self) -> Option<Backlog> {
        let Arrival::Rate { spacing, .. } = self.plan.arrival else { return None };
        let due = || self.requests.iter().map(|record| record.due);
        let (first, last) = (due().min()?, due().max()?);
        let quarter = last.checked_sub(first)? / 4;
        let fastest = self.completed().map(|(record, _)| record.latency()).min()?;
        if quarter.is_zero() || fastest > quarter || self.stopped {
            return None;
        }
        let waiting = |at: Duration| {
            let open = self.requests.iter().filter(|record| record.due <= at && record.end > at);
            open.count() as u64
        };
        let [half, three, end] = [2, 3, 4].map(|quarters| waiting(first + quarter * quarters));
        let came = due().filter(|due| *due > first + quarter * 2).count() as u64;
        let variance = match spacing {
            Spacing::Even => 0.0,
            Spacing::Poisson => float(came),
            Spacing::Gamma { burstiness } => float(came) / burstiness,
        };
        let least = (DEVIATIONS * variance.sqrt()).max(LEAST_PART * float(came)).max(LEAST);
        let grew = |from: u64, to: u64, least: f64| float(to) - float(from) > least;
        let falls = grew(half, end, least) && grew(half, three, least / 4.0) && grew(three, end, least / 4.0);
        falls.then_some(Backlog { half, end, came })
    }
}

#[expect(clippy::cast_precision_loss, reason = "at most MAX_REQUESTS")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::ClientHealth;
    use crate::report::Anchor;
    use crate::{Asked, Counted, LoadPlan, PromptForm, RequestRecord, Tokens, Until};

    /// A load by the clock on a server that answers one after the other, each in `service`; `stall` is a time in which it
    /// answers none.
    fn report(per_s: f64, spacing: Spacing, service: f64, stall: Option<(f64, f64)>) -> LoadReport {
        let arrival = Arrival::Rate { per_s, spacing, max_in_flight: None };
        let until = Until::Elapsed(Duration::from_secs(20));
        let plan = LoadPlan { arrival, until, ..LoadPlan::new("m", 8, 8, 1) };
        let mut free = 0.0_f64;
        let requests = plan.due().unwrap().into_iter().zip(0..).map(|(due, number)| {
            let mut begins = free.max(due.as_secs_f64());
            if let Some((from, to)) = stall.filter(|(from, to)| (*from..*to).contains(&begins)) {
                begins = begins.max(from).max(to);
            }
            free = begins + service;
            let end = Duration::from_secs_f64(free);
            RequestRecord {
                number,
                asked: Asked { input: Some(8), output: 8, of: crate::request::Origin::default() },
                due,
                held: Duration::ZERO,
                start: due,
                chunks: vec![end],
                end,
                id: None,
                outcome: Ok(Tokens { input: Some(8), output: 8, counted: Counted::Usage }),
            }
        });
        let requests: Vec<RequestRecord> = requests.collect();
        let anchor = Anchor { monotonic: std::time::Instant::now(), wall: std::time::SystemTime::now() };
        let health = ClientHealth { loop_lag: None, read_after: None, cpu: Duration::ZERO, busy: 0.0 };
        LoadReport {
            anchor,
            form: PromptForm::TokenIds,
            started: Duration::ZERO,
            ended: requests.last().unwrap().end,
            requests,
            unsent: 0,
            stopped: false,
            health,
            plan,
        }
    }

    #[test]
    fn a_rate_above_what_is_answered_is_told_and_one_below_is_not() {
        // 100 a second are answered.
        for (per_s, spacing, falls) in [
            (90.0, Spacing::Even, false),
            (99.0, Spacing::Even, false),
            (103.0, Spacing::Even, true),
            (200.0, Spacing::Even, true),
            (90.0, Spacing::Poisson, false),
            (130.0, Spacing::Poisson, true),
            (200.0, Spacing::Gamma { burstiness: 0.5 }, true),
        ] {
            let found = report(per_s, spacing, 0.01, None).falls_behind();
            assert_eq!(found.is_some(), falls, "{per_s} {spacing:?}: {found:?}");
        }
        let fixed = report(200.0, Spacing::Even, 0.01, None);
        let plan = LoadPlan { arrival: Arrival::Concurrency(4), ..fixed.plan.clone() };
        assert_eq!(LoadReport { plan, ..fixed }.falls_behind(), None);
    }

    #[test]
    fn a_stall_is_no_rate_that_is_too_high() {
        for from in [1.0, 9.0, 14.0, 19.0] {
            assert_eq!(report(80.0, Spacing::Even, 0.01, Some((from, from + 0.9))).falls_behind(), None, "{from}");
        }
    }
}
