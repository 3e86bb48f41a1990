//! Where the files of a run lie, and which runs a campaign asks for.
//!
//! ```
//! let file = vramscope_runs::read_campaign("models: [{model: org/m, batch_sizes: [1, 8]}]").unwrap();
//! assert_eq!(vramscope_runs::expand_campaign(&file).unwrap().len(), 2);
//! ```

mod args_file;
mod campaign;
mod engine_config;
mod files;
mod folder;
mod json;
pub mod layout;
mod record;
mod utf16;

pub use args_file::ArgsFile;
pub use campaign::{
    Attempt, CampaignError, CampaignFile, CampaignFolder, CheckDocument, Lease, Leased, MOST_CAMPAIGN_BYTES, MOST_RUNS,
    ModelEntry, Owner, PlanDocument, PlanReadError, PlannedDocument, PlannedRun, Published, RoomDocument, RunKey,
    StoreError, expand as expand_campaign, read as read_campaign,
};
#[cfg(feature = "json-schema")]
pub use campaign::{campaign_json_schema, campaign_plan_json_schema};
pub use engine_config::{EngineConfigError, MOST_ENGINE_CONFIG_BYTES, engine_config_words};
pub use files::{EvidenceFiles, FileError, Observed, open, read_whole};
pub use folder::{FolderError, LineFile, RecordingFolder};
pub use json::{JsonError, read_json};
#[cfg(feature = "json-schema")]
pub use record::record_json_schema;
pub use record::{HostFailure, RECORD_VERSION, RecordError, RunRecord, Shape, read as read_record};
pub use vramscope_unpack::{OpenedFile, open_file};

/// The example of the README, which is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
