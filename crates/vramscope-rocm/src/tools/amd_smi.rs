//! `amd-smi static|metric|process|monitor|list … --json`: a bare array (ROCm 5.7 to 6.4) or `{"gpu_data": […]}` (7.0).

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use vramscope_core::{ByteUnit, Bytes};
use vramscope_gpu::Figure;
use vramscope_gpu::document::{Gpu, Process, Snapshot};

use super::ReadError;
use super::json::{figure, memory, number, text};

type Object = Map<String, Value>;

/// The entries of one output: of all its rounds if it was written with `--watch` into a file, which makes a list of
/// lists.
fn entries(document: &Value) -> Option<Vec<&Object>> {
    let list = match document {
        Value::Array(list) => list.as_slice(),
        Value::Object(map) => match map.get("gpu_data") {
            Some(Value::Array(list)) => list.as_slice(),
            _ => std::slice::from_ref(document),
        },
        _ => return None,
    };
    let rounds = list.iter().flat_map(|entry| match entry {
        Value::Array(round) => round.as_slice(),
        _ => std::slice::from_ref(entry),
    });
    rounds.map(Value::as_object).collect()
}

/// Whether it speaks of GPUs, and each entry says of which. Entries of CPUs may stand between them.
pub(super) fn is_output(document: &Value) -> bool {
    let known = |entry: &&Object| index(entry).is_some() || entry.contains_key("cpu");
    entries(document).is_some_and(|list| list.iter().any(|entry| index(entry).is_some()) && list.iter().all(known))
}

fn index(entry: &Object) -> Option<u32> {
    let (figure, unit) = figure(entry.get("gpu")?)?;
    let index = figure.as_u64().filter(|_| unit.is_empty())?;
    u32::try_from(index).ok()
}

/// Adds what one output says, or [`ReadError::TooManyGpus`].
pub(super) fn add(snapshot: &mut Snapshot, document: &Value) -> Result<(), ReadError> {
    let mut lists = Vec::new();
    for entry in entries(document).unwrap_or_default() {
        let Some(index) = index(entry) else { continue };
        let driver = at(entry, &["driver", "version"]).or_else(|| at(entry, &["driver", "driver_version"]));
        if let Some(version) = driver.and_then(text) {
            snapshot.driver_version.get_or_insert_with(|| version.to_owned());
        }
        let gpu = super::entry(snapshot, index)?;
        identity(gpu, entry);
        sizes(gpu, entry);
        power(gpu, entry);
        activity(gpu, entry);
        sensors(gpu, entry);
        if let Some(read) = entry.get("process_list").and_then(processes) {
            lists.push(read.clone());
            gpu.processes = Some(read);
        }
    }
    if lists.len() > 1 && !lists[0].is_empty() && lists.windows(2).all(|pair| pair[0] == pair[1]) {
        let note = "amd-smi printed the same processes under every GPU: their memory is each process's total over all \
                    GPUs, not its share of this one (fixed in amd-smi of July 2026)";
        snapshot.notes.push(note.into());
    }
    Ok(())
}

fn at<'v>(entry: &'v Object, path: &[&str]) -> Option<&'v Value> {
    let (last, path) = path.split_last()?;
    path.iter().try_fold(entry, |map, name| map.get(*name)?.as_object())?.get(*last)
}

/// The first of several spellings that is there and says something.
fn first<T>(entry: &Object, paths: &[&[&str]], read: impl Fn(&Value) -> Option<T>) -> Option<T> {
    paths.iter().find_map(|path| at(entry, path).and_then(&read))
}

fn identity(gpu: &mut Gpu, entry: &Object) {
    let word = |paths: &[&[&str]]| first(entry, paths, |value| text(value).map(str::to_owned));
    let keep = |slot: &mut Option<String>, found: Option<String>| *slot = found.or(slot.take());
    keep(&mut gpu.name, word(&[&["asic", "market_name"], &["board", "product_name"]]));
    keep(&mut gpu.uuid, word(&[&["uuid"]]));
    keep(&mut gpu.pci_bus_id, word(&[&["bdf"], &["bus", "bdf"]]));
    keep(&mut gpu.target, word(&[&["asic", "target_graphics_version"]]));
    let units = at(entry, &["asic", "num_compute_units"]).and_then(number);
    gpu.compute_units = units.or(gpu.compute_units);
    // Since ROCm 6.4 the first of them is an accelerator's.
    let compute = word(&[&["partition", "compute_partition"], &["partition", "accelerator_partition"]]);
    let modes = [compute, word(&[&["partition", "memory_partition"]])];
    let modes: Vec<String> = modes.into_iter().flatten().collect();
    keep(&mut gpu.partition, (!modes.is_empty()).then(|| modes.join("/")));
}

fn sizes(gpu: &mut Gpu, entry: &Object) {
    let size = |paths: &[&[&str]]| first(entry, paths, memory).map(Figure::mib);
    let keep = |slot: &mut Option<Figure>, found: Option<Figure>| *slot = found.or(*slot);
    let total: &[&[&str]] = &[
        &["mem_usage", "total_vram"],
        &["fb_usage", "total_vram"],
        &["vram", "size"],
        &["vram", "vram_size"],
        &["vram_total"],
    ];
    keep(&mut gpu.mem_total_mib, size(total));
    keep(&mut gpu.mem_used_mib, size(&[&["mem_usage", "used_vram"], &["fb_usage", "used_vram"], &["vram_used"]]));
    keep(&mut gpu.mem_free_mib, size(&[&["mem_usage", "free_vram"], &["fb_usage", "free_vram"], &["vram_free"]]));
    keep(&mut gpu.gtt_total_mib, size(&[&["mem_usage", "total_gtt"]]));
    keep(&mut gpu.gtt_used_mib, size(&[&["mem_usage", "used_gtt"]]));
}

fn power(gpu: &mut Gpu, entry: &Object) {
    let kinds: [(&[&str], &str); 7] = [
        (&["power", "socket_power"], "socket"),
        (&["power", "current_socket_power"], "current_socket"),
        (&["power", "average_socket_power"], "average"),
        (&["power", "current_power"], "current_socket"),
        (&["power", "average_power"], "average"),
        (&["power", "apu_average_socket_power"], "average"),
        (&["power_usage"], "socket"),
    ];
    let found = kinds.iter().find_map(|(path, kind)| Some((at(entry, path).and_then(number)?, *kind)));
    if let Some((watts, kind)) = found {
        gpu.power_w = Some(watts);
        gpu.power_kind = Some(kind.to_owned());
    }
    let caps: &[&[&str]] = &[
        &["limit", "socket_power"],
        &["limit", "socket_power_limit"],
        &["limit", "ppt0", "socket_power_limit"],
        &["limit", "current_power"],
        &["limit", "power_cap"],
        &["limit", "max_power"],
        &["limit", "ppt0", "max_power_limit"],
        &["limit", "max_power_limit"],
        // What `monitor` has in its column PWR_CAP.
        &["max_power"],
    ];
    gpu.power_cap_w = first(entry, caps, number).or(gpu.power_cap_w);
    let energy: &[&[&str]] = &[&["energy", "total_energy_consumption"], &["energy", "total_energy"]];
    gpu.energy_j = first(entry, energy, number).or(gpu.energy_j);
}

fn activity(gpu: &mut Gpu, entry: &Object) {
    let share = |paths: &[&[&str]]| first(entry, paths, number);
    let busy: &[&[&str]] =
        &[&["usage", "gfx_activity"], &["usage", "gfx_usage"], &["gfx"], &["gfx_util"], &["utilization", "gfx"]];
    let memory: &[&[&str]] =
        &[&["usage", "umc_activity"], &["usage", "mem_usage"], &["usage", "mem_activity"], &["mem"], &["mem_util"]];
    gpu.util_gpu_pct = share(busy).or(gpu.util_gpu_pct);
    gpu.util_mem_pct = share(memory).or(gpu.util_mem_pct);
}

fn sensors(gpu: &mut Gpu, entry: &Object) {
    let into = |map: &mut BTreeMap<String, Figure>, key: &str, value: Option<Figure>| {
        if let Some(value) = value {
            map.insert(key.to_owned(), value);
        }
    };
    for (name, value) in section(entry, "temperature") {
        into(&mut gpu.temps_c, name.trim_end_matches("_temperature"), number(value));
    }
    for (name, key) in [("edge_temperature", "edge"), ("hotspot_temperature", "hotspot"), ("memory_temperature", "mem")]
    {
        into(&mut gpu.temps_c, key, entry.get(name).and_then(number));
    }
    for (name, value) in section(entry, "clock") {
        let Some(domain) = value.as_object() else { continue };
        let clock = ["clk", "cur_clk", "current_clk"].iter().find_map(|key| domain.get(*key).and_then(number));
        into(&mut gpu.clocks_mhz, name, clock);
    }
    for (name, key) in [("gfx_clk", "gfx"), ("gfx_clock", "gfx"), ("mem_clk", "mem"), ("mem_clock", "mem")] {
        into(&mut gpu.clocks_mhz, key, entry.get(name).and_then(number));
    }
    for (name, value) in section(entry, "limit") {
        if let Some(limit) = name.strip_suffix("_temperature") {
            into(&mut gpu.limits, limit, number(value));
        }
    }
}

fn section<'v>(entry: &'v Object, name: &str) -> impl Iterator<Item = (&'v String, &'v Value)> {
    entry.get(name).and_then(Value::as_object).into_iter().flatten()
}

/// The processes of a GPU; where there are none, the tool says so in words. A list of entries that say nothing (`N/A`)
/// says nothing.
fn processes(list: &Value) -> Option<Vec<Process>> {
    let none = |value: &Value| value.as_str().is_some_and(|words| words.starts_with("No running processes"));
    let info = |entry: &Value| entry.get("process_info").unwrap_or(entry).clone();
    match list {
        Value::Array(list) => {
            let read: Vec<Process> = list.iter().filter_map(process).collect();
            let stated = list.is_empty() || !read.is_empty() || list.iter().any(|entry| none(&info(entry)));
            stated.then_some(read)
        }
        words => none(words).then(Vec::new),
    }
}

fn process(entry: &Value) -> Option<Process> {
    let info = entry.get("process_info").unwrap_or(entry).as_object()?;
    let pid = number(info.get("pid")?)?.as_u64().and_then(|pid| u32::try_from(pid).ok())?;
    let bytes = |path: &[&str]| at(info, path).and_then(exact_bytes);
    Some(Process {
        pid,
        name: info.get("name").and_then(text).map(str::to_owned),
        vram_bytes: bytes(&["memory_usage", "vram_mem"]).or_else(|| bytes(&["memory_usage", "vram"])),
        mem_usage_bytes: bytes(&["mem_usage"]).or_else(|| bytes(&["mem"])),
        ..Process::default()
    })
}

/// A process's memory: bytes when the unit is missing, unlike the sizes of a GPU.
fn exact_bytes(value: &Value) -> Option<u64> {
    let (plain, unit) = figure(value)?;
    let bytes = if unit.is_empty() { Bytes::from_unit(plain.as_f64(), ByteUnit::B) } else { memory(value) };
    bytes.map(Bytes::get)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(document: &Value) -> Snapshot {
        assert!(is_output(document));
        let mut snapshot = Snapshot::from_source("test");
        add(&mut snapshot, document).unwrap();
        snapshot
    }

    #[test]
    fn no_processes_are_told_apart_from_none_that_the_tool_may_list() {
        let of = |list: Value| read(&json!([{"gpu": 0, "process_list": list}])).gpus[0].processes.clone();
        let words = "No running processes detected";
        for none in [json!([]), json!(words), json!([{"process_info": words}]), json!([words])] {
            assert_eq!(of(none.clone()), Some(vec![]), "{none}");
        }
        for unknown in [json!("N/A"), json!([{"process_info": "N/A"}]), json!(["N/A"])] {
            assert_eq!(of(unknown.clone()), None, "{unknown}");
        }
    }

    #[test]
    fn static_and_metric_of_one_gpu_join() {
        let mut snapshot = read(&json!({"gpu_data": [{"gpu": 0, "asic": {"market_name": "AMD Instinct MI300X"}}]}));
        add(&mut snapshot, &json!([{"gpu": 0, "power": {"socket_power": {"value": 141, "unit": "W"}}}])).unwrap();
        assert_eq!(snapshot.gpus.len(), 1);
        assert_eq!(snapshot.gpus[0].name.as_deref(), Some("AMD Instinct MI300X"));
        assert_eq!(snapshot.gpus[0].power_w, Some(Figure::Whole(141)));
    }

    #[test]
    fn a_list_without_processes_is_empty_and_a_missing_one_is_unknown() {
        let none = json!([{"gpu": 0, "process_list": [{"process_info": "No running processes detected"}]}, {"gpu": 1}]);
        let snapshot = read(&none);
        assert_eq!(snapshot.gpus[0].processes, Some(vec![]));
        assert_eq!(snapshot.gpus[1].processes, None);
        assert!(snapshot.notes.is_empty());
        let words = read(
            &json!([{"gpu": 0, "process_list": "No running processes detected"}, {"gpu": 1, "process_list": "N/A"}]),
        );
        assert_eq!((&words.gpus[0].processes, &words.gpus[1].processes), (&Some(vec![]), &None));
    }

    #[test]
    fn each_generation_spells_its_figures_its_own_way() {
        let watts = |watts: u32| json!({"value": watts, "unit": "W"});
        let of = |entry: Value| read(&json!([entry])).gpus.remove(0);
        let first = of(json!({"gpu": 0, "fb_usage": {"total_vram": 65520, "used_vram": 12},
            "power": {"average_socket_power": "41 W"}, "temperature": {"edge_temperature": "33 C"},
            "clock": {"gfx_clock": {"cur_clk": "800 MHz"}}}));
        assert_eq!((first.mem_total_mib, first.power_w), (Some(Figure::Whole(65_520)), Some(Figure::Whole(41))));
        assert_eq!((first.power_kind.as_deref(), first.temps_c["edge"]), (Some("average"), Figure::Whole(33)));
        let split = of(json!({"gpu": 0, "partition": {"accelerator_partition": "CPX", "memory_partition": "NPS4"},
            "power": {"socket_power": "N/A", "current_socket_power": watts(141)},
            "usage": {"gfx_activity": {"value": "N/A", "unit": "%"}, "umc_activity": {"value": 0, "unit": "%"}}}));
        assert_eq!(split.partition.as_deref(), Some("CPX/NPS4"));
        assert_eq!((split.power_w, split.power_kind.as_deref()), (Some(Figure::Whole(141)), Some("current_socket")));
        assert_eq!((split.util_gpu_pct, split.util_mem_pct), (None, Some(Figure::Whole(0))));
        let nothing = of(json!({"gpu": 0, "power": "N/A", "usage": "N/A", "mem_usage": "N/A", "clock": "N/A"}));
        assert_eq!((nothing.power_w, nothing.mem_used_mib, nothing.clocks_mhz.len()), (None, None, 0));
    }

    #[test]
    fn a_watch_written_to_a_file_and_entries_of_cpus_are_read() {
        let round = |watts: u32| {
            json!([{"timestamp": 1, "gpu": 0, "power_usage": {"value": watts, "unit": "W"}},
            {"timestamp": 1, "gpu": 1, "power_usage": "N/A", "max_power": {"value": 750, "unit": "W"}}])
        };
        let watched = read(&json!([round(140), round(150)]));
        assert_eq!((watched.gpus.len(), watched.gpus[0].power_w), (2, Some(Figure::Whole(150))));
        assert_eq!((watched.gpus[1].power_w, watched.gpus[1].power_cap_w), (None, Some(Figure::Whole(750))));
        let mixed = read(&json!([{"cpu": 0, "power_metrics": {}}, {"gpu": 0, "bdf": "0000:63:00.0"}]));
        assert_eq!(mixed.gpus[0].pci_bus_id.as_deref(), Some("0000:63:00.0"));
        assert!(!is_output(&json!([{"cpu": 0}])));
    }

    #[test]
    fn a_second_partition_without_figures_is_a_gpu_without_figures() {
        let document = json!({"gpu_data": [
            {"gpu": 0, "usage": {"gfx_activity": {"value": 3, "unit": "%"}, "umc_activity": {"value": 0, "unit": "%"}},
             "temperature": {"edge": "N/A", "hotspot": {"value": 41, "unit": "C"}, "mid": [{"value": 40, "unit": "C"}]},
             "clock": {"gfx_0": {"clk": {"value": 132, "unit": "MHz"}}, "uclk_aid": "N/A"},
             "mem_usage": {"total_vram": {"value": 98288, "unit": "MB"}, "used_vram": {"value": 285, "unit": "MB"}}},
            {"gpu": 1, "usage": "N/A", "power": "N/A", "temperature": {"edge": "N/A", "hotspot": "N/A"},
             "clock": {"gfx_0": {"clk": "N/A"}}, "mem_usage": {"total_vram": "N/A", "used_vram": "N/A"}}]});
        let snapshot = read(&document);
        let (whole, second) = (&snapshot.gpus[0], &snapshot.gpus[1]);
        assert_eq!(
            (whole.mem_total_mib, whole.temps_c.len(), whole.clocks_mhz.len()),
            (Some(Figure::Whole(98_288)), 1, 1)
        );
        assert_eq!((second.util_gpu_pct, second.power_w, second.mem_used_mib), (None, None, None));
        assert!(second.temps_c.is_empty() && second.clocks_mhz.is_empty());
    }

    #[test]
    fn other_arrays_are_not_amd_smi() {
        for other in [json!([]), json!([{"gpus": 1}]), json!({"card0": {}}), json!([{"gpu": "N/A"}]), json!(3)] {
            assert!(!is_output(&other), "{other}");
        }
    }
}
