"""Run two public estimators on local configs: prints one JSON object a line. Their own code computes; only what they
would fetch from the Hugging Face hub is answered from the folder: the config, and the names and shapes of the tensors."""
import asyncio, json, pathlib, sys, warnings

warnings.filterwarnings("ignore")
import torch, transformers
from accelerate import init_empty_weights
from accelerate.utils import calculate_maximum_sizes
import hf_mem.run as _  # the package's own name `run` is a function

hf_mem = sys.modules["hf_mem.run"]

transformers.logging.set_verbosity_error()
NAMES = {torch.bfloat16: "BF16", torch.float16: "F16", torch.float32: "F32", torch.int32: "I32"}


def tensors(config):
    """Names, shapes and types as the model's repository would list them."""
    plain = {k: v for k, v in config.items() if k != "quantization_config"}
    known = transformers.AutoConfig.for_model(**plain)
    with init_empty_weights():
        model = transformers.AutoModelForCausalLM.from_config(known)
    dtype = NAMES[getattr(torch, config.get("dtype") or config.get("torch_dtype") or "bfloat16")]
    group = (config.get("quantization_config") or {}).get("group_size")
    header = {}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.get("tie_word_embeddings"):
            continue
        shape = list(tensor.shape)
        if group and name.endswith("_proj.weight"):
            rows, columns = shape
            stem = name[: -len("weight")]
            header[stem + "qweight"] = dict(dtype="I32", shape=[columns, rows // 8])
            header[stem + "qzeros"] = dict(dtype="I32", shape=[columns // group, rows // 8])
            header[stem + "scales"] = dict(dtype="F16", shape=[columns // group, rows])
        else:
            header[name] = dict(dtype=dtype, shape=shape)
    return header


def hf_mem_says(config, length, cache):
    header = tensors(config)
    if cache == "auto" and "quantization_config" in config:
        cache = "bfloat16"  # it asks for the type where weights have another

    async def fetch_json(client, url, headers=None):
        if "/api/models/" in url:
            return [dict(path=name, type="file") for name in ("config.json", "model.safetensors")]
        return config

    async def fetch_header(client, url, headers=None):
        return header

    hf_mem.get_json_file = fetch_json
    hf_mem.fetch_safetensors_metadata = fetch_header
    result = asyncio.run(
        hf_mem.arun("local/model", experimental=True, max_model_len=length, batch_size=1, kv_cache_dtype=cache)
    )
    return result.memory, result.kv_cache


def accelerate_says(config):
    plain = {k: v for k, v in config.items() if k != "quantization_config"}
    known = transformers.AutoConfig.for_model(**plain)
    with init_empty_weights():
        model = transformers.AutoModel.from_config(known, dtype=torch.float32)
    total, _ = calculate_maximum_sizes(model)
    bits = (config.get("quantization_config") or {}).get("bits", 16)
    return total * bits // 32  # its row for the type of the checkpoint


def tell(function, *arguments):
    try:
        return function(*arguments), None
    except Exception as error:  # what a tool cannot do is its answer
        return None, f"{type(error).__name__}: {error}"[:200]


for line in sys.stdin:
    wanted = json.loads(line)
    config = json.loads(pathlib.Path(wanted["config"]).read_text())
    mem, mem_error = tell(hf_mem_says, config, wanted["max_model_len"], wanted["kv_cache_dtype"])
    accelerated, accelerate_error = tell(accelerate_says, config)
    weights, cache = mem or (None, None)
    print(json.dumps(dict(run=wanted["run"], hf_mem_weights=weights, hf_mem_request=cache, hf_mem_error=mem_error,
                          accelerate_weights=accelerated, accelerate_error=accelerate_error)), flush=True)
