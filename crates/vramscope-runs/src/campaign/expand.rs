//! From a campaign to its runs.

use std::collections::BTreeMap;

use super::{CampaignError, CampaignFile, MOST_RUNS, ModelEntry};
use crate::record::Shape;

/// So much of a model's name is a part of a file's name, in characters; no file system takes more than 255 in all.
const LONGEST_NAME: usize = 100;

/// One run of a campaign.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PlannedRun {
    /// What people call it, unique within the campaign: what it is of, and what tells it apart.
    pub name: String,
    /// The same without what tells it from others of the campaign: it does not depend on what else is asked for.
    pub label: String,
    /// The model.
    pub model: String,
    /// The running container in which the engine is started.
    pub container: Option<String>,
    /// The image of which a new container is made.
    pub image: Option<String>,
    /// Prompt tokens; `None` where the file does not say.
    pub input_len: Option<u64>,
    /// The prompt of every request, where the workload takes a text.
    pub prompt: Option<String>,
    /// Generated tokens.
    pub output_len: Option<u64>,
    /// Requests in flight together.
    pub batch_size: Option<u64>,
    /// Measured iterations.
    pub num_iters: Option<u64>,
    /// Iterations before the measured ones.
    pub num_iters_warmup: Option<u64>,
    /// The model's shape, as far as the file gives it.
    pub shape: Shape,
    /// The engine's flags by its names; `None` for a switch.
    pub flags: Vec<(&'static str, Option<String>)>,
    /// Run code that comes with the model.
    pub trust_remote_code: bool,
    /// Further arguments of the engine.
    pub engine_args: Vec<String>,
    /// What a person should know of how the file was read.
    pub notes: Vec<String>,
}

/// The runs in the order of the file: model by model, the batch size changes fastest.
///
/// # Errors
/// [`CampaignError::NothingAsked`] for an axis without values, [`CampaignError::TooMany`].
pub fn expand(file: &CampaignFile) -> Result<Vec<PlannedRun>, CampaignError> {
    let mut runs = Vec::new();
    let mut names = Names::default();
    for entry in &file.models {
        let inputs = axis(entry, "input_lengths", entry.input_lengths.as_deref())?;
        let outputs = axis(entry, "output_lengths", entry.output_lengths.as_deref())?;
        let batches = axis(entry, "batch_sizes", entry.batch_sizes.as_deref())?;
        let count = inputs.len().checked_mul(outputs.len()).and_then(|n| n.checked_mul(batches.len()));
        let count = count.and_then(|n| n.checked_add(runs.len()));
        if count.is_none_or(|count| count > MOST_RUNS) {
            return Err(CampaignError::TooMany);
        }
        for input_len in &inputs {
            for output_len in &outputs {
                for batch_size in &batches {
                    let mut run = of(entry, *input_len, *output_len, *batch_size);
                    run.name = names.unique(&run.label);
                    runs.push(run);
                }
            }
        }
    }
    Ok(runs)
}

/// The values of an axis; one run without it where the file does not name it.
fn axis(entry: &ModelEntry, field: &'static str, values: Option<&[u64]>) -> Result<Vec<Option<u64>>, CampaignError> {
    match values {
        None => Ok(vec![None]),
        Some([]) => Err(CampaignError::NothingAsked { model: entry.model_id.clone(), field }),
        Some(values) => Ok(values.iter().copied().map(Some).collect()),
    }
}

fn of(entry: &ModelEntry, input_len: Option<u64>, output_len: Option<u64>, batch_size: Option<u64>) -> PlannedRun {
    let mut notes = Vec::new();
    let dtype = entry.dtype.clone().filter(|dtype| {
        // Files name the method twice; the engine knows it as the method alone.
        let method = entry.quantization.as_deref() == Some(dtype.as_str());
        if method {
            notes.push(format!("dtype {dtype} is the quantization, and no element type: it is left to the engine"));
        }
        !method
    });
    let text = |value: Option<u64>| value.map(|value| value.to_string());
    let values = [
        ("tensor-parallel-size", text(entry.tensor_parallel_size)),
        ("pipeline-parallel-size", text(entry.pipeline_parallel_size)),
        ("dtype", dtype),
        ("quantization", entry.quantization.clone()),
        ("kv-cache-dtype", entry.kv_cache_dtype.clone()),
        ("max-model-len", text(entry.max_model_len)),
        ("gpu-memory-utilization", entry.gpu_memory_utilization.map(|share| share.to_string())),
    ];
    let values = values.into_iter().filter_map(|(name, value)| Some((name, Some(value?))));
    let eager = entry.enforce_eager.unwrap_or(false).then_some(("enforce-eager", None));
    PlannedRun {
        name: String::new(),
        label: label(entry, input_len, output_len, batch_size),
        model: entry.model_id.clone(),
        container: entry.container_name.clone(),
        image: entry.image.clone(),
        input_len,
        prompt: entry.prompt.clone(),
        output_len,
        batch_size,
        num_iters: entry.num_iters,
        num_iters_warmup: entry.num_iters_warmup,
        shape: Shape {
            parameters: entry.model_params.and_then(whole),
            layers: entry.num_layers,
            heads: entry.num_heads,
            kv_heads: entry.num_kv_heads,
            head_dim: entry.head_dim,
            hidden_size: entry.hidden_size,
            intermediate_size: entry.intermediate_size,
            vocab_size: entry.vocab_size,
        },
        flags: values.chain(eager).collect(),
        trust_remote_code: entry.trust_remote_code.unwrap_or(false),
        engine_args: entry.engine_args.clone(),
        notes,
    }
}

/// `6.7e9` is how people write a number of parameters.
fn whole(count: f64) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range by the filter")]
    Some(count).filter(|count| (1.0..1e15).contains(count)).map(|count| count.round() as u64)
}

/// `GLM-4.5-Air_tp4_in512_out256_bs8`: what may be in a file's name, on any system.
fn label(entry: &ModelEntry, input_len: Option<u64>, output_len: Option<u64>, batch_size: Option<u64>) -> String {
    let model = entry.model_id.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let plain = model.chars().map(|c| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '-' });
    let model: String = plain.take(LONGEST_NAME).collect();
    let model = model.trim_start_matches('.');
    let part = |name: &str, value: Option<u64>| value.map_or(String::new(), |value| format!("_{name}{value}"));
    let parts = [
        part("tp", entry.tensor_parallel_size.filter(|ranks| *ranks > 1)),
        part("in", input_len),
        part("out", output_len),
        part("bs", batch_size),
    ];
    format!("{}{}", if model.is_empty() { "model" } else { model }, parts.concat())
}

/// The names that are taken, each with the number that the next one like it is tried with.
#[derive(Default)]
struct Names(BTreeMap<String, usize>);

impl Names {
    /// Two entries may differ in what the name does not say.
    fn unique(&mut self, name: &str) -> String {
        let mut candidate = name.to_owned();
        while self.0.contains_key(&candidate) {
            let number = self.0.entry(name.to_owned()).or_insert(2);
            candidate = format!("{name}_{number}");
            *number += 1;
        }
        self.0.insert(candidate.clone(), 2);
        candidate
    }
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;

    fn runs(text: &str) -> Vec<PlannedRun> {
        expand(&read(text).unwrap()).unwrap()
    }

    #[test]
    fn every_batch_size_runs_with_every_length() {
        let text = "models:\n- model_id: org/Big Model\n  tensor_parallel_size: 4\n  input_lengths: [256, 512]\n  \
                    output_lengths: [64]\n  batch_sizes: [1, 8]\n  model_params: 6.7e9\n  quantization: null\n";
        let runs = runs(text);
        let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "Big-Model_tp4_in256_out64_bs1",
                "Big-Model_tp4_in256_out64_bs8",
                "Big-Model_tp4_in512_out64_bs1",
                "Big-Model_tp4_in512_out64_bs8"
            ]
        );
        assert_eq!(runs[0].shape.parameters, Some(6_700_000_000));
        assert_eq!(runs[0].flags, [("tensor-parallel-size", Some("4".to_owned()))], "null is not said");
    }

    #[test]
    fn entries_that_differ_in_what_a_name_does_not_say_do_not_overwrite_each_other() {
        let text = "models:\n- {model: m, kv_cache_dtype: fp8}\n- {model: m}\n- {model: ../../m}\n";
        let runs = runs(text);
        let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
        assert_eq!(names, ["m", "m_2", "m_3"]);
        let mut taken = Names::default();
        let given: Vec<String> = ["m_2", "m", "m", "m", "m_2"].into_iter().map(|name| taken.unique(name)).collect();
        assert_eq!(given, ["m_2", "m", "m_3", "m_4", "m_2_2"]);
        assert_eq!(
            super::label(&ModelEntry { model_id: "..".to_owned(), ..ModelEntry::default() }, None, None, None),
            "model"
        );
        let long = ModelEntry { model_id: "m".repeat(300), ..ModelEntry::default() };
        assert_eq!(super::label(&long, None, None, Some(8)).len(), LONGEST_NAME + "_bs8".len());
    }

    #[test]
    fn a_quantization_named_as_dtype_is_not_given_to_the_engine_as_one() {
        let runs = runs("models:\n- {model: m, quantization: fp8, dtype: fp8}\n");
        assert_eq!(runs[0].flags, [("quantization", Some("fp8".to_owned()))]);
        assert_eq!(runs[0].notes.len(), 1);
    }

    #[test]
    fn the_older_table_is_one_run_a_line() {
        let text = "# how to use this\n\nmodel_id,container_name,batch_size,max_tokens,tensor_parallel,prompt\n\n\
                    # small\na/b,c,4,1024,2,Explain quantum computing\na/b,c,1,512,1\n";
        let runs = runs(text);
        assert_eq!(runs.len(), 2);
        assert_eq!((runs[0].batch_size, runs[0].output_len, runs[0].input_len), (Some(4), Some(1024), None));
        assert_eq!((runs[0].prompt.as_deref(), &runs[1].prompt), (Some("Explain quantum computing"), &None));
        assert_eq!((runs[1].container.as_deref(), runs[1].name.as_str()), (Some("c"), "b_out512_bs1"));
    }

    #[test]
    fn files_of_single_runs_name_one_value_in_place_of_a_list() {
        let runs = runs("models: [{model: m, batch_size: 4, max_tokens: 64, input_len: 16, prompt: Explain this}]");
        let run = &runs[0];
        assert_eq!((runs.len(), run.batch_size, run.output_len, run.input_len), (1, Some(4), Some(64), Some(16)));
        assert_eq!((run.prompt.as_deref(), run.name.as_str()), (Some("Explain this"), "m_in16_out64_bs4"));
        let twice = read("models: [{model: m, max_tokens: 64, output_lengths: [8]}]").unwrap_err().to_string();
        assert!(twice.contains("output_lengths") || twice.contains("duplicate"), "{twice}");
        assert_eq!(super::tests::runs("models: [{model: m, batch_sizes: null}]")[0].batch_size, None);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line_or_field() {
        let said = |text: &str| read(text).and_then(|file| expand(&file)).unwrap_err().to_string();
        assert!(said("models:\n- model_id: m\n  batchsizes: [1]\n").contains("batchsizes"));
        assert!(said("models:\n- model_id: m\n  batch_sizes: [one]\n").contains("line 3"));
        assert!(said("models:\n- model_id: m\n  batch_sizes: [-1]\n").contains("line 3"));
        assert!(said("models:\n- model_id: m\n  batch_sizes: []\n").contains("m: batch_sizes"));
        let field = said("models:\n- model_id: m\n- model_id: n\n  batch_sizes: [1, one]\n");
        assert!(field.contains("models[1].batch_sizes") && field.contains("line 4"), "{field}");
        assert!(said("models: [{model: m}]\n---\nmodels: []\n").contains("several documents"));
        assert!(said("models: []\n").contains("no model"));
        assert!(said("").contains("read the campaign"));
        assert!(said("model_id,batch_size\nm,many\n").contains("line 2: batch_size is \"many\""));
        assert!(said("model_id,colour\nm,red\n").contains("colour"));
        for (entry, words) in [
            ("batch_sizes: [one]", "models[0].batch_sizes[0]: expected a whole number"),
            ("num_layers: many", "models[0].num_layers: expected a whole number"),
            ("gpu_memory_utilization: most", "models[0].gpu_memory_utilization: expected a number"),
            ("enforce_eager: 7", "models[0].enforce_eager: expected true or false"),
            ("notes: [m]", "models[0].notes: expected text"),
        ] {
            let told = said(&format!("models:\n- hf_model_id: m\n  {entry}\n"));
            assert!(told.contains(words) && told.contains("line 3"), "{entry}: {told}");
        }
        assert!(said("models: 7").contains("models: expected a list"), "{}", said("models: 7"));
        let many: Vec<String> = (1..=101).map(|n| n.to_string()).collect();
        let axis = many.join(", ");
        assert!(
            said(&format!("models: [{{model: m, batch_sizes: [{axis}], input_lengths: [{axis}]}}]")).contains("10000")
        );
        let bomb = format!("a: &a [x, x]\n{}", (0..40).map(|n| format!("b{n}: &b{n} [*a, *a]\n")).collect::<String>());
        assert!(said(&bomb).contains("read the campaign"));
    }
}
