//! The Prometheus text format, read line by line: what is no sample is passed over.

use std::borrow::Cow;

/// One sample. Labels are in the order of the line.
#[derive(Debug, PartialEq)]
pub(crate) struct Sample<'a> {
    pub(crate) name: &'a str,
    pub(crate) labels: Vec<(&'a str, Cow<'a, str>)>,
    pub(crate) value: f64,
}

impl Sample<'_> {
    /// The value of a label.
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|label| label.0 == name).map(|label| &*label.1)
    }
}

/// The samples of a text.
pub(crate) fn samples(text: &str) -> impl Iterator<Item = Sample<'_>> {
    text.lines().filter_map(sample)
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let line = line.trim();
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | ':'))).filter(|end| *end > 0)?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inner) => labels(inner)?,
        None => (Vec::new(), rest),
    };
    // A time, or an exemplar, may follow the value.
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name, labels, value })
}

type Labels<'a> = (Vec<(&'a str, Cow<'a, str>)>, &'a str);

/// The labels up to the closing brace, and what follows it.
fn labels(mut rest: &str) -> Option<Labels<'_>> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, quoted) = rest.split_once('=')?;
        let inner = quoted.trim_start().strip_prefix('"')?;
        let mut escaped = false;
        let end = inner.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        })?;
        labels.push((name.trim(), unescape(&inner[..end])));
        rest = &inner[end + 1..];
    }
}

fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len());
    let mut escaped = false;
    for c in text.chars() {
        match c {
            '\\' if !escaped => {
                escaped = true;
                continue;
            }
            'n' if escaped => plain.push('\n'),
            c => plain.push(c),
        }
        escaped = false;
    }
    plain.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn samples_are_read_with_their_labels() {
        let text =
            "# HELP a b\na{x=\"1\",y=\"q\\\"}\\\\\\n\"} 2.5e3 1395066363000\n b:c_total 1 # {t=\"x\"} 0.5\nd{} +Inf\n";
        let read: Vec<_> = samples(text).collect();
        assert_eq!(read.len(), 3);
        assert_eq!((read[0].label("x"), read[0].label("y"), read[0].value), (Some("1"), Some("q\"}\\\n"), 2500.0));
        assert_eq!((read[1].name, read[1].value), ("b:c_total", 1.0));
        assert!(read[2].value.is_infinite());
    }

    #[test]
    fn what_is_no_sample_is_passed_over() {
        for line in ["", "a", "a b", "a{x} 1", "a{x=\"1} 1", "a{x=\"1\" 1", "{x=\"1\"} 1", "<html>", "a{x=\"1\"}"] {
            assert_eq!(samples(line).count(), 0, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_labels_survive(text in ".{0,80}", label in "[^\\\\\"\n\r]{0,12}", value: u32) {
            let _ = samples(&text).count();
            let line = format!("m{{l=\"{label}\"}} {value}");
            let read: Vec<_> = samples(&line).collect();
            prop_assert_eq!(read[0].label("l"), Some(label.as_str()));
            prop_assert_eq!(read[0].value.to_bits(), f64::from(value).to_bits());
        }
    }
}
