"""Set load generators beside each other against one server that knows the truth.

    python3 xtask/load_beside.py --standin BIN --vramscope BIN --vllm VENV --peers VENV [--only CELL,…] [--clients NAME,…]

BIN are standin-openai and vramscope, built with --release; VENV of --vllm has `vllm bench serve`, that of --peers AIPerf and
GuideLLM (`pip install aiperf guidellm`). Each client sends the same number of requests, in the same number in flight or at
the same rate, for the same lengths, to a stand-in of its own that answers on a fixed schedule and notes when each request
came and each write began. What is printed is what a client reports less what was true of its own requests, its CPU time and
its largest resident size with all its processes, as Markdown. The stand-in has real-time priority where the system allows
it; the clients have none.

CPU a chunk is what a cell took beyond the same client's cell of one request in flight, over the chunks.
"""
import argparse, json, os, resource, shutil, statistics, subprocess, sys, tempfile, time, urllib.request
from pathlib import Path

INPUT, OUTPUT = 128, 64
STEADY = {"ttft_ms": [50.0], "gap_ms": [20.0]}
CELLS = {
    "1 in flight": (dict(concurrency=1, requests=12), STEADY),
    "8 in flight": (dict(concurrency=8, requests=64), STEADY),
    "64 in flight": (dict(concurrency=64, requests=256), STEADY),
    "512 in flight": (dict(concurrency=512, requests=1536), STEADY),
    "512, 8 chunks a write": (dict(concurrency=512, requests=1536, output=512), {"ttft_ms": [50.0], "gap_ms": [20.0], "chunks_per_write": 8}),
    "2,000 in flight": (dict(concurrency=2000, requests=4000), STEADY),
    "64, uneven": (dict(concurrency=64, requests=256), {"ttft_ms": [20.0 + 10 * i for i in range(16)], "gap_ms": [20.0] * 15 + [200.0]}),
    "Poisson 30/s": (dict(rate=30, requests=300), STEADY),
    "20/s, a stall of 2 s": (dict(rate=20, requests=200, burstiness="inf"), {**STEADY, "stall": {"after_ms": 4000.0, "for_ms": 2000.0}}),
    "64, 429 and errors": (dict(concurrency=16, requests=64), {**STEADY, "fail": [{"every": 7, "how": {"status": 429}}, {"every": 5, "how": "in_stream"}]}),
}
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,;:!?'\"()-_ \n"
TOKENIZER = f"""
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
letters = {LETTERS!r}
words = {{"?": 0, **{{letter: at + 1 for at, letter in enumerate(letters.replace("?", ""))}}}}
tokenizer = Tokenizer(models.WordLevel(words, "?"))
tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="?").save_pretrained("tokenizer")
"""


def get(url, post=False):
    request = urllib.request.Request(url, data=b"" if post else None, method="POST" if post else "GET")
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30).read()


class Standin:
    def __init__(self, binary, script, folder):
        (folder / "script.json").write_text(json.dumps(script))
        self.process = subprocess.Popen([binary, "--script", folder / "script.json"], stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()

    def truth(self, last):
        told = json.loads(get(self.url + "/standin/truth"))
        self.real_time = told["real_time"]
        return told["requests"][-last:]

    def end(self):
        self.process.kill()
        self.process.wait()


def vramscope(a, cell, url, folder):
    level = ["--concurrency", cell["concurrency"]] if "concurrency" in cell else ["--rate", cell["rate"]]
    level += ["--burstiness", cell["burstiness"]] if "burstiness" in cell else []
    yield [a.vramscope, "load", url, *level, "--num-prompts", cell["requests"], "--input-len", INPUT, "--output-len", cell.get("output", OUTPUT), "--max-failed", 10**6, "-o", folder / "load.json"]
    level = json.loads((folder / "load.json").read_text())["levels"][0]
    ttft, e2e, counts = level["ttft"], level["e2e"], level["requests"]
    yield dict(ttft=(ttft["p50_ms"], ttft["p99_ms"]), e2e=(e2e["p50_ms"], e2e["p99_ms"]), ok=counts["completed"], failed=counts["failed"])


def vllm(a, cell, url, folder):
    level = ["--max-concurrency", cell["concurrency"]] if "concurrency" in cell else ["--request-rate", cell["rate"]]
    level += ["--burstiness", 1e6] if "burstiness" in cell else []
    yield [a.vllm / "bin/python", a.vllm / "bin/vllm", "bench", "serve", "--backend", "openai", "--base-url", url, "--model", "standin", "--tokenizer", folder / "tokenizer", "--dataset-name", "random", "--random-input-len", INPUT, "--random-output-len", cell.get("output", OUTPUT), "--num-prompts", cell["requests"], *level, "--num-warmups", min(cell.get("concurrency", 8), 64), "--ignore-eos", "--save-result", "--result-dir", folder, "--result-filename", "vllm.json", "--percentile-metrics", "ttft,tpot,itl,e2el", "--metric-percentiles", "50,99", "--disable-tqdm"]
    told = json.loads((folder / "vllm.json").read_text())
    yield dict(ttft=(told["p50_ttft_ms"], told["p99_ttft_ms"]), e2e=(told["p50_e2el_ms"], told["p99_e2el_ms"]), ok=told["completed"], failed=told.get("failed", cell["requests"] - told["completed"]))


def aiperf(a, cell, url, folder):
    level = ["--concurrency", cell["concurrency"]] if "concurrency" in cell else ["--request-rate", cell["rate"]]
    level += ["--request-rate-mode", "constant" if "burstiness" in cell else "poisson"] if "rate" in cell else []
    # Told to stay offline, AIPerf 0.13 takes the folder of a tokenizer for the name of one on a hub.
    yield ["env", "-u", "HF_HUB_OFFLINE", "-u", "TRANSFORMERS_OFFLINE", a.peers / "bin/aiperf", "profile", "-m", "standin", "--url", url, "--endpoint-type", "completions", "--streaming", *level, "--request-count", cell["requests"], "--warmup-request-count", min(cell.get("concurrency", 8), 64), "--synthetic-input-tokens-mean", INPUT, "--synthetic-input-tokens-stddev", 0, "--output-tokens-mean", cell.get("output", OUTPUT), "--extra-inputs", "ignore_eos:true", "--use-server-token-count", "--tokenizer", folder / "tokenizer", "--artifact-dir", folder / "aiperf", "--ui", "none"]
    told = json.loads(next((folder / "aiperf").rglob("profile_export_aiperf.json")).read_text())
    ttft, e2e = told["time_to_first_token"], told["request_latency"]
    failed = told.get("error_request_count", {}).get("avg", 0)
    yield dict(ttft=(ttft["p50"], ttft["p99"]), e2e=(e2e["p50"], e2e["p99"]), ok=int(told["request_count"]["avg"]), failed=int(failed))


def guidellm(a, cell, url, folder):
    profile = f"kind=concurrent,streams={cell['concurrency']}" if "concurrency" in cell else f"kind={'constant' if 'burstiness' in cell else 'poisson'},rate={cell['rate']}"
    yield [a.peers / "bin/guidellm", "run", "--backend", f"kind=openai_http,target={url},model=standin,request_format=/v1/completions", "--profile", profile, "--constraint", f"kind=max_requests,count={cell['requests']}", "--tokenizer", f"kind=huggingface_auto,model={folder / 'tokenizer'}", "--data", f"kind=synthetic_text,prompt_tokens={INPUT},output_tokens={cell.get('output', OUTPUT)}", "--output", f"kind=json,path={folder / 'guidellm.json'}", "--disable-console-interactive"]
    told = json.loads((folder / "guidellm.json").read_text())["benchmarks"][0]["metrics"]
    ttft, e2e = (told[name]["successful"]["percentiles"] for name in ("time_to_first_token_ms", "request_latency"))
    totals = told["request_totals"]
    yield dict(ttft=(ttft["p50"], ttft["p99"]), e2e=(1e3 * e2e["p50"], 1e3 * e2e["p99"]), ok=totals["successful"], failed=totals["errored"])


CLIENTS = {"vramscope load": vramscope, "vllm bench serve": vllm, "AIPerf": aiperf, "GuideLLM": guidellm}


def run(command, folder, timeout):
    """Runs a client in a process of its own that waits for it, so that all its processes are counted."""
    counted = "import resource, subprocess, sys; c = subprocess.run(sys.argv[1:]).returncode; u = resource.getrusage(resource.RUSAGE_CHILDREN); print(u.ru_utime + u.ru_stime, u.ru_maxrss, c, file=open('usage', 'w'))"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "NO_PROXY": "*", "VLLM_NO_USAGE_STATS": "1"}
    with open(folder / "said", "w") as said:
        subprocess.run([sys.executable, "-c", counted, *map(str, command)], cwd=folder, env=environment, stdout=said, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=timeout)
    cpu, rss, code = (folder / "usage").read_text().split()
    return float(cpu), int(rss) / 1024, int(code)


def percentile(values, share):
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("standin", "vramscope"):
        parser.add_argument(f"--{name}", required=True, type=lambda text: Path(text).resolve())
    for name in ("vllm", "peers"):
        parser.add_argument(f"--{name}", type=lambda text: Path(text).absolute())
    parser.add_argument("--only", default=",".join(CELLS).replace("2,000", "2000"), help="cells, by their beginnings")
    parser.add_argument("--clients", default=",".join(CLIENTS))
    a = parser.parse_args()
    clients = {name: CLIENTS[name] for name in a.clients.split(",")}
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors")
    print("| cell | client | TTFT p50 | p99 | E2E p50 | p99 | answered, failed (true) | CPU s | MiB | CPU µs a chunk |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    alone = {}
    wanted = [word.strip() for word in a.only.split(",")]
    for title, (cell, script) in CELLS.items():
        if not any(title.replace("2,000", "2000").startswith(word) for word in wanted):
            continue
        for name, client in clients.items():
            with tempfile.TemporaryDirectory() as top:
                folder = Path(top)
                python = (a.vllm or a.peers)
                if name != "vramscope load":
                    subprocess.run([python / "bin/python", "-c", TOKENIZER], cwd=folder, check=True, capture_output=True)
                standin = Standin(a.standin, script, folder)
                try:
                    steps = client(a, cell, standin.url, folder)
                    cpu, rss, code = run(next(steps), folder, 600)
                    truth = standin.truth(cell["requests"])
                    told = next(steps)
                except Exception as error:
                    last = (folder / "said").read_text(errors="replace").strip().splitlines()[-3:] if (folder / "said").exists() else []
                    print(f"| {title} | {name} | {type(error).__name__}: {str(error)[:80]} {' / '.join(last)[:300]} |", flush=True)
                    continue
                finally:
                    standin.end()
            whole = [one for one in truth if one["whole"] and one["written_ns"]]
            ttft = [(one["written_ns"][0] - one["arrived_ns"]) / 1e6 for one in whole]
            e2e = [(one["written_ns"][-1] - one["arrived_ns"]) / 1e6 for one in whole]
            off = [told[key][at] - percentile(true, share) for key, true in (("ttft", ttft), ("e2e", e2e)) for at, share in ((0, 0.5), (1, 0.99))]
            chunks = sum(sum(one["tokens"]) for one in whole)
            if title == "1 in flight":
                alone[name] = cpu
            each = f"{(cpu - alone[name]) / chunks * 1e6:.1f}" if name in alone and title != "1 in flight" else "-"
            counts = f"{told['ok']}, {told['failed']} ({len(whole)}, {len(truth) - len(whole)})"
            print(f"| {title} | {name} | {off[0]:+.2f} | {off[1]:+.2f} | {off[2]:+.2f} | {off[3]:+.2f} | {counts} | {cpu:.2f} | {rss:.0f} | {each} |", flush=True)
    print(f"the server's priority: {standin.real_time}")


main()
