#!/usr/bin/env python3
"""Hold `vramscope profile` against figures read inside the worker, and measure what profiling costs in throughput.

    python3 benches/gpu/profile_runs.py VRAMSCOPE MODELS OUT [--pairs N] [RUN ...]

VRAMSCOPE is the built command, MODELS a folder with one folder per model that holds a config.json (weights are made
up), OUT an empty folder for profiles and recordings. It needs an NVIDIA GPU and a Python that imports vLLM. It prints
two tables in Markdown.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ENGINE = f"{sys.executable} {HERE / 'vllm_with_truth.py'}"
DUMMY = ["--load-format", "dummy", "--skip-tokenizer-init", "--disable-detokenize"]

# name: model, flags
RUNS = {
    "llama-3.1-8b": ("llama-3.1-8b", ["--max-model-len", "8192"]),
    "llama-3.1-8b, eager": ("llama-3.1-8b", ["--max-model-len", "8192", "--enforce-eager"]),
    "qwen3-30b-a3b (MoE)": ("qwen3-30b-a3b", ["--max-model-len", "16384"]),
    "deepseek-v2-lite (MLA), eager": ("deepseek-v2-lite", ["--max-model-len", "16384", "--enforce-eager"]),
    "gpt-oss-20b (MXFP4), eager": ("gpt-oss-20b", ["--max-model-len", "8192", "--enforce-eager"]),
}


def error(mine, truth):
    return f"{(mine - truth) / truth * 100:+.3f} %" if mine is not None and truth else "-"


def run(options, name):
    """One profile; a row of the table."""
    model, flags = RUNS[name]
    stem = "".join(c if c.isalnum() else "-" for c in name)
    out = options.out / f"{stem}.json"
    truth = options.out / f"{stem}.truth.json"
    environment = os.environ | {"VRAMSCOPE_TRUTH": str(truth)}
    command = [options.vramscope, "profile", "--model", str(options.models / model), "--engine", ENGINE, "--output", str(out)]
    command += ["--input-len", "256", "--output-len", "64", "--batch-size", "8", "--num-iters", "3", "--num-iters-warmup", "1"]
    command += ["--interval", "20ms", *flags, "--", *DUMMY]
    began = time.monotonic()
    done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL)
    took = time.monotonic() - began
    if not out.exists():
        return f"| {name} | exit code {done.returncode}, no profile |"
    profile = json.loads(out.read_text())
    if done.returncode or not truth.exists():
        return f"| {name} | exit code {done.returncode}: {profile.get('failure')} |"
    ready = json.loads(truth.read_text())["ready"][0]
    parts = {part["kind"]: part["size_bytes"] for part in profile["memory_breakdown"]["components"]}
    rows = {row["name"]: row for row in profile["expectation"]["memory"]}
    counts = {row["name"]: row for row in profile["expectation"]["counts"]}
    breakdown = profile["memory_breakdown"]
    peak = breakdown["total_measured_bytes"]
    activation = rows["activation_peak"].get("observed_bytes")
    cells = [
        name,
        error(parts.get("model_weights"), ready["model_memory_usage"]),
        error(parts.get("kv_cache"), ready["kv_tensors"]),
        error(parts.get("cuda_graphs"), ready["graphs"]),
        error(activation, ready["peak_activation_memory"]),
        f"{breakdown['residual_bytes'] / peak * 100:+.2f} %",
        f"{peak / 2**30:.2f}",
        error(rows["model_weights"]["predicted_bytes"], ready["model_memory_usage"]),
        error(rows["kv_cache"]["predicted_bytes"], ready["kv_tensors"]),
        error(rows["cuda_graphs"]["predicted_bytes"], ready["graphs"]),
        error(rows["activation_peak"]["predicted_bytes"], ready["peak_activation_memory"]),
        error(counts["num_gpu_blocks"]["predicted"], ready["num_gpu_blocks"]),
        f"{took:.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def bench(options, result, profiled):
    """The mean latency of one benchmark, with or without the profiler."""
    model, flags = RUNS["llama-3.1-8b, eager"]
    work = ["--input-len", "256", "--output-len", "128", "--batch-size", "16", "--num-iters", "12", "--num-iters-warmup", "3"]
    folder = str(options.models / model)
    if profiled:
        command = [options.vramscope, "profile", "--model", folder, "--engine", ENGINE, "--output", str(result), "--quiet"]
        command += ["--baseline", "0.5s", "--settle", "2s", *work, *flags, "--", *DUMMY]
        written = result.with_suffix("") / "bench.json"
    else:
        command = [*ENGINE.split(), "bench", "latency", "--model", folder, "--output-json", str(result), *work, *flags, *DUMMY]
        written = result
    environment = {name: value for name, value in os.environ.items() if name != "VRAMSCOPE_TRUTH"}
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return statistics.median(json.loads(written.read_text())["latencies"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vramscope")
    parser.add_argument("models", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--pairs", type=int, default=0, help="pairs of runs with the profiler on and off")
    parser.add_argument("runs", nargs="*", choices=[[], *RUNS], default=[])
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    head = ["run", "weights", "KV cache", "graphs", "activation peak", "residual", "peak GiB", "predicted: weights",
            "KV cache", "graphs", "activation peak", "blocks", "s"]
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for name in options.runs or RUNS:
        print(run(options, name), flush=True)
    ratios = []
    for pair in range(options.pairs):
        # The order changes, so that a drift of the machine does not fall on one side.
        order = (True, False) if pair % 2 else (False, True)
        latency = {on: bench(options, options.out / f"pair{pair}-{'on' if on else 'off'}.json", on) for on in order}
        ratios.append(latency[True] / latency[False])
        print(f"pair {pair + 1}: off {latency[False] * 1e3:.3f} ms, on {latency[True] * 1e3:.3f} ms, "
              f"ratio {ratios[-1]:.5f}", flush=True)
    if ratios:
        print(f"median ratio on/off {statistics.median(ratios):.5f} ({min(ratios):.5f} to {max(ratios):.5f})")


if __name__ == "__main__":
    main()
