//! Makes the measurements of experiments, one after the other.

use serde_json::json;
use vramscope_load::document::{
    ExperimentDocument, FindingDocument, LatencyExperiment, LevelDocument, ThroughputExperiment,
};
use vramscope_load::{Arrival, Lengths, LengthsCourse, LoadPlan, LoadReport, Until};

use super::Experiment;
use super::files::RequestRow;
use super::sizes::{Sizes, check_given};
use crate::cmd::load::args::Args;
use crate::cmd::load::measure::{Measured, Measurer};
use crate::cmd::load::plan::{self, Asked};
use crate::cmd::load::refused;

/// Requests in flight, unless somebody says otherwise.
const CONCURRENCY: [u64; 6] = [1, 2, 4, 8, 16, 32];
/// Requests of the latency, unless somebody says otherwise.
const REQUESTS: u64 = 10;
/// Warm-up of it: the first requests of an engine that has just started compile and allocate.
const WARMUP: u64 = 3;
/// Each level of the throughput has this many times the requests in flight, and at least so many.
const TIMES: u64 = 8;
const LEAST: u64 = 16;
/// Requests of each pair of lengths.
const REQUESTS_OF_A_CELL: u64 = 5;

/// What experiments gave.
pub(in crate::cmd::load) struct Results {
    pub(in crate::cmd::load) document: ExperimentDocument,
    /// Each request of the latency.
    pub(super) requests: Vec<RequestRow>,
    /// Why they broke off, though nobody stopped them.
    pub(in crate::cmd::load) broke_off: Option<anyhow::Error>,
}

/// What is wrong with the arguments as far as it can be told before a server is asked, or started.
pub(in crate::cmd::load) fn check(args: &Args, plan: &LoadPlan) -> anyhow::Result<()> {
    check_given(args)?;
    for concurrency in concurrency(args) {
        refused(at(plan, args, Arrival::Concurrency(concurrency), LEAST, concurrency).check())?;
    }
    Ok(())
}

/// Makes the measurements. One that is stopped is the last; those before it stand.
pub(in crate::cmd::load) async fn measure(
    args: &Args,
    experiment: Experiment,
    asked: Asked,
    measurer: &mut Measurer<'_>,
) -> anyhow::Result<Results> {
    let sizes = Sizes::of(args, experiment, asked.max_model_len)?;
    let generator = concat!("vramscope ", env!("CARGO_PKG_VERSION")).to_owned();
    let mut document = ExperimentDocument::new(generator, measurer.client.server().to_owned(), &asked.plan);
    document.server_version = asked.server_version;
    document.max_model_len = asked.max_model_len;
    document.findings.extend(sizes.cut.as_ref().map(|cut| FindingDocument::note("lengths_cut", cut)));
    let results = Results { document, requests: Vec::new(), broke_off: None };
    let mut course = Course { args, plan: asked.plan, measurer, results };
    match course.all(experiment, &sizes).await {
        // What was measured before is kept.
        Err(error) if course.results.document.measurements().next().is_some() => course.results.broke_off = Some(error),
        all => all?,
    }
    Ok(course.results)
}

struct Course<'c, 'm> {
    args: &'c Args,
    plan: LoadPlan,
    measurer: &'c mut Measurer<'m>,
    results: Results,
}

impl Course<'_, '_> {
    async fn all(&mut self, experiment: Experiment, sizes: &Sizes) -> anyhow::Result<()> {
        if experiment.has(Experiment::Latency) {
            self.latency(sizes.one).await?;
        }
        if experiment.has(Experiment::Throughput) {
            self.throughput(sizes.one).await?;
        }
        if experiment.has(Experiment::Lengths) {
            self.lengths(sizes).await?;
        }
        Ok(())
    }

    async fn latency(&mut self, (input, output): (u64, u64)) -> anyhow::Result<()> {
        let plan = at(&self.plan, self.args, Arrival::Concurrency(1), REQUESTS, WARMUP);
        let label = json!({"experiment": "latency", "concurrency": 1});
        let Some((report, level)) = self.one(plan, (input, output), "latency", label).await? else { return Ok(()) };
        self.results.requests = RequestRow::of(&report);
        self.results.document.latency = Some(LatencyExperiment::new(input, output, &report, level));
        Ok(())
    }

    async fn throughput(&mut self, (input, output): (u64, u64)) -> anyhow::Result<()> {
        let mut experiment = ThroughputExperiment::new(input, output);
        let mut ended = Ok(());
        for concurrency in concurrency(self.args) {
            let requests = concurrency.saturating_mul(TIMES).max(LEAST);
            let plan = at(&self.plan, self.args, Arrival::Concurrency(concurrency), requests, concurrency);
            let label = json!({"experiment": "throughput", "concurrency": concurrency});
            let what = format!("throughput, {concurrency} in flight");
            match self.one(plan, (input, output), &what, label).await {
                Ok(Some((_, level))) => experiment.add(concurrency, level),
                Ok(None) => break,
                Err(error) => {
                    ended = Err(error);
                    break;
                }
            }
        }
        if !experiment.levels.is_empty() {
            self.results.document.throughput = Some(experiment);
        }
        ended
    }

    async fn lengths(&mut self, sizes: &Sizes) -> anyhow::Result<()> {
        let mut course = LengthsCourse::default();
        let mut ended = Ok(());
        let pairs = sizes.inputs.iter().flat_map(|input| sizes.outputs.iter().map(move |output| (*input, *output)));
        for (input, output) in pairs {
            let plan = at(&self.plan, self.args, Arrival::Concurrency(1), REQUESTS_OF_A_CELL, 1);
            let label = json!({"experiment": "lengths", "concurrency": 1, "input_len": input, "output_len": output});
            let what = format!("lengths, {input} -> {output} tokens");
            match self.one(plan, (input, output), &what, label).await {
                Ok(Some((report, level))) => course.add(input, output, &report, level),
                Ok(None) => break,
                Err(error) => {
                    ended = Err(error);
                    break;
                }
            }
        }
        if !course.is_empty() {
            self.results.document.lengths = Some(course.experiment());
        }
        ended
    }

    /// One measurement; `None` where the experiments were stopped before or within it without a request answered.
    async fn one(
        &mut self,
        plan: LoadPlan,
        (input, output): (u64, u64),
        what: &str,
        label: serde_json::Value,
    ) -> anyhow::Result<Option<(LoadReport, LevelDocument)>> {
        if self.results.document.stopped {
            return Ok(None);
        }
        let plan = LoadPlan { input_len: Lengths::Fixed(input), output_len: Lengths::Fixed(output), ..plan };
        let measured = self.measurer.one(plan, 1, what, &label).await?;
        let Some(Measured { report, level, form }) = measured else {
            self.results.document.stopped = true;
            return Ok(None);
        };
        self.results.document.stopped |= report.stopped;
        if let Some(form) = form {
            self.results.document.prompts = Some(form.name().to_owned());
        }
        Ok((level.requests.completed > 0 || !report.stopped).then_some((report, level)))
    }
}

/// Requests in flight, in ascending order.
fn concurrency(args: &Args) -> Vec<u64> {
    let mut all = if args.concurrency.is_empty() { CONCURRENCY.to_vec() } else { args.concurrency.clone() };
    all.sort_unstable();
    all.dedup();
    all
}

/// The plan of one measurement, with the usual count of requests and of warm-up where nobody says; one that is given is
/// rounded up to whole rounds of what is in flight.
fn at(plan: &LoadPlan, args: &Args, arrival: Arrival, requests: u64, warmup: u64) -> LoadPlan {
    let counted = plan::at(plan, args, arrival);
    let until = match (counted.until, args.num_prompts, arrival) {
        (Until::Requests(_), None, _) => Until::Requests(requests),
        // Whole rounds: in the last one fewer in flight would count as a server that brings less.
        (Until::Requests(_), Some(given), Arrival::Concurrency(n)) => {
            Until::Requests(given.checked_next_multiple_of(n.max(1)).unwrap_or(given))
        }
        (until, ..) => until,
    };
    LoadPlan { until, warmup_requests: args.warmup.unwrap_or(warmup), ..counted }
}
