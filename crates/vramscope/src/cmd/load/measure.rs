//! One measurement after the other: sent, watched, and written down with the server's own figures, energy and cost.

use serde_json::Value;
use vramscope_load::document::{LevelDocument, PriceDocument};
use vramscope_load::{Client, LoadError, LoadEvent, LoadPlan, LoadReport, PromptForm, Scraper, run_until};

use super::energy::Meter;
use super::refused;
use super::requests::RequestsFile;
use crate::output;
use crate::progress::Progress;
use crate::signals::Signals;

/// What all measurements of a run share.
pub(super) struct Measurer<'a> {
    pub(super) client: &'a Client,
    pub(super) signals: &'a Signals,
    pub(super) quiet: bool,
    pub(super) requests: Option<&'a mut RequestsFile>,
    pub(super) meter: Option<&'a Meter>,
    pub(super) price: Option<PriceDocument>,
    /// Measurements so far. Each has a stream of its own, and so prompts of its own.
    stream: u64,
    /// That energy could not be read is said once.
    unmetered: bool,
}

/// What a measurement gave.
pub(super) struct Measured {
    pub(super) report: LoadReport,
    pub(super) level: LevelDocument,
    pub(super) form: Option<PromptForm>,
}

impl<'a> Measurer<'a> {
    pub(super) fn new(client: &'a Client, signals: &'a Signals, quiet: bool) -> Self {
        let (requests, meter, price) = (None, None, None);
        Self { client, signals, quiet, requests, meter, price, stream: 0, unmetered: false }
    }

    /// Measures what a plan says; `None` if it was stopped before anything was measured. `label` is written beside each
    /// request.
    pub(super) async fn one(
        &mut self,
        mut plan: LoadPlan,
        repeat: u32,
        what: &str,
        label: &Value,
    ) -> anyhow::Result<Option<Measured>> {
        plan.stream = self.stream;
        self.stream += 1;
        let mut progress = (!self.quiet).then(Progress::new);
        let mut all = None;
        let scraper = Scraper::start(self.client).await;
        let meter = self.meter;
        let (mut form, mut first, mut last) = (None, None, None);
        let mut observe = |event| match event {
            LoadEvent::Probed { form: probed } => form = Some(probed),
            LoadEvent::MeasureStarted { requests, .. } => {
                all = requests;
                first = meter.map(Meter::read);
            }
            LoadEvent::MeasureEnded { .. } => last = meter.map(Meter::read),
            LoadEvent::RequestDone { measured: true, done, failed, .. } => {
                if let Some(progress) = &mut progress {
                    progress.count(what, done, all, failed);
                }
            }
            _ => {}
        };
        let mut token = self.signals.token();
        let report = run_until(self.client, &plan, async move { token.cancelled().await }, &mut observe).await;
        if let Some(progress) = &mut progress {
            progress.end();
        }
        let report = match report {
            Err(LoadError::Stopped) => return Ok(None),
            report => refused(report)?,
        };
        let server = scraper.end(&report).await;
        if let Some(requests) = &mut self.requests {
            requests.add(&report, label)?;
        }
        let mut level = LevelDocument::of(&report, repeat, server);
        if let (Some(first), Some(last)) = (first, last) {
            match first.until(last).await {
                Ok((joules, seconds)) => level.took(joules, seconds),
                Err(why) if !std::mem::replace(&mut self.unmetered, true) => {
                    output::say(&format!("note: there is no energy: {why}"));
                }
                Err(_) => {}
            }
        }
        if let Some(price) = self.price {
            level.cost_at(price);
        }
        Ok(Some(Measured { report, level, form }))
    }
}
