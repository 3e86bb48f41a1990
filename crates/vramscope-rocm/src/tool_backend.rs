//! The backend on AMD's tools: each reading starts a program, so it is asked once a second at most.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use vramscope_core::{ByteUnit, Bytes, Device, DeviceIndex, GpuProcess, Reading, SlowReading, Vendor};
use vramscope_gpu::document::{Gpu, Snapshot};
use vramscope_gpu::{Attempt, BackendInfo, CallCost, CallMeter, Figure, GpuBackend, GpuError, PowerKind};

use crate::tools;

/// The shortest time between two starts of the tool.
const SHORTEST: Duration = Duration::from_secs(1);
/// A tool that takes longer is killed: rocm-smi is a Python start of one to three seconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest output that is read.
const MAX_OUTPUT: u64 = 16 << 20;

/// A tool with the arguments for what never changes and for what does.
struct Tool {
    name: &'static str,
    facts: &'static [&'static str],
    figures: &'static [&'static str],
}

const TOOLS: [Tool; 2] = [
    Tool { name: "amd-smi", facts: &["static", "--json"], figures: &["metric", "--json"] },
    Tool {
        name: "rocm-smi",
        facts: &["--showproductname", "--showuniqueid", "--showbus", "--showmeminfo", "vram", "--json"],
        figures: &["--showmeminfo", "vram", "--showuse", "--showpower", "--showtemp", "--showclocks", "--json"],
    },
];

/// What the tool answered last.
#[derive(Debug)]
struct Answer {
    begun: Instant,
    ended: Instant,
    said: Result<Snapshot, String>,
    /// The devices whose readings were taken from it.
    served: BTreeSet<DeviceIndex>,
}

impl Answer {
    fn ask(meter: &mut CallMeter, program: &Path, figures: &[&str]) -> Self {
        let begun = Instant::now();
        let said = meter.time(0, || run(program, figures));
        Self { begun, ended: Instant::now(), said, served: BTreeSet::new() }
    }
}

/// Whether an answer is still one of now: the tool is not started again within a second, and one that takes longer
/// serves each device once, so that no reading is stated twice.
fn is_fresh(since_begun: Duration, since_ended: Duration, served: bool) -> bool {
    // A tick may come a little early by the tool's clock.
    let least = SHORTEST * 9 / 10;
    since_begun < least || (since_ended < least && !served)
}

/// AMD's devices through `amd-smi` or `rocm-smi`.
#[derive(Debug)]
pub(crate) struct ToolBackend {
    program: PathBuf,
    name: &'static str,
    figures: &'static [&'static str],
    devices: Vec<Device>,
    last: Option<Answer>,
    meter: CallMeter,
    power: Option<PowerKind>,
}

impl ToolBackend {
    /// Runs the tools until one lists devices.
    pub(crate) fn open(given: Option<&Path>) -> Result<Self, Vec<Attempt>> {
        let mut tried = Vec::new();
        for tool in &TOOLS {
            let program = match given {
                Some(path) if path.file_name().is_some_and(|name| name == tool.name) => path.to_owned(),
                Some(_) => continue,
                None => PathBuf::from(tool.name),
            };
            match Self::start(program.clone(), tool) {
                Ok(backend) => return Ok(backend),
                Err(outcome) => tried.push(Attempt { what: program.display().to_string(), outcome }),
            }
        }
        Err(tried)
    }

    fn start(program: PathBuf, tool: &Tool) -> Result<Self, String> {
        let facts = run(&program, tool.facts)?;
        let mut meter = CallMeter::new(&["tool"]);
        let last = Answer::ask(&mut meter, &program, tool.figures);
        let now = last.said.as_ref().map_err(String::clone)?;
        let devices: Vec<Device> = facts.gpus.iter().map(|gpu| describe(gpu, &facts, now)).collect();
        if devices.is_empty() {
            return Err("it lists no device".into());
        }
        let power = now.gpus.first().and_then(|gpu| gpu.power_kind.as_deref()).map(power_kind);
        meter.reset();
        Ok(Self { program, name: tool.name, figures: tool.figures, devices, last: Some(last), meter, power })
    }

    /// The last figures, or new ones where those are too old or have been `device`'s reading before.
    fn now(&mut self, device: Option<DeviceIndex>) -> &Result<Snapshot, String> {
        let Self { meter, program, figures, last, .. } = self;
        let fresh = last.take().filter(|last| {
            let served = device.is_some_and(|device| last.served.contains(&device));
            is_fresh(last.begun.elapsed(), last.ended.elapsed(), served)
        });
        let answer = last.insert(fresh.unwrap_or_else(|| Answer::ask(meter, program, figures)));
        answer.served.extend(device);
        &answer.said
    }
}

fn power_kind(name: &str) -> PowerKind {
    if name == "average" { PowerKind::Average } else { PowerKind::Socket }
}

fn mib(figure: Figure) -> Option<Bytes> {
    Bytes::from_unit(figure.as_f64(), ByteUnit::MiB)
}

fn describe(gpu: &Gpu, facts: &Snapshot, now: &Snapshot) -> Device {
    let figures = now.gpus.iter().find(|other| other.index == gpu.index);
    let total = gpu.mem_total_mib.or_else(|| figures.and_then(|gpu| gpu.mem_total_mib));
    Device {
        uuid: gpu.uuid.clone(),
        name: gpu.name.clone(),
        pci_bus_id: gpu.pci_bus_id.clone(),
        vendor: Some(Vendor::Amd),
        total: total.and_then(mib),
        driver: facts.driver_version.clone(),
        ..Device::unnamed(DeviceIndex(gpu.index))
    }
}

/// Runs the tool and reads what it prints.
fn run(program: &Path, arguments: &[&str]) -> Result<Snapshot, String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let output = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        let read = output.map(|output| output.take(MAX_OUTPUT).read_to_end(&mut text));
        read.transpose().map(|_| text)
    });
    let start = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if start.elapsed() > PATIENCE => {
                // It may have ended just now; then there is nothing to kill and the wait below ends at once.
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("it did not answer within {} s", PATIENCE.as_secs()));
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(20)),
            Err(error) => return Err(error.to_string()),
        }
    };
    let text = reader.join().map_err(|_| "its output could not be read".to_owned())?;
    let text = text.map_err(|error| error.to_string())?;
    if text.is_empty() {
        return Err(format!("it printed nothing ({status})"));
    }
    tools::read(&String::from_utf8_lossy(&text)).map_err(|error| error.to_string())
}

impl GpuBackend for ToolBackend {
    fn name(&self) -> &'static str {
        self.name
    }

    fn devices(&self) -> &[Device] {
        &self.devices
    }

    fn read(&mut self, device: DeviceIndex) -> Result<Reading, GpuError> {
        if !self.devices.iter().any(|known| known.index == device) {
            return Err(GpuError::NoSuchDevice { device });
        }
        let what = "memory";
        let snapshot = match self.now(Some(device)) {
            Ok(snapshot) => snapshot,
            Err(words) => return Err(GpuError::Driver { device, what, detail: words.clone() }),
        };
        let listed = snapshot.gpus.iter().find(|gpu| gpu.index == device.0);
        let gpu = listed.ok_or_else(|| GpuError::Lost { device, what, detail: "it is no longer listed".into() })?;
        reading(gpu).ok_or(GpuError::Unsupported { device, what })
    }

    fn processes(&mut self, device: DeviceIndex) -> Result<Vec<GpuProcess>, GpuError> {
        // The tools' lists cannot be trusted: until July 2026 each process was printed under every card.
        Err(GpuError::Unsupported { device, what: "processes" })
    }

    fn read_slow(&mut self, device: DeviceIndex) -> Result<SlowReading, GpuError> {
        let milli = |figure: Figure| Bytes::from_unit(figure.as_f64() * 1000.0, ByteUnit::B).map(Bytes::get);
        let found = match self.now(None) {
            Ok(snapshot) => snapshot.gpus.iter().find(|gpu| gpu.index == device.0),
            Err(words) => return Err(GpuError::Driver { device, what: "energy", detail: words.clone() }),
        };
        Ok(SlowReading {
            // Cards without the counter print 0.
            energy_mj: found.and_then(|gpu| gpu.energy_j).and_then(milli).filter(|&energy| energy > 0),
            power_limit_mw: found.and_then(|gpu| gpu.power_cap_w).and_then(milli).and_then(|mw| u32::try_from(mw).ok()),
            ..SlowReading::default()
        })
    }

    fn info(&self) -> BackendInfo {
        BackendInfo {
            driver_version: self.devices.first().and_then(|device| device.driver.clone()),
            library: Some(self.program.display().to_string()),
            power: self.power,
            reserved_apart: Some(false),
            shortest_period: Some(SHORTEST),
            notes: vec![format!("each reading starts {}, so it is asked once a second at most", self.name)],
            ..BackendInfo::default()
        }
    }

    fn call_costs(&self) -> Vec<CallCost> {
        self.meter.costs()
    }

    fn reset_call_costs(&mut self) {
        self.meter.reset();
    }
}

/// The figures that both tools print, or `None` where memory in use is not among them.
fn reading(gpu: &Gpu) -> Option<Reading> {
    let whole = |figure: Option<Figure>| {
        let value = figure.map(Figure::as_f64).filter(|value| *value >= 0.0)?;
        Bytes::from_unit(value, ByteUnit::B).and_then(|n| u32::try_from(n.get()).ok())
    };
    let percent = |figure: Option<Figure>| whole(figure).and_then(|value| u8::try_from(value).ok());
    let sensor = |names: &[&str]| whole(names.iter().find_map(|name| gpu.temps_c.get(*name).copied()));
    let clock = |names: &[&str]| whole(names.iter().find_map(|name| gpu.clocks_mhz.get(*name).copied()));
    let used = gpu.mem_used_bytes.map(Bytes::new).or_else(|| gpu.mem_used_mib.and_then(mib))?;
    Some(Reading {
        used,
        total: gpu.mem_total_bytes.map(Bytes::new).or_else(|| gpu.mem_total_mib.and_then(mib)),
        power_mw: whole(gpu.power_w.map(|watts| Figure::Real(watts.as_f64() * 1000.0))),
        temperature_c: sensor(&["edge", "junction", "hotspot"]),
        memory_temperature_c: sensor(&["memory", "mem"]),
        utilization_pct: percent(gpu.util_gpu_pct),
        memory_utilization_pct: percent(gpu.util_mem_pct.or(gpu.mem_activity_pct)),
        sm_clock_mhz: clock(&["sclk", "gfx_0", "gfx"]),
        memory_clock_mhz: clock(&["mclk", "mem_0", "mem"]),
        ..Reading::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tool_is_asked_once_a_second_and_a_slow_one_serves_each_device_once() {
        let ms = Duration::from_millis;
        assert!(is_fresh(ms(500), ms(480), true), "asked again within a second, it is the same answer");
        assert!(!is_fresh(ms(950), ms(930), true), "a tick later it is asked anew");
        assert!(is_fresh(ms(1_600), ms(1), false), "one that took long is new to a device that did not read it");
        assert!(!is_fresh(ms(1_700), ms(100), true), "and no second reading of one that did");
        assert!(!is_fresh(ms(3_000), ms(1_400), false));
    }
}
