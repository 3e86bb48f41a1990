//! The table of plain `nvidia-smi`, as reports paste it: drivers 340 to 610, Linux and Windows.
//!
//! Its figures are rounded and its names cut, so every other output is better; the snapshot says so.

use vramscope_gpu::Figure;
use vramscope_gpu::document::{Gpu, MAX_GPUS, Mig, MigDevice, Process, Snapshot};
use vramscope_gpu::smi_csv::present;

use super::{ReadError, is_date};

/// The part of the table that a line belongs to.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Head,
    Gpus,
    Slices,
    Processes,
}

/// Whether a line is the table's headline.
fn is_headline(line: &str) -> bool {
    line.contains("NVIDIA-SMI") && (line.contains("Driver Version:") || line.contains("KMD Version:"))
}

/// Whether there is such a table in this text.
pub(super) fn holds_table(text: &str) -> bool {
    text.lines().any(is_headline)
}

/// Reads the table. Of several, one after another (`watch`, `--loop`), the last one counts.
///
/// # Errors
/// [`ReadError::NoGpu`] if no GPU is listed, [`ReadError::TooManyGpus`].
pub fn read_table(text: &str) -> Result<Snapshot, ReadError> {
    let mut snapshot = Snapshot::from_source("nvidia-smi table");
    let mut part = Part::Head;
    let (mut count, mut date) = (0, None);
    for (number, line) in (1..).zip(text.lines()) {
        if is_headline(line) {
            count += 1;
            snapshot = Snapshot::from_source("nvidia-smi table");
            snapshot.taken_at = date.take();
            snapshot.driver_version = version(line);
            part = Part::Gpus;
            continue;
        }
        if is_date(line) {
            date = Some(line.trim().to_owned());
        }
        let Some((_, row)) = line.split_once('|') else { continue };
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        part = match cells[0] {
            head if head.starts_with("MIG devices:") => Part::Slices,
            head if head.starts_with("Processes:") || head.starts_with("Compute processes:") => Part::Processes,
            _ => part,
        };
        match part {
            Part::Head => {}
            Part::Gpus => gpu_line(&mut snapshot.gpus, &cells),
            Part::Slices => slice_line(&mut snapshot.gpus, &cells),
            Part::Processes => process_line(&mut snapshot.gpus, cells[0]),
        }
        if snapshot.gpus.len() > MAX_GPUS {
            return Err(ReadError::TooManyGpus { line: number });
        }
    }
    if snapshot.gpus.is_empty() {
        return Err(ReadError::NoGpu { what: "nvidia-smi" });
    }
    if count > 1 {
        snapshot.notes.push(format!("the output has {count} tables, one after another; the last one counts"));
    }
    let note = "figures of nvidia-smi's table are rounded and its names cut; nvidia-smi -q -x says more";
    snapshot.notes.push(note.into());
    snapshot.gpu_count = snapshot.gpus.len();
    Ok(snapshot)
}

fn version(line: &str) -> Option<String> {
    let (_, after) = line.split_once("Driver Version:").or_else(|| line.split_once("KMD Version:"))?;
    after.split_whitespace().next().and_then(present).map(str::to_owned)
}

/// A GPU has two lines, and since driver 450 a third for its MIG mode.
fn gpu_line(gpus: &mut Vec<Gpu>, cells: &[&str]) {
    let &[first, second, third, ..] = cells else { return };
    let bus = second.split_whitespace().next().filter(|bus| bus.matches(':').count() == 2);
    if let Some(bus) = bus.filter(|bus| bus.starts_with(|c: char| c.is_ascii_hexdigit())) {
        let Some((index, name)) = first.split_once(char::is_whitespace) else { return };
        let Ok(index) = index.parse() else { return };
        // Behind the name stands the persistence mode or, on Windows, the driver's model.
        let name = name.trim().rsplit_once(char::is_whitespace).map(|(name, _)| name.trim());
        gpus.push(Gpu {
            index,
            name: name.and_then(present).map(str::to_owned),
            pci_bus_id: Some(bus.to_owned()),
            vendor: Some("nvidia".into()),
            ..Gpu::default()
        });
        return;
    }
    let Some(gpu) = gpus.last_mut() else { return };
    if let Some((used, total)) = second.split_once('/').filter(|_| second.contains("iB")) {
        (gpu.mem_used_mib, gpu.mem_total_mib) = (Figure::parse(used), Figure::parse(total));
    }
    let behind = |unit: &str, word: &str| word.strip_suffix(unit).and_then(Figure::parse);
    if let Some((left, cap)) = first.split_once(" / ") {
        let degrees = left.split_whitespace().find_map(|word| behind("C", word));
        gpu.temps_c.extend(degrees.map(|degrees| ("gpu".to_owned(), degrees)));
        gpu.power_w = left.split_whitespace().last().and_then(|word| behind("W", word));
        gpu.power_kind = gpu.power_w.map(|_| "power_draw".into());
        gpu.power_cap_w = behind("W", cap.trim());
        gpu.util_gpu_pct = third.split_whitespace().next().and_then(|word| behind("%", word));
    } else if first.is_empty() && third == "Enabled" {
        gpu.mig = Some(Mig { enabled: true, devices: None });
    }
}

/// `|  0    2   0   0  |   26MiB / 40448MiB  | …`: GPU, GPU instance, compute instance, place.
fn slice_line(gpus: &mut [Gpu], cells: &[&str]) {
    let numbers: Option<Vec<u32>> = cells[0].split_whitespace().map(|word| word.parse().ok()).collect();
    let (Some([gpu, instance, compute, _]), Some(memory)) = (numbers.as_deref(), cells.get(1)) else { return };
    let Some(gpu) = gpus.iter_mut().find(|known| known.index == *gpu) else { return };
    let (used, total) = memory.split_once('/').unwrap_or((memory, ""));
    let mig = gpu.mig.get_or_insert(Mig { enabled: true, devices: None });
    mig.devices.get_or_insert_default().push(MigDevice {
        gpu_instance: Some(*instance),
        compute_instance: Some(*compute),
        used: Figure::parse(used),
        total: Figure::parse(total),
        ..MigDevice::default()
    });
}

/// `0  N/A  N/A  1842  G  /usr/lib/xorg/Xorg  35MiB`, until driver 445 without the two instances.
fn process_line(gpus: &mut [Gpu], row: &str) {
    let words: Vec<&str> = row.split_whitespace().collect();
    let Some(place) = [2, 4].into_iter().find(|&n| words.get(n).is_some_and(|word| kind(word).is_some())) else {
        return;
    };
    let number = |n: usize| words[n].parse().ok();
    let (Some(index), Some(pid)) = (number(0), number(place - 1)) else { return };
    let Some(gpu) = gpus.iter_mut().find(|known| known.index == index) else { return };
    let Some((memory, name)) = words[place + 1..].split_last() else { return };
    gpu.processes.get_or_insert_default().push(Process {
        pid,
        name: present(&name.join(" ")).map(str::to_owned),
        kind: kind(words[place]).map(str::to_owned),
        used_mib: Figure::parse(memory),
        gpu_instance: if place == 4 { number(1) } else { None },
        ..Process::default()
    });
}

fn kind(word: &str) -> Option<&'static str> {
    match word {
        "C" | "M+C" => Some("compute"),
        "G" => Some("graphics"),
        "C+G" => Some("both"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "
Sun Nov 22 21:04:05 2026
+-----------------------------------------------------------------------------+
| NVIDIA-SMI 418.01       Driver Version: 418.01       CUDA Version: 10.1     |
|-------------------------------+----------------------+----------------------+
| GPU  Name        Persistence-M| Bus-Id        Disp.A | Volatile Uncorr. ECC |
| Fan  Temp  Perf  Pwr:Usage/Cap|         Memory-Usage | GPU-Util  Compute M. |
|===============================+======================+======================|
|   0  Tesla V100-SXM2...  Off  | 00000000:00:1E.0 Off |                    0 |
| N/A   37C    P0    37W / 300W |     11MiB / 16130MiB |      3%      Default |
+-------------------------------+----------------------+----------------------+
|   1  Tesla V100-SXM2...  ERR! | 00000000:00:1F.0 Off |                 ERR! |
|ERR!  ERR! ERR!    ERR! / ERR! |      0MiB / 16130MiB |     ERR!        ERR! |
+-------------------------------+----------------------+----------------------+

+-----------------------------------------------------------------------------+
| Processes:                                                       GPU Memory |
|  GPU       PID   Type   Process name                             Usage      |
|=============================================================================|
|    0      1234      C   python train x.py                           1000MiB |
|    0      1235      G   [Insufficient Permissions]                      N/A |
+-----------------------------------------------------------------------------+
";

    const NEW: &str = "
Mon Nov 23 21:04:05 2026
+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI 610.01                 KMD Version: 610.01        CUDA UMD Version: 13.3     |
+-----------------------------------------+------------------------+----------------------+
| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |
| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |
|                                         |                        |               MIG M. |
|=========================================+========================+======================|
|   0  NVIDIA GeForce RTX 2080 ...  WDDM  |   00000000:0C:00.0  On |                  N/A |
| 38%   44C    P2             97W /  N/A  |    1366MiB /   8192MiB |      7%      Default |
|                                         |                        |                  N/A |
+-----------------------------------------+------------------------+----------------------+
|   3  NVIDIA H100 80GB HBM3          On  |   00000000:2D:00.0 Off |                   On |
| N/A   52C    P0            432W /  700W |   Not Supported        |     N/A      Default |
|                                         |                        |              Enabled |
+-----------------------------------------+------------------------+----------------------+
| MIG devices:                                                                            |
+------------------+----------------------------------+-----------+-----------------------+
| GPU  GI  CI  MIG |              Shared Memory-Usage |        Vol|        Shared         |
|      ID  ID  Dev |                Shared BAR1-Usage | SM     Unc| CE ENC  DEC  OFA  JPG |
|==================+==================================+===========+=======================|
|  3    2   0   0  |           11091MiB / 40448MiB    | 60      0 |  3   0    3    0    3 |
|                  |               0MiB / 24739MiB    |           |                       |
+------------------+----------------------------------+-----------+-----------------------+
| Processes:                                                                              |
|  GPU   GI   CI              PID   Type   Process name                        GPU Memory |
|        ID   ID                                                               Usage      |
|=========================================================================================|
|    0   N/A  N/A            2140    C+G   C:\\Program Files\\a.exe               N/A      |
|    3    2    0            21180      C   VLLM::EngineCore                       2296MiB |
+-----------------------------------------------------------------------------------------+
";

    #[test]
    fn an_old_table_with_a_lost_gpu_is_read() {
        let snapshot = read_table(OLD).unwrap();
        assert_eq!((snapshot.gpu_count, snapshot.driver_version.as_deref()), (2, Some("418.01")));
        assert_eq!(snapshot.taken_at.as_deref(), Some("Sun Nov 22 21:04:05 2026"));
        let (gpu, lost) = (&snapshot.gpus[0], &snapshot.gpus[1]);
        let whole = |n| Some(Figure::Whole(n));
        assert_eq!(
            (gpu.name.as_deref(), gpu.pci_bus_id.as_deref()),
            (Some("Tesla V100-SXM2..."), Some("00000000:00:1E.0"))
        );
        assert_eq!((gpu.mem_used_mib, gpu.mem_total_mib, gpu.util_gpu_pct), (whole(11), whole(16_130), whole(3)));
        assert_eq!((gpu.power_w, gpu.power_cap_w, gpu.temps_c["gpu"]), (whole(37), whole(300), Figure::Whole(37)));
        let processes = gpu.processes.as_ref().unwrap();
        assert_eq!((processes[0].name.as_deref(), processes[0].used_mib), (Some("python train x.py"), whole(1000)));
        assert_eq!((processes[1].pid, processes[1].name.as_deref(), processes[1].used_mib), (1235, None, None));
        assert_eq!((lost.power_w, lost.power_cap_w, lost.util_gpu_pct, &lost.processes), (None, None, None, &None));
        assert_eq!((lost.temps_c.len(), lost.mem_used_mib), (0, whole(0)), "zero is a reading");
    }

    #[test]
    fn a_new_table_with_slices_is_read_and_the_last_table_counts() {
        let snapshot = read_table(&format!("{OLD}{NEW}")).unwrap();
        assert_eq!((snapshot.gpu_count, snapshot.driver_version.as_deref()), (2, Some("610.01")));
        assert!(snapshot.notes[0].contains("2 tables"));
        let whole = |n| Some(Figure::Whole(n));
        let (first, cut) = (&snapshot.gpus[0], &snapshot.gpus[1]);
        assert_eq!((first.power_w, first.power_cap_w, &first.mig), (whole(97), None, &None));
        assert_eq!(first.processes.as_ref().unwrap()[0].name.as_deref(), Some("C:\\Program Files\\a.exe"));
        assert_eq!((cut.index, cut.mem_used_mib, cut.util_gpu_pct), (3, None, None));
        let slice = &cut.mig.as_ref().unwrap().devices.as_ref().unwrap()[0];
        assert_eq!((slice.gpu_instance, slice.used, slice.total), (Some(2), whole(11_091), whole(40_448)));
        let process = &cut.processes.as_ref().unwrap()[0];
        assert_eq!((process.name.as_deref(), process.gpu_instance), (Some("VLLM::EngineCore"), Some(2)));
    }

    #[test]
    fn a_table_that_is_cut_anywhere_lists_no_more_than_the_whole() {
        let whole = read_table(NEW).unwrap();
        for end in 0..NEW.len() {
            let Ok(part) = read_table(&NEW[..end]) else { continue };
            assert!(part.gpus.len() <= whole.gpus.len(), "cut at {end}");
            let count = |gpus: &[Gpu]| gpus.iter().flat_map(|gpu| gpu.processes.iter().flatten()).count();
            assert!(count(&part.gpus) <= count(&whole.gpus), "cut at {end}");
        }
    }

    #[test]
    fn a_prefix_before_each_line_is_no_obstacle_and_a_table_without_gpus_is_an_error() {
        let quoted: String = NEW.lines().map(|line| format!("> {line}\n")).collect();
        assert_eq!(read_table(&quoted).unwrap().gpu_count, 2);
        let empty: String = NEW.lines().take(8).map(|line| format!("{line}\n")).collect();
        assert!(matches!(read_table(&empty), Err(ReadError::NoGpu { .. })));
    }
}
