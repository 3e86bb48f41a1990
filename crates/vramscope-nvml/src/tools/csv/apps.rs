//! The processes of `--query-compute-apps`, each under its GPU.

use std::collections::BTreeMap;

use vramscope_core::{ByteUnit, Bytes};
use vramscope_gpu::Figure;
use vramscope_gpu::document::{Gpu, HostProcess, Process, Snapshot};
use vramscope_gpu::smi_csv::What;

use super::{Identity, Row, cell, figure, gpu, identity, same, shares_identity};

/// Puts a row of `--query-compute-apps` under its GPU, which is listed if it was not. A process of which nobody can say
/// on which GPU it is, is listed for the whole machine. `places` remembers where the GPU of such a row was found: GPUs are
/// only added to the list, so it stays there.
pub(super) fn add<'t>(snapshot: &mut Snapshot, row: &Row<'t>, places: &mut BTreeMap<Identity<'t>, usize>) {
    let Some(pid) = figure(row, What::Pid).and_then(Figure::as_u64).and_then(|pid| u32::try_from(pid).ok()) else {
        return;
    };
    let name = cell(row, What::ProcessName).map(str::to_owned);
    let held = figure(row, What::ProcessMemory);
    let [bus, uuid, _] = identity(row);
    let found = places.get(&[bus, uuid, None]).copied();
    let on = gpu(row, snapshot.gpus.len());
    let found = found.or_else(|| place_of(&mut snapshot.gpus, on));
    // Which GPU a row without identity is of depends on how many there are.
    if let Some(place) = found.filter(|_| bus.is_some() || uuid.is_some()) {
        places.insert([bus, uuid, None], place);
    }
    match found {
        Some(place) => {
            let process = Process { pid, name, used_mib: held, ..Process::default() };
            snapshot.gpus[place].processes.get_or_insert_default().push(process);
        }
        None => {
            let held = held.and_then(|held| Bytes::from_unit(held.as_f64(), ByteUnit::MiB));
            let process = HostProcess { pid, name, gpus: None, vram_bytes: held.map(Bytes::get) };
            snapshot.host_processes.get_or_insert_default().push(process);
        }
    }
}

/// The place of the GPU that a process is on, or `None` where nothing says which it is.
fn place_of(gpus: &mut Vec<Gpu>, on: Gpu) -> Option<usize> {
    if on.pci_bus_id.is_none() && on.uuid.is_none() {
        return (gpus.len() == 1).then_some(0);
    }
    if let Some(place) = gpus.iter().position(|known| same(known, &on, false)) {
        return Some(place);
    }
    // A process in a slice may be listed under the slice, whose GPU only `-L` says.
    if on.uuid.as_deref().is_some_and(|uuid| uuid.starts_with("MIG-")) {
        let cut = |gpu: &Gpu| gpu.mig.as_ref().is_some_and(|mig| mig.enabled);
        let mut cut = gpus.iter().enumerate().filter(|(_, gpu)| cut(gpu));
        if let Some((place, _)) = cut.next().filter(|_| cut.next().is_none()) {
            return Some(place);
        }
    }
    // The list of GPUs may lack what the list of processes tells them apart by.
    if gpus.is_empty() || gpus.iter().any(|known| shares_identity(known, &on, false)) {
        gpus.push(on);
        return Some(gpus.len() - 1);
    }
    let [only] = gpus.as_mut_slice() else { return None };
    only.uuid = only.uuid.take().or(on.uuid);
    only.pci_bus_id = only.pci_bus_id.take().or(on.pci_bus_id);
    Some(0)
}

#[cfg(test)]
mod tests {
    use super::super::read_csv;
    use super::*;

    #[test]
    fn a_process_name_may_hold_commas() {
        let text = "pid, process_name, gpu_uuid, used_gpu_memory [MiB]\n7, python a, b , GPU-1, 12 MiB\n";
        let processes = read_csv(text).unwrap().gpus[0].processes.clone().unwrap();
        assert_eq!(processes[0].name.as_deref(), Some("python a, b"));
        assert_eq!(processes[0].used_mib, Some(Figure::Whole(12)));
    }

    #[test]
    fn a_process_listed_under_a_slice_belongs_to_the_one_gpu_that_is_cut() {
        let text = "index, uuid, mig.mode.current\n0, GPU-1, Disabled\n1, GPU-2, Enabled\n\
                    gpu_uuid, pid, used_gpu_memory [MiB]\nMIG-abc, 7, 12 MiB\n";
        let snapshot = read_csv(text).unwrap();
        assert_eq!((snapshot.gpu_count, snapshot.gpus[1].processes.as_ref().map(Vec::len)), (2, Some(1)));
    }

    #[test]
    fn the_only_gpu_has_the_processes_even_where_the_two_lists_name_it_in_different_ways() {
        let text = "index, name, memory.used [MiB]\n0, Tesla T4, 20 MiB\ngpu_uuid, pid, used_memory [MiB]\n\
                    GPU-1, 7, 12 MiB\nGPU-1, 8, 3 MiB\n";
        let snapshot = read_csv(text).unwrap();
        assert_eq!((snapshot.gpu_count, snapshot.gpus[0].processes.as_ref().map(Vec::len)), (1, Some(2)));
        assert_eq!((snapshot.gpus[0].uuid.as_deref(), snapshot.notes.len()), (Some("GPU-1"), 0));
        let with_another = read_csv(&format!("{text}GPU-2, 9, 4 MiB\n")).unwrap();
        assert_eq!(with_another.gpu_count, 2, "a second GPU, which the list of GPUs left out");
    }

    #[test]
    fn processes_of_which_nobody_can_say_on_which_gpu_they_are_stay_apart() {
        let two =
            "index, memory.used [MiB]\n0, 20 MiB\n1, 30 MiB\ngpu_uuid, pid, used_memory [MiB]\nGPU-1, 7, 12 MiB\n";
        let bare = "pid, process_name, used_gpu_memory [MiB]\n7, python, 12 MiB\n";
        for (text, gpus, name) in [(two, 2, None), (bare, 0, Some("python"))] {
            let snapshot = read_csv(text).unwrap();
            assert_eq!(snapshot.gpu_count, gpus);
            let process = HostProcess { pid: 7, name: name.map(str::to_owned), gpus: None, vram_bytes: Some(12 << 20) };
            assert_eq!(snapshot.host_processes, Some(vec![process]));
            assert_eq!(snapshot.notes, ["some processes are listed without their GPU"]);
        }
    }
}
