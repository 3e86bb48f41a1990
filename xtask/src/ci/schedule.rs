//! Runs steps beside each other, as what they need and what the machine has allow.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::step::{Lane, Running, Step, stop};

/// How often it is asked which steps have ended.
const LOOK: Duration = Duration::from_millis(50);

/// A step that has passed: when it began, from the start of all, and how long it took.
pub(crate) struct Passed {
    pub(crate) name: String,
    pub(crate) began: Duration,
    pub(crate) took: Duration,
    /// What it and all that it waited for computed; `None` where the system does not say.
    pub(crate) computed: Option<Duration>,
}

/// What all children that were waited for have computed: `cutime` and `cstime` of `/proc/self/stat` (`proc_pid_stat(5)`),
/// in hundredths of a second, as Linux counts them for programs on every architecture.
fn computed_by_children() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, behind_name) = stat.rsplit_once(')')?;
    let ticks: Vec<u64> = behind_name.split_whitespace().skip(13).take(2).filter_map(|n| n.parse().ok()).collect();
    (ticks.len() == 2).then(|| Duration::from_millis(ticks.iter().sum::<u64>() * 10))
}

/// Runs all of them. The first that fails ends the others; its output comes last. What each wrote is kept in `logs`.
/// `again` is the command that runs one of them by its name.
pub(crate) fn run(steps: Vec<Step>, root: &Path, logs: &Path, again: &str) -> anyhow::Result<Vec<Passed>> {
    fs::create_dir_all(logs).with_context(|| format!("make {}", logs.display()))?;
    let signal = signals()?;
    // Asked once: a build may put another file in its place, and then it has no path.
    let this = std::env::current_exe().context("find this program")?;
    let begun = Instant::now();
    let most = most_at_once();
    let mut waiting = steps;
    let mut running: Vec<Running> = Vec::new();
    let mut passed: Vec<Passed> = Vec::new();
    loop {
        while let Some(at) = next(&waiting, &passed, &running, most) {
            let step = waiting.remove(at);
            println!("--- {} begins: {}", step.name, step.command.join(" "));
            match step.start(root, logs, &this) {
                Ok(started) => running.push(started),
                Err(error) => {
                    stop(&mut running)?;
                    return Err(error);
                }
            }
        }
        if running.is_empty() {
            break;
        }
        std::thread::sleep(LOOK);
        let caught = signal.load(Ordering::Relaxed);
        if caught != 0 {
            println!("--- ending {}", names(&running));
            stop(&mut running)?;
            bail!("stopped by signal {caught}");
        }
        let mut at = 0;
        while at < running.len() {
            let before = computed_by_children();
            let Some(status) = running[at].ended()? else {
                at += 1;
                continue;
            };
            let step = running.remove(at);
            let took = step.begun.elapsed();
            let computed = computed_by_children().zip(before).map(|(now, before)| now.saturating_sub(before));
            if !status.success() {
                if !running.is_empty() {
                    println!("--- {} failed; ending {}", step.name, names(&running));
                }
                stop(&mut running)?;
                show(&step)?;
                bail!("step {} ended with {status} after {:.0} s; again: {again} {0}", step.name, took.as_secs_f64());
            }
            show(&step)?;
            println!("--- {} passed in {:.1} s", step.name, took.as_secs_f64());
            passed.push(Passed { name: step.name, began: step.begun.duration_since(begun), took, computed });
        }
    }
    if !waiting.is_empty() {
        let left: Vec<&str> = waiting.iter().map(|step| &*step.name).collect();
        bail!("nothing provides what these steps need: {}", left.join(", "));
    }
    Ok(passed)
}

/// How many steps of this kind may run at once.
type Most = fn(Lane) -> usize;

fn most_at_once() -> Most {
    |lane| match lane {
        Lane::Light => usize::MAX,
        Lane::Cargo => 1,
        // An engine imports and waits for most of its time, so that two of them fit on two cores beside a build.
        Lane::Run => std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 6)),
    }
}

/// The first that may start now.
fn next(waiting: &[Step], passed: &[Passed], running: &[Running], most: Most) -> Option<usize> {
    let lanes: Vec<Lane> = running.iter().map(|step| step.lane).collect();
    let done: Vec<&str> = passed.iter().map(|step| &*step.name).collect();
    waiting.iter().position(|step| may_start(step, &done, &lanes, most))
}

fn may_start(step: &Step, passed: &[&str], running: &[Lane], most: Most) -> bool {
    let there = step.needs.iter().all(|need| passed.contains(&need.as_str()));
    there && running.iter().filter(|lane| **lane == step.lane).count() < most(step.lane)
}

fn names(running: &[Running]) -> String {
    running.iter().map(|step| &*step.name).collect::<Vec<_>>().join(", ")
}

/// Prints what a step wrote, whole.
fn show(step: &Running) -> anyhow::Result<()> {
    let text = fs::read(&step.log).with_context(|| format!("read {}", step.log.display()))?;
    let mut out = std::io::stdout().lock();
    let end = if text.is_empty() || text.ends_with(b"\n") { "" } else { "\n" };
    write!(out, "\n=== {} ===\n", step.name)
        .and_then(|()| out.write_all(&text))
        .and_then(|()| write!(out, "{end}"))
        .context("print what a step wrote")
}

/// The number of the signal that asks this program to end; 0 until one comes.
fn signals() -> anyhow::Result<Arc<AtomicUsize>> {
    let caught = Arc::new(AtomicUsize::new(0));
    for number in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let value = usize::try_from(number).context("a signal has a number")?;
        signal_hook::flag::register_usize(number, Arc::clone(&caught), value).context("listen for signals")?;
    }
    Ok(caught)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &str, lane: Lane, command: &[&str]) -> Step {
        Step::new(name, lane, command)
    }

    /// A folder of this test's own for what steps write.
    fn logs(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("xtask-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_step_waits_for_its_needs_and_for_a_place_in_its_lane() {
        let most: Most = |_| 1;
        let step = step("b", Lane::Cargo, &["true"]).after(&["a"]);
        assert!(!may_start(&step, &[], &[], most));
        assert!(may_start(&step, &["a"], &[Lane::Run], most));
        assert!(!may_start(&step, &["a"], &[Lane::Cargo], most));
    }

    #[test]
    #[cfg(unix)]
    fn steps_run_in_the_order_of_their_needs_and_what_they_write_is_kept() {
        let logs = logs("order");
        let steps = vec![
            step("second", Lane::Run, &["sh", "-c", "echo out; echo err >&2"]).after(&["first"]),
            step("first", Lane::Light, &["true"]),
        ];
        let passed = run(steps, &logs, &logs, "again").unwrap();
        assert_eq!(passed.iter().map(|step| &*step.name).collect::<Vec<_>>(), ["first", "second"]);
        assert_eq!(fs::read_to_string(logs.join("second.log")).unwrap(), "out\nerr\n");
        fs::remove_dir_all(logs).unwrap();
    }

    #[test]
    #[cfg(unix)]
    fn a_failure_ends_what_runs_with_its_children_and_starts_nothing_more() {
        let logs = logs("failure");
        let steps = vec![
            step("long", Lane::Light, &["sh", "-c", "sleep 3600 & echo $! > child; wait"]),
            step("bad", Lane::Light, &["sh", "-c", "until test -s child; do sleep 0.01; done; exit 3"]),
            step("later", Lane::Light, &["touch", "later"]).after(&["bad"]),
        ];
        let error = run(steps, &logs, &logs, "cargo xtask ci").err().map(|error| error.to_string()).unwrap();
        assert!(
            error.contains("step bad ended with exit status: 3") && error.ends_with("cargo xtask ci bad"),
            "{error}"
        );
        let child = fs::read_to_string(logs.join("child")).unwrap();
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
        assert!(stat.is_empty() || stat.contains(") Z"), "the child lives on: {stat}");
        assert!(!logs.join("later").exists());
        fs::remove_dir_all(logs).unwrap();
    }

    #[test]
    fn a_need_that_nothing_provides_is_told() {
        let logs = logs("need");
        let steps = vec![step("lost", Lane::Light, &["true"]).after(&["absent"])];
        let error = run(steps, &logs, &logs, "again").err().map(|error| error.to_string()).unwrap();
        assert!(error.contains("lost"), "{error}");
        fs::remove_dir_all(logs).unwrap();
    }
}
