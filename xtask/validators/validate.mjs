// Runs the jobs of `cargo xtask validate` with the Node packages ajv (strict mode) and ajv-formats.
// validate.py tells what a job is; both do the same.

import { readFileSync } from "node:fs";

import Ajv from "ajv/dist/2020.js";
import addFormats from "ajv-formats";

const load = (path) => JSON.parse(readFileSync(path, "utf8"));

function mutated(base, mutation) {
  const document = structuredClone(base);
  const last = mutation.path.at(-1);
  const place = mutation.path.slice(0, -1).reduce((node, step) => node[step], document);
  if ("value" in mutation) place[last] = mutation.value;
  else if (Array.isArray(place)) place.splice(last, 1);
  else delete place[last];
  return document;
}

// Strict, but for lists of types: some documents have fields that are a number or null.
const ajv = new Ajv({ strict: true, allowUnionTypes: true });
addFormats(ajv);

const work = load(process.argv[2]);
const validators = new Map();
const wrong = [];
for (const [name, path] of Object.entries(work.schemas)) {
  try {
    validators.set(name, ajv.compile(load(path)));
  } catch (error) {
    wrong.push(`${path} is no strict schema: ${error.message}`);
  }
}

function complaint(validator, document) {
  if (validator(document)) return null;
  const [error] = validator.errors;
  return `${error.instancePath}: ${error.message}`;
}

let refused = 0;
for (const job of work.jobs) {
  const validator = validators.get(job.schema);
  if (!validator) continue;
  for (const [what, document] of [["", load(job.document)], [" (shortened)", job.base]]) {
    const said = complaint(validator, document);
    if (said) wrong.push(`${job.document}${what} is refused: ${said}`);
  }
  for (const mutation of job.mutations) {
    if (complaint(validator, mutated(job.base, mutation))) refused += 1;
    else wrong.push(`${job.document} is accepted with ${mutation.why}`);
  }
}
for (const line of wrong.slice(0, 20)) console.log(line);
console.log(
  `node ajv: ${validators.size} schemas, ${work.jobs.length} documents, ${refused} mutations refused, ${wrong.length} wrong`,
);
process.exit(wrong.length ? 1 : 0);
