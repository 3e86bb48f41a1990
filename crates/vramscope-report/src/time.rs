//! Memory over time: a recording in bounded memory, and the chart that is made of it.

mod grid;
mod recording;

pub use recording::{EngineState, Reading, Recording};

use crate::document::Document;
use crate::page::Section;

/// The section with memory over time, where the document or its recording has any.
#[expect(dead_code, unused_variables, reason = "called by the page of a profile")]
pub(crate) fn section(document: &Document, place: usize) -> Option<Section> {
    None
}
