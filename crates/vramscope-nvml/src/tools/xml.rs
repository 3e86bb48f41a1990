//! `nvidia-smi -q -x`: document types v4 to v13.

use std::collections::BTreeMap;

use roxmltree::{Document, Node, ParsingOptions};
use vramscope_gpu::Figure;
use vramscope_gpu::document::{Gpu, MAX_GPUS, Mig, MigDevice, Process, Snapshot};
use vramscope_gpu::smi_csv::present;

use super::ReadError;

/// A log of 16 GPUs with all supported clocks has some 50 000 nodes.
const MAX_NODES: u32 = 5_000_000;

/// Where the log begins and ends.
const OPEN: &str = "<nvidia_smi_log";
const CLOSE: &str = "</nvidia_smi_log>";

/// Whether there is a log in this text.
pub(super) fn holds_log(text: &str) -> bool {
    text.contains(OPEN)
}

/// Reads the XML. Other text may stand before and behind it; of several logs (`--loop`), the last one counts.
///
/// # Errors
/// [`ReadError::Xml`] if it is not well-formed, [`ReadError::OtherXml`] if it is not nvidia-smi's,
/// [`ReadError::TooManyGpus`].
pub fn read_xml(text: &str) -> Result<Snapshot, ReadError> {
    let (whole, count) = last_log(text);
    let options = ParsingOptions { allow_dtd: true, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    // The parser counts its lines from the log's first one, and gives none where the log ends too early.
    let before = text[..offset(text, whole)].matches('\n').count();
    let document = Document::parse_with_options(whole, options).map_err(|source| {
        let within = match source {
            roxmltree::Error::UnclosedRootNode | roxmltree::Error::UnexpectedEndOfStream => whole.lines().count(),
            _ => usize::try_from(source.pos().row).unwrap_or(1),
        };
        ReadError::Xml { line: before + within, source }
    })?;
    let root = document.root_element();
    if root.tag_name().name() != "nvidia_smi_log" {
        return Err(ReadError::OtherXml { root: root.tag_name().name().to_owned() });
    }
    let mut snapshot = Snapshot::from_source("nvidia-smi xml");
    let version = at(root, &["driver_version"]).or_else(|| at(root, &["kmd_version"]));
    // Driver 610 puts a remark behind it.
    snapshot.driver_version = version.and_then(|text| text.split_whitespace().next()).map(str::to_owned);
    snapshot.taken_at = at(root, &["timestamp"]).map(str::to_owned);
    let gpus = || root.children().filter(|node| node.has_tag_name("gpu"));
    if let Some(beyond) = gpus().nth(MAX_GPUS) {
        let row = usize::try_from(document.text_pos_at(beyond.range().start).row).unwrap_or(1);
        return Err(ReadError::TooManyGpus { line: before + row });
    }
    snapshot.gpus = (0..).zip(gpus()).map(|(index, node)| gpu(index, node)).collect();
    snapshot.gpu_count = snapshot.gpus.len();
    let attached = figure(root, &["attached_gpus"]).and_then(Figure::as_u64);
    if let Some(attached) = attached.filter(|&n| usize::try_from(n) != Ok(snapshot.gpu_count)) {
        let listed = snapshot.gpu_count;
        snapshot.notes.push(format!("the log speaks of {attached} attached GPUs and lists {listed}"));
    }
    if count > 1 {
        snapshot.notes.push(format!("the output has {count} logs, one after another; the last one counts"));
    }
    if text[offset(text, whole) + whole.len()..].contains(OPEN) {
        snapshot.notes.push("the output is cut short in the midst of a later log; the last whole one counts".into());
    }
    Ok(snapshot)
}

/// The last whole log in a text, and how many there are. Where none is whole, what begins like one.
fn last_log(text: &str) -> (&str, usize) {
    let count = text.matches(CLOSE).count();
    let end = text.rfind(CLOSE).map_or(text.len(), |start| start + CLOSE.len());
    let start = text[..end].rfind(OPEN).or_else(|| text.find('<')).unwrap_or(0);
    (&text[start..end], count)
}

fn offset(text: &str, part: &str) -> usize {
    part.as_ptr().addr() - text.as_ptr().addr()
}

fn child<'d>(node: Node<'d, 'd>, name: &str) -> Option<Node<'d, 'd>> {
    node.children().find(|child| child.has_tag_name(name))
}

/// The text under a path of elements, if it says anything.
fn at<'d>(node: Node<'d, 'd>, path: &[&str]) -> Option<&'d str> {
    let found = path.iter().try_fold(node, |node, name| child(node, name))?;
    found.text().and_then(present)
}

fn figure(node: Node<'_, '_>, path: &[&str]) -> Option<Figure> {
    // Node borrows the document for as long as the node itself; the figure is a copy.
    let found = path.iter().try_fold(node, |node, name| node.children().find(|child| child.has_tag_name(*name)))?;
    found.text().and_then(present).and_then(Figure::parse)
}

/// The first block of these names that is there.
fn block<'d>(node: Node<'d, 'd>, names: &[&str]) -> Option<Node<'d, 'd>> {
    names.iter().find_map(|name| child(node, name))
}

fn gpu<'d>(index: u32, node: Node<'d, 'd>) -> Gpu {
    // Before driver 331 the block had another name.
    let memory =
        |name: &str| figure(node, &["fb_memory_usage", name]).or_else(|| figure(node, &["memory_usage", name]));
    let mut gpu = Gpu {
        index,
        name: at(node, &["product_name"]).map(str::to_owned),
        uuid: at(node, &["uuid"]).map(str::to_owned),
        pci_bus_id: node.attribute("id").or_else(|| at(node, &["pci", "pci_bus_id"])).map(str::to_owned),
        vendor: Some("nvidia".into()),
        mem_total_mib: memory("total"),
        mem_used_mib: memory("used"),
        mem_free_mib: memory("free"),
        mem_reserved_mib: memory("reserved"),
        tlimit_margin_c: figure(node, &["temperature", "gpu_temp_tlimit"]),
        util_gpu_pct: figure(node, &["utilization", "gpu_util"]),
        util_mem_pct: figure(node, &["utilization", "memory_util"]),
        ..Gpu::default()
    };
    if let Some(readings) = block(node, &["gpu_power_readings", "power_readings"]) {
        let of = |name: &str| figure(readings, &[name]);
        let instant = of("instant_power_draw");
        (gpu.power_w, gpu.power_kind) = power(of("average_power_draw"), of("power_draw"), instant);
        gpu.instant_power_w = instant;
        let limits = ["current_power_limit", "power_limit", "enforced_power_limit"];
        // Driver 610 has put the limits into a block of their own.
        let ceiling = readings.children().find(|block| block.tag_name().name().ends_with("ceiling_power_limit"));
        let nested = |name: &str| ceiling.and_then(|block| figure(block, &[name]));
        gpu.power_cap_w = limits.into_iter().find_map(|name| of(name).or_else(|| nested(name)));
    }
    let put = |map: &mut BTreeMap<String, Figure>, key: &str, path: [&str; 2]| {
        if let Some(figure) = figure(node, &path) {
            map.insert(key.to_owned(), figure);
        }
    };
    put(&mut gpu.temps_c, "gpu", ["temperature", "gpu_temp"]);
    put(&mut gpu.temps_c, "memory", ["temperature", "memory_temp"]);
    for name in ["graphics", "sm", "mem", "video"] {
        put(&mut gpu.clocks_mhz, name, ["clocks", &format!("{name}_clock")]);
    }
    gpu.throttle = reasons(node);
    gpu.mig = mig(node);
    gpu.processes = processes(node);
    gpu
}

/// Which of the power figures is the power, and what to call it. Drivers until about 530 print one draw without saying
/// what it is; later ones print an average, and beside it the draw at the moment.
pub(super) fn power(
    average: Option<Figure>,
    draw: Option<Figure>,
    instant: Option<Figure>,
) -> (Option<Figure>, Option<String>) {
    let named = [(average, "average"), (draw, "power_draw"), (instant, "instant")];
    let found = named.into_iter().find_map(|(figure, kind)| figure.map(|figure| (figure, kind.to_owned())));
    found.unzip()
}

/// The active reasons in the block of `clocks_event_reasons` (until driver 530 `clocks_throttle_reasons`).
fn reasons<'d>(node: Node<'d, 'd>) -> Option<Vec<String>> {
    let block = block(node, &["clocks_event_reasons", "clocks_throttle_reasons"])?;
    let mut stated = false;
    let mut mask = 0;
    for child in block.children().filter(Node::is_element) {
        let Some(text) = child.text().and_then(present) else { continue };
        stated = true;
        if text == "Active" {
            mask |= reason_bit(child.tag_name().name());
        }
    }
    stated.then(|| super::throttle(mask))
}

fn reason_bit(element: &str) -> u64 {
    let name = element.trim_start_matches("clocks_event_reason_").trim_start_matches("clocks_throttle_reason_");
    match name {
        "gpu_idle" => 0x1,
        "applications_clocks_setting" | "user_defined_clocks" => 0x2,
        "sw_power_cap" => 0x4,
        "hw_slowdown" => 0x8,
        "sync_boost" => 0x10,
        "sw_thermal_slowdown" => 0x20,
        "hw_thermal_slowdown" => 0x40,
        "hw_power_brake_slowdown" => 0x80,
        "display_clocks_setting" => 0x100,
        _ => 1 << 63,
    }
}

fn mig<'d>(node: Node<'d, 'd>) -> Option<Mig> {
    if at(node, &["mig_mode", "current_mig"]) != Some("Enabled") {
        return None;
    }
    // The text of `-q` has the slices right under the GPU.
    let listed = child(node, "mig_devices").or_else(|| child(node, "mig_device").map(|_| node));
    let devices = listed.map(|list| list.children().filter(|n| n.has_tag_name("mig_device")).map(slice).collect());
    Some(Mig { enabled: true, devices })
}

fn slice<'d>(node: Node<'d, 'd>) -> MigDevice {
    let memory = |name: &str| figure(node, &["fb_memory_usage", name]);
    MigDevice {
        uuid: at(node, &["uuid"]).map(str::to_owned),
        gpu_instance: count(node, "gpu_instance_id"),
        compute_instance: count(node, "compute_instance_id"),
        total: memory("total"),
        used: memory("used"),
        free: memory("free"),
    }
}

fn count(node: Node<'_, '_>, name: &str) -> Option<u32> {
    figure(node, &[name]).and_then(Figure::as_u64).and_then(|n| u32::try_from(n).ok())
}

/// The processes, or `None` for an empty block: nvidia-smi prints the same for "none" and for "none that I may see".
fn processes<'d>(node: Node<'d, 'd>) -> Option<Vec<Process>> {
    let block = child(node, "processes")?;
    let entries = block.children().filter(|n| n.has_tag_name("process_info"));
    let read: Vec<Process> = entries.filter_map(process).collect();
    (!read.is_empty()).then_some(read)
}

fn process<'d>(node: Node<'d, 'd>) -> Option<Process> {
    let kind = at(node, &["type"]).and_then(|kind| match kind {
        "C" => Some("compute"),
        "G" => Some("graphics"),
        "C+G" => Some("both"),
        _ => None,
    });
    Some(Process {
        pid: count(node, "pid")?,
        name: at(node, &["process_name"]).map(str::to_owned),
        kind: kind.map(str::to_owned),
        used_mib: figure(node, &["used_memory"]),
        gpu_instance: count(node, "gpu_instance_id"),
        ..Process::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_log_without_reserved_memory_has_none() {
        let text = "<?xml version=\"1.0\" ?><!DOCTYPE nvidia_smi_log SYSTEM \"nvsmi_device_v10.dtd\"><nvidia_smi_log>\
            <driver_version>418.87</driver_version><gpu id=\"00000000:0A:00.0\"><product_name>Tesla K80</product_name>\
            <fb_memory_usage><total>11441 MiB</total><used>0 MiB</used><free>11441 MiB</free></fb_memory_usage>\
            <power_readings><power_draw>27.05 W</power_draw><power_limit>149.00 W</power_limit></power_readings>\
            <clocks_throttle_reasons><clocks_throttle_reason_gpu_idle>Active</clocks_throttle_reason_gpu_idle>\
            <clocks_throttle_reason_unknown>Active</clocks_throttle_reason_unknown></clocks_throttle_reasons>\
            </gpu></nvidia_smi_log>";
        let gpu = read_xml(text).unwrap().gpus.remove(0);
        assert_eq!(gpu.mem_reserved_mib, None);
        assert_eq!(gpu.mem_used_mib, Some(Figure::Whole(0)), "zero is a reading");
        assert_eq!(gpu.power_kind.as_deref(), Some("power_draw"));
        assert_eq!(gpu.throttle.unwrap(), ["idle", "other"]);
        assert_eq!(gpu.processes, None);
    }

    #[test]
    fn a_new_log_states_both_kinds_of_power_and_its_slices() {
        let text = "<?xml version=\"1.0\" ?><!DOCTYPE nvidia_smi_log SYSTEM \"nvsmi_device_v13.dtd\"><nvidia_smi_log>\
            <attached_gpus>2</attached_gpus><gpu id=\"00000000:0A:00.0\"><product_name>NVIDIA H100</product_name>\
            <mig_mode><current_mig>Enabled</current_mig></mig_mode><mig_devices><mig_device><index>0</index>\
            <gpu_instance_id>3</gpu_instance_id><compute_instance_id>0</compute_instance_id><fb_memory_usage>\
            <total>9856 MiB</total><used>12 MiB</used></fb_memory_usage></mig_device></mig_devices>\
            <gpu_power_readings><average_power_draw>120.10 W</average_power_draw>\
            <instant_power_draw>131.00 W</instant_power_draw><current_power_limit>700.00 W</current_power_limit>\
            </gpu_power_readings><utilization><gpu_util>N/A</gpu_util></utilization>\
            <clocks_event_reasons><clocks_event_reason_sw_power_cap>Not Active</clocks_event_reason_sw_power_cap>\
            </clocks_event_reasons><processes><process_info><gpu_instance_id>3</gpu_instance_id><pid>7</pid>\
            <type>C+G</type><process_name>a &amp; b</process_name><used_memory>N/A</used_memory></process_info>\
            </processes></gpu></nvidia_smi_log>";
        let snapshot = read_xml(text).unwrap();
        assert!(snapshot.notes[0].contains("2 attached GPUs and lists 1"));
        let gpu = &snapshot.gpus[0];
        assert_eq!((gpu.power_w, gpu.instant_power_w), (Some(Figure::Real(120.1)), Some(Figure::Real(131.0))));
        assert_eq!((gpu.power_kind.as_deref(), gpu.util_gpu_pct), (Some("average"), None));
        assert_eq!(gpu.throttle.as_deref(), Some(&[][..]), "nothing holds it back, which is known");
        let slice = &gpu.mig.as_ref().unwrap().devices.as_ref().unwrap()[0];
        assert_eq!((slice.gpu_instance, slice.used), (Some(3), Some(Figure::Whole(12))));
        let process = &gpu.processes.as_ref().unwrap()[0];
        assert_eq!((process.name.as_deref(), process.kind.as_deref()), (Some("a & b"), Some("both")));
        assert_eq!((process.used_mib, process.gpu_instance), (None, Some(3)));
    }

    #[test]
    fn another_programs_xml_is_refused() {
        assert!(matches!(read_xml("<rss/>"), Err(ReadError::OtherXml { root }) if root == "rss"));
        assert!(matches!(read_xml("<nvidia_smi_log>"), Err(ReadError::Xml { line: 1, .. })));
    }

    #[test]
    fn more_gpus_than_a_machine_has_are_refused_at_their_line() {
        let log =
            |count: usize| format!("$\n<nvidia_smi_log>\n{}</nvidia_smi_log>\n", "<gpu id=\"0\"/>\n".repeat(count));
        assert_eq!(read_xml(&log(MAX_GPUS)).unwrap().gpu_count, MAX_GPUS);
        assert!(matches!(read_xml(&log(MAX_GPUS + 1)), Err(ReadError::TooManyGpus { line: 1027 })));
    }

    #[test]
    fn text_around_the_log_and_several_logs_are_no_obstacle_and_a_torn_one_is_an_error_with_its_line() {
        let log = |used: u32| {
            format!(
                "<?xml version=\"1.0\" ?>\n<!DOCTYPE nvidia_smi_log SYSTEM \"nvsmi_device_v12.dtd\">\n<nvidia_smi_log>\n\
                 <kmd_version>610.62</kmd_version><gpu id=\"00000000:0A:00.0\"><fb_memory_usage>\n<used>{used} MiB</used>\
                 </fb_memory_usage></gpu>\n</nvidia_smi_log>\n"
            )
        };
        let text = format!("$ nvidia-smi -q -x -l 1\n```xml\n{}{}```\n$ <exit>\n", log(3), log(4));
        let snapshot = read_xml(&text).unwrap();
        assert_eq!(snapshot.gpus[0].mem_used_mib, Some(Figure::Whole(4)));
        assert_eq!(snapshot.driver_version.as_deref(), Some("610.62"));
        assert!(snapshot.notes[0].contains("2 logs"));
        let torn = text.rfind("</fb_memory_usage>").unwrap();
        let snapshot = read_xml(&text[..torn]).unwrap();
        assert_eq!(snapshot.gpus[0].mem_used_mib, Some(Figure::Whole(3)));
        assert!(snapshot.notes[0].contains("cut short"), "{:?}", snapshot.notes);
        let torn = &text[..text.find("</fb_memory_usage>").unwrap()];
        assert!(matches!(read_xml(torn), Err(ReadError::Xml { line: 7, .. })), "{:?}", read_xml(torn));
    }
}
