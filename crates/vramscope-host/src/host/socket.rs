//! Where the Docker daemon of this machine listens.

use std::ffi::OsStr;
use std::path::PathBuf;

use crate::error::EngineError;

/// Where the daemon listens unless it was set up otherwise.
const USUAL: &str = "/var/run/docker.sock";

/// The socket of the Docker daemon, from the value of `DOCKER_HOST`: the one that it names as
/// `unix:///path/to/docker.sock`, or the usual one where the variable is absent or empty.
///
/// # Errors
/// [`EngineError::FarDocker`] if it names anything else.
pub fn docker_socket(docker_host: Option<&OsStr>) -> Result<PathBuf, EngineError> {
    let Some(address) = docker_host.filter(|address| !address.is_empty()) else { return Ok(USUAL.into()) };
    let far = || EngineError::FarDocker { address: address.to_string_lossy().into_owned() };
    let socket = address.to_str().and_then(|address| address.strip_prefix("unix://")).map(PathBuf::from);
    socket.filter(|socket| socket.is_absolute()).ok_or_else(far)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_socket_is_taken_and_nothing_else() {
        let named = |text: &str| docker_socket(Some(OsStr::new(text)));
        assert_eq!(docker_socket(None).unwrap(), PathBuf::from(USUAL));
        assert_eq!(named("").unwrap(), PathBuf::from(USUAL));
        assert_eq!(named("unix:///run/user/1000/docker.sock").unwrap(), PathBuf::from("/run/user/1000/docker.sock"));
        for far in ["tcp://127.0.0.1:2375", "ssh://host", "unix://docker.sock", "unix://", "/var/run/docker.sock"] {
            let error = named(far).unwrap_err().to_string();
            assert!(error.contains(far) && error.contains("unix:///path/to/docker.sock"), "{error}");
        }
    }
}
