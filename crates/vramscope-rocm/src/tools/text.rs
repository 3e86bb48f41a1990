//! What `amd-smi` and `rocm-smi` print without `--json`, written again as their JSON: the names are the same.

use serde_json::{Map, Value, json};
use vramscope_gpu::document::MAX_GPUS;

type Object = Map<String, Value>;

/// A section that stands farther in than this is passed over.
const MAX_DEPTH: usize = 8;

/// The list of GPUs in the text of `amd-smi static|metric|process`: a tree, told apart by indentation.
///
/// ```text
/// GPU: 0
///     POWER:
///         SOCKET_POWER: 20 W
/// ```
pub(super) fn amd_smi(text: &str) -> Option<Value> {
    let mut tree = Tree::default();
    for line in text.lines() {
        let bare = line.trim();
        let indent = line.len() - line.trim_start().len();
        let Some((key, value)) = bare.split_once(':').filter(|(key, _)| is_name(key)) else { continue };
        tree.line(indent, key, value.trim());
    }
    let gpus = tree.finish();
    (!gpus.is_empty()).then_some(Value::Array(gpus))
}

/// Names are written large. What goes on from the line before is no name.
fn is_name(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

#[derive(Default)]
struct Tree {
    gpus: Vec<Value>,
    /// The open sections from the GPU inwards, each with its indentation and name.
    open: Vec<(usize, String, Object)>,
}

impl Tree {
    fn line(&mut self, indent: usize, key: &str, value: &str) {
        if key == "GPU" && indent == 0 {
            self.close_to(0);
            // One too many is kept, by which the reader refuses the text.
            if self.gpus.len() <= MAX_GPUS {
                self.open.push((0, "gpu".into(), Map::from_iter([("gpu".to_owned(), json!(value))])));
            }
            return;
        }
        self.close_to(indent);
        let name = key.to_ascii_lowercase();
        let Some((_, _, section)) = self.open.last_mut() else { return };
        if !value.is_empty() {
            add(section, &name, json!(value));
        } else if self.open.len() < MAX_DEPTH {
            self.open.push((indent, name, Map::new()));
        }
    }

    /// Closes the sections that stand as far in as this or farther.
    fn close_to(&mut self, indent: usize) {
        while self.open.last().is_some_and(|(of, ..)| *of >= indent) {
            let Some((_, name, section)) = self.open.pop() else { return };
            match self.open.last_mut() {
                Some((_, _, outer)) => add(outer, &name, Value::Object(section)),
                None => self.gpus.push(Value::Object(section)),
            }
        }
    }

    fn finish(mut self) -> Vec<Value> {
        self.close_to(0);
        self.gpus
    }
}

/// A process has a section of its own with the same name each time; in the JSON they are a list.
fn add(section: &mut Object, name: &str, value: Value) {
    if name != "process_info" {
        section.insert(name.to_owned(), value);
        return;
    }
    let list = section.entry("process_list").or_insert_with(|| json!([]));
    if let Value::Array(list) = list {
        list.push(json!({ "process_info": value }));
    }
}

/// The object of cards in the text of `rocm-smi -a`: `GPU[0]  : GPU use (%): 3`.
pub(super) fn rocm_smi(text: &str) -> Option<Value> {
    let mut cards = Map::new();
    for line in text.lines() {
        let Some((card, rest)) = line.trim_start().strip_prefix("GPU[").and_then(|line| line.split_once(']')) else {
            continue;
        };
        let Some((key, value)) = rest.trim_start().strip_prefix(':').and_then(|rest| rest.split_once(": ")) else {
            continue;
        };
        if card.parse::<u32>().is_err() || cards.len() > MAX_GPUS {
            continue;
        }
        let fields = cards.entry(format!("card{card}")).or_insert_with(|| json!({}));
        if let Value::Object(fields) = fields {
            fields.insert(key.trim().to_owned(), json!(value.trim()));
        }
    }
    (!cards.is_empty()).then_some(Value::Object(cards))
}

#[cfg(test)]
mod tests {
    use super::super::{read, recognise};
    use vramscope_gpu::Figure;

    fn whole(n: i64) -> Option<Figure> {
        Some(Figure::Whole(n))
    }

    #[test]
    fn the_tree_of_amd_smi_says_what_its_json_says() {
        let text = "$ amd-smi metric\nGPU: 0\n    USAGE:\n        GFX_ACTIVITY: 7 %\n        UMC_ACTIVITY: N/A\n\
                    \x20       VCN_ACTIVITY: [N/A, N/A,\n            N/A]\n    POWER:\n        SOCKET_POWER: 20 W\n\
                    \x20   CLOCK:\n        GFX_0:\n            CLK: 14 MHz\n            MIN_CLK: 54 MHz\n\
                    \x20   TEMPERATURE:\n        EDGE: 43 \u{b0}C\n        HOTSPOT: N/A\n    MEM_USAGE:\n\
                    \x20       TOTAL_VRAM: 16304 MB\n        USED_VRAM: 301 MB\n\nGPU: 1\n    PROCESS_INFO:\n\
                    \x20       NAME: python3\n        PID: 7\n        MEMORY_USAGE:\n            VRAM_MEM: 1.5 GB\n\
                    \x20   PROCESS_INFO:\n        NAME: N/A\n        PID: 8\n\nGPU: 2\n\
                    \x20   PROCESS_INFO: No running processes detected\n";
        assert!(recognise(text));
        let snapshot = read(text).unwrap();
        assert_eq!((snapshot.source.as_str(), snapshot.gpu_count), ("amd-smi text", 3));
        let gpu = &snapshot.gpus[0];
        assert_eq!((gpu.util_gpu_pct, gpu.util_mem_pct, gpu.power_w), (whole(7), None, whole(20)));
        assert_eq!((gpu.mem_total_mib, gpu.mem_used_mib, &gpu.processes), (whole(16_304), whole(301), &None));
        assert_eq!((gpu.clocks_mhz["gfx_0"], gpu.clocks_mhz.len()), (Figure::Whole(14), 1));
        assert_eq!((gpu.temps_c["edge"], gpu.temps_c.len()), (Figure::Whole(43), 1));
        let processes = snapshot.gpus[1].processes.as_ref().unwrap();
        assert_eq!((processes[0].pid, processes[0].vram_bytes), (7, Some(3 << 29)));
        assert_eq!((processes[1].pid, processes[1].name.as_deref()), (8, None));
        assert_eq!(snapshot.gpus[2].processes, Some(vec![]));
    }

    #[test]
    fn the_lines_of_rocm_smi_say_what_its_json_says() {
        let text = "=== ROCm System Management Interface ===\nGPU[0]\t\t: Temperature (Sensor edge) (C): 52.0\n\
                    GPU[0]\t\t: Temperature (Sensor HBM 0) (C): N/A\nGPU[0]\t\t: sclk clock level: 0: (500Mhz)\n\
                    GPU[0]\t\t: pcie clock level: 1 (16.0GT/s x16)\nGPU[1]\t\t: GPU use (%): 3\n\
                    GPU[0]\t\t: Average Graphics Package Power (W): 37.0\nGPU[0]\t\t: Not supported\n\
                    GPU[0]\t\t: VRAM Total Memory (B): 17163091968\nGPU[0]\t\t: VRAM Total Used Memory (B): 10489856\n\
                    GPU[x]\t\t: a: b\n";
        assert!(recognise(text));
        let snapshot = read(text).unwrap();
        assert_eq!((snapshot.source.as_str(), snapshot.gpu_count), ("rocm-smi text", 2));
        let gpu = &snapshot.gpus[0];
        assert_eq!((gpu.mem_total_mib, gpu.power_w), (whole(16_368), Some(Figure::Real(37.0))));
        assert_eq!((gpu.clocks_mhz["sclk"], gpu.clocks_mhz.len()), (Figure::Whole(500), 1));
        assert_eq!((gpu.temps_c["edge"], gpu.temps_c.len()), (Figure::Real(52.0), 1));
        assert_eq!(snapshot.gpus[1].util_gpu_pct, whole(3));
    }

    #[test]
    fn other_trees_and_any_depth_are_survived() {
        assert!(!recognise("CPU: 0\n    USAGE: 3 %\n"));
        assert!(!recognise("GPU: NVIDIA T4\nName: x\n"));
        let deep: String = (0..1000).map(|n| format!("{}A{n}:\n", " ".repeat(n + 1))).collect();
        assert_eq!(read(&format!("GPU: 0\n{deep}")).unwrap().gpu_count, 1);
    }
}
