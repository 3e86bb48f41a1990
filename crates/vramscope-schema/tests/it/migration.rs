//! Each version's documents, migrated: the whole result as a snapshot, and the rules one by one.

use vramscope_schema::v3::{BasisUnit, Profile};
use vramscope_schema::{Version, read};

use crate::{data, text};

const GIB: f64 = 1_073_741_824.0;

fn migrated(name: &str) -> Profile {
    read(&data(name)).unwrap().profile
}

/// The document as text, without this program's version.
fn shown(name: &str) -> String {
    let profile = migrated(name);
    text(&profile).replace(&format!("\"version\": \"{}\"", profile.generator.version), "\"version\": \"[version]\"")
}

#[test]
fn version_1_as_a_whole() {
    insta::assert_snapshot!(shown("v1.json"));
}

#[test]
fn version_2_as_a_whole() {
    insta::assert_snapshot!(shown("v2.json"));
}

#[test]
fn version_3_0_as_a_whole() {
    insta::assert_snapshot!(shown("v3_0.json"));
}

#[test]
fn what_is_null_or_missing_stays_absent() {
    insta::assert_snapshot!(shown("v3_0_nothing_known.json"));
}

#[test]
fn versions_are_told_apart() {
    let from = |name| read(&data(name)).unwrap().from;
    assert_eq!((from("v1.json"), from("v2.json")), (Version::V1, Version { major: 2, minor: 0 }));
    assert_eq!(from("v3_0.json"), Version { major: 3, minor: 0 });
}

#[test]
fn only_version_1_can_say_a_negative_remainder() {
    let breakdown = migrated("v1_negative_overhead.json").memory_breakdown.unwrap();
    assert_eq!(breakdown.residual_bytes, Some(-(1 << 28)));
    assert_eq!(breakdown.framework_overhead_bytes, Some(0));
    let floored = migrated("v2.json").memory_breakdown.unwrap();
    assert!(floored.framework_overhead_bytes > Some(0));
    assert_eq!(floored.residual_bytes, None, "the floor at zero hides the sign");
}

#[test]
fn every_converted_number_is_on_the_record_as_it_was_written() {
    for name in crate::ALL {
        let profile = migrated(name);
        let written = serde_json::to_value(&profile).unwrap();
        for unit in &profile.migration.as_ref().unwrap().units {
            let bytes_in_one = match unit.basis {
                BasisUnit::Gb => 1e9,
                BasisUnit::Gib => GIB,
                BasisUnit::Mb => 1e6,
                BasisUnit::Mib => GIB / 1024.0,
            };
            for figure in unit.figures.iter().filter(|f| !f.field.contains("[]")) {
                let pointer = format!("/{}", figure.field.replace('.', "/"));
                let bytes = written.pointer(&pointer).and_then(serde_json::Value::as_f64).unwrap_or(f64::NAN);
                let (back, as_written) = (bytes / bytes_in_one, figure.as_written.unwrap());
                assert!((back - as_written).abs() < 1e-9, "{name}: {pointer} was {as_written}, comes back as {back}");
            }
        }
    }
}

#[test]
fn no_amount_comes_from_nowhere() {
    for name in crate::ALL {
        let profile = migrated(name);
        let mut amounts = 0;
        count_amounts(&serde_json::to_value(&profile).unwrap(), &mut amounts);
        let units = profile.migration.unwrap().units;
        let recorded: u64 = units.iter().flat_map(|u| &u.figures).map(|f| f.count.unwrap_or(1)).sum();
        let copies = 1 + u64::from(name.starts_with("v1"));
        assert_eq!(amounts, recorded + copies, "{name}: total stands twice, and version 1's remainder does");
    }
}

fn count_amounts(value: &serde_json::Value, amounts: &mut u64) {
    match value {
        serde_json::Value::Object(fields) => {
            for (key, value) in fields {
                *amounts += u64::from(key.ends_with("_bytes"));
                count_amounts(value, amounts);
            }
        }
        serde_json::Value::Array(values) => values.iter().for_each(|value| count_amounts(value, amounts)),
        _ => {}
    }
}

#[test]
fn a_unit_is_proven_only_where_something_proves_it() {
    let basis = |name: &str, field: &str| {
        let migration = migrated(name).migration.unwrap();
        let unit = migration.basis_of(field).unwrap_or_else(|| panic!("{name}: {field}"));
        (unit.basis, unit.proven)
    };
    let weights = "memory_breakdown.model_weights_bytes";
    assert_eq!(basis("v1.json", weights), (BasisUnit::Gib, true), "parameters times two bytes are 12.55 GiB");
    assert_eq!(basis("v2.json", weights), (BasisUnit::Gb, true), "parameters times two bytes are 13.4 GB");
    assert_eq!(basis("v1_negative_overhead.json", weights), (BasisUnit::Gib, false));
    assert_eq!(basis("v2.json", "memory_breakdown.kv_cache_bytes"), (BasisUnit::Gib, false));
    assert_eq!(
        basis("v3_0.json", "memory_breakdown.activations_bytes"),
        (BasisUnit::Gib, true),
        "from the engine's log"
    );
    assert_eq!(basis("v3_0.json", "memory_breakdown.kv_cache_bytes"), (BasisUnit::Gib, false));
    let used = "detailed_gpu_metrics.gpus[].vram_used_bytes";
    assert_eq!(basis("v3_0.json", used), (BasisUnit::Mib, true));
    assert_eq!(basis("v3_0_nothing_known.json", used), (BasisUnit::Mib, false), "rocm-smi's MB is not known");
}

#[test]
fn credentials_do_not_come_along() {
    let text = text(&migrated("v3_0.json"));
    assert!(text.contains("Model loading took 2.32 GB") && !text.contains("hf_"), "{text}");
}
