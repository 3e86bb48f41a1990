//! `rocm-smi … --json`: one object, `card0`, `card1`, … and `system`, from ROCm 3 to 7.
//!
//! The same figure has had several keys over time; case is not reliable ("Card series", "Card Series").

use serde_json::{Map, Value};
use vramscope_core::Bytes;
use vramscope_gpu::Figure;
use vramscope_gpu::document::{Gpu, HostProcess, Process, Snapshot};

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

/// Adds what one output says.
pub(super) fn add(snapshot: &mut Snapshot, document: &Value) {
    let Some(map) = document.as_object() else { return };
    for (key, value) in map {
        if let (Some(index), Some(fields)) = (card(key), value.as_object()) {
            gpu(super::entry(snapshot, index), fields);
        }
    }
    let Some(system) = map.get("system").and_then(Value::as_object) else { return };
    if let Some(version) = get(system, "Driver version").and_then(text) {
        snapshot.driver_version = Some(version.to_owned());
    }
    let listed: Vec<HostProcess> = system.iter().filter_map(|(key, value)| host_process(key, value)).collect();
    if !listed.is_empty() {
        place_processes(snapshot, &listed);
        snapshot.host_processes = Some(listed);
    }
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
}

/// `Temperature (Sensor HBM 0) (C)` is the sensor `hbm_0`.
fn sensor(key: &str) -> Option<String> {
    let key = key.trim().to_ascii_lowercase();
    let name = key.strip_prefix("temperature (sensor ")?.strip_suffix(") (c)")?;
    Some(name.trim().replace(' ', "_"))
}

/// `sclk clock speed:` is the domain `sclk`. The level beside it is not a speed.
fn clock_domain(key: &str) -> Option<String> {
    let key = key.trim().trim_end_matches(':').to_ascii_lowercase();
    let name = key.strip_suffix(" clock speed")?;
    Some(name.trim().to_owned())
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

/// `"PID104225": "name, gpus, vram, sdma, cu"` (rocm-smi's `showPids`). The name may hold commas.
fn host_process(key: &str, value: &Value) -> Option<HostProcess> {
    let pid = key.strip_prefix("PID")?.trim().parse().ok()?;
    let cells: Vec<&str> = value.as_str()?.split(", ").collect();
    let (name, figures) = match cells.len().checked_sub(4) {
        Some(names @ 1..) => (Some(cells[..names].join(", ")), &cells[names..]),
        _ => (None, &cells[..0]),
    };
    let count = |place: usize| figures.get(place).and_then(|cell| cell.trim().parse::<u64>().ok());
    Some(HostProcess {
        pid,
        name: name.filter(|name| !name.is_empty() && name != "UNKNOWN"),
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
    fn a_process_name_may_hold_commas_and_a_process_on_several_cards_is_under_none() {
        let document = json!({"card0": {}, "card1": {}, "system": {"PID7": "python a, b, 2, 4096, 0, 0"}});
        let snapshot = super::super::read(&document.to_string()).unwrap();
        let host = &snapshot.host_processes.unwrap()[0];
        assert_eq!((host.name.as_deref(), host.gpus, host.vram_bytes), (Some("python a, b"), Some(2), Some(4096)));
        assert_eq!(snapshot.gpus[0].processes, None);
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
