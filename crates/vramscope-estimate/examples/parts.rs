//! Prints the parts of a model's weights on one rank: `cargo run --example parts -- config.json [hf_quant_config.json]`.

#![expect(clippy::print_stdout, reason = "an example may print")]

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut names = std::env::args().skip(1);
    let mut config = std::fs::read(names.next().ok_or("name a config.json")?)?;
    if let Some(beside) = names.next() {
        config = vramscope_models::with_quantization(&config, &std::fs::read(beside)?)?;
    }
    let (model, notes) = vramscope_models::read_config(&config)?;
    let weights = vramscope_estimate::weights_per_rank(&model, &vramscope_estimate::EngineArgs::default())?;
    for (part, bytes) in &weights.stages[0].parts {
        println!("{:20} {bytes}", part.name());
    }
    notes.iter().for_each(|note| println!("{}: {}", note.field, note.text));
    Ok(())
}
