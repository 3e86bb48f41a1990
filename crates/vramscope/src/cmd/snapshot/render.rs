//! Snapshots as tables.

use std::collections::BTreeMap;

use vramscope_core::on_one_line;
use vramscope_snapshot::document::{
    AmountsDocument, GrowthRow, HistoryDocument, HoldersDocument, MomentDocument, OutOfMemoryDocument, PinnedDocument,
    PoolRow, SeriesDocument, SnapshotDocument, TrendDocument,
};

use crate::table::{Align, Table, grouped, wrap};

/// Text under construction.
struct Page {
    text: String,
    width: usize,
}

impl Page {
    fn title(&mut self, title: &str) {
        let bold = anstyle::Style::new().bold();
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        for line in wrap(title, self.width) {
            self.text.push_str(&format!("{bold}{line}{bold:#}\n"));
        }
    }

    fn line(&mut self, line: &str) {
        for (n, part) in wrap(line, self.width - 4).iter().enumerate() {
            self.text.push_str(&format!("  {}{part}\n", if n > 0 { "  " } else { "" }));
        }
    }

    fn table(&mut self, table: &Table) {
        self.text.push_str(&table.render(self.width));
    }
}

/// One snapshot.
pub(super) fn snapshot(document: &SnapshotDocument, width: usize) -> String {
    let mut page = Page { text: String::new(), width };
    let file = &document.file;
    let protocol = file.protocol.map(|protocol| format!(" of protocol {protocol}")).unwrap_or_default();
    let packed = if file.compression == "plain" { String::new() } else { format!(", {}", file.compression) };
    let all = &document.totals;
    page.title(&format!("{} · {}{protocol}{packed} · {} stacks", file.name, file.format, grouped(file.stacks)));
    amounts(&mut page, all);
    if let Some(text) = document.settings.as_ref().and_then(|settings| settings.text.as_ref()).filter(|t| !t.is_empty())
    {
        page.line(&format!("allocator: {}", on_one_line(text)));
    }
    if let Some(host) = &document.host {
        let of = size(host.bytes);
        page.line(&format!("pinned host memory: {} in use of {of}, {} pieces", size(host.active_bytes), host.segments));
    }
    pools(&mut page, &document.pools);
    holders(&mut page, &format!("Who holds it, by {}", document.holders.by), &document.holders);
    if let Some(own) = &document.pinned {
        pinned(&mut page, own);
    }
    for history in &document.histories {
        self::history(&mut page, history);
    }
    if !document.notes.is_empty() {
        page.title("What to know");
        for note in &document.notes {
            page.line(&format!("{} {}", grouped(note.count), on_one_line(&note.text)));
        }
    }
    page.text
}

fn amounts(page: &mut Page, all: &AmountsDocument) {
    let mut table = Table::new(&[
        ("memory", Align::Left),
        ("size", Align::Right),
        ("share", Align::Right),
        ("what it is", Align::Left),
    ]);
    let mut row = |name: &str, bytes: Option<u64>, what: String| {
        if let Some(bytes) = bytes {
            table.row([name.to_owned(), size(bytes), percent(bytes, all.reserved_bytes), what]);
        }
    };
    row("reserved", Some(all.reserved_bytes), format!("of the driver, in {} segments", grouped(all.segments)));
    row("· active", Some(all.active_bytes), format!("{} blocks in use", grouped(all.active_blocks)));
    row("· · requested", all.requested_bytes, "what tensors asked for".into());
    row("· · rounding", all.rounding_bytes, "added by rounding up".into());
    if all.waiting_bytes > 0 {
        row("· · waiting", Some(all.waiting_bytes), "of active, until another stream is done".into());
    }
    let free = format!("{} free blocks, the largest {}", grouped(all.free_blocks), size(all.largest_free_bytes));
    row("· free", Some(all.inactive_bytes), free);
    row("· · releasable", Some(all.releasable_bytes), "empty_cache could give it back".into());
    row("· · split", Some(all.split_bytes), "beside blocks in use, or of a private pool".into());
    if let Some(bytes) = all.expandable_bytes.filter(|bytes| *bytes > 0) {
        row("expandable", Some(bytes), "ranges of expandable segments".into());
    }
    page.table(&table);
}

fn pools(page: &mut Page, pools: &[PoolRow]) {
    if pools.is_empty() {
        return;
    }
    page.title("By pool and stream");
    let many = pools.iter().any(|pool| pool.device != pools[0].device);
    let mut heads = vec![("pool", Align::Left), ("stream", Align::Right), ("reserved", Align::Right)];
    heads.extend([("active", Align::Right), ("free", Align::Right), ("largest", Align::Right), ("what", Align::Left)]);
    if many {
        heads.insert(0, ("device", Align::Right));
    }
    let mut table = Table::new(&heads);
    // Streams are addresses to torch, which tell a person nothing: they are numbered as they come.
    let mut streams: Vec<u64> = pools.iter().map(|pool| pool.stream).filter(|stream| *stream != 0).collect();
    streams.sort_unstable();
    streams.dedup();
    for pool in pools {
        let amounts = &pool.amounts;
        let number = streams.binary_search(&pool.stream).map_or(0, |at| at + 1);
        let mut cells = vec![
            pool.pool.map_or_else(|| "?".to_owned(), |[a, b]| format!("{a},{b}")),
            number.to_string(),
            size(amounts.reserved_bytes),
            size(amounts.active_bytes),
            size(amounts.inactive_bytes),
            size(amounts.largest_free_bytes),
            pool_words(pool).to_owned(),
        ];
        if many {
            cells.insert(0, pool.device.to_string());
        }
        table.row(cells);
    }
    page.table(&table);
    let mut rows_of: BTreeMap<(u32, Option<[u64; 2]>), usize> = BTreeMap::new();
    pools.iter().for_each(|pool| *rows_of.entry((pool.device, pool.pool)).or_default() += 1);
    for (pool, [a, b], mostly) in pools.iter().filter_map(|pool| Some((pool, pool.pool?, pool.mostly.as_deref()?))) {
        let device = if many { format!("device {}: ", pool.device) } else { String::new() };
        let number = streams.binary_search(&pool.stream).map_or(0, |at| at + 1);
        let stream = if rows_of.get(&(pool.device, pool.pool)).is_some_and(|rows| *rows > 1) {
            format!(" on stream {number}")
        } else {
            String::new()
        };
        page.line(&format!("{device}{a},{b}{stream} holds mostly {}", fitted(mostly)));
    }
}

fn pool_words(pool: &PoolRow) -> &'static str {
    match pool.kind.as_deref() {
        Some("default") => "default",
        Some("capture") => "of a capture",
        Some("program") => "of the program",
        _ => "",
    }
}

fn holders(page: &mut Page, title: &str, holders: &HoldersDocument) {
    if holders.rows.is_empty() {
        return;
    }
    page.title(title);
    let heads = [("size", Align::Right), ("share", Align::Right), ("count", Align::Right), ("holder", Align::Left)];
    let mut table = Table::new(&heads);
    for row in &holders.rows {
        let share = format!("{:.1} %", row.share * 100.0);
        table.row([size(row.bytes), share, grouped(row.count), held_by(row.name.as_deref(), &row.frames)]);
    }
    if holders.rest_rows > 0 {
        let rest = format!("{} others", grouped(holders.rest_rows));
        table.row([size(holders.rest_bytes), String::new(), String::new(), rest]);
    }
    page.table(&table);
}

fn pinned(page: &mut Page, pinned: &PinnedDocument) {
    let segments = grouped(pinned.segments);
    page.title(&format!("{} free in {segments} segments, kept by blocks in use", size(pinned.bytes)));
    let mut table = Table::new(&[
        ("alone", Align::Right),
        ("with others", Align::Right),
        ("holds there", Align::Right),
        ("keeper", Align::Left),
    ]);
    for row in &pinned.rows {
        let amounts = [row.alone_bytes, row.with_others_bytes, row.held_bytes].map(size);
        table.row(amounts.into_iter().chain([held_by(row.name.as_deref(), &row.frames)]));
    }
    if pinned.rest_rows > 0 {
        let rest = format!("{} others", grouped(pinned.rest_rows));
        table.row([String::new(), String::new(), String::new(), rest]);
    }
    page.table(&table);
}

/// Callers that are shown of a stack.
const CALLERS: usize = 2;

/// A holder's name; of a stack, who called it too.
fn held_by(name: Option<&str>, frames: &[String]) -> String {
    let Some(name) = name else { return "(no stack recorded)".to_owned() };
    let after = frames.iter().position(|frame| frame == name).map_or(0, |at| at + 1);
    let callers: Vec<String> = frames.iter().skip(after).take(CALLERS).map(|frame| fitted(frame)).collect();
    if callers.is_empty() { fitted(name) } else { format!("{} < {}", fitted(name), callers.join(" < ")) }
}

/// A frame whose words fit a column of a table on 80: of a longer path its end, which tells it from others.
fn fitted(frame: &str) -> String {
    let word = |word: &str| end_of(word, MOST_OF_WORD);
    on_one_line(frame).split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

/// Characters of a path or a function's name that are shown in a row.
const MOST_OF_WORD: usize = 46;

fn history(page: &mut Page, history: &HistoryDocument) {
    let over = seconds_of(history).map(|seconds| format!(" in {seconds} s")).unwrap_or_default();
    page.title(&format!("History of device {}: {} events{over}", history.device, grouped(history.events)));
    let mut table = Table::new(&[("event", Align::Left), ("count", Align::Right), ("size", Align::Right)]);
    for action in &history.actions {
        // The bytes of a snapshot are what was reserved, which nobody took.
        let bytes = if action.action == "snapshot" { String::new() } else { size(action.bytes) };
        table.row([action.action.replace('_', " "), grouped(action.count), bytes]);
    }
    page.table(&table);
    if let (Some(count), Some(bytes)) = (history.allocations_per_second, history.allocated_bytes_per_second) {
        page.line(&format!("{count:.0} allocations a second, {:.2} GiB a second asked for", gib(bytes)));
    }
    if let Some(bytes) = history.most_reserved_bytes {
        page.line(&format!("reserved at most {} in the recorded time", size(bytes)));
    }
    if let Some(peak) = &history.peak {
        // The history is a ring: what was before it is not known.
        let of = seconds_of(history).map_or_else(|| "recorded".to_owned(), |seconds| format!("recorded {seconds} s"));
        let title = format!("At the highest use of the {of}, {}", moment_words(peak, history.first_us));
        holders(page, &title, &peak.alive);
    }
    holders(page, "Allocated in the recorded time and still there", &history.kept);
    let told = history.out_of_memory.len() as u64;
    if history.out_of_memories > told {
        page.line(&format!("out of memory {} times; the last {told} follow", grouped(history.out_of_memories)));
    }
    for oom in &history.out_of_memory {
        out_of_memory(page, oom, history.first_us);
    }
}

/// How long a history is, in seconds.
fn seconds_of(history: &HistoryDocument) -> Option<String> {
    history.first_us.zip(history.last_us).map(|(first, last)| millis(last.saturating_sub(first)))
}

fn moment_words(moment: &MomentDocument, first: Option<i64>) -> String {
    let at = match (moment.time_us.zip(first), moment.event) {
        (Some((at, first)), _) => format!(" {} s after the first event", millis(at.saturating_sub(first))),
        (None, Some(event)) => format!(" after event {}", grouped(u64::from(event))),
        (None, None) => " before the first event".to_owned(),
    };
    let reserved = moment.reserved_bytes.map(|bytes| format!(" of {} reserved", size(bytes))).unwrap_or_default();
    format!("{} asked for{reserved},{at}", size(moment.requested_bytes))
}

fn out_of_memory(page: &mut Page, oom: &OutOfMemoryDocument, first: Option<i64>) {
    let driver = size(oom.device_free_bytes);
    page.title(&format!("Out of memory: {} asked for, {driver} left to the driver", size(oom.asked_bytes)));
    if let Some(by) = &oom.asked_by {
        page.line(&format!("asked by {}", held_by(by.name.as_deref(), &by.frames)));
    }
    if let Some(largest) = oom.largest_free_bytes {
        page.line(&format!("the largest free block of its pool and stream: {}", size(largest)));
    }
    if !oom.before.is_empty() {
        let heads = [("before it", Align::Left), ("size", Align::Right), ("where", Align::Left)];
        let mut table = Table::new(&heads);
        for event in &oom.before {
            let place = event.place.as_deref().map(fitted).unwrap_or_default();
            table.row([event.action.replace('_', " "), size(event.bytes), place]);
        }
        page.table(&table);
    }
    if let Some(moment) = &oom.moment {
        holders(page, &format!("Alive then: {}", moment_words(moment, first)), &moment.alive);
    }
}

/// Several snapshots.
pub(super) fn series(document: &SeriesDocument, width: usize) -> String {
    let mut page = Page { text: String::new(), width };
    let change = signed(document.change_bytes);
    page.title(&match document.snapshots.len() {
        1 => "1 snapshot, so nothing to compare".to_owned(),
        count => format!("{} snapshots: active memory {change} from the first to the last", grouped(count as u64)),
    });
    let mut table = Table::new(&[
        ("time", Align::Right),
        ("active", Align::Right),
        ("blocks", Align::Right),
        ("reserved", Align::Right),
        ("snapshot", Align::Left),
    ]);
    let first = document.snapshots.first().and_then(|point| point.time_us);
    for point in &document.snapshots {
        let time = point.time_us.zip(first).map(|(at, first)| format!("{} s", millis(at.saturating_sub(first))));
        table.row([
            time.unwrap_or_default(),
            size(point.active_bytes),
            grouped(point.active_blocks),
            size(point.reserved_bytes),
            end_of(&on_one_line(&point.name), MOST_OF_NAME),
        ]);
    }
    page.table(&table);
    if document.reordered {
        page.line("in the order of the files' own times, which is not the order given");
    }
    if document.repeated > 0 {
        page.line(&format!("given more than once, and counted once: {}", grouped(document.repeated)));
    }
    let whole = document.trend.as_ref().is_some_and(|trend| trend.grows);
    let enough = document.snapshots.len() as u64 >= document.needed_snapshots;
    match document.growing {
        0 if whole => page.line("active memory keeps growing as a whole, and no row can be told apart from chance"),
        0 if enough => page.line("nothing keeps growing, as far as these snapshots tell"),
        0 => page.line(&format!(
            "too few snapshots to tell whether any row keeps growing: with so many rows, take {} or more",
            document.needed_snapshots
        )),
        1 => page.line("1 of the rows below keeps growing"),
        rows => page.line(&format!("{} of the rows below keep growing", grouped(rows))),
    }
    for note in &document.notes {
        page.line(&on_one_line(&note.text));
    }
    if document.rows.is_empty() {
        return page.text;
    }
    page.title(&format!("What changed, by {}", document.by));
    let mut table = Table::new(&[
        ("change", Align::Right),
        ("count", Align::Right),
        ("goes on", Align::Right),
        ("holder", Align::Left),
    ]);
    for row in &document.rows {
        let count = format!("{:+}", row.change_count);
        table.row([signed(row.change_bytes), count, goes_on(row), held_by(row.name.as_deref(), &row.frames)]);
    }
    if document.rest_rows > 0 {
        let rest = format!("{} others", grouped(document.rest_rows));
        table.row([signed(document.rest_change_bytes), String::new(), String::new(), rest]);
    }
    page.table(&table);
    page.text
}

/// The end of a path, which tells it from its neighbours.
fn end_of(name: &str, most: usize) -> String {
    let over = name.chars().count().saturating_sub(most);
    if over == 0 { name.to_owned() } else { format!("…{}", name.chars().skip(over + 1).collect::<String>()) }
}

/// Characters of a file's path that are shown in a row.
const MOST_OF_NAME: usize = 30;

/// How fast a row grows, if it does.
fn goes_on(row: &GrowthRow) -> String {
    let Some(trend) = row.trend.as_ref().filter(|trend| trend.grows) else { return String::new() };
    let (factor, unit) = if trend.per == "second" { (60.0, "min") } else { (1.0, "file") };
    let TrendDocument { slope_bytes, low_bytes, .. } = trend;
    let half = (slope_bytes - low_bytes) * factor / MIB;
    format!("{:+.2} ±{half:.2} MiB/{unit}", slope_bytes * factor / MIB)
}

const MIB: f64 = 1_048_576.0;

fn gib(bytes: f64) -> f64 {
    bytes / MIB / 1024.0
}

#[expect(clippy::cast_precision_loss, reason = "for display")]
fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { String::new() } else { format!("{:.1} %", part as f64 / whole as f64 * 100.0) }
}

/// Microseconds as seconds with three decimals.
fn millis(us: i64) -> String {
    let sign = if us < 0 { "-" } else { "" };
    format!("{sign}{}.{:03}", us.unsigned_abs() / 1_000_000, us.unsigned_abs() / 1000 % 1000)
}

fn signed(bytes: i64) -> String {
    format!("{}{}", if bytes < 0 { "-" } else { "+" }, size(bytes.unsigned_abs()))
}

#[expect(clippy::cast_precision_loss, reason = "for display")]
fn size(bytes: u64) -> String {
    let units = [(1u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.into_iter().find(|(unit, _)| bytes >= *unit);
    unit.map_or_else(|| format!("{bytes} B"), |(unit, name)| format!("{:.2} {name}", bytes as f64 / unit as f64))
}
