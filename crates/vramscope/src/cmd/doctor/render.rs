//! The checks for people.

use std::fmt::Write as _;

use vramscope_schema::doctor::{Area, DoctorReport, Status};

use super::gpu::PROCESS_MEMORY;
use crate::table::{Align, Table, wrap};

pub(super) fn table(report: &DoctorReport, width: usize) -> String {
    let areas = [
        (Area::Gpu, "GPUs"),
        (Area::Permissions, "Permissions"),
        (Area::Container, "Containers"),
        (Area::Engine, "Engines"),
        (Area::Storage, "Results"),
    ];
    let mut text = String::new();
    for (area, title) in areas {
        let mut table = Table::new(&[("", Align::Left), (title, Align::Left), ("", Align::Left)]);
        for check in report.checks.iter().filter(|check| check.area == area) {
            let sign = match check.status {
                Status::Ok => "ok",
                Status::Absent => "-",
                Status::Note => "note",
                Status::Failed => "FAILED",
                _ => "?",
            };
            let version = check.version.as_ref().map(|version| format!("{version}: ")).unwrap_or_default();
            let found = check.found.split_whitespace().collect::<Vec<_>>().join(" ");
            table.row([sign.to_owned(), check.name.clone(), format!("{version}{found}")]);
            if let Some(advice) = &check.advice {
                table.row([String::new(), String::new(), format!("→ {advice}")]);
            }
        }
        let _ = writeln!(text, "{}", table.render(width));
    }
    if report.can_profile {
        let only = report.checks.iter().any(|check| check.name == PROCESS_MEMORY && check.serves);
        let on = if only { " on the memory of processes; no GPU can be read" } else { "" };
        let _ = writeln!(text, "Profiling can run here{on}.");
        return text;
    }
    text.push_str("Profiling cannot run here:\n");
    for missing in &report.missing {
        for (n, line) in wrap(missing, width.saturating_sub(4)).iter().enumerate() {
            let _ = writeln!(text, "  {} {line}", if n == 0 { "-" } else { " " });
        }
    }
    text
}
