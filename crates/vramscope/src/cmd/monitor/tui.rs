//! The live view that fills the terminal.

use std::io::stdout;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::SetTitle;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline, SparklineBar};
use ratatui::{DefaultTerminal, Frame};
use vramscope_core::on_one_line;

use super::row::{self, Part, Says, gib};
use super::session::{Session, Why};
use super::watch::{DeviceMoment, History, Moment};
use crate::timeline_report::clock;

/// A new picture is drawn this often.
const REDRAW: Duration = Duration::from_millis(250);
/// Columns on both sides of a history: what it shows, and its scale.
const LABEL: u16 = 8;
const SCALE: u16 = 12;
/// The most rows of one history; more say nothing more.
const MOST_ROWS: u16 = 6;

/// Columns for the name of a program before its container gets any, and the least of those.
const LEAST_OF_PROGRAM: usize = 14;
const LEAST_OF_PLACE: usize = 9;

/// What is drawn.
pub(super) struct Picture<'p> {
    pub(super) moment: &'p Moment,
    /// By device, in the order of the moment's.
    pub(super) histories: &'p [History],
    pub(super) period: Duration,
    /// Where it is recorded.
    pub(super) destination: Option<String>,
    /// Whose memory is told apart.
    pub(super) own: Option<&'p str>,
    /// What a person must know.
    pub(super) message: Option<&'p str>,
}

/// Gives the terminal back on every way out; a panic does so by itself.
struct Restored;

impl Drop for Restored {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Shows the recording until it ends or a person has seen enough.
pub(super) fn show(session: &mut Session<'_>, period: Duration) -> anyhow::Result<Why> {
    let terminal = ratatui::try_init().context("could not use the terminal; use --format lines")?;
    let restored = Restored;
    session.hold();
    // A terminal without titles ignores it.
    let _ = execute!(stdout(), SetTitle("vramscope monitor"));
    let why = watch(terminal, session, period);
    drop(restored);
    session.speak();
    why
}

fn watch(mut terminal: DefaultTerminal, session: &mut Session<'_>, period: Duration) -> anyhow::Result<Why> {
    let mut next = Instant::now();
    loop {
        if let Some(why) = session.over()? {
            return Ok(why);
        }
        if Instant::now() >= next {
            next = Instant::now() + REDRAW;
            let steps = terminal.size().context("could not ask the terminal for its size")?.width;
            let steps = usize::from(steps.saturating_sub(LABEL + SCALE));
            let (moment, histories) = (session.look(), session.watch().history(steps));
            let destination = session.path().map(|path| path.display().to_string());
            let (own, message) = (session.own(), session.last_message());
            let picture = Picture { moment: &moment, histories: &histories, period, destination, own, message };
            terminal.draw(|frame| draw(frame, &picture)).context("could not draw on the terminal")?;
        }
        let pause = session.pause(None).min(next.saturating_duration_since(Instant::now()));
        if event::poll(pause).context("could not read the keyboard")? {
            match event::read().context("could not read the keyboard")? {
                Event::Key(key) if key.kind == KeyEventKind::Press => match key.code {
                    KeyCode::Char('q' | 'Q') | KeyCode::Esc => return Ok(Why::Done),
                    // The terminal is in raw mode and makes no signal of it.
                    KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok(Why::Signal),
                    _ => {}
                },
                Event::Resize(..) => next = Instant::now(),
                _ => {}
            }
        }
    }
}

/// Draws a picture of any size.
pub(super) fn draw(frame: &mut Frame<'_>, picture: &Picture<'_>) {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)]).areas(frame.area());
    frame.render_widget(Paragraph::new(headline(picture, head.width)), head);
    let rows = processes(picture, body.width);
    let listed = u16::try_from(rows.len()).unwrap_or(u16::MAX).min((body.height / 3).max(3));
    let listed = if body.height < 8 { 0 } else { listed };
    let [devices, list] = Layout::vertical([Constraint::Min(0), Constraint::Length(listed)]).areas(body);
    draw_devices(frame, devices, picture);
    draw_list(frame, list, rows);
    let warning = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
    let foot_text = match picture.message {
        Some(message) => Span::styled(on_one_line(message.lines().next().unwrap_or_default()), warning),
        None => Span::styled("q ends and prints the summary", dim()),
    };
    frame.render_widget(Paragraph::new(foot_text), foot);
}

fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

fn headline(picture: &Picture<'_>, width: u16) -> Line<'static> {
    let moment = picture.moment;
    let mut parts = vec![
        "vramscope monitor".to_owned(),
        clock(moment.now.as_secs_f64()),
        format!("each {} ms", picture.period.as_secs_f64() * 1e3),
        format!("{} missed", moment.missed),
        format!("{} gap{}", moment.gaps, if moment.gaps == 1 { "" } else { "s" }),
    ];
    parts.extend(moment.stalled.map(|time| format!("driver silent for {:.0} s", time.as_secs_f64())));
    parts.extend(picture.own.map(on_one_line));
    parts.extend(picture.destination.as_ref().map(|path| format!("into {}", on_one_line(path))));
    Line::styled(beginning(&parts, usize::from(width)), Style::new().add_modifier(Modifier::BOLD))
}

/// As many parts as fit, from the left.
fn beginning(parts: &[String], width: usize) -> String {
    let mut line = String::new();
    for part in parts {
        let gap = if line.is_empty() { "" } else { "  " };
        if line.chars().count() + gap.len() + part.chars().count() > width {
            break;
        }
        line.push_str(gap);
        line.push_str(part);
    }
    line
}

fn draw_devices(frame: &mut Frame<'_>, area: Rect, picture: &Picture<'_>) {
    let devices = &picture.moment.devices;
    let count = u16::try_from(devices.len()).unwrap_or(u16::MAX).max(1);
    let each = area.height / count;
    if each == 0 {
        return draw_as_many_as_fit(frame, area, devices);
    }
    let areas = Layout::vertical(vec![Constraint::Length(each.min(1 + 3 * MOST_ROWS)); devices.len()]).split(area);
    for ((device, history), area) in devices.iter().zip(picture.histories).zip(areas.iter()) {
        draw_device(frame, *area, device, history);
    }
}

/// One row each, and how many there are below.
fn draw_as_many_as_fit(frame: &mut Frame<'_>, area: Rect, devices: &[DeviceMoment]) {
    let room = usize::from(area.height.saturating_sub(1));
    let mut rows: Vec<Line<'_>> = devices.iter().take(room).map(|device| title(device, area.width)).collect();
    rows.push(Line::styled(format!("{} more: make the window taller", devices.len() - rows.len()), dim()));
    frame.render_widget(Paragraph::new(rows), area);
}

fn draw_device(frame: &mut Frame<'_>, area: Rect, device: &DeviceMoment, history: &History) {
    let [top, rest] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    frame.render_widget(Paragraph::new(title(device, top.width)), top);
    let total = device.reading.and_then(|reading| reading.total).or(device.device.total);
    let limit = device.slow.as_ref().and_then(|slow| slow.power_limit_mw).map(u64::from);
    let most_power = limit.into_iter().chain(device.most_power_mw).max();
    let all = [
        Chart {
            label: "memory",
            values: &history.memory,
            most: total.map(|total| total.get()).or(device.peak.map(|peak| peak.reading.used.get())),
            scale: total.or(device.peak.map(|peak| peak.reading.used)).map(|most| format!("{} GiB", gib(most))),
            color: Color::Cyan,
        },
        Chart {
            label: "power",
            values: &history.power,
            most: most_power,
            scale: most_power.map(|mw| format!("{} W", mw / 1000)),
            color: Color::Yellow,
        },
        Chart {
            label: "util",
            values: &history.utilization,
            most: Some(100),
            scale: Some("100 %".into()),
            color: Color::Green,
        },
    ];
    // Fewer rows show memory alone.
    let shown = if rest.height >= 3 { 3 } else { 1 };
    let rows = (rest.height / shown).min(MOST_ROWS);
    let areas = Layout::vertical(vec![Constraint::Length(rows); usize::from(shown)]).split(rest);
    for (chart, area) in all.iter().zip(areas.iter()) {
        draw_chart(frame, *area, chart);
    }
}

/// The history of one figure.
struct Chart<'c> {
    label: &'static str,
    values: &'c [Option<u64>],
    most: Option<u64>,
    scale: Option<String>,
    color: Color,
}

fn draw_chart(frame: &mut Frame<'_>, area: Rect, chart: &Chart<'_>) {
    let parts = [Constraint::Length(LABEL), Constraint::Min(0), Constraint::Length(SCALE)];
    let [label, middle, scale] = Layout::horizontal(parts).areas(area);
    frame.render_widget(Paragraph::new(Span::styled(format!(" {}", chart.label), dim())), label);
    let known = chart.values.iter().any(Option::is_some);
    let scale_text = if known { chart.scale.clone().unwrap_or_default() } else { "not stated".into() };
    frame.render_widget(Paragraph::new(Span::styled(format!(" {scale_text}"), dim())), scale);
    let bars = chart.values.iter().map(|value| SparklineBar::from(*value));
    let line = Sparkline::default().data(bars).max(chart.most.unwrap_or(1).max(1)).absent_value_symbol(" ");
    frame.render_widget(line.style(Style::new().fg(chart.color)), middle);
}

fn title(device: &DeviceMoment, width: u16) -> Line<'static> {
    let short = format!("GPU {}", device.device.index);
    let name: String = on_one_line(device.device.name.as_deref().unwrap_or_default()).chars().take(22).collect();
    let named = format!("{short} {name}").trim_end().to_owned();
    let mut parts = vec![Part::new(Says::Device, short).or_longer(Says::Name, named)];
    let Some(reading) = &device.reading else {
        parts.push(Part::new(Says::Memory, if device.lost.is_some() { "LOST" } else { "no answer" }));
        return Line::styled(row::fit(&parts, usize::from(width)), Style::new().fg(Color::Red));
    };
    parts.push(Part::memory(device, 0));
    let mut add = |says, text: Option<String>| parts.extend(text.map(|text| Part::new(says, text)));
    add(Says::Peak, device.peak.map(|peak| format!("peak {}", gib(peak.reading.used))));
    add(Says::Own, device.own.map(|own| format!("own {}", gib(own))));
    add(Says::Power, reading.power_mw.map(|mw| format!("{} W", mw.saturating_add(500) / 1000)));
    add(Says::Utilization, reading.utilization_pct.map(|share| format!("{share} %")));
    add(Says::Temperature, reading.temperature_c.map(|degrees| format!("{degrees} C")));
    add(Says::Clock, reading.sm_clock_mhz.map(|mhz| format!("{mhz} MHz")));
    Line::styled(row::fit(&parts, usize::from(width)), Style::new().add_modifier(Modifier::BOLD))
}

/// The processes of all devices, those that hold most first, under a line of heads.
fn processes(picture: &Picture<'_>, width: u16) -> Vec<Line<'static>> {
    let devices = &picture.moment.devices;
    let mut rows: Vec<_> = devices
        .iter()
        .flat_map(|device| device.processes.iter().flatten().map(|process| (device.device.index, process)))
        .collect();
    rows.sort_by_key(|(_, process)| std::cmp::Reverse(process.used));
    // Who it is says more than where it runs.
    let place_width = usize::from(width).saturating_sub(4 + 1 + 9 + 1 + 9 + 2 + 1 + LEAST_OF_PROGRAM).min(20);
    let line = |gpu: String, pid: String, used: String, place: String, program: String| {
        let place: String = place.chars().take(place_width).collect();
        let place = if place_width < LEAST_OF_PLACE { String::new() } else { format!("{place:<place_width$} ") };
        let text = format!("{gpu:>4} {pid:>9} {used:>9}  {place}{program}");
        text.chars().take(usize::from(width)).collect::<String>()
    };
    let head = line("GPU".into(), "PID".into(), "GiB".into(), "container".into(), "program".into());
    let head = if rows.is_empty() {
        let listed = devices.iter().any(|device| device.processes.is_some());
        String::from(if listed { "no processes" } else { "processes: not stated by the source" })
    } else {
        head
    };
    let row = |(index, process): (vramscope_core::DeviceIndex, &super::watch::ProcessRow)| {
        let used = process.used.map_or_else(|| "-".into(), gib);
        let place = on_one_line(process.container.as_deref().unwrap_or("-"));
        let program = on_one_line(process.program.as_deref().unwrap_or("-"));
        let text = line(index.to_string(), process.pid.to_string(), used, place, program);
        if process.own { Line::styled(text, Style::new().fg(Color::Cyan)) } else { Line::raw(text) }
    };
    std::iter::once(Line::styled(head, dim())).chain(rows.into_iter().map(row)).collect()
}

fn draw_list(frame: &mut Frame<'_>, area: Rect, mut rows: Vec<Line<'static>>) {
    let room = usize::from(area.height);
    if rows.len() > room && room > 1 {
        let more = rows.len() - (room - 1);
        rows.truncate(room - 1);
        rows.push(Line::styled(format!("{more} more"), dim()));
    }
    frame.render_widget(Paragraph::new(rows), area);
}

#[cfg(test)]
#[path = "tui/tests.rs"]
mod tests;
