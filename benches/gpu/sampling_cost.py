#!/usr/bin/env python3
"""Measures what sampling costs and how exact it is, on a machine with an NVIDIA GPU that nothing else uses.

    benches/gpu/sampling_cost.py target/release/vramscope OUT_FOLDER [--only a,b,c,e,f,g] [--pairs 10] [--gpus 2]

Needs nvidia-smi, and a Python with torch (and nvidia-ml-py for the comparison). Takes about six minutes. Prints a
table in Markdown, and writes it with all figures into OUT_FOLDER as sampling-cost.md and sampling-cost.json; the
recordings and logs behind them stay there too. Ends with 1 if a figure is not as it is asked to be.

  a  `gpus` against nvidia-smi in the same second
  b  60 s at 10 ms beside a program that allocates and frees known amounts (d, the cost of each driver call, is its)
  c  share of a core at 100 ms and at 10 ms, and of two GPUs (--gpus N) at 100 ms
  e  a GPU-bound program with the sampler on at 100 ms and off, in pairs
  f  the share of a core of a pynvml loop and of `nvidia-smi -lms`, at 100 ms
  g  60 s at 10 ms on an idle machine
"""

import argparse
import csv
import datetime
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import checks  # noqa: E402

LOAD = str(pathlib.Path(__file__).parent / "load.py")
QUERY = "uuid,name,memory.used,memory.total,memory.reserved,power.draw.instant,temperature.gpu,utilization.gpu,clocks.mem"


class Kit:
    """The program under test, and where results go."""

    def __init__(self, vramscope, out, extra=(), python=sys.executable):
        self.vramscope, self.out, self.extra, self.python = vramscope, out, list(extra), python

    def monitor(self, interval_ms, recording, duration_s=None, gpus=1):
        """Starts a recording of the first GPUs; without a duration it ends by Ctrl-C."""
        chosen = ",".join(map(str, range(gpus)))
        command = [self.vramscope, "monitor", "--gpu", chosen, "--interval", f"{interval_ms}ms", "--format", "lines"]
        command += ["-o", str(recording), *self.extra]
        if duration_s is not None:
            command += ["--duration", f"{duration_s}s"]
        log = open(f"{recording}.log", "w", encoding="utf-8")
        return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def recorded(self, recording):
        with open(recording, encoding="utf-8") as lines:
            return checks.read_recording(lines)


def wait(process, seconds, good=(0,)):
    code = process.wait(timeout=seconds)
    if code not in good:
        raise SystemExit(f"{' '.join(map(str, process.args))} ended with {code}; see the .log beside its recording")


def interrupt(process):
    process.send_signal(signal.SIGINT)
    wait(process, 20, (0, 130))


def processor_ns(pid):
    """Processor time of all threads of a process, in nanoseconds: finer than the ticks of /proc/PID/stat."""
    total = 0
    for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
        total += int((thread / "schedstat").read_text().split()[0])
    return total


def share_while_it_runs(pid, settle_s, seconds):
    time.sleep(settle_s)
    before = (time.monotonic_ns(), processor_ns(pid))
    time.sleep(seconds)
    return checks.share_of_core(before, (time.monotonic_ns(), processor_ns(pid)))


def snapshot(kit):
    """(a) Both tools one after the other, again until they ran within one second and agree, five times at most."""
    best = None
    for attempt in range(5):
        begun = time.monotonic()
        ours = subprocess.run(
            [kit.vramscope, "gpus", "--gpu", "0", "--format", "json", *kit.extra], capture_output=True, check=True
        )
        ours = json.loads(ours.stdout)["gpus"][0]
        theirs = subprocess.run(
            ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader,nounits", "-i", ours["uuid"]],
            capture_output=True,
            check=True,
            text=True,
        )
        seconds = time.monotonic() - begun
        theirs = dict(zip(QUERY.split(","), next(csv.reader([theirs.stdout]))))
        rows = checks.compare_gpus(ours, theirs)
        best = {"attempt": attempt + 1, "seconds": seconds, "rows": rows, "agree": all(row["agrees"] for row in rows)}
        if best["agree"] and seconds < 1:
            break
    return best


def exactness(kit, seconds=60, interval_ms=10, load=None):
    """(b) A recording beside a program that logs what it holds, and (d) the cost of each driver call."""
    recording, log = kit.out / "exactness.jsonl", kit.out / "alloc.json"
    load = load or [kit.python, LOAD, "alloc", str(seconds - 5), str(log)]
    monitor = kit.monitor(interval_ms, recording, seconds + 15)
    time.sleep(1)
    subprocess.run(load, check=True, timeout=seconds + 60)
    interrupt(monitor)
    samples, cost, end, gaps = kit.recorded(recording)
    held = json.loads(log.read_text())
    level, found = checks.check_plateaus(samples, held["steps"], held["end_ns"])
    steps = checks.check_steps(samples, held["steps"], level)
    result = checks.verdict_memory(found, steps, interval_ms)
    result |= {"interval_ms": interval_ms, "base_bytes": level, "ticks": end["ticks"], "missed": end["missed"]}
    result |= {"missed_when": checks.missed_when(gaps, held["steps"], held["end_ns"])}
    result |= {"lateness": cost["lateness"], "tick": cost.get("tick_time") or cost["tick"], "calls": cost["calls"], "seconds": cost["wall_ms"] / 1e3}
    return result | {"all_plateaus": found, "all_steps": steps}


def idle(kit, seconds=60, interval_ms=10):
    """(g) A recording on a machine that does nothing else."""
    recording = kit.out / "idle.jsonl"
    monitor = kit.monitor(interval_ms, recording, seconds)
    wait(monitor, seconds + 20)
    _, stated, end, _ = kit.recorded(recording)
    return {"interval_ms": interval_ms, "ticks": end["ticks"], "missed": end["missed"], "lateness": stated["lateness"]}


def cost(kit, interval_ms, seconds=30, gpus=1):
    """(c) Share of a core: by the recording's own account, and by the kernel's while it runs."""
    # As many seconds as rare readings need to come with each device as often as they do in the long run.
    recording = kit.out / f"cost-{interval_ms}ms-{gpus}-gpus.jsonl"
    monitor = kit.monitor(interval_ms, recording, seconds + 4, gpus)
    kernel = share_while_it_runs(monitor.pid, 2, seconds)
    wait(monitor, seconds + 20)
    _, stated, end, _ = kit.recorded(recording)
    return {
        "interval_ms": interval_ms,
        "gpus": gpus,
        "own_share": stated["cpu_ms"] / stated["wall_ms"],
        "kernel_share": kernel,
        "lateness": stated["lateness"],
        "missed": end["missed"],
        "ticks": end["ticks"],
        "calls": stated["calls"],
    }


def count_gpus():
    """Two at most: what the second one adds every further one does."""
    listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=True).stdout
    return min(2, max(1, len(listed.strip().splitlines())))


def costs(kit, gpus):
    """(c) One GPU at both intervals, and where there are more of them those at 100 ms too."""
    found = [cost(kit, 100), cost(kit, 10)]
    return found + ([cost(kit, 100, gpus=gpus)] if gpus > 1 else [])


def slowdown(kit, pairs, seconds=4.0, interval_ms=100):
    """(e) The same work with and without the sampler. Which comes first alternates, so that a drift cancels."""
    worker = subprocess.Popen(
        [kit.python, LOAD, "work", str(seconds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    if worker.stdout.readline().strip() != "ready":
        raise SystemExit("the GPU-bound program did not start: does this Python have torch with CUDA?")

    def once(sampled, number):
        monitor = kit.monitor(interval_ms, kit.out / f"slowdown-{number}.jsonl") if sampled else None
        # With or without, so that the GPU rests as long.
        time.sleep(0.7)
        worker.stdin.write("go\n")
        worker.stdin.flush()
        took = float(worker.stdout.readline())
        if monitor:
            interrupt(monitor)
        else:
            time.sleep(0.1)
        return took

    once(False, 0)
    found = []
    for number in range(pairs):
        if number % 2:
            on, off = once(True, number), None
            off = once(False, number)
        else:
            off = once(False, number)
            on = once(True, number)
        found.append((on, off))
    worker.stdin.close()
    worker.wait(timeout=30)
    return checks.ratios(found) | {"interval_ms": interval_ms, "seconds": found}


def others(kit, seconds=15):
    """(f) What people use instead."""
    found = {}
    loop = subprocess.run(
        [kit.python, LOAD, "pynvml", str(seconds), "100"], capture_output=True, text=True, timeout=seconds + 60, check=False
    )
    if loop.returncode == 0:
        stated = json.loads(loop.stdout)
        late = checks.lateness_of_stamps(stated["stamps_ns"], 100_000_000)
        calls = {name: [checks.percentile(ns, 0.5) / 1e3, checks.percentile(ns, 0.99) / 1e3] for name, ns in stated["calls_ns"].items()}
        found["pynvml loop"] = {"share": stated["cpu_share"], "readings": len(late), "behind_ms": late[-1] / 1e6, "calls_us": calls}
    else:
        found["pynvml loop"] = {"why_not": loop.stderr.strip().splitlines()[-1:]}
    log = kit.out / "nvidia-smi.csv"
    with open(log, "w", encoding="utf-8") as out:
        smi = subprocess.Popen(["nvidia-smi", f"--query-gpu=timestamp,{QUERY}", "--format=csv,nounits", "-lms", "100", "-i", "0"], stdout=out)
        share = share_while_it_runs(smi.pid, 2, seconds)
        smi.terminate()
        smi.wait(timeout=20)
    stamps = []
    for row in csv.reader(log.read_text().splitlines()[1:]):
        try:
            at = datetime.datetime.strptime(row[0].strip(), "%Y/%m/%d %H:%M:%S.%f")
        except (ValueError, IndexError):
            continue
        stamps.append(int(at.timestamp() * 1e9))
    late = checks.lateness_of_stamps(stamps, 100_000_000)
    found["nvidia-smi -lms 100"] = {"share": share, "readings": len(stamps), "behind_ms": late[-1] / 1e6}
    return found


def percent(share):
    return "-" if share is None else f"{share * 100:.2f} %"


def markdown(result):
    """The tables."""
    text = [f"{result['gpu']}, driver {result['driver']}; {result['vramscope']}", ""]
    asked, rows = "| asked | found | |", []

    def row(what, found, good):
        rows.append(f"| {what} | {found} | {'yes' if good else '**no**'} |")

    if a := result.get("a"):
        wrong = [r["figure"] for r in a["rows"] if not r["agrees"]]
        found = f"{len(a['rows']) - len(wrong)} of {len(a['rows'])} figures, {a['seconds']:.2f} s apart"
        row("`gpus` agrees with `nvidia-smi` in the same second", found + (f"; not {', '.join(wrong)}" if wrong else ""), a["agree"] and a["seconds"] < 1)
    if b := result.get("b"):
        worst = "-" if b["worst_plateau_bytes"] is None else f"{b['worst_plateau_bytes'] / checks.MIB:.3f} MiB"
        row("every plateau within 2 MiB", f"{b['plateaus_within_2_mib']} of {b['plateaus']}, worst {worst}", b["plateaus_within_2_mib"] == b["plateaus"])
        late = "-" if b["worst_step_ms"] is None else f"{b['worst_step_ms']:.2f} ms"
        row(f"every step's time within one period ({b['interval_ms']} ms)", f"{b['steps_within_one_period']} of {b['steps']}, worst {late}", b["steps_within_one_period"] == b["steps"])
        row("lateness p99 under 1 ms, beside that program", f"{b['lateness']['p99_us'] / 1e3:.3f} ms", b["lateness"]["p99_us"] < 1000)
        when = ", ".join(f"{missed} while it was {place}" for place, missed in b["missed_when"].items())
        rows.append(f"| missed ticks beside that program | {b['missed']} of {b['ticks'] + b['missed']}: {when} | |")
    if g := result.get("g"):
        row(f"no missed tick in 60 s at {g['interval_ms']} ms on an idle machine", f"{g['missed']} of {g['ticks'] + g['missed']}", g["missed"] == 0)
        row("lateness p99 under 1 ms there", f"{g['lateness']['p99_us'] / 1e3:.3f} ms", g["lateness"]["p99_us"] < 1000)
    for c in result.get("c", []):
        limit = 0.01 if c["interval_ms"] >= 100 else 0.03
        share = max(c["own_share"], c["kernel_share"])
        gpus = c.get("gpus", 1)
        row(f"under {limit * 100:.0f} % of one core at {c['interval_ms']} ms" + (f", {gpus} GPUs" if gpus > 1 else ""), f"{percent(c['own_share'])} by its own account, {percent(c['kernel_share'])} by the kernel's", share < limit)
    if e := result.get("e"):
        spread = f"{e['median']:.5f} (quartiles {e['q1']:.5f} to {e['q3']:.5f}, all {e['min']:.5f} to {e['max']:.5f})"
        row(f"a GPU-bound program slower by at most 0.5 %, median of {e['pairs']} pairs", spread, e["median"] <= 1.005)
    text += [asked, "| --- | --- | --- |", *rows, ""]
    if b := result.get("b"):
        text += ["| driver call | calls | p50 us | p99 us | max us |", "| --- | --- | --- | --- | --- |"]
        text += [f"| {c['call']} | {c['count']} | {c['p50_us']:.1f} | {c['p99_us']:.1f} | {c['max_us']:.1f} |" for c in b["calls"]]
        text.append("")
    if f := result.get("f"):
        text += ["| at 100 ms | share of one core | readings | behind an even beat at the end |", "| --- | --- | --- | --- |"]
        for c in result.get("c", [])[:1]:
            text.append(f"| vramscope monitor | {percent(c['kernel_share'])} | {c['ticks']} | {c['lateness']['p50_us'] / 1e3:.1f} ms (p50 of all) |")
        for name, other in f.items():
            if why := other.get("why_not"):
                text.append(f"| {name} | not measured: {' '.join(why)} | | |")
            else:
                text.append(f"| {name} | {percent(other['share'])} | {other['readings']} | {other['behind_ms']:.1f} ms |")
        text.append("")
        if calls := f.get("pynvml loop", {}).get("calls_us"):
            text += ["| pynvml call | p50 us | p99 us |", "| --- | --- | --- |"]
            text += [f"| {name} | {p50:.1f} | {p99:.1f} |" for name, (p50, p99) in calls.items()]
            text.append("")
    return "\n".join(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vramscope")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--only", default="a,b,c,e,f,g")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--gpus", type=int, choices=range(1, 65), metavar="N", help="GPUs in part c; all, at most 2, if not given")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    kit = Kit(os.path.abspath(args.vramscope), args.out)
    smi = subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader", "-i", "0"], capture_output=True, text=True, check=True)
    gpu, driver = (part.strip() for part in smi.stdout.strip().split(","))
    version = subprocess.run([kit.vramscope, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    result = {"gpu": gpu, "driver": driver, "vramscope": version, "cores": os.cpu_count()}
    parts = {
        "a": lambda: snapshot(kit),
        "b": lambda: exactness(kit),
        "c": lambda: costs(kit, args.gpus or count_gpus()),
        "e": lambda: slowdown(kit, args.pairs),
        "f": lambda: others(kit),
        "g": lambda: idle(kit),
    }
    for part in args.only.split(","):
        print(f"measuring {part} …", file=sys.stderr, flush=True)
        result[part] = parts[part]()
        # Each part is kept at once: a later one that fails takes nothing away.
        (args.out / "sampling-cost.json").write_text(json.dumps(result, indent=1))
        (args.out / "sampling-cost.md").write_text(markdown(result))
    text = markdown(result)
    print(text)
    return 1 if "**no**" in text else 0


if __name__ == "__main__":
    sys.exit(main())
