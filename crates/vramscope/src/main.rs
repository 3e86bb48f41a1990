//! The `vramscope` command: arguments in, one library call, rendering and an exit code out.

mod backends;
mod cmd;
mod containers;
mod docker;
mod exit;
mod input;
mod output;
mod patience;
mod program;
mod progress;
mod signals;
mod table;
mod time;
mod timeline_report;

use clap::{CommandFactory as _, Parser};

/// Where did my GPU memory go, will this model fit, and what did that cost in time?
#[derive(Parser)]
#[command(name = "vramscope", version, after_help = exit::help(), arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: cmd::Command,
}

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    match cmd::run(cli.command) {
        Ok(answer) => exit::process(answer),
        Err(error) => exit::report(&error),
    }
}

/// The whole command line, for completions.
fn command_line() -> clap::Command {
    Cli::command()
}
