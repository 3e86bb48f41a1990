//! Engines that print what lies where: each buffer with its place, on devices and on the host.

use std::fmt::Write as _;

use vramscope_core::{
    Basis, Buffer, BufferKind, ByteDelta, Bytes, Component, ComponentKind, Confidence, Device, DeviceIndex,
    EngineFacts, EngineKind, PlaceFacts, Vendor,
};

use super::{DeviceObservation, Evidenced};

/// Whether an engine's log is taken apart by its buffers.
pub(crate) fn is_placed(kind: Option<EngineKind>) -> bool {
    matches!(kind, Some(EngineKind::LlamaCpp | EngineKind::Ollama))
}

/// Whether an engine is a server that starts another process for each model, which holds all that there is to see of it on a
/// device. What the server logs of a load stands before that process is there.
pub(crate) fn starts_runners(kind: Option<EngineKind>) -> bool {
    kind == Some(EngineKind::Ollama)
}

/// Weights among these buffers.
pub(crate) fn weights(facts: &EngineFacts, buffers: &[usize]) -> Option<Bytes> {
    let inside = buffers.iter().filter_map(|at| facts.buffers.get(*at));
    let sizes: Vec<Bytes> = inside
        .filter(|buffer| component(buffer.kind) == Some(ComponentKind::Weights))
        .map(|buffer| buffer.amount.value)
        .collect();
    if sizes.is_empty() { None } else { Bytes::checked_sum(sizes) }
}

/// Which device holds what, of those that were measured.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Laid {
    /// Each device with the buffers in it, and the engine's name for it.
    pub(crate) on: Vec<(DeviceIndex, Vec<usize>, Option<String>)>,
    /// Places on devices that are none of those, or of which nothing tells which they are.
    pub(crate) apart: Vec<String>,
}

/// Lays the buffers on the devices that were measured. Where the engine says of each place where it is on the bus, that
/// tells its device; else `active` are those that the engine uses: an engine numbers the ones that it sees from 0, in the
/// order of the driver (CUDA orders by speed unless it is told to order by bus). Where the memory of processes is measured, all that lies on the host is
/// in it, and what a software device holds.
pub(crate) fn lay(facts: &EngineFacts, devices: &[Device], active: &[DeviceIndex]) -> Laid {
    let allocated = || facts.buffers.iter().enumerate().filter(|(_, buffer)| !buffer.planned);
    if let [device] = devices
        && device.vendor == Some(Vendor::Cpu)
    {
        // A projector whose place is not printed lies on the one device there is, or with the rest.
        let is_inside = |buffer: &Buffer| buffer.on_host || is_software(facts, buffer) || is_projector(buffer);
        let (inside, outside): (Vec<_>, Vec<_>) = allocated().partition(|(_, buffer)| is_inside(buffer));
        let software = facts.places.iter().find(|place| place.is_software());
        let place = software.map(|place| place.place.clone());
        let inside = inside.into_iter().map(|(at, _)| at).collect();
        return Laid { on: vec![(device.index, inside, place)], apart: names(outside.into_iter().map(|(_, b)| b)) };
    }
    let places = places(facts);
    let told = by_bus(facts, &places, devices);
    let matched = told.is_some() || places.len() == active.len() || devices.len() == 1 && places.len() == 1;
    let in_order = || if active.len() == places.len() { active.to_vec() } else { indices(devices) };
    let targets = told.unwrap_or_else(in_order);
    // What is laid over several devices, or lies on another machine.
    let elsewhere = |buffer: &Buffer| {
        let is_of = |name: &str| places.iter().any(|place| place == name);
        !buffer.on_host && !is_projector(buffer) && buffer.place.as_deref().is_some_and(|name| !is_of(name))
    };
    let others =
        allocated().map(|(_, buffer)| buffer).filter(|buffer| elsewhere(buffer) && !is_software(facts, buffer));
    let mut laid = Laid { apart: names(others), ..Laid::default() };
    if !matched {
        laid.apart.extend(places);
        return laid;
    }
    for (count, (place, device)) in places.into_iter().zip(targets).enumerate() {
        // A projector is put on the first device.
        let named = |buffer: &Buffer| match &buffer.place {
            Some(_) if is_projector(buffer) => count == 0,
            Some(name) => *name == place,
            None => true,
        };
        let buffers = allocated().filter(|(_, buffer)| !buffer.on_host && named(buffer)).map(|(at, _)| at).collect();
        laid.on.push((device, buffers, Some(place)));
    }
    laid
}

fn indices(devices: &[Device]) -> Vec<DeviceIndex> {
    devices.iter().map(|device| device.index).collect()
}

/// The device of each place by where it is on the bus; `None` unless each is known and is another one.
fn by_bus(facts: &EngineFacts, places: &[String], devices: &[Device]) -> Option<Vec<DeviceIndex>> {
    let of_place = |name: &String| {
        let place = facts.places.iter().find(|place| place.place == *name)?;
        let bus = bus_and_slot(&place.pci_bus_id.as_ref()?.value)?;
        let mut there =
            devices.iter().filter(|device| device.pci_bus_id.as_deref().and_then(bus_and_slot) == Some(bus));
        there.next().filter(|_| there.next().is_none()).map(|device| device.index)
    };
    let found: Vec<DeviceIndex> = places.iter().map(of_place).collect::<Option<_>>()?;
    let distinct = found.iter().enumerate().all(|(at, device)| !found[..at].contains(device));
    Some(found).filter(|found| distinct && !found.is_empty())
}

/// Domain, bus and slot of `0000:04:00.0`; NVML writes the domain with eight digits.
fn bus_and_slot(text: &str) -> Option<(u32, u8, u8)> {
    let mut parts = text.trim().rsplit(':');
    let slot = parts.next()?.split('.').next()?;
    let hex = |text: &str| u8::from_str_radix(text, 16).ok();
    let (slot, bus) = (hex(slot)?, hex(parts.next()?)?);
    let domain = parts.next().map_or(Some(0), |domain| u32::from_str_radix(domain, 16).ok())?;
    parts.next().is_none().then_some((domain, bus, slot))
}

/// Whether it is of the model that reads pictures, of which the log does not say where it lies.
fn is_projector(buffer: &Buffer) -> bool {
    buffer.kind == BufferKind::ProjectorWeights
}

fn names<'b>(buffers: impl Iterator<Item = &'b Buffer>) -> Vec<String> {
    let mut names: Vec<String> = buffers.filter_map(|buffer| buffer.place.clone()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn is_software(facts: &EngineFacts, buffer: &Buffer) -> bool {
    let of = |place: &&PlaceFacts| buffer.place.as_deref() == Some(place.place.as_str());
    facts.places.iter().find(of).is_some_and(PlaceFacts::is_software)
}

/// The engine's names of GPUs, in the order of their numbers: those that hold something, and those that it found, but for
/// what is laid over several devices or lies on another machine.
fn places(facts: &EngineFacts) -> Vec<String> {
    let held = facts.buffers.iter().filter(|b| !b.on_host && !b.planned && !is_projector(b));
    let found = facts.places.iter().filter(|place| !place.is_software());
    let mut names: Vec<String> = held
        .filter(|b| !is_software(facts, b))
        .filter_map(|b| b.place.clone())
        .chain(found.map(|p| p.place.clone()))
        .filter(|name| !name.ends_with("_Split") && !name.starts_with("RPC["))
        .collect();
    names.sort_by_key(|name| (number(name), name.clone()));
    names.dedup();
    names
}

/// The number at the end of a name; a name without one comes first.
fn number(name: &str) -> Option<u64> {
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    name[name.len() - digits..].parse().ok()
}

/// Whether a place maps pages of the model's file, which are in memory as far as they were read.
fn is_mapped(buffer: &Buffer) -> bool {
    buffer.place.as_deref().is_some_and(|place| place.ends_with("_Mapped"))
}

/// What a part of the memory is called.
fn component(kind: BufferKind) -> Option<ComponentKind> {
    Some(match kind {
        BufferKind::Weights | BufferKind::ProjectorWeights => ComponentKind::Weights,
        BufferKind::KvCache => ComponentKind::KvCache,
        BufferKind::RecurrentState => ComponentKind::RecurrentState,
        BufferKind::Compute => ComponentKind::Compute,
        BufferKind::Output => ComponentKind::Output,
        BufferKind::Graphs => ComponentKind::CudaGraphs,
        BufferKind::Communication => ComponentKind::Collectives,
        // A sum that the engine does not take apart is nobody's part.
        _ => return None,
    })
}

/// The parts of these buffers.
pub(crate) fn parts(facts: &EngineFacts, buffers: &[usize]) -> Vec<Component> {
    let of_kind = |kind: ComponentKind| {
        let inside = buffers.iter().filter_map(|at| facts.buffers.get(*at));
        let of_kind: Vec<&Buffer> = inside.filter(|buffer| component(buffer.kind) == Some(kind)).collect();
        together(&of_kind).map(|part| part.into_component(kind))
    };
    ComponentKind::ALL.into_iter().filter_map(of_kind).collect()
}

/// What of these buffers is in memory as soon as it is allocated: not what is touched at the first batch, nor what is read
/// from a mapped file when it is needed. `None` where nothing is known to be.
pub(crate) fn touched_at_once(facts: &EngineFacts, buffers: &[usize]) -> Option<Bytes> {
    let inside = buffers.iter().filter_map(|at| facts.buffers.get(*at));
    let later = |buffer: &&Buffer| buffer.kind == BufferKind::Compute || is_mapped(buffer);
    let filled = Bytes::checked_sum(inside.filter(|buffer| !later(buffer)).map(|buffer| buffer.amount.value))?;
    (filled > Bytes::ZERO).then_some(filled)
}

fn together(buffers: &[&Buffer]) -> Option<Evidenced> {
    if buffers.is_empty() {
        return None;
    }
    let each: Vec<String> = buffers
        .iter()
        .map(|buffer| {
            let place = buffer.place.as_deref().unwrap_or("the device");
            let draft = if buffer.of_draft { " of the drafting model" } else { "" };
            format!("{} on {place}{draft}", buffer.amount.value)
        })
        .collect();
    let mapped = if buffers.iter().any(|buffer| is_mapped(buffer)) {
        "; what is mapped from the file is in memory as far as it was read"
    } else {
        ""
    };
    let mut log_lines: Vec<u64> = buffers.iter().map(|buffer| buffer.amount.origin.line).collect();
    log_lines.sort_unstable();
    log_lines.dedup();
    Some(Evidenced {
        size: Bytes::checked_sum(buffers.iter().map(|buffer| buffer.amount.value))?,
        resolution: Bytes::checked_sum(buffers.iter().filter_map(|buffer| buffer.amount.resolution)),
        confidence: Confidence::Reported,
        basis: Basis { method: "engine_buffers", detail: format!("{}{mapped}", each.join(", ")), log_lines },
    })
}

/// The parts of one device: its buffers, and what lies beside them.
pub(crate) fn components(facts: &EngineFacts, seen: &DeviceObservation, buffers: &[usize]) -> Vec<Component> {
    let mut components = parts(facts, buffers);
    if !components.is_empty() {
        components.extend(beside(facts, seen).map(|part| part.into_component(ComponentKind::RuntimeContext)));
    }
    components
}

/// What a device held beside the engine's buffers: as the engine counts it at its end, else as it was at its first look,
/// else the level before weights were loaded. None of them is the remainder of what is explained here.
fn beside(facts: &EngineFacts, seen: &DeviceObservation) -> Option<Evidenced> {
    let place = facts.places.iter().find(|place| seen.place.as_deref() == Some(place.place.as_str()));
    // What a software device calls free is the machine's memory.
    let place = place.filter(|place| !place.is_software());
    let of_engine = |place| at_end(place, seen.baseline).or_else(|| at_first(place, seen.baseline));
    place.and_then(of_engine).or_else(|| by_levels(facts, seen))
}

/// What was in use when weights began to load; and what came after the engine's allocations and is not in its compute
/// buffers, which are touched only then: kernels that a software device compiles, caches of libraries.
fn by_levels(facts: &EngineFacts, seen: &DeviceObservation) -> Option<Evidenced> {
    let before_load = seen.before_load?;
    let first = before_load.checked_sub(seen.baseline)?;
    let inside = seen.buffers.iter().flatten().filter_map(|at| facts.buffers.get(*at));
    let compute = inside.filter(|buffer| buffer.kind == BufferKind::Compute).map(|buffer| buffer.amount.value);
    let compute = Bytes::checked_sum(compute)?;
    let later = || seen.peak.checked_sub(seen.after_pool?)?.checked_sub(compute);
    let later = later().filter(|later| *later > Bytes::ZERO);
    let mut detail = format!("{before_load} in use when weights began to load, less the baseline of {}", seen.baseline);
    if let Some(later) = later {
        let _ = write!(detail, "; and {later} that came after all was allocated, beside {compute} of compute buffers");
    }
    Some(Evidenced {
        size: first.checked_add(later.unwrap_or(Bytes::ZERO))?,
        resolution: None,
        confidence: Confidence::Measured,
        basis: Basis {
            method: if later.is_some() { "levels_before_load_and_after" } else { "level_before_load" },
            detail,
            log_lines: Vec::new(),
        },
    })
}

fn at_end(place: &PlaceFacts, baseline: Bytes) -> Option<Evidenced> {
    let outside = place.outside_at_end.as_ref()?;
    let held = outside.value.as_bytes()?;
    let first = at_first(place, baseline).map(|first| format!(", {} of it at its first look", first.size));
    Some(Evidenced {
        size: held.checked_sub(baseline)?,
        resolution: outside.resolution.and_then(ByteDelta::as_bytes),
        confidence: Confidence::Reported,
        basis: Basis {
            method: "engine_memory_table",
            detail: format!(
                "{held} of {} that the engine counts in none of its buffers when it ends{}, less the baseline of \
                 {baseline}: context, kernels, pools and graphs",
                place.place,
                first.unwrap_or_default()
            ),
            log_lines: vec![outside.origin.line],
        },
    })
}

fn at_first(place: &PlaceFacts, baseline: Bytes) -> Option<Evidenced> {
    let (total, free) = (place.total.as_ref()?, place.free_at_first.as_ref()?);
    let used = total.value.checked_sub(free.value)?;
    Some(Evidenced {
        size: used.checked_sub(baseline)?,
        resolution: Bytes::checked_sum([total.resolution, free.resolution].into_iter().flatten()),
        confidence: Confidence::Reported,
        basis: Basis {
            method: "engine_first_snapshot",
            detail: format!("{used} in use at the engine's first look, less the baseline of {baseline}"),
            log_lines: vec![total.origin.line, free.origin.line],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use vramscope_core::{Fact, Origin, Scope};

    fn fact<T>(value: T) -> Fact<T> {
        Fact { value, scope: Scope::PerRank, resolution: None, origin: Origin { line: 7, worker: None } }
    }

    fn buffer(kind: BufferKind, place: &str, mib: u64, on_host: bool) -> Buffer {
        let mut buffer = Buffer::new(kind, Some(place.to_owned()), fact(Bytes::new(mib << 20)));
        buffer.on_host = on_host;
        buffer
    }

    fn place(name: &str, device: &str) -> PlaceFacts {
        let mut place = PlaceFacts::new(name.to_owned());
        place.device = Some(fact(device.to_owned()));
        place
    }

    fn facts(buffers: Vec<Buffer>, places: Vec<PlaceFacts>) -> EngineFacts {
        let mut facts = EngineFacts::default();
        (facts.buffers, facts.places) = (buffers, places);
        facts
    }

    fn devices(count: u32, vendor: Vendor) -> Vec<Device> {
        (0..count).map(|at| Device { vendor: Some(vendor), ..Device::unnamed(DeviceIndex(at)) }).collect()
    }

    #[test]
    fn an_engine_numbers_the_devices_that_it_uses_and_a_plan_holds_nothing() {
        let mut planned = buffer(BufferKind::Weights, "CUDA1", 900, false);
        planned.planned = true;
        let buffers = vec![
            buffer(BufferKind::Weights, "CUDA10", 10, false),
            buffer(BufferKind::Weights, "CUDA1", 20, false),
            planned,
            buffer(BufferKind::Compute, "CUDA_Host", 5, true),
        ];
        let facts = facts(buffers, Vec::new());
        let laid = lay(&facts, &devices(4, Vendor::Nvidia), &[DeviceIndex(1), DeviceIndex(3)]);
        let on: Vec<(u32, Vec<usize>)> = laid.on.iter().map(|(device, at, _)| (device.0, at.clone())).collect();
        assert_eq!(on, [(1, vec![1]), (3, vec![0])]);
        let unclear = lay(&facts, &devices(4, Vendor::Nvidia), &[DeviceIndex(0)]);
        assert!(unclear.on.is_empty() && unclear.apart == ["CUDA1", "CUDA10"]);
    }

    #[test]
    fn where_a_device_is_on_the_bus_tells_which_one_it_is() {
        let buffers =
            || vec![buffer(BufferKind::Weights, "CUDA0", 10, false), buffer(BufferKind::Weights, "CUDA1", 20, false)];
        let on_bus = |name: &str, bus: &str| {
            let mut place = place(name, "NVIDIA L4");
            place.pci_bus_id = Some(fact(bus.to_owned()));
            place
        };
        let mut measured = devices(3, Vendor::Nvidia);
        for (device, bus) in measured.iter_mut().zip(["00000000:01:00.0", "00000000:41:00.0", "00000000:C1:00.0"]) {
            device.pci_bus_id = Some(bus.to_owned());
        }
        let laid = |first: &str, second: &str| {
            let facts = facts(buffers(), vec![on_bus("CUDA0", first), on_bus("CUDA1", second)]);
            let laid = lay(&facts, &measured, &[DeviceIndex(0), DeviceIndex(2)]);
            laid.on.iter().map(|(device, at, _)| (device.0, at.clone())).collect::<Vec<_>>()
        };
        assert_eq!(laid("0000:c1:00.0", "0000:01:00.0"), [(2, vec![0]), (0, vec![1])], "the faster one comes first");
        let in_order = [(0, vec![0]), (2, vec![1])];
        assert_eq!(laid("0000:c1:00.0", "0000:c1:00.0"), in_order, "no two are one");
        assert_eq!(laid("0000:c1:00.0", "0000:99:00.0"), in_order, "none is there");
        assert_eq!(laid("unknown", "0000:01:00.0"), in_order);
    }

    #[test]
    fn a_projector_lies_on_the_first_device_and_what_is_laid_over_several_hides_no_other() {
        let projector = buffer(BufferKind::ProjectorWeights, "projector", 30, false);
        let model = || buffer(BufferKind::Weights, "CUDA0", 10, false);
        let one = facts(vec![projector.clone(), model()], Vec::new());
        let laid = lay(&one, &devices(1, Vendor::Nvidia), &[DeviceIndex(0)]);
        assert_eq!(laid.on, [(DeviceIndex(0), vec![0, 1], Some("CUDA0".to_owned()))]);
        let split = buffer(BufferKind::Weights, "CUDA_Split", 90, false);
        let far = buffer(BufferKind::Weights, "RPC[10.0.0.1:50052]", 90, false);
        let two =
            facts(vec![model(), buffer(BufferKind::Weights, "CUDA1", 20, false), split, far, projector], Vec::new());
        let laid = lay(&two, &devices(2, Vendor::Nvidia), &[DeviceIndex(0), DeviceIndex(1)]);
        let on: Vec<(u32, Vec<usize>)> = laid.on.iter().map(|(device, at, _)| (device.0, at.clone())).collect();
        assert_eq!(on, [(0, vec![0, 4]), (1, vec![1])]);
        assert_eq!(laid.apart, ["CUDA_Split", "RPC[10.0.0.1:50052]"]);
        let host = facts(vec![buffer(BufferKind::ProjectorWeights, "projector", 30, false)], Vec::new());
        assert_eq!(lay(&host, &devices(1, Vendor::Cpu), &[]).apart, Vec::<String>::new());
    }

    #[test]
    fn the_memory_of_processes_holds_the_host_and_a_software_device_and_no_gpu() {
        let buffers = vec![
            buffer(BufferKind::Weights, "CPU_Mapped", 10, true),
            buffer(BufferKind::KvCache, "Vulkan0", 20, false),
            buffer(BufferKind::KvCache, "Vulkan1", 40, false),
        ];
        let places = vec![place("Vulkan0", "llvmpipe (LLVM 15.0.6, 256 bits)"), place("Vulkan1", "NVIDIA H200")];
        let facts = facts(buffers, places);
        let laid = lay(&facts, &devices(1, Vendor::Cpu), &[]);
        assert_eq!(laid.on, [(DeviceIndex(0), vec![0, 1], Some("Vulkan0".to_owned()))]);
        assert_eq!(laid.apart, ["Vulkan1"]);
        let parts = parts(&facts, &[0, 1]);
        assert_eq!(parts.iter().map(|part| part.size.get() >> 20).collect::<Vec<u64>>(), [10, 20]);
        assert!(parts[0].basis.detail.contains("as far as it was read"), "{}", parts[0].basis.detail);
    }

    #[test]
    fn what_a_software_device_compiles_comes_after_all_was_allocated() {
        let mib = |n: u64| Bytes::new(n << 20);
        let seen = |after_pool: Option<u64>| DeviceObservation {
            device: DeviceIndex(0),
            ranks: Vec::new(),
            peak: mib(1000),
            baseline: mib(0),
            before_load: Some(mib(150)),
            after_pool: after_pool.map(mib),
            captured_later: None,
            usable: None,
            buffers: Some(vec![0, 1]),
            place: Some("Vulkan0".to_owned()),
            allocator: Vec::new(),
        };
        let buffers =
            vec![buffer(BufferKind::Weights, "Vulkan0", 550, false), buffer(BufferKind::Compute, "Vulkan0", 80, false)];
        let facts = facts(buffers, vec![place("Vulkan0", "llvmpipe")]);
        let context = |after_pool| by_levels(&facts, &seen(after_pool)).unwrap();
        assert_eq!(
            (context(Some(700)).size, context(Some(700)).basis.method),
            (mib(370), "levels_before_load_and_after")
        );
        assert_eq!((context(Some(950)).size, context(None).size), (mib(150), mib(150)), "no amount is negative");
    }

    #[test]
    fn what_lies_beside_the_buffers_is_the_engines_own_count_less_what_was_there() {
        let mut cuda = place("CUDA0", "NVIDIA H200");
        let mib = |n: u64| Bytes::new(n << 20);
        (cuda.total, cuda.free_at_first) = (Some(fact(mib(1000))), Some(fact(mib(600))));
        let seen = DeviceObservation {
            device: DeviceIndex(0),
            ranks: Vec::new(),
            peak: mib(900),
            baseline: mib(100),
            before_load: Some(mib(350)),
            after_pool: None,
            captured_later: None,
            usable: None,
            buffers: Some(vec![0]),
            place: Some("CUDA0".to_owned()),
            allocator: Vec::new(),
        };
        let weights = || vec![buffer(BufferKind::Weights, "CUDA0", 400, false)];
        let context = |facts: &EngineFacts| {
            let parts = components(facts, &seen, &[0]);
            let context = parts.iter().find(|part| part.kind == ComponentKind::RuntimeContext).unwrap();
            (context.size.get() >> 20, context.basis.method)
        };
        assert_eq!(context(&facts(weights(), vec![cuda.clone()])), (300, "engine_first_snapshot"));
        cuda.outside_at_end = Some(fact(ByteDelta::new(450 << 20)));
        assert_eq!(context(&facts(weights(), vec![cuda.clone()])), (350, "engine_memory_table"));
        assert_eq!(context(&facts(weights(), Vec::new())), (250, "level_before_load"));
        cuda.outside_at_end = Some(fact(ByteDelta::new(-1)));
        assert_eq!(context(&facts(weights(), vec![cuda])), (300, "engine_first_snapshot"), "no amount is negative");
    }
}
