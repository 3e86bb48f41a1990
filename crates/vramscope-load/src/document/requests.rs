//! A row for each request: as a line of JSON, or in a Parquet file.

use std::io;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::report::LoadReport;
use crate::request::RequestRecord;

impl LoadReport {
    /// Writes a line of JSON for each request, in the order of sending. Times are in milliseconds, `due_ms` and `sent_ms`
    /// from the beginning of the measurement, the others from sending, and `sent_unix_ns` is on the wall
    /// clock as it was when the load began; what is not known is absent. `level` stands in each line as it is given.
    ///
    /// # Errors
    /// The writer's.
    pub fn write_requests(&self, level: &Value, mut out: impl io::Write) -> io::Result<()> {
        for record in &self.requests {
            serde_json::to_writer(&mut out, &self.request_row(level, record))?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }

    /// What is known of a request; both forms are made of it.
    pub(super) fn request_row(&self, level: &Value, record: &RequestRecord) -> Map<String, Value> {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let tokens = record.outcome.as_ref().ok();
        let failure = record.outcome.as_ref().err();
        let of = record.asked.of;
        let sent = self.anchor.wall.checked_add(record.start).and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let sent_unix_ns = sent.and_then(|at| i64::try_from(at.as_nanos()).ok());
        let fields = [
            ("level", level.clone()),
            ("number", json!(record.number)),
            ("id", json!(record.id)),
            ("due_ms", json!(ms(record.due.saturating_sub(self.started)))),
            ("sent_ms", json!(ms(record.start.saturating_sub(self.started)))),
            ("sent_unix_ns", json!(sent_unix_ns)),
            ("held_ms", json!(ms(record.held))),
            ("ttft_ms", json!(record.ttft().map(ms))),
            ("tpot_ms", json!(record.tpot().map(ms))),
            ("e2e_ms", json!(tokens.map(|_| ms(record.latency())))),
            ("asked_input", json!(record.asked.input)),
            ("asked_output", json!(record.asked.output)),
            ("model", json!(self.plan.mix.shares().get(of.model as usize).map(|share| &share.model))),
            ("record", json!(of.record)),
            ("turn", json!((of.turn > 0).then_some(of.turn))),
            ("prefix", json!((of.prefix > 0).then_some(of.prefix))),
            ("input_tokens", json!(tokens.and_then(|tokens| tokens.input))),
            ("output_tokens", json!(tokens.map(|tokens| tokens.output))),
            ("good", json!(self.plan.slo.is_some().then(|| self.plan.slo.holds(record)))),
            ("failure", json!(failure.map(|failure| failure.kind.to_string()))),
            ("message", json!(failure.map(|failure| &failure.message))),
            (
                "chunks_ms",
                record.chunks.iter().map(|at| json!(ms(at.saturating_sub(record.start)))).collect::<Vec<_>>().into(),
            ),
        ];
        let known = fields.into_iter().filter(|(_, value)| !value.is_null());
        known.map(|(name, value)| (name.to_owned(), value)).collect()
    }
}
