//! What a rank reads and computes in a step, as far as model and placement decide it.
//!
//! Bytes are those of the weights and the KV cache that memory is predicted with; nothing is counted twice.

use vramscope_core::{Architecture, FeedForward, Layer, Mixer, QkNorm, Residual, Span, WeightFormat};

use super::float;
use crate::vllm::kv::{CacheKind, KvPlan};
use crate::vllm::resolve::Resolved;
use crate::{EstimateError, Part, Weights, parameter_count};

/// What the ranks of an engine do in one step, each of them the same; stages of a pipeline, which follow each other, are
/// summed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Work {
    /// Matrices that every token passes: projections of attention and recurrence, dense and shared feed-forward parts,
    /// routers and norms.
    pub dense: Matrices,
    /// Routed experts.
    pub experts: Option<Experts>,
    /// The projection onto the vocabulary, for those tokens of which another one is drawn.
    pub head: Matrices,
    /// Attention by what it sees.
    pub spans: Vec<SeenWork>,
    /// Recurrent state of one sequence, read and written. Unit: bytes.
    pub state_bytes: f64,
    /// Kernels of one step.
    pub kernels: f64,
    /// Layers of the model.
    pub layers: f64,
    /// Bytes that a token's vector takes between layers.
    pub token_bytes: f64,
    /// Ranks that split each layer.
    pub ranks: f64,
    /// Stages of the pipeline.
    pub stages: f64,
    /// How the matrices are stored.
    pub format: WeightFormat,
    /// Parameters of the whole model.
    pub parameters: u64,
}

/// Matrices on one rank.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Matrices {
    /// Bytes that are read once a step.
    pub bytes: f64,
    /// Elements: each takes two operations a token.
    pub elements: f64,
}

/// Routed experts on one rank.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Experts {
    /// All of them.
    pub all: Matrices,
    /// How many there are in a layer.
    pub count: f64,
    /// How many a token visits.
    pub per_token: f64,
}

impl Experts {
    /// The share of the experts that a step of so many tokens visits, where tokens choose evenly:
    /// 1 - (1 - k/E)^T.
    pub fn visited(&self, tokens: f64) -> f64 {
        1.0 - (1.0 - self.per_token / self.count).max(0.0).powf(tokens)
    }
}

/// Attention of all layers that see alike, on one rank.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct SeenWork {
    /// The last tokens that are seen; all where absent.
    pub window: Option<u64>,
    /// Bytes of the cache that a seen token takes.
    pub bytes_per_token: f64,
    /// Operations for each pair of a token and one that it sees, while a prompt is read.
    pub prompt_operations: f64,
    /// The same while single tokens are drawn; latent attention then works on compressed vectors.
    pub single_operations: f64,
}

impl Work {
    /// Takes the work together. `weights`, `plan` and `engine` must be of the same model and arguments.
    ///
    /// # Errors
    /// As [`parameter_count`].
    pub(crate) fn of(
        model: &Architecture,
        engine: &Resolved,
        weights: &Weights,
        plan: &KvPlan,
    ) -> Result<Self, EstimateError> {
        let ranks = float(engine.tensor_parallel_size.max(1));
        let count = parameter_count(model)?;
        let bytes = |part: Part| -> f64 {
            let all = weights.stages.iter().flat_map(|stage| &stage.parts);
            all.filter(|(own, _)| *own == part).map(|(_, bytes)| float(*bytes)).sum()
        };
        let elements = |part: Part| {
            let own = count.parts.iter().find(|(own, _)| *own == part);
            // Routers and norms stand whole on every rank.
            let whole = matches!(part, Part::Router | Part::Norms | Part::Streams);
            own.map_or(0.0, |(_, elements)| float(*elements)) / if whole { 1.0 } else { ranks }
        };
        const DENSE: [Part; 7] = [
            Part::Attention,
            Part::Recurrence,
            Part::FeedForward,
            Part::SharedExperts,
            Part::Router,
            Part::Norms,
            Part::Streams,
        ];
        let sum = |of: &dyn Fn(Part) -> f64| DENSE.into_iter().map(of).sum::<f64>();
        let dense = Matrices { bytes: sum(&bytes), elements: sum(&elements) };
        // A tied head is the embedding, read once more.
        let last = weights.stages.last().map_or(&[][..], |stage| &stage.parts[..]);
        let table =
            [Part::Head, Part::Embedding].into_iter().find_map(|part| last.iter().find(|(own, _)| *own == part));
        let head = Matrices {
            bytes: table.map_or(0.0, |(_, bytes)| float(*bytes)),
            elements: float(model.vocab_size) * float(model.hidden_size) / ranks,
        };
        let routed = model.layers.iter().find_map(|layer| match layer.feed_forward {
            FeedForward::Experts(experts) => Some(experts),
            FeedForward::None | FeedForward::Dense(_) => None,
        });
        let experts = routed.map(|experts| Experts {
            all: Matrices { bytes: bytes(Part::Experts), elements: elements(Part::Experts) },
            count: float(experts.count.max(1)),
            per_token: float(experts.per_token),
        });
        Ok(Self {
            dense,
            experts,
            head,
            spans: spans(model, plan, ranks),
            state_bytes: states(plan),
            kernels: model.layers.iter().map(|layer| float(kernels(layer, model))).sum(),
            layers: float(model.layers.len() as u64),
            token_bytes: float(model.hidden_size) * float(engine.element.bits()) / 8.0,
            ranks,
            stages: float(engine.pipeline_parallel_size.max(1)),
            format: engine.format,
            parameters: count.total,
        })
    }
}

/// Attention by what it sees.
fn spans(model: &Architecture, plan: &KvPlan, ranks: f64) -> Vec<SeenWork> {
    let mut spans: Vec<SeenWork> = Vec::new();
    let at = |spans: &mut Vec<SeenWork>, window: Option<u64>| {
        spans.iter().position(|own| own.window == window).unwrap_or_else(|| {
            let own = SeenWork { window, bytes_per_token: 0.0, prompt_operations: 0.0, single_operations: 0.0 };
            spans.push(own);
            spans.len() - 1
        })
    };
    for group in &plan.groups {
        let window = match group.kind {
            CacheKind::Recurrent => continue,
            CacheKind::Sliding(tokens) | CacheKind::Chunked(tokens) => Some(tokens),
            CacheKind::Full | CacheKind::Latent | CacheKind::Compressed => None,
        };
        let place = at(&mut spans, window);
        let per_token = float(group.page_bytes) / float(group.block_size.max(1));
        spans[place].bytes_per_token += per_token * float(group.layers);
    }
    for layer in &model.layers {
        let (window, prompt, single) = match &layer.mixer {
            Mixer::Attention(own) | Mixer::Parallel(own, _) => {
                let window = match own.span {
                    Span::Full => None,
                    Span::Sliding(tokens) | Span::Chunked(tokens) => Some(tokens),
                };
                let pair = float(2 * own.heads * (own.head_dim + own.value_dim));
                (window, pair, pair)
            }
            Mixer::Latent(own) => {
                let prompt = float(2 * own.heads * (own.nope_dim + own.rope_dim + own.value_dim));
                let single = float(2 * own.heads * (2 * own.kv_rank + own.rope_dim));
                (None, prompt, if own.expanded { prompt } else { single })
            }
            Mixer::Compressed(own) => {
                let pair = float(4 * own.heads * own.head_dim);
                (Some(own.window), pair, pair)
            }
            Mixer::None | Mixer::Recurrent(_) => continue,
        };
        let place = at(&mut spans, window);
        spans[place].prompt_operations += prompt / ranks;
        spans[place].single_operations += single / ranks;
    }
    spans
}

/// A sequence's states on one rank.
fn states(plan: &KvPlan) -> f64 {
    let own = plan.groups.iter().filter(|group| group.kind == CacheKind::Recurrent);
    own.map(|group| 2.0 * float(group.page_bytes) * float(group.layers)).sum()
}

/// Kernels of a layer in a compiled step: two norms, four products, the split of one and its sum, positions, the cache's
/// write, attention in two parts, activation and residual stream are 13 in a dense layer; counted in a trace of
/// Llama-3.2-1B, and for others from what their layers have more.
fn kernels(layer: &Layer, model: &Architecture) -> u64 {
    let mixer = match &layer.mixer {
        Mixer::None => 0,
        Mixer::Attention(own) => 9 + u64::from(own.qk_norm != QkNorm::None),
        Mixer::Latent(_) | Mixer::Compressed(_) => 14,
        Mixer::Recurrent(_) => 8,
        Mixer::Parallel(..) => 16,
    };
    let feed_forward = match &layer.feed_forward {
        FeedForward::None => 0,
        FeedForward::Dense(_) => 4,
        FeedForward::Experts(own) => 10 + if own.shared_width > 0 { 4 } else { 0 },
    };
    // Norms behind each part too.
    let copied = if model.residual == Residual::Copied { 2 } else { 0 };
    mixer + feed_forward + copied
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EngineArgs, kv_plan, weights_on_device};

    fn work(model: &Architecture, args: &EngineArgs) -> Work {
        let device = crate::find_device("h200").unwrap();
        let plan = kv_plan(model, args).unwrap();
        let engine = crate::vllm::resolve::resolve(model, args, device, &plan).unwrap();
        Work::of(model, &engine, &weights_on_device(model, args, device).unwrap(), &plan).unwrap()
    }

    #[test]
    fn a_dense_model_reads_all_but_its_embedding() {
        let model = crate::tests_support::llama_8b();
        let one = work(&model, &EngineArgs::default());
        // 8,030,261,248 parameters without a table of 128,256 x 4,096, in two bytes each.
        assert_eq!(one.dense.bytes + one.head.bytes, 2.0 * (8_030_261_248.0 - 525_336_576.0));
        assert_eq!(one.spans.len(), 1);
        assert_eq!((one.spans[0].bytes_per_token, one.kernels), (131_072.0, 13.0 * 32.0));
        let two = work(&model, &EngineArgs { tensor_parallel_size: 2, ..EngineArgs::default() });
        assert_eq!(two.spans[0].bytes_per_token, 65_536.0);
        assert!((two.dense.bytes / one.dense.bytes - 0.5).abs() < 1e-3);
    }

    #[test]
    fn many_tokens_visit_every_expert_and_one_visits_its_own() {
        let experts = Experts { all: Matrices::default(), count: 128.0, per_token: 8.0 };
        assert!((experts.visited(1.0) - 8.0 / 128.0).abs() < 1e-12);
        assert!(experts.visited(10.0) < 10.0 * 8.0 / 128.0 && experts.visited(1e4) > 0.999_999);
    }
}
