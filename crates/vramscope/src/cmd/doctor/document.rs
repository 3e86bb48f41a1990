//! The document of `vramscope doctor --format json`.

use schemars::JsonSchema;
use serde::Serialize;

/// The version that is written.
pub(super) const VERSION: u32 = 1;

/// Whether this machine can profile an engine.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DoctorReport {
    /// The document's version.
    pub(super) vramscope_doctor: u32,
    /// The program that wrote it.
    pub(super) generator: String,
    /// Whether profiling could run here.
    pub(super) can_profile: bool,
    /// What it lacks for that.
    pub(super) missing: Vec<String>,
    /// Everything that was looked at.
    pub(super) checks: Vec<Check>,
}

/// Something that was looked at.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Check {
    /// What it belongs to.
    pub(super) area: Area,
    /// What was looked at.
    pub(super) name: String,
    /// What came of it.
    pub(super) status: Status,
    /// Whether it does the area's work alone: a backend that reads a device, something that can start an engine, a
    /// folder that takes files.
    pub(super) serves: bool,
    /// Its version, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
    /// What was found, or why nothing was.
    pub(super) found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
}

/// What a check belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Area {
    /// Sources of readings and their drivers.
    Gpu,
    /// Device files and groups.
    Permissions,
    /// Containers around this program.
    Container,
    /// What can run an engine.
    Engine,
    /// Where results go.
    Storage,
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// It is as it should be.
    Ok,
    /// It is not there, which need not be wrong.
    Absent,
    /// It is there, with something to know.
    Note,
    /// It is there and does not work.
    Failed,
}

impl Check {
    /// Something that is as it should be and does not serve alone.
    pub(super) fn ok(area: Area, name: &str, found: impl Into<String>) -> Self {
        let (name, found) = (name.to_owned(), found.into());
        Self { area, name, status: Status::Ok, serves: false, version: None, found, advice: None }
    }

    pub(super) fn status(self, status: Status) -> Self {
        Self { status, ..self }
    }

    pub(super) fn serving(self) -> Self {
        Self { serves: true, ..self }
    }

    pub(super) fn version(self, version: Option<String>) -> Self {
        Self { version, ..self }
    }

    pub(super) fn advice(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }
}

/// The JSON Schema of this document.
pub(crate) fn json_schema() -> schemars::Schema {
    schemars::schema_for!(DoctorReport)
}
