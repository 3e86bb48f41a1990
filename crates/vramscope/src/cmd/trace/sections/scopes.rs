//! What the CPU did: operators, named scopes, layers, and the scopes that were asked for.

use vramscope_trace::Summary;

use super::super::figures::ms;
use super::super::render::Section;
use super::more;
use crate::table::Align::{Left, Right};
use crate::table::grouped;

pub(super) fn operators(summary: &Summary, top: usize) -> Section {
    let heads = [
        ("own ms", Right),
        ("total ms", Right),
        ("count", Right),
        ("kernels", Right),
        ("kernel ms", Right),
        ("operator", Left),
    ];
    let mut section = Section::new("CPU time by operator", &heads).with_names();
    for operator in summary.operators.iter().take(top) {
        section.row([
            ms(operator.own_ns),
            ms(operator.total_ns),
            grouped(operator.count),
            grouped(operator.gpu.kernels),
            ms(operator.gpu.time_ns),
            operator.name.clone(),
        ]);
    }
    more(&mut section, summary.operators.len(), top);
    section
}

pub(super) fn scopes(summary: &Summary, top: usize) -> Section {
    let heads = [("CPU ms", Right), ("count", Right), ("kernels", Right), ("kernel ms", Right), ("scope", Left)];
    let mut section = Section::new("Named scopes", &heads).with_names();
    for scope in summary.scopes.iter().take(top) {
        section.row([
            ms(scope.cpu_ns),
            grouped(scope.count),
            grouped(scope.gpu.kernels),
            ms(scope.gpu.time_ns),
            scope.name.clone(),
        ]);
    }
    more(&mut section, summary.scopes.len(), top);
    section
}

pub(super) fn layers(summary: &Summary, top: usize) -> Section {
    let heads = [("layer", Left), ("runs", Right), ("CPU ms", Right), ("kernels", Right), ("kernel ms", Right)];
    let mut section = Section::new("Layers", &heads);
    for layer in summary.layers.iter().take(top) {
        section.row([
            layer.name.trim_start_matches("nn.Module: ").to_owned(),
            grouped(layer.count),
            ms(layer.cpu_ns),
            grouped(layer.gpu.kernels),
            ms(layer.gpu.time_ns),
        ]);
    }
    more(&mut section, summary.layers.len(), top);
    section
}

/// Names by which parts of a model are marked: the engine's annotations, and its operators.
fn aliases(scope: &str) -> Vec<&str> {
    match scope {
        "attention" => vec!["attention", "attn"],
        "model_forward" => vec!["model_forward", "forward", "execute_context"],
        "sampling" => vec!["sampling", "sample", "argmax"],
        other => vec![other],
    }
}

/// The scopes that were asked for, among annotations, operators and steps.
pub(in crate::cmd::trace) fn asked(summary: &Summary, scopes: &[String]) -> Section {
    let heads = [
        ("scope", Left),
        ("CPU ms", Right),
        ("count", Right),
        ("kernels", Right),
        ("kernel ms", Right),
        ("name", Left),
    ];
    let mut section = Section::new("Scopes asked for", &heads).with_names();
    for scope in scopes {
        let words = aliases(scope);
        let fits = |name: &str| words.iter().any(|word| name.to_lowercase().contains(&word.to_lowercase()));
        let named = summary.scopes.iter().filter(|s| fits(&s.name)).map(|s| (&s.name, s.cpu_ns, s.count, s.gpu));
        let operators = summary.operators.iter().filter(|o| fits(&o.name));
        let operators = operators.map(|o| (&o.name, o.total_ns, o.count, o.gpu));
        let before = section.len();
        for (name, cpu_ns, count, gpu) in named.chain(operators) {
            let numbers = [ms(cpu_ns), grouped(count), grouped(gpu.kernels), ms(gpu.time_ns)];
            section.row([vec![scope.clone()], numbers.to_vec(), vec![name.clone()]].concat());
        }
        let steps = summary.steps.list.iter().filter(|step| step.name.as_deref().is_some_and(fits));
        let (count, cpu_ns) = steps.clone().fold((0, 0), |(n, ns), step| (n + 1, ns + step.cpu_ns.unwrap_or(0)));
        if count > 0 {
            let gpu =
                steps.filter_map(|step| step.gpu).fold((0, 0), |(n, ns), g| (n + g.kernels, ns + g.kernel_time_ns));
            let numbers = [ms(cpu_ns), grouped(count), grouped(gpu.0), ms(gpu.1)];
            section.row([vec![scope.clone()], numbers.to_vec(), vec!["steps".to_owned()]].concat());
        }
        if section.len() == before {
            section.text(format!("nothing in the trace is called {scope}: this engine does not mark it"));
        }
    }
    section
}
