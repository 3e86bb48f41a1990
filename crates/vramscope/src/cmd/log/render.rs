//! An engine log, for people.

use std::fmt::Write as _;

use vramscope_core::{Bytes, EngineFacts, EngineKind, Fact, Generation, Milestone, Scope};
use vramscope_log::document::{milestone_name, time_text};
use vramscope_log::{EngineReport, Figure, Key, LogReport, News, ParseNote, Value};

use super::{buffers, failures, plans};
use crate::table::{Align, Table, wrap};

/// A part of the report: its title and its lines.
fn section(text: &mut String, title: &str, body: &str) {
    if !body.is_empty() {
        let bold = anstyle::Style::new().bold();
        let _ = write!(text, "\n{bold}{title}{bold:#}\n{body}");
    }
}

/// The whole report.
pub(super) fn report(report: &LogReport, width: usize) -> String {
    let mut text = String::new();
    if report.lines == 0 {
        text.push_str("The log is empty.\n");
    } else if report.engines.is_empty() {
        let _ = writeln!(text, "Nothing in these {} lines is known to come from an engine.", report.lines);
    }
    for (place, one) in report.engines.iter().enumerate() {
        let of = if report.engines.len() > 1 {
            format!(" {} of {}", place + 1, report.engines.len())
        } else {
            String::new()
        };
        engine(&mut text, one, &of, width);
    }
    section(&mut text, "Notes on the log", &notes(&report.notes, width));
    text
}

fn engine(text: &mut String, engine: &EngineReport, of: &str, width: usize) {
    let bold = anstyle::Style::new().bold();
    let lead = if text.is_empty() { "" } else { "\n" };
    let stage = engine.stage.map_or_else(String::new, |stage| format!(", stage {stage}"));
    let title = format!("Engine{of}{stage}");
    let lines = format!("(lines {} to {})", engine.first_line, engine.last_line);
    let head = format!("{}  {lines}", headline(&engine.facts));
    let beside = title.len() + 2 + head.chars().count() <= width;
    let _ = write!(text, "{lead}{bold}{title}{bold:#}");
    if beside {
        let _ = writeln!(text, "  {head}");
    } else {
        text.push('\n');
        for line in wrap(&head, width.saturating_sub(2)) {
            let _ = writeln!(text, "  {line}");
        }
    }
    section(text, "What went wrong", &failures::text(engine, width));
    section(text, "Memory by place", &buffers::text(&engine.facts, width));
    section(text, "Memory", &memory(engine, width));
    section(text, "What these figures mean", &notes(&engine.corrections, width));
    section(text, "KV cache", &kv_cache(&engine.facts, width));
    section(text, "Settings", &settings(&engine.facts, width));
    section(text, "Start and work", &events(&engine.facts, width));
    section(text, "Running", &running(engine, width));
    section(text, "Benchmark", &bench(engine, width));
    section(text, "Notes", &notes(&engine.notes, width));
}

fn headline(facts: &EngineFacts) -> String {
    let mut parts = Vec::new();
    let name = facts.engine.map_or("an engine that the log does not tell", EngineKind::title);
    parts.push(facts.version.as_ref().map_or_else(|| name.to_owned(), |v| format!("{name} {}", v.value)));
    parts.extend(facts.generation.as_ref().map(|g| match g.value {
        Generation::V0 => "V0".to_owned(),
        Generation::V1 => "V1".to_owned(),
    }));
    parts.extend(facts.model.as_ref().map(|m| m.value.clone()));
    parts.extend(facts.architecture.as_ref().map(|a| format!("({})", a.value)));
    parts.extend((facts.replicas.len() > 1).then(|| format!("{} data-parallel engines", facts.replicas.len())));
    parts.join("  ")
}

pub(super) fn paragraph(text: &mut String, body: &str, width: usize) {
    for line in wrap(body, width.saturating_sub(4)) {
        let _ = writeln!(text, "    {line}");
    }
}

/// The parts of memory that a log can state, with their names for people.
const MEMORY: &[(&[Key], &str)] = &[
    (&[Key::DeviceTotal, Key::FailTotal], "device, total"),
    (&[Key::DevicesTotal], "all devices, total"),
    (&[Key::DevicesRequested], "of them for the engine"),
    (&[Key::DevicesUsed], "of them in use"),
    (&[Key::DevicesFree], "of them for the KV cache"),
    (&[Key::InitialFree, Key::FailFree], "free when the worker starts"),
    (&[Key::InitialNonTorch], "in use before, outside torch"),
    (&[Key::Requested, Key::FailRequested], "the engine may use"),
    (&[Key::Weights], "weights"),
    (&[Key::WeightsRead], "weights, as read"),
    (&[Key::GraphWrapping], "wrapping in graphs"),
    (&[Key::WeightsProfiled], "weights, by the profile"),
    (&[Key::Consumed], "weights and what stays"),
    (&[Key::ActivationPeak, Key::ActivationSummary], "activation peak"),
    (&[Key::TorchGrowth], "torch's peak, in all"),
    (&[Key::PeakWithGraphs], "peak with graphs"),
    (&[Key::NonTorch, Key::NonTorchSummary], "non-torch growth"),
    (&[Key::ProfileRunKept], "kept of the profile run"),
    (&[Key::GraphsReserved], "graphs, set aside"),
    (&[Key::GraphsEstimated, Key::GraphPoolEstimated], "graphs, estimated"),
    (&[Key::GraphsTried], "graphs, on trial"),
    (&[Key::Graphs, Key::GraphPool], "graphs, captured"),
    (&[Key::GraphsOfPhase], "graphs of a phase"),
    (&[Key::EncoderGraphs], "graphs of the encoder"),
    (&[Key::KvPool], "KV-cache pool"),
    (&[Key::KvPoolTaken], "KV-cache pool, allocated"),
    (&[Key::CpuOffloaded], "weights kept on the host"),
    (&[Key::SwapSpace], "swap space on the host"),
    (&[Key::FreeForEngine], "free for the engine"),
    (&[Key::FreeAfterWeights], "free after weights"),
    (&[Key::FreeAfterPools], "free after pools"),
    (&[Key::FreeAfterGraphs], "free after graphs"),
    (&[Key::FreeAtReady], "free when ready"),
    (&[Key::PlannedTotal], "all, by the plan"),
    (&[Key::PlannedWeights], "weights, by the plan"),
    (&[Key::PlannedKv], "KV cache, by the plan"),
    (&[Key::PlannedCompute, Key::PlannedComputePartial], "computing, by the plan"),
    (&[Key::HeldTotal], "all, as held"),
    (&[Key::Unaccounted], "neither free nor known"),
    (&[Key::SleepFreed], "freed by sleeping"),
    (&[Key::SleepInUse], "in use while asleep"),
];

fn memory(engine: &EngineReport, width: usize) -> String {
    let mut table = Table::new(&[
        ("part", Align::Left),
        ("GiB", Align::Right),
        ("±", Align::Right),
        ("speaks for", Align::Left),
        ("line", Align::Right),
        ("printed by", Align::Left),
    ]);
    let mut rows = 0;
    for (keys, name) in MEMORY {
        let of_key = |key: &Key| -> Vec<&Figure> {
            engine.figures.iter().filter(|f| f.key == *key && plans::holds(f, engine)).collect()
        };
        let present = keys.iter().map(|key| (key, of_key(key))).find(|(_, figures)| !figures.is_empty());
        let Some((key, figures)) = present else { continue };
        // What the profile says of the weights is of interest only where nothing else does.
        if *key == Key::WeightsProfiled && engine.figures.iter().any(|f| f.key == Key::Weights) {
            continue;
        }
        // Where memory is known by place, these stand there.
        let by_place = matches!(key, Key::Weights | Key::KvPool | Key::Graphs) && !engine.facts.buffers.is_empty();
        if by_place {
            continue;
        }
        let values = distinct(&figures);
        let left_out = values.len().saturating_sub(MAX_VALUES);
        for (place, (figure, more)) in values.into_iter().take(MAX_VALUES).enumerate() {
            let Some(memory) = figure.memory() else { continue };
            let by = figure.origin.worker.clone().unwrap_or_default();
            let by = if more > 0 { format!("{by} and {more} more") } else { by };
            table.row([
                if place == 0 { (*name).to_owned() } else { String::new() },
                format!("{:.2}", memory.bytes.as_f64() / GIB),
                figure.resolution.map_or(String::new(), |bytes| half_step(bytes / GIB)),
                speaks_for(figure, &engine.facts),
                figure.origin.line.to_string(),
                by,
            ]);
            rows += 1;
        }
        if left_out > 0 {
            let text = format!("and {} other values", thousands(u64::try_from(left_out).unwrap_or(u64::MAX)));
            table.row([String::new(), String::new(), String::new(), String::new(), String::new(), text]);
        }
    }
    if rows == 0 {
        return String::new();
    }
    let mut text = table.render(width);
    let engines = engine.facts.replicas.len();
    if engines > 1 {
        // A rank of each engine is called rank 0, and equal values are one row.
        let told = format!("Each of the {engines} engines holds this on devices of its own: nothing is added up here.");
        for line in wrap(&told, width.saturating_sub(2)) {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}

/// Most values of one part that the table shows; the JSON document has them all.
const MAX_VALUES: usize = 16;
const GIB: f64 = 1_073_741_824.0;

/// Figures of one key, with how many later ones have the same value.
fn distinct<'a>(figures: &[&'a Figure]) -> Vec<(&'a Figure, usize)> {
    let mut rows: Vec<(&Figure, usize)> = Vec::new();
    for figure in figures {
        match rows.iter_mut().find(|(known, _)| same(known, figure)) {
            Some((_, more)) => *more += 1,
            None => rows.push((figure, usize::try_from(figure.repeated).unwrap_or(0))),
        }
    }
    rows
}

fn same(a: &Figure, b: &Figure) -> bool {
    match (a.memory(), b.memory()) {
        (Some(a), Some(b)) => a.bytes == b.bytes,
        _ => a.value == b.value,
    }
}

/// The width of a last digit: as many digits as it needs.
fn half_step(gib: f64) -> String {
    let text = format!("{gib:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// For what a figure speaks: an engine that has no ranks speaks of places, or of all of them.
fn speaks_for(figure: &Figure, facts: &EngineFacts) -> String {
    match &figure.place {
        Some(place) => place.clone(),
        None if matches!(facts.engine, Some(EngineKind::LlamaCpp | EngineKind::Ollama)) => "all places".to_owned(),
        None => scope(figure.scope),
    }
}

fn scope(scope: Scope) -> String {
    match scope {
        Scope::ThisRank(rank) => format!("rank {rank}"),
        Scope::PerRank => "each rank".to_owned(),
        Scope::AllRanks => "all ranks".to_owned(),
    }
}

fn kv_cache(facts: &EngineFacts, width: usize) -> String {
    let mut table = Table::new(&[("", Align::Left), ("", Align::Right), ("line", Align::Right)]);
    let mut rows = 0;
    let mut row = |name: &str, value: Option<(String, u64)>| {
        if let Some((value, line)) = value {
            table.row([name.to_owned(), value, line.to_string()]);
            rows += 1;
        }
    };
    let least = |facts: &[Fact<u64>]| facts.iter().min_by_key(|f| f.value).map(|f| (thousands(f.value), f.origin.line));
    row("blocks on each device", least(&facts.gpu_blocks));
    row("tokens in a block", facts.block_size.as_ref().map(|f| (f.value.to_string(), f.origin.line)));
    // Of several engines each said its own part; the line is that of the first.
    let line = |facts: &[Fact<u64>]| facts.first().map_or(0, |fact| fact.origin.line);
    let together = together(facts);
    let tokens = facts.kv_cache_tokens().map(|tokens| (thousands(tokens), line(&facts.kv_tokens)));
    let tokens = if together.is_empty() { least(&facts.kv_tokens) } else { tokens };
    if facts.replicas.len() > 1 {
        row("tokens, each engine", of_each(facts).map(|tokens| (tokens, line(&facts.kv_tokens))));
    }
    row(&format!("tokens{together}"), tokens);
    let most = facts.full_length_requests();
    let line = facts
        .max_concurrency
        .iter()
        .find(|fact| !together.is_empty() || Some(fact.value) == most)
        .map_or(0, |fact| fact.origin.line);
    row(
        &format!("requests of full length{together}"),
        most.map(|most| (format!("{:.2} x {} tokens", most.factor, thousands(most.tokens)), line)),
    );
    if rows == 0 { String::new() } else { without_head(&table.render(width)) }
}

/// Whose cache the rows speak of, where several data-parallel engines share the log.
fn together(facts: &EngineFacts) -> String {
    let seen = facts.replicas.len();
    let of = facts.parallel.data.as_ref().and_then(|size| usize::try_from(size.value).ok()).filter(|size| *size > seen);
    match (seen, of) {
        (0, _) => String::new(),
        (_, Some(size)) => format!(", {seen} of {size} engines"),
        (_, None) => format!(", {seen} engines"),
    }
}

/// What one engine of several holds, from the least to the most.
fn of_each(facts: &EngineFacts) -> Option<String> {
    let tokens = || facts.replicas.iter().map(|replica| replica.kv_tokens);
    let (least, most) = (tokens().min()?, tokens().max()?);
    Some(if least == most { thousands(most) } else { format!("{} to {}", thousands(least), thousands(most)) })
}

/// A table whose columns need no heads.
fn without_head(text: &str) -> String {
    text.split_once('\n').map_or(String::new(), |(_, rest)| rest.to_owned())
}

fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn settings(facts: &EngineFacts, width: usize) -> String {
    let text = |fact: &Option<Fact<String>>| fact.as_ref().map(|f| f.value.clone());
    let flag = |fact: &Option<Fact<bool>>| fact.as_ref().map(|f| if f.value { "on" } else { "off" }.to_owned());
    let count = |fact: &Option<Fact<u64>>| fact.as_ref().map(|f| thousands(f.value));
    let size = |fact: &Option<Fact<u32>>| fact.as_ref().map(|f| f.value.to_string());
    let known: [(&str, Option<String>); 19] = [
        ("dtype", text(&facts.dtype)),
        ("quantization", text(&facts.quantization)),
        ("KV-cache dtype", text(&facts.kv_cache_dtype)),
        ("load format", text(&facts.load_format)),
        ("tensor parallel", size(&facts.parallel.tensor)),
        ("pipeline parallel", size(&facts.parallel.pipeline)),
        ("data parallel", data_parallel(facts)),
        ("layers on devices", layers(facts)),
        ("max model length", count(&facts.max_model_len)),
        ("max batched tokens", count(&facts.max_num_batched_tokens)),
        ("max sequences", count(&facts.max_num_seqs)),
        ("memory utilization", facts.gpu_memory_utilization.as_ref().map(|f| f.value.to_string())),
        ("enforce eager", flag(&facts.enforce_eager)),
        ("prefix caching", flag(&facts.enable_prefix_caching)),
        ("chunked prefill", flag(&facts.enable_chunked_prefill)),
        ("speculative method", text(&facts.speculative_method)),
        ("attention", text(&facts.attention_backend)),
        ("graph mode", text(&facts.cudagraph_mode)),
        ("platform", text(&facts.platform)),
    ];
    let cells: Vec<String> = known.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?))).collect();
    let mut text = String::new();
    for line in wrap_cells(&cells, width.saturating_sub(2)) {
        let _ = writeln!(text, "  {line}");
    }
    text
}

/// How many of the model's layers lie on devices, of engines that split one between devices and the host.
fn layers(facts: &EngineFacts) -> Option<String> {
    let on_devices = thousands(facts.layers_on_device.as_ref()?.value);
    let all = facts.layers.as_ref().map(|layers| thousands(layers.value));
    Some(all.map_or(on_devices.clone(), |all| format!("{on_devices} of {all}")))
}

/// Engines that serve together: as many as are stated or, where each engine states itself alone, as many as speak.
fn data_parallel(facts: &EngineFacts) -> Option<String> {
    let stated = facts.parallel.data.as_ref().map(|size| u64::from(size.value));
    let seen = u64::try_from(facts.replicas.len()).ok().filter(|seen| *seen > 1);
    stated.max(seen).map(|engines| engines.to_string())
}

/// Joins cells with commas, as many to a line as fit.
fn wrap_cells(cells: &[String], width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for cell in cells {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 2 + cell.chars().count() <= width => {
                line.push_str(", ");
                line.push_str(cell);
            }
            _ => lines.push(cell.clone()),
        }
    }
    lines
}

fn events(facts: &EngineFacts, width: usize) -> String {
    let mut table = Table::new(&[
        ("what", Align::Left),
        ("when", Align::Left),
        ("took", Align::Right),
        ("line", Align::Right),
        ("printed by", Align::Left),
    ]);
    let mut seen: Vec<Milestone> = Vec::new();
    for event in &facts.events {
        // Several workers reach the same milestone; the first one is enough here.
        if seen.contains(&event.milestone) {
            continue;
        }
        seen.push(event.milestone);
        let when = event.at.map_or(String::new(), |at| {
            let near = if event.at_is_own { "" } else { " or later" };
            format!("{}{near}", time_text(at).replace('T', " "))
        });
        let took = event.took.map_or(String::new(), |took| format!("{:.2} s", took.as_secs_f64()));
        let by = event.origin.worker.clone().unwrap_or_default();
        let name = milestone_name(event.milestone).replace('_', " ");
        table.row([name, when, took, event.origin.line.to_string(), by]);
    }
    if seen.is_empty() { String::new() } else { table.render(width) }
}

fn running(engine: &EngineReport, width: usize) -> String {
    let facts = &engine.facts;
    let mut cells = Vec::new();
    if engine.reports_seen > 0 {
        let plural = if engine.reports_seen == 1 { "" } else { "s" };
        cells.push(format!("{} periodic report{plural}", thousands(engine.reports_seen)));
    }
    if let Some(running) = &facts.peak_running {
        cells.push(format!("at most {} requests running (line {})", running.value, running.origin.line));
    }
    if let Some(usage) = &facts.peak_kv_usage_pct {
        cells.push(format!("KV cache at most {} % in use (line {})", usage.value, usage.origin.line));
    }
    for (key, what) in [(Key::SleepSecs, "asleep within"), (Key::WakeSecs, "awake within")] {
        if let Some(figure) = engine.figures.iter().find(|f| f.key == key) {
            cells.extend(figure.number().map(|s| format!("{what} {s:.2} s (line {})", figure.origin.line)));
        }
    }
    for figure in engine.figures.iter().filter(|f| f.key == Key::LoraAdapter).take(MAX_VALUES) {
        cells.extend(figure.text().map(|name| format!("LoRA adapter {name} (line {})", figure.origin.line)));
    }
    wrap_cells(&cells, width.saturating_sub(2)).iter().fold(String::new(), |text, line| text + "  " + line + "\n")
}

fn bench(engine: &EngineReport, width: usize) -> String {
    let mut table = Table::new(&[("", Align::Left), ("", Align::Right), ("line", Align::Right)]);
    for value in &engine.bench {
        table.row([value.label.clone(), value.value.to_string(), value.origin.line.to_string()]);
    }
    if engine.bench.is_empty() { String::new() } else { without_head(&table.render(width)) }
}

fn notes(notes: &[ParseNote], width: usize) -> String {
    let mut text = String::new();
    for note in notes {
        let lead = if note.line > 0 { format!("line {}: ", note.line) } else { String::new() };
        for (place, line) in wrap(&format!("{lead}{}", note.text), width.saturating_sub(4)).iter().enumerate() {
            let _ = writeln!(text, "{}{line}", if place == 0 { "  - " } else { "    " });
        }
    }
    text
}

/// The lines that were not understood.
pub(super) fn unknown(report: &LogReport, width: usize) -> String {
    let lines = report.unknown.as_deref().unwrap_or_default();
    if lines.is_empty() {
        return "Every line that looks like a figure of memory is understood.\n".to_owned();
    }
    let mut table = Table::new(&[("line", Align::Right), ("not understood", Align::Left)]);
    for line in lines {
        table.row([line.line.to_string(), line.text.clone()]);
    }
    let mut text = table.render(width);
    text.push_str("\nPlease report these lines with the engine's version; see docs/adding-a-log-format.md.\n");
    text
}

/// One thing learned, on a line of its own.
pub(super) fn news(news: &News) -> String {
    let by = |worker: &Option<String>| worker.as_ref().map_or(String::new(), |w| format!("  ({w})"));
    match news {
        News::Engine { line } => format!("{line:>8}  an engine begins\n"),
        News::Figure(figure) => {
            let value = match &figure.value {
                Value::Memory(memory) => format!("{} = {}", memory.text(), Bytes::new(memory.bytes.magnitude().get())),
                Value::Count(count) => thousands(*count),
                Value::Number(number) => number.to_string(),
                Value::Text(text) => text.clone(),
                _ => return String::new(),
            };
            let name = figure.key.name().replace('_', " ");
            format!("{:>8}  {name}  {value}{}\n", figure.origin.line, by(&figure.origin.worker))
        }
        News::Setting(setting) => {
            use vramscope_log::SettingValue as V;
            let value = match &setting.value {
                V::Flag(flag) => flag.to_string(),
                V::Count(count) => count.to_string(),
                V::Number(number) => number.to_string(),
                V::Text(text) => text.clone(),
                _ => "none".to_owned(),
            };
            format!("{:>8}  {}  {value}\n", setting.origin.line, setting.name.replace('_', " "))
        }
        News::Event(event) => {
            let took = event.took.map_or(String::new(), |t| format!("  took {:.2} s", t.as_secs_f64()));
            let at = event.at.map_or(String::new(), |at| format!("  {}", time_text(at).replace('T', " ")));
            let name = milestone_name(event.milestone).replace('_', " ");
            format!("{:>8}  {name}{at}{took}{}\n", event.origin.line, by(&event.origin.worker))
        }
        News::Failure { failure, advice } => {
            let lead = format!("{:>8}  FAILED  {}", failure.origin.line, failure.kind.name().replace('_', " "));
            format!("{lead}  {}\n          → {advice}\n", failure.message)
        }
        _ => String::new(),
    }
}
