//! Lines that hold a figure of memory and state no fact about this engine.

use super::{Row, row};

pub(super) const ROWS: &[Row] = &[
    row("-0.6.3.post1", "emory", "CUDA graphs can take additional 1~3 GiB memory per GPU.").known(),
    row(
        "-0.17.1",
        "emory",
        "[[Possibly too large swap space. ]]{swap_space} out of the {host_total} total CPU memory is allocated for the swap space.",
    ),
];
