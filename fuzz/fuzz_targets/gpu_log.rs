//! Any bytes are a recording of GPU readings, in each form that is read, or are refused, without a panic; what is read can be
//! analysed and written as CSV.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vramscope_core::Window;
use vramscope_timeline::{AnalysisOptions, analyse};

fuzz_target!(|data: &[u8]| {
    let Ok(mut log) = vramscope_analysis::read_gpu_log(data) else { return };
    let samples = log.timeline.samples();
    assert!(samples.is_sorted_by_key(|sample| sample.tick));
    let complete: usize = log.timeline.totals(Window::ALL).count();
    assert!(complete <= samples.len());
    let _ = analyse(&mut log.timeline, &AnalysisOptions::default());
    vramscope_timeline::document::csv::write(&mut std::io::sink(), &log.timeline).expect("a sink takes everything");
});
