//! A container to be made for an engine.

use std::collections::{BTreeSet, HashMap};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use bollard::models::{ContainerCreateBody, DeviceMapping, DeviceRequest, HostConfig, Mount, MountType, PortBinding};
use vramscope_core::Bytes;

use super::guard::guarded;
use crate::host::Command;

/// Marks the containers that were made here, with the run that they belong to.
pub(super) const RUN_LABEL: &str = "vramscope.run";

/// Says who made a container: a process and its start. What is left of one that was killed is removed by the next.
pub(super) const OWNER_LABEL: &str = "vramscope.owner";

/// A container to be made for an engine.
#[derive(Debug, Clone, Default)]
pub struct ContainerSpec {
    /// The image. It must be there: nothing is downloaded.
    pub image: String,
    /// The container's name; the daemon chooses one if `None`.
    pub name: Option<String>,
    /// The run that it belongs to, kept as the label `vramscope.run`.
    pub run: String,
    /// The GPUs that it sees.
    pub gpus: ContainerGpus,
    /// Folders and files of this machine that it sees.
    pub mounts: Vec<BindMount>,
    /// How its ports are reached.
    pub network: ContainerNetwork,
    /// The size of `/dev/shm`, through which workers speak; the daemon's 64 MiB are too little for several.
    pub shm: Option<Bytes>,
    /// Whether it shares this machine's `/dev/shm` instead.
    pub host_ipc: bool,
    /// The user inside; the image's if `None`.
    pub user: Option<String>,
}

/// The GPUs that a container sees.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ContainerGpus {
    /// None.
    #[default]
    None,
    /// All of NVIDIA, as with `--gpus all`.
    NvidiaAll,
    /// These of NVIDIA, by index or UUID, as with `--gpus device=…`.
    Nvidia(Vec<String>),
    /// All of AMD: `/dev/kfd` and `/dev/dri`, with the groups that own them.
    Amd,
}

/// A folder or file of this machine inside a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindMount {
    /// On this machine.
    pub source: PathBuf,
    /// In the container.
    pub target: PathBuf,
    /// Whether it cannot be written to.
    pub read_only: bool,
}

/// How the ports of a container are reached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ContainerNetwork {
    /// They are this machine's own.
    #[default]
    Host,
    /// These are published on the loopback address of this machine under the same number.
    Publish(Vec<u16>),
    /// There is no network.
    None,
}

impl ContainerSpec {
    /// What the daemon is asked to make. `words` is the command line with the image's own entry point, if that is used.
    pub(super) fn body(&self, command: &Command, words: Vec<String>, mark: &str, owner: String) -> ContainerCreateBody {
        let labels = HashMap::from([(RUN_LABEL.to_owned(), self.run.clone()), (OWNER_LABEL.to_owned(), owner)]);
        let mut env: Vec<String> = command.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        env.push(mark.to_owned());
        ContainerCreateBody {
            image: Some(self.image.clone()),
            entrypoint: Some(guarded(mark, words)),
            cmd: Some(Vec::new()),
            env: Some(env),
            user: self.user.clone(),
            working_dir: command.directory.as_ref().map(|path| path.to_string_lossy().into_owned()),
            labels: Some(labels),
            // The guard's input ends with this program.
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            open_stdin: Some(true),
            stdin_once: Some(true),
            exposed_ports: self.ports().map(|ports| ports.iter().map(|port| format!("{port}/tcp")).collect()),
            host_config: Some(self.host_config()),
            ..ContainerCreateBody::default()
        }
    }

    fn ports(&self) -> Option<&[u16]> {
        match &self.network {
            ContainerNetwork::Publish(ports) => Some(ports),
            ContainerNetwork::Host | ContainerNetwork::None => None,
        }
    }

    fn host_config(&self) -> HostConfig {
        let bind = |port: &u16| {
            let here = PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: Some(port.to_string()) };
            (format!("{port}/tcp"), Some(vec![here]))
        };
        let amd = self.gpus == ContainerGpus::Amd;
        HostConfig {
            // It reaps orphans, and lets the engine be killed from inside, which process 1 cannot be.
            init: Some(true),
            network_mode: match self.network {
                ContainerNetwork::Host => Some("host".to_owned()),
                ContainerNetwork::None => Some("none".to_owned()),
                ContainerNetwork::Publish(_) => None,
            },
            port_bindings: self.ports().map(|ports| ports.iter().map(bind).collect()),
            shm_size: self.shm.and_then(|size| i64::try_from(size.get()).ok()),
            ipc_mode: self.host_ipc.then(|| "host".to_owned()),
            mounts: Some(self.mounts.iter().map(mount).collect()),
            device_requests: self.nvidia(),
            devices: amd.then(|| ["/dev/kfd", "/dev/dri"].map(device).to_vec()),
            group_add: amd.then(amd_groups),
            // ROCm maps memory with calls that the default filter refuses.
            security_opt: amd.then(|| vec!["seccomp=unconfined".to_owned()]),
            ..HostConfig::default()
        }
    }

    fn nvidia(&self) -> Option<Vec<DeviceRequest>> {
        let (count, device_ids) = match &self.gpus {
            ContainerGpus::None | ContainerGpus::Amd => return None,
            ContainerGpus::NvidiaAll => (Some(-1), None),
            ContainerGpus::Nvidia(devices) => (None, Some(devices.clone())),
        };
        let capabilities = Some(vec![vec!["gpu".to_owned()]]);
        Some(vec![DeviceRequest { count, device_ids, capabilities, ..DeviceRequest::default() }])
    }
}

fn mount(mount: &BindMount) -> Mount {
    Mount {
        source: Some(mount.source.to_string_lossy().into_owned()),
        target: Some(mount.target.to_string_lossy().into_owned()),
        typ: Some(MountType::BIND),
        read_only: Some(mount.read_only),
        ..Mount::default()
    }
}

fn device(path: &str) -> DeviceMapping {
    DeviceMapping {
        path_on_host: Some(path.to_owned()),
        path_in_container: Some(path.to_owned()),
        cgroup_permissions: Some("rwm".to_owned()),
    }
}

/// The groups that own the devices, by number: an image seldom has a group `render`, and where it has one, its number
/// is another.
fn amd_groups() -> Vec<String> {
    let cards = std::fs::read_dir("/dev/dri").into_iter().flatten().flatten().map(|entry| entry.path());
    let devices = cards.chain([PathBuf::from("/dev/kfd")]);
    let groups: BTreeSet<u32> = devices.filter_map(|path| Some(std::fs::metadata(path).ok()?.gid())).collect();
    groups.into_iter().filter(|group| *group != 0).map(|group| group.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(spec: &ContainerSpec) -> ContainerCreateBody {
        let command = Command::new("vllm").arg("serve").env("A", "1");
        spec.body(&command, vec!["vllm".to_owned(), "serve".to_owned()], "VRAMSCOPE_ENGINE=1", "7-8".to_owned())
    }

    #[test]
    fn gpus_are_asked_for_as_the_command_line_does() {
        let request = |gpus| {
            let spec = ContainerSpec { gpus, ..ContainerSpec::default() };
            body(&spec).host_config.unwrap().device_requests
        };
        let all = request(ContainerGpus::NvidiaAll).unwrap();
        assert_eq!((all[0].count, &all[0].device_ids), (Some(-1), &None));
        let some = request(ContainerGpus::Nvidia(vec!["1".into()])).unwrap();
        assert_eq!((some[0].count, some[0].device_ids.clone().unwrap()), (None, vec!["1".to_owned()]));
        assert_eq!(some[0].capabilities, Some(vec![vec!["gpu".to_owned()]]));
        assert_eq!(request(ContainerGpus::None), None);
        let amd = body(&ContainerSpec { gpus: ContainerGpus::Amd, ..ContainerSpec::default() }).host_config.unwrap();
        assert_eq!(amd.device_requests, None);
        let devices: Vec<_> = amd.devices.unwrap().into_iter().filter_map(|device| device.path_on_host).collect();
        assert_eq!(devices, ["/dev/kfd", "/dev/dri"]);
    }

    #[test]
    fn ports_are_published_here_and_nowhere_else() {
        let spec = ContainerSpec { network: ContainerNetwork::Publish(vec![8000]), ..ContainerSpec::default() };
        let host = body(&spec).host_config.unwrap();
        let bound = &host.port_bindings.unwrap()["8000/tcp"].clone().unwrap()[0];
        assert_eq!((bound.host_ip.as_deref(), bound.host_port.as_deref()), (Some("127.0.0.1"), Some("8000")));
        assert_eq!(body(&ContainerSpec::default()).host_config.unwrap().network_mode.as_deref(), Some("host"));
    }
}
