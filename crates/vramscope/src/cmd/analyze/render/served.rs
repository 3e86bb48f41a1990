//! What requests to a server cost in time, and what the engine's metrics say of them.

use vramscope_schema::Amount;
use vramscope_schema::v3::{Profile, TimeSpread};

use super::{paragraph, title};
use crate::table::{Align, Table};

/// A sender that keeps up is not worth a line; its timer is good to a millisecond or two.
const LATE_MS: f64 = 5.0;

/// A largest value of fewer readings than this is said to be of so few.
const FEW_READINGS: u64 = 10;

/// The tables; nothing where no server was asked.
pub(super) fn table(text: &mut String, profile: &Profile, width: usize) {
    if let Some(served) = &profile.served_stats {
        title(text, "Requests");
        let mut counts = Vec::new();
        counts.extend(served.completed_requests.map(|n| format!("{n} answered")));
        counts.extend(served.failed_requests.filter(|n| *n > 0).map(|n| format!("{n} failed")));
        counts.extend(served.failures.iter().map(|(kind, n)| format!("{n} {}", kind.replace('_', " "))));
        counts.extend(served.unsent_requests.filter(|n| *n > 0).map(|n| format!("{n} not sent")));
        counts.extend(served.output_tokens.map(|n| format!("{n} tokens generated")));
        let several = served.tokens_per_chunk.filter(|tokens| tokens.get() > 1.0);
        counts.extend(several.map(|tokens| format!("{:.2} tokens a chunk", tokens.get())));
        let rate = profile.latency_stats.as_ref().and_then(|stats| stats.tokens_per_second);
        counts.extend(rate.map(|rate| format!("{:.1} tokens/s", rate.get())));
        paragraph(text, "  ", &counts.join(" · "), width);
        let rows = [
            ("first token (TTFT)", served.time_to_first_token),
            ("per output token (TPOT)", served.time_per_output_token),
            ("between chunks (ITL)", served.inter_token_latency),
            ("whole request", served.end_to_end),
            ("late at the sender", served.client_queue_time.filter(is_late)),
        ];
        let mut table = Table::new(&[
            ("ms", Align::Left),
            ("mean", Align::Right),
            ("median", Align::Right),
            ("p95", Align::Right),
            ("p99", Align::Right),
        ]);
        let number = |amount: Option<Amount>| amount.map_or("-".to_owned(), |ms| format!("{:.2}", ms.get()));
        for (name, spread) in rows {
            let Some(TimeSpread { mean_ms, median_ms, p95_ms, p99_ms, .. }) = spread else { continue };
            table.row([name.to_owned(), number(mean_ms), number(median_ms), number(p95_ms), number(p99_ms)]);
        }
        text.push_str(&table.render(width));
    }
    if let Some(metrics) = &profile.engine_metrics {
        let mut parts = Vec::new();
        let percent = |amount: Option<Amount>| amount.map(|pct| format!("{:.1} %", pct.get()));
        parts.extend(percent(metrics.kv_cache_usage_max_pct).map(|most| format!("KV cache used at most {most}")));
        parts.extend(metrics.running_requests_max.map(|n| format!("{:.0} running at most", n.get())));
        parts.extend(metrics.waiting_requests_max.map(|n| format!("{:.0} waiting at most", n.get())));
        parts.extend(percent(metrics.prefix_cache_hit_pct).map(|hits| format!("prefix cache hits {hits}")));
        parts.extend(metrics.preemptions.filter(|n| *n > 0).map(|n| format!("{n} preempted")));
        let readings = metrics.num_samples;
        if readings < FEW_READINGS && !parts.is_empty() {
            parts.push(format!("of {readings} reading{} only", if readings == 1 { "" } else { "s" }));
        }
        if !parts.is_empty() {
            paragraph(text, "  engine: ", &parts.join(" · "), width);
        }
    }
}

fn is_late(spread: &TimeSpread) -> bool {
    spread.p99_ms.is_some_and(|ms| ms.get() >= LATE_MS)
}

#[cfg(test)]
mod tests {
    use vramscope_schema::v3::{EngineMetricsInfo, Generator, Metadata};

    use super::*;

    #[test]
    fn the_largest_of_few_readings_is_said_to_be_of_so_few() {
        let shown = |num_samples, known: bool| {
            let most = known.then(|| Amount::new(12.5).unwrap());
            let metrics =
                EngineMetricsInfo { num_samples, kv_cache_usage_max_pct: most, ..EngineMetricsInfo::default() };
            let generator = Generator { name: "test".to_owned(), version: "0".to_owned() };
            let mut profile = Profile::new(generator, Metadata::default());
            profile.engine_metrics = Some(metrics);
            let mut text = String::new();
            table(&mut text, &profile, 80);
            text
        };
        assert_eq!(shown(1, true), "  engine: KV cache used at most 12.5 % · of 1 reading only\n");
        assert_eq!(shown(9, true), "  engine: KV cache used at most 12.5 % · of 9 readings only\n");
        assert_eq!(shown(10, true), "  engine: KV cache used at most 12.5 %\n");
        assert_eq!(shown(1, false), "", "nothing that would be a largest value");
    }
}
