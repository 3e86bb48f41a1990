"""Random-weight GGUF files in the shapes of public models; they mean nothing.

usage: make_models.py OUT_DIR [--header-only] NAME...
With --header-only the data is a hole in the file: enough for what reads headers.
"""
import os, struct, sys
import numpy as np

KINDS = {'F32': (0, 1, 4), 'F16': (1, 1, 2), 'Q4_0': (2, 32, 18), 'Q5_0': (6, 32, 22), 'Q8_0': (8, 32, 34), 'Q4_K': (12, 256, 144),
         'Q6_K': (14, 256, 210), 'BF16': (30, 1, 2), 'MXFP4': (39, 32, 17)}
ALIGN = 32


def blocks(kind, count):
    """So many random blocks with small scales, so that sums stay finite."""
    rng = np.random.default_rng(7)
    _, elements, size = KINDS[kind]
    raw = rng.integers(0, 256, (count, size), dtype=np.uint8)
    small = np.frombuffer(np.float16(0.001).tobytes(), dtype=np.uint8)
    if kind == 'F32':
        return (rng.standard_normal(count).astype(np.float32) * 0.02).tobytes()
    if kind == 'F16':
        return (rng.standard_normal(count).astype(np.float32) * 0.02).astype(np.float16).tobytes()
    if kind == 'BF16':
        return (rng.standard_normal(count).astype(np.float32) * 0.02).view(np.uint32).__rshift__(16).astype(np.uint16).tobytes()
    if kind in ('Q4_0', 'Q5_0', 'Q8_0'):
        raw[:, :2] = small
    elif kind == 'Q4_K':
        raw[:, :2] = small
        raw[:, 2:4] = small
    elif kind == 'Q6_K':
        raw[:, 208:210] = small
        raw[:, 192:208] = 8
    elif kind == 'MXFP4':
        raw[:, 0] = 118
    return raw.tobytes()


class Writer:
    def __init__(self, family, name):
        self.family, self.values, self.tensors, self.offset = family, [], [], 0
        self.put('general.architecture', family)
        self.put('general.name', name)

    def put(self, key, value):
        self.values.append((key, value))

    def own(self, **numbers):
        for key, value in numbers.items():
            self.put(self.family + '.' + key.replace('__', '.'), value)

    def tensor(self, name, kind, *sides):
        number, elements, size = KINDS[kind]
        assert sides[0] % elements == 0, (name, sides, kind)
        count = 1
        for side in sides:
            count *= side
        length = count // elements * size
        self.tensors.append((name, kind, number, sides, self.offset, length))
        self.offset += (length + ALIGN - 1) // ALIGN * ALIGN

    def words(self, count):
        listed = ['<unk>', '<s>', '</s>'] + [f'<0x{i:02X}>' for i in range(256)] + [f'\u2581t{i}' for i in range(count - 259)]
        self.put('tokenizer.ggml.model', 'llama')
        self.put('tokenizer.ggml.tokens', listed)
        self.put('tokenizer.ggml.scores', [-1.0 * i for i in range(count)])
        self.put('tokenizer.ggml.token_type', [2, 3, 3] + [6] * 256 + [1] * (count - 259))
        for key, value in (('bos', 1), ('eos', 2), ('unknown', 0)):
            self.put(f'tokenizer.ggml.{key}_token_id', value)
        self.put('tokenizer.ggml.add_bos_token', True)

    def write(self, path, header_only):
        text = lambda s: struct.pack('<Q', len(s.encode())) + s.encode()
        def scalar(v):
            if isinstance(v, bool): return 7, struct.pack('<B', v)
            if isinstance(v, int): return 4, struct.pack('<I', v)
            if isinstance(v, float): return 6, struct.pack('<f', v)
            return 8, text(v)
        with open(path, 'wb') as out:
            out.write(b'GGUF' + struct.pack('<IQQ', 3, len(self.tensors), len(self.values)))
            for key, value in self.values:
                out.write(text(key))
                if isinstance(value, list):
                    kind = scalar(value[0])[0]
                    if kind == 4: kind = 5
                    data = b''.join(map(text, value)) if kind == 8 else np.array(value, dtype={5: np.int32, 6: np.float32, 7: np.uint8}[kind]).tobytes()
                    out.write(struct.pack('<IIQ', 9, kind, len(value)) + data)
                else:
                    kind, data = scalar(value)
                    out.write(struct.pack('<I', kind) + data)
            for name, _, number, sides, offset, _ in self.tensors:
                out.write(text(name) + struct.pack('<I', len(sides)) + struct.pack(f'<{len(sides)}Q', *sides) + struct.pack('<IQ', number, offset))
            out.write(b'\0' * (-out.tell() % ALIGN))
            start = out.tell()
            if header_only:
                out.truncate(start + self.offset)
                return
            made = {}
            for _, kind, _, sides, offset, length in self.tensors:
                out.seek(start + offset)
                if kind == 'F32' and len(sides) == 1:
                    out.write(np.ones(length // 4, dtype=np.float32).tobytes())
                    continue
                size = KINDS[kind][2]
                if kind not in made:
                    made[kind] = blocks(kind, (1 << 24) // size)
                data = made[kind]
                while length > 0:
                    out.write(data[:length])
                    length -= len(data)
            out.truncate(start + self.offset)


def common(g, hidden, layers, heads, kv, head, wide, words, context):
    g.own(context_length=context, embedding_length=hidden, block_count=layers, feed_forward_length=wide, attention__head_count=heads,
          attention__head_count_kv=kv, attention__layer_norm_rms_epsilon=1e-6, rope__freq_base=1000000.0, vocab_size=words)
    if head:
        g.own(attention__key_length=head, attention__value_length=head, rope__dimension_count=head)
    g.words(words)


class Mix:
    """What a mixture such as Q4_K_M gives a tensor: more bits for some layers' values and down projections."""
    def __init__(self, mixed, layers):
        self.mixed, self.layers = mixed, layers

    def of(self, part, layer=0):
        if self.mixed != 'Q4_K_M':
            return self.mixed
        eighth = self.layers // 8
        more = layer < eighth or layer >= 7 * self.layers // 8 or (layer - eighth) % 3 == 2
        return 'Q6_K' if part == 'output' or (part in ('v', 'down') and more) else 'Q4_K'


def attention(g, b, mix, i, hidden, heads, kv, head, norms=False, bias=False):
    for part, rows in (('q', heads), ('k', kv), ('v', kv)):
        g.tensor(f'{b}attn_{part}.weight', mix.of(part, i), hidden, rows * head)
        if bias:
            g.tensor(f'{b}attn_{part}.bias', 'F32', rows * head)
    g.tensor(b + 'attn_output.weight', mix.of('o', i), heads * head, hidden)
    if bias:
        g.tensor(b + 'attn_output.bias', 'F32', hidden)
    if norms:
        g.tensor(b + 'attn_q_norm.weight', 'F32', head)
        g.tensor(b + 'attn_k_norm.weight', 'F32', head)


def dense(g, b, mix, i, hidden, wide):
    g.tensor(b + 'ffn_gate.weight', mix.of('gate', i), hidden, wide)
    g.tensor(b + 'ffn_up.weight', mix.of('up', i), hidden, wide)
    g.tensor(b + 'ffn_down.weight', mix.of('down', i), wide, hidden)


def usual(family, name, kind, hidden, layers, heads, kv, head, wide, words, context, tied, experts=0, used=0, window=0, embedding=None):
    g, mix = Writer(family, name), Mix(kind, layers)
    common(g, hidden, layers, heads, kv, head, wide if not experts else 3 * wide, words, context)
    if experts:
        g.own(expert_count=experts, expert_used_count=used, expert_feed_forward_length=wide)
    if window:
        g.own(attention__sliding_window=window)
    g.tensor('token_embd.weight', embedding or (mix.of('output') if tied else mix.of('embedding')), hidden, words)
    g.tensor('output_norm.weight', 'F32', hidden)
    if not tied:
        g.tensor('output.weight', mix.of('output'), hidden, words)
    if family == 'llama':
        g.tensor('rope_freqs.weight', 'F32', head // 2)
    for i in range(layers):
        b = f'blk.{i}.'
        g.tensor(b + 'attn_norm.weight', 'F32', hidden)
        attention(g, b, mix, i, hidden, heads, kv, head, norms=family != 'llama')
        g.tensor(b + 'ffn_norm.weight', 'F32', hidden)
        if family == 'gemma3':
            g.tensor(b + 'post_attention_norm.weight', 'F32', hidden)
            g.tensor(b + 'post_ffw_norm.weight', 'F32', hidden)
        if experts:
            g.tensor(b + 'ffn_gate_inp.weight', 'F32', hidden, experts)
            g.tensor(b + 'ffn_gate_exps.weight', mix.of('gate', i), hidden, wide, experts)
            g.tensor(b + 'ffn_up_exps.weight', mix.of('up', i), hidden, wide, experts)
            g.tensor(b + 'ffn_down_exps.weight', mix.of('down', i), wide, hidden, experts)
        else:
            dense(g, b, mix, i, hidden, wide)
    return g


def oss(name, hidden, layers, heads, kv, head, wide, words, experts, used):
    g, mix = Writer('gpt-oss', name), Mix('Q8_0', layers)
    common(g, hidden, layers, heads, kv, head, wide, words, 131072)
    g.own(expert_count=experts, expert_used_count=used, expert_feed_forward_length=wide, attention__sliding_window=128)
    g.tensor('token_embd.weight', 'Q8_0', hidden, words)
    g.tensor('output_norm.weight', 'F32', hidden)
    g.tensor('output.weight', 'Q8_0', hidden, words)
    for i in range(layers):
        b = f'blk.{i}.'
        g.tensor(b + 'attn_norm.weight', 'F32', hidden)
        attention(g, b, mix, i, hidden, heads, kv, head, bias=True)
        g.tensor(b + 'attn_sinks.weight', 'F32', heads)
        g.tensor(b + 'post_attention_norm.weight', 'F32', hidden)
        g.tensor(b + 'ffn_gate_inp.weight', 'F32', hidden, experts)
        g.tensor(b + 'ffn_gate_inp.bias', 'F32', experts)
        for part, sides in (('gate', (hidden, wide)), ('up', (hidden, wide)), ('down', (wide, hidden))):
            g.tensor(f'{b}ffn_{part}_exps.weight', 'MXFP4', *sides, experts)
            g.tensor(f'{b}ffn_{part}_exps.bias', 'F32', sides[1], experts)
    return g


def hybrid(name, hidden, layers, every, heads, kv, wide, words, state, ranks, experts=0, used=0, shared=0):
    """Granite 4 hybrid: mamba 2 layers and a few of attention; with experts and one that all tokens go through."""
    g, mix, inner = Writer('granitehybrid', name), Mix('Q4_K_M', layers), 2 * hidden
    attends = [i % every == every // 2 for i in range(layers)]
    common(g, hidden, layers, heads, [kv if a else 0 for a in attends], 0, wide, words, 131072)
    g.own(rope__dimension_count=hidden // heads, rope__scaling__finetuned=False, ssm__conv_kernel=4, ssm__inner_size=inner,
          ssm__state_size=state, ssm__time_step_rank=ranks, ssm__group_count=1, logit_scale=8.0, residual_scale=0.22,
          embedding_scale=12.0, attention__scale=0.015625)
    if experts:
        g.own(expert_count=experts, expert_used_count=used, expert_shared_feed_forward_length=shared)
    g.tensor('token_embd.weight', mix.of('output'), hidden, words)
    g.tensor('output_norm.weight', 'F32', hidden)
    for i in range(layers):
        b = f'blk.{i}.'
        g.tensor(b + 'attn_norm.weight', 'F32', hidden)
        if attends[i]:
            attention(g, b, mix, i, hidden, heads, kv, hidden // heads)
        else:
            mixed = inner + 2 * state
            g.tensor(b + 'ssm_in.weight', 'Q4_K', hidden, inner + mixed + ranks)
            g.tensor(b + 'ssm_conv1d.weight', 'F32', 4, mixed)
            g.tensor(b + 'ssm_conv1d.bias', 'F32', mixed)
            g.tensor(b + 'ssm_dt.bias', 'F32', ranks)
            g.tensor(b + 'ssm_a', 'F32', 1, ranks)
            g.tensor(b + 'ssm_d', 'F32', 1, ranks)
            g.tensor(b + 'ssm_norm.weight', 'F32', inner, 1)
            g.tensor(b + 'ssm_out.weight', 'Q4_K', inner, hidden)
        g.tensor(b + 'ffn_norm.weight', 'F32', hidden)
        if not experts:
            dense(g, b, mix, i, hidden, wide)
            continue
        g.tensor(b + 'ffn_gate_inp.weight', 'F32', hidden, experts)
        for part, sides in (('gate', (hidden, wide)), ('up', (hidden, wide)), ('down', (wide, hidden))):
            g.tensor(f'{b}ffn_{part}_exps.weight', 'Q4_K', *sides, experts)
            both = (sides[0], shared) if part != 'down' else (shared, sides[1])
            g.tensor(f'{b}ffn_{part}_shexp.weight', 'Q4_K', *both)
    return g


def latent(name, hidden, layers, heads, wide, expert_wide, words, experts, used, shared, rank, rope, nope, value, queries=0):
    """DeepSeek V2: keys and values as one compressed vector, queries compressed as well but in its Lite."""
    g, mix = Writer('deepseek2', name), Mix('Q4_K_M', layers)
    common(g, hidden, layers, heads, 1, 0, wide, words, 163840)
    g.own(rope__dimension_count=rope, attention__key_length=rank + rope, attention__value_length=rank,
          attention__key_length_mla=nope + rope, attention__value_length_mla=value, attention__kv_lora_rank=rank,
          expert_count=experts, expert_used_count=used, expert_shared_count=shared, expert_feed_forward_length=expert_wide,
          expert_weights_scale=1.0, leading_dense_block_count=1)
    if queries:
        g.own(attention__q_lora_rank=queries)
    g.tensor('token_embd.weight', 'Q4_K', hidden, words)
    g.tensor('output_norm.weight', 'F32', hidden)
    g.tensor('output.weight', 'Q6_K', hidden, words)
    for i in range(layers):
        b = f'blk.{i}.'
        g.tensor(b + 'attn_norm.weight', 'F32', hidden)
        if queries:
            g.tensor(b + 'attn_q_a.weight', 'Q4_K', hidden, queries)
            g.tensor(b + 'attn_q_a_norm.weight', 'F32', queries)
            g.tensor(b + 'attn_q_b.weight', 'Q4_K', queries, heads * (nope + rope))
        else:
            g.tensor(b + 'attn_q.weight', 'Q4_K', hidden, heads * (nope + rope))
        g.tensor(b + 'attn_kv_a_mqa.weight', 'Q4_K', hidden, rank + rope)
        g.tensor(b + 'attn_kv_a_norm.weight', 'F32', rank)
        g.tensor(b + 'attn_k_b.weight', 'Q8_0', nope, rank, heads)
        g.tensor(b + 'attn_v_b.weight', 'Q8_0', rank, value, heads)
        g.tensor(b + 'attn_output.weight', 'Q4_K', heads * value, hidden)
        g.tensor(b + 'ffn_norm.weight', 'F32', hidden)
        if i < 1:
            g.tensor(b + 'ffn_gate.weight', 'Q4_K', hidden, wide)
            g.tensor(b + 'ffn_up.weight', 'Q4_K', hidden, wide)
            g.tensor(b + 'ffn_down.weight', 'Q5_0', wide, hidden)
            continue
        g.tensor(b + 'ffn_gate_inp.weight', 'F32', hidden, experts)
        for part, sides, kind in (('gate', (hidden, expert_wide), 'Q4_K'), ('up', (hidden, expert_wide), 'Q4_K'), ('down', (expert_wide, hidden), 'Q5_0')):
            g.tensor(f'{b}ffn_{part}_exps.weight', kind, *sides, experts)
            both = (sides[0], shared * sides[1]) if part != 'down' else (shared * sides[0], sides[1])
            g.tensor(f'{b}ffn_{part}_shexp.weight', kind if part != 'down' else 'Q5_0', *both)
    return g


MAKE = {
    'qwen3-4b-q4km': lambda n: usual('qwen3', n, 'Q4_K_M', 2560, 36, 32, 8, 128, 9728, 151936, 40960, True),
    'llama-8b-q8': lambda n: usual('llama', n, 'Q8_0', 4096, 32, 32, 8, 128, 14336, 128256, 131072, False),
    'gemma3-4b-q4': lambda n: usual('gemma3', n, 'Q4_0', 2560, 34, 8, 4, 256, 10240, 262144, 131072, True, window=1024, embedding='Q6_K'),
    'oss-20b-mxfp4': lambda n: oss(n, 2880, 24, 64, 8, 64, 2880, 201088, 32, 4),
    'qwen3moe-15b-q4km': lambda n: usual('qwen3moe', n, 'Q4_K_M', 2048, 24, 32, 4, 128, 768, 151936, 40960, False, experts=128, used=8),
    'granite-h-3b-q4km': lambda n: hybrid(n, 2048, 40, 10, 32, 8, 8192, 100352, 128, 64),
    'deepseek2-8b-q4km': lambda n: latent(n, 2048, 27, 16, 10944, 1408, 102400, 32, 6, 2, 512, 64, 128, 128),
    'qwen3-06b-bf16': lambda n: usual('qwen3', n, 'BF16', 1024, 28, 16, 8, 128, 3072, 151936, 40960, True),
    'granite-h-moe-q4k': lambda n: hybrid(n, 1536, 20, 10, 12, 4, 512, 100352, 128, 48, 64, 6, 1024),
    'deepseek2-queries-q4k': lambda n: latent(n, 4096, 10, 32, 12288, 1536, 102400, 32, 6, 2, 512, 64, 128, 128, 1536),
    # The same graphs, small, for a try on a host.
    'tiny-qwen3': lambda n: usual('qwen3', n, 'Q4_K_M', 512, 4, 8, 2, 64, 1536, 4096, 40960, True),
    'tiny-llama': lambda n: usual('llama', n, 'Q8_0', 512, 4, 8, 2, 64, 1536, 4096, 131072, False),
    'tiny-gemma3': lambda n: usual('gemma3', n, 'Q4_0', 512, 6, 4, 2, 64, 1536, 4096, 131072, True, window=512, embedding='Q6_K'),
    'tiny-oss': lambda n: oss(n, 320, 4, 8, 2, 64, 320, 4096, 8, 2),
    'tiny-qwen3moe': lambda n: usual('qwen3moe', n, 'Q4_K_M', 512, 4, 8, 2, 64, 256, 4096, 40960, False, experts=16, used=4),
    'tiny-granite': lambda n: hybrid(n, 512, 6, 3, 8, 2, 1024, 4096, 64, 16),
    'tiny-deepseek2': lambda n: latent(n, 512, 27, 4, 1024, 256, 4096, 8, 2, 2, 256, 64, 64, 64),
    'tiny-granite-moe': lambda n: hybrid(n, 512, 6, 3, 8, 2, 256, 4096, 64, 16, 16, 4, 512),
    'tiny-deepseek2-queries': lambda n: latent(n, 512, 4, 4, 1024, 256, 4096, 8, 2, 2, 256, 64, 64, 64, 256),
    'tiny-bf16': lambda n: usual('qwen3', n, 'BF16', 512, 4, 8, 2, 64, 1536, 4096, 40960, True),
}

if __name__ == '__main__':
    names = [name for name in sys.argv[2:] if not name.startswith('--')]
    for name in names:
        path = os.path.join(sys.argv[1], name + '.gguf')
        MAKE[name](name).write(path, '--header-only' in sys.argv)
        print(name, os.path.getsize(path), flush=True)
