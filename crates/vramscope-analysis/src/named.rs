//! A model as somebody names it: a folder, a file, a hub id, or a shape given by hand.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use vramscope_core::{Architecture, DraftModel};
use vramscope_estimate::document::ModelDocument;
use vramscope_estimate::{EngineArgs, EstimateError, parameter_count};
use vramscope_models::{
    ConfigError, HeaderError, MOST_CONFIG_BYTES, Note, Overrides, QUANTIZATION_FILE, TensorTable, UnknownModel,
    find_model, read_draft_config, read_gguf, read_safetensors, read_safetensors_index, with_overrides,
    with_quantization,
};
use vramscope_runs::{OpenedFile, Shape, open_file};

/// A model, read.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NamedModel {
    /// As it was named, or what stands for a name.
    pub name: String,
    /// Its shape.
    pub architecture: Architecture,
    /// What a person should know of the reading.
    pub notes: Vec<String>,
}

/// Why a model cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// Neither a name nor a whole shape.
    #[error("no model: give --model DIR|FILE|ID, or its shape with --num-layers, --num-heads and --hidden-size")]
    Unnamed,
    /// A file of it cannot be opened.
    #[error("could not open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file of it cannot be read.
    #[error("could not read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Its config says nothing that can be used.
    #[error("could not use {}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ConfigError,
    },
    /// The head of a file of weights cannot be understood.
    #[error("could not use {}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// Why.
        source: HeaderError,
    },
    /// A file of weights cannot be opened.
    #[error("could not use {}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is neither a file nor in the database.
    #[error(transparent)]
    Unknown(#[from] UnknownModel),
    /// What is known of it makes no shape.
    #[error(transparent)]
    Shape(#[from] ConfigError),
    /// Its parameters cannot be counted.
    #[error(transparent)]
    Count(#[from] EstimateError),
}

impl NamedModel {
    /// The model of an estimate's document.
    ///
    /// # Errors
    /// If its parameters cannot be counted.
    pub fn document(&self) -> Result<ModelDocument, EstimateError> {
        Ok(ModelDocument {
            name: self.name.clone(),
            class: self.architecture.class.clone(),
            parameters: parameter_count(&self.architecture)?.total,
            known_family: self.architecture.known_family,
            notes: self.notes.clone(),
        })
    }

    /// Reads the model of this name, where one is given, with this shape in place of its own.
    ///
    /// Of a folder that is config.json and the heads of its safetensors files; of a `.gguf` its head; any other file is
    /// taken for a config.json; any other name is looked for in the database. A name that is nowhere to be found may
    /// still be described by hand.
    ///
    /// # Errors
    /// [`ModelError`].
    pub fn read(named: Option<&str>, shape: &Shape) -> Result<Self, ModelError> {
        Self::read_overridden(named, shape, None)
    }

    /// As [`NamedModel::read`], with fields in place of the config's own: an object of JSON, as `--hf-overrides` gives it.
    ///
    /// # Errors
    /// [`ModelError`].
    pub fn read_overridden(named: Option<&str>, shape: &Shape, fields: Option<&str>) -> Result<Self, ModelError> {
        let overrides = shape.overrides();
        let by_hand = overrides.layers.is_some() && overrides.heads.is_some() && overrides.hidden_size.is_some();
        let mut model = match named {
            Some(name) => match read_named(name, &overrides, fields) {
                Err(_) if by_hand && !Path::new(name).exists() => by_shape(name, &overrides, true)?,
                read => read?,
            },
            None if by_hand => by_shape("a model of this shape", &overrides, false)?,
            None => return Err(ModelError::Unnamed),
        };
        model.check_count(shape.parameters)?;
        Ok(model)
    }

    /// Says where the shape counts other than the person said.
    fn check_count(&mut self, said: Option<u64>) -> Result<(), ModelError> {
        let counted = parameter_count(&self.architecture)?.total;
        if let Some(said) = said.filter(|said| said.abs_diff(counted) > counted / 100) {
            self.notes.push(format!("the shape counts {counted} parameters, not {said}"));
        }
        Ok(())
    }
}

/// Puts the shape of a drafter's model to the engine's arguments, where they name one that is at hand: a folder, a
/// config.json or an id of the database. One that is not leaves the drafter unmodelled, which a budget says.
///
/// # Errors
/// [`ModelError`], where a config is there and says nothing that can be used.
pub fn read_draft(args: &mut EngineArgs) -> Result<(), ModelError> {
    let Some(drafter) = args.drafter.as_mut().filter(|drafter| drafter.wants_model()) else { return Ok(()) };
    let Some(name) = drafter.model.as_deref() else { return Ok(()) };
    let path = Path::new(name);
    let path = if path.is_dir() { path.join("config.json") } else { path.to_owned() };
    let read = match path.is_file() {
        true => {
            let json = config_text(&path)?;
            read_draft_config(&json).map_err(|source| ModelError::Config { path, source })?.0
        }
        false => match find_model(name) {
            Ok(known) => {
                let (architecture, _) = known.architecture()?;
                DraftModel { inputs: 2 * architecture.hidden_size, draft_vocab_size: None, architecture }
            }
            Err(_) => return Ok(()),
        },
    };
    drafter.draft = Some(Box::new(read));
    Ok(())
}

fn by_shape(name: &str, overrides: &Overrides, absent: bool) -> Result<NamedModel, ModelError> {
    let (architecture, notes) = overrides.alone()?;
    let mut notes = sentences(notes);
    if absent {
        notes.insert(0, format!("{name} is neither a file nor in the database; the shape is the one given by hand"));
    }
    Ok(NamedModel { name: name.to_owned(), architecture, notes })
}

fn read_named(name: &str, overrides: &Overrides, fields: Option<&str>) -> Result<NamedModel, ModelError> {
    let path = Path::new(name);
    if path.is_dir() {
        return read_folder(path, overrides, fields);
    }
    if path.is_file() {
        let gguf = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
        return if gguf { read_gguf_file(path) } else { read_config_file(path, overrides, fields) };
    }
    let known = find_model(name)?;
    let (architecture, notes) = match fields {
        None => overrides.on_known(&known)?,
        Some(fields) => overrides.on_config(&with_overrides(&known.config_json(), fields.as_bytes())?)?,
    };
    let mut notes = sentences(notes);
    if known.id != name {
        notes.insert(0, format!("taken to be of the shape of {}", known.id));
    }
    Ok(NamedModel { name: name.to_owned(), architecture, notes })
}

fn open(path: &Path) -> Result<OpenedFile, ModelError> {
    open_file(path).map_err(|source| ModelError::Open { path: path.to_owned(), source })
}

fn config_text(path: &Path) -> Result<Vec<u8>, ModelError> {
    let mut json = Vec::new();
    // One byte more than a config may have, so that a larger one is seen to be larger and is not read.
    let limit = MOST_CONFIG_BYTES as u64 + 1;
    let read = open(path)?.take(limit).read_to_end(&mut json);
    read.map_err(|source| ModelError::Read { path: path.to_owned(), source })?;
    Ok(json)
}

/// The text of a `config.json`, with the quantization that a file beside it states.
///
/// # Errors
/// [`ModelError`] names the file of the two that cannot be used.
pub fn read_config_text(path: &Path) -> Result<Vec<u8>, ModelError> {
    let config = config_text(path)?;
    let beside = path.with_file_name(QUANTIZATION_FILE);
    if !beside.is_file() {
        return Ok(config);
    }
    with_quantization(&config, &config_text(&beside)?).map_err(|source| ModelError::Config { path: beside, source })
}

fn read_config_file(path: &Path, overrides: &Overrides, fields: Option<&str>) -> Result<NamedModel, ModelError> {
    let json = read_config_text(path)?;
    let overridden = fields.map_or(Ok(json.clone()), |fields| with_overrides(&json, fields.as_bytes()));
    let used = overridden.and_then(|json| overrides.on_config(&json));
    let (architecture, notes) = used.map_err(|source| ModelError::Config { path: path.to_owned(), source })?;
    Ok(NamedModel { name: path.display().to_string(), architecture, notes: sentences(notes) })
}

fn read_gguf_file(path: &Path) -> Result<NamedModel, ModelError> {
    let head = read_gguf(io::BufReader::new(open(path)?));
    let head = head.map_err(|source| ModelError::Header { path: path.to_owned(), source })?;
    let (architecture, notes) = head.architecture()?;
    Ok(NamedModel { name: path.display().to_string(), architecture, notes: sentences(notes) })
}

/// A folder as a model's repository: config.json, and the headers of its safetensors files if they are there.
fn read_folder(folder: &Path, overrides: &Overrides, fields: Option<&str>) -> Result<NamedModel, ModelError> {
    let mut model = read_config_file(&folder.join("config.json"), overrides, fields)?;
    model.name = folder.display().to_string();
    let Some(table) = tensors(folder)? else { return Ok(model) };
    let architecture = &mut model.architecture;
    architecture.stored_bytes = table.loaded_bytes(architecture.tied_head, architecture.layers.len() as u64);
    let counted = parameter_count(architecture)?.total;
    let plain = architecture.quantization.is_none();
    if let Some(stored) = table.elements().filter(|stored| plain && *stored != counted) {
        model.notes.push(format!("the checkpoint stores {stored} elements where the shape counts {counted}"));
    }
    Ok(model)
}

/// The largest index that is read; the reader of its text refuses it from there on.
const MOST_INDEX_BYTES: u64 = 100_000_000;

/// The tensor table of a folder; `None` without safetensors files.
fn tensors(folder: &Path) -> Result<Option<TensorTable>, ModelError> {
    let index = folder.join("model.safetensors.index.json");
    let files = if index.is_file() {
        let mut json = Vec::new();
        let read = open(&index)?.take(MOST_INDEX_BYTES + 1).read_to_end(&mut json);
        read.map_err(|source| ModelError::Read { path: index.clone(), source })?;
        read_safetensors_index(&json).map_err(|source| ModelError::Header { path: index, source })?
    } else if folder.join("model.safetensors").is_file() {
        vec!["model.safetensors".to_owned()]
    } else {
        return Ok(None);
    };
    let mut table = TensorTable::default();
    for name in files {
        table.extend(one_file(folder.join(name))?);
    }
    Ok(Some(table))
}

fn one_file(path: PathBuf) -> Result<TensorTable, ModelError> {
    let opened = open_file(&path).and_then(|file| Ok((path.metadata()?.len(), file)));
    let (size, file) = opened.map_err(|source| ModelError::Weights { path: path.clone(), source })?;
    read_safetensors(io::BufReader::new(file), size).map_err(|source| ModelError::Header { path, source })
}

fn sentences(notes: Vec<Note>) -> Vec<String> {
    notes.into_iter().map(|note| format!("{}: {}", note.field, note.text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn shape() -> Shape {
        Shape { layers: Some(2), heads: Some(4), hidden_size: Some(64), ..Shape::default() }
    }

    #[test]
    fn a_model_is_a_folder_or_an_id_or_a_shape() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().to_str().unwrap();
        let absent = NamedModel::read(Some(name), &Shape::default()).unwrap_err();
        assert!(matches!(&absent, ModelError::Open { path, .. } if path.ends_with("config.json")), "{absent:?}");
        let config = r#"{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64,
            "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100}"#;
        fs::write(folder.path().join("config.json"), config).unwrap();
        let read = NamedModel::read(Some(name), &Shape::default()).unwrap();
        assert_eq!((read.name.as_str(), read.architecture.layers.len()), (name, 2));
        let said = NamedModel::read(Some(name), &Shape { parameters: Some(7), ..Shape::default() }).unwrap();
        assert!(said.notes.iter().any(|note| note.ends_with("parameters, not 7")), "{:?}", said.notes);
        fs::write(folder.path().join("model.safetensors"), "none").unwrap();
        let broken = NamedModel::read(Some(name), &Shape::default()).unwrap_err();
        assert!(matches!(broken, ModelError::Header { .. }), "{broken:?}");
        assert!(matches!(NamedModel::read(None, &Shape::default()), Err(ModelError::Unnamed)));
        assert!(matches!(NamedModel::read(Some("no/such"), &Shape::default()), Err(ModelError::Unknown(_))));
        let by_hand = NamedModel::read(Some("no/such"), &shape()).unwrap();
        assert!(by_hand.notes[0].starts_with("no/such is neither"), "{:?}", by_hand.notes);
    }
}
