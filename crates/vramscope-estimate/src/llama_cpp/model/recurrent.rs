//! One recurrent layer of Mamba 2, which keeps a state of fixed size.
//!
//! Follows `src/models/mamba-base.cpp` and `build_rs` of `llama-graph.cpp` (2026-10).

use super::super::error::LlamaCppError;
use super::super::graph::{Home, Id, Op};
use super::super::kind::Kind;
use super::super::shape::State;
use super::Builder;

/// What a step's inputs are read with: the numbers of the states that the batch continues, and of those that only move.
#[derive(Clone, Copy, Default)]
pub(super) struct States {
    continued: Id,
    moved: Id,
}

impl Builder<'_> {
    /// The numbers of states: one a slot; in the largest batch all are continued.
    pub(super) fn states(&mut self) -> States {
        let slots = self.context.slots;
        let numbers = self.graph.input(Kind::I32, [slots, 1, 1, 1]);
        let view = |builder: &mut Self, count: u64, from: u64| {
            let row = count * 4;
            builder.graph.view(numbers, [count, 1, 1, 1], [4, row, row, row], from * 4)
        };
        States { continued: view(self, slots, 0), moved: view(self, 0, slots) }
    }

    /// States that lie where their layer lies.
    fn kept(&mut self, at: usize, wide: u64) -> Id {
        let on_device = self.args.offload_cache && self.offload.holds(at);
        let backend = if on_device { 0 } else { self.host };
        let home = Home { backend, weight: false, repacked: false };
        self.graph.placed(Kind::F32, [wide, self.context.slots, 1, 1], home)
    }

    /// Reads states, with what is done before and behind it: one is cleared, and those that only move are copied.
    fn read_states(&mut self, states: Id, read: impl FnOnce(&mut Self, Id) -> Id) -> Id {
        let [wide, slots, ..] = self.graph.at(states).ne;
        let row = wide.saturating_mul(4);
        let all = row.saturating_mul(slots);
        let shown = self.graph.reshape(states, [wide, slots, 1, 1]);
        let first = self.graph.view(shown, [wide, 1, 1, 1], [4, row, row, row], 0);
        let cleared = self.graph.written(first, &[first]);
        self.graph.expand(cleared);
        let read = read(self, shown);
        self.graph.expand(read);
        let moved = self.graph.get_rows(shown, self.states.moved);
        let into = self.graph.view(states, [wide, 0, 1, 1], [4, row, all, all], 0);
        let copied = self.graph.written(into, &[moved, into]);
        self.graph.expand(copied);
        read
    }

    pub(super) fn recurrent(&mut self, at: usize, of: Id, state: State) -> Result<Id, LlamaCppError> {
        let own = |key: &'static str| self.model.own(key).ok_or(LlamaCppError::MissingKey { key });
        let (kernel, inner, size) = (own("ssm.conv_kernel")?, own("ssm.inner_size")?, own("ssm.state_size")?);
        let heads = own("ssm.time_step_rank")?.max(1);
        let groups = self.model.own("ssm.group_count").unwrap_or(0);
        let (head, shared) = (inner / heads, groups.saturating_mul(size));
        let mixed = inner.saturating_add(shared.saturating_mul(2));
        let missing = |key: &'static str| LlamaCppError::MissingKey { key };
        let sequences = self.context.slots;
        let each = self.graph.at(of).ne[1] / sequences.max(1);
        // The last inputs of the convolution.
        let inputs = self.kept(at, state.convolution);
        let before = self.read_states(inputs, |builder, shown| builder.graph.get_rows(shown, builder.states.continued));
        let before = self.graph.reshape(before, [kernel.saturating_sub(1), mixed, sequences, 1]);
        let all = self.linear(of, at, "ssm_in")?.ok_or(missing("ssm_in.weight"))?;
        let all = self.graph.reshape(all, [self.graph.at(all).ne[0], each, sequences, 1]);
        let nb = self.graph.at(all).nb;
        let gate = self.graph.view(all, [head, heads, each, sequences], [4, head * 4, nb[1], nb[2]], 0);
        let part = |builder: &mut Self, wide: u64, from: u64| {
            builder.graph.view(all, [wide, each, sequences, 1], nb, from.saturating_mul(4))
        };
        let wanted = part(self, mixed, inner);
        let steps = part(self, heads, inner.saturating_add(mixed));
        let wanted = self.graph.permute(wanted, [1, 0, 2, 3]);
        let long = kernel.saturating_sub(1).saturating_add(each);
        let joined = self.graph.new_tensor(Op::Other, Kind::F32, [long, mixed, sequences, 1], &[before, wanted]);
        let nb = self.graph.at(joined).nb;
        let last = self.graph.view(joined, [kernel.saturating_sub(1), mixed, sequences, 1], nb, each * 4);
        let row = state.convolution.saturating_mul(4);
        let rows = [4, row, row.saturating_mul(sequences), row.saturating_mul(sequences)];
        let into = self.graph.view(inputs, [state.convolution, sequences, 1, 1], rows, 0);
        let stored = self.graph.written(into, &[last, into]);
        self.graph.expand(stored);
        let weight = self.of_layer(at, "ssm_conv1d.weight")?.ok_or(missing("ssm_conv1d.weight"))?;
        let mut folded = self.graph.new_tensor(Op::Other, Kind::F32, [mixed, each, sequences, 1], &[joined, weight]);
        if let Some(bias) = self.of_layer(at, "ssm_conv1d.bias")? {
            folded = self.graph.add(folded, bias);
        }
        let folded = self.graph.each(folded);
        // The scan over the tokens.
        let nb = self.graph.at(folded).nb;
        let mut view = |wide: u64, count: u64, from: u64| {
            self.graph.view(folded, [wide, count, each, sequences], [4, wide * 4, nb[1], nb[2]], from.saturating_mul(4))
        };
        let x = view(head, heads, 0);
        let b = view(size, groups, inner);
        let c = view(size, groups, inner.saturating_add(shared));
        let steps = self.graph.cont(steps, [heads, each, sequences, 1]);
        let bias = self.of_layer(at, "ssm_dt.bias")?.ok_or(missing("ssm_dt.bias"))?;
        let steps = self.graph.add(steps, bias);
        let decay = self.of_layer(at, "ssm_a")?.ok_or(missing("ssm_a"))?;
        let kept = self.kept(at, state.recurrent);
        let results = self.graph.at(x).elements();
        let scanned = self.read_states(kept, |builder, shown| {
            let shown = builder.graph.reshape(shown, [size, head, heads, sequences]);
            let both = results.saturating_add(state.recurrent.saturating_mul(sequences));
            let sources = [shown, x, steps, decay, b, c, builder.states.continued];
            builder.graph.new_tensor(Op::Other, Kind::F32, [both, 1, 1, 1], &sources)
        });
        let row = state.recurrent.saturating_mul(4);
        let nb = [4, row, row.saturating_mul(sequences), row.saturating_mul(sequences)];
        let ne = [state.recurrent, sequences, 1, 1];
        let after = self.graph.view(scanned, ne, nb, results.saturating_mul(4));
        let into = self.graph.view(kept, ne, nb, 0);
        let stored = self.graph.written(into, &[after, into]);
        self.graph.expand(stored);
        let (one, all) = (head * 4, head * heads * 4);
        let y = self.graph.view(scanned, [head, heads, each, sequences], [4, one, all, all.saturating_mul(each)], 0);
        let skip = self.of_layer(at, "ssm_d")?.ok_or(missing("ssm_d"))?;
        let skipped = self.graph.mul(x, skip);
        let y = self.graph.add(y, skipped);
        let gate = self.graph.cont(gate, [head, heads, each, sequences]);
        let mut y = self.graph.like(Op::Other, gate, &[y]);
        if self.of_layer(at, "ssm_norm.weight")?.is_some() {
            let groups = groups.max(1);
            y = self.graph.reshape(y, [inner / groups, groups, each, sequences]);
            y = self.norm(y, &format!("blk.{at}.ssm_norm.weight"))?;
        }
        let y = self.graph.reshape(y, [inner, each.saturating_mul(sequences), 1, 1]);
        self.linear(y, at, "ssm_out")?.ok_or(missing("ssm_out.weight"))
    }
}
