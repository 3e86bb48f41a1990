//! `vramscope schema`: the JSON Schemas of the documents that this command writes.

use anyhow::anyhow;
use schemars::Schema;
use serde_json::json;
use vramscope_schema::ExitCode;

use crate::exit::OrExit as _;
use crate::output::{self, Format};
use crate::table::{Align, Table};

/// A document that some subcommand writes.
struct Document {
    /// The name by which it is asked for, and the stem of its file in `schemas/`.
    name: &'static str,
    /// What it is, in a few words.
    about: &'static str,
    schema: fn() -> Schema,
}

/// Every document, by name.
const DOCUMENTS: &[Document] = &[
    Document {
        name: "against",
        about: "repeats of one run against repeats of another, with a verdict on each figure",
        schema: vramscope_compare::document::against_json_schema,
    },
    Document {
        name: "allocator-series",
        about: "snapshots of PyTorch's allocator in a row: what changed, by whom, and what keeps growing",
        schema: vramscope_snapshot::document::series_json_schema,
    },
    Document {
        name: "allocator-snapshot",
        about: "who holds the memory inside a PyTorch process, from one snapshot of its allocator",
        schema: vramscope_snapshot::document::json_schema,
    },
    Document {
        name: "calculator-check",
        about: "a profile beside what a calculator said",
        schema: vramscope_compare::document::calculator_json_schema,
    },
    Document {
        name: "campaign",
        about: "a campaign file: models, lengths and batch sizes to be profiled",
        schema: vramscope_runs::campaign_json_schema,
    },
    Document {
        name: "campaign-plan",
        about: "what a campaign would run, by --dry-run",
        schema: vramscope_runs::campaign_plan_json_schema,
    },
    Document {
        name: "comparison",
        about: "two profiles against each other, figure by figure",
        schema: vramscope_compare::document::comparison_json_schema,
    },
    Document {
        name: "doctor",
        about: "whether this machine can profile an engine, and what it lacks",
        schema: vramscope_schema::doctor::json_schema,
    },
    Document {
        name: "estimate",
        about: "the memory budget that an engine will set up, part by part with intervals",
        schema: vramscope_estimate::document::json_schema,
    },
    Document {
        name: "estimate-llama-cpp",
        about: "what a server of llama.cpp will take of a device and of the host, part by part",
        schema: vramscope_estimate::llama_cpp_json_schema,
    },
    Document {
        name: "estimate-sglang",
        about: "what a server of SGLang will take of each device, and its pool in tokens",
        schema: vramscope_estimate::sglang_json_schema,
    },
    Document {
        name: "experiment",
        about: "a server's baseline: latency, throughput by batch, cost of lengths, with verdicts",
        schema: vramscope_load::document::experiment_json_schema,
    },
    Document {
        name: "explanation",
        about: "why a KV cache is as large as it is, or why one of two is larger, term by term",
        schema: vramscope_compare::document::explanation_json_schema,
    },
    Document {
        name: "fit",
        about: "on how many and which GPUs a model can be served, and how far it goes",
        schema: vramscope_estimate::document::fit_json_schema,
    },
    Document {
        name: "fit-llama-cpp",
        about: "which settings of a server of llama.cpp fit a device, each with its command line",
        schema: vramscope_estimate::llama_cpp_fit_json_schema,
    },
    Document {
        name: "fit-sglang",
        about: "which settings of a server of SGLang serve requests on a device, each with its command line",
        schema: vramscope_estimate::sglang_fit_json_schema,
    },
    Document {
        name: "gpu-snapshot",
        about: "what the GPUs of this machine are and hold now",
        schema: vramscope_gpu::document::json_schema,
    },
    Document {
        name: "load",
        about: "a load: what a server was sent at which levels, and how fast it answered",
        schema: vramscope_load::document::load_json_schema,
    },
    Document { name: "log-report", about: "what an engine log says", schema: vramscope_log::document::json_schema },
    Document {
        name: "profile",
        about: "one run: where its GPU memory went, on what evidence, and what it cost in time",
        schema: vramscope_schema::json_schema,
    },
    Document {
        name: "repeat",
        about: "how far several runs of one kind agree",
        schema: vramscope_compare::document::repeat_json_schema,
    },
    Document {
        name: "run-layers",
        about: "a run's weights, KV cache and recurrent state by layer, beside what its log and snapshots state",
        schema: vramscope_estimate::document::run_layers_json_schema,
    },
    Document {
        name: "run-record",
        about: "how a conducted run ended, in its recording folder",
        schema: vramscope_runs::record_json_schema,
    },
    Document {
        name: "runs",
        about: "many runs beside each other, and what each axis of a sweep does",
        schema: vramscope_compare::document::runs_json_schema,
    },
    Document {
        name: "timeline",
        about: "one line of a recording of GPU readings",
        schema: vramscope_timeline::document::json_schema,
    },
    Document {
        name: "timeline-report",
        about: "statistics of a recording: figures, idle times, energy, gaps, correlations",
        schema: vramscope_timeline::document::report_json_schema,
    },
    Document {
        name: "trace",
        about: "where the time of a GPU went, from one torch-profiler trace",
        schema: vramscope_trace::document::json_schema,
    },
    Document {
        name: "trace-diff",
        about: "two traces against each other, kernel by kernel",
        schema: vramscope_trace::document::diff_json_schema,
    },
    Document {
        name: "trace-ranks",
        about: "the traces of several ranks beside each other",
        schema: vramscope_trace::document::ranks_json_schema,
    },
];

/// Print the JSON Schema of a document, or list the documents
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  vramscope schema
  vramscope schema profile > profile.schema.json

Exit codes: 0 done, 2 there is no such document, 4 the result cannot be written.")]
pub(crate) struct Args {
    /// The document; without it, all are listed
    #[arg(value_name = "NAME", value_parser = names(), hide_possible_values = true)]
    name: Option<String>,
    /// How to list them; a schema itself is always JSON
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// The names, so that shells complete them.
fn names() -> clap::builder::PossibleValuesParser {
    clap::builder::PossibleValuesParser::new(DOCUMENTS.iter().map(|document| document.name))
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let text = match &args.name {
        Some(name) => output::json_text(&schema(name)?)?,
        None => match args.format {
            Format::Table => table(),
            Format::Json => output::json_text(&json!(
                DOCUMENTS.iter().map(|d| json!({"name": d.name, "about": d.about})).collect::<Vec<_>>()
            ))?,
        },
    };
    output::print(&text)?;
    Ok(ExitCode::Success)
}

fn schema(name: &str) -> anyhow::Result<serde_json::Value> {
    let document = DOCUMENTS.iter().find(|document| document.name == name);
    let names = || DOCUMENTS.iter().map(|document| document.name).collect::<Vec<_>>().join(", ");
    let unknown = || anyhow!("there is no document {name:?}; there are {}", names());
    let document = document.ok_or_else(unknown).or_exit(ExitCode::Usage)?;
    let mut schema = (document.schema)();
    vramscope_schema::for_validators(&mut schema);
    Ok(schema.to_value())
}

fn table() -> String {
    let mut table = Table::new(&[("name", Align::Left), ("document", Align::Left)]);
    for document in DOCUMENTS {
        table.row([document.name.to_owned(), document.about.to_owned()]);
    }
    table.render(output::width())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::Value;

    use super::*;

    /// Whether a property is an object, a list, text, a number or a truth value.
    fn kinds(whole: &Value, property: &Value) -> BTreeSet<String> {
        if let Some(place) = property["$ref"].as_str() {
            return whole.pointer(place.trim_start_matches('#')).map(|there| kinds(whole, there)).unwrap_or_default();
        }
        let any = ["anyOf", "oneOf"].iter().filter_map(|key| property[*key].as_array()).flatten();
        let mut found: BTreeSet<String> = any.flat_map(|one| kinds(whole, one)).collect();
        let named = property["type"].as_array().cloned().unwrap_or_else(|| vec![property["type"].clone()]);
        let named = named.iter().filter_map(Value::as_str).filter(|kind| *kind != "null");
        found.extend(named.map(|kind| if kind == "integer" { "number" } else { kind }.to_owned()));
        found
    }

    /// Readers of whole tables, as polars and pyarrow, give each name of a file of JSON lines one type.
    #[test]
    fn a_name_has_one_type_in_all_lines_of_a_recording() {
        let whole = schema("timeline").unwrap();
        let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut variants = vec![&whole];
        let mut lines = 0;
        while let Some(one) = variants.pop() {
            variants.extend(["anyOf", "oneOf", "allOf"].iter().filter_map(|key| one[*key].as_array()).flatten());
            if let Some(place) = one["$ref"].as_str() {
                variants.extend(whole.pointer(place.trim_start_matches('#')));
            }
            let properties = one["properties"].as_object();
            lines += usize::from(properties.is_some());
            for (name, property) in properties.into_iter().flatten() {
                names.entry(name.clone()).or_default().extend(kinds(&whole, property));
            }
        }
        assert!(lines > 8 && names.contains_key("tick"), "{lines} kinds of lines, {names:?}");
        names.retain(|_, kinds| kinds.len() > 1);
        assert_eq!(names, BTreeMap::new());
    }

    #[test]
    fn every_document_has_a_schema_of_the_draft_that_validators_are_told() {
        for document in DOCUMENTS {
            let schema = schema(document.name).unwrap();
            assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{}", document.name);
            assert!(schema["title"].is_string(), "{}", document.name);
        }
        assert!(DOCUMENTS.is_sorted_by_key(|document| document.name));
    }
}
