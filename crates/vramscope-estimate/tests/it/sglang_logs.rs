//! The pool of public logs of SGLang, computed of what each log states itself, against what it prints.
//!
//! A log states what was free before and after loading, sometimes the share and the model. What it leaves out is taken as
//! follows, and the table of the test says so: the share by the release's rule; for releases whose rule needs the card, a
//! card 0.75 GiB larger than what was free on it; the model by its class and its weights among those of the database; with
//! none of them a token's bytes are those of the pool itself, which leaves the pool's bytes to compare.

use std::collections::BTreeMap;
use std::path::Path;

use vramscope_core::{Architecture, Bytes, EngineKind};
use vramscope_estimate::{
    Calibration, EngineArgs, GpuModel, SgLangArgs, SgLangCell, SgLangFree, SgLangSetting, SgLangShare, SgLangVersion,
    sglang_budget, sglang_cell, sglang_pool, weights_per_rank,
};
use vramscope_log::{EngineReport, Figure, Key, LogParser, SettingValue};
use vramscope_models::{find_model, known_models};

use crate::shared;

/// Logs whose share nobody states and whose release's rule gives the pool all the same.
const BY_RULE: [&str; 2] = ["002", "004"];

const GIB: u64 = 1 << 30;

/// What a log states, as far as it does.
#[derive(Default)]
struct Stated {
    before: Option<u64>,
    after: Option<u64>,
    share: Option<f64>,
    tokens: Option<u64>,
    /// Keys and values, or both in one.
    pool: Option<u64>,
    class: Option<String>,
    model: Option<String>,
    ranks: u64,
    page: Option<u64>,
    prefill_graphs: bool,
    hybrid: bool,
}

fn bytes(figure: &Figure) -> Option<u64> {
    u64::try_from(figure.memory()?.bytes.get()).ok()
}

/// The least over the ranks of what each printed first: a draft's worker prints the same lines later.
fn least(engine: &EngineReport, key: Key) -> Option<u64> {
    let mut first: BTreeMap<Option<&str>, u64> = BTreeMap::new();
    for figure in engine.figures.iter().filter(|figure| figure.key == key) {
        if let Some(bytes) = bytes(figure) {
            first.entry(figure.origin.worker.as_deref()).or_insert(bytes);
        }
    }
    first.into_values().min()
}

impl Stated {
    fn of(engine: &EngineReport, text: &str) -> Self {
        let setting = |name: &str| engine.settings.iter().find(|s| s.name == name).map(|s| &s.value);
        let count = |name: &str| if let Some(SettingValue::Count(n)) = setting(name) { Some(*n) } else { None };
        let first = |key: Key| engine.figures.iter().find(|figure| figure.key == key);
        let amount = |key: Key| first(key).and_then(bytes);
        let both = amount(Key::KvKeys).zip(amount(Key::KvValues)).map(|(k, v)| k + v);
        let ranks: std::collections::BTreeSet<_> =
            engine.figures.iter().filter_map(|figure| figure.origin.worker.as_deref()).collect();
        let taken = amount(Key::Weights);
        let (before, after) = (least(engine, Key::FreeBeforeWeights), least(engine, Key::FreeAfterWeights));
        Self {
            before: before.or_else(|| Some(after? + taken?)),
            after: after.or_else(|| before?.checked_sub(taken?)),
            share: match setting("mem_fraction_static") {
                Some(SettingValue::Number(share)) => Some(*share),
                _ => None,
            },
            tokens: first(Key::KvTokens).or_else(|| first(Key::ContextTokens)).and_then(Figure::count),
            pool: amount(Key::KvPool).or(both),
            class: first(Key::Architecture).and_then(Figure::text).map(str::to_owned),
            model: match setting("model_path") {
                Some(SettingValue::Text(path)) => Some(path.clone()),
                _ => None,
            },
            ranks: count("tp_size").unwrap_or_else(|| u64::try_from(ranks.len().max(1)).unwrap()),
            page: count("page_size"),
            prefill_graphs: text.contains("piecewise CUDA graph") || text.contains("prefill CUDA graph"),
            hybrid: first(Key::RecurrentState).is_some() || first(Key::KvWindowTokens).is_some(),
        }
    }

    /// The model by its name, else by its class and by what its weights take.
    fn architecture(&self) -> Option<(Architecture, &'static str)> {
        if let Some(known) = self.model.as_deref().and_then(|name| find_model(name).ok()) {
            return Some((known.architecture().ok()?.0, "its name"));
        }
        let (class, taken) = (self.class.as_deref()?, self.before?.checked_sub(self.after?)?);
        let args = EngineArgs { tensor_parallel_size: self.ranks, ..EngineArgs::default() };
        let of_class = known_models().filter_map(|id| find_model(id).ok()?.architecture().ok());
        let of_class = of_class.map(|(model, _)| model).filter(|model| model.class.as_deref() == Some(class));
        let fits = |model: &Architecture| {
            let weights = weights_per_rank(model, &args).ok().and_then(|all| Some(all.largest()?.bytes.value));
            weights.is_some_and(|w| w <= taken + GIB / 50 && taken - taken.min(w) <= GIB * 2 / 5)
        };
        let cell = |model: &Architecture| sglang_cell(model, &SgLangArgs::default(), None).ok();
        let found: Vec<Architecture> = of_class.filter(fits).collect();
        let same = found.windows(2).all(|pair| cell(&pair[0]) == cell(&pair[1]));
        found.into_iter().next().filter(|_| same).map(|model| (model, "class and weights"))
    }
}

/// The newest release that a label names: `0.5.0 (2025-08)`, `0.5.9-0.5.12 (by format)`.
fn release(label: &str) -> Option<SgLangVersion> {
    label.split([' ', '-', '(', '+', ';', ',']).filter_map(|word| word.parse().ok()).next_back()
}

/// A pool as computed, and of what.
struct Computed {
    tokens: u64,
    within: (u64, u64),
    how: String,
    /// Everything was stated, or follows from the release alone.
    stated: bool,
}

fn compute(log: &Stated, version: SgLangVersion) -> Result<Computed, &'static str> {
    let before = log.before.ok_or("what was free before loading")?;
    let after = log.after.ok_or("what was free after loading")?;
    let tokens = log.tokens.ok_or("the pool's tokens")?;
    if log.hybrid {
        return Err("how states or windows divide the pool");
    }
    let free = SgLangFree::printed(Bytes::new(before), Bytes::new(after), Bytes::new(GIB / 100)).ok_or("less free")?;
    let args = SgLangArgs {
        version,
        tp_size: log.ranks,
        page_size: log.page,
        mem_fraction_static: log.share,
        prefill_graphs: log.prefill_graphs.then_some(true),
        ..SgLangArgs::default()
    };
    // A card of what was free and what a process takes, give or take.
    let card = GpuModel { total_spread: Bytes::new(700 << 20), ..GpuModel::of_size(Bytes::new(before + GIB * 3 / 4)) };
    let setting = SgLangSetting {
        device: Some(&card),
        others: Bytes::ZERO,
        calibration: Calibration::embedded(),
        free: Some(free.clone()),
    };
    let share_by = |likely: SgLangShare| match log.share {
        Some(share) => format!("share {share} stated"),
        None if likely.low == likely.high => format!("share {} of {version}", likely.value),
        None => format!("share {} of {version} by a card of about that size", likely.value),
    };
    if let Some((model, by)) = log.architecture() {
        let budget = sglang_budget(&model, &args, &setting).map_err(|_| "a pool that is computed here")?;
        let pool = budget.pool.tokens;
        let how = format!("{}, model by {by}", share_by(budget.share));
        let stated = budget.share.low == budget.share.high;
        return Ok(Computed { tokens: pool.value, within: (pool.low, pool.high), how, stated });
    }
    let share = log.share.ok_or("the share, and no model by which the release's rule could be told")?;
    let cell = SgLangCell::of_bytes(log.pool.ok_or("a model or the pool's bytes")? / tokens);
    let share = SgLangShare::given(share);
    let pool = sglang_pool(&free, share, &cell, &args).map_err(|_| "a pool that is computed here")?.tokens;
    let how = format!("{}, a token's bytes by the pool's own", share_by(share));
    Ok(Computed { tokens: pool.value, within: (pool.low, pool.high), how, stated: true })
}

fn read(path: &Path) -> (Option<EngineReport>, String, Option<SgLangVersion>) {
    let raw = std::fs::read(path).expect("a log of the corpus");
    let mut parser = LogParser::new();
    parser.push_bytes(&raw);
    let engine = parser.finish().engines.into_iter().find(|engine| engine.facts.engine == Some(EngineKind::SgLang));
    let label = std::fs::read(path.with_extension("json")).expect("its label");
    let label: serde_json::Value = serde_json::from_slice(&label).expect("a label is JSON");
    (engine, String::from_utf8_lossy(&raw).into_owned(), label["version"].as_str().and_then(release))
}

#[test]
fn pools_follow_from_what_their_logs_state() {
    let Some(folder) = shared::path("corpus/engines/sglang") else { return };
    let mut logs: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    logs.retain(|path| path.extension().is_some_and(|e| e == "log"));
    logs.sort();
    assert!(logs.len() >= 5, "{} logs", logs.len());
    let (mut computed, mut wrong) = (0, Vec::new());
    println!("{:<5}{:<8}{:>10}{:>10}{:>9}  how", "log", "release", "stated", "computed", "off");
    for path in &logs {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let (engine, text, version) = read(path);
        let engine = engine.unwrap_or_else(|| panic!("{name} is not taken for one of SGLang"));
        let version = version.unwrap_or_else(|| panic!("{name}: its label names no release"));
        let log = Stated::of(&engine, &text);
        let shown = version.to_string();
        match compute(&log, version) {
            Err(missing) => {
                let tokens = log.tokens.map_or("-".to_owned(), |tokens| tokens.to_string());
                println!("{name:<5}{shown:<8}{tokens:>10}{:>10}{:>9}  it does not state {missing}", "-", "-");
                assert!(!BY_RULE.contains(&name.as_str()), "{name} states enough");
            }
            Ok(found) => {
                let tokens = log.tokens.unwrap();
                #[expect(clippy::cast_precision_loss, reason = "tokens are far below 2^52")]
                let off = (found.tokens as f64 / tokens as f64 - 1.0) * 100.0;
                println!("{name:<5}{shown:<8}{tokens:>10}{:>10}{off:>+8.2}%  {}", found.tokens, found.how);
                computed += 1;
                let held = (found.within.0..=found.within.1).contains(&tokens);
                if (found.stated || BY_RULE.contains(&name.as_str())) && !(off.abs() <= 1.0 && held) {
                    wrong.push(format!("{name}: {off:+.2} %, {:?}", found.within));
                }
            }
        }
    }
    println!("{computed} of {} computed", logs.len());
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(computed >= BY_RULE.len());
}
