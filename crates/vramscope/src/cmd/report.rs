//! `vramscope report`: a page that people look at.

mod readings;
mod source;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use vramscope_report::{Document, ReportError, page};
use vramscope_schema::ExitCode;

use crate::exit::OrExit as _;
use crate::output;

/// Make one page that people look at, of whatever vramscope writes or reads
///
/// A profile or recording, several beside each other, the saved output of a GPU tool, a campaign, a load, experiments, a comparison, an estimate or fit, a
/// recording of readings, a trace, snapshots of PyTorch's allocator, an explanation, a log. The page is one HTML file that loads nothing, opens from disk,
/// prints, and has a table behind each picture; or Markdown, for a pull request or a wiki. What a path is, is seen from its
/// content.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  vramscope report examples/llama-3.1-8b                   # a recording: report.html
  vramscope report before.json after.json -o both.html     # side by side
  vramscope report results/memory-profiles/july --open     # a campaign
  vramscope report load.json --format markdown >> \"$GITHUB_STEP_SUMMARY\"
  vramscope report rank0.pt.trace.json.gz -o trace.html
  vramscope report oom.pickle -o memory.html               # a snapshot of PyTorch's allocator
  vramscope report hour*.pickle -o growth.html             # what keeps growing
  vramscope compare a.json b.json --format json | vramscope report - -o compared.html
  vramscope estimate --gpu h100 --model ./Llama-3.1-8B --format json | vramscope report -

A page that is there already is replaced. Log lines and names are shown as text whatever they hold; secrets in them are hidden as everywhere. Long lists are cut,
and say so; the whole is in the JSON of the command that made them.

Exit codes: 0 written (also the page of a run that failed), 2 wrong command line, 3 nothing that a page is made of, 4 the page cannot be written, 5 a profile
of a newer version.")]
pub(crate) struct Args {
    /// What to show: files or folders; - is a JSON document from stdin
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Write the page to this file; - is stdout [default: report.html, and stdout for Markdown]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// How the page is written
    #[arg(long, value_enum, default_value = "html")]
    format: PageFormat,
    /// The heading of the page, in place of one made of what it shows
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// Open the page in the browser when it is written
    #[arg(long)]
    open: bool,
}

/// How a page is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum PageFormat {
    /// One file for a browser
    Html,
    /// For pull requests, wikis and terminals
    #[value(alias = "md")]
    Markdown,
}

/// Where a page goes that nobody has named.
const PAGE: &str = "report.html";

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let to_stdout = match &args.output {
        Some(path) => path == Path::new("-"),
        None => args.format == PageFormat::Markdown,
    };
    if args.open && to_stdout {
        let nothing = || Err(anyhow::anyhow!("--open needs a file: give its name with -o"));
        return nothing().or_exit(ExitCode::Usage);
    }
    let path = args.output.clone().unwrap_or_else(|| PAGE.into());
    if !to_stdout {
        let read = source::files(&args.paths)?;
        output::apart(&path, read.iter().map(PathBuf::as_path))?;
    }
    let page = page(&source::documents(&args.paths)?, args.title.as_deref()).or_page()?;
    let text = match args.format {
        PageFormat::Html => page.html(),
        PageFormat::Markdown => page.markdown(),
    };
    if to_stdout {
        output::print(&text)?;
        return Ok(ExitCode::Success);
    }
    output::write_file(&path, |out| Ok(out.write_all(text.as_bytes())?))?;
    output::say(&format!("page written to {}", path.display()));
    if args.open
        && let Err(error) = open::that_detached(&path)
    {
        output::say(&format!("note: no browser could be started ({error}); open {} by hand", path.display()));
    }
    Ok(ExitCode::Success)
}

/// Leaves the page of a result beside it, for a command that has just made it; `name` is what people know it by.
pub(crate) fn beside(path: &Path, name: &str, document: &impl serde::Serialize) -> anyhow::Result<()> {
    let document = Document::new(name, serde_json::to_value(document)?).or_page()?;
    write(path, &[document])
}

fn write(path: &Path, documents: &[Document]) -> anyhow::Result<()> {
    let text = page(documents, None).or_page()?.html();
    output::write_file(path, |out| Ok(out.write_all(text.as_bytes())?))
}

/// The page of a profile with its recording, beside the profile.
pub(crate) fn of_profile(profile: &Path, recording: &Path) -> anyhow::Result<PathBuf> {
    let page = name_beside(profile);
    let shown = if recording.is_dir() { recording } else { profile };
    write(&page, &source::documents(&[shown.to_owned()])?)?;
    Ok(page)
}

/// What the page beside a document is called: the document's name with .html in place of .json, or behind it.
pub(crate) fn name_beside(document: &Path) -> PathBuf {
    let is_json = document.extension().is_some_and(|end| end == "json");
    if is_json { document.with_extension("html") } else { document.with_added_extension("html") }
}

/// Gives an error of the page its exit code.
trait OrPage<T> {
    fn or_page(self) -> anyhow::Result<T>;
}

impl<T> OrPage<T> for Result<T, ReportError> {
    fn or_page(self) -> anyhow::Result<T> {
        let code = match &self {
            Err(ReportError::Newer { .. }) => ExitCode::NewerVersion,
            _ => ExitCode::BadInput,
        };
        self.context("failed to make a page").or_exit(code)
    }
}
