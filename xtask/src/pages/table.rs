//! The pages that are looked at: of which documents, and what must be on them.

use Source::{Hostile, ManyRuns, Printed, Stored};

/// Where a document comes from.
#[derive(Clone)]
pub(super) enum Source {
    /// The command prints it for these words; `--format json` is added.
    Printed(&'static str),
    /// It lies in `xtask/data/pages`: what cannot be made without a server or a GPU.
    Stored(&'static str),
    /// Hostile texts stand in place of all that others may choose.
    Hostile(Box<Source>),
    /// A table of so many runs.
    ManyRuns(u32),
}

/// A page.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) name: &'static str,
    /// What its figures are held against: a document for each place.
    pub(super) documents: Vec<Source>,
    /// What `vramscope report` is given; the documents where this is empty.
    pub(super) given: &'static str,
    /// So many figures and pictures it has at least.
    pub(super) figures: usize,
    pub(super) pictures: usize,
    /// Whether it has charts over time, which can be moved.
    pub(super) time: bool,
    /// Whether its times are told, so that nothing runs beside it.
    pub(super) alone: bool,
    pub(super) most_bytes: Option<u64>,
}

impl Case {
    fn new(name: &'static str, documents: Vec<Source>, figures: usize, pictures: usize) -> Self {
        Self { name, documents, given: "", figures, pictures, time: false, alone: false, most_bytes: None }
    }

    /// The same, made of these paths and not of the documents.
    fn of(mut self, given: &'static str) -> Self {
        self.given = given;
        self
    }

    /// The same, with charts over time.
    fn over_time(mut self) -> Self {
        self.time = true;
        self
    }

    /// Whether it is made of the material beside the checkout.
    pub(super) fn is_of_shared(&self) -> bool {
        fn is_of_shared(source: &Source) -> bool {
            match source {
                Printed(line) => line.contains(SHARED),
                Hostile(source) => is_of_shared(source),
                Stored(_) | ManyRuns(_) => false,
            }
        }
        self.given.contains(SHARED) || self.documents.iter().any(is_of_shared)
    }
}

/// How paths into the material beside the checkout begin.
const SHARED: &str = "../shared/";

/// A process that leaks.
const GROWTH: &str = "snapshot crates/vramscope-snapshot/tests/it/data/growth/0.pickle.gz \
    crates/vramscope-snapshot/tests/it/data/growth/1.pickle.gz crates/vramscope-snapshot/tests/it/data/growth/2.pickle.gz \
    crates/vramscope-snapshot/tests/it/data/growth/3.pickle.gz crates/vramscope-snapshot/tests/it/data/growth/4.pickle.gz \
    crates/vramscope-snapshot/tests/it/data/growth/5.pickle.gz crates/vramscope-snapshot/tests/it/data/growth/6.pickle.gz \
    crates/vramscope-snapshot/tests/it/data/growth/7.pickle.gz crates/vramscope-snapshot/tests/it/data/growth/8.pickle.gz";

pub(super) fn cases() -> Vec<Case> {
    let hostile = |source| vec![Hostile(Box::new(source))];
    let profile = |name, analyze, given| Case::new(name, vec![Printed(analyze)], 20, 2).of(given).over_time();
    let one = |name, source, figures, pictures| Case::new(name, vec![source], figures, pictures);
    let mut cases = vec![
        // Folders, as a run leaves them.
        profile("example-llama", "analyze examples/llama-3.1-8b", "examples/llama-3.1-8b"),
        profile("example-neighbour", "analyze examples/noisy-neighbour", "examples/noisy-neighbour"),
        profile("example-too-small", "analyze examples/kv-cache-too-small", "examples/kv-cache-too-small"),
        profile("h200-serve", "analyze ../shared/corpus/h200/serve-l1b", "../shared/corpus/h200/serve-l1b"),
        profile("h200-mla", "analyze ../shared/corpus/h200/dsv2lite-eager", "../shared/corpus/h200/dsv2lite-eager"),
        profile("h200-awq", "analyze ../shared/corpus/h200/l8b-awq", "../shared/corpus/h200/l8b-awq"),
        profile(
            "h200-failed",
            "analyze ../shared/corpus/h200/fail-free-memory",
            "../shared/corpus/h200/fail-free-memory",
        ),
        profile(
            "h200-neighbour",
            "analyze ../shared/corpus/h200/noisy-neighbour",
            "../shared/corpus/h200/noisy-neighbour",
        ),
        profile(
            "h200-tp2",
            "analyze ../shared/corpus/h200-2gpu/tp2-l8b-default",
            "../shared/corpus/h200-2gpu/tp2-l8b-default",
        ),
        profile(
            "h200-pp2",
            "analyze ../shared/corpus/h200-2gpu/pp2-l8b-eager",
            "../shared/corpus/h200-2gpu/pp2-l8b-eager",
        ),
        // The profile alone: its samples are of the recording.
        one("profile-llama", Printed("analyze examples/llama-3.1-8b"), 20, 1),
        one("profile-neighbour", Printed("analyze examples/noisy-neighbour"), 20, 1),
        one("profile-too-small", Printed("analyze examples/kv-cache-too-small"), 10, 0),
        Case::new(
            "profiles-three",
            vec![
                Printed("analyze examples/llama-3.1-8b"),
                Printed("analyze examples/noisy-neighbour"),
                Printed("analyze examples/kv-cache-too-small"),
            ],
            20,
            1,
        ),
        Case::new(
            "recordings-two",
            vec![Printed("analyze examples/llama-3.1-8b"), Printed("analyze examples/noisy-neighbour")],
            20,
            3,
        )
        .of("examples/llama-3.1-8b examples/noisy-neighbour")
        .over_time(),
        one("timeline-csv", Printed("timeline examples/llama-3.1-8b/gpu.csv"), 10, 1)
            .of("examples/llama-3.1-8b/gpu.csv")
            .over_time(),
        one("timeline-jsonl", Printed("timeline crates/vramscope-timeline/tests/it/data/recording.jsonl"), 10, 1)
            .of("crates/vramscope-timeline/tests/it/data/recording.jsonl")
            .over_time(),
        Case {
            alone: true,
            ..one("timeline-hour", Printed("timeline made:hour.csv"), 10, 1).of("made:hour.csv").over_time()
        },
        one("runs-examples", Printed("runs examples"), 10, 0),
        one("runs-h200", Printed("runs ../shared/corpus/h200"), 20, 1),
        one("runs-sweep", Stored("runs-sweep.json"), 20, 1),
        one("runs-campaign", Stored("runs-campaign.json"), 20, 1),
        Case { most_bytes: Some(2_000_000), ..one("runs-1000", ManyRuns(1000), 100, 1) },
        one("load", Stored("load.json"), 20, 1),
        one("load-sweep", Stored("load-sweep.json"), 20, 1),
        one("load-fail", Stored("load-fail.json"), 3, 0),
        one("load-stopped", Stored("load-stopped.json"), 3, 0),
        one("experiment", Stored("experiment.json"), 20, 1),
        one("experiment-throughput", Stored("experiment-throughput.json"), 20, 1),
        one("comparison", Printed("compare examples/llama-3.1-8b examples/noisy-neighbour"), 10, 0),
        one(
            "comparison-h200",
            Printed("compare ../shared/corpus/h200/l8b-default ../shared/corpus/h200/l8b-eager-util50"),
            10,
            0,
        ),
        one("comparison-exceeded", Stored("comparison-exceeded.json"), 10, 0),
        one("against", Stored("against.json"), 10, 0),
        one("repeat", Stored("repeat.json"), 10, 0),
        one("calculator", Printed("compare examples/llama-3.1-8b --calc-weights 16 --calc-total 20"), 3, 0),
        one(
            "estimate-fits",
            Printed("estimate --gpu h200 --model meta-llama/Llama-3.1-8B --max-model-len 8192"),
            10,
            1,
        ),
        one(
            "estimate-refused",
            Printed("estimate --gpu l4 --model meta-llama/Llama-3.1-8B --max-model-len 131072"),
            5,
            0,
        ),
        one("estimate-groups", Printed("estimate --gpu h100 --model openai/gpt-oss-20b"), 10, 1),
        one("estimate-llama-cpp", Stored("estimate-llama-cpp.json"), 10, 1),
        one("estimate-ollama", Stored("estimate-ollama.json"), 10, 1),
        one(
            "estimate-sglang",
            Printed("estimate --gpu h100 --engine-kind sglang --sglang-version 0.5.12 --model meta-llama/Llama-3.1-8B"),
            10,
            1,
        ),
        one("fit-one", Printed("fit --gpu l4 --request-tokens 8192 --model openai/gpt-oss-20b"), 3, 0),
        one("fit-all", Printed("fit --gpus all --request-tokens 8192 --model openai/gpt-oss-20b"), 20, 0),
        one("fit-llama-cpp", Stored("fit-llama-cpp.json"), 20, 1),
        one(
            "fit-sglang",
            Printed(
                "fit --gpu l40s --engine-kind sglang --sglang-version 0.5.12 --model meta-llama/Llama-3.1-8B \
                 --request-tokens 8192 --requests 4",
            ),
            20,
            1,
        ),
        one("explanation", Printed("explain examples/llama-3.1-8b"), 5, 0),
        one("explanation-two", Printed("explain examples/llama-3.1-8b examples/noisy-neighbour"), 10, 0),
        one("doctor", Printed("doctor"), 0, 0),
        one("log", Printed("log examples/llama-3.1-8b/vllm.log"), 5, 0),
        one("gpus", Printed("gpus --from ../shared/corpus/h200/nvidia-smi.csv"), 3, 0),
        one("gpus-mig", Printed("gpus --from ../shared/corpus/gpu-tools/nvidia-xml-a100-mig-535"), 3, 0),
        one("gpus-two", Printed("gpus --from ../shared/corpus/gpu-tools/amd-smi-process-r9700x2"), 3, 0),
        one(
            "plan",
            Printed(
                "campaign --dry-run --model openai/gpt-oss-20b --input-len 1000 --output-len 200 --batch-size 8 \
                 -- --workload transformers",
            ),
            1,
            0,
        ),
    ];
    cases.extend([
        one("trace-eager", Printed("trace ../shared/corpus/h200/trace-l1b-eager/trace.json.gz"), 20, 1),
        one("trace-h100", Printed("trace ../shared/corpus/kineto/h100-qwen1.5-0.5b-chat.json.gz"), 20, 1),
        one("trace-mi300", Printed("trace ../shared/corpus/kineto/mi300-qwen1.5-0.5b-chat.json.gz"), 20, 1),
        one("trace-nccl", Printed("trace ../shared/corpus/kineto/a100-nccl-2rank.json.gz"), 20, 1),
        one("trace-cpu-only", Printed("trace ../shared/corpus/kineto/cpu-only.json.gz"), 1, 0),
        one(
            "trace-diff",
            Printed("trace diff ../shared/corpus/kineto/a100-diff-control.json.gz ../shared/corpus/kineto/v100-diff-test.json.gz"),
            20,
            0,
        ),
        one(
            "trace-ranks",
            Printed("trace ../shared/corpus/kineto/hta-sampled-rank0.json.gz ../shared/corpus/kineto/hta-sampled-rank1.json.gz"),
            20,
            0,
        ),
        one("snapshot-oom", Printed("snapshot crates/vramscope-snapshot/tests/it/data/vllm-8b-oom.pickle.gz"), 50, 4)
            .of("crates/vramscope-snapshot/tests/it/data/vllm-8b-oom.pickle.gz"),
        one("snapshot-asleep", Printed("snapshot crates/vramscope-snapshot/tests/it/data/vllm-8b-asleep.pickle.gz"), 30, 2),
        one(
            "snapshot-transformers",
            Printed("snapshot crates/vramscope-snapshot/tests/it/data/transformers-forward.pickle.gz"),
            30,
            4,
        ),
        one("snapshot-json", Printed("snapshot crates/vramscope-snapshot/tests/it/data/streams.json --by part"), 30, 3),
        one("snapshot-growth", Printed(GROWTH), 30, 2),
        // Names and lines that nobody should write.
        Case::new(
            "hostile-snapshot",
            hostile(Printed("snapshot crates/vramscope-snapshot/tests/it/data/streams-oom.pickle.gz --top 40")),
            30,
            3,
        ),
        Case::new("hostile-growth", hostile(Printed(GROWTH)), 20, 2),
        Case::new("hostile-folder", vec![Printed("analyze made:hostile")], 20, 1).of("made:hostile").over_time(),
        Case::new("hostile-profile", hostile(Printed("analyze examples/llama-3.1-8b")), 10, 0),
        Case::new("hostile-failed", hostile(Printed("analyze examples/kv-cache-too-small")), 5, 0),
        Case::new("hostile-runs", hostile(Printed("runs examples")), 10, 0),
        Case::new("hostile-load", hostile(Stored("load-sweep.json")), 10, 0),
        Case::new("hostile-experiment", hostile(Stored("experiment.json")), 10, 0),
        Case::new("hostile-comparison", hostile(Printed("compare examples/llama-3.1-8b examples/noisy-neighbour")), 5, 0),
        Case::new("hostile-estimate", hostile(Printed("estimate --gpu h100 --model openai/gpt-oss-20b")), 5, 0),
        Case::new("hostile-llama-cpp", hostile(Stored("estimate-llama-cpp.json")), 5, 0),
        Case::new(
            "hostile-sglang",
            hostile(Printed("estimate --gpu h100 --engine-kind sglang --model meta-llama/Llama-3.1-8B")),
            5,
            0,
        ),
        Case::new("hostile-fit", hostile(Printed("fit --gpus all --request-tokens 8192 --model openai/gpt-oss-20b")), 5, 0),
        Case::new("hostile-explanation", hostile(Printed("explain examples/llama-3.1-8b examples/noisy-neighbour")), 5, 0),
        Case::new("hostile-log", hostile(Printed("log examples/llama-3.1-8b/vllm.log")), 3, 0),
        Case::new("hostile-doctor", hostile(Printed("doctor")), 0, 0),
        Case::new("hostile-trace", hostile(Printed("trace made:hostile.trace.json")), 5, 0),
    ]);
    cases
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_pages_have_one_name_and_what_is_stored_is_there() {
        let cases = cases();
        let names: BTreeSet<&str> = cases.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), cases.len());
        let folder = crate::root().unwrap().join("xtask/data/pages");
        let stored = cases.iter().flat_map(|case| &case.documents).filter_map(|source| match source {
            Stored(name) => Some(*name),
            _ => None,
        });
        for name in stored {
            assert!(folder.join(name).exists(), "{name} is not stored");
        }
    }
}
