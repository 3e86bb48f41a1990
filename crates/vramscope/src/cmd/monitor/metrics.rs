//! A moment in Prometheus' text format (version 0.0.4): base units, one family after the other.
//!
//! A figure that the source does not have, or that is not of now, has no line.

use std::fmt::Write as _;

use vramscope_core::{Bytes, Reading, SlowReading};

use super::watch::{DeviceMoment, Moment, ProcessRow};

/// What the answer is.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A metric of devices: its name, its type, its help, and its value.
struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: fn(&DeviceMoment) -> Option<f64>,
}

const GAUGE: &str = "gauge";
const COUNTER: &str = "counter";

const FAMILIES: &[Family] = &[
    Family {
        name: "vramscope_gpu_up",
        kind: GAUGE,
        help: "1 while the device answers, 0 when it is lost or does not answer.",
        value: |device| Some(if device.reading.is_some() { 1.0 } else { 0.0 }),
    },
    Family {
        name: "vramscope_gpu_memory_used_bytes",
        kind: GAUGE,
        help: "Memory in use by all processes.",
        value: |device| reading(device, |reading| Some(bytes(reading.used))),
    },
    Family {
        name: "vramscope_gpu_memory_total_bytes",
        kind: GAUGE,
        help: "All memory that the driver reports.",
        value: |device| reading(device, |reading| reading.total).or(device.device.total).map(bytes),
    },
    Family {
        name: "vramscope_gpu_memory_reserved_bytes",
        kind: GAUGE,
        help: "Memory that the driver holds apart from memory in use.",
        value: |device| reading(device, |reading| reading.reserved).map(bytes),
    },
    Family {
        name: "vramscope_gpu_memory_used_peak_bytes",
        kind: GAUGE,
        help: "The most memory in use since this program began.",
        value: |device| device.peak.map(|peak| bytes(peak.reading.used)),
    },
    Family {
        name: "vramscope_gpu_utilization_ratio",
        kind: GAUGE,
        help: "Share of the driver's window with a kernel running.",
        value: |device| reading(device, |reading| reading.utilization_pct).map(ratio),
    },
    Family {
        name: "vramscope_gpu_memory_utilization_ratio",
        kind: GAUGE,
        help: "Share of the driver's window with memory traffic.",
        value: |device| reading(device, |reading| reading.memory_utilization_pct).map(ratio),
    },
    Family {
        name: "vramscope_gpu_power_watts",
        kind: GAUGE,
        help: "Power drawn.",
        value: |device| reading(device, |reading| reading.power_mw).map(thousandth),
    },
    Family {
        name: "vramscope_gpu_power_average_watts",
        kind: GAUGE,
        help: "Power averaged over the driver's own window.",
        value: |device| reading(device, |reading| reading.power_average_mw).map(thousandth),
    },
    Family {
        name: "vramscope_gpu_power_limit_watts",
        kind: GAUGE,
        help: "The power limit in force.",
        value: |device| slow(device, |slow| slow.power_limit_mw).map(thousandth),
    },
    Family {
        name: "vramscope_gpu_temperature_celsius",
        kind: GAUGE,
        help: "Core temperature.",
        value: |device| reading(device, |reading| reading.temperature_c).map(f64::from),
    },
    Family {
        name: "vramscope_gpu_memory_temperature_celsius",
        kind: GAUGE,
        help: "Memory temperature.",
        value: |device| reading(device, |reading| reading.memory_temperature_c).map(f64::from),
    },
    Family {
        name: "vramscope_gpu_sm_clock_hertz",
        kind: GAUGE,
        help: "Shader clock.",
        value: |device| reading(device, |reading| reading.sm_clock_mhz).map(|mhz| f64::from(mhz) * 1e6),
    },
    Family {
        name: "vramscope_gpu_memory_clock_hertz",
        kind: GAUGE,
        help: "Memory clock.",
        value: |device| reading(device, |reading| reading.memory_clock_mhz).map(|mhz| f64::from(mhz) * 1e6),
    },
    Family {
        name: "vramscope_gpu_energy_joules_total",
        kind: COUNTER,
        help: "The device's energy counter, since its driver was loaded.",
        value: |device| device.energy_mj.map(|mj| whole(mj) / 1e3),
    },
    Family {
        name: "vramscope_gpu_pcie_transmitted_bytes_total",
        kind: COUNTER,
        help: "Bytes sent over PCIe, as the device counts them.",
        value: |device| device.counters.as_ref()?.pcie_tx_bytes.map(whole),
    },
    Family {
        name: "vramscope_gpu_pcie_received_bytes_total",
        kind: COUNTER,
        help: "Bytes received over PCIe, as the device counts them.",
        value: |device| device.counters.as_ref()?.pcie_rx_bytes.map(whole),
    },
    Family {
        name: "vramscope_gpu_link_transmitted_bytes_total",
        kind: COUNTER,
        help: "Bytes sent over NVLink or XGMI, all links together.",
        value: |device| device.counters.as_ref()?.link_tx_bytes.map(whole),
    },
    Family {
        name: "vramscope_gpu_link_received_bytes_total",
        kind: COUNTER,
        help: "Bytes received over NVLink or XGMI, all links together.",
        value: |device| device.counters.as_ref()?.link_rx_bytes.map(whole),
    },
    Family {
        name: "vramscope_gpu_ecc_corrected_errors_total",
        kind: COUNTER,
        help: "Memory errors that were corrected, since the driver was loaded.",
        value: |device| slow(device, |slow| slow.ecc_corrected).map(whole),
    },
    Family {
        name: "vramscope_gpu_ecc_uncorrected_errors_total",
        kind: COUNTER,
        help: "Memory errors that were not corrected, since the driver was loaded.",
        value: |device| slow(device, |slow| slow.ecc_uncorrected).map(whole),
    },
    Family {
        name: "vramscope_gpu_own_memory_bytes",
        kind: GAUGE,
        help: "Memory of the process or container that was asked for.",
        value: |device| device.own.map(bytes),
    },
    Family {
        name: "vramscope_gpu_failed_reads_total",
        kind: COUNTER,
        help: "Readings that failed.",
        value: |device| Some(whole(device.failed)),
    },
];

/// A metric of the sampler itself: its name, its help, and its value.
type Own = (&'static str, &'static str, fn(&Moment) -> Option<f64>);

const OWN: &[Own] = &[
    ("vramscope_sampler_ticks_total", "Ticks that were taken.", |moment| Some(whole(moment.ticks))),
    ("vramscope_sampler_missed_ticks_total", "Ticks that came too late and were left out.", |moment| {
        Some(whole(moment.missed))
    }),
    ("vramscope_sampler_dropped_ticks_total", "Ticks that were taken and could not be kept.", |moment| {
        Some(whole(moment.dropped))
    }),
    ("vramscope_sampler_gaps_total", "Spans without samples, of whatever cause.", |moment| Some(whole(moment.gaps))),
    ("vramscope_sampler_cpu_seconds_total", "Processor time of the sampler's threads.", |moment| {
        Some(moment.cost.as_ref()?.cpu_ms? / 1e3)
    }),
];

/// The whole exposition.
pub(super) fn text(moment: &Moment) -> String {
    let mut text = String::new();
    let labels: Vec<String> = moment.devices.iter().map(labels).collect();
    head(&mut text, "vramscope_build_info", GAUGE, "1, with the version of this program.");
    let _ = writeln!(text, "vramscope_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
    head(&mut text, "vramscope_gpu_info", GAUGE, "1, with what is known of the device.");
    for (device, labels) in moment.devices.iter().zip(&labels) {
        let more = info(device);
        let _ = writeln!(text, "vramscope_gpu_info{{{labels}{more}}} 1");
    }
    for family in FAMILIES {
        let lines = moment.devices.iter().zip(&labels);
        let lines: Vec<(f64, &String)> = lines.filter_map(|(d, labels)| Some(((family.value)(d)?, labels))).collect();
        if !lines.is_empty() {
            head(&mut text, family.name, family.kind, family.help);
        }
        for (value, labels) in lines {
            let _ = writeln!(text, "{}{{{labels}}} {value}", family.name);
        }
    }
    processes(&mut text, moment, &labels);
    for (name, help, value) in OWN {
        if let Some(value) = value(moment) {
            head(&mut text, name, COUNTER, help);
            let _ = writeln!(text, "{name} {value}");
        }
    }
    text
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn processes(text: &mut String, moment: &Moment, labels: &[String]) {
    let name = "vramscope_gpu_process_memory_bytes";
    let mut begun = false;
    for (device, labels) in moment.devices.iter().zip(labels) {
        for process in device.processes.iter().flatten() {
            let Some(used) = process.used else { continue };
            if !std::mem::replace(&mut begun, true) {
                head(text, name, GAUGE, "Memory that a process holds on the device.");
            }
            let _ = writeln!(text, "{name}{{{labels}{}}} {}", of_process(process), bytes(used));
        }
    }
}

fn of_process(process: &ProcessRow) -> String {
    let mut text = format!(",pid=\"{}\"", process.pid);
    label(&mut text, "process", process.program.as_deref());
    label(&mut text, "container", process.container.as_deref());
    text
}

fn labels(device: &DeviceMoment) -> String {
    let device = &device.device;
    let mut text = format!("gpu=\"{}\"", device.index);
    label(&mut text, "uuid", device.uuid.as_deref());
    label(&mut text, "name", device.name.as_deref());
    label(&mut text, "vendor", device.vendor.map(vramscope_core::Vendor::name));
    text
}

fn info(device: &DeviceMoment) -> String {
    let mut text = String::new();
    label(&mut text, "pci_bus_id", device.device.pci_bus_id.as_deref());
    label(&mut text, "driver_version", device.device.driver.as_deref());
    text
}

/// A label; one that is not known is left out, which Prometheus reads as empty.
fn label(text: &mut String, name: &str, value: Option<&str>) {
    let Some(value) = value else { return };
    let _ = write!(text, ",{name}=\"");
    for letter in value.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
    text.push('"');
}

fn reading<T>(device: &DeviceMoment, figure: impl Fn(&Reading) -> Option<T>) -> Option<T> {
    device.reading.as_ref().and_then(figure)
}

fn slow<T>(device: &DeviceMoment, figure: impl Fn(&SlowReading) -> Option<T>) -> Option<T> {
    device.slow.as_ref().and_then(figure)
}

fn bytes(bytes: Bytes) -> f64 {
    whole(bytes.get())
}

fn whole(value: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "Prometheus' values are floats; exact below 2^53")]
    let value = value as f64;
    value
}

fn ratio(percent: u8) -> f64 {
    f64::from(percent) / 100.0
}

fn thousandth(milli: u32) -> f64 {
    f64::from(milli) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut text = String::new();
        label(&mut text, "name", Some("a\"b\\c\nd"));
        label(&mut text, "uuid", None);
        assert_eq!(text, r#",name="a\"b\\c\nd""#);
    }

    #[test]
    fn names_follow_the_conventions() {
        for family in FAMILIES {
            assert_eq!(family.name.ends_with("_total"), family.kind == COUNTER, "{}", family.name);
            assert!(family.help.ends_with('.'), "{}", family.name);
        }
        assert!(OWN.iter().all(|(name, ..)| name.ends_with("_total")));
    }
}
