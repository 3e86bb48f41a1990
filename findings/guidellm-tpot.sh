#!/bin/sh
# What GuideLLM calls the time per output token, where a request's first token takes long.
#
# Seen with GuideLLM 0.8.1: a server answers with 8 tokens, the first after 400 ms, each further one after 10 ms. The field
# `time_per_output_token_ms` (column TPOT of its table) is about 59 ms: the whole request, divided by all its tokens.
# `inter_token_latency_ms` (column ITL) is about 10 ms: one mean a request. `vllm bench serve` gives the name TPOT to what
# is ITL here, a request's time after its first token over its further tokens. Set beside each other by name, the two tools
# differ by a factor of six on the same answers.
#
# Prints both figures; exits with 1 if they are others. Needs python3 with pip; leaves nothing.
set -eu
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check guidellm==0.8.1
cd "$folder"
cat > server.py <<'PYTHON'
import json, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FIRST_S, GAP_S, TOKENS = 0.4, 0.01, 8

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def log_message(self, *_):
        pass

    def answer(self, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()

    def do_GET(self):
        self.answer("application/json")
        self.wfile.write(json.dumps({"object": "list", "data": [{"id": "tiny", "object": "model"}]}).encode())

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer("text/event-stream")
        begun = time.monotonic()
        for index in range(TOKENS):
            time.sleep(max(0, begun + FIRST_S + index * GAP_S - time.monotonic()))
            end = "length" if index == TOKENS - 1 else None
            self.event({"choices": [{"index": 0, "text": " a", "finish_reason": end}]})
        usage = {"prompt_tokens": 16, "completion_tokens": TOKENS, "total_tokens": 16 + TOKENS}
        self.event({"choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")

    def event(self, body):
        body = {"id": "c", "object": "text_completion", "created": 0, "model": "tiny", **body}
        self.wfile.write(b"data: " + json.dumps(body).encode() + b"\n\n")
        self.wfile.flush()

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
PYTHON
env/bin/python - <<'PYTHON'
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,;:!?'\"()-_ \n"
tokenizer = Tokenizer(models.WordLevel({"?": 0, **{letter: at + 1 for at, letter in enumerate(letters.replace("?", ""))}}, "?"))
tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="?").save_pretrained("tokenizer")
PYTHON
env/bin/python server.py > port & server=$!
while [ ! -s port ]; do sleep 0.1; done
HF_HUB_OFFLINE=1 env/bin/guidellm run \
    --backend "kind=openai_http,target=http://127.0.0.1:$(cat port),model=tiny,request_format=/v1/completions" \
    --profile kind=concurrent,streams=1 --constraint kind=max_requests,count=6 \
    --tokenizer kind=huggingface_auto,model=tokenizer \
    --data kind=synthetic_text,prompt_tokens=16,output_tokens=8 \
    --output kind=json,path=benchmarks.json --disable-console-interactive > said 2>&1 || { tail -20 said; exit 1; }
env/bin/python - <<'PYTHON'
import json, sys

metrics = json.load(open("benchmarks.json"))["benchmarks"][0]["metrics"]
first, each, gap = (
    metrics[name]["successful"]["median"]
    for name in ("time_to_first_token_ms", "time_per_output_token_ms", "inter_token_latency_ms")
)
print(f"first token {first:.1f} ms, `time_per_output_token_ms` {each:.1f}, `inter_token_latency_ms` {gap:.1f}")
# (400 + 7 x 10) / 8 = 58.75, and 10.
sys.exit(0 if 55 < each < 66 and 9 < gap < 13 else "this is not what was seen before")
PYTHON
