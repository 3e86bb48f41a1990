//! What is known of the model before the engine reads it.

use std::path::Path;

use vramscope_analysis::read_config_text;
use vramscope_core::Architecture;
use vramscope_host::EngineHost;
use vramscope_models::{MOST_CONFIG_BYTES, QUANTIZATION_FILE, find_model, with_quantization};
use vramscope_runs::Shape;

use super::PlanError;
use crate::Request;

/// A model's shape and its `config.json`.
type Known = (Option<Architecture>, Option<Vec<u8>>);

/// Those of a model of this machine. A hub id that the database does not have is the engine's business alone.
pub(super) fn here(request: &Request, named: Option<&str>, folder: Option<&Path>) -> Result<Known, PlanError> {
    if named.is_none() && request.model.shape == Shape::default() {
        return Ok((None, None));
    }
    let config = match folder {
        Some(folder) => read_config_text(&folder.join("config.json")).ok(),
        None => named.and_then(|name| find_model(name).ok()).map(|known| known.config_json()),
    };
    match request.model.read() {
        Ok(model) => Ok((Some(model.architecture), config)),
        // The engine may know what we do not; a folder that cannot be read is wrong for both.
        Err(error) if folder.is_some_and(|folder| folder.join("config.json").is_file()) => Err(PlanError::Model(error)),
        Err(_) => Ok((None, config)),
    }
}

/// Those of a folder inside the container. What cannot be read there is not known; the engine will say why.
pub(super) async fn inside(request: &Request, host: &EngineHost, folder: &Path) -> Result<Known, PlanError> {
    let limit = u64::try_from(MOST_CONFIG_BYTES).unwrap_or(u64::MAX);
    let Ok(config) = host.read_file(&folder.join("config.json"), limit).await else { return Ok((None, None)) };
    let config = match host.read_file(&folder.join(QUANTIZATION_FILE), limit).await {
        Ok(beside) => with_quantization(&config, &beside).map_err(PlanError::ModelInside)?,
        Err(_) => config,
    };
    let read = request.model.shape.overrides().on_config(&config);
    let (architecture, _) = read.map_err(PlanError::ModelInside)?;
    Ok((Some(architecture), Some(config)))
}
