//! A figure, what the engine says of it, and how far each estimator is off.

use std::fmt::Write as _;

use super::peer::Said;

/// Percent within which an answer is right.
const RIGHT_PCT: f64 = 1.0;
/// The longest reason that is printed.
const MOST_REASON: usize = 110;

/// Our own answer, which says how far it may be off.
#[derive(Clone, Debug)]
pub(crate) struct Ours {
    pub(crate) value: Said,
    /// The least and the largest value that are still likely.
    pub(crate) interval: Option<(f64, f64)>,
    pub(crate) confidence: String,
}

impl Ours {
    pub(crate) fn refused(why: String) -> Self {
        Self { value: Err(why), interval: None, confidence: String::new() }
    }
}

/// One config, or one run.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Its name and what else tells it from others, a word a column.
    pub(crate) label: Vec<String>,
    pub(crate) truth: f64,
    pub(crate) ours: Ours,
    /// In the order of the table's peers.
    pub(crate) peers: Vec<Said>,
}

/// What a table is of.
pub(crate) struct Table<'a> {
    pub(crate) title: &'a str,
    /// Above the words of a label.
    pub(crate) label: &'a [&'a str],
    pub(crate) peers: &'a [&'a str],
    /// What the truth is divided by, and the digits that it is printed with.
    pub(crate) unit: (f64, usize),
    pub(crate) rows: &'a [Row],
}

impl Table<'_> {
    /// The table, its summary, and the reasons of what is absent.
    pub(crate) fn text(&self) -> String {
        let mut reasons = Reasons::default();
        let mut lines: Vec<Vec<String>> = vec![self.head()];
        lines.extend(self.rows.iter().map(|row| self.line(row, &mut reasons)));
        let ours = self.errors(|row| &row.ours.value);
        let peers: Vec<Vec<f64>> = (0..self.peers.len()).map(|at| self.errors(|row| &row.peers[at])).collect();
        let empty = if self.has_intervals() { 2 } else { 0 };
        let mut summary = |name: &str, of: &dyn Fn(&[f64]) -> String| {
            let mut line = vec![name.to_owned()];
            line.resize(self.label.len() + 1, String::new());
            line.push(of(&ours));
            line.resize(line.len() + empty, String::new());
            line.extend(peers.iter().map(|errors| of(errors)));
            lines.push(line);
        };
        summary("answered", &|errors| format!("{} of {}", errors.len(), self.rows.len()));
        summary("median error", &|errors| in_percent(median(errors)));
        summary("largest error", &|errors| in_percent(largest(errors)));
        summary("within 1 %", &|errors| {
            let right = errors.iter().filter(|error| **error <= RIGHT_PCT).count();
            format!("{right} of {}", errors.len())
        });
        let mut text = format!("  {}\n\n{}", self.title, aligned(&lines, self.label.len()));
        for (at, reason) in reasons.0.iter().enumerate() {
            let _ = write!(text, "\n  ({}) {reason}", at + 1);
        }
        text.push('\n');
        text
    }

    fn head(&self) -> Vec<String> {
        let ours: &[&str] = if self.has_intervals() { &["interval", "confidence"] } else { &[] };
        let words = self.label.iter().chain(&["truth", "vramscope"]).chain(ours).chain(self.peers);
        words.map(|word| (*word).to_owned()).collect()
    }

    fn line(&self, row: &Row, reasons: &mut Reasons) -> Vec<String> {
        let mut line = row.label.clone();
        line.push(format!("{:.*}", self.unit.1, row.truth / self.unit.0));
        line.push(reasons.cell(&row.ours.value, row.truth));
        if self.has_intervals() {
            line.extend(Self::how_sure(row));
        }
        line.extend(row.peers.iter().map(|said| reasons.cell(said, row.truth)));
        line
    }

    fn has_intervals(&self) -> bool {
        self.rows.iter().any(|row| row.ours.interval.is_some())
    }

    /// Our interval, with a star where the truth is outside, and our confidence.
    fn how_sure(row: &Row) -> [String; 2] {
        let (low, high) = row.ours.interval.unzip();
        let outside = low.is_some_and(|low| row.truth < low) || high.is_some_and(|high| high < row.truth);
        let interval = low.zip(high).map_or_else(String::new, |(low, high)| {
            let star = if outside { "*" } else { "" };
            format!("{}..{}{star}", signed(percent(low, row.truth)), signed(percent(high, row.truth)))
        });
        [interval, row.ours.confidence.clone()]
    }

    /// How far one is off where it answers, in percent, without the sign.
    fn errors(&self, of: impl Fn(&Row) -> &Said) -> Vec<f64> {
        let said = self.rows.iter().filter_map(|row| Some(percent(*of(row).as_ref().ok()?, row.truth).abs()));
        said.collect()
    }
}

/// Why answers are absent, each reason once.
#[derive(Default)]
struct Reasons(Vec<String>);

impl Reasons {
    fn cell(&mut self, said: &Said, truth: f64) -> String {
        let why = match said {
            Ok(value) => return signed(percent(*value, truth)),
            Err(why) => shortened(why),
        };
        let at = self.0.iter().position(|there| *there == why).unwrap_or_else(|| {
            self.0.push(why);
            self.0.len() - 1
        });
        format!("({})", at + 1)
    }
}

fn shortened(why: &str) -> String {
    let line = why.lines().next().unwrap_or_default();
    match line.char_indices().nth(MOST_REASON) {
        Some((at, _)) => format!("{}...", &line[..at]),
        None => line.to_owned(),
    }
}

fn percent(said: f64, truth: f64) -> f64 {
    (said / truth - 1.0) * 100.0
}

/// With two digits, and without the sign of a zero.
fn signed(percent: f64) -> String {
    let text = format!("{percent:+.2}");
    if text == "-0.00" { "+0.00".to_owned() } else { text }
}

fn in_percent(error: Option<f64>) -> String {
    error.map_or_else(|| "-".to_owned(), |error| format!("{error:.2}"))
}

/// The middle one, or the mean of the two in the middle.
fn median(errors: &[f64]) -> Option<f64> {
    let mut errors = errors.to_vec();
    errors.sort_by(f64::total_cmp);
    let upper = *errors.get(errors.len() / 2)?;
    if errors.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(errors[errors.len() / 2 - 1], upper))
}

fn largest(errors: &[f64]) -> Option<f64> {
    errors.iter().copied().max_by(f64::total_cmp)
}

/// Columns as wide as their longest word, the first so many to the left.
fn aligned(lines: &[Vec<String>], left: usize) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| lines.iter().filter_map(|line| line.get(at)).map(|word| word.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|at| width(at).unwrap_or(0)).collect();
    let mut text = String::new();
    for line in lines {
        let mut row = String::from(" ");
        for (at, (word, width)) in line.iter().zip(&widths).enumerate() {
            let _ = if at < left { write!(row, " {word:<width$}") } else { write!(row, "  {word:>width$}") };
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(truth: f64, ours: f64, theirs: Said) -> Row {
        let interval = Some((ours - 1.0, ours + 1.0));
        let ours = Ours { value: Ok(ours), interval, confidence: "computed".to_owned() };
        Row { label: vec!["model".to_owned()], truth, ours, peers: vec![theirs] }
    }

    fn table(rows: &[Row]) -> String {
        Table { title: "weights", label: &["case"], peers: &["theirs"], unit: (1.0, 0), rows }.text()
    }

    fn words<'a>(text: &'a str, first: &str) -> Vec<&'a str> {
        let line = text.lines().find(|line| line.trim_start().starts_with(first));
        line.map_or_else(Vec::new, |line| line.split_whitespace().collect())
    }

    #[test]
    fn the_median_of_an_even_count_is_the_mean_of_its_middle() {
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn only_what_is_answered_is_counted() {
        let rows = [
            row(100.0, 100.0, Ok(50.0)),
            row(100.0, 100.0, Ok(100.5)),
            row(100.0, 102.0, Err("it has no such format".to_owned())),
        ];
        let text = table(&rows);
        assert_eq!(words(&text, "answered"), ["answered", "3", "of", "3", "2", "of", "3"]);
        assert_eq!(words(&text, "median"), ["median", "error", "0.00", "25.25"]);
        assert_eq!(words(&text, "largest"), ["largest", "error", "2.00", "50.00"]);
        assert_eq!(words(&text, "within"), ["within", "1", "%", "2", "of", "3", "1", "of", "2"]);
    }

    #[test]
    fn a_reason_is_told_once_and_its_cells_point_to_it() {
        let no = || Err("no headers".to_owned());
        let text = table(&[row(1.0, 1.0, no()), row(1.0, 1.0, Err("dies\nloudly".to_owned())), row(1.0, 1.0, no())]);
        let cells: Vec<&str> = text.lines().filter(|line| line.contains("model")).map(|l| &l[l.len() - 3..]).collect();
        assert_eq!(cells, ["(1)", "(2)", "(1)"]);
        assert_eq!(text.matches("(1) no headers").count(), 1);
        assert!(text.contains("(2) dies\n") && !text.contains("loudly"), "{text}");
        assert_eq!(words(&text, "median"), ["median", "error", "0.00", "-"]);
    }

    #[test]
    fn a_truth_outside_the_interval_is_marked() {
        let text = table(&[row(100.0, 102.0, Ok(1.0)), row(100.0, 100.5, Ok(1.0))]);
        assert!(text.contains("+1.00..+3.00*") && text.contains("-0.50..+1.50 "), "{text}");
    }

    #[test]
    fn a_zero_has_no_sign_of_its_own() {
        assert_eq!((signed(-0.001), signed(-0.01)), ("+0.00".to_owned(), "-0.01".to_owned()));
    }
}
