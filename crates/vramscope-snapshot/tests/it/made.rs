//! Snapshots that are made up, by torch's layout.

use crate::writer::{Py, int, text};

/// A block: size, asked for, state, stack.
#[derive(Debug, Clone)]
pub(crate) struct Block(pub u64, pub u64, pub &'static str, pub Option<usize>);

/// A segment.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub address: u64,
    pub device: u32,
    pub stream: u64,
    pub pool: (u64, u64),
    pub small: bool,
    pub expandable: bool,
    pub blocks: Vec<Block>,
}

impl Segment {
    pub(crate) fn of(address: u64, blocks: Vec<Block>) -> Self {
        Self { address, device: 0, stream: 0, pool: (0, 0), small: false, expandable: false, blocks }
    }
}

/// An event: action, address, size, stack, time.
#[derive(Debug, Clone)]
pub(crate) struct Event(pub &'static str, pub u64, pub u64, pub Option<usize>, pub i64);

/// The frames of stack `n`: each has three of its own and the loop below all.
fn frames(stack: usize) -> Py {
    let frame = |id: usize, file: String, name: String, line: usize| {
        let fields = vec![("name", Py::Text(name)), ("filename", Py::Text(file)), ("line", int(line as i128))];
        Py::Shared(id, Box::new(Py::Dict(fields)))
    };
    let inner = "/v/lib/python3.12/site-packages/torch/nn/modules/linear.py".to_owned();
    let own = format!("/v/lib/python3.12/site-packages/model/part{stack}.py");
    let list = vec![
        frame(0, inner, "forward".into(), 125),
        frame(10 + stack, own, format!("layer{stack}"), 10 + stack),
        frame(1, "/home/me/serve.py".into(), "main".into(), 7),
    ];
    Py::List(list)
}

fn stack_of(stack: Option<usize>) -> Py {
    match stack {
        // One list for an allocation and its block, as torch has one traceback for both.
        Some(stack) => Py::Shared(1000 + stack, Box::new(frames(stack))),
        None => Py::List(Vec::new()),
    }
}

fn block(address: u64, block: &Block) -> Py {
    Py::Dict(vec![
        ("address", int(address)),
        ("size", int(block.0)),
        ("requested_size", int(block.1)),
        ("state", text(block.2)),
        ("frames", stack_of(block.3)),
    ])
}

fn segment(segment: &Segment) -> Py {
    let sum = |of: fn(&Block) -> u64, states: &[&str]| -> u64 {
        segment.blocks.iter().filter(|block| states.contains(&block.2)).map(of).sum()
    };
    let active = ["active_allocated", "active_pending_free"];
    let mut address = segment.address;
    let blocks = segment.blocks.iter().map(|one| {
        address += one.0;
        block(address - one.0, one)
    });
    let blocks = Py::List(blocks.collect());
    let pool = [segment.pool.0, segment.pool.1].map(int);
    Py::Dict(vec![
        ("device", int(segment.device)),
        ("address", int(segment.address)),
        ("total_size", int(segment.blocks.iter().map(|block| block.0).sum::<u64>())),
        ("allocated_size", int(sum(|block| block.0, &active[..1]))),
        ("active_size", int(sum(|block| block.0, &active))),
        ("requested_size", int(sum(|block| block.1, &active))),
        ("stream", int(segment.stream)),
        ("segment_type", text(if segment.small { "small" } else { "large" })),
        ("segment_pool_id", Py::Tuple(pool.to_vec())),
        ("is_expandable", Py::Bool(segment.expandable)),
        ("frames", stack_of(None)),
        ("blocks", blocks),
    ])
}

fn event(event: &Event) -> Py {
    let place = if event.0 == "oom" { "device_free" } else { "addr" };
    // Of 2.14 an out-of-memory says which pool was asked.
    let pool = ("pool_id", Py::Tuple([0, 0].map(int).to_vec()));
    let mut fields = vec![
        ("action", text(event.0)),
        (place, int(event.1)),
        ("size", int(event.2)),
        ("stream", int(0)),
        ("time_us", int(event.4)),
        ("compile_context", text("N/A")),
        ("user_metadata", text("")),
        ("frames", stack_of(event.3)),
    ];
    fields.extend((event.0 == "oom").then_some(pool));
    Py::Dict(fields)
}

/// A whole snapshot, with a list of events a device.
pub(crate) fn snapshot(segments: &[Segment], traces: &[Vec<Event>]) -> Py {
    let trace = |events: &Vec<Event>| Py::List(events.iter().map(event).collect());
    let settings = vec![
        ("PYTORCH_CUDA_ALLOC_CONF", text("expandable_segments:True")),
        ("max_split_size", int(-1)),
        ("garbage_collection_threshold", Py::Float(0.0)),
        ("expandable_segments", Py::Bool(true)),
        ("roundup_power2_divisions", Py::Dict(vec![("1", int(0)), ("2", int(0))])),
    ];
    let mark = vec![("name", text("step")), ("stage", text("START")), ("device", int(0)), ("time_us", int(5))];
    Py::Dict(vec![
        ("segments", Py::List(segments.iter().map(segment).collect())),
        ("device_traces", Py::List(traces.iter().map(trace).collect())),
        ("allocator_settings", Py::Dict(settings)),
        ("external_annotations", Py::List(vec![Py::Dict(mark)])),
    ])
}
