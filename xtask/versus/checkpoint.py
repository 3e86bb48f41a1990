"""What a checkpoint says of itself, and what it holds: by its config, and by the classes of transformers."""
import json, pathlib

BITS_OF_DTYPE = {"bfloat16": 16, "float16": 16, "float32": 32}
BYTES_OF_TENSOR = {"BF16": 2, "F16": 2, "F32": 4, "I32": 4, "I64": 8, "BOOL": 1}


def read(folder, name):
    path = pathlib.Path(folder) / name
    return json.loads(path.read_text()) if path.is_file() else None


def text_config(config):
    nested = config.get("text_config")
    return nested if isinstance(nested, dict) else config


def quantization(question):
    """What the checkpoint says of its format: in its config, or in ModelOpt's file beside it."""
    config = read(question["folder"], "config.json")
    inside = config.get("quantization_config") or text_config(config).get("quantization_config")
    return inside or (read(question["folder"], "hf_quant_config.json") or {}).get("quantization")


def declared_bits(question):
    """The width that most weights are said to have; `None` where the format says no single one."""
    found = quantization(question)
    if not found:
        config = read(question["folder"], "config.json")
        dtype = text_config(config).get("dtype") or text_config(config).get("torch_dtype")
        return BITS_OF_DTYPE.get(dtype or config.get("dtype") or config.get("torch_dtype") or "bfloat16")
    groups = (found.get("config_groups") or {}).values()
    widths = {group["weights"]["num_bits"] for group in groups if group.get("weights")}
    if widths:
        return widths.pop() if len(widths) == 1 else None
    if isinstance(found.get("bits"), int):
        return found["bits"]
    words = f"{found.get('quant_algo') or ''} {found.get('quant_method') or ''}".lower()
    if "mixed" in words:
        return None
    return 4 if "fp4" in words else 8 if "fp8" in words else None


def eight_bit_cache(question):
    """Whether the cache is one of 8 bits: asked for, or said so by the checkpoint, which the engine heeds."""
    declared = quantization(question) or {}
    scheme = declared.get("kv_cache_scheme") or {}
    external = (read(question["folder"], "hf_quant_config.json") or {}).get("quantization") or {}
    said = declared.get("kv_cache_quant_algo") or external.get("kv_cache_quant_algo") or ""
    return question["kv_cache_dtype"] == "fp8" or "FP8" in said or scheme.get("num_bits") == 8


def tensors(question):
    """Names, shapes and types as the model's repository would list them, and the number of parameters."""
    import torch, transformers

    transformers.logging.set_verbosity_error()
    config = read(question["folder"], "config.json")
    if config.get("auto_map") and config.get("model_type") not in transformers.CONFIG_MAPPING:
        raise ValueError("the model's own code, which transformers does not have")
    known = transformers.AutoConfig.from_pretrained(question["folder"])
    name = (config.get("architectures") or [None])[0]
    if not hasattr(transformers, name or ""):
        raise ValueError(f"transformers has no class {name}")
    with torch.device("meta"):
        model = getattr(transformers, name)(known)
    dtype = known.dtype or getattr(known.get_text_config(), "dtype", None) or torch.bfloat16
    kind = {torch.bfloat16: "BF16", torch.float16: "F16", torch.float32: "F32"}[dtype]
    parameters = {id(p): (n, p) for n, p in model.named_parameters(remove_duplicate=True)}
    counted = sum(p.numel() for _, p in parameters.values())
    plain = {n: dict(dtype=kind, shape=list(p.shape)) for n, p in parameters.values()}
    found = quantization(question)
    if not found:
        return dict(tensors=plain, parameters=counted)
    if found.get("quant_method") == "awq" and found.get("bits") == 4 and not found.get("modules_to_not_convert"):
        return dict(tensors=packed(plain, found["group_size"]), parameters=counted)
    return dict(tensors=None, parameters=counted, why="no headers of this quantization format at hand")


def packed(plain, group):
    """AWQ's layout: eight 4-bit values in a word, a zero point and a scale for each group of inputs."""
    header = {}
    for name, tensor in plain.items():
        if not name.endswith("_proj.weight"):
            header[name] = tensor
            continue
        rows, columns = tensor["shape"]
        stem = name[: -len("weight")]
        header[stem + "qweight"] = dict(dtype="I32", shape=[columns, rows // 8])
        header[stem + "qzeros"] = dict(dtype="I32", shape=[columns // group, rows // 8])
        header[stem + "scales"] = dict(dtype="F16", shape=[columns // group, rows])
    return header


def header_of(question):
    return json.loads(pathlib.Path(question["tensors"]).read_text()) if question["tensors"] else None


def size_of(header):
    total = 0
    for tensor in header.values():
        count = 1
        for side in tensor["shape"]:
            count *= side
        total += count * BYTES_OF_TENSOR[tensor["dtype"]]
    return total
