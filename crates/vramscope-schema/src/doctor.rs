//! The document of `vramscope doctor --format json`. It stands here beside the profile, and not with the code that looks
//! at the machine, so that who reads it needs neither that nor an executor.

use serde::{Deserialize, Serialize};

/// The version that is written.
pub const VERSION: u32 = 1;

/// Whether this machine can profile an engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct DoctorReport {
    /// The document's version.
    pub vramscope_doctor: u32,
    /// The program that wrote it.
    pub generator: String,
    /// Whether profiling could run here.
    pub can_profile: bool,
    /// What it lacks for that.
    pub missing: Vec<String>,
    /// Everything that was looked at.
    pub checks: Vec<Check>,
}

/// Something that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Check {
    /// What it belongs to.
    pub area: Area,
    /// What was looked at.
    pub name: String,
    /// What came of it.
    pub status: Status,
    /// Whether it does the area's work alone: a backend that reads a device, something that can start an engine, a
    /// folder that takes files.
    pub serves: bool,
    /// Its version, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What was found, or why nothing was.
    pub found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// What a check belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Area {
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Status {
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
    pub fn ok(area: Area, name: &str, found: impl Into<String>) -> Self {
        let (name, found) = (name.to_owned(), found.into());
        Self { area, name, status: Status::Ok, serves: false, version: None, found, advice: None }
    }

    /// The same with what came of it.
    #[must_use]
    pub fn status(self, status: Status) -> Self {
        Self { status, ..self }
    }

    /// The same, doing its area's work alone.
    #[must_use]
    pub fn serving(self) -> Self {
        Self { serves: true, ..self }
    }

    /// The same with its version.
    #[must_use]
    pub fn version(self, version: Option<String>) -> Self {
        Self { version, ..self }
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn advice(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }
}

/// The JSON Schema of this document.
#[cfg(feature = "json-schema")]
pub fn json_schema() -> schemars::Schema {
    schemars::schema_for!(DoctorReport)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let check = Check::ok(Area::Gpu, "nvml", "2 devices").version(Some("580".to_owned())).serving();
        let report = DoctorReport {
            vramscope_doctor: VERSION,
            generator: "test".to_owned(),
            can_profile: false,
            missing: vec!["a folder".to_owned()],
            checks: vec![check, Check::ok(Area::Storage, "results", "full").status(Status::Failed).advice("empty it")],
        };
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<DoctorReport>(&text).unwrap(), report);
    }
}
