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
        counters: None,
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

/// Some rows of a picture of one device.
fn rows(width: u16, from: usize, count: usize) -> String {
    let text = drawn(width, 14, vec![device(0)]);
    text.lines().skip(from).take(count).map(|row| format!("{row}\n")).collect()
}

#[test]
fn a_narrow_one_keeps_the_figures_and_the_program() {
    let titles = [45, 60, 80].map(|width| rows(width, 0, 2)).concat();
    assert_data_eq!(
        titles,
        str![[r#"
vramscope monitor  1:15  each 100 ms
GPU 0  60.00 of 80.00 GiB  412 W  98 %  64 C
vramscope monitor  1:15  each 100 ms  2 missed  1 gap
GPU 0  60.00 of 80.00 GiB  own 58.00  412 W  98 %  64 C
vramscope monitor  1:15  each 100 ms  2 missed  1 gap  into run.jsonl
GPU 0 Stand-in GPU  60.00 of 80.00 GiB  peak 71.00  own 58.00  412 W  98 %  64 C

"#]]
    );
    let lists = [45, 60, 80].map(|width| rows(width, 10, 2)).concat();
    assert_data_eq!(
        lists,
        str![[r#"
 GPU       PID       GiB  program
   0      4711     58.00  VLLM::Worker
 GPU       PID       GiB  container           program
   0      4711     58.00  vllm-prod           VLLM::Worker
 GPU       PID       GiB  container            program
   0      4711     58.00  vllm-prod            VLLM::Worker

"#]]
    );
}

#[test]
fn text_of_others_does_not_steer_the_terminal() {
    let mut odd = device(0);
    odd.device.name = Some("Stand\u{202e}in\u{9b}31m".into());
    odd.processes.as_mut().unwrap()[0].program = Some("vllm\u{2066}\nx".into());
    let text = drawn(80, 24, vec![odd]);
    assert!(text.contains("GPU 0 Standin31m") && text.contains("vllm x"), "{text}");
    assert!(!text.contains(['\u{202e}', '\u{9b}', '\u{2066}']), "{text}");
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
