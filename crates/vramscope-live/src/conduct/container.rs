//! What a run asks of the container that its engine is in; nothing, in a build without containers.

use vramscope_host::{Engine, EngineHost};

/// How long a container may take to end after its processes.
#[cfg(feature = "docker")]
const GOING: std::time::Duration = std::time::Duration::from_secs(5);
/// The time between two questions whether it has.
#[cfg(feature = "docker")]
const PROBE: std::time::Duration = std::time::Duration::from_millis(250);

/// The name and the image of the container of an engine.
#[cfg(feature = "docker")]
pub(super) fn of(engine: &Engine) -> Option<(String, String)> {
    engine.container().map(|container| (container.name.clone(), container.image.clone()))
}

#[cfg(not(feature = "docker"))]
pub(super) fn of(_: &Engine) -> Option<(String, String)> {
    None
}

/// Whether engines run in containers there.
#[cfg(feature = "docker")]
pub(super) fn is_one(host: &EngineHost) -> bool {
    matches!(host, EngineHost::Docker(_))
}

#[cfg(not(feature = "docker"))]
pub(super) fn is_one(_: &EngineHost) -> bool {
    false
}

/// Whether a container does not run any more. The daemon learns of its end after its processes have ended, so one whose
/// engine was killed is given a moment.
#[cfg(feature = "docker")]
pub(super) async fn is_gone(host: &EngineHost, name: &str, killed: bool) -> bool {
    let EngineHost::Docker(host) = host else { return false };
    let now = tokio::time::Instant::now();
    let until = now + if killed { GOING } else { std::time::Duration::ZERO };
    while host.inspect(name).await.is_ok_and(|container| container.running) {
        if tokio::time::Instant::now() >= until {
            return false;
        }
        tokio::time::sleep(PROBE).await;
    }
    true
}

#[cfg(not(feature = "docker"))]
pub(super) async fn is_gone(_: &EngineHost, _: &str, _: bool) -> bool {
    false
}
