//! Measures one level after the other.

use vramscope_load::document::{LevelDocument, LoadDocument, SearchDocument};
use vramscope_load::{Arrival, LoadPlan, Prompts, Search};

use super::args::Args;
use super::measure::{Measured, Measurer};
use super::plan::{self, Asked};
use super::requests;

/// A sweep does not ask for more in flight, or a second, than this.
const MOST: f64 = 16_384.0;
/// How close a sweep comes to the bound.
const RESOLUTION: f64 = 0.02;
/// A level that brings less than this part of the most before it is no gain; after two in turn a sweep without bounds ends.
const GAIN: f64 = 1.05;

/// What measuring goes with.
struct Course<'c, 'm> {
    args: &'c Args,
    plan: LoadPlan,
    measurer: &'c mut Measurer<'m>,
    document: LoadDocument,
}

/// Measures all levels, or those that a sweep asks for. With those that were measured comes why the others were not, if that
/// is so and nobody stopped them.
pub(super) async fn measure(
    args: &Args,
    asked: Asked,
    measurer: &mut Measurer<'_>,
) -> anyhow::Result<(LoadDocument, Option<anyhow::Error>)> {
    let arrivals = plan::arrivals(args)?;
    let generator = concat!("vramscope ", env!("CARGO_PKG_VERSION")).to_owned();
    let first = arrivals.first().map_or_else(|| asked.plan.clone(), |first| plan::at(&asked.plan, args, *first));
    let mut document = LoadDocument::new(generator, measurer.client.server().to_owned(), asked.server_version, &first);
    document.reached_by(measurer.client.transport());
    // How many requests a level has follows from it, unless somebody says so.
    document.workload.requests = args.num_prompts;
    let mut course = Course { args, plan: asked.plan, measurer, document };
    match course.all(arrivals).await {
        // What was measured before is kept.
        Err(error) if !course.document.levels.is_empty() => Ok((course.document, Some(error))),
        all => all.map(|()| (course.document, None)),
    }
}

impl Course<'_, '_> {
    async fn all(&mut self, arrivals: Vec<Arrival>) -> anyhow::Result<()> {
        if let Some(first) = arrivals.first().filter(|_| self.args.sweep) {
            return self.sweep(*first).await;
        }
        for arrival in arrivals {
            for repeat in 1..=self.args.repeat {
                if self.document.stopped {
                    break;
                }
                self.level(arrival, repeat).await?;
            }
        }
        Ok(())
    }

    /// Measures a level and adds it to the document.
    async fn level(&mut self, arrival: Arrival, repeat: u32) -> anyhow::Result<Option<&LevelDocument>> {
        let mut plan = plan::at(&self.plan, self.args, arrival);
        // Records go on where the last level ended; a trace begins anew, with other prompts of the same lengths.
        if let Prompts::Data(data) = &mut plan.prompts
            && !matches!(arrival, Arrival::Trace { .. })
        {
            data.first =
                self.document.levels.iter().filter_map(|level| level.records).map(|one| one.used + one.repeated).sum();
        }
        let label = requests::level(arrival, repeat);
        let measured = self.measurer.one(plan, repeat, &said(arrival, repeat), &label).await?;
        let Some(Measured { level, form, .. }) = measured else {
            self.document.stopped = true;
            return Ok(None);
        };
        if let Some(form) = form {
            self.document.workload.sent_as(form);
        }
        self.document.stopped |= level.stopped;
        self.document.levels.push(level);
        Ok(self.document.levels.last())
    }

    /// Finds the highest level at which the bounds hold; without bounds, where more load brings no more tokens.
    async fn sweep(&mut self, first: Arrival) -> anyhow::Result<()> {
        let (by, level, whole) = match first {
            Arrival::Rate { per_s, .. } => ("rate", per_s, false),
            Arrival::Concurrency(n) => ("concurrency", number(n), true),
            _ => ("concurrency", 1.0, true),
        };
        let share = self.args.slo.map(|_| self.args.slo_share);
        let mut search = Search::new(level, MOST, RESOLUTION, whole, self.args.slo_share);
        let (mut good, mut sent, mut without_gain) = (0, 0, 0);
        while let Some(level) = search.next() {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to MOST")]
            let arrival = if whole { Arrival::Concurrency(level as u64) } else { plan::rate(self.args, level) };
            let before = self.document.points();
            let Some(measured) = self.level(arrival, search.unsure() + 1).await? else { break };
            let counts = measured.requests;
            let goodput = measured.goodput.map(|goodput| goodput.good);
            // Its requests may keep the bounds now; they will not for long.
            let falls_behind = share.is_some() && measured.falls_behind();
            if self.document.stopped {
                break;
            }
            let of_level = if search.unsure() == 0 { (0, 0) } else { (good, sent) };
            // Without bounds every level is tried that is answered, as long as it brings more.
            (good, sent) = (of_level.0 + goodput.unwrap_or(counts.completed), of_level.1 + counts.sent + counts.unsent);
            search.tell(if falls_behind { 0 } else { good }, sent);
            if share.is_none() {
                let most = before.iter().map(|point| point.throughput).fold(0.0, f64::max);
                let now = self.document.points().last().map_or(0.0, |point| point.throughput);
                without_gain = if now < most * GAIN { without_gain + 1 } else { 0 };
                if without_gain == 2 || search.fails().is_some() {
                    break;
                }
            }
        }
        let (holds, fails) = if share.is_some() { (search.holds(), search.fails()) } else { (None, None) };
        let mut found = SearchDocument::new(by, share, holds, fails);
        (found.knee, found.saturation) = self.document.shape();
        self.document.search = Some(found);
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "requests in flight")]
fn number(count: u64) -> f64 {
    count as f64
}

/// A level for people.
fn said(arrival: Arrival, repeat: u32) -> String {
    let level = match arrival {
        Arrival::Concurrency(n) => format!("{n} in flight"),
        Arrival::Rate { per_s, .. } => format!("{per_s:.4} a second"),
        Arrival::Trace { speed, .. } => format!("the trace {speed} times as fast"),
        _ => "a level".to_owned(),
    };
    if repeat > 1 { format!("{level} (again, {repeat})") } else { level }
}
