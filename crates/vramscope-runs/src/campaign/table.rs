//! The older form: one run a line, its fields separated by commas, `#` before comments.

use super::{CampaignError, CampaignFile, ModelEntry};

/// The columns that are known.
const COLUMNS: [&str; 6] = ["model_id", "container_name", "batch_size", "max_tokens", "tensor_parallel", "prompt"];

/// Whether the first line that says something is a table's head.
pub(super) fn is_one(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.next().is_some_and(|line| line.split(',').any(|column| column.trim() == COLUMNS[0]) && line.contains(','))
}

pub(super) fn read(text: &str) -> Result<CampaignFile, CampaignError> {
    let mut reader =
        csv::ReaderBuilder::new().comment(Some(b'#')).flexible(true).trim(csv::Trim::All).from_reader(text.as_bytes());
    let wrong = |line: u64, reason: String| CampaignError::Line { line, reason };
    let heads = reader.headers().map_err(|error| wrong(1, error.to_string()))?.clone();
    if let Some(unknown) = heads.iter().find(|head| !COLUMNS.contains(head)) {
        return Err(wrong(1, format!("there is no column {unknown:?}; there are {}", COLUMNS.join(", "))));
    }
    let mut models = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| {
            wrong(error.position().map_or(0, csv::Position::line), "expected fields with commas between".to_owned())
        })?;
        let line = record.position().map_or(0, csv::Position::line);
        if record.len() > heads.len() {
            let reason = format!("{} fields, and the head names {}", record.len(), heads.len());
            return Err(wrong(line, reason));
        }
        let field = |name: &str| {
            let at = heads.iter().position(|head| head == name)?;
            record.get(at).filter(|text| !text.is_empty())
        };
        let number = |name: &str| {
            let whole = |text: &str| {
                text.parse().map_err(|_| wrong(line, format!("{name} is {text:?}, expected a whole number")))
            };
            field(name).map(whole).transpose()
        };
        let model = field("model_id").ok_or_else(|| wrong(line, "model_id is missing".to_owned()))?;
        models.push(ModelEntry {
            model_id: model.to_owned(),
            container_name: field("container_name").map(str::to_owned),
            batch_sizes: number("batch_size")?.map(|size| vec![size]),
            output_lengths: number("max_tokens")?.map(|tokens| vec![tokens]),
            tensor_parallel_size: number("tensor_parallel")?,
            prompt: field("prompt").map(str::to_owned),
            ..ModelEntry::default()
        });
    }
    Ok(CampaignFile { models })
}
