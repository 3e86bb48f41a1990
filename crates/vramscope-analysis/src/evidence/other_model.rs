//! Whether the model beside a log is the log's own: what is computed of another one would stand beside measurements that it
//! has nothing to do with.

use std::path::Path;

use vramscope_core::{Architecture, ByteUnit, Bytes, EngineFacts, EngineKind, Fact, PackedModel};
use vramscope_log::{EngineReport, Key};
use vramscope_runs::EvidenceFiles;

use super::{Evidence, name};
use crate::model;

/// Weights that differ by no more than this share are those of one model, whatever it is called.
const SAME_WEIGHTS: f64 = 0.1;
/// Weights that differ by more than this factor are of two models, where no quantization and no offload explains it.
const OTHER_WEIGHTS: f64 = 4.0;
/// A line prints a size in steps, and may count what the header does not: a difference below this share is none.
const SAME_SIZE: f64 = 0.01;

impl Evidence {
    /// Nothing is computed from a model that is not the log's, or from a file of which the engine's rules know nothing.
    pub(super) fn leave_out_other_models(&mut self, files: &EvidenceFiles) {
        let kind = self.engine_kind();
        let log = self.engine.as_ref();
        // Sizes that were given by hand may be wrong on purpose, and are told where they contradict the config.
        let by_hand = self.own_architecture.is_some();
        let of_config = || of_config(&log?.facts, self.architecture.as_ref()?, by_hand);
        let of_file = || of_file(&log?.facts, log?.tensors.as_ref(), self.packed.as_ref()?);
        let (config, file) = (of_config(), of_file());
        if let Some((why, path)) = config.zip(files.model.as_deref()) {
            self.architecture = None;
            self.own_architecture = None;
            self.notes.push(of_another_model(path, &why));
        }
        let Some(path) = files.packed.as_deref() else { return };
        if let Some(kind) = kind.filter(|kind| *kind != EngineKind::LlamaCpp) {
            self.packed = None;
            let title = kind.title();
            self.notes.push(format!(
                "{}: nothing is computed from it: what {title} takes is not predicted from such a file here",
                name(path)
            ));
        } else if let Some(why) = file {
            self.packed = None;
            self.notes.push(of_another_model(path, &why));
        }
    }
}

fn of_another_model(path: &Path, why: &str) -> String {
    format!("{}: it is not the model of the log, and nothing is computed or predicted from it: {why}", name(path))
}

/// The size of all tensors of the model's file, as the engine read it.
pub(super) fn tensors(engine: &EngineReport) -> Option<Fact<Bytes>> {
    let figure = engine.figures.iter().find(|figure| figure.key == Key::CheckpointSize)?;
    let resolution = figure.resolution.and_then(|step| Bytes::from_unit(step, ByteUnit::B));
    let value = figure.memory()?.bytes.as_bytes()?;
    Some(Fact { value, scope: figure.scope, resolution, origin: figure.origin.clone() })
}

/// Why a config is of another model than the log, if it is.
fn of_config(facts: &EngineFacts, model: &Architecture, by_hand: bool) -> Option<String> {
    if let (Some(printed), true) =
        (&facts.layers, matches!(facts.engine, Some(EngineKind::LlamaCpp | EngineKind::Ollama)))
    {
        let own = u64::try_from(model.layers.len()).ok()?;
        return other_layers(printed.value, own, 1);
    }
    let times = times(facts, model);
    let close = times.is_some_and(|times| (times - 1.0).abs() <= SAME_WEIGHTS);
    if let (Some(printed), Some(own)) = (&facts.architecture, &model.class)
        && !printed.value.starts_with("Transformers")
        && !family(&printed.value).eq_ignore_ascii_case(family(own))
        && !close
    {
        return Some(format!("the log is of {}, and this is {own}", printed.value));
    }
    let explained =
        by_hand || facts.quantization.as_ref().is_some_and(|q| q.value != "none") || facts.cpu_offload.is_some();
    let far = times.filter(|times| !explained && !(1.0 / OTHER_WEIGHTS..=OTHER_WEIGHTS).contains(times))?;
    Some(format!("its weights would be {far:.2} times those of the log"))
}

/// Why a file is of another model than llama.cpp's log, if it is. `size` is that of all tensors, as the log has it.
fn of_file(facts: &EngineFacts, size: Option<&Fact<Bytes>>, model: &PackedModel) -> Option<String> {
    if let Some(printed) = facts.architecture.as_ref().filter(|printed| printed.value != model.family) {
        return Some(format!("the log is of the family {}, and this is of {}", printed.value, model.family));
    }
    let ahead = model.own("nextn_predict_layers").unwrap_or(0);
    if let (Some(printed), Some(own)) = (&facts.layers, model.own("block_count"))
        && let Some(why) = other_layers(printed.value, own.saturating_sub(ahead), ahead)
    {
        return Some(why);
    }
    // Of a model in several files the header of one knows its own tensors alone.
    let in_parts = model.number("split.count").is_some_and(|parts| parts > 1);
    let printed = size.filter(|_| !in_parts)?;
    let own = Bytes::checked_sum(model.tensors.iter().map(|tensor| Bytes::new(tensor.bytes)))?;
    let step = printed.resolution.unwrap_or(Bytes::ZERO).as_f64();
    let apart = (printed.value.as_f64() - own.as_f64()).abs();
    (apart > step + own.as_f64() * SAME_SIZE)
        .then(|| format!("the log's model has tensors of {}, and this one of {own}", printed.value))
}

/// llama.cpp counts one layer more than there are, for the output; up to 2023 also K and V of the cache. Layers that
/// predict ahead are counted or not.
fn other_layers(printed: u64, own: u64, ahead: u64) -> Option<String> {
    let counted = own.saturating_add(1)..=own.saturating_add(3).saturating_add(ahead);
    let printed_own = printed.saturating_sub(1);
    (!counted.contains(&printed)).then(|| format!("the log's model has {printed_own} layers, and this one {own}"))
}

/// What a class is called without what it is for: `Qwen3` of `Qwen3ForCausalLM`.
fn family(class: &str) -> &str {
    let head = class.split("For").next().filter(|head| !head.is_empty()).unwrap_or(class);
    ["LMHeadModel", "Model", "LM"]
        .iter()
        .find_map(|end| head.strip_suffix(end))
        .filter(|head| !head.is_empty())
        .unwrap_or(head)
}

/// How many times the weights that a rank printed those are that the model would have.
fn times(facts: &EngineFacts, model: &Architecture) -> Option<f64> {
    let printed = facts.weights.iter().map(|fact| fact.value).max().filter(|size| *size > Bytes::ZERO)?;
    Some(model::weights(Some(model), facts)?.size.as_f64() / printed.as_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use vramscope_core::{Origin, PackedTensor, PackedValue, Scope};

    fn fact<T>(value: T) -> Fact<T> {
        Fact { value, scope: Scope::AllRanks, resolution: None, origin: Origin::default() }
    }

    fn file(family: &str, layers: u64, bytes: u64) -> PackedModel {
        let metadata = [(format!("{family}.block_count"), PackedValue::Number(layers))].into();
        let tensors = vec![PackedTensor { bytes, ..PackedTensor::default() }];
        PackedModel { family: family.to_owned(), metadata, tensors }
    }

    #[test]
    fn a_file_is_told_by_its_family_its_layers_and_the_size_of_its_tensors() {
        let mut facts = EngineFacts::default();
        facts.architecture = Some(fact("qwen3".to_owned()));
        facts.layers = Some(fact(29));
        let size = fact(Bytes::new(1_000_000_000));
        let is_other = |model: PackedModel| of_file(&facts, Some(&size), &model).is_some();
        assert!(!is_other(file("qwen3", 28, 1_002_000_000)));
        assert!(is_other(file("llama", 28, 1_000_000_000)));
        assert!(is_other(file("qwen3", 36, 1_000_000_000)));
        assert!(is_other(file("qwen3", 28, 1_500_000_000)), "other quantization of the same model");
        let mut in_parts = file("qwen3", 28, 500_000_000);
        in_parts.metadata.insert("split.count".to_owned(), PackedValue::Number(2));
        assert!(!is_other(in_parts), "one file of two");
        let mut ahead = file("qwen3", 29, 1_000_000_000);
        ahead.metadata.insert("qwen3.nextn_predict_layers".to_owned(), PackedValue::Number(1));
        assert!(!is_other(ahead), "layers that predict ahead may be left out");
        assert!(of_file(&EngineFacts::default(), None, &file("llama", 16, 1)).is_none(), "the log says nothing");
    }

    #[test]
    fn classes_of_one_family_are_one_model() {
        for (class, expected) in [
            ("Qwen3ForCausalLM", "Qwen3"),
            ("Qwen3ForSequenceClassification", "Qwen3"),
            ("GPT2LMHeadModel", "GPT2"),
            ("BertModel", "Bert"),
            ("Foo", "Foo"),
        ] {
            assert_eq!(family(class), expected);
        }
    }
}
