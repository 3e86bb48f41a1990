//! Messages of our own findings with what the rest of the document says of them: a message is written before all of it is
//! known, for a line of a terminal.

use crate::node::Node;
use crate::pages::parts;
use crate::unit::Unit;

/// A finding's message, told with the document's figures where it has them.
pub(super) fn message(finding: &Node<'_>, profile: &Node<'_>) -> Option<String> {
    let message = finding.at("message").words()?;
    let told = match finding.at("code").text() {
        // An engine's own words stay as they are.
        Some("engine_failed") => return Some(message),
        Some("headroom") => headroom(finding, profile, &message),
        Some("large_residual") => residual(finding, profile, &message),
        Some("used_beyond_request") => beyond(finding, &message),
        _ => None,
    };
    Some(parts::in_words(&told.unwrap_or(message)))
}

fn shown(finding: &Node<'_>, name: &str, unit: Unit) -> Option<String> {
    finding.at("evidence").at(name).number().map(|value| unit.show(value))
}

/// Of which amount it is free: processes cannot use all that a GPU has.
fn headroom(finding: &Node<'_>, profile: &Node<'_>, message: &str) -> Option<String> {
    let of_device = message.strip_prefix("device ")?;
    let device = of_device.split(' ').next().filter(|index| index.bytes().all(|byte| byte.is_ascii_digit()))?;
    let free = shown(finding, "free_bytes", Unit::Memory)?;
    let usable = shown(finding, "usable_bytes", Unit::Memory)?;
    let share = shown(finding, "free_pct", Unit::Percent)?;
    let all = profile.path("gpu_info/devices").items();
    let all = all.iter().find(|one| one.at("index").count() == device.parse().ok())?.at("total_bytes").number();
    let all = all.map(|all| format!(" (it has {} in all; the driver holds back the rest)", Unit::Memory.show(all)));
    Some(format!(
        "GPU {device} had {free} free at the peak, {share} of the {usable} that processes can use{}",
        all.unwrap_or_default()
    ))
}

/// What is known of the trial run of an engine that failed while it was starting.
fn residual(finding: &Node<'_>, profile: &Node<'_>, message: &str) -> Option<String> {
    let (before, _) = message.split_once("; the engine failed while it was starting")?;
    let expected = profile.path("expectation/memory").items();
    let tried = expected.iter().find(|one| one.at("name").text() == Some("activation_peak"));
    let tried = tried.and_then(|one| one.at("observed_bytes").number());
    let tried = tried.or_else(|| crate::pages::run::reported(profile).at("activations_bytes").number());
    let size = finding.path("evidence/residual_bytes").number();
    let known = match (tried, size) {
        (Some(tried), Some(size)) if tried > 0.0 && tried <= size => format!(
            ". The {} that its log gives, {}, is most likely within it, and no part: the engine failed before its KV cache stood",
            parts::name_of("activation_peak"),
            Unit::Memory.show(tried)
        ),
        (Some(tried), _) if tried > 0.0 => {
            format!(". Its log gives the {}, {}", parts::name_of("activation_peak"), Unit::Memory.show(tried))
        }
        _ => ". Its log does not say what its trial run took".to_owned(),
    };
    Some(format!("{before}; the engine failed while it was starting{known}"))
}

/// What is beyond the engine's budget, in words that need no knowledge of its source.
fn beyond(finding: &Node<'_>, message: &str) -> Option<String> {
    let used = shown(finding, "used_bytes", Unit::Memory)?;
    let over = shown(finding, "over_bytes", Unit::Memory)?;
    let requested = shown(finding, "requested_bytes", Unit::Memory)?;
    let graphs = message.split_once("; ").and_then(|(_, rest)| rest.split_once(" of graphs"));
    let graphs = graphs.map_or_else(String::new, |(graphs, _)| {
        format!("; {graphs} of that are graphs, for which the engine sets nothing aside")
    });
    Some(format!(
        "the engine used {used} of a GPU at its peak, {over} more than the {requested} that it may use{graphs}"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn told(finding: &Value, profile: &Value) -> String {
        message(&Node::root(finding, 0), &Node::root(profile, 0)).unwrap()
    }

    #[test]
    fn headroom_says_of_which_amount_it_is() {
        let finding = json!({"code": "headroom", "message": "device 0 had 8.00 GiB of 70.00 GiB free at the peak (11.4 %)",
            "evidence": {"free_bytes": 8_u64 << 30, "usable_bytes": 70_u64 << 30, "free_pct": 11.42}});
        let profile = json!({"gpu_info": {"devices": [{"index": 0, "total_bytes": 71_u64 << 30}]}});
        assert_eq!(
            told(&finding, &profile),
            "GPU 0 had 8.00 GiB free at the peak, 11.42 % of the 70.00 GiB that processes can use (it has 71.00 GiB in \
             all; the driver holds back the rest)"
        );
    }

    #[test]
    fn what_is_said_of_a_trial_run_is_what_the_document_knows_of_it() {
        let message = "+2.64 GiB are explained by no part; the engine failed while it was starting: what its trial run took is in no figure";
        let finding =
            json!({"code": "large_residual", "message": message, "evidence": {"residual_bytes": 3_u64 << 30}});
        let known = json!({"expectation": {"memory": [{"name": "activation_peak", "observed_bytes": 2_u64 << 30}]}});
        let text = told(&finding, &known);
        assert!(text.contains("2.00 GiB, is most likely within it") && !text.contains("no figure"), "{text}");
        let text = told(&finding, &json!({}));
        assert!(text.ends_with("Its log does not say what its trial run took"), "{text}");
    }

    #[test]
    fn graphs_beside_the_budget_are_told_plainly_and_counts_have_thousands_apart() {
        let finding = json!({"code": "used_beyond_request", "message": "the engine used 9.00 GiB of a device at its peak, 3.00 GiB more than the 6.00 GiB requested; 0.99 GiB of graphs are in no budget of this runner",
            "evidence": {"used_bytes": 9_u64 << 30, "over_bytes": 3_u64 << 30, "requested_bytes": 6_u64 << 30}});
        assert_eq!(
            told(&finding, &json!({})),
            "the engine used 9.00 GiB of a GPU at its peak, 3.00 GiB more than the 6.00 GiB that it may use; 0.99 GiB of \
             that are graphs, for which the engine sets nothing aside"
        );
        let pool =
            json!({"code": "kv_pool_larger_than_workload", "message": "it holds 914304 tokens, 297 times the 3072"});
        assert_eq!(told(&pool, &json!({})), "it holds 914,304 tokens, 297 times the 3,072");
        let engine = json!({"code": "engine_failed", "message": "the length is 131072"});
        assert_eq!(told(&engine, &json!({})), "the length is 131072");
    }
}
