//! Where the engine runs: here, in a container, or already.

use std::path::Path;

use vramscope_host::{AttachHost, Command, EngineHost, LogFile, LogStart};

use crate::plan::PlanError;
use crate::{Measured, Place, Request, Watched};

/// What a container that is named says of itself.
pub(crate) struct NamedContainer {
    /// Its name.
    pub(crate) name: String,
    /// The model that its command line or its environment names.
    pub(crate) model: Option<String>,
}

/// The host that is asked for. A new container of the image sees the devices that are measured and the model's folder;
/// it belongs to the run of this request.
pub(crate) fn of(request: &Request, measured: &Measured, model: Option<&Path>) -> Result<EngineHost, PlanError> {
    match &request.place {
        Place::Process => Ok(EngineHost::process()),
        Place::Server { watched: Watched::Here { pid, log_file }, .. } => {
            let log = log_file.clone().map(|path| LogFile { path, from: LogStart::Beginning });
            Ok(EngineHost::Attach(AttachHost { pid: *pid, log }))
        }
        in_container => docker::host(request, in_container, measured, model),
    }
}

/// The processes of a server that runs, which must be there with its log; `None` where nothing says which they are.
/// An engine that is to be started has none.
pub(crate) async fn processes(request: &Request, host: &EngineHost) -> Result<Option<Vec<u32>>, PlanError> {
    if request.place.url().is_none() {
        return Ok(Some(Vec::new()));
    }
    // To watch it for a moment changes nothing about it.
    let pids = host.start(&Command::default()).await.map_err(PlanError::Host)?.pids();
    Ok(Some(pids).filter(|pids| !pids.is_empty()))
}

/// What is known of the container that is named.
pub(crate) async fn container(request: &Request) -> Result<Option<NamedContainer>, PlanError> {
    match request.place.container() {
        Some(name) => docker::inspect(request, name).await.map(Some),
        None => Ok(None),
    }
}

/// Containers, where this build knows them.
#[cfg(feature = "docker")]
mod docker {
    use std::path::Path;

    use vramscope_core::Vendor;
    use vramscope_host::{
        BindMount, ContainerGpus, ContainerSpec, DockerHost, DockerPlace, EngineHost, LogStart, docker_socket,
    };

    use super::NamedContainer;
    use crate::plan::PlanError;
    use crate::{Measured, Place, Request, Watched};

    pub(super) fn host(
        request: &Request,
        place: &Place,
        measured: &Measured,
        model: Option<&Path>,
    ) -> Result<EngineHost, PlanError> {
        let place = match place {
            Place::Server { watched: Watched::Container(name), .. } => {
                DockerPlace::Watch { container: name.clone(), from: LogStart::Beginning }
            }
            Place::Container { name } => DockerPlace::Exec { container: name.clone() },
            Place::Image { image, mounts } => {
                let mut mounts =
                    mounts.iter().map(|text| mount(text)).collect::<Result<Vec<BindMount>, PlanError>>()?;
                // Somebody may have given the model's folder already, or one above it.
                if let Some(model) = model.filter(|model| !mounts.iter().any(|mount| model.starts_with(&mount.target)))
                {
                    mounts.push(BindMount { source: model.to_owned(), target: model.to_owned(), read_only: true });
                }
                DockerPlace::Run(Box::new(ContainerSpec {
                    image: image.clone(),
                    run: request.stamp.clone(),
                    gpus: gpus(measured),
                    mounts,
                    // Workers of several ranks speak through shared memory, and the default of 64 MiB is too little.
                    host_ipc: true,
                    ..ContainerSpec::default()
                }))
            }
            Place::Process | Place::Server { .. } => return Ok(EngineHost::process()),
        };
        Ok(EngineHost::Docker(at(request, place)?))
    }

    pub(super) async fn inspect(request: &Request, name: &str) -> Result<NamedContainer, PlanError> {
        let host = at(request, DockerPlace::Exec { container: name.to_owned() })?;
        let info = host.inspect(name).await.map_err(PlanError::Host)?;
        Ok(NamedContainer { name: info.name, model: info.model })
    }

    fn at(request: &Request, place: DockerPlace) -> Result<DockerHost, PlanError> {
        let socket = docker_socket(request.environment.docker_host.as_deref()).map_err(PlanError::Socket)?;
        Ok(DockerHost::new(socket, place))
    }

    /// `HOST` or `HOST:CONTAINER`.
    fn mount(text: &str) -> Result<BindMount, PlanError> {
        let (from, target) = text.split_once(':').unwrap_or((text, text));
        let given = || text.to_owned();
        let whole = std::path::absolute(from).map_err(|source| PlanError::Mount { text: given(), source })?;
        let absent = |source| PlanError::MountAbsent { text: given(), from: from.to_owned(), source };
        let source = whole.canonicalize().map_err(absent)?;
        if !Path::new(target).is_absolute() {
            return Err(PlanError::MountTarget { text: given() });
        }
        Ok(BindMount { source, target: target.into(), read_only: false })
    }

    /// The devices that are measured; all of a vendor where none was chosen.
    fn gpus(measured: &Measured) -> ContainerGpus {
        let of = |vendor| measured.devices.iter().filter(move |now| now.device.vendor == Some(vendor));
        if of(Vendor::Amd).next().is_some() {
            return ContainerGpus::Amd;
        }
        let uuids: Option<Vec<String>> = of(Vendor::Nvidia).map(|now| now.device.uuid.clone()).collect();
        match uuids {
            Some(uuids) if uuids.is_empty() => ContainerGpus::None,
            Some(uuids) if measured.chosen => ContainerGpus::Nvidia(uuids),
            _ => ContainerGpus::NvidiaAll,
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_mount_has_one_path_or_two() {
            let both = mount("/:/data").unwrap();
            assert_eq!((both.source.as_path(), both.target.as_path()), (Path::new("/"), Path::new("/data")));
            assert_eq!(mount("/tmp").unwrap().target, Path::new("/tmp"));
            assert!(mount("/tmp:data").is_err() && mount("/no/such/folder").is_err());
        }
    }
}

/// A build without containers says so.
#[cfg(not(feature = "docker"))]
mod docker {
    use std::path::Path;

    use vramscope_host::EngineHost;

    use super::NamedContainer;
    use crate::plan::PlanError;
    use crate::{Measured, Place, Request};

    pub(super) fn host(_: &Request, place: &Place, _: &Measured, _: Option<&Path>) -> Result<EngineHost, PlanError> {
        let option = if matches!(place, Place::Image { .. }) { "--image" } else { "--container" };
        Err(PlanError::WithoutDocker { option })
    }

    pub(super) async fn inspect(_: &Request, _: &str) -> Result<NamedContainer, PlanError> {
        Err(PlanError::WithoutDocker { option: "--container" })
    }
}
