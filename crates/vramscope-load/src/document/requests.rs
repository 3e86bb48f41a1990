//! A line of JSON for each request.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};

use crate::report::LoadReport;

impl LoadReport {
    /// Writes a line of JSON for each request, in the order of sending. Times are in milliseconds, `due_ms` and `sent_ms`
    /// from the beginning of the measurement, the others from sending; what is not known is absent. `level` stands in
    /// each line as it is given.
    ///
    /// # Errors
    /// The writer's.
    pub fn write_requests(&self, level: &Value, mut out: impl io::Write) -> io::Result<()> {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        for record in &self.requests {
            let tokens = record.outcome.as_ref().ok();
            let failure = record.outcome.as_ref().err();
            let mut line = json!({
                "level": level,
                "number": record.number,
                "id": record.id,
                "due_ms": ms(record.due.saturating_sub(self.started)),
                "sent_ms": ms(record.start.saturating_sub(self.started)),
                "held_ms": ms(record.held),
                "ttft_ms": record.ttft().map(ms),
                "tpot_ms": record.tpot().map(ms),
                "e2e_ms": tokens.map(|_| ms(record.latency())),
                "asked_input": record.asked.input,
                "asked_output": record.asked.output,
                "model": self.plan.mix.shares().get(record.asked.of.model as usize).map(|share| &share.model),
                "record": record.asked.of.record,
                "turn": (record.asked.of.turn > 0).then_some(record.asked.of.turn),
                "prefix": (record.asked.of.prefix > 0).then_some(record.asked.of.prefix),
                "input_tokens": tokens.and_then(|tokens| tokens.input),
                "output_tokens": tokens.map(|tokens| tokens.output),
                "good": self.plan.slo.is_some().then(|| self.plan.slo.holds(record)),
                "failure": failure.map(|failure| failure.kind.to_string()),
                "message": failure.map(|failure| failure.message.clone()),
                "chunks_ms": record.chunks.iter().map(|at| ms(at.saturating_sub(record.start))).collect::<Vec<_>>(),
            });
            if let Value::Object(fields) = &mut line {
                fields.retain(|_, value| !value.is_null());
            }
            serde_json::to_writer(&mut out, &line)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }
}
