//! The budget as a table with a bar.

use std::fmt::Write as _;

use vramscope_analysis::NamedModel;
use vramscope_core::{ByteUnit, Bytes, FailureKind};
use vramscope_estimate::document::{TimeDocument, runner_name};
use vramscope_estimate::{Budget, CommandLine, EngineArgs, Figure, Setting, StageLayers, WorkloadUse};

use super::input::element_name;
use super::{layers, time};
use crate::table::{Align, Table, grouped, wrap};

/// What is shown beside a budget, where it was asked for.
#[derive(Clone, Copy)]
pub(super) struct Beside<'a> {
    pub(super) by_layer: Option<&'a [StageLayers]>,
    pub(super) time: Option<&'a TimeDocument>,
}

pub(super) fn budget(
    model: &NamedModel,
    budget: &Budget,
    setting: Setting<'_>,
    used: Option<WorkloadUse>,
    beside: Beside<'_>,
    line: &CommandLine,
    width: usize,
) -> String {
    let mut text = head(model, budget, setting, &line.args, width);
    text.push_str(&bar(budget, setting, width));
    text.push('\n');
    text.push_str(&parts(budget).render(width));
    text.push('\n');
    text.push_str(&beside.by_layer.map_or(String::new(), |stages| layers::tables(stages, width)));
    for line in cache(budget).into_iter().chain(used.map(|used| workload(used, budget))) {
        paragraph(&mut text, &line, width);
    }
    if let Some(time) = beside.time {
        text.push('\n');
        text.push_str(&time::table(time, width));
    }
    paragraph(&mut text, &verdict(budget, setting), width);
    for note in model.notes.iter().chain(&budget.notes) {
        paragraph(&mut text, &format!("Note: {note}"), width);
    }
    if !line.ignored.is_empty() {
        paragraph(&mut text, &format!("Without effect here: {}", line.ignored.join(", ")), width);
    }
    text
}

fn head(model: &NamedModel, budget: &Budget, setting: Setting<'_>, args: &EngineArgs, width: usize) -> String {
    let engine = &budget.engine;
    let mut first =
        format!("{}: {} parameters, {}", model.name, grouped(budget.parameters), element_name(engine.element));
    if let Some(quantization) = &model.architecture.quantization {
        let _ = write!(first, ", {}", quantization.method);
    }
    let ranks = engine.tensor_parallel_size * engine.pipeline_parallel_size;
    let mut second = format!("vLLM {} ({} runner", engine.version, runner_name(engine.runner));
    let _ = write!(second, "{}) on {}", if engine.compiled { "" } else { ", eager" }, setting.device.name);
    if ranks > 1 {
        let (tensor, pipeline) = (engine.tensor_parallel_size, engine.pipeline_parallel_size);
        let _ = write!(second, " x {ranks} (tensor {tensor} x pipeline {pipeline}), figures of one rank");
    }
    let third = format!(
        "max_model_len {}, max_num_seqs {}, max_num_batched_tokens {}, gpu_memory_utilization {}",
        grouped(engine.max_model_len),
        grouped(engine.max_num_seqs),
        grouped(engine.max_num_batched_tokens),
        engine.gpu_memory_utilization,
    );
    let drafter = args.drafter.as_ref().map(|drafter| {
        let model = drafter.model.as_ref().map_or(String::new(), |model| format!(", {model}"));
        format!("drafter {}{model}: {} tokens ahead", drafter.method.name(), args.num_speculative_tokens)
    });
    let mut text = String::new();
    for line in [first, second, third].into_iter().chain(drafter) {
        paragraph(&mut text, &line, width);
    }
    text.push('\n');
    text
}

/// The card from left to right, and what each sign stands for.
fn bar(budget: &Budget, setting: Setting<'_>, width: usize) -> String {
    let total = setting.device.total;
    let spans: [(char, &str, u64); 8] = [
        ('o', "others", setting.others.get()),
        ('c', "context", budget.runtime_context.value),
        ('W', "weights", budget.weights.value),
        ('k', "kept", budget.held.value),
        ('A', "activations", budget.activation_peak.value),
        ('n', "non-torch", budget.non_torch.value),
        ('G', "graphs", budget.cuda_graphs.value),
        ('K', "KV cache", budget.kv_cache.value),
    ];
    let room = width.saturating_sub(4);
    let mut line = String::new();
    let mut filled = 0_u64;
    for (sign, _, size) in spans {
        filled = filled.saturating_add(size);
        while line.chars().count() < cells(filled, total, room) {
            line.push(sign);
        }
    }
    while line.chars().count() < room {
        line.push('.');
    }
    let legend = spans.iter().filter(|(.., size)| *size > 0).map(|(sign, name, _)| format!("{sign} {name}"));
    let legend: Vec<String> = legend.chain([". free".to_owned()]).collect();
    let legend = legend.join("  ");
    let fits = legend.chars().count() + 2 <= width;
    let legend = if fits { legend } else { wrap(&legend, width.saturating_sub(2)).join("\n  ") };
    format!("  [{line}]\n  {legend}\n")
}

/// How many cells of `room` a filling takes, rounded to the nearest.
fn cells(filled: u64, total: Bytes, room: usize) -> usize {
    let share = u128::from(filled) * room as u128 * 2 / u128::from(total.get().max(1));
    usize::try_from(share.div_ceil(2)).unwrap_or(room).min(room)
}

fn parts(budget: &Budget) -> Table {
    let heads = [("part", Align::Left), ("GiB", Align::Right), ("interval", Align::Right), ("how", Align::Left)];
    let mut table = Table::new(&heads);
    let mut row = |name: &str, figure: &Figure, sign: &str| {
        let value = format!("{sign}{}", gib(figure.value));
        let interval = if figure.low == figure.high {
            String::new()
        } else {
            format!("{} to {}", gib(figure.low), gib(figure.high))
        };
        table.row([name.to_owned(), value, interval, format!("{}: {}", figure.confidence, how(figure))]);
    };
    row("requested", &budget.requested, "");
    row("weights", &budget.weights, "-");
    if budget.held.value > 0 {
        row("kept beside them", &budget.held, "-");
    }
    row("activation peak", &budget.activation_peak, "-");
    row("non-torch", &budget.non_torch, "-");
    if budget.cuda_graphs_budgeted.value > 0 {
        row("graphs, as budgeted", &budget.cuda_graphs_budgeted, "-");
    }
    row("KV cache", &budget.kv_cache, "=");
    row("on top: graphs", &budget.cuda_graphs, "");
    row("on top: context", &budget.runtime_context, "");
    table
}

/// A figure's reason in a few words.
fn how(figure: &Figure) -> &'static str {
    match figure.method {
        "total_times_share" => "device total x utilization",
        "loaded_tensors" => "every tensor's block in the allocator",
        "tensor_table" => "the checkpoint's tensor table",
        "sampler_phase" => "the sampler's phase: requests x vocabulary",
        "forward_phase" => "the forward phase: tokens x widths",
        "runner_and_workspaces" => "the runner's tables, workspaces, the allocator's reserve",
        "engine_trial_capture" => "the engine's trial capture, as recorded",
        "tensors_and_nodes" => "their tensors, and what the driver keeps of each",
        "compilation" => "the embedding's table once more, while it is compiled for the first time",
        "measured_growth" => "as recorded",
        "growth_of_fewer_ranks" => "of two ranks",
        "engine_estimate" => "the engine's estimate, as recorded",
        "eager" => "none are captured",
        "measured_context" => "the driver's, before the first snapshot",
        "whole_blocks" => "whole blocks",
        _ => figure.formula,
    }
}

fn cache(budget: &Budget) -> Vec<String> {
    let plan = &budget.plan;
    let requests = Bytes::new(budget.max_concurrency_milli.value).as_f64() / 1000.0;
    let mut lines = vec![format!(
        "KV cache: {} blocks of {} tokens ({} bytes each), {} tokens as reported, {requests:.2} requests of {} tokens together.",
        grouped(budget.num_gpu_blocks.value),
        plan.block_size,
        grouped(plan.bytes_per_block),
        grouped(budget.kv_cache_tokens.value),
        grouped(budget.engine.max_model_len),
    )];
    if plan.groups.len() > 1 {
        let blocks = plan.blocks_per_request(budget.engine.max_model_len);
        let blocks =
            blocks.map_or(String::new(), |blocks| format!(": such a request takes {} blocks", grouped(blocks)));
        lines.push(format!("{} groups of layers draw on one pool{blocks}.", plan.groups.len()));
    }
    lines
}

fn workload(used: WorkloadUse, budget: &Budget) -> String {
    let mut line = format!(
        "Workload: a request of {} tokens takes {} blocks; {} run together",
        grouped(used.tokens_per_request),
        grouped(used.blocks_per_request),
        grouped(used.concurrent_requests),
    );
    if used.concurrent_requests == budget.engine.max_num_seqs {
        line.push_str(" (max_num_seqs)");
    }
    if !used.within_model_len {
        let _ = write!(line, ", but it is longer than max_model_len {}", grouped(budget.engine.max_model_len));
    }
    match used.wanted {
        Some(wanted) if wanted > used.concurrent_requests => {
            let _ = write!(line, "; {} of {} wait", grouped(wanted - used.concurrent_requests), grouped(wanted));
        }
        Some(wanted) => {
            let _ = write!(line, "; {} take {} GiB", grouped(wanted), gib(used.bytes));
        }
        None => {}
    }
    line.push('.');
    line
}

fn verdict(budget: &Budget, setting: Setting<'_>) -> String {
    let verdict = &budget.verdict;
    let sure = if verdict.certain { "" } else { " (by the likely figures; the interval allows either)" };
    let up_to = verdict.longest_model_len.map(|n| format!(" It would start with --max-model-len {n}."));
    let up_to = up_to.unwrap_or_default();
    let wanted = grouped(budget.engine.max_model_len);
    match &verdict.failure {
        None => format!("Verdict: fits{sure}."),
        Some(FailureKind::FreeMemoryBelowUtilization { free, requested, .. }) => format!(
            "Verdict: does not start{sure}: {} GiB are free, {} GiB are asked for. Lower --gpu-memory-utilization or stop \
             the other process.",
            free.map_or_else(|| "too few".to_owned(), |b| gib(b.get())),
            requested.map_or_else(|| "more".to_owned(), |b| gib(b.get())),
        ),
        Some(FailureKind::OutOfMemory { .. }) => format!(
            "Verdict: does not fit{sure}: weights and the profile run need more than the card's {} GiB; the engine runs out \
             of memory while it loads or profiles.",
            gib(setting.device.total.get()),
        ),
        Some(FailureKind::NoKvCacheMemory) => format!(
            "Verdict: does not fit{sure}: nothing is left for the KV cache; raise --gpu-memory-utilization or use more GPUs."
        ),
        Some(FailureKind::KvCacheTooSmallForMaxModelLen { needed, available, .. }) => format!(
            "Verdict: does not start{sure}: one request of {wanted} tokens needs {} GiB of KV cache, {} GiB are there.{up_to}",
            needed.map_or_else(|| "more".to_owned(), |b| gib(b.get())),
            available.map_or_else(|| "fewer".to_owned(), |b| gib(b.get())),
        ),
        Some(other) => format!("Verdict: does not start{sure}: {}.{up_to}", other.name()),
    }
}

pub(super) fn paragraph(text: &mut String, line: &str, width: usize) {
    for part in wrap(line, width) {
        let _ = writeln!(text, "{part}");
    }
}

pub(crate) fn gib(bytes: u64) -> String {
    format!("{:.2}", Bytes::new(bytes).in_unit(ByteUnit::GiB))
}
