// Holds what a page shows against the documents that it is made of: each figure names the place it was taken from.

const GIB = 2 ** 30;
const MIB = 2 ** 20;

/** What a number of a document may be divided by, by the unit that is shown and by the unit in the name of its place. */
const SCALES = {
  GiB: { bytes: GIB, mib: 1024, gib: 1, gb: GIB / 1e9, kib: MIB },
  MiB: { bytes: MIB, mib: 1, kib: 1024 },
  KiB: { bytes: 1024, kib: 1 },
  B: { bytes: 1 },
  s: { ns: 1e9, us: 1e6, ms: 1e3, s: 1, secs: 1 },
  ms: { ns: 1e6, us: 1e3, ms: 1, s: 1e-3 },
  µs: { ns: 1e3, us: 1, ms: 1e-3, s: 1e-6 },
  ns: { ns: 1 },
  min: { s: 60, ns: 6e10 },
  h: { s: 3600, ns: 3.6e12 },
  "%": { pct: 1, share: 0.01, utilization: 0.01, ratio: 0.01 },
  W: { w: 1, mw: 1000 },
  J: { j: 1, mj: 1000 },
  kJ: { j: 1000, mj: 1e6 },
  Wh: { j: 3600, mj: 3.6e6 },
  kWh: { j: 3.6e6, mj: 3.6e9 },
  "°C": { c: 1 },
  MHz: { mhz: 1 },
};
/** Units that a name need not say. Slices of a device are counted in MiB, as the vendor's tools do. */
const UNSAID = { "%": [1, 0.01], GiB: [GIB, 1024], MiB: [MIB], KiB: [1024], B: [1] };

/** The number and the unit with which a text begins; nothing where it begins with no number. */
export function shown(text) {
  const found = /^\s*([+\-−]?)(\d{1,3}(?:,\d{3})+|\d+)(?:\.(\d+))?(?:e([+-]?\d+))?\s*(%|°C|[A-Za-zµ]+)?/.exec(text);
  if (!found) return undefined;
  const [, sign, whole, fraction = "", power = "0", unit = ""] = found;
  const digits = Number(`${whole.replaceAll(",", "")}.${fraction || "0"}e${power}`);
  const last = 10 ** (Number(power) - fraction.length);
  return { number: sign === "" || sign === "+" ? digits : -digits, last, unit };
}

/** The unit that the name of a place says, of the nearest name that says one. */
function unitInName(pointer) {
  const known = new Set(Object.values(SCALES).flatMap((scales) => Object.keys(scales)));
  for (const name of pointer.split("/").slice(1).reverse()) {
    if (/per_second$|_per_/.test(name)) return "";
    const word = name.toLowerCase().split("_").at(-1);
    if (known.has(word) && (name.includes("_") || word.length > 2)) return word;
  }
  return "";
}

/** By what the number behind a shown one may have been divided. */
function scales(unit, pointer) {
  const known = SCALES[unit];
  if (!known) return [1];
  const named = unitInName(pointer);
  if (named in known) return [known[named]];
  if (named !== "" && !(unit in UNSAID)) return [];
  return UNSAID[unit] ?? Object.values(known);
}

/** Whether a text begins with the value, as far as its digits go. */
export function agrees(text, value, pointer) {
  const one = shown(text);
  if (!one) return false;
  // A half of the last digit, and what a double may be off by.
  return scales(one.unit, pointer).some((scale) => {
    const exact = value / scale;
    return Math.abs(exact - one.number) <= one.last * 0.500001 + Math.abs(exact) * 1e-12;
  });
}

/** What stands at a JSON pointer (RFC 6901). */
export function at(document, pointer) {
  if (pointer === "") return document;
  if (!pointer.startsWith("/")) return undefined;
  const names = pointer.slice(1).split("/").map((name) => name.replaceAll("~1", "/").replaceAll("~0", "~"));
  return names.reduce((place, name) => (place !== null && typeof place === "object" ? place[name] : undefined), document);
}

/** What is wrong with the figures of a page. */
export function wrongFigures(figures, documents) {
  const wrong = [];
  for (const { pointer, value, text } of figures) {
    const [, place, path] = /^(\d+):(.*)$/s.exec(pointer) ?? [];
    const document = documents[Number(place)];
    if (document === undefined) {
      wrong.push(`the figure ${pointer} is of no document of this page`);
      continue;
    }
    const behind = at(document, path);
    if (typeof behind !== "number") wrong.push(`the figure ${pointer} stands nowhere in its document`);
    else if (Number(value) !== behind) wrong.push(`the figure ${pointer} is ${value}, its document says ${behind}`);
    else if (!agrees(text, behind, path)) wrong.push(`the figure ${pointer} is shown as "${text}", it is ${behind}`);
  }
  return wrong;
}
