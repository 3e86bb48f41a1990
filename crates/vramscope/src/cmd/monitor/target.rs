//! Whose memory is looked at: a process with all that it started, or a container.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use vramscope_schema::ExitCode;

use crate::backends::Opened;
use crate::containers::Containers;
use crate::exit::OrExit as _;

/// Who is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// This process and all that descend from it.
    Process(u32),
    /// All processes of this container, by its name or the beginning of its id.
    Container(String),
}

/// Finds out which processes belong to a target.
pub(super) struct Membership {
    target: Target,
    root: PathBuf,
}

/// A longer line of ancestors does not occur; a circle, which the kernel's files may show while they change, ends here.
const MOST_ANCESTORS: usize = 256;

impl Membership {
    /// Looks under this root, which is `/` unless the host's files are mounted elsewhere.
    pub(super) fn new(target: Target, root: &Path) -> Self {
        Self { target, root: root.to_owned() }
    }

    /// Whether a process belongs to the target.
    pub(super) fn has(&self, pid: u32, containers: &mut Containers) -> bool {
        match &self.target {
            Target::Process(ancestor) => self.descends(pid, *ancestor),
            Target::Container(name) => containers.is_in(pid, name),
        }
    }

    fn descends(&self, mut pid: u32, ancestor: u32) -> bool {
        for _ in 0..MOST_ANCESTORS {
            if pid == ancestor {
                return true;
            }
            match self.parent(pid) {
                Some(parent) if parent != 0 => pid = parent,
                _ => return false,
            }
        }
        false
    }

    fn parent(&self, pid: u32) -> Option<u32> {
        let text = std::fs::read_to_string(self.root.join(format!("proc/{pid}/stat"))).ok()?;
        // The program's name stands in brackets and may hold brackets and blanks itself (proc(5)).
        let (_, rest) = text.rsplit_once(')')?;
        rest.split_whitespace().nth(1)?.parse().ok()
    }

    /// What it is called in sentences.
    pub(super) fn name(&self) -> String {
        match &self.target {
            Target::Process(pid) => format!("process {pid}"),
            Target::Container(name) => format!("container {name}"),
        }
    }

    /// Leaves those devices that the target uses now.
    pub(super) fn restrict(&self, opened: &mut Vec<Opened>, containers: &mut Containers) -> anyhow::Result<()> {
        if let Target::Process(pid) = self.target
            && !self.root.join(format!("proc/{pid}")).exists()
        {
            return Err(anyhow!("there is no process {pid} here")).or_exit(ExitCode::NoDevice);
        }
        let (mut others, mut unknown) = (Vec::new(), Vec::new());
        for source in opened.iter_mut() {
            let chosen = std::mem::take(&mut source.chosen);
            for device in chosen {
                match source.backend.processes(device) {
                    Ok(list) if list.iter().any(|process| self.has(process.pid, containers)) => {
                        source.chosen.push(device);
                    }
                    Ok(list) => others.extend(list.iter().map(|process| process.pid)),
                    Err(error) => unknown.push(format!("failed to {error}")),
                }
            }
        }
        opened.retain(|source| !source.chosen.is_empty());
        if opened.is_empty() {
            return Err(self.absent(others, &unknown)).or_exit(ExitCode::NoDevice);
        }
        Ok(())
    }

    fn absent(&self, mut others: Vec<u32>, unknown: &[String]) -> anyhow::Error {
        others.sort_unstable();
        others.dedup();
        let others: Vec<String> = others.iter().map(u32::to_string).collect();
        let listed = if others.is_empty() { "none".into() } else { others.join(", ") };
        let unknown = unknown.iter().map(|error| format!("; {error}")).collect::<String>();
        anyhow!(
            "{} uses no chosen device now (processes on them: {listed}){unknown}; wait until it does, and in a container \
             run with the host's process ids (docker run --pid=host)",
            self.name()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descendants_belong_and_siblings_do_not() {
        let root = tempfile::tempdir().unwrap();
        for (pid, parent, name) in [(1, 0, "init"), (10, 1, "a) 7 (b"), (11, 10, "worker"), (12, 1, "other")] {
            let folder = root.path().join(format!("proc/{pid}"));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("stat"), format!("{pid} ({name}) S {parent} 1 1 0")).unwrap();
        }
        let members = Membership::new(Target::Process(10), root.path());
        let mut containers = Containers::new(root.path());
        let belong: Vec<u32> =
            [1, 10, 11, 12, 13].into_iter().filter(|&pid| members.has(pid, &mut containers)).collect();
        assert_eq!(belong, [10, 11]);
    }
}
