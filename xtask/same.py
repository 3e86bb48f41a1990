"""Prove that a restructured build behaves as an old build: the same commands, byte for byte.

    python3 xtask/same.py OLD_BINARY NEW_BINARY [--only WORD] [--shared FOLDER] [--expect FILE]

Runs every command that needs no engine and no GPU over everything in examples/ and the corpus (../shared/corpus) with
both binaries, and compares stdout, stderr, the exit code and every file written. Inputs are found by walking, so a new
recording is covered by being there. Both binaries are called vramscope, see equal paths and an equal environment, and
find no Docker. Left out, but for their help: doctor, monitor, gpus without --from, and
trace capture.

Each line of the file of --expect is a difference that is intended:

    SUBSTRING OF THE COMMAND LINE | SUBSTRING OF A DIFFERING LINE, OLD OR NEW # reason

A difference is intended if each of its differing lines is covered. A line of the file that covers nothing is stale.
--only takes the cases whose kind or command line holds WORD; then nothing is called stale.

Exit codes: 0 the same but for what is expected, 1 a difference or a stale line, 2 it could not be run.
"""
import argparse, collections, difflib, gzip, hashlib, json, os, pathlib, random, re, resource, shlex, shutil
import signal, stat, subprocess, sys, tempfile, time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
TIMEOUT_S = 60
WORKERS = 2
LARGEST_LOG = 20_000_000  # bytes; a debug build takes too long over more
LARGEST_TRACE_AS_LOG = 100_000  # bytes, packed: unpacked it is one text of tens of megabytes that is no log
SNIFFED = 65_536  # bytes at a file's beginning that tell what it is
SHOWN_LINES, SHOWN_WIDTH = 6, 200  # of a difference
DIFFED_LINES = 4_000  # above this, lines are paired by their place: aligning them takes time by the square
HIDDEN = ["accuracy"]  # commands that --help does not list
MASKS = [  # name, kinds, pattern, replacement: only what depends on the moment of the run
    ("STAMP: the time of the run in a default output name", {"campaign", "profile", "errors"},
     rb"(results/memory-profiles/[^\s\"]*_)\d{8}_\d{6}", rb"\1STAMP"),
    ("PORT: a free port, which the system chooses", {"profile"}, rb"(--port[ =])\d+", rb"\1PORT"),
    ("TEMPORARY: the random name under which a file is written before it is renamed, told where that fails",
     {"errors"}, rb"/\.vramscope-\w{6}\b", rb"/.vramscope-TEMPORARY"),
]
STAND_IN = """#!/bin/sh
case "$*" in
*--version) echo vllm 0.25.1 ;;
*) echo "--model --input-len --output-len --batch-size --num-iters --num-iters-warmup --output-json --dtype" \
        "--max-model-len --max-num-seqs --tensor-parallel-size --host --port --trust-remote-code" ;;
esac
"""


@dataclass(frozen=True)
class Case:
    kind: str
    args: tuple
    stdin: pathlib.Path | None = None

    def __str__(self):
        line = shlex.join(("vramscope", *self.args))
        return f"{line} < {shlex.quote(str(self.stdin))}" if self.stdin else line


def run(binary, case, room):
    """Run one case in a fresh folder; returns what it left: a name each for the exit code, the streams, the files."""
    shutil.rmtree(room, ignore_errors=True)
    for name in ("home", "tmp", "cwd"):
        (room / name).mkdir(parents=True)
    env = dict(TZ="UTC", COLUMNS="80", NO_COLOR="1", LANG="C.UTF-8", PATH="/usr/bin:/bin", HOME=str(room / "home"),
               TMPDIR=str(room / "tmp"), HF_HUB_OFFLINE="1", DOCKER_HOST="unix:///nonexistent/docker.sock")
    with open(case.stdin or os.devnull, "rb") as stdin:
        child = subprocess.Popen(["vramscope", *case.args], executable=binary, cwd=room / "cwd", env=env, stdin=stdin,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        try:
            out, err = child.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
            return None
    left = {"exit code": b"exit code %d" % child.returncode, "stdout": out, "stderr": err}
    for path in sorted(room.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            left[f"file {path.relative_to(room)}"] = b"mode %o\n" % stat.S_IMODE(mode) + path.read_bytes()
        elif path.parent != room:
            left[f"entry {path.relative_to(room)}"] = stat.filemode(mode).encode()
    for _, kinds, pattern, replacement in MASKS:
        if case.kind in kinds:
            left = {re.sub(pattern, replacement, name.encode()).decode(): re.sub(pattern, replacement, content)
                    for name, content in left.items()}
    return left


def differing_lines(old, new):
    """The lines of old and of new that differ, as (sign, line)."""
    a, b = (text.decode(errors="backslashreplace").split("\n") for text in (old, new))
    first = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    a, b = a[first:], b[first:]
    while a and b and a[-1] == b[-1]:
        a.pop(), b.pop()
    if max(len(a), len(b)) > DIFFED_LINES:
        a, b = a + [None] * (len(b) - len(a)), b + [None] * (len(a) - len(b))
        pairs = [([x], [y]) for x, y in zip(a, b) if x != y]
    else:
        codes = difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes()
        pairs = [(a[i:j], b[k:m]) for tag, i, j, k, m in codes if tag != "equal"]
    for olds, news in pairs:
        yield from (("old", line) for line in olds if line is not None)
        yield from (("new", line) for line in news if line is not None)


def compare(old, new):
    """All differing lines between two runs, as (place, sign, line)."""
    if old is None or new is None:
        return [("exit code", side, f"no end within {TIMEOUT_S} s")
                for side, left in (("old", old), ("new", new)) if left is None]
    found = []
    for place in [*old, *(place for place in new if place not in old)]:
        if place not in old or place not in new:
            found.append((place, "new" if place in new else "old", f"{place} is of this build only"))
        elif old[place] != new[place]:
            found += [(place, *line) for line in differing_lines(old[place], new[place])]
    return found


def commands_of(binary, room, above=()):
    """All commands and their commands, as --help lists them."""
    text = run(binary, Case("help", (*above, "--help")), room)["stdout"].decode()
    listed = re.search(r"^Commands:\n((?:(?: .*)?\n)*)", text, re.M)
    names = re.findall(r"^  (\w[\w-]*)", listed[1], re.M) if listed else []
    for name in names + ([] if above else HIDDEN):
        if name != "help":
            yield (*above, name)
            yield from commands_of(binary, room, (*above, name))


def head(path):
    """The beginning of a file's content; none where it cannot be unpacked."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            return file.read(SNIFFED)
    except (OSError, EOFError):
        return b""


def fixtures(room):
    """Inputs that no corpus holds: what is broken, and a stand-in for an engine's command line."""
    room.mkdir()
    (room / "folder").mkdir()
    (room / "empty").write_bytes(b"")
    (room / "garbage").write_bytes(random.Random(1).randbytes(20_000))
    (room / "cut.gz").write_bytes(gzip.compress(b"INFO 01-01 00:00:00 [a.py:1] text\n" * 999, mtime=0)[:60])
    (room / "open.json").write_text('{"schema_version": "3.1", "models": [')
    (room / "newer.json").write_text('{"profiler_version": "9.0", "schema_version": "9.0"}')
    (room / "stand-in").write_text(STAND_IN)
    (room / "stand-in").chmod(0o755)
    (room / "sys").mkdir()
    return room


def words(*texts):
    """Each text as the words of a command line."""
    return [tuple(shlex.split(text)) for text in texts]


class Cases:
    def __init__(self, binary, roots, corpus, room, pool):
        self.binary, self.corpus, self.room, self.pool = binary, corpus, room, pool
        self.broken = fixtures(room / "fixtures")
        walked = sorted(path for root in roots for path in root.rglob("*"))
        self.files = [path for path in walked if path.is_file()]
        self.folders = [*roots, *(path for path in walked if path.is_dir())]
        self.heads = {path: head(path) for path in self.files}
        self.traces = [path for path, text in self.heads.items() if b'"traceEvents"' in text
                       and path.name.endswith((".json", ".json.gz"))]

    def named(self, *suffixes):
        return [path for path in self.files if path.suffix in suffixes]

    def help(self):
        commands = [(), *commands_of(self.binary, self.room / "help")]
        for command in commands:
            for flag in ("--help", "-h"):
                yield (*command, flag)
            if command:
                yield ("help", *command)
        yield from words("", "--version", "nosuch", "help nosuch")

    def completions(self):
        yield from words(*(f"completions {shell}" for shell in ("bash", "zsh", "fish", "elvish", "powershell", "no")))

    def schema(self):
        yield from words("schema", "schema --format json", "schema nosuch")
        listed = run(self.binary, Case("schema", ("schema", "--format", "json")), self.room / "schema")["stdout"]
        yield from (("schema", name) for name in sorted(set(re.findall(r'"name": *"([\w-]+)"', listed.decode()))))

    def analyze(self):
        for folder in self.folders:
            yield "analyze", folder, "-o", "profile.json"
            yield "analyze", folder, "--format", "json"
        for log in self.named(".log"):
            yield "analyze", "--engine-log", log, "--format", "json"
            for bench in sorted(log.parent.glob("bench*.json")):
                yield "analyze", "--engine-log", log, "--bench", bench
            gpu = log.parent / "gpu.csv"
            if gpu.is_file() and log.name != "vllm.log":
                yield "analyze", "--engine-log", log, "--gpu-log", gpu, "--args", log.parent / "args.json"

    def log(self):
        yield from words("log --formats", "log --formats --format json")
        logs = [path for path in self.named(".log", ".txt", ".gz", ".zst") if path.stat().st_size <= (
            LARGEST_TRACE_AS_LOG if path in self.traces else LARGEST_LOG)]
        for log in logs:
            yield "log", log
            yield "log", log, "--format", "json"
            yield "log", log, "--unknown"
        plain = [path for path in logs if path.suffix == ".log"]
        for one, two in zip(plain[::8], plain[1::8]):
            yield "log", one, two
            yield Case("log", ("log", "-", "--format", "json"), one)
            yield Case("log", ("log", "--follow", "-"), one)
            yield Case("log", ("log", "--follow", "-", "--format", "json"), two)
            packed, wide = (self.broken / f"{one.parent.name}-{one.name}.{kind}" for kind in ("gz", "utf16"))
            packed.write_bytes(gzip.compress(one.read_bytes(), mtime=0))
            wide.write_bytes(one.read_bytes().decode(errors="replace").encode("utf-16"))
            yield "log", packed
            yield "log", wide

    def timeline(self):
        dmon = [path for path in self.named(".txt", ".log") if re.search(rb"^#\s*gpu\b", self.heads[path], re.M)]
        recordings = self.named(".csv", ".jsonl", ".parquet") + dmon
        converted = self.room / "converted"
        converted.mkdir()
        small = [path for path in recordings if 0 < path.stat().st_size < 200_000 and path.name == "gpu.csv"][:4]
        for number, path in enumerate(small):
            for form in ("jsonl", "parquet", "csv"):
                out = converted / f"{number}.{form}"
                run(self.binary, Case("timeline", ("timeline", str(path), "-o", str(out))), self.room / "timeline")
                recordings += [out] if out.is_file() else []
        for path in recordings:
            yield "timeline", path, "-o", "out.csv"
            yield "timeline", path, "--format", "json", "-o", "out.jsonl"
            yield "timeline", path, "--correlate", "--idle-below", "20", "-o", "out.parquet"

    def gpus(self):
        saved = [path for path in self.files if path.is_relative_to(self.corpus / "gpu-tools")]
        for path in saved + [path for path in self.files if re.match(r"(nvidia-)?smi|not-a-gpu", path.name)]:
            yield "gpus", "--from", path
            yield "gpus", "--from", path, "--format", "json"
        for folder in sorted({path.parent for path in saved}):
            yield "gpus", "--from", folder, "--format", "json"
            yield "gpus", "--from", folder, "--gpu", "0"
            yield ("gpus", *(word for path in sorted(folder.glob("*.csv")) for word in ("--from", path)), "--from",
                   folder / "expected.json")

    def trace(self):
        yield from words("trace --print-rules")
        for path in self.traces:
            yield "trace", path
            yield "trace", path, "--format", "json", "--stacks", "cpu.folded"
            yield "trace", "slice", path, "--between", "1ms..5ms", "-o", "part.json"
            if path.stat().st_size < 500_000:
                yield "trace", path, "--format", "markdown", "--stacks", "gpu.folded", "--stacks-weight", "gpu"
                yield "trace", path, "--group-by", "op", "--format", "csv"
                yield "trace", path, "--group-by", "step", "--between", "1ms..9ms", "--device", "0"
                yield "trace", path, "--group-by", "category", "--top", "3"
                yield "trace", path, "--group-by", "kernel", "--threads", "1"
                yield "trace", "slice", path, "--between", "..2ms", "-o", "part.json.gz"
                yield "trace", "slice", path, "--between", "2ms..", "-o", "part.json.zst"
                yield Case("trace", ("trace", "-"), path)
        for one, two in zip(self.traces, self.traces[1:]):
            yield "trace", "diff", one, two, "--fail-above", "5%"
            if max(one.stat().st_size, two.stat().st_size) < 500_000:
                yield "trace", "diff", one, two, "--format", "json", "--by", "total"
                yield "trace", "diff", two, one, "--format", "csv", "--by", "step"
            if one.parent == two.parent:
                yield "trace", one, two, "--format", "json"

    def configs(self):
        """One folder for each content of the config.json and of the files beside it that change its meaning."""
        seen = {}
        for path in self.files:
            if path.name == "config.json":
                beside = sorted(path.parent.glob("*quant*.json"))
                seen.setdefault(b"\0".join(file.read_bytes() for file in [path, *beside]), path.parent)
        return sorted(seen.values())

    def estimate(self):
        for folder in self.configs():
            for more in words(
                "--gpu h200",
                "--gpu a100-80g --tensor-parallel-size 2 --vllm-version 0.10.0 --max-model-len 8K --enforce-eager",
                "--gpu mi300x --vllm-version 0.33.0 --pipeline-parallel-size 2 --format json --kv-cache-dtype fp8",
                "--gpu l40s --input-len 2000 --output-len 500 --batch-size 64 --quantization fp8 --block-size 32",
                "--gpu-memory 24GiB --gpu-memory-used 2GiB --vllm-version 0.6.3 --format json --max-num-seqs 64",
            ):
                yield ("estimate", "--model", folder, *more)
            yield "estimate", "--gpu", "h200", "--", "vllm", "serve", folder, "-tp", "2", "--max-num-seqs=64"
        shape = "--model-params 6.7e9 --num-layers 32 --num-heads 32 --hidden-size 4096 --max-model-len 4096"
        yield from words(f"estimate {shape} --gpu-memory 24GiB", "estimate --model Qwen/Qwen3-8B --gpu h100",
                         "estimate --model org/none --gpu h100")

    def fit(self):
        yield from words("fit --list-gpus", "fit --list-gpus --format json", "fit --model Qwen/Qwen3-8B --gpus all",
                         "fit --model org/none --gpu h100")
        for folder in self.configs():
            for more in words("--gpu h100", "--gpu l40s --request-tokens 8192 --requests 16 --format json",
                              "--gpus all --vllm-version 0.12.0 -- --max-num-seqs 32"):
                yield ("fit", "--model", folder, *more)

    def profiles(self):
        """A profile document of each recording, as the old build writes it, beside its folder."""
        made = self.room / "profiles"
        if not made.exists():
            made.mkdir()

            def make(folder):
                name = hashlib.sha256(str(folder).encode()).hexdigest()[:8] + "-" + folder.name
                case = Case("profiles", ("analyze", str(folder), "-o", str(made / f"{name}.json")))
                run(self.binary, case, self.room / f"make-{name}")
                return made / f"{name}.json", folder

            recorded = [folder for folder in self.folders if any((folder / name).is_file() for name in (
                "vllm.log", "engine.log", "gpu.csv"))]
            self.made = [pair for pair in self.pool.map(make, recorded) if pair[0].is_file()]
        return self.made

    def migrate(self):
        stated = [path for path in self.named(".json") if b'"schema_version"' in self.heads[path]]
        old = sorted(path for path in (CHECKOUT / "crates").rglob("*.json") if path.parent.name == "data")
        for path in stated + old + [path for path, _ in self.profiles()]:
            yield "migrate", path, "-o", "new.json"
        for path in old:
            yield "migrate", path
            yield Case("migrate", ("migrate", "-"), path)

    def compare(self):
        for (one, folder), (two, neighbour) in zip(self.profiles(), self.profiles()[1:]):
            yield "compare", folder, neighbour
            yield "compare", one, two, "--format", "json", "--fail-above", "5%"
            yield "compare", two, one, "--fail-above", "peak_bytes=1%"
            yield "compare", one, "--calc-weights", "13.5", "--calc-kv", "4GiB"
            yield ("compare", one, "--format", "json", "--calc-weights", "13.5", "--calc-kv", "0.4",
                   "--calc-activations", "0.9", "--calc-overhead", "0.6")

    def runs(self):
        for folder in sorted({folder.parent for _, folder in self.profiles()}):
            yield "runs", folder
            below = [path for path, made in self.profiles() if made.parent == folder]
            for form in ("table", "json", "csv"):
                yield "runs", *below, "--format", form
        yield "runs", self.room / "profiles", "--format", "json"
        yield "runs", self.corpus / "models"

    def campaign(self):
        for path in [path for path in self.files if path.is_relative_to(self.corpus / "campaigns")]:
            for form in ("table", "json", "csv"):
                yield "campaign", path, "--dry-run", "--format", form
            yield "campaign", path, "--dry-run", "--no-containers", "-o", "out", "--", "--workload", "serve"
            yield "campaign", path, "--dry-run", "--", "--nosuch"
            yield Case("campaign", ("campaign", "-", "--dry-run"), path)
        yield from words("campaign --model org/m --input-len 256 512 --batch-size 1 8 --dry-run --format json")

    def profile(self):
        bare = ("--dry-run", "--sys-root", self.broken / "sys")
        engine = ("--force", "--engine", self.broken / "stand-in")
        for folder in self.configs()[::6]:
            yield "profile", "--model", folder, *bare
            yield "profile", "--model", folder, *bare, *engine
            for more in words("--workload serve --request-rate 2 --num-prompts 9", "--repeat 2 -o out.json --quiet",
                              "--dtype float16 --max-model-len 4K -- --max-num-seqs 64", "--format json -- --nosuch 5",
                              "--env TOKEN=hunter2hunter -tp 2", "--url http://127.0.0.1:1", "--image none"):
                yield ("profile", "--model", folder, *bare, *engine, *more)

    def accuracy(self):
        for folder in sorted({folder.parent for _, folder in self.profiles()}):
            yield "accuracy", folder
            yield "accuracy", folder, "--leave-out-model"
            yield "accuracy", folder, "--fit", "sizes.tsv"
        yield "accuracy", self.corpus / "h200", "--gpu", "nosuch"

    def errors(self):
        shape = ("--between", "1ms..2ms", "-o", "part.json")
        takers = [(("analyze",), ()), (("analyze", "--engine-log"), ()), (("analyze", "--gpu-log"), ()),
                  (("analyze", "--model"), ()), (("analyze", "--bench"), ()), (("analyze", "--args"), ()),
                  (("log",), ()), (("log", "--follow", "--format"), ()), (("timeline",), ()), (("gpus", "--from"), ()),
                  (("trace",), ()), (("trace", "--rules"), (self.traces[0],)), (("trace", "slice"), shape),
                  (("trace", "diff"), (self.traces[0],)), (("estimate", "--gpu", "h200", "--model"), ()),
                  (("estimate", "--model", "Qwen/Qwen3-8B", "--gpu", "h200", "--calibration"), ()),
                  (("fit", "--gpu", "h200", "--model"), ()), (("migrate",), ()), (("compare",), ()),
                  (("compare", self.profiles()[0][0]), ()), (("runs",), ()), (("campaign", "--dry-run"), ()),
                  (("profile", "--dry-run", "--sys-root", self.broken / "sys", "--model"), ()),
                  (("accuracy",), ()), (("accuracy", self.corpus / "h200", "--gpu"), ())]
        for before, after in takers:
            for name in ("missing", "folder", "empty", "garbage", "cut.gz", "open.json", "newer.json"):
                yield (*before, self.broken / name, *after)
            yield before
        recording, trace = self.profiles()[0][1], self.traces[0]
        gpu_log = next(path for path in self.files if path.name == "gpu.csv")
        for out in ("missing/out.json", ".", "/proc/nonexistent", ""):
            yield "analyze", recording, "-o", out
            yield "migrate", self.profiles()[0][0], "-o", out
            yield "timeline", gpu_log, "-o", out
            yield "trace", "slice", trace, "--between", "1ms..2ms", "-o", out
            yield "trace", trace, "--stacks", out
            yield "accuracy", self.corpus / "h200", "--fit", out
        yield from words("estimate --gpu nosuch", "estimate --gpu h100 --vllm-version x", "fit --gpu h100 --requests 0",
                         "estimate --gpu h100 --max-model-len 3x", "runs nosuch", "timeline --idle-below x a.csv",
                         "estimate", "fit", "profile --dry-run", "campaign --dry-run --batch-size 0 --model m")
        yield "trace", trace, "--between", "5ms..1ms"
        yield "trace", "diff", trace, trace, "--fail-above", "x"
        yield "compare", self.profiles()[0][0], self.profiles()[0][0], "--fail-above", "nosuch=1%"

    def all(self, only):
        kinds = ("trace analyze timeline log estimate fit compare runs accuracy gpus migrate campaign profile schema "
                 "completions help errors").split()  # the slowest begin
        seen = set()
        for kind in [only] if only in kinds else kinds:
            for given in getattr(self, kind)():
                case = given if isinstance(given, Case) else Case(kind, tuple(map(str, given)))
                if case not in seen and (not only or only in kind or only in str(case)):
                    seen.add(case)
                    yield case


@dataclass
class Expected:
    number: int
    command: str
    line: str
    met: bool = False


def read_expected(path):
    for number, text in enumerate(path.read_text().splitlines(), 1) if path else ():
        if not text.strip() or text.startswith("#"):
            continue
        rule, hash_, reason = text.rpartition(" # ")
        command, bar, line = rule.partition(" | ")
        if not (hash_ and bar and reason.strip() and line.strip()):
            print(f"{path}:{number}: write COMMAND | LINE # reason", file=sys.stderr)
            sys.exit(2)
        yield Expected(number, command.strip(), line.strip())


def intended(case, lines, expected):
    """Whether each differing line is covered; marks what covers one."""
    covered = 0
    for _, _, line in lines:
        rules = [rule for rule in expected if rule.command in str(case) and rule.line in line]
        for rule in rules:
            rule.met = True
        covered += bool(rules)
    return covered == len(lines)


def tell(case, lines):
    print(f"DIFFERS {case}", flush=True)
    for place, side, line in lines[:SHOWN_LINES]:
        print(f"  {place}, {side}: {line[:SHOWN_WIDTH]}")
    if len(lines) > SHOWN_LINES:
        print(f"  and {len(lines) - SHOWN_LINES} more lines")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=pathlib.Path, metavar="OLD_BINARY")
    parser.add_argument("new", type=pathlib.Path, metavar="NEW_BINARY")
    parser.add_argument("--only", metavar="WORD")
    parser.add_argument("--shared", type=pathlib.Path, metavar="FOLDER", default=CHECKOUT.parent / "shared")
    parser.add_argument("--expect", type=pathlib.Path, metavar="FILE")
    options = parser.parse_args()
    corpus = options.shared.absolute() / "corpus"
    for path in (options.old, options.new):
        if not os.access(path, os.X_OK) or path.is_dir():
            parser.error(f"{path} is no program")
    if not corpus.is_dir():
        parser.error(f"{corpus} is not there; name the folder that holds it with --shared")
    expected = list(read_expected(options.expect))
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vramscope-same-") as room, ThreadPoolExecutor(WORKERS) as pool:
        room = pathlib.Path(room)
        # Copies, so that a build that goes on meanwhile changes nothing.
        old, new = (shutil.copy2(path, room / name) for path, name in ((options.old, "old"), (options.new, "new")))
        cases = list(Cases(old, [CHECKOUT / "examples", corpus], corpus, room, pool).all(options.only))

        def both(numbered):
            number, case = numbered
            own = room / "runs" / str(number)  # both binaries see this one path
            begun = time.monotonic()
            left = [run(binary, case, own) for binary in (old, new)]
            shutil.rmtree(own, ignore_errors=True)
            return case, left[0] and left[0]["exit code"].decode(), compare(*left), time.monotonic() - begun

        counts = {case.kind: collections.Counter() for case in cases}
        for case, code, lines, taken in pool.map(both, enumerate(cases)):
            verdict = "same" if not lines else "intended" if intended(case, lines, expected) else "differ"
            counts[case.kind].update({verdict: 1, code or "no end": 1, "time": taken})
            if verdict == "differ":
                tell(case, lines)
    total = collections.Counter()
    for kind, count in counts.items():
        codes = ", ".join(f"{n} {name}" for name, n in sorted(count.items()) if name.startswith(("exit", "no ")))
        intent = f", {count['intended']} as intended" if count["intended"] else ""
        print(f"{kind:12} {count['same']:5} same, {count['differ']} differ{intent}  ({codes}; {count['time']:.0f} s)")
        total.update(count)
    stale = [] if options.only else [rule for rule in expected if not rule.met]
    for rule in stale:
        print(f"STALE {options.expect}:{rule.number}: {rule.command} | {rule.line}")
    processor = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    print(f"{'total':12} {total['same']:5} same, {total['differ']} differ, {total['intended']} as intended, "
          f"{len(stale)} stale, in {time.monotonic() - begun:.0f} s, {processor:.0f} s of processor time")
    if not cases:
        parser.error("no case holds that word")
    sys.exit(1 if total["differ"] or stale else 0)


if __name__ == "__main__":
    main()
