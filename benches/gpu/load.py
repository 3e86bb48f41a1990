"""The programs that run beside the sampler: one that allocates known amounts, one that keeps the GPU busy, and the usual
`pynvml` loop. Each is started by sampling_cost.py in a process of its own.

    load.py alloc SECONDS LOG      allocates and frees, writes LOG, and ends
    load.py work SECONDS           prints "ready", then the seconds of a fixed piece of work for each line on stdin
    load.py pynvml SECONDS PERIOD_MS
"""

import json
import os
import random
import sys
import time

MIB = 1 << 20


class TorchDevice:
    """Raw cudaMalloc and cudaFree: without torch's cache each tensor is one call, and a multiple of 2 MiB is mapped as
    it is."""

    def __init__(self):
        os.environ["PYTORCH_NO_CUDA_MEMORY_CACHING"] = "1"
        import torch

        self.torch = torch
        torch.empty(2 * MIB, dtype=torch.uint8, device="cuda")
        torch.cuda.synchronize()

    def alloc(self, size):
        return self.torch.empty(size, dtype=self.torch.uint8, device="cuda")


def schedule(seed, steps):
    """Sizes in multiples of 2 MiB from 4 MiB to 6 GiB, and how long each level is held, 50 to 400 ms."""
    source = random.Random(seed)
    for _ in range(steps):
        size = 2 * MIB * round(2 ** source.uniform(1, 11.5))
        yield size, source.uniform(0.05, 0.4)


def alloc(device, seconds, log, seed=7, most=24 << 30):
    """Allocates and frees for so long; the log has each step with the clock on both sides of the call."""
    held, steps = [], []
    begun = time.time()

    def step(before, after):
        steps.append({"before_ns": before, "after_ns": after, "held_bytes": sum(size for size, _ in held)})

    # The level from which all others count, held a while.
    now = time.time_ns()
    step(now, now)
    time.sleep(1.0)
    source = random.Random(seed + 1)
    for size, hold in schedule(seed, 100_000):
        if time.time() - begun > seconds - 1:
            break
        total = sum(size for size, _ in held)
        free = held and (total + size > most or source.random() < 0.45)
        if free:
            place = source.randrange(len(held))
            before = time.time_ns()
            held[place] = None
            after = time.time_ns()
            held.pop(place)
        else:
            before = time.time_ns()
            block = device.alloc(size)
            after = time.time_ns()
            held.append((size, block))
            del block
        step(before, after)
        time.sleep(hold)
    end = time.time_ns()
    with open(log, "w", encoding="utf-8") as out:
        json.dump({"steps": steps, "end_ns": end}, out)


def work(seconds):
    """A CUDA graph of matrix products, replayed a fixed number of times; the number is chosen once."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    a = torch.randn(4096, 4096, device="cuda", dtype=torch.bfloat16)
    b = torch.randn(4096, 4096, device="cuda", dtype=torch.bfloat16) / 64
    for _ in range(3):
        a @ b
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        c = a
        for _ in range(20):
            c = c @ b

    def run(times):
        begun = time.perf_counter()
        for _ in range(times):
            graph.replay()
        torch.cuda.synchronize()
        return time.perf_counter() - begun

    # Clocks and temperature settle before the work is measured out.
    run(200)
    until = time.perf_counter() + 5
    times = 200
    while time.perf_counter() < until:
        times = max(1, round(200 * seconds / run(200)))
    print("ready", flush=True)
    for _ in sys.stdin:
        print(run(times), flush=True)


def pynvml_loop(seconds, period_ms):
    """What many write: a loop that reads and sleeps. Prints its cost as JSON."""
    import pynvml

    pynvml.nvmlInit()
    device = pynvml.nvmlDeviceGetHandleByIndex(0)
    calls = {
        "memory": lambda: pynvml.nvmlDeviceGetMemoryInfo(device),
        "power": lambda: pynvml.nvmlDeviceGetPowerUsage(device),
        "utilization": lambda: pynvml.nvmlDeviceGetUtilizationRates(device),
        "temperature": lambda: pynvml.nvmlDeviceGetTemperature(device, pynvml.NVML_TEMPERATURE_GPU),
        "sm_clock": lambda: pynvml.nvmlDeviceGetClockInfo(device, pynvml.NVML_CLOCK_SM),
        "memory_clock": lambda: pynvml.nvmlDeviceGetClockInfo(device, pynvml.NVML_CLOCK_MEM),
    }
    times = {name: [] for name in calls}
    stamps, cpu, begun = [], time.process_time(), time.perf_counter()
    while time.perf_counter() - begun < seconds:
        stamps.append(time.time_ns())
        for name, call in calls.items():
            start = time.perf_counter_ns()
            call()
            times[name].append(time.perf_counter_ns() - start)
        time.sleep(period_ms / 1000)
    share = (time.process_time() - cpu) / (time.perf_counter() - begun)
    print(json.dumps({"cpu_share": share, "stamps_ns": stamps, "calls_ns": times}))


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "alloc":
        alloc(TorchDevice(), float(rest[0]), rest[1])
    elif what == "work":
        work(float(rest[0]))
    elif what == "pynvml":
        pynvml_loop(float(rest[0]), float(rest[1]))
    else:
        sys.exit(__doc__)
