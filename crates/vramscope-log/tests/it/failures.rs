//! One event is told once: by which ranks, while what, with what followed from it.

use vramscope_log::document::{EngineDocument, FailureDocument, LogDocument};
use vramscope_log::{LogParser, advice};

fn read(log: &str) -> (EngineDocument, Vec<String>) {
    let mut parser = LogParser::new();
    parser.push_bytes(log.as_bytes());
    let report = parser.finish();
    let facts = &report.engines[0].facts;
    let advised = facts.failures.iter().map(|failure| advice(failure, facts)).collect();
    (LogDocument::of(&report).engines.remove(0), advised)
}

/// The only failure of a log, with what is advised.
fn one(log: &str) -> (FailureDocument, String) {
    let (mut engine, mut advised) = read(log);
    assert_eq!(engine.failures.len(), 1, "{:#?}", engine.failures);
    (engine.failures.remove(0), advised.remove(0))
}

fn torch(tag: &str, second: u32, gpu: u32, tried: &str, free: &str) -> String {
    format!(
        "{tag}ERROR 05-21 09:27:{second:02} [multiproc_executor.py:700] torch.OutOfMemoryError: CUDA out of memory. Tried to \
         allocate {tried}. GPU {gpu} has a total capacity of 47.53 GiB of which {free} is free. Of the allocated memory \
         46.00 GiB is allocated by PyTorch, and 88.00 MiB is reserved by PyTorch but unallocated.\n"
    )
}

#[test]
fn ranks_that_fail_alike_are_one_failure_with_each_one_s_figures() {
    let log = [2, 0, 3, 1]
        .map(|rank| {
            torch(
                &format!("(Worker_TP{rank} pid={}) ", 40 + rank),
                30 + rank,
                rank,
                "896.00 MiB",
                &format!("{}.50 MiB", 500 + rank),
            )
        })
        .concat()
        + "(EngineCore_DP0 pid=30) ERROR 05-21 09:27:35 [core.py:900] EngineCore failed to start.\n\
           (EngineCore_DP0 pid=30) ERROR 05-21 09:27:35 [core.py:900] RuntimeError: Worker failed with error 'CUDA out of \
           memory. Tried to allocate 896.00 MiB. GPU 2 has a total capacity of 47.53 GiB of which 502.50 MiB is free.', please \
           check the stack trace above for the root cause\n\
           (APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}\n";
    let (failure, advised) = one(&log);
    let ranks: Vec<(Option<u32>, u64, u64)> =
        failure.ranks.iter().map(|each| (each.rank, each.bytes["tried"], each.bytes["free"] >> 19)).collect();
    assert_eq!(ranks, [0, 1, 2, 3].map(|rank| (Some(rank), 896 << 20, 1001 + 2 * u64::from(rank))));
    assert_eq!((failure.line, failure.rank), (1, Some(2)), "it begins with the first that says it");
    let kinds: Vec<&str> = failure.consequences.iter().map(|follows| follows.kind.as_str()).collect();
    assert_eq!(kinds, ["engine_core_failed_to_start", "out_of_memory"]);
    assert!(!advised.contains("lacks"), "{advised}");
}

#[test]
fn ranks_are_told_apart_without_tags_too() {
    let log = torch("", 30, 0, "252.00 MiB", "57.12 MiB")
        + &torch("", 31, 1, "252.00 MiB", "57.12 MiB")
        + "ERROR 05-21 09:27:31 [core.py:340] EngineCore hit an exception: Traceback (most recent call last):\n\
           CRITICAL 05-21 09:27:31 [core_client.py:269] Got fatal signal from worker processes, shutting down. See stack trace \
           above for root cause issue.\n";
    let (failure, _) = one(&log);
    assert_eq!((failure.ranks.len(), failure.rank, failure.consequences.len()), (2, None, 1));

    let of_torch =
        |rank: u32| format!("[rank{rank}]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 8.00 GiB.\n");
    let (failure, _) = one(&(of_torch(3) + &of_torch(1)));
    assert_eq!(failure.ranks.iter().map(|each| each.rank).collect::<Vec<_>>(), [Some(1), Some(3)]);
}

#[test]
fn the_workers_of_v0_are_ranked_by_their_order_and_its_driver_is_rank_0() {
    let log = "INFO 03-02 19:40:00 [llm_engine.py:1] Initializing a V0 LLM engine (v0.8.0) with config: model='/m', \
               tensor_parallel_size=2, device_config=cuda\n\
               (VllmWorkerProcess pid=31) INFO 03-02 19:41:00 [model_runner.py:1] Model loading took 14.99 GB and 3.1 seconds\n"
        .to_owned()
        + &torch("(VllmWorkerProcess pid=31) ", 30, 1, "1.50 GiB", "1.00 GiB")
        + &torch("", 30, 0, "1.50 GiB", "1.05 GiB")
        + "ERROR 05-21 09:27:44 [multiproc_worker_utils.py:120] Worker VllmWorkerProcess pid 31 died, exit code: -15\n";
    let (failure, _) = one(&log);
    assert_eq!(failure.ranks.iter().map(|each| each.rank).collect::<Vec<_>>(), [Some(0), Some(1)]);
    assert_eq!(failure.consequences[0].kind, "worker_died");
}

#[test]
fn ranks_that_say_the_same_to_the_byte_are_ranks() {
    let line = |rank: u32| {
        format!("(Worker_TP{rank} pid={rank}) ERROR 05-21 09:27:40 [x.py:1] RuntimeError: CUDA error: out of memory\n")
    };
    let (failure, _) = one(&(line(0) + &line(1) + &line(0)));
    assert_eq!(failure.ranks.len(), 2);
}

#[test]
fn what_comes_much_later_is_another_failure() {
    let (engine, _) = read(
        &(torch("(Worker_TP0 pid=1) ", 0, 0, "1.00 GiB", "3.00 MiB")
            + &torch("(Worker_TP1 pid=2) ", 0, 1, "2.00 GiB", "4.00 MiB").replace("09:27", "10:40")),
    );
    assert_eq!(engine.failures.len(), 2);
}

#[test]
fn two_sentences_of_one_process_are_one_failure_with_the_figures_of_both() {
    let log = "(Worker_TP7 pid=240) ERROR 05-21 09:27:40 [x.py:470] torch.distributed.DistBackendError: NCCL error in: \
               /x/NCCLUtils.cpp:133, unhandled cuda error, NCCL version 2.30.7\n\
               (Worker_TP7 pid=240) Last error:\n\
               (Worker_TP7 pid=240) Cuda failure 2 'out of memory'\n\
               (Worker_TP7 pid=240) Failed to CUDA calloc async 608 bytes\n";
    let (failure, _) = one(log);
    assert_eq!((failure.kind.as_str(), failure.rank, failure.bytes["tried"]), ("out_of_memory", Some(7), 608));
    assert_eq!(failure.consequences[0].kind, "collective_failed");

    let sampler = "(Worker_TP0 pid=1) ERROR 05-21 09:27:31 [x.py:470] RuntimeError: CUDA out of memory occurred when warming \
                   up sampler with 256 dummy requests. Please try lowering `max_num_seqs`\n";
    let (failure, advised) = one(&(torch("(Worker_TP0 pid=1) ", 30, 0, "1.25 GiB", "1.18 GiB") + sampler));
    assert_eq!((failure.activity.as_deref(), failure.bytes["tried"]), (Some("warming_up_sampler"), 5 << 28));
    assert!(advised.contains("--max-num-seqs (256 now)"), "{advised}");
}

const CONFIG: &str = "(EngineCore pid=9) INFO 05-21 09:20:00 [core.py:93] Initializing a V1 LLM engine (v0.33.0) with config: \
                      model='/m', kv_cache_dtype=fp8, device_config=cuda\n";
const BEGUN: &str = "(EngineCore pid=9) INFO 05-21 09:20:01 [gpu_model_runner.py:1] Starting to load model /m...\n";
const LOADED: &str =
    "(EngineCore pid=9) INFO 05-21 09:20:09 [gpu_model_runner.py:1] Model loading took 14.99 GiB and 3.1 seconds\n";
const SIZED: &str = "(EngineCore pid=9) INFO 05-21 09:20:19 [kv_cache_utils.py:1] GPU KV cache size: 41,328 tokens\n";
const READY: &str = "(EngineCore pid=9) INFO 05-21 09:20:29 [core.py:1] init engine (profile, create kv cache, warmup model) took 20.00 s\n";

#[test]
fn what_the_engine_was_at_follows_from_what_it_had_done() {
    let out = torch("(EngineCore pid=9) ", 30, 0, "1.25 GiB", "1.18 GiB");
    let during = |done: &[&str]| one(&(done.concat() + &out));
    let (failure, advised) = during(&[CONFIG, BEGUN]);
    assert_eq!(failure.activity.as_deref(), Some("loading_weights"));
    assert!(advised.starts_with("The weights do not fit") && !advised.contains("--gpu-memory"), "{advised}");
    let (failure, advised) = during(&[CONFIG, BEGUN, LOADED]);
    assert_eq!(failure.activity.as_deref(), Some("profiling"));
    assert!(!advised.contains("--gpu-memory"), "{advised}");
    assert_eq!(during(&[CONFIG, BEGUN, LOADED, SIZED]).0.activity.as_deref(), Some("starting"));
    assert_eq!(during(&[CONFIG, BEGUN, LOADED, SIZED, READY]).0.activity.as_deref(), Some("serving"));
    assert_eq!(during(&[]).0.activity, None, "a log that begins with the error does not say");
    let dead = "(APIServer pid=1) ERROR 05-21 09:27:46 [async_llm.py:704] vllm.v1.engine.exceptions.EngineDeadError: \
                EngineCore encountered an issue. See stack trace (above) for the root cause.\n";
    let (failure, _) = one(&([CONFIG, SIZED].concat() + &out + dead));
    assert_eq!(failure.activity.as_deref(), Some("serving"), "the line that says that it is ready is lacking");
    assert_eq!(failure.consequences[0].kind, "engine_core_died");
}

#[test]
fn what_the_traceback_went_through_says_more() {
    let frame = |function: &str| {
        format!(
            "(EngineCore pid=9) ERROR 05-21 09:27:30 [core.py:1]   File \"/opt/vllm/worker.py\", line 4712, in {function}\n"
        )
    };
    let out = torch("(EngineCore pid=9) ", 30, 0, "20.00 MiB", "14.00 MiB");
    let begun = [CONFIG, BEGUN, LOADED, SIZED].concat();
    let (failure, advised) = one(&(begun.clone() + &frame("capture_model") + &out));
    assert_eq!(failure.activity.as_deref(), Some("capturing_graphs"));
    assert!(advised.contains("--enforce-eager"), "{advised}");
    assert_eq!(one(&(begun + &frame("execute_model") + &out)).0.activity.as_deref(), Some("starting"));
}

#[test]
fn a_wake_up_says_what_sleeping_had_freed() {
    let slept = |freed: &str| {
        format!(
            "(EngineCore pid=9) INFO 05-21 09:25:00 [gpu_worker.py:1] Sleep mode freed {freed} GiB memory, 1.19 GiB memory is \
             still in use.\n(EngineCore pid=9) INFO 05-21 09:25:00 [abstract.py:1] It took 3.15 seconds to fall asleep.\n"
        )
    };
    let woke =
        "(EngineCore pid=9) INFO 05-21 09:26:00 [abstract.py:1] It took 1.15 seconds to wake up tags {'weights'}.\n";
    let out = "(EngineCore pid=9) ERROR 05-21 09:27:30 [core.py:1] RuntimeError: CUDA Error: out of memory at \
               /workspace/csrc/cumem_allocator.cpp:145\n";
    let ready = [CONFIG, BEGUN, LOADED, SIZED, READY].concat();
    let (failure, advised) = one(&(ready.clone() + &slept("0.0") + out));
    assert_eq!((failure.activity.as_deref(), failure.bytes.get("freed_by_sleep")), (Some("waking_up"), Some(&0)));
    assert!(advised.contains("had freed none"), "{advised}");
    let (failure, advised) = one(&(ready.clone() + &slept("35.43") + out));
    assert!(failure.bytes["freed_by_sleep"] > 35 << 30 && advised.contains("35.43 GiB"), "{advised}");
    let torch = torch("(EngineCore pid=9) ", 30, 0, "20.00 MiB", "14.00 MiB");
    assert_eq!(one(&(ready.clone() + &slept("35.43") + &torch)).0.activity.as_deref(), Some("waking_up"));
    assert_eq!(one(&(ready + &slept("35.43") + woke + &torch)).0.activity.as_deref(), Some("serving"));
}

#[test]
fn the_size_of_the_kv_cache_that_was_given_is_what_is_advised() {
    let args = "(APIServer pid=1) INFO 05-21 09:19:00 [utils.py:1] non-default args: {'model': '/m', 'kv_cache_memory_bytes': \
                8589934592, 'enforce_eager': True}\n";
    let log =
        [args, CONFIG, BEGUN, LOADED, SIZED].concat() + &torch("(EngineCore pid=9) ", 30, 0, "1.25 GiB", "1.18 GiB");
    let (_, advised) = one(&log);
    assert!(advised.contains("--kv-cache-memory-bytes (8.00 GiB now)"), "{advised}");
    assert!(!advised.contains("--gpu-memory-utilization") && !advised.contains("--enforce-eager"), "{advised}");
}

#[test]
fn a_process_that_the_kernel_ended_is_the_worker_with_its_number() {
    let log = "(Worker_TP0 pid=40) INFO 05-21 09:20:09 [x.py:1] Model loading took 14.99 GiB and 3.1 seconds\n\
               (Worker_TP1 pid=41) INFO 05-21 09:20:09 [x.py:1] Model loading took 14.99 GiB and 3.1 seconds\n\
               [18234.12] Out of memory: Killed process 41 (VLLM::Worker_TP) total-vm:98048000kB, anon-rss:61340032kB, \
               file-rss:0kB\n\
               (EngineCore pid=9) ERROR 05-21 09:20:12 [multiproc_executor.py:230] Worker proc VllmWorker-1 died \
               unexpectedly, shutting down executor.\n\
               (APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): \
               {'EngineCore': 1}\n";
    let (failure, advised) = one(log);
    assert_eq!((failure.kind.as_str(), failure.rank), ("host_out_of_memory", Some(1)));
    assert_eq!(failure.worker.as_deref(), Some("Worker_TP1 pid=41"));
    assert_eq!(failure.consequences.len(), 2);
    assert!(advised.starts_with("The host's memory ran out, not the device's"), "{advised}");
}

#[test]
fn who_was_killed_is_not_sought_in_lines_that_are_lacking() {
    for log in [
        "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore_DP0': -9}\n",
        "ERROR 03-02 19:49:43 [multiproc_worker_utils.py:120] Worker VllmWorkerProcess pid 195296 died, exit code: -9\n",
        "INFO 11-20 10:45:57 [gpu_executor.py:102] # GPU blocks: 12453, # CPU blocks: 2730\nKilled\n",
    ] {
        let (_, advised) = one(log);
        assert!(advised.contains("signal 9") && !advised.contains("lacks"), "{advised}");
    }
}

#[test]
fn an_error_of_a_process_without_a_tag_is_the_cause_and_no_line_is_lacking() {
    for cause in ["ValueError: a shape is odd", "AssertionError", "NotImplementedError"] {
        let log = format!(
            "ERROR 03-24 04:04:51 [core.py:340] EngineCore hit an exception: Traceback (most recent call last):\n\
             ERROR 03-24 04:04:51 [core.py:340]   File \"/opt/vllm/v1/engine/core.py\", line 332, in run_engine_core\n\
             ERROR 03-24 04:04:51 [core.py:340] {cause}\n"
        );
        let (failure, advised) = one(&log);
        assert_eq!((failure.kind.as_str(), failure.message.as_str()), ("other", cause));
        assert!(!advised.contains("lacks") && failure.consequences.len() == 1, "{advised}");
    }
    let (_, advised) =
        one("ERROR 03-24 04:04:51 [core.py:340] EngineCore hit an exception: Traceback (most recent call last):\n");
    assert!(advised.contains("lacks"), "{advised}");
}

#[test]
fn an_allocation_that_fails_in_passing_is_a_note() {
    let tried = "WARNING 05-21 09:20:15 [select_algorithm.py:1] CUDA out of memory. Tried to allocate 4.00 GiB.\n";
    let (engine, _) = read(&[CONFIG, BEGUN, LOADED, tried, SIZED, READY].concat());
    assert!(engine.failures.is_empty(), "{:?}", engine.failures);
    assert!(engine.notes.iter().any(|note| note.text.contains("the engine went on")), "{:?}", engine.notes);
    assert_eq!(read(&[CONFIG, BEGUN, LOADED, tried].concat()).0.failures.len(), 1);
}

#[test]
fn a_prefix_that_nobody_knows_hides_no_failure() {
    let (failure, _) = one("job-7/step 12 ~ torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 8.00 GiB.\n");
    assert_eq!((failure.kind.as_str(), failure.bytes["tried"]), ("out_of_memory", 8 << 30));
}
