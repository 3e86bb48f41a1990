//! Why nothing can be computed.

/// An architecture or arguments for which no figure can be stated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EstimateError {
    /// A size does not fit 64 bits.
    #[error("compute {what}: the result does not fit 64 bits")]
    Overflow {
        /// What was computed.
        what: &'static str,
    },
    /// An architecture has a size that no model has.
    #[error("use an architecture with {name} = {value}: expected {least} to {most}")]
    Implausible {
        /// The field.
        name: &'static str,
        /// Its value.
        value: u64,
        /// The least that is accepted.
        least: u64,
        /// The most that is accepted.
        most: u64,
    },
    /// An argument is zero, negative or not a number.
    #[error("use {name} = {value}: expected {expected}")]
    BadArgument {
        /// The argument, as the engine spells it.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// The engine refuses to split something that many ways.
    #[error("split {what} ({size}) over {name} = {ways}: the engine needs a multiple")]
    NotDivisible {
        /// What is split.
        what: &'static str,
        /// How many there are.
        size: u64,
        /// The argument.
        name: &'static str,
        /// Ways.
        ways: u64,
    },
    /// The engine refuses a length above the one that it derives of the model.
    #[error(
        "use --max-model-len {asked}: the engine derives {most} from the model's config and refuses more; lower it, or set \
         {allows}=1 for the engine if the model can do more",
        allows = crate::ALLOWS_LONG
    )]
    LongerThanModel {
        /// What was asked for, in tokens.
        asked: u64,
        /// What the engine derives, in tokens.
        most: u64,
    },
    /// The release refuses what is asked of it.
    #[error("start the engine: {version} refuses {what}; {advice}")]
    Refused {
        /// The release.
        version: String,
        /// What it refuses.
        what: String,
        /// What to do instead.
        advice: &'static str,
    },
    /// The storage format of weights is not known.
    #[error("size the weights: the format `{method}` is not known; give the tensor table of the checkpoint")]
    UnknownWeightFormat {
        /// The method's name.
        method: String,
    },
    /// The element type of the KV cache is not known.
    #[error("size the KV cache: the element type `{name}` is not known")]
    UnknownKvCacheDtype {
        /// The name.
        name: String,
    },
    /// Something must be given that neither the architecture nor the arguments say.
    #[error("compute {what}: {name} is not known; give it")]
    Missing {
        /// What was computed.
        what: &'static str,
        /// The argument.
        name: &'static str,
    },
    /// The engine cannot lay out a cache for such layers.
    #[error("lay out the KV cache: pages of {small} and {large} bytes cannot be made equal")]
    UnequalPages {
        /// The smaller page.
        small: u64,
        /// The larger page.
        large: u64,
    },
}
