//! What each device did, in sum and over time, and why it was idle.

use crate::cell::Cell;
use crate::node::Node;
use crate::page::{Block, Picture, Section, Table};
use crate::svg::{Lane, LaneMark, Lanes, ShareRow, shares};
use crate::unit::Unit;

/// The parts of a device's time: key in `whole` and in `lane`, colour, name.
const PARTS: [(&str, &str, usize, &str); 7] = [
    ("compute_ns", "compute_ns", 3, "compute"),
    ("exposed_communication_ns", "exposed_communication_ns", 4, "communication alone"),
    ("exposed_copy_ns", "exposed_copy_ns", 6, "copies alone"),
    ("idle_by_cause/host_bound_ns", "host_bound_ns", 2, "idle: host busy"),
    ("idle_by_cause/kernel_wait_ns", "kernel_wait_ns", 1, "idle: launched, not begun"),
    ("idle_by_cause/sync_ns", "sync_ns", 5, "idle: host waits for GPU"),
    ("idle_by_cause/other_ns", "other_ns", 9, "idle: launch unknown"),
];

/// Colours and names of the parts.
const LEGEND: [(usize, &str); 7] = {
    let mut legend = [(0, ""); 7];
    let mut at = 0;
    while at < 7 {
        legend[at] = (PARTS[at].2, PARTS[at].3);
        at += 1;
    }
    legend
};

/// Devices in pictures at most.
const MOST_DEVICES: usize = 16;
/// Steps of an engine above the lanes at most: more are a surface.
const MOST_MARKS: usize = 400;
/// How the name of a bar ends that is of the steps.
const STEPS: &str = ", steps";
/// Rows of a lane's table, each of several steps of time.
const GROUPS: usize = 24;

pub(super) fn section(root: &Node<'_>) -> Option<Section> {
    let (devices, rest) = super::first(&root.at("devices"), MOST_DEVICES, None);
    if devices.is_empty() {
        return None;
    }
    let judged = root.path("verdict/within_steps").is_true();
    let mut blocks = vec![Block::Picture(by_cause(&devices, judged))];
    blocks.extend(rest.map(Block::Text));
    let lanes: Vec<Lane> = devices.iter().filter_map(|device| device_lane(device, device_name(device))).collect();
    if !lanes.is_empty() {
        blocks.push(Block::Picture(lanes_picture(lanes, marks(root))));
    }
    blocks.extend(pauses(&devices));
    blocks.push(streams(&devices));
    Some(Section::new("Busy and idle", blocks))
}

fn device_name(device: &Node<'_>) -> String {
    format!("GPU {}", super::shown(device.at("device").text().unwrap_or("")))
}

/// A device with its whole time and, where there are steps, that within them, each with its name.
fn times<'d>(device: &Node<'d>) -> Vec<(Node<'d>, String, Node<'d>)> {
    let name = device_name(device);
    let steps = device.at("within_steps");
    if !steps.is_there() {
        return vec![(device.clone(), name, device.at("whole"))];
    }
    let whole = (device.clone(), format!("{name}, all"), device.at("whole"));
    vec![whole, (device.clone(), format!("{name}{STEPS}"), steps)]
}

/// The time of each device by what it did: from its first to its last operation, and within the steps.
fn by_cause(devices: &[Node<'_>], judged: bool) -> Picture {
    let times: Vec<(Node<'_>, String, Node<'_>)> = devices.iter().flat_map(times).collect();
    let rows: Vec<ShareRow> = times
        .iter()
        .map(|(_, name, time)| {
            let span = time.at("span_ns").number().filter(|span| *span > 0.0).unwrap_or(1.0);
            let parts = PARTS.iter().map(|part| time.path(part.0).number().unwrap_or(0.0) / span).collect();
            ShareRow { name: name.clone(), parts }
        })
        .collect();
    let mut heads: Vec<String> =
        ["device", "product", "#span", "#busy", "#busy share", "#idle"].map(str::to_owned).to_vec();
    heads.extend(LEGEND.iter().map(|(_, name)| format!("#{name}")));
    heads.extend(["#communication in all", "#copies in all", "#pauses"].map(str::to_owned));
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let caption = "Each device from its first to its last operation (all), and from the first to the last step (steps)";
    let mut table = Table::new(caption, &heads);
    for (device, name, time) in &times {
        let mut row = vec![Cell::text(name.clone()), device.at("name").cell()];
        row.push(time.at("span_ns").figure(Unit::Time));
        row.push(time.at("busy_ns").figure(Unit::Time));
        row.push(time.at("busy_share").figure(Unit::Share));
        row.push(time.at("idle_ns").figure(Unit::Time));
        row.extend(PARTS.iter().map(|part| time.path(part.0).figure(Unit::Time)));
        row.extend(["communication_ns", "copy_ns"].map(|key| time.at(key).figure(Unit::Time)));
        row.push(time.at("gaps").figure(Unit::Count));
        table.row(row);
    }
    Picture {
        title: "Where the time of the GPU went".to_owned(),
        words: by_cause_words(&rows, judged),
        svg: shares(&rows, &LEGEND, Unit::Share),
        table: Some(table.without_empty_columns()),
        sparks: Vec::new(),
    }
}

/// What each bar is over, and its parts.
fn by_cause_words(rows: &[ShareRow], judged: bool) -> String {
    let steps = rows.iter().any(|row| row.name.ends_with(STEPS));
    let over = match (steps, judged) {
        (false, _) => "Each bar is from the first to the last operation of a device. The verdict is judged over them.",
        (true, true) => {
            "\"All\" is from the first to the last operation of a device, \"steps\" from the first to the last step: over \
             these the verdict is judged."
        }
        (true, false) => {
            "\"All\" is from the first to the last operation of a device: over these the verdict is judged. \"Steps\" is from \
             the first to the last step."
        }
    };
    let parts: Vec<String> = rows.iter().take(4).map(sentence).collect();
    format!("{over} {}", parts.join(" "))
}

/// The parts of a row that are more than nothing, the largest first.
fn sentence(row: &ShareRow) -> String {
    let mut parts: Vec<(f64, &str)> = row.parts.iter().copied().zip(LEGEND.iter().map(|part| part.1)).collect();
    parts.retain(|(share, _)| *share >= 0.001);
    parts.sort_by(|a, b| b.0.total_cmp(&a.0));
    let parts: Vec<String> = parts.iter().map(|(share, name)| format!("{name} {}", Unit::Share.show(*share))).collect();
    format!("{}: {}.", row.name, parts.join(", "))
}

/// A device's time in steps; `None` where the document has none of them.
pub(crate) fn device_lane(device: &Node<'_>, name: String) -> Option<Lane> {
    let lane = device.at("lane");
    let (start, step) = (lane.at("start_ns").number()?, lane.at("step_ns").number()?);
    let part = |part: &(&str, &str, usize, &str)| {
        let values = lane.at(part.1).items();
        values.iter().take(2000).map(|value| value.number().unwrap_or(0.0)).collect()
    };
    let lane = Lane { name, start, step, parts: PARTS.iter().map(part).collect() };
    (step > 0.0 && lane.steps() > 0).then_some(lane)
}

/// The steps of the engine as marks above the lanes.
fn marks(root: &Node<'_>) -> Vec<LaneMark> {
    let steps = root.path("steps/list").items();
    if steps.len() > MOST_MARKS {
        return Vec::new();
    }
    let mark = |step: &Node<'_>| {
        let from = step.at("start_ns").number()?;
        let length = step.at("cpu_ns").number().or_else(|| step.at("gpu_span_ns").number())?;
        let kind = step.at("kind").text().unwrap_or("");
        let name = super::shown(step.at("name").text().unwrap_or(kind));
        let words = format!("{kind}, {}: {name}", Unit::Time.show(length));
        Some(LaneMark { from, to: from + length, colour: super::steps::colour(kind), words })
    };
    steps.iter().filter_map(mark).collect()
}

/// Lanes over time, with their figures in some rows.
pub(crate) fn lanes_picture(lanes: Vec<Lane>, marks: Vec<LaneMark>) -> Picture {
    let start = lanes.iter().map(|lane| lane.start).fold(f64::INFINITY, f64::min);
    let mut heads: Vec<String> = vec!["device".to_owned(), "from".to_owned(), "to".to_owned()];
    heads.extend(LEGEND.iter().map(|(_, name)| format!("#{name}")));
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let caption =
        format!("Parts of the time, each row of up to a {GROUPS}th of it: sums over the steps of the document's lanes");
    let mut table = Table::new(caption, &heads);
    for lane in lanes.iter().take(8) {
        for (from, to, sums) in lane.groups(GROUPS) {
            let all = sums.iter().sum::<f64>().max(f64::MIN_POSITIVE);
            let mut row = vec![Cell::text(lane.name.clone())];
            row.extend([from, to].map(|at| Cell::text(Unit::Time.show((at - start).max(0.0)))));
            let part = |part: &f64| if *part > 0.0 { Cell::text(Unit::Share.show(part / all)) } else { Cell::absent() };
            row.extend(sums.iter().map(part));
            table.row(row);
        }
    }
    let busy = |lane: &Lane| -> Vec<f64> {
        let sum = |step: usize| lane.parts.iter().take(3).filter_map(|part| part.get(step)).sum::<f64>();
        (0..lane.steps()).map(sum).collect()
    };
    let sparks = lanes.iter().map(|lane| (format!("{}, busy", lane.name), busy(lane))).collect();
    let mut words = lanes.iter().take(4).map(|lane| lane_words(lane, start)).collect::<Vec<_>>().join(" ");
    let step = lanes.iter().map(|lane| lane.step).fold(0.0, f64::max);
    words.push_str(&format!(" Each column is {} of time.", Unit::Time.show(step)));
    let marks_name = if marks.is_empty() { String::new() } else { "steps".to_owned() };
    let lanes = Lanes { lanes, legend: LEGEND.to_vec(), marks, marks_name };
    Picture {
        title: "Busy and idle over time".to_owned(),
        words,
        svg: lanes.draw(),
        table: Some(table.without_empty_columns()),
        sparks,
    }
}

/// When a device was the busiest and the least busy, of ten parts of the time.
fn lane_words(lane: &Lane, start: f64) -> String {
    let tenths = lane.groups(10);
    let share = |sums: &[f64]| sums.iter().take(3).sum::<f64>() / sums.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let most = tenths.iter().max_by(|a, b| share(&a.2).total_cmp(&share(&b.2)));
    let least = tenths.iter().min_by(|a, b| share(&a.2).total_cmp(&share(&b.2)));
    let (Some(most), Some(least)) = (most, least) else { return String::new() };
    let when = |group: &(f64, f64, Vec<f64>)| {
        format!(
            "{} between {} and {}",
            Unit::Share.show(share(&group.2)),
            Unit::Time.show((group.0 - start).max(0.0)),
            Unit::Time.show(group.1 - start)
        )
    };
    format!(
        "Of ten parts of the time, {} was the busiest with {}, and the least busy with {}.",
        lane.name,
        when(most),
        when(least)
    )
}

/// The longest pauses.
fn pauses(devices: &[Node<'_>]) -> Option<Block> {
    let mut table = Table::new(
        "The longest pauses of each device; a pause begins at this time of the first operation's clock",
        &["device", "#begins", "#length", "cause of most of it", "before it ran", "after it ran"],
    );
    for device in devices {
        let lane_start = device.at("lane").at("start_ns").number();
        for pause in device.at("longest_gaps").items().iter().take(10) {
            let begins = lane_start.and_then(|start| Some(Unit::Time.show(pause.at("start_ns").number()? - start)));
            table.row([
                Cell::text(device_name(device)),
                begins.map_or_else(Cell::absent, Cell::text),
                pause.at("length_ns").figure(Unit::Time),
                pause.at("cause").text().map_or_else(Cell::absent, |cause| Cell::text(cause_name(cause))),
                name_cell(&pause.at("before")),
                name_cell(&pause.at("after")),
            ]);
        }
    }
    (!table.rows.is_empty()).then(|| super::folded("The longest pauses", table, None))
}

fn cause_name(cause: &str) -> String {
    match cause {
        "host_bound" => "the host had not launched the next operation".to_owned(),
        "kernel_wait" => "the next operation was launched and had not begun".to_owned(),
        "sync" => "the host waited for the GPU before it launched the next operation".to_owned(),
        "other" => "the launch of the next operation is not in the trace".to_owned(),
        cause => cause.to_owned(),
    }
}

pub(super) fn name_cell(node: &Node<'_>) -> Cell {
    node.text().map_or_else(Cell::absent, |name| Cell::text(super::shown(name)))
}

fn streams(devices: &[Node<'_>]) -> Block {
    let mut table = Table::new(
        "Streams with work",
        &["device", "stream", "#kernels", "#kernel time", "#copies and fills", "#busy"],
    );
    let mut all = 0;
    for device in devices {
        for (name, stream) in device.at("streams").members() {
            all += 1;
            if table.rows.len() < super::MOST_ROWS {
                table.row([
                    Cell::text(device_name(device)),
                    Cell::text(super::shown(name)),
                    stream.at("kernels").figure(Unit::Count),
                    stream.at("kernel_time_ns").figure(Unit::Time),
                    stream.at("copies").figure(Unit::Count),
                    stream.at("busy_ns").figure(Unit::Time),
                ]);
            }
        }
    }
    let rest = (all > table.rows.len())
        .then(|| format!("These are {} of {all} streams; the document holds all.", table.rows.len()));
    super::folded("Streams", table, rest)
}
