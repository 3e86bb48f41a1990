//! The tensors of a drafter on one rank.

use vramscope_core::{Architecture, Layer, Matrix};

use super::tensors::{self, Part, Split, Tensor, table, vector};
use crate::EstimateError;
use crate::vllm::drafts::{Draft, Join};

/// Goes through a drafter's tensors; a layer's come with the layer, whose matrices may be stored in other formats.
/// `own_heads` is whether weights are read, so that a head's own output is kept: one that is made up is let go for the
/// model's.
pub(super) fn tensors<'a>(
    draft: &Draft<'a>,
    model: &Architecture,
    split: Split,
    own_heads: bool,
    take: &mut dyn FnMut(Option<&'a Layer>, Tensor),
) -> Result<(), EstimateError> {
    let hidden = model.hidden_size;
    match draft {
        Draft::OwnLayers { layer, count, join } => {
            let joins = if *join == Join::Whole { *count } else { 1 };
            let rows = if *join == Join::Whole { hidden } else { split.of("the width", hidden)? };
            for _ in 0..joins {
                take(None, table(Part::Drafter, rows, 2 * hidden));
                // Those of the two inputs and of the output.
                (0..3).for_each(|_| take(None, vector(Part::Drafter, hidden)));
            }
            for _ in 0..*count {
                tensors::layer(layer, hidden, split, &mut |tensor| take(Some(layer), tensor))?;
            }
        }
        Draft::Head { draft, third } => {
            let own = &draft.architecture;
            let inputs = if *third { draft.inputs } else { own.hidden_size.saturating_mul(2) };
            take(None, table(Part::Drafter, own.hidden_size, inputs));
            for (place, layer) in own.layers.iter().enumerate() {
                // The first layer of the third kind takes in the token's vector beside the states.
                let wide = *third && place == 0;
                tensors::layer(layer, own.hidden_size, split, &mut |tensor| {
                    let joins = wide && tensor.place == Some(Matrix::QueryKeyValue);
                    let columns = if joins { tensor.columns.saturating_mul(2) } else { tensor.columns };
                    take(Some(layer), Tensor { columns, ..tensor });
                })?;
            }
            if *third {
                (0..2).for_each(|_| take(None, vector(Part::Drafter, own.hidden_size)));
            }
            if let Some(words) = draft.draft_vocab_size.filter(|_| own_heads && *third) {
                take(None, table(Part::Drafter, split.vocabulary(words), own.hidden_size));
            }
        }
        Draft::Model(own) => {
            tensors::embedding(own, split, &mut |tensor| take(None, tensor));
            for layer in &own.layers {
                tensors::layer(layer, own.hidden_size, split, &mut |tensor| take(Some(layer), tensor))?;
            }
            tensors::head(own, split, !own.tied_head, &mut |tensor| take(None, tensor));
        }
    }
    Ok(())
}
