//! Files of a campaign's folder that are not what they should be.

use std::fs;

use super::{Machine, TWO, rows, states};
use crate::{root, stderr, stdout, vramscope};

/// What a file may be instead: nothing, its beginning, no JSON, JSON of another kind, an object with nothing in it.
const GARBLED: [(&str, &str); 5] = [
    ("", "it is empty"),
    ("{\n \"", "line 2, column 2"),
    ("\0\0\0\0", "line 1, column 1"),
    ("[]", "line 1, column"),
    ("{}", "missing field"),
];

#[test]
fn a_garbled_plan_is_told_by_its_name_and_place_and_what_to_do() {
    let machine = Machine::new();
    let folder = machine.home.path().join("out");
    fs::create_dir(&folder).unwrap();
    let plan = folder.join("campaign.plan.json");
    let wrong = [
        ("{\"vramscope_campaign_plan\": 2}", "missing field `runs`"),
        ("{\"vramscope_campaign_plan\": 2, \"runs\": [{\"name\": 3}]}", "runs[0].name, line 1, column 50"),
        ("{\"vramscope_campaign_plan\": 3, \"runs\": []}", "version 3, and this program reads version 2"),
    ];
    for (text, place) in GARBLED.iter().chain(&wrong) {
        fs::write(&plan, text).unwrap();
        for more in [&["--dry-run"][..], &[]] {
            let output = machine.campaign(&[&TWO[..], more].concat());
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(3), "{text:?}: {said}");
            for word in ["out/campaign.plan.json", place, "restore it, or give another --output"] {
                assert!(said.contains(word), "{text:?} should say {word:?}: {said}");
            }
            assert!(!said.contains("struct ") && !said.contains("EOF"), "words of the reader's code: {said}");
            assert_eq!(fs::read_to_string(&plan).unwrap(), *text, "it stays as it is");
        }
    }
}

#[test]
fn a_garbled_file_of_a_recording_is_told_by_its_name_and_place_and_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    for file in ["args.json", "run.json", "bench.json", "marks.json", "config.json"] {
        for (text, place) in GARBLED {
            let folder = home.path().join(file);
            fs::create_dir_all(&folder).unwrap();
            for entry in fs::read_dir(root().join("examples/noisy-neighbour")).unwrap() {
                let entry = entry.unwrap();
                fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
            }
            // A list is what marks are, an object what the others are; a config's fields have errors of their own.
            let (text, place) = match (file, text) {
                ("marks.json", "[]") => ("[[\"child_start\", \"x\"]]", "[0][1], line 1, column"),
                ("marks.json", "{\n \"") => ("[\n [\"", "line 2, column 3"),
                ("marks.json", "{}") => ("{}", "expected a list"),
                ("bench.json", "{}") => ("{}", "avg_latency"),
                ("config.json", "{}") => ("{}", "hidden_size"),
                ("config.json", "[]") => ("[]", "expected an object"),
                _ => (text, place),
            };
            fs::write(folder.join(file), text).unwrap();
            let output = vramscope(&["analyze", folder.to_str().unwrap()]);
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(3), "{file} {text:?}: {said}");
            let name = format!("{file}/{file}");
            for word in [&name, place, "restore it, or move it away"] {
                assert!(said.contains(word), "{file} {text:?} should say {word:?}: {said}");
            }
            assert!(!said.contains("struct ") && !said.contains("EOF") && !said.contains("``"), "{file}: {said}");
        }
    }
}

#[test]
fn a_published_profile_that_cannot_be_read_is_told_and_its_row_stays() {
    let machine = Machine::new();
    assert_eq!(machine.campaign(&TWO).status.code(), Some(0));
    let key = rows(&machine)[0]["key"].clone();
    let profile = machine.home.path().join(format!("out/profiles/{key}.json"));
    // A link of its own: what the attempt has stays whole.
    fs::remove_file(&profile).unwrap();
    fs::write(&profile, "{\"schema_version\": ").unwrap();
    // Tables and leases are never read for what they say: whatever they hold is replaced.
    for table in ["campaign.runs.json", "campaign.csv"] {
        fs::write(machine.home.path().join("out").join(table), "{").unwrap();
    }
    fs::write(machine.home.path().join(format!("out/leases/{key}.lease")), "{\"host\": ").unwrap();
    let again = machine.campaign(&TWO);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    for word in ["is complete already", &format!("profiles/{key}.json"), "line 1", "move it away"] {
        assert!(stderr(&again).contains(word), "{word}: {}", stderr(&again));
    }
    assert_eq!(states(&machine), ["complete"], "{}", stdout(&again));
    assert_eq!(machine.json("campaign.runs.json")["runs"].as_array().unwrap().len(), 1);
    fs::remove_file(&profile).unwrap();
    assert_eq!(machine.campaign(&TWO).status.code(), Some(0));
    assert_eq!(states(&machine), ["complete"], "it was carried out again");
    assert_eq!(machine.json(&format!("profiles/{key}.json"))["metadata"]["status"], "complete");
}
