//! Ledgers of made-up runs: they add up, name what differs, and say what they do not know.

use proptest::prelude::*;
use serde_json::{Value, json};
use vramscope_compare::explain::{Account, Cause, Ledger, Term};

const MIB: u64 = 1 << 20;

/// A run of so many MiB of each part, of a release.
fn run(version: &str, share: f64, parts: [u64; 4]) -> Value {
    let [weights, beside, peak, graphs] = parts.map(|mib| mib * MIB);
    let total = 80_000 * MIB;
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sizes are far below 2^53, shares between 0 and 1"
    )]
    let requested = (total as f64 * share).ceil() as u64;
    let newer = version >= "0.27";
    let available = requested - weights - beside - peak - graphs;
    let fact = |name: &str, bytes: u64, line: u64| json!({"name": name, "value": bytes, "unit": "bytes", "resolution": 5_368_709, "scope": "per_rank", "log_line": line});
    let mut facts = vec![
        fact("device_total", total, 3),
        fact("requested", requested, 3),
        fact("model_weights", weights, 4),
        fact("activation_peak", peak, 5),
        fact("available_kv_cache", available, 7),
    ];
    facts.push(if newer { fact("consumed", weights + beside, 5) } else { fact("non_torch_growth", beside, 5) });
    if graphs > 0 {
        facts.push(fact("cuda_graphs_estimated", graphs, 6));
    }
    json!({
        "schema_version": "3.1", "profiler_version": "1", "generator": {"name": "t", "version": "1"}, "metadata": {},
        "engine_metadata": {"engine_type": "vllm", "engine_version": version},
        "run_config": {"engine": {"gpu_memory_utilization": share, "max_num_batched_tokens": 8192}},
        "vllm_internal_metrics": {
            "total_gpu_kv_cache_bytes": available, "total_gpu_kv_cache_tokens": available / 131_072, "facts": facts
        }
    })
}

fn account(profile: &Value) -> Account {
    let loaded = vramscope_schema::read(profile.to_string().as_bytes()).unwrap();
    Account::of(&loaded.profile)
}

fn ledger(before: &Value, after: &Value) -> Ledger {
    Ledger::of(&account(before), &account(after)).unwrap()
}

fn term<'a>(ledger: &'a Ledger, name: &str) -> &'a Term {
    ledger.terms.iter().find(|term| term.name == name).unwrap_or_else(|| panic!("no {name} in {ledger:#?}"))
}

fn adds_up(ledger: &Ledger) {
    assert_eq!(ledger.terms.iter().map(|term| term.bytes).sum::<i64>(), ledger.bytes, "{ledger:#?}");
    if let Some(tokens) = ledger.tokens {
        assert_eq!(ledger.terms.iter().map(|term| term.tokens.unwrap()).sum::<i64>(), tokens, "{ledger:#?}");
    }
}

#[test]
fn a_share_is_a_setting_and_comes_back_by_it() {
    let ledger =
        ledger(&run("0.33.0", 0.92, [16_000, 700, 1_600, 900]), &run("0.33.0", 0.5, [16_000, 700, 1_600, 900]));
    adds_up(&ledger);
    let requested = term(&ledger, "requested");
    assert_eq!(
        (requested.cause, requested.restore.as_deref()),
        (Cause::Setting, Some("--gpu-memory-utilization 0.92"))
    );
    assert_eq!(requested.bytes, ledger.bytes);
    assert_eq!(ledger.restore.as_deref(), Some("--gpu-memory-utilization 0.9200"));
}

#[test]
fn releases_that_count_otherwise_are_compared_by_the_sum() {
    let ledger = ledger(&run("0.25.1", 0.92, [16_000, 230, 1_800, 0]), &run("0.33.0", 0.92, [16_000, 700, 1_600, 900]));
    adds_up(&ledger);
    assert_eq!(term(&ledger, "profile_run").bytes, -270 * MIB.cast_signed());
    let graphs = term(&ledger, "graphs_estimated");
    assert_eq!((graphs.bytes, graphs.cause), (-900 * MIB.cast_signed(), Cause::Release));
    assert_eq!(graphs.restore.as_deref(), Some("VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS=0"));
    assert!(ledger.terms.iter().all(|term| term.name != "activation_peak"), "{ledger:#?}");
}

#[test]
fn one_release_has_the_parts_apart_and_a_changed_step_is_named() {
    let before = run("0.33.0", 0.92, [16_000, 700, 1_600, 900]);
    let mut after = run("0.33.0", 0.92, [16_000, 650, 1_000, 900]);
    after["run_config"]["engine"]["max_num_batched_tokens"] = json!(4096);
    let more = ledger(&before, &after);
    adds_up(&more);
    assert_eq!(term(&more, "beside_weights").bytes, 50 * MIB.cast_signed());
    let peak = term(&more, "activation_peak");
    assert_eq!((peak.bytes, &peak.restore), (600 * MIB.cast_signed(), &None), "nobody wants it back");
    let less = ledger(&after, &before);
    let peak = term(&less, "activation_peak");
    assert_eq!(
        (peak.bytes, peak.restore.as_deref()),
        (-600 * MIB.cast_signed(), Some("--max-num-batched-tokens 4096"))
    );
    assert!(peak.lines_before == [5] && peak.lines_after == [5]);
}

#[test]
fn what_a_run_does_not_state_is_not_attributed() {
    let mut silent = run("0.33.0", 0.92, [16_000, 700, 1_600, 900]);
    let facts = silent["vllm_internal_metrics"]["facts"].as_array_mut().unwrap();
    facts.retain(|fact| fact["name"] != "model_weights");
    let ledger = ledger(&run("0.33.0", 0.92, [15_000, 700, 1_600, 900]), &silent);
    adds_up(&ledger);
    assert!(ledger.terms.iter().all(|term| ["not_attributed", "rounding"].contains(&term.name)), "{ledger:#?}");
    assert_eq!(
        (term(&ledger, "not_attributed").bytes, term(&ledger, "not_attributed").cause),
        (-1_000 * MIB.cast_signed(), Cause::Unattributed)
    );
}

proptest! {
    #[test]
    fn every_ledger_adds_up(
        parts in prop::array::uniform4(0u64..9_000),
        other in prop::array::uniform4(0u64..9_000),
        shares in prop::array::uniform2(0.5f64..1.0),
        releases in prop::array::uniform2(prop::sample::select(vec!["0.19.1", "0.25.1", "0.28.0", "0.33.0"])),
    ) {
        let ledger = ledger(&run(releases[0], shares[0], parts), &run(releases[1], shares[1], other));
        adds_up(&ledger);
    }
}
