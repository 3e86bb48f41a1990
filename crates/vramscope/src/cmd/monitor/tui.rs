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

use super::lines::{fit, gib, memory};
use super::session::{LOOK, Session, Why};
use super::watch::{DeviceMoment, History, Moment};
use crate::timeline_report::clock;

/// A new picture is drawn this often.
const REDRAW: Duration = Duration::from_millis(250);
/// Columns on both sides of a history: what it shows, and its scale.
const LABEL: u16 = 8;
const SCALE: u16 = 12;
/// The most rows of one history; more say nothing more.
const MOST_ROWS: u16 = 6;

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
        if event::poll(LOOK).context("could not read the keyboard")? {
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
        Some(message) => Span::styled(message.lines().next().unwrap_or_default(), warning),
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
    parts.extend(picture.own.map(str::to_owned));
    parts.extend(picture.destination.as_ref().map(|path| format!("into {path}")));
    Line::styled(fit(&parts, usize::from(width)), Style::new().add_modifier(Modifier::BOLD))
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
    let name: String = device.device.name.as_deref().unwrap_or("").chars().take(22).collect();
    let mut parts = vec![format!("GPU {} {name}", device.device.index).trim_end().to_owned()];
    let Some(reading) = &device.reading else {
        parts.push(if device.lost.is_some() { "LOST" } else { "no answer" }.into());
        return Line::styled(fit(&parts, usize::from(width)), Style::new().fg(Color::Red));
    };
    parts.push(memory(device).trim_start().to_owned());
    parts.extend(device.peak.map(|peak| format!("peak {}", gib(peak.reading.used))));
    parts.extend(device.own.map(|own| format!("own {}", gib(own))));
    let watts = |mw: u32| mw.saturating_add(500) / 1000;
    parts.extend(reading.power_mw.map(|mw| format!("{} W", watts(mw))));
    parts.extend(reading.utilization_pct.map(|share| format!("{share} %")));
    parts.extend(reading.temperature_c.map(|degrees| format!("{degrees} C")));
    parts.extend(reading.sm_clock_mhz.map(|mhz| format!("{mhz} MHz")));
    Line::styled(fit(&parts, usize::from(width)), Style::new().add_modifier(Modifier::BOLD))
}

/// The processes of all devices, those that hold most first, under a line of heads.
fn processes(picture: &Picture<'_>, width: u16) -> Vec<Line<'static>> {
    let devices = &picture.moment.devices;
    let mut rows: Vec<_> = devices
        .iter()
        .flat_map(|device| device.processes.iter().flatten().map(|process| (device.device.index, process)))
        .collect();
    rows.sort_by_key(|(_, process)| std::cmp::Reverse(process.used));
    let line = |gpu: String, pid: String, used: String, place: String, program: String| {
        let text = format!("{gpu:>4} {pid:>9} {used:>9}  {place:<20} {program}");
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
        let place: String = process.container.as_deref().unwrap_or("-").chars().take(20).collect();
        let program = process.program.clone().unwrap_or_else(|| "-".into());
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
mod tests {
    use super::*;
    use crate::cmd::monitor::watch::ProcessRow;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use snapbox::{assert_data_eq, str};
    use vramscope_core::{Bytes, Device, DeviceIndex, Reading, Sample};

    const GIB: u64 = 1 << 30;

    fn reading(gib: u64) -> Reading {
        Reading {
            used: Bytes::new(gib * GIB),
            total: Some(Bytes::new(80 * GIB)),
            power_mw: Some(412_300),
            temperature_c: Some(64),
            utilization_pct: Some(98),
            sm_clock_mhz: Some(1980),
            ..Reading::default()
        }
    }

    fn device(index: u32) -> DeviceMoment {
        let peak = Sample { at: Duration::ZERO, tick: 0, device: DeviceIndex(index), reading: reading(71) };
        let row = |pid, program: &str, gib: u64, own: bool| ProcessRow {
            pid,
            program: Some(program.into()),
            container: own.then(|| "vllm-prod".into()),
            used: Some(Bytes::new(gib * GIB)),
            own,
        };
        DeviceMoment {
            device: Device { name: Some("Stand-in GPU".into()), ..Device::unnamed(DeviceIndex(index)) },
            reading: Some(reading(60)),
            slow: None,
            energy_mj: None,
            peak: Some(peak),
            most_power_mw: Some(700_000),
            failed: 0,
            lost: None,
            processes: Some(vec![row(4711, "VLLM::Worker", 58, true), row(99, "Xorg", 1, false)]),
            own: Some(Bytes::new(58 * GIB)),
            own_peak: None,
        }
    }

    fn drawn(width: u16, height: u16, devices: Vec<DeviceMoment>) -> String {
        let moment = Moment {
            now: Duration::from_secs(75),
            ticks: 750,
            missed: 2,
            dropped: 0,
            gaps: 1,
            stalled: None,
            cost: None,
            devices,
        };
        let steps = usize::from(width.saturating_sub(LABEL + SCALE));
        let ramp = |most: u64| -> Vec<Option<u64>> {
            let value = |step: usize| (step % 10 != 9).then(|| most * (step as u64) / (steps.max(1) as u64));
            (0..steps).map(value).collect()
        };
        let history = History { memory: ramp(80 * GIB), power: ramp(700_000), utilization: vec![None; steps] };
        let histories = vec![history; moment.devices.len()];
        let picture = Picture {
            moment: &moment,
            histories: &histories,
            period: Duration::from_millis(100),
            destination: Some("run.jsonl".into()),
            own: None,
            message: None,
        };
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, &picture)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let rows = buffer.content.chunks(usize::from(width.max(1)));
        let text = |row: &[ratatui::buffer::Cell]| row.iter().map(|cell| cell.symbol()).collect::<String>();
        rows.map(|row| text(row).trim_end().to_owned() + "\n").collect()
    }

    #[test]
    fn one_device_fills_the_usual_terminal() {
        assert_data_eq!(
            drawn(80, 24, vec![device(0)]),
            str![[r#"
vramscope monitor  1:15  each 100 ms  2 missed  1 gap  into run.jsonl
GPU 0 Stand-in GPU  60.00 of 80.00 GiB  peak 71.00  own 58.00  412 W  98 %  64 C
 memory                                                     ▁▂▃▃▄▅▆  80.00 GiB
                                                  ▁▂▃▄▄▅▆ ▇████████
                                        ▁▂▃▃▄▅▆ ▇████████ █████████
                              ▁▂▃▃▄▅▆ █████████ █████████ █████████
                    ▁▂▃▄▄▅▆ ▇████████ █████████ █████████ █████████
          ▁▂▃▃▄▅▆ ▇████████ █████████ █████████ █████████ █████████
 power                                                      ▁▂▃▃▄▅▆  700 W
                                                  ▁▂▃▄▄▅▆ ▇████████
                                        ▁▂▃▃▄▅▆ ▇████████ █████████
                              ▁▂▃▃▄▅▆ █████████ █████████ █████████
                    ▁▂▃▄▄▅▆ ▇████████ █████████ █████████ █████████
          ▁▂▃▃▄▅▆ ▇████████ █████████ █████████ █████████ █████████
 util                                                                not stated





 GPU       PID       GiB  container            program
   0      4711     58.00  vllm-prod            VLLM::Worker
   0        99      1.00  -                    Xorg
q ends and prints the summary

"#]]
        );
    }

    #[test]
    fn eight_devices_share_a_large_one() {
        let mut devices: Vec<_> = (0..8).map(device).collect();
        (devices[3].reading, devices[3].processes) = (None, None);
        devices[3].lost = Some("so the driver says".into());
        assert_data_eq!(
            drawn(120, 40, devices),
            str![[r#"
vramscope monitor  1:15  each 100 ms  2 missed  1 gap  into run.jsonl
GPU 0 Stand-in GPU  60.00 of 80.00 GiB  peak 71.00  own 58.00  412 W  98 %  64 C  1980 MHz
 memory                                                          ▁▁ ▁▁▁▂▂▂▂▂▂ ▃▃▃▃▃▄▄▄▄ ▄▄▅▅▅▅▅▅▆ ▆▆▆▆▇▇▇▇▇  80.00 GiB
               ▁▁ ▁▁▁▂▂▂▂▂▂ ▃▃▃▃▃▄▄▄▄ ▄▄▅▅▅▅▅▅▆ ▆▆▆▆▇▇▇▇▇ █████████ █████████ █████████ █████████ █████████
GPU 1 Stand-in GPU  60.00 of 80.00 GiB  peak 71.00  own 58.00  412 W  98 %  64 C  1980 MHz
 memory                                                          ▁▁ ▁▁▁▂▂▂▂▂▂ ▃▃▃▃▃▄▄▄▄ ▄▄▅▅▅▅▅▅▆ ▆▆▆▆▇▇▇▇▇  80.00 GiB
               ▁▁ ▁▁▁▂▂▂▂▂▂ ▃▃▃▃▃▄▄▄▄ ▄▄▅▅▅▅▅▅▆ ▆▆▆▆▇▇▇▇▇ █████████ █████████ █████████ █████████ █████████
GPU 2 Stand-in GPU  60.00 of 80.00 GiB  peak 71.00  own 58.00  412 W  98 %  64 C  1980 MHz
 memory                                                          ▁▁ ▁▁▁▂▂▂▂▂▂ ▃▃▃▃▃▄▄▄▄ ▄▄▅▅▅▅▅▅▆ ▆▆▆▆▇▇▇▇▇  80.00 GiB
               ▁▁ ▁▁▁▂▂▂▂▂▂ ▃▃▃▃▃▄▄▄▄ ▄▄▅▅▅▅▅▅▆ ▆▆▆▆▇▇▇▇▇ █████████ █████████ █████████ █████████ █████████
GPU 3 Stand-in GPU  LOST
 memory                                                   ▁▁▁▁▁▁▂▂▂ ▂▂▃▃▃▃▃▄▄ ▄▄▄▅▅▅▅▅▆ ▆▆▆▆▇▇▇▇▇ █████████  71.00 GiB
              ▁▁▁ ▁▁▂▂▂▂▂▃▃ ▃▃▃▄▄▄▄▄▅ ▅▅▅▅▆▆▆▆▆ ▇▇▇▇▇████ █████████ █████████ █████████ █████████ █████████
GPU 4 Stand-in GPU  60.00 of 80.00 GiB  peak 71.00  own 58.00  412 W  98 %  64 C  1980 MHz
 memory                                                          ▁▁ ▁▁▁▂▂▂▂▂▂ ▃▃▃▃▃▄▄▄▄ ▄▄▅▅▅▅▅▅▆ ▆▆▆▆▇▇▇▇▇  80.00 GiB
               ▁▁ ▁▁▁▂▂▂▂▂▂ ▃▃▃▃▃▄▄▄▄ ▄▄▅▅▅▅▅▅▆ ▆▆▆▆▇▇▇▇▇ █████████ █████████ █████████ █████████ █████████
GPU 5 Stand-in GPU  60.00 of 80.00 GiB  peak 71.00  own 58.00  412 W  98 %  64 C  1980 MHz
 memory                                                          ▁▁ ▁▁▁▂▂▂▂▂▂ ▃▃▃▃▃▄▄▄▄ ▄▄▅▅▅▅▅▅▆ ▆▆▆▆▇▇▇▇▇  80.00 GiB
               ▁▁ ▁▁▁▂▂▂▂▂▂ ▃▃▃▃▃▄▄▄▄ ▄▄▅▅▅▅▅▅▆ ▆▆▆▆▇▇▇▇▇ █████████ █████████ █████████ █████████ █████████
GPU 6 Stand-in GPU  60.00 of 80.00 GiB  peak 71.00  own 58.00  412 W  98 %  64 C  1980 MHz
 memory                                                          ▁▁ ▁▁▁▂▂▂▂▂▂ ▃▃▃▃▃▄▄▄▄ ▄▄▅▅▅▅▅▅▆ ▆▆▆▆▇▇▇▇▇  80.00 GiB
               ▁▁ ▁▁▁▂▂▂▂▂▂ ▃▃▃▃▃▄▄▄▄ ▄▄▅▅▅▅▅▅▆ ▆▆▆▆▇▇▇▇▇ █████████ █████████ █████████ █████████ █████████
GPU 7 Stand-in GPU  60.00 of 80.00 GiB  peak 71.00  own 58.00  412 W  98 %  64 C  1980 MHz
 memory                                                          ▁▁ ▁▁▁▂▂▂▂▂▂ ▃▃▃▃▃▄▄▄▄ ▄▄▅▅▅▅▅▅▆ ▆▆▆▆▇▇▇▇▇  80.00 GiB
               ▁▁ ▁▁▁▂▂▂▂▂▂ ▃▃▃▃▃▄▄▄▄ ▄▄▅▅▅▅▅▅▆ ▆▆▆▆▇▇▇▇▇ █████████ █████████ █████████ █████████ █████████


 GPU       PID       GiB  container            program
   0      4711     58.00  vllm-prod            VLLM::Worker
   1      4711     58.00  vllm-prod            VLLM::Worker
   2      4711     58.00  vllm-prod            VLLM::Worker
   4      4711     58.00  vllm-prod            VLLM::Worker
   5      4711     58.00  vllm-prod            VLLM::Worker
   6      4711     58.00  vllm-prod            VLLM::Worker
   7      4711     58.00  vllm-prod            VLLM::Worker
   0        99      1.00  -                    Xorg
   1        99      1.00  -                    Xorg
   2        99      1.00  -                    Xorg
4 more
q ends and prints the summary

"#]]
        );
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let text = drawn(60, 6, (0..8).map(device).collect());
        assert!(text.contains("5 more: make the window taller"), "{text}");
    }

    #[test]
    fn every_size_can_be_drawn() {
        for (width, height) in (0..30).flat_map(|width| (0..30).map(move |height| (width, height))) {
            drawn(width, height, vec![device(0), device(1), device(2)]);
        }
    }
}
