//! Where the engine runs: here, in a container, or already.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use vramscope_core::Vendor;
use vramscope_host::{
    AttachHost, BindMount, Command, ContainerGpus, ContainerInfo, ContainerSpec, DockerHost, DockerPlace, EngineHost,
    LogFile, LogStart,
};
use vramscope_live::DeviceNow;
use vramscope_schema::ExitCode;

use super::Args;
use crate::exit::OrExit as _;

/// The host that the arguments ask for. A new container of the image sees the devices that are measured and the model's
/// folder; `run` names the run that it belongs to.
pub(super) fn of(args: &Args, devices: &[DeviceNow], model: Option<&Path>, run: &str) -> anyhow::Result<EngineHost> {
    let host = &args.host;
    if let (Some(_), Some(container)) = (&host.url, &host.container) {
        let place = DockerPlace::Watch { container: container.clone(), from: LogStart::Beginning };
        return Ok(EngineHost::Docker(docker(place)?));
    }
    if host.url.is_some() {
        let log = host.log_file.clone().map(|path| LogFile { path, from: LogStart::Beginning });
        return Ok(EngineHost::Attach(AttachHost { pid: host.pid, log }));
    }
    if let Some(container) = &host.container {
        return Ok(EngineHost::Docker(docker(DockerPlace::Exec { container: container.clone() })?));
    }
    let Some(image) = &host.image else { return Ok(EngineHost::process()) };
    let mut mounts = host.mount.iter().map(|text| mount(text)).collect::<anyhow::Result<Vec<BindMount>>>()?;
    // Somebody may have given the model's folder already, or one above it.
    if let Some(model) = model.filter(|model| !mounts.iter().any(|mount| model.starts_with(&mount.target))) {
        mounts.push(BindMount { source: model.to_owned(), target: model.to_owned(), read_only: true });
    }
    let spec = ContainerSpec {
        image: image.clone(),
        run: run.to_owned(),
        gpus: gpus(args, devices),
        mounts,
        // Workers of several ranks speak through shared memory, and the default of 64 MiB is too little.
        host_ipc: true,
        ..ContainerSpec::default()
    };
    Ok(EngineHost::Docker(docker(DockerPlace::Run(Box::new(spec)))?))
}

/// The processes of a server that runs, which must be there with its log; `None` where nothing says which they are.
/// An engine that is to be started has none.
pub(super) async fn processes(args: &Args, host: &EngineHost) -> anyhow::Result<Option<Vec<u32>>> {
    if args.host.url.is_none() {
        return Ok(Some(Vec::new()));
    }
    // To watch it for a moment changes nothing about it.
    let pids = host.start(&Command::default()).await.or_exit(ExitCode::HostUnavailable)?.pids();
    Ok(Some(pids).filter(|pids| !pids.is_empty()))
}

/// What is known of the container that is named.
pub(super) async fn container(args: &Args) -> anyhow::Result<Option<ContainerInfo>> {
    let Some(name) = &args.host.container else { return Ok(None) };
    let host = docker(DockerPlace::Exec { container: name.clone() })?;
    host.inspect(name).await.map(Some).or_exit(ExitCode::HostUnavailable)
}

fn docker(place: DockerPlace) -> anyhow::Result<DockerHost> {
    Ok(DockerHost::new(crate::docker::socket().or_exit(ExitCode::Usage)?, place))
}

/// `HOST` or `HOST:CONTAINER`.
fn mount(text: &str) -> anyhow::Result<BindMount> {
    let (source, target) = text.split_once(':').unwrap_or((text, text));
    let whole = std::path::absolute(source).with_context(|| format!("use --mount {text}"))?;
    let there = whole.canonicalize().with_context(|| format!("use --mount {text}: {source} is not there"));
    let source = there.or_exit(ExitCode::Usage)?;
    if !Path::new(target).is_absolute() {
        return Err(anyhow!("use --mount {text}: the path in the container must begin with /"))
            .or_exit(ExitCode::Usage);
    }
    Ok(BindMount { source, target: target.into(), read_only: false })
}

/// The devices that are measured; all of a vendor where none was named.
fn gpus(args: &Args, devices: &[DeviceNow]) -> ContainerGpus {
    let of = |vendor| devices.iter().filter(move |now| now.device.vendor == Some(vendor));
    if of(Vendor::Amd).next().is_some() {
        return ContainerGpus::Amd;
    }
    let uuids: Option<Vec<String>> = of(Vendor::Nvidia).map(|now| now.device.uuid.clone()).collect();
    match uuids {
        Some(uuids) if uuids.is_empty() => ContainerGpus::None,
        Some(uuids) if !args.devices.gpu.is_empty() => ContainerGpus::Nvidia(uuids),
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
