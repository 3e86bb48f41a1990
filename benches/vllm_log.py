#!/usr/bin/env python3
"""Times `vramscope log` on a large DEBUG log as a whole process, with its peak memory, beside the usual script.

    taskset -c 0 benches/vllm_log.py target/release/vramscope [MEGABYTES] [LOG]

Writes a DEBUG log of that size (default 1000) to LOG (default: a temporary file), reads it three times with the
command, and once with each of two scripts: a dozen `re.search` over the whole text, and the same line by line (on a
tenth of the log, scaled).

The log is a mix of the DEBUG lines of recorded engines (benches/data/debug-lines.txt, each as often as the engines
printed it), of the server's access log and of periodic reports. Clocks go on and every number in a line changes, so
hardly a line comes twice.
"""

import os
import random
import re
import subprocess
import sys
import tempfile
import time

START = """(EngineCore pid=2) INFO 11-22 05:15:23 [core.py:114] Initializing a V1 LLM engine (v0.25.1) with config: model='org/name', dtype=torch.bfloat16, max_seq_len=8192, tensor_parallel_size=1, quantization=None
(EngineCore pid=2) INFO 11-22 05:15:27 [model_runner.py:302] Model loading took 2.32 GiB and 1.523804 seconds
(EngineCore pid=2) INFO 11-22 05:15:43 [gpu_worker.py:538] Available KV cache memory: 125.27 GiB
(EngineCore pid=2) INFO 11-22 05:15:43 [kv_cache_utils.py:2146] GPU KV cache size: 4,104,864 tokens
(EngineCore pid=2) INFO 11-22 05:15:43 [kv_cache_utils.py:2147] Maximum concurrency for 8,192 tokens per request: 501.08x
(EngineCore pid=2) INFO 11-22 05:15:45 [model_runner.py:722] Graph capturing finished in 2 secs, took 0.45 GiB
(EngineCore pid=2) INFO 11-22 05:15:59 [core.py:337] init engine (profile, create kv cache, warmup model) took 32.89 s
"""

LINES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "debug-lines.txt")
ACCESS = '(APIServer pid=1) INFO:     127.0.0.1:50000 - "POST /v1/completions HTTP/1.1" 200 OK'
REPORT = (
    "(APIServer pid=1) INFO 11-22 06:00:00 [loggers.py:273] Engine 000: Avg prompt throughput: 888.7 tokens/s, "
    "Avg generation throughput: 284.4 tokens/s, Running: 8 reqs, Waiting: 0 reqs, GPU KV cache usage: 1.5%, "
    "Prefix cache hit rate: 0.0%"
)

PATTERNS = [
    r"Model loading took ([\d.]+) GiB",
    r"Available KV cache memory: ([\d.]+) GiB",
    r"GPU KV cache size: ([\d,]+) tokens",
    r"Maximum concurrency for ([\d,]+) tokens per request: ([\d.]+)x",
    r"Graph capturing finished in (\d+) secs, took ([\d.]+) GiB",
    r"init engine .* took ([\d.]+)",
    r"LLM engine \(v([^)]+)\)",
    r"# GPU blocks: (\d+)",
    r"model weights take ([\d.]+)GiB",
    r"PyTorch activation peak memory takes ([\d.]+)GiB",
    r"non_torch_memory takes ([\d.]+)GiB",
    r"CUDA out of memory",
]


def template(line):
    """The line as a %-format of its clock and its numbers, and how many digits each number has."""
    clock = re.search(r"\d\d-\d\d \d\d:\d\d:\d\d", line)
    before, after = (line[: clock.start()], line[clock.end() :]) if clock else ("", line)
    place = after.find("] ") + 2 if clock else 0
    source, message = after[:place], after[place:]
    digits = [len(number) for number in re.findall(r"\d+", message)]
    message = re.sub(r"\d+", "%d", message.replace("%", "%%"))
    lead = before.replace("%", "%%") + ("%s" if clock else "%.0s") + source.replace("%", "%%")
    return lead + message + "\n", digits


def write(path, megabytes):
    known = [line.rstrip("\n").split("\t", 1) for line in open(LINES, encoding="utf-8")]
    # The access log and a report, as often as beside these lines.
    known += [["300", ACCESS], ["2", REPORT]]
    weights = [int(count) for count, _ in known]
    templates = [template(line) for _, line in known]
    numbers = random.Random(1)
    seconds = 0
    with open(path, "wb") as log:
        log.write(START.encode())
        while log.tell() < megabytes * 1_000_000:
            seconds += 1
            clock = f"11-{22 + seconds // 86400:02} {seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
            block = []
            for text, digits in numbers.choices(templates, weights, k=400):
                seed = numbers.getrandbits(62)
                block.append(text % (clock, *[(seed >> place) % 10**count for place, count in enumerate(digits)]))
            log.write("".join(block).encode())
    return os.path.getsize(path)


def command(program, path):
    begun = time.perf_counter()
    child = subprocess.Popen([program, "log", "--format", "json", path], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, child.returncode
    processor = usage.ru_utime + usage.ru_stime
    return time.perf_counter() - begun, processor, usage.ru_maxrss / 1024


def whole_text(path):
    begun = time.perf_counter()
    with open(path, encoding="utf-8", errors="replace") as log:
        text = log.read()
    for pattern in PATTERNS:
        re.search(pattern, text)
    return time.perf_counter() - begun


def line_by_line(path, bytes_to_read):
    compiled = [re.compile(pattern) for pattern in PATTERNS]
    begun = time.perf_counter()
    read = 0
    with open(path, encoding="utf-8", errors="replace") as log:
        for line in log:
            for pattern in compiled:
                pattern.search(line)
            read += len(line)
            if read > bytes_to_read:
                break
    return (time.perf_counter() - begun) / read


def main():
    program = sys.argv[1]
    megabytes = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    with tempfile.TemporaryDirectory() as folder:
        path = sys.argv[3] if len(sys.argv) > 3 else os.path.join(folder, "debug.log")
        size = write(path, megabytes)
        runs = [command(program, path) for _ in range(3)]
        wall, processor, memory = min(runs)
        print(f"log                  {size / 1e6:8.0f} MB")
        print(f"vramscope log        {wall:8.2f} s  {size / 1e9 / wall:6.2f} GB/s, {processor:.2f} s of processor "
              f"({size / 1e9 / processor:.2f} GB/s), {max(run[2] for run in runs):.1f} MiB at most")
        per_byte = line_by_line(path, size // 10)
        print(f"re.search, by line   {per_byte * size:8.2f} s  {1 / per_byte / 1e9:6.3f} GB/s, {per_byte * size / wall:.0f} times as long (scaled)")
        text = whole_text(path)
        print(f"re.search, whole     {text:8.2f} s  {size / 1e9 / text:6.3f} GB/s, {text / wall:.0f} times as long, the whole log in memory")


if __name__ == "__main__":
    main()
