//! The public items of a library, of rustdoc's JSON: one line each, sorted.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::types::{bounds, conditions, function, generics, list, path, ty};

/// How deep modules and re-exports may nest. A module that re-exports one above it would never end.
const MOST_NESTED: usize = 16;

/// The lines.
pub(super) fn listing(document: &Value) -> anyhow::Result<String> {
    let root = item(document, &document["root"]).context("rustdoc's JSON has no root item")?;
    let name = root["name"].as_str().context("the library has no name")?;
    let mut lines = BTreeSet::new();
    module(document, root, name, 0, &mut lines)?;
    Ok(lines.into_iter().map(|line| line + "\n").collect())
}

fn item<'a>(document: &'a Value, id: &Value) -> Option<&'a Value> {
    document["index"].get(id.to_string())
}

/// What an item is, and its content.
fn inner(item: &Value) -> (&str, &Value) {
    let inner = item["inner"].as_object().and_then(|inner| inner.iter().next());
    inner.map_or(("", &Value::Null), |(kind, content)| (kind.as_str(), content))
}

fn module(document: &Value, of: &Value, name: &str, depth: usize, lines: &mut BTreeSet<String>) -> anyhow::Result<()> {
    ensure!(depth < MOST_NESTED, "modules nest more than {MOST_NESTED} deep at {name}");
    for id in list(&inner(of).1["items"]) {
        let Some(found) = item(document, id) else { continue };
        let (kind, content) = inner(found);
        if kind != "use" {
            let own = found["name"].as_str().unwrap_or_default();
            if found["visibility"] == "public" {
                one(document, found, &format!("{name}::{own}"), depth, lines)?;
            }
            continue;
        }
        if found["visibility"] != "public" {
            continue;
        }
        let shown = content["name"].as_str().unwrap_or_default();
        match item(document, &content["id"]) {
            Some(target) if content["is_glob"] == true => module(document, target, name, depth + 1, lines)?,
            Some(target) => one(document, target, &format!("{name}::{shown}"), depth, lines)?,
            None => {
                lines.insert(format!("pub use {name}::{shown} = {}", content["source"].as_str().unwrap_or_default()));
            }
        }
    }
    Ok(())
}

/// An item under the name by which others reach it.
fn one(document: &Value, of: &Value, name: &str, depth: usize, lines: &mut BTreeSet<String>) -> anyhow::Result<()> {
    let (kind, content) = inner(of);
    let open = if list(&of["attrs"]).iter().any(|a| a.to_string().contains("non_exhaustive")) {
        "#[non_exhaustive] "
    } else {
        ""
    };
    let of_generics = &content["generics"];
    let head = format!("{name}{}", generics(of_generics));
    let conditions = conditions(of_generics);
    let line = match kind {
        "module" => {
            module(document, of, name, depth + 1, lines)?;
            format!("pub mod {name}")
        }
        "struct" | "union" => {
            fields(document, if kind == "union" { content } else { &content["kind"] }, name, "pub ", lines);
            impls(document, content, name, lines);
            format!("pub {kind} {head}{conditions}")
        }
        "enum" => {
            for variant in list(&content["variants"]).iter().filter_map(|id| item(document, id)) {
                let own = format!("{name}::{}", variant["name"].as_str().unwrap_or_default());
                fields(document, &inner(variant).1["kind"], &own, "", lines);
                lines.insert(own);
            }
            impls(document, content, name, lines);
            format!("pub enum {head}{conditions}")
        }
        "trait" => {
            for part in list(&content["items"]).iter().filter_map(|id| item(document, id)) {
                let own = format!("{name}::{}", part["name"].as_str().unwrap_or_default());
                let provided = inner(part).1["has_body"] == true;
                lines.insert(format!("{}{}", member(part, &own), if provided { " { … }" } else { "" }));
            }
            let above = bounds(&content["bounds"]);
            let above = if above.is_empty() { above } else { format!(": {above}") };
            format!("pub trait {head}{above}{conditions}")
        }
        "macro" | "proc_macro" => format!("pub macro {name}!"),
        "type_alias" => format!("pub type {head} = {}{conditions}", ty(&content["type"])),
        "constant" => format!("pub const {name}: {}", ty(&content["type"])),
        "static" => format!("pub static {name}: {}", ty(&content["type"])),
        "function" => format!("pub {}", function(name, content)),
        other => format!("pub {other} {name}"),
    };
    lines.insert(format!("{open}{line}"));
    Ok(())
}

/// The fields of a struct, a union or a variant that others see.
fn fields(document: &Value, kind: &Value, name: &str, shown: &str, lines: &mut BTreeSet<String>) {
    let places = kind.get("tuple").or_else(|| kind.get("plain").map(|plain| &plain["fields"]));
    let places = places.or_else(|| kind.get("struct").map(|of| &of["fields"])).or_else(|| kind.get("fields"));
    for field in places.map(list).unwrap_or_default().iter().filter_map(|id| item(document, id)) {
        // Fields of a variant are as visible as it is, which rustdoc calls the default.
        if field["visibility"] == "public" || field["visibility"] == "default" {
            let own = field["name"].as_str().unwrap_or_default();
            lines.insert(format!("{shown}{name}::{own}: {}", ty(inner(field).1)));
        }
    }
}

/// A part of a trait or an implementation.
fn member(part: &Value, name: &str) -> String {
    let (kind, content) = inner(part);
    match kind {
        "function" => format!("pub {}", function(name, content)),
        "assoc_const" => format!("pub const {name}: {}", ty(&content["type"])),
        "assoc_type" => {
            let bounds = bounds(&content["bounds"]);
            let bounds = if bounds.is_empty() { bounds } else { format!(": {bounds}") };
            format!("pub type {name}{bounds}")
        }
        other => format!("pub {other} {name}"),
    }
}

/// What a type has of its own, and the traits that it was given. What holds of all types or follows from the fields alone
/// is left out.
fn impls(document: &Value, content: &Value, name: &str, lines: &mut BTreeSet<String>) {
    for found in list(&content["impls"]).iter().filter_map(|id| item(document, id)) {
        let of = inner(found).1;
        if of["is_synthetic"] == true || !of["blanket_impl"].is_null() {
            continue;
        }
        if of["trait"].is_null() {
            for part in list(&of["items"]).iter().filter_map(|id| item(document, id)) {
                if part["visibility"] == "public" {
                    lines.insert(member(part, &format!("{name}::{}", part["name"].as_str().unwrap_or_default())));
                }
            }
            continue;
        }
        let trait_name = path(&of["trait"]);
        // The compiler's own mark beside a derived `PartialEq`.
        if trait_name == "StructuralPartialEq" {
            continue;
        }
        let own = generics(&of["generics"]);
        lines.insert(format!("impl{own} {trait_name} for {}{}", ty(&of["for"]), conditions(&of["generics"])));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn item_of(name: &str, inner: &Value) -> Value {
        json!({"name": name, "visibility": "public", "attrs": [], "inner": inner})
    }

    #[test]
    fn a_reexport_stands_where_it_is_reached_with_all_that_it_has() {
        let u64_type = json!({"primitive": "u64"});
        let own = json!({"generic": "Self"});
        let function = json!({"function": {
            "sig": {
                "inputs": [
                    ["self", {"borrowed_ref": {"lifetime": null, "is_mutable": false, "type": own}}],
                    ["by", {"slice": u64_type}],
                ],
                "output": {"resolved_path": {"path": "std::option::Option", "args": {"angle_bracketed": {
                    "args": [{"type": u64_type}], "constraints": []}}}},
            },
            "generics": {"params": [], "where_predicates": []},
            "header": {"is_const": true, "is_async": false, "is_unsafe": false, "abi": "Rust"},
            "has_body": true,
        }});
        let hidden =
            json!({"name": "secret", "visibility": "default", "attrs": [], "inner": {"module": {"items": [2]}}});
        let document = json!({
            "root": 0,
            "index": {
                "0": item_of("lib", &json!({"module": {"items": [1, 9]}})),
                "9": hidden,
                "1": {"name": null, "visibility": "public", "attrs": [], "inner": {"use": {
                    "source": "secret::Bytes", "name": "Size", "id": 2, "is_glob": false}}},
                "2": {"name": "Bytes", "visibility": "public", "attrs": ["non_exhaustive"], "inner": {"struct": {
                    "kind": {"tuple": [3]}, "generics": {"params": [], "where_predicates": []}, "impls": [4, 6]}}},
                "3": item_of("0", &json!({"struct_field": u64_type})),
                "4": item_of("", &json!({"impl": {"trait": null, "items": [5], "is_synthetic": false}})),
                "5": item_of("less", &function),
                "6": item_of("", &json!({"impl": {
                    "trait": {"path": "Clone", "args": null}, "items": [], "is_synthetic": false, "blanket_impl": null,
                    "for": {"resolved_path": {"path": "Bytes", "args": null}},
                    "generics": {"params": [], "where_predicates": []}}})),
            },
        });
        let expected = "#[non_exhaustive] pub struct lib::Size\nimpl Clone for Bytes\n\
                        pub const fn lib::Size::less(&self, [u64]) -> Option<u64>\npub lib::Size::0: u64\n";
        assert_eq!(listing(&document).unwrap(), expected);
    }
}
