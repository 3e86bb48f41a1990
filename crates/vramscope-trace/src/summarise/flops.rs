//! Floating-point operations, as far as the trace states them.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::assemble::{Parts, ns};
use crate::analyse::join::FlopTally;
use crate::names::NameId;
use crate::summary::{FlopRow, FlopSource, FlopSummary};

impl Parts {
    /// What kernels and operators state; `None` where none of them states anything.
    pub(super) fn flops(&self) -> Option<FlopSummary> {
        let (kernels, operators) = (&self.joined.flops, &self.collected.flops);
        if kernels.is_empty() && operators.is_empty() {
            return None;
        }
        // A tool that annotates kernels annotates the operators that launched them too: the same work, stated twice.
        let source = if kernels.is_empty() { FlopSource::Operators } else { FlopSource::Kernels };
        let stated = if kernels.is_empty() { operators } else { kernels };
        // Operators run on the CPU and are of no device: beside the time of one device their work would be too much.
        let comparable = source == FlopSource::Kernels || self.all_devices;
        let busy = self.timeline.devices.iter().map(|device| ns(device.whole.all.length())).sum();
        Some(FlopSummary {
            total: stated.values().fold(0, |sum, tally| sum.saturating_add(tally.flops)),
            source,
            busy_ns: Some(busy).filter(|busy| comparable && *busy > 0),
            operators: self.flop_rows(operators, |id, tally| self.operator_time(id, tally)),
            kernels: self.flop_rows(kernels, |_, tally| Some(ns(tally.time))),
        })
    }

    /// The GPU's time for an operator, where each of its calls states what it computed.
    fn operator_time(&self, id: NameId, tally: &FlopTally) -> Option<u64> {
        let calls = self.threads.operators.get(&id)?.tally.count;
        let launched = self.joined.by_operator.get(&Some(id))?;
        (calls == tally.count && self.all_devices).then(|| ns(launched.total))
    }

    fn flop_rows(
        &self,
        tallies: &HashMap<NameId, FlopTally>,
        time: impl Fn(NameId, &FlopTally) -> Option<u64>,
    ) -> Vec<FlopRow> {
        let row = |(&id, tally): (&NameId, &FlopTally)| FlopRow {
            name: self.text(id),
            count: tally.count,
            flops: tally.flops,
            time_ns: time(id, tally),
        };
        let mut rows: Vec<FlopRow> = tallies.iter().map(row).collect();
        rows.sort_by(|a, b| (Reverse(a.flops), &a.name).cmp(&(Reverse(b.flops), &b.name)));
        rows
    }
}

#[cfg(test)]
mod tests {
    use crate::document::{Extract, TraceDocument};
    use crate::{FlopSource, Oddity, Options, Source, Summary, summarize};

    fn read(header: &str, events: &[&str], options: &Options) -> Summary {
        let text = format!("{{{header} \"traceEvents\": [{}]}}", events.join(","));
        summarize(&Source::memory("made", text.into_bytes()), options).unwrap()
    }

    /// As torch 2.11 writes what its compiler made, shortened; the second call states its work as a float.
    const OPERATORS: [&str; 6] = [
        r#"{"ph": "X", "cat": "cpu_op", "name": "triton_tem_fused_mm_relu_0", "pid": 4, "tid": 4, "ts": 10, "dur": 9,
            "args": {"Input Dims": [[64, 64], []], "kernel_flop": 2147483648, "kernel_num_gb": 0.006291456}}"#,
        r#"{"ph": "X", "cat": "cpu_op", "name": "triton_tem_fused_mm_relu_0", "pid": 4, "tid": 4, "ts": 20, "dur": 9,
            "args": {"kernel_flop": 2147483648.0}}"#,
        r#"{"ph": "X", "cat": "cpu_op", "name": "triton_poi_fused_add_0", "pid": 4, "tid": 4, "ts": 30, "dur": 9,
            "args": {"kernel_flop": 0}}"#,
        r#"{"ph": "X", "cat": "cpu_op", "name": "aten::empty", "pid": 4, "tid": 4, "ts": 40, "dur": 9, "args": {}}"#,
        r#"{"ph": "X", "cat": "cuda_runtime", "name": "cuLaunchKernelEx", "pid": 4, "tid": 4, "ts": 11, "dur": 1,
            "args": {"correlation": 7}}"#,
        r#"{"ph": "X", "cat": "cuda_runtime", "name": "cuLaunchKernelEx", "pid": 4, "tid": 4, "ts": 21, "dur": 1,
            "args": {"correlation": 8}}"#,
    ];

    fn kernel(at: u32, correlation: u32, args: &str) -> String {
        format!(
            r#"{{"ph": "X", "cat": "kernel", "name": "triton_tem", "pid": 0, "tid": 7, "ts": {at}, "dur": 8,
            "args": {{"device": 0, "stream": 7, "correlation": {correlation} {args}}}}}"#
        )
    }

    #[test]
    fn what_operators_state_is_summed_and_set_against_the_gpus_time() {
        let kernels = [kernel(15, 7, ""), kernel(25, 8, "")];
        let events: Vec<&str> = OPERATORS.into_iter().chain(kernels.iter().map(String::as_str)).collect();
        let flops = read("", &events, &Options::default()).flops.unwrap();
        assert_eq!((flops.total, flops.source, flops.busy_ns), (4_294_967_296, FlopSource::Operators, Some(16_000)));
        let rows: Vec<_> = flops.operators.iter().map(|r| (r.name.as_str(), r.count, r.flops, r.time_ns)).collect();
        // Zero is what the compiler counted; an operator that says nothing has no row.
        let expected =
            [("triton_tem_fused_mm_relu_0", 2, 4_294_967_296, Some(16_000)), ("triton_poi_fused_add_0", 1, 0, None)];
        assert_eq!(rows, expected);
        assert!((flops.per_second().unwrap() - 268_435_456e6).abs() < 1.0);
        let one = Options { device: Some("0".into()), ..Options::default() };
        assert_eq!(read("", &events, &one).flops.unwrap().busy_ns, None);
    }

    #[test]
    fn work_that_kernels_and_their_operators_state_counts_once() {
        let kernels = [kernel(15, 7, ", \"kernel_flop\": 2147483648"), kernel(25, 8, ", \"flops\": 5")];
        let events: Vec<&str> = OPERATORS.into_iter().chain(kernels.iter().map(String::as_str)).collect();
        let summary = read("", &events, &Options::default());
        let flops = summary.flops.clone().unwrap();
        assert_eq!((flops.total, flops.source), (2_147_483_653, FlopSource::Kernels));
        assert_eq!((flops.kernels.len(), flops.kernels[0].time_ns), (1, Some(16_000)));
        let document = TraceDocument::of(&summary, None, Extract::default()).flops.unwrap();
        assert_eq!((document.stated_by.as_str(), document.total), ("kernels", 2_147_483_653));
    }

    #[test]
    fn a_trace_that_states_none_has_none_and_says_where_they_went() {
        let kernel = kernel(15, 7, "");
        let asked = read("\"with_flops\": 1,", &[&kernel], &Options::default());
        assert_eq!((asked.flops.is_none(), asked.notes.count(Oddity::NoFlops)), (true, 1));
        let document = serde_json::to_value(TraceDocument::of(&asked, None, Extract::default())).unwrap();
        assert_eq!(document.get("flops"), None);
        let plain = read("", &[&kernel], &Options::default());
        assert_eq!((plain.flops.is_none(), plain.notes.count(Oddity::NoFlops)), (true, 0));
    }
}
