//! The names of TGI's metrics (`router/src/server.rs`, `backends/v3/src/backend.rs`).

use super::Figure;

/// The beginnings of its names.
pub(super) const PREFIXES: &[&str] = &["tgi_"];

/// The name of each figure without the beginning and `_total`.
pub(super) const NAMES: &[(&str, Figure)] =
    &[("batch_current_size", Figure::Running), ("queue_size", Figure::Waiting), ("request_success", Figure::Finished)];
