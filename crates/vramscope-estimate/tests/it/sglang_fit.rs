//! What is said to be served by SGLang, asked again line by line: every answer starts with its own line and holds what it
//! says, one more is not held, and more memory never makes an answer worse.

use vramscope_core::{Architecture, Bytes};
use vramscope_estimate::document::ModelDocument;
use vramscope_estimate::{
    Calibration, GpuModel, SgLangAnswer, SgLangAnswers, SgLangArgs, SgLangBudget, SgLangError, SgLangFitDocument,
    SgLangFitSubject, SgLangLine, SgLangQuestion, SgLangSetting, Wish, devices, find_device, sglang_answers,
    sglang_answers_in_short, sglang_budget, sglang_command,
};
use vramscope_models::find_model;

const MODELS: [&str; 5] = [
    "meta-llama/Llama-3.1-8B",
    "Qwen/Qwen3-30B-A3B",
    "openai/gpt-oss-20b",
    "deepseek-ai/DeepSeek-V2-Lite",
    "Qwen/Qwen3-0.6B",
];
const LINES: [&str; 4] = [
    "sglang serve --model-path m",
    "python3 -m sglang.launch_server --model-path m --tp 2 --context-length 30000 --page-size 64",
    "--mem-fraction-static 0.8 --max-running-requests 9 --disable-cuda-graph",
    "--kv-cache-dtype fp8_e5m2 --max-total-tokens 100000",
];

fn model(id: &str) -> Architecture {
    find_model(id).unwrap().architecture().unwrap().0
}

fn setting(device: &GpuModel) -> SgLangSetting<'_> {
    SgLangSetting { device: Some(device), others: Bytes::ZERO, calibration: Calibration::embedded(), free: None }
}

struct Case {
    model: Architecture,
    words: Vec<&'static str>,
    given: SgLangArgs,
    wish: Wish,
}

impl Case {
    fn answers(&self, device: &GpuModel) -> SgLangAnswers {
        sglang_answers(&self.model, &self.given, &setting(device), self.wish).unwrap()
    }

    /// The budget of an answer's own line, with one setting more or less.
    fn again(&self, device: &GpuModel, args: &SgLangArgs) -> SgLangBudget {
        let line = sglang_command(&self.words, "m", &self.given, args);
        let mut read = SgLangLine::read(&line).unwrap();
        read.args.version = self.given.version;
        assert_eq!(&read.args, args, "{line:?}");
        sglang_budget(&self.model, &read.args, &setting(device)).unwrap()
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for id in MODELS {
        for line in LINES {
            for version in ["0.4.3", "0.5.12", "0.5.23"] {
                let words: Vec<&str> = line.split_whitespace().collect();
                let mut given = SgLangLine::read(&words).unwrap().args;
                given.version = version.parse().unwrap();
                for wish in [(None, None), (Some(4096), Some(3))] {
                    let wish = Wish { request_tokens: wish.0, requests: wish.1 };
                    cases.push(Case { model: model(id), words: words.clone(), given: given.clone(), wish });
                }
            }
        }
    }
    cases
}

fn holds(budget: &SgLangBudget, requests: u64, tokens: u64) -> bool {
    budget.failure.is_none() && requests * tokens <= budget.pool.tokens.value && requests <= budget.max_running_requests
}

/// The number that a question is about.
fn number(answer: &SgLangAnswer) -> Option<u64> {
    let way = answer.way.as_ref()?;
    Some(match answer.question {
        SgLangQuestion::FewestDevices => way.devices,
        SgLangQuestion::LongestContext => way.tokens,
        SgLangQuestion::MostRequests => way.requests,
        _ => 0,
    })
}

#[test]
fn every_answer_holds_with_its_own_line_and_one_more_does_not() {
    let (mut served, mut bounded) = (0, 0);
    for device in ["l4", "h100"].map(|key| find_device(key).unwrap()) {
        for case in cases() {
            let found = case.answers(device);
            for answer in &found.answers {
                let of = format!("{:?} {:?} {} {}", case.words, answer.question, answer.kv_cache_dtype, device.key);
                let Some(way) = &answer.way else {
                    assert!(answer.lack.is_some() && !answer.certain && answer.for_certain.is_none(), "{of}");
                    continue;
                };
                served += 1;
                assert!(answer.lack.is_none(), "{of}");
                let args = &way.budget.args;
                let again = case.again(device, args);
                assert_eq!((&again.pool, &again.left), (&way.budget.pool, &way.budget.left), "{of}");
                assert!(holds(&again, way.requests, way.tokens), "{of}");
                if answer.certain {
                    assert!(again.certain && again.pool.tokens.low >= way.requests * way.tokens, "{of}");
                    let same = answer.question == SgLangQuestion::AsAsked || answer.for_certain == number(answer);
                    assert!(same, "{of}: {:?}", answer.for_certain);
                }
                let more = way.tokens + 1;
                match answer.question {
                    SgLangQuestion::LongestContext if Some(way.tokens) < found.model_length => {
                        let args = SgLangArgs { context_length: Some(more), ..args.clone() };
                        assert!(!holds(&case.again(device, &args), way.requests, more), "{of}: {more} tokens");
                        bounded += 1;
                    }
                    SgLangQuestion::MostRequests => {
                        let more = way.requests + 1;
                        let args = SgLangArgs { max_running_requests: Some(more), ..args.clone() };
                        assert!(!holds(&case.again(device, &args), more, way.tokens), "{of}: {more} requests");
                        bounded += 1;
                    }
                    SgLangQuestion::FewestDevices if args.tp_size > 1 => {
                        let args = SgLangArgs { tp_size: args.tp_size / 2, ..args.clone() };
                        assert!(!holds(&case.again(device, &args), way.requests, way.tokens), "{of}");
                        bounded += 1;
                    }
                    _ => {}
                }
            }
        }
    }
    assert!(served > 400 && bounded > 200, "{served} {bounded}");
}

#[test]
fn more_memory_makes_no_answer_worse() {
    for case in cases() {
        // One share for all sizes: the default of a release steps down where cards get larger.
        let case = Case { given: SgLangArgs { mem_fraction_static: Some(0.85), ..case.given.clone() }, ..case };
        let mut before: Option<Vec<SgLangAnswer>> = None;
        for gib in [12, 24, 48, 60] {
            let device = GpuModel::of_size(Bytes::new(gib << 30));
            let found = case.answers(&device).answers;
            for (small, large) in before.iter().flatten().zip(&found) {
                let of = format!("{:?} {:?} {gib}", case.words, small.question);
                let (less, more) = (number(small), number(large));
                assert!(small.way.is_none() || large.way.is_some(), "{of}");
                let worse = match small.question {
                    SgLangQuestion::FewestDevices => less < more && less.is_some(),
                    _ => more < less,
                };
                assert!(!worse, "{of}: {less:?} {more:?}");
            }
            before = Some(found);
        }
    }
}

/// One of every kind of checked, and those around each change of a rule.
const RELEASES: [&str; 16] = [
    "0.2.14",
    "0.2.15",
    "0.3.6",
    "0.4.3",
    "0.4.6.post5",
    "0.4.8",
    "0.5.0",
    "0.5.2",
    "0.5.6",
    "0.5.9",
    "0.5.12",
    "0.5.16",
    "0.5.17",
    "0.5.19",
    "0.5.23",
    "0.6.0",
];

#[test]
fn parts_at_their_ends_fit_what_they_are_parts_of() {
    let lines = ["", "--mem-fraction-static 0.8", "--max-total-tokens 4096", "--speculative-algorithm EAGLE"];
    let (mut certain, mut doubted) = (0, 0);
    // Two with states beside the pool.
    for id in MODELS.into_iter().chain(["Qwen/Qwen3-Next-80B-A3B-Instruct", "tiiuae/Falcon-H1-7B-Base"]) {
        let model = model(id);
        for (device, line) in devices().iter().flat_map(|device| lines.map(|line| (device, line))) {
            let words: Vec<&str> = line.split_whitespace().collect();
            for version in RELEASES {
                let of = format!("{id} {line:?} {version} {}", device.key);
                let mut args = SgLangLine::read(&words).unwrap().args;
                args.version = version.parse().unwrap();
                let found = match sglang_budget(&model, &args, &setting(device)) {
                    Err(SgLangError::UnknownPool { .. }) if args.version < "0.5.6".parse().unwrap() => continue,
                    found => found.unwrap(),
                };
                let (pool, free) = (&found.pool, &found.free_before);
                let behind = free.high.saturating_sub(found.weights.low);
                let held = pool.bytes.high + pool.states.as_ref().map_or(0, |states| states.high);
                assert!(held <= behind, "{of}: {:?}", pool.bytes);
                assert!(found.left.high + pool.bytes.low <= behind, "{of}: {:?}", found.left);
                assert!(pool.static_memory.high <= free.high, "{of}: {:?}", pool.static_memory);
                if pool.tokens.high > 0 {
                    let (parts, share) = (held + found.weights.low, &pool.static_memory);
                    assert!(parts <= share.high + 2, "{of}: {parts} of {share:?}");
                }
                // What the pool may gain is lacking beside it.
                let beside = [&found.request_table, &found.workspace, &found.graphs];
                let most: u64 = beside.into_iter().map(|part| part.high).sum();
                assert!(found.left.low <= behind.saturating_sub(most + held) + 2, "{of}: {:?}", found.left);
                if found.certain && found.failure.is_none() {
                    assert!(found.left.low > 0, "{of}");
                    certain += 1;
                } else {
                    doubted += 1;
                }
            }
        }
    }
    assert!(certain > 200 && doubted > 200, "{certain} {doubted}");
}

fn asked(id: &str, device: &str, line: &str, wish: (u64, u64)) -> Result<SgLangAnswers, SgLangError> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut args = SgLangLine::read(&words).unwrap().args;
    args.version = "0.5.12".parse().unwrap();
    let wish = Wish { request_tokens: Some(wish.0), requests: Some(wish.1) };
    sglang_answers(&model(id), &args, &setting(find_device(device).unwrap()), wish)
}

fn as_asked(answers: &SgLangAnswers) -> &SgLangAnswer {
    answers.answers.iter().find(|answer| answer.question == SgLangQuestion::AsAsked).unwrap()
}

#[test]
fn an_argument_holds_back_only_where_one_is_given() {
    let (dense, small, windowed) = ("meta-llama/Llama-3.1-8B", "Qwen/Qwen3-0.6B", "openai/gpt-oss-20b");
    let shared = "--tp 2 --dp 2 --enable-dp-attention --max-running-requests 5";
    for (id, device, line, wish, what) in [
        (small, "h100", "", (64, 5000), "requests"),
        (small, "h100", "--max-running-requests 5000", (64, 5000), "requests"),
        (small, "h100", shared, (64, 5), "limit"),
        (small, "h100", "--max-total-tokens 4096", (8192, 1), "limit"),
        (small, "h100", "--max-total-tokens 4100 --page-size 64", (4097, 1), "limit"),
        (small, "h100", "--max-total-tokens 32 --page-size 64", (32, 1), "limit"),
        (windowed, "h100", "--swa-full-tokens-ratio 0.0001", (4096, 4), "windows"),
        (windowed, "h100", "--swa-full-tokens-ratio 0.0001 --max-total-tokens 100000", (4096, 4), "windows"),
        (windowed, "h100", "--swa-full-tokens-ratio 0.01 --max-total-tokens 20000", (4096, 4), "limit"),
        (dense, "l4", "", (100_000, 1), "pool"),
        (dense, "l4", "--max-total-tokens 90000", (100_000, 1), "pool"),
        (dense, "l4", "--mem-fraction-static 0.99", (1000, 1), "slack"),
        (dense, "t4", "", (1000, 1), "weights"),
    ] {
        let found = asked(id, device, line, wish).unwrap();
        let lack = as_asked(&found).lack.unwrap_or_else(|| panic!("{id} {line}"));
        assert_eq!(lack.what, what, "{id} {line} {wish:?}: {lack:?}");
        let of_memory = !matches!(what, "limit" | "requests");
        assert_eq!(lack.bytes.is_some(), of_memory, "{id} {line}: {lack:?}");
    }
}

#[test]
fn a_page_that_is_not_whole_is_a_lack_of_memory() {
    let (id, line) = ("meta-llama/Llama-3.1-8B", "--page-size 64");
    let pool = as_asked(&asked(id, "l4", line, (64, 1)).unwrap()).way.clone().unwrap().budget.pool;
    let found = asked(id, "l4", line, (pool.tokens.value + 1, 1)).unwrap();
    let lack = as_asked(&found).lack.unwrap();
    assert_eq!(lack.what, "pool");
    assert!((1..=64 * 131_072).contains(&lack.bytes.unwrap()), "{lack:?}");
}

#[test]
fn replicas_take_requests_each_and_those_of_attention_share_them() {
    let fits = |line: &str, requests| asked("meta-llama/Llama-3.1-8B", "h100", line, (1000, requests));
    let replicas = "--dp 2 --max-running-requests 4";
    assert!(as_asked(&fits(replicas, 8).unwrap()).way.is_some());
    let shared = "--tp 2 --dp 2 --enable-dp-attention --max-running-requests 4";
    assert!(as_asked(&fits(shared, 4).unwrap()).way.is_some());
    for (line, requests) in [(replicas, 9), (shared, 5)] {
        let error = fits(line, requests).unwrap_err().to_string();
        assert!(error.contains("--max-running-requests 4"), "{error}");
    }
}

#[test]
fn requests_that_the_smallest_pool_would_not_let_in_are_not_certain() {
    let of = |requests| asked("meta-llama/Llama-3.1-8B", "h100", "--context-length 65536", (32, requests)).unwrap();
    let budget = as_asked(&of(1)).way.clone().unwrap().budget;
    // By the pool's tokens, and not at an end of what the release takes.
    assert!((2049..4096).contains(&budget.max_running_requests) && budget.certain);
    let found = of(budget.max_running_requests);
    assert!(as_asked(&found).way.is_some() && !as_asked(&found).certain);
    let least = budget.pool.tokens.low * 512 / 65536;
    assert!(least < budget.max_running_requests);
    assert!(as_asked(&of(least)).certain && !as_asked(&of(least + 1)).certain);
}

#[test]
fn the_argument_that_no_number_of_ranks_meets_is_named() {
    for (line, name) in [
        ("--tp 3 --dp 3 --enable-dp-attention", "dp-size"),
        ("--tp 128 --dp 128 --enable-dp-attention", "dp-size"),
        ("--ep 3 --tp 3", "ep-size"),
    ] {
        let words: Vec<&str> = line.split_whitespace().collect();
        let args = SgLangLine::read(&words).unwrap().args;
        let (model, device) = (model("Qwen/Qwen3-30B-A3B"), find_device("h100").unwrap());
        let wish = Wish { request_tokens: Some(100), requests: None };
        let error = sglang_answers_in_short(&model, &args, &setting(device), wish).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("a power of two up to 64"), "{line}: {error}");
    }
}

#[test]
fn the_kernels_of_a_pool_of_8_bits_are_spoken_of_where_there_is_one() {
    let said = |line: &str| {
        let found = asked("meta-llama/Llama-3.1-8B", "h100", line, (1000, 1)).unwrap();
        found.notes.iter().any(|note| note.contains("8 bits"))
    };
    assert!(said("") && said("--kv-cache-dtype fp8_e5m2") && !said("--kv-cache-dtype bfloat16"));
}

#[test]
fn the_notes_of_a_table_are_those_of_all_its_devices() {
    let model = model("meta-llama/Llama-3.1-8B");
    let args = SgLangArgs { version: "0.5.12".parse().unwrap(), ..SgLangArgs::default() };
    let wish = Wish { request_tokens: Some(8192), requests: None };
    let all: Vec<_> = ["h100", "l4"]
        .map(|key| find_device(key).unwrap())
        .map(|device| (device, sglang_answers_in_short(&model, &args, &setting(device), wish).unwrap()))
        .into();
    let close = |notes: &[String]| notes.iter().filter(|note| note.contains("run out of memory")).count();
    assert_eq!((close(&all[0].1.notes), close(&all[1].1.notes)), (0, 1));
    let shown =
        ModelDocument { name: "m".to_owned(), class: None, parameters: 1, known_family: true, notes: Vec::new() };
    let subject = SgLangFitSubject { model: &shown, path: "m", words: &[], given: &args };
    let document = SgLangFitDocument::of_all(subject, &all).unwrap();
    assert_eq!(document.notes, all[1].1.notes, "each once, in their order");
}
