//! Snapshots of real processes on an H200, against what torch and its own viewer say of each: `data/README.md`.

use std::path::PathBuf;

use serde_json::Value;
use vramscope_snapshot::document::{Extract, SnapshotDocument};
use vramscope_snapshot::{By, Series, Snapshot, Source, Taken};

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/data").join(name)
}

fn read(name: &str) -> Snapshot {
    Snapshot::read(&Source::file(data(name))).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn document(name: &str, by: By) -> SnapshotDocument {
    SnapshotDocument::of(&read(name), Extract { by, top: 50 }).unwrap()
}

/// What torch says of each file.
fn torch() -> serde_json::Map<String, Value> {
    let text = std::fs::read_to_string(data("torch.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn sums_equal_those_of_torch_and_its_viewer_to_the_byte() {
    for (name, said) in torch() {
        let document = document(&format!("{name}.pickle.gz"), By::Stack);
        let (all, viewer) = (&document.totals, &said["viewer"]);
        let stats = |figure: &str| said["stats"][format!("{figure}_bytes")].as_u64();
        assert_eq!(Some(all.reserved_bytes), stats("reserved"), "{name}");
        assert_eq!(Some(all.allocated_bytes), stats("allocated"), "{name}");
        assert_eq!(Some(all.active_bytes), stats("active"), "{name}");
        assert_eq!(all.requested_bytes, stats("requested"), "{name}");
        assert_eq!(viewer["total_reserved"], all.reserved_bytes, "{name}");
        assert_eq!(viewer["segments"], all.segments, "{name}");
        // What the viewer calls allocated is what was asked for in blocks that tensors have; free is the rest.
        assert_eq!(viewer["total_free"], all.reserved_bytes - viewer["total_allocated"].as_u64().unwrap(), "{name}");
        let mut by_stream = std::collections::BTreeMap::new();
        for pool in &document.pools {
            let amounts = &pool.amounts;
            for (state, bytes) in [
                ("active_allocated", amounts.allocated_bytes),
                ("active_pending_free", amounts.waiting_bytes),
                ("inactive", amounts.inactive_bytes),
            ] {
                *by_stream.entry(format!("stream_{};{state}", pool.stream)).or_insert(0) += bytes;
            }
        }
        by_stream.retain(|_, bytes| *bytes > 0);
        let said = viewer["memory"].as_object().unwrap();
        let said = said.iter().map(|(state, bytes)| (state.clone(), bytes.as_u64().unwrap()));
        assert_eq!(by_stream, said.filter(|(_, bytes)| *bytes > 0).collect(), "{name}");
        for (action, said) in viewer["trace"].as_object().unwrap() {
            let rows = document.histories.iter().flat_map(|history| &history.actions);
            let sum = rows
                .filter(|row| row.action == *action)
                .fold((0, 0), |sum, row| (sum.0 + row.count, sum.1 + row.bytes));
            assert_eq!((said[0].as_u64(), said[1].as_u64()), (Some(sum.0), Some(sum.1)), "{name} {action}");
        }
        assert!(document.notes.iter().all(|note| ["no_stacks", "older_allocations"].contains(&note.kind.as_str())));
    }
}

#[test]
fn the_highest_use_is_torchs_where_the_history_covers_it() {
    let torch = torch();
    for name in [
        "vllm-8b-oom",
        "vllm-moe-trial",
        "vllm-moe-captured",
        "vllm-8b-tp2-rank0",
        "vllm-8b-tp2-rank1",
        "vllm-expandable",
        "transformers-forward",
        "expandable-holes",
        "streams",
        "streams-oom",
        "streams-2.11",
    ] {
        let document = document(&format!("{name}.pickle.gz"), By::Stack);
        let peak = document.histories[0].peak.as_ref().unwrap();
        assert_eq!(torch[name]["highest_requested"], peak.requested_bytes, "{name}");
        let alive = &peak.alive;
        assert_eq!(
            alive.rows.iter().map(|row| row.bytes).sum::<u64>() + alive.rest_bytes,
            peak.requested_bytes,
            "{name}"
        );
    }
}

#[test]
fn two_ranks_are_told_from_one_process() {
    let pair = |names: [&str; 2]| Series::of(names.map(|name| Taken::of(&read(name), By::Stack)).to_vec()).apart;
    assert_eq!(pair(["vllm-8b-tp2-rank0.pickle.gz", "vllm-8b-tp2-rank1.pickle.gz"]), 1);
    assert_eq!(pair(["vllm-8b-captured.pickle.gz", "vllm-8b-oom.pickle.gz"]), 0);
    assert_eq!(pair(["growth/0.pickle.gz", "growth/9.pickle.gz"]), 0);
}

#[test]
fn the_json_of_a_snapshot_says_what_its_pickle_says() {
    let (mut pickle, mut json) = (document("streams.pickle.gz", By::Stack), document("streams.json", By::Stack));
    assert_eq!((pickle.file.format.as_str(), json.file.format.as_str()), ("pickle", "json"));
    pickle.file = json.file.clone();
    json.file = pickle.file.clone();
    assert_eq!(pickle, json);
    assert_eq!(pickle.host.as_ref().map(|host| (host.segments, host.bytes)), Some((1, 16 << 20)));
    assert_eq!(pickle.annotations, 2);
    let kinds: Vec<_> = pickle.pools.iter().filter_map(|pool| pool.kind.as_deref()).collect();
    assert_eq!(kinds, ["default", "default", "capture", "program"]);
    assert_eq!(pickle.totals.waiting_bytes, 40 << 20);
}

#[test]
fn an_out_of_memory_is_the_one_that_torch_told_its_observer() {
    let torch = torch();
    for name in ["streams-oom", "vllm-8b-oom"] {
        let document = document(&format!("{name}.pickle.gz"), By::Function);
        let oom = document.histories[0].out_of_memory.last().unwrap();
        let told = &torch[name]["oom"];
        assert_eq!(
            (told["asked"].as_u64(), told["free"].as_u64()),
            (Some(oom.asked_bytes), Some(oom.device_free_bytes))
        );
        assert!(oom.moment.is_some() && oom.before.len() == 10 && oom.largest_free_bytes > Some(0), "{name}");
    }
}

#[test]
fn parts_of_an_engines_rank_are_told_by_its_functions() {
    for (name, least) in [("vllm-8b-captured", 0.998), ("vllm-moe-captured", 0.998), ("vllm-expandable", 0.998)] {
        let document = document(&format!("{name}.pickle.gz"), By::Part);
        let rows = &document.holders.rows;
        let known = rows.iter().filter(|row| !matches!(row.name.as_deref(), None | Some("other")));
        assert!(known.map(|row| row.share).sum::<f64>() >= least, "{name}: {rows:?}");
        assert_eq!(rows[0].name.as_deref(), Some("KV cache"), "{name}");
        assert_eq!(rows[1].name.as_deref(), Some("weights"), "{name}");
    }
}

#[test]
fn a_leak_of_three_mebibytes_a_period_is_named_in_ten_snapshots_and_none_in_a_steady_process() {
    let series = |folder: &str| {
        Series::of((0..10).map(|k| Taken::of(&read(&format!("{folder}/{k}.pickle.gz")), By::Stack)).collect())
    };
    let growth = series("growth");
    let growing: Vec<_> = growth.rows.iter().filter(|row| row.grows()).collect();
    assert_eq!(growing.len(), 1, "{growing:?}");
    assert_eq!((growing[0].change(), growing[0].count_change()), (27 << 20, 27));
    assert!(growing[0].label.as_deref().unwrap().ends_with(" serve_one"), "{growing:?}");
    let few = |files: &[usize]| {
        let taken = files.iter().map(|k| Taken::of(&read(&format!("growth/{k}.pickle.gz")), By::Stack));
        Series::of(taken.collect())
    };
    let (again, short) = (few(&[0, 0, 0, 4, 4, 4, 9, 9, 9]), few(&[0, 1, 2, 3]));
    assert_eq!((again.points.len(), again.repeated, again.grows(), again.too_few()), (3, 6, false, true));
    assert!(short.too_few() && !short.grows(), "four are never enough");
    let steady = series("steady");
    assert!(steady.rows.iter().all(|row| !row.grows()) && steady.rows.len() > 1, "{:?}", steady.rows);
    assert!(!steady.grows(), "what fills at the start of a process is no growth of all together: {:?}", steady.total);
}
