//! The models of the recorded runs, made as their scripts make them: shapes without numbers.

use vramscope_core::{PackedModel, PackedTensor, PackedValue};

/// What the scripts are told.
#[derive(Clone, Copy)]
struct Made {
    family: &'static str,
    kind: &'static str,
    hidden: u64,
    layers: u64,
    heads: u64,
    kv_heads: u64,
    head: u64,
    wide: u64,
    words: u64,
    experts: u64,
    used: u64,
    tied: bool,
    window: u64,
    context: u64,
}

const SMALL: Made = Made {
    family: "llama",
    kind: "F16",
    hidden: 512,
    layers: 6,
    heads: 8,
    kv_heads: 2,
    head: 64,
    wide: 1536,
    words: 8000,
    experts: 0,
    used: 0,
    tied: false,
    window: 0,
    context: 32768,
};

/// `llama-cuda-runs/make_models.py`.
const BILLION: Made =
    Made { hidden: 2048, layers: 16, heads: 32, kv_heads: 8, wide: 8192, words: 32000, context: 131_072, ..SMALL };

/// The model of that name.
pub(crate) fn model(name: &str) -> Option<PackedModel> {
    let (shape, kind) = name.rsplit_once('-')?;
    let kind = match kind {
        "f16" => "F16",
        "q8" | "q8_0" => "Q8_0",
        "q4_0" => "Q4_0",
        "q4_k_m" => "Q4_K_M",
        _ => return None,
    };
    let made = match shape {
        "dense" => SMALL,
        "tied" => Made { tied: true, words: 32000, ..SMALL },
        "moe" => Made { experts: 8, used: 2, wide: 768, ..SMALL },
        "gemma-swa" => Made { family: "gemma3", layers: 12, tied: true, window: 512, words: 16000, ..SMALL },
        "llama-1b" => BILLION,
        "llama-half8b" => Made { hidden: 4096, head: 128, wide: 14336, ..BILLION },
        "qwen3moe-2b" => {
            Made { family: "qwen3moe", kv_heads: 4, head: 128, wide: 768, experts: 32, used: 8, ..BILLION }
        }
        "gemma3-1b" => Made {
            family: "gemma3",
            hidden: 1152,
            layers: 26,
            heads: 4,
            kv_heads: 1,
            head: 256,
            wide: 6912,
            tied: true,
            window: 512,
            ..BILLION
        },
        _ => return None,
    };
    Some(Made { kind, ..made }.packed())
}

/// A type by its name, and what tensors of it take.
pub(crate) fn bytes(kind: &str, sides: &[u64]) -> (&'static str, u64) {
    let elements: u64 = sides.iter().product();
    let kinds = [
        ("F32", 1, 4),
        ("F16", 1, 2),
        ("BF16", 1, 2),
        ("Q4_0", 32, 18),
        ("Q5_0", 32, 22),
        ("Q8_0", 32, 34),
        ("MXFP4", 32, 17),
        ("Q4_K", 256, 144),
        ("Q5_K", 256, 176),
        ("Q6_K", 256, 210),
    ];
    let (name, block, size) = kinds.into_iter().find(|(name, ..)| *name == kind).unwrap();
    (name, elements / block * size)
}

impl Made {
    /// What `llama-quantize` makes of a tensor (`use_more_bits` for Q4_K_M).
    fn kind_of(&self, name: &str, sides: usize, layer: u64) -> &'static str {
        let router = name.contains("ffn_gate_inp");
        if sides == 1 || (router && (self.family != "llama" || self.kind == "Q4_K_M")) {
            return "F32";
        }
        if self.kind != "Q4_K_M" {
            return self.kind;
        }
        let eighth = self.layers / 8;
        let more = layer < eighth || layer >= 7 * self.layers / 8 || (layer - eighth) % 3 == 2;
        let last = name == "output.weight" || (self.tied && name == "token_embd.weight");
        if last || ((name.contains("attn_v") || name.contains("ffn_down")) && more) {
            return "Q6_K";
        }
        // The release that made the small model gives values of a wide group one bit more.
        if name.contains("attn_v") && self.hidden == SMALL.hidden { "Q5_K" } else { "Q4_K" }
    }

    fn packed(&self) -> PackedModel {
        let mut model = PackedModel { family: self.family.into(), ..PackedModel::default() };
        let numbers = [
            ("context_length", self.context),
            ("embedding_length", self.hidden),
            ("block_count", self.layers),
            ("attention.head_count", self.heads),
            ("attention.head_count_kv", self.kv_heads),
            ("attention.key_length", self.head),
            ("attention.value_length", self.head),
            ("expert_count", self.experts),
            ("expert_used_count", self.used),
            ("attention.sliding_window", self.window),
        ];
        for (key, value) in numbers.into_iter().filter(|(_, value)| *value > 0) {
            model.metadata.insert(format!("{}.{key}", self.family), PackedValue::Number(value));
        }
        model.metadata.insert("tokenizer.ggml.tokens".into(), PackedValue::Length(self.words));
        let mut offset = 0;
        for (name, sides, layer) in self.tensors() {
            let kind = self.kind_of(&name, sides.len(), layer);
            let (_, bytes) = bytes(kind, &sides);
            model.tensors.push(PackedTensor { name, kind, sides, bytes, offset });
            offset += bytes.next_multiple_of(32);
        }
        model
    }

    fn tensors(&self) -> Vec<(String, Vec<u64>, u64)> {
        let (hidden, wide) = (self.hidden, self.wide);
        let mut tensors = vec![("token_embd.weight".to_owned(), vec![hidden, self.words], 0)];
        tensors.push(("output_norm.weight".to_owned(), vec![hidden], 0));
        if !self.tied {
            tensors.push(("output.weight".to_owned(), vec![hidden, self.words], 0));
        }
        let (queries, keys) = (self.heads * self.head, self.kv_heads * self.head);
        for layer in 0..self.layers {
            let mut add = |name: &str, sides: &[u64]| {
                tensors.push((format!("blk.{layer}.{name}.weight"), sides.to_vec(), layer));
            };
            add("attn_norm", &[hidden]);
            add("ffn_norm", &[hidden]);
            add("attn_q", &[hidden, queries]);
            add("attn_k", &[hidden, keys]);
            add("attn_v", &[hidden, keys]);
            add("attn_output", &[queries, hidden]);
            if self.family == "gemma3" {
                add("post_attention_norm", &[hidden]);
                add("post_ffw_norm", &[hidden]);
            }
            if self.family != "llama" {
                add("attn_q_norm", &[self.head]);
                add("attn_k_norm", &[self.head]);
            }
            if self.experts > 0 {
                add("ffn_gate_inp", &[hidden, self.experts]);
                add("ffn_gate_exps", &[hidden, wide, self.experts]);
                add("ffn_up_exps", &[hidden, wide, self.experts]);
                add("ffn_down_exps", &[wide, hidden, self.experts]);
            } else {
                add("ffn_gate", &[hidden, wide]);
                add("ffn_up", &[hidden, wide]);
                add("ffn_down", &[wide, hidden]);
            }
        }
        tensors
    }
}

/// A small model of a family, with 512 wide residuals, six layers and eight heads of which two are of keys.
pub(crate) fn family(name: &'static str) -> PackedModel {
    let (gemma, oss) = (name.starts_with("gemma"), name == "gpt-oss");
    let window = match name {
        "gemma2" => 512,
        "gpt-oss" => 128,
        _ => 0,
    };
    let experts = if oss || name == "qwen2moe" { 8 } else { 0 };
    let wide = if name == "qwen2moe" { 768 } else { SMALL.wide };
    let made = Made { family: name, tied: gemma, window, experts, used: experts.min(2), wide, ..SMALL };
    let mut model = made.packed();
    if name == "gemma2" {
        model.metadata.insert("gemma2.attn_logit_softcapping".into(), PackedValue::Real(50.0));
        model.metadata.insert("gemma2.final_logit_softcapping".into(), PackedValue::Real(30.0));
    }
    let norms = name == "qwen3";
    model.tensors.retain(|tensor| norms || !(tensor.name.contains("_q_norm") || tensor.name.contains("_k_norm")));
    if name == "phi3" {
        let parts = ["attn_q.", "attn_k.", "attn_v.", "ffn_gate", "ffn_up"];
        model.tensors.retain(|tensor| !parts.iter().any(|part| tensor.name.contains(part)));
    }
    let mut add = |name: String, kind: &'static str, sides: Vec<u64>| {
        let (_, bytes) = bytes(kind, &sides);
        model.tensors.push(PackedTensor { name, kind, sides, bytes, offset: 0 });
    };
    for layer in 0..SMALL.layers {
        let of = |name: &str| format!("blk.{layer}.{name}");
        if name == "gemma2" {
            add(of("post_attention_norm.weight"), "F32", vec![512]);
            add(of("post_ffw_norm.weight"), "F32", vec![512]);
        }
        if name.starts_with("qwen2") || oss {
            add(of("attn_q.bias"), "F32", vec![512]);
            add(of("attn_k.bias"), "F32", vec![128]);
            add(of("attn_v.bias"), "F32", vec![128]);
        }
        if name == "phi3" {
            add(of("attn_qkv.weight"), "F16", vec![512, 768]);
            add(of("ffn_up.weight"), "F16", vec![512, 3072]);
        }
        if name == "qwen2moe" {
            add(of("ffn_gate_inp_shexp.weight"), "F32", vec![512]);
            add(of("ffn_gate_shexp.weight"), "F16", vec![512, 1024]);
            add(of("ffn_up_shexp.weight"), "F16", vec![512, 1024]);
            add(of("ffn_down_shexp.weight"), "F16", vec![1024, 512]);
        }
        if oss {
            add(of("attn_output.bias"), "F32", vec![512]);
            add(of("attn_sinks.weight"), "F32", vec![8]);
            add(of("ffn_gate_inp.bias"), "F32", vec![8]);
            add(of("ffn_gate_exps.bias"), "F32", vec![1536, 8]);
            add(of("ffn_up_exps.bias"), "F32", vec![1536, 8]);
            add(of("ffn_down_exps.bias"), "F32", vec![512, 8]);
            add(of("post_attention_norm.weight"), "F32", vec![512]);
        }
    }
    if oss {
        model.tensors.retain(|tensor| !tensor.name.contains("ffn_norm"));
    }
    let mut offset = 0;
    for tensor in &mut model.tensors {
        tensor.offset = offset;
        offset += tensor.bytes.next_multiple_of(32);
    }
    model
}
