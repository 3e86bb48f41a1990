//! The `vramscope` command: arguments in, one library call, rendering and an exit code out.

mod backends;
mod cmd;
mod containers;
mod docker;
mod exit;
mod help;
mod input;
mod log_lines;
mod output;
mod patience;
mod program;
mod progress;
mod signals;
mod table;
mod time;
mod timeline_report;

use clap::{CommandFactory as _, FromArgMatches as _, Parser};

/// Where did my GPU memory go, will this model fit, and what did that cost in time?
#[derive(Parser)]
#[command(name = "vramscope", version, after_help = exit::help(), arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: cmd::Command,
}

fn main() -> std::process::ExitCode {
    let parsed = command_line().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return exit::of_command_line(&error),
    };
    match cmd::run(cli.command) {
        Ok(answer) => exit::process(answer),
        Err(error) => exit::report(&error),
    }
}

/// The whole command line.
fn command_line() -> clap::Command {
    help::kept_together(Cli::command())
}
