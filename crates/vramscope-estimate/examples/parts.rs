//! Prints the parts of a model's weights on one rank: of a `config.json`, with the `hf_quant_config.json` beside it if
//! that is named too, or of a known model where nothing is named.

#![expect(clippy::print_stdout, reason = "an example may print")]

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut names = std::env::args().skip(1);
    let mut config = match names.next() {
        Some(path) => std::fs::read(path)?,
        None => vramscope_models::find_model("Qwen/Qwen3-8B")?.config_json(),
    };
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
