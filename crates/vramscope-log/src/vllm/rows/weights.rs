//! Loading the weights. Always per worker, never the model's total.

use vramscope_core::Milestone;

use super::{Row, row};

pub(super) const ROWS: &[Row] = &[
    row("0.8.0-", " took ", "Model loading took {weights~2}[[ memory]][[ and {load_secs} seconds]]")
        .event(Milestone::WeightsLoaded),
    // HPU prints `in total` and chooses the unit of each number.
    row("0.6.4-0.9.2", "weights", "Loading model weights took in total {weights}").event(Milestone::WeightsLoaded),
    row("0.4.0-0.9.2", "weights", "Loading model weights took {weights}[[ and {load_secs} seconds]]")
        .event(Milestone::WeightsLoaded),
    row("0.5.0-", "ad model", "Starting to load model {model}...").event(Milestone::LoadBegan),
    row("0.9.0-", " scratch", "Loading model from scratch...").event(Milestone::LoadBegan),
    row("0.8.0-", "weights", "Loading weights took {read_weights_secs} seconds"),
    row("0.8.0-", "weights", "Time spent downloading weights for {..}: {download_secs} seconds"),
    row("0.25.0-", "emory", "Peak GPU memory after loading weights: {load_peak~2}"),
    row(
        "0.20.0-",
        "t size",
        "Filesystem type for checkpoints: {..}. Checkpoint size: {checkpoint_size}. Available RAM: {host_total}.",
    ),
    row("0.8.0-", "d par", "Total CPU offloaded parameters: {cpu_offloaded~2=}"),
];
