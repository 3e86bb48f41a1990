//! `vramscope estimate` for SGLang: a model and the server's own options.

use anyhow::anyhow;
use vramscope_analysis::NamedModel;
use vramscope_core::{Bytes, Confidence, EngineKind};
use vramscope_estimate::document::GpuDocument;
use vramscope_estimate::{
    Figure, GpuModel, SgLangBudget, SgLangDocument, SgLangFailure, SgLangFree, SgLangLine, SgLangSetting,
    SgLangVersion, sglang_budget,
};
use vramscope_schema::ExitCode;

use super::Args;
use super::input::{EngineFlags, ModelArgs};
use super::render::gib;
use crate::exit::{self, Failed, OrExit as _};
use crate::output::{self, Format};
use crate::table::{Align, Table, grouped, wrap};

/// A step of the last digit that logs print: 0.01 GiB.
const PRINTED_STEP: Bytes = Bytes::new((1 << 30) / 100);

/// The server's own options.
pub(crate) fn line(engine: &EngineFlags, version: Option<SgLangVersion>) -> anyhow::Result<SgLangLine> {
    let foreign = engine.of_vllm();
    if !foreign.is_empty() {
        let error = anyhow!(
            "{} is an option of vLLM: give SGLang's own after `--`, such as `-- --tp 2 --mem-fraction-static 0.85`",
            foreign.join(", ")
        );
        return Err(error).or_exit(ExitCode::Usage);
    }
    let mut line = SgLangLine::read(engine.words()).or_exit(ExitCode::Usage)?;
    let of_image = || engine.release(EngineKind::SgLang)?.parse().ok();
    line.args.version = version.or_else(of_image).unwrap_or(line.args.version);
    Ok(line)
}

/// The model by its name, or as the server's own option names it.
pub(crate) fn model(file: Option<&str>, model: &ModelArgs, line: &SgLangLine) -> anyhow::Result<NamedModel> {
    let named = file.or(model.name()).or(line.model.as_deref());
    NamedModel::read(named, &model.shape()).map_err(|error| {
        let code = exit::of_model(&error);
        anyhow::Error::new(error).context(Failed { code })
    })
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let line = line(&args.engine, args.sglang_version)?;
    let model = model(args.file.as_deref(), &args.model, &line)?;
    let free = match (args.free_before_weights, args.free_after_weights) {
        (Some(before), Some(after)) => {
            let none = || anyhow!("--free-after-weights is more than --free-before-weights: loading takes memory");
            Some(SgLangFree::printed(before, after, PRINTED_STEP).ok_or_else(none).or_exit(ExitCode::Usage)?)
        }
        _ => None,
    };
    let device = args.device.device()?;
    let calibration = args.device.calibration()?;
    let others = args.device.others();
    let setting = SgLangSetting { device: device.as_ref(), others, calibration: &calibration, free };
    let budget = sglang_budget(&model.architecture, &line.args, &setting).or_exit(ExitCode::BadInput)?;
    match args.format {
        Format::Table => output::print(&table(&model, &budget, device.as_ref(), output::width()))?,
        Format::Json => {
            let gpu = device.as_ref().map(|device| GpuDocument::new(device, others));
            let document = SgLangDocument::new(model.document().or_exit(ExitCode::BadInput)?, gpu, &budget);
            output::print(&output::json_text(&document)?)?;
        }
    }
    Ok(if budget.failure.is_none() { ExitCode::Success } else { ExitCode::Negative })
}

fn table(model: &NamedModel, budget: &SgLangBudget, device: Option<&GpuModel>, width: usize) -> String {
    let mut text = String::new();
    let args = &budget.args;
    say(&mut text, &format!("{}: {} parameters", model.name, grouped(budget.parameters)), width);
    let ranks = args.tp_size.saturating_mul(args.pp_size);
    let several = if ranks > 1 {
        format!(" x {ranks} (tp {} x pp {}), figures of one rank", args.tp_size, args.pp_size)
    } else {
        String::new()
    };
    let place = device.map_or("a device of which a log prints what is free", |device| device.name);
    say(&mut text, &format!("{} {} on {place}{several}", EngineKind::SgLang.title(), args.version), width);
    let share = &budget.share;
    let range =
        if share.low < share.high { format!(" ({:.3} to {:.3})", share.low, share.high) } else { String::new() };
    let settings = format!(
        "mem_fraction_static {:.3}{range} of what is free before loading, context_len {}, max_running_requests {}, \
         chunked_prefill_size {}, {} graphs of decoding, {} of prefills",
        share.value,
        grouped(budget.context_length),
        grouped(budget.max_running_requests),
        match budget.sizes.chunked_prefill_size {
            0 => "off".to_owned(),
            tokens => grouped(tokens),
        },
        budget.sizes.decode_graphs,
        budget.sizes.prefill_graphs,
    );
    say(&mut text, &settings, width);
    text.push('\n');
    text.push_str(&parts(budget).render(width));
    text.push('\n');
    for line in pool(budget) {
        say(&mut text, &line, width);
    }
    say(&mut text, &verdict(budget), width);
    for note in model.notes.iter().chain(&budget.notes) {
        say(&mut text, &format!("Note: {note}"), width);
    }
    if !args.ignored.is_empty() {
        say(&mut text, &format!("Not heeded, with or without an effect on memory: {}", args.ignored.join(", ")), width);
    }
    text
}

fn say(text: &mut String, line: &str, width: usize) {
    text.push_str(&wrap(line, width).join("\n"));
    text.push('\n');
}

fn parts(budget: &SgLangBudget) -> Table {
    let heads = [("part", Align::Left), ("GiB", Align::Right), ("interval", Align::Right), ("how", Align::Left)];
    let mut table = Table::new(&heads);
    let mut row = |name: &str, figure: &Figure, sign: &str| {
        let exact = figure.low == figure.high;
        let interval = if exact { String::new() } else { format!("{} to {}", gib(figure.low), gib(figure.high)) };
        table.row([
            name.to_owned(),
            format!("{sign}{}", gib(figure.value)),
            interval,
            format!("{}: {}", sure(figure), figure.formula),
        ]);
    };
    row("free before loading", &budget.free_before, "");
    row("weights", &budget.weights, "-");
    if let Some(states) = &budget.pool.states {
        row("recurrent states", states, "-");
    }
    row("KV pool", &budget.pool.bytes, "-");
    row("request table", &budget.request_table, "-");
    row("workspace", &budget.workspace, "-");
    row("graphs", &budget.graphs, "-");
    row("left for activations", &budget.left, "=");
    table
}

/// How well a figure is known, in a word.
fn sure(figure: &Figure) -> &'static str {
    match figure.confidence {
        Confidence::Computed => "computed",
        Confidence::Estimated => "estimated",
        _ => "assumed",
    }
}

fn pool(budget: &SgLangBudget) -> Vec<String> {
    let tokens = &budget.pool.tokens;
    let range = if tokens.low < tokens.high {
        format!(" ({} to {})", grouped(tokens.low), grouped(tokens.high))
    } else {
        String::new()
    };
    let cell = if budget.cell.bytes > 0 { budget.cell.bytes } else { budget.cell.window_bytes };
    let mut lines = vec![format!(
        "Pool: max_total_num_tokens {}{range}, {} bytes each; {} requests of {} tokens together.",
        grouped(tokens.value),
        grouped(cell),
        grouped(budget.full_requests()),
        grouped(budget.context_length),
    )];
    if let Some(window) = &budget.pool.window_tokens {
        let bytes = grouped(budget.cell.window_bytes);
        lines.push(format!(
            "Layers with a window have {} tokens of their own, {bytes} bytes each.",
            grouped(window.value)
        ));
    }
    lines
}

fn verdict(budget: &SgLangBudget) -> String {
    let sure = if budget.certain { "" } else { " (by the likely figures; the intervals allow either)" };
    match budget.failure {
        None if budget.full_requests() == 0 => format!(
            "Verdict: starts{sure}, and holds no request of {} tokens: a longer one than the pool is refused.",
            grouped(budget.context_length)
        ),
        None => format!("Verdict: starts{sure}."),
        Some(SgLangFailure::Weights) => {
            format!("Verdict: does not fit{sure}: the weights take more than is free; use more GPUs (--tp).")
        }
        Some(SgLangFailure::NoPool) => format!(
            "Verdict: does not start{sure}: the share leaves nothing behind the weights; raise --mem-fraction-static or \
             use more GPUs (--tp)."
        ),
        Some(_) => format!(
            "Verdict: runs out of memory{sure}: what stands beside the share does not hold the table of requests, the \
             workspace and the graphs; lower --mem-fraction-static, --cuda-graph-max-bs or --max-running-requests."
        ),
    }
}
