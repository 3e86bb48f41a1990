//! Conducts one run and assembles its profile from evidence.

mod assemble;
mod budget;
mod campaign;
mod clock;
mod derive;
mod diagnose;
mod evidence;
mod known;
mod levels;
mod live;
mod model;
mod phases;

pub use assemble::assemble;
pub use campaign::{
    CampaignError, CampaignFile, MOST_CAMPAIGN_BYTES, MOST_RUNS, ModelEntry, PlannedRun, campaign_json_schema,
    expand as expand_campaign, read as read_campaign,
};
pub use clock::Alignment;
pub use derive::DeriveError;
pub use evidence::args::{Args, ArgsError, Flag, flag_names, read as read_args};
pub use evidence::bench::{Bench, BenchError, Serve, Throughput, read as read_bench};
pub use evidence::files::{EvidenceFiles, FileError, open};
pub use evidence::gpu_log::{Clock, GpuLog, GpuLogError, Note as GpuLogNote, ProcessUse, read as read_gpu_log};
pub use evidence::marks::{Marks, MarksError, read as read_marks};
pub use evidence::metrics::{MetricsError, MetricsReading, read as read_metrics};
pub use evidence::probe::{
    Probe, ProbeDevice, ProbeError, ProbeFailure, ProbeMark, ProbeModel, ProbeMoment, ProbePeak, ProbeProcess,
    ProbeProcessMoment, ProbeRequest, ProbeVersions, read as read_probe,
};
pub use evidence::record::{
    HostFailure, RECORD_VERSION, RecordError, RunRecord, Shape, read as read_record, record_json_schema,
};
pub use evidence::{EngineLog, Evidence, EvidenceError};
pub use live::{
    Asked, CancelHandle, CancelToken, DeviceNow, Finding, FlagError, Flags, FolderError, PROBE, Preflight,
    RecordingFolder, Run, RunError, RunEvent, RunSpec, Secrets, Times, Work, Workload, cancel, own_benchmark, probe,
    server,
};
