//! The energy counters of the server's devices, read where a measurement begins and ends.

use std::net::IpAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use vramscope_core::{Device, DeviceIndex, SlowReading};
use vramscope_gpu::GpuBackend;
use vramscope_load::document::MeteredDocument;

use crate::backends::{self, BackendArgs, Opened, VISIBLE};
use crate::{output, patience};

/// A counter's call takes 2 to 16 ms a device; a driver that takes longer than this is not waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whose energy is to be read.
pub(super) enum Whose {
    /// An engine that was started here, with these processes.
    Started(Vec<u32>),
    /// A server at this host.
    At(String),
}

/// Reads the counters on a thread of its own: they must not delay what waits for answers.
pub(super) struct Meter {
    asks: Sender<oneshot::Sender<Reading>>,
    /// What is read.
    pub(super) metered: MeteredDocument,
}

/// What a device's counter said, in millijoules, and when; or why it says nothing.
type Counter = Result<(Instant, u64), String>;
/// The counters of all devices.
type Reading = Vec<Counter>;

/// A reading that is under way.
pub(super) struct Asked(oneshot::Receiver<Reading>);

/// A source with the devices that are read of it.
type Sources = Vec<(Box<dyn GpuBackend>, Vec<DeviceIndex>)>;

impl Meter {
    /// Opens the devices of a server, as far as it is known which they are; `None` where there are none. `tell` says why
    /// there are none though there might be.
    pub(super) fn open(args: &BackendArgs, whose: &Whose, tell: &dyn Fn(&str)) -> anyhow::Result<Option<Self>> {
        let named = !args.gpu.is_empty() || args.visible;
        if matches!(whose, Whose::At(host) if !is_here(host)) && !named {
            if args.asks_for_a_gpu() {
                tell(
                    "note: there is no energy: the server is on another machine; if it is on this one, name its --gpu",
                );
            }
            return Ok(None);
        }
        let inherits = matches!(whose, Whose::Started(_));
        let variable = |name: &str| std::env::var(name).ok().filter(|_| inherits || args.visible);
        let opened = match backends::open_within(args, &variable) {
            Ok(opened) => opened,
            Err(none) if args.asks_for_a_gpu() => return Err(none),
            Err(_) => return Ok(None),
        };
        let left_visible = VISIBLE.iter().any(|(name, _)| variable(name).is_some());
        let count: usize = opened.iter().map(|one| one.chosen.len()).sum();
        let (sources, because) = match whose {
            _ if !args.gpu.is_empty() => (whole(opened), "named by --gpu"),
            _ if left_visible => (whole(opened), "left visible by the environment"),
            _ if count == 1 => (whole(opened), "the only device of this machine"),
            Whose::Started(pids) => (of_processes(opened, pids), "the driver lists the engine's processes on them"),
            Whose::At(_) => (Vec::new(), ""),
        };
        if sources.is_empty() {
            tell(&format!(
                "note: there is no energy: which of {count} devices are the server's is not known; name them with --gpu"
            ));
            return Ok(None);
        }
        Ok(Some(Self::of(sources, because)))
    }

    fn of(mut sources: Sources, because: &str) -> Self {
        let device = |(source, index): (&dyn GpuBackend, &DeviceIndex)| {
            let device: &Device = source.devices().iter().find(|device| device.index == *index)?;
            Some((device.index.0, device.uuid.clone(), device.name.clone()))
        };
        let devices: Vec<_> = sources
            .iter()
            .flat_map(|(source, indices)| indices.iter().map(|index| (source.as_ref(), index)).filter_map(device))
            .collect();
        let (asks, questions): (Sender<oneshot::Sender<Reading>>, Receiver<_>) = channel();
        // It ends with the meter; a driver that hangs keeps it, and nobody waits for it.
        std::thread::spawn(move || {
            while let Ok(question) = questions.recv() {
                let reading = sources.iter_mut().flat_map(|(source, indices)| {
                    indices.iter().map(|index| counter(source.as_mut(), *index)).collect::<Reading>()
                });
                // Who asked may have gone.
                let _ = question.send(reading.collect());
            }
        });
        Self { asks, metered: MeteredDocument::new(devices, because) }
    }

    /// Begins to read.
    pub(super) fn read(&self) -> Asked {
        let (tell, answer) = oneshot::channel();
        // A thread that has gone does not answer, which is told then.
        let _ = self.asks.send(tell);
        Asked(answer)
    }
}

impl Asked {
    /// The energy from this reading to a later one, in joules, and the time between them, in seconds.
    pub(super) async fn until(self, later: Self) -> Result<(f64, f64), String> {
        let (first, last) = (self.answer().await?, later.answer().await?);
        let mut joules = 0.0;
        let mut times = Vec::new();
        for (first, last) in first.into_iter().zip(last) {
            let ((began, before), (ended, after)) = (first?, last?);
            let millijoules = after.checked_sub(before).ok_or("a counter went back")?;
            #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 millijoules")]
            let more = millijoules as f64 / 1e3;
            joules += more;
            times.push(ended.saturating_duration_since(began));
        }
        let count = u32::try_from(times.len()).unwrap_or(u32::MAX).max(1);
        Ok((joules, (times.iter().sum::<Duration>() / count).as_secs_f64()))
    }

    async fn answer(self) -> Result<Reading, String> {
        let late = |_| format!("the driver did not answer within {} s", PATIENCE.as_secs());
        let answer = tokio::time::timeout(PATIENCE, self.0).await.map_err(late)?;
        answer.map_err(|_| "the devices are not read any more".to_owned())
    }
}

fn counter(source: &mut dyn GpuBackend, device: DeviceIndex) -> Counter {
    let mut slow = SlowReading::default();
    source.read_rare(device, &mut slow).map_err(|error| error.to_string())?;
    let energy = match slow.energy_mj {
        Some(energy) => Some(energy),
        None => source.read(device).map_err(|error| error.to_string())?.energy_mj,
    };
    let energy = energy.ok_or_else(|| format!("device {device} has no counter of energy"))?;
    Ok((Instant::now(), energy))
}

fn whole(opened: Vec<Opened>) -> Sources {
    opened.into_iter().map(|one| (one.backend, one.chosen)).collect()
}

/// The devices on which the driver lists one of these processes. A driver that lists none, or hangs, has none.
fn of_processes(opened: Vec<Opened>, pids: &[u32]) -> Sources {
    let mut sources = Sources::new();
    for Opened { mut backend, chosen } in opened {
        let (name, pids) = (backend.name(), pids.to_vec());
        let found = patience::of_driver(name, move || {
            let own = |index: &DeviceIndex| {
                backend.processes(*index).is_ok_and(|list| list.iter().any(|one| pids.contains(&one.pid)))
            };
            let chosen: Vec<DeviceIndex> = chosen.into_iter().filter(own).collect();
            (backend, chosen)
        });
        match found {
            Ok((backend, chosen)) if !chosen.is_empty() => sources.push((backend, chosen)),
            Ok(_) => {}
            Err(hangs) => output::say(&format!("note: {name}: {hangs}")),
        }
    }
    sources
}

/// Whether a host is this machine by its own word. A tunnel says so too, which nobody can see from here.
fn is_here(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use vramscope_gpu::FakeGpu;

    use super::*;

    #[tokio::test]
    async fn energy_is_the_difference_of_the_counters_over_all_devices() {
        let gpu = FakeGpu::steady(2);
        let indices: Vec<DeviceIndex> = gpu.devices().iter().map(|device| device.index).collect();
        let gpu = gpu.rare_energy(indices[0], [Ok(1_000), Ok(4_000)]).rare_energy(indices[1], [Ok(500), Ok(2_500)]);
        let meter = Meter::of(vec![(Box::new(gpu), indices)], "a test");
        assert_eq!((meter.metered.devices.len(), meter.metered.because.as_str()), (2, "a test"));
        let first = meter.read();
        let (joules, seconds) = first.until(meter.read()).await.unwrap();
        assert!((joules - 5.0).abs() < 1e-9 && seconds >= 0.0);
    }

    #[tokio::test]
    async fn a_counter_that_is_not_there_or_goes_back_gives_none() {
        let gpu = FakeGpu::steady(1);
        let index = gpu.devices()[0].index;
        let without = Meter::of(vec![(Box::new(gpu), vec![index])], "a test");
        let why = without.read().until(without.read()).await.unwrap_err();
        assert!(why.contains("no counter"), "{why}");
        let gpu = FakeGpu::steady(1).rare_energy(index, [Ok(9_000), Ok(1)]);
        let reset = Meter::of(vec![(Box::new(gpu), vec![index])], "a test");
        assert_eq!(reset.read().until(reset.read()).await, Err("a counter went back".to_owned()));
    }

    #[test]
    fn only_a_loopback_address_says_that_a_server_is_here() {
        for here in ["localhost", "127.0.0.1", "127.3.2.1", "[::1]", "::1"] {
            assert!(is_here(here), "{here}");
        }
        for elsewhere in ["example.org", "10.0.0.1", "0.0.0.0", "localhost.example.org"] {
            assert!(!is_here(elsewhere), "{elsewhere}");
        }
    }
}
