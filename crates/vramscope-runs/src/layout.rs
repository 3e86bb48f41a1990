//! What the files of a run and of a campaign are called: every name once.

/// What an engine that was conducted printed.
pub const ENGINE_LOG: &str = "engine.log";
/// Names under which an engine's log is looked for, the first one found wins; people record vLLM's as `vllm.log`.
pub const ENGINE_LOGS: &[&str] = &[ENGINE_LOG, "vllm.log"];
/// How names of logs end.
pub const LOG_ENDS: [&str; 3] = [".log", ".log.gz", ".log.zst"];
/// The full-rate timeline of the sampler.
pub const TIMELINE: &str = "timeline.jsonl";
/// Names under which readings of devices are looked for, the first one found wins.
pub const GPU_LOGS: &[&str] = &["gpu.csv", TIMELINE, "gpu.jsonl", "gpu_log.txt"];
/// The model's description.
pub const MODEL_CONFIG: &str = "config.json";
/// The header of the model's file, where the model is one file.
pub const PACKED_MODEL: &str = "gguf.json";
/// What a server said of its settings.
pub const PROPS: &str = "props.json";
/// What a server said of its slots.
pub const SLOTS: &str = "slots.json";
/// What a server said of its settings and of what it holds, of engines that say both on one page.
pub const SERVER_INFO: &str = "server_info.json";
/// Which models a server said that it holds.
pub const LOADED_MODELS: &str = "loaded_models.json";
/// What a benchmark wrote.
pub const BENCH: &str = "bench.json";
/// The engine's command line.
pub const ARGS: &str = "args.json";
/// Instants that the host wrote down.
pub const MARKS: &str = "marks.json";
/// How the run ended, as its conductor wrote it down.
pub const RECORD: &str = "run.json";
/// Readings of the engine's metrics.
pub const METRICS: &str = "metrics.jsonl";
/// The script that runs plain transformers.
pub const PROBE_SCRIPT: &str = "probe.py";
/// What that script read inside the framework.
pub const PROBE: &str = "probe.json";

/// How names of PyTorch's allocator snapshots end, as `_dump_snapshot` is given them, and packed ones.
pub const ALLOCATOR_SNAPSHOT_ENDS: [&str; 3] = [".pickle", ".pickle.gz", ".pickle.zst"];
/// The same written as JSON.
pub const ALLOCATOR_SNAPSHOT_JSON_ENDS: [&str; 3] = ["snapshot.json", "snapshot.json.gz", "snapshot.json.zst"];
/// How names of those begin that an engine took while it was conducted.
pub const OWN_SNAPSHOT: &str = "allocator-";
/// The folder of what an engine's processes load to take them, and of what they say of it.
pub const SNAPSHOT_HOOK: &str = "snapshot-hook";

/// The published profiles of a campaign's runs.
pub const PROFILES: &str = "profiles";
/// Every attempt at a run of a campaign, each in a folder of its own.
pub const ATTEMPTS: &str = "attempts";
/// Who carries out which run of a campaign.
pub const LEASES: &str = "leases";
/// What stands between a run's key and the number of a published attempt that failed.
pub const FAILED: &str = ".failed-";
/// The runs that a campaign was asked for.
pub const CAMPAIGN_PLAN: &str = "campaign.plan.json";
/// The table of a campaign's runs.
pub const CAMPAIGN_TABLE: &str = "campaign.csv";
/// The same as a page that people look at.
pub const CAMPAIGN_PAGE: &str = "campaign.html";
/// The same as a document.
pub const CAMPAIGN_RUNS: &str = "campaign.runs.json";
/// Beginning of the names of a load generator's runs in the folder of a sweep.
pub const SWEEP_RUN: &str = "run=";
/// The same runs in one file beside them.
pub const SWEEP_SUMMARY: &str = "summary.json";
/// Ends of names of documents that speak of several runs and are none, without `.json`.
pub const SUMMARIES: &[&str] = &[".repeat", ".runs", ".plan"];
