//! A comparison as JUnit XML, which CI systems show as tests.

use std::io;
use std::path::Path;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, Event};
use vramscope_compare::Exceeded;

use crate::output;

/// One figure as a test case.
#[derive(Debug)]
pub(super) struct Case {
    /// The figure's name.
    pub(super) name: String,
    pub(super) outcome: Outcome,
}

/// How a test case ended.
#[derive(Debug)]
pub(super) enum Outcome {
    Passed,
    /// A limit is exceeded; how.
    Failed(String),
    /// It cannot be told; why.
    Skipped(String),
}

/// How a limit is exceeded.
pub(super) fn exceeded(item: &Exceeded) -> String {
    let limit = item.limit * 100.0;
    if item.worse_by.is_finite() {
        format!("worse by {:.1} %, the limit is {limit:.1} %", item.worse_by * 100.0)
    } else {
        format!("worse from nothing, the limit is {limit:.1} %")
    }
}

/// Writes test cases to a file, whole or not at all.
pub(super) fn write(path: &Path, cases: &[Case]) -> anyhow::Result<()> {
    output::write_file(path, |out| Ok(document(out, cases)?))
}

fn document(out: impl io::Write, cases: &[Case]) -> io::Result<()> {
    let mut xml = Writer::new_with_indent(out, b' ', 2);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let count = |is: fn(&Outcome) -> bool| cases.iter().filter(|case| is(&case.outcome)).count().to_string();
    let (tests, failures) = (cases.len().to_string(), count(|outcome| matches!(outcome, Outcome::Failed(_))));
    let skipped = count(|outcome| matches!(outcome, Outcome::Skipped(_)));
    let suite = || {
        let counts = [("tests", &tests), ("failures", &failures), ("skipped", &skipped)];
        counts.into_iter().map(|(name, count)| (name, count.as_str()))
    };
    let name = ("name", "vramscope compare");
    let suites = suite().filter(|(name, _)| *name != "skipped");
    xml.write_event(Event::Start(BytesStart::new("testsuites").with_attributes([name].into_iter().chain(suites))))?;
    xml.write_event(Event::Start(BytesStart::new("testsuite").with_attributes([name].into_iter().chain(suite()))))?;
    for case in cases {
        let start = || {
            let attributes = [("name", case.name.as_str()), ("classname", "vramscope.compare")];
            BytesStart::new("testcase").with_attributes(attributes)
        };
        let (kind, message) = match &case.outcome {
            Outcome::Passed => {
                xml.write_event(Event::Empty(start()))?;
                continue;
            }
            Outcome::Failed(message) => ("failure", message),
            Outcome::Skipped(message) => ("skipped", message),
        };
        xml.write_event(Event::Start(start()))?;
        let message = vramscope_core::without_controls(message);
        xml.write_event(Event::Empty(BytesStart::new(kind).with_attributes([("message", &*message)])))?;
        xml.write_event(Event::End(BytesEnd::new("testcase")))?;
    }
    xml.write_event(Event::End(BytesEnd::new("testsuite")))?;
    xml.write_event(Event::End(BytesEnd::new("testsuites")))?;
    xml.into_inner().write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_counts_its_cases_and_escapes_what_was_written_by_others() {
        let case = |name: &str, outcome| Case { name: name.to_owned(), outcome };
        let cases = [
            case("peak_bytes", Outcome::Passed),
            case("load_s", Outcome::Failed("worse by <3> & \"more\"".to_owned())),
            case("x", Outcome::Skipped("\u{1b}[31mno".to_owned())),
        ];
        let mut out = Vec::new();
        document(&mut out, &cases).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains(r#"<testsuite name="vramscope compare" tests="3" failures="1" skipped="1">"#), "{text}");
        assert!(text.contains("worse by &lt;3&gt; &amp; &quot;more&quot;") && !text.contains('\u{1b}'), "{text}");
        assert_eq!(text.matches("<testcase").count(), 3);
        assert_eq!(text.matches("</testcase>").count(), 2, "a passed case is empty");
    }
}
