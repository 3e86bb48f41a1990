//! What engines said of themselves, kept for the runs of one campaign: each question takes an engine seconds of imports.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::plan::{Plan, PlanError};
use crate::{Found, Place, RunEvent, WorkKind};

/// Engines that were asked before.
#[derive(Debug, Default)]
pub struct Engines(HashMap<Engine, Result<Found, Arc<PlanError>>>);

/// What makes an engine another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Engine {
    /// The container or image in which it runs.
    place: Option<String>,
    /// Its program with leading arguments.
    program: Vec<String>,
    /// The program's file on this machine, and when it was changed.
    file: Option<(PathBuf, SystemTime)>,
    /// Variables that it is given, which may lead to other modules.
    variables: Vec<(String, String)>,
    /// Which of its subcommands was asked for its flags.
    serves: bool,
}

impl Engines {
    /// [`Found::ask`], unless this engine was asked before.
    ///
    /// # Errors
    /// Those of [`Found::ask`].
    pub async fn ask(&mut self, plan: &Plan, observe: &mut (dyn FnMut(RunEvent) + Send)) -> Result<Found, PlanError> {
        let Some(engine) = Engine::of(plan) else { return Found::ask(plan, observe).await };
        let answer = match self.0.get(&engine) {
            Some(answer) => answer.clone(),
            None => {
                let answer = Found::ask(plan, observe).await.map_err(Arc::new);
                self.0.insert(engine, answer.clone());
                answer
            }
        };
        answer.map_err(PlanError::Asked)
    }

    /// Those that did not answer are asked again.
    pub fn forget_failures(&mut self) {
        self.0.retain(|_, answer| answer.is_ok());
    }
}

impl Engine {
    /// `None` for one whose words may have changed since: a server, or a program that cannot be found.
    fn of(plan: &Plan) -> Option<Self> {
        let request = plan.request();
        let program = request.program();
        let (place, file) = match &request.place {
            Place::Process => (None, Some(file(program.first()?, &request.environment.inherited)?)),
            Place::Container { name } => (Some(format!("container {name}")), None),
            Place::Image { image, .. } => (Some(format!("image {image}")), None),
            Place::Server { .. } => return None,
        };
        let variables = request.environment.given.clone();
        Some(Self { place, program, file, variables, serves: request.work.kind == WorkKind::Serve })
    }
}

/// A program's file as the system finds it, with the time of its last change.
fn file(program: &str, variables: &[(String, String)]) -> Option<(PathBuf, SystemTime)> {
    let changed = |path: PathBuf| {
        let about = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file)?;
        Some((path, about.modified().ok()?))
    };
    if program.contains('/') {
        return changed(Path::new(program).to_owned());
    }
    let (_, folders) = variables.iter().find(|(name, _)| name == "PATH")?;
    std::env::split_paths(folders).find_map(|folder| changed(folder.join(program)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_as_the_system_finds_it() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("vllm");
        std::fs::write(&path, "").unwrap();
        let variables = [("PATH".to_owned(), format!("/nowhere:{}", home.path().display()))];
        assert_eq!(file("vllm", &variables).unwrap().0, path);
        assert_eq!(file(path.to_str().unwrap(), &[]).unwrap().0, path);
        assert_eq!(file("other", &variables), None);
    }
}
