//! Why nothing can be computed.

use vramscope_core::{ByteUnit, Bytes};

use crate::EstimateError;

/// A model or arguments for which no figure can be stated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SgLangError {
    /// An argument is not what it may be.
    #[error("use --{name} {value}: expected {expected}")]
    BadArgument {
        /// The option.
        name: String,
        /// What was given.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// The release refuses a length above the one that it takes from the config.
    #[error(
        "use --context-length {asked}: {version} takes {most} from the model's config and refuses more; lower it, or set \
         {allows}=1 in front of the line if the model can do more",
        allows = super::length::SGLANG_ALLOWS_LONG
    )]
    LongerThanModel {
        /// The release.
        version: String,
        /// What was asked for, in tokens.
        asked: u64,
        /// What the config states, in tokens.
        most: u64,
    },
    /// A cache of this kind is laid out by rules that are not known here.
    #[error("size the pool: {what}, whose pool is not computed here; read the server's own lines with `vramscope log`")]
    UnknownPool {
        /// What the model has.
        what: &'static str,
    },
    /// Something must be given.
    #[error("compute {what}: {missing}")]
    Missing {
        /// What was computed.
        what: &'static str,
        /// What is missing, and how it is given.
        missing: &'static str,
    },
    /// More is said to be free than the device has.
    #[error(
        "take {:.2} GiB as free before loading: the device has {:.2} GiB; give the size of the device that the log is of",
        free.in_unit(ByteUnit::GiB),
        total.in_unit(ByteUnit::GiB)
    )]
    MoreThanDevice {
        /// What is said to be free.
        free: Bytes,
        /// All memory of the device.
        total: Bytes,
    },
    /// A size does not fit 64 bits.
    #[error("compute {what}: the result does not fit 64 bits")]
    Overflow {
        /// What was computed.
        what: &'static str,
    },
    /// Weights of this kind are laid out by rules that are not known here.
    #[error("count the weights: {what}: how this server loads such weights is not known here")]
    UnknownWeights {
        /// What the model or its arguments ask for.
        what: String,
    },
    /// The model's weights cannot be computed.
    #[error(transparent)]
    Model(EstimateError),
}

/// Weights are counted by functions that name options as the other engine spells them.
const SPELLED: &[(&str, &str)] = &[
    ("--tensor-parallel-size", "--tp-size"),
    ("--tensor-parallel-size x --data-parallel-size", "--tp-size"),
    ("--pipeline-parallel-size", "--pp-size"),
    ("--data-parallel-size", "--dp-size"),
    ("--enable-expert-parallel", "--ep-size"),
];

impl From<EstimateError> for SgLangError {
    fn from(error: EstimateError) -> Self {
        let own = |name: &'static str| SPELLED.iter().find(|(its, _)| *its == name).map_or(name, |(_, own)| *own);
        Self::Model(match error {
            // What another engine's release refuses is no word of this one's.
            EstimateError::Refused { what, .. } => {
                let what = what.strip_suffix(", which it does not know").unwrap_or(&what).to_owned();
                return Self::UnknownWeights { what };
            }
            EstimateError::BadArgument { name, value, expected } => {
                EstimateError::BadArgument { name: own(name), value, expected }
            }
            EstimateError::NotDivisible { what, size, name, ways } => {
                EstimateError::NotDivisible { what, size, name: own(name), ways }
            }
            EstimateError::Missing { what, name } => EstimateError::Missing { what, name: own(name) },
            other => other,
        })
    }
}
