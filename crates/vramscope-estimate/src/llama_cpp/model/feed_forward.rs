//! The feed-forward part of one layer, with experts or without.

use super::super::error::LlamaCppError;
use super::super::graph::{Id, Op};
use super::super::kind::Kind;
use super::Builder;

impl Builder<'_> {
    pub(super) fn feed_forward(&mut self, at: usize, of: Id, suffix: &str) -> Result<Id, LlamaCppError> {
        let missing = LlamaCppError::MissingKey { key: "ffn_up.weight" };
        let up = self.linear(of, at, &format!("ffn_up{suffix}"))?.ok_or(missing.clone())?;
        let joined = match self.linear(of, at, &format!("ffn_gate{suffix}"))? {
            Some(gate) => self.graph.like(Op::Other, gate, &[up]),
            // Both halves in one matrix: the result is half as wide.
            None => {
                let mut ne = self.graph.at(up).ne;
                ne[0] /= 2;
                self.graph.new_tensor(Op::Other, Kind::F32, ne, &[up])
            }
        };
        self.linear(joined, at, &format!("ffn_down{suffix}"))?.ok_or(missing)
    }

    /// The experts that are chosen for each token, and their weights.
    fn chosen(&mut self, at: usize, of: Id, router: Id) -> Result<(Id, Id), LlamaCppError> {
        let tokens = self.graph.at(of).ne[1];
        let (all, used) = (self.shape.experts, self.used());
        let mut shares = self.graph.mul_mat(router, of);
        if let Some(bias) = self.of_layer(at, "ffn_gate_inp.bias")? {
            shares = self.graph.add(shares, bias);
        }
        if !self.family.late_shares {
            shares = self.graph.like(Op::SoftMax, shares, &[]);
        }
        let sorted = self.graph.new_tensor(Op::ArgSort, Kind::I32, self.graph.at(shares).ne, &[shares]);
        let nb = self.graph.at(sorted).nb;
        let chosen = self.graph.view(sorted, [used, tokens, 1, 1], nb, 0);
        let rows = self.graph.reshape(shares, [1, all, tokens, 1]);
        let mut weights = self.graph.get_rows(rows, chosen);
        if self.family.late_shares {
            weights = self.graph.reshape(weights, [used, tokens, 1, 1]);
            weights = self.graph.like(Op::SoftMax, weights, &[]);
            weights = self.graph.reshape(weights, [1, used, tokens, 1]);
        }
        if self.family.normed_experts {
            weights = self.graph.reshape(weights, [used, tokens, 1, 1]);
            let sum = self.graph.new_tensor(Op::SumRows, Kind::F32, [1, tokens, 1, 1], &[weights]);
            let sum = self.graph.like(Op::Clamp, sum, &[]);
            weights = self.graph.like(Op::Div, weights, &[sum]);
            weights = self.graph.reshape(weights, [1, used, tokens, 1]);
        }
        if self.shape.experts_scaled {
            weights = self.graph.each(weights);
        }
        self.graph.expand(weights);
        Ok((chosen, weights))
    }

    fn used(&self) -> u64 {
        self.shape.experts_used.clamp(1, self.shape.experts.max(1))
    }

    /// A product with the matrices of chosen experts, and their biases.
    fn by_experts(&mut self, of: Id, at: usize, name: &str, chosen: Id) -> Result<Option<Id>, LlamaCppError> {
        let Some(weight) = self.of_layer(at, &format!("{name}.weight"))? else { return Ok(None) };
        let product = self.graph.mul_mat_id(weight, of, chosen);
        Ok(Some(match self.of_layer(at, &format!("{name}.bias"))? {
            Some(bias) => self.graph.like(Op::AddId, product, &[bias, chosen]),
            None => product,
        }))
    }

    pub(super) fn experts(&mut self, at: usize, of: Id, router: Id) -> Result<Id, LlamaCppError> {
        let missing = LlamaCppError::MissingKey { key: "ffn_up_exps.weight" };
        let (hidden, tokens) = (self.graph.at(of).ne[0], self.graph.at(of).ne[1]);
        let (chosen, weights) = self.chosen(at, of, router)?;
        let wide = self.graph.reshape(of, [hidden, 1, tokens, 1]);
        let up = self.by_experts(wide, at, "ffn_up_exps", chosen)?.ok_or(missing.clone())?;
        let joined = match self.by_experts(wide, at, "ffn_gate_exps", chosen)? {
            Some(gate) => self.graph.like(Op::Other, gate, &[up]),
            None => self.graph.each(up),
        };
        let down = self.by_experts(joined, at, "ffn_down_exps", chosen)?.ok_or(missing)?;
        let weighted = self.graph.mul(down, weights);
        self.graph.expand(weighted);
        let [one, row, column, _] = self.graph.at(weighted).nb;
        let parts: Vec<Id> = (0..self.used())
            .map(|expert| {
                let nb = [one, column, column, column];
                let part = self.graph.view(weighted, [hidden, tokens, 1, 1], nb, expert.saturating_mul(row));
                self.graph.expand(part);
                part
            })
            .collect();
        let mut sum = parts[0];
        for part in parts.iter().skip(1) {
            sum = self.graph.add(sum, *part);
            self.graph.expand(sum);
        }
        if parts.len() == 1 {
            sum = self.graph.cont(sum, [hidden, tokens, 1, 1]);
        }
        self.with_shared(at, of, sum)
    }

    /// The expert that every token goes through, where the file has one, and a gate of its own, where it has one.
    fn with_shared(&mut self, at: usize, of: Id, sum: Id) -> Result<Id, LlamaCppError> {
        let Some(gate) = self.of_layer(at, "ffn_gate_inp_shexp.weight")? else {
            if self.of_layer(at, "ffn_up_shexp.weight")?.is_none() {
                return Ok(sum);
            }
            let shared = self.feed_forward(at, of, "_shexp")?;
            return Ok(self.graph.add(sum, shared));
        };
        let gate = self.graph.mul_mat(gate, of);
        let bent = self.graph.each(gate);
        let share = self.graph.like(Op::Div, bent, &[gate]);
        let shared = self.feed_forward(at, of, "_shexp")?;
        let shared = self.graph.mul(shared, share);
        Ok(self.graph.add(sum, shared))
    }
}
