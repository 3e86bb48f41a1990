//! Drafters against vLLM's own planner (0.25.1 and 0.33.0 alike) and a recorded engine.

use vramscope_core::Architecture;
use vramscope_estimate::{CommandLine, EngineArgs, EngineVersion, Part, kv_plan, weights_per_rank};

fn known(id: &str) -> Architecture {
    let mut model = vramscope_models::find_model(id).unwrap().architecture().unwrap().0;
    // The list of known models keeps no count of further layers for all that have them.
    model.draft_layers = model.draft_layers.max(1);
    model
}

/// Arguments with a drafter; its own model, where it has one, is given as a config.
fn args(tensor: u64, told: &str, draft: Option<&[u8]>) -> EngineArgs {
    let words = ["--tensor-parallel-size", &tensor.to_string(), "--speculative-config", told].map(str::to_owned);
    let mut args = CommandLine::read(&words, EngineArgs::default()).unwrap().args;
    if let (Some(json), Some(drafter)) = (draft, args.drafter.as_mut()) {
        drafter.draft = Some(Box::new(vramscope_models::read_draft_config(json).unwrap().0));
    }
    args
}

const EAGLE3: &str = r#"{"method": "eagle3", "model": "./draft", "num_speculative_tokens": 3}"#;
const MTP: &str = r#"{"method": "mtp", "num_speculative_tokens": 1}"#;
const HEAD: &[u8] = br#"{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096,
    "intermediate_size": 14336, "num_hidden_layers": 1, "num_attention_heads": 32, "num_key_value_heads": 8,
    "head_dim": 128, "vocab_size": 128256, "draft_vocab_size": 32000, "max_position_embeddings": 2048,
    "tie_word_embeddings": false, "dtype": "bfloat16"}"#;

/// Bytes of the drafter's weights on a rank.
fn drafter(model: &Architecture, args: &EngineArgs) -> u64 {
    let stages = weights_per_rank(model, args).unwrap().stages;
    stages.last().unwrap().parts.iter().find(|(part, _)| *part == Part::Drafter).map_or(0, |(_, bytes)| *bytes)
}

#[test]
fn the_cache_holds_a_drafters_layers_too() {
    let small = vramscope_models::find_model("Qwen/Qwen3-0.6B").unwrap().config_json();
    let model = r#"{"model": "Qwen/Qwen3-0.6B", "num_speculative_tokens": 3}"#;
    let (old, new) = (EngineVersion::RECORDED, EngineVersion::NEWEST);
    let cases = [
        ("meta-llama/Llama-3.1-8B", new, 1, EAGLE3, Some(HEAD), 2_162_688),
        ("meta-llama/Llama-3.1-8B", old, 4, EAGLE3, Some(HEAD), 540_672),
        ("Qwen/Qwen3-8B", new, 1, model, Some(&small[..]), 4_194_304),
        ("zai-org/GLM-4.5-Air", new, 8, MTP, None, 385_024),
        ("Qwen/Qwen3-Next-80B-A3B-Instruct", new, 8, MTP, None, 2_555_904),
        ("Qwen/Qwen3-Next-80B-A3B-Instruct", old, 8, MTP, None, 1_916_928),
    ];
    for (id, version, tensor, told, draft, expected) in cases {
        let plan = kv_plan(&known(id), &EngineArgs { version, ..args(tensor, told, draft) }).unwrap();
        assert_eq!((plan.bytes_per_block, plan.approximate), (expected, false), "{id} over {tensor}, {version}");
    }
}

/// The planner counts embedding and output of a drafter whole; on a device they are the model's.
#[test]
fn weights_of_drafters_are_those_that_the_planner_makes_without_what_is_shared() {
    let small = vramscope_models::find_model("Qwen/Qwen3-0.6B").unwrap().config_json();
    let model = r#"{"model": "Qwen/Qwen3-0.6B", "num_speculative_tokens": 3}"#;
    let cases = [
        ("meta-llama/Llama-3.1-8B", 4, EAGLE3, Some(HEAD), 550_791_168 - 262_668_288),
        ("Qwen/Qwen3-8B", 1, model, Some(&small[..]), 1_192_099_840),
        ("zai-org/GLM-4.5-Air", 8, MTP, None, 964_866_048 - 310_378_496),
        ("Qwen/Qwen3-Next-80B-A3B-Instruct", 8, MTP, None, 571_630_592 - 155_586_560),
    ];
    for (id, tensor, told, draft, planned) in cases {
        let own = drafter(&known(id), &args(tensor, told, draft));
        // Tables of rotary positions are no weights to the planner.
        let tables = if draft.is_some() { 11 << 20 } else { 0 };
        assert!(own + 300_000 >= planned && own <= planned + tables + 4096, "{id}: {own} where {planned} are planned");
    }
}

#[test]
fn what_is_looked_up_takes_nothing_and_what_is_not_at_hand_is_said() {
    let model = known("Qwen/Qwen3-8B");
    let plain = EngineArgs::default();
    let ngram = args(1, r#"{"method": "ngram", "num_speculative_tokens": 4, "prompt_lookup_max": 4}"#, None);
    assert_eq!(weights_per_rank(&model, &ngram).unwrap(), weights_per_rank(&model, &plain).unwrap());
    assert_eq!(kv_plan(&model, &ngram).unwrap().bytes_per_block, kv_plan(&model, &plain).unwrap().bytes_per_block);
    let absent = args(1, EAGLE3, None);
    let device = vramscope_estimate::find_device("h200").unwrap();
    let budget = vramscope_estimate::budget(&model, &absent, vramscope_estimate::Setting::alone(device)).unwrap();
    assert!(!budget.verdict.certain && budget.notes[0].contains("config is not at hand"), "{:?}", budget.notes);
}
