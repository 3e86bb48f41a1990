"""Fit the constants of the model of time to recorded batches, and say how far they are off for models that are left out.

    cargo test -p vramscope-estimate --test it time:: -- --nocapture 2> rows.txt
    python3 xtask/time/fit.py rows.txt [--write crates/vramscope-estimate/data/time.tsv]

Needs numpy and scipy. A line of `rows.txt` that begins with `row` is one measured batch with the work of its model; the
formulas below are those of `src/vllm/time/step.rs`, and the predictions of the embedded table are checked against them.
Constants that these rows cannot tell apart keep what the table has. Rows count where two repeats agree within 5 %, the
engine compiled, and it was one rank without adapters and recurrent layers: decided before any error was looked at.

A fit is drawn to where it begins. So what is written depends on the table that was there, by up to a fifth for constants
that trade with each other (step, prompt, attend); the errors do not.
"""
import argparse, json, math, pathlib, sys
import numpy as np
from scipy.optimize import least_squares

TABLE = pathlib.Path(__file__).parents[2] / "crates/vramscope-estimate/data/time.tsv"
H200 = dict(bandwidth=4.3e12, matmul=790e12, link=450e9)
FITTED = ["multiply", "attend", "read_cache", "kernel", "step", "prompt", "batch", "host", "host_sequence", "read_experts", "read_packed"]
# Round numbers to begin with where a model is left out, so that nothing of it is in them.
NEUTRAL = dict(multiply=0.9, attend=0.7, read_cache=0.85, kernel=3e-6, step=3e-4, prompt=5e-4, batch=3e-3, host=1.5e-3,
               host_sequence=1.5e-5, read_experts=0.95, read_packed=0.5)
# How far a constant goes from where it was, as a logarithm, before that costs as much as an error of 3 %. The share at which
# experts are read is told by one model alone.
DRAWN = np.array([0.04 if name == "read_experts" else 0.3 for name in FITTED])
SMALL = 3e9


def table(text):
    rows = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    return {row[0]: dict(value=float(row[1]), range=[float(row[2]), float(row[3])], unit=row[4], source=row[5]) for row in rows}


def read_rate(c, format):
    kind = format.split()[0].split("{")[0].strip()
    return {
        "Byte": (c["read_byte"], c["multiply_byte"]), "ByteBlocks": (c["read_byte"], c["multiply_byte"]),
        "Packed": (c["read_packed"], 1.0), "Nf4": (c["read_packed"], 1.0),
        "Mxfp4": (c["read_float4"], 1.0), "Nvfp4": (c["read_float4"], 1.0),
    }.get(kind, (c["read_plain"], 1.0))


def step(c, row, new, length, times, draws=True):
    work, (whole, piece, _) = row["work"], row["budget"]
    tokens, prompt = new * times, new > 1
    read, rate = read_rate(c, work["format"])
    def product(matrices, share, rate, tokens):
        reading = matrices[0] / (share * H200["bandwidth"])
        return math.hypot(reading, 2 * tokens * matrices[1] / (c["multiply"] * rate * H200["matmul"]))
    device = product(work["dense"], read, rate, tokens) + product(work["head"], c["read_plain"], 1.0, times if draws else 0)
    if work["experts"]:
        bytes_, elements, count, per_token = work["experts"]
        visited = 1 - (1 - per_token / count) ** tokens
        device += product((bytes_ * visited, elements), read * c["read_experts"], rate, tokens * per_token / count)
    for window, each, of_prompt, single in work["spans"]:
        window = window or math.inf
        device += each * min(length, window + new) * times / (c["read_cache"] * H200["bandwidth"])
        pairs = new * min(length - new / 2, window) * times
        device += (of_prompt if prompt else single) * pairs / (c["attend"] * H200["matmul"])
    device += work["state_bytes"] * times / (c["read_cache"] * H200["bandwidth"])
    device += work["kernels"] * c["kernel"] + c["step"] + (times if prompt else 0) * c["prompt"]
    link, sums = c["link"] * H200["link"], 0.0
    vectors = tokens * work["token_bytes"]
    if work["ranks"] > 1:
        start = c["sum_ranks"] + c["sum_further"] * (work["ranks"] - 2)
        sums += 2 * work["layers"] * (start + 2 * (work["ranks"] - 1) / work["ranks"] * vectors / link)
    sums += (work["stages"] - 1) * (c["sum_ranks"] + vectors / link)
    device += sums
    host = c["host"] + c["host_sequence"] * times
    if prompt or tokens > whole:
        host = max(host, work["layers"] * (5 if tokens <= piece else 13) * c["host_launch"])
    return max(device, host)


def batch(c, row):
    size, given, drawn, most = row["batch"], row["input"], row["output"], row["budget"][2]
    steps = -(-size * given // most)
    chunk = min(given, most)
    times = size * given / steps / chunk
    chunks = -(-given // chunk)
    prefill = steps * step(c, row, chunk, (given + chunk) // 2 if chunks > 1 else given, times) + c["batch"]
    first, middle, last = [step(c, row, 1, length, size) for length in (given + 1, given + -(-drawn // 2), given + drawn)]
    return prefill + (first + 4 * middle + last) / 6 * (drawn - 1)


def fitted(start, rows):
    """Logarithms of the constants, drawn to what they were: a constant that the rows do not tell stays."""
    def residuals(x):
        c = {**start, **{name: start[name] * math.exp(value) for name, value in zip(FITTED, x)}}
        return np.array([math.log(batch(c, row) / row["truth"]) / 0.03 * row["weight"] for row in rows] + list(x / DRAWN))
    x = least_squares(residuals, np.zeros(len(FITTED)), loss="soft_l1").x
    return {**start, **{name: start[name] * math.exp(value) for name, value in zip(FITTED, x)}}


def said(errors):
    errors = sorted(abs(error) for error in errors)
    if not errors:
        return "none"
    at = lambda share: 100 * errors[round((len(errors) - 1) * share)]
    return f"{len(errors):3d} rows: median {at(0.5):5.1f}, p90 {at(0.9):5.1f}, worst {at(1):5.1f} %"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows")
    parser.add_argument("--write")
    asked = parser.parse_args()
    known = table(TABLE.read_text())
    start = {name: row["value"] for name, row in known.items()}
    rows = [json.loads(line[4:]) for line in open(asked.rows, encoding="utf-8") if line.startswith("row ")]
    for row in rows:
        if abs(batch(start, row) / row["predicted"] - 1) > 1e-6:
            sys.exit(f"{row['run']}: these formulas give {batch(start, row)}, the crate's {row['predicted']}")
    usable = [row for row in rows if row["agrees"] and not row["eager"] and row["ranks"] == 1 and "-lora" not in row["run"]]
    # Kernels of recurrences are not modelled beyond the bytes of their states.
    usable = [row for row in usable if not row["work"]["state_bytes"]]
    # Each model weighs as a few rows, however many shapes were measured of it.
    for row in usable:
        row["weight"] = min(1.0, math.sqrt(8 / sum(other["model"] == row["model"] for other in usable)))
    models = sorted({row["model"] for row in usable})
    left_out, ranges = [], {name: [] for name in FITTED}
    for model in models:
        own = fitted({**start, **NEUTRAL}, [row for row in usable if row["model"] != model])
        for name in FITTED:
            ranges[name].append(own[name])
        for row in usable:
            if row["model"] == model:
                left_out.append((row, batch(own, row) / row["truth"] - 1))
    large = [(row, error) for row, error in left_out if row["work"]["parameters"] >= SMALL]
    print("left out, 3e9 and more:", said([error for _, error in large]))
    for model in models:
        print(f"  {model:24}", said([error for row, error in left_out if row["model"] == model]))
    final = fitted(start, usable)
    print("all fitted, 3e9 and more:", said([batch(final, row) / row["truth"] - 1 for row in usable if row["work"]["parameters"] >= SMALL]))
    for row, error in sorted(large, key=lambda pair: -abs(pair[1]))[:12]:
        print(f"  {row['run']:24} {row['batch']} x {row['input']}/{row['output']}: {100 * error:+.1f} % of {1e3 * row['truth']:.1f} ms")
    for name in FITTED:
        print(f"{name}\t{final[name]:.4g}\t{min(ranges[name]):.4g}\t{max(ranges[name]):.4g}")
    if asked.write:
        lines = [line for line in TABLE.read_text().splitlines() if line.startswith("#")]
        for name, row in known.items():
            value, own = final[name], ranges.get(name, row["range"]) + [final[name]]
            lines.append("\t".join([name, f"{value:.4g}", f"{min(own):.4g}", f"{max(own):.4g}", row["unit"], row["source"]]))
        pathlib.Path(asked.write).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
