//! Attention over one compressed vector of keys and values a token (multi-head latent attention).
//!
//! Follows `src/models/deepseek2.cpp` and `build_attn` of `llama-graph.cpp` for caches of keys alone (2026-10).

use super::super::error::LlamaCppError;
use super::super::graph::{Id, Op};
use super::super::kind::Kind;
use super::Builder;

impl Builder<'_> {
    pub(super) fn latent_attention(&mut self, at: usize, of: Id) -> Result<Id, LlamaCppError> {
        let layer = self.shape.layers[at].clone();
        let tokens = self.graph.at(of).ne[1];
        let missing = |key: &'static str| LlamaCppError::MissingKey { key };
        let (wide, rank) = (layer.head_k, layer.head_v);
        let turned = wide.saturating_sub(rank);
        let fold = self.of_layer(at, "attn_k_b.weight")?.ok_or(missing("attn_k_b.weight"))?;
        let unfold = self.of_layer(at, "attn_v_b.weight")?.ok_or(missing("attn_v_b.weight"))?;
        let plain = self.graph.at(fold).ne[0];
        let queries = match self.linear(of, at, "attn_q_a")? {
            Some(compressed) => {
                let compressed = self.norm(compressed, &format!("blk.{at}.attn_q_a_norm.weight"))?;
                self.linear(compressed, at, "attn_q_b")?
            }
            None => self.linear(of, at, "attn_q")?,
        };
        let queries = queries.ok_or(missing("attn_q.weight"))?;
        let queries = self.graph.reshape(queries, [plain + turned, layer.heads, tokens, 1]);
        let both = self.linear(of, at, "attn_kv_a_mqa")?.ok_or(missing("attn_kv_a_mqa.weight"))?;
        let row = self.graph.at(both).nb[1];
        let all = row.saturating_mul(tokens);
        let compressed = self.graph.view(both, [rank, tokens, 1, 1], [4, row, all, all], 0);
        let places = self.graph.view(both, [turned, 1, tokens, 1], [4, row, row, all], rank * 4);
        let places = self.graph.like(Op::Rope, places, &[self.positions]);
        let compressed = self.norm(compressed, &format!("blk.{at}.attn_kv_a_norm.weight"))?;
        let nb = self.graph.at(queries).nb;
        let folded = self.graph.view(queries, [plain, layer.heads, tokens, 1], nb, 0);
        let turns = self.graph.view(queries, [turned, layer.heads, tokens, 1], nb, plain * 4);
        let turns = self.graph.like(Op::Rope, turns, &[self.positions]);
        let folded = self.graph.permute(folded, [0, 2, 1, 3]);
        let folded = self.graph.mul_mat(fold, folded);
        let folded = self.graph.permute(folded, [0, 2, 1, 3]);
        let q = self.graph.new_tensor(Op::Other, Kind::F32, [wide, layer.heads, tokens, 1], &[folded, turns]);
        let v = self.graph.reshape(compressed, [rank, 1, tokens, 1]);
        let k = self.graph.new_tensor(Op::Other, Kind::F32, [wide, 1, tokens, 1], &[v, places]);
        for id in [q, v, k] {
            self.graph.expand(id);
        }
        let (cells, streams, kind) = (self.context.cells_of(&layer), self.context.streams, self.args.kind_k());
        let cache = self.cache(at, kind, wide);
        let nb = self.graph.at(k).nb;
        let shown = self.graph.view(k, [wide, tokens, 1, 1], [nb[0], nb[2], nb[2], nb[2]], 0);
        let into = if streams > 1 { self.graph.reshape(cache, [wide, cells * streams, 1, 1]) } else { cache };
        let stored = self.graph.set_rows(into, shown, self.full.key_rows);
        self.graph.expand(stored);
        let nb = [kind.bytes, kind.row(wide), kind.row(wide), kind.row(wide * cells)];
        let keys = self.graph.view(cache, [wide, 1, cells, streams], nb, 0);
        let values = self.graph.view(keys, [rank, 1, cells, streams], nb, 0);
        let current = self.scored(at, q, [keys, values], self.full.mask, Some(unfold))?;
        self.graph.expand(current);
        self.linear(current, at, "attn_output")?.ok_or(missing("attn_output.weight"))
    }
}
