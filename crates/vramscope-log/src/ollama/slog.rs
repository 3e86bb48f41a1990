//! A record of Go's `log/slog`: `time=… level=INFO source=server.go:135 msg="system memory" total="7.7 GiB"`.

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slog<'a> {
    pub(crate) time: Option<&'a str>,
    pub(crate) level: Option<&'a str>,
    pub(crate) msg: &'a str,
    pub(crate) whole: &'a str,
    fields: Vec<(&'a str, &'a str)>,
}

/// Most fields of one record.
const MAX_FIELDS: usize = 64;

impl<'a> Slog<'a> {
    /// The record of a line that names its source, as this engine's do.
    pub(crate) fn of(text: &'a str) -> Option<Self> {
        let at = text.find("time=").filter(|at| *at < 64)?;
        let text = &text[at..];
        if !text.contains(" level=") || !text.contains(".go:") {
            return None;
        }
        let fields = fields(text);
        let field = |name: &str| fields.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        let source = field("source")?;
        let is_source = source.rsplit_once(".go:").is_some_and(|(_, line)| line.bytes().all(|b| b.is_ascii_digit()));
        if !is_source {
            return None;
        }
        let (time, level, msg) = (field("time"), field("level"), field("msg")?);
        Some(Self { time, level, msg, whole: text, fields })
    }

    /// The value of a field, without quotes.
    pub(crate) fn field(&self, name: &str) -> Option<&'a str> {
        self.fields.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }

    /// Whether it holds no amount that somebody should ask for.
    pub(crate) fn is_quiet(&self) -> bool {
        !self.fields.iter().any(|(_, value)| value.ends_with("iB"))
    }
}

/// The fields of a record, whose keys and values may be quoted.
fn fields(text: &str) -> Vec<(&str, &str)> {
    let mut fields = Vec::new();
    let mut rest = text;
    while fields.len() < MAX_FIELDS {
        rest = rest.trim_start();
        let Some((key, after)) = word(rest, '=') else { break };
        let Some(after) = after.strip_prefix('=') else {
            // A word without a value.
            if after.len() == rest.len() {
                break;
            }
            rest = after;
            continue;
        };
        let Some((value, after)) = word(after, ' ') else { break };
        fields.push((key, value));
        rest = after;
    }
    fields
}

/// A word up to `stop` or a space, or what stands in quotes; and what follows.
fn word(text: &str, stop: char) -> Option<(&str, &str)> {
    if let Some(inside) = text.strip_prefix('"') {
        let mut escaped = false;
        for (at, c) in inside.char_indices() {
            match c {
                '\\' if !escaped => escaped = true,
                '"' if !escaped => return Some((&inside[..at], &inside[at + 1..])),
                _ => escaped = false,
            }
        }
        // The end of the line is missing: no value whose end is not seen.
        return None;
    }
    let end = text.find([' ', stop]).unwrap_or(text.len());
    (!text.is_empty()).then(|| (&text[..end], &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_may_be_quoted() {
        let line = r#"time=2026-05-05T01:30:33.796+08:00 level=INFO source=server.go:499 msg="loading \"a\" model" "model layers"=29 requested=-1 split="""#;
        let slog = Slog::of(line).unwrap();
        assert_eq!((slog.level, slog.field("model layers"), slog.field("split")), (Some("INFO"), Some("29"), Some("")));
        assert_eq!(slog.field("requested"), Some("-1"));
    }

    #[test]
    fn records_of_other_programs_and_cut_values_are_none() {
        assert_eq!(Slog::of(r#"time="2026-05-05T01:30:33Z" level=info msg="starting containerd" version=2.0"#), None);
        let cut = Slog::of(r#"time=2026-05-05T01:30:33.796Z level=INFO source=a.go:4 msg=x size="4.1 G"#).unwrap();
        assert_eq!(cut.field("size"), None);
    }
}
