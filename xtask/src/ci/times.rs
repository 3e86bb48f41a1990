//! What each step took, kept and printed.

use std::fmt::Write as _;
use std::time::Duration;

use super::schedule::Passed;

/// A table of the steps in the order in which they began.
pub(super) fn table(passed: &[Passed], whole: Duration) -> String {
    let mut rows: Vec<&Passed> = passed.iter().collect();
    rows.sort_by_key(|step| step.began);
    let width = rows.iter().map(|step| step.name.len()).max().unwrap_or(0).max(5);
    let mut text = format!("{:<width$}  began s   took s    cpu s\n", "step");
    let mut line = |name: &str, began: Duration, took: Duration, computed: Option<Duration>| {
        let computed = computed.map_or("-".to_owned(), |time| format!("{:.1}", time.as_secs_f64()));
        let (began, took) = (began.as_secs_f64(), took.as_secs_f64());
        let _ = writeln!(text, "{name:<width$}  {began:>7.1}  {took:>7.1}  {computed:>7}");
    };
    for step in &rows {
        line(&step.name, step.began, step.took, step.computed);
    }
    line("whole", whole, rows.iter().map(|step| step.took).sum(), rows.iter().map(|step| step.computed).sum());
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
            computed: Some(Duration::from_secs(2 * took)),
        };
        let text = table(&[step("second", 2, 30), step("first", 1, 4)], Duration::from_secs(32));
        let words: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            words,
            [["first", "1.0", "4.0", "8.0"], ["second", "2.0", "30.0", "60.0"], ["whole", "32.0", "34.0", "68.0"]]
        );
    }
}
