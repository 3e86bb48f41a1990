//! What a load leaves: the shape of `vllm bench serve`, the documents of a load and of experiments, and a line for each
//! request.

mod cost;
mod data;
mod experiment;
mod level;
mod load;
#[cfg(feature = "parquet")]
mod parquet;
mod quantiles;
mod requests;
mod serve;

pub use cost::{CostDocument, EnergyDocument, MeteredDevice, MeteredDocument, PriceDocument};
pub use data::{DatasetDocument, ModelDocument, RecordsDocument, SharedDocument};
pub use experiment::{
    CoefficientDocument, EngineDocument, EvidenceDocument, ExperimentDocument, FitDocument, LatencyExperiment,
    LengthsCell, LengthsExperiment, MeanRate, MeanTime, ThroughputExperiment, ThroughputLevel, VerdictDocument,
};
pub use level::{
    AskedLevel, ClientDocument, FindingDocument, GoodputDocument, LatencyDocument, LevelDocument, RequestCounts,
    ServerDocument, Severity, TokenCounts,
};
pub(crate) use load::points;
pub use load::{LoadDocument, SearchDocument, WorkloadDocument};
#[cfg(feature = "parquet")]
pub use parquet::RequestsParquet;
pub use quantiles::QuantileDocument;

/// The JSON Schema of [`LoadDocument`].
#[cfg(feature = "json-schema")]
pub fn load_json_schema() -> schemars::Schema {
    schemars::schema_for!(LoadDocument)
}

/// The JSON Schema of [`ExperimentDocument`].
#[cfg(feature = "json-schema")]
pub fn experiment_json_schema() -> schemars::Schema {
    schemars::schema_for!(ExperimentDocument)
}
