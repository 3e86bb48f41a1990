//! `rocm-smi … --json`: one object, `card0`, `card1`, … and `system`, from ROCm 3 to 7.
//!
//! The same figure has had several keys over time; case is not reliable ("Card series", "Card Series").

use serde_json::{Map, Value};
use vramscope_core::Bytes;
use vramscope_gpu::Figure;
use vramscope_gpu::document::{Gpu, HostProcess, Process, Snapshot};

use super::ReadError;
use super::json::{number, text};

type Object = Map<String, Value>;

/// The number behind `card`, if the key is one of a GPU.
fn card(key: &str) -> Option<u32> {
    key.strip_prefix("card")?.parse().ok()
}

/// Whether there is a GPU, or at least the system block.
pub(super) fn is_output(document: &Value) -> bool {
    let is_card = |(key, value): (&String, &Value)| card(key).is_some() && value.is_object();
    let system =
        |map: &Object| map.get("system").and_then(Value::as_object).is_some_and(|s| s.contains_key("Driver version"));
    document.as_object().is_some_and(|map| map.iter().any(is_card) || system(map))
}

/// Adds what one output says, or [`ReadError::TooManyGpus`].
pub(super) fn add(snapshot: &mut Snapshot, document: &Value) -> Result<(), ReadError> {
    let Some(map) = document.as_object() else { return Ok(()) };
    for (key, value) in map {
        if let (Some(index), Some(fields)) = (card(key), value.as_object()) {
            gpu(super::entry(snapshot, index)?, fields);
        }
    }
    let Some(system) = map.get("system").and_then(Value::as_object) else { return Ok(()) };
    if let Some(version) = get(system, "Driver version").and_then(text) {
        snapshot.driver_version = Some(version.to_owned());
    }
    let listed: Vec<HostProcess> = system.iter().filter_map(|(key, value)| host_process(key, value)).collect();
    if !listed.is_empty() {
        place_processes(snapshot, &listed);
        snapshot.host_processes = Some(listed);
    }
    Ok(())
}

/// The value of a key, whatever its case.
fn get<'v>(fields: &'v Object, key: &str) -> Option<&'v Value> {
    fields.iter().find(|(name, _)| name.trim().eq_ignore_ascii_case(key)).map(|(_, value)| value)
}

fn gpu(gpu: &mut Gpu, fields: &Object) {
    let figure = |key: &str| get(fields, key).and_then(number);
    let word = |key: &str| get(fields, key).and_then(text).map(str::to_owned);
    let name = word("Card series").filter(|name| !name.starts_with("0x")).or_else(|| word("Device Name"));
    let name = name.or_else(|| word("Card model").filter(|name| !name.starts_with("0x")));
    gpu.name = name.or(gpu.name.take());
    gpu.uuid = word("Unique ID").or(gpu.uuid.take());
    gpu.pci_bus_id = word("PCI Bus").or(gpu.pci_bus_id.take());
    gpu.target = word("GFX Version").or(gpu.target.take());
    memory(gpu, fields);
    power(gpu, fields);
    gpu.util_gpu_pct = figure("GPU use (%)").or(gpu.util_gpu_pct);
    gpu.util_mem_pct = figure("GPU memory use (%)").or(gpu.util_mem_pct);
    gpu.vram_alloc_pct = figure("GPU Memory Allocated (VRAM%)").or(gpu.vram_alloc_pct);
    gpu.mem_activity_pct = figure("GPU Memory Read/Write Activity (%)").or(gpu.mem_activity_pct);
    let modes: Vec<String> = [word("Compute Partition"), word("Memory Partition")].into_iter().flatten().collect();
    gpu.partition = (!modes.is_empty()).then(|| modes.join("/")).or(gpu.partition.take());
    for (key, value) in fields {
        if let (Some(sensor), Some(degrees)) = (sensor(key), number(value)) {
            gpu.temps_c.insert(sensor, degrees);
        }
        if let (Some(domain), Some(clock)) = (clock_domain(key), number(value)) {
            gpu.clocks_mhz.insert(domain, clock);
        }
    }
    for (key, value) in fields {
        if let Some((domain, clock)) = clock_of_level(key, value) {
            gpu.clocks_mhz.entry(domain).or_insert(clock);
        }
    }
    metrics(gpu, fields);
}

/// What `--showmetrics` says, where no other option says it: the names are those of the driver's table.
fn metrics(gpu: &mut Gpu, fields: &Object) {
    let figure = |key: &str| get(fields, key).and_then(number);
    gpu.util_gpu_pct = gpu.util_gpu_pct.or_else(|| figure("average_gfx_activity (%)"));
    gpu.util_mem_pct = gpu.util_mem_pct.or_else(|| figure("average_umc_activity (%)"));
    if gpu.power_w.is_none() {
        let kinds = [("current_socket_power (W)", "current_socket"), ("average_socket_power (W)", "average")];
        let found = kinds.iter().find_map(|(key, kind)| Some((figure(key)?, (*kind).to_owned())));
        (gpu.power_w, gpu.power_kind) = found.unzip();
    }
    if gpu.temps_c.is_empty() {
        let read = ["edge", "hotspot", "mem"]
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), figure(&format!("temperature_{name} (C)"))?)));
        gpu.temps_c.extend(read);
    }
}

/// `Temperature (Sensor HBM 0) (C)` is the sensor `hbm_0`.
fn sensor(key: &str) -> Option<String> {
    let key = key.trim().to_ascii_lowercase();
    // Before ROCm 2.7 the unit stood behind the figure.
    let name = key.strip_prefix("temperature (sensor ")?.trim_end_matches(" (c)").strip_suffix(')')?;
    Some(name.trim().replace(' ', "_"))
}

/// `sclk clock speed:` is the domain `sclk`. The level beside it is not a speed.
fn clock_domain(key: &str) -> Option<String> {
    let key = key.trim().trim_end_matches(':').to_ascii_lowercase();
    let name = key.strip_suffix(" clock speed")?;
    Some(name.trim().to_owned())
}

/// `"sclk clock level": "8 (1725Mhz)"` holds a speed; `"pcie clock level": "1 (16.0GT/s x16)"` does not.
fn clock_of_level(key: &str, value: &Value) -> Option<(String, Figure)> {
    let key = key.trim().to_ascii_lowercase();
    let domain = key.strip_suffix(" clock level")?;
    let (_, speed) = value.as_str()?.split_once('(')?;
    let (clock, unit) = Figure::parse_with_unit(speed)?;
    unit.trim_end_matches(')').eq_ignore_ascii_case("mhz").then(|| (domain.trim().to_owned(), clock))
}

fn memory(gpu: &mut Gpu, fields: &Object) {
    let bytes = |key: &str| get(fields, key).and_then(number).and_then(Figure::as_u64).map(Bytes::new);
    let total = bytes("VRAM Total Memory (B)");
    let used = bytes("VRAM Total Used Memory (B)");
    gpu.mem_total_mib = total.map(Figure::mib).or(gpu.mem_total_mib);
    gpu.mem_used_mib = used.map(Figure::mib).or(gpu.mem_used_mib);
    gpu.mem_total_bytes = total.map(Bytes::get).or(gpu.mem_total_bytes);
    gpu.mem_used_bytes = used.map(Bytes::get).or(gpu.mem_used_bytes);
    let free = total.zip(used).and_then(|(total, used)| total.checked_sub(used));
    gpu.mem_free_mib = free.map(Figure::mib).or(gpu.mem_free_mib);
    gpu.gtt_total_mib = bytes("GTT Total Memory (B)").map(Figure::mib).or(gpu.gtt_total_mib);
    gpu.gtt_used_mib = bytes("GTT Total Used Memory (B)").map(Figure::mib).or(gpu.gtt_used_mib);
}

fn power(gpu: &mut Gpu, fields: &Object) {
    // The first ones put the unit behind the figure instead of into the key.
    let figure = |key: &str| get(fields, key).or_else(|| get(fields, key.trim_end_matches(" (W)"))).and_then(number);
    let kinds = [
        ("Average Graphics Package Power (W)", "average"),
        ("Current Socket Graphics Package Power (W)", "current_socket"),
        ("Current Graphics Package Power (W)", "current_socket"),
    ];
    if let Some((watts, kind)) = kinds.iter().find_map(|(key, kind)| Some((figure(key)?, *kind))) {
        gpu.power_w = Some(watts);
        gpu.power_kind = Some(kind.to_owned());
    }
    gpu.power_cap_w = figure("Max Graphics Package Power (W)").or(gpu.power_cap_w);
    let microjoules = figure("Accumulated Energy (uJ)").map(|energy| Figure::Real(energy.as_f64() / 1e6));
    gpu.energy_j = microjoules.or(gpu.energy_j);
}

/// `"PID104225": "name, gpus, vram, sdma, cu"` (rocm-smi's `showPids`; before ROCm 4.1 without the last figure). It
/// writes a comma for each blank and everything in small letters, so a name with blanks comes in several cells, and a
/// figure that it could not read is `unknown`.
fn host_process(key: &str, value: &Value) -> Option<HostProcess> {
    let pid = key.strip_prefix("PID")?.trim().parse().ok()?;
    let cells: Vec<&str> = value.as_str()?.split(", ").collect();
    let is_figure = |cell: &&&str| cell.eq_ignore_ascii_case("unknown") || cell.parse::<u64>().is_ok();
    let behind = cells.iter().skip(1).rev().take(4).take_while(is_figure).count();
    let (name, figures) = cells.split_at(cells.len() - behind);
    let count = |place: usize| figures.get(place).and_then(|cell| cell.trim().parse::<u64>().ok());
    Some(HostProcess {
        pid,
        name: Some(name.join(" ")).filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("unknown")),
        gpus: count(0).and_then(|n| u32::try_from(n).ok()),
        vram_bytes: count(1),
    })
}

/// Puts each process under its GPU where there is no doubt: a process on no GPU is under none, and where there is one
/// GPU it is that one. Otherwise the list by GPU stays unknown.
fn place_processes(snapshot: &mut Snapshot, listed: &[HostProcess]) {
    let on_some: Vec<&HostProcess> = listed.iter().filter(|process| process.gpus != Some(0)).collect();
    if on_some.is_empty() {
        snapshot.gpus.iter_mut().for_each(|gpu| gpu.processes = Some(Vec::new()));
    } else if let [gpu] = snapshot.gpus.as_mut_slice() {
        let under = |p: &&HostProcess| Process {
            pid: p.pid,
            name: p.name.clone(),
            vram_bytes: p.vram_bytes,
            used_mib: p.vram_bytes.map(|bytes| Figure::mib(Bytes::new(bytes))),
            ..Process::default()
        };
        gpu.processes = Some(on_some.iter().map(under).collect());
    } else {
        snapshot
            .notes
            .push("rocm-smi lists processes for the whole machine and does not say on which GPU they are".into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn cards_are_counted_by_their_number_and_not_by_their_place() {
        let document = json!({"card10": {"GPU use (%)": "1"}, "card2": {"GPU use (%)": "N/A"}, "cards": {}});
        let snapshot = super::super::read(&document.to_string()).unwrap();
        let listed: Vec<_> = snapshot.gpus.iter().map(|gpu| (gpu.index, gpu.util_gpu_pct)).collect();
        assert_eq!(listed, [(2, None), (10, Some(Figure::Whole(1)))]);
    }

    #[test]
    fn a_process_name_may_hold_blanks_and_a_process_on_several_cards_is_under_none() {
        let document = json!({"card0": {}, "card1": {}, "system": {"PID7": "vllm::worker, tp1, 2, 4096, 0, 0"}});
        let snapshot = super::super::read(&document.to_string()).unwrap();
        let host = &snapshot.host_processes.unwrap()[0];
        assert_eq!((host.name.as_deref(), host.gpus, host.vram_bytes), (Some("vllm::worker tp1"), Some(2), Some(4096)));
        assert_eq!(snapshot.gpus[0].processes, None);
    }

    #[test]
    fn figures_of_a_process_are_read_with_or_without_its_occupancy() {
        let of = |text: &str| host_process("PID7", &json!(text)).map(|p| (p.name, p.gpus, p.vram_bytes)).unwrap();
        let named = |name: &str| Some(name.to_owned());
        assert_eq!(of("python3, 1, 4096, 0"), (named("python3"), Some(1), Some(4096)));
        assert_eq!(of("python3, 1, 4096, 0, unknown"), (named("python3"), Some(1), Some(4096)));
        assert_eq!(of("python3, 1, unknown, unknown, unknown"), (named("python3"), Some(1), None));
        assert_eq!(of("unknown, 1, 4096, 0, 0"), (None, Some(1), Some(4096)));
        assert_eq!(of("python3"), (named("python3"), None, None));
        assert_eq!(of("7, 1, 4096, 0, 0"), (named("7"), Some(1), Some(4096)));
    }

    #[test]
    fn a_clock_is_also_read_from_its_level_and_metrics_fill_what_nothing_else_says() {
        let levels = json!({"card0": {"sclk clock level": "8 (1725Mhz)", "pcie clock level": "1 (16.0GT/s x16)",
            "mclk clock level": "2 (1000Mhz)", "mclk clock speed:": "(1001Mhz)", "socclk clock level:": "7"}});
        let gpu = super::super::read(&levels.to_string()).unwrap().gpus.remove(0);
        let clocks: Vec<_> = gpu.clocks_mhz.into_iter().collect();
        assert_eq!(clocks, [("mclk".into(), Figure::Whole(1001)), ("sclk".into(), Figure::Whole(1725))]);
        let metrics = json!({"card0": {"temperature_edge (C)": "N/A", "temperature_hotspot (C)": "51",
            "temperature_mem (C)": "44", "current_socket_power (W)": "142", "average_socket_power (W)": "N/A",
            "average_gfx_activity (%)": "3", "average_umc_activity (%)": "1", "current_gfxclk (MHz)": "131"}});
        let gpu = super::super::read(&metrics.to_string()).unwrap().gpus.remove(0);
        assert_eq!((gpu.power_w, gpu.power_kind.as_deref()), (Some(Figure::Whole(142)), Some("current_socket")));
        assert_eq!((gpu.util_gpu_pct, gpu.util_mem_pct), (Some(Figure::Whole(3)), Some(Figure::Whole(1))));
        assert_eq!(gpu.temps_c.into_keys().collect::<Vec<_>>(), ["hotspot", "mem"]);
        let both = json!({"card0": {"Temperature (Sensor edge) (C)": "30.0", "temperature_hotspot (C)": "51",
            "GPU use (%)": "9", "average_gfx_activity (%)": "3"}});
        let gpu = super::super::read(&both.to_string()).unwrap().gpus.remove(0);
        assert_eq!((gpu.util_gpu_pct, gpu.temps_c.len()), (Some(Figure::Whole(9)), 1));
    }

    #[test]
    fn a_unit_may_stand_in_the_key_or_behind_the_figure() {
        let document = json!({"card0": {"Average Graphics Package Power": "14.0W", "Max Graphics Package Power (W)": "225",
            "GPU use (%)": "Unsupported", "Card series": "0x66af", "Card model": "Vega 20"}});
        let gpu = super::super::read(&document.to_string()).unwrap().gpus.remove(0);
        assert_eq!((gpu.power_w.map(Figure::as_f64), gpu.power_kind.as_deref()), (Some(14.0), Some("average")));
        assert_eq!((gpu.power_cap_w, gpu.util_gpu_pct), (Some(Figure::Whole(225)), None));
        assert_eq!(gpu.name.as_deref(), Some("Vega 20"));
    }

    #[test]
    fn sensors_keep_their_names() {
        assert_eq!(sensor("Temperature (Sensor HBM 0) (C)").as_deref(), Some("hbm_0"));
        assert_eq!(clock_domain("sclk clock level:"), None);
        assert_eq!(clock_domain("socclk clock speed:").as_deref(), Some("socclk"));
    }
}
