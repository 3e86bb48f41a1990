//! One run: what took its memory, when, why, and what that cost in time.

mod answer;
mod cost;
mod expected;
mod peak;
mod setting;
mod when;

use vramscope_core::shortened;

use super::run::Run;
use super::{findings, named};
use crate::document::Document;
use crate::node::Node;
use crate::page::{Block, Finding, Page, Section, Weight};
use crate::unit::Unit;

/// A title is read at a glance.
const LONGEST_NAME: usize = 80;

pub(crate) fn page(document: &Document) -> Page {
    let run = Run::new(document.root(0));
    let name = run.model().map_or_else(|| super::name_of(document.name()), str::to_owned);
    let shown_above = (run.root.at("failure").is_there()).then_some("engine_failed");
    let mut sections = vec![answer::section(&run, document)];
    sections.extend(doubts(&run));
    sections.extend(peak::section(&run));
    sections.extend(findings::section(&run.root, shown_above));
    // The chart over time has the phases as its figures, and the gaps below it.
    let over_time = crate::time::section(document, 0);
    let is_drawn = over_time.is_some();
    sections.extend(over_time.or_else(|| phases(&run)));
    sections.extend(cost::section(&run));
    sections.extend(setting::section(&run));
    sections.extend(setting::evidence(&run, is_drawn));
    Page { title: format!("GPU memory of {}", shortened(&name, LONGEST_NAME)), about: about(document, &run), sections }
}

/// The phases of a run that has nothing over time.
fn phases(run: &Run<'_>) -> Option<Section> {
    crate::time::phases(&run.root).map(|table| Section::new("Phases", [Block::Table(table)]))
}

/// Of what, on what, when.
fn about(document: &Document, run: &Run<'_>) -> String {
    let mut words = vec![super::name_of(document.name())];
    let devices = run.root.path("gpu_info/devices").items();
    let each = devices.first().map(|device| {
        let size = device.at("total_bytes").figure(Unit::Memory).text;
        (device.at("name").text(), size)
    });
    words.extend(each.map(|(name, size)| match (name, run.gpus()) {
        (Some(name), 0 | 1) => format!("{name} of {size}"),
        (None, 0 | 1) => format!("GPU of {size}"),
        (Some(name), several) => format!("{several} times {name} of {size}"),
        (None, several) => format!("{several} GPUs of {size} each"),
    }));
    let engine = ["engine_type", "engine_version"].map(|name| run.root.at("engine_metadata").at(name));
    let engine: Vec<&str> = engine.iter().filter_map(Node::text).collect();
    if !engine.is_empty() {
        words.push(engine.join(" "));
    }
    words.extend(run.root.path("metadata/timestamp").text().map(named::moment));
    words.extend(run.root.path("metadata/status").text().map(str::to_owned));
    let words: Vec<String> = words.iter().map(|word| shortened(word, LONGEST_NAME).into_owned()).collect();
    words.join("; ")
}

/// What makes the figures of a migrated document doubtful.
fn doubts(run: &Run<'_>) -> Option<Section> {
    let migration = run.root.at("migration");
    if !migration.is_there() {
        return None;
    }
    let doubtful =
        migration.at("units").items().iter().any(|unit| unit.at("proven").is_there() && !unit.at("proven").is_true());
    let mut text = "This profile was written in an earlier version and read into the current one.".to_owned();
    if doubtful {
        text.push_str(
            " The unit of some of its amounts is not proven: each may be off by 7.4 % (4.9 % for MB and MiB).",
        );
    }
    let weight = if doubtful { Weight::Warning } else { Weight::Note };
    let finding = Finding { weight, text, advice: None, code: None };
    Some(Section::new("How far to trust it", [Block::Findings(vec![finding])]))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::document::Document;
    use crate::law;
    use crate::pages::page;

    const GIB: u64 = 1 << 30;

    fn gpu(gpu: usize, used: u64) -> Value {
        json!({"gpu": gpu, "used_bytes": used, "free_bytes": 80 * GIB - used, "total_bytes": 81 * GIB})
    }

    fn device(gpu: usize) -> Value {
        json!({"gpu": gpu, "peak_bytes": 60 * GIB, "baseline_bytes": GIB, "residual_bytes": -(1_i64 << 30), "components": [
            {"kind": "model_weights", "size_bytes": 20 * GIB, "confidence": "reported", "method": "engine_log"},
            {"kind": "kv_cache", "size_bytes": 40 * GIB, "confidence": "computed", "method": "blocks_times_bytes_per_block"}]})
    }

    fn profile(gpus: usize) -> Value {
        let all = gpus as u64;
        let phase = |name: &str, start: u64, peak: u64| json!({"phase": name, "start_ns": start, "end_ns": start + 10, "duration_s": 1e-8, "num_samples": 3, "peak_bytes": peak * all * GIB});
        json!({
            "profiler_version": "3.1", "schema_version": "3.1", "generator": {"name": "vramscope", "version": "0.1.0"},
            "metadata": {"status": "complete"},
            "memory_measurements": {"peak": {"total_bytes": 60 * all * GIB, "at_ns": 25,
                "per_gpu_details": (0..gpus).map(|place| gpu(place, 60 * GIB)).collect::<Vec<_>>()}},
            "memory_breakdown": {"total_measured_bytes": 60 * all * GIB, "baseline_bytes": all * GIB,
                "residual_bytes": i64::try_from(all).unwrap() * -(1 << 30), "residual_percentage": -1.7,
                "components": [
                    {"kind": "model_weights", "size_bytes": 20 * all * GIB, "share_of_peak_pct": 33.3, "confidence": "reported",
                     "method": "engine_log", "detail": "model loading", "log_lines": [16]},
                    {"kind": "kv_cache", "size_bytes": 40 * all * GIB, "share_of_peak_pct": 66.7, "confidence": "computed",
                     "method": "blocks_times_bytes_per_block", "resolution_bytes": GIB}],
                "per_device": (0..gpus).map(device).collect::<Vec<_>>()},
            "phases": [phase("baseline", 0, 1), phase("load", 10, 59), phase("measure", 20, 60)],
            "latency_stats": {"median_latency_ms": 10.5, "iterations_ms": [10.0, 11.0, 10.5, 10.25, 12.0, 10.5]},
            "diagnostics": [
                {"code": "small", "severity": "info", "message": "a small thing"},
                {"code": "large", "severity": "error", "message": "a large thing", "advice": "mend it", "evidence": {"a_bytes": 5, "a_gb": 5e-9}}],
        })
    }

    fn document(value: Value) -> Document {
        Document::new("runs/a/profile.json", value).unwrap()
    }

    #[test]
    fn every_figure_stands_in_the_document_whatever_is_damaged_or_missing() {
        law::of_kind(&profile(1));
        law::of_kind(&profile(2));
    }

    #[test]
    fn a_profile_with_every_field_has_a_page() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../vramscope-schema/tests/it/data/every_field.json");
        let value: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let figures = law::holds(&[document(value.clone())]);
        assert!(figures > 150, "{figures} figures");
        law::holds(&[document(law::with_texts(&value, "</script><script>alert(1)</script>"))]);
        law::holds(&[document(law::with_numbers(&value, &json!(u64::MAX)))]);
    }

    #[test]
    fn three_hundred_gpus_and_a_name_of_a_megabyte_stay_small() {
        let mut value = profile(300);
        value["model_info"] = json!({"name": "n".repeat(1 << 20)});
        assert!(law::holds(&[document(value)]) > 300);
    }

    #[test]
    fn the_text_alone_says_what_took_the_memory_when_and_why() {
        let text = page(&[document(profile(1))], None).unwrap().markdown();
        let (answer, rest) = text.split_once("## The peak taken apart").unwrap();
        for words in [
            "had 60.00 GiB of the GPU's 81.00 GiB in use",
            "KV cache 40.00 GiB, 66.7 % of the peak; then weights 20.00 GiB, baseline (others, before the engine) 1.00 GiB",
            "parts claim more than was measured",
            "-1.00 GiB",
            "after the recording began, in the phase measure. After the first phase the largest rise",
            "the largest rise was in the phase load, from 1.00 GiB to 59.00 GiB",
            "measure raised it from 59.00 GiB to the peak of 60.00 GiB",
            "20.00 GiB free at the peak, of 81.00 GiB in all",
        ] {
            assert!(answer.contains(words), "{words} is not in\n{answer}");
        }
        let (large, small) = (rest.find("a large thing").unwrap(), rest.find("a small thing").unwrap());
        assert!(large < small, "the worst is first");
    }

    #[test]
    fn a_failure_is_what_comes_first_and_is_said_once() {
        let mut value = profile(1);
        value["metadata"]["status"] = json!("failed");
        value["failure"] = json!({"kind": "out_of_memory", "phase": "load", "message": "it was too much", "numbers": {"free_bytes": 7}});
        value["diagnostics"] =
            json!([{"code": "engine_failed", "severity": "error", "message": "too much", "advice": "take less"}]);
        let text = page(&[document(value)], None).unwrap().markdown();
        let at = |words: &str| text.find(words).unwrap_or_else(|| panic!("{words} is not in\n{text}"));
        assert!(at("The run failed in the phase load: it was too much  \n  → take less\n") < at("60.00 GiB"));
        assert_eq!(text.matches("take less").count(), 1);
    }

    #[test]
    fn of_several_gpus_the_least_free_one_counts_and_like_levels_are_one() {
        let text = page(&[document(profile(2))], None).unwrap().markdown();
        assert!(text.contains("- Least free on one GPU (GPU 0): **20.00 GiB**"), "{text}");
        assert!(text.contains("At the peak each of 2 GPUs had 60.00 GiB in use."), "{text}");
        assert!(!page(&[document(profile(1))], None).unwrap().markdown().contains("Least free"));
    }

    #[test]
    fn what_belongs_to_others_is_said_with_the_process_that_holds_it() {
        let mut value = profile(1);
        value["memory_breakdown"]["baseline_bytes"] = json!(20 * GIB);
        let told = |value: &Value| page(&[document(value.clone())], None).unwrap().markdown();
        assert!(!told(&value).contains("other processes"), "nothing says whose it is");
        value["diagnostics"] =
            json!([{"code": "other_processes", "message": "m", "evidence": {"processes_before_count": 1}}]);
        assert!(told(&value).contains("20.00 GiB of it belong to other processes, not to this engine"));
        value["detailed_gpu_metrics"] = json!({"gpus": [{"processes": [
            {"pid": 5533, "memory_bytes": 20 * GIB - 1000}, {"pid": 5558, "memory_bytes": 40 * GIB}]}]});
        let text = told(&value);
        assert!(text.contains("before it started, by pid 5533 (told by its size, 20.00 GiB)."), "{text}");
    }

    #[test]
    fn a_part_that_cannot_be_there_has_no_row_and_its_reason_is_said() {
        let mut value = profile(1);
        let parts = value["memory_breakdown"]["components"].as_array_mut().unwrap();
        parts.push(json!({"kind": "collectives", "size_bytes": 0, "detail": "one rank has none"}));
        let text = page(&[document(value)], None).unwrap().markdown();
        assert!(
            !text.contains("| collectives |") && text.contains("Not in this run: collectives (one rank has none).")
        );
    }

    #[test]
    fn phases_are_printed_once_whether_or_not_something_is_drawn_over_time() {
        let mut value = profile(1);
        let count =
            |value: &Value| page(&[document(value.clone())], None).unwrap().markdown().matches("| measure |").count();
        assert_eq!(count(&value), 1);
        let point = |at: u64| json!({"at_ns": at, "memory_bytes": GIB});
        value["memory_timeline"] = json!({"timeline": [point(0), point(10), point(20)]});
        assert_eq!(count(&value), 1);
    }

    #[test]
    fn gaps_are_printed_once_with_their_figures_whether_or_not_something_is_drawn_over_time() {
        let mut value = profile(1);
        value["gaps"] = json!([{"cause": "missed_ticks", "start_ns": 3, "end_ns": 8, "missed": 4}]);
        let count = |value: &Value| {
            let html = page(&[document(value.clone())], None).unwrap().html();
            (html.matches("data-figure=\"0:/gaps/0/end_ns\"").count(), html.matches(">missed ticks<").count())
        };
        assert_eq!(count(&value), (1, 1));
        let point = |at: u64| json!({"at_ns": at, "memory_bytes": GIB});
        value["memory_timeline"] = json!({"timeline": [point(0), point(10), point(20)]});
        assert_eq!(count(&value), (1, 1));
    }

    #[test]
    fn a_run_without_memory_or_without_parts_has_whole_sentences() {
        let told = |used: u64, residual: u64| {
            let value = json!({"profiler_version": "3.1",
                "memory_measurements": {"peak": {"total_bytes": used, "at_ns": 1, "per_gpu_details": [gpu(0, used)]}},
                "memory_breakdown": {"total_measured_bytes": used, "residual_bytes": residual}});
            page(&[document(value)], None).unwrap().markdown()
        };
        let text = told(0, 0);
        assert!(text.contains("The peak is 0.00 GiB: nothing was in use; 80.00 GiB stayed free."), "{text}");
        assert!(text.contains("No memory was in use at any reading") && !text.contains("explain all of it"), "{text}");
        let text = told(GIB, 0);
        assert!(
            text.contains("The peak is 1.00 GiB, and none of its parts is known; 79.00 GiB stayed free."),
            "{text}"
        );
        assert!(told(GIB, GIB).contains("The peak of 1.00 GiB is residual +1.00 GiB; 79.00 GiB stayed free."));
    }

    #[test]
    fn the_baseline_has_its_share_of_the_peak_and_is_measured() {
        let text = page(&[document(profile(1))], None).unwrap().markdown();
        let row = text.lines().find(|line| line.starts_with("| baseline") && line.contains("1.67 %"));
        assert!(row.is_some_and(|row| row.contains("| measured |")), "{text}");
    }

    #[test]
    fn a_profile_that_knows_nothing_says_so() {
        let text = page(&[document(json!({"profiler_version": "1.0"}))], None).unwrap().markdown();
        assert!(text.contains("does not say how much memory was in use"), "{text}");
    }
}
