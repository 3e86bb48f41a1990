//! Repeats against repeats: how often equal runs are told apart, and how many repeats find a change. Runs are simulated:
//! requests with heavy-tailed times, and an effect of each run on all of its requests.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the numbers of a simulation are small"
)]

use std::fmt::Write as _;

use vramscope_compare::{Against, Judged, Limit, Outcome, Rule};
use vramscope_schema::Amount;
use vramscope_schema::v3::{LatencyStats, Profile, RunStatus, ServedStats, TimeSpread};

use crate::run;

const PAIRS: usize = 200;
const REQUESTS: usize = 100;
/// A request in twenty is slow, by Pareto's law: its mean is finite and its variance is not.
const SLOW: f64 = 0.05;
const TAIL: f64 = 1.8;

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64 + f64::EPSILON
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// One run: every time of it is `slower` times as long, and off by an effect of its own with this spread.
fn simulated(random: &mut Random, slower: f64, between: f64) -> Profile {
    let effect = slower * (between * random.normal()).exp();
    let (mut first, mut each, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..REQUESTS {
        let slow = if random.uniform() < SLOW { random.uniform().powf(-1.0 / TAIL) } else { 1.0 };
        let ttft = 50.0 * effect * (0.4 * random.normal()).exp() * slow;
        let tpot = 20.0 * effect * (0.1 * random.normal()).exp();
        first.push(ttft);
        each.push(tpot);
        whole.push(ttft + 63.0 * tpot);
    }
    let total: f64 = whole.iter().sum();
    let seconds = total / 16.0 / 1e3;
    let mut profile = run("m", 16, REQUESTS as f64 * 64.0 / seconds, total / REQUESTS as f64);
    // Of memory nothing is simulated: what never varies would be judged beside it.
    profile.memory_breakdown = None;
    profile.latency_stats = Some(LatencyStats {
        requests_per_second: Amount::new(REQUESTS as f64 / seconds),
        ..profile.latency_stats.take().unwrap()
    });
    profile.served_stats = Some(ServedStats {
        completed_requests: Some(REQUESTS as u64),
        time_to_first_token: Some(spread(&mut first)),
        time_per_output_token: Some(spread(&mut each)),
        end_to_end: Some(spread(&mut whole)),
        ..ServedStats::default()
    });
    profile
}

fn spread(times: &mut [f64]) -> TimeSpread {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| Amount::new(times[((times.len() - 1) as f64 * share).round() as usize]);
    TimeSpread { median_ms: at(0.5), p99_ms: at(0.99), ..TimeSpread::default() }
}

fn side(random: &mut Random, repeats: usize, slower: f64, between: f64) -> Vec<Profile> {
    (0..repeats).map(|_| simulated(random, slower, between)).collect()
}

fn is_told(judged: &Judged) -> bool {
    matches!(judged.outcome, Outcome::Better | Outcome::Worse)
}

fn figure<'a>(against: &'a Against, name: &str) -> &'a Judged {
    against.figures.iter().find(|figure| figure.name == name).unwrap()
}

/// Of 200 pairs of equal runs those of which any figure is told apart.
fn false_alarms(repeats: usize, between: f64) -> usize {
    let mut random = Random(20 + repeats as u64);
    (0..PAIRS)
        .filter(|_| {
            let (a, b) = (side(&mut random, repeats, 1.0, between), side(&mut random, repeats, 1.0, between));
            let against = Against::of(&a, &b, Rule::default());
            assert_eq!(against.figures.len(), 7, "every figure of a load is judged");
            against.figures.iter().any(is_told)
        })
        .count()
}

/// The same for the bootstrap of runs: where its interval of the change of the mean latency, 95 % by percentiles, does not
/// hold zero. It is why no such interval is used.
fn false_alarms_of_bootstrap(repeats: usize, between: f64) -> usize {
    let mut random = Random(20 + repeats as u64);
    let value = |profile: &Profile| profile.latency_stats.as_ref().unwrap().mean_latency_ms.unwrap().get().ln();
    (0..PAIRS)
        .filter(|_| {
            let sides =
                [(); 2].map(|()| side(&mut random, repeats, 1.0, between).iter().map(value).collect::<Vec<_>>());
            let mut drawn: Vec<f64> = (0..1000)
                .map(|_| {
                    let mut mean = |of: &[f64]| {
                        let draw = |_| of[(random.uniform() * of.len() as f64) as usize % of.len()];
                        (0..of.len()).map(draw).sum::<f64>() / of.len() as f64
                    };
                    mean(&sides[1]) - mean(&sides[0])
                })
                .collect();
            drawn.sort_by(f64::total_cmp);
            drawn[25] > 0.0 || drawn[974] < 0.0
        })
        .count()
}

/// Of 200 pairs those of which a figure is told to be worse by each of these rules, where the second side is slower.
fn found<const RULES: usize>(
    repeats: usize,
    slower: f64,
    between: f64,
    name: &str,
    rules: [&Rule; RULES],
) -> [usize; RULES] {
    let mut random = Random(77 + repeats as u64);
    let mut found = [0; RULES];
    for _ in 0..PAIRS {
        let (a, b) = (side(&mut random, repeats, 1.0, between), side(&mut random, repeats, slower, between));
        for (found, rule) in found.iter_mut().zip(rules) {
            let worse = figure(&Against::of(&a, &b, rule.clone()), name).outcome == Outcome::Worse;
            *found += usize::from(worse);
        }
    }
    found
}

#[test]
fn equal_runs_are_told_apart_no_more_often_than_is_stated() {
    for (repeats, between) in [(3, 0.02), (5, 0.02), (5, 0.10), (10, 0.02)] {
        let alarms = false_alarms(repeats, between);
        println!("{repeats} repeats, runs apart by {between}: {alarms} false alarms of {PAIRS}");
        assert!(alarms <= PAIRS / 20, "{repeats} repeats, {between}: {alarms} of {PAIRS}");
    }
}

#[test]
fn the_table_of_the_document_is_what_the_simulation_gives() {
    let mut table = String::from(
        "| repeats a side | runs apart by | false alarms | 5 % found | 10 % found | 5 % found, `--figure` | 10 % found, `--figure` |\n",
    );
    table.push_str("|---|---|---|---|---|---|---|\n");
    let name = "mean_latency_ms";
    let alone = Rule { figures: vec![name.to_owned()], ..Rule::default() };
    let percent = |n: usize| n as f64 * 100.0 / PAIRS as f64;
    for between in [0.01, 0.02, 0.05] {
        for repeats in [3, 5, 8, 12] {
            let rules = [&Rule::default(), &alone];
            let [five, five_alone] = found(repeats, 1.05, between, name, rules).map(percent);
            let [ten, ten_alone] = found(repeats, 1.10, between, name, rules).map(percent);
            let alarms = percent(false_alarms(repeats, between));
            let between = between * 100.0;
            let _ = writeln!(
                table,
                "| {repeats} | {between:.0} % | {alarms:.1} % | {five:.0} % | {ten:.0} % | {five_alone:.0} % | {ten_alone:.0} % |"
            );
        }
    }
    let bootstrap = percent(false_alarms_of_bootstrap(5, 0.02));
    let _ = writeln!(table, "\nThe bootstrap over five repeats: {bootstrap:.1} % false alarms of one figure at 5 %.");
    println!("{table}");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/results.md");
    let document = std::fs::read_to_string(path).unwrap();
    assert!(document.contains(&table), "docs/results.md does not hold this table:\n{table}");
}

#[test]
fn the_more_repeats_the_more_is_found_and_in_the_right_direction() {
    let rule = Rule::default();
    let [few] = found(3, 1.10, 0.02, "time_to_first_token_median_ms", [&rule]);
    let [many] = found(12, 1.10, 0.02, "time_to_first_token_median_ms", [&rule]);
    assert!(many > few && many > PAIRS / 2, "{few}, {many}");
    let mut random = Random(1);
    let (slow, fast) = (side(&mut random, 8, 1.2, 0.01), side(&mut random, 8, 1.0, 0.01));
    let against = Against::of(&slow, &fast, rule);
    assert_eq!(figure(&against, "tokens_per_second").outcome, Outcome::Better);
    assert_eq!(figure(&against, "mean_latency_ms").outcome, Outcome::Better);
}

#[test]
fn equal_values_differ_by_nothing_and_few_repeats_tell_nothing() {
    let same = vec![run("m", 1, 50.0, 200.0); 3];
    let against = Against::of(&same, &same, Rule::default());
    assert!(against.figures.iter().all(|figure| figure.outcome == Outcome::NoDifferenceShown));
    let against = Against::of(&same[..2], &same, Rule::default());
    assert!(against.figures.iter().all(|figure| figure.outcome == Outcome::Inconclusive && figure.why.is_some()));
    assert!(Against::of(&[], &same, Rule::default()).figures.is_empty());
}

#[test]
fn what_is_close_by_its_interval_differs_by_nothing_that_matters() {
    let near = |speeds: [f64; 4]| speeds.map(|speed| run("m", 1, speed, 200.0)).to_vec();
    let (a, b) = (near([100.0, 100.4, 99.8, 100.1]), near([100.2, 99.9, 100.3, 100.0]));
    let against = Against::of(&a, &b, Rule::default());
    assert_eq!(figure(&against, "tokens_per_second").outcome, Outcome::NoDifferenceShown);
    let narrow = Against::of(&a, &b, Rule { margin: 0.0001, ..Rule::default() });
    let judged = figure(&narrow, "tokens_per_second");
    assert_eq!(judged.outcome, Outcome::Inconclusive);
    assert!(judged.repeats_needed.is_none_or(|n| n > 4), "more than there are: {judged:?}");
}

fn with_failures(side: &mut [Profile], failed: u64) {
    for profile in side {
        let served = profile.served_stats.get_or_insert_default();
        served.failed_requests = Some(failed);
        served.completed_requests = Some(100 - failed);
    }
}

#[test]
fn a_side_that_answers_fewer_requests_is_never_better() {
    let mut random = Random(5);
    let (mut a, mut b) = (side(&mut random, 6, 1.0, 0.01), side(&mut random, 6, 0.5, 0.01));
    with_failures(&mut a, 0);
    with_failures(&mut b, 0);
    let fair = Against::of(&a, &b, Rule::default());
    assert_eq!(figure(&fair, "mean_latency_ms").outcome, Outcome::Better);
    assert_eq!(figure(&fair, "failed_requests").outcome, Outcome::NoDifferenceShown);
    with_failures(&mut b, 50);
    let unfair = Against::of(&a, &b, Rule::default());
    assert!(unfair.answers_fewer());
    assert!(!unfair.figures.iter().any(|figure| figure.outcome == Outcome::Better), "{:?}", unfair.figures);
    let judged = figure(&unfair, "mean_latency_ms");
    assert!(judged.why.as_deref().unwrap().contains("300 of 600 requests of the second side"), "{judged:?}");
    assert_eq!(figure(&unfair, "failed_requests").outcome, Outcome::Worse);
    assert!(unfair.cautions.iter().any(|caution| caution.contains("300 were not answered")), "{:?}", unfair.cautions);
    let back = Against::of(&b, &a, Rule::default());
    assert_eq!(figure(&back, "mean_latency_ms").outcome, Outcome::Inconclusive, "nor is the other side worse");
    assert_eq!(figure(&back, "failed_requests").outcome, Outcome::Better);
}

#[test]
fn answers_that_are_short_are_cautioned() {
    let mut random = Random(5);
    let mut b = side(&mut random, 3, 1.0, 0.01);
    b[1].served_stats.get_or_insert_default().short_requests = Some(7);
    let against = Against::of(&b, &b, Rule::default());
    let said = "in a run of the first side 7 answers have fewer tokens than asked for";
    assert!(against.cautions.iter().any(|caution| caution == said), "{:?}", against.cautions);
}

#[test]
fn a_run_that_was_stopped_is_never_better() {
    let mut random = Random(6);
    let (a, mut b) = (side(&mut random, 5, 1.0, 0.01), side(&mut random, 5, 0.5, 0.01));
    b[2].metadata.status = Some(RunStatus::Interrupted);
    let judged = Against::of(&a, &b, Rule::default());
    let judged = figure(&judged, "mean_latency_ms");
    assert_eq!(
        (judged.outcome, judged.why.as_deref()),
        (Outcome::Inconclusive, Some("a run of the second side was stopped"))
    );
}

#[test]
fn a_limit_is_exceeded_by_what_is_shown_to_be_worse_alone() {
    let mut random = Random(9);
    let (a, b) = (side(&mut random, 8, 1.0, 0.01), side(&mut random, 8, 1.2, 0.01));
    let against = Against::of(&a, &b, Rule::default());
    let limit = |figure: Option<&str>, share| Limit { figure: figure.map(str::to_owned), share };
    assert!(against.verdict(&[limit(None, 0.05)]).exceeded.iter().any(|item| item.figure == "mean_latency_ms"));
    assert!(against.verdict(&[limit(Some("mean_latency_ms"), 0.5)]).exceeded.is_empty());
    assert_eq!(against.verdict(&[limit(Some("load_s"), 0.5)]).unjudged, ["load_s"]);
    let equal = Against::of(&a, &side(&mut random, 8, 1.0, 0.01), Rule::default());
    assert!(equal.verdict(&[limit(None, 0.0)]).exceeded.is_empty(), "noise exceeds no limit");
}

#[test]
fn repeats_that_are_none_are_named() {
    let mixed = [run("m", 1, 50.0, 200.0), run("m", 8, 50.0, 200.0), run("m", 1, 50.0, 200.0)];
    let against = Against::of(&mixed, &mixed, Rule::default());
    assert!(against.cautions[0].contains("they differ in batch_size"), "{:?}", against.cautions);
}
