//! What the model's folder says against the arguments.

use std::path::Path;

use super::{Finding, Preflight};

/// What to do where arguments name another format than the folder has.
const LEAVE_OUT: &str = "leave the flag out: the engine takes what the folder says";

/// The names by which vLLM takes one kind of checkpoint, the kind's own first, as its releases 0.25 and 0.33 compare them:
/// `ModelConfig._verify_quantization` of `config/model.py`, and `override_quantization_method` of each method. The engine
/// refuses a name of another kind. Methods that take checkpoints of several kinds (`marlin`, `moe_wna16`, `humming`, `inc`),
/// and checkpoints that choose their method whatever is said (`modelopt`, `mxfp4`), are in none.
const KINDS: [&[&str]; 5] = [
    &["awq", "auto_awq", "awq_marlin"],
    &["gptq", "auto_gptq", "gptq_marlin"],
    &["fp8"],
    &["bitsandbytes"],
    &["compressed-tensors"],
];

fn kind(method: &str) -> Option<&'static str> {
    KINDS.iter().find(|names| names.iter().any(|name| name.eq_ignore_ascii_case(method)))?.first().copied()
}

/// Whether two names are of one kind of checkpoint.
pub(super) fn same_kind(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other) || kind(one).is_some_and(|known| kind(other) == Some(known))
}

/// The endings of the files that a load format reads, one of which must be there: `_prepare_weights` of vLLM's
/// `default_loader.py`, `runai_streamer_loader.py` and `sharded_state_loader.py` (0.25 and 0.33). `None` for formats that take several or read elsewhere.
fn endings(load_format: &str) -> Option<&'static [&'static str]> {
    match load_format.to_ascii_lowercase().as_str() {
        "safetensors" | "fastsafetensors" | "instanttensor" | "mistral" => Some(&[".safetensors", ".pt"]),
        "runai_streamer" | "sharded_state" => Some(&[".safetensors"]),
        "npcache" => Some(&[".bin", ".pt"]),
        "pt" => Some(&[".pt"]),
        _ => None,
    }
}

impl Preflight<'_> {
    /// The folder is there, and holds a model.
    pub(super) fn model(&self) -> Option<Finding> {
        let folder = self.model_folder?;
        if !folder.is_dir() {
            return no_folder(folder);
        }
        if !folder.join("config.json").is_file() {
            return Some(Finding {
                code: "no_model_config",
                refuses: true,
                message: format!("{} has no config.json", folder.display()),
                advice: "name the folder that holds config.json and the weights",
            });
        }
        if self.dummy_weights {
            return None;
        }
        let listed = folder.read_dir().ok()?.flatten();
        let names: Vec<String> = listed.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        let has = |endings: &[&str]| names.iter().any(|name| endings.iter().any(|end| name.ends_with(end)));
        if !has(&[".safetensors", ".bin", ".gguf", ".pt"]) {
            return Some(Finding {
                code: "no_weights",
                refuses: true,
                message: format!("{} holds no weights (*.safetensors, *.bin, *.gguf)", folder.display()),
                advice: "download them, or measure without them: give the engine --load-format dummy",
            });
        }
        let format = self.load_format.as_deref()?;
        let wanted = endings(format).filter(|endings| !has(endings))?;
        let shown = wanted.first().copied().unwrap_or_default();
        Some(Finding {
            code: "load_format_without_files",
            refuses: true,
            message: format!("--load-format {format} reads *{shown} files, and {} holds none", folder.display()),
            advice: LEAVE_OUT,
        })
    }

    /// The engine refuses a quantization that is not the checkpoint's.
    pub(super) fn other_quantization(&self) -> Option<Finding> {
        let asked = self.args.quantization.as_deref()?;
        let model = self.architecture?;
        let declared = model.quantization.as_ref()?.method.as_str();
        let (of_flag, of_folder) = (kind(asked)?, kind(declared)?);
        // DeepSeek V4 chooses its own method for its fp8, whatever is said.
        let chooses = of_folder == "fp8" && model.family.as_deref() == Some("deepseek_v4");
        (of_flag != of_folder && !chooses).then(|| Finding {
            code: "other_quantization",
            refuses: true,
            message: format!(
                "--quantization is {asked}, and the quantization_config of the model's config.json says {declared}: the engine \
                 refuses that"
            ),
            advice: LEAVE_OUT,
        })
    }
}

/// A model that was named by a path, where no folder is.
fn no_folder(path: &Path) -> Option<Finding> {
    if !path.exists() {
        return Some(Finding {
            code: "no_model_folder",
            refuses: true,
            message: format!("there is no folder {}", path.display()),
            advice: "name the folder that holds config.json and the weights, or a Hugging Face id as OWNER/NAME",
        });
    }
    // A file of this kind is a whole model.
    let whole = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("gguf"));
    (!whole).then(|| Finding {
        code: "model_is_a_file",
        refuses: true,
        message: format!("{} is a file, and an engine reads a folder (or a .gguf)", path.display()),
        advice: "name the folder that holds config.json and the weights",
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::preflight;

    fn quantized(method: Option<&str>) -> vramscope_core::Architecture {
        let section = method.map_or(String::new(), |method| {
            format!(r#", "quantization_config": {{"quant_method": "{method}", "bits": 4, "group_size": 128}}"#)
        });
        let json = format!(
            r#"{{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096,
            "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
            "vocab_size": 128256, "max_position_embeddings": 131072, "torch_dtype": "float16"{section}}}"#
        );
        vramscope_models::read_config(json.as_bytes()).unwrap().0
    }

    #[test]
    fn a_quantization_that_is_not_the_checkpoints_is_refused_and_another_name_of_it_is_not() {
        for (declared, asked, refused) in [
            (Some("gptq"), Some("awq"), true),
            (Some("awq"), Some("fp8"), true),
            (Some("fp8"), Some("AWQ"), true),
            (Some("awq"), Some("bitsandbytes"), true),
            (Some("gptq"), Some("gptq_marlin"), false),
            (Some("awq"), Some("awq_marlin"), false),
            (Some("awq"), Some("marlin"), false),
            (Some("gptq"), Some("moe_wna16"), false),
            (Some("gptq"), Some("something_new"), false),
            (Some("gptq"), None, false),
            (None, Some("fp8"), false),
            (None, Some("bitsandbytes"), false),
        ] {
            let model = quantized(declared);
            let mut preflight = preflight(&[], Some(&model));
            preflight.args.quantization = asked.map(str::to_owned);
            let found = preflight.check_place().into_iter().find(|finding| finding.code == "other_quantization");
            assert_eq!(found.map(|finding| finding.refuses), refused.then_some(true), "{declared:?} {asked:?}");
        }
    }

    #[test]
    fn a_load_format_needs_files_of_its_kind() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), "{}").unwrap();
        std::fs::write(folder.path().join("pytorch_model.bin"), "").unwrap();
        let mut preflight = preflight(&[], None);
        preflight.model_folder = Some(folder.path());
        for (format, found) in [
            (Some("safetensors"), Some("load_format_without_files")),
            (Some("pt"), Some("load_format_without_files")),
            (Some("runai_streamer"), Some("load_format_without_files")),
            (Some("npcache"), None),
            (Some("auto"), None),
            (Some("something_new"), None),
            (None, None),
        ] {
            preflight.load_format = format.map(str::to_owned);
            assert_eq!(preflight.model().map(|finding| finding.code), found, "{format:?}");
        }
        preflight.dummy_weights = true;
        preflight.load_format = Some("dummy".into());
        assert_eq!(preflight.model(), None);
        std::fs::write(folder.path().join("model.safetensors"), "").unwrap();
        (preflight.dummy_weights, preflight.load_format) = (false, Some("safetensors".into()));
        assert_eq!(preflight.model(), None);
    }
}
