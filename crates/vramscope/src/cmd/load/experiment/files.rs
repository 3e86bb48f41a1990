//! The tables of experiments as CSV. Each head ends in its unit; what was not measured is empty.

use vramscope_load::LoadReport;
use vramscope_load::document::{LatencyDocument, LengthsExperiment, LevelDocument, MeanTime, ThroughputExperiment};
use vramscope_schema::ExitCode;

use crate::exit::OrExit as _;

/// A request of the latency.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RequestRow {
    input: Option<u64>,
    output: u64,
    ttft_ms: Option<f64>,
    tpot_ms: Option<f64>,
    e2e_ms: f64,
}

impl RequestRow {
    /// The requests that were answered.
    pub(super) fn of(report: &LoadReport) -> Vec<Self> {
        let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3;
        let row = |(record, tokens): (&vramscope_load::RequestRecord, vramscope_load::Tokens)| Self {
            input: tokens.input.or(record.asked.input),
            output: tokens.output,
            ttft_ms: record.ttft().map(ms),
            tpot_ms: record.tpot().map(ms),
            e2e_ms: ms(record.latency()),
        };
        report.completed().map(row).collect()
    }
}

/// A row for each request.
pub(super) fn latency(rows: &[RequestRow]) -> anyhow::Result<String> {
    let heads = "request,input_tokens,output_tokens,ttft_ms,tpot_ms,e2e_ms,output_tokens_per_s";
    text(
        heads,
        rows.iter().zip(1_u64..).map(|(row, number)| {
            let rate = (row.e2e_ms > 0.0).then(|| float(row.output) / (row.e2e_ms / 1e3));
            vec![
                number.to_string(),
                cell(row.input),
                row.output.to_string(),
                cell(row.ttft_ms),
                cell(row.tpot_ms),
                row.e2e_ms.text(),
                cell(rate),
            ]
        }),
    )
}

/// A row for each number of requests in flight.
pub(super) fn throughput(of: &ThroughputExperiment) -> anyhow::Result<String> {
    let heads = "concurrency_requests,input_tokens,output_tokens,sent_requests,completed_requests,failed_requests,duration_s,\
                 output_tokens_per_s,total_tokens_per_s,factor_ratio,efficiency_ratio,ttft_p50_ms,ttft_p99_ms,tpot_p50_ms,\
                 tpot_p99_ms,e2e_p50_ms,e2e_p99_ms,running_max_requests,waiting_mean_requests,kv_cache_usage_max_ratio,\
                 preempted_requests,energy_j_per_output_token,cost_per_million_output_tokens";
    text(
        heads,
        of.levels.iter().map(|level| {
            let of_level = &level.measurement;
            let p50 = |latency: Option<LatencyDocument>| cell(latency.map(|one| one.p50_ms));
            let p99 = |latency: Option<LatencyDocument>| cell(latency.map(|one| one.p99_ms));
            let server = of_level.server;
            let mut row = vec![
                level.concurrency.to_string(),
                of.input_len.to_string(),
                of.output_len.to_string(),
                of_level.requests.sent.to_string(),
                of_level.requests.completed.to_string(),
                of_level.failed().to_string(),
                of_level.duration_s.text(),
                cell(level.output_tokens_per_s),
                cell(of_level.total_tokens_per_s),
                cell(level.factor),
                cell(level.efficiency),
                p50(of_level.ttft),
                p99(of_level.ttft),
                p50(of_level.tpot),
                p99(of_level.tpot),
                p50(of_level.e2e),
                p99(of_level.e2e),
                cell(server.and_then(|server| server.running_max)),
                cell(server.and_then(|server| server.waiting_mean)),
                cell(server.and_then(|server| server.kv_cache_usage_max_ratio)),
                cell(server.and_then(|server| server.preemptions)),
            ];
            row.extend(expense(of_level));
            row
        }),
    )
}

/// A row for each pair of lengths.
pub(super) fn lengths(of: &LengthsExperiment) -> anyhow::Result<String> {
    let heads = "input_tokens,output_tokens,completed_requests,ttft_mean_ms,ttft_std_ms,tpot_mean_ms,tpot_std_ms,e2e_mean_ms,\
                 e2e_std_ms,output_tokens_per_s,energy_j_per_output_token,cost_per_million_output_tokens";
    text(
        heads,
        of.cells.iter().map(|one| {
            let time = |time: Option<MeanTime>| [cell(time.map(|t| t.mean_ms)), cell(time.and_then(|t| t.std_ms))];
            let mut row = vec![
                one.input_len.to_string(),
                one.output_len.to_string(),
                one.measurement.requests.completed.to_string(),
            ];
            row.extend([one.ttft, one.tpot, one.e2e].into_iter().flat_map(time));
            row.push(cell(one.output_rate.map(|rate| rate.mean_per_s)));
            row.extend(expense(&one.measurement));
            row
        }),
    )
}

fn expense(level: &LevelDocument) -> [String; 2] {
    [
        cell(level.energy.and_then(|energy| energy.joules_per_output_token)),
        cell(level.cost.and_then(|cost| cost.per_million_output_tokens)),
    ]
}

/// A figure that may be absent.
fn cell(value: Option<impl Cell>) -> String {
    value.map_or_else(String::new, Cell::text)
}

/// What stands in a cell.
trait Cell {
    fn text(self) -> String;
}

impl Cell for u64 {
    fn text(self) -> String {
        self.to_string()
    }
}

impl Cell for f64 {
    /// To a millionth, which is a nanosecond where it is a time in milliseconds.
    fn text(self) -> String {
        let text = format!("{self:.6}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

fn text(heads: &str, rows: impl Iterator<Item = Vec<String>>) -> anyhow::Result<String> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(heads.split(',').map(str::trim)).or_exit(ExitCode::Failure)?;
    for row in rows {
        table.write_record(row).or_exit(ExitCode::Failure)?;
    }
    let bytes = table.into_inner().map_err(|error| error.into_error()).or_exit(ExitCode::Failure)?;
    String::from_utf8(bytes).or_exit(ExitCode::Failure)
}

#[expect(clippy::cast_precision_loss, reason = "tokens of one answer")]
fn float(count: u64) -> f64 {
    count as f64
}
