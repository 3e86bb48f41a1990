#!/usr/bin/env python3
"""Records traces with the profiler's own table beside them, and compares a report of `vramscope trace` with that table.

    trace.py torch TRACE.json.gz TABLE.json      matrix products, attention, copies, two streams, a CUDA graph
    trace.py vllm TRACE.json.gz TABLE.json       one prefill and 16 decode steps of a Llama with random weights
    trace.py compare REPORT.json TABLE.json      ends with 1 if a count or a time differs
"""

import gzip
import json
import os
import shutil
import sys
import tempfile

# architecture values of Llama-3.2-1B; nothing else of a model is needed
LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 2048, "intermediate_size": 8192,
    "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 128256,
    "max_position_embeddings": 131072, "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "tie_word_embeddings": True,
    "dtype": "bfloat16", "torch_dtype": "bfloat16", "hidden_act": "silu", "attention_bias": False, "bos_token_id": 128000,
    "eos_token_id": 128001,
}


def table(profile):
    """Count and microseconds of everything that the profiler says a device did, by name."""
    from torch.autograd import DeviceType

    rows = {}
    for event in profile.key_averages():
        if event.device_type == DeviceType.CPU:
            continue
        microseconds = getattr(event, "self_device_time_total", None)
        if microseconds is None:
            microseconds = event.self_cuda_time_total
        row = rows.setdefault(event.key, {"count": 0, "us": 0.0, "annotation": False})
        row["count"] += event.count
        row["us"] += microseconds
        row["annotation"] |= bool(getattr(event, "is_user_annotation", False))
    return rows


def record_torch(trace, rows):
    import torch
    import torch.nn.functional as F
    from torch.profiler import ProfilerActivity, profile, record_function

    if not torch.cuda.is_available():
        sys.exit("no GPU that torch can use")
    x = torch.randn(1024, 2048, device="cuda", dtype=torch.bfloat16)
    w = torch.randn(2048, 2048, device="cuda", dtype=torch.bfloat16)
    q = torch.randn(4, 16, 512, 64, device="cuda", dtype=torch.bfloat16)
    host = torch.empty(1 << 22, pin_memory=True)
    side = torch.cuda.Stream()

    def step():
        y = F.layer_norm(F.silu(x @ w), (2048,))
        z = F.scaled_dot_product_attention(q, q, q, is_causal=True)
        return y.sum() + z.sum()

    step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA], record_shapes=True) as profiler:
        for n in range(20):
            with record_function(f"round {n}"):
                step()
                with torch.cuda.stream(side):
                    there = host.to("cuda", non_blocking=True)
                    there.zero_()
                    host.copy_(there, non_blocking=True)
                graph.replay()
        captured.item()
        torch.cuda.synchronize()
    with tempfile.TemporaryDirectory() as folder:
        plain = os.path.join(folder, "trace.json")
        profiler.export_chrome_trace(plain)
        with open(plain, "rb") as source, gzip.open(trace, "wb", compresslevel=3) as packed:
            shutil.copyfileobj(source, packed)
    with open(rows, "w", encoding="utf-8") as out:
        json.dump(table(profiler), out)


def record_vllm(trace, rows):
    import torch

    profiles = []
    stop = torch.profiler.profile.stop

    def stop_and_keep(self):
        stop(self)
        profiles.append(self)

    torch.profiler.profile.stop = stop_and_keep
    from vllm import LLM, SamplingParams

    with tempfile.TemporaryDirectory() as folder:
        model, traces = os.path.join(folder, "model"), os.path.join(folder, "traces")
        os.mkdir(model)
        with open(os.path.join(model, "config.json"), "w", encoding="utf-8") as out:
            json.dump(LLAMA, out)
        on_gpu = torch.cuda.is_available()
        # Graphs without the compiler: they take seconds to capture, the compiler a minute.
        graphs = {"mode": 0, "cudagraph_mode": "FULL_DECODE_ONLY", "cudagraph_capture_sizes": [8]} if on_gpu else {"mode": 0}
        llm = LLM(
            model=model, load_format="dummy", skip_tokenizer_init=True, max_model_len=2048, max_num_seqs=8,
            gpu_memory_utilization=0.5,
            enable_prefix_caching=False, enforce_eager=not on_gpu, compilation_config=graphs,
            profiler_config={"profiler": "torch", "torch_profiler_dir": traces, "torch_profiler_with_stack": False},
        )
        ask = SamplingParams(max_tokens=17, ignore_eos=True, detokenize=False)
        prompts = [{"prompt_token_ids": [n + 1] * 256} for n in range(8)]
        llm.generate(prompts, ask)
        llm.start_profile()
        llm.generate(prompts, ask)
        llm.stop_profile()
        # The front end's own profiler sees no GPU; the worker's file is the largest.
        found = [os.path.join(traces, name) for name in os.listdir(traces) if ".json" in name]
        worker = max(found, key=os.path.getsize)
        shutil.copyfile(worker, trace)
    merged = {}
    for profile in profiles:
        for name, row in table(profile).items():
            merged[name] = row
    with open(rows, "w", encoding="utf-8") as out:
        json.dump(merged, out)


def compare(report, rows):
    with open(report, encoding="utf-8") as text:
        document = json.load(text)
    with open(rows, encoding="utf-8") as text:
        known = json.load(text)
    ours = {kernel["name"]: (kernel["count"], kernel["total_ns"]) for kernel in document["kernels"]}
    for copy in document["copies"]:
        kinds = f" ({copy['kinds']})" if copy.get("kinds") else ""
        ours[copy["operation"] + kinds] = (copy["count"], copy["total_ns"])
    theirs = {name: row for name, row in known.items() if not row["annotation"]}
    wrong = [f"only in the profiler's table: {name}" for name in theirs if name not in ours]
    wrong += [f"only in the report: {name}" for name in ours if name not in theirs]
    widest = 0.0
    for name in ours.keys() & theirs.keys():
        (count, ns), row = ours[name], theirs[name]
        # The table rounds nothing, but adds floating-point microseconds.
        apart = abs(ns - row["us"] * 1000)
        widest = max(widest, apart)
        if count != row["count"] or apart > 1 + ns * 1e-6:
            wrong.append(f"{name}: {count} times, {ns} ns; the table says {row['count']} times, {row['us'] * 1000:.0f} ns")
    exact = document["exact"]
    print(
        f"{document['file']['name']}: {exact['events']} events, {exact['gpu_kernel_count']} kernels of "
        f"{exact['gpu_kernel_unique']} names in {exact['gpu_kernel_time_ns'] / 1e6:.3f} ms, "
        f"{exact['kernels_with_launch']} with a launch, {document['graphs']['kernels']} from graphs; "
        f"{len(theirs)} names compared, {widest:.1f} ns apart at most; verdict {document['verdict']['bound']}"
    )
    for line in wrong[:20]:
        print("  " + line)
    if not theirs or wrong:
        sys.exit(f"  {len(wrong)} of {len(theirs)} differ")


def main():
    actions = {"torch": record_torch, "vllm": record_vllm, "compare": compare}
    if len(sys.argv) != 4 or sys.argv[1] not in actions:
        sys.exit(__doc__)
    actions[sys.argv[1]](sys.argv[2], sys.argv[3])


if __name__ == "__main__":
    main()
