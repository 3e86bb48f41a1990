//! What a load leaves: the shape of `vllm bench serve`, the load document, and a line for each request.

mod data;
mod level;
mod load;
#[cfg(feature = "parquet")]
mod parquet;
mod requests;
mod serve;

pub use data::{DatasetDocument, ModelDocument, RecordsDocument, SharedDocument};
pub use level::{
    AskedLevel, ClientDocument, FindingDocument, GoodputDocument, LatencyDocument, LevelDocument, RequestCounts,
    ServerDocument, Severity, TokenCounts,
};
pub use load::{LoadDocument, SearchDocument, WorkloadDocument};
#[cfg(feature = "parquet")]
pub use parquet::RequestsParquet;

/// The JSON Schema of [`LoadDocument`].
#[cfg(feature = "json-schema")]
pub fn load_json_schema() -> schemars::Schema {
    schemars::schema_for!(LoadDocument)
}
