//! `vramscope completions`.

use vramscope_schema::ExitCode;

/// Print a shell completion script
#[derive(clap::Args)]
#[command(after_help = "Example:\n  vramscope completions bash > ~/.local/share/bash-completion/completions/vramscope")]
pub(crate) struct Args {
    /// The shell to print it for
    shell: clap_complete::Shell,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::command_line(), "vramscope", &mut script);
    crate::output::print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::Success)
}
