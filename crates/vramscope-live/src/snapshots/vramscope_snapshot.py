"""Records PyTorch's allocator in a process of an engine, and writes its snapshots where vramscope looks for them.

vramscope writes this file beside `sitecustomize.py`, which loads it, and `settings.json` into the folder of a recording. It
needs nothing but Python (3.9 or newer) and the torch that it is given, and never lets an error out: what was asked for and not
made stands in the state file of the process, `state-PID.json`, with the reason.

No thread runs before the program uses a GPU. Then the allocator's history is on from the first allocation, and one thread
looks for what is asked:

  peak  a snapshot each time that torch has reserved clearly more than at the last one and keeps it for a moment; the newest
        takes the place of the one before
  end   a snapshot as soon as the file `end` is there
  oom   a snapshot where an allocation fails, before the program hears of it

A snapshot takes the allocator's lock while C++ copies it, and Python's while it becomes an object and a file. No function of
CUDA is called for it, nor to look, so a capture of a graph is not disturbed.
"""

import atexit
import json
import os
import pickle
import shutil
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
# The time between two looks, in seconds.
STEP = 0.025
# What is reserved must stay the same for so long, in seconds: while weights are loaded it rises all the time.
SETTLED = 0.2
# A rise by less is not worth another snapshot: so much in bytes, and so large a part of what the last one had.
LEAST_RISE = 32 << 20
LEAST_SHARE = 0.01
# The next snapshot of a peak waits so many times as long as the last one took, so that they take no more than a tenth.
REST = 9
# An engine may go on after an out-of-memory, and run into the next.
MOST_OOMS = 4
# Room that is left on the disk for the rest of the recording, and what an event takes at most in a file. Unit: bytes.
ROOM = 512 << 20
EVENT_BYTES = 1024
# How long the process waits at its exit for a snapshot that is being written, in seconds.
PATIENCE = 30

hook = None


def begin(torch):
    """The program has imported torch: reads what is asked, and has it begin when a GPU is first used."""
    global hook
    with open(os.path.join(HERE, "settings.json"), encoding="utf-8") as file:
        hook = Hook(json.load(file), torch)
    hook.guarded(None, hook.wait)


def take(moment):
    """Takes a snapshot now, where it was asked for: for a program that knows by what it is run."""
    if hook is not None and hook.is_recording and hook.claim(moment):
        hook.guarded(moment, lambda: hook.take(moment))


class Hook:
    """What one process records."""

    def __init__(self, settings, torch):
        self.torch = torch
        self.moments = list(settings["moments"])
        self.entries = settings["entries"]
        self.folder = settings["folder"]
        self.begins, self.ends = settings["name"]
        self.pid = os.getpid()
        self.is_recording = False
        # One snapshot at a time, and none once the process ends.
        self.lock = threading.Lock()
        self.is_ending = False
        self.made = {}
        self.failures = []
        self.ooms = 0
        # Most bytes that torch has reserved, as far as looks saw it; how many at the last look, and since when.
        self.highest = 0
        self.level = 0
        self.since = 0.0
        self.next_peak = 0.0
        self.looks = 0
        self.looking_s = 0.0
        self.began = 0.0

    def guarded(self, moment, work):
        """Does the work; what goes wrong is written down, and is not the program's matter."""
        try:
            return work()
        except Exception as error:
            self.failed(moment, f"{type(error).__name__}: {error}")
            return None

    def failed(self, moment, why):
        # Of each moment the last: what fails again and again hides no other.
        before = next((one for one in self.failures if one["moment"] == moment), None)
        if before is None:
            before = {"moment": moment, "times": 0}
            self.failures.append(before)
        before.update(why=why[:400], times=before["times"] + 1)
        self.tell()

    def claim(self, moment):
        """Whether this moment was asked for, once: two threads may come to it."""
        try:
            self.moments.remove(moment)
        except ValueError:
            return False
        return True

    def wait(self):
        # Torch works off this queue when the program first uses a GPU, before anything is allocated.
        self.torch.cuda._lazy_call(lambda: self.guarded(None, self.start))
        self.tell()

    def start(self):
        # A process that was forked has its own number, and none of its parent's files.
        self.pid = os.getpid()
        self.torch.cuda.memory._record_memory_history(max_entries=self.entries, stacks="python")
        self.is_recording = True
        self.began = time.monotonic()
        if "oom" in self.moments:
            self.guarded("oom", self.attach)
        atexit.register(self.finish)
        self.tell()
        threading.Thread(target=self.watch, name="vramscope-snapshot", daemon=True).start()

    def attach(self):
        # What leaves this function would take the place of the engine's own error.
        def out_of_memory(*_):
            self.ooms += 1
            if self.ooms <= MOST_OOMS:
                name = "oom" if self.ooms == 1 else f"oom{self.ooms}"
                self.guarded(name, lambda: self.take(name))
            else:
                self.tell()

        self.torch._C._cuda_attach_out_of_memory_observer(out_of_memory)

    def watch(self):
        while not sys.is_finalizing():
            time.sleep(STEP)
            try:
                self.look()
            except Exception as error:
                # Of no moment alone: nobody need wait for any of them.
                self.failed(None, f"{type(error).__name__}: {error}; nothing is looked for any more")
                return

    def look(self):
        begun = time.perf_counter()
        now = time.monotonic()
        reserved = self.reserved()
        self.highest = max(self.highest, reserved)
        if reserved != self.level:
            self.level, self.since = reserved, now
        if "end" in self.moments and os.path.exists(os.path.join(HERE, "end")) and self.claim("end"):
            self.guarded("end", lambda: self.take("end"))
        elif "peak" in self.moments and self.is_peak(reserved, now):
            taken = self.guarded("peak", lambda: self.take("peak"))
            # What failed once is not tried forty times a second.
            self.next_peak = time.monotonic() + (REST * taken if taken else 10.0)
        else:
            # Snapshots have times of their own.
            self.looks += 1
            self.looking_s += time.perf_counter() - begun

    def reserved(self):
        """What torch has reserved, all devices together. Unit: bytes."""
        return sum(of_device(self.torch, device) for device in range(self.torch.cuda.device_count()))

    def is_peak(self, reserved, now):
        last = self.made.get("peak", {}).get("reserved_bytes", 0)
        rise = reserved - last
        is_worth_it = rise >= max(LEAST_RISE, LEAST_SHARE * last)
        return is_worth_it and now - self.since >= SETTLED and now >= self.next_peak

    def take(self, moment):
        """Takes a snapshot and writes it; the seconds that it took, or None where the process is ending."""
        if not self.lock.acquire(timeout=PATIENCE):
            raise TimeoutError(f"another snapshot took longer than {PATIENCE} s")
        try:
            return None if self.is_ending else self.take_alone(moment)
        finally:
            self.lock.release()

    def take_alone(self, moment):
        begun = time.perf_counter()
        free, need = shutil.disk_usage(self.folder).free, ROOM + self.entries * EVENT_BYTES
        if free < need:
            raise OSError(f"{free >> 20} MiB are free on the disk of the recording, and {need >> 20} MiB are kept free")
        snapshot = self.torch.cuda.memory._snapshot()
        copy_s = time.perf_counter() - begun
        reserved = sum(segment["total_size"] for segment in snapshot["segments"])
        events = sum(len(trace) for trace in snapshot.get("device_traces", []))
        self.highest = max(self.highest, reserved)
        self.keep(moment, snapshot, reserved, events, begun, copy_s)
        # The highest state may be that of the end, and too little above the last one to have been taken for itself.
        if moment == "end" and "peak" in self.moments and reserved > self.made.get("peak", {}).get("reserved_bytes", 0):
            self.keep("peak", snapshot, reserved, events, time.perf_counter(), 0.0)
        self.tell()
        return time.perf_counter() - begun

    def keep(self, moment, snapshot, reserved, events, begun, copy_s):
        before = self.made.get(moment, {})
        name = f"{self.begins}{self.who()}-{moment}{self.ends}"
        path, draft = (os.path.join(self.folder, name) for name in (name, f".{name}.unfinished"))
        try:
            with open(draft, "wb") as file:
                # The protocol of any Python 3.8 or newer.
                pickle.dump(snapshot, file, protocol=4)
            os.replace(draft, path)
        except BaseException:
            if os.path.exists(draft):
                os.remove(draft)
            raise
        # The rank may not have been known when the one before was written.
        if before.get("file", name) != name:
            try:
                os.remove(os.path.join(self.folder, before["file"]))
            except OSError:  # Somebody else took it away, or it stays: the new one is there.
                pass
        whole = time.perf_counter() - begun
        self.made[moment] = {
            "file": name,
            "bytes": os.path.getsize(path),
            "reserved_bytes": reserved,
            "events": events,
            "times": before.get("times", 0) + 1,
            "copy_s": before.get("copy_s", 0.0) + copy_s,
            "seconds": before.get("seconds", 0.0) + whole,
        }

    def rank(self):
        """The rank of the process in the whole engine, where anything tells it."""
        distributed = sys.modules.get("torch.distributed")
        if distributed is not None and distributed.is_available() and distributed.is_initialized():
            return int(distributed.get_rank())
        for variable in ("RANK", "LOCAL_RANK"):
            if os.environ.get(variable, "").isdecimal():
                return int(os.environ[variable])
        return None

    def who(self):
        rank = self.rank()
        return f"{self.pid}" if rank is None else f"rank{rank}-{self.pid}"

    def tell(self):
        """Writes the state of this process, all of it or nothing. Where that fails, nothing can be told."""
        try:
            self.write_state()
        except Exception:
            pass

    def write_state(self):
        self.pid = os.getpid()
        recorded = time.monotonic() - self.began if self.is_recording else None
        state = {
            "pid": self.pid,
            "rank": self.rank(),
            "recording": self.is_recording,
            "entries": self.entries,
            "made": dict(self.made),
            "failures": list(self.failures),
            "ooms": self.ooms,
            "highest_reserved_bytes": self.highest if self.is_recording else None,
            "recorded_s": recorded,
            "looks": self.looks,
            "looking_s": self.looking_s,
        }
        path = os.path.join(HERE, f"state-{self.pid}.json")
        draft = f"{path}.{threading.get_ident()}.unfinished"
        with open(draft, "w", encoding="utf-8") as file:
            json.dump(state, file)
        os.replace(draft, path)

    def finish(self):
        """The process ends: a snapshot that is being written is let come to its end, and none begins any more."""
        if self.pid == os.getpid() and self.lock.acquire(timeout=PATIENCE):
            self.is_ending = True
            self.lock.release()
            self.tell()


def of_device(torch, device):
    """What torch has reserved on this device. Unit: bytes."""
    stats = torch._C._cuda_memoryStats(device)
    return stats["reserved_bytes"]["all"]["current"]
