//! Memory over time as a still picture: what is printed, and what is there without scripts.

use super::grid::Grid;
use super::parts::Stack;
use super::recording::{Metric, Recording};
use super::source::Source;
use crate::svg::{Anchor, Axis, Drawing, Legend, Room, Svg, axis_words, width_of};
use crate::unit::{Unit, digits};

/// Left of all rows, for what is beside their axes.
const LEFT: f64 = 60.0;
const MEMORY: f64 = 230.0;
const ROW: f64 = 58.0;
/// Finer is not seen on a page of paper, and on a telephone.
const ROWS: [usize; 2] = [360, 150];

/// What a row says of a track's line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Nothing: the line is open here.
    Nowhere,
    /// That it is open somewhere within: the row stands alone.
    Partly,
    Throughout,
}

/// What a row says of a track: the total is open where not all devices were read, and a device where others were read.
fn known(recording: &Recording, grid: &Grid, track: usize, row: usize) -> Known {
    let alone = recording.devices().len() < 2;
    let read = || grid.columns[Recording::column(track, Metric::Memory)][row].is_some();
    match track {
        _ if alone => Known::Throughout,
        0 if grid.rows[row].is_mixed() => Known::Partly,
        0 if grid.rows[row].known == 0 => Known::Nowhere,
        0 => Known::Throughout,
        _ if recording.is_shared() && !read() => Known::Nowhere,
        _ => Known::Throughout,
    }
}

/// The rows of a total that is known at some of their instants alone.
pub(crate) fn mixed(recording: &Recording) -> Vec<usize> {
    let rows = 0..recording.grid.rows.len();
    rows.filter(|row| known(recording, &recording.grid, 0, *row) == Known::Partly).collect()
}

/// Points of a line of a track, apart where a gap is and where nothing is known.
pub(crate) fn lines(recording: &Recording, grid: &Grid, (track, column): (usize, usize)) -> Vec<Vec<(u64, i64)>> {
    segments(grid, column, &breaks(recording, track), |row| known(recording, grid, track, row))
}

fn segments(grid: &Grid, column: usize, gaps: &[u64], known: impl Fn(usize) -> Known) -> Vec<Vec<(u64, i64)>> {
    let mut segments: Vec<Vec<(u64, i64)>> = vec![Vec::new()];
    let (mut gap, mut open) = (0, false);
    for (place, (row, span)) in grid.rows.iter().zip(&grid.columns[column]).enumerate() {
        let known = known(place);
        open |= known != Known::Throughout;
        let Some(span) = span.filter(|_| known != Known::Nowhere) else { continue };
        let (first, last) = if span.falls { (span.max, span.min) } else { (span.min, span.max) };
        let points = [(row.first_ns, first), (row.last_ns, last)];
        for point in points.iter().take(if row.instants > 1 || first != last { 2 } else { 1 }) {
            let passed = gaps[gap..].iter().take_while(|middle| **middle <= point.0).count();
            gap += passed;
            match segments.last_mut() {
                Some(last) if (passed == 0 && !open) || last.is_empty() => last.push(*point),
                _ => segments.push(vec![*point]),
            }
            open = false;
        }
        open = known == Known::Partly;
    }
    segments
}

/// The middles of a track's gaps, at which its lines are broken.
fn breaks(recording: &Recording, track: usize) -> Vec<u64> {
    let device = track.checked_sub(1).and_then(|place| recording.devices().get(place));
    // The total has a gap where any device has one.
    let of_total = |gpu: u32| track == 0 && (recording.devices().is_empty() || recording.track(gpu).is_some());
    let of = recording.gaps.iter().filter(|gap| gap.gpu.is_none_or(|gpu| Some(&gpu) == device || of_total(gpu)));
    let mut middles: Vec<u64> = of.map(|gap| gap.start_ns + (gap.end_ns - gap.start_ns) / 2).collect();
    middles.sort_unstable();
    middles
}

/// What a row of the picture shows below memory.
struct Strip {
    name: String,
    unit: Unit,
    /// Columns with colours, of the readings' grid or of the engine's.
    lines: Vec<(usize, usize)>,
    engine: bool,
    per_unit: f64,
    /// Where the axis ends, if that is known beforehand.
    top: Option<f64>,
    names: &'static [&'static str],
}

fn strips(source: &Source, track: usize) -> Vec<Strip> {
    let at = |metric| Recording::column(track, metric);
    let of = |name: &str, metric| match source.together(track, metric) {
        Some(how) => format!("{name} ({how})"),
        None => name.to_owned(),
    };
    let strip = |name, unit, lines: &[(usize, usize)], engine, top, names| Strip {
        name,
        unit,
        lines: lines.to_vec(),
        engine,
        per_unit: 10.0,
        top,
        names,
    };
    vec![
        strip(of("Power", Metric::Power), Unit::Watts, &[(at(Metric::Power), 5)], false, None, &[]),
        strip(of("Temperature", Metric::Temperature), Unit::Celsius, &[(at(Metric::Temperature), 2)], false, None, &[]),
        strip(
            of("Utilisation", Metric::Utilization),
            Unit::Percent,
            &[(at(Metric::Utilization), 1), (at(Metric::MemoryUtilization), 3)],
            false,
            Some(100.0),
            &["kernels", "memory traffic"],
        ),
        strip(
            of("Clocks", Metric::SmClock),
            Unit::Megahertz,
            &[(at(Metric::SmClock), 4), (at(Metric::MemoryClock), 6)],
            false,
            None,
            &["shaders", "memory"],
        ),
        strip("KV cache in use".to_owned(), Unit::Percent, &[(2, 2)], true, Some(100.0), &[]),
        strip("Requests".to_owned(), Unit::Count, &[(0, 1), (1, 5)], true, None, &["running", "waiting"]),
    ]
}

/// The picture of the first track: of all GPUs together where there are several.
pub(crate) fn picture(source: &Source) -> Option<Drawing> {
    let (track, ..) = source.tracks.first()?;
    let grid = &source.recording.grid;
    (!grid.rows.is_empty()).then(|| Drawing::of(|room| draw(source, *track, room)))
}

fn draw(source: &Source, track: usize, room: Room) -> Svg {
    let recording = &source.recording;
    let rows = ROWS[usize::from(room.is_narrow())];
    let (grid, engine) = (recording.grid.coarse(rows), recording.engine.coarse(rows));
    // Charts that are held against each other are of memory alone.
    let strips: Vec<Strip> = strips(source, track)
        .into_iter()
        .filter(|_| source.clock.is_none())
        .filter(|strip| {
            let grid = if strip.engine { &engine } else { &grid };
            strip.lines.iter().any(|(column, _)| grid.range(*column).is_some())
        })
        .collect();
    let (first, last) = source.clock.or_else(|| source.span()).unwrap_or_default();
    let x = Axis::between(seconds(first), seconds(last), LEFT, room.width() - 15.0);
    let stack = source.tracks.iter().find(|one| one.0 == track).map(|one| &one.2);
    let capacity = shown_capacity(&grid, recording, track);
    let legend = legend(stack, capacity, room);
    let top = legend.height() + 28.0;
    #[expect(clippy::cast_precision_loss, reason = "a few rows")]
    let bottom = top + MEMORY + strips.len() as f64 * (ROW + 22.0);
    let mut svg = Svg::new(room.width(), bottom + 24.0);
    legend.draw(&mut svg, 0.0);
    bands(&mut svg, recording, &x, (first, last), (top, bottom));
    let memory_axis = memory(&mut svg, &grid, recording, (track, stack), &x, top);
    mark_peak(&mut svg, source.peak(), &x, &memory_axis, capacity);
    let holes: Vec<u64> = engine.holes().iter().map(|(start, end)| start + (end - start) / 2).collect();
    let mut y = top + MEMORY + 22.0;
    for strip in &strips {
        let of = |column: usize| {
            if !strip.engine {
                return lines(recording, &grid, (track, column));
            }
            // Metrics may begin before readings and last longer than they: there is no place for those.
            let inside = |at: u64| (first..=last).contains(&at);
            let all = segments(&engine, column, &holes, |_| Known::Throughout).into_iter();
            all.map(|line| line.into_iter().filter(|(at, _)| inside(*at)).collect()).collect()
        };
        let grid = if strip.engine { &engine } else { &grid };
        draw_strip(&mut svg, grid, strip, &x, &of, y);
        y += ROW + 22.0;
    }
    let ticks = x.ticks();
    for tick in &ticks {
        svg.line((x.place(*tick), bottom), (x.place(*tick), bottom + 4.0), "axis");
    }
    for (at, anchor, words) in axis_words(&x, &ticks, "s", room) {
        svg.text((at, bottom + 18.0), anchor, "soft", &words);
    }
    svg
}

/// Phases behind all rows, their names above where there is room, and marks of events.
fn bands(svg: &mut Svg, recording: &Recording, x: &Axis, (first, last): (u64, u64), (top, bottom): (f64, f64)) {
    for (place, phase) in recording.phases.iter().enumerate() {
        let (from, to) = (phase.start_ns.clamp(first, last), phase.end_ns.clamp(first, last));
        let (from, to) = (x.place(seconds(from)), x.place(seconds(to)));
        if to - from < 0.5 {
            continue;
        }
        let words = format!(
            "{}: from {} s to {} s",
            phase.name,
            digits(seconds(phase.start_ns)),
            digits(seconds(phase.end_ns))
        );
        svg.rect_with(from, top, to - from, bottom - top, if place % 2 == 0 { "band" } else { "band odd" }, &words);
        if width_of(&phase.name) + 4.0 < to - from {
            svg.text(((from + to) / 2.0, top - 10.0), Anchor::Middle, "soft", &phase.name);
        }
    }
    for event in recording.events.iter().filter(|event| (first..=last).contains(&event.at_ns)) {
        let at = x.place(seconds(event.at_ns));
        let line = event.line.as_ref().map_or_else(String::new, |line| format!(" ({line})"));
        svg.rect_with(at - 1.0, top - 5.0, 2.0, 8.0, "mark", &format!("{}{line}", event.label));
    }
}

fn memory(
    svg: &mut Svg,
    grid: &Grid,
    recording: &Recording,
    (track, stack): (usize, Option<&Stack>),
    x: &Axis,
    top: f64,
) -> Axis {
    let column = Recording::column(track, Metric::Memory);
    let bottom = top + MEMORY;
    let (left, right) = x.span();
    let peak = gib(grid.range(column).map_or(0, |range| range.1));
    let shown = shown_capacity(grid, recording, track);
    let y = Axis::over([peak, shown.unwrap_or(peak)].into_iter(), false, bottom, top);
    for tick in y.ticks() {
        svg.line((left, y.place(tick)), (right, y.place(tick)), "axis");
        svg.text((left - 6.0, y.place(tick) + 4.0), Anchor::End, "soft", &digits(tick));
    }
    svg.text((4.0, top - 10.0), Anchor::Start, "soft", "GiB");
    for segment in lines(recording, grid, (track, column)) {
        // From the top down, each to the floor: what is below covers what is above.
        let tops = |stack: &Stack| -> Vec<Vec<f64>> {
            segment.iter().map(|(at, value)| stack.tops(*at, float(*value))).collect()
        };
        let tops = stack.map(tops).unwrap_or_default();
        let surface = |svg: &mut Svg, colour: usize, height: &dyn Fn(usize) -> f64| {
            let mut points: Vec<(f64, f64)> = Vec::with_capacity(segment.len() + 2);
            let height = |place: usize| y.place(Unit::Memory.scaled(height(place)));
            let places = (0..segment.len()).map(|place| (x.place(seconds(segment[place].0)), height(place)));
            points.extend(bends(places));
            if let (Some(first), Some(last)) = (points.first().copied(), points.last().copied()) {
                if points.iter().all(|point| point.1 >= bottom - 0.05) {
                    return;
                }
                points.push((last.0, bottom));
                points.push((first.0, bottom));
                svg.area(&points, &format!("f{}", colour % 10));
            }
        };
        if let Some(stack) = stack {
            surface(svg, stack.rest().1, &|place| float(segment[place].1));
            for (part, one) in stack.parts.iter().enumerate().rev() {
                surface(svg, one.colour, &|place| tops[place][part]);
            }
        }
        let line = segment.iter().map(|(at, value)| (x.place(seconds(*at)), y.place(gib(*value))));
        svg.path(&seen(bends(line), right), "top");
    }
    if let Some(capacity) = shown {
        svg.line((left, y.place(capacity)), (right, y.place(capacity)), "rule");
    }
    y
}

/// All the memory that there is, where what is used comes near enough to it to be drawn below it; in GiB.
fn shown_capacity(grid: &Grid, recording: &Recording, track: usize) -> Option<f64> {
    let peak = gib(grid.range(Recording::column(track, Metric::Memory)).map_or(0, |range| range.1));
    let capacity = recording.capacity(track).map(|bytes| Unit::Memory.scaled(exact(bytes)));
    capacity.filter(|capacity| peak > capacity * 0.4)
}

/// A mark at the peak, and what it is beside it on the side where there is room: below it where a rule, a mark or the
/// picture's edge is above it.
fn mark_peak(svg: &mut Svg, peak: Option<(u64, u64)>, x: &Axis, y: &Axis, capacity: Option<f64>) {
    const HEIGHT: f64 = 26.0;
    let Some((at_ns, bytes)) = peak else { return };
    let (at, height) = (x.place(seconds(at_ns)), y.place(Unit::Memory.scaled(exact(bytes))));
    let words = format!("peak {}", Unit::Memory.show(exact(bytes)));
    svg.dot((at, height), 4.5, "peak", &format!("{words} at {} s", digits(seconds(at_ns))));
    let ((left, right), (_, top)) = (x.span(), y.span());
    let (anchor, beside) = if at > f64::midpoint(left, right) { (Anchor::End, -9.0) } else { (Anchor::Start, 9.0) };
    let is_near = |rule: f64| rule <= height + 4.0 && height - rule < HEIGHT;
    let below = is_near(top) || capacity.is_some_and(|capacity| is_near(y.place(capacity)));
    svg.text((at + beside, if below { height + 18.0 } else { height - 7.0 }), anchor, "halo", &words);
}

fn legend(stack: Option<&Stack>, capacity: Option<f64>, room: Room) -> Legend {
    let parts =
        stack.iter().flat_map(|stack| stack.parts.iter().map(|part| (part.name, part.colour)).chain([stack.rest()]));
    let parts = parts.map(|(name, colour)| (Some(colour), name.to_owned()));
    let capacity = capacity.map(|capacity| (None, format!("dashed: all there is, {} GiB", digits(capacity))));
    Legend::over(parts.chain(capacity), 8.0, room.width())
}

type Lines = Vec<Vec<(u64, i64)>>;

fn draw_strip(svg: &mut Svg, grid: &Grid, strip: &Strip, x: &Axis, lines: &dyn Fn(usize) -> Lines, top: f64) {
    let (bottom, (left, right)) = (top + ROW, x.span());
    let ranges = strip.lines.iter().filter_map(|(column, _)| grid.range(*column));
    let high = ranges.map(|range| float(range.1) / strip.per_unit).fold(0.0, f64::max);
    let y = if strip.unit == Unit::Celsius {
        // A temperature's zero says nothing.
        let ranges = strip.lines.iter().filter_map(|(column, _)| grid.range(*column));
        let low = ranges.map(|range| float(range.0) / strip.per_unit).fold(high, f64::min);
        Axis::between(((low - 2.0) / 10.0).floor() * 10.0, ((high + 2.0) / 10.0).ceil() * 10.0, bottom, top)
    } else {
        Axis::over([strip.top.unwrap_or(high).max(high)].into_iter(), false, bottom, top)
    };
    let ticks = y.ticks();
    let ends = [ticks.first(), ticks.last()];
    for tick in ends.into_iter().flatten() {
        svg.line((left, y.place(*tick)), (right, y.place(*tick)), "axis");
        svg.text((left - 6.0, y.place(*tick) + 4.0), Anchor::End, "soft", &digits(*tick));
    }
    let unit = strip.unit.axis();
    let unit = if unit.is_empty() { String::new() } else { format!(", {unit}") };
    let title = format!("{}{unit}", strip.name);
    svg.text((left + 4.0, top - 5.0), Anchor::Start, "soft", &title);
    let mut at = left + 4.0 + width_of(&title) + 14.0;
    for ((column, colour), place) in strip.lines.iter().zip(0..) {
        if grid.range(*column).is_none() {
            continue;
        }
        if let Some(name) = strip.names.get(place) {
            svg.rect(at, top - 12.0, 10.0, 4.0, &format!("f{colour}"));
            svg.text((at + 14.0, top - 5.0), Anchor::Start, "soft", name);
            at += width_of(name) + 28.0;
        }
        for segment in lines(*column) {
            let points =
                segment.iter().map(|(at, value)| (x.place(seconds(*at)), y.place(float(*value) / strip.per_unit)));
            svg.path(&seen(bends(points), right), &format!("fine l{colour}"));
        }
    }
}

/// A line of one point, with a length at which it is seen.
fn seen(mut points: Vec<(f64, f64)>, right: f64) -> Vec<(f64, f64)> {
    if let [(x, y)] = points[..] {
        points.push(((x + 1.0).min(right), y));
    }
    points
}

/// Points without those between two others at the same height.
fn bends(points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let mut bends: Vec<(f64, f64)> = Vec::new();
    let same = |one: f64, two: f64| (one - two).abs() < 0.05;
    for point in points {
        if let [.., before, last] = &mut bends[..]
            && same(before.1, last.1)
            && same(last.1, point.1)
        {
            *last = point;
        } else {
            bends.push(point);
        }
    }
    bends
}

#[expect(clippy::cast_precision_loss, reason = "a picture is not that exact")]
pub(crate) fn seconds(at_ns: u64) -> f64 {
    at_ns as f64 / 1e9
}

#[expect(clippy::cast_precision_loss, reason = "a picture is not that exact")]
fn float(value: i64) -> f64 {
    value as f64
}

#[expect(clippy::cast_precision_loss, reason = "a picture is not that exact")]
pub(crate) fn exact(bytes: u64) -> f64 {
    bytes as f64
}

fn gib(bytes: i64) -> f64 {
    Unit::Memory.scaled(float(bytes))
}
