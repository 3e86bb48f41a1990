//! `vramscope estimate` for llama.cpp: a GGUF file and the server's own options.

use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use vramscope_core::{Confidence, EngineKind, PackedModel};
use vramscope_estimate::{
    Figure, GpuModel, LlamaCppBackend, LlamaCppBudget, LlamaCppDocument, LlamaCppLine, LlamaCppSetting,
    LlamaCppSubject, llama_cpp_fitted, llama_cpp_most_layers,
};
use vramscope_models::read_gguf;
use vramscope_schema::ExitCode;

use super::Args;
use super::input::EngineFlags;
use super::render::gib;
use crate::exit::OrExit as _;
use crate::output::{self, Format};
use crate::table::{Align, Table, wrap};

/// A model is never split over more files.
const MOST_FILES: u32 = 1024;

/// What computes, as it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Backend {
    /// NVIDIA's CUDA, or AMD's HIP by the same sources
    Cuda,
    /// Vulkan
    Vulkan,
    /// The host alone
    Host,
}

impl Backend {
    /// What computes, where somebody says so.
    pub(crate) fn told(self) -> LlamaCppBackend {
        match self {
            Self::Cuda => LlamaCppBackend::Cuda,
            Self::Vulkan => LlamaCppBackend::Vulkan,
            Self::Host => LlamaCppBackend::Host,
        }
    }
}

/// The server's own options.
pub(crate) fn line(engine: &EngineFlags, build: Option<u64>) -> anyhow::Result<LlamaCppLine> {
    let foreign = engine.of_vllm();
    if !foreign.is_empty() {
        let error = anyhow!(
            "{} is an option of vLLM: give llama.cpp's own after `--`, such as `-- -c 8192 -ngl 20`",
            foreign.join(", ")
        );
        return Err(error).or_exit(ExitCode::Usage);
    }
    let mut line = LlamaCppLine::read(engine.words()).or_exit(ExitCode::Usage)?;
    let of_image = || super::build(&engine.release(EngineKind::LlamaCpp)?).ok();
    line.args.build = build.or_else(of_image);
    Ok(line)
}

/// A model's file.
pub(crate) struct File {
    /// As it was named.
    pub(crate) name: String,
    /// What it holds, with the files that belong to it.
    pub(crate) model: PackedModel,
    /// Bytes of all these files, as their headers tell.
    pub(crate) bytes: u64,
    /// What is amiss with it, one sentence each.
    pub(crate) notes: Vec<String>,
}

/// The file by its name, or by the server's own option.
pub(crate) fn model(named: Option<&str>, line: &LlamaCppLine) -> anyhow::Result<File> {
    let missing = || match line.states_repository() {
        true => anyhow!("no model: a repository is not read here; give its .gguf file with --model FILE"),
        false => anyhow!("no model: give a .gguf file, or `-m FILE` after `--`"),
    };
    // A container has the same file under another path.
    let bare = |path: &str| Path::new(path).file_name().map(ToOwned::to_owned);
    if let (Some(named), Some(of_line)) = (named, line.model.as_deref())
        && bare(named) != bare(of_line)
    {
        let error = anyhow!("the model is {named}, and the server's line loads {of_line}: leave one of them out");
        return Err(error).or_exit(ExitCode::Usage);
    }
    let name = named.or(line.model.as_deref()).ok_or_else(missing).or_exit(ExitCode::Usage)?;
    let of_line =
        || "the line names this file; where that is a path in a container, give the file here with --model FILE";
    let read = read(name);
    if named.is_none() && !Path::new(name).exists() { read.with_context(of_line) } else { read }
        .or_exit(ExitCode::BadInput)
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    args.model.of_file()?;
    let line = line(&args.engine, args.llama_cpp_build)?;
    let File { name, model, notes, .. } = model(args.file.as_deref().or(args.model.name()), &line)?;
    let device = args.device.device()?;
    let usual = if device.is_some() { LlamaCppBackend::Cuda } else { LlamaCppBackend::Host };
    let backend = args.llama_cpp_backend.map_or(usual, Backend::told);
    let device = device.filter(|_| backend.has_device());
    let setting = LlamaCppSetting { backend, device: device.as_ref(), others: args.device.others() };
    let mut budget = llama_cpp_fitted(&model, &line.args, setting).or_exit(ExitCode::BadInput)?;
    budget.notes.extend(notes);
    let most = match &device {
        Some(_) if !line.args.without_device => {
            llama_cpp_most_layers(&model, &budget.args, setting).or_exit(ExitCode::BadInput)?
        }
        _ => None,
    };
    match args.format {
        Format::Table => {
            output::print(&table(&name, &model, &budget, device.as_ref(), (most, "-ngl"), output::width()))?;
        }
        Format::Json => {
            let gpu = device.as_ref().map(|device| device.key);
            let subject = LlamaCppSubject { model: &name, family: &model.family, backend, gpu, most_layers: most };
            output::print(&output::json_text(&LlamaCppDocument::new(subject, &budget))?)?;
        }
    }
    Ok(if budget.fits.unwrap_or(true) { ExitCode::Success } else { ExitCode::Negative })
}

/// The model of a file, and of those that belong to it (`-00001-of-00003.gguf`).
pub(crate) fn read(name: &str) -> anyhow::Result<File> {
    let path = Path::new(name);
    let mut notes = Vec::new();
    let (mut model, mut bytes) = read_one(path, &mut notes)?;
    let further = siblings(path);
    let here = u64::try_from(further.len()).unwrap_or(u64::MAX).saturating_add(1);
    let files = model.number("split.count").filter(|files| *files > 0).unwrap_or(here);
    if files != here || model.number("split.no").is_some_and(|number| number > 0) {
        anyhow::bail!(
            "could not use {}: it is one of {files} files of a model; give the first, named as it was made \
             (…-00001-of-{files:05}.gguf), with the others beside it",
            path.display()
        );
    }
    for further in further {
        let (part, its) = read_one(&further, &mut notes)?;
        model.tensors.extend(part.tensors);
        bytes = bytes.saturating_add(its);
    }
    Ok(File { name: name.to_owned(), model, bytes, notes })
}

fn read_one(path: &Path, notes: &mut Vec<String>) -> anyhow::Result<(PackedModel, u64)> {
    let shown = path.display().to_string();
    let file = vramscope_runs::open_file(path).with_context(|| format!("could not open {shown}"))?;
    let bytes = file.metadata().with_context(|| format!("could not look at {shown}"))?.len();
    let gguf = read_gguf(BufReader::new(file)).with_context(|| format!("could not use {shown}"))?;
    let whole = gguf.least_file_bytes();
    if bytes < whole {
        let name = path.file_name().map_or_else(|| shown.clone(), |name| name.to_string_lossy().into_owned());
        notes.push(format!(
            "{name} ends after {bytes} of {whole} bytes: its sizes are computed from its header, and no server loads it"
        ));
    }
    Ok((gguf.packed(), whole))
}

/// The further files of a model that begins with this one.
fn siblings(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some((stem, rest)) = name.split_once("-00001-of-") else { return Vec::new() };
    let Some(count) = rest.split('.').next().and_then(|count| count.parse::<u32>().ok()) else { return Vec::new() };
    let of = |number: u32| path.with_file_name(format!("{stem}-{number:05}-of-{rest}"));
    (2..=count.min(MOST_FILES)).map(of).collect()
}

pub(super) fn table(
    name: &str,
    model: &PackedModel,
    budget: &LlamaCppBudget,
    device: Option<&GpuModel>,
    (most, option): (Option<u64>, &str),
    width: usize,
) -> String {
    let mut text = String::new();
    let mut say = |line: &str| {
        text.push_str(&wrap(line, width).join("\n"));
        text.push('\n');
    };
    let place = device.map_or("the host alone", |device| device.name);
    say(&format!("{name}: {}, {} GiB of tensors", model.family, gib(model.bytes().unwrap_or(0))));
    say(&format!(
        "{} on {place}: {} of {} layers there, {} slot{}, {} tokens ({} a request{}), KV {} and {}",
        EngineKind::LlamaCpp.title(),
        budget.layers_on_device,
        budget.layers,
        budget.slots,
        if budget.slots == 1 { "" } else { "s" },
        budget.context,
        budget.context_of_slot,
        if budget.unified { ", one pool" } else { "" },
        budget.args.cache_k,
        budget.args.cache_v,
    ));
    for change in &budget.changes {
        say(&format!("Fitting (`--fit`): {change}"));
    }
    text.push('\n');
    text.push_str(&parts(budget).render(width));
    text.push('\n');
    let mut say = |line: &str| {
        text.push_str(&wrap(line, width).join("\n"));
        text.push('\n');
    };
    if let (Some(available), Some(fits)) = (budget.available, budget.fits) {
        let total = gib(budget.device_total.value);
        let verdict = if fits { "It fits" } else { "It does not fit" };
        let sure = match budget.certain() {
            Some(false) => " (by the likely figures; the intervals allow either)",
            _ => "",
        };
        say(&format!("{verdict}: {total} GiB of {} GiB{sure}", gib(available)));
        match most {
            _ if budget.args.without_device => {}
            Some(most) if most < budget.layers => {
                say(&format!("At most {most} of {} layers fit the device ({option} {most})", budget.layers));
            }
            Some(most) if budget.layers_on_device < most => {
                say(&format!("All {most} layers would fit the device, with less left free ({option} {most})"));
            }
            Some(_) => say("All layers fit the device"),
            None => say("Not even without layers does it fit the device"),
        }
    }
    for note in &budget.notes {
        say(&format!("Note: {note}"));
    }
    if !budget.args.ignored.is_empty() {
        say(&format!("Not heeded, with or without an effect on memory: {}", budget.args.ignored.join(", ")));
    }
    text
}

fn parts(budget: &LlamaCppBudget) -> Table {
    let heads = [
        ("part", Align::Left),
        ("device GiB", Align::Right),
        ("interval", Align::Right),
        ("host GiB", Align::Right),
        ("how", Align::Left),
    ];
    let mut table = Table::new(&heads);
    let interval = |figure: &Figure| {
        let exact = figure.low == figure.high;
        if exact { String::new() } else { format!("{} to {}", gib(figure.low), gib(figure.high)) }
    };
    for part in &budget.parts {
        let figure = if part.device.value > 0 { &part.device } else { &part.host };
        table.row([
            part.name.replace('_', " "),
            gib(part.device.value),
            interval(&part.device),
            gib(part.host.value),
            how(figure).to_owned(),
        ]);
    }
    let (driver, device, host) = (&budget.driver, &budget.device_total, &budget.host_total);
    if driver.value > 0 {
        table.row(["driver".to_owned(), gib(driver.value), interval(driver), String::new(), how(driver).to_owned()]);
    }
    let total = if device.high > 0 && device.confidence <= host.confidence { device } else { host };
    table.row(["total".to_owned(), gib(device.value), interval(device), gib(host.value), how(total).to_owned()]);
    table
}

/// How well a figure is known, in a word.
fn how(figure: &Figure) -> &'static str {
    match figure.confidence {
        Confidence::Computed => "computed",
        Confidence::Estimated => "estimated",
        _ => "assumed",
    }
}
