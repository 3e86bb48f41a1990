//! Any bytes are results of a load generator or are refused, without a panic; what is read has as many runs as are allowed,
//! and counts that no unit has turned below 0.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let is_result = vramscope_results::is_result(data);
    match vramscope_results::read(data) {
        Ok(results) => {
            assert!(!results.is_empty() && results.len() <= vramscope_results::MOST_RESULTS);
            for result in &results {
                assert!(result.duration_s.is_none_or(|duration| duration.is_finite() && duration >= 0.0), "{result:?}");
            }
        }
        // What is wrong is said without what a terminal would obey.
        Err(error) => {
            let said = error.to_string();
            assert_eq!(said, vramscope_core::without_controls(&said), "{is_result}");
        }
    }
});
