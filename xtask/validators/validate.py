"""Runs the jobs of `cargo xtask validate` with the Python package jsonschema.

argv[1] is a JSON file: {"schemas": {name: path}, "jobs": [{"schema", "document", "base", "mutations": [{"why", "path",
"value"?}]}]}. Every schema must be one; every document must be valid; "base" is a shortened copy of the document, valid
too, and each mutation of it (set the value at the path, or remove it where there is no value) must be refused.
"""

import copy
import json
import sys

from jsonschema import Draft202012Validator


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def mutated(base, mutation):
    document = copy.deepcopy(base)
    *parents, last = mutation["path"]
    place = document
    for step in parents:
        place = place[step]
    if "value" in mutation:
        place[last] = mutation["value"]
    else:
        del place[last]
    return document


def complaint(validator, document):
    error = next(validator.iter_errors(document), None)
    return None if error is None else f"{error.json_path}: {error.message[:200]}"


def narrowed(root, base, path):
    """The innermost schema that must hold where the mutation is, and the steps that lead there. What "properties", "items"
    and "$ref" say holds for the whole document, so that what the inner schema refuses the whole one refuses too."""
    node, steps = root, 0
    for step in path[:-1]:
        while "$ref" in node and node["$ref"].startswith("#/$defs/"):
            node = root["$defs"][node["$ref"].removeprefix("#/$defs/")]
        inner = node.get("properties", {}).get(step) if isinstance(step, str) else None
        if isinstance(step, int) and "prefixItems" not in node:
            inner = node.get("items")
        if not isinstance(inner, dict):
            break
        node, base, steps = inner, base[step], steps + 1
    return node, base, path[steps:]


def refuses(validator, base, mutation):
    """The inner schema is asked first, which costs a hundredth; what it lets pass goes before the whole one."""
    schema, place, path = narrowed(validator.schema, base, mutation["path"])
    inner = validator.evolve(schema=schema)
    # One that refuses what is valid as it stands would prove nothing.
    if complaint(inner, place) is None and complaint(inner, mutated(place, {**mutation, "path": path})):
        return True
    return complaint(validator, mutated(base, mutation)) is not None


def main():
    work = load(sys.argv[1])
    validators = {}
    for name, path in work["schemas"].items():
        schema = load(path)
        Draft202012Validator.check_schema(schema)
        validators[name] = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    wrong, refused = [], 0
    for job in work["jobs"]:
        validator = validators[job["schema"]]
        for what, document in (("", load(job["document"])), (" (shortened)", job["base"])):
            if said := complaint(validator, document):
                wrong.append(f"{job['document']}{what} is refused: {said}")
        for mutation in job["mutations"]:
            if refuses(validator, job["base"], mutation):
                refused += 1
            else:
                wrong.append(f"{job['document']} is accepted with {mutation['why']}")
    for line in wrong[:20]:
        print(line)
    print(
        f"python jsonschema: {len(validators)} schemas, {len(work['jobs'])} documents, "
        f"{refused} mutations refused, {len(wrong)} wrong"
    )
    return 1 if wrong else 0


sys.exit(main())
