#!/usr/bin/env python3
"""Hold `vramscope profile` against figures read inside the worker.

    python3 benches/gpu/profile_runs.py VRAMSCOPE MODELS OUT [RUN ...]

VRAMSCOPE is the built command, MODELS a folder with one folder per model that holds a config.json (weights are made
up), OUT an empty folder for profiles and recordings. It needs an NVIDIA GPU and a Python that imports vLLM. It prints
a table in Markdown.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ENGINE = f"{sys.executable} {HERE / 'vllm_with_truth.py'}"
DUMMY = ["--load-format", "dummy", "--skip-tokenizer-init", "--disable-detokenize"]

# name: model, flags of the profiler, more flags of the engine
RUNS = {
    "llama-3.1-8b": ("llama-3.1-8b", ["--max-model-len", "8192"], []),
    "llama-3.1-8b, eager": ("llama-3.1-8b", ["--max-model-len", "8192", "--enforce-eager"], []),
    "qwen3-30b-a3b (MoE)": ("qwen3-30b-a3b", ["--max-model-len", "16384"], []),
    "deepseek-v2-lite (MLA), eager": ("deepseek-v2-lite", ["--max-model-len", "16384", "--enforce-eager"], []),
    "gpt-oss-20b (MXFP4), eager": ("gpt-oss-20b", ["--max-model-len", "8192", "--enforce-eager"], []),
    "llama-3.1-8b, two GPUs": (
        "llama-3.1-8b", ["--max-model-len", "8192", "--tensor-parallel-size", "2"], ["--disable-custom-all-reduce"]),
}
TWO_GPUS = {"llama-3.1-8b, two GPUs"}


def error(mine, truth):
    return f"{(mine - truth) / truth * 100:+.3f} %" if mine is not None and truth else "-"


def run(options, name):
    """One profile; a row of the table."""
    model, flags, engine_flags = RUNS[name]
    stem = "".join(c if c.isalnum() else "-" for c in name)
    out = options.out / f"{stem}.json"
    truth = options.out / f"{stem}.truth.json"
    environment = os.environ | {"VRAMSCOPE_TRUTH": str(truth)}
    command = [options.vramscope, "profile", "--model", str(options.models / model), "--engine", ENGINE, "--output", str(out)]
    command += ["--input-len", "256", "--output-len", "64", "--batch-size", "8", "--num-iters", "3", "--num-iters-warmup", "1"]
    command += ["--interval", "20ms", *flags, "--", *DUMMY, *engine_flags]
    began = time.monotonic()
    done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL)
    took = time.monotonic() - began
    if not out.exists():
        return f"| {name} | exit code {done.returncode}, no profile |"
    profile = json.loads(out.read_text())
    if done.returncode or not truth.exists():
        return f"| {name} | exit code {done.returncode}: {profile.get('failure')} |"
    ranks = json.loads(truth.read_text())["ready"]
    # A profile's parts are those of all devices, a prediction is that of one rank.
    ready = ranks[0]
    whole = {key: sum(rank[key] or 0 for rank in ranks) for key in ("model_memory_usage", "kv_tensors", "graphs")}
    parts = {part["kind"]: part["size_bytes"] for part in profile["memory_breakdown"]["components"]}
    rows = {row["name"]: row for row in profile["expectation"]["memory"]}
    counts = {row["name"]: row for row in profile["expectation"]["counts"]}
    breakdown = profile["memory_breakdown"]
    peak = breakdown["total_measured_bytes"]
    activation = rows["activation_peak"].get("observed_bytes")
    cells = [
        name,
        error(parts.get("model_weights"), whole["model_memory_usage"]),
        error(parts.get("kv_cache"), whole["kv_tensors"]),
        error(parts.get("cuda_graphs"), whole["graphs"]),
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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vramscope")
    parser.add_argument("models", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("runs", nargs="*", choices=[[], *RUNS], default=[])
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    head = ["run", "weights", "KV cache", "graphs", "activation peak", "residual", "peak GiB", "predicted: weights",
            "KV cache", "graphs", "activation peak", "blocks", "s"]
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for name in options.runs or [name for name in RUNS if name not in TWO_GPUS]:
        print(run(options, name), flush=True)


if __name__ == "__main__":
    main()
