#!/usr/bin/env python3
"""The `vllm` command, with figures read inside the worker written to a file.

    VRAMSCOPE_TRUTH=truth.json python3 benches/gpu/vllm_with_truth.py bench latency --model ...

After the engine has started, and again when the command ends, the worker's own figures are written: bytes of the
parameters, of the KV tensors and of the captured graphs, and what its memory profiling found. The engine core runs in
this process, so that its objects can be reached.
"""

import json
import os
import sys

os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")

WORKER = ("requested_memory", "available_kv_cache_memory_bytes", "peak_activation_memory", "non_torch_memory",
          "cudagraph_memory_estimate")


def figures(worker):
    """What one worker holds now, in bytes unless the name says otherwise."""
    import torch

    runner = worker.model_runner
    storages = {}

    def add(value):
        if isinstance(value, torch.Tensor):
            storage = value.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
        elif isinstance(value, (list, tuple)):
            for part in value:
                add(part)

    add(list(getattr(runner, "kv_caches", None) or []))
    stats = torch.cuda.memory_stats()
    found = {name: getattr(worker, name, None) for name in WORKER}
    found["model_memory_usage"] = getattr(runner, "model_memory_usage", None)
    found["graphs"] = getattr(runner, "captured_graph_bytes", None)
    found["kv_tensors"] = sum(storages.values())
    found["num_gpu_blocks"] = worker.cache_config.num_gpu_blocks
    found["allocated"] = stats.get("allocated_bytes.all.current")
    found["allocated_peak"] = stats.get("allocated_bytes.all.peak")
    found["reserved"] = stats.get("reserved_bytes.all.current")
    return found


def keep_graph_bytes():
    """The runner says what capturing took, and forgets it; here it is kept. vLLM has two runners, and chooses by model."""
    from vllm.v1.worker import gpu_model_runner
    from vllm.v1.worker.gpu import model_runner

    for runner in (gpu_model_runner.GPUModelRunner, model_runner.GPUModelRunner):
        keep_what_capturing_takes(runner)


def keep_what_capturing_takes(runner):
    capture = runner.capture_model

    def capture_and_keep(self, *args, **kwargs):
        taken = capture(self, *args, **kwargs)
        self.captured_graph_bytes = taken
        return taken

    runner.capture_model = capture_and_keep


def write_after_start(path):
    """Has the figures written as soon as the engine is ready."""
    from vllm import LLM

    start = LLM.from_engine_args.__func__

    def start_and_write(cls, engine_args):
        engine = start(cls, engine_args)
        found = {"ready": engine.collective_rpc(figures)}
        with open(path, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)
        held.append(engine)
        return engine

    LLM.from_engine_args = classmethod(start_and_write)


held = []


def main():
    path = os.environ.get("VRAMSCOPE_TRUTH")
    asks = any(word.startswith("--help") or word == "--version" for word in sys.argv)
    if path and not asks:
        keep_graph_bytes()
        write_after_start(path)
    from vllm.entrypoints.cli.main import main as vllm

    vllm()
    if held:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        found["done"] = held[0].collective_rpc(figures)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)


if __name__ == "__main__":
    main()
