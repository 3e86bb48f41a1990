//! Device files, groups, containers, and the folder for results.

use std::path::{Path, PathBuf};

use vramscope_schema::doctor::{Area, Check, Status};

/// The device files that engines and libraries open, by folder and beginning of their name.
const DEVICE_FILES: [(&str, &str); 3] = [("dev", "nvidia"), ("dev", "kfd"), ("dev/dri", "renderD")];

/// Whether this user may open the device files.
pub(super) fn permissions(root: &Path) -> Vec<Check> {
    let mut checks = Vec::new();
    for (folder, start) in DEVICE_FILES {
        let mut files: Vec<PathBuf> = root.join(folder).read_dir().map_or_else(
            |_| Vec::new(),
            |list| {
                let named =
                    |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start));
                list.filter_map(Result::ok)
                    .map(|entry| entry.path())
                    .filter(|path| named(path) && !path.is_dir())
                    .collect()
            },
        );
        files.sort();
        if files.is_empty() {
            let none = Check::ok(Area::Permissions, &format!("/{folder}/{start}*"), "there is none");
            checks.push(none.status(Status::Absent));
            continue;
        }
        let (open, closed): (Vec<PathBuf>, Vec<PathBuf>) = files.into_iter().partition(|file| may_open(file));
        let names = |files: &[PathBuf]| {
            let name = |file: &PathBuf| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.iter().map(name).collect::<Vec<_>>().join(", ")
        };
        if !open.is_empty() {
            let said = format!("may be opened: {}", names(&open));
            checks.push(Check::ok(Area::Permissions, &format!("/{folder}/{start}*"), said));
        }
        if let Some(first) = closed.first() {
            let said = format!("this user may not open {}", names(&closed));
            let check = Check::ok(Area::Permissions, &format!("/{folder}/{start}*"), said).status(Status::Failed);
            checks.push(check.advice(way_in(root, first)));
        }
    }
    checks
}

#[cfg(unix)]
fn may_open(file: &Path) -> bool {
    use rustix::fs::{Access, access};
    access(file, Access::READ_OK | Access::WRITE_OK).is_ok()
}

#[cfg(not(unix))]
fn may_open(file: &Path) -> bool {
    file.exists()
}

/// How this user comes to a device file: by its group, where it has one that may.
#[cfg(unix)]
fn way_in(root: &Path, file: &Path) -> String {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(data) = file.metadata() else { return "run as a user who may see it".into() };
    let group_may = data.mode() & 0o060 == 0o060;
    if !group_may {
        return "its group may not open it either: run as its owner, or change its mode".into();
    }
    let name = group_name(root, data.gid());
    let shown = name.clone().unwrap_or_else(|| data.gid().to_string());
    let user = format!("its group is {shown}: sudo usermod -aG {shown} $USER, then log in again");
    format!("{user}; in a container: --group-add {}", data.gid())
}

#[cfg(not(unix))]
fn way_in(_: &Path, _: &Path) -> String {
    "run as a user who may open it".into()
}

/// The name of a group by the machine's list.
#[cfg(unix)]
fn group_name(root: &Path, gid: u32) -> Option<String> {
    let list = std::fs::read_to_string(root.join("etc/group")).ok()?;
    let id = gid.to_string();
    let fields = list.lines().map(|line| line.split(':').collect::<Vec<_>>());
    fields.filter(|fields| fields.get(2) == Some(&id.as_str())).find_map(|fields| fields.first().map(|&f| f.to_owned()))
}

/// Files by which engines of containers mark their inside.
const MARKS: [(&str, &str); 2] = [(".dockerenv", "Docker"), ("run/.containerenv", "Podman")];

/// Whether this is a container, in which other processes cannot be seen and devices may be withheld.
pub(super) fn container(root: &Path) -> Vec<Check> {
    let marked = MARKS.iter().find(|(mark, _)| root.join(mark).exists()).map(|(_, engine)| *engine);
    let groups = std::fs::read_to_string(root.join("proc/1/cgroup")).unwrap_or_default();
    let by_group = ["kubepods", "docker", "libpod", "containerd", "lxc"].into_iter().find(|name| groups.contains(name));
    let inside = match (marked, by_group, std::env::var_os("KUBERNETES_SERVICE_HOST")) {
        (_, _, Some(_)) | (_, Some("kubepods"), _) => Some("Kubernetes"),
        (Some(engine), _, _) => Some(engine),
        (None, found, _) => found,
    };
    let mut checks = vec![match inside {
        None => Check::ok(Area::Container, "container", "no container is seen around this program"),
        Some(engine) => Check::ok(Area::Container, "container", format!("inside one of {engine}"))
            .status(Status::Note)
            .advice(
                "devices must be passed in (--gpus all, or --device /dev/kfd --device /dev/dri); processes outside have \
                 no names here unless --pid host is given",
            ),
    }];
    if let Ok(value) = std::env::var("NVIDIA_VISIBLE_DEVICES") {
        let check = Check::ok(Area::Container, "NVIDIA_VISIBLE_DEVICES", format!("the container is given {value}"));
        checks.push(check.status(Status::Note));
    }
    checks
}

/// Less room than this is worth a word: a day of eight GPUs at 100 ms takes 700 MB, an engine's trace as much.
#[cfg(unix)]
const LITTLE_ROOM: u64 = 2 << 30;

/// Whether the folder for results takes files, and how much.
pub(super) fn storage(folder: &Path) -> Check {
    // A folder that is not there yet is made when it is needed, in the nearest one that is.
    let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let there = whole.ancestors().find(|place| place.is_dir()).unwrap_or(&whole);
    let name = format!("results in {}", folder.display());
    if let Err(error) = tempfile::tempfile_in(there) {
        let check = Check::ok(Area::Storage, &name, format!("{} takes no files: {error}", there.display()));
        return check.status(Status::Failed).advice("choose another folder with --results");
    }
    room(Check::ok(Area::Storage, &name, "it takes files").serving(), there)
}

#[cfg(unix)]
fn room(check: Check, folder: &Path) -> Check {
    let Ok(disk) = rustix::fs::statvfs(folder) else { return check };
    let bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
    let gib = vramscope_core::Bytes::new(bytes).in_unit(vramscope_core::ByteUnit::GiB);
    let found = format!("it takes files; {gib:.2} GiB are free");
    let check = Check { found, ..check };
    if bytes >= LITTLE_ROOM {
        return check;
    }
    check.status(Status::Note).advice("a long recording or a trace may fill it: choose another folder with --results")
}

#[cfg(not(unix))]
fn room(check: Check, _: &Path) -> Check {
    check
}
