//! `--experiment`: the measurements of a baseline, and the folder that they leave.

mod course;
mod files;
mod folder;
mod render;
mod sections;
mod sizes;
mod summary;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::anyhow;
use vramscope_load::Lengths;
use vramscope_load::document::{MeteredDocument, PriceDocument};
use vramscope_schema::ExitCode;

use super::args::Args;
use crate::backends::BackendArgs;
use crate::exit::OrExit as _;
use crate::time;

pub(super) use course::{Results, check, measure};
pub(super) use folder::Folder;
pub(super) use render::table;
pub(super) use sizes::{INPUT, OUTPUT};

/// Which experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Experiment {
    /// One request at a time
    Latency,
    /// More and more requests in flight
    Throughput,
    /// Prompts and answers of several lengths
    Lengths,
    /// All of them
    Suite,
}

/// Arguments of experiments, and of an engine that is started.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ExperimentArgs {
    /// Make the measurements of a baseline, and leave a folder with their results and verdicts
    #[arg(
        long,
        value_enum,
        value_name = "NAME",
        conflicts_with_all = ["rate", "sweep", "ramp_up", "repeat", "max_in_flight", "burstiness", "dataset", "trace_speed"],
        help_heading = "Experiments"
    )]
    pub(crate) experiment: Option<Experiment>,
    /// What the whole server costs an hour, in any currency; 2.5/gpu for each device whose energy is read
    #[arg(long, value_name = "PRICE", help_heading = "Energy and money")]
    pub(crate) price: Option<Price>,
    /// From the start of the engine behind -- until it is ready, at most
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = time::positive, help_heading = "Requests")]
    pub(crate) timeout_start: Duration,
    #[command(flatten)]
    pub(crate) devices: BackendArgs,
    /// The command line of an engine, which is started once and stopped at the end
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

impl Experiment {
    /// Whether it is made of this one.
    fn has(self, one: Self) -> bool {
        self == one || self == Self::Suite
    }
}

/// A price an hour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Price {
    /// Currency units per hour.
    pub(crate) per_hour: f64,
    /// Of each device, not of the whole server.
    pub(crate) per_gpu: bool,
}

impl FromStr for Price {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, per_gpu) = text.strip_suffix("/gpu").map_or((text, false), |number| (number, true));
        let per_hour = number.trim().parse().ok().filter(|price: &f64| price.is_finite() && *price > 0.0);
        let per_hour = per_hour.ok_or_else(|| format!("`{text}` is no price an hour; write 2.5 or 2.5/gpu"))?;
        Ok(Self { per_hour, per_gpu })
    }
}

impl Price {
    /// The price of the server, whose devices are those whose energy is read.
    pub(super) fn of(self, metered: Option<&MeteredDocument>) -> anyhow::Result<PriceDocument> {
        if !self.per_gpu {
            return Ok(PriceDocument::new(self.per_hour, None));
        }
        let none = || {
            anyhow!(
                "a price for each GPU takes GPUs that are known to be the server's; name them with --gpu, or give the price of the whole server"
            )
        };
        let devices = metered.map(|metered| metered.devices.len()).ok_or_else(none).or_exit(ExitCode::Usage)?;
        let count = u32::try_from(devices).or_exit(ExitCode::Failure)?;
        Ok(PriceDocument::new(self.per_hour * f64::from(count), Some(u64::from(count))))
    }
}

/// Lengths as they are written: one, or several with commas between.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LengthList(Vec<Lengths>);

impl FromStr for LengthList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A mean and its deviation have a comma between them too.
        let parts: Vec<&str> = if text.starts_with("normal:") { vec![text] } else { text.split(',').collect() };
        Ok(Self(parts.into_iter().map(str::parse).collect::<Result<_, _>>()?))
    }
}

impl fmt::Display for LengthList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&parts.join(","))
    }
}

/// The length of all requests of a load. Experiments choose theirs later, and several only they take.
pub(super) fn length(flag: &str, given: Option<&LengthList>, usual: u64, args: &Args) -> anyhow::Result<Lengths> {
    match given.map(|list| list.0.as_slice()) {
        None => Ok(Lengths::Fixed(usual)),
        Some([one]) => Ok(*one),
        Some(_) if args.experiments.experiment.is_some_and(|one| one.has(Experiment::Lengths)) => {
            Ok(Lengths::Fixed(usual))
        }
        Some(_) => {
            Err(anyhow!("{flag} takes one length; several are for --experiment lengths")).or_exit(ExitCode::Usage)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_and_lists_are_read_as_they_are_written() {
        assert_eq!("2.5".parse(), Ok(Price { per_hour: 2.5, per_gpu: false }));
        assert_eq!("2.5/gpu".parse(), Ok(Price { per_hour: 2.5, per_gpu: true }));
        for text in ["", "0", "-1", "nan", "inf", "2.5/h", "/gpu"] {
            assert!(text.parse::<Price>().is_err(), "{text}");
        }
        for (text, count) in [("512", 1), ("10,50,200", 3), ("normal:500,100", 1), ("1..4,9", 2)] {
            let list: LengthList = text.parse().unwrap();
            assert_eq!((list.0.len(), list.to_string().as_str()), (count, text));
        }
        assert!("10,,5".parse::<LengthList>().is_err());
    }
}
