"""Tell which values a config's class fills in by itself: a number of its own, or one that follows from other keys.

    PYTHONPATH=VLLM_FOLDER PYTHON xtask/class_defaults.py CONFIGS < KEYS > crates/vramscope-models/src/defaults.tsv

CONFIGS is xtask/data/oracle/defaults.tsv. All keys are asked for that crates/vramscope-models reads, of all model types of
CONFIGS and of its families. KEYS has a line for each further key that a model's shape hangs on, in sections or worked out by
the class: an architecture of CONFIGS, a tab, and the path of the key (`layer_types`, `vision_config.depth`); the test
`defaults::what_a_config_leaves_out_is_as_its_class_has_it` of vramscope-models prints those that it cannot explain.
PYTHON has transformers, VLLM_FOLDER an unpacked wheel of vLLM, whose own classes of configs count too.

A row of the output is a model type, the key, and the value as JSON, or `null` where the class works it out from other keys,
or nobody could tell. Each class is made with every number of it changed in turn: a value that stays is the class's own.
"""
import functools, json, pathlib, re, sys, warnings

warnings.filterwarnings("ignore")
from transformers import logging
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

logging.set_verbosity_error()
try:
    from vllm.transformers_utils.config import _CONFIG_REGISTRY as OWN
except ImportError:
    OWN = {}
SOURCES = pathlib.Path(__file__).resolve().parent.parent / "crates/vramscope-models/src"
READERS = ["config", "mixers", "feed_forward", "layers", "rotary", "lengths", "compressed"]
# What rotates has rules of its own for files without this section.
NEVER = {"rope_parameters", "dtype", "torch_dtype", "architectures", "model_type", "transformers_version"}
TEXT = {"text_config", "llm_config", "language_config", "thinker_config"}
# Without these nothing can be told; a file that lacks them at its top is cut, not short.
BASIC = {"hidden_size", "vocab_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"}


@functools.cache
def class_of(model_type):
    for table in (OWN, CONFIG_MAPPING):
        try:
            return table[model_type]
        except KeyError:
            pass


@functools.cache
def plain_of(cls):
    return read(cls)


@functools.cache
def changed_by(cls):
    """For each number of a class that is doubled or trebled: what the class is then."""
    plain = plain_of(cls) or {}
    numbers = [name for name, other in plain.items() if is_number(other) and not name.endswith("_id")]
    made = {name: [read(lambda: cls(**{name: plain[name] * factor})) for factor in (2, 3)] for name in numbers}
    return {name: [one for one in both if one] for name, both in made.items()}


def read(make):
    try:
        return make().to_dict()
    except Exception:
        return None


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value


@functools.cache
def own_value(cls, key):
    """The value of a class's key if it hangs on no other key, else None."""
    plain = plain_of(cls)
    if plain is None or key not in plain:
        return None
    value = plain[key]
    if not isinstance(value, (int, float, bool, str)):
        return None
    others = (one for name, both in changed_by(cls).items() if name != key for one in both)
    return value if all(one.get(key) == value for one in others) else None


def is_plain(cls, own, key):
    """Whether a section is as its class has it, so far as numbers go: only then a key's absence can be judged by it."""
    plain = plain_of(cls) if cls else None
    return plain is None or isinstance(plain.get(key), dict) or all(own.get(name, plain.get(name)) == plain.get(name) for name in BASIC | {key})


def place(root_type, config, path):
    """The model type that a key's row stands under, the key there, and its section; None where no row is wanted."""
    section, _, key = path.rpartition(".")
    own = config.get(section) or {} if section else config
    if key in NEVER or section in NEVER or key in TEXT or (key in BASIC and not section):
        return None
    if section in TEXT:
        return own.get("model_type"), key, own
    return root_type, path, own


def main():
    configs = dict(line.rstrip("\n").split("\t", 1) for line in open(sys.argv[1]))
    configs = {name: json.loads(config) for name, config in configs.items()}
    rows, paths = {}, set()
    for line in sys.stdin:
        name, path = line.rstrip("\n").split("\t")[:2]
        found = place(configs[name].get("model_type"), configs[name], path)
        if found and found[0]:
            kind, path, own = found
            paths.add(path)
            if is_plain(class_at(kind, path), own, path.rpartition(".")[2]):
                rows[kind, path] = None
    for reader in READERS:
        paths |= set(re.findall(r'"([A-Za-z_0-9]+)"', (SOURCES / f"{reader}.rs").read_text())) - NEVER - TEXT - {"rope_scaling"}
    kinds = {config.get("model_type") for config in configs.values()}
    for names in re.findall(r"names: &\[(.*?)\]", (SOURCES / "family.rs").read_text(), re.S):
        kinds |= set(re.findall(r'"([a-z0-9_]+)"', names))
    sections = {(config[text] or {}).get("model_type") for config in configs.values() for text in TEXT & config.keys()}
    # A key that coincides with what follows from others in one class need not do so in a model of it: all are asked.
    for kind in kinds | sections:
        for path in paths if kind else ():
            if path in BASIC and kind not in sections:
                continue
            cls = class_at(kind, path)
            value = own_value(cls, path.rpartition(".")[2]) if cls else None
            if value is not None:
                rows[kind, path] = value
    print("model_type", "key", "value", sep="\t")
    for (kind, path), value in sorted(rows.items()):
        print(kind, path, json.dumps(value), sep="\t")


@functools.cache
def class_at(kind, path):
    """The class of the section that a key stands in."""
    cls, (section, _, _) = class_of(kind), path.rpartition(".")
    if not section or not cls:
        return cls
    inner = getattr(read_class(cls), section, None)
    return type(inner) if hasattr(inner, "to_dict") else None


@functools.cache
def read_class(cls):
    try:
        return cls()
    except Exception:
        return None


main()
