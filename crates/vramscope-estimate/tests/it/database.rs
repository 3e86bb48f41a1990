//! Every model of the database: its shape counts the parameters that the table states.

use vramscope_estimate::{EngineArgs, Setting, budget, find_device, parameter_count};
use vramscope_models::{find_model, known_models};

#[test]
fn each_shape_counts_its_parameters() {
    for id in known_models() {
        let known = find_model(id).unwrap();
        let (model, _) = known.architecture().unwrap();
        assert_eq!(parameter_count(&model).unwrap().total, known.parameters, "{id}");
    }
}

#[test]
fn each_model_has_a_budget_on_eight_large_cards() {
    let device = find_device("b200").unwrap();
    for id in known_models() {
        let (model, _) = find_model(id).unwrap().architecture().unwrap();
        let heads = if id.contains("Falcon") || id.contains("Qwen2.5-0.5B") { 1 } else { 2 };
        let args = EngineArgs { tensor_parallel_size: heads, max_model_len: Some(4096), ..EngineArgs::default() };
        let budget = budget(&model, &args, Setting::alone(device)).unwrap_or_else(|error| panic!("{id}: {error}"));
        assert!(budget.weights.value > 0 && budget.plan.bytes_per_block > 0, "{id}");
        assert!(
            budget.available.low <= budget.available.value && budget.available.value <= budget.available.high,
            "{id}"
        );
    }
}
