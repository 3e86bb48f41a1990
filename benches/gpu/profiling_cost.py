#!/usr/bin/env python3
"""What `vramscope profile` costs in throughput.

    python3 benches/gpu/profiling_cost.py VRAMSCOPE MODEL OUT [--pairs 30] [--processes 3] [-- ENGINE FLAGS]

VRAMSCOPE is the built command, MODEL a folder with a config.json (weights are made up), OUT a folder for results. It
needs a Python that imports vLLM, and a machine that nothing else uses. Two measurements, with the ratio of the times of
equal batches with and without the profiler:

  within one engine  `vllm_alternating.py` stops the profiler and lets it go on in turn, batch by batch
  whole processes    `vllm bench latency` alone, and the same under `vramscope profile`, in turn; the median of each
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import checks  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
PLAIN = f"{sys.executable} -m vllm.entrypoints.cli.main"
DUMMY = ["--load-format", "dummy", "--skip-tokenizer-init", "--disable-detokenize"]
WARMUP = 4


def work(options, iterations):
    words = ["--input-len", str(options.input_len), "--output-len", str(options.output_len), "--batch-size", str(options.batch_size)]
    return [*words, "--num-iters", str(iterations), "--num-iters-warmup", str(WARMUP)]


def profile(options, engine, result, iterations, environment=None):
    """One run under the profiler, with its defaults: samples each 100 ms."""
    command = [options.vramscope, "profile", "--model", str(options.model), "--engine", engine, "--output", str(result), "--quiet"]
    command += [*options.flag, *work(options, iterations), "--", *DUMMY, *options.engine]
    log = open(result.with_suffix(".log"), "w", encoding="utf-8")
    subprocess.run(command, env=os.environ | (environment or {}), check=True, stdout=log, stderr=log)


def pairs_of(turns):
    """(seconds with, seconds without) of each two batches that follow each other, without the warm-up."""
    turns = turns[WARMUP:]
    found = []
    for first, second in zip(turns[::2], turns[1::2]):
        on, off = (first, second) if first["profiled"] else (second, first)
        found.append((on["seconds"], off["seconds"]))
    return found


def within_one_engine(options):
    result, turns = options.out / "one-engine.json", options.out / "turns.json"
    engine = f"{sys.executable} {HERE / 'vllm_alternating.py'}"
    profile(options, engine, result, 2 * options.pairs, {"VRAMSCOPE_TURNS": str(turns)})
    return pairs_of(json.loads(turns.read_text()))


def whole_processes(options, number):
    """One pair. Which comes first alternates."""

    def alone():
        result = options.out / f"alone-{number}.json"
        command = [*PLAIN.split(), "bench", "latency", "--model", str(options.model), "--output-json", str(result)]
        log = open(result.with_suffix(".log"), "w", encoding="utf-8")
        subprocess.run([*command, *work(options, 12), *DUMMY, *options.engine], check=True, stdout=log, stderr=log)
        return statistics.median(json.loads(result.read_text())["latencies"])

    def profiled():
        result = options.out / f"profiled-{number}.json"
        profile(options, PLAIN, result, 12)
        return statistics.median(json.loads((result.with_suffix("") / "bench.json").read_text())["latencies"])

    if number % 2:
        off = alone()
        return profiled(), off
    on = profiled()
    return on, alone()


def say(name, found):
    stated = checks.ratios(found)
    seconds = statistics.median(off for _, off in found)
    print(f"| {name} | {stated['pairs']} | {seconds * 1e3:.1f} ms | {stated['median']:.5f} | {stated['q1']:.5f} to "
          f"{stated['q3']:.5f} | {stated['min']:.5f} to {stated['max']:.5f} |", flush=True)
    return stated | {"seconds": found}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vramscope")
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--pairs", type=int, default=30, help="pairs of batches within one engine")
    parser.add_argument("--processes", type=int, default=3, help="pairs of whole processes")
    parser.add_argument("--input-len", type=int, default=256)
    parser.add_argument("--output-len", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--flag", action="append", default=[], help="a flag of vramscope profile, as --flag=--gpu=0")
    words = sys.argv[1:]
    place = words.index("--") if "--" in words else len(words)
    options = parser.parse_args(words[:place])
    options.engine = words[place + 1 :]
    options.out.mkdir(parents=True, exist_ok=True)
    print("| pairs of | number | without | median ratio, with to without | quartiles | all |\n|---|---|---|---|---|---|", flush=True)
    result = {}
    if options.pairs:
        result["batches"] = say("batches within one engine", within_one_engine(options))
    if options.processes:
        result["processes"] = say("whole processes", [whole_processes(options, n) for n in range(options.processes)])
    (options.out / "profiling-cost.json").write_text(json.dumps(result, indent=1))
    return 0 if all(found["median"] <= 1.005 for found in result.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
