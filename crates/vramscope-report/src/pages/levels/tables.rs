//! The figures of levels as tables, and what is to be known of them.

use super::{By, Levels};
use crate::cell::{Cell, Tone};
use crate::node::Node;
use crate::page::{Finding, Table, Weight};
use crate::pages::figure::{Grouped, brief};
use crate::unit::Unit;

/// The latencies that a level has, each with its name and what it is.
pub(in crate::pages) const LATENCIES: [(&str, &str, &str); 5] = [
    ("ttft", "TTFT", "from sending to the first token"),
    ("tpot", "TPOT", "mean time per output token after the first"),
    ("itl", "ITL", "between chunks of tokens"),
    ("e2e", "E2E", "from sending to the last token"),
    ("e2e_from_due", "E2E from due", "from when the request was due to the last token"),
];

impl<'d> Levels<'d> {
    /// A table of all measurements, which begins with what was asked.
    fn table(&self, caption: &str, heads: &[&str], row: impl Fn(&Node<'d>) -> Vec<Cell>) -> Table {
        let asked = match self.by {
            By::Concurrency => "#in flight",
            By::Rate => "#asked",
            By::TraceSpeed => "#speed",
            By::Number => "#level",
        };
        let heads: Vec<&str> = [asked, "#to run", "#repeat"].into_iter().chain(heads.iter().copied()).collect();
        let mut table = Table::new(caption, &heads);
        for level in &self.all {
            let repeat = if self.has_repeats() { level.at("repeat").figure(Unit::Count) } else { Cell::absent() };
            let at = level.at("asked").at(self.by.key()).number();
            let chosen = at.is_some_and(|at| self.to_run.is_some_and(|run| at.total_cmp(&run).is_eq()));
            let run = Cell::text(if chosen { "← this" } else { "" }).tone(Tone::Good);
            table.row([self.asked(level), run, repeat].into_iter().chain(row(level)));
        }
        table.without_empty_columns()
    }
}

/// Rates and percentiles, the main table.
pub(in crate::pages) fn percentiles(levels: &Levels<'_>) -> Table {
    let heads = [
        "#good",
        "#tokens/s",
        "#TTFT p50",
        "#TTFT p95",
        "#TTFT p99",
        "#TPOT p50",
        "#TPOT p95",
        "#TPOT p99",
        "#E2E p50",
        "#E2E p95",
        "#E2E p99",
    ];
    let has_bounds = levels.all.iter().any(|level| level.path("goodput/share").number().is_some());
    let good = if has_bounds { ", good: requests within the bounds" } else { "" };
    let caption = format!("Output tokens per second and latency of each level; latencies in milliseconds{good}");
    levels.table(&caption, &heads, |level| {
        let mut cells =
            vec![level.path("goodput/share").figure(Unit::Share), level.at("output_tokens_per_s").figure(Unit::Plain)];
        for key in ["ttft", "tpot", "e2e"] {
            cells.extend(["p50_ms", "p95_ms", "p99_ms"].map(|quantile| level.at(key).at(quantile).figure(Unit::Plain)));
        }
        cells
    })
}

/// Rates alone, the table of the picture of throughput.
pub(in crate::pages) fn throughput(levels: &Levels<'_>) -> Table {
    let heads = ["#output tokens", "#all tokens", "#requests done", "#requests in flight, most"];
    levels.table("Throughput of each level", &heads, |level| {
        vec![
            level.at("output_tokens_per_s").figure(Unit::PerSecond),
            level.at("total_tokens_per_s").figure(Unit::PerSecond),
            level.at("completed_per_s").figure(Unit::PerSecond),
            level.at("max_in_flight").figure(Unit::Count),
        ]
    })
}

/// All that is known of one latency at each level.
pub(in crate::pages) fn latency(levels: &Levels<'_>, key: &str, caption: &str) -> Table {
    let heads = ["#mean", "#deviation", "#p50", "#p95", "#p99", "#largest", "#requests"];
    levels.table(caption, &heads, |level| {
        let of = level.at(key);
        let times = ["mean_ms", "std_ms", "p50_ms", "p95_ms", "p99_ms", "max_ms"];
        let mut cells: Vec<Cell> = times.iter().map(|name| of.at(name).figure(Unit::Milliseconds)).collect();
        cells.push(of.at("n").figure(Unit::Count));
        cells
    })
}

/// What became of requests.
pub(in crate::pages) fn requests(levels: &Levels<'_>) -> Table {
    let heads = [
        "#sent",
        "#completed",
        "#failed",
        "#short",
        "#late",
        "#held",
        "#unsent",
        "#unfinished",
        "why they failed",
        "#duration",
        "#sent/s",
        "#completed/s",
        "#input tokens",
        "#output tokens",
    ];
    let table = levels.table(
        "Requests by what became of them. Short: the answer has fewer tokens than asked for; late: sent more than 5 ms after \
         it was due and allowed; held: as many as allowed were in flight; unfinished: under way when the load was stopped. \
         Short, late and held ones are completed or failed too",
        &heads,
        |level| {
            let requests = level.at("requests");
            let count = |key: &str| {
                let cell = requests.at(key).figure(Unit::Count);
                let bad = ["failed", "short", "late", "unsent"].contains(&key) && requests.at(key).count() > Some(0);
                if bad { cell.tone(Tone::Bad) } else { cell }
            };
            let mut cells: Vec<Cell> =
                ["sent", "completed", "failed", "short", "late", "held", "unsent", "stopped"].map(count).into();
            let kinds = failures(std::slice::from_ref(level));
            cells.push(if kinds.is_empty() { Cell::absent() } else { Cell::text(kinds) });
            cells.push(level.at("duration_s").figure(Unit::Seconds));
            cells.push(level.at("sent_per_s").figure(Unit::PerSecond));
            cells.push(level.at("completed_per_s").figure(Unit::PerSecond));
            cells.push(level.path("tokens/input").figure(Unit::Count));
            cells.push(level.path("tokens/output").figure(Unit::Count));
            cells
        },
    );
    table.without_zeros(&["failed", "short", "late", "held", "unsent", "unfinished"])
}

/// Why requests failed, the most frequent kind first: `62 × 429 (too many requests), 35 × cut off`.
pub(in crate::pages) fn failures(levels: &[Node<'_>]) -> String {
    const MOST: usize = 6;
    let mut kinds: Vec<(&str, u64)> = Vec::new();
    for (kind, count) in levels.iter().flat_map(|level| level.at("failures").members()) {
        let count = count.count().unwrap_or(0);
        match kinds.iter_mut().find(|known| known.0 == kind) {
            Some(known) => known.1 = known.1.saturating_add(count),
            None => kinds.push((kind, count)),
        }
    }
    kinds.retain(|(_, count)| *count > 0);
    kinds.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let left = kinds.len().saturating_sub(MOST);
    let mut words: Vec<String> =
        kinds.iter().take(MOST).map(|(kind, count)| format!("{count} × {}", failure(kind))).collect();
    if left > 0 {
        words.push(format!("{left} other kinds"));
    }
    words.join(", ")
}

/// A kind of failure in words.
fn failure(kind: &str) -> String {
    match kind {
        "status_429" => "429 (too many requests)".to_owned(),
        "status_503" => "503 (not available)".to_owned(),
        "status_500" => "500 (an error of the server)".to_owned(),
        "cut" => "cut off before the answer's end".to_owned(),
        other => brief(&other.replace('_', " ")),
    }
}

/// What the engine said of itself meanwhile; `None` where it has no metrics.
pub(in crate::pages) fn server(levels: &Levels<'_>) -> Option<Table> {
    levels.all.iter().any(|level| level.at("server").is_there()).then(|| {
        let heads = [
            "#running, mean",
            "#running, most",
            "#waiting, mean",
            "#waiting, most",
            "#KV cache, most",
            "#preemptions",
            "#prefix tokens looked up",
            "#found",
            "#readings",
        ];
        levels.table("What the engine said of itself, each figure over the readings of a level", &heads, |level| {
            let server = level.at("server");
            vec![
                server.at("running_mean").figure(Unit::Plain),
                server.at("running_max").figure(Unit::Count),
                server.at("waiting_mean").figure(Unit::Plain),
                server.at("waiting_max").figure(Unit::Count),
                server.at("kv_cache_usage_max_ratio").figure(Unit::Share),
                server.at("preemptions").figure(Unit::Count),
                server.at("prefix_query_tokens").figure(Unit::Count),
                server.at("prefix_hit_tokens").figure(Unit::Count),
                server.at("readings").figure(Unit::Count),
            ]
        })
    })
}

/// Energy and money; `None` where neither is known.
pub(in crate::pages) fn energy(levels: &Levels<'_>) -> Option<Table> {
    let known = |level: &Node<'_>| level.at("energy").is_there() || level.at("cost").is_there();
    levels.all.iter().any(known).then(|| {
        let heads = [
            "#power, mean",
            "#energy",
            "#J per output token",
            "#J per token",
            "#cost of a million output tokens",
            "#of a million tokens",
        ];
        let has = |key: &str| levels.all.iter().any(|level| level.at(key).is_there());
        let caption = match (has("energy"), has("cost")) {
            (true, false) => "Energy of the server's devices",
            (false, _) => "Cost at the server's price if it does this all the time; its energy was not read",
            (true, true) => "Energy of the server's devices, and cost at its price if it does this all the time",
        };
        levels.table(caption, &heads, |level| {
            let (energy, cost) = (level.at("energy"), level.at("cost"));
            vec![
                energy.at("mean_watts").figure(Unit::Watts),
                energy.at("joules").figure(Unit::Joules),
                energy.at("joules_per_output_token").figure(Unit::Plain),
                energy.at("joules_per_token").figure(Unit::Plain),
                cost.at("per_million_output_tokens").figure(Unit::Plain),
                cost.at("per_million_tokens").figure(Unit::Plain),
            ]
        })
    })
}

/// How the client did.
pub(in crate::pages) fn client(levels: &Levels<'_>) -> Table {
    let heads = [
        "is the limit",
        "#on a CPU",
        "#CPU time",
        "#loop delayed, p99",
        "#read late, p50",
        "#read late, p99",
        "#sent late, p99",
        "arrival is when",
    ];
    let caption = "Whether figures may be the client's rather than the server's. Loop delayed: how late the client turned to \
                   what was ready; read late: from a chunk's arrival until the client read it; sent late: after it was due";
    levels.table(caption, &heads, |level| {
        let client = level.at("client");
        let limit = if client.at("is_the_limit").is_true() {
            Cell::text("yes").tone(Tone::Bad)
        } else {
            client.at("is_the_limit").cell()
        };
        vec![
            limit,
            client.at("busy").figure(Unit::Share),
            client.at("cpu_s").figure(Unit::Seconds),
            client.path("loop_lag/p99_ms").figure(Unit::Milliseconds),
            client.at("read_after_p50_ms").figure(Unit::Milliseconds),
            client.at("read_after_p99_ms").figure(Unit::Milliseconds),
            client.path("lateness/p99_ms").figure(Unit::Milliseconds),
            match client.at("chunk_times").text() {
                Some("packet" | "packets") => Cell::text("its packet came"),
                Some("read" | "reads") => Cell::text("the client read it"),
                _ => client.at("chunk_times").cell(),
            },
        ]
    })
}

/// What each model of a mix did; `None` without a mix.
pub(in crate::pages) fn models(levels: &Levels<'_>) -> Option<Table> {
    let heads = [
        "model",
        "level",
        "#share asked",
        "#sent",
        "#completed",
        "#failed",
        "#output tokens",
        "#TTFT p50",
        "#p99",
        "#TPOT p50",
        "#E2E p99",
    ];
    let mut table = Table::new("Each model of the mix at each level; latencies in milliseconds", &heads);
    for level in &levels.all {
        for model in level.at("models").items() {
            let time = |path: &str| model.path(path).figure(Unit::Plain);
            table.row([
                model.at("model").cell(),
                Cell::text(levels.name(level)),
                model.at("share").figure(Unit::Share),
                model.at("sent").figure(Unit::Count),
                model.at("completed").figure(Unit::Count),
                model.at("failed").figure(Unit::Count),
                model.at("output_tokens").figure(Unit::Count),
                time("ttft/p50_ms"),
                time("ttft/p99_ms"),
                time("tpot/p50_ms"),
                time("e2e/p99_ms"),
            ]);
        }
    }
    (!table.rows.is_empty()).then(|| table.without_empty_columns())
}

/// What is to be known, warnings first; the same of several levels once.
pub(in crate::pages) fn findings(root: &Node<'_>, levels: &Levels<'_>) -> Vec<Finding> {
    struct Said {
        weight: Weight,
        code: Option<String>,
        message: String,
        at: Vec<String>,
    }
    let mut all: Grouped<(Option<String>, String), Said> = Grouped::new();
    let mut say = |weight: Weight, code: Option<&str>, message: &str, at: Option<String>| {
        let code = code.map(str::to_owned);
        let new = || Said { weight, code: code.clone(), message: message.to_owned(), at: Vec::new() };
        all.entry((code.clone(), message.to_owned()), new).at.extend(at);
    };
    let mut list = |of: &Node<'_>, at: Option<String>| {
        for finding in of.at("findings").items() {
            let weight = if finding.at("severity").text() == Some("warning") { Weight::Warning } else { Weight::Note };
            let code = finding.at("code").text();
            // Its message has the first failure alone; all kinds are said before, and stand in the table.
            let kinds =
                if code == Some("requests_failed") { failures(std::slice::from_ref(of)) } else { String::new() };
            if kinds.is_empty() {
                say(weight, code, finding.at("message").text().unwrap_or("no word"), at.clone());
            } else {
                let count = |key: &str| of.at("requests").at(key).figure(Unit::Count).text;
                let text = format!(
                    "{} of {} requests failed: {kinds}. No latency is of them.",
                    count("failed"),
                    count("sent")
                );
                say(weight, code, &text, at.clone());
            }
        }
    };
    list(root, None);
    levels.all.iter().for_each(|level| list(level, Some(levels.name(level))));
    for level in &levels.all {
        let client = level.at("client");
        let told = level.at("findings").items().iter().any(|one| one.at("code").text() == Some("client_is_the_limit"));
        if client.at("is_the_limit").is_true() && !told {
            let why = client.at("limits").words().unwrap_or_else(|| "the document does not say why".to_owned());
            let message = format!("The client may be the limit, not the server: {why}");
            say(Weight::Warning, Some("client_is_the_limit"), &message, Some(levels.name(level)));
        }
    }
    let mut all = all.all;
    all.sort_by_key(|said| said.weight != Weight::Warning);
    let finding = |said: Said| {
        const MOST: usize = 6;
        let more = said.at.len().saturating_sub(MOST);
        let at = said.at.iter().take(MOST).cloned().collect::<Vec<_>>().join("; ");
        let text = match (said.at.is_empty(), more) {
            (true, _) => said.message,
            (false, 0) => format!("At {at}: {}", said.message),
            (false, more) => format!("At {at} and {more} more: {}", said.message),
        };
        Finding { weight: said.weight, text, advice: None, code: said.code }
    };
    all.into_iter().map(finding).collect()
}
