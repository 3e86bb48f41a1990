//! Files that an engine needs in its container.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bollard::Docker;
use bollard::query_parameters::UploadToContainerOptionsBuilder;

use super::client::{is_absent, refused};
use crate::error::EngineError;

/// Puts these files into a container, whether it runs already or not.
pub(super) async fn bring(
    docker: &Docker,
    socket: &Path,
    container: &str,
    files: &[(PathBuf, Vec<u8>)],
) -> Result<(), EngineError> {
    for (path, content) in files {
        let failed = |source| EngineError::Write { path: path.clone(), source };
        let parts = path.parent().zip(path.file_name()).filter(|_| path.is_absolute());
        let (folder, name) = parts.ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
        let archive = archive(Path::new(name), content).map_err(failed)?;
        let options = UploadToContainerOptionsBuilder::new().path(&folder.to_string_lossy()).build();
        let sent = docker.upload_to_container(container, Some(options), bollard::body_full(archive.into())).await;
        sent.map_err(|error| match error {
            error if is_absent(&error) => failed(io::ErrorKind::NotFound.into()),
            error => refused(socket, "write a file of the container", error),
        })?;
    }
    Ok(())
}

/// A tar archive with one file, which everybody may read and root owns.
fn archive(name: &Path, content: &[u8]) -> io::Result<Vec<u8>> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut header = tar::Header::new_gnu();
    header.set_size(u64::try_from(content.len()).map_err(io::Error::other)?);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(now.as_secs());
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, name, content)?;
    archive.into_inner()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_archive_holds_the_file_for_everybody_to_read() {
        let bytes = archive(Path::new("probe.py"), b"print(1)\n").unwrap();
        let mut archive = tar::Archive::new(&bytes[..]);
        let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(entry.path().unwrap(), Path::new("probe.py"));
        assert_eq!((entry.header().mode().unwrap(), entry.header().uid().unwrap()), (0o644, 0));
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        assert_eq!(text, "print(1)\n");
    }
}
