//! Which engine is there: its kind, its release, and what it takes.

use vramscope_core::EngineKind;
use vramscope_load::Sign;

use crate::plan::{Plan, PlanError};
use crate::{Flags, RunEvent, WorkKind, llama_cpp, vllm};

/// The engine, as far as it can be asked before the run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Found {
    /// Which engine a server that runs is, as it answers; `None` where nothing that it answers tells, or where no server was
    /// asked.
    pub kind: Option<EngineKind>,
    /// The answers that tell it.
    pub signs: Vec<Sign>,
    /// Its release, as it says it.
    pub version: Option<String>,
    /// The flags of the subcommand that is to run; `None` where no command is started whose flags are checked.
    pub flags: Option<Flags>,
    /// The longest sequence that a server which runs takes, as it says. Unit: tokens.
    pub max_model_len: Option<u64>,
    /// Token ids that the model of a server which runs has, as it says. Unit: count.
    pub vocabulary: Option<u64>,
}

impl Found {
    /// Asks a server that runs what it is, and an engine that is to be started for its release and its flags.
    ///
    /// # Errors
    /// [`PlanError::Unreachable`], [`PlanError::Host`], and [`PlanError::NoFlags`] for a program that is no engine.
    pub async fn ask(plan: &Plan, observe: &mut (dyn FnMut(RunEvent) + Send)) -> Result<Self, PlanError> {
        let request = plan.request();
        if let Some(url) = request.place.url() {
            observe(RunEvent::Asking("asking the server which engine it is"));
            let told = plan.client(url)?.identify().await.map_err(PlanError::Unreachable)?;
            return Ok(Self {
                kind: told.kind,
                signs: told.signs,
                version: told.version,
                flags: None,
                max_model_len: told.max_model_len,
                vocabulary: told.vocabulary,
            });
        }
        if request.work.kind == WorkKind::Transformers {
            return Ok(Self::default());
        }
        if request.started() == Some(EngineKind::LlamaCpp) {
            observe(RunEvent::Asking("asking the engine for its version"));
            return Ok(Self { version: llama_cpp::version(plan).await?, ..Self::default() });
        }
        // Their servers say their release when they answer.
        if matches!(request.started(), Some(EngineKind::SgLang | EngineKind::Ollama)) {
            return Ok(Self::default());
        }
        observe(RunEvent::Asking("asking the engine for its version and its flags"));
        let (version, flags) = vllm::found::ask(plan).await?;
        Ok(Self { version, flags: Some(flags), ..Self::default() })
    }

    /// Which engine a server that runs is, where somebody may have said so, and what a reader must know of how it is told.
    /// Nothing has to be said of the engine that documents knew first, if it says so itself.
    pub(crate) fn engine(&self, said: Option<EngineKind>) -> (Option<EngineKind>, Option<String>) {
        let signs: Vec<String> = self.signs.iter().map(|sign| format!("{} ({})", sign.path, sign.what)).collect();
        let signs = signs.join(", ");
        let note = match (said, self.kind) {
            (Some(said), Some(told)) if said == told => None,
            (Some(said), _) if self.signs.is_empty() => Some(format!(
                "the engine is {}, as --engine-kind says; nothing that the server answers tells it",
                said.title()
            )),
            (Some(said), _) => Some(format!(
                "the engine is {}, as --engine-kind says; the server answers otherwise: {}",
                said.title(),
                self.by_kind()
            )),
            (None, Some(EngineKind::Vllm)) => None,
            (None, Some(told)) => Some(format!("the engine is {}, as the server answers: {signs}", told.title())),
            (None, None) if self.signs.is_empty() => Some(
                "which engine the server is, is not known: nothing that it answers tells; --engine-kind says it"
                    .to_owned(),
            ),
            (None, None) => Some(format!(
                "which engine the server is, is not known: its answers are of several ({}); --engine-kind says it",
                self.by_kind()
            )),
        };
        (said.or(self.kind), note)
    }

    /// The signs, each with its engine.
    fn by_kind(&self) -> String {
        let each = |sign: &Sign| format!("{} as {} ({})", sign.path, sign.kind.title(), sign.what);
        self.signs.iter().map(each).collect::<Vec<String>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_engine_that_is_not_told_is_unknown_unless_somebody_says_it() {
        let nobody = Found::default();
        let (engine, note) = nobody.engine(None);
        assert!(engine.is_none() && note.unwrap().contains("--engine-kind says it"));
        let (engine, note) = nobody.engine(Some(EngineKind::Tgi));
        assert!(engine == Some(EngineKind::Tgi) && note.unwrap().contains("TGI, as --engine-kind says"));
        let script = standin_openai::Script { engine: standin_openai::Engine::SgLang, ..Default::default() };
        let server = standin_openai::Server::start(script).unwrap();
        let told = vramscope_load::Client::new(&server.url(), None).unwrap().identify().await.unwrap();
        let found = Found { kind: told.kind, signs: told.signs, ..Found::default() };
        let (engine, note) = found.engine(None);
        assert!(engine == Some(EngineKind::SgLang) && note.unwrap().contains("owned_by sglang"));
        let (engine, note) = found.engine(Some(EngineKind::Vllm));
        assert!(engine == Some(EngineKind::Vllm) && note.unwrap().contains("the server answers otherwise"));
        assert_eq!(found.engine(Some(EngineKind::SgLang)), (Some(EngineKind::SgLang), None));
    }
}
