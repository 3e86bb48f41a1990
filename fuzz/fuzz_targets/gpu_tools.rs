//! Any text is recognised and read, or refused, without a panic by the readers of the vendors' tools, and what is read
//! is written as JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vramscope_nvml::tools as nvidia;
use vramscope_rocm::tools as amd;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let _ = (nvidia::recognise(&text), amd::recognise(&text));
    let nvidia =
        [nvidia::read_csv, nvidia::read_xml, nvidia::read_query, nvidia::read_table].map(|read| read(&text).ok());
    for snapshot in nvidia.into_iter().flatten().chain(amd::read(&text).ok()) {
        assert_eq!(snapshot.gpu_count, snapshot.gpus.len());
        let written = serde_json::to_string(&snapshot).expect("a snapshot can be written");
        let _: vramscope_gpu::document::Snapshot = serde_json::from_str(&written).expect("and read again");
    }
});
