"""Times the reading of a large allocator snapshot against `pickle.load` and a walk in Python, in turn, in one run.

usage: snapshot.py RECORDED.pickle.gz COPIES PROGRAM [REPEATS]

The large file is made out of a recorded one: what began and ended in its history comes COPIES times over, each event, list
of frames and text an object of its own, as torch writes them. PROGRAM is `target/release/vramscope`."""
import gzip, json, os, pickle, subprocess, sys, tempfile, time


def make(recorded, copies, out):
    data = pickle.load(gzip.open(recorded))
    trace = data["device_traces"][0]
    began, whole = {}, set()
    for number, event in enumerate(trace):
        if event["action"] == "alloc":
            began[event["addr"]] = number
        elif event["action"] == "free_requested" and event["addr"] in began:
            whole.add(number)
        elif event["action"] == "free_completed" and event["addr"] in began:
            whole |= {began.pop(event["addr"]), number}
    part = [event for number, event in enumerate(trace) if number in whole]
    span = trace[-1]["time_us"] - trace[0]["time_us"] + 1000
    long = [
        dict(event, time_us=event["time_us"] - back * span, frames=list(event["frames"]), compile_context="".join(["N", "/A"]))
        for back in range(copies, 0, -1)
        for event in part
    ]
    data["device_traces"][0] = long + trace
    with open(out, "wb") as file:
        pickle.dump(data, file, protocol=4)
    return len(long) + len(trace)


def walk(path):
    """What a script does to learn a part of what the command says."""
    with open(path, "rb") as file:
        data = pickle.load(file)
    holders, active, live, peak = {}, 0, 0, 0
    for segment in data["segments"]:
        for block in segment["blocks"]:
            if block["state"] != "inactive":
                stack = tuple((frame["filename"], frame["line"]) for frame in block["frames"])
                holders[stack] = holders.get(stack, 0) + block["size"]
                active += block["size"]
    for trace in data["device_traces"]:
        for event in trace:
            if event["action"] == "alloc":
                live += event["size"]
                peak = max(peak, live)
            elif event["action"] == "free_completed":
                live -= event["size"]
    return active


def measured(command):
    """Seconds, MiB at most, and what was printed."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command} failed")
    return time.monotonic() - began, usage.ru_maxrss / 1024, said


def main():
    if sys.argv[1] == "--walk":
        print(walk(sys.argv[2]))
        return
    recorded, copies, program = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "large.pickle")
        maker = [sys.executable, "-c", f"import sys; sys.path.insert(0, {os.path.dirname(os.path.abspath(__file__))!r}); import snapshot; print(snapshot.make({recorded!r}, {copies}, {path!r}))"]
        print(f"{int(measured(maker)[2])} events, {os.path.getsize(path) / 1e9:.2f} GB")
        for _ in range(int(sys.argv[4]) if len(sys.argv) > 4 else 3):
            ours = measured([program, "snapshot", path, "--format", "json"])
            python = measured([sys.executable, os.path.abspath(__file__), "--walk", path])
            assert json.loads(ours[2])["totals"]["active_bytes"] == int(python[2])
            print(f"{ours[0]:.2f} s and {ours[1]:.0f} MiB, Python {python[0]:.2f} s and {python[1]:.0f} MiB: "
                  f"{python[0] / ours[0]:.1f} times the speed, 1/{python[1] / ours[1]:.0f} of the memory")


if __name__ == "__main__":
    main()
