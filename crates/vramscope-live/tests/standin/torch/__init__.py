"""Plays the parts of torch that the hook speaks to: a process with one device, whose allocator does what a test says.

Torch's own names: `torch.cuda._lazy_call`, `memory._record_memory_history`, `memory._snapshot`, `_C._cuda_memoryStats`,
`_C._cuda_attach_out_of_memory_observer`. `use_gpu`, `reserve` and `run_out_of_memory` are the test's.
"""

import os
import sys
import types

MIB = 1 << 20
_queue, _observers = [], []
_state = {"initialized": False, "history": None, "segments": []}

_C = types.ModuleType("torch._C")
cuda = types.ModuleType("torch.cuda")
cuda.memory = types.ModuleType("torch.cuda.memory")
sys.modules.update({"torch._C": _C, "torch.cuda": cuda, "torch.cuda.memory": cuda.memory})


def _record_memory_history(enabled="all", *, max_entries, stacks):
    if os.environ.get("STANDIN_NO_HISTORY"):
        raise RuntimeError("this allocator keeps no history")
    _state["history"] = (max_entries, stacks)


def _snapshot():
    device = lambda size: {
        "device": 0,
        "address": 0,
        "total_size": size,
        "stream": 0,
        "segment_type": "large",
        "segment_pool_id": (0, 0),
        "is_expandable": False,
        "allocated_size": size,
        "active_size": size,
        "requested_size": size,
        "frames": [],
        "blocks": [{"address": 0, "size": size, "requested_size": size, "state": "active_allocated", "frames": []}],
    }
    segments = [device(size) for size in _state["segments"]]
    address = 1 << 30
    for segment in segments:
        segment["address"] = segment["blocks"][0]["address"] = address
        address += segment["total_size"]
    return {"segments": segments, "device_traces": [[]], "allocator_settings": {}}


def _lazy_call(work):
    work() if _state["initialized"] else _queue.append(work)


cuda._lazy_call = _lazy_call
cuda.device_count = lambda: 1
cuda.memory._record_memory_history = _record_memory_history
cuda.memory._snapshot = _snapshot
_C._cuda_memoryStats = lambda device: {"reserved_bytes": {"all": {"current": sum(_state["segments"])}}}
_C._cuda_attach_out_of_memory_observer = _observers.append


def use_gpu():
    for work in _queue:
        work()
    _state["initialized"] = True


def reserve(mib):
    """From here on so much is reserved, in one segment."""
    _state["segments"] = [mib * MIB]


def run_out_of_memory():
    for observer in _observers:
        observer(0, MIB, MIB, 0)
