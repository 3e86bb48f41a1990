//! Pictures of what levels did.

use super::tables::{self, LATENCIES, latency};
use super::{By, Group, Levels};
use crate::page::{Block, Picture, Table};
use crate::pages::named::MOST_ROWS;
use crate::svg::{Bar, Mark, Plot, Series, Shape, bars};
use crate::unit::{Unit, digits};

const QUANTILES: [(&str, &str, usize); 3] = [("p50", "p50_ms", 3), ("p95", "p95_ms", 2), ("p99", "p99_ms", 5)];
/// A bound this many times as high as all that was measured would press the figures to the ground.
const FAR: f64 = 4.0;

/// A series of a figure over the levels, its repeats as spread.
fn series(levels: &Levels<'_>, path: &str, name: &str, colour: usize) -> Series {
    let spreads = || levels.groups.iter().filter_map(|group| Some((group.at, group.spread(path)?)));
    let spread = if levels.has_repeats() { spreads().map(|(_, s)| (s.low, s.high)).collect() } else { Vec::new() };
    Series {
        name: name.to_owned(),
        points: spreads().map(|(at, spread)| (at, spread.mean)).collect(),
        spread,
        shape: Shape::Line,
        colour,
    }
}

/// Marks of named levels.
fn marks(named: &[(Option<f64>, &str)]) -> Vec<Mark> {
    named.iter().filter_map(|(at, name)| Some(Mark::X((*at)?, (*name).to_owned()))).collect()
}

fn plot(levels: &Levels<'_>, y: &str, series: Vec<Series>, marks: Vec<Mark>) -> Plot {
    let log_x = levels.by == By::Concurrency || levels.by == By::Rate;
    Plot { x: levels.by.axis().to_owned(), y: y.to_owned(), log_x, log_y: false, series, marks }
}

/// `from 449/s at 1 in flight to 2,140/s at 16 in flight`.
fn from_to(levels: &Levels<'_>, points: &[(f64, f64)], unit: Unit) -> String {
    let at = |point: &(f64, f64)| format!("{} at {}", unit.show(point.1), levels.by.name(point.0));
    match points {
        [] => String::new(),
        [one] => at(one),
        [first, .., last] => format!("from {} to {}", at(first), at(last)),
    }
}

fn repeats(levels: &Levels<'_>) -> &'static str {
    if levels.has_repeats() {
        " Points are means over repeats; the thin lines go from the least to the most of them."
    } else {
        ""
    }
}

/// Throughput over the levels; `None` where fewer than two have it.
pub(in crate::pages) fn throughput(levels: &Levels<'_>, named: &[(Option<f64>, &str)]) -> Option<Block> {
    let one = series(levels, "output_tokens_per_s", "output tokens/s", 1);
    if one.points.len() < 2 {
        return None;
    }
    let most =
        one.points.iter().copied().fold((0.0, f64::NEG_INFINITY), |most, at| if at.1 > most.1 { at } else { most });
    let words = format!(
        "Output tokens per second go {}; the most are {} at {}.{}",
        from_to(levels, &one.points, Unit::PerSecond),
        Unit::PerSecond.show(most.1),
        levels.by.name(most.0),
        repeats(levels)
    );
    let sparks = vec![("output tokens/s".to_owned(), one.points.iter().map(|point| point.1).collect())];
    let svg = plot(levels, "output tokens per second", vec![one], marks(named)).draw();
    Some(Block::Picture(Picture {
        title: "Throughput".to_owned(),
        words,
        svg,
        table: Some(tables::throughput(levels).at_most(MOST_ROWS)),
        sparks,
    }))
}

/// Rates that were asked, sent and answered; `None` without rates.
pub(in crate::pages) fn rates(levels: &Levels<'_>) -> Option<Block> {
    if levels.by != By::Rate || levels.groups.len() < 2 {
        return None;
    }
    let asked = Series {
        name: "as asked".to_owned(),
        points: levels.groups.iter().map(|group| (group.at, group.at)).collect(),
        spread: Vec::new(),
        shape: Shape::Line,
        colour: 0,
    };
    let sent = series(levels, "sent_per_s", "sent", 2);
    let done = series(levels, "completed_per_s", "completed", 1);
    let short = |group: &&Group<'_>| group.mean("completed_per_s").is_some_and(|done| done < group.at * 0.9);
    let behind: Vec<String> = levels.groups.iter().filter(short).map(|group| levels.by.name(group.at)).collect();
    let words = match behind.first() {
        None => {
            "At every level at least 90 % of the requests that were asked for each second were completed.".to_owned()
        }
        Some(first) => format!(
            "From {first} on the server completes less than 90 % of what was asked for each second, for failures, for the time \
             that the last ones took, or because it falls behind ({} of {} levels).",
            behind.len(),
            levels.groups.len()
        ),
    };
    let mut table = Table::new("Requests per second", &["#asked", "#sent", "#completed"]);
    for level in &levels.all {
        let rate = |key: &str| level.at(key).figure(Unit::PerSecond);
        table.row([levels.asked(level), rate("sent_per_s"), rate("completed_per_s")]);
    }
    let sparks = vec![("completed/s".to_owned(), done.points.iter().map(|point| point.1).collect())];
    let svg = plot(levels, "requests per second", vec![asked, sent, done], Vec::new()).draw();
    let title = "Asked and answered".to_owned();
    Some(Block::Picture(Picture { title, words, svg, table: Some(table.at_most(MOST_ROWS)), sparks }))
}

/// A latency over the levels with its bound, in milliseconds; `None` where fewer than two levels have it.
pub(in crate::pages) fn latencies(
    levels: &Levels<'_>,
    key: &str,
    bound: Option<f64>,
    named: &[(Option<f64>, &str)],
) -> Option<Block> {
    let (_, name, meaning) = LATENCIES.iter().find(|(its, ..)| *its == key)?;
    let path = |quantile: &str| format!("{key}/{quantile}");
    let all: Vec<Series> =
        QUANTILES.iter().map(|(name, quantile, colour)| series(levels, &path(quantile), name, *colour)).collect();
    if all[0].points.len() < 2 {
        return None;
    }
    let highest = all.iter().flat_map(|one| one.points.iter().map(|point| point.1)).fold(0.0, f64::max);
    let mut marks = marks(named);
    let mut words = format!(
        "{name} ({meaning}): p50 goes {}, p99 {}.",
        from_to(levels, &all[0].points, Unit::Milliseconds),
        from_to(levels, &all[2].points, Unit::Milliseconds)
    );
    if let Some(bound) = bound {
        let beyond = levels.groups.iter().find(|group| group.mean(&path("p99_ms")).is_some_and(|p99| p99 > bound));
        words.push_str(&match beyond {
            Some(group) => {
                format!(" Its p99 is first above the bound of {} ms at {}.", digits(bound), levels.by.name(group.at))
            }
            None => format!(" Its p99 is never above the bound of {} ms.", digits(bound)),
        });
        if bound <= highest * FAR {
            marks.push(Mark::Y(bound, format!("bound {} ms", digits(bound))));
        } else {
            words.push_str(" The bound lies above the picture.");
        }
    }
    words.push_str(repeats(levels));
    let sparks = all.iter().map(|one| (one.name.clone(), one.points.iter().map(|point| point.1).collect())).collect();
    let table = latency(levels, key, &format!("{name}: {meaning}")).at_most(MOST_ROWS);
    let svg = plot(levels, "ms", all, marks).draw();
    Some(Block::Picture(Picture { title: (*name).to_owned(), words, svg, table: Some(table), sparks }))
}

/// The latencies of the only level, as bars.
pub(in crate::pages) fn one_level(levels: &Levels<'_>) -> Option<Block> {
    let [group] = &levels.groups[..] else { return None };
    let level = group.levels.first()?;
    let mut all = Vec::new();
    let mut table = Table::new("Latencies of the level", &["latency", "#p50", "#p95", "#p99", "#largest", "#mean"]);
    let mut words = Vec::new();
    for (key, name, meaning) in LATENCIES {
        // Without a clock a request is due when it is sent.
        if key == "e2e_from_due" && levels.by != By::Rate {
            continue;
        }
        let of = level.at(key);
        let quantiles = [("p50", "p50_ms"), ("p95", "p95_ms"), ("p99", "p99_ms"), ("largest", "max_ms")];
        for (place, (quantile, path)) in quantiles.into_iter().enumerate() {
            if let Some(value) = of.at(path).number() {
                let colour = [3, 2, 5, 9][place];
                all.push(Bar::new(format!("{name} {quantile}"), 0.0, value, colour, Unit::Milliseconds.show(value)));
            }
        }
        if let (Some(p50), Some(p99)) = (of.at("p50_ms").number(), of.at("p99_ms").number()) {
            let (p50, p99) = (Unit::Milliseconds.show(p50), Unit::Milliseconds.show(p99));
            words.push(format!("{name} ({meaning}) is {p50} at p50 and {p99} at p99."));
            let times =
                ["p50_ms", "p95_ms", "p99_ms", "max_ms", "mean_ms"].map(|path| of.at(path).figure(Unit::Milliseconds));
            table.row([crate::cell::Cell::text(name)].into_iter().chain(times));
        }
    }
    let words = words.join(" ");
    let svg = bars(&all, Unit::Milliseconds);
    let picture = Picture { title: "Latencies".to_owned(), words, svg, table: Some(table), sparks: Vec::new() };
    (!all.is_empty()).then_some(Block::Picture(picture))
}

/// Throughput over latency: which levels are such that no other is as good in both, and better in one.
pub(in crate::pages) fn front(levels: &Levels<'_>) -> Option<Block> {
    let known: Vec<(f64, f64, f64)> = levels
        .groups
        .iter()
        .filter_map(|group| Some((group.at, group.mean("e2e/mean_ms")?, group.mean("output_tokens_per_s")?)))
        .collect();
    if known.len() < 2 {
        return None;
    }
    let points: Vec<(f64, f64)> = known.iter().map(|one| (one.1, one.2)).collect();
    let best = front_of(&points);
    let on_front = |place: &usize| best.contains(place);
    let name = |place: usize| levels.by.name(known[place].0);
    let outside: Vec<String> = (0..known.len()).filter(|place| !on_front(place)).map(name).collect();
    let mut words = format!(
        "Up is more output tokens per second, left is a shorter mean E2E; beside points stands their level ({}), where there is room. {} of {} \
         levels are on the front: no other is as good in both and better in one.",
        levels.by.axis(),
        best.len(),
        known.len()
    );
    if !outside.is_empty() {
        let shown: Vec<String> = outside.iter().take(6).cloned().collect();
        let more = if outside.len() > 6 { format!(" and {} more", outside.len() - 6) } else { String::new() };
        words.push_str(&format!(
            " Not on it, since another level is better in one and no worse in the other: {}{more}.",
            shown.join(", ")
        ));
    }
    let equal: Vec<String> =
        equals(levels, &known).iter().take(6).map(|(a, b)| format!("{} and {}", name(*a), name(*b))).collect();
    if !equal.is_empty() {
        words.push_str(&format!(
            " Equal, within 1 % or the spread of their repeats, are {}: which of them is on the front says nothing.",
            equal.join("; ")
        ));
    }
    let of = |name: &str, points: Vec<(f64, f64)>, shape, colour| Series {
        name: name.to_owned(),
        points,
        spread: Vec::new(),
        shape,
        colour,
    };
    let others = (0..known.len()).filter(|place| !on_front(place)).map(|place| points[place]).collect();
    let series = vec![
        of("on the front", best.iter().map(|place| points[*place]).collect(), Shape::Line, 1),
        of("others", others, Shape::Points, 0),
    ];
    let marks = known.iter().map(|(at, x, y)| Mark::Point(*x, *y, digits(*at))).collect();
    let plot = Plot {
        x: "mean E2E, ms".to_owned(),
        y: "output tokens per second".to_owned(),
        series,
        marks,
        ..Plot::default()
    };
    let mut table =
        Table::new("Means over the repeats of each level", &["level", "#mean E2E", "#output tokens", "on the front"]);
    for (place, (at, x, y)) in known.iter().enumerate() {
        let front = if on_front(&place) { "yes" } else { "no" };
        let (x, y) = (Unit::Milliseconds.show(*x), Unit::PerSecond.show(*y));
        table.row([levels.by.name(*at), x, y, front.to_owned()].map(crate::cell::Cell::text));
    }
    let title = "Throughput against latency".to_owned();
    Some(Block::Picture(Picture {
        title,
        words,
        svg: plot.draw(),
        table: Some(table.at_most(MOST_ROWS)),
        sparks: Vec::new(),
    }))
}

/// Pairs of levels next to each other in throughput that differ in both figures by less than 1 % or than their repeats do.
fn equals(levels: &Levels<'_>, known: &[(f64, f64, f64)]) -> Vec<(usize, usize)> {
    let spread = |place: usize, path: &str| levels.at(Some(known[place].0)).and_then(|group| group.spread(path));
    let same = |a: usize, b: usize, path: &str, values: (f64, f64)| {
        let near = (values.0 - values.1).abs() < 0.01 * values.0.abs().max(values.1.abs());
        let overlap = spread(a, path).zip(spread(b, path)).is_some_and(|(a, b)| a.low <= b.high && b.low <= a.high);
        near || overlap
    };
    let mut order: Vec<usize> = (0..known.len()).collect();
    order.sort_by(|a, b| known[*a].2.total_cmp(&known[*b].2));
    let pairs = order.windows(2).map(|pair| (pair[0].min(pair[1]), pair[0].max(pair[1])));
    pairs
        .filter(|(a, b)| {
            same(*a, *b, "e2e/mean_ms", (known[*a].1, known[*b].1))
                && same(*a, *b, "output_tokens_per_s", (known[*a].2, known[*b].2))
        })
        .collect()
}

/// Which points (less is better, more is better) no other point beats, by rising first figure: none is as good in both
/// and better in one. Nothing is taken for equal here: of points that lie close to each other each would beat the next.
pub(in crate::pages) fn front_of(points: &[(f64, f64)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|a, b| points[*a].0.total_cmp(&points[*b].0).then(points[*b].1.total_cmp(&points[*a].1)));
    let mut most = f64::NEG_INFINITY;
    order.retain(|place| {
        let rises = points[*place].1 > most;
        most = most.max(points[*place].1);
        rises
    });
    order
}

/// Requests that ran and waited in the engine; `None` where it did not say.
pub(in crate::pages) fn served(levels: &Levels<'_>, table: Table) -> Option<Block> {
    let running = series(levels, "server/running_mean", "running", 3);
    let waiting = series(levels, "server/waiting_mean", "waiting", 5);
    if running.points.len() < 2 {
        return None;
    }
    let most = |path: &str| levels.groups.iter().filter_map(|group| Some(group.spread(path)?.high)).fold(None, max);
    let mut words = format!(
        "Requests in the engine, mean over its readings: running {}",
        from_to(levels, &running.points, Unit::Plain)
    );
    if !waiting.points.is_empty() {
        words.push_str(&format!("; waiting {}", from_to(levels, &waiting.points, Unit::Plain)));
    }
    if let Some(share) = most("server/kv_cache_usage_max_ratio") {
        words.push_str(&format!(". The KV cache was filled to at most {}", Unit::Share.show(share)));
    }
    if let Some(thrown) = most("server/preemptions").filter(|thrown| *thrown > 0.0) {
        words.push_str(&format!(
            "; at most {} requests of a level were preempted (stopped to make room, and begun again)",
            Unit::Count.show(thrown)
        ));
    }
    words.push('.');
    let svg = plot(levels, "requests", vec![running, waiting], Vec::new()).draw();
    let title = "Running and waiting".to_owned();
    Some(Block::Picture(Picture { title, words, svg, table: Some(table.at_most(MOST_ROWS)), sparks: Vec::new() }))
}

fn max(most: Option<f64>, value: f64) -> Option<f64> {
    Some(most.map_or(value, |most: f64| most.max(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_point_of_the_front_is_beaten_and_every_other_is() {
        let points = [(1.0, 10.0), (2.0, 30.0), (2.0, 20.0), (3.0, 25.0), (4.0, 40.0), (4.0, 40.0)];
        let front = front_of(&points);
        assert_eq!(front, [0, 1, 4]);
        let beats = |a: (f64, f64), b: (f64, f64)| a.0 <= b.0 && a.1 >= b.1;
        for place in 0..points.len() {
            let beaten = (0..points.len()).any(|other| other != place && beats(points[other], points[place]));
            assert!(front.contains(&place) || beaten, "{place}");
        }
        assert!(front_of(&[]).is_empty() && front_of(&[(0.0, 0.0)]).len() == 1);
        // Levels close to each other, of which each is nearly as good as the next.
        let curve: Vec<(f64, f64)> = (0..100u32).map(|step| (500.0 + f64::from(step), f64::from(step))).collect();
        assert_eq!(front_of(&curve).len(), 100);
    }
}
