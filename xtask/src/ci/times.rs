//! What each step took, kept and printed.

use std::fmt::Write as _;
use std::time::Duration;

use super::schedule::Passed;

/// A table of the steps in the order in which they began.
pub(super) fn table(passed: &[Passed], whole: Duration) -> String {
    let mut rows: Vec<&Passed> = passed.iter().collect();
    rows.sort_by_key(|step| step.began);
    let width = rows.iter().map(|step| step.name.len()).max().unwrap_or(0).max(5);
    let mut text = format!("{:<width$}  began s   took s\n", "step");
    let mut sum = Duration::ZERO;
    for step in rows {
        let _ = writeln!(
            text,
            "{:<width$}  {:>7.1}  {:>7.1}",
            step.name,
            step.began.as_secs_f64(),
            step.took.as_secs_f64()
        );
        sum += step.took;
    }
    let _ = writeln!(text, "{:<width$}  {:>7.1}  {:>7.1}", "whole", whole.as_secs_f64(), sum.as_secs_f64());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_stand_in_the_order_in_which_they_began() {
        let step = |name: &str, began, took| Passed {
            name: name.to_owned(),
            began: Duration::from_secs(began),
            took: Duration::from_secs(took),
        };
        let text = table(&[step("second", 2, 30), step("first", 1, 4)], Duration::from_secs(32));
        let words: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words, [["first", "1.0", "4.0"], ["second", "2.0", "30.0"], ["whole", "32.0", "34.0"]]);
    }
}
