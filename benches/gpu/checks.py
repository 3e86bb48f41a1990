"""What the measurement decides from its figures. Nothing here touches a GPU or starts a program."""

MIB = 1 << 20
NS = 1_000_000_000


def percentile(values, share):
    """Linear between order statistics (type 7)."""
    values = sorted(values)
    if not values:
        return None
    place = (len(values) - 1) * share
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)


def read_recording(lines):
    """The samples of the first device as (ns, bytes), the last cost line, the end line and the gaps of missed ticks as
    (from ns, to ns, ticks) of a recording in JSON lines."""
    import json

    samples, cost, end, gaps = [], None, None, []
    header = json.loads(next(lines))
    device = header["devices"][0]["gpu_index"]
    for text in lines:
        line = json.loads(text)
        if line["t"] == "sample" and line["gpu_index"] == device:
            samples.append((line["timestamp_ns"], line["used_bytes"]))
        elif line["t"] == "gap" and line["cause"] == "missed_ticks":
            gaps.append((line["timestamp_ns"], line["end_ns"], line["missed"]))
        elif line["t"] == "cost":
            cost = line
        elif line["t"] == "end":
            end = line
    return samples, cost, end, gaps


def missed_when(gaps, steps, end_ns):
    """Missed ticks while the program beside was starting, while it allocated and freed, and while it ended."""
    when = {"starting": 0, "at work": 0, "ending": 0}
    for start, _, missed in gaps:
        place = "starting" if start < steps[0]["before_ns"] else "at work" if start < end_ns else "ending"
        when[place] += missed
    return when


def plateaus(steps, end_ns):
    """The times in which nothing was allocated or freed: (from, to, bytes held by the program).

    A step is a dict with `before_ns`, `after_ns` and `held_bytes` after it.
    """
    spans = []
    for step, following in zip(steps, steps[1:] + [{"before_ns": end_ns}]):
        spans.append((step["after_ns"], following["before_ns"], step["held_bytes"]))
    return spans


def check_plateaus(samples, steps, end_ns, guard_ns=1_000_000):
    """Every sample of every plateau against what the program held then, over the level before its first step.

    `guard_ns` at both ends of a plateau leaves out samples whose reading overlaps a step: a sample's time is the middle
    of its reading. The first step is the level from which others count.
    """
    base_span = plateaus(steps, end_ns)[0]
    base = [used for at, used in samples if base_span[0] + guard_ns <= at <= base_span[1] - guard_ns]
    if not base:
        raise ValueError("no sample lies before the first allocation: did the recording begin too late?")
    level = percentile(base, 0.5) - base_span[2]
    found = []
    for start, stop, held in plateaus(steps, end_ns):
        inside = [used for at, used in samples if start + guard_ns <= at <= stop - guard_ns]
        errors = [used - level - held for used in inside]
        worst = max(errors, key=abs) if errors else None
        found.append({"from_ns": start, "seconds": (stop - start) / NS, "held_bytes": held, "samples": len(inside), "worst_bytes": worst})
    return level, found


def check_steps(samples, steps, level, tolerance=2 * MIB):
    """When the recording shows each step: the middle between the last sample of the old level and the first of the new
    one, less the middle of the step itself."""
    found = []
    for before, step in zip(steps, steps[1:]):
        old, new = level + before["held_bytes"], level + step["held_bytes"]
        near = [s for s in samples if before["after_ns"] <= s[0] <= step["after_ns"] + NS]
        last_old = max((at for at, used in near if at <= step["after_ns"] and abs(used - old) <= tolerance), default=None)
        first_new = min((at for at, used in near if at >= step["before_ns"] and abs(used - new) <= tolerance), default=None)
        error = None
        if last_old is not None and first_new is not None and last_old < first_new:
            error = ((last_old + first_new) - (step["before_ns"] + step["after_ns"])) / 2
        found.append({"bytes": step["held_bytes"] - before["held_bytes"], "error_ms": None if error is None else error / 1e6})
    return found


def verdict_memory(found_plateaus, found_steps, period_ms, tolerance=2 * MIB):
    """The figures that stand in the table."""
    seen = [p for p in found_plateaus if p["samples"]]
    step_errors = [abs(s["error_ms"]) for s in found_steps if s["error_ms"] is not None]
    worst = max((abs(p["worst_bytes"]) for p in seen), default=None)
    return {
        "plateaus": len(found_plateaus),
        "plateaus_seen": len(seen),
        "plateaus_within_2_mib": sum(abs(p["worst_bytes"]) <= tolerance for p in seen),
        "worst_plateau_bytes": worst,
        "steps": len(found_steps),
        "steps_seen": len(step_errors),
        "steps_within_one_period": sum(error <= period_ms for error in step_errors),
        "worst_step_ms": max(step_errors, default=None),
    }


def compare_gpus(ours, theirs):
    """One device of `vramscope gpus` against nvidia-smi's row: (figure, ours, theirs, agrees).

    nvidia-smi prints whole MiB, and what moves by itself may move between two readings within one second.
    """
    rows = []

    def row(name, a, b, slack):
        agrees = a == b if slack is None or a is None or b is None else abs(a - b) <= slack
        rows.append({"figure": name, "vramscope": a, "nvidia_smi": b, "agrees": agrees})

    def number(text):
        text = text.strip()
        return None if text.startswith("[") or text in ("", "N/A") else float(text)

    def mib(key):
        return None if ours.get(key) is None else ours[key] / MIB

    row("uuid", ours.get("uuid"), theirs["uuid"].strip(), None)
    row("name", ours.get("name"), theirs["name"].strip(), None)
    row("memory used MiB", mib("mem_used_bytes"), number(theirs["memory.used"]), 1)
    row("memory total MiB", mib("mem_total_bytes"), number(theirs["memory.total"]), 1)
    row("memory reserved MiB", mib("mem_reserved_bytes"), number(theirs["memory.reserved"]), 1)
    power = number(theirs["power.draw.instant"])
    row("instant power W", ours.get("instant_power_w"), power, max(5.0, 0.1 * (power or 0)))
    row("temperature C", (ours.get("temps_c") or {}).get("gpu"), number(theirs["temperature.gpu"]), 1)
    row("utilisation %", ours.get("util_gpu_pct"), number(theirs["utilization.gpu"]), 5)
    row("memory clock MHz", (ours.get("clocks_mhz") or {}).get("mem"), number(theirs["clocks.mem"]), 0)
    return rows


def ratios(pairs):
    """Pairs of (seconds with, seconds without): the median ratio with its quartiles and extremes."""
    all_ratios = [on / off for on, off in pairs]
    return {
        "pairs": len(pairs),
        "median": percentile(all_ratios, 0.5),
        "q1": percentile(all_ratios, 0.25),
        "q3": percentile(all_ratios, 0.75),
        "min": min(all_ratios),
        "max": max(all_ratios),
    }


def share_of_core(before, after):
    """Processor time per time, from two (wall ns, processor ns)."""
    return (after[1] - before[1]) / (after[0] - before[0])


def lateness_of_stamps(stamps_ns, period_ns):
    """How far each time lies behind an even beat that begins with the first one and never runs ahead of it."""
    late, start = [], stamps_ns[0]
    for n, at in enumerate(stamps_ns):
        start = min(start, at - n * period_ns)
    for n, at in enumerate(stamps_ns):
        late.append(at - n * period_ns - start)
    return late
