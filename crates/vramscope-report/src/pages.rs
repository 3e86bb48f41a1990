//! One room for each kind of document, and which of them make a page together.

mod doctor;
mod timeline;

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
    if let Some(other) = documents.iter().find(|other| other.kind() != first.kind()) {
        return Err(ReportError::Mixed {
            first: first.name().to_owned(),
            one: first.kind().title(),
            other: other.name().to_owned(),
            another: other.kind().title(),
        });
    }
    let mut page = match first.kind() {
        Kind::Doctor => doctor::page(first),
        Kind::Timeline => timeline::page(first),
        _ => return Err(ReportError::Unknown { name: first.name().to_owned() }),
    };
    if let Some(title) = title {
        page.title = title.to_owned();
    }
    Ok(page)
}
