//! `nvidia-smi -q`: the tree of `-q -x` in other words, one `Name : value` a line, told apart by indentation.
//!
//! It is written again as that XML, of which [`super::read_xml`] knows the generations.

use std::fmt::Write as _;

use vramscope_core::on_one_line;
use vramscope_gpu::document::{MAX_GPUS, Snapshot};

use super::{ReadError, read_xml};

/// The names that are not the XML's own when written in small letters with `_` for each blank, under their section
/// (empty for any).
const NAMES: [(&str, &str, &str); 18] = [
    ("", "gpu_uuid", "uuid"),
    ("mig_mode", "current", "current_mig"),
    ("utilization", "gpu", "gpu_util"),
    ("utilization", "memory", "memory_util"),
    ("temperature", "gpu_current_temp", "gpu_temp"),
    ("temperature", "memory_current_temp", "memory_temp"),
    ("temperature", "gpu_t_limit_temp", "gpu_temp_tlimit"),
    ("gpu_power_readings", "instantaneous_power_draw", "instant_power_draw"),
    ("clocks", "graphics", "graphics_clock"),
    ("clocks", "sm", "sm_clock"),
    ("clocks", "memory", "mem_clock"),
    ("clocks", "video", "video_clock"),
    ("clocks_event_reasons", "idle", "gpu_idle"),
    ("clocks_throttle_reasons", "idle", "gpu_idle"),
    ("processes", "process_id", "pid"),
    ("processes", "name", "process_name"),
    ("processes", "used_gpu_memory", "used_memory"),
    ("mig_device", "shared_fb_memory_usage", "fb_memory_usage"),
];

/// Whether there is such a log in this text.
pub(super) fn holds_log(text: &str) -> bool {
    text.contains("NVSMI LOG=") && text.contains("Attached GPUs")
}

/// Reads the text. Of several logs (`--loop`), the last one counts; other text may stand before and behind.
///
/// # Errors
/// [`ReadError::NoGpu`] if no GPU is listed, [`ReadError::TooManyGpus`].
pub fn read_query(text: &str) -> Result<Snapshot, ReadError> {
    let start = text.rfind("NVSMI LOG=").unwrap_or(0);
    let mut writer = Writer::default();
    let before = text[..start].matches('\n').count();
    for (number, line) in (before + 1..).zip(text[start..].lines()).skip(1) {
        if line.starts_with("```") {
            break;
        }
        writer.line(line);
        if writer.gpus > MAX_GPUS {
            return Err(ReadError::TooManyGpus { line: number });
        }
    }
    let mut snapshot = read_xml(&writer.finish())?;
    if snapshot.gpus.is_empty() {
        return Err(ReadError::NoGpu { what: "nvidia-smi -q" });
    }
    snapshot.source = "nvidia-smi text".into();
    Ok(snapshot)
}

/// The XML as far as it is written.
#[derive(Default)]
struct Writer {
    xml: String,
    /// The open elements with their indentation. A process's element has none of its own.
    open: Vec<(usize, String)>,
    /// Whether the element of a process is open, and has its id.
    process: Option<bool>,
    /// How many GPUs have begun.
    gpus: usize,
}

impl Writer {
    fn line(&mut self, line: &str) {
        let bare = line.trim();
        if bare.is_empty() {
            return;
        }
        let indent = line.len() - line.trim_start().len();
        self.close_to(indent);
        let (key, value) = match bare.split_once(" : ") {
            Some((key, value)) => (key.trim(), Some(value.trim())),
            None => (bare.strip_suffix(" :").unwrap_or(bare).trim(), None),
        };
        if let Some(id) = key.strip_prefix("GPU ").filter(|id| indent == 0 && id.contains(':')) {
            let _ = write!(self.xml, "<gpu id=\"{}\">", escaped(id));
            self.open.push((0, "gpu".into()));
            self.gpus += 1;
            return;
        }
        let section = self.open.last().map_or("", |(_, name)| name);
        let Some(name) = element(section, key) else { return };
        match value {
            Some(value) => {
                self.begin_process(&name);
                let _ = write!(self.xml, "<{name}>{}</{name}>", escaped(without_remark(&name, value)));
            }
            // A section stands under a GPU or another section; other words are no part of the log.
            None if indent > 0 => {
                let _ = write!(self.xml, "<{name}>");
                self.open.push((indent, name));
            }
            None => {}
        }
    }

    /// A process has no section of its own: it begins with its GPU instance or, before driver 450, with its id.
    fn begin_process(&mut self, name: &str) {
        if self.open.last().is_none_or(|(_, section)| section != "processes") {
            return;
        }
        let begins = match name {
            "gpu_instance_id" => true,
            "pid" => self.process != Some(false),
            _ => false,
        };
        if begins {
            self.end_process();
            self.xml.push_str("<process_info>");
            self.process = Some(false);
        }
        if name == "pid" {
            self.process = Some(true);
        }
    }

    fn end_process(&mut self) {
        if self.process.take().is_some() {
            self.xml.push_str("</process_info>");
        }
    }

    /// Closes what stands as far in as this or farther.
    fn close_to(&mut self, indent: usize) {
        while self.open.last().is_some_and(|(of, _)| *of >= indent) {
            self.end_process();
            if let Some((_, name)) = self.open.pop() {
                let _ = write!(self.xml, "</{name}>");
            }
        }
    }

    fn finish(mut self) -> String {
        self.close_to(0);
        format!("<nvidia_smi_log>{}</nvidia_smi_log>", self.xml)
    }
}

/// The XML's name for a key under a section. `None` for words that are no name.
fn element(section: &str, key: &str) -> Option<String> {
    let plain: String =
        key.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    let known = NAMES.iter().find(|(of, name, _)| (of.is_empty() || *of == section) && *name == plain);
    let name = known.map_or(plain, |(_, _, name)| (*name).to_owned());
    name.starts_with(|c: char| c.is_ascii_lowercase()).then_some(name)
}

/// Elements whose text is a name, which may hold brackets of its own.
const NAMED: [&str; 2] = ["product_name", "process_name"];

/// A value without the remark in brackets that newer drivers put behind it (`[Deprecated; will be removed in CUDA 14.0.
/// Use KMD Version instead]`), whole or cut off. Brackets that are the whole value say that there is none.
pub(super) fn without_remark<'v>(name: &str, value: &'v str) -> &'v str {
    let before = value.split_once(" [").map(|(before, _)| before.trim_end());
    before.filter(|before| !before.is_empty() && !NAMED.contains(&name)).unwrap_or(value)
}

fn escaped(text: &str) -> String {
    on_one_line(text).chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use vramscope_gpu::Figure;

    const LOG: &str = "\
$ nvidia-smi -q

==============NVSMI LOG==============

Timestamp                                 : Mon Nov 23 21:04:05 2026
Driver Version                            : 580.10

Attached GPUs                             : 2
GPU 00000000:0A:00.0
    Product Name                          : NVIDIA Test 80GB
    MIG Mode
        Current                           : Enabled
        Pending                           : Enabled
    MIG Device
        Index                             : 0
        GPU Instance ID                   : 3
        Compute Instance ID               : 0
        Shared FB Memory Usage
            Total                         : 40448 MiB
            Used                          : 26 MiB
    GPU UUID                              : GPU-1
    Clocks Event Reasons
        Idle                              : Not Active
        HW Slowdown                       : Not Active
            HW Thermal Slowdown           : Active
    Clocks Event Reasons Counters
        SW Power Capping                  : 3 us
    FB Memory Usage
        Total                             : 81559 MiB
        Reserved                          : 479 MiB
        Used                              : 1125 MiB
        Free                              : 79955 MiB
    BAR1 Memory Usage
        Total                             : 131072 MiB
    Utilization
        GPU                               : N/A
        Memory                            : 7 %
    Temperature
        GPU Current Temp                  : 53 C
        GPU T.Limit Temp                  : 24 C
        Memory Current Temp               : 58 C
    GPU Power Readings
        Average Power Draw                : 432.21 W
        Instantaneous Power Draw          : 444.72 W
        GPU Ceiling Power Limit
            Current Power Limit           : 700.00 W
    Module Power Readings
        Average Power Draw                : N/A
    Clocks
        Graphics                          : 1980 MHz
        Memory                            : 2619 MHz
    Max Clocks
        Graphics                          : 3000 MHz
    Processes
        GPU instance ID                   : 3
        Compute instance ID               : 0
        Process ID                        : 7
            Type                          : C
            Name                          : /a b & <c>
            Used GPU Memory               : 12 MiB
        GPU instance ID                   : 3
        Process ID                        : 8
            Used GPU Memory               : Not available in WDDM driver model

GPU 00000000:0B:00.0
    Product Name                          : Tesla K80
    Power Readings
        Power Draw                        : 27.05 W
        Power Limit                       : 149.00 W
    Processes
        Process ID                        : 9
            Type                          : G
        Process ID                        : 10
            Type                          : C+G
    Processes                             : None
";

    #[test]
    fn the_tree_says_what_the_xml_says() {
        let snapshot = read_query(LOG).unwrap();
        assert_eq!((snapshot.gpu_count, snapshot.driver_version.as_deref()), (2, Some("580.10")));
        assert_eq!(snapshot.taken_at.as_deref(), Some("Mon Nov 23 21:04:05 2026"));
        let (gpu, old) = (&snapshot.gpus[0], &snapshot.gpus[1]);
        let whole = |n| Some(Figure::Whole(n));
        assert_eq!((gpu.name.as_deref(), gpu.uuid.as_deref()), (Some("NVIDIA Test 80GB"), Some("GPU-1")));
        assert_eq!(
            (gpu.mem_total_mib, gpu.mem_used_mib, gpu.mem_reserved_mib),
            (whole(81_559), whole(1125), whole(479))
        );
        assert_eq!((gpu.util_gpu_pct, gpu.util_mem_pct, gpu.tlimit_margin_c), (None, whole(7), whole(24)));
        assert_eq!((gpu.power_w, gpu.instant_power_w), (Some(Figure::Real(432.21)), Some(Figure::Real(444.72))));
        assert_eq!(gpu.power_cap_w, Some(Figure::Real(700.0)));
        assert_eq!((gpu.temps_c["gpu"], gpu.temps_c["memory"]), (Figure::Whole(53), Figure::Whole(58)));
        assert_eq!((gpu.clocks_mhz["graphics"], gpu.clocks_mhz["mem"]), (Figure::Whole(1980), Figure::Whole(2619)));
        assert_eq!(gpu.throttle.as_deref().unwrap(), ["hardware_thermal"]);
        let slices = gpu.mig.as_ref().unwrap().devices.as_ref().unwrap();
        assert_eq!((slices.len(), slices[0].gpu_instance, slices[0].used), (1, Some(3), whole(26)));
        let processes = gpu.processes.as_ref().unwrap();
        assert_eq!((processes[0].name.as_deref(), processes[0].used_mib), (Some("/a b & <c>"), whole(12)));
        assert_eq!((processes[1].pid, processes[1].used_mib), (8, None));
        assert_eq!((old.power_w, old.power_kind.as_deref()), (Some(Figure::Real(27.05)), Some("power_draw")));
        assert_eq!(old.processes.as_ref().unwrap().iter().map(|p| p.pid).collect::<Vec<_>>(), [9, 10]);
    }

    #[test]
    fn what_a_driver_remarks_on_a_value_is_no_part_of_it() {
        let remarked = LOG
            .replace("580.10", "610.57.04 [Deprecated; will be removed in CUDA 14.0. Use KMD Version instead]")
            .replace("81559 MiB", "81559 MiB [Deprecated; use another name]")
            .replace("NVIDIA Test 80GB", "NVIDIA Test [rev a] 80GB")
            .replace("/a b & <c>", "/a b [c d]");
        let snapshot = read_query(&remarked).unwrap();
        assert_eq!(snapshot.driver_version.as_deref(), Some("610.57.04"));
        let gpu = &snapshot.gpus[0];
        assert_eq!(
            (gpu.mem_total_mib, gpu.name.as_deref()),
            (Some(Figure::Whole(81_559)), Some("NVIDIA Test [rev a] 80GB"))
        );
        assert_eq!(gpu.processes.as_ref().unwrap()[0].name.as_deref(), Some("/a b [c d]"));
        let xml = "<nvidia_smi_log><driver_version>610.57.04 [Deprecated; use KMD]</driver_version></nvidia_smi_log>";
        assert_eq!(read_xml(xml).unwrap().driver_version.as_deref(), Some("610.57.04"));
    }

    #[test]
    fn a_log_that_is_cut_anywhere_says_less_and_nothing_else() {
        let whole = read_query(LOG).unwrap();
        for end in 0..LOG.len() {
            let Ok(part) = read_query(&LOG[..end]) else { continue };
            for (part, whole) in part.gpus.iter().zip(&whole.gpus) {
                let figure = |gpu: &vramscope_gpu::document::Gpu| gpu.mem_total_mib.map_or(0.0, Figure::as_f64);
                assert!(figure(part) <= figure(whole), "cut at {end}");
                assert!(part.processes.iter().flatten().count() <= whole.processes.iter().flatten().count());
            }
            assert!(part.gpus.len() <= whole.gpus.len());
        }
    }

    #[test]
    fn a_log_of_no_gpu_is_an_error_and_any_words_are_survived() {
        let none = "=====NVSMI LOG=====\nAttached GPUs : 0\n";
        assert!(holds_log(none));
        assert!(matches!(read_query(none), Err(ReadError::NoGpu { .. })));
        let many =
            |count: usize| format!("==NVSMI LOG==\nAttached GPUs : 9\n{}", "GPU 0:0:0\n    A : 1\n".repeat(count));
        assert_eq!(read_query(&many(MAX_GPUS)).unwrap().gpu_count, MAX_GPUS);
        assert!(matches!(read_query(&many(MAX_GPUS + 1)), Err(ReadError::TooManyGpus { line: 2051 })));
        let odd = format!("{LOG}\n1. what : <this>\n  &&\n    -- : --\n\u{1}\n");
        assert_eq!(read_query(&odd).unwrap().gpu_count, 2);
    }
}
