//! What is written is read back as it was, and written again to the same text.

use proptest::prelude::*;
use vramscope_schema::{Version, read};

use crate::generated::{Choices, Fields, document};
use crate::text;

fn identical_after_a_round_trip(seed: u64, fields: Fields) {
    let made = document(&mut Choices(seed), fields).to_string();
    let first = read(made.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{made}"));
    assert_eq!((first.from, first.notes.len()), (Version::WRITTEN, 0), "{:?}", first.notes);
    let written = text(&first.profile);
    let second = read(written.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{written}"));
    assert_eq!(second, first);
    assert_eq!(text(&second.profile), written);
    assert!(written.ends_with("}\n") && !written.contains("null"));
}

#[test]
fn a_document_with_every_field_survives() {
    for seed in 0..20 {
        identical_after_a_round_trip(seed, Fields::All);
    }
}

/// `data/every_field.json` is for validators that know nothing of this crate. To write it anew after a field was added:
/// `INSTA_UPDATE=always cargo test -p vramscope-schema`.
#[test]
fn the_document_with_every_field_is_kept_for_others() {
    let made = document(&mut Choices(11), Fields::All).to_string();
    let made = text(&read(made.as_bytes()).unwrap().profile);
    if std::env::var_os("INSTA_UPDATE").is_some_and(|update| update == "always") {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/data/every_field.json");
        std::fs::write(path, &made).unwrap();
    }
    let kept = crate::data("every_field.json");
    assert!(kept == made.as_bytes(), "tests/it/data/every_field.json lacks what the schema has now");
}

#[test]
fn migrated_documents_survive() {
    for name in crate::ALL {
        let loaded = read(&crate::data(name)).unwrap();
        let again = read(text(&loaded.profile).as_bytes()).unwrap();
        assert_eq!(again.profile, loaded.profile, "{name}");
        assert_eq!((again.from, again.notes), (Version::WRITTEN, vec![]), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn write_then_read_is_the_identity(seed: u64) {
        identical_after_a_round_trip(seed, Fields::Some);
    }
}
