#!/usr/bin/env python3
"""The `vllm` command, in which the profiler that started it is stopped and goes on in turn, batch by batch.

    VRAMSCOPE_TURNS=turns.json vramscope profile --engine "python3 benches/gpu/vllm_alternating.py" ...

Each batch of `vllm bench latency` is timed. For two batches of four the profiler's process is stopped (SIGSTOP), so that
nothing of it runs: no sampler, no reading of the log. The order off, on, on, off lets a drift fall on both sides. One
engine does all of them, so that how engines differ from start to start plays no part. At the end the profiler goes on.
"""

import atexit
import json
import os
import pathlib
import signal
import sys
import time

PAUSE_S = 0.05
"""After each signal, before the batch begins: a profiler that goes on first takes the ticks that it missed."""


def profiler():
    """The process `vramscope` that this one descends from."""
    pid = os.getppid()
    while pid > 1:
        folder = pathlib.Path(f"/proc/{pid}")
        if (folder / "comm").read_text().strip() == "vramscope":
            return pid
        # The fields after the name, which may hold anything, begin behind its last bracket: state, parent, ...
        pid = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    sys.exit("no vramscope among the processes that started this one")


def take_turns(path):
    """Has every batch timed, with and without the profiler."""
    from vllm import LLM

    pid = profiler()
    generate = LLM.generate
    turns = []

    def end():
        os.kill(pid, signal.SIGCONT)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(turns, file)

    def timed(self, *args, **kwargs):
        on = len(turns) % 4 in (1, 2)
        os.kill(pid, signal.SIGCONT if on else signal.SIGSTOP)
        time.sleep(PAUSE_S)
        began = time.perf_counter()
        answer = generate(self, *args, **kwargs)
        turns.append({"profiled": on, "seconds": time.perf_counter() - began})
        return answer

    atexit.register(end)
    LLM.generate = timed


def main():
    path = os.environ.get("VRAMSCOPE_TURNS")
    asks = any(word.startswith("--help") or word == "--version" for word in sys.argv)
    if path and not asks:
        take_turns(path)
    from vllm.entrypoints.cli.main import main as vllm

    vllm()


if __name__ == "__main__":
    main()
