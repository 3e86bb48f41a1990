//! In which container a process runs, and what it is called.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::docker;

/// Finds containers by the kernel's control groups; names come from Docker where it answers.
pub(crate) struct Containers {
    root: PathBuf,
    names: HashMap<String, String>,
}

/// As much of an id as people write.
const SHORT: usize = 12;
/// Fewer characters of an id are not taken for one.
const LEAST: usize = 4;
/// A container's id: a SHA-256 in hexadecimal.
const ID: usize = 64;

impl Containers {
    /// Looks under this root, which is `/` unless the host's files are mounted elsewhere.
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), names: HashMap::new() }
    }

    fn id(&self, pid: u32) -> Option<String> {
        let groups = std::fs::read_to_string(self.root.join(format!("proc/{pid}/cgroup"))).ok()?;
        container_id(&groups)
    }

    /// Whether a process runs in the container of this name, or whose id begins so.
    pub(crate) fn is_in(&mut self, pid: u32, wanted: &str) -> bool {
        let by_id = wanted.len() >= LEAST && self.id(pid).is_some_and(|id| id.starts_with(wanted));
        by_id || self.of(pid).is_some_and(|name| name == wanted)
    }

    /// The container of a process: its name, or its short id where nobody knows the name. `None` outside containers and
    /// for processes that cannot be seen from here.
    pub(crate) fn of(&mut self, pid: u32) -> Option<String> {
        let id = self.id(pid)?;
        let root = &self.root;
        let name = self.names.entry(id.clone()).or_insert_with(|| {
            let asked = docker::container_name(root, &id);
            asked.or_else(|| saved_name(root, &id)).unwrap_or_else(|| id.chars().take(SHORT).collect())
        });
        Some(name.clone())
    }

    /// The program of a process.
    pub(crate) fn program(&self, pid: u32) -> Option<String> {
        let name = std::fs::read_to_string(self.root.join(format!("proc/{pid}/comm"))).ok()?;
        let name = name.trim();
        (!name.is_empty()).then(|| name.to_owned())
    }
}

/// The id in a control group's path, as Docker, Podman, containerd and CRI-O write it.
fn container_id(groups: &str) -> Option<String> {
    let mut parts = groups.lines().flat_map(|line| line.split(['/', '-', '.', ':']));
    let id = |part: &&str| part.len() == ID && part.chars().all(|c| c.is_ascii_hexdigit());
    parts.rfind(id).map(str::to_owned)
}

/// Docker's own note of a container, which root may read.
fn saved_name(root: &Path, id: &str) -> Option<String> {
    let text = std::fs::read(root.join(format!("var/lib/docker/containers/{id}/config.v2.json"))).ok()?;
    let config: serde_json::Value = serde_json::from_slice(&text).ok()?;
    config["Name"].as_str().map(|name| name.trim_start_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn every_engines_path_has_its_id() {
        for path in [
            format!("0::/system.slice/docker-{HEX}.scope"),
            format!("12:devices:/docker/{HEX}"),
            format!("0::/machine.slice/libpod-{HEX}.scope/container"),
            format!("0::/kubepods.slice/kubepods-burstable.slice/pod1/cri-containerd-{HEX}.scope"),
        ] {
            assert_eq!(container_id(&path).as_deref(), Some(HEX), "{path}");
        }
        assert_eq!(container_id("0::/user.slice/user-0.slice/session-1.scope\n"), None);
    }

    #[test]
    fn a_container_has_the_name_that_docker_saved() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("proc/7/cgroup", &format!("0::/docker/{HEX}\n"));
        write(&format!("var/lib/docker/containers/{HEX}/config.v2.json"), "{\"Name\": \"/vllm\"}");
        let mut containers = Containers::new(root.path());
        assert_eq!(containers.of(7).as_deref(), Some("vllm"));
        assert!(containers.is_in(7, "vllm") && containers.is_in(7, &HEX[..12]) && !containers.is_in(7, "vll"));
        assert_eq!(containers.of(8), None);
    }
}
