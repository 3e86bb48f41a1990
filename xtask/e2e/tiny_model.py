#!/usr/bin/env python3
"""Write a Llama of a few million random parameters that vLLM serves: config, tokenizer and weights.

Nothing is downloaded. The tokenizer knows bytes and a few special tokens. Run it with the interpreter of the
environment that serves the model: tokenizers, torch and safetensors come with vLLM.

    python xtask/e2e/tiny_model.py FOLDER
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

HIDDEN, MLP, LAYERS, HEADS, KV_HEADS, VOCABULARY = 128, 352, 3, 4, 2, 10240
SPECIAL = ["<begin>", "<end>"]


def tokenizer():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    ids = {token: number for number, token in enumerate([*SPECIAL, *alphabet])}
    made = Tokenizer(models.BPE(vocab=ids, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(SPECIAL)
    return made


def shapes():
    head = HIDDEN // HEADS
    yield "model.embed_tokens.weight", (VOCABULARY, HIDDEN)
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            yield f"{at}{norm}.weight", (HIDDEN,)
        for name, rows in (("q", HEADS), ("k", KV_HEADS), ("v", KV_HEADS)):
            yield f"{at}self_attn.{name}_proj.weight", (rows * head, HIDDEN)
        yield f"{at}self_attn.o_proj.weight", (HIDDEN, HEADS * head)
        yield f"{at}mlp.gate_proj.weight", (MLP, HIDDEN)
        yield f"{at}mlp.up_proj.weight", (MLP, HIDDEN)
        yield f"{at}mlp.down_proj.weight", (HIDDEN, MLP)
    yield "model.norm.weight", (HIDDEN,)
    yield "lm_head.weight", (VOCABULARY, HIDDEN)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16",
        "hidden_size": HIDDEN, "intermediate_size": MLP, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "vocab_size": VOCABULARY,
        "max_position_embeddings": 1024, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
        "tie_word_embeddings": False, "bos_token_id": 0, "eos_token_id": 1,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    tokenizer().save(str(folder / "tokenizer.json"))
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": SPECIAL[0], "eos_token": SPECIAL[1]}
    (folder / "tokenizer_config.json").write_text(json.dumps(about, indent=1))
    torch.manual_seed(0)
    weights = {}
    for name, shape in shapes():
        values = torch.ones(shape) if "norm" in name else torch.randn(shape) * 0.02
        weights[name] = values.to(torch.bfloat16)
    save_file(weights, str(folder / "model.safetensors"), metadata={"format": "pt"})
    print(f"{folder}: {sum(w.numel() for w in weights.values()):,} parameters")


if __name__ == "__main__":
    main()
