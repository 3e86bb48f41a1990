//! Runs the workspace's tests: all test programs beside each other, longest first as far as that is known.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::built::{self, DOCKER_TESTS, Program};

/// Tests within one program. Most of the long ones wait for processes that play an engine, so that this is more than there
/// are cores.
const THREADS: usize = 8;

/// Integration tests that `--quick` leaves out: together they take most of the time.
const SLOW: &[&str] =
    &["a_week_of_eight_devices_stays_small", "campaign::", "corpus::", "defects::bombs", "profile::", "survival::"];

/// `standin_vllm::BUILT_VARIABLE`.
const BUILT: &str = "VRAMSCOPE_TESTS_ARE_BUILT";

/// `cargo xtask test [--quick] [NAME]…`: all tests, or those whose names hold one of these. `--doc`: those of documents.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    if args == ["--doc"] {
        return built::test_documents(&crate::root()?);
    }
    let quick = args.iter().any(|arg| arg == "--quick");
    let names: Vec<&String> = args.iter().filter(|arg| *arg != "--quick").collect();
    if names.iter().any(|name| name.starts_with('-')) {
        bail!("usage: cargo xtask test [--doc | [--quick] [NAME]...]");
    }
    let root = crate::root()?;
    let all = built::programs(&root)?;
    let stand_in =
        all.iter().any(|program| program.package == "standin-vllm" && program.kind == "bin" && !program.test);
    let mut programs: Vec<Program> = all.into_iter().filter(|program| program.test).collect();
    // Integration tests are the long ones, and of them those that a large program holds.
    let size = |program: &Program| program.path.metadata().map_or(0, |file| file.len());
    programs.sort_by_key(|program| (program.kind != "test", std::cmp::Reverse(size(program))));
    let begun = Instant::now();
    let command = |program: &Program| {
        let mut command = program.command();
        command.args(arguments(program, quick, &names));
        if stand_in {
            // No test asks Cargo for it, whose lock the steps beside this one hold.
            command.env(BUILT, "1");
        }
        command
    };
    let told = run_all(&programs, command);
    let mut passed = 0;
    let mut failed = Vec::new();
    for (program, (output, took)) in programs.iter().zip(told) {
        let output = output.with_context(|| format!("run {}", program.path.display()))?;
        passed += tell(&root, program, &output, took);
        if !output.status.success() {
            failed.push(program);
        }
    }
    println!("\ntest: {passed} tests of {} programs passed in {:.1} s", programs.len(), begun.elapsed().as_secs_f64());
    if failed.is_empty() {
        return Ok(());
    }
    let titles: Vec<String> = failed.into_iter().map(Program::title).collect();
    bail!("tests failed in {}", titles.join(", "))
}

/// The words after the program's name.
fn arguments(program: &Program, quick: bool, names: &[&String]) -> Vec<String> {
    let mut words = vec![format!("--test-threads={THREADS}")];
    let mut skip = |name: &str| words.extend(["--skip".to_owned(), name.to_owned()]);
    if program.kind == "test" && program.docker_tests {
        skip(DOCKER_TESTS.1);
    }
    if program.kind == "test" && quick {
        SLOW.iter().for_each(|name| skip(name));
    }
    words.extend(names.iter().map(|name| (*name).clone()));
    words
}

type Told = (std::io::Result<Output>, Duration);

/// Runs each program once, twice as many at a time as there are cores; what each said, in their order.
fn run_all(programs: &[Program], command: impl Fn(&Program) -> Command + Sync) -> Vec<Told> {
    let next = AtomicUsize::new(0);
    let told: Vec<Mutex<Option<Told>>> = programs.iter().map(|_| Mutex::new(None)).collect();
    let at_once = std::thread::available_parallelism().map_or(4, |cores| 2 * cores.get());
    std::thread::scope(|scope| {
        for _ in 0..at_once.min(programs.len()) {
            scope.spawn(|| {
                while let Some((program, place)) = {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    programs.get(at).zip(told.get(at))
                } {
                    let begun = Instant::now();
                    let output = command(program).output();
                    if let Ok(mut place) = place.lock() {
                        *place = Some((output, begun.elapsed()));
                    }
                }
            });
        }
    });
    let lost = || (Err(std::io::Error::other("the program was not run")), Duration::ZERO);
    told.into_iter().map(|place| place.into_inner().ok().flatten().unwrap_or_else(lost)).collect()
}

/// Prints what a program said; how many tests passed.
fn tell(root: &Path, program: &Program, output: &Output, took: Duration) -> usize {
    let path = program.path.strip_prefix(root).unwrap_or(&program.path);
    println!("\n     Running {} ({}) in {:.1} s", program.title(), path.display(), took.as_secs_f64());
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}{}", String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        println!("{} ended with {}", path.display(), output.status);
    }
    text.lines().filter_map(passed_in).sum()
}

/// The number in `test result: ok. 12 passed; …`.
fn passed_in(line: &str) -> Option<usize> {
    let (_, rest) = line.strip_prefix("test result: ")?.split_once(". ")?;
    rest.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(kind: &str) -> Program {
        Program {
            package: "one".to_owned(),
            folder: ".".into(),
            target: "it".to_owned(),
            kind: kind.to_owned(),
            test: true,
            path: "it".into(),
            docker_tests: true,
        }
    }

    #[test]
    fn only_integration_tests_are_left_out() {
        let name = "some_test".to_owned();
        assert_eq!(arguments(&program("lib"), true, &[&name]), ["--test-threads=8", "some_test"]);
        let quick = arguments(&program("test"), true, &[]);
        assert_eq!(quick[1..3], ["--skip", "containers::"]);
        assert_eq!(quick.len(), 3 + 2 * SLOW.len());
    }

    #[test]
    fn results_are_counted() {
        assert_eq!(passed_in("test result: ok. 12 passed; 0 failed; 0 ignored"), Some(12));
        assert_eq!(passed_in("test result: FAILED. 3 passed; 1 failed"), Some(3));
        assert_eq!(passed_in("running 4 tests"), None);
    }
}
