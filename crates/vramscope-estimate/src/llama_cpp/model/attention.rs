//! The attention of one layer.

use super::super::error::LlamaCppError;
use super::super::graph::{Home, Id, Op};
use super::super::kind::Kind;
use super::{Builder, Inputs};

impl Builder<'_> {
    pub(super) fn attention(&mut self, at: usize, of: Id) -> Result<Id, LlamaCppError> {
        let layer = self.shape.layers[at].clone();
        let inputs = if layer.window { self.windowed } else { self.full };
        let tokens = self.graph.at(of).ne[1];
        let missing = LlamaCppError::MissingKey { key: "attn_q.weight" };
        let (queries, keys, values) = match self.linear(of, at, "attn_qkv")? {
            Some(all) => {
                let row = self.graph.at(all).nb[1];
                let mut view = |head: u64, heads: u64, before: u64| {
                    let nb = [4, head * 4, row, row.saturating_mul(tokens)];
                    self.graph.view(all, [head, heads, tokens, 1], nb, before * 4)
                };
                let wide = layer.head_k * layer.heads;
                let q = view(layer.head_k, layer.heads, 0);
                let k = view(layer.head_k, layer.kv_heads, wide);
                let v = view(layer.head_v, layer.kv_heads, wide + layer.head_k * layer.kv_heads);
                (q, k, v)
            }
            None => {
                let q = self.linear(of, at, "attn_q")?.ok_or(missing.clone())?;
                let k = self.linear(of, at, "attn_k")?.ok_or(missing.clone())?;
                let v = self.linear(of, at, "attn_v")?.ok_or(missing)?;
                let q = self.graph.reshape(q, [layer.head_k, layer.heads, tokens, 1]);
                let k = self.graph.reshape(k, [layer.head_k, layer.kv_heads, tokens, 1]);
                (q, k, self.graph.reshape(v, [layer.head_v, layer.kv_heads, tokens, 1]))
            }
        };
        let queries = self.turned_by_position(at, queries, "attn_q_norm")?;
        let keys = self.turned_by_position(at, keys, "attn_k_norm")?;
        let queries = if self.family.scaled_queries { self.graph.each(queries) } else { queries };
        let (mut q, mut k, mut v) = (queries, keys, values);
        if let Some(turn) = inputs.key_turn {
            q = self.turned(q, turn);
            k = self.turned(k, turn);
        }
        if let Some(turn) = inputs.value_turn {
            v = self.turned(v, turn);
        }
        self.graph.expand(q);
        if self.shape.window > 0 {
            self.graph.expand(k);
            self.graph.expand(v);
        } else {
            self.graph.expand(v);
            self.graph.expand(k);
        }
        let current = self.attended(at, q, k, v, inputs)?;
        let current = match inputs.value_turn {
            Some(turn) => self.turned(current, turn),
            None => current,
        };
        let missing = LlamaCppError::MissingKey { key: "attn_output.weight" };
        self.linear(current, at, "attn_output")?.ok_or(missing)
    }

    fn turned_by_position(&mut self, at: usize, of: Id, norm: &str) -> Result<Id, LlamaCppError> {
        let normed = self.norm_behind(of, at, norm)?;
        if self.shape.unplaced {
            return Ok(normed);
        }
        let positions = self.positions;
        let factors = self.weight("rope_freqs.weight")?;
        let mut others = vec![positions];
        others.extend(factors);
        Ok(self.graph.like(Op::Rope, normed, &others))
    }

    /// Turned by a matrix that spreads outliers, which quantized caches are given.
    fn turned(&mut self, of: Id, turn: Id) -> Id {
        let (ne, side) = (self.graph.at(of).ne, self.graph.at(turn).ne[0]);
        let flat = [side, self.graph.at(of).elements() / side.max(1), 1, 1];
        let shown =
            if self.graph.at(of).is_contiguous() { self.graph.reshape(of, flat) } else { self.graph.cont(of, flat) };
        let product = self.graph.mul_mat(turn, shown);
        self.graph.reshape(product, ne)
    }

    /// A cache of one layer.
    pub(super) fn cache(&mut self, at: usize, kind: Kind, wide: u64) -> Id {
        let on_device = self.args.offload_cache && self.offload.holds(at);
        let backend = if on_device { 0 } else { self.host };
        let cells = self.context.cells_of(&self.shape.layers[at]);
        let home = Home { backend, weight: false, repacked: false };
        self.graph.placed(kind, [wide, cells, self.context.streams, 1], home)
    }

    fn attended(&mut self, at: usize, q: Id, k: Id, v: Id, inputs: Inputs) -> Result<Id, LlamaCppError> {
        let layer = self.shape.layers[at].clone();
        let (fused, streams) = (self.args.fused_attention(), self.context.streams);
        let cells = self.context.cells_of(&layer);
        let tokens = self.graph.at(q).ne[2];
        let (wide_k, wide_v) = (layer.head_k * layer.kv_heads, layer.head_v * layer.kv_heads);
        let key_cache = self.cache(at, self.args.kind_k(), wide_k);
        let value_cache = self.cache(at, self.args.kind_v(), wide_v);
        // Keys and values are stored.
        let flat = |nb: [u64; 4]| [nb[0], nb[2], nb[2], nb[2]];
        let shown = self.graph.view(k, [wide_k, tokens, 1, 1], flat(self.graph.at(k).nb), 0);
        let into = if streams > 1 { self.graph.reshape(key_cache, [wide_k, cells * streams, 1, 1]) } else { key_cache };
        let stored = self.graph.set_rows(into, shown, inputs.key_rows);
        self.graph.expand(stored);
        let stored = if fused {
            let shown = self.graph.view(v, [wide_v, tokens, 1, 1], flat(self.graph.at(v).nb), 0);
            let into = if streams > 1 {
                self.graph.reshape(value_cache, [wide_v, cells * streams, 1, 1])
            } else {
                value_cache
            };
            self.graph.set_rows(into, shown, inputs.value_rows)
        } else {
            let rows = if self.graph.at(v).is_contiguous() {
                self.graph.reshape(v, [wide_v, tokens, 1, 1])
            } else {
                self.graph.cont(v, [wide_v, tokens, 1, 1])
            };
            let into = self.graph.reshape(value_cache, [1, wide_v * cells * streams, 1, 1]);
            let rows = self.graph.reshape(rows, [1, wide_v * tokens, 1, 1]);
            self.graph.set_rows(into, rows, inputs.value_rows)
        };
        self.graph.expand(stored);
        let (kind_k, kind_v) = (self.args.kind_k(), self.args.kind_v());
        let (row, pool) = (kind_k.row(wide_k), kind_k.row(wide_k * cells));
        let nb = [kind_k.bytes, kind_k.row(layer.head_k), row, pool];
        let keys = self.graph.view(key_cache, [layer.head_k, layer.kv_heads, cells, streams], nb, 0);
        let values = if fused {
            let (row, pool) = (kind_v.row(wide_v), kind_v.row(wide_v * cells));
            let nb = [kind_v.bytes, kind_v.row(layer.head_v), row, pool];
            self.graph.view(value_cache, [layer.head_v, layer.kv_heads, cells, streams], nb, 0)
        } else {
            let (head, cell) = (kind_v.row(cells * layer.head_v), kind_v.row(cells));
            let nb = [kind_v.bytes, head, cell, kind_v.row(cells * wide_v)];
            self.graph.view(value_cache, [cells, layer.kv_heads, layer.head_v, streams], nb, 0)
        };
        let current = self.scored(at, q, [keys, values], inputs.mask, None)?;
        self.graph.expand(current);
        Ok(current)
    }

    /// Scores, shares and sums of values; where those are compressed, they are unfolded for each head.
    pub(super) fn scored(
        &mut self,
        at: usize,
        q: Id,
        [keys, values]: [Id; 2],
        mask: Id,
        unfold: Option<Id>,
    ) -> Result<Id, LlamaCppError> {
        let layer = self.shape.layers[at].clone();
        let streams = self.context.streams;
        let shown = self.graph.at(q).clone();
        let each = shown.ne[2] / streams;
        let nb = [shown.nb[0], shown.nb[1], shown.nb[2], shown.nb[2] * each];
        let q = self.graph.view(q, [shown.ne[0], shown.ne[1], each, streams], nb, 0);
        let q = self.graph.permute(q, [0, 2, 1, 3]);
        let keys = self.graph.permute(keys, [0, 2, 1, 3]);
        let values = self.graph.permute(values, [0, 2, 1, 3]);
        let wide = unfold.map_or(layer.head_v, |unfold| self.graph.at(unfold).ne[1]).saturating_mul(layer.heads);
        let sinks = self.of_layer(at, "attn_sinks.weight")?;
        if self.args.fused_attention() {
            let ne = [layer.head_v, layer.heads, each, streams];
            let mut sources = vec![q, keys, values, mask];
            sources.extend(sinks);
            let mut current = self.graph.new_tensor(Op::FlashAttention, Kind::F32, ne, &sources);
            if let Some(unfold) = unfold {
                current = self.graph.permute(current, [0, 2, 1, 3]);
                current = self.graph.mul_mat(unfold, current);
                current = self.graph.permute(current, [0, 2, 1, 3]);
                current = self.graph.cont(current, self.graph.at(current).ne);
            }
            return Ok(self.graph.reshape(current, [wide, shown.ne[2], 1, 1]));
        }
        let mut scores = self.graph.mul_mat(keys, q);
        if self.shape.capped_scores {
            for _ in 0..3 {
                scores = self.graph.each(scores);
            }
        }
        let others: Vec<Id> = std::iter::once(mask).chain(sinks).collect();
        let shares = self.graph.like(Op::SoftMax, scores, &others);
        let sums = match unfold {
            None => self.graph.mul_mat(values, shares),
            Some(unfold) => {
                let turned = self.graph.permute(values, [1, 0, 2, 3]);
                let turned = self.graph.cont(turned, self.graph.at(turned).ne);
                let sums = self.graph.mul_mat(turned, shares);
                self.graph.mul_mat(unfold, sums)
            }
        };
        let turned = self.graph.permute(sums, [0, 2, 1, 3]);
        Ok(self.graph.cont(turned, [wide, shown.ne[2], 1, 1]))
    }
}
