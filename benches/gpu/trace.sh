#!/usr/bin/env bash
# Records torch-profiler traces on an NVIDIA GPU, reads them with `vramscope trace`, and compares kernels, copies and
# their times with the profiler's own table (key_averages).
#
#     benches/gpu/trace.sh OUT
#
# PYTHON (python3) has torch, and vLLM 0.13 or later for the second part; VRAMSCOPE is the command
# (target/release/vramscope). OUT gets the traces, the tables and the reports. Nothing is downloaded: the model is a
# config.json with random weights and no tokenizer. Ends with 1 if a figure differs.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: trace.sh OUT}
python=${PYTHON:-python3}
vramscope=${VRAMSCOPE:-target/release/vramscope}
mkdir -p "$out"
failed=0

export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 VLLM_NO_USAGE_STATS=1
# The engine in this process, so that its profiler can be asked for its table.
export VLLM_ENABLE_V1_MULTIPROCESSING=0 VLLM_USE_FLASHINFER_SAMPLER=${VLLM_USE_FLASHINFER_SAMPLER:-0}

check() {
  "$vramscope" trace "$out/$1" --format json --top 100000 >"$out/$2.report.json"
  "$vramscope" trace "$out/$1" >"$out/$2.report.txt"
  "$python" "$here/trace.py" compare "$out/$2.report.json" "$out/$2.table.json" || failed=1
}

"$python" "$here/trace.py" torch "$out/torch.json.gz" "$out/torch.table.json"
check torch.json.gz torch

if "$python" -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("vllm") is None)'; then
  "$python" "$here/trace.py" vllm "$out/vllm.json.gz" "$out/vllm.table.json" >"$out/vllm.log" 2>&1 ||
    { tail -20 "$out/vllm.log"; exit 1; }
  check vllm.json.gz vllm
else
  echo "no vLLM for $python: its part is left out"
fi
exit $failed
