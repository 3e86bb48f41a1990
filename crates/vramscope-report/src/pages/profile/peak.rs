//! The peak taken apart.

use super::answer::share;
use super::expected;
use crate::cell::{Cell, Tone};
use crate::node::Node;
use crate::page::{Block, Picture, Section, Table};
use crate::pages::named::{self, MOST_ROWS};
use crate::pages::parts::{self, BASELINE, RESIDUAL, Sized, sum, total};
use crate::pages::run::Run;
use crate::pages::waterfall::{Level, Step, waterfall};
use crate::svg::{Stack, stacks};
use crate::unit::Unit;

/// More GPUs than this have no bar of their own.
const MOST_BARS: usize = 40;

pub(super) fn section(run: &Run<'_>) -> Option<Section> {
    let mut blocks = Vec::new();
    blocks.extend(parts_picture(run).map(Block::Picture));
    blocks.extend(parts_table(run).map(Block::Table));
    blocks.extend(ruled_out(run).map(Block::Text));
    blocks.extend(activations(run).map(Block::Sentence));
    blocks.extend(devices(run));
    blocks.extend(places(run).map(Block::Table));
    blocks.extend(expected::blocks(run));
    (!blocks.is_empty()).then(|| Section::new("The peak taken apart", blocks))
}

/// From all memory of the GPUs down to what was free.
fn parts_picture(run: &Run<'_>) -> Option<Picture> {
    let peak = run.peak().number()?;
    let card = total(&run.card());
    let free = total(&run.free());
    let mut figures = Table::new("What is taken off, in order", &["", "#memory"]);
    let mut steps = Vec::new();
    let mut first: Level = ("peak".to_owned(), peak, 9, Unit::Memory.show(peak));
    if let Some(card) = card {
        let name = if run.gpus() > 1 { "all memory of the GPUs" } else { "all memory of the GPU" };
        figures.row([name.into(), sum(&run.card())]);
        first = (name.to_owned(), card, 9, Unit::Memory.show(card));
        // Rounding apart there is nothing else between the card's total, what was in use and what was free.
        let held_back = free.map(|free| card - peak - free).filter(|held| *held >= 1.0);
        if let Some(held_back) = held_back {
            steps.push(Step::less("held back by the driver", held_back, 9, Unit::Memory.show(held_back)));
            figures.row(["held back by the driver".into(), Cell::text(Unit::Memory.show(held_back))]);
        }
    } else {
        figures.row(["peak".into(), run.peak().figure(Unit::Memory)]);
    }
    let mut parts = run.all_parts();
    if parts.is_empty() {
        return None;
    }
    parts.retain(|part| !part.is_ruled_out());
    for part in &parts {
        let mut step = Step::less(part.name(), part.bytes(), part.colour(), part.words());
        let within = part.more.as_ref().and_then(|more| more.at("resolution_bytes").number());
        // Digits that are not printed are smaller than what can be drawn, but for small parts of large cards.
        step.interval =
            within.filter(|within| *within > peak / 500.0).map(|within| (part.bytes() - within, part.bytes() + within));
        figures.row([Cell::text(part.name()), part.figure()]);
        steps.push(step);
    }
    let free_name = if run.gpus() > 1 { "free on all GPUs together" } else { "free" };
    let last = free.map(|free| (free_name.to_owned(), free, 9, Unit::Memory.show(free)));
    if free.is_some() {
        figures.row([free_name.into(), sum(&run.free())]);
    }
    let words = words(run, &parts);
    figures.caption = format!(
        "{}; sums over several GPUs and what the driver holds back (all memory less the peak less what is free) are computed here",
        figures.caption
    );
    Some(Picture {
        title: "Where the peak went".to_owned(),
        words,
        svg: waterfall(Some(first), &steps, last),
        table: Some(figures),
        sparks: Vec::new(),
    })
}

fn words(run: &Run<'_>, parts: &[Sized<'_>]) -> String {
    let mut parts: Vec<&Sized<'_>> = parts.iter().filter(|part| part.bytes() != 0.0).collect();
    parts.sort_by(|a, b| b.bytes().abs().total_cmp(&a.bytes().abs()));
    let named: Vec<String> =
        parts.iter().take(10).map(|part| format!("{} {}", part.name(), part.figure().text)).collect();
    let peak = run.peak().figure(Unit::Memory).text;
    let free = sum(&run.free());
    let on = if run.gpus() > 1 { " on all GPUs together" } else { "" };
    let free = if free.is_absent() { String::new() } else { format!("; {} stayed free{on}", free.text) };
    match (named.is_empty(), run.peak().number()) {
        (true, Some(0.0)) => format!("The peak is {peak}: nothing was in use{free}."),
        (true, _) => format!("The peak is {peak}, and none of its parts is known{free}."),
        (false, _) => format!("The peak of {peak} is {}{free}.", named.join(", ")),
    }
}

/// Parts that are no part of this run, with the reason that the document gives.
fn ruled_out(run: &Run<'_>) -> Option<String> {
    let parts = run.all_parts().into_iter().filter(Sized::is_ruled_out);
    let reason = |part: Sized<'_>| {
        let more = part.more.as_ref()?.at("detail").text()?.to_owned();
        Some(format!("{} ({})", part.name(), parts::in_words(&more)))
    };
    let reasons: Vec<String> = parts.filter_map(reason).collect();
    (!reasons.is_empty()).then(|| format!("Not in this run: {}.", reasons.join(", ")))
}

/// Two figures have nearly one name, and are of two instants.
fn activations(run: &Run<'_>) -> Option<Vec<Cell>> {
    let parts = run.all_parts();
    let peak = parts.iter().find(|part| part.kind == "activations" && !part.is_ruled_out())?;
    let trial = run.reported().at("activations_bytes");
    let mut text: Vec<Cell> =
        vec![format!("{}, ", capital(&peak.name())).into(), peak.size.figure(Unit::Memory), ", and the ".into()];
    text.push(parts::name_of("activation_peak").into());
    if trial.is_there() {
        let on = if run.gpus() > 1 { " on one GPU," } else { "," };
        text.extend([" (engine), ".into(), trial.figure(Unit::Memory), on.into()]);
    }
    text.push(
        " are two figures: the first is what rose after the KV cache was set up, the second what the engine's largest \
         forward pass took before there was one. What was predicted is the second."
            .into(),
    );
    Some(text)
}

/// Each part with how well it is known, and why.
fn parts_table(run: &Run<'_>) -> Option<Table> {
    let mut table = Table::new(
        "The parts of the peak. Peak = baseline + parts + residual, exactly",
        &["part", "#memory", "#±", "#share of the peak", "how sure", "method", "that is", "log lines"],
    );
    for part in run.all_parts().into_iter().filter(|part| !part.is_ruled_out()) {
        let Some(more) = &part.more else {
            let share = match part.kind {
                "residual" => run.breakdown.at("residual_percentage").figure(Unit::Percent),
                _ => share(run, &part).unwrap_or_else(Cell::absent),
            };
            let what = part.part.map_or_else(Cell::absent, |part| Cell::text(part.what));
            let known = match confidence(&known_of_sum(run, part.kind)) {
                // It is a reading of the GPU, whether or not the document says so again.
                known if known.is_absent() && part.kind == BASELINE.kind => Cell::text("measured"),
                known => known,
            };
            table.row([Cell::text(part.name()), part.figure(), Cell::absent(), share, known, Cell::absent(), what]);
            continue;
        };
        let method = more.at("method").text().map_or_else(Cell::absent, |method| Cell::text(named::words(method)));
        table.row([
            Cell::text(part.name()),
            part.size.figure(Unit::Memory),
            more.at("resolution_bytes").figure(Unit::Memory),
            more.at("share_of_peak_pct").figure(Unit::Percent),
            confidence(&more.at("confidence")),
            method,
            more.at("detail").text().map_or_else(Cell::absent, |detail| Cell::text(parts::in_words(detail))),
            named::lines(&more.at("log_lines")),
        ]);
    }
    if run.peak().is_there() {
        table.row([Cell::text("peak"), run.peak().figure(Unit::Memory)]);
    }
    (!table.rows.is_empty()).then(|| table.without_empty_columns())
}

/// What earlier documents say of how well a sum is known.
fn known_of_sum<'d>(run: &Run<'d>, kind: &str) -> Node<'d> {
    let name = match kind {
        "model_weights" => "weights",
        "residual" => "overhead",
        other => other,
    };
    run.breakdown.at("confidence_levels").at(name)
}

/// How well something is known, with what is the least worth in another colour.
pub(super) fn confidence(word: &Node<'_>) -> Cell {
    match word.text() {
        Some("assumed") => word.cell().tone(Tone::Warning),
        Some(_) => word.cell(),
        None => Cell::absent(),
    }
}

/// Each GPU alone.
fn devices(run: &Run<'_>) -> Vec<Block> {
    let devices = run.breakdown.at("per_device").items();
    if devices.len() < 2 {
        return Vec::new();
    }
    let baseline = format!("#{}", BASELINE.name);
    let mut heads = vec!["#GPU", "#peak", baseline.as_str()];
    let held = parts::of_any(devices.iter().take(MOST_ROWS + 1));
    let names: Vec<String> = held.iter().map(|part| format!("#{}", part.name)).collect();
    heads.extend(names.iter().map(String::as_str));
    heads.push("#residual");
    let mut table = Table::new("Each GPU at the instant of the total's peak", &heads);
    for device in devices.iter().take(MOST_ROWS + 1) {
        let mut row = vec![named::identity(&device.at("gpu"))];
        row.extend(["peak_bytes", "baseline_bytes"].map(|name| device.at(name).figure(Unit::Memory)));
        row.extend(
            held.iter().map(|part| {
                parts::size_in(device, part.kind).map_or_else(Cell::absent, |size| size.figure(Unit::Memory))
            }),
        );
        row.push(device.at("residual_bytes").change(Unit::Memory));
        table.row(row);
    }
    let mut blocks = Vec::new();
    let stack = |device: &Node<'_>| {
        let name = format!("GPU {}", device.at("gpu").words().unwrap_or_else(|| "?".to_owned()));
        let words = device.at("peak_bytes").figure(Unit::Memory).text;
        let mut parts = Vec::new();
        let mut part = |name: &str, size: &Node<'_>, colour| {
            if let Some(bytes) = size.number() {
                parts.push((bytes, colour, format!("{name}: {}", Unit::Memory.show(bytes))));
            }
        };
        part(BASELINE.name, &device.at("baseline_bytes"), BASELINE.colour);
        for one in &held {
            part(one.name, &parts::size_in(device, one.kind).unwrap_or_else(|| device.at("")), one.colour);
        }
        part(RESIDUAL.name, &device.at("residual_bytes"), RESIDUAL.colour);
        Stack { name, parts, words }
    };
    let rows: Vec<Stack> = devices.iter().take(MOST_BARS).map(stack).collect();
    let levels: Vec<f64> = devices.iter().filter_map(|device| device.at("peak_bytes").number()).collect();
    let low = levels.iter().copied().fold(f64::INFINITY, f64::min);
    let high = levels.iter().copied().fold(0.0, f64::max);
    let cut = if devices.len() > MOST_BARS { format!(" The first {MOST_BARS} are drawn.") } else { String::new() };
    let shown = [low, high].map(|level| Unit::Memory.show(if level.is_finite() { level } else { 0.0 }));
    let words = match shown {
        [low, high] if low == high => format!("At the peak each of {} GPUs had {high} in use.{cut}", devices.len()),
        [low, high] => format!("At the peak {} GPUs had between {low} and {high} in use each.{cut}", devices.len()),
    };
    let mut colours = vec![(BASELINE.name.to_owned(), BASELINE.colour)];
    colours.extend(held.iter().map(|part| (part.name.to_owned(), part.colour)));
    colours.push((RESIDUAL.name.to_owned(), RESIDUAL.colour));
    let drawn = |colour: usize| rows.iter().any(|row| row.parts.iter().any(|part| part.1 == colour && part.0 > 0.0));
    colours.retain(|(_, colour)| drawn(*colour));
    blocks.push(Block::Picture(Picture {
        title: "Each GPU".to_owned(),
        words,
        svg: stacks(&rows, &colours, Unit::Memory),
        table: Some(table.without_empty_columns().at_most(MOST_ROWS)),
        sparks: Vec::new(),
    }));
    blocks.extend(uneven(run).map(Block::Sentence));
    blocks
}

/// What lies where, by an engine that says so: also what nothing measured.
fn places(run: &Run<'_>) -> Option<Table> {
    let places = run.breakdown.at("places").items();
    let held = parts::of_any(places.iter().take(MOST_ROWS + 1));
    let names: Vec<String> = held.iter().map(|part| format!("#{}", part.name)).collect();
    let heads = ["place", "kind", "#GPU", "#all"].into_iter().chain(names.iter().map(String::as_str));
    let mut table = Table::new("What lies where, as the engine says", &heads.collect::<Vec<_>>());
    for place in places.iter().take(MOST_ROWS + 1) {
        let kind = match (place.at("on_host").is_true(), place.at("software").is_true()) {
            (true, _) => "host",
            (false, true) => "software device",
            (false, false) => "device",
        };
        let row = [place.at("place").cell(), kind.into(), named::identity(&place.at("gpu"))];
        let sizes = held
            .iter()
            .map(|part| parts::size_in(place, part.kind).map_or_else(Cell::absent, |size| size.figure(Unit::Memory)));
        table.row(row.into_iter().chain([place.at("size_bytes").figure(Unit::Memory)]).chain(sizes));
    }
    (!table.rows.is_empty()).then(|| table.without_empty_columns().at_most(MOST_ROWS))
}

/// What several GPUs cost beside one.
fn uneven(run: &Run<'_>) -> Option<Vec<Cell>> {
    let (overhead, uneven) =
        (run.root.path("gpu_info/multi_gpu_overhead_bytes"), run.root.path("gpu_info/imbalance_pct"));
    let mut text: Vec<Cell> = Vec::new();
    if overhead.is_there() {
        text.extend([
            overhead.figure(Unit::Memory),
            " exist only because there are several GPUs: weights that each GPU has anew, a runtime context of each \
             further GPU, and buffers for talk between them. "
                .into(),
        ]);
    }
    if uneven.number().is_some_and(|uneven| uneven >= 0.005) {
        text.extend(["The GPUs differ by ".into(), uneven.figure(Unit::Percent), " at the peak.".into()]);
    }
    (!text.is_empty()).then_some(text)
}

/// With a capital letter first.
fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
