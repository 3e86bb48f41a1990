//! What a kernel is for, told from its name by an editable table.

use crate::RulesError;

/// What a kernel is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Category {
    /// Attention, without writing the KV cache.
    Attention,
    /// Matrix products, dense or of experts, with the routing of experts.
    GemmMoe,
    /// RMS norm, layer norm and their kin.
    Normalisation,
    /// Activation functions of the MLP.
    Activation,
    /// Collectives and point-to-point transfers.
    Communication,
    /// From logits to token ids.
    Sampling,
    /// Writing, reading or moving the KV cache.
    KvCacheCopy,
    /// Plain copies done by kernels, of whatever.
    Copy,
    /// No rule fits.
    Other,
}

impl Category {
    /// All of them, in the order in which tables show ties.
    pub const ALL: [Self; 9] = [
        Self::Attention,
        Self::GemmMoe,
        Self::Normalisation,
        Self::Activation,
        Self::Communication,
        Self::Sampling,
        Self::KvCacheCopy,
        Self::Copy,
        Self::Other,
    ];

    /// The name as documents and rule tables spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Attention => "attention",
            Self::GemmMoe => "gemm_moe",
            Self::Normalisation => "normalisation",
            Self::Activation => "activation",
            Self::Communication => "communication",
            Self::Sampling => "sampling",
            Self::KvCacheCopy => "kv_cache_copy",
            Self::Copy => "copy",
            Self::Other => "other",
        }
    }

    /// The category of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|category| category.name() == name)
    }
}

impl std::fmt::Display for Category {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// One line of a rule table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    category: Category,
    with: Vec<String>,
    without: Vec<String>,
    text: String,
}

impl Rule {
    fn fits(&self, lower_case_name: &str) -> bool {
        let holds = |word: &String| lower_case_name.contains(word.as_str());
        self.with.iter().all(holds) && !self.without.iter().any(holds)
    }
}

/// A rule table. The first rule that fits a kernel's name gives its category.
///
/// ```
/// use vramscope_trace::{Category, Rules};
/// let rules = Rules::parse("gemm_moe: my_kernel -copy").unwrap();
/// assert_eq!(rules.of("void My_Kernel<8>()").0, Category::GemmMoe);
/// assert_eq!(rules.of("my_kernel_copy"), (Category::Other, None));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    rules: Vec<Rule>,
}

/// The longest pattern.
const MAX_PATTERN_BYTES: usize = 500;

impl Rules {
    /// The table that is used unless another one is given, as text to be edited.
    pub const BUILT_IN: &str = include_str!("rules.txt");

    /// The built-in table.
    pub fn built_in() -> Self {
        Self::parse(Self::BUILT_IN).unwrap_or(Self { rules: Vec::new() })
    }

    /// Reads a table: `category: word word -word` on each line, `#` before a comment.
    ///
    /// # Errors
    /// [`RulesError`], naming the line.
    pub fn parse(text: &str) -> Result<Self, RulesError> {
        let mut rules = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line_number = index + 1;
            let content = line.split('#').next().unwrap_or_default().trim();
            if content.is_empty() {
                continue;
            }
            rules.push(parse_line(content, line_number)?);
        }
        Ok(Self { rules })
    }

    /// The category of a kernel, and the pattern that told it.
    pub fn of(&self, kernel: &str) -> (Category, Option<&str>) {
        let name = kernel.to_lowercase();
        let found = self.rules.iter().find(|rule| rule.fits(&name));
        found.map_or((Category::Other, None), |rule| (rule.category, Some(rule.text.as_str())))
    }
}

fn parse_line(content: &str, line: usize) -> Result<Rule, RulesError> {
    let shape = || RulesError::Shape { line, text: content.to_owned() };
    // Kernel names hold `::`, so the category ends at the first colon that blanks follow.
    let (category, pattern) = content.split_once(": ").ok_or_else(shape)?;
    let category = Category::from_name(category.trim()).ok_or_else(|| RulesError::Category {
        line,
        text: category.trim().to_owned(),
        known: Category::ALL.map(Category::name).join(", "),
    })?;
    let text = pattern.trim().to_owned();
    let lower = text.to_lowercase();
    let (without, with): (Vec<&str>, Vec<&str>) = lower.split_whitespace().partition(|word| word.starts_with('-'));
    if with.is_empty() || text.len() > MAX_PATTERN_BYTES {
        return Err(RulesError::Pattern { line, limit: MAX_PATTERN_BYTES });
    }
    let with = with.into_iter().map(str::to_owned).collect();
    let without = without.into_iter().map(|word| word[1..].to_owned()).filter(|word| !word.is_empty()).collect();
    Ok(Rule { category, with, without, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_table_is_valid() {
        assert!(Rules::parse(Rules::BUILT_IN).unwrap().rules.len() > 80);
    }

    #[test]
    fn kernels_of_both_vendors_find_their_category() {
        let rules = Rules::built_in();
        for (kernel, expected) in [
            ("void cutlass::device_kernel<flash::enable_sm90_or_later<flash::FlashAttnFwdSm90<", Category::Attention),
            ("void cutlass::device_kernel<cutlass::gemm::kernel::GemmUniversal<", Category::GemmMoe),
            ("nvjet_tst_64x64_64x13_4x1_v_bz_splitK_TNT", Category::GemmMoe),
            ("Cijk_Alik_Bljk_BBS_BH_Bias_HA_S_SAV_UserArgs_MT256x32x64", Category::GemmMoe),
            ("_matmul_ogs_NNT_bf16xbf16xmxfp4_16x128x256x1_swiglu", Category::GemmMoe),
            ("void paged_attention_ll4mi_QKV_mfma16_kernel<0, __hip_bfloat16", Category::Attention),
            ("fmhaSm100aKernel_QkvE4m3OBfloat16H64PagedKvCausalP16VarSeqQ128Kv128", Category::Attention),
            ("void vllm::reshape_and_cache_flash_kernel<__nv_bfloat16", Category::KvCacheCopy),
            ("void at::native::(anonymous namespace)::CatArrayBatchedCopy<at::native::(anonymous", Category::Copy),
            ("void at::native::elementwise_kernel<128, 4, at::native::direct_copy_kernel_cuda", Category::Copy),
            ("void fbgemm_gpu::permute_indices_weights_kernel<false, int>", Category::Other),
            ("void fbgemm_gpu::grouped_gemm_kernel", Category::GemmMoe),
            ("void vllm::cross_device_reduce_1stage<__nv_bfloat16, 2>(vllm::RankData*", Category::Communication),
            ("ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)", Category::Communication),
            ("void vllm::fused_add_rms_norm_kernel<c10::BFloat16, 8>", Category::Normalisation),
            ("triton_red_fused__to_copy_add_mean_mul_pow_rsqrt_0", Category::Normalisation),
            ("triton_poi_fused_add_mul_silu_3", Category::Activation),
            ("void at::native::(anonymous namespace)::cunn_SoftMaxForward<8, float", Category::Sampling),
            ("void vllm::moe::topkGatingSoftmax<", Category::GemmMoe),
            ("hipMalloc_helper_kernel", Category::Other),
        ] {
            assert_eq!(rules.of(kernel).0, expected, "{kernel}: {:?}", rules.of(kernel));
        }
    }

    #[test]
    fn a_wrong_table_names_its_line() {
        let failed = |text: &str| Rules::parse(text).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(failed("# fine\nattention flash").contains("line 2"));
        assert!(failed("attn: flash").contains("kv_cache_copy"));
        assert!(failed("attention: -flash").contains("line 1"));
    }
}
