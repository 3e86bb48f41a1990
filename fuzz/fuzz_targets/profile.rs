//! Any bytes are a profile of some version or are refused, without a panic; what is read can be written and is then read as
//! the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(loaded) = vramscope_schema::read(data) else { return };
    let mut written = Vec::new();
    if vramscope_schema::write(&loaded.profile, &mut written).is_ok() {
        let again = vramscope_schema::read(&written).expect("what was written is read");
        assert_eq!(again.profile, loaded.profile);
    }
});
