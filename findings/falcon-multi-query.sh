#!/bin/sh
# Estimators of KV caches read Falcon-7B as if it had 71 heads of keys and values. It has one.
#
# Falcon's first models share one head of keys and values among all query heads. Their config says so with `multi_query:
# true` (while `new_decoder_architecture` is not set) and has no `num_key_value_heads`; a config that transformers saved
# states `num_kv_heads: 71` beside it, which is the number of query heads and is not looked at where `multi_query` holds.
# transformers 5.19.0's own class takes 1 in that case, as its source says. kvfit 0.3.0 knows of no such key: it calls the
# model "standard-mha", names no doubt, and gives a request of 2,048 tokens 1,191,182,336 bytes, 71 times of what its heads
# hold (16,777,216).
#
# Prints what the class says and what kvfit says; exits with 1 if they are others. Needs python3 with pip; leaves nothing.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check kvfit==0.3.0 transformers==5.19.0
cd "$folder"
cat > ask.py <<'PYTHON'
import contextlib, io, json, pathlib, re, sys

import transformers
from kvfit import cli, hf

LAYERS, HEADS, WIDTH, TOKENS = 32, 71, 4544, 2048
config = {
    "architectures": ["FalconForCausalLM"], "model_type": "falcon", "hidden_size": WIDTH, "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS, "multi_query": True, "new_decoder_architecture": False, "parallel_attn": True,
    "bias": False, "alibi": False, "vocab_size": 65024, "torch_dtype": "bfloat16", "max_position_embeddings": 2048,
}
source = pathlib.Path(transformers.__file__).parent / "models/falcon/modeling_falcon.py"
rule = re.search(r"self\.num_kv_heads = (.+)", source.read_text()).group(1)
one = type("Config", (), {**config, "num_kv_heads": HEADS})()
heads = eval(rule, {}, {"config": one, "self": one})
true = 2 * LAYERS * TOKENS * heads * (WIDTH // HEADS) * 2

# What its command line would fetch from a hub.
hf._fetch_json = lambda url, **_: config if url.endswith("config.json") else {
    "sha": "0" * 40, "siblings": [{"rfilename": "config.json", "size": 0}]}
said = io.StringIO()
with contextlib.redirect_stdout(said):
    cli.main(["local/falcon", "--hardware", "h200", "--gpus", "1", "--context", str(TOKENS), "--kv-dtype", "auto",
              "--weight-gib", "1", "--json"])
cache = json.loads(said.getvalue())["cache"]
print(f"class: {heads} head of keys and values, {true} bytes for {TOKENS} tokens")
print(f"kvfit: {cache['architecture']}, {cache['kv_parallel_heads']} heads, {cache['bytes_per_sequence']:.0f} bytes,",
      f"notes {cache['notes']}")
sys.exit(not (heads == 1 and cache["bytes_per_sequence"] == 71 * true and cache["notes"] == []))
PYTHON
env/bin/python ask.py
