//! The plan that the arguments make, and what the server says before it is loaded.

use std::hash::{BuildHasher as _, Hasher as _};

use anyhow::anyhow;
use serde_json::{Map, Value};
use vramscope_load::{Arrival, Client, Dataset, Endpoint, LoadPlan, Prompts, ServedModel, Spacing, Until};
use vramscope_schema::ExitCode;

use super::args::Args;
use super::{data, experiment, reach, refused};
use crate::exit::OrExit as _;

/// A drawn seed has so many bits: every reader of JSON keeps them.
const SEED_BITS: u32 = 48;
/// Requests of a level at least, where nobody says how many.
const LEAST: u64 = 50;
/// For a rate, so many seconds of it.
const SECONDS: f64 = 30.0;
/// Warm-up of a rate.
const WARMUP: u64 = 8;

/// What is asked of the server, and what it said of itself.
pub(super) struct Asked {
    /// The plan of a level, but for its arrival, count and stream.
    pub(super) plan: LoadPlan,
    pub(super) server_version: Option<String>,
    /// The longest prompt and answer together, as the server says.
    pub(super) max_model_len: Option<u64>,
}

/// The client of the server at this address, with this key and what the arguments say of headers.
pub(super) fn client(url: &str, api_key: Option<String>, args: &Args) -> anyhow::Result<Client> {
    let mut client = reach::client(url, api_key, args)?;
    for header in &args.header {
        let (name, value) = header
            .split_once(':')
            .ok_or_else(|| anyhow!("a --header has no colon; write 'NAME: VALUE'"))
            .or_exit(ExitCode::Usage)?;
        client = refused(client.with_header(name.trim(), value.trim()))?;
    }
    Ok(client)
}

/// The plan that the arguments make, checked as far as it can be before a server is asked, or started.
pub(super) struct Checked {
    pub(super) plan: LoadPlan,
    /// A data set whose lengths only the server's own count tells.
    uncounted: Option<Dataset>,
}

/// Makes the plan of the arguments, and reads the data set.
pub(super) async fn checked(args: &Args) -> anyhow::Result<Checked> {
    data::check(args)?;
    let mut set = data::read(args)?;
    let (model, mix) = data::models(args.model.as_deref())?;
    let model = model.unwrap_or_else(|| "the first listed".to_owned());
    let mut plan = LoadPlan { model, mix, endpoint: data::endpoint(args, set.as_ref()), ..plan(args)? };
    if set.as_ref().is_none_or(|set| set.sample().is_empty()) {
        plan.prompts = data::prompts(None, &plan, args, set.take()).await?;
    }
    check(&plan, args)?;
    Ok(Checked { plan, uncounted: set })
}

/// Completes the plan; the server tells its model, and counts what is to be counted.
pub(super) async fn ask(client: &Client, args: &Args, checked: Checked) -> anyhow::Result<Asked> {
    let Checked { mut plan, uncounted } = checked;
    let listed = client.models().await;
    let max_model_len = match &args.model {
        // A gateway may serve what it does not list.
        Some(_) => {
            let of_name = |one: &&ServedModel| one.id == plan.model || one.root.as_ref() == Some(&plan.model);
            listed.iter().flatten().find(of_name).and_then(|one| one.max_model_len)
        }
        None => {
            let listed = refused(listed)?;
            let first =
                listed.into_iter().next().ok_or_else(|| anyhow!("the server lists no model; name one with --model"));
            let first = first.or_exit(ExitCode::HostUnavailable)?;
            plan.model = first.id;
            first.max_model_len
        }
    };
    if uncounted.is_some() {
        plan.prompts = data::prompts(Some(client), &plan, args, uncounted).await?;
        check(&plan, args)?;
    }
    // A chat is made of words: where the server says how many tokens they have, lengths are tokens all the same.
    if plan.endpoint == Endpoint::Chat
        && let Ok(Some(words)) = client.word_tokens(&plan).await
    {
        plan.words = words;
    }
    let server_version = client.version().await.ok().flatten();
    Ok(Asked { plan, server_version, max_model_len })
}

fn check(plan: &LoadPlan, args: &Args) -> anyhow::Result<()> {
    arrivals(args)?.into_iter().try_for_each(|arrival| refused(at(plan, args, arrival).check()))
}

fn plan(args: &Args) -> anyhow::Result<LoadPlan> {
    let extra_body = match &args.extra_body {
        None => Map::new(),
        Some(text) => match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => Ok(fields),
            Ok(_) => Err(anyhow!("--extra-body is no JSON object; write '{{\"temperature\": 0}}'")),
            Err(error) => Err(anyhow!("--extra-body is no JSON: {error}")),
        }
        .or_exit(ExitCode::Usage)?,
    };
    let input_len = experiment::length("--input-len", args.input_len.as_ref(), experiment::INPUT, args)?;
    let output_len = experiment::length("--output-len", args.output_len.as_ref(), experiment::OUTPUT, args)?;
    Ok(LoadPlan {
        ramp_up: args.ramp_up,
        seed: args.seed.unwrap_or_else(drawn_seed),
        stall_timeout: args.stall_timeout,
        extra_body,
        slo: args.slo.unwrap_or_default(),
        ..LoadPlan::new("", input_len, output_len, 1)
    })
}

/// A seed that no other run has: the keys of the standard library's hashers are drawn from the system.
pub(crate) fn drawn_seed() -> u64 {
    std::hash::RandomState::new().build_hasher().finish() >> (u64::BITS - SEED_BITS)
}

/// The levels that are given; of a sweep the first.
pub(super) fn arrivals(args: &Args) -> anyhow::Result<Vec<Arrival>> {
    let arrivals: Vec<Arrival> = if data::replays(args) {
        data::speeds(args)
    } else if args.rate.is_empty() {
        let given = args.concurrency.iter().map(|n| Arrival::Concurrency(*n));
        if args.concurrency.is_empty() { vec![Arrival::Concurrency(1)] } else { given.collect() }
    } else {
        args.rate.iter().map(|per_s| rate(args, *per_s)).collect()
    };
    if args.sweep && arrivals.len() > 1 {
        return Err(anyhow!("--sweep begins at one level and finds the others; give one, or leave out --sweep"))
            .or_exit(ExitCode::Usage);
    }
    Ok(arrivals)
}

/// A rate with what the arguments say of it.
pub(super) fn rate(args: &Args, per_s: f64) -> Arrival {
    let spacing = match args.burstiness {
        b if b.is_infinite() => Spacing::Even,
        b if (b - 1.0).abs() < f64::EPSILON => Spacing::Poisson,
        burstiness => Spacing::Gamma { burstiness },
    };
    Arrival::Rate { per_s, spacing, max_in_flight: args.max_in_flight }
}

/// The plan of one level.
pub(super) fn at(plan: &LoadPlan, args: &Args, arrival: Arrival) -> LoadPlan {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked with the plan: at most 30 million"
    )]
    let counted = match arrival {
        Arrival::Concurrency(n) => n.saturating_mul(10),
        Arrival::Rate { per_s, .. } => (per_s * SECONDS).ceil() as u64,
        Arrival::Trace { .. } => u64::MAX,
        _ => LEAST,
    };
    let until = match (args.duration, args.num_prompts) {
        (Some(time), _) => Until::Elapsed(time),
        (None, given) => Until::Requests(match (&plan.prompts, arrival) {
            (Prompts::Data(data), Arrival::Trace { .. }) => given.unwrap_or(u64::MAX).min(data.set.len() as u64),
            _ => given.unwrap_or(counted.max(LEAST)),
        }),
    };
    let usual = match arrival {
        Arrival::Concurrency(n) => n,
        _ => WARMUP,
    };
    LoadPlan { arrival, until, warmup_requests: args.warmup.unwrap_or(usual), ..plan.clone() }
}
