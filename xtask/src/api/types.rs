//! Types, bounds and signatures of rustdoc's JSON as text. Names stand without their paths.

use serde_json::Value;

/// The elements of a list; none where it is no list.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn joined(values: &[Value], between: &str, each: impl Fn(&Value) -> String) -> String {
    values.iter().map(each).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(between)
}

/// A path: its last name, with arguments.
pub(super) fn path(value: &Value) -> String {
    let name = text(&value["path"]);
    format!("{}{}", name.rsplit("::").next().unwrap_or(name), arguments(&value["args"]))
}

fn arguments(args: &Value) -> String {
    if let Some(call) = args.get("parenthesized") {
        return format!("({}){}", joined(list(&call["inputs"]), ", ", ty), returned(&call["output"]));
    }
    let angle = &args["angle_bracketed"];
    let given = list(&angle["args"]).iter().map(|arg| match arg {
        Value::Object(_) if arg.get("type").is_some() => ty(&arg["type"]),
        Value::Object(_) if arg.get("lifetime").is_some() => text(&arg["lifetime"]).to_owned(),
        Value::Object(_) => text(&arg["const"]["expr"]).to_owned(),
        _ => "_".to_owned(),
    });
    let bound = list(&angle["constraints"]).iter().map(|constraint| {
        let name = format!("{}{}", text(&constraint["name"]), arguments(&constraint["args"]));
        let binding = &constraint["binding"];
        match binding.get("equality") {
            Some(equal) if equal.get("type").is_some() => format!("{name} = {}", ty(&equal["type"])),
            Some(equal) => format!("{name} = {}", text(&equal["constant"]["expr"])),
            None => format!("{name}: {}", bounds(&binding["constraint"])),
        }
    });
    let all: Vec<String> = given.chain(bound).collect();
    if all.is_empty() { String::new() } else { format!("<{}>", all.join(", ")) }
}

/// `A + B`.
pub(super) fn bounds(value: &Value) -> String {
    joined(list(value), " + ", |bound| {
        if let Some(lifetime) = bound.get("outlives") {
            return text(lifetime).to_owned();
        }
        if let Some(captured) = bound.get("use") {
            let name = |arg: &Value| text(arg.get("lifetime").or_else(|| arg.get("param")).unwrap_or(arg)).to_owned();
            return format!("use<{}>", joined(list(captured), ", ", name));
        }
        let bound = &bound["trait_bound"];
        let maybe = if bound["modifier"] == "maybe" { "?" } else { "" };
        format!("{}{maybe}{}", higher_ranked(&bound["generic_params"]), path(&bound["trait"]))
    })
}

fn higher_ranked(params: &Value) -> String {
    let names = joined(list(params), ", ", |param| text(&param["name"]).to_owned());
    if names.is_empty() { names } else { format!("for<{names}> ") }
}

/// ` -> T`, or nothing.
fn returned(value: &Value) -> String {
    if value.is_null() { String::new() } else { format!(" -> {}", ty(value)) }
}

/// A type.
pub(super) fn ty(value: &Value) -> String {
    let Some((kind, inner)) = value.as_object().and_then(|object| object.iter().next()) else {
        return if value == "infer" { "_".to_owned() } else { value.to_string() };
    };
    let mutable = inner["is_mutable"] == true;
    match kind.as_str() {
        "resolved_path" => path(inner),
        "generic" | "primitive" => text(inner).to_owned(),
        "tuple" if list(inner).len() == 1 => format!("({},)", ty(&inner[0])),
        "tuple" => format!("({})", joined(list(inner), ", ", ty)),
        "slice" => format!("[{}]", ty(inner)),
        "array" => format!("[{}; {}]", ty(&inner["type"]), text(&inner["len"])),
        "impl_trait" => format!("impl {}", bounds(inner)),
        "raw_pointer" => format!("*{} {}", if mutable { "mut" } else { "const" }, ty(&inner["type"])),
        "borrowed_ref" => {
            let lifetime = inner["lifetime"].as_str().map(|name| format!("{name} ")).unwrap_or_default();
            format!("&{lifetime}{}{}", if mutable { "mut " } else { "" }, ty(&inner["type"]))
        }
        "dyn_trait" => {
            let bound = |poly: &Value| format!("{}{}", higher_ranked(&poly["generic_params"]), path(&poly["trait"]));
            let mut all = joined(list(&inner["traits"]), " + ", bound);
            if let Some(lifetime) = inner["lifetime"].as_str() {
                all = format!("{all} + {lifetime}");
            }
            format!("(dyn {all})")
        }
        "qualified_path" => {
            let of = ty(&inner["self_type"]);
            let name = format!("{}{}", text(&inner["name"]), arguments(&inner["args"]));
            if inner["trait"].is_null() || inner["trait"]["path"] == "" {
                format!("{of}::{name}")
            } else {
                format!("<{of} as {}>::{name}", path(&inner["trait"]))
            }
        }
        "function_pointer" => {
            let signature = &inner["sig"];
            let inputs = joined(list(&signature["inputs"]), ", ", |input| ty(&input[1]));
            let ranked = higher_ranked(&inner["generic_params"]);
            format!("{ranked}{}fn({inputs}){}", qualifiers(&inner["header"]), returned(&signature["output"]))
        }
        // What a later rustdoc adds is shown as it says it.
        _ => value.to_string(),
    }
}

fn qualifiers(header: &Value) -> String {
    let mut words = String::new();
    for (key, word) in [("is_const", "const "), ("is_async", "async "), ("is_unsafe", "unsafe ")] {
        if header[key] == true {
            words.push_str(word);
        }
    }
    match header["abi"].as_object().and_then(|abi| abi.keys().next()) {
        Some(abi) => format!("{words}extern \"{abi}\" "),
        None => words,
    }
}

/// `<'a, T: Bound, const N: usize>`, without what `impl Trait` in a parameter makes.
pub(super) fn generics(value: &Value) -> String {
    let params = joined(list(&value["params"]), ", ", |param| {
        let name = text(&param["name"]);
        let kind = &param["kind"];
        if let Some(constant) = kind.get("const") {
            return format!("const {name}: {}", ty(&constant["type"]));
        }
        if let Some(lifetime) = kind.get("lifetime") {
            let outlives = joined(list(&lifetime["outlives"]), " + ", |name| text(name).to_owned());
            return if outlives.is_empty() { name.to_owned() } else { format!("{name}: {outlives}") };
        }
        let of = &kind["type"];
        if of["is_synthetic"] == true {
            return String::new();
        }
        let bounds = bounds(&of["bounds"]);
        let default = if of["default"].is_null() { String::new() } else { format!(" = {}", ty(&of["default"])) };
        if bounds.is_empty() { format!("{name}{default}") } else { format!("{name}: {bounds}{default}") }
    });
    if params.is_empty() { params } else { format!("<{params}>") }
}

/// ` where T: Bound`, or nothing.
pub(super) fn conditions(value: &Value) -> String {
    let all = joined(list(&value["where_predicates"]), ", ", |condition| {
        if let Some(of) = condition.get("bound_predicate") {
            return format!("{}{}: {}", higher_ranked(&of["generic_params"]), ty(&of["type"]), bounds(&of["bounds"]));
        }
        if let Some(of) = condition.get("lifetime_predicate") {
            let outlives = joined(list(&of["outlives"]), " + ", |name| text(name).to_owned());
            return format!("{}: {outlives}", text(&of["lifetime"]));
        }
        condition.to_string()
    });
    if all.is_empty() { all } else { format!(" where {all}") }
}

/// A function of this name. Names of parameters are no part of what is offered.
pub(super) fn function(name: &str, value: &Value) -> String {
    let signature = &value["sig"];
    let inputs = joined(list(&signature["inputs"]), ", ", |input| {
        let of = ty(&input[1]);
        match (&input[0] == "self", &*of) {
            (true, "Self") => "self".to_owned(),
            (true, "&Self") => "&self".to_owned(),
            (true, "&mut Self") => "&mut self".to_owned(),
            (true, _) => format!("self: {of}"),
            (false, _) => of,
        }
    });
    format!(
        "{}fn {name}{}({inputs}){}{}",
        qualifiers(&value["header"]),
        generics(&value["generics"]),
        returned(&signature["output"]),
        conditions(&value["generics"])
    )
}
