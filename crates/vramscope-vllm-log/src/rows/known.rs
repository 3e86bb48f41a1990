//! Lines that hold a figure of memory and state no fact about this engine. They are known so that they are not listed
//! as unknown.

use super::{FIGURES_ONLY, Row, row};

pub(super) const ROWS: &[Row] = &[
    row("-0.6.3.post1", FIGURES_ONLY, "CUDA graphs can take additional 1~3 GiB memory per GPU.").known(),
    row("0.20.0-", FIGURES_ONLY, "Auto-prefetch is disabled because the filesystem").known(),
];
