use crate::{root, stderr, stdout, vramscope};

#[test]
fn the_list_names_every_document_and_each_has_a_schema() {
    let listed: serde_json::Value = serde_json::from_str(&stdout(&vramscope(&["schema", "--format", "json"]))).unwrap();
    let names: Vec<&str> = listed.as_array().unwrap().iter().map(|d| d["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"profile"), "{names:?}");
    let table = stdout(&vramscope(&["schema"]));
    for name in names {
        let schema: serde_json::Value = serde_json::from_str(&stdout(&vramscope(&["schema", name]))).unwrap();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert!(table.contains(name));
    }
}

#[test]
fn the_file_in_schemas_is_what_the_command_prints() {
    let printed = stdout(&vramscope(&["schema", "profile"]));
    let kept = std::fs::read_to_string(root().join("schemas/profile.json")).unwrap();
    assert!(kept == printed, "schemas/profile.json is out of date: cargo xtask schema");
}

#[test]
fn an_unknown_name_is_a_usage_error_that_lists_the_known_ones() {
    let ran = vramscope(&["schema", "profil"]);
    assert_eq!((ran.status.code(), stdout(&ran).as_str()), (Some(2), ""));
    let said = stderr(&ran);
    assert!(said.contains("'profil'") && said.contains("profile, "), "{said}");
    let bash = stdout(&vramscope(&["completions", "bash"]));
    assert!(bash.contains("gpu-snapshot"), "shells complete the names");
}
