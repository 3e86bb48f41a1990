//! What is told of snapshots that were asked for.

use vramscope_core::{Bytes, on_one_line};

use super::state::State;
use super::{AskedSnapshots, SnapshotMoment};

/// So many processes are spoken of one by one.
const MOST_SPOKEN_OF: usize = 16;

/// Of every process that used a GPU what it made and what that took, and of what was not made why.
pub(super) fn of(states: &[State], asked: &AskedSnapshots) -> Vec<String> {
    let recording: Vec<&State> = states.iter().filter(|state| state.recording).collect();
    let mut notes: Vec<String> = recording.iter().take(MOST_SPOKEN_OF).flat_map(|state| of_one(state, asked)).collect();
    if let Some(more) = recording.len().checked_sub(MOST_SPOKEN_OF).filter(|more| *more > 0) {
        notes.push(format!("allocator snapshots of {more} more processes of the engine are not spoken of here"));
    }
    if recording.is_empty() {
        notes.push(format!("allocator snapshots were asked for, and none was made: {}", why_none(states)));
    }
    notes
}

/// Why no process recorded anything.
fn why_none(states: &[State]) -> String {
    if let Some(failure) = states.iter().flat_map(|state| &state.failures).next() {
        return on_one_line(&failure.why);
    }
    match states.len() {
        0 => "no process of the engine imported PyTorch behind the hook; is it Python, and started without -I, -E and -S?"
            .to_owned(),
        1 => "one process of the engine imported PyTorch, and it used no GPU by it".to_owned(),
        processes => format!("{processes} processes of the engine imported PyTorch, and none used a GPU by it"),
    }
}

fn of_one(state: &State, asked: &AskedSnapshots) -> Vec<String> {
    let rank = state.rank.map_or(String::new(), |rank| format!(" (rank {rank})"));
    let who = format!("allocator snapshots of process {}{rank}", state.pid);
    let mut made: Vec<String> = Vec::new();
    for (moment, made_of) in &state.made {
        let times = if made_of.times > 1 { format!(" in {} times", made_of.times) } else { String::new() };
        made.push(format!("{moment} {:.2} s{times}", made_of.seconds));
    }
    let mut notes = Vec::new();
    if !made.is_empty() {
        let looks = state.recorded_s.filter(|recorded| *recorded > 0.0).map_or(String::new(), |recorded| {
            format!("; looks took {:.2} % of its time", 100.0 * state.looking_s / recorded)
        });
        notes.push(format!("{who} held up its Python: {}{looks}", made.join(", ")));
    }
    let kept = state.made.get(SnapshotMoment::Peak.name());
    if let Some((kept, highest)) = kept.zip(state.highest_reserved_bytes)
        && highest > kept.reserved_bytes
    {
        let (highest, kept) = (Bytes::new(highest), Bytes::new(kept.reserved_bytes));
        notes.push(format!("{who}: torch had reserved {highest}, and the snapshot of its peak is of {kept}"));
    }
    let with_oom = u64::try_from(state.made.keys().filter(|name| name.starts_with("oom")).count()).unwrap_or(u64::MAX);
    if state.ooms > with_oom {
        notes.push(format!("{who}: {} allocations failed, and {with_oom} of them have snapshots", state.ooms));
    }
    let missing = asked.moments.iter().filter(|moment| !state.made.contains_key(moment.name()));
    notes.extend(missing.map(|moment| format!("{who}: {}, {}", not_made(*moment), why(state, *moment))));
    notes
}

fn not_made(moment: SnapshotMoment) -> String {
    format!("that of {} was asked for, and not made", moment.name())
}

/// Why a process did not make this one.
fn why(state: &State, moment: SnapshotMoment) -> String {
    let name = moment.name();
    let of_it = |of: Option<&str>| of.is_none_or(|of| of == name);
    if let Some(failure) = state.failures.iter().find(|failure| of_it(failure.moment.as_deref())) {
        return on_one_line(&failure.why);
    }
    match moment {
        SnapshotMoment::Peak => "as what torch had reserved did not stay the same for long enough".to_owned(),
        SnapshotMoment::End => "as the process ended, or was stopped, before it came to it".to_owned(),
        SnapshotMoment::Oom => "as no allocation failed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(json: &str) -> Vec<State> {
        serde_json::from_str(json).unwrap()
    }

    fn told(json: &str) -> Vec<String> {
        let moments = vec![SnapshotMoment::Peak, SnapshotMoment::End, SnapshotMoment::Oom];
        of(&states(json), &AskedSnapshots { moments, entries: 1000 })
    }

    #[test]
    fn what_was_made_is_told_with_its_cost_and_what_was_not_with_its_reason() {
        let notes = told(
            r#"[{"pid": 7, "rank": 0, "recording": true, "ooms": 0, "highest_reserved_bytes": 3221225472,
                "recorded_s": 100.0, "looking_s": 0.25, "looks": 4000,
                "made": {"peak": {"file": "a", "reserved_bytes": 2147483648, "times": 3, "seconds": 1.5}},
                "failures": [{"moment": "end", "why": "OSError: no room"}]}]"#,
        );
        let expected = [
            "allocator snapshots of process 7 (rank 0) held up its Python: peak 1.50 s in 3 times; looks took 0.25 % of its \
             time",
            "allocator snapshots of process 7 (rank 0): torch had reserved 3.00 GiB, and the snapshot of its peak is of 2.00 \
             GiB",
            "allocator snapshots of process 7 (rank 0): that of end was asked for, and not made, OSError: no room",
            "allocator snapshots of process 7 (rank 0): that of oom was asked for, and not made, as no allocation failed",
        ];
        assert_eq!(notes, expected);
    }

    #[test]
    fn a_run_without_any_snapshot_says_why() {
        assert!(told("[]")[0].contains("no process of the engine imported PyTorch behind the hook"));
        let idle = r#"{"pid": 7, "rank": null, "recording": false, "ooms": 0, "highest_reserved_bytes": null,
            "recorded_s": null, "looking_s": 0, "made": {}, "failures": []}"#;
        assert!(told(&format!("[{idle}]"))[0].contains("it used no GPU"));
        let failed = idle.replace("\"failures\": []", r#""failures": [{"moment": null, "why": "no history\nhere"}]"#);
        let told = told(&format!("[{failed}]"));
        assert_eq!(told, ["allocator snapshots were asked for, and none was made: no history here"]);
    }
}
