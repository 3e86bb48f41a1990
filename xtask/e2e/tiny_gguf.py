#!/usr/bin/env python3
"""Write a GGUF file with a Llama of random weights that llama-server serves. Nothing is downloaded.

    python xtask/e2e/tiny_gguf.py FILE

It needs the packages gguf and numpy.
"""

import sys

import gguf
import numpy

WIDTH, MLP, LAYERS, HEADS, KV_HEADS, HEAD, VOCABULARY = 1024, 4096, 8, 16, 4, 64, 4000
# Of bytes above these a random model makes text that is no UTF-8, which the server calls an error.
BYTES = 128
CONTROL, BYTE, NORMAL, UNKNOWN = 3, 6, 1, 2


def main() -> None:
    random = numpy.random.default_rng(7)
    writer = gguf.GGUFWriter(sys.argv[1], "llama")
    writer.add_name("tiny")
    writer.add_context_length(32768)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(MLP)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_rope_dimension_count(HEAD)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    writer.add_file_type(1)
    words = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(BYTES)]
    kinds = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * BYTES
    rest = VOCABULARY - len(words)
    words += [f"\u2581w{number}" for number in range(rest)]
    kinds += [NORMAL] * rest
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(words)
    writer.add_token_scores([-float(number) for number in range(VOCABULARY)])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)

    def matrix(name: str, rows: int, columns: int) -> None:
        values = random.standard_normal((rows, columns), dtype=numpy.float32) * 0.02
        writer.add_tensor(name, values.astype(numpy.float16))

    def norm(name: str) -> None:
        writer.add_tensor(name, numpy.ones(WIDTH, dtype=numpy.float32))

    matrix("token_embd.weight", VOCABULARY, WIDTH)
    norm("output_norm.weight")
    matrix("output.weight", VOCABULARY, WIDTH)
    for layer in range(LAYERS):
        norm(f"blk.{layer}.attn_norm.weight")
        norm(f"blk.{layer}.ffn_norm.weight")
        matrix(f"blk.{layer}.attn_q.weight", HEADS * HEAD, WIDTH)
        matrix(f"blk.{layer}.attn_k.weight", KV_HEADS * HEAD, WIDTH)
        matrix(f"blk.{layer}.attn_v.weight", KV_HEADS * HEAD, WIDTH)
        matrix(f"blk.{layer}.attn_output.weight", WIDTH, HEADS * HEAD)
        matrix(f"blk.{layer}.ffn_gate.weight", MLP, WIDTH)
        matrix(f"blk.{layer}.ffn_up.weight", MLP, WIDTH)
        matrix(f"blk.{layer}.ffn_down.weight", WIDTH, MLP)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
