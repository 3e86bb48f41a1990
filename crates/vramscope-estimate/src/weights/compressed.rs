//! Tensors of attention over compressed tokens, and of what mixes residual streams.
//!
//! Shapes follow vLLM 0.25 to 0.33, `models/deepseek_v4/{attention,compressor}.py` and `nvidia/model.py`.

use vramscope_core::{Architecture, CompressedAttention, Compressor, Matrix};

use super::tensors::{Part, Split, Take, Tensor, linear, table, vector};
use crate::EstimateError;

/// The heads for which the kernel reads sinks (`nvidia/flashmla.py`, `get_padded_num_q_heads`).
const PADDED_HEADS: u64 = 64;

/// The ways down and the index stand whole on every rank; the ways up are split by head, the output by group of heads.
pub(super) fn attention(
    c: &CompressedAttention,
    hidden: u64,
    split: Split,
    take: Take<'_>,
) -> Result<(), EstimateError> {
    let heads = split.of("the attention heads", c.heads)?;
    let groups = split.of("the groups of the output", c.output_groups)?;
    take(Tensor { joined: 2, ..linear(Matrix::LatentDown, c.query_rank + c.head_dim, hidden) });
    take(vector(Part::Norms, c.query_rank));
    take(linear(Matrix::QueryUp, heads * c.head_dim, c.query_rank));
    take(vector(Part::Norms, c.head_dim));
    take(linear(Matrix::OutputDown, groups * c.output_rank, c.heads / c.output_groups * c.head_dim));
    take(linear(Matrix::Output, hidden, groups * c.output_rank));
    let sinks = if split.padded { heads.next_multiple_of(PADDED_HEADS) } else { heads };
    take(Tensor { wide: true, ..vector(Part::Attention, sinks) });
    let Some(own) = c.compressor else { return Ok(()) };
    compressor(&own, c.head_dim, hidden, take);
    if let Some(index) = own.indexer {
        take(linear(Matrix::Index, index.heads * index.head_dim, c.query_rank));
        take(table(Part::Attention, index.heads, hidden));
        compressor(&own, index.head_dim, hidden, take);
    }
    Ok(())
}

/// Values and gates by one matrix that no method quantizes, what is added for a token's place in its run, and a norm.
fn compressor(c: &Compressor, width: u64, hidden: u64, take: Take<'_>) {
    let width_of_runs = c.runs() * width;
    take(Tensor { joined: 2, ..table(Part::Attention, 2 * width_of_runs, hidden) });
    take(Tensor { wide: true, ..table(Part::Attention, c.tokens, width_of_runs) });
    take(vector(Part::Norms, width));
}

/// What a layer of several residual streams mixes them by, for each of its two parts: into one, out of it, and among
/// themselves; with a base, and a scale for each of the three.
pub(super) fn streams(streams: u64, hidden: u64, take: Take<'_>) {
    if streams < 2 {
        return;
    }
    let mixes = (2 + streams) * streams;
    for _ in 0..2 {
        mixed(mixes, 3, streams * hidden, take);
    }
}

/// What makes one stream of several before the head; it stands on every stage of a pipeline.
pub(crate) fn joined(model: &Architecture, take: Take<'_>) {
    let streams = model.streams();
    if streams > 1 {
        mixed(streams, 1, streams * model.hidden_size, take);
    }
}

fn mixed(mixes: u64, scales: u64, width: u64, take: Take<'_>) {
    let wide = |tensor| Tensor { wide: true, ..tensor };
    take(wide(table(Part::Streams, mixes, width)));
    take(wide(vector(Part::Streams, mixes)));
    take(wide(vector(Part::Streams, scales)));
}
