//! How a server is reached, and who is believed to be it.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use vramscope_load::{Client, Trust};
use vramscope_schema::ExitCode;

use super::args::Args;
use super::refused;
use crate::exit::OrExit as _;
use crate::input;
use crate::output;

/// A file of authorities is some hundred kilobytes.
const MOST_CA_BYTES: usize = 16 << 20;

#[derive(clap::Args)]
pub(crate) struct ReachArgs {
    /// With https: the certificates of the authorities to believe, as PEM [default: those of the system]
    #[arg(long, value_name = "PEM", conflicts_with = "insecure", help_heading = "Requests")]
    pub(crate) ca_file: Option<PathBuf>,
    /// With https: believe whoever answers; anybody on the way can then read and change everything
    #[arg(long, help_heading = "Requests")]
    pub(crate) insecure: bool,
}

/// The client of the server at this address, with this key.
pub(super) fn client(url: &str, api_key: Option<String>, args: &Args) -> anyhow::Result<Client> {
    let ReachArgs { ca_file, insecure } = &args.reach;
    if (ca_file.is_some() || *insecure) && !url.trim().starts_with("https://") {
        return Err(anyhow!("--ca-file and --insecure are of TLS; begin the address with https://"))
            .or_exit(ExitCode::Usage);
    }
    let trust = match ca_file {
        Some(path) => {
            let read = || format!("failed to read the CA file {}", path.display());
            Trust::Authorities {
                pem: input::bounded(path, MOST_CA_BYTES).with_context(read).or_exit(ExitCode::BadInput)?,
            }
        }
        None if *insecure => {
            output::say(
                "WARNING: --insecure: the server's certificate is not looked at. Anybody on the way can answer in its place, \
                 and read the API key. Give its authority with --ca-file PEM instead.",
            );
            Trust::Anybody
        }
        None => Trust::System,
    };
    refused(Client::trusting(url, api_key, &trust))
}
