//! A scheduler that asks before it places: which of a model's requests a card takes, and whether the engine starts.
//!
//! `cargo run -p vramscope-estimate --example scheduler`

#![expect(clippy::print_stdout, reason = "an example says what it found")]

use vramscope_core::{Bytes, Workload};
use vramscope_estimate::{EngineArgs, EstimateError, Setting, budget_of_loaded, find_device, weights_on_device};

/// A card of the fleet, and what other processes hold on it.
struct Card {
    kind: &'static str,
    used: Bytes,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = vramscope_models::find_model("Qwen/Qwen3-8B")?;
    let (model, _notes) = model.architecture()?;
    let args = EngineArgs { max_model_len: Some(16_384), ..EngineArgs::default() };
    let request = Workload { input_len: Some(3000), output_len: Some(1000), ..Workload::default() };
    let fleet = [
        Card { kind: "l4", used: Bytes::ZERO },
        Card { kind: "h100", used: Bytes::new(20 << 30) },
        Card { kind: "h200", used: Bytes::ZERO },
    ];
    for card in fleet {
        let device = find_device(card.kind).ok_or("the card is not in the table")?;
        let setting = Setting { others: card.used, ..Setting::alone(device) };
        // Weights are most of the work and do not depend on the share: they are computed once a kind of card.
        let weights = weights_on_device(&model, &args, device)?;
        let most = [0.95, 0.9, 0.8, 0.7, 0.5].into_iter().find_map(|share| {
            let args = EngineArgs { gpu_memory_utilization: Some(share), ..args.clone() };
            let placed = || -> Result<_, EstimateError> {
                let found = budget_of_loaded(&model, &args, setting, &weights)?;
                // A careful scheduler counts on the low end of the interval.
                let sure = found.verdict.fits && found.verdict.certain;
                Ok(sure.then(|| found.workload(request)).flatten().map(|used| used.concurrent_requests))
            };
            placed().transpose().map(|requests| requests.map(|requests| (share, requests)))
        });
        match most.transpose()? {
            Some((share, requests)) => println!("{}: {requests} requests together at {share}", device.name),
            None => println!("{}: does not start", device.name),
        }
    }
    Ok(())
}
