//! Criterion benchmarks of the workspace; each file beside this folder is one of them.
