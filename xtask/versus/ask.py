"""Put one question to one public estimator, in a process of its own: `ask.py PEER < question.json > answer.json`.

The estimator's own code computes. Only what it would fetch from the Hugging Face hub is answered from a folder: the
config, and the names, shapes and types of the tensors. Where those cannot be known honestly, they are not made up.

A question: {"name", "folder", "length", "kv_cache_dtype": "auto" or "fp8", "tensors": file or null,
"parameters", "why": what stands in the way of tensors}.
An answer: {"weights": bytes or null, "request": bytes or null, "parameters", "why": {figure: reason of a null}}.
"""
import contextlib, io, json, os, pathlib, subprocess, sys, tempfile, types, warnings

from checkpoint import declared_bits, eight_bit_cache, header_of, quantization, read, size_of, tensors, text_config


class Refused(Exception):
    """A tool's own words, or why it was not asked."""


def hf_mem(question):
    """`hf-mem --model-id … --experimental --max-model-len … --batch-size 1 [--kv-cache-dtype …]`."""
    import hf_mem.run as _  # the package's own name `run` is a function

    package = sys.modules["hf_mem.run"]
    config = read(question["folder"], "config.json")
    header = header_of(question)
    # Left at "auto" it refuses most formats, or takes the type of the weights.
    cache, why = "fp8" if eight_bit_cache(question) else "bfloat16", {}

    async def fetch_json(client, url, headers=None):
        if "/api/models/" in url:
            return [dict(path=name, type="file") for name in ("config.json", "model.safetensors")]
        return config

    async def fetch_header(client, url, headers=None):
        # Its cache follows from the config alone once the type is given.
        return header or {"no.tensors": dict(dtype="BF16", shape=[1])}

    package.get_json_file = fetch_json
    package.fetch_safetensors_metadata = fetch_header
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        result = package.run(
            "local/model", experimental=True, max_model_len=question["length"], batch_size=1, kv_cache_dtype=cache
        )
    if header is None:
        why["weights"] = "not asked: " + question["why"]
    if result.kv_cache is None:
        why["request"] = str(said[-1].message) if said else "it gave none"
    return dict(weights=result.memory if header else None, request=result.kv_cache, why=why)


def accelerate(question):
    """`accelerate estimate-memory … --library_name transformers`: the row of its table of the checkpoint's width."""
    from accelerate.commands import estimate

    config = read(question["folder"], "config.json")
    estimate.verify_on_hub = lambda repo, token=None: types.SimpleNamespace(library_name="transformers", config=config)
    rows = ["float32", "float16", "int8", "int4"]
    arguments = estimate.estimate_command_parser().parse_args([question["folder"], "--dtypes", *rows])
    arguments.library_name = "transformers"
    sizes = {row[0]: row[2] for row in estimate.gather_data(arguments)}
    row = {32: "float32", 16: "float16", 8: "int8", 4: "int4"}.get(declared_bits(question))
    why = dict(request="it has no figure for a cache")
    if row is None:
        why["weights"] = "weights of several widths: its table has a row for one"
    return dict(weights=sizes.get(row), request=None, parameters=sizes["float32"] / 4, why=why)


def kvfit(question):
    """`kvfit MODEL --hardware h200 --gpus 1 --context LENGTH --kv-dtype … --json`."""
    from kvfit import cli, hf

    header = header_of(question)
    files = [name for name in ("config.json", "hf_quant_config.json") if (pathlib.Path(question["folder"]) / name).is_file()]
    siblings = [dict(rfilename=name, size=0) for name in files]
    if header:
        siblings.append(dict(rfilename="model.safetensors", size=size_of(header)))

    def fetch(url, **_):
        name = url.rsplit("/", 1)[-1]
        if name in files:
            return read(question["folder"], name)
        return dict(sha="0" * 40, siblings=siblings)

    hf._fetch_json = fetch
    words = ["local/model", "--hardware", "h200", "--gpus", "1", "--context", str(question["length"])]
    words += ["--kv-dtype", question["kv_cache_dtype"], "--json"]
    if not header:
        words += ["--weight-gib", "1"]  # it plans nothing without a figure; the cache does not depend on it
    text = spoken(lambda: cli.main(words))
    if not text.lstrip().startswith("{"):
        lines = text.strip().splitlines() or ["it said nothing"]
        raise Refused(lines[0].removeprefix("kvfit: "))
    said = json.loads(text)
    why = {} if header else dict(weights="not asked: " + question["why"])
    return dict(
        weights=said["weights"]["bytes"] if header else None,
        request=said["cache"]["bytes_per_sequence"],
        says=f"{said['cache']['architecture']}, {said['cache']['confidence']}, cache in {said['precision']['kv_dtype']}",
        why=why,
    )


def spoken(function):
    """What a command line prints, its complaints included."""
    out = io.StringIO()
    errors = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            function()
        except SystemExit as end:
            if isinstance(end.code, str):
                errors.write(end.code)
    return out.getvalue() or errors.getvalue()


def llmfit_format(question):
    """Its word for the checkpoint's format, or the format's own word, which it then refuses."""
    bits, found = declared_bits(question), quantization(question)
    if not found:
        return {16: "BF16", 32: "F32"}[bits]
    known = {("gptq", 4): "GPTQ-Int4", ("gptq", 8): "GPTQ-Int8", ("awq", 4): "AWQ-4bit", ("awq", 8): "AWQ-8bit"}
    word = known.get((found.get("quant_method"), bits))
    return word or ("MXFP4" if "mxfp4" in str(found.get("format")) else None) or str(
        found.get("quant_algo") or found.get("format") or found.get("quant_method")
    )


def llmfit_entry(question):
    """The config as an entry of its `custom_models.json`, with the fields that its own list has."""
    config = read(question["folder"], "config.json")
    text = text_config(config)
    parameters = question["parameters"]
    if parameters is None:
        raise Refused("an entry needs the number of parameters, and nothing at hand counts them")
    head = text.get("head_dim") or (text["hidden_size"] // text["num_attention_heads"] if "hidden_size" in text else None)
    entry = dict(
        name="local/" + question["name"], provider="local", parameter_count=f"{parameters / 1e9:.1f}B",
        parameters_raw=parameters, min_ram_gb=1.0, recommended_ram_gb=1.0, min_vram_gb=1.0, quantization="BF16",
        format="safetensors", context_length=max(question["length"], text.get("max_position_embeddings") or 0),
        use_case="general", architecture=config.get("model_type"), head_dim=head,
    )
    for key in ("num_attention_heads", "num_key_value_heads", "num_hidden_layers", "hidden_size", "vocab_size"):
        entry[key] = text.get(key)
    return entry


def llmfit(question):
    """`llmfit plan` for the weights, `llmfit concurrency` for the cache, of a custom model that is made of the config."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "HOME": folder, "LLMFIT_CUSTOM_MODELS": folder + "/custom_models.json"}
        entry = llmfit_entry(question)
        name = entry["name"]
        pathlib.Path(environment["LLMFIT_CUSTOM_MODELS"]).write_text(json.dumps([entry]))

        def says(*words):
            # A pool so large that it neither offloads nor quantizes.
            done = subprocess.run(
                [os.environ["VERSUS_LLMFIT"], "--memory", "8192G", *words, "--json"],
                env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            )
            if done.returncode != 0 or not done.stdout.lstrip().startswith("{"):
                lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
                raise Refused(lines[0].removeprefix("Error: ") if lines else f"it ended with {done.returncode}")
            return json.loads(done.stdout)

        cache = "fp8" if eight_bit_cache(question) else "fp16"
        context = ["--context", str(question["length"]), "--kv-quant", cache]
        estimate = says("concurrency", name, *context)["estimate"]
        slot, why = estimate["ladder"][0], {}
        request = (slot["per_session_kv_gb"] + estimate["per_session_recurrent_gb"]) * 2**30
        if slot["effective_context"] != question["length"]:
            request, why["request"] = None, f"it takes {slot['effective_context']} tokens for its longest"
        weights = None
        try:
            weights = says("plan", name, *context, "--quant", llmfit_format(question))["disk_size_gb"] * 1e9
        except Refused as error:
            why["weights"] = str(error)
        return dict(weights=weights, request=request, why=why)


PEERS = {"tensors": tensors, "hf-mem": hf_mem, "accelerate": accelerate, "kvfit": kvfit, "llmfit": llmfit}


def main():
    question = json.load(sys.stdin)
    with contextlib.redirect_stdout(sys.stderr):
        try:
            answer = PEERS[sys.argv[1]](question)
        except Exception as error:  # what a tool cannot do is its answer
            answer = dict(failed=str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {error}")
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
