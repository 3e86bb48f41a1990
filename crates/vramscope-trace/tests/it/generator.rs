//! Valid traces with known truth: a model of an engine that launches work, and what every nanosecond of it was.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use proptest::prelude::*;

/// One operation on a GPU, with the call that launched it.
#[derive(Debug, Clone)]
pub(crate) struct Op {
    pub kind: usize,
    pub name: usize,
    pub stream: u8,
    pub device: u8,
    /// Nanoseconds after the launch of the operation before.
    pub launch_after: u16,
    /// Nanoseconds from the beginning of the launch to the beginning of the operation.
    pub delay: u16,
    pub length: u16,
    pub bytes: u32,
    /// The call is in the trace.
    pub linked: bool,
    /// It belongs to the graph that was launched last.
    pub in_graph: bool,
    /// So many operators, one within the other, run on another thread meanwhile.
    pub nested: usize,
    /// How much shorter than the one around it each of them is; mostly they begin and end together.
    pub shorter: u8,
}

pub(crate) const KERNELS: [(&str, &str); 8] = [
    ("void cutlass::device_kernel<flash::FlashAttnFwdSm90<128> >(int)", "attention"),
    ("nvjet_tst_64x8_64x16_4x1_v_bz_TNT", "gemm_moe"),
    ("void vllm::rms_norm_kernel<c10::BFloat16>(long)", "normalisation"),
    ("void vllm::act_and_mul_kernel<silu>(int)", "activation"),
    ("ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)", "communication"),
    ("void at::native::reduce_kernel<ArgMaxOps<float> >(int)", "sampling"),
    ("void vllm::reshape_and_cache_flash_kernel<bf16>(int)", "kv_cache_copy"),
    ("a \"quoted\\path\" \u{b5}\u{4e2d}\t{\"ph\": \"X\"}, {\"ph\":\"X\"", "other"),
];

pub(crate) const MOVES: [&str; 3] =
    ["Memcpy HtoD (Pinned -> Device)", "Memcpy DtoH (Device -> Pinned)", "Memset (Device)"];

/// A trace with what is known of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Generated {
    pub json: String,
    pub events: u64,
    pub kernels: BTreeMap<String, (u64, u64)>,
    pub categories: BTreeMap<String, u64>,
    pub linked: u64,
    /// Beginning and end of each operation, by device: all, and kernels.
    pub busy: BTreeMap<String, Vec<(i64, i64)>>,
    pub kernel_busy: BTreeMap<String, Vec<(i64, i64)>>,
    pub moved: BTreeMap<String, (u64, u64, u64)>,
    pub steps: u64,
    /// Count, time, and time without operators within, by name.
    pub operators: BTreeMap<String, (u64, u64, u64)>,
    pub first: i64,
    pub last: i64,
}

/// How a trace is written down.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    pub pretty: bool,
    pub bare: bool,
    /// Arguments before the other keys, as sorting tools write.
    pub args_first: bool,
    /// GPU operations before calls in the file.
    pub gpu_first: bool,
}

pub(crate) fn layouts() -> impl Strategy<Value = Layout> {
    any::<[bool; 4]>().prop_map(|[pretty, bare, args_first, gpu_first]| Layout { pretty, bare, args_first, gpu_first })
}

pub(crate) fn ops(count: usize) -> impl Strategy<Value = Vec<Op>> {
    let nested = (0usize..5, prop::sample::select(vec![0u8, 0, 0, 1, 200]));
    let op = (0usize..10, 0usize..8, 0u8..3, 0u8..2, any::<[u16; 3]>(), any::<u32>(), any::<[bool; 3]>(), nested)
        .prop_map(
            |(
                kind,
                name,
                stream,
                device,
                [launch_after, delay, length],
                bytes,
                [a, b, in_graph],
                (nested, shorter),
            )| Op {
                kind,
                name,
                stream,
                device,
                launch_after,
                delay: delay % 5000,
                length: length % 30_000,
                bytes,
                linked: a || b,
                in_graph,
                nested,
                shorter,
            },
        );
    prop::collection::vec(op, 0..count)
}

const START: i64 = 6_520_488_433_299_504;

struct Writer {
    layout: Layout,
    /// Text of each event, with a number that tells where in the file it stands.
    events: Vec<(u8, String)>,
}

impl Writer {
    fn event(&mut self, place: u8, head: &[(&str, String)], args: Option<String>) {
        let mut parts: Vec<String> = head.iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
        if let Some(args) = args {
            let at = if self.layout.args_first { 0 } else { parts.len() };
            parts.insert(at, format!("\"args\": {{{args}}}"));
        }
        let text = if self.layout.pretty {
            format!("  {{\n    {}\n  }}", parts.join(",\n    "))
        } else {
            format!("{{{}}}", parts.join(","))
        };
        self.events.push((place, text));
    }
}

fn quote(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

pub(crate) fn micros(ns: i64) -> String {
    format!("{}.{:03}", ns / 1000, ns % 1000)
}

/// Writes a trace. Every eighth operation begins a step.
pub(crate) fn generate(ops: &[Op], layout: Layout) -> Generated {
    let mut truth = Generated { first: i64::MAX, ..Generated::default() };
    let mut writer = Writer { layout, events: Vec::new() };
    let process = [("ph", quote("M")), ("name", quote("process_name")), ("pid", "0".into()), ("tid", "0".into())];
    writer.event(0, &process, Some("\"name\": \"python3\"".into()));
    let mut launch = START;
    let mut graph: Option<(u64, i64)> = None;
    let mut operators_end = START;
    for chunk in ops.chunks(8) {
        let begin = launch;
        for op in chunk {
            launch += i64::from(op.launch_after) + 1;
            let correlation = 1000 + writer.events.len() as u64;
            let (correlation, launched) = match graph.filter(|_| op.in_graph && op.linked) {
                Some(graph) => graph,
                None if op.linked => {
                    let name = if op.in_graph { "cudaGraphLaunch" } else { "cudaLaunchKernel" };
                    call(&mut writer, name, launch, correlation, &mut truth);
                    graph = op.in_graph.then_some((correlation, launch)).or(graph);
                    (correlation, launch)
                }
                None => (correlation, launch),
            };
            operators_end = operators(&mut writer, op, launch.max(operators_end), &mut truth);
            operation(&mut writer, op, correlation, launched.max(launch) + i64::from(op.delay), &mut truth);
        }
        let head = [
            ("ph", quote("X")),
            ("cat", quote("user_annotation")),
            ("name", quote("execute_context_0(0)_generation_8(8)")),
            ("pid", "5".into()),
            ("tid", "5".into()),
            ("ts", micros(begin)),
            ("dur", micros(launch + 1 - begin)),
        ];
        writer.event(1, &head, None);
        truth.steps += 1;
        truth.first = truth.first.min(begin);
        truth.last = truth.last.max(begin);
        launch += 1;
    }
    let place = |place: u8| if layout.gpu_first { 3 - place.min(3) } else { place };
    writer.events.sort_by_key(|(at, _)| place(*at));
    truth.events = writer.events.len() as u64;
    truth.json = text(&writer, layout);
    truth
}

fn call(writer: &mut Writer, name: &str, at: i64, correlation: u64, truth: &mut Generated) {
    let head = [
        ("ph", quote("X")),
        ("cat", quote("cuda_runtime")),
        ("name", quote(name)),
        ("pid", "5".into()),
        ("tid", "5".into()),
        ("ts", micros(at)),
        ("dur", "0.500".into()),
    ];
    writer.event(1, &head, Some(format!("\"cbid\": 211, \"correlation\": {correlation}")));
    truth.first = truth.first.min(at);
    truth.last = truth.last.max(at);
}

/// Operators within each other, the outer one first; gives when they end.
fn operators(writer: &mut Writer, op: &Op, start: i64, truth: &mut Generated) -> i64 {
    let shorter = i64::from(op.shorter);
    let lengths: Vec<i64> = (0..op.nested).map(|depth| 5000 - shorter * i64::try_from(depth).unwrap()).collect();
    for (depth, length) in lengths.iter().enumerate() {
        let name = format!("aten::op{}", (op.name * 3 + depth * 2) % 7);
        let head = [
            ("ph", quote("X")),
            ("cat", quote("cpu_op")),
            ("name", quote(&name)),
            ("pid", "5".into()),
            ("tid", "6".into()),
            ("ts", micros(start)),
            ("dur", micros(*length)),
        ];
        writer.event(1, &head, None);
        truth.first = truth.first.min(start);
        truth.last = truth.last.max(start);
        let within = lengths.get(depth + 1).copied().unwrap_or(0);
        let tally = truth.operators.entry(name).or_default();
        tally.0 += 1;
        tally.1 += length.unsigned_abs();
        tally.2 += (length - within).unsigned_abs();
    }
    start + lengths.first().copied().unwrap_or(0)
}

fn operation(writer: &mut Writer, op: &Op, correlation: u64, start: i64, truth: &mut Generated) {
    let length = i64::from(op.length);
    let device = op.device.to_string();
    let (category, name, args) = match op.kind {
        0..7 => ("kernel", KERNELS[op.name].0, String::new()),
        7 | 8 => ("gpu_memcpy", MOVES[op.name % 2], format!(", \"bytes\": {}", op.bytes)),
        _ => ("gpu_memset", MOVES[2], format!(", \"bytes\": {}", op.bytes)),
    };
    let head = [
        ("ph", quote("X")),
        ("cat", quote(category)),
        ("name", quote(name)),
        ("pid", device.clone()),
        ("tid", op.stream.to_string()),
        ("ts", micros(start)),
        ("dur", micros(length)),
    ];
    let mut text = String::new();
    let _ = write!(text, "\"device\": {device}, \"stream\": {}, \"correlation\": {correlation}{args}", op.stream);
    writer.event(2, &head, Some(text + ", \"grid\": [1, {\"ph\": \"X\"}, {\"ph\": \"X\", \"ts\": 1}]"));
    truth.first = truth.first.min(start);
    truth.last = truth.last.max(start);
    let length = length.unsigned_abs();
    truth.busy.entry(device.clone()).or_default().push((start, start + i64::from(op.length)));
    if category == "kernel" {
        let tally = truth.kernels.entry(name.to_owned()).or_default();
        tally.0 += 1;
        tally.1 += length;
        *truth.categories.entry(KERNELS[op.name].1.to_owned()).or_default() += length;
        truth.kernel_busy.entry(device).or_default().push((start, start + i64::from(op.length)));
        truth.linked += u64::from(op.linked);
    } else {
        let key = name.split(" (").next().unwrap().to_owned();
        let tally = truth.moved.entry(key).or_default();
        tally.0 += 1;
        tally.1 += length;
        tally.2 += u64::from(op.bytes);
    }
}

fn text(writer: &Writer, layout: Layout) -> String {
    let events: Vec<&str> = writer.events.iter().map(|(_, text)| text.as_str()).collect();
    let events = events.join(if layout.pretty { ",\n" } else { ", " });
    if layout.bare {
        return format!("[\n{events}\n]");
    }
    format!(
        "\n{{\"schemaVersion\": 1, \"distributedInfo\": {{\"rank\": 1, \"world_size\": 2}}, \"deviceProperties\": \
         [{{\"id\": 0, \"name\": \"A\"}}, {{\"id\": 1, \"name\": \"B\"}}],\n\"traceEvents\": [\n{events}\n], \
         \"traceName\": \"x\", \"with_stack\": 0}}\n"
    )
}

/// The length of a union, by counting covered pieces between all ends.
pub(crate) fn union(intervals: &[(i64, i64)]) -> i64 {
    let mut ends: Vec<i64> = intervals.iter().flat_map(|&(a, b)| [a, b]).collect();
    ends.sort_unstable();
    ends.dedup();
    let covered = |a: i64, b: i64| intervals.iter().any(|&(from, to)| from <= a && b <= to);
    ends.windows(2).filter(|pair| covered(pair[0], pair[1])).map(|pair| pair[1] - pair[0]).sum()
}
