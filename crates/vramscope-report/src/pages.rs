//! One room for each kind of document, and which of them make a page together.

mod against;
mod calculator;
mod comparison;
mod doctor;
mod estimate;
mod experiment;
mod explanation;
mod figure;
mod findings;
mod fit;
mod gpus;
mod levels;
pub(crate) mod llama_cpp;
mod load;
mod log;
pub(crate) mod named;
pub(crate) mod parts;
mod plan;
mod predicted;
mod profile;
mod repeat;
pub(crate) mod run;
mod runs;
pub(crate) mod sglang;
mod side_by_side;
mod snapshot;
mod timeline;
mod trace;
mod trace_diff;
mod trace_ranks;
mod waterfall;

use crate::document::Document;
use crate::error::ReportError;
use crate::kind::Kind;
use crate::page::Page;

/// Makes a page of documents: of one of any kind, or of several profiles beside each other.
///
/// # Errors
/// If there is no document, or documents of kinds that do not go together.
pub fn page(documents: &[Document], title: Option<&str>) -> Result<Page, ReportError> {
    let first = documents.first().ok_or(ReportError::Nothing)?;
    let goes_with = |other: &&Document| other.kind() == first.kind() && first.kind() == Kind::Profile;
    if let Some(other) = documents.iter().skip(1).find(|other| !goes_with(other)) {
        return Err(ReportError::Mixed {
            first: first.name().to_owned(),
            one: first.kind().title(),
            other: other.name().to_owned(),
            another: other.kind().title(),
        });
    }
    let mut page = match first.kind() {
        Kind::Calculator => calculator::page(first),
        Kind::Doctor => doctor::page(first),
        Kind::Timeline => timeline::page(first),
        Kind::Estimate => estimate::page(first),
        Kind::Explanation => explanation::page(first),
        Kind::Fit => fit::page(first),
        Kind::Gpus => gpus::page(first),
        Kind::Log => log::page(first),
        Kind::PackedEstimate => llama_cpp::page(first),
        Kind::PackedFit => llama_cpp::fit::page(first),
        Kind::Plan => plan::page(first),
        Kind::PoolEstimate => sglang::page(first),
        Kind::PoolFit => sglang::fit::page(first),
        Kind::Profile if documents.len() > 1 => side_by_side::page(documents),
        Kind::Profile => profile::page(first),
        Kind::Snapshot => snapshot::page(first),
        Kind::SnapshotSeries => snapshot::series::page(first),
        Kind::Trace => trace::page(first),
        Kind::TraceDiff => trace_diff::page(first),
        Kind::TraceRanks => trace_ranks::page(first),
        Kind::Against => against::page(first),
        Kind::Comparison => comparison::page(first),
        Kind::Experiment => experiment::page(first),
        Kind::Load => load::page(first),
        Kind::Repeat => repeat::page(first),
        Kind::Runs => runs::page(first),
    };
    // A heading over nothing is not for anybody.
    page.sections.retain(|section| !section.blocks.is_empty());
    if let Some(title) = title {
        page.title = title.to_owned();
    }
    Ok(page)
}

/// What people call a document: its file's name without folders and ending, or its folder's name where the file has the
/// same name in every folder.
pub(crate) fn name_of(name: &str) -> String {
    let mut parts = name.rsplit(['/', '\\']).filter(|part| !part.is_empty());
    let file = parts.next().unwrap_or(name);
    let stem = file.strip_suffix(".json").unwrap_or(file);
    match (stem, parts.next()) {
        ("profile", Some(folder)) => folder.to_owned(),
        _ => stem.to_owned(),
    }
}
