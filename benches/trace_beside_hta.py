#!/usr/bin/env python3
"""Whole processes beside each other: `vramscope trace` and HolisticTraceAnalysis on one trace, the same analyses.

    python benches/trace_beside_hta.py TRACE.json [--runs 3] [--vramscope target/release/vramscope] [--hta PYTHON]

PYTHON is an interpreter with HolisticTraceAnalysis (for instance of a virtual environment made with
`pip install HolisticTraceAnalysis==0.5.0 pandas==2.3.3`); without it only vramscope runs. Wall time and the largest
resident memory of each process are printed, and whether the kernel time agrees.
"""

import argparse
import json
import os
import platform
import subprocess
import tempfile
import time

HTA = r"""
import json, sys
from hta.trace_analysis import TraceAnalysis
t = TraceAnalysis(trace_files={0: sys.argv[1]}, trace_dir="")
kinds, kernels = t.get_gpu_kernel_breakdown(visualize=False)
t.get_idle_time_breakdown(visualize=False)
t.get_temporal_breakdown(visualize=False)
t.get_cuda_kernel_launch_stats(visualize=False)
t.get_comm_comp_overlap(visualize=False)
t.get_memory_bw_summary()
print(json.dumps({"kernel_time_us": float(kinds["sum"].sum())}))
"""


def timed(command, env=None):
    """Run a command; give its output, seconds and largest resident memory in MB."""
    with tempfile.TemporaryFile("w+") as out:
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL, env=env)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        out.seek(0)
        if status:
            raise SystemExit(f"{command[0]} failed: {status}")
        return out.read(), seconds, usage.ru_maxrss / 1e3


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("trace")
    ap.add_argument("--runs", type=int, default=3)
    ap.add_argument("--vramscope", default="target/release/vramscope")
    ap.add_argument("--hta", metavar="PYTHON")
    args = ap.parse_args()
    megabytes = os.path.getsize(args.trace) / 1e6
    print(f"{args.trace}: {megabytes:.0f} MB; {os.cpu_count()} CPUs, {platform.machine()}")
    best = None
    for _ in range(args.runs):
        out, seconds, rss = timed([args.vramscope, "trace", args.trace, "--format", "json"])
        print(f"vramscope  {seconds:7.2f} s  {rss:7.0f} MB  {megabytes / seconds:7.0f} MB/s")
        best = min(best or seconds, seconds)
    exact = json.loads(out)["exact"]
    print(f"  kernel time {exact['gpu_kernel_time_ns'] / 1e6:.3f} ms")
    if args.hta:
        env = dict(os.environ, HTA_DISABLE_NS_ROUNDING="1")
        out, seconds, rss = timed([args.hta, "-c", HTA, os.path.abspath(args.trace)], env)
        print(f"HTA        {seconds:7.2f} s  {rss:7.0f} MB  {megabytes / seconds:7.0f} MB/s")
        print(f"  time of its kernel types, overlaps merged: {json.loads(out.splitlines()[-1])['kernel_time_us'] / 1e3:.3f} ms")
        print(f"  {seconds / best:.0f} times slower")


if __name__ == "__main__":
    main()
