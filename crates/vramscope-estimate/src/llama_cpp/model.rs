//! The graph of a model, operator by operator.
//!
//! Follows `llama-graph.cpp` and `src/models/` (2026-08 to 2026-11), for the families that `Shape` knows.

mod attention;
mod feed_forward;
mod latent;
mod recurrent;

use vramscope_core::PackedModel;

use super::args::LlamaCppArgs;
use super::cache::Context;
use super::error::LlamaCppError;
use super::graph::{Graph, Home, Id, Op};
use super::kind::Kind;
use super::place::{Offload, Place, place};
use super::shape::{Family, LayerShape, Shape, kind_of, layer_of};
use recurrent::States;

/// A graph for so many tokens of so many slots.
pub(crate) struct Builder<'m> {
    pub(crate) graph: Graph,
    model: &'m PackedModel,
    shape: &'m Shape,
    family: Family,
    args: &'m LlamaCppArgs,
    context: &'m Context,
    offload: Offload,
    host: usize,
    tokens: u64,
    positions: Id,
    outputs: Id,
    full: Inputs,
    windowed: Inputs,
    states: States,
}

/// What attention is given beside keys and values.
#[derive(Debug, Clone, Copy, Default)]
struct Inputs {
    key_rows: Id,
    value_rows: Id,
    mask: Id,
    key_turn: Option<Id>,
    value_turn: Option<Id>,
}

/// The graph of the largest batch.
pub(crate) fn largest(
    model: &PackedModel,
    shape: &Shape,
    args: &LlamaCppArgs,
    context: &Context,
    offload: Offload,
    host: usize,
) -> Result<Graph, LlamaCppError> {
    let family = shape.graph.ok_or(LlamaCppError::Refused { what: "this family", advice: "its graph is not known" })?;
    let tokens = context.tokens.min(context.micro_batch);
    let tokens = tokens.div_ceil(context.slots).saturating_mul(context.slots);
    let outputs = tokens.min(context.slots);
    let unset = Inputs::default();
    let mut builder = Builder {
        graph: Graph::default(),
        model,
        shape,
        family,
        args,
        context,
        offload,
        host,
        tokens,
        positions: 0,
        outputs: 0,
        full: unset,
        windowed: unset,
        states: States::default(),
    };
    builder.build(outputs)?;
    Ok(builder.graph)
}

impl Builder<'_> {
    fn build(&mut self, outputs: u64) -> Result<(), LlamaCppError> {
        let hidden = self.shape.hidden;
        let words = self.graph.input(Kind::I32, [self.tokens, 1, 1, 1]);
        let given = self.graph.input(Kind::F32, [hidden, self.tokens, 1, 1]);
        let embedding = self.need("token_embd.weight", false)?;
        let mut current = self.graph.get_rows(embedding, words);
        self.graph.expand(current);
        self.graph.expand(given);
        if self.family.scaled_embeddings || self.shape.scales.embeddings {
            current = self.graph.each(current);
        }
        // Granite's factor is a part of the input, which is computed before anything else.
        if self.shape.scales.embeddings {
            self.graph.expand(current);
        }
        self.positions = self.graph.input(Kind::I32, [self.tokens, 1, 1, 1]);
        self.full = self.inputs(self.context.cells);
        if self.shape.window > 0 {
            self.windowed = self.inputs(self.context.window_cells);
        }
        if self.shape.has_state() {
            self.states = self.states();
        }
        self.outputs = self.graph.input(Kind::I32, [outputs, 1, 1, 1]);
        for at in 0..self.shape.layers.len() {
            current = self.layer(at, current)?;
        }
        if !self.family.early_outputs {
            current = self.graph.get_rows(current, self.outputs);
        }
        current = self.norm(current, "output_norm.weight")?;
        let head = self.need("output.weight", true)?;
        current = self.graph.mul_mat(head, current);
        if self.shape.scales.logits {
            current = self.graph.each(current);
        }
        if self.shape.capped_logits {
            for _ in 0..3 {
                current = self.graph.each(current);
            }
        }
        self.graph.expand(current);
        Ok(())
    }

    fn inputs(&mut self, cells: u64) -> Inputs {
        let (tokens, streams) = (self.tokens, self.context.streams);
        let fused = self.args.fused_attention();
        let key_rows = self.graph.input(Kind::I64, [tokens, 1, 1, 1]);
        let wide = self.shape.layers.iter().map(|layer| layer.head_v.saturating_mul(layer.kv_heads)).max();
        let value_rows = if fused { tokens } else { tokens.saturating_mul(wide.unwrap_or(1)) };
        let value_rows = self.graph.input(Kind::I64, [value_rows, 1, 1, 1]);
        let kind = if fused { Kind::F16 } else { Kind::F32 };
        let mask = self.graph.input(kind, [cells, tokens / streams, 1, streams]);
        let head = |of: fn(&LayerShape) -> u64| self.shape.layers.first().map_or(0, of);
        let (head_k, head_v) = (head(|layer| layer.head_k), head(|layer| layer.head_v));
        let turns = |kind: Kind, head: u64| kind.is_quantized() && head > 0 && head.is_multiple_of(64);
        // The largest power of two from 64 on that divides a head of keys; 64 for values.
        let side = 1_u64 << head_k.trailing_zeros().min(20);
        let key_turn = turns(self.args.kind_k(), head_k).then(|| self.graph.input(Kind::F32, [side, side, 1, 1]));
        let value_turn = turns(self.args.kind_v(), head_v).then(|| self.graph.input(Kind::F32, [64, 64, 1, 1]));
        Inputs { key_rows, value_rows, mask, key_turn, value_turn }
    }

    /// A weight; `None` where the file has none of that name.
    fn weight(&mut self, name: &str) -> Result<Option<Id>, LlamaCppError> {
        self.weight_of(name, name)
    }

    /// A weight under another's name: a tied output is the embedding, where the output lies.
    fn weight_of(&mut self, name: &str, stored: &str) -> Result<Option<Id>, LlamaCppError> {
        let Some(tensor) = self.model.tensor(stored) else { return Ok(None) };
        let kind = kind_of(tensor)?;
        let mut ne = [1; 4];
        for (side, given) in ne.iter_mut().zip(&tensor.sides) {
            *side = *given;
        }
        let layer = layer_of(tensor);
        let on_device = place(name, layer, self.args, self.offload) == Place::Device;
        let backend = if on_device { 0 } else { self.host };
        Ok(Some(self.graph.placed(kind, ne, Home { backend, weight: true, repacked: false })))
    }

    fn need(&mut self, name: &'static str, head: bool) -> Result<Id, LlamaCppError> {
        let mut found = self.weight(name)?;
        if found.is_none() && head {
            found = self.weight_of(name, "token_embd.weight")?;
        }
        found.ok_or(LlamaCppError::MissingKey { key: name })
    }

    fn of_layer(&mut self, at: usize, name: &str) -> Result<Option<Id>, LlamaCppError> {
        self.weight(&format!("blk.{at}.{name}"))
    }

    fn norm(&mut self, of: Id, name: &str) -> Result<Id, LlamaCppError> {
        let normed = self.graph.like(Op::RmsNorm, of, &[]);
        Ok(match self.weight(name)? {
            Some(weight) => self.graph.mul(normed, weight),
            None => normed,
        })
    }

    /// A norm behind a part, where the file has one.
    fn norm_behind(&mut self, of: Id, at: usize, name: &str) -> Result<Id, LlamaCppError> {
        let name = format!("blk.{at}.{name}.weight");
        if self.model.tensor(&name).is_none() {
            return Ok(of);
        }
        self.norm(of, &name)
    }

    /// A product with a weight, and its bias.
    fn linear(&mut self, of: Id, at: usize, name: &str) -> Result<Option<Id>, LlamaCppError> {
        let Some(weight) = self.of_layer(at, &format!("{name}.weight"))? else { return Ok(None) };
        let product = self.graph.mul_mat(weight, of);
        Ok(Some(match self.of_layer(at, &format!("{name}.bias"))? {
            Some(bias) => self.graph.add(product, bias),
            None => product,
        }))
    }

    fn layer(&mut self, at: usize, before: Id) -> Result<Id, LlamaCppError> {
        let last = at + 1 == self.shape.layers.len() && self.family.early_outputs;
        let mut residual = before;
        let normed = self.norm(before, &format!("blk.{at}.attn_norm.weight"))?;
        let mut current = match self.shape.layers[at].state {
            Some(state) => self.recurrent(at, normed, state)?,
            None if self.shape.latent => self.latent_attention(at, normed)?,
            None => self.attention(at, normed)?,
        };
        if last {
            current = self.graph.get_rows(current, self.outputs);
            residual = self.graph.get_rows(residual, self.outputs);
        }
        if !self.family.one_norm {
            current = self.norm_behind(current, at, "post_attention_norm")?;
        }
        if self.shape.scales.residuals {
            current = self.graph.each(current);
        }
        let middle = self.graph.add(current, residual);
        let between = if self.family.one_norm { "post_attention_norm" } else { "ffn_norm" };
        let normed = self.norm(middle, &format!("blk.{at}.{between}.weight"))?;
        current = match self.of_layer(at, "ffn_gate_inp.weight")? {
            Some(router) => self.experts(at, normed, router)?,
            None => self.feed_forward(at, normed, "")?,
        };
        current = self.norm_behind(current, at, "post_ffw_norm")?;
        if self.shape.scales.residuals {
            current = self.graph.each(current);
        }
        Ok(self.graph.add(current, middle))
    }
}
