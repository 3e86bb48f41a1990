//! Memory, by counting what is allocated: what a process holds depends on its allocator and its machine.

use std::fmt::Write as _;

use vramscope_models::read_safetensors;

/// A valid header of so many tensors, each with the short entry that `safetensors` writes.
fn header(tensors: usize) -> String {
    let mut text = String::from("{");
    for n in 0..tensors {
        let comma = if n == 0 { "" } else { "," };
        let (begin, end) = (n * 2, n * 2 + 2);
        let _ = write!(
            text,
            r#"{comma}"model.layers.{n}.w":{{"dtype":"BF16","shape":[1],"data_offsets":[{begin},{end}]}}"#
        );
    }
    text + "}"
}

#[test]
fn reading_a_header_takes_little_more_than_what_is_kept_of_it() {
    // Not a power of two, so that lists have room to spare, as they mostly have.
    let tensors = 100_000;
    let text = header(tensors);
    let mut file = (text.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(text.as_bytes());
    let size = (file.len() + 2 * tensors) as u64;
    let mut table = None;
    let cost = allocation_counter::measure(|| table = Some(read_safetensors(file.as_slice(), size)));
    assert_eq!(table.unwrap().unwrap().tensors.len(), tensors);
    let times = cost.bytes_max * 100 / text.len() as u64;
    assert!(times < 250, "at most {} bytes at once for a header of {}: {times} %", cost.bytes_max, text.len());
}
