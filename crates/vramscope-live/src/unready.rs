//! Why a server does not become ready for requests, although something answers.

use vramscope_load::LoadError;

/// What is wrong.
#[derive(Debug)]
pub(crate) enum Unready {
    /// What answers is no engine, or does not let this client ask.
    Asked(LoadError),
    /// The model that is to be measured is not there.
    Model(String),
}
