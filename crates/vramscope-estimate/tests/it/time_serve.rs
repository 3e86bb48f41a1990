//! Predicted times of served loads beside those of a recorded server.

use proptest::prelude::*;
use serde_json::Value;
use vramscope_estimate::{
    Arrivals, Budget, CommandLine, EngineArgs, EstimateError, Seconds, ServedLoad, ServedTime, Setting, StepModel,
    TimePrediction, TokenCounts, budget_of_loaded, find_device, serve, weights_on_device,
};

use crate::shared;

fn engine(config: &[u8], args: &EngineArgs) -> (StepModel, Budget) {
    let model = vramscope_models::read_config(config).unwrap().0;
    let device = find_device("h200").unwrap();
    let weights = weights_on_device(&model, args, device).unwrap();
    let budget = budget_of_loaded(&model, args, Setting::alone(device), &weights).unwrap();
    match TimePrediction::of(&model, args, device, &weights, &budget).unwrap() {
        TimePrediction::Predicted(model) => (*model, budget),
        other => panic!("{other:?}"),
    }
}

fn llama(args: &EngineArgs) -> (StepModel, Budget) {
    let config = br#"{"model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 131072,
        "torch_dtype": "bfloat16"}"#;
    engine(config, args)
}

/// The nine levels of the recorded server, each without as many first requests as are in flight, as its medians are taken: its engine was fitted by its batches, and what a request takes beside its steps by
/// the two levels of one request; what several do to each other is predicted.
#[test]
fn a_served_load_takes_the_time_that_is_predicted() {
    let Some(folder) = shared::path("corpus/h200-033/serve-l8b") else { return };
    let json = |file: &str| serde_json::from_slice::<Value>(&std::fs::read(folder.join(file)).unwrap()).unwrap();
    let told = json("args.json");
    let words: Vec<&str> = told["argv"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let base = EngineArgs { version: told["vllm"].as_str().unwrap().parse().unwrap(), ..EngineArgs::default() };
    let args = CommandLine::read(&words, base).unwrap().args;
    let (model, budget) = engine(&std::fs::read(folder.join("config.json")).unwrap(), &args);
    let mut errors: [Vec<f64>; 4] = Default::default();
    for level in json("load.json").as_array().unwrap() {
        let number = |name: &str| level[name].as_u64().unwrap();
        let [together, input, output] = ["concurrency", "input_len", "output_len"].map(number);
        let drawn = level["drawn"].as_bool().unwrap();
        let of = |tokens: u64| if drawn { TokenCounts::around(tokens) } else { TokenCounts::fixed(tokens) };
        // Nobody knows the seed of those who drew: the median of nine stands for it.
        let seeded = |seed: u64| {
            let arrivals = Arrivals::InFlight(together);
            let (requests, warmup) = (number("requests"), together);
            let load = ServedLoad { arrivals, requests, warmup, input: of(input), output: of(output), seed };
            serve(&model, &budget, &load).unwrap()
        };
        let times: Vec<ServedTime> = (1..=9).map(seeded).collect();
        let median = |of: &dyn Fn(&ServedTime) -> f64| {
            let mut all: Vec<f64> = times.iter().map(of).collect();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        let truth = |name: &str| level["median"][name].as_f64().unwrap();
        let pairs = [
            (median(&|time| time.ttft.p50), truth("ttft")),
            (median(&|time| time.tpot.unwrap().p50), truth("tpot")),
            (median(&|time| time.e2e.p50), truth("e2e")),
            (median(&|time| time.output_tokens_per_second), level["output_tokens_per_s"].as_f64().unwrap()),
        ];
        let off = pairs.map(|(predicted, truth)| predicted / truth - 1.0);
        eprintln!(
            "{together:3} x {input}/{output}, drawn {drawn:5}: ttft {:.1} ms ({:+.1} %), tpot {:.2} ms ({:+.1} %), e2e {:+.1} %, \
             tokens/s {:.0} ({:+.1} %)",
            1e3 * pairs[0].0,
            100.0 * off[0],
            1e3 * pairs[1].0,
            100.0 * off[1],
            100.0 * off[2],
            pairs[3].0,
            100.0 * off[3],
        );
        let inside = |time: Seconds, truth: f64| time.low <= truth && time.high.is_some_and(|high| truth <= high);
        for time in &times {
            assert!(inside(time.around_first(time.ttft.p50), pairs[0].1), "{together} x {input}: {time:?}");
            assert!(inside(time.around(time.tpot.unwrap().p50), pairs[1].1), "{together} x {input}: {time:?}");
            assert!(inside(time.around(time.e2e.p50), pairs[2].1), "{together} x {input}: {time:?}");
        }
        for (all, off) in errors.iter_mut().zip(off) {
            all.push(off.abs());
        }
    }
    let [ttft, tpot, e2e, rate] = errors.map(|mut all| {
        all.sort_by(f64::total_cmp);
        (all[all.len() / 2], all[all.len() - 1])
    });
    eprintln!("median and worst: ttft {ttft:.3?}, tpot {tpot:.3?}, e2e {e2e:.3?}, tokens/s {rate:.3?}");
    assert!(ttft.0 <= 0.10 && ttft.1 <= 0.60, "{ttft:?}");
    assert!(tpot.0 <= 0.05 && tpot.1 <= 0.15, "{tpot:?}");
    assert!(e2e.0 <= 0.05 && e2e.1 <= 0.20, "{e2e:?}");
    assert!(rate.0 <= 0.02 && rate.1 <= 0.07, "{rate:?}");
}

/// Equal lengths move in waves, so that a prompt waits for all others; of drawn ones it waits for its step alone.
#[test]
fn equal_lengths_wait_longer_for_their_first_token_than_drawn_ones() {
    let (model, budget) = llama(&EngineArgs { max_model_len: Some(8192), ..EngineArgs::default() });
    let of = |input, output| {
        let load = ServedLoad { arrivals: Arrivals::InFlight(64), requests: 640, warmup: 64, input, output, seed: 7 };
        serve(&model, &budget, &load).unwrap()
    };
    let equal = of(TokenCounts::fixed(1024), TokenCounts::fixed(128));
    let drawn = of(TokenCounts::around(1024), TokenCounts::around(128));
    assert!(equal.ttft.p50 > 3.0 * drawn.ttft.p50, "{equal:?} {drawn:?}");
    assert!(equal.tpot.unwrap().p50 < drawn.tpot.unwrap().p50);
}

/// A cache that is too small for all who run gives the newest up, and all come to their end nevertheless.
#[test]
fn a_full_cache_takes_requests_back_and_loses_none() {
    let words = ["--num-gpu-blocks-override", "300", "--max-model-len", "4096"];
    let line = [&["serve", "m"][..], &words[..]].concat();
    let (model, budget) = llama(&CommandLine::read(&line, EngineArgs::default()).unwrap().args);
    let load = ServedLoad {
        arrivals: Arrivals::InFlight(32),
        requests: 100,
        warmup: 0,
        input: TokenCounts::fixed(200),
        output: TokenCounts::around(600),
        seed: 3,
    };
    let time = serve(&model, &budget, &load).unwrap();
    assert_eq!(budget.num_gpu_blocks.value, 300);
    assert!(time.preemptions > 0 && time.most_together < 32, "{time:?}");
    assert_eq!((time.requests, time.input_tokens), (100, 20_000));
}

#[test]
fn a_load_that_nobody_can_send_or_hold_is_refused() {
    let (model, budget) = llama(&EngineArgs { max_model_len: Some(4096), ..EngineArgs::default() });
    let good = ServedLoad {
        arrivals: Arrivals::InFlight(4),
        requests: 8,
        warmup: 0,
        input: TokenCounts::fixed(100),
        output: TokenCounts::fixed(10),
        seed: 0,
    };
    assert!(serve(&model, &budget, &good).is_ok());
    let wrong = [
        ServedLoad { requests: 0, ..good },
        ServedLoad { requests: u64::MAX, ..good },
        ServedLoad { warmup: 8, ..good },
        ServedLoad { arrivals: Arrivals::InFlight(0), ..good },
        ServedLoad { arrivals: Arrivals::Even(0.0), ..good },
        ServedLoad { arrivals: Arrivals::Poisson(f64::NAN), ..good },
        ServedLoad { arrivals: Arrivals::Poisson(f64::INFINITY), ..good },
        ServedLoad { input: TokenCounts::fixed(0), ..good },
        ServedLoad { output: TokenCounts { least: 9, most: 8 }, ..good },
        ServedLoad { output: TokenCounts { least: 0, most: u64::MAX }, ..good },
        // Longer than the engine takes.
        ServedLoad { input: TokenCounts::around(4000), ..good },
    ];
    for load in wrong {
        assert!(matches!(serve(&model, &budget, &load), Err(EstimateError::BadArgument { .. })), "{load:?}");
    }
}

fn float(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

fn loads() -> impl Strategy<Value = ServedLoad> {
    let arrivals = prop_oneof![
        (1_u64..80).prop_map(Arrivals::InFlight),
        (0.5_f64..500.0).prop_map(Arrivals::Even),
        (0.5_f64..500.0).prop_map(Arrivals::Poisson),
    ];
    let counts = |most: u64| (1..most, 0..most).prop_map(|(least, more)| TokenCounts { least, most: least + more });
    (arrivals, 1_u64..120, counts(1500), counts(150), any::<u64>()).prop_map(
        |(arrivals, requests, input, output, seed)| {
            let warmup = seed % requests;
            ServedLoad { arrivals, requests, warmup, input, output, seed }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn requests_and_tokens_are_conserved_and_a_seed_repeats_itself(load in loads(), small in any::<bool>()) {
        let words = if small { &["serve", "m", "--num-gpu-blocks-override", "400"][..] } else { &["serve", "m"][..] };
        let base = EngineArgs { max_model_len: Some(4096), ..EngineArgs::default() };
        let (model, budget) = llama(&CommandLine::read(words, base).unwrap().args);
        let time = serve(&model, &budget, &load).unwrap();
        prop_assert_eq!(time.requests, load.requests);
        let within = |sum: u64, one: TokenCounts| (load.requests * one.least..=load.requests * one.most).contains(&sum);
        prop_assert!(within(time.input_tokens, load.input) && within(time.output_tokens, load.output));
        // What was handed out is what was asked for, however often a request began anew.
        prop_assert!((time.output_tokens_per_second * time.seconds / float(time.output_tokens) - 1.0).abs() < 1e-9);
        prop_assert_eq!(&serve(&model, &budget, &load).unwrap(), &time);
        for spread in [Some(time.ttft), time.tpot, Some(time.e2e)].into_iter().flatten() {
            prop_assert!(0.0 < spread.p50 && spread.p50 <= spread.p90 && spread.p90 <= spread.p99);
            prop_assert!(spread.p99.is_finite() && spread.mean <= time.seconds);
        }
        prop_assert!(time.ttft.p50 <= time.e2e.p50 && time.e2e.p99 <= time.seconds);
        if let Arrivals::InFlight(together) = load.arrivals {
            prop_assert!(time.most_together <= together);
        }
        // No step is shorter than one that reads the weights alone.
        prop_assert!(time.seconds >= float(time.steps) * model.step(&[]).parts.weights);
    }
}
